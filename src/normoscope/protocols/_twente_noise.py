"""What the Twente study claims of noise: how much of it is detected, and whether a person still sees the image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from ._shape import Claim, Verdict
from ._twente_numbers import ERRORS
from ._twente_paper import MEDICAL, SETS
from ._twente_truths import CRUCIAL, NOT_RUN, WELL, apart, missing_too, share_above, title, under_way, without
from ._twente_work import PAPER_SIGMA, SWEPT
from ._verdicts import Truth, agree, all_of, any_of, judged

__all__ = ["amount_matters", "hides", "more_noise", "sweet_spot"]

_ALIKE = 0.8
"""Correlation with the clean image above which a noisy one still shows it; ours, in place of a person's eye."""

Noisy = Mapping[str, Mapping[str, Any]]
"""Deviation of the noise to likeness and to error to rule to what is detected."""


def hides(numbers: Mapping[str, Any]) -> Claim:
    text = "under the same noise digits stay recognisable and medical images look random to the bare eye"
    likeness = {name: fmean(of["noise"][f"{PAPER_SIGMA:g}"]["likeness"]) for name, of in numbers["sweep"].items()}
    values = ", ".join(f"{value:.2f} on {title(name)}" for name, value in likeness.items()) or NOT_RUN
    why = f"a person must look, at the figure of the noise; correlation with the clean image: {values}"
    return Claim(text, "5.1", Verdict.UNTESTED, why, f"Detection and false alarms against the noise, σ {PAPER_SIGMA:g}")


def _least(noisy: Noisy, score: str) -> str:
    """Say from which deviation on more than 75 % are detected, and how alike the images still are."""
    sigma = _start({sigma: one[score]["two-sided"]["value"] > WELL for sigma, one in noisy.items()})
    return "at no σ up to 0.5" if sigma is None else f"from σ {sigma}, likeness {fmean(noisy[sigma]['likeness']):.2f}"


def _start(good: Mapping[str, bool]) -> str | None:
    """Return the first key from which on all values are true."""
    start = None
    for key, value in good.items():
        start = (start or key) if value else None
    return start


def _least_of_both(swept: Mapping[str, Noisy]) -> str:
    return "; ".join(
        f"on {title(name)} {_least(noisy, 'bce')} by cross-entropy, {_least(noisy, 'mse')} by squared error"
        for name, noisy in swept.items()
    )


def _swept(numbers: Mapping[str, Any], names: Sequence[str]) -> dict[str, Noisy]:
    return {name: numbers["sweep"][name]["noise"] for name in names if name in numbers["sweep"]}


def sweet_spot(numbers: Mapping[str, Any]) -> Claim:
    text = "some noise leaves medical images recognisable while more than 75 % are detected"
    swept = _swept(numbers, MEDICAL)
    if not swept:
        return without(text, "5.1", MEDICAL)
    why = f"more than 75 % {_least_of_both(swept)}; recognisable is taken as a correlation of {_ALIKE:g} with the clean"
    why += " image" + missing_too(MEDICAL, swept)
    by_error = [all_of(_spot(noisy, score) for noisy in swept.values()) for score in ERRORS]
    spot = all_of([agree(by_error), *under_way(numbers, MEDICAL, swept)])
    return judged(text, "5.1", spot, why, "Detection and false alarms against the noise")


def _spot(noisy: Noisy, score: str) -> Truth:
    """Tell whether any deviation is detected well enough while the image is still recognisable."""
    alike = [one for one in noisy.values() if fmean(one["likeness"]) >= _ALIKE]
    return any_of(share_above(one[score]["two-sided"], WELL) for one in alike)


def amount_matters(numbers: Mapping[str, Any]) -> Claim:
    """Ask that the strongest noise is detected far more often than the weakest; that any detector does, too."""
    text, where = "the amount of noise is crucial for detection", "6"
    swept = _swept(numbers, MEDICAL)
    if not swept:
        return without(text, where, MEDICAL)
    said, parts = [], []
    for name, noisy in swept.items():
        weakest, *_, strongest = noisy
        first, last = noisy[weakest], noisy[strongest]
        parts += [apart(last[score]["two-sided"], first[score]["two-sided"], CRUCIAL) for score in ERRORS]
        ends = {score: [one[score]["two-sided"]["value"] for one in (first, last)] for score in SWEPT if score in first}
        shares = ", ".join(f"{score} {100 * low:.1f} to {100 * high:.1f} %" for score, (low, high) in ends.items())
        said.append(f"{title(name)}, σ {weakest} to {strongest}: {shares}")
    why = f"{'; '.join(said)}; asked: {100 * CRUCIAL:.0f} percentage points apart by either error"
    truth = all_of([agree(parts), *under_way(numbers, MEDICAL, swept)])
    return judged(text, where, truth, why + missing_too(MEDICAL, swept), "Detection and false alarms against the noise")


def more_noise(numbers: Mapping[str, Any]) -> Claim:
    text, where = "medical images need more noise than digits before it is detected", "6"
    swept = _swept(numbers, SETS)
    medical = [name for name in MEDICAL if name in swept]
    if "mnist" not in swept or not medical:
        return without(text, where, [name for name in SETS if name not in swept])
    by_error = [all_of(_later(swept[name], swept["mnist"], score) for name in medical) for score in ERRORS]
    more = all_of([agree(by_error), *under_way(numbers, MEDICAL, swept)])
    why = f"more than 75 % {_least_of_both(swept)}" + missing_too(MEDICAL, swept)
    return judged(text, where, more, why, "Detection and false alarms against the noise")


def _later(one: Noisy, other: Noisy, score: str) -> Truth:
    """Tell whether the noise must be stronger in one set than in another, by the intervals of what is detected."""
    (early, late), (first, last) = ([_from(noisy, score, sure) for sure in (False, True)] for noisy in (one, other))
    return True if early > last else False if late <= first else None


def _from(noisy: Noisy, score: str, sure: bool) -> float:
    """Return the deviation from which on more than 75 % are detected, surely or possibly by the interval."""
    wanted = (True,) if sure else (True, None)
    sigma = _start({sigma: share_above(one[score]["two-sided"], WELL) in wanted for sigma, one in noisy.items()})
    return math.inf if sigma is None else float(sigma)
