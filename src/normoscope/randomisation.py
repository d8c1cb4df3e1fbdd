"""Does a map change when the network forgets what it learnt? One that does not shows the image, not the model.

    fitted --copy, draw all weights anew--> randomised     maps of both --|Spearman|, per image--> median --> Check

A map that passes depends on the weights; that does not make it right. One that fails may still point at lesions, as an
edge filter may; what it cannot be is an account of what the model learnt. Buffers (a centre, a mixture) stay as fitted;
the running statistics of normalisation layers go back to where they started.

Reference: Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import nn

from .errors import ScoresError
from .types import Run

__all__ = ["LIMIT", "Check", "Verdict", "correlation", "randomised"]

LIMIT = 0.5
"""Median magnitude of the correlation above which a map fails."""

_SALT = 0xADE
Fitted = TypeVar("Fitted")


class Verdict(Enum):
    """What the check says of a map."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Check:
    """The parameter randomisation check of one kind of map.

    Args:
        median: Of the correlations' magnitudes over images; nan where it does not apply.
        images: How many.
        reason: Why it does not apply; empty where it does.
    """

    median: float
    images: int
    reason: str = ""

    @classmethod
    def of(
        cls,
        fitted: Float[np.ndarray, "n h w"],
        randomised: Float[np.ndarray, "n h w"],
        images: Float[np.ndarray, "n c h w"] | None = None,
    ) -> Check:
        """Compare the maps of a model and of its randomised copy on the same images.

        Where the image is flat there is nothing to show, and maps that have nothing to do with each other agree on
        showing nothing: with two thirds of the pixels black, as around a head, they correlate by 0.9. Pixels that are
        equal to their eight neighbours in every channel are left out.

        A map that is turned over, bright where it was dark, shows the same picture: correlations count by magnitude.
        Maps with negative values are compared twice, as they are and by magnitude, and the larger median counts: maps
        that differ only in where they change sign still show the same places. Blank maps of the model show nothing that
        could stay or change, and are left out.

        Raises:
            ScoresError: Shapes differ.
        """
        if fitted.shape != randomised.shape or fitted.ndim != 3:
            expected, got = f"shape {fitted.shape} for both", f"{randomised.shape}"
            raise ScoresError("maps", expected, got, "draw both on the same images")
        shown = np.ones(fitted.shape, bool) if images is None else _shown(images)
        pairs = [(a[where], b[where]) for a, b, where in zip(fitted, randomised, shown, strict=True)]
        known = [(a, b) for a, b in pairs if np.isfinite(a).all() and np.isfinite(b).all()]
        if not known:
            return cls.not_applicable("no image has a map of finite values" if pairs else "no images")
        told = [(a, b) for a, b in known if len(a) and np.ptp(a) > 0]
        if not told:
            return cls.not_applicable("every map is blank")
        as_drawn = np.median([abs(correlation(a, b)) for a, b in told])
        magnitude = np.median([abs(correlation(np.abs(a), np.abs(b))) for a, b in told])
        return cls(float(max(as_drawn, magnitude)), len(told))

    @classmethod
    def not_applicable(cls, reason: str) -> Check:
        """A map that has nothing to be randomised."""
        return cls(math.nan, 0, reason)

    @property
    def verdict(self) -> Verdict:
        """Fails above 0.5."""
        if math.isnan(self.median):
            return Verdict.NOT_APPLICABLE
        return Verdict.FAILS if self.median > LIMIT else Verdict.HOLDS

    @property
    def count(self) -> str:
        """How many images, in words."""
        return "1 image" if self.images == 1 else f"{self.images} images"

    @property
    def sentence(self) -> str:
        """What to say beside the map."""
        figure = f"median |rank correlation| {self.median:.2f} over {self.count}, limit {LIMIT}"
        return {
            Verdict.HOLDS: f"changes when the weights are drawn anew ({figure}): it depends on what was learnt, "
            "which does not make it right",
            Verdict.FAILS: f"fails the sanity check: it hardly changes when the weights are drawn anew ({figure}), "
            "so what was learnt has little part in it",
            Verdict.NOT_APPLICABLE: f"the check by random weights does not apply: {self.reason}",
        }[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; nan becomes None."""
        median = None if math.isnan(self.median) else self.median
        return {"verdict": self.verdict.value, "median": median, "images": self.images, "sentence": self.sentence}


def _shown(images: Float[np.ndarray, "n c h w"]) -> Bool[np.ndarray, "n h w"]:
    """Mark the pixels around which an image is not flat."""
    from scipy.ndimage import maximum_filter, minimum_filter

    size = (1, 1, 3, 3)
    differ = maximum_filter(images, size, mode="nearest") != minimum_filter(images, size, mode="nearest")
    return np.asarray(differ.any(axis=1))


def correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Return Spearman's rank correlation over pixels, in [-1, 1].

    A constant map has no ranks: one constant map and one that is not have nothing in common (0), two constant maps are
    the same picture (1).
    """
    from scipy.stats import spearmanr

    flat = a.ravel(), b.ravel()
    constant = [bool(np.ptp(values) == 0) for values in flat]
    return float(all(constant)) if any(constant) else float(spearmanr(*flat).statistic)


def randomised(fitted: Fitted, seed: int = 0) -> Fitted | None:
    """Return a copy of a detector or network whose weights are drawn anew; None where it has none.

    Every module is set back by its own `reset_parameters`; parameters of modules without one are drawn from a normal
    with the mean and deviation they have. Networks inside a wrapped detector count too. Global random state is kept.

    Args:
        fitted: A network, or an object that holds networks or detectors in its attributes.
        seed: 0 or more.
    """
    other = copy.deepcopy(fitted)
    networks = {id(network): network for network in _networks(other)}
    if not any(True for network in networks.values() for _ in network.parameters()):
        return None
    run = Run(seed=seed)
    devices = [run.torch_device] if run.torch_device.type == "cuda" else []
    # torch's state alone: others may draw from python's and numpy's meanwhile, in other threads
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(int(np.random.SeedSequence([seed, _SALT]).generate_state(1)[0]))
        for network in networks.values():
            _redraw(network)
    return other


def _networks(fitted: object) -> list[nn.Module]:
    if isinstance(fitted, nn.Module):
        return [fitted]
    held = list(getattr(fitted, "__dict__", {}).values())
    inner = [value for value in held if isinstance(value, nn.Module) or hasattr(value, "anomaly_score")]
    return [network for value in inner for network in _networks(value)]


def _redraw(network: nn.Module) -> None:
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
            continue
        for parameter in module.parameters(recurse=False):
            parameter.normal_(float(parameter.mean()), float(parameter.std(correction=0)))
