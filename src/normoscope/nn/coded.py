"""What detectors that score the code of an image can do; they have no map, for no pixel answers for a code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from jaxtyping import Float
from torch import Tensor

from ..images import check_shape
from ..progress import History
from ..types import Run, State
from .detector import AutoencoderDetector
from .inference import in_chunks

__all__ = ["CodeDetector"]


class CodeDetector:
    """A fitted encoder; a method adds how a code is scored.

    Args:
        encoder: The fitted autoencoder whose code is scored.
    """

    def __init__(self, encoder: AutoencoderDetector) -> None:
        self.encoder = encoder

    @property
    def history(self) -> History:
        """How training went; empty after `restore`."""
        return self.encoder.history

    def embed(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the codes."""
        return self.encoder.embed(images)

    def to(self, run: Run) -> Self:
        """Move to the run's device; keep the fitted precision unless the run names one."""
        self.encoder.to(run)
        return self

    def state(self) -> State:
        """Return weights, image shape and precision."""
        return self.encoder.state()

    def _apply(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        check_shape(images, self.encoder.network.image_shape)
        return in_chunks(function, images, self.encoder.device, self.encoder.dtype)
