"""Phantom: procedural, seeded, medical-looking images with exact lesion masks, drawn when read.

    phantom          frontal chest radiographs
    phantom:brain    axial brain slices

    patient -> anatomy -> [one lesion] -> pose -> blur, exposure, noise -> 8 bits

Normals differ in anatomy, pose, exposure and noise; an abnormal image also carries one lesion, whose kind is its class.
Train and validation hold normals only. An image depends on the seed and on its split, class and number, never on how
many others there are. Every sixth image is the second one of a patient: the same body and lesion, posed and exposed
anew. A third of the patients come from site B, whose exposure differs mildly.

Licence: Apache-2.0, as this package; no patient's data went into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np

from ..errors import OptionError
from ..types import Pixels, Sample, Split
from ._phantom_brain import brain
from ._phantom_chest import chest
from ._phantom_lesions import KINDS, Mask
from ._phantom_scanner import expose, pose
from ._phantom_shapes import Anatomy, Array, View

__all__ = ["Phantom"]


class _Subject(NamedTuple):
    """What is imaged: how one patient is drawn, and the usual greys of the body's quantiles."""

    draw: Callable[[np.random.Generator], Anatomy]
    greys: tuple[float, ...]


_SUBJECTS = {
    "chest": _Subject(chest, (0.22, 0.30, 0.41, 0.51, 0.57, 0.63, 0.75)),
    "brain": _Subject(brain, (0.20, 0.30, 0.38, 0.45, 0.51, 0.57, 0.64)),
}
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Phantom:
    """A phantom data set.

    Args:
        anatomy: chest or brain.
        seed: 0 or more; every random choice derives from it.
        size: Side of the square images in pixels, 28 to 256; the bodies are the same at every size.
        train: Number of training images, 1 or more.
        validation: Number of validation images.
        test: Number of test images.
        prevalence: Share of the test images that are abnormal, 0 to 1.

    Raises:
        OptionError: A value out of range.
    """

    anatomy: str = "chest"
    seed: int = 0
    size: int = 64
    train: int = 600
    validation: int = 200
    test: int = 300
    prevalence: float = 0.5

    default_normal: ClassVar[tuple[str, ...]] = ("normal",)

    def __post_init__(self) -> None:
        _check("anatomy", self.anatomy, self.anatomy in _SUBJECTS, "one of " + ", ".join(_SUBJECTS))
        _check("seed", self.seed, self.seed >= 0, "0 or more")
        _check("size", self.size, 28 <= self.size <= 256, "28 to 256 pixels")
        _check("train", self.train, self.train >= 1, "1 or more images")
        _check("validation", self.validation, self.validation >= 0, "0 or more images")
        _check("test", self.test, self.test >= 0, "0 or more images")
        _check("prevalence", self.prevalence, 0 <= self.prevalence <= 1, "a share from 0 to 1")

    def samples(self) -> Sequence[Sample]:
        """List train, validation, test normals and test abnormals, in this order; nothing is drawn yet."""
        return [_sample(case) for case in self._cases()]

    def aliases(self) -> Mapping[str, str]:
        """Classes have no second names."""
        return {}

    def _cases(self) -> Iterator[_Case]:
        abnormal = round(self.test * self.prevalence)
        counts = {"train": self.train, "validation": self.validation, "test": self.test - abnormal}
        for split in _SPLITS:
            for number in range(counts[split]):
                yield _Case(self.anatomy, self.seed, self.size, split, False, number)
        for number in range(abnormal):
            yield _Case(self.anatomy, self.seed, self.size, "test", True, number)


def _check(option: str, value: object, fits: bool, expected: str) -> None:
    if not fits:
        raise OptionError(f"phantom option {option}", value, expected)


@dataclass(frozen=True)
class _Case:
    """The facts that every random choice of one image derives from; `number` counts within split and class."""

    anatomy: str
    seed: int
    size: int
    split: Split
    abnormal: bool
    number: int

    @property
    def patient(self) -> int:
        """Images 4 and 5, 10 and 11 ... share a patient."""
        return self.number - (self.number + 1) // 6

    @property
    def kind(self) -> str:
        """The lesion's kind, by turns."""
        return list(KINDS)[self.patient % len(KINDS)] if self.abnormal else "none"

    @property
    def site(self) -> str:
        """Where the patient was imaged."""
        return "B" if self.patient % 3 == 2 else "A"

    def generator(self, stage: int, number: int) -> np.random.Generator:
        """Return the random stream of one stage for one patient or image."""
        key = (_SPLITS.index(self.split), int(self.abnormal), stage, number)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))


def _sample(case: _Case) -> Sample:
    """Describe one image without drawing it."""
    group = "abnormal" if case.abnormal else "normal"
    return Sample(
        name=f"{case.split}/{group}-{case.number:05d}",
        read=partial(_pixels, case),
        class_name=case.kind if case.abnormal else "normal",
        split=case.split,
        patient=f"{case.split}-{group}-{case.patient:05d}",
        read_mask=partial(_mask, case),
        subgroups={"site": case.site},
    )


def _pixels(case: _Case) -> Pixels:
    """Draw the image, (size, size) uint8."""
    view, camera = _view(case)
    healthy = view.tissue.attenuation
    seen = _lesion(case, view)[0] if case.abnormal else healthy
    return expose(camera, seen, healthy, _SUBJECTS[case.anatomy].greys, case.site)


def _mask(case: _Case) -> Mask:
    """Draw the lesion's mask, (size, size) bool, empty for normals."""
    if not case.abnormal:
        return np.zeros((case.size, case.size), dtype=np.bool_)
    return _lesion(case, _view(case)[0])[1]


def _view(case: _Case) -> tuple[View, np.random.Generator]:
    """Draw the patient without a lesion, in the image's pose; the generator goes on to the exposure."""
    body, camera = _SUBJECTS[case.anatomy].draw(case.generator(0, case.patient)), case.generator(2, case.number)
    x, y = pose(camera, case.size)
    return View(body, x, y, body(x, y)), camera


def _lesion(case: _Case, view: View) -> tuple[Array, Mask]:
    """Redraw the view with the patient's lesion, and draw the mask."""
    return KINDS[case.kind](case.generator(1, case.patient), view)
