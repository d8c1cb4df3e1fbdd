"""The images a reader wants to see: most and least anomalous, and where score and label disagree.

Assessment --rows--> image, what normal would look like, heatmap, as data URIs --> Card, Gallery
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import UInt8

from .comparison import Assessment
from .heatmaps import greyscale, overlay
from .sprites import data_uri, shrunk
from .types import Reconstructs

__all__ = ["SHOWN", "Card", "Gallery", "Panel", "galleries"]

SHOWN = 6
"""Images in each row of the gallery."""

SIDE = 256
"""Larger images are shrunk to this side, so that the page stays small."""

MARK = (255, 255, 255)
"""Colour of the regions that stand at the wished false-alarm rate."""

OUTLINE = (0, 229, 255)
"""Colour of an expert's outline: found neither in grey images nor in the heatmap's palette."""


@dataclass(frozen=True)
class Panel:
    """One picture of a card: its title, its data URI, and whether its pixels are to be shown as squares."""

    title: str
    uri: str
    squares: bool


@dataclass(frozen=True)
class Card:
    """One test image.

    Args:
        name: As the data calls it.
        truth: Its class.
        abnormal: Whether that class is an abnormal one.
        score: Raw.
        pvalue: None where not calibrated.
        flagged: None where not calibrated.
        panels: Image, reconstruction and heatmap, as far as the method has them.
    """

    name: str
    truth: str
    abnormal: bool
    score: float
    pvalue: float | None
    flagged: bool | None
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Gallery:
    """A row of cards and what they were chosen for."""

    title: str
    text: str
    cards: tuple[Card, ...]


def galleries(found: Assessment) -> list[Gallery]:
    """Choose and draw the images."""
    order = np.argsort(found.scores, kind="stable")
    few = min(SHOWN, -(-len(order) // 2))
    normal, abnormal = order[found.labels[order] == 0], order[found.labels[order] == 1]
    chosen = [
        ("Most anomalous", "The highest scores of all test images.", order[::-1][:few]),
        ("Least anomalous", "The lowest scores of all test images.", order[: min(few, len(order) - few)]),
        ("Normal, yet anomalous to the model", "Normal images with the highest scores: the first false alarms.",
         normal[::-1][:SHOWN]),
        ("Abnormal, yet normal to the model", "Abnormal images with the lowest scores: the first to be missed.",
         abnormal[:SHOWN]),
    ]  # fmt: skip
    return [Gallery(title, text, tuple(_cards(found, rows))) for title, text, rows in chosen if len(rows)]


def _cards(found: Assessment, rows: npt.NDArray[np.int64]) -> list[Card]:
    return [
        Card(
            found.prepared.samples[row].name,
            found.collection.title(found.prepared.samples[row].class_name)
            or ("abnormal" if found.labels[row] else "normal"),
            bool(found.labels[row]),
            float(found.scores[row]),
            None if found.pvalues is None else float(found.pvalues[row]),
            None if found.flags is None else bool(found.flags[row]),
            panels,
        )
        for row, panels in zip(rows.tolist(), _panels(found, rows), strict=True)
    ]


def _panels(found: Assessment, rows: npt.NDArray[np.int64]) -> list[tuple[Panel, ...]]:
    """Draw the pictures of these images."""
    model, samples = found.model, [found.prepared.samples[row] for row in rows]
    batch = found.prepared.images.batch(rows, str(model.run.torch_device))
    images = batch.cpu().numpy()
    columns = [[_panel("image", greyscale(image)) for image in images]]
    if isinstance(model.detector, Reconstructs):
        redrawn = model.detector.reconstruct(batch).float().cpu().numpy()
        columns.append([_panel("if it were normal", greyscale(image)) for image in redrawn])
    if scale := model.calibration.map_scale:
        maps = model.batch_map(batch).float().cpu().numpy()
        heat = [overlay(image, pixel_scores, scale) for image, pixel_scores in zip(images, maps, strict=True)]
        masks = [model.preprocessor.mask(s.read_mask()) if s.read_mask else None for s in samples]
        marked = [model.marked(pixel_scores) for pixel_scores in maps]
        columns.append([_heatmap(*one) for one in zip(heat, marked, masks, strict=True)])
    return list(zip(*columns, strict=True))


def _heatmap(
    picture: UInt8[np.ndarray, "h w 3"], marked: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_] | None
) -> Panel:
    """Outline what the model marks, and around it what an expert did."""
    lines = [(inside, color) for inside, color in ((marked, MARK), (mask, OUTLINE)) if inside is not None]
    return _panel("heatmap", outlined(picture, [line for line in lines if line[0].any()]))


def _panel(name: str, picture: UInt8[np.ndarray, "h w 3"]) -> Panel:
    return Panel(name, data_uri(shrunk(picture, SIDE)), max(picture.shape) <= SIDE // 2)


def outlined(
    picture: UInt8[np.ndarray, "h w 3"], masks: Sequence[tuple[npt.NDArray[np.bool_], tuple[int, int, int]]]
) -> UInt8[np.ndarray, "H W 3"]:
    """Enlarge by whole pixels and draw each mask's border in its colour, around, not over, its pixels."""
    from scipy.ndimage import binary_dilation

    if not masks:
        return picture
    times, width = max(1, SIDE // len(picture)), max(2, 2 * len(picture) // SIDE)
    large = np.repeat(np.repeat(picture, times, 0), times, 1)
    for mask, color in masks:
        inside = np.repeat(np.repeat(mask, times, 0), times, 1)
        large[binary_dilation(inside, iterations=width) & ~inside] = color
    return np.asarray(large)
