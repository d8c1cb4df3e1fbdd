"""A figure with its interval, or the reason why there is none; and how intervals are drawn.

Statistic (images drawn again, or patients) --resampled--> Estimate
function of half of the images              --halved----> Estimate        for figures of neighbours
one image of each patient, several times    --averaged--> Estimate
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit

from .errors import OptionError, ScoresError
from .resampling import drawn_weights, unit_of

__all__ = [
    "EQUAL",
    "LEAST_IMAGES",
    "Estimate",
    "Latents",
    "Sample",
    "Statistic",
    "Terms",
    "average",
    "averaged",
    "checked",
    "half_widths",
    "halved",
    "one_of_each",
    "positive",
    "resampled",
    "too_few",
]

Latents = Float[np.ndarray, "n d"]
Statistic = Callable[[Int[np.ndarray, "draws n"]], Float[np.ndarray, "draws *m"]]
"""How often each image counts, one row per draw -> the figures, one row per draw."""

Sample = Bool[np.ndarray, " n"]
"""Which images an estimate is made of."""

LEAST_IMAGES = 20
"""Fewer say nothing of neighbours."""

Terms = Float[np.ndarray, " n"]
"""What each image contributes; an estimate is their mean."""

EQUAL = "all latent vectors are equal"

_DRAWS, _HALVES, _PICKS = 1000, 100, 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval, or why it cannot be estimated.

    Args:
        value: The estimate; nan where there is none.
        low: Lower bound; nan where the data cannot tell the spread.
        high: Upper bound; nan as `low`.
        unit: "nats", "bits" or "".
        reason: Why it is not estimable; None where it is.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    reason: str | None = None

    @classmethod
    def missing(cls, reason: str, unit: str = "") -> Self:
        """A figure that cannot be estimated."""
        return cls(math.nan, unit=unit, reason=reason)

    def __str__(self) -> str:
        if self.reason is not None:
            return f"not estimable: {self.reason}"
        largest = max(abs(self.value), *(abs(bound) for bound in (self.low, self.high) if not math.isnan(bound)), 0.0)
        decimals = 2 if largest == 0 else max(0, 2 - math.floor(math.log10(largest)))
        value, low, high = (f"{x:.{decimals}f}" for x in (self.value, self.low, self.high))
        return (value if math.isnan(self.low) else f"{value} [{low}, {high}]") + (f" {self.unit}" if self.unit else "")

    def to_json(self) -> dict[str, float | str | None]:
        """Return value, low, high, unit and reason; nan becomes None."""
        bounds = {"value": self.value, "low": self.low, "high": self.high}
        figures = {name: None if math.isnan(x) else x for name, x in bounds.items()}
        return {**figures, "unit": self.unit, "reason": self.reason}


def checked(latents: npt.ArrayLike) -> Latents:
    """Return latent vectors as float64, one image per row.

    Raises:
        ScoresError: Another shape, no values, or values that are not finite.
    """
    array = np.asarray(latents, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ScoresError("latents", "shape (n, d)", f"{array.shape}", "pass one latent vector per image")
    if not np.isfinite(array).all():
        got = f"{int(np.sum(~np.isfinite(array)))} that are not"
        raise ScoresError("latents", "finite numbers", got, "look at these images and at the fit's last loss")
    return array


def too_few(given: int, needed: int, dimensions: int) -> str:
    """Say that images are missing."""
    return f"{given} images for {dimensions} dimensions; at least {needed} needed"


def positive(name: str, value: float) -> None:
    """Refuse a level that is not a finite number above 0.

    Raises:
        OptionError: It is not.
    """
    if not (math.isfinite(value) and value > 0):
        raise OptionError(name, value, "a finite number above 0")


def average(terms: Float[np.ndarray, "n *m"]) -> Statistic:
    """Return the mean over the drawn images of what each contributes, as a function of the weights."""
    return lambda weights: ((weights @ terms).T / weights.sum(axis=1)).T


def half_widths(
    statistic: Statistic, n: int, groups: npt.ArrayLike | None = None, seed: int = 0
) -> Float[np.ndarray, "*m"]:
    """Return half the width of the 95 % interval of each figure: Student's quantile times the draws' deviation.

    With g units drawn, the deviation is multiplied by sqrt(g / (g - 1)) and the quantile has g - 1 degrees of freedom:
    a handful of patients is a handful of observations.

    Args:
        statistic: Weights to figures.
        n: Number of images.
        groups: (n,) patient of each image, drawn whole; None draws images.
        seed: Of the draws; global random state is neither read nor changed.

    Returns:
        As the figures of one draw; nan where there is one unit, or where all draws agree: zero would claim certainty.

    Raises:
        ScoresError: Groups of another length.
    """
    of_image, rng = unit_of(groups, n), np.random.default_rng(seed)
    units = int(of_image.max()) + 1
    # one class only: images are drawn from all
    blocks = drawn_weights(np.zeros(n, dtype=bool), of_image, _DRAWS, rng)
    drawn = np.concatenate([statistic(weights) for weights in blocks])
    if units < 2:
        return np.full(drawn.shape[1:], np.nan)
    spread = np.std(drawn, axis=0, ddof=1) * math.sqrt(units / (units - 1))
    rounding = 1e-12 * np.max(np.abs(drawn), axis=0)
    return np.where(spread > rounding, stdtrit(units - 1, 0.975) * spread, np.nan)


def resampled(
    statistic: Statistic,
    n: int,
    groups: npt.ArrayLike | None = None,
    *,
    seed: int = 0,
    unit: str = "",
    value: float | None = None,
    undefined: str = "",
) -> Estimate:
    """Return a figure with the interval of `half_widths`.

    Args:
        statistic: Weights to one figure per draw.
        n: Number of images.
        groups: (n,) patient of each image.
        seed: Of the draws.
        unit: Of the figure.
        value: The figure; None takes that of equal weights.
        undefined: What to say where it is not finite.
    """
    if value is None:
        value = float(statistic(np.ones((1, n), dtype=np.int64))[0])
    if not math.isfinite(value):
        return Estimate.missing(undefined, unit)
    half = float(half_widths(statistic, n, groups, seed))
    return Estimate(value, value - half, value + half, unit)


def halved(
    statistic: Callable[[Sample], float],
    n: int,
    *,
    least: int,
    seed: int = 0,
    unit: str = "",
    undefined: str = "",
) -> Estimate:
    """Return a figure of neighbours with an interval from random halves of the images.

    Of n images m = n // 2 are drawn without replacement, so none is its own neighbour; the deviation of the draws
    times sqrt(m / (n - m)) is that of all. Terms of images that share neighbours depend on each other, which
    drawing the terms would miss: such intervals are a fifth too short, these up to a third too long.

    Args:
        statistic: Images to take -> the figure.
        n: Number of images.
        least: Fewest images the figure can be made of; smaller halves do not count.
        seed: Of the draws.
        unit: Of the figure.
        undefined: What to say where it is not finite.

    Reference: Politis, Romano & Wolf, Subsampling (1999), section 2.3; Shao & Wu, Annals of Statistics 17 (1989).
    """
    value = statistic(np.ones(n, dtype=bool))
    if not math.isfinite(value):
        return Estimate.missing(undefined, unit)
    rng, half = np.random.default_rng(seed), n // 2
    samples = (np.isin(np.arange(n), rng.permutation(n)[:half]) for _ in range(_HALVES if half >= least else 0))
    drawn = [figure for sample in samples if math.isfinite(figure := statistic(sample))]
    if len(drawn) < _HALVES // 2:
        return Estimate(value, unit=unit)
    width = float(stdtrit(n - 1, 0.975) * np.std(drawn, ddof=1) * math.sqrt(half / (n - half)))
    return Estimate(value, value - width, value + width, unit) if width > 0 else Estimate(value, unit=unit)


def one_of_each(groups: npt.ArrayLike | None, n: int, seed: int = 0) -> list[Int[np.ndarray, " units"]]:
    """Return rows that hold one image of each patient, eight times; all rows once where no patient has several.

    Images of a patient are alike, and every correction for few images counts on them as strangers.

    Raises:
        ScoresError: Groups of another length.
    """
    unit, rng = unit_of(groups, n), np.random.default_rng(np.random.SeedSequence([seed, _PICKS]))
    if len(np.unique(unit)) == n:
        return [np.arange(n)]
    orders = (rng.permutation(n) for _ in range(_PICKS))
    return [np.sort(order[np.unique(unit[order], return_index=True)[1]]) for order in orders]


def averaged(found: Sequence[Estimate]) -> Estimate:
    """Return the mean of one figure from several picks of the same patients' images.

    The picks depend on each other, so the mean's interval is as wide as theirs on average, at most.
    """
    if len(found) == 1:
        return found[0]
    if missing := [one for one in found if one.reason is not None]:
        return missing[0]
    value, low, high = (float(np.mean([getattr(one, name) for one in found])) for name in ("value", "low", "high"))
    return Estimate(value, low, high, found[0].unit)
