"""How far a curve may move: pointwise 95 % bands over images or patients drawn again.

    labels, scores --draws--> one curve per draw, read on a fixed grid --percentiles--> Band

Pointwise: each abscissa on its own is covered, not the whole curve at once. Where the data cannot say (one image or
patient in a class, every draw equal at this abscissa), there is no band: one of zero width would claim certainty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from . import curves
from .resampling import drawn_weights, fewest_of_a_class

__all__ = ["Band", "pr_band", "roc_band"]

GRID = np.linspace(0, 1, 201)
"""Where the curves are read: FPR of the ROC curve, recall of the PR curve."""

DRAWS = 1000


@dataclass(frozen=True)
class Band:
    """A pointwise 95 % band.

    Args:
        x: Abscissae, ascending.
        low: Lower bound at each; nan where the draws are equal.
        high: Upper bound at each; nan likewise.
    """

    x: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]


def roc_band(
    labels: Int[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    groups: npt.ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Band | None:
    """Return the band of the sensitivity at every false-positive rate.

    Args:
        labels: 1 anomalous, 0 normal.
        scores: Higher is more anomalous.
        groups: Patient of each image; None takes images as independent.
        draws: Number of resamplings.
        seed: Of the resampling.

    Returns:
        The band; None where the data cannot tell the spread.

    Raises:
        ScoresError: Shapes differ, a label is not 0 or 1, or a score is not finite.
    """
    return _band(_sensitivity, labels, scores, groups, draws, seed)


def pr_band(
    labels: Int[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    groups: npt.ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Band | None:
    """Return the band of the precision at every recall; arguments, result and errors as `roc_band`."""
    return _band(_precision, labels, scores, groups, draws, seed)


Read = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float64]]
"""True and false positives at each threshold, highest first -> the curve on the grid."""


def _band(
    read: Read,
    labels: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    groups: npt.ArrayLike | None,
    draws: int,
    seed: int,
) -> Band | None:
    positive, scores = curves.scored(labels, scores)
    if positive.all() or not positive.any() or fewest_of_a_class(positive, groups) < 2:
        return None
    order, ends = curves.ranking(scores)
    drawn = []
    for weights in drawn_weights(positive, groups, draws, np.random.default_rng(seed)):
        ranked = weights[:, order]
        flagged = np.cumsum(ranked, axis=-1)[:, ends]
        tp = np.cumsum(ranked * positive[order], axis=-1)[:, ends]
        # of few patients, all with both classes' images, a draw may hold one class alone: it has no curve
        both = (tp[:, -1] > 0) & (tp[:, -1] < flagged[:, -1])
        drawn += [read(hits, all_ - hits) for hits, all_ in zip(tp[both], flagged[both], strict=True)]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    known = low < high
    low, high = (np.where(known, bound, np.nan) for bound in (low, high))
    return Band(GRID, low, high) if known.any() else None


def _sensitivity(tp: npt.NDArray[np.int64], fp: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Straight between points, as the area under the curve counts ties."""
    return np.asarray(np.interp(GRID, np.append(0, fp) / fp[-1], np.append(0, tp) / tp[-1]), np.float64)


def _precision(tp: npt.NDArray[np.int64], fp: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """In steps, as average precision counts: at the first threshold that reaches the recall, and finds anything."""
    wanted = np.maximum(GRID * tp[-1] - 1e-9, 1)
    first = np.searchsorted(tp, wanted)
    return np.asarray(tp[first] / (tp[first] + fp[first]), np.float64)
