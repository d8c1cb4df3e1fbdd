"""MNIST handwritten digits, 28 x 28 grey, read from its idx files (gzipped or not) or an .npz.

`mnist:FOLDER`, `mnist:FILE.npz`, or `mnist` alone for the folder `mnist` under $NORMOSCOPE_DATA. A class is a digit;
which one is normal must be named. 60,000 training and 10,000 test images.

Licence: CC BY-SA 3.0.
Reference: LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, Proceedings of
the IEEE 86(11), 2278-2324, 1998.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ..types import Sample
from . import _idx

__all__ = ["MNIST"]


@dataclass(frozen=True)
class MNIST:
    """The digits.

    Args:
        path: Folder of idx files, one of them, or an .npz with `train_images`, `train_labels` ... or `x_train` ...;
            default $NORMOSCOPE_DATA/mnist.
    """

    path: str = ""

    default_normal: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def _parts(self) -> Sequence[_idx.Part]:
        return _idx.read_parts(_idx.find(self.path, "mnist"))

    def samples(self) -> Sequence[Sample]:
        """List the images as `train/0` ... `test/9999`.

        Raises:
            DataNotFoundError: No such folder or file.
            LayoutError: Truncated, damaged or mismatched files.
        """
        return _idx.samples_in(self._parts)

    def aliases(self) -> Mapping[str, str]:
        """A digit has no other name."""
        return {}

    def notes(self) -> tuple[str, ...]:
        """Say which part is absent."""
        return _idx.notes_on(self._parts, _idx.find(self.path, "mnist"))
