"""A memory of a few learnt vectors: whatever is asked, the answer is a mixture of them."""

from __future__ import annotations

from enum import Enum

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Memory", "Similarity", "entropy", "shrink"]

_TINY = 1e-12


class Similarity(Enum):
    """How alike a query and a slot are."""

    INNER = "inner"
    COSINE = "cosine"

    def __call__(self, queries: Float[Tensor, "n d"], slots: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Return the inner product, of unit vectors where cosine."""
        if self is Similarity.COSINE:
            queries, slots = F.normalize(queries, dim=1), F.normalize(slots, dim=1)
        return queries @ slots.T


def shrink(weights: Float[Tensor, "n m"], threshold: float) -> Float[Tensor, "n m"]:
    """Drop weights up to the threshold, keep the others, and let them sum to one again.

        w <- max(w - t, 0) w / (|w - t| + tiny),   w <- w / sum |w|

    Written without a comparison, so that gradients pass. At threshold 0 it changes nothing; a row without a weight
    above the threshold becomes zero.

    Reference: Gong et al., Memorizing Normality to Detect Anomaly, ICCV 2019, hard shrinkage in its continuous form.
    """
    above = weights - threshold
    return F.normalize(F.relu(above) * weights / (above.abs() + _TINY), p=1, dim=1)


def entropy(weights: Float[Tensor, "n m"]) -> Float[Tensor, " n"]:
    """Return the entropy of each row in nats, -sum w log w; a dropped weight adds nothing."""
    return -(weights * (weights + _TINY).log()).sum(1)


class Memory(nn.Module):
    """Slots addressed by similarity; reads are convex mixtures of slots.

        query z (d) -> similarity to every slot -> softmax -> shrink -> weights (m) -> weights @ slots (d)

    Args:
        count: Number m of slots.
        size: Length d of a slot.
        shrinkage: Weights up to this are dropped; from 1 / count on, a query equally far from all slots reads zeros.
        similarity: How queries and slots are compared.
    """

    def __init__(
        self, count: int, size: int, shrinkage: float = 0.0025, similarity: Similarity = Similarity.INNER
    ) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.similarity = similarity
        self.slots = nn.Parameter(torch.empty(count, size).uniform_(-(size**-0.5), size**-0.5))

    def address(self, queries: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Return how much of every slot answers each query: at least 0, sums of 1 or all 0, float32."""
        with torch.autocast(queries.device.type, enabled=False):
            return shrink(self.similarity(queries.float(), self.slots).softmax(1), self.shrinkage)

    def read(self, weights: Float[Tensor, "n m"]) -> Float[Tensor, "n d"]:
        """Return the mixtures of slots, float32."""
        with torch.autocast(weights.device.type, enabled=False):
            return weights @ self.slots

    def forward(self, queries: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Answer each query by a mixture of slots."""
        return self.read(self.address(queries))
