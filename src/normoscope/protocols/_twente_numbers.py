"""From the Twente jobs' raw errors to the numbers of its tables, one value per seed wherever seeds differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import metrics
from ..calibration import Above, Outside
from ..intervals import Intervals
from ..statistics import seeds_interval

__all__ = ["RULES", "artificial", "cost", "cost_ratios", "real", "reconstruction", "sweep"]

Values = Sequence[Mapping[str, Any]]
"""What the jobs of one data set and experiment returned, one per seed."""

Moments = Mapping[str, float]

RULES: Mapping[str, Callable[[Moments], Above | Outside]] = {
    "two-sided": lambda train: Outside(train["mean"] - 2 * train["sd"], train["mean"] + 2 * train["sd"]),
    "upper": lambda train: Above(train["mean"] + 2 * train["sd"]),
}
"""Thresholds from the mean and sd of the training images' errors: the paper's, and its upper half alone."""


def reconstruction(values: Values) -> dict[str, Any]:
    """Return every measure of the reconstruction on train and held-out images."""
    parts = values[0]["reconstruction"]
    return {
        part: {name: [value["reconstruction"][part][name] for value in values] for name in parts[part]}
        for part in parts
    }


def artificial(values: Values, *, medical: bool) -> dict[str, Any]:
    """Judge FashionMNIST images and noisy images against held-out images of all classes, by every score.

    Args:
        values: Of `artificial` jobs.
        medical: The set has a normal class, whose false alarms are also given by themselves.
    """
    labels, noisy = np.asarray(values[0]["labels"]), values[0]["noisy"]
    # a held-out image and its noisy copy are drawn together by the bootstrap
    together = {"fashion": None, "noise": np.asarray([*range(len(labels)), *noisy])}
    found = {}
    for kind, groups in together.items():
        if all(kind in value["errors"] for value in values):
            scores = values[0]["errors"][kind]
            found[kind] = {score: _judged(values, score, kind, groups) for score in scores}
            if medical:
                for score in scores:
                    found[kind][score]["normals_alone"] = _alarms_of(values, score, labels == 0)
    return found


def real(values: Values) -> dict[str, Any]:
    """Judge real anomalies against held-out normals, by every score; AUROC on official test images alone."""
    return {score: _judged(values, score, "abnormal", None) for score in values[0]["errors"]["abnormal"]}


def sweep(values: Values) -> dict[str, Any]:
    """Return the share detected by deviation of the noise, score and rule, and how alike noisy and clean images are."""
    found = {}
    for sigma in values[0]["sweep"]:
        rates = {
            score: {rule: [_share(v, score, rule, v["sweep"][sigma][score]) for v in values] for rule in RULES}
            for score in values[0]["sweep"][sigma]
        }
        found[sigma] = {"likeness": [value["likeness"][sigma] for value in values], **rates}
    return found


def cost(values: Values) -> dict[str, Any]:
    """Return training images, training seconds and the first over the second, as the paper counts."""
    images, seconds = values[0]["counts"]["train"], [value["seconds"] for value in values]
    return {"images": images, "seconds": seconds, "rate": [images / s for s in seconds]}


def cost_ratios(values: Values) -> dict[str, Any]:
    """Return the seconds of every data set over those of the first, equally many images, by rounds taken in turns."""
    first = next(iter(values[0]["seconds"]))
    reference = np.asarray([value["seconds"][first] for value in values]).ravel()
    found = {}
    for name in values[0]["seconds"]:
        seconds = np.asarray([value["seconds"][name] for value in values]).ravel()
        interval, _ = seeds_interval(np.log(seconds / reference))
        ratio = {key: float(np.exp(getattr(interval, key))) for key in ("value", "low", "high")}
        found[name] = {"seconds": seconds.tolist(), "ratio": ratio}
    return {"sets": found, "first": first, **{key: values[0][key] for key in ("images", "flops")}}


def _judged(values: Values, score: str, kind: str, groups: npt.NDArray[Any] | None) -> dict[str, Any]:
    """Return AUROC with its interval and the values of every seed, and both rules' rates where they have thresholds."""
    normal = np.asarray([value["errors"]["held_out"][score] for value in values])
    abnormal = np.asarray([value["errors"][kind][score] for value in values])
    labels = np.repeat([0, 1], [normal.shape[1], abnormal.shape[1]])
    scores = np.concatenate([normal, abnormal], axis=1)
    given = scores if len(values) > 1 else scores[0]
    auroc = Intervals(groups).of_ranking(metrics.auroc, labels, given).to_json()
    by_seed = [float(metrics.auroc(labels, run)) for run in scores]
    return {"auroc": {**auroc, "by_seed": by_seed}, **{rule: _rates(values, score, rule, kind) for rule in RULES}}


def _rates(values: Values, score: str, rule: str, kind: str) -> dict[str, list[float]] | None:
    """Return the shares of anomalies and of held-out images flagged; borrowed anomalies count as the paper's 500 do."""
    if score not in values[0]["train"]:
        return None
    found = [[*v["errors"][kind][score], *v["errors"].get("borrowed", {}).get(score, [])] for v in values]
    return {
        "detected": [_share(v, score, rule, scores) for v, scores in zip(values, found, strict=True)],
        "false_alarms": [_share(v, score, rule, v["errors"]["held_out"][score]) for v in values],
    }


def _alarms_of(values: Values, score: str, rows: npt.NDArray[np.bool_]) -> dict[str, list[float]] | None:
    """Return by rule the share of these held-out images flagged, None without thresholds or images."""
    if score not in values[0]["train"] or not rows.any():
        return None
    own = [np.asarray(value["errors"]["held_out"][score])[rows] for value in values]
    return {rule: [_share(v, score, rule, some) for v, some in zip(values, own, strict=True)] for rule in RULES}


def _share(value: Mapping[str, Any], score: str, rule: str, scores: npt.ArrayLike) -> float:
    """Return the share of scores that a rule flags whose thresholds come from this job's training images."""
    return float(np.mean(RULES[rule](value["train"][score])(np.asarray(scores, np.float64))))
