"""Images a model was made with, read again as they were: only those whose pixels have not changed since.

Model, Collection --named in a part, same content hash--> Prepared
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from .errors import DataError, UnreadableImageError
from .model import Model
from .transforms import Prepared
from .types import Collection, Sample

__all__ = ["MOST", "chosen", "training_normals", "unchanged"]

MOST = 2000
"""Training normals that are read to find near ones among."""


def training_normals(model: Model, collection: Collection, most: int = MOST) -> Prepared | None:
    """Read training normals, evenly spread; None where the data are others, or fewer than two are left.

    Args:
        model: The model.
        collection: Data that may be the model's own.
        most: Images to read.

    Raises:
        OptionError: As `Model.owns`.
    """
    if not model.owns(collection):
        return None
    known = [sample for sample in collection.samples if sample.name in model.parts["train"]]
    found = unchanged(model, known[:: max(1, -(-len(known) // most))], "train")
    return found if found is not None and len(found.samples) > 1 else None


def unchanged(model: Model, samples: Sequence[Sample], part: str) -> Prepared | None:
    """Read samples and keep those that are still what the model saw; None where nothing can be read as it was.

    Args:
        model: The model.
        samples: Named in the part.
        part: train, select, calibrate or test.

    Returns:
        The unchanged ones; a problem for each of the others.
    """
    try:
        read = model.prepare(samples, skip_unreadable=True)
    except DataError:  # images of another depth now
        return None
    kept = model.parts[part]
    same = np.asarray([kept[s.name] == h for s, h in zip(read.samples, read.hashes, strict=True)], bool)
    changed = [read.samples[row].name for row in np.flatnonzero(~same)]
    problems = (*read.problems, *(UnreadableImageError(name, "changed since the model was fitted") for name in changed))
    return replace(chosen(read, np.flatnonzero(same)), problems=problems)


def chosen(prepared: Prepared, rows: Int[np.ndarray, " k"]) -> Prepared:
    """Return some of what was read, with all its problems."""
    samples, hashes = (tuple(values[row] for row in rows) for values in (prepared.samples, prepared.hashes))
    return Prepared(samples, prepared.images.subset(rows), hashes, prepared.problems)
