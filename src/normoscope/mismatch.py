"""Images that a model reads but was not made for: of another colour, other proportions, or far fewer pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import UnreadableImageError
from .transforms import Aspect, Prepared, Preprocessor
from .types import Pixels

__all__ = ["mismatches"]

_ALIKE = 1.1
"""Proportions of two images that differ by less are alike."""

_COARSER = 1.5
"""An image with so many times fewer pixels along a side than those fitted on looks blurred beside them."""


def mismatches(prepared: Prepared, preprocessor: Preprocessor, fitted: Sequence[int] | None) -> list[str]:
    """Tell, a sentence each, how the first image differs from what a model expects; nothing where it is gone.

    Args:
        prepared: Images; the first is read once more, as it was before it was prepared.
        preprocessor: The model's own.
        fitted: Shape, height first, of the first image that the model was fitted on; None where it is not known.
    """
    if not prepared.samples:
        return []
    try:
        first = prepared.samples[0].read()
    except UnreadableImageError:  # gone since, as a service's uploads are
        return []
    sizes = [] if fitted is None else _of_size(first.shape[0], first.shape[1], preprocessor, fitted)
    return [*_of_colour(first, preprocessor), *sizes]


def _of_colour(image: Pixels, preprocessor: Preprocessor) -> list[str]:
    """Tell colour where the model takes grey, and grey where it takes colour."""
    colour = image.ndim == 3 and bool(np.any(image != image[..., :1]))
    if colour == (preprocessor.channels == 3):
        return []
    return [
        "the first image has colour, which the model does not look at: it takes images as grey"
        if colour
        else "the first image is grey, and the model takes colour: its scores may not compare with those of colour"
    ]


def _of_size(height: int, width: int, preprocessor: Preprocessor, fitted: Sequence[int]) -> list[str]:
    """Tell proportions other, and pixels far fewer, than those of the first image fitted on."""
    ratios = width / height, fitted[1] / fitted[0]
    side, aspect = preprocessor.size, preprocessor.aspect.value
    sizes = f"these images are {width} x {height} pixels, those the model learnt from {fitted[1]} x {fitted[0]}: "
    notes = []
    if max(ratios) > _ALIKE * min(ratios):
        notes.append(
            f"{sizes}of other proportions, they are brought to {side} x {side} by '{aspect}', and scores may not "
            "compare; if the training images had been squashed before, squash these as well"
        )
    # padding brings the longer side to that of the model, the others the shorter one
    sides = max if preprocessor.aspect is Aspect.PAD else min
    if _COARSER * sides(width, height) <= min(sides(fitted), side):
        notes.append(
            f"{sizes}enlarged to {side} x {side} they are smoother than those, and scores may not compare; give "
            "images of about the size that was fitted on"
        )
    return notes
