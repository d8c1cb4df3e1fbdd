"""BraTS: brain MRI volumes in NIfTI as axial slices of one modality, labelled and masked by the tumour segmentation.

    CASE/CASE_{flair,t1,t1ce,t2,seg}.nii.gz        BraTS 2021 and before (BraTS2021_00000)
    CASE/CASE-{t2f,t1n,t1c,t2w,seg}.nii.gz         BraTS 2023 and after (BraTS-GLI-00000-000)

Also uncompressed, also all files in one folder. A slice is called `CASE/NUMBER`, counted from the feet; the case is the
patient, without its last number where that counts a patient's scans (BraTS-GLI-00000-000). A slice is `abnormal` where
the segmentation has lesion pixels, `normal` where it has none: normal slices come from patients with a tumour. Slices
with hardly any brain are left out, those of cases without a segmentation have no class.
MedIAnomaly's choice: spacing=5 depth=70 crop=208.

Listing decodes every volume once, about 0.3 seconds each; reading keeps two volumes in memory. MRI has no unit, so each
volume is scaled by its own percentile and read as 16-bit grey values.

Needs the extra `nifti`. Licence: registration with the challenge; see https://www.synapse.org/brats2021.
Reference: Baid et al., The RSNA-ASNR-MICCAI BraTS 2021 benchmark on brain tumor segmentation and radiogenomic
classification, arXiv 2107.02314, 2021.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool

from ..errors import DataNotFoundError, LayoutError, OptionError, UnreadableImageError
from ..types import Pixels, Sample, Split
from ._layouts import counted
from ._nifti import axial_stack, check_places, require_nibabel
from ._walk import walk

__all__ = ["BraTS"]

MODALITIES: tuple[tuple[str, ...], ...] = (("flair", "t2f"), ("t1", "t1n"), ("t1ce", "t1c", "t1gd"), ("t2", "t2w"))
"""Names of one modality: BraTS 2021's first, then those of later years."""

_ENDINGS = (".nii.gz", ".nii")
_SCAN = re.compile(r"(BraTS-\w+-\d+)-\d{3}")  # of a patient, from 2023 on


class _Case(NamedTuple):
    """One patient's scan."""

    name: str
    image: Path
    mask: Path | None

    @property
    def patient(self) -> str:
        match = _SCAN.fullmatch(self.name)
        return self.name if match is None else match[1]


@dataclass(frozen=True)
class BraTS:
    """Cases of NIfTI volumes.

    Args:
        path: The folder with the cases.
        modality: flair, t1, t1ce or t2 (or t2f, t1n, t1c, t2w: both names find both), or another end of file names.
        mask: End of the segmentations' file names.
        spacing: Distance from one slice taken to the next, 1 or more.
        depth: So many slices from the middle of the volume are considered; 0 considers all.
        crop: Side of the square cut out of the middle of each slice, in pixels; 0 keeps slices whole.
        min_brain: Slices are left out where a smaller share of their pixels is brain (above zero), 0 to 1.
        min_lesion: A slice is abnormal from so many lesion pixels on, 1 or more; with fewer, but some, it is left out.
        percentile: The percentile of a volume's brain that becomes white, up to 100; 0 keeps the file's values.
        test_share: Share of the patients whose slices are test, the others' train, drawn alike each time; 0 splits
            none.

    Raises:
        OptionError: A value out of range.
    """

    path: str
    modality: str = "flair"
    mask: str = "seg"
    spacing: int = 1
    depth: int = 0
    crop: int = 0
    min_brain: float = 0.05
    min_lesion: int = 1
    percentile: float = 99.5
    test_share: float = 0.0

    default_normal: ClassVar[tuple[str, ...]] = ("normal",)

    def __post_init__(self) -> None:
        _check("spacing", self.spacing, self.spacing >= 1, "1 or more slices")
        _check("depth", self.depth, self.depth >= 0, "0 or more slices")
        _check("crop", self.crop, self.crop >= 0, "0 or more pixels")
        _check("min_brain", self.min_brain, 0 <= self.min_brain <= 1, "a share from 0 to 1")
        _check("min_lesion", self.min_lesion, self.min_lesion >= 1, "1 or more pixels")
        _check("percentile", self.percentile, 0 <= self.percentile <= 100, "0 to 100")
        _check("test_share", self.test_share, 0 <= self.test_share < 1, "a share from 0 to below 1")

    def samples(self) -> Sequence[Sample]:
        """List the slices, case by case, from the feet up.

        Raises:
            DataNotFoundError: No such folder.
            LayoutError: No volumes of the modality, or two for one case.
            UnreadableImageError: A volume cannot be read, or its segmentation has another shape or place.
            OptionError: The crop is larger than the slices.
            MissingExtraError: nibabel is not installed.
        """
        return self._content[0]

    def aliases(self) -> Mapping[str, str]:
        """Classes have no second names."""
        return {}

    def notes(self) -> tuple[str, ...]:
        """Say which cases and slices were left out, and which cases have no segmentation."""
        return self._content[1]

    @cached_property
    def _content(self) -> tuple[Sequence[Sample], tuple[str, ...]]:
        require_nibabel()
        cases, incomplete = self._cases()
        patients = list(dict.fromkeys(case.patient for case in cases))
        drawn = np.random.default_rng(0).permutation(len(patients))[: round(self.test_share * len(patients))]
        tests = {patients[number] for number in drawn}
        samples: list[Sample] = []
        dark = slight = 0
        for case in cases:
            split: Split | None = None if not self.test_share else "test" if case.patient in tests else "train"
            for index, brain, lesion in self._slices(case):
                if brain < self.min_brain:
                    dark += 1
                elif lesion is not None and 0 < lesion < self.min_lesion:
                    slight += 1
                else:
                    samples.append(self._sample(case, index, lesion, split))
        bare = sum(case.mask is None for case in cases)
        notes = {
            f"left out {counted(incomplete, 'case')} without a {self.modality} volume": incomplete,
            f"no segmentation for {counted(bare, 'case')}, whose slices have no class": bare,
            f"left out {counted(dark, 'slice')} with less than {100 * self.min_brain:g}% brain": dark,
            f"left out {counted(slight, 'slice')} with a lesion of fewer than {self.min_lesion} pixels": slight,
        }
        return samples, tuple(f"{self.path}: {note}." for note, count in notes.items() if count)

    def _cases(self) -> tuple[list[_Case], int]:
        """Pair volumes and segmentations by the case in their names; also count cases without a volume."""
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise DataNotFoundError(f"the folder {self.path}", str(root.absolute().parent), "check the path")
        modality = self.modality.lower()
        names = next((names for names in MODALITIES if modality in names), (modality,))
        stems = {path: stem for _, path in walk(root) if (stem := _stem(path.name))}
        images, masks = _ending(root, stems, names), _ending(root, stems, (self.mask.lower(),))
        if not images:
            got = f"{counted(len(stems), 'NIfTI file')}{_shown([path.name for path in stems])}"
            raise LayoutError(
                self.path, f"volumes named CASE_{self.modality}.nii.gz", got, "choose with -o modality=NAME"
            )
        return [_Case(name, path, masks.get(name)) for name, path in images.items()], len(masks.keys() - images.keys())

    def _slices(self, case: _Case) -> Iterator[tuple[int, float, int | None]]:
        """Walk through the slices considered: number, share of brain, lesion pixels (None without a segmentation)."""
        stack = axial_stack(case.image)
        if self.crop > min(stack.shape[1:]):
            expected = f"at most {min(stack.shape[1:])}, the shorter side of the slices of {case.image}"
            raise OptionError("brats option crop", self.crop, expected)
        brain = _middle(stack > 0, self.crop).mean(axis=(1, 2))
        lesion = None
        if case.mask is not None:
            lesion = _middle(_lesions(case.mask, case.image, stack.shape), self.crop).sum(axis=(1, 2))
        first = max(0, len(stack) - self.depth) // 2 if self.depth else 0
        last = min(len(stack), first + self.depth) if self.depth else len(stack)
        for index in range(first, last, self.spacing):
            yield index, float(brain[index]), None if lesion is None else int(lesion[index])

    def _sample(self, case: _Case, index: int, lesion: int | None, split: Split | None) -> Sample:
        return Sample(
            f"{case.name}/{index:03d}",
            partial(_pixels, case.image, index, self.crop, self.percentile),
            class_name=None if lesion is None else "abnormal" if lesion else "normal",
            split=split,
            patient=case.patient,
            read_mask=None if case.mask is None else partial(_mask, case.mask, index, self.crop),
        )


def _check(option: str, value: object, fits: bool, expected: str) -> None:
    if not fits:
        raise OptionError(f"brats option {option}", value, expected)


def _stem(name: str) -> str:
    """Return a NIfTI file's name without its ending, else nothing."""
    ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")
    return name[: -len(ending)] if ending else ""


def _ending(root: Path, stems: Mapping[Path, str], kinds: Sequence[str]) -> dict[str, Path]:
    """Return the files called CASE_KIND or CASE-KIND by their case, one each."""
    found: dict[str, Path] = {}
    for path, stem in stems.items():
        kind = next((kind for kind in kinds if stem.lower().endswith((f"_{kind}", f"-{kind}"))), None)
        if kind is None:
            continue
        case = stem[: -len(kind) - 1]
        other = found.setdefault(case, path)
        if other != path:
            got = f"{other.relative_to(root)} and {path.relative_to(root)}"
            raise LayoutError(str(root), f"one {kind} volume for each case", got, "keep one of them")
    return found


def _shown(names: Sequence[str]) -> str:
    more = " ..." if len(names) > 3 else ""
    return f" ({', '.join(names[:3])}{more})" if names else ""


def _middle(stack: npt.NDArray[Any], crop: int) -> npt.NDArray[Any]:
    """Return the central square of slices (..., h, w)."""
    if not crop:
        return stack
    top, left = ((side - crop) // 2 for side in stack.shape[-2:])
    return stack[..., top : top + crop, left : left + crop]


def _lesions(path: Path, image: Path, shape: tuple[int, ...]) -> Bool[np.ndarray, "s h w"]:
    """Read a segmentation of a volume, which has this shape: every voxel with a label is lesion."""
    marked = axial_stack(path) > 0
    if marked.shape != shape:
        sizes = "{2} x {1} x {0} voxels, its volume {5} x {4} x {3}".format(*marked.shape, *shape)
        raise UnreadableImageError(str(path), f"the segmentation is {sizes}; both must have the same size")
    check_places(path, image)
    return marked


def _pixels(path: Path, index: int, crop: int, percentile: float) -> Pixels:
    """Read one slice (h, w): uint16 scaled by its volume's percentile, or float32 as the file has it."""
    return np.array(_middle(_scaled(path, _changed(path), percentile)[index], crop))  # a copy: the volume is kept


def _mask(path: Path, index: int, crop: int) -> Pixels:
    """Read the lesion mask of one slice, (h, w) bool."""
    return np.array(_middle(_marked(path, _changed(path))[index], crop))


def _changed(path: Path) -> int:
    """Return when a file was last written; 0 where there is none, which reading then reports."""
    return path.stat().st_mtime_ns if path.is_file() else 0


# A slice cannot be had without unpacking its volume. Slices are read volume by volume, so the last one is kept.
@lru_cache(maxsize=1)
def _scaled(path: Path, changed: int, percentile: float) -> Pixels:
    stack = axial_stack(path)
    if not percentile:
        return stack
    brain = stack[stack > 0]
    white = float(np.percentile(brain, percentile)) if brain.size else 1.0
    return np.asarray(np.rint(np.clip(stack / np.float32(white), 0, 1) * 65535), np.uint16)


@lru_cache(maxsize=1)
def _marked(path: Path, changed: int) -> Pixels:
    return np.asarray(axial_stack(path) > 0)
