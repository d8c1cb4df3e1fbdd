"""What AE4AD's paper claims, judged by the numbers of its protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np

from ..statistics import seeds_interval
from ._data import DATA
from ._pairs import Difference, among, better, told
from ._shape import Claim, Verdict
from ._verdicts import Truth, all_of, any_of, judged

__all__ = ["SETS", "claims"]

SETS = ("rsna", "vindr", "brain_tumor", "brats2021")
_RIVALS = ("vae", "memae", "ceae")
_PLATEAU = 0.1
_FAR = 1.5
_ROUNDING = (2 / 255) ** 2 / 12
"""Mean squared error of rounding grey values in [-1, 1] to 8 bits: what a copy of the image is good for."""

Numbers = Mapping[str, Any]


def claims(numbers: Numbers, *, quick: bool) -> list[Claim]:
    """Judge every claim of abstract, tables and figures."""
    if quick:
        return []
    chosen = {data: choice for data, choice in numbers["choice"].items() if choice.get("oracle") is not None}
    sweep = "latent sweep, AUROC"
    each = partial(_each, started=numbers["sweep"])
    return [
        each(
            "a medium latent size is better than both a very small one (1) and a large one (128)",
            "theory; Table 1",
            chosen,
            lambda data: _medium(numbers, data),
            sweep,
        ),
        each(
            "restricting the latent size improves on a large one (128)",
            "Table 1; our reading of the abstract",
            chosen,
            lambda data: _restricted(numbers, data),
            sweep,
        ),
        _differs(numbers, chosen),
        each(
            "redrawing normal images better does not mean finding anomalies better: the objectives do not match",
            "abstract; theory",
            chosen,
            lambda data: _mismatch(numbers, data),
            "latent sweep, AUROC and train error",
            over=any_of,
        ),
        _assumption(numbers),
        each(
            "errors reach a plateau after 128: up to 1024 none of them changes much",
            "error figure",
            numbers["sweep"],
            lambda data: _plateau(numbers, data),
            "latent sweep, errors at 128 and 1024",
        ),
        _identity(numbers),
        each(
            "by image AUROC, a plain autoencoder of tuned latent size is better than VAE, MemAE and CeAE at 16",
            "Table 2",
            {data: None for data in chosen if numbers["tuned_minus"].get(data)},
            lambda data: _tuned(numbers, data),
            "methods, ae at its best size (oracle, as in the paper)",
        ),
        Claim(
            "the latent vector of an unconstrained autoencoder keeps information of the lesion, too",
            "theory",
            Verdict.UNTESTED,
            "what is in a latent vector is not measured here; what should follow from it stands in the claims above",
        ),
        Claim(
            "reconstruction-based methods are dominant in this field, and theoretically unsound",
            "abstract",
            Verdict.UNTESTED,
            "no experiment of ours says so",
        ),
        _published(numbers, chosen),
        _four_sets(numbers, chosen),
        Claim(
            "minimising the entropy of latent vectors is the key to better detection",
            "abstract",
            Verdict.UNTESTED,
            "this protocol changes the latent size, which bounds the entropy; docs/explanation/latent-entropy.md tells "
            "what a rate in the loss did at one weight",
        ),
        Claim(
            "first to clarify the principle and design of autoencoders for anomaly detection in theory",
            "abstract",
            Verdict.UNTESTED,
            "no experiment decides who was first",
        ),
    ]


Judged = tuple[Truth, str]
"""Whether a claim is true of one data set, and the figures that say so."""


def _each(
    text: str, where: str, sets: Mapping[str, Any], judge: Callable[[str], Judged | None], cell: str,
    started: Iterable[str], over: Callable[[Iterable[Truth]], Truth] = all_of,
) -> Claim:  # fmt: skip
    """Ask that a claim is true of every data set that is here, the paper's own where any of them is.

    Args:
        text: The claim.
        where: Where the paper makes it.
        sets: Data sets that may be judged.
        judge: Tells of one, None where that is not run yet.
        cell: Where the numbers stand.
        started: All that are here; one that cannot be judged yet leaves the claim open.
        over: Joins the sets.
    """
    theirs = [data for data in started if data in SETS]
    asked = theirs or list(started)
    found = {data: one for data in asked if data in sets and (one := judge(data)) is not None}
    if not found:
        return Claim(text, where, Verdict.UNTESTED, "not run yet")
    why = "" if theirs else "none of the paper's sets, and the same chest X-rays wherever two are named; "
    why += "; ".join(f"{DATA[data].title}: {reason}" for data, (_, reason) in found.items())
    waiting = [DATA[data].title for data in asked if data not in found]
    why += f"; not run to the end yet: {', '.join(waiting)}" if waiting else ""
    truths = [*(truth for truth, _ in found.values()), *[None] * len(waiting)]
    return judged(text, where, over(truths), why, cell)


def _medium(numbers: Numbers, data: str) -> Judged | None:
    best, below = numbers["choice"][data]["oracle"], numbers["below_best"][data]
    if not {"1", "128"} <= {str(best), *below}:
        return None
    if 1 < best < 128:
        # a best size that falls behind on the other half leaves the other medium ones in play
        truth = True if better(below["1"]) and better(below["128"]) else None
        return truth, f"best at {best}, ahead of 1 by {told(below['1'])}, of 128 by {told(below['128'])}"
    # what is behind a still larger best size may yet be above 128
    medium = {size: one for size, one in below.items() if 1 < int(size) < 128}
    return None if best > 128 else _refuted(medium), f"best at {best}"


def _restricted(numbers: Numbers, data: str) -> Judged | None:
    best, below = numbers["choice"][data]["oracle"], numbers["below_best"][data]
    if best >= 128:
        smaller = {size: one for size, one in below.items() if int(size) < 128}
        return None if best > 128 else _refuted(smaller), f"best at {best}"
    if "128" not in below:
        return None
    return better(below["128"]) or None, f"best at {best}, ahead of 128 by {told(below['128'])}"


def _mismatch(numbers: Numbers, data: str) -> Judged | None:
    sweep, below = numbers["sweep"][data], numbers["below_best"][data]
    size = min(sweep, key=lambda one: fmean(sweep[one]["errors"]["train"]))
    best = numbers["choice"][data]["oracle"]
    if size == str(best):
        return _refuted(below), f"{size} has both the lowest training error and the best AUROC"
    return better(below[size]) or None, f"lowest training error at {size}, best AUROC at {best}, by {told(below[size])}"


def _refuted(behind: Mapping[str, Difference]) -> Truth:
    """Call it refuted that one of these sizes is the best where all are behind beyond chance, else undecided."""
    return False if all_of(map(better, behind.values())) else None


def _plateau(numbers: Numbers, data: str) -> Judged | None:
    at, end = numbers["sweep"][data].get("128"), numbers["sweep"][data].get("1024")
    if at is None or end is None:
        return None
    truths, listed = [], []
    for part in ("train", "test_normal", "test_abnormal"):
        if end["errors"][part]:
            logs = np.log(end["errors"][part]) - np.log(at["errors"][part])
            interval, _ = seeds_interval(logs)
            value, low, high = (math.expm1(bound) for bound in (interval.value, interval.low, interval.high))
            within, beyond = -_PLATEAU <= low <= high <= _PLATEAU, low > _PLATEAU or high < -_PLATEAU
            truths.append(True if within else False if beyond else None)
            bounds = "" if math.isnan(low) else f" [{low:+.1%}, {high:+.1%}]"
            listed.append(f"{part.replace('_', ' ')} {value:+.1%}{bounds}")
    why = f"{', '.join(listed)} over seeds (at most {_PLATEAU:.0%} is called a plateau; in the paper -2 %, +1 %, +2 %)"
    return all_of(truths), why


def _identity(numbers: Numbers) -> Claim:
    """Tell how far the errors are from none; no trained network reaches that, so nothing could refute the claim."""
    text = "a small enough latent size cannot learn the identity, and the network does not, not even at 1024"
    where = "Proposition 1; error figure"
    lowest = {}
    for data, sweep in numbers["sweep"].items():
        errors = [fmean(by_seed) for row in sweep.values() for by_seed in row["errors"].values() if by_seed]
        if errors:
            lowest[data] = min(errors)
    why = "a proof, and a remark that any network with an error bears out"
    for data, error in lowest.items():
        why += f"; {DATA[data].title}: lowest mean error {error:.2g}, {error / _ROUNDING:.0f} times that of rounding"
    return Claim(text, where, Verdict.UNTESTED, why)


def _tuned(numbers: Numbers, data: str) -> Judged | None:
    found = numbers["tuned_minus"][data]
    missing = [rival for rival in _RIVALS if rival not in found]
    if missing:
        return None
    listed = ", ".join(f"of {rival} by {told(found[rival])}" for rival in _RIVALS)
    return all_of(better(found[rival]) for rival in _RIVALS), f"d = {numbers['choice'][data]['oracle']}, ahead {listed}"


def _differs(numbers: Numbers, chosen: Mapping[str, Any]) -> Claim:
    text, where = "the best latent size differs between data sets", "Table 1"
    best = {data: chosen[data]["oracle"] for data in SETS if data in chosen}
    listed = [f"{DATA[data].title} {size}" for data, size in best.items()]
    if len(best) < 2:
        ours = "; the chest X-rays at 28 and at 64 px are the same images" if chosen.keys() - best.keys() else ""
        return Claim(text, where, Verdict.UNTESTED, f"needs two of the paper's data sets{ours}")
    behind = {data: numbers["below_best"][data] for data in best}
    for data, below in behind.items():
        for other in sorted({*best.values()} - {best[data]}):
            listed.append(f"on {DATA[data].title} {best[data]} is ahead of {other} by {told(below[str(other)])}")
    # no size may be best on all sets: each is behind on some, beyond the chance of so many sets
    sizes = {*map(str, best.values()), *(size for below in behind.values() for size in below)}
    none_serves = all(
        any(size in below and better(among(below[size], len(best))) for below in behind.values()) for size in sizes
    )
    # a size far ahead on all of them refutes, once none is under way
    complete = all(data in best for data in numbers["sweep"] if data in SETS)
    alone = len({*best.values()}) == 1 and all(_refuted(below) is False for below in behind.values())
    truth: Truth = True if none_serves else False if alone and complete else None
    return judged(text, where, truth, "; ".join(listed), "latent sweep, best AUROC (oracle)")


def _assumption(numbers: Numbers) -> Claim:
    """Ask for a size at which abnormal images are redrawn better; the score of `ae` is its error, so AUROC tells.

    Whole images cannot refute it, for the paper speaks of regions and of `not always`.
    """
    text = "autoencoders trained on normal images do not always redraw unseen abnormal regions badly"
    aurocs = {
        f"{DATA[data].title} at {size}": row["auroc"]
        for data, sweep in numbers["sweep"].items()
        for size, row in sweep.items()
        if row["auroc"]["low"] is not None
    }
    if not aurocs:
        return Claim(text, "abstract", Verdict.UNTESTED, "not run yet")
    # three standard errors: one of dozens of plain intervals would lie below by chance
    better_redrawn = [
        place for place, one in aurocs.items() if one["value"] + _FAR * (one["high"] - one["value"]) < 0.5
    ]
    worse = sum(auroc["low"] > 0.5 for auroc in aurocs.values())
    why = (
        f"of {len(aurocs)} sizes and sets the errors of abnormal test images rank below those of normal ones (AUROC "
        f"below 0.5 with even {_FAR:g} times its interval) in {len(better_redrawn)}, above 0.5 with the "
        f"interval in {worse}; whole images, no regions"
    )
    why += f": {', '.join(better_redrawn)}" if better_redrawn else ""
    return judged(text, "abstract", True if better_redrawn else None, why, "latent sweep, AUROC")


def _published(numbers: Numbers, chosen: Mapping[str, Any]) -> Claim:
    text = "the best size is 4 on RSNA and VinDr-CXR, 32 on Brain Tumor and 16 on BraTS2021"
    theirs = dict(zip(SETS, (4, 4, 32, 16), strict=True))
    ours = {data: chosen[data]["oracle"] for data in SETS if data in chosen}
    absent = _absent(ours)
    why = "; ".join([*(f"{DATA[data].title}: {size} here" for data, size in ours.items()), *absent])
    # another best size refutes where it is ahead of the published one beyond chance
    ahead = [
        better(among(numbers["below_best"][data][str(theirs[data])], len(ours)))
        for data in ours
        if ours[data] != theirs[data]
    ]
    alone = all(_refuted(numbers["below_best"][data]) is False for data in ours)
    truth: Truth = False if True in ahead else True if alone and not (ahead or absent) else None
    cell = "latent sweep on the paper's data"
    return judged(text, "Table 1", truth, why, cell) if ours else Claim(text, "Table 1", Verdict.UNTESTED, why)


def _four_sets(numbers: Numbers, chosen: Mapping[str, Any]) -> Claim:
    text = "four data sets of two modalities validate the theory"
    ours = {data: _restricted(numbers, data) for data in SETS if data in chosen}
    absent = _absent(ours)
    if absent:
        return Claim(text, "abstract", Verdict.UNTESTED, "; ".join(absent))
    truth = all_of(None if found is None else found[0] for found in ours.values())
    why = "; ".join(f"{DATA[data].title}: {found[1]}" for data, found in ours.items() if found is not None)
    return judged(text, "abstract", truth, why, "latent sweep on the paper's data")


def _absent(found: Mapping[str, Any]) -> Sequence[str]:
    names = [DATA[data].title for data in SETS if data not in found]
    return [f"not run on {', '.join(names)}"] if names else []
