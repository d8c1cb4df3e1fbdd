"""True and false positives as the threshold falls, and the areas and points one reads off them.

    scores --ranking--> order, ends of equal runs --counts--> tp, fp (..., k) --roc_area, best_fpr ...--> (...)

Counts run along the last axis, highest threshold first; leading axes are resamplings, so that one sort serves all
of them. Equal scores make one threshold: no order is invented among them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int, Real

from .errors import ScoresError

__all__ = [
    "Counts",
    "Values",
    "average_precision",
    "average_precision_of_negatives",
    "best_fpr",
    "best_sensitivity",
    "counts",
    "decided",
    "overlap_area",
    "overlap_weights",
    "ranking",
    "ratio",
    "roc_area",
    "runs_of",
    "scored",
    "thresholds",
]

Counts = Real[np.ndarray, "*draws k"]
"""True or false positives at each threshold, highest first; whole numbers unless images are binned."""

Values = Float[np.ndarray, "*draws"]
"""One value per resampling; nan where a class is missing."""


def roc_area(tp: Counts, fp: Counts) -> Values:
    """Trapezoids in counts, which are whole numbers, so that ties weigh exactly one half."""
    twice = np.sum(np.diff(fp, prepend=0) * (tp + _previous(tp)), axis=-1)
    return ratio(twice, 2 * tp[..., -1] * fp[..., -1])


def average_precision(tp: Counts, fp: Counts) -> Values:
    """Sum of precision times the step in recall; not defined where there is nothing to confuse."""
    steps = np.diff(tp, prepend=0) * ratio(tp, tp + fp, empty=0.0)
    return ratio(np.sum(steps, axis=-1), tp[..., -1] * (fp[..., -1] > 0))


def average_precision_of_negatives(tp: Counts, fp: Counts) -> Values:
    """Walk the thresholds upwards: what is not flagged is called normal."""
    normal, abnormal = (count[..., -1:] - _previous(count) for count in (fp, tp))
    return average_precision(normal[..., ::-1], abnormal[..., ::-1])


def best_sensitivity(tp: Counts, fp: Counts) -> Values:
    """Compare in whole numbers: 0.05 has no exact binary form."""
    allowed = 20 * fp <= fp[..., -1:]
    return ratio(np.max(tp * allowed, axis=-1), tp[..., -1] * (fp[..., -1] > 0))


def best_fpr(tp: Counts, fp: Counts) -> Values:
    """The counts only rise, so the first threshold that reaches 95 % is the cheapest."""
    first = np.argmax(20 * tp >= 19 * tp[..., -1:], axis=-1)
    lowest = np.take_along_axis(fp, first[..., None], axis=-1)[..., 0]
    return ratio(lowest, fp[..., -1] * (tp[..., -1] > 0))


def overlap_area(overlap: Counts, fp: Counts, limit: float = 0.3) -> Values:
    """Trapezoids up to the limit; the last overlap is the number of lesions, each having come to 1."""
    y = ratio(overlap, overlap[..., -1:])
    x = ratio(fp, fp[..., -1:])
    x0, y0 = _previous(x), _previous(y)
    width = np.minimum(x, limit) - np.minimum(x0, limit)
    y_end = y0 + (y - y0) * ratio(width, x - x0, empty=0.0)
    area: Values = np.sum(width * (y0 + y_end) / 2, axis=-1) / limit
    return area


def counts(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> tuple[Counts, Counts]:
    """Count true and false positives at each distinct score, highest first."""
    positive, scores = scored(labels, scores)
    order, ends = ranking(scores)
    tp = np.cumsum(positive[order])[ends]
    return (tp, ends + 1 - tp) if len(ends) else (np.zeros(1, int), np.zeros(1, int))


def ranking(scores: Float[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " k"]]:
    """Return the order from high to low and where each run of equal scores ends."""
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    return order, np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)[: len(ranked)]


def thresholds(scores: npt.NDArray[Any]) -> Float[np.ndarray, " k"]:
    """The distinct scores, highest first."""
    return np.flip(np.unique(scores))


def _previous(values: Counts) -> Counts:
    """Shift by one threshold: 0 before the first."""
    return np.concatenate([np.zeros_like(values[..., :1]), values[..., :-1]], axis=-1)


def overlap_weights(masks: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n h w"]:
    """Give every pixel of a lesion 1 / the lesion's size; lesions touch by side or corner, never across images."""
    from scipy import ndimage

    touching = np.zeros((3, 3, 3), dtype=bool)
    touching[1] = True
    lesions, _ = ndimage.label(masks, structure=touching)
    share = 1 / np.maximum(np.bincount(lesions.ravel()), 1)
    share[0] = 0
    return np.asarray(share[lesions])


def ratio(part: Any, whole: Any, empty: float = np.nan) -> Values:
    """Divide; `empty` where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    divided = np.full(part.shape, empty)
    np.divide(part, whole, out=divided, where=whole != 0)
    return divided


def runs_of(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the scores with a first axis of seeds, of length 1 where they are of one.

    Raises:
        ScoresError: A shape that is neither the labels' nor one such row per seed.
    """
    runs = np.asarray(scores)
    runs = runs[None] if runs.ndim == np.ndim(labels) else runs
    if len(runs) == 0 or runs.shape[1:] != np.shape(labels):
        expected = f"shape {np.shape(labels)} as the labels, or one such row per seed"
        raise ScoresError("scores", expected, f"shape {np.shape(scores)}", "pass one score per label")
    return runs


def scored(truth: npt.NDArray[Any], given: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
    """Check labels or masks and their scores."""
    truth, given = _binary("labels", truth), np.asarray(given)
    _same_shape(truth, given)
    finite = np.isfinite(given)
    if not finite.all():
        first = np.argwhere(~finite)[0]
        where = ", ".join(str(i) for i in first)
        got = f"{np.sum(~finite)} that are not (first: {given[tuple(first)]} at index {where})"
        raise ScoresError("scores", "finite numbers", got, "look at these images and at the fit's last loss")
    return truth, given


def decided(truth: npt.NDArray[Any], flags: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Check labels or masks and the decisions on them."""
    truth, flags = _binary("labels", truth), _binary("flags", flags)
    _same_shape(truth, flags)
    return truth, flags


def _binary(what: str, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Read 0 and 1 as truth values and accept nothing else."""
    values = np.asarray(values)
    if values.dtype == np.bool_:
        return values
    strange = values[(values != 0) & (values != 1)]
    if strange.size:
        raise ScoresError(what, "1 (anomalous) or 0 (normal)", str(strange.flat[0]), "name the normal class")
    return values.astype(np.bool_)


def _same_shape(truth: npt.NDArray[Any], given: npt.NDArray[Any]) -> None:
    """One score per label, one map value per mask pixel."""
    if truth.shape != given.shape:
        got = f"shape {given.shape}"
        raise ScoresError("scores", f"the labels' shape {truth.shape}", got, "pass one score per label")
