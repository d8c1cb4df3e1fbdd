"""What a score means: p-values and decision rules from *calibrate* normals alone.

The conformal p-value of a score s among n calibration scores is (1 + #{s_i >= s}) / (n + 1): for a normal image
exchangeable with the calibration normals, P(p <= alpha) <= alpha. The guarantee is marginal: it holds on average
over calibration sets, and the rate that one calibration set realises follows Beta(l, n + 1 - l) with
l = floor(alpha (n + 1)); where scores tie with the threshold it is at most that. It says nothing of normals from
another scanner, age group or year.

Reference: Bates, Candes, Lei, Romano, Sesia, Testing for outliers with conformal p-values, Ann. Stat. 2023.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import NotCalibratedError, OptionError, ScoresError

__all__ = ["Above", "Calibration", "Outside", "Rule", "conformal_rule", "maximum_by", "mean_sd_rule", "needed_for"]

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Above:
    """Flags scores strictly above the threshold."""

    threshold: float

    def __call__(self, scores: Scores) -> npt.NDArray[np.bool_]:
        return np.asarray(scores > self.threshold)

    def __str__(self) -> str:
        return f"score > {self.threshold:.6g}"


@dataclass(frozen=True)
class Outside:
    """Flags scores outside [low, high]."""

    low: float
    high: float

    def __call__(self, scores: Scores) -> npt.NDArray[np.bool_]:
        return np.asarray((scores < self.low) | (scores > self.high))

    def __str__(self) -> str:
        return f"score < {self.low:.6g} or score > {self.high:.6g}"


Rule = Above | Outside

_REPEATED = 0.05


def _finite(scores: npt.ArrayLike) -> Scores:
    """Return scores as float64; refuse what is not finite."""
    given = np.asarray(scores, np.float64)
    if bad := int(np.sum(~np.isfinite(given))):
        todo = "look at these images and at the fit's last loss"
        raise ScoresError("anomaly scores", "finite numbers", f"{bad} of {given.size} that are not", todo)
    return given


def _allowed(n: int, alpha: float) -> int:
    """floor(alpha (n + 1)), safe against alpha's binary rounding (0.29 * 100 = 28.999...), and n at most."""
    return min(n, math.floor(alpha * (n + 1) + 1e-9))


def needed_for(alpha: float) -> int:
    """Fewest calibration normals that can reach the rate: ceil(1/alpha) - 1."""
    return math.ceil(1 / alpha - 1e-9) - 1


def conformal_rule(scores: Scores, alpha: float) -> Above:
    """Return the rule that flags exactly the scores whose conformal p-value is at most alpha, ties included.

    Raises:
        NotCalibratedError: Fewer than 1/alpha - 1 scores.
        OptionError: alpha is no rate between 0 and 1.
    """
    _check_rate(alpha)
    allowed = _allowed(len(scores), alpha)
    if allowed < 1:
        raise NotCalibratedError(needed_for(alpha), len(scores))
    # p <= alpha  <=>  #{s_i >= s} <= allowed - 1  <=>  s > the allowed-th largest calibration score
    return Above(float(np.sort(scores)[-allowed]))


def mean_sd_rule(scores: Scores, k: float = 2.0, two_sided: bool = False) -> Rule:
    """Return mean + k sd (upper) or mean ± k sd (two-sided), the rules of the Twente study; no guarantee.

    Raises:
        NotCalibratedError: Fewer than 2 scores.
        OptionError: k is not above 0.
    """
    if not 0 < k < math.inf:
        raise OptionError("--k", k, "a number above 0, for instance 2")
    if len(scores) < 2:
        raise NotCalibratedError(2, len(scores))
    mean, sd = float(np.mean(scores)), float(np.std(scores, ddof=1))
    return Outside(mean - k * sd, mean + k * sd) if two_sided else Above(mean + k * sd)


def _check_rate(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise OptionError("--false-alarms", alpha, "a rate between 0 and 1, for instance 0.05")


@dataclass(frozen=True)
class Calibration:
    """Calibration scores, the rule frozen from them, and the unit the guarantee speaks of.

    Args:
        scores: Ascending; one per image, or the maximum over each patient's images where ids are known.
        unit: image or patient.
        images: How many images stand behind the scores.
        alpha: The wished false-alarm rate; the mean ± sd rules do not read it.
        kind: conformal, upper or two-sided.
        k: Standard deviations of the mean ± sd rules; the conformal rule does not read it.
        rule: None where there are too few scores.
        map_scale: Pixel score above which the brightest colour is shown; None for methods without maps.
        data: Other data that the normals came from; empty for the model's own *calibrate* part.
    """

    scores: Scores
    unit: str
    images: int
    alpha: float
    kind: str
    k: float
    rule: Rule | None
    map_scale: float | None = None
    data: str = ""

    @classmethod
    def fit(
        cls,
        scores: Scores,
        patients: Sequence[str | None] | None = None,
        *,
        alpha: float = 0.05,
        kind: str = "conformal",
        k: float = 2.0,
        strict: bool = False,
        map_scale: float | None = None,
        data: str = "",
    ) -> Calibration:
        """Fit on *calibrate* normals; with too few of them the rule is None unless `strict`.

        Raises:
            NotCalibratedError: Too few, and `strict`.
            OptionError: Another kind, a rate that is none, or k not above 0.
            ScoresError: A score is not finite, or there are not as many patients as scores.
        """
        if kind not in ("conformal", "upper", "two-sided"):
            raise OptionError("--rule", kind, "conformal, upper or two-sided")
        _check_rate(alpha)
        images = units = _finite(scores)
        unit = "image"
        if patients is not None and len(patients) not in (0, len(images)):
            raise ScoresError("patients", f"{len(images)}, one per score", f"{len(patients)}", "pass one per image")
        if patients is not None and len(patients) and all(p is not None for p in patients):
            units, unit = maximum_by(units, [str(p) for p in patients]), "patient"
        rule: Rule | None
        try:
            # mean ± k sd is meant for images: a patient's largest scores would shift both bounds upwards
            rule = conformal_rule(units, alpha) if kind == "conformal" else mean_sd_rule(images, k, kind == "two-sided")
        except NotCalibratedError as error:
            if strict:
                raise NotCalibratedError(error.needed, error.given, _units(unit, kind)) from None
            rule = None
        return cls(np.sort(units), unit, len(scores), alpha, kind, k, rule, map_scale, data)

    @property
    def calibrated(self) -> bool:
        """Whether a rule stands."""
        return self.rule is not None

    @property
    def status(self) -> str:
        """One sentence for every output: the rule and its unit, or why there is none."""
        if self.rule is None:
            needed, given = (needed_for(self.alpha), len(self.scores)) if self.kind == "conformal" else (2, self.images)
            return f"not calibrated: {needed} {_units(self.unit, self.kind)} needed, {given} given"
        if self.kind != "conformal":
            sign = "±" if self.kind == "two-sided" else "+"
            return f"{self.rule} (mean {sign} {self.k:g} sd, no guarantee{self._origin})"
        low, high = self.band()
        lies = f"lies in {low:.3f}-{high:.3f} nine times in ten"
        if self._tied:
            lies = f"is at most {high:.3f} nineteen times in twenty (scores tie with the threshold)"
        return (
            f"{self.rule} (conformal, {self.alpha:.3g} false alarms per {self.unit}; "
            f"with {len(self.scores)} {_units(self.unit, self.kind)} the realised rate {lies}{self._origin})"
        )

    @property
    def _tied(self) -> bool:
        """Whether other calibration scores equal the conformal threshold, which then flags fewer than it may."""
        return int(np.sum(self.scores == self.scores[-_allowed(len(self.scores), self.alpha)])) > 1

    @property
    def _origin(self) -> str:
        return f"; normals of {self.data}" if self.data else ""

    @property
    def pvalue_note(self) -> str:
        """What an image's p-value promises."""
        return "per image" if self.unit == "image" else "per image, not guaranteed across patients"

    def pvalues(self, scores: Scores) -> Scores:
        """Return (1 + #{s_i >= s}) / (n + 1), in (0, 1].

        Raises:
            NotCalibratedError: There are no calibration scores at all.
            ScoresError: A score is not finite: it would sort above all others.
        """
        n = len(self.scores)
        if not n:
            raise NotCalibratedError(needed_for(self.alpha), 0)
        at_least = n - np.searchsorted(self.scores, _finite(scores), side="left")
        return np.asarray((1.0 + at_least) / (n + 1.0), np.float64)

    def flags(self, scores: Scores) -> npt.NDArray[np.bool_] | None:
        """Return the frozen decisions, or None where not calibrated.

        Raises:
            ScoresError: A score is not finite: it would pass for a normal one.
        """
        return None if self.rule is None else self.rule(_finite(scores))

    def band(self, level: float = 0.9) -> tuple[float, float]:
        """Return the central interval of the rate this one calibration realises: Beta(l, n + 1 - l), without ties."""
        from scipy.stats import beta

        n = len(self.scores)
        allowed = _allowed(n, self.alpha)
        tail = (1 - level) / 2
        low, high = beta.ppf([tail, 1 - tail], allowed, n + 1 - allowed)
        return float(low), float(high)

    def chance(self, flagged: int, of: int) -> float:
        """Return how likely the conformal rule is to be at least this far off on new exchangeable normals: two-sided p.

        The number it flags is beta-binomial, at a rate from Beta(l, n + 1 - l): few calibration scores leave the rate
        itself to chance. Too few are no surprise where scores tie with the threshold, which then flags fewer.

        Args:
            flagged: Units of the promise (images or patients), independent of each other, that the rule flags.
            of: All of them.
        """
        number = self._flagged(of)
        more, fewer = number.sf(flagged - 1), 1.0 if self._tied else number.cdf(flagged)
        return float(min(1.0, 2 * min(more, fewer)))

    def usual(self, of: int) -> int:
        """Return the most of so many new exchangeable normals that the conformal rule flags without surprise (95 %)."""
        return int(self._flagged(of).ppf(0.975))

    def _flagged(self, of: int) -> Any:
        """Return the distribution of how many of so many new exchangeable normals the conformal rule flags."""
        from scipy.stats import betabinom

        allowed = _allowed(len(self.scores), self.alpha)
        return betabinom(of, allowed, len(self.scores) + 1 - allowed)

    def usual_shares(self, of: int, bins: int) -> npt.NDArray[np.float64] | None:
        """Return the 95 % band, (2, bins), of what chance gives a histogram of new exchangeable normals' p-values.

        A bin that holds r of the n + 1 possible p-values takes a beta-binomial number of them, from Beta(r, n + 1 - r):
        few calibration scores bend the histogram by themselves. Pointwise, not for all bars at once. None where more
        than a twentieth of the scores repeat another: how often new ones tie with them is not known.
        """
        from scipy.stats import betabinom

        n = len(self.scores)
        if len(np.unique(self.scores)) < (1 - _REPEATED) * n:
            return None
        held, _ = np.histogram(np.arange(1, n + 2) / (n + 1), bins, (0, 1))
        shares = betabinom.ppf([[0.025], [0.975]], of, np.maximum(held, 1), n + 1 - held) / max(1, of)
        return np.asarray(np.where(held > 0, shares, 0.0))

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        rule = None if self.rule is None else {"kind": type(self.rule).__name__.lower(), **self.rule.__dict__}
        return {**self.__dict__, "scores": [float(s) for s in self.scores], "rule": rule}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Calibration:
        """Rebuild from `to_json`."""
        rule = values["rule"]
        if rule is not None:
            kind = {"above": Above, "outside": Outside}[rule["kind"]]
            rule = kind(**{key: value for key, value in rule.items() if key != "kind"})
        return cls(**{**values, "scores": np.asarray(values["scores"], np.float64), "rule": rule})


def _units(unit: str, kind: str) -> str:
    return "normal patients" if unit == "patient" and kind == "conformal" else "normals"


def maximum_by(scores: Scores, patients: list[str]) -> Scores:
    """Return each patient's largest score."""
    best: dict[str, float] = {}
    for patient, score in zip(patients, scores.tolist(), strict=True):
        best[patient] = max(score, best.get(patient, -math.inf))
    return np.asarray(list(best.values()))
