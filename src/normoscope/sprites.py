"""Many small pictures in one PNG, so that a page can show any of them and carries each once.

pictures (h, w, 3), equal sizes --shrink to 64 at most, lay in rows--> Sheet with a data URI
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

__all__ = ["SIDE", "Sheet", "data_uri", "sheet", "shrunk"]

SIDE = 64
"""Longest side of a small picture, in pixels."""

Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Sheet:
    """Equal pictures, laid row by row.

    Args:
        title: What the pictures show.
        uri: The PNG.
        width: Of one picture, in pixels.
        height: Of one picture, in pixels.
        across: Pictures in a row.
        count: Pictures in all; a single one stands for every image.
    """

    title: str
    uri: str
    width: int
    height: int
    across: int
    count: int


def sheet(title: str, pictures: Sequence[Picture], across: int | None = None) -> Sheet:
    """Lay equal pictures, at least one, into one PNG.

    Args:
        title: What they show.
        pictures: RGB, all of one size; larger ones than 64 pixels are shrunk.
        across: Pictures in a row; by default about as many as rows.
    """
    small = [shrunk(picture) for picture in pictures]
    height, width = small[0].shape[:2]
    across = across or math.ceil(math.sqrt(len(small)))
    whole = np.zeros((-(-len(small) // across) * height, across * width, 3), np.uint8)
    for number, picture in enumerate(small):
        row, column = divmod(number, across)
        whole[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return Sheet(title, data_uri(whole), width, height, across, len(small))


def data_uri(picture: Picture) -> str:
    """Encode as PNG; grey pictures take a third of the space."""
    from PIL import Image

    image = Image.fromarray(picture)
    if (picture == picture[..., :1]).all():
        image = image.convert("L")
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def shrunk(picture: Picture, side: int = SIDE) -> Picture:
    """Shrink by averaging to this longest side; smaller pictures stay as they are."""
    from PIL import Image

    if max(picture.shape[:2]) <= side:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(image)
