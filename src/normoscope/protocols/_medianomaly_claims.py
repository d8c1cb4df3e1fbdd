"""What the MedIAnomaly benchmark claims, judged by the numbers of its protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._data import DATA
from ._pairs import Difference, among, better, least, most, told
from ._shape import Claim, Verdict
from ._verdicts import Truth, above, all_of, judged

__all__ = ["METHODS", "OTHER", "SETS", "claims"]

SETS = ("rsna", "vindr", "brain_tumor", "lag", "isic2018", "camelyon16", "brats2021")
OTHER = "chest_xray_64"
_LOSSES = ("ae", "ae loss=l1", "ae loss=ssim")
_WIDTHS = ("ae", "ae width=8", "ae width=32")
METHODS = (*_LOSSES, "vae", "constrained_ae", "memae", "ceae", "ganomaly", "aeu", *_WIDTHS[1:], "dae")
_FAR_MORE = 2.0
_WELL = 0.05
"""AUROC by which one must be above the other, with the whole interval, to be well above; the benchmark names none."""

Numbers = Mapping[str, Mapping[str, Any]]
"""Data set that is present to row, as far as it was run, to figures: its metrics, `minus_ae` and `below_best`."""


def claims(numbers: Numbers) -> list[Claim]:
    """Judge the benchmark's findings."""
    return [
        _capacity(numbers),
        _above_plain(numbers),
        _winner(numbers),
        Claim(
            "64 pixels are about as good as 128",
            "findings",
            Verdict.UNTESTED,
            "every set is run at one size; the chest X-rays here have 64 pixels",
        ),
        Claim(
            "the latent size matters, and the best one depends on the data",
            "findings",
            Verdict.UNTESTED,
            "all methods have latent size 16 here; ae4ad2024 sweeps it",
        ),
        Claim(
            "self-supervised methods work for local lesions, fail on global or large ones, and are unstable over "
            "epochs",
            "findings",
            Verdict.UNTESTED,
            "none of them is among the methods here",
        ),
        Claim(
            "OCT2017 and Hyper-Kvasir are too easy: a plain autoencoder is nearly perfect",
            "remark in its code",
            Verdict.UNTESTED,
            "neither set is here",
        ),
    ]


def _capacity(numbers: Numbers) -> Claim:
    text, where = "the loss, and with it the score, matters far more than the network's capacity", "findings"
    theirs = [data for data in SETS if data in numbers]
    asked = theirs or list(numbers)
    found = {data: one for data in asked if (one := _outweighs(numbers[data])) is not None}
    rest = _rest(numbers, [data for data in asked if data not in found])
    if not found:
        return Claim(text, where, Verdict.UNTESTED, f"not run yet{rest}")
    why = "" if theirs else "none of its sets: "
    why += "; ".join(f"{DATA[data].title}: {spans}" for data, (_, spans) in found.items())
    why += " (far more: the interval of a loss's change of ae lies beyond "
    why += f"{_FAR_MORE:g} times those of the widths' changes){rest}"
    truths = [*(truth for truth, _ in found.values()), *[None] * (len(asked) - len(found))]
    return judged(text, where, all_of(truths), why, "Benchmark, AUROC")


def _rest(numbers: Numbers, waiting: Iterable[str]) -> str:
    """Name the sets that wait for results, and those of the benchmark that are absent."""
    left = {"not run to the end yet": waiting, "absent": [data for data in SETS if data not in numbers]}
    named = {what: ", ".join(DATA[data].title for data in sets) for what, sets in left.items()}
    return "".join(f"; {what}: {titles}" for what, titles in named.items() if titles)


def _outweighs(found: Mapping[str, Any]) -> tuple[Truth, str] | None:
    """Compare how far losses and widths move ae on one set; None where it is not run to the end."""
    if not all(row in found for row in (*_LOSSES, *_WIDTHS)):
        return None
    aurocs = ([found[row]["auroc"]["value"] for row in rows] for rows in (_LOSSES, _WIDTHS))
    by_loss, by_width = (max(values) - min(values) for values in aurocs)
    truth = _far_more(*([found[row]["minus_ae"] for row in rows[1:]] for rows in (_LOSSES, _WIDTHS)))
    return truth, f"AUROC spans {by_loss:.3f} over l2, l1 and ssim, {by_width:.3f} over widths 8, 16 and 32"


def _far_more(losses: Sequence[Difference], widths: Sequence[Difference]) -> Truth:
    """Compare how far losses and widths move ae, by the ends of their intervals."""
    if any(one["low"] is None for one in (*losses, *widths)):
        return None
    (loss_least, loss_most), (width_least, width_most) = (
        tuple(max(bound(one) for one in some) for bound in (least, most)) for some in (losses, widths)
    )
    return True if loss_least >= _FAR_MORE * width_most else False if loss_most < _FAR_MORE * width_least else None


def _above_plain(numbers: Numbers) -> Claim:
    """Ask it of RSNA alone; other chest X-rays are told and decide nothing."""
    text, where = "on RSNA ae loss=ssim, aeu and dae are well above the plain autoencoder", "Table 6"
    data = "rsna" if "rsna" in numbers else OTHER
    named = ("ae loss=ssim", "aeu", "dae")
    found = {row: one for row in named if (one := numbers.get(data, {}).get(row, {}).get("minus_ae"))}
    missing = [row for row in named if row not in found]
    why = "; ".join(f"{row} {told(one)}" for row, one in found.items())
    why += f"; not run to the end yet: {', '.join(missing)}" if found and missing else "" if found else "not run yet"
    cell = "Benchmark, AUROC minus ae" if found else ""
    if data == OTHER:
        return Claim(text, where, Verdict.UNTESTED, f"RSNA absent; other chest X-rays: {why}", cell)
    if not found:
        return Claim(text, where, Verdict.UNTESTED, why)
    truth = all_of([*(above(one, _WELL) for one in found.values()), *[None] * len(missing)])
    return judged(text, where, truth, f"{why} (well: by more than {_WELL:g} with the interval)", cell)


def _winner(numbers: Numbers) -> Claim:
    """Ask that every method is behind the best of some set; that is chosen on one half, and compared on the other."""
    text, where = "no method wins everywhere", "findings"
    theirs = {data: numbers[data] for data in SETS if data in numbers}
    complete = {data: found for data, found in theirs.items() if all(row in found for row in METHODS)}
    rest = _rest(numbers, [data for data in theirs if data not in complete])
    if len(complete) < 2:
        return Claim(text, where, Verdict.UNTESTED, f"needs at least two of its data sets{rest}")
    behind: dict[str, dict[str, Difference]] = {
        data: {row: found[row]["below_best"] for row in METHODS if "below_best" in found[row]}
        for data, found in complete.items()
    }
    best = {data: next(row for row in METHODS if row not in below) for data, below in behind.items()}
    # one set is enough to be behind, so beyond the chance of all seven: the next one takes no verdict back
    unbeaten = [
        row
        for row in METHODS
        if not any(row in below and better(among(below[row], len(SETS))) for below in behind.values())
    ]
    listed = (f"{DATA[d].title}: {row} (oracle) {complete[d][row]['auroc']['value']:.3f}" for d, row in best.items())
    why = f"best by one half of the test images, {'; '.join(listed)}; on the other half nowhere behind the best beyond "
    why += f"the chance of {len(SETS)} sets: {', '.join(unbeaten) or 'none'}{rest}"
    # one method that is best on every set, the others all clearly behind, would win everywhere
    alone = len({*best.values()}) == 1 and all(better(one) for below in behind.values() for one in below.values())
    truth: Truth = True if not unbeaten else False if alone and len(complete) == len(SETS) else None
    return judged(text, where, truth, why, "Benchmark, AUROC")
