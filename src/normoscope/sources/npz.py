"""Your own arrays in an .npz or .npy file, keys chosen by you.

Either one set (`images`, and if you have them `labels`, `masks`, `names` or `ids`, `patients`), or three splits as
MedMNIST has them (`train_images`, `train_labels`, `val_images`, ..., `test_images`, `test_names`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import LayoutError
from ..types import Sample, Split
from ._arrays import check_images, keys, read_array, samples_of

__all__ = ["NPZ"]

SPLITS: tuple[tuple[str, Split], ...] = (("train", "train"), ("val", "validation"), ("test", "test"))


@dataclass(frozen=True)
class NPZ:
    """Arrays of images.

    Args:
        path: The file.
        images: Key of the images, (n, h, w) or (n, h, w, 3); default `images`, or the only array of that shape.
        labels: Key of the labels, (n,) or (n, 1), numbers or texts; default `labels` where it exists.
        masks: Key of the lesion masks, (n, h, w); default `masks` where it exists.
        names: Key of the image names; default `names` or `ids` where one exists.
        patients: Key of the patient ids; default `patients` or `patient_id` where one exists.
    """

    path: str
    images: str = ""
    labels: str = ""
    masks: str = ""
    names: str = ""
    patients: str = ""

    default_normal: ClassVar[tuple[str, ...]] = ()

    def aliases(self) -> Mapping[str, str]:
        """No other names."""
        return {}

    def samples(self) -> Sequence[Sample]:
        """List all rows of all splits.

        Raises:
            LayoutError: Missing keys, or arrays that do not fit together.
        """
        found = keys(Path(self.path))
        if not self.images:
            parts = [(key, split) for key, split in SPLITS if f"{key}_images" in found]
            if parts:
                return [s for key, split in parts for s in self._set(found, f"{key}_", split)]
        return self._set(found, "", None)

    def _set(self, found: list[str], prefix: str, split: Split | None) -> list[Sample]:
        """Read one set of arrays whose keys begin with the prefix."""
        where = f"{self.path}, {prefix}images" if prefix else self.path
        images = check_images(where, self._required(found, prefix))
        labels = self._optional(found, prefix, self.labels, ("labels",), len(images))
        names = self._optional(found, prefix, self.names, ("names", "ids"), len(images))
        patients = self._optional(found, prefix, self.patients, ("patients", "patient_id"), len(images))
        masks = self._optional(found, prefix, self.masks, ("masks",), len(images))
        folder = "" if split is None else f"{split}/"
        if masks is not None and masks.shape != images.shape[:3]:
            raise LayoutError(self.path, f"masks of shape {images.shape[:3]}", str(masks.shape))
        return samples_of(
            images,
            None if labels is None else _texts(labels),
            [folder + name for name in _texts(np.arange(len(images)) if names is None else names)],
            split,
            masks,
            None if patients is None else _texts(patients),
        )

    def _required(self, found: list[str], prefix: str) -> npt.NDArray[Any]:
        key = self.images or prefix + "images"
        if key not in found and not self.images and len(found) == 1:
            key = found[0]
        if key not in found:
            raise LayoutError(self.path, f"an array {key!r}", ", ".join(found), "choose one with -o images=KEY")
        return read_array(Path(self.path), key)

    def _optional(
        self, found: list[str], prefix: str, chosen: str, usual: tuple[str, ...], n: int
    ) -> npt.NDArray[Any] | None:
        """Read a companion array: the chosen key must exist, a usual one may."""
        candidates = [chosen] if chosen else [prefix + key for key in usual if prefix + key in found]
        if not candidates:
            return None
        if candidates[0] not in found:
            raise LayoutError(self.path, f"an array {candidates[0]!r}", ", ".join(found))
        array = read_array(Path(self.path), candidates[0])
        if array.ndim in (2, 4) and array.shape[-1] == 1:
            array = array[..., 0]
        if array.shape[:1] != (n,) or (array.ndim != 1 and "masks" not in usual):
            raise LayoutError(f"{self.path}, {candidates[0]}", f"one value for each of {n} images", str(array.shape))
        return array


def _texts(array: npt.NDArray[Any]) -> list[str]:
    """Return values as texts; whole floats lose their .0."""
    if array.dtype.kind == "f" and (array == np.round(array)).all():
        array = array.astype(np.int64)
    return [
        value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value) for value in array.tolist()
    ]
