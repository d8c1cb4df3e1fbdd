"""Are a model's maps worth looking at? Every map of one fitted model on the same images, beside maps that know nothing.

    Model, images --every map--> pointing, AUPRO, pixel AP (masks) · deletion, insertion (counterparts) · random weights

Figures that need masks alone are of all abnormal images that have one. Attributions, and scores of images altered step
by step, are dear: they are of a few of these images, drawn by the seed. AUPRO and pixel AP pool abnormal images only;
those of `evaluate` count the pixels of normal images too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from torch import Tensor

from .errors import OptionError, TooFewImagesError
from .estimates import Estimate, resampled
from .faithfulness import UNDEFINED, replacement_curves
from .lesions import Lesions, share
from .map_kinds import OWN, Drawn, Few, drawn
from .model import Model
from .randomisation import Check
from .splits import patients_of
from .statistics import Interval
from .transforms import Prepared
from .types import Images, Sample

__all__ = ["FEW", "LARGE", "SMALL", "Row", "Sanity", "sanity"]

FEW = 32
"""Images that attributions and replacement curves are made of."""

SMALL = (0.005, 0.03)
"""Shares of the image's area between which a lesion is small, yet no speck."""

LARGE = 0.01
"""Share of the image's area from which a lesion should be hit."""

Patients = npt.NDArray[np.str_] | None

_NO_MASKS = Interval.without_bounds(math.nan, "no masks")
_NO_MARKS = Interval.without_bounds(math.nan, "the model marks nothing: no maps, or too few calibration normals")


@dataclass(frozen=True)
class Row:
    """What one kind of map is worth.

    Args:
        images: That the localisation figures are of.
        pointing: Share of lesions that hold the map's highest pixel; ties count by share.
        pointing_small: Of lesions of 0.5 to 3 % of the area.
        aupro: Of abnormal images; 0.15 without information.
        pixel_ap: Of abnormal images; the share of lesion pixels without information.
        deletion: Median area by counterpart; lower is better.
        insertion: Median area by counterpart; higher is better.
        check: By random weights.
    """

    images: int
    pointing: Interval
    pointing_small: Interval
    aupro: Interval
    pixel_ap: Interval
    deletion: Mapping[str, Estimate]
    insertion: Mapping[str, Estimate]
    check: Check

    def to_json(self) -> dict[str, Any]:
        """Return plain values; nan becomes None."""
        return {
            "images": self.images,
            **{name: getattr(self, name).to_json() for name in ("pointing", "pointing_small", "aupro", "pixel_ap")},
            "deletion": {name: area.to_json() for name, area in self.deletion.items()},
            "insertion": {name: area.to_json() for name, area in self.insertion.items()},
            "check": self.check.to_json(),
        }


@dataclass(frozen=True)
class Sanity:
    """Every map of a model, and what its marked regions are worth.

    Args:
        method: The model's.
        rows: Name of the map to its figures; chance maps last.
        few: Images that attributions and replacement curves are made of.
        counterpart: What attributions compare an image with; None where the model has none.
        lesion_share: Of the pixels; nan without masks.
        marked_normals: Share of normal images with any marked pixel.
        hit_lesions: Share of lesions of at least 1 % of the area with a marked pixel inside.
        notes: Sentences the reader must see.
    """

    method: str
    rows: Mapping[str, Row]
    few: int
    counterpart: str | None
    lesion_share: float
    marked_normals: Interval
    hit_lesions: Interval
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; nan becomes None."""
        return {
            "method": self.method,
            "few": self.few,
            "counterpart": self.counterpart,
            "lesion_share": None if math.isnan(self.lesion_share) else self.lesion_share,
            "marked_normals": self.marked_normals.to_json(),
            "hit_lesions": self.hit_lesions.to_json(),
            "rows": {name: row.to_json() for name, row in self.rows.items()},
            "notes": list(self.notes),
        }


def sanity(
    model: Model,
    prepared: Prepared,
    normals: Images | None = None,
    *,
    seed: int = 0,
    few: int = FEW,
    progress: bool = False,
) -> Sanity:
    """Judge every map of a model.

    Images are abnormal by their label, or, where they have none, by a mask that is not empty. Without masks the curves
    and the checks remain, on a few abnormal images, or on any where no label is known.

    Args:
        model: Fitted; of a method that cannot localise, attributions of the score are judged.
        prepared: Images it was not fitted on.
        normals: Training normals, prepared: the nearest is a counterpart too.
        seed: Of the choice of images, the random map, the order among equal pixels, and the random weights.
        few: Most images for what is dear.
        progress: Show bars.

    Raises:
        OptionError: `few` below 1.
        TooFewImagesError: No images.
    """
    if few < 1:
        raise OptionError("few", few, "1 or more")
    if not prepared.samples:
        raise TooFewImagesError("test", 1, 0, "give images")
    rows, lesions, vanished = _judged(model, prepared)
    chosen = np.random.default_rng(seed).permutation(len(rows))[:few]
    images = prepared.images.subset(rows)
    dear = Few.of(model, images, np.sort(chosen), normals)
    judge = _Judge(model, dear, lesions, _patients([prepared.samples[row] for row in rows]), seed)
    notes = _notes(dear, lesions)
    if vanished:
        all_of = vanished + (0 if lesions is None else len(lesions))
        gone = f"{vanished} of {all_of} lesions vanish at {model.preprocessor.size} pixels"
        notes.append(f"{gone} and are left out: no map finds them, so every figure would be lower with them")
    found, hit = {}, _NO_MARKS
    for one in drawn(model, images, dear, notes, seed, progress):
        found[one.name] = judge(one)
        if one.name == OWN:
            hit = _hit(model, one.maps, lesions)
    return Sanity(
        model.method,
        found,
        len(dear.rows),
        dear.counterpart,
        math.nan if lesions is None else float(lesions.masks.mean()),
        _marked_normals(model, prepared, progress),
        hit,
        tuple(notes),
    )


def _judged(model: Model, prepared: Prepared) -> tuple[Int[np.ndarray, " n"], Lesions | None, int]:
    """Choose the images maps are judged on, read their masks where there are any, and count those that vanish.

    A lesion vanishes that fills less than half of every pixel at the model's size.
    """
    read = {row: s.read_mask for row, s in enumerate(prepared.samples) if s.label != 0 and s.read_mask is not None}
    masks, vanished = {}, 0
    for row, reader in read.items():
        whole = reader()
        masks[row] = model.preprocessor.mask(whole)
        vanished += bool(whole.any()) and not masks[row].any()
    rows = np.asarray([row for row, mask in masks.items() if mask.any()], np.int64)
    if len(rows):
        drawn = np.stack([masks[row] for row in rows])
        return rows, Lesions(drawn, _patients([prepared.samples[r] for r in rows])), vanished
    labels = [sample.label for sample in prepared.samples]
    wanted = 1 if 1 in labels else None if None in labels else 0
    return np.flatnonzero([label == wanted for label in labels]), None, vanished


def _patients(samples: Sequence[Sample]) -> Patients:
    patients = patients_of(samples)
    return None if patients is None else np.asarray(patients)


def _notes(dear: Few, lesions: Lesions | None) -> list[str]:
    """Say what the figures cannot."""
    told = [
        f"attributions, deletion and insertion: {len(dear.rows)} images, drawn by the seed; random weights: "
        f"{len(dear.checked)} of them"
    ]
    if lesions is None:
        told.append("no masks to judge by: nothing here says whether the maps find lesions")
    if not dear.counterparts:
        told.append("the model cannot say what an image would be if it were normal: no deletion, insertion, occlusion")
    return told


@dataclass(frozen=True)
class _Judge:
    """Turns maps into a row."""

    model: Model
    few: Few
    lesions: Lesions | None
    patients: Patients
    seed: int

    def __call__(self, drawn: Drawn) -> Row:
        at = np.searchsorted(drawn.rows, self.few.rows)
        areas = {name: self._areas(normal, drawn.maps[at]) for name, normal in self.few.counterparts.items()}
        deletion, insertion = ({name: pair[side] for name, pair in areas.items()} for side in (0, 1))
        return Row(*self._localised(drawn), deletion, insertion, drawn.check)

    def _localised(self, drawn: Drawn) -> tuple[int, Interval, Interval, Interval, Interval]:
        if self.lesions is None:
            return 0, _NO_MASKS, _NO_MASKS, _NO_MASKS, _NO_MASKS
        lesions = self.lesions.of(drawn.rows)
        small = lesions.between(*SMALL)
        pointed = lesions.pointing(drawn.maps), lesions.of(small).pointing(drawn.maps[small])
        return len(lesions), *pointed, lesions.aupro(drawn.maps), lesions.pixel_ap(drawn.maps)

    def _areas(self, normal: Float[Tensor, "m c h w"], maps: Float[np.ndarray, "m h w"]) -> tuple[Estimate, Estimate]:
        curves = replacement_curves(self.model.batch_score, self.few.images, normal, maps, self.seed)
        patients = None if self.patients is None else self.patients[self.few.rows]
        return _median(curves.deletion_area, patients), _median(curves.insertion_area, patients)


def _median(areas: Float[np.ndarray, " m"], patients: Patients) -> Estimate:
    """Return the median over the images that score above their counterpart."""
    known = np.isfinite(areas)
    values, groups = areas[known], None if patients is None else patients[known]
    if not known.any():
        return Estimate.missing(UNDEFINED)
    return resampled(lambda drawn: np.asarray([np.median(np.repeat(values, w)) for w in drawn]), len(values), groups)


def _hit(model: Model, maps: Float[np.ndarray, "n h w"], lesions: Lesions | None) -> Interval:
    """Return the share of large lesions with a mark inside."""
    if model.region_judge is None:
        return _NO_MARKS
    if lesions is None:
        return _NO_MASKS
    large = lesions.between(LARGE, 1)
    marked = [model.marked(one) for one in maps[large]]
    return lesions.of(large).hit(np.asarray(marked, bool).reshape(-1, *maps.shape[1:]))


def _marked_normals(model: Model, prepared: Prepared, progress: bool) -> Interval:
    """Return the share of normal images with any mark."""
    if model.region_judge is None:
        return _NO_MARKS
    rows = [row for row, sample in enumerate(prepared.samples) if sample.label == 0]
    maps = model.maps(prepared.images.subset(rows), progress=progress)
    return share(np.asarray([model.marked(one).any() for one in maps]), _patients([prepared.samples[r] for r in rows]))
