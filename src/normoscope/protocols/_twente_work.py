"""The jobs of the Twente study: train and score, measure the images, time the training.

all classes --train--> errors of held-out, FashionMNIST and noisy images, seconds     experiments 1, 2 and 4
normals     --train--> errors of held-out normals and of real anomalies                experiment 3
images      --> entropy and likeness to noise
equally many images of every set, in turns --train--> seconds                          does cost depend on the data?
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import DataChangedError
from ..features import bytes_statistic
from ..images import PixelStore, batches
from ..methods.knn import KNN
from ..methods.trivial import Statistic, Trivial
from ..methods.twente import PixelError, PooledAutoencoder, Twente
from ..scoring import Residual, Scoring
from ..types import Images, Run
from ._twente_images import NOISE, Pictures, noisy, pictures, standard_noise, uniform_noise

__all__ = ["PAPER_SIGMA", "SIGMAS", "SWEPT", "Setting", "artificial", "cost", "describe", "real"]

PAPER_SIGMA = 0.2
SIGMAS = (0.02, 0.05, 0.1, 0.15, PAPER_SIGMA, 0.25, 0.3, 0.4, 0.5)
SWEPT = ("bce", "mse", "trivial gradient")
"""Scores that are followed over the noise."""

_KNN = "knn"

Scorer = Callable[[Float[Tensor, "n c h w"]], Float[Tensor, " n"]]


@dataclass(frozen=True)
class Setting:
    """One training, as its job's arguments.

    Args:
        data: Name in `_data.DATA`.
        seed: Of the training images' draw, of the weights and of the noise.
        epochs: Passes over the training images.
        limit: Train on at most so many images.
        held_out: Test at most so many held-out images.
        anomalies: Test at most so many anomalies of a kind.
        strangers: Data set whose images are anomalies; empty where it is absent.
        pictures: So many images are returned with their reconstructions.
        digest: Hash of all images read; empty is not checked.
    """

    data: str
    seed: int
    epochs: int
    limit: int
    held_out: int
    anomalies: int
    strangers: str = ""
    pictures: int = 0
    digest: str = ""


def artificial(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Train on all classes; score held-out images, another data set's, and own images with noise.

    Raises:
        DataChangedError: The images are not those the job was planned with; so do the other jobs.

    Returns:
        counts of images; train: mean and sd of every score over the training images (none of knn, which knows them);
        errors: scores of held_out, fashion and noise at the paper's deviation; labels of held_out; noisy: positions in
        held_out of the images that noise is added to; sweep: scores by deviation; likeness: mean correlation of noisy
        and clean image by deviation; reconstruction: what `_reconstruction` says; seconds of the training steps alone,
        epochs, first and last loss; pictures: grey values 0 to 255.
    """
    setting, images = Setting(**arguments), pictures(arguments["data"])
    _same(setting.digest, setting.data, setting.strangers)
    train = images.training(normals_alone=False, limit=setting.limit, seed=setting.seed)
    held_out, labels = images.tested(setting.held_out)
    detector, scorers, record = _fitted(setting, train, checkpoint)
    positions = np.arange(min(setting.anomalies, len(held_out)))
    clean = held_out.batch(positions)
    noise = standard_noise(clean, setting.seed)
    corrupted = {f"{sigma:g}": noisy(clean, noise, sigma) for sigma in SIGMAS}
    errors = {"held_out": _scored(scorers, held_out), "noise": _scored(scorers, corrupted[f"{PAPER_SIGMA:g}"])}
    if setting.strangers:
        errors["fashion"] = _scored(scorers, pictures(setting.strangers).some(setting.anomalies))
    swept = {name: scorers[name] for name in SWEPT}
    return record | {
        "counts": record["counts"] | {name: len(values["mse"]) for name, values in errors.items()},
        "errors": errors,
        "labels": labels,
        "noisy": positions.tolist(),
        "sweep": {sigma: _scored(swept, some) for sigma, some in corrupted.items()},
        "likeness": {sigma: _likeness(clean, some) for sigma, some in corrupted.items()},
        "reconstruction": _reconstruction(scorers, train, held_out),
        "pictures": _shown(detector.reconstruct, clean[: setting.pictures], corrupted) if setting.pictures else None,
    }


def real(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Train on normals alone; score held-out normals and real anomalies.

    Returns:
        As `artificial`: counts, train, seconds, epochs and losses; errors: scores of held_out (normal test images),
        abnormal (test images) and, where these are fewer than asked for, borrowed (abnormal training images).
    """
    setting, images = Setting(**arguments), pictures(arguments["data"])
    _same(setting.digest, setting.data)
    train = images.training(normals_alone=True, limit=setting.limit, seed=setting.seed)
    held_out, _ = images.tested(setting.held_out, 0)
    abnormal, _ = images.tested(setting.anomalies, 1)
    borrowed = images.borrowed(setting.anomalies - len(abnormal))
    _, scorers, record = _fitted(setting, train, checkpoint)
    errors = {"held_out": _scored(scorers, held_out), "abnormal": _scored(scorers, abnormal)}
    if borrowed is not None:
        errors["borrowed"] = _scored(scorers, borrowed)
    counts = {name: len(values["mse"]) for name, values in errors.items()}
    return record | {"counts": record["counts"] | counts, "errors": errors}


def describe(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Measure some images of a data set.

    Returns:
        For every measure of `_measures` its mean and standard deviation over images; images: how many.
    """
    count = arguments["images"]
    _same(arguments["digest"], arguments["data"])
    store = uniform_noise(count, 0) if arguments["data"] == NOISE else pictures(arguments["data"]).some(count)
    batch = store.batch(np.arange(len(store)))
    values = {name: np.asarray(value, np.float64) for name, value in _measures(batch).items()}
    moments = {name: {"mean": _digits(v.mean()), "sd": _digits(v.std(ddof=1))} for name, v in values.items()}
    return {"images": len(store), **moments}


def cost(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Train the same network on equally many images of every data set and of noise, in turns, and time the steps.

    Short turns in one process cancel what else the machine does; the order changes from round to round.

    Returns:
        seconds of every round by data set; images of a round, an epoch each; flops of one image's forward pass.
    """
    names, seed = [*arguments["data"], NOISE], arguments["seed"]
    _same("".join(arguments["digest"]), *arguments["data"])
    found = {name: pictures(name) for name in arguments["data"]}
    fewest = min([arguments["images"], *(int(np.sum(~some.testing)) for some in found.values())])
    stores = {name: _for_cost(found.get(name), fewest, seed) for name in names}
    recipe, run = Twente(epochs=1), Run(seed=seed)
    recipe.fit(stores[NOISE], run)  # the first fit of a process also pays for setting up
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(arguments["rounds"]):
        first = (turn + seed) % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(round(recipe.fit(stores[name], run).history.epochs[0].seconds, 6))
    return {"seconds": seconds, "images": fewest, "flops": _flops(stores[NOISE])}


def _same(digest: str, *names: str) -> None:
    """Refuse other images than those a job was planned with.

    Raises:
        DataChangedError: They are others.
    """
    if digest not in ("", "".join(pictures(name).digest for name in names if name not in ("", NOISE))):
        raise DataChangedError(" or ".join(name for name in names if name))


def _for_cost(images: Pictures | None, count: int, seed: int) -> PixelStore:
    if images is None:
        return uniform_noise(count, seed)
    return images.training(normals_alone=False, limit=count, seed=seed)


def _flops(images: Images) -> int:
    """Count the floating-point operations of one image's way through the network; they follow from its shape alone."""
    from torch.utils.flop_counter import FlopCounterMode

    with Run().seeded(), FlopCounterMode(display=False) as counter, torch.no_grad():
        PooledAutoencoder(images.shape[1:])(images.batch(np.arange(1)))
    return int(counter.get_total_flops())


def _fitted(setting: Setting, train: PixelStore, checkpoint: Path) -> tuple[Any, dict[str, Scorer], dict[str, Any]]:
    """Train; return the detector, every score, and what became of the training."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    recipe, run = Twente(epochs=setting.epochs), Run(seed=setting.seed, checkpoint=checkpoint, resume=True)
    detector = recipe.fit(train, run)
    by_entropy = dataclasses.replace(recipe, score=PixelError.BCE).restore(detector.state()).to(run)
    normalised = Scoring(Residual.NORMALISED)
    trivial = {f"trivial {kind.value}": Trivial(kind).fit(train, run).anomaly_score for kind in Statistic}
    scorers: dict[str, Scorer] = {
        "bce": by_entropy.anomaly_score,
        "mse": detector.anomaly_score,
        "normalised": lambda some: normalised.score(normalised.map(some, detector.reconstruct(some))),
        _KNN: KNN().fit(train, run).anomaly_score,
        **trivial,
    }
    epochs = detector.history.epochs
    known = {name: scorer for name, scorer in scorers.items() if name != _KNN}
    return (
        detector,
        scorers,
        {
            "counts": {"train": len(train)},
            "train": {name: _moments(values) for name, values in _scored(known, train).items()},
            "seconds": round(sum(epoch.seconds for epoch in epochs), 3),
            "epochs": len(epochs),
            "losses": {"first": _digits(epochs[0].losses[0]), "last": _digits(epochs[-1].losses[0])},
            "warnings": list(detector.history.warnings),
        },
    )


def _scored(scorers: Mapping[str, Scorer], images: Images | Tensor) -> dict[str, list[float]]:
    """Score images by every score."""
    portions = list(torch.split(images, 256)) if isinstance(images, Tensor) else list(batches(images))
    return {
        name: [_digits(value) for some in portions for value in scorer(some).tolist()]
        for name, scorer in scorers.items()
    }


def _moments(values: Sequence[float]) -> dict[str, float]:
    return {"mean": _digits(np.mean(values)), "sd": _digits(np.std(values, ddof=1)) if len(values) > 1 else 0.0}


def _digits(value: Any) -> float:
    """Keep seven digits, what float32 holds."""
    return float(f"{float(value):.7g}")


def _reconstruction(scorers: Mapping[str, Scorer], train: PixelStore, held_out: PixelStore) -> dict[str, Any]:
    """Say how good a reconstruction is, and what the numbers would be without a network.

    Returns:
        For train and held_out: bce and mse; floor, the cross-entropy of a perfect reconstruction; mean_image, the
        squared error of the mean training image as everyone's reconstruction. Means over images.
    """
    mean = torch.stack([batch.double().sum(0) for batch in batches(train)]).sum(0) / len(train)
    others: dict[str, Scorer] = {
        "floor": lambda some: (torch.special.entr(some) + torch.special.entr(1 - some)).mean((1, 2, 3)),
        "mean_image": lambda some: (some - mean).square().mean((1, 2, 3)),
    }
    both = {name: scorers[name] for name in ("bce", "mse")} | others
    return {
        part: {name: _digits(np.mean(values)) for name, values in _scored(both, images).items()}
        for part, images in (("train", train), ("held_out", held_out))
    }


def _likeness(images: Tensor, others: Tensor) -> float:
    """Return the mean correlation of images with their counterparts; an image of one grey has none and counts 0."""
    return _digits(_correlation(images.flatten(1), others.flatten(1)).mean())


def _correlation(a: Float[Tensor, "n p"], b: Float[Tensor, "n p"]) -> Float[Tensor, " n"]:
    a, b = a.double(), b.double()
    return torch.cosine_similarity(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True))


def _shown(reconstruct: Callable[[Tensor], Tensor], images: Tensor, corrupted: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "originals": _bytes(images),
        "reconstructions": _bytes(reconstruct(images)),
        "noisy": {sigma: _bytes(some[:1])[0] for sigma, some in corrupted.items()},
    }


def _bytes(images: Tensor) -> list[list[list[int]]]:
    values: list[list[list[int]]] = (images[:, 0] * 255).round().int().tolist()
    return values


def _measures(images: Float[Tensor, "n 1 h w"]) -> dict[str, list[float]]:
    """Measure every image.

    Returns:
        shannon: entropy of the 8-bit grey values, bits per pixel; local: its mean over blocks of 7 x 7 pixels, after
        Wu et al. 2013; bytes: its pixels compressed; neighbours: correlation of horizontally adjacent pixels, 0 in
        noise; floor: cross-entropy of a perfect reconstruction, nats per pixel.
    """
    from skimage.measure import shannon_entropy

    entropy: Callable[[Any], float] = shannon_entropy
    pixels = (images[:, 0] * 255).round().to(torch.uint8).numpy()
    blocks = pixels.reshape(len(pixels), 4, 7, 4, 7).swapaxes(2, 3).reshape(len(pixels), 16, 49)
    floor = (torch.special.entr(images) + torch.special.entr(1 - images)).mean((1, 2, 3))
    return {
        "shannon": [float(entropy(image)) for image in pixels],
        "local": [math.fsum(entropy(block) for block in of_image) / len(of_image) for of_image in blocks],
        "bytes": bytes_statistic(images).tolist(),
        "neighbours": _correlation(images[..., :-1].flatten(1), images[..., 1:].flatten(1)).tolist(),
        "floor": floor.tolist(),
    }
