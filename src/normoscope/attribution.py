"""Which pixels raise an image's score above that of its normal counterpart.

    image, counterpart, score --Attribution--> (h, w), in units of the score: positive pixels raise it

It is the score that is attributed, not a class: there is none. An attribution says what the *model* looked at, which
need not be what is wrong with the image; `faithfulness` tests both.

Reference: Simonyan et al., Deep inside convolutional networks, 2013 (gradients); Sundararajan et al., Axiomatic
attribution for deep networks, ICML 2017; Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV
2014 (occlusion); computed by Captum.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .errors import MissingExtraError, OptionError

__all__ = ["Attribution", "Score"]

Score = Callable[[Tensor], Tensor]
"""Maps images (n, c, h, w) to scores (n,), each from its own image alone."""

STEPS = 64
"""Points on the straight line that the gradient is averaged over."""

_CELL = 8
"""An occluding square's side is this part of the image's; it moves by half its side."""


class Attribution(Enum):
    """How a score is shared out among pixels."""

    GRADIENT = "gradient"
    INTEGRATED = "integrated-gradients"
    OCCLUSION = "occlusion"

    @property
    def differentiates(self) -> bool:
        """Whether the score must have a gradient."""
        return self is not Attribution.OCCLUSION

    @property
    def compares(self) -> bool:
        """Whether it reads the counterpart."""
        return self is not Attribution.GRADIENT

    def __call__(
        self, score: Score, image: Float[Tensor, "c h w"], counterpart: Float[Tensor, "c h w"]
    ) -> Float[Tensor, "h w"]:
        """Return each pixel's share, summed over channels.

        gradient: |ds/dx|, of a pixel's grey level; the only one without sign and without counterpart. It is the
        score's change per unit of grey, so that of an image the model is sure of may be large anywhere.
        integrated-gradients: the gradient's mean on the line from the counterpart to the image, times their
        difference; the shares nearly sum to s(image) - s(counterpart).
        occlusion: what the score loses when a square is replaced by the counterpart's, mean over the squares
        that hold the pixel.

        Args:
            score: What is explained.
            image: In [0, 1].
            counterpart: The same image as if it were normal.

        Raises:
            OptionError: A score without gradient.
            MissingExtraError: Captum is not installed.
        """
        if self.differentiates and not differentiable(score, image):
            raise OptionError("attribution", self.value, "'occlusion': this method's score has no gradient")
        shares = {"gradient": _gradient, "integrated-gradients": _integrated, "occlusion": _occlusion}
        found = shares[self.value](score, image[None], counterpart[None])
        return found[0].detach().sum(0)


def differentiable(score: Score, image: Float[Tensor, "c h w"]) -> bool:
    """Whether a score answers with a gradient with respect to the image."""
    with torch.enable_grad():
        try:
            answer = score(image[None].detach().clone().requires_grad_())
        except RuntimeError:  # a step left torch, through numpy for instance
            return False
    return answer.requires_grad


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError:
        raise MissingExtraError("attribution", "explain") from None
    return captum.attr


def _gradient(score: Score, image: Tensor, counterpart: Tensor) -> Tensor:
    found: Tensor = _captum().Saliency(score).attribute(image.detach().clone().requires_grad_())
    return found


def _integrated(score: Score, image: Tensor, counterpart: Tensor) -> Tensor:
    whole = _captum().IntegratedGradients(score)
    found: Tensor = whole.attribute(image, baselines=counterpart, n_steps=STEPS, internal_batch_size=STEPS)
    return found


def _occlusion(score: Score, image: Tensor, counterpart: Tensor) -> Tensor:
    channels, height, width = image.shape[1:]
    side = max(2, min(height, width) // _CELL)
    window, strides = (channels, side, side), (channels, max(1, side // 2), max(1, side // 2))
    with torch.no_grad():
        found: Tensor = (
            _captum()
            .Occlusion(score)
            .attribute(image, window, strides=strides, baselines=counterpart, perturbations_per_eval=STEPS)
        )
    return found / channels  # Captum gives each channel of a square the whole square's share
