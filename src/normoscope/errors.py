"""Every error this package raises on purpose: each takes facts and writes one sentence.

    NormoscopeError
    ├── DataError
    │   ├── DataNotFoundError      the path or download is not there
    │   ├── UnreadableImageError   one file, one cause
    │   ├── UnreadableImagesError  the list of them, raised once after all were looked at
    │   ├── LayoutError            a folder, table or archive is not laid out as its source promises
    │   ├── NormalClassError       the normal class was not named, or does not exist
    │   ├── ImageShapeError        an array has the wrong shape
    │   ├── ImageDepthError        8-bit images meet a model fitted on 16-bit ones, or the reverse
    │   ├── DataChangedError       a job meets other images than those it was planned with
    │   ├── ScoresError            labels and scores that cannot be evaluated together
    │   ├── TooFewImagesError      a part is empty or too small
    │   └── LeakageError           a test image also stands in a part that fitting used
    ├── OptionError                an unknown name or a value out of range
    ├── MissingExtraError          an optional dependency is not installed
    ├── ModelError
    │   ├── ModelNotFoundError     no model folder at this path
    │   ├── DamagedModelError      a file is missing, truncated or changed
    │   └── NewerFormatError       written by a later version
    ├── FolderBusyError            another run is at work in the folder
    ├── NotCalibratedError         too few normals for the wished false-alarm rate
    ├── JobError                   a job of a long run failed
    └── TrainingError
        ├── DivergedError          the loss is not a number
        └── CheckpointError        a checkpoint belongs to another run, or is damaged

ImageShapeError, TooFewImagesError and OptionError are ValueErrors too, as callers from scikit-learn expect.
The command line prints the sentence on one line and exits with code 2.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from difflib import get_close_matches

__all__ = [
    "DISK_FULL",
    "CheckpointError",
    "DamagedModelError",
    "DataChangedError",
    "DataError",
    "DataNotFoundError",
    "DivergedError",
    "FolderBusyError",
    "ImageDepthError",
    "ImageShapeError",
    "JobError",
    "LayoutError",
    "LeakageError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "NewerFormatError",
    "NormalClassError",
    "NormoscopeError",
    "NotCalibratedError",
    "OptionError",
    "ScoresError",
    "TooFewImagesError",
    "TrainingError",
    "UnreadableImageError",
    "UnreadableImagesError",
    "printable",
]


DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a full disk or an exceeded quota."""


_NAMED = 5
"""Files that are named where more of them have the same thing wrong."""


class NormoscopeError(Exception):
    """Root of all errors raised on purpose."""


class DataError(NormoscopeError):
    """Something is wrong with the data."""


class DataNotFoundError(DataError):
    """The data is not where it was looked for."""

    def __init__(self, what: str, looked_in: str, todo: str) -> None:
        super().__init__(f"{what} was not found in {looked_in}; {todo}.")


class UnreadableImageError(DataError):
    """One file that cannot be used as an image, and why."""

    def __init__(self, file: str, cause: str) -> None:
        self.file, self.cause = file, cause
        super().__init__(f"{file}: {cause}")


class UnreadableImagesError(DataError):
    """All unreadable files at once; `problems` holds one error per file, the sentence a few files of each cause."""

    def __init__(self, problems: Sequence[UnreadableImageError], total: int) -> None:
        self.problems = tuple(problems)
        files: dict[str, list[str]] = {}
        for problem in self.problems:
            files.setdefault(problem.cause, []).append(problem.file)
        lines = ""
        for cause, own in files.items():
            many = f"{', '.join(own[:_NAMED])} and {len(own) - _NAMED} more"
            lines += "".join(f"\n  {which}: {cause}" for which in (own if len(own) <= _NAMED else [many]))
        super().__init__(
            f"{len(self.problems)} of {total} images cannot be read; mend or remove them, or pass "
            f"--skip-unreadable to go on without them:{lines}"
        )


class LayoutError(DataError):
    """A folder, table or archive is not laid out as its source promises."""

    def __init__(self, where: str, expected: str, got: str, todo: str = "") -> None:
        super().__init__(f"{where}: expected {expected}, got {got}" + (f"; {todo}." if todo else "."))


_SHOWN = 20
"""Classes that a sentence lists."""


class NormalClassError(DataError):
    """The normal class is never guessed; `found` lists the classes there are."""

    def __init__(self, where: str, classes: Sequence[str], asked: str | None, otherwise: str = "") -> None:
        more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN + 1 else ""
        self.found = ", ".join(classes[:_SHOWN] if more else classes) + more or "none"
        head = "the normal class is not named" if asked is None else f"there is no class {asked!r}"
        super().__init__(f"{where}: {head}; classes found: {self.found}; pass --normal-class NAME_OR_INT{otherwise}.")


class ImageShapeError(DataError, ValueError):
    """An array has the wrong shape."""

    def __init__(self, expected: Sequence[int | str], got: Sequence[int], todo: str = "") -> None:
        shape = ", ".join(str(side) for side in expected)
        super().__init__(
            f"images must have shape (n, {shape}), got {tuple(got)}; "
            + (todo or "prepare them with the model's own preprocessing first")
            + "."
        )


class ImageDepthError(UnreadableImageError):
    """Pixels of another depth than the model was fitted on would be read as another exposure."""

    def __init__(self, file: str, expected: str, got: str) -> None:
        cause = f"expected {expected} pixels as in the training images, got {got}; convert all images to one depth"
        super().__init__(file, cause)


class DataChangedError(DataError):
    """A job meets other images than those it was planned with."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: its images are not those the job was planned with; use the same data everywhere.")


class ScoresError(DataError):
    """Labels and scores that cannot be evaluated together."""

    def __init__(self, what: str, expected: str, got: str, todo: str) -> None:
        super().__init__(f"{what}: expected {expected}, got {got}; {todo}.")


class TooFewImagesError(DataError, ValueError):
    """A part has fewer images than the work needs."""

    def __init__(self, part: str, needed: int, given: int, todo: str = "add normal images") -> None:
        super().__init__(f"{part}: {needed} image{'s' * (needed != 1)} needed, {given} given; {todo}.")


class LeakageError(DataError):
    """A test image also stands in a part that fitting used."""

    def __init__(self, pairs: Sequence[tuple[str, str]], part: str) -> None:
        first = ", ".join(f"{test} = {other}" for test, other in pairs[:3])
        more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
        super().__init__(
            f"{len(pairs)} test images are exact copies of images in {part} ({first}{more}); "
            f"remove them from one side, a score on seen images means nothing."
        )


class OptionError(NormoscopeError, ValueError):
    """An unknown name or a value out of range."""

    def __init__(self, option: str, got: object, expected: str) -> None:
        names = expected.removeprefix("one of ").split(", ") if expected.startswith("one of ") else []
        near = get_close_matches(str(got), names, 1)
        meant = f"; did you mean {near[0]}?" if near else "."
        super().__init__(f"{option}: expected {expected}, got {got!r}{meant}")


class MissingExtraError(NormoscopeError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional part: pip install 'normoscope[{extra}]'.")


class ModelError(NormoscopeError):
    """Something is wrong with a model folder."""


class ModelNotFoundError(ModelError):
    """No model folder at this path."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: no model here (model.json is missing); make one with 'normoscope fit'.")


class DamagedModelError(ModelError):
    """A file of the model is missing, truncated or changed."""

    def __init__(self, file: str, cause: str) -> None:
        super().__init__(f"{file}: {cause}; the model is damaged, restore it from a copy or fit it again.")


class NewerFormatError(ModelError):
    """The model was written by a later version."""

    def __init__(self, path: str, found: int, known: int, version: str) -> None:
        super().__init__(
            f"{path}: model format {found} was written by normoscope {version}, this version reads up to "
            f"{known}; update normoscope."
        )


class NotCalibratedError(NormoscopeError):
    """Too few normals for the wished false-alarm rate."""

    def __init__(self, needed: int, given: int, unit: str = "normals") -> None:
        self.needed, self.given, self.unit = needed, given, unit
        super().__init__(f"not calibrated: {needed} {unit} needed, {given} given.")


class JobError(NormoscopeError):
    """A job of a long run failed."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(f"job {name}: {cause}")


class FolderBusyError(NormoscopeError):
    """Two runs want one folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"{folder}: expected a folder where no other run is at work; wait until it ends, or give another folder."
        )


class TrainingError(NormoscopeError):
    """Training cannot go on."""


class DivergedError(TrainingError):
    """The loss is not a number."""

    def __init__(self, stage: str, epoch: int, loss: float) -> None:
        super().__init__(
            f"training diverged in stage {stage!r}, epoch {epoch}: the loss is {loss}; "
            f"lower the learning rate or use --precision float32."
        )


class CheckpointError(TrainingError):
    """A checkpoint cannot be used."""

    def __init__(self, file: str, cause: str, todo: str) -> None:
        super().__init__(f"{file}: {cause}; {todo}.")


def printable(text: str) -> str:
    """Keep odd names on one line, and from giving orders to a terminal: what is not printable is escaped."""
    return text if text.isprintable() else repr(text)[1:-1]
