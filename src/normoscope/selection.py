"""Chooses among candidates by what normal images alone say of them, and says how sure the choice is.

    candidates' job values --evidence--> curves: one row as measured, more rows drawn again over seeds and images
    curves --Selector--> a position per row --> Choice: the first row's, and how often the others agree

No selector sees a label. Which one is the default was settled on phantoms and official validation labels (a
development oracle) before any test label was opened: docs/explanation/latent-size.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import OptionError
from .metrics import auroc
from .resampling import drawn_seeds, drawn_weights, resampler

__all__ = ["DEFAULT", "Choice", "Curves", "Selector", "choose", "evidence"]

Curve = npt.NDArray[np.float64]
"""(rows, candidates): as measured first, then drawn again."""

_SEEN = 0.55

Positions = npt.NDArray[np.intp]
"""The candidate chosen in every row."""


@dataclass(frozen=True)
class Curves:
    """What normals say, averaged over seeds.

    Args:
        field: The setting that varied.
        values: The candidates' values, in order.
        error: Mean squared error on held-out normals; None without reconstructions.
        planted: AUROC of planted anomalies against held-out normals, by kind.
        bits: Information of the latent above the noise that raises the candidate's own error by 1 %; None without a
            latent, nan where not estimable.
        dimension: Intrinsic dimension of the latents; as bits.
    """

    field: str
    values: tuple[Any, ...]
    error: Curve | None
    planted: Mapping[str, Curve]
    bits: Curve | None
    dimension: Curve | None

    @property
    def detection(self) -> Curve:
        """Mean of the planted AUROCs over the kinds that some candidate tells from normals, or over all if none is.

        Kinds that nobody sees differ between candidates by chance alone.
        """
        seen = [curve for curve in self.planted.values() if curve[0].max() > _SEEN]
        return np.asarray(np.mean(seen or list(self.planted.values()), axis=0))


def evidence(
    field: str, found: Mapping[Any, Sequence[Mapping[str, Any]]], *, draws: int = 500, seed: int = 0
) -> Curves:
    """Average the job values over seeds, as measured and drawn again.

    A draw takes, within each seed, as many held-out normals as there are (whole patients, where known), with all that
    was planted in them, and S - 1 of S seeds; the same for all candidates. Every seed holds out other normals, so
    its spread already holds theirs: of it only what the normals do not explain is added to their draws.

    Args:
        field: The setting that varied.
        found: Job values by candidate and then by seed.
        draws: How often to draw again.
        seed: Of the drawing.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xE71DE]))
    runs = list(found.values())
    seeds = len(runs[0])
    taken = np.vstack([np.full((1, seeds), 1 / seeds), drawn_seeds(seeds, draws, rng)])
    weights = [_weights(run, draws, rng) for run in runs[0]]
    kinds = runs[0][0]["planted"]
    planted = {
        kind: _averaged([[_planted(run, kind, w) for run, w in zip(of, weights, strict=True)] for of in runs], taken)
        for kind in kinds
    }

    def curve(read: Callable[[Mapping[str, Any]], float | None]) -> Curve | None:
        values = [[read(run) for run in of] for of in runs]
        if all(value is None for of in values for value in of):
            return None
        rows = np.ones(draws + 1)
        return _averaged([[rows * (math.nan if v is None else v) for v in of] for of in values], taken)

    return Curves(
        field,
        tuple(found),
        curve(lambda run: run["error"] and run["error"]["held_out"]),
        planted,
        curve(lambda run: run["entropy"] and run["entropy"]["gaussian_information"]["value"]),
        curve(lambda run: run["entropy"] and run["entropy"]["levina_bickel"]["value"]),
    )


def _weights(run: Mapping[str, Any], draws: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """How often each normal counts: once as measured, then as drawn."""
    count = len(run["held_out"])
    drawn = np.concatenate(list(drawn_weights(np.zeros(count, bool), run["patients"], draws, rng)))
    return np.vstack([np.ones((1, count), np.int32), drawn])


def _planted(run: Mapping[str, Any], kind: str, weights: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """AUROC of one kind in every row; a copy counts as often as the normal it was planted in."""
    normal, planted = run["held_out"], run["planted"][kind]["scores"]
    labels = np.repeat([0, 1], [len(normal), len(planted)])
    of_copies = weights[:, run["planted"][kind]["from"]]
    return resampler(auroc, labels, np.asarray([*normal, *planted]))(np.hstack([weights, of_copies]))


def _averaged(values: Sequence[Sequence[npt.NDArray[np.float64]]], taken: npt.NDArray[np.float64]) -> Curve:
    """Average over seeds: (candidates, seeds, rows) -> (rows, candidates).

    Rows differ by the normals drawn, and by the seeds drawn as far as these differ by more than their normals do: one
    share for all candidates, so that what they have in common stays so.
    """
    curves = np.asarray(values, np.float64)
    measured = curves[:, :, 0]
    between = float(np.nansum(np.var(measured, axis=1, ddof=1))) if measured.shape[1] > 1 else 0.0
    of_normals = float(np.nansum(np.mean(np.var(curves[:, :, 1:], axis=2), axis=1)))
    own = max(0.0, 1 - of_normals / between) if between > 0 else 0.0
    return np.asarray((curves.mean(axis=1) + math.sqrt(own) * measured @ (taken.T - taken[0][:, None])).T)


def _first(fits: npt.NDArray[np.bool_]) -> Positions:
    """The first candidate of every row that fits."""
    return np.asarray(np.argmax(fits, axis=1))


def _knee(curves: Curves) -> Positions:
    """Where the error, on a logarithmic scale, lies farthest below the line from its first to its last point."""
    assert curves.error is not None
    height = np.log(curves.error)
    along = np.linspace(0, 1, height.shape[1])
    below = height[:, :1] + (height[:, -1:] - height[:, :1]) * along - height
    return _first(below == below.max(axis=1, keepdims=True))


def _dimension(curves: Curves) -> Positions:
    """The first size that holds as many dimensions as the latents of any candidate fill, or the last."""
    assert curves.dimension is not None
    sizes = np.asarray(curves.values, np.float64)
    return _first(sizes >= np.minimum(np.nanmax(curves.dimension, axis=1, keepdims=True), sizes[-1]))


def _entropy(curves: Curves) -> Positions:
    """The first value whose information is within a tenth of the most: more room is not filled by normal images."""
    assert curves.bits is not None
    return _first(curves.bits >= 0.9 * np.nanmax(curves.bits, axis=1, keepdims=True))


def _parsimonious(curves: Curves) -> Positions:
    """The first value within one standard error of the best at telling planted anomalies.

    The smallest capacity that is not clearly worse: less entropy for the same detection (Breiman's one-standard-error
    rule, with AE4AD's preference for the smaller latent as the tie-break).
    """
    found = curves.detection
    best = np.argmax(found, axis=1)
    error = found[1:].std(axis=0)[best]
    return _first(found >= np.take_along_axis(found, best[:, None], 1) - error[:, None])


class Selector(Enum):
    """What chooses; values stand in the order of growing capacity."""

    PLANTED = "planted"
    KNEE = "knee"
    DIMENSION = "dimension"
    ENTROPY = "entropy"

    @property
    def rule(self) -> Callable[[Curves], Positions]:
        """Map curves to the position chosen in every row."""
        return {"planted": _parsimonious, "knee": _knee, "dimension": _dimension, "entropy": _entropy}[self.value]

    def reads(self, curves: Curves) -> Curve | None:
        """Return the curve this selector looks at."""
        own = {"knee": curves.error, "dimension": curves.dimension, "entropy": curves.bits}
        return own.get(self.value, curves.detection)

    @classmethod
    def usable(cls, curves: Curves) -> list[Selector]:
        """List the selectors that have something to look at.

        A knee needs the error of every candidate; a number of dimensions is compared with latent sizes alone.
        """
        return [one for one in cls if one._usable(curves)]

    def _usable(self, curves: Curves) -> bool:
        read = self.reads(curves)
        if read is None or (self is Selector.DIMENSION and curves.field != "latent_dim"):
            return False
        known = np.isfinite(read)
        return bool((known & (read > 0)).all() if self is Selector.KNEE else known.any(axis=1).all())


@dataclass(frozen=True)
class Choice:
    """What was chosen, and how sure that is.

    Args:
        selector: What chose.
        value: The candidate's value.
        shares: Value to the share of redraws that choose it; values never chosen are missing. Empty where there is
            nothing to redraw: one seed, and a selector that looks at no single images.
    """

    selector: Selector
    value: Any
    shares: Mapping[Any, float]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        shares = {str(value): share for value, share in self.shares.items()}
        return {"selector": self.selector.value, "value": self.value, "shares": shares}

    def __str__(self) -> str:
        if not self.shares:
            return f"{self.value} (one seed: nothing was drawn again to tell how sure that is)"
        ranked = sorted(self.shares.items(), key=lambda item: -item[1])
        taken = ", ".join(f"{100 * share:.0f} % take {value}" for value, share in ranked[:4])
        return f"{self.value} (of the redraws {taken})"


def choose(curves: Curves, selector: Selector) -> Choice:
    """Let a selector choose, from the curves as measured and from every redraw.

    Raises:
        OptionError: It has nothing to look at.
    """
    if selector not in Selector.usable(curves):
        usable = ", ".join(one.value for one in Selector.usable(curves))
        raise OptionError("selector", selector.value, f"one of {usable}, for these candidates")
    chosen = selector.rule(curves)
    read = selector.reads(curves)
    if read is not None and np.array_equal(read[1:], np.broadcast_to(read[0], read[1:].shape), equal_nan=True):
        return Choice(selector, curves.values[chosen[0]], {})
    values, counts = np.unique(chosen[1:], return_counts=True)
    shares = {curves.values[i]: float(count / counts.sum()) for i, count in zip(values, counts, strict=True)}
    return Choice(selector, curves.values[chosen[0]], shares)


DEFAULT = Selector.PLANTED
