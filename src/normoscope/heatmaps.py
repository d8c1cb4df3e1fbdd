"""Where an image deviates, in colours on one absolute scale.

    image, map --overlay(scale)--> RGB        model, images --write_maps--> .npy, .png and maps.csv

The scale comes from *calibrate* normals: at most one normal image in twenty (where patients are known, one patient in
twenty) is expected to have a pixel above it, or one in n + 1 where fewer than 19 set it. It is the same for every
image, so a normal image keeps few colours or none instead of glowing at its own maximum.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, UInt8

from .errors import OptionError
from .map_kinds import map_check
from .model import Model
from .randomisation import Check
from .regions import check_map
from .transforms import Prepared
from .written import Written, write_atomically

__all__ = ["FLOOR", "OPACITY", "colour", "file_names", "greyscale", "overlay", "write_maps"]

FLOOR = 0.5
"""Share of the scale below which nothing is drawn; from here to the scale, colours fade in."""

OPACITY = 0.85
"""Opacity at the scale and above: the image still shows through."""


@cache
def _palette() -> npt.NDArray[np.float64]:
    """256 colours from dark violet to pale yellow: even in brightness, safe for colour-blind readers."""
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.linspace(0.15, 1.0, 256)))[:, :3]


def colour(share: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the colour (..., 3) and opacity (...), both in [0, 1], of pixel scores given as shares of the scale."""
    place = np.clip((np.asarray(share, np.float64) - FLOOR) / (1 - FLOOR), 0, 1)
    return _palette()[np.rint(place * 255).astype(int)], OPACITY * place


def greyscale(image: Float[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Show a prepared image in [0, 1], one or three channels, as RGB."""
    rgb = np.broadcast_to(np.moveaxis(np.clip(image, 0, 1), 0, -1), (*image.shape[1:], 3))
    return np.asarray(np.rint(rgb * 255), np.uint8)


def overlay(
    image: Float[np.ndarray, "c h w"], pixel_scores: Float[np.ndarray, "h w"], scale: float | None
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay a map over its image.

    Below half of the scale nothing is drawn; from there to the scale, colour and opacity rise; above, they stay.

    Args:
        image: In [0, 1], one or three channels.
        pixel_scores: Its map, higher is more anomalous.
        scale: Pixel score of the brightest colour, the same for every image; above 0. A model's is
            `model.calibration.map_scale`.

    Raises:
        OptionError: A scale that is not above 0, or None, which a model without calibration normals has.
        ScoresError: A map that is not finite.
    """
    if scale is None or not scale > 0:
        raise OptionError("scale", scale, "a pixel score above 0, which calibration normals set")
    check_map(pixel_scores)
    colours, opacity = colour(pixel_scores / scale)
    shown = greyscale(image) * (1 - opacity[..., None]) + 255 * colours * opacity[..., None]
    return np.asarray(np.rint(shown), np.uint8)


def write_maps(model: Model, prepared: Prepared, folder: str | Path, progress: bool = False) -> Check:
    """Write each image's raw map (`NAME.npy`, float32), heatmap (`NAME.png`) and marked regions, then `maps.csv`.

    All have the size that the model sees. `masks/NAME.png` is white in the regions that stand at the wished false-alarm
    rate; `maps.csv` counts them, gives the smallest p-value of any region, and says whether the model's maps change
    when its weights are drawn anew (sanity: holds, fails, not applicable; sanity_images: on how many images). Every
    file appears whole; `maps.csv` comes last and lists all of them, so where it stands, nothing is missing. A model
    without calibration normals has neither scale nor regions, and writes no pictures; one with too few normals for any
    region to stand at the wished rate writes no masks, and its columns of regions stay empty.

    Args:
        model: A model that localises.
        prepared: The images.
        folder: Made if it is not there; files of other names are left alone.
        progress: Show a bar.

    Returns:
        The check of the maps by random weights, on up to 16 of the images.

    Raises:
        OptionError: The method cannot localise; nothing is written.
    """
    model.check_localizes("--maps")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # by its header a stopped run's folder is known, and the same command may go over it
    write_atomically(folder / "maps.csv", Written.MAPS.table([]))
    names = [sample.name for sample in prepared.samples]
    scale = model.calibration.map_scale
    rows = []
    check = map_check(model, prepared.images)
    maps = model.maps(prepared.images, progress=progress)
    for i, (name, file, pixel_scores) in enumerate(zip(names, file_names(names), maps, strict=True)):
        write_atomically(folder / f"{file}.npy", _npy(pixel_scores), synced=False)
        row = [name, f"{file}.npy"]
        picture = mask = count = pvalue = ""
        if scale:
            picture = f"{file}.png"
            image = prepared.images.batch([i])[0].numpy()
            write_atomically(folder / picture, _png(overlay(image, pixel_scores, scale)), synced=False)
        if (judge := model.region_judge) is not None:
            mask, found = f"masks/{file}.png", judge.regions(pixel_scores)
            (folder / "masks").mkdir(exist_ok=True)
            write_atomically(folder / mask, _png(255 * model.marked(pixel_scores).astype(np.uint8)), synced=False)
            count = str(sum(region.pvalue <= model.calibration.alpha for region in found))
            pvalue = f"{found[0].pvalue:.6g}" if found else "1"
        rows.append([*row, picture, mask, count, pvalue, check.verdict.value, str(check.images)])
    write_atomically(folder / "maps.csv", Written.MAPS.table(rows))
    return check


def file_names(names: Iterable[str]) -> list[str]:
    """Turn image names into distinct file names without an ending, none of which can leave its folder.

    Example:
        >>> file_names(["a/scan 1.png", "a_scan_1.jpg", "../.ssh/key", "/"])
        ['a_scan_1', 'a_scan_1-2', 'ssh_key', 'image']
    """
    taken: set[str] = set()
    return [_untaken(_plain(name), taken) for name in names]


_IMAGE_ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def _plain(name: str) -> str:
    """Keep letters, digits, dots and dashes of ASCII."""
    path = PurePosixPath(name.replace("\\", "/"))
    stem = str(path.with_suffix("")) if path.suffix.lower() in _IMAGE_ENDINGS else name
    return re.sub(r"[^A-Za-z0-9.-]+", "_", stem).strip("._-")[-120:].lstrip("._-") or "image"


def _untaken(name: str, taken: set[str]) -> str:
    """Number a name that is taken; some file systems know no capitals."""
    number, candidate = 1, name
    while candidate.lower() in taken:
        number += 1
        candidate = f"{name}-{number}"
    taken.add(candidate.lower())
    return candidate


def _npy(pixel_scores: Float[np.ndarray, "h w"]) -> bytes:
    file = io.BytesIO()
    np.save(file, pixel_scores.astype(np.float32), allow_pickle=False)
    return file.getvalue()


def _png(pixels: UInt8[np.ndarray, "h w *3"]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
