"""One candidate: a recipe fitted for one seed, and what normal images alone say of it.

    Partition --share--> folder/data-HASH: pixels of the pool (train and select normals) and of the test, no labels
    pool --cut by the seed--> train, held-out normals --fit--> Detector
    Detector --> reconstruction errors, scores of planted anomalies, latent entropy, test scores

Every seed holds out other normals, so what several seeds say covers the choice of normals, too. All candidates of a
seed are fitted on the same images and judged on the same planted ones. *calibrate* normals are not in the pool.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt

from . import methods
from .anomalies import suite
from .errors import ScoresError, TooFewImagesError
from .images import PixelStore, batches
from .latents import FEWEST, latent_entropy
from .transforms import Preprocessor
from .types import Detector, Images, Reconstructs, Run

__all__ = ["Pool", "cut", "forget", "name_of", "share", "work"]

_HELD_OUT, _ENOUGH, _MOST = 0.1, 50, 0.3
_PLANTED = 200
_FEWEST = 10
_POOL, _TEST, _FACTS = "pool.npy", "test.npy", "facts.json"


@dataclass(frozen=True)
class Pool:
    """The images that all candidates share.

    Args:
        normals: Train and select normals.
        groups: Patient of each, as numbers; empty where unknown.
        test: Test images, whose labels are not here.
    """

    normals: PixelStore
    groups: tuple[int, ...]
    test: PixelStore


def name_of(pool: Pool, preprocessor: Preprocessor) -> str:
    """Return the hash that names a pool.

    Raises:
        TooFewImagesError: Too few normals to hold some out.
        ScoresError: All are one patient's.
    """
    if len(pool.normals) < 2 * _FEWEST:
        raise TooFewImagesError("train and select", 2 * _FEWEST, len(pool.normals), "a sweep holds some of them out")
    if len(set(pool.groups)) == 1:
        todo = "a sweep holds whole patients out, add normals of others"
        raise ScoresError("train and select", "normals of at least 2 patients", "one", todo)
    digest = hashlib.sha256(_facts(pool, preprocessor).encode())
    for array in _arrays(pool).values():
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:20]


def share(pool: Pool, preprocessor: Preprocessor, folder: Path) -> str:
    """Write the pool where workers map it into memory; return its name.

    Raises:
        TooFewImagesError: Too few normals to hold some out.
        ScoresError: All are of one patient.
    """
    name = name_of(pool, preprocessor)
    target = folder / f"data-{name}"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        aside = Path(mkdtemp(dir=folder, prefix=f".data-{name}-"))
        try:
            for file, array in _arrays(pool).items():
                _save(aside / file, array)
            (aside / _FACTS).write_text(_facts(pool, preprocessor), encoding="utf-8")
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return name


def _save(file: Path, array: npt.NDArray[Any]) -> None:
    try:
        np.save(file, array, allow_pickle=False)
    except OSError as error:
        if error.errno is None:  # numpy counts the bytes, and does not say why some are missing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def forget(name: str, folder: Path) -> None:
    """Remove what `share` wrote, and what it left where it was killed: these images may be patients'."""
    for left in (folder / f"data-{name}", *folder.glob(f".data-{name}-*")):
        shutil.rmtree(left, ignore_errors=True)


def _arrays(pool: Pool) -> dict[str, npt.NDArray[Any]]:
    return {_POOL: pool.normals.pixels[pool.normals.index], _TEST: pool.test.pixels[pool.test.index]}


def _facts(pool: Pool, preprocessor: Preprocessor) -> str:
    return json.dumps({"preprocessor": preprocessor.to_json(), "groups": pool.groups})


@lru_cache(maxsize=2)
def _shared(folder: Path) -> Pool:
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    preprocessor = Preprocessor.from_json(facts["preprocessor"])
    normals, test = (
        PixelStore(np.load(folder / file, mmap_mode="r", allow_pickle=False), preprocessor) for file in (_POOL, _TEST)
    )
    return Pool(normals, tuple(facts["groups"]), test)


def cut(pool: Pool, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows of *train* and of the held-out normals; whole patients where they are known.

    A tenth is held out, more of small pools so that 50 are, and never more than three tenths, but where every patient
    has more: then the one with the fewest.
    """
    count = len(pool.normals)
    wanted = round(count * min(max(_HELD_OUT, _ENOUGH / count), _MOST))
    groups = np.asarray(pool.groups if pool.groups else np.arange(count))
    patients, sizes = np.unique(groups, return_counts=True)
    taken: list[int] = []
    for i in np.random.default_rng(np.random.SeedSequence([seed, 0x5E1EC7])).permutation(len(patients)):
        so_far = int(sizes[taken].sum())
        if so_far < wanted and so_far + sizes[i] <= _MOST * count:
            taken.append(int(i))
    held = np.isin(groups, patients[taken or [int(np.argmin(sizes))]])
    return np.flatnonzero(~held), np.flatnonzero(held)


def work(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Fit and look; the job function.

    Args:
        arguments: `data` (hash of the pool), `method`, `recipe`, `seed`, `device`, `precision`.
        checkpoint: Folder for this job's checkpoints, beside the pool's.

    Returns:
        Mean squared reconstruction errors; scores of held-out normals (with the patient of each, where known), of
        planted anomalies by kind (with the normal each was made from and its share of the image) and of test images;
        the latent entropy on 20 or more held-out normals; how training went.
    """
    pool = _shared(checkpoint.parent / f"data-{arguments['data']}")
    seed = arguments["seed"]
    rows = cut(pool, seed)
    train, held = (pool.normals.subset(part) for part in rows)
    patients = [pool.groups[row] for row in rows[1]] if pool.groups else None
    recipe = methods.from_json(arguments["method"], arguments["recipe"])
    checkpoint.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    run = Run(seed, arguments["device"], arguments["precision"], checkpoint=checkpoint, resume=True)
    detector = recipe.fit(train, run, held)
    seconds = time.perf_counter() - began
    history = getattr(detector, "history", None)
    planted = suite(held, seed=seed, per_image=-(-_PLANTED // len(held)))
    entropy = latent_entropy(detector, held, patients, seed) if len(held) >= FEWEST else None
    return {
        "counts": {"train": len(train), "held_out": len(held), "test": len(pool.test)},
        "error": _errors(detector, train, held),
        "held_out": _scores(detector, held),
        "patients": patients,
        "planted": {
            kind.value: {
                "scores": _scores(detector, copies),
                "from": (copies.index % len(held)).tolist(),
                "areas": [round(float(area), 3) for area in masks.mean((1, 2))],
            }
            for kind, (copies, masks) in planted.items()
        },
        "test": _scores(detector, pool.test),
        "entropy": None if entropy is None else entropy.to_json(),
        "epochs": 0 if history is None else len(history.epochs),
        "warnings": [] if history is None else list(history.warnings),
        "fit_seconds": round(seconds, 3),
    }


def _scores(detector: Detector, images: Images) -> list[float]:
    # seven digits: what float32 holds
    return [float(f"{score:.7g}") for batch in batches(images) for score in detector.anomaly_score(batch).tolist()]


def _errors(detector: Detector, train: PixelStore, held: PixelStore) -> dict[str, float] | None:
    """Mean squared error per pixel, on as many training as held-out normals; None without reconstructions."""
    if not isinstance(detector, Reconstructs):
        return None
    rows = np.unique(np.linspace(0, len(train) - 1, min(len(train), len(held))).round().astype(np.int64))
    return {"train": _error(detector, train.subset(rows)), "held_out": _error(detector, held)}


def _error(detector: Reconstructs, images: Images) -> float:
    total = sum(float((detector.reconstruct(x) - x).square().mean((1, 2, 3)).double().sum()) for x in batches(images))
    return total / len(images)
