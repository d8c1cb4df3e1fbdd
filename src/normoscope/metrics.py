"""Numbers that say how well scores tell abnormal from normal; `__all__` is the registry of metrics.

A metric is one function, and its parameter names say what it needs:

    (labels, scores)      ranking of images; a name with `_at_` is a point of the test curve
    (labels, flags)       decisions at a rule frozen before the test
    (masks, maps)         ranking of pixels
    (masks, pred_masks)   decisions on pixels

Labels, flags and masks hold 1 (anomalous) or 0 (normal); scores and maps are higher where more anomalous. A value
that the data leave undefined (one class only) is nan. Equal scores stand or fall together: no order is invented
among them. `roc_curve` and `pr_curve` give the curves for plots.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int

from . import curves

__all__ = [
    "accuracy",
    "aupr_abnormal",
    "aupr_normal",
    "aupro",
    "auroc",
    "balanced_accuracy",
    "dice",
    "fpr_at_95_sensitivity",
    "pixel_ap",
    "pixel_auroc",
    "sensitivity",
    "sensitivity_at_95_specificity",
    "specificity",
]

Metric = Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]
"""(truth, what was said of it) -> one number."""

Kind = Literal["scores", "flags", "maps", "pred_masks"]
"""What a metric judges: the name of its second parameter."""


def of_kind(kind: Kind) -> dict[str, Metric]:
    """Return the metrics that judge scores, flags, maps or pred_masks, by name, in the order of this file."""
    metrics: list[Metric] = [globals()[name] for name in __all__]
    metrics.sort(key=lambda metric: metric.__code__.co_firstlineno)
    return {metric.__name__: metric for metric in metrics if list(inspect.signature(metric).parameters)[1] == kind}


_WORDS = {"auroc": "AUROC", "aupr": "AUPR", "aupro": "AUPRO", "ap": "AP", "fpr": "FPR", "dice": "Dice", "95": "95 %"}


def title(name: str) -> str:
    """Return a metric's name as people write it."""
    return " ".join(_WORDS.get(word, word) for word in name.split("_"))


# --- ranking of images


def auroc(labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> float:
    """Area under the ROC curve: how often an abnormal image scores above a normal one.

    P(s_abnormal > s_normal) + P(s_abnormal = s_normal) / 2

    Args:
        labels: 1 anomalous, 0 normal.
        scores: Higher is more anomalous.

    Returns:
        A value in [0, 1], 0.5 for scores without information; nan where a class is missing.

    Raises:
        ScoresError: Shapes differ, a label is not 0 or 1, or a score is not finite.

    Reference: Hanley & McNeil, Radiology 143 (1982).
    """
    return float(curves.roc_area(*curves.counts(labels, scores)))


def aupr_abnormal(labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> float:
    """Average precision with the abnormal class as positive.

    sum_k (R_k - R_{k-1}) P_k over the distinct scores, highest first: steps, not trapezoids, which flatter.

    Args:
        labels: 1 anomalous, 0 normal.
        scores: Higher is more anomalous.

    Returns:
        A value in [0, 1]; scores without information reach the prevalence of abnormal images. nan without abnormal
        images or without normal ones (where every ranking would be perfect).

    Raises:
        ScoresError: As `auroc`.

    Reference: Davis & Goadrich, ICML 2006 (why not to interpolate).
    """
    return float(curves.average_precision(*curves.counts(labels, scores)))


def aupr_normal(labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> float:
    """Average precision with the normal class as positive, ranked by -scores.

    Args:
        labels: 1 anomalous, 0 normal.
        scores: Higher is more anomalous.

    Returns:
        A value in [0, 1]; scores without information reach the share of normal images. nan where a class is missing.

    Raises:
        ScoresError: As `auroc`.
    """
    return float(curves.average_precision_of_negatives(*curves.counts(labels, scores)))


def sensitivity_at_95_specificity(labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> float:
    """Highest sensitivity on the test curve with specificity of at least 95 %.

    A point of the test curve, not an operating point one can use: its threshold was chosen on the test images.
    Images with equal scores are flagged together or not at all, and nothing is interpolated.

    Args:
        labels: 1 anomalous, 0 normal.
        scores: Higher is more anomalous.

    Returns:
        A value in [0, 1], higher is better; nan where a class is missing.

    Raises:
        ScoresError: As `auroc`.
    """
    return float(curves.best_sensitivity(*curves.counts(labels, scores)))


def fpr_at_95_sensitivity(labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> float:
    """Lowest false-positive rate on the test curve with sensitivity of at least 95 %.

    A point of the test curve, not an operating point one can use: its threshold was chosen on the test images.
    Images with equal scores are flagged together or not at all, and nothing is interpolated.

    Args:
        labels: 1 anomalous, 0 normal.
        scores: Higher is more anomalous.

    Returns:
        A value in [0, 1], lower is better; nan where a class is missing.

    Raises:
        ScoresError: As `auroc`.
    """
    return float(curves.best_fpr(*curves.counts(labels, scores)))


# --- decisions on images


def accuracy(labels: Int[np.ndarray, " n"], flags: Bool[np.ndarray, " n"]) -> float:
    """Share of images decided rightly; it depends on the prevalence, so never report it alone.

    Args:
        labels: 1 anomalous, 0 normal.
        flags: 1 flagged as anomalous, 0 not.

    Returns:
        A value in [0, 1]; nan without images.

    Raises:
        ScoresError: Shapes differ, or a value is not 0 or 1.
    """
    labels, flags = curves.decided(labels, flags)
    return _share(labels == flags)


def balanced_accuracy(labels: Int[np.ndarray, " n"], flags: Bool[np.ndarray, " n"]) -> float:
    """Mean of sensitivity and specificity.

    Args:
        labels: 1 anomalous, 0 normal.
        flags: 1 flagged as anomalous, 0 not.

    Returns:
        A value in [0, 1], 0.5 for decisions without information; nan where a class is missing.

    Raises:
        ScoresError: As `accuracy`.
    """
    return (sensitivity(labels, flags) + specificity(labels, flags)) / 2


def sensitivity(labels: Int[np.ndarray, " n"], flags: Bool[np.ndarray, " n"]) -> float:
    """Share of the abnormal images that are flagged.

    Args:
        labels: 1 anomalous, 0 normal.
        flags: 1 flagged as anomalous, 0 not.

    Returns:
        A value in [0, 1]; nan without abnormal images.

    Raises:
        ScoresError: As `accuracy`.
    """
    labels, flags = curves.decided(labels, flags)
    return _share(flags[labels])


def specificity(labels: Int[np.ndarray, " n"], flags: Bool[np.ndarray, " n"]) -> float:
    """Share of the normal images that are not flagged: one minus the false-alarm rate.

    Args:
        labels: 1 anomalous, 0 normal.
        flags: 1 flagged as anomalous, 0 not.

    Returns:
        A value in [0, 1]; nan without normal images.

    Raises:
        ScoresError: As `accuracy`.
    """
    labels, flags = curves.decided(labels, flags)
    return _share(~flags[~labels])


# --- pixels


def pixel_ap(masks: Bool[np.ndarray, "n h w"], maps: Float[np.ndarray, "n h w"]) -> float:
    """Average precision over the pixels of all images pooled, lesion pixels positive.

    Args:
        masks: 1 on lesion pixels; all 0 on normal images.
        maps: Per-pixel scores, higher is more anomalous, on one scale for all images.

    Returns:
        A value in [0, 1]; maps without information reach the share of lesion pixels. nan without lesion pixels or
        without other ones.

    Raises:
        ScoresError: As `auroc`.
    """
    return aupr_abnormal(np.ravel(masks), np.ravel(maps))


def pixel_auroc(masks: Bool[np.ndarray, "n h w"], maps: Float[np.ndarray, "n h w"]) -> float:
    """Area under the ROC curve over the pixels of all images pooled; mild where lesions are small.

    Args:
        masks: 1 on lesion pixels; all 0 on normal images.
        maps: Per-pixel scores, higher is more anomalous, on one scale for all images.

    Returns:
        A value in [0, 1]; nan without lesion pixels or without other ones.

    Raises:
        ScoresError: As `auroc`.
    """
    return auroc(np.ravel(masks), np.ravel(maps))


def aupro(masks: Bool[np.ndarray, "n h w"], maps: Float[np.ndarray, "n h w"]) -> float:
    """Area under the per-region-overlap curve up to a false-positive rate of 0.3, divided by 0.3.

    PRO(t) = mean over lesions (8-connected components of a mask) of the share of the lesion with a score >= t,
    against the share of all other pixels with a score >= t. Every lesion weighs the same, however small. All
    distinct scores are thresholds; between two points the curve is straight, also where it crosses 0.3.

    Args:
        masks: 1 on lesion pixels; all 0 on normal images.
        maps: Per-pixel scores, higher is more anomalous, on one scale for all images.

    Returns:
        A value in [0, 1], 0.15 for maps without information; nan without lesions or without other pixels.

    Raises:
        ScoresError: As `auroc`.

    Reference: Bergmann et al., IJCV 129 (2021), section 3.3 and the evaluation code of MVTec AD.
    """
    truth, given = curves.scored(masks, maps)
    order, ends = curves.ranking(given.ravel())
    overlap = np.cumsum(curves.overlap_weights(truth).ravel()[order])[ends]
    false = np.cumsum(~truth.ravel()[order])[ends]
    return float(curves.overlap_area(overlap, false))


def dice(masks: Bool[np.ndarray, "n h w"], pred_masks: Bool[np.ndarray, "n h w"]) -> float:
    """Overlap of lesion and flagged pixels, 2 |A and B| / (|A| + |B|), over the pixels of all images pooled.

    Args:
        masks: 1 on lesion pixels.
        pred_masks: 1 on flagged pixels, by a threshold frozen before the test.

    Returns:
        A value in [0, 1]; nan where no pixel is lesion or flagged.

    Raises:
        ScoresError: As `accuracy`.
    """
    truth, flagged = curves.decided(masks, pred_masks)
    return float(curves.ratio(2 * np.sum(truth & flagged), np.sum(truth) + np.sum(flagged)))


# --- curves


def roc_curve(
    labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return (fpr, tpr, thresholds): from (0, 0) at threshold infinity, one point per distinct score, falling.

    Rates of a missing class are nan.

    Raises:
        ScoresError: As `auroc`.
    """
    tp, fp = curves.counts(labels, scores)
    tpr, fpr = (np.append(0, curves.ratio(count, count[-1])) for count in (tp, fp))
    return fpr, tpr, np.append(np.inf, curves.thresholds(scores))


def pr_curve(
    labels: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return (recall, precision, thresholds) with abnormal as positive, one point per distinct score, falling.

    Draw it in steps (matplotlib `drawstyle="steps-pre"`): the area under them is `aupr_abnormal`.

    Raises:
        ScoresError: As `auroc`.
    """
    tp, fp = curves.counts(labels, scores)
    return curves.ratio(tp, tp[-1]), curves.ratio(tp, tp + fp), curves.thresholds(scores)


def _share(hits: Bool[np.ndarray, " n"]) -> float:
    """The share of hits; nan of nothing."""
    return float(np.mean(hits)) if hits.size else float("nan")
