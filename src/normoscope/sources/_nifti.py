"""NIfTI-1 and NIfTI-2 volumes as stacks of axial slices; needs nibabel, the extra `nifti`.

    .nii, .nii.gz --nibabel: header, size check, scaling--> (x, y, z) --axes by the affine--> (slices, rows, columns)

Slices run from the feet to the head, rows from front to back and columns from the patient's right to the left, as a
radiologist looks at them, however the file orders its axes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from ..errors import MissingExtraError, UnreadableImageError

__all__ = ["axial_stack", "check_places", "require_nibabel"]

MAX_VOXELS = 100_000_000
"""Headers that declare more are refused before any memory is taken; a BraTS volume has nine million."""

_DAMAGED = "the file is truncated or damaged"
_MOST_PACKED = 1032  # bytes that one byte of a gzip file can become


class _Refused(Exception):
    """A cause, on its way to the place that knows the file's name."""


def require_nibabel() -> Any:
    """Import nibabel.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import nibabel
    except ImportError:
        raise MissingExtraError("reading NIfTI volumes", "nifti") from None
    return nibabel


def axial_stack(path: Path) -> Float32[np.ndarray, "s h w"]:
    """Read one volume, its scale factors applied.

    Raises:
        UnreadableImageError: Missing, empty, truncated, no NIfTI file, not one grey volume, too large or not finite.
        MissingExtraError: nibabel is not installed.
    """
    nibabel = require_nibabel()
    with _one_cause(path):
        if path.stat().st_size == 0:
            raise _Refused("the file is empty (0 bytes)")
        image = _loaded(path)
        _check_header(image)
        _check_size(path, image)
        volume = np.asarray(image.dataobj, dtype=np.float32).reshape(image.shape[:3])
        stack = nibabel.orientations.apply_orientation(volume, _turn(image)).transpose(2, 1, 0)
        bad = int(np.count_nonzero(~np.isfinite(stack)))
        if bad:
            raise _Refused(f"{bad} of its values are NaN or infinite; replace them")
        return np.ascontiguousarray(stack)


def check_places(segmentation: Path, volume: Path) -> None:
    """Refuse a segmentation that is turned otherwise than its volume, and then lies elsewhere.

    A mask that was saved without its volume's header would else be turned over without a word. Turned alike, voxels
    belong together whatever the origin.

    Raises:
        UnreadableImageError: They are more than half a voxel apart.
    """
    (corners, turn, size), (others, other_turn, _) = _corners(volume), _corners(segmentation)
    moved = float(np.abs(others - corners).max())
    if not np.array_equal(turn, other_turn) and moved > size / 2:
        cause = f"its header places it {moved:.3g} mm from its volume {volume.name}; save it with the volume's affine"
        raise UnreadableImageError(str(segmentation), cause)


def _corners(path: Path) -> tuple[Float64[np.ndarray, "8 3"], Any, float]:
    """Return where the outermost voxels of the axial stack lie, in mm, how it was turned, and a voxel's least side."""
    nibabel = require_nibabel()
    with _one_cause(path):
        image = _loaded(path)
        turn, shape = _turn(image), np.array(image.shape[:3])
        affine = image.affine @ nibabel.orientations.inv_ornt_aff(turn, shape)
        ends = np.array(list(np.ndindex(2, 2, 2))) * (shape[np.argsort(turn[:, 0])] - 1)
        return nibabel.affines.apply_affine(affine, ends), turn, float(min(nibabel.affines.voxel_sizes(affine)))


def _turn(image: Any) -> Any:
    """Return how the axes become left, back and head."""
    orientations = require_nibabel().orientations
    return orientations.ornt_transform(
        orientations.io_orientation(image.affine), orientations.axcodes2ornt(("L", "P", "S"))
    )


def _loaded(path: Path) -> Any:
    """Open a file, its voxels unread."""
    nibabel = require_nibabel()
    try:
        return nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError:
        raise _Refused("not a NIfTI file") from None
    except nibabel.spatialimages.HeaderDataError as error:
        raise _Refused(f"its header is not valid ({error})") from None


def _check_header(image: Any) -> None:
    """Refuse what is not one grey volume of a sensible size."""
    shape = image.shape
    if len(shape) < 3 or min(shape) < 1 or any(side != 1 for side in shape[3:]):
        size = " x ".join(map(str, shape))
        raise _Refused(f"its shape is {size}; expected one volume of three dimensions")
    if math.prod(shape) > MAX_VOXELS:
        raise _Refused(f"its header declares more than {MAX_VOXELS:,} voxels")
    if image.get_data_dtype().kind not in "iuf":
        raise _Refused(f"its voxels are {image.get_data_dtype()}; expected one grey value each")


def _check_size(path: Path, image: Any) -> None:
    """Refuse a file too short for its header, as nibabel would take the memory first."""
    declared = int(image.dataobj.offset) + math.prod(image.shape) * image.get_data_dtype().itemsize
    if path.stat().st_size * (_MOST_PACKED if path.suffix.lower() == ".gz" else 1) < declared:
        raise _Refused(_DAMAGED)


@contextmanager
def _one_cause(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong inside into one error that names the file and one cause; nibabel's log keeps silent."""
    log = logging.getLogger("nibabel.global")  # writes to standard error itself
    was, log.disabled = log.disabled, True
    try:
        with np.errstate(over="ignore"):  # of scale factors; what became infinite is counted
            yield
        return
    except _Refused as refusal:
        cause, reason = str(refusal), None
    except Exception as error:  # parsers of untrusted bytes raise anything: EOFError, HeaderDataError, zlib.error ...
        known = isinstance(error, OSError) and error.errno and error.strerror
        cause, reason = str(known).lower() if known else _DAMAGED, error
    finally:
        log.disabled = was
    raise UnreadableImageError(str(path), cause) from reason
