"""How much each latent dimension adds to a stated value of the latent vector.

    z, normals' latents b, v --mean over orders of v(z_S, b_rest) with and without a dimension--> phi (d)
    sum of phi = v(z) - mean of v(b): nothing is lost, nothing is added

v is the squared distance to the centre where training pulls normals to one, whether or not the score reads it; else,
where a latent vector can be decoded, the anomaly score of the image that the vector decodes to: then phi tells which
dimensions make the *latent's picture* unusual, and says nothing of what the latent vector left out, which is what
reconstruction errors are made of.

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
"""Values of v that one image may cost, about."""

_FEWEST = 4  # normals that a dimension is replaced by, however many dimensions there are

_SALT = 71

_ORDERS = 2
"""Orders of the dimensions that are walked through, each there and back."""

Latent = Float[np.ndarray, " d"]


@dataclass(frozen=True)
class Value:
    """What is shared out.

    Args:
        name: In words.
        of: Maps latent vectors (n, d) to values (n,).
    """

    name: str
    of: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]


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
        return Value("squared distance of the latent vector to the centre", lambda z: ((z - at) ** 2).sum(1))
    if not isinstance(detector, Decodes):
        return None
    decode = detector.decode

    def scored(latents: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        parts = torch.split(torch.from_numpy(latents).float(), BATCH)
        with torch.no_grad():
            scores = [score(decode(part).clamp(0, 1)).double().cpu() for part in parts]
        return np.asarray(torch.cat(scores).numpy())

    return Value("anomaly score of the image that the latent vector decodes to", scored)


def latent_shares(value: Value, latent: Latent, normals: Float[np.ndarray, "n d"], seed: int = 0) -> LatentShares:
    """Share a value out among the dimensions of one latent vector.

    A sampled estimate: the sum is exact, the single shares vary with the seed unless v is a sum over dimensions.

    Args:
        value: What is shared out.
        latent: z.
        normals: Latent vectors of normals; some of them are what a dimension is replaced by.
        seed: Of the choice of normals and orders.

    Raises:
        MissingExtraError: SHAP is not installed.
    """
    try:
        import shap
    except ImportError:
        raise MissingExtraError("Shapley values", "explain") from None
    latent, normals = np.asarray(latent, np.float64), np.asarray(normals, np.float64)
    walked = _ORDERS * (2 * len(latent) + 1)
    rng = np.random.default_rng(seed)
    some = normals[rng.permutation(len(normals))[: max(_FEWEST, _BUDGET // walked)]]
    masker = shap.maskers.Independent(some, max_samples=len(some))
    with Run(seed=seed).seeded(_SALT):  # SHAP draws from numpy's global state
        explainer = shap.PermutationExplainer(value.of, masker, seed=seed)  # None would reseed it by the clock
        found = explainer(latent[None], max_evals=walked, silent=True)
    spread = normals.std(0)
    deviations = np.divide(latent - normals.mean(0), spread, out=np.full(len(latent), np.nan), where=spread > 0)
    return LatentShares(
        value.name, np.asarray(found.values[0], np.float64), float(value.of(latent[None])[0]),
        float(np.ravel(found.base_values)[0]), deviations, len(some),
    )  # fmt: skip
