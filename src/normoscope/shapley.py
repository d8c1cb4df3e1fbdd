"""How much each latent dimension adds to a stated value of the latent vector.

    z, normals' latents b, v --mean over orders of v(z_S, b_rest) with and without a dimension--> phi (d)
    sum of phi = v(z) - mean of v(b): nothing is lost, nothing is added

v is the squared distance to the centre where training pulls normals to one, whether or not the score reads it; else,
where a latent vector can be decoded, the anomaly score of the image that the vector decodes to: then phi tells which
dimensions make the *latent's picture* unusual, and says nothing of what the latent vector left out, which is what
reconstruction errors are made of.

The distance is a sum over dimensions, so that phi is each term minus its mean over all normals: exact. The score of a
decoded vector is no such sum: its phi are sampled, over 32 normals or more.

Reference: Lundberg & Lee, A unified approach to interpreting model predictions, NeurIPS 2017; Štrumbelj & Kononenko,
Explaining prediction models and individual predictions with feature contributions, KAIS 41 (2014), for the sampling of
orders; computed by SHAP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .attribution import Score
from .errors import MissingExtraError
from .images import BATCH
from .projection import centre_of
from .types import Decodes, Detector, Run

__all__ = ["LatentShares", "Value", "latent_shares", "value_of_latent"]

_BUDGET = 2048
"""Values of v that one image may cost, about, unless that were too few normals."""

_FEWEST = 32
"""Normals that a dimension is replaced by, however many dimensions there are.

Measured at 128 dimensions: with 4, two seeds may name no leading dimension in common; with 32, shares are within a
tenth to a fifth of those over all normals, for 2 s an image (ae, 28 pixels) to 20 s (cae, 64 pixels). All go to one
order of the dimensions, walked there and back: further orders cost as much as further normals, and help less.
"""

_SALT = 71

Latent = Float[np.ndarray, " d"]
Latents = Float[np.ndarray, "n d"]


@dataclass(frozen=True)
class Value:
    """What is shared out.

    Args:
        name: In words.
        of: Maps latent vectors (n, d) to values (n,).
        terms: Maps them to the terms (n, d) that the value is the sum of, each of its own dimension alone; None where
            the value is no such sum.
    """

    name: str
    of: Callable[[Latents], Float[np.ndarray, " n"]]
    terms: Callable[[Latents], Latents] | None = None

    @classmethod
    def additive(cls, name: str, terms: Callable[[Latents], Latents]) -> Value:
        """Make a value that is the sum of these terms."""
        return cls(name, lambda z: terms(z).sum(1), terms)


@dataclass(frozen=True)
class LatentShares:
    """A value of one image's latent vector, shared out among its dimensions.

    Args:
        name: The value's.
        shares: (d,) in the value's units; positive dimensions raise it. They sum to `value - base`.
        value: v(z).
        base: Mean of v over the normals compared with.
        deviations: (d,) z in standard deviations of the normals; nan where they never vary.
        normals: How many the base is the mean of.
    """

    name: str
    shares: Latent
    value: float
    base: float
    deviations: Latent
    normals: int

    def leading(self, most: int = 5) -> list[int]:
        """Return the dimensions with the largest shares by magnitude, the largest first."""
        return [int(i) for i in np.argsort(-np.abs(self.shares), kind="stable")[:most]]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; nan becomes None."""
        deviations = [None if np.isnan(value) else float(value) for value in self.deviations]
        return {
            "value_of": self.name,
            "value": self.value,
            "base": self.base,
            "normals": self.normals,
            "shares": self.shares.tolist(),
            "deviations": deviations,
        }


def value_of_latent(detector: Detector, score: Score) -> Value | None:
    """Return the value that a detector's latent vector is explained by; None where there is none.

    It is the squared distance to the centre for a detector whose network has one, else the anomaly score of the decoded
    latent vector.

    Args:
        detector: Fitted.
        score: The score that is explained; a model may score a detector otherwise than the method does.
    """
    centre = centre_of(detector)
    if isinstance(centre, Tensor):
        at = centre.detach().double().cpu().numpy()
        return Value.additive("squared distance of the latent vector to the centre", lambda z: (z - at) ** 2)
    if not isinstance(detector, Decodes):
        return None
    decode = detector.decode

    def scored(latents: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        parts = torch.split(torch.from_numpy(latents).float(), BATCH)
        with torch.no_grad():
            scores = [score(decode(part).clamp(0, 1)).double().cpu() for part in parts]
        return np.asarray(torch.cat(scores).numpy())

    return Value("anomaly score of the image that the latent vector decodes to", scored)


def latent_shares(value: Value, latent: Latent, normals: Latents, seed: int = 0) -> LatentShares:
    """Share a value out among the dimensions of one latent vector.

    Exact, and over all normals, where the value is a sum of one term per dimension. Else a sampled estimate over 32
    normals, more where there are fewer than 32 dimensions (682 for one), or all if there are fewer: its sum is exact
    for the normals drawn, the single shares and the base vary with the seed.

    Args:
        value: What is shared out.
        latent: z.
        normals: Latent vectors of normals: what a dimension is replaced by.
        seed: Of the choice of normals and of the order of dimensions.

    Raises:
        MissingExtraError: The value is sampled, and SHAP is not installed.
    """
    latent, normals = np.asarray(latent, np.float64), np.asarray(normals, np.float64)
    if value.terms is None:
        shares, base, count = _sampled(value, latent, normals, seed)
    else:
        usual = value.terms(normals).mean(0)
        shares, base, count = value.terms(latent[None])[0] - usual, float(usual.sum()), len(normals)
    spread = normals.std(0)
    deviations = np.divide(latent - normals.mean(0), spread, out=np.full(len(latent), np.nan), where=spread > 0)
    return LatentShares(value.name, shares, float(value.of(latent[None])[0]), base, deviations, count)


def _sampled(value: Value, latent: Latent, normals: Latents, seed: int) -> tuple[Latent, float, int]:
    """Return SHAP's shares, the value's mean over the normals drawn, and how many these are."""
    try:
        import shap
    except ImportError:
        raise MissingExtraError("Shapley values", "explain") from None
    walked = 2 * len(latent) + 1  # one order of the dimensions, there and back
    rng = np.random.default_rng(seed)
    some = normals[rng.permutation(len(normals))[: max(_FEWEST, _BUDGET // walked)]]
    masker = shap.maskers.Independent(some, max_samples=len(some))
    with Run(seed=seed).seeded(_SALT):  # SHAP draws from numpy's global state
        explainer = shap.PermutationExplainer(value.of, masker, seed=seed)  # None would reseed it by the clock
        found = explainer(latent[None], max_evals=walked, silent=True)
    return np.asarray(found.values[0], np.float64), float(np.ravel(found.base_values)[0]), len(some)
