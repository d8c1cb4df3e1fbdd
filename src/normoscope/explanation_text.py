"""An explanation in sentences that a reader can check against the figures below them.

    Explanation --decision, regions, terms, latent vector, neighbours--> sentences, the decision first

Places are those of the picture, not of the body: the picture's left is on the reader's left.
"""

from __future__ import annotations

import math

import numpy as np

from .calibration import Above, Calibration, Rule
from .explanation import Explanation
from .map_kinds import OWN
from .regions import Region

__all__ = ["ENDLESS", "percent", "place", "sentences"]

_FEW = 3
"""Regions, terms and dimensions that are told; tables hold the rest."""

_UNUSUAL = 2.0
"""Standard deviations from which a latent dimension is called unusual."""

_BEYOND = 0.0455
"""Share of a normal distribution that lies so far off."""

ENDLESS = 1e6
"""Standard deviations from which on a region's peak says only that normals do not vary there."""

_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


def sentences(found: Explanation, calibration: Calibration) -> list[str]:
    """Return what can be said of one image, in order of importance."""
    told = [_decision(found, calibration), *_where(found, calibration.alpha), *_terms(found), *_latent(found)]
    return [*told, *_near(found)]


def _decision(found: Explanation, calibration: Calibration) -> str:
    if found.seen:
        return f"Its score is {found.score:.4g}; it fitted or calibrated the model, so no p-value would mean anything."
    if found.pvalue is None or found.flagged is None:
        return f"Its score is {found.score:.4g}; the model is not calibrated, so nothing says whether that is unusual."
    rule, verb = calibration.rule, "Flagged" if found.flagged else "Not flagged"
    if calibration.kind != "conformal" and rule is not None:
        return f"{verb}: its score is {found.score:.4g}, {_crossed(rule, found.score)} (p = {found.pvalue:.3g})."
    n = len(calibration.scores)
    reached = round(found.pvalue * (n + 1)) - 1
    many = f"{reached} of {n} calibration {calibration.unit}s score at least as high (p = {found.pvalue:.3g})"
    return f"{verb}: its score is {found.score:.4g}, and {many}."


def _crossed(rule: Rule, score: float) -> str:
    """Say on which side of which bound a score lies."""
    if isinstance(rule, Above):
        return f"{'above' if score > rule.threshold else 'not above'} {rule.threshold:.4g}"
    if score < rule.low:
        return f"below {rule.low:.4g}, unusually like the normals; maps and regions show only what raises a score"
    return f"above {rule.high:.4g}" if score > rule.high else f"between {rule.low:.4g} and {rule.high:.4g}"


def _where(found: Explanation, alpha: float) -> list[str]:
    if found.seen and OWN in found.maps:
        return ["Which regions stand out, the model cannot say: this image fitted or calibrated it."]
    if found.regions is None and OWN in found.maps:
        return ["Which regions stand out, the model cannot say: it has too few calibration normals."]
    if found.regions is None:
        return ["Where it deviates, the model cannot say."]
    standing = found.standing(alpha)
    if not standing:
        # a score and its map need not agree: one is of the whole image
        spread = " What makes up the score is spread out, or not in the map." if found.flagged else ""
        return [f"No region stands out from what normal images show at the same place (p ≤ {alpha:g}).{spread}"]
    told = "; ".join(_region(region) for region in standing[:_FEW])
    more = f"; and {len(standing) - _FEW} more" if len(standing) > _FEW else ""
    many = "One region stands" if len(standing) == 1 else f"{len(standing)} regions stand"
    return [f"{many} out from what normal images show at the same place: {told}{more}."]


def _region(region: Region) -> str:
    far = f"up to {region.peak:.1f} standard deviations" if region.peak < ENDLESS else "where normals never vary"
    return f"{place(region)} of the picture, {percent(region.area)} of its area, {far} (p = {region.pvalue:.3g})"


def percent(share: float) -> str:
    """Print a share in per cent, two digits of a small one."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def place(region: Region) -> str:
    """Say in which ninth of the picture a region's middle lies.

    Example:
        >>> pixels = np.zeros((9, 9), bool)
        >>> pixels[7, 1] = True
        >>> place(Region(pixels, 1.0, 3.0, (7, 1), 0.05))
        'lower left'
    """
    middle = [float(np.mean(index)) + 0.5 for index in np.nonzero(region.pixels)]
    row, column = (min(2, int(3 * at / side)) for at, side in zip(middle, region.pixels.shape, strict=True))
    return "centre" if row == column == 1 else f"{_ROWS[row]} {_COLUMNS[column]}"


def _terms(found: Explanation) -> list[str]:
    if not found.terms:
        return []
    total, leading = sum(found.terms.values()), sorted(found.terms, key=lambda name: -abs(found.terms[name]))
    told = [f"{name} {found.terms[name]:+.3g}" for name in leading]
    if total > 0 and min(found.terms.values()) >= 0:
        usual = sum(found.usual.values())
        # a kind with more descriptors has a larger share of every image
        beside = usual > 0 and min(found.usual.values()) >= 0
        told = [
            f"{name} {100 * found.terms[name] / total:.0f} %"
            + (f" (of normals {100 * found.usual[name] / usual:.0f} %)" if beside else "")
            for name in leading
        ]
    more = f", and {len(told) - _FEW} more" if len(told) > _FEW else ""
    return [f"The score is shared out among: {', '.join(told[:_FEW])}{more}."]


def _latent(found: Explanation) -> list[str]:
    shares = found.latent
    if shares is None:
        return []
    leading = shares.leading(_FEW)
    told = ", ".join(f"{i + 1} ({_deviation(shares.deviations[i])}, {shares.shares[i]:+.3g})" for i in leading)
    unusual = int(np.sum(np.abs(np.nan_to_num(shares.deviations)) > _UNUSUAL))
    usual = f"of an ordinary normal image about {max(1, round(_BEYOND * len(shares.shares)))}"
    count = f"{unusual} of {len(shares.shares)} latent dimensions lie more than {_UNUSUAL:g} standard deviations off"
    return [
        f"Of the {shares.name}, {shares.value:.3g} where {shares.normals} normals have {shares.base:.3g} on average, "
        f"the largest shares have dimensions {told}; {count} ({usual})."
    ]


def _deviation(deviation: float) -> str:
    return "normals never vary in it" if math.isnan(deviation) else f"{deviation:+.1f} sd"


def _near(found: Explanation) -> list[str]:
    if not found.neighbours:
        return []
    near = f"Its nearest training normal is {found.neighbours[0].distance:.3g} away in the latent space"
    if math.isnan(found.further):
        return [f"{near}."]
    return [f"{near}; {100 * found.further:.0f} % of the training normals are nearer than that to their own nearest."]
