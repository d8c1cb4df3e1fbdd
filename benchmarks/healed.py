"""Real tumours on normals that had to be made: the figshare slices, each of which holds a tumour.

    slice --tumour covered by tissue of the same head--> healed slice, taken as normal
    eight blocks: 20 healed slices calibrate, the other healed ones train --> maps of the block, healed and untouched

62 of the 64 slices are sagittal: there is no other side of the brain to mirror. A tumour, dilated, is covered by the
piece of the same head that fits its surroundings best, blended in with Poisson's equation. Slices whose tumour would
cover more than 6 % of the area are not healed, for the pieces then hold bone.

What it can show: whether a method marks real tumours more than the same heads without, though no outline was shown to
it. What it cannot: how it does among healthy people. A healed head keeps what else the tumour did (oedema, shifted
tissue), and its seams may teach the method what a seam looks like. The ids number slices, not patients; consecutive
ones are often of one patient, so blocks are consecutive and three slices at each border are left out, which need not
suffice; intervals draw whole blocks (their "patients"), of which there are eight. Some twenty training slices of many
heights make weak models, and the alarm rate rests on twenty more.

Reference: Cheng et al., PLOS ONE 10 (2015), for the slices; Pérez et al., Poisson image editing, SIGGRAPH 2003.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import gaussian, threshold_otsu

from normoscope.anomalies import blend
from normoscope.faithfulness import Chance
from normoscope.lesions import Lesions, share
from normoscope.map_kinds import OWN, STANDARDISED, chance_maps
from normoscope.model import Model, fit
from normoscope.partitions import partition
from normoscope.sanity import LARGE, SMALL
from normoscope.transforms import Prepared, Preprocessing
from normoscope.types import Collection, Method, Run, Sample, Split

__all__ = ["folds", "healed", "healed_figures"]

FILE = "lesion_masks/figshare_tumor_256.npz"

BLOCK, GAP, CALIBRATING = 8, 3, 20
"""Slices tested together, left out at each border, and healed ones that calibrate."""

LARGEST = 0.06
"""Share of the area from which a tumour with its margin is not healed."""

MARGIN = 5
"""Pixels of 256 around the expert's outline that are covered too."""

RING = 6
"""Pixels around the covered region that the piece is to fit."""

FARTHEST, PACE = 100, 4
"""Pixels that a piece is brought from at most, and between two candidates."""

Mask = npt.NDArray[np.bool_]


def healed(image: npt.NDArray[np.uint8], mask: Mask) -> npt.NDArray[np.uint8] | None:
    """Return the slice without its tumour; None where it is too large, or no piece of the head is free.

    Args:
        image: (h, w).
        mask: True on the tumour.
    """
    region = ndimage.binary_dilation(mask, iterations=MARGIN)
    if region.mean() > LARGEST:
        return None
    around = ndimage.binary_dilation(region, iterations=RING)
    grey = image.astype(np.float64)
    step = _best(grey, region, around)
    if step is None:
        return None
    piece = ndimage.shift(grey, step, order=0)
    blended = blend(grey[None], piece[None], region, 1.0)[0]
    return np.asarray(np.clip(np.rint(blended), 0, 255), np.uint8)


def _best(grey: npt.NDArray[np.float64], region: Mask, around: Mask) -> tuple[int, int] | None:
    """Return the shift whose piece fits the ring best, up to a constant; it holds head and no tumour."""
    free = _head(grey) & ~region
    ring, (rows, columns) = around & ~region, np.nonzero(around)
    of_ring = ring[rows, columns]
    best: tuple[float, tuple[int, int] | None] = np.inf, None
    for down in range(-FARTHEST, FARTHEST + 1, PACE):
        for across in range(-FARTHEST, FARTHEST + 1, PACE):
            at = rows - down, columns - across
            if min(at[0].min(), at[1].min()) < 0 or at[0].max() >= len(grey) or at[1].max() >= grey.shape[1]:
                continue
            if not free[at].all():
                continue
            misfit = float(np.std((grey[at] - grey[rows, columns])[of_ring]))
            best = min(best, (misfit, (down, across)), key=lambda one: one[0])
    return best[1]


def _head(grey: npt.NDArray[np.float64]) -> Mask:
    smooth = gaussian(grey, 2)
    return np.asarray(ndimage.binary_fill_holes(smooth > threshold_otsu(smooth) / 2))


def folds(free: Mask) -> Iterator[dict[str, list[int]]]:
    """Yield the rows of each fold: `test`, and the healed ones that calibrate and train.

    Args:
        free: Which slices could be healed, in the order of their ids.
    """
    count = len(free)
    for start in range(0, count, BLOCK):
        test = list(range(start, min(start + BLOCK, count)))
        ring = [(test[-1] + step) % count for step in range(1 + GAP, count - len(test) - GAP + 1)]
        healthy = [row for row in ring if free[row]]
        last = ring.index(healthy[CALIBRATING - 1]) + 1 + GAP
        yield {"test": test, "calibrate": healthy[:CALIBRATING], "train": [row for row in ring[last:] if free[row]]}


def healed_figures(recipe: Method, name: str, size: int, seed: int) -> dict[str, Any]:
    """Fit a method in every fold, and judge the maps of all blocks together."""
    images, masks, normal = _slices(Path(os.environ["NORMOSCOPE_DATA"], FILE))
    found: dict[str, list[Any]] = {"blank": [], "blank_block": [], "marked": [], "masks": [], "block": []}
    maps: dict[str, list[Any]] = {}
    for block, rows in enumerate(folds(np.asarray([one is not None for one in normal]))):
        data = partition(_collection(images, masks, normal, rows), preprocessing=Preprocessing(size))
        model = fit(name, recipe, data, run=Run(seed=seed))
        if not model.localizes:
            return {"localises": False}
        found["block"] += [str(block)] * len(rows["test"])
        found["blank_block"] += [str(block)] * sum(normal[row] is not None for row in rows["test"])
        test = [model.prepare([s for s in data.samples["test"] if s.label == k]) for k in (0, 1)]
        _judge(model, test, len(images) * seed + block, found, maps)
    return {"localises": True, **_pooled(found, {kind: np.concatenate(drawn) for kind, drawn in maps.items()})}


@cache
def _slices(file: Path) -> tuple[Any, Any, list[npt.NDArray[np.uint8] | None]]:
    """Read the slices and heal them, once for all methods and seeds."""
    with np.load(file) as arrays:
        images, masks = arrays["images"], arrays["masks"] > 0
    return images, masks, [healed(image, mask) for image, mask in zip(images, masks, strict=True)]


def _collection(images: Any, masks: Any, normal: list[Any], rows: dict[str, list[int]]) -> Collection:
    parts: list[tuple[str, Split]] = [("train", "train"), ("calibrate", "validation"), ("test", "test")]
    samples = [
        Sample(f"healed-{row}", partial(np.asarray, normal[row]), "normal", 0, split)
        for part, split in parts
        for row in rows[part]
        if normal[row] is not None
    ]
    samples += [
        Sample(f"slice-{row}", partial(np.asarray, images[row]), "tumour", 1, "test",
               read_mask=partial(np.asarray, masks[row]))
        for row in rows["test"]
    ]  # fmt: skip
    return Collection(FILE, samples, "normal")


def _judge(
    model: Model, test: list[Prepared], seed: int, found: dict[str, list[Any]], maps: dict[str, list[Any]]
) -> None:
    """Add one block's maps and marks; the seed is of its chance maps."""
    healthy, ill = test
    drawn = list(model.maps(ill.images))
    found["blank"] += [not model.marked(one).any() for one in model.maps(healthy.images)]
    found["marked"] += [model.marked(one) for one in drawn]
    found["masks"] += [model.preprocessor.mask(s.read_mask()) for s in ill.samples if s.read_mask]
    kinds = {OWN: np.stack(drawn), **{chance.value: chance_maps(chance, ill.images, seed) for chance in Chance}}
    if model.normal_maps is not None:
        kinds[STANDARDISED] = np.stack([model.normal_maps.standardised(one) for one in drawn])
    for kind, of_kind in kinds.items():
        maps.setdefault(kind, []).append(of_kind)


def _pooled(found: dict[str, list[Any]], maps: dict[str, Any]) -> dict[str, Any]:
    """Judge all blocks; every block has its own model, so only figures that compare within an image are pooled."""
    masks = np.stack(found["masks"])
    seen = masks.any((1, 2))
    lesions, marked = Lesions(masks[seen], np.asarray(found["block"])[seen]), np.stack(found["marked"])[seen]
    small, large = lesions.between(*SMALL), lesions.between(LARGE, 1)
    rows = {
        kind: {
            "images": len(lesions),
            "pointing": lesions.pointing(drawn[seen]).to_json(),
            "pointing_small": lesions.of(small).pointing(drawn[seen][small]).to_json(),
        }
        for kind, drawn in maps.items()
    }
    return {
        "marked_normals": share(~np.asarray(found["blank"]), np.asarray(found["blank_block"])).to_json(),
        "hit_lesions": lesions.of(large).hit(marked[large]).to_json(),
        "rows": rows,
        "left_out": f"{int(np.sum(~seen))} tumours vanish at this size",
    }
