"""How a fitted network answers: fast, and each image's answer independent of its neighbours to the last bit."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["chunk_size", "computing", "in_chunks"]

_PIXELS = 2**19
_MOST = 128


def computing(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return the context in which layers compute in this dtype; float32 switches autocast off."""
    reduced = dtype != torch.float32
    return torch.autocast(device.type, dtype if reduced else torch.bfloat16, enabled=reduced)


def chunk_size(image_shape: tuple[int, ...]) -> int:
    """Return how many images of this shape (c, h, w) a network sees at once."""
    pixels = image_shape[-1] * image_shape[-2]
    return max(1, min(_MOST, _PIXELS // pixels))


def in_chunks(
    function: Callable[[Tensor], Tensor],
    images: Float[Tensor, "n c h w"],
    device: torch.device,
    dtype: torch.dtype,
    *,
    gradients: bool = False,
) -> Tensor:
    """Apply a function of image batches to chunks of one fixed size; the last is padded.

    Matrix libraries choose their kernels by batch size, and other kernels round differently. One fixed size
    makes the last bit, and so every decision at a threshold, independent of how images were grouped.

    Images that require a gradient get rows that have one, so that a score can be attributed to pixels.

    Args:
        function: Maps (n, c, h, w) to n rows, each from its own image alone.
        images: What to apply it to.
        device: Where to compute.
        dtype: What layers compute in.
        gradients: Let the function differentiate; it returns rows that need no gradient themselves.

    Returns:
        The rows, on the images' device.
    """
    size = chunk_size(tuple(images.shape[1:]))
    rows = []
    followed = images.requires_grad and torch.is_grad_enabled()
    with torch.inference_mode(not (gradients or followed)), computing(device, dtype):
        for chunk in torch.split(images, size):
            padded = F.pad(chunk, (0, 0) * 3 + (0, size - len(chunk))) if len(chunk) < size else chunk
            rows.append(function(padded.to(device))[: len(chunk)])
        answer = torch.cat(rows)
    return answer.to(images.device).clone()
