"""What AE4AD's paper claims, judged by the numbers of its protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ._data import DATA
from ._pairs import Difference, better, told
from ._shape import Claim, Verdict
from ._verdicts import Truth, all_of, judged

__all__ = ["SETS", "claims"]

SETS = ("rsna", "vindr", "brain_tumor", "brats2021")
_RIVALS = ("vae", "memae", "ceae")
_PLATEAU = 0.1
_FAR = 1.5
_ROUNDING = (2 / 255) ** 2 / 12
"""Mean squared error of rounding grey values in [-1, 1] to 8 bits: what a copy of the image is good for."""

Numbers = Mapping[str, Any]


def claims(numbers: Numbers, *, quick: bool) -> list[Claim]:
    """Judge every claim of abstract and results."""
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
            "abstract; Table 1",
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
        ),
        _assumption(numbers, chosen),
        each(
            "errors reach a plateau after 128: up to 1024 none of them changes much",
            "error figure",
            numbers["sweep"],
            lambda data: _plateau(numbers, data),
            "latent sweep, errors at 128 and 1024",
        ),
        each(
            "the network does not become an identity map, not even at 1024",
            "Proposition 1; error figure",
            numbers["sweep"],
            lambda data: _identity(numbers, data),
            "latent sweep, errors",
        ),
        each(
            "a plain autoencoder of tuned latent size is better than VAE, MemAE and CeAE at 16",
            "Table 2",
            {data: None for data in chosen if numbers["tuned_minus"].get(data)},
            lambda data: _tuned(numbers, data),
            "methods, ae at its best size (oracle, as in the paper)",
        ),
        _published(numbers, chosen),
        _four_sets(numbers, chosen),
        Claim(
            "minimising the entropy of latent vectors is the key to better detection",
            "abstract",
            Verdict.UNTESTED,
            "no entropy is measured; the latent size, which bounds it, stands for it in the claims above",
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
    started: Iterable[str] = (),
) -> Claim:  # fmt: skip
    """Ask that a claim is true of every data set that was run; one that was only started leaves it open."""
    found = {data: one for data in sets if (one := judge(data)) is not None}
    if not found:
        return Claim(text, where, Verdict.UNTESTED, "not run yet")
    why = "; ".join(f"{DATA[data].title}: {reason}" for data, (_, reason) in found.items())
    waiting = [DATA[data].title for data in started if data not in found]
    why += f"; not run to the end yet: {', '.join(waiting)}" if waiting else ""
    truths = [*(truth for truth, _ in found.values()), *[None] * len(waiting)]
    return judged(text, where, all_of(truths), why, cell)


def _medium(numbers: Numbers, data: str) -> Judged | None:
    best, below = numbers["choice"][data]["oracle"], numbers["below_best"][data]
    if not {"1", "128"} <= {str(best), *below}:
        return None
    if 1 < best < 128:
        truth = all_of([better(below["1"]), better(below["128"])])
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
    return better(below["128"]), f"best at {best}, ahead of 128 by {told(below['128'])}"


def _mismatch(numbers: Numbers, data: str) -> Judged | None:
    sweep, below = numbers["sweep"][data], numbers["below_best"][data]
    size = min(sweep, key=lambda one: sweep[one]["errors"]["train"])
    best = numbers["choice"][data]["oracle"]
    if size == str(best):
        return _refuted(below), f"{size} has both the lowest training error and the best AUROC"
    return better(below[size]), f"lowest training error at {size}, best AUROC at {best}, by {told(below[size])}"


def _refuted(behind: Mapping[str, Difference]) -> Truth:
    """Call it refuted that one of these sizes is the best where all are behind beyond chance, else undecided."""
    return False if all_of(map(better, behind.values())) else None


def _plateau(numbers: Numbers, data: str) -> Judged | None:
    at, end = numbers["sweep"][data].get("128"), numbers["sweep"][data].get("1024")
    if at is None or end is None:
        return None
    changes = {
        part: end["errors"][part] / at["errors"][part] - 1
        for part in ("train", "test_normal", "test_abnormal")
        if end["errors"][part] is not None
    }
    listed = ", ".join(f"{part.replace('_', ' ')} {change:+.1%}" for part, change in changes.items())
    return max(map(abs, changes.values())) <= _PLATEAU, f"{listed} (at most {_PLATEAU:.0%} is called a plateau)"


def _identity(numbers: Numbers, data: str) -> Judged | None:
    if "1024" not in numbers["sweep"][data]:
        return None
    size, error = min(
        ((size, error) for size, row in numbers["sweep"][data].items() for error in row["errors"].values() if error),
        key=lambda pair: pair[1],
    )
    why = f"lowest mean error {error:.2g} at {size}, {error / _ROUNDING:.0f} times that of rounding to 8 bits"
    why += " (all that an identity map would leave; hardly any trained network comes near, so this asks little)"
    return error > _ROUNDING, why


def _tuned(numbers: Numbers, data: str) -> Judged | None:
    found = numbers["tuned_minus"][data]
    missing = [rival for rival in _RIVALS if rival not in found]
    if missing:
        return None
    listed = ", ".join(f"of {rival} by {told(found[rival])}" for rival in _RIVALS)
    return all_of(better(found[rival]) for rival in _RIVALS), f"d = {numbers['choice'][data]['oracle']}, ahead {listed}"


def _differs(numbers: Numbers, chosen: Mapping[str, Any]) -> Claim:
    text, where = "the best latent size differs between data sets", "Table 1"
    if len(chosen) < 2:
        return Claim(text, where, Verdict.UNTESTED, "needs two data sets")
    best = {data: choice["oracle"] for data, choice in chosen.items()}
    listed = [f"{DATA[data].title} {size}" for data, size in best.items()]
    for data in best:
        for other in sorted({*best.values()} - {best[data]}):
            difference = numbers["below_best"][data][str(other)]
            listed.append(f"on {DATA[data].title} {best[data]} is ahead of {other} by {told(difference)}")
    # no size may be best on all sets: each is behind beyond chance on some; a size far ahead on all refutes
    behind = [numbers["below_best"][data] for data in best]
    sizes = {*map(str, best.values()), *(size for some in behind for size in some)}
    none_serves = all(any(size in some and better(some[size]) for some in behind) for size in sizes)
    alone = len({*best.values()}) == 1 and all(_refuted(some) is False for some in behind)
    truth: Truth = True if none_serves else False if alone else None
    return judged(text, where, truth, "; ".join(listed), "latent sweep, best AUROC (oracle)")


def _assumption(numbers: Numbers, chosen: Mapping[str, Any]) -> Claim:
    """Ask for a size at which abnormal images are redrawn better; the score of `ae` is its error, so AUROC tells."""
    text = "autoencoders trained on normal images do not always redraw abnormal ones worse"
    aurocs = {
        f"{DATA[data].title} at {size}": row["auroc"]
        for data, sweep in numbers["sweep"].items()
        for size, row in sweep.items()
        if row["auroc"]["low"] is not None
    }
    if not aurocs:
        return Claim(text, "abstract", Verdict.UNTESTED, "not run yet")
    # three standard errors: one of dozens of plain intervals would lie below by chance
    not_worse = [place for place, one in aurocs.items() if one["value"] + _FAR * (one["high"] - one["value"]) < 0.5]
    worse = sum(auroc["low"] > 0.5 for auroc in aurocs.values())
    planned = sum(map(len, numbers["sweep"].values()))
    complete = len(aurocs) == planned and numbers["sweep"].keys() == chosen.keys()
    why = (
        f"of {len(aurocs)} sizes and sets the errors of abnormal test images rank below those of normal ones (AUROC "
        f"below 0.5 by {_FAR:g} times its interval) in {len(not_worse)}, above 0.5 with the interval in {worse}"
    )
    why += f": {', '.join(not_worse)}" if not_worse else ""
    truth: Truth = True if not_worse else False if complete and worse == len(aurocs) else None
    return judged(text, "abstract", truth, why, "latent sweep, AUROC")


def _published(numbers: Numbers, chosen: Mapping[str, Any]) -> Claim:
    text = "the best size is 4 on RSNA and VinDr-CXR, 32 on Brain Tumor and 16 on BraTS2021"
    theirs = dict(zip(SETS, (4, 4, 32, 16), strict=True))
    ours = {data: chosen[data]["oracle"] for data in SETS if data in chosen}
    absent = _absent(ours)
    why = "; ".join([*(f"{DATA[data].title}: {size} here" for data, size in ours.items()), *absent])
    # another best size refutes where it is ahead of the published one beyond chance
    ahead = [better(numbers["below_best"][data][str(theirs[data])]) for data in ours if ours[data] != theirs[data]]
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
