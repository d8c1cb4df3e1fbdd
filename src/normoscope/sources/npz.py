"""Your own arrays in an .npz or .npy file, keys chosen by you.

Either one set (`images`, and if you have them `labels`, `masks`, `names` or `ids`, `patients`), or three splits as
MedMNIST has them (`train_images`, `train_labels`, `val_images`, ..., `test_images`, `test_names`). Labels, names and
patients are known for all images or for none: NaN and empty texts are no values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from ..errors import LayoutError
from ..types import Sample, Split
from ._arrays import check_images, keys, read_array, samples_of

__all__ = ["NPZ"]

SPLITS: tuple[tuple[str, Split], ...] = (("train", "train"), ("val", "validation"), ("test", "test"))
_NO_NUMBER = ("nan", "inf", "-inf")
_NO_TEXT = ("", "nan", "NaN")  # numpy writes a NaN among texts as one


@dataclass(frozen=True)
class NPZ:
    """Arrays of images.

    Args:
        path: The file.
        images: Key of the images, (n, h, w) or (n, h, w, 3); default `images`, or the only array of the file.
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
        found = keys(self._file)
        if not self.images:
            parts = [(key, split) for key, split in SPLITS if f"{key}_images" in found]
            if parts:
                return [s for key, split in parts for s in self._set(found, f"{key}_", split)]
        return self._set(found, "", None)

    @property
    def _file(self) -> Path:
        return Path(self.path).expanduser()  # no shell does it behind the colon of npz:~/x.npz

    def _set(self, found: list[str], prefix: str, split: Split | None) -> list[Sample]:
        """Read one set of arrays whose keys begin with the prefix."""
        where = f"{self.path}, {prefix}images" if prefix else self.path
        images = check_images(where, self._required(found, prefix))
        labels = self._column(found, prefix, self.labels, ("labels",), len(images))
        names = self._column(found, prefix, self.names, ("names", "ids"), len(images))
        patients = self._column(found, prefix, self.patients, ("patients", "patient_id"), len(images))
        folder = "" if split is None else f"{split}/"
        names = [folder + name for name in names or map(str, range(len(images)))]
        return samples_of(images, labels, names, split, self._masks(found, prefix, images), patients)

    def _required(self, found: list[str], prefix: str) -> npt.NDArray[Any]:
        key = self.images or prefix + "images"
        if key not in found and not self.images and len(found) == 1:
            key = found[0]
        if key not in found:
            raise LayoutError(
                self.path, f"an array {key!r}", ", ".join(found) or "none", "choose one with -o images=KEY"
            )
        return read_array(self._file, key)

    def _column(self, found: list[str], prefix: str, chosen: str, usual: tuple[str, ...], n: int) -> list[str] | None:
        """Read one value for each image as text; None where there are none, or none is known."""
        key = self._key(found, prefix, chosen, usual)
        if key is None:
            return None
        array, where = self._companion(key, n), f"{self.path}, {key}"
        if array.ndim != 1:
            raise LayoutError(where, f"one value for each of {n} images", str(array.shape))
        if array.dtype.kind not in "biufSU":
            raise LayoutError(where, "numbers or texts", str(array.dtype))
        texts = [_text(value) for value in array.tolist()]
        unknown = [text for text in texts if text in (_NO_NUMBER if array.dtype.kind == "f" else _NO_TEXT)]
        if unknown and len(unknown) < n:
            got = f"{unknown[0] or 'an empty text'} ({len(unknown)} of {n})"
            raise LayoutError(where, "a value for every image", got, "fill all or none")
        return None if unknown else texts

    def _masks(self, found: list[str], prefix: str, images: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        key = self._key(found, prefix, self.masks, ("masks",))
        if key is None:
            return None
        masks = self._companion(key, len(images))
        if masks.shape != images.shape[:3]:
            raise LayoutError(self.path, f"masks of shape {images.shape[:3]}", str(masks.shape))
        if masks.dtype.kind not in "biuf":
            raise LayoutError(f"{self.path}, {key}", "masks of numbers", str(masks.dtype))
        return masks

    def _key(self, found: list[str], prefix: str, chosen: str, usual: tuple[str, ...]) -> str | None:
        """Name a companion array: the chosen key must exist, a usual one may."""
        if chosen and chosen not in found:
            raise LayoutError(self.path, f"an array {chosen!r}", ", ".join(found))
        return chosen or next((prefix + key for key in usual if prefix + key in found), None)

    def _companion(self, key: str, n: int) -> npt.NDArray[Any]:
        """Read an array of as many rows as there are images, without a last axis of length 1."""
        array = read_array(self._file, key)
        if array.ndim in (2, 4) and array.shape[-1] == 1:
            array = array[..., 0]
        if array.shape[:1] != (n,):
            raise LayoutError(f"{self.path}, {key}", f"one value for each of {n} images", str(array.shape))
        return array


def _text(value: object) -> str:
    """Return a value as text; whole floats lose their .0."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)
