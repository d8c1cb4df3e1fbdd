"""The dual encoder and a single autoencoder with as many parameters, fitted alike on a few normals.

n normals --seeded--> train 1 - share | select share      the share gates the phases and stops them early
dual_encoder: encoder 1, encoder 2, decoder               P1, P2, P3
single:       one encoder twice the size, same decoder    as many passes at the same step sizes, gated alike
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import methods
from ..images import PixelStore, as_images
from ..methods._gating import gated_phase
from ..methods.dual_encoder import DualEncoder
from ..nn.autoencoder import ConvAutoencoder
from ..nn.detector import AutoencoderDetector
from ..training import History, Schedule
from ..types import Images, Run
from ._trial import Trial, cut_of, scores_of

__all__ = ["Fit", "SingleAutoencoder", "fit_single", "matched_channels", "parameters", "parted", "seconds", "work"]

_FACTORS = tuple(1 + hundredth / 100 for hundredth in range(101))
_TIMED_BATCH, _TIMED_EPOCHS = 64, 7  # an epoch has three phases of one step each


@dataclass(frozen=True)
class Fit:
    """A fit, as its job's arguments.

    Args:
        data: Name in `_data.DATA`.
        recipe: The dual encoder's hyperparameters as JSON.
        single: Fit the single autoencoder instead.
        share: Of the normals, kept from training to gate and stop the phases; 0 trains on all and gates nothing.
        seed: Of the draws and of the run.
        held_out: As `Trial` has it.
        limit: As `Trial` has it; the share is taken from these normals.
        digest: Hash of the images.
    """

    data: str
    recipe: Mapping[str, Any]
    single: bool
    share: float
    seed: int = 0
    held_out: float = 0.0
    limit: int = 0
    digest: str = ""

    @property
    def trial(self) -> Trial:
        """The trial with the same images."""
        where: dict[str, Any] = {"held_out": self.held_out, "limit": self.limit, "digest": self.digest}
        return Trial(self.data, "dual_encoder", self.recipe, self.seed, **where)


def work(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Fit and score; the job function.

    Returns:
        labels and groups of the test images; scores of test and held-out images; how many images each part had and how
        many parameters were trained; epochs of each phase, first and last loss, warnings; seconds.

    Raises:
        DataChangedError: The images are not those the fit was planned with.
    """
    fit = Fit(**arguments)
    cut = cut_of(fit.trial)
    train, select = parted(cut.train, fit.share, fit.seed)
    recipe = methods.from_json("dual_encoder", fit.recipe)
    assert isinstance(recipe, DualEncoder)
    checkpoint.mkdir(parents=True, exist_ok=True)
    run = Run(seed=fit.seed, checkpoint=checkpoint, resume=True)
    began = time.perf_counter()
    detector: Any = (fit_single if fit.single else DualEncoder.fit)(recipe, train, run, select)
    took = time.perf_counter() - began
    epochs = detector.history.epochs
    counts = {"train": train, "select": select or (), "held_out": cut.held_out, "test": cut.test}
    return {
        "labels": cut.labels.tolist(),
        "groups": list(cut.groups),
        "counts": {name: len(images) for name, images in counts.items()},
        "own": {"test": scores_of(detector, cut.test), "held_out": scores_of(detector, cut.held_out)},
        "parameters": parameters(detector.network),
        "epochs": dict(Counter(epoch.stage for epoch in epochs)),
        "losses": {"first": epochs[0].losses, "last": epochs[-1].losses},
        "warnings": list(detector.history.warnings),
        "fit_seconds": round(took, 3),
    }


def parted(normals: PixelStore, share: float, seed: int) -> tuple[PixelStore, PixelStore | None]:
    """Part normals by a seeded draw into those to train on and, of a share above 0, those to select by."""
    kept = round(share * len(normals))
    if not kept:
        return normals, None
    order = np.random.default_rng(np.random.SeedSequence([seed, 0x5E1E])).permutation(len(normals))
    return normals.subset(np.sort(order[kept:])), normals.subset(np.sort(order[:kept]))


class SingleAutoencoder(ConvAutoencoder):
    """The dual encoder's decoder behind one encoder whose width gives both networks as many parameters.

    Args:
        image_shape: (c, h, w).
        channels: As the dual encoder has them; the decoder mirrors them.
        latent_dim: Length of the code, the same as that of the dual encoder's codes.
    """

    def __init__(self, image_shape: Sequence[int], channels: Sequence[int], latent_dim: int) -> None:
        super().__init__(image_shape, channels, latent_dim)
        wider = ConvAutoencoder(
            image_shape, matched_channels(tuple(image_shape), tuple(channels), latent_dim), latent_dim
        )
        self.down, self.to_latent = wider.down, wider.to_latent


@lru_cache
def matched_channels(image_shape: tuple[int, ...], channels: tuple[int, ...], latent_dim: int) -> tuple[int, ...]:
    """Return the channels, all widened by one factor from 1 to 2, of an encoder closest in parameters to two."""

    def size(widths: Sequence[int]) -> int:
        network = ConvAutoencoder(image_shape, widths, latent_dim)
        return parameters(network.down) + parameters(network.to_latent)

    with torch.device("meta"):  # shapes alone: no memory, no random numbers
        wanted = 2 * size(channels)
        widened = {tuple(round(factor * width) for width in channels) for factor in _FACTORS}
        return min(sorted(widened), key=lambda widths: abs(size(widths) - wanted))


def parameters(network: torch.nn.Module) -> int:
    """Count the numbers that training moves."""
    return sum(parameter.numel() for parameter in network.parameters())


def fit_single(recipe: DualEncoder, normals: Images, run: Run, select: Images | None = None) -> AutoencoderDetector:
    """Train the single autoencoder by the squared error, gated like the dual encoder.

    There every parameter moves in two of the three phases, once at either step size, so here two phases do.

    Raises:
        TrainingError: Training diverged, or a checkpoint cannot be used.
    """
    with run.seeded():
        network = SingleAutoencoder(normals.shape[1:], recipe.channels, recipe.latent_dim).to(run.torch_device)
    history = History()

    def loss(images: Tensor) -> Tensor:
        residual: Tensor = network(images) - images
        return residual.square().sum((1, 2, 3)).mean()

    for stage, rate in (("p1", recipe.learning_rate), ("p3", recipe.joint_learning_rate)):
        schedule = Schedule(recipe.epochs, recipe.batch_size, rate, recipe.patience)
        gated_phase(
            network, [network], loss, normals, schedule, run, history, recipe=recipe, stage=stage, select=select
        )
    detector = AutoencoderDetector(recipe, network, run.torch_device, run.autocast_dtype, history)
    history.warnings += detector.collapse_warnings(normals)
    return detector


def seconds(fit: Fit) -> float:
    """Say about how long a fit takes that is not stopped early, from 21 steps timed once per image shape."""
    normals = cut_of(fit.trial).train
    train = len(normals) - round(fit.share * len(normals))
    phases = 2 if fit.single else 3
    return _per_image(normals.shape[1:]) * phases * int(fit.recipe["epochs"]) * train


@lru_cache
def _per_image(image_shape: tuple[int, ...]) -> float:
    """Time steps on blank images; of two short fits the second, for the first also pays for setting up."""
    blank = as_images(np.zeros((_TIMED_BATCH, *image_shape), np.uint8))
    DualEncoder(epochs=1, batch_size=_TIMED_BATCH).fit(blank, Run())
    began = time.perf_counter()
    DualEncoder(epochs=_TIMED_EPOCHS, batch_size=_TIMED_BATCH).fit(blank, Run())
    return (time.perf_counter() - began) / (3 * _TIMED_EPOCHS * _TIMED_BATCH)
