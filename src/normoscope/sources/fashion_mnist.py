"""FashionMNIST pieces of clothing, 28 x 28 grey, read from its idx files (gzipped or not) or an .npz.

`fashion_mnist:FOLDER`, `fashion_mnist:FILE.npz`, or `fashion_mnist` alone for the folder `fashion_mnist` under
$NORMOSCOPE_DATA. Ten classes, 0 to 9 or by name (`sneaker`); which one is normal must be named. 60,000 training and
10,000 test images; a file with the test part alone is read, and said to be so.

Licence: MIT.
Reference: Xiao, Rasul, Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms,
arXiv:1708.07747, 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ..types import Sample
from . import _idx

__all__ = ["FashionMNIST"]

LABELS = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


@dataclass(frozen=True)
class FashionMNIST:
    """The pieces of clothing.

    Args:
        path: Folder of idx files, one of them, or an .npz with `train_images`, `train_labels` ... or `x_train` ...;
            default $NORMOSCOPE_DATA/fashion_mnist.
    """

    path: str = ""

    default_normal: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def _parts(self) -> Sequence[_idx.Part]:
        return _idx.read_parts(_idx.find(self.path, "fashion_mnist"))

    def samples(self) -> Sequence[Sample]:
        """List the images as `train/0` ... `test/9999`.

        Raises:
            DataNotFoundError: No such folder or file.
            LayoutError: Truncated, damaged or mismatched files.
        """
        return _idx.samples_in(self._parts)

    def aliases(self) -> Mapping[str, str]:
        """Map the official class names to the digits."""
        return {name: str(digit) for digit, name in enumerate(LABELS)}

    def notes(self) -> tuple[str, ...]:
        """Say which part is absent."""
        return _idx.notes_on(self._parts, _idx.find(self.path, "fashion_mnist"))
