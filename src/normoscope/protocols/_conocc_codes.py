"""The codes of ConOCC and of CAE, measured: the job behind Figure 6."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import methods
from ..images import PixelStore, batches
from ..types import Embeds, Run
from ._trial import Trial, cut_of

__all__ = ["purity", "work"]

_NEIGHBOURS = 5

Codes = npt.NDArray[np.float64]


def work(arguments: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Fit, and measure the codes of training, held-out and test images; the job function.

    Returns:
        variance: Trace of the covariance of the training codes.
        spread: Part to mean ||z - mu||^2, with mu the mean training code; parts train, held_out, normal, abnormal.
        radii: Part to the sorted ||z - mu||.
        purity: Share of a test code's five nearest test codes that have its label, mean over the test.
        chance: What a random five would have.
        tsne: Training codes in the plane, (n, 2), and their ||z - mu||.
    """
    from sklearn.manifold import TSNE

    trial = Trial(**arguments)
    cut = cut_of(trial)
    checkpoint.mkdir(parents=True, exist_ok=True)
    run = Run(seed=trial.seed, checkpoint=checkpoint, resume=True)
    detector = methods.from_json(trial.method, trial.recipe).fit(cut.train, run)
    assert isinstance(detector, Embeds)

    def codes(images: PixelStore) -> Codes:
        return np.concatenate([detector.embed(batch).double().numpy() for batch in batches(images)])

    train, test = codes(cut.train), codes(cut.test)
    centre = train.mean(0)
    parts = {
        "train": train,
        "held_out": codes(cut.held_out),
        "normal": test[cut.labels == 0],
        "abnormal": test[cut.labels == 1],
    }
    radii = {name: np.sort(np.linalg.norm(part - centre, axis=1)) for name, part in parts.items()}
    plane = TSNE(random_state=0, init="pca").fit_transform(train.astype(np.float32))
    share = cut.labels.mean()
    return {
        "variance": float(train.var(0, ddof=1).sum()),
        "spread": {name: float(np.mean(r**2)) for name, r in radii.items()},
        "radii": {name: _rounded(r) for name, r in radii.items()},
        "purity": purity(test, cut.labels),
        "chance": float(share**2 + (1 - share) ** 2),
        "tsne": {
            "x": _rounded(plane[:, 0]),
            "y": _rounded(plane[:, 1]),
            "radius": _rounded(np.linalg.norm(train - centre, axis=1)),
        },
    }


def purity(codes: Codes, labels: npt.NDArray[np.int64]) -> float:
    """Return the mean share of each code's five nearest others that have its label.

    Of others at the fifth distance each counts alike: codes that have collapsed to a point tell nothing, whatever the
    order of the images.
    """
    from scipy.spatial.distance import cdist

    distances = cdist(codes, codes)
    np.fill_diagonal(distances, np.inf)
    fifth = np.partition(distances, _NEIGHBOURS - 1, axis=1)[:, _NEIGHBOURS - 1 : _NEIGHBOURS]
    nearer, tied = distances < fifth, distances == fifth
    weights = nearer + tied * (_NEIGHBOURS - nearer.sum(1, keepdims=True)) / tied.sum(1, keepdims=True)
    return float(np.mean((weights * (labels[:, None] == labels)).sum(1)) / _NEIGHBOURS)


def _rounded(values: npt.NDArray[Any]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
