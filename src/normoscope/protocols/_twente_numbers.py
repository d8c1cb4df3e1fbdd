"""From the Twente jobs' raw errors to the numbers of its tables, one value per seed wherever seeds differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import metrics
from ..calibration import Above, Outside
from ..intervals import Intervals
from ..statistics import seeds_interval
from ._pairs import Difference, differences
from ._rows import REFERENCES

__all__ = [
    "ERRORS",
    "RULES",
    "Share",
    "against_references",
    "artificial",
    "cost",
    "cost_ratios",
    "real",
    "reconstruction",
    "sweep",
]

Values = Sequence[Mapping[str, Any]]
"""What the jobs of one data set and experiment returned, one per seed."""

Moments = Mapping[str, float]

Share = Mapping[str, Any]
"""A share of images that is flagged: value, low, high, how, and by_seed."""

ERRORS = ("bce", "mse")
"""The errors a flag may be set by; the paper speaks of the reconstruction error, and names the first for Table 1."""

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
    # a held-out image and its noisy copy count as one
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


def against_references(values: Values, kind: str) -> dict[str, dict[str, Difference]]:
    """Compare the AUROC of both errors with that of knn and of the trivial scores, one family.

    Args:
        values: Of the jobs of one experiment and set.
        kind: fashion, noise or abnormal.

    Returns:
        Error to reference to the AUROC of the first minus that of the second.
    """
    groups = None
    if kind == "noise":
        together = [*range(len(values[0]["labels"])), *values[0]["noisy"]]
        groups = [str(image) for image in together]
    rows = {score: _Scores(*_ranked(values, score, kind), groups) for score in (*ERRORS, *REFERENCES)}
    pairs = {f"{error}/{other}": (rows[error], rows[other]) for error in ERRORS for other in REFERENCES}
    found = differences(pairs, len(pairs))
    return {error: {other: _of_copies(found[f"{error}/{other}"]) for other in REFERENCES} for error in ERRORS}


def _of_copies(interval: Mapping[str, Any]) -> dict[str, Any]:
    """Name the groups what they are here."""
    return {**interval, "how": str(interval["how"]).replace("patients", "images, each with its noisy copy")}


@dataclass(frozen=True)
class _Scores:
    """One score of the test images."""

    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    groups: Sequence[str] | None


def sweep(values: Values) -> dict[str, Any]:
    """Return what is flagged by deviation of the noise, score and rule, and how alike noisy and clean images are.

    Returns:
        clean: score to rule to the share of the same images flagged without noise; noise: deviation to likeness and to
        score to rule to the share flagged.
    """
    noisy, scores = values[0]["noisy"], list(next(iter(values[0]["sweep"].values())))

    def shares(of: Callable[[Mapping[str, Any], str], npt.ArrayLike]) -> dict[str, dict[str, Share]]:
        return {
            score: {rule: _share(values, score, rule, [of(value, score) for value in values]) for rule in RULES}
            for score in scores
        }

    return {
        "clean": shares(lambda value, score: np.asarray(value["errors"]["held_out"][score])[noisy]),
        "noise": {
            sigma: {
                "likeness": [value["likeness"][sigma] for value in values],
                **shares(lambda value, score, sigma=sigma: value["sweep"][sigma][score]),  # type: ignore[misc]
            }
            for sigma in values[0]["sweep"]
        },
    }


def cost(values: Values) -> dict[str, Any]:
    """Return training images, training seconds and the first over the second, as the paper counts."""
    images, seconds = values[0]["counts"]["train"], [value["seconds"] for value in values]
    return {"images": images, "seconds": seconds, "rate": [images / s for s in seconds]}


def cost_ratios(values: Values) -> dict[str, Any]:
    """Return the seconds of every data set over those of the first, equally many images, by rounds taken in turns.

    What one process shares by its memory or its moment counts once: bounds are over the means of the processes.
    """
    first = next(iter(values[0]["seconds"]))
    found = {}
    for name in values[0]["seconds"]:
        logs = [np.log(np.divide(value["seconds"][name], value["seconds"][first])) for value in values]
        interval, _ = seeds_interval(np.asarray([np.mean(one) for one in logs]))
        bounds = {end: None if np.isnan(at := getattr(interval, end)) else float(np.exp(at)) for end in ("low", "high")}
        seconds = [second for value in values for second in value["seconds"][name]]
        found[name] = {"seconds": seconds, "ratio": {"value": float(np.exp(interval.value)), **bounds}}
    shared = {key: values[0][key] for key in ("images", "flops")}
    return {"sets": found, "first": first, "processes": len(values), **shared}


def _ranked(values: Values, score: str, kind: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return labels and scores of held-out images and of anomalies, a row per seed where there are several."""
    normal = np.asarray([value["errors"]["held_out"][score] for value in values], np.float64)
    abnormal = np.asarray([value["errors"][kind][score] for value in values], np.float64)
    labels = np.repeat([0, 1], [normal.shape[1], abnormal.shape[1]])
    scores = np.concatenate([normal, abnormal], axis=1)
    return labels, scores if len(values) > 1 else scores[0]


def _judged(values: Values, score: str, kind: str, groups: npt.NDArray[Any] | None) -> dict[str, Any]:
    """Return AUROC with its interval and the values of every seed, and both rules' rates where they have thresholds."""
    labels, scores = _ranked(values, score, kind)
    auroc = _of_copies(Intervals(groups).of_ranking(metrics.auroc, labels, scores).to_json())
    by_seed = [float(metrics.auroc(labels, run)) for run in np.atleast_2d(scores)]
    return {"auroc": {**auroc, "by_seed": by_seed}, **{rule: _rates(values, score, rule, kind) for rule in RULES}}


def _rates(values: Values, score: str, rule: str, kind: str) -> dict[str, Share] | None:
    """Return what is flagged of anomalies and of held-out images; borrowed anomalies count as the paper's 500 do.

    Where some are borrowed, those of the test part are also counted by themselves.
    """
    if score not in values[0]["train"]:
        return None
    own = [v["errors"][kind][score] for v in values]
    borrowed = [v["errors"].get("borrowed", {}).get(score, []) for v in values]
    rates = {
        "detected": _share(values, score, rule, [[*one, *more] for one, more in zip(own, borrowed, strict=True)]),
        "false_alarms": _share(values, score, rule, [v["errors"]["held_out"][score] for v in values]),
    }
    return rates | ({"detected_in_test": _share(values, score, rule, own)} if any(borrowed) else {})


def _alarms_of(values: Values, score: str, rows: npt.NDArray[np.bool_]) -> dict[str, Share] | None:
    """Return by rule what is flagged of these held-out images, None without thresholds or images."""
    if score not in values[0]["train"] or not rows.any():
        return None
    own = [np.asarray(value["errors"]["held_out"][score])[rows] for value in values]
    return {rule: _share(values, score, rule, own) for rule in RULES}


def _share(values: Values, score: str, rule: str, scores: Sequence[npt.ArrayLike]) -> Share:
    """Return the share of images that a rule flags whose thresholds come from each job's training images.

    Args:
        values: The jobs.
        score: Of the thresholds.
        rule: One of RULES.
        scores: Of the images, by job.

    Returns:
        Its mean over seeds with an interval over images and seeds, and by_seed.
    """
    flags = np.stack([
        RULES[rule](value["train"][score])(np.asarray(some, np.float64))
        for value, some in zip(values, scores, strict=True)
    ])  # fmt: skip
    given = flags if len(values) > 1 else flags[0]
    # all of them count as the class whose share is asked for
    share = Intervals().of_decisions(metrics.sensitivity, np.ones(flags.shape[1], np.int64), given)
    return {**share.to_json(), "by_seed": np.mean(flags, axis=1).tolist()}
