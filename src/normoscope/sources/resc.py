"""RESC: retinal OCT volumes as its challenge gave them out, labelled and masked by the segmentation of edema.

    Edema_trainingset/original_images/CASE_cube_z.img/1.bmp ... 128.bmp
    Edema_trainingset/label_images/CASE_cube_z_labelMark/1.bmp ... 128.bmp      and Edema_validationset alike

The masks hold 0 background, 128 pigment epithelial detachment, 191 subretinal fluid, 255 retinal edema. A slice is
`abnormal` where its mask has any of the three, `normal` where it has none. The challenge's test masks were never given
out: its validation part is the test part here, as in P-Net and BMAD. The patient is the first word of the case's name.
BMAD's version of the set is read by `folder`. Listing opens every mask, about 0.01 seconds each.

Licence: see the site of the challenge, AI Challenger 2018.
Reference: Hu, Chen and Yi, Automated segmentation of macular edema in OCT using deep neural networks, Medical Image
Analysis 55, 216-227, 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from ..decoding import read_image, read_mask
from ..errors import DataNotFoundError, LayoutError
from ..types import Sample, Split
from ._layouts import counted
from ._walk import walk

__all__ = ["RESC"]

SPLITS: Mapping[str, Split] = {"Edema_trainingset": "train", "Edema_validationset": "test"}


@dataclass(frozen=True)
class RESC:
    """The challenge's folders.

    Args:
        path: The folder that holds Edema_trainingset and Edema_validationset, at any depth.
    """

    path: str

    default_normal: ClassVar[tuple[str, ...]] = ("normal",)

    def samples(self) -> Sequence[Sample]:
        """List the slices as `PART/CASE/NUMBER`.

        Raises:
            DataNotFoundError: No such folder.
            LayoutError: Neither part, or no masks.
            UnreadableImageError: A mask cannot be read.
        """
        return self._content[0]

    def aliases(self) -> Mapping[str, str]:
        """Classes have no second names."""
        return {}

    def notes(self) -> tuple[str, ...]:
        """Say how many slices were left out for want of a mask."""
        return self._content[1]

    @cached_property
    def _content(self) -> tuple[Sequence[Sample], tuple[str, ...]]:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise DataNotFoundError(f"the folder {self.path}", str(root.absolute().parent), "check the path")
        listed = {parts[-4:]: path for parts, path in walk(root) if len(parts) >= 4 and parts[-4] in SPLITS}
        samples, bare = [], 0
        for (part, kind, case, number), path in listed.items():
            if kind != "original_images":
                continue
            scan = case.removesuffix(".img")
            mask = listed.get((part, "label_images", f"{scan}_labelMark", number))
            if mask is None:
                bare += 1
                continue
            samples.append(_sample(part, scan, path, mask))
        if not samples:
            expected = "Edema_trainingset/{original_images,label_images}/CASE/NUMBER.bmp"
            raise LayoutError(self.path, expected, f"{counted(bare, 'slice')}, none with a mask", "check the path")
        note = f"{self.path}: left out {counted(bare, 'slice')} without a mask."
        return samples, (note,) if bare else ()


def _sample(part: str, scan: str, image: Path, mask: Path) -> Sample:
    return Sample(
        f"{part}/{scan}/{image.stem}",
        partial(read_image, image),
        class_name="abnormal" if read_mask(mask).any() else "normal",
        split=SPLITS[part],
        patient=scan.partition("_")[0],
        read_mask=partial(read_mask, mask, image),
    )
