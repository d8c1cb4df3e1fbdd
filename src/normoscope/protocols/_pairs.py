"""How two rows of a table compare; a difference counts where its p-value, adjusted over its family, is below 0.05."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..evaluation import paired
from ..statistics import Interval, holm, over_splits
from ._rows import Row

__all__ = ["Difference", "changed", "clear", "differences", "differences_over_folds", "told"]

LEVEL = 0.05

Difference = Mapping[str, Any]
"""value, low, high, how, pvalue, and holm: the p-value adjusted over the family; None where there is none."""


def differences(pairs: Mapping[str, tuple[Row, Row]]) -> dict[str, Difference]:
    """Compare the AUROC of two rows on the same test images, for a family of pairs.

    Returns:
        Of each pair: the AUROC of the first minus that of the second.
    """
    found = {}
    for name, (one, other) in pairs.items():
        difference = paired(one.labels, one.scores, other.scores, groups=one.groups)
        found[name] = (difference.auroc, difference.pvalue)
    return _family(found)


def differences_over_folds(pairs: Mapping[str, tuple[Row, Row]]) -> dict[str, Difference]:
    """Compare the mean AUROC of two rows whose trials are the same folds and seeds, for a family of pairs.

    Returns:
        Of each pair: the AUROC of the first minus that of the second, by Nadeau and Bengio's corrected t test.
    """
    found = {}
    for name, (one, other) in pairs.items():
        counts = [result.value["counts"] for result in one.results]
        share = float(np.mean([count["test"] / count["train"] for count in counts]))
        found[name] = over_splits(np.subtract(one.by_seed("auroc"), other.by_seed("auroc")), share)
    return _family(found)


def _family(found: Mapping[str, tuple[Interval, float]]) -> dict[str, Difference]:
    adjusted = holm(np.asarray([pvalue for _, pvalue in found.values()]))
    return {
        name: {**interval.to_json(), "pvalue": _known(pvalue), "holm": _known(float(corrected))}
        for (name, (interval, pvalue)), corrected in zip(found.items(), adjusted, strict=True)
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def told(difference: Difference) -> str:
    """Print a difference of AUROCs with its interval and adjusted p-value."""
    bounds = "" if difference["low"] is None else f" [{difference['low']:+.3f}, {difference['high']:+.3f}]"
    chance = difference["holm"]
    known = "no test" if chance is None else "p < 0.001" if chance < 0.001 else f"p = {chance:.3f}"
    return f"{difference['value']:+.3f}{bounds}, {known}"


def clear(difference: Difference) -> bool:
    """Tell whether the first of two rows is better beyond chance."""
    return bool(difference["value"] > 0 and changed(difference))


def changed(difference: Difference) -> bool:
    """Tell whether two rows differ beyond chance, whichever is better."""
    return difference["holm"] is not None and difference["holm"] < LEVEL
