"""Images a model was made with, read again as they were: only those whose pixels have not changed since.

Model, Collection --named in a part, same content hash--> Prepared
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import DataError
from .model import Model
from .transforms import Prepared
from .types import Collection, Sample

__all__ = ["MOST", "training_normals", "unchanged"]

MOST = 2000
"""Training normals that are read to find near ones among."""


def training_normals(model: Model, collection: Collection, most: int = MOST) -> Prepared | None:
    """Read training normals, evenly spread; None where the data are others, or fewer than two are left.

    Args:
        model: The model.
        collection: Data that may be the model's own.
        most: Images to read.
    """
    if collection.spec != model.provenance["data"]["spec"]:
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
    """
    try:
        read = model.prepare(samples, skip_unreadable=True)
    except DataError:  # images of another depth now
        return None
    kept = model.parts[part]
    rows = [i for i, (s, h) in enumerate(zip(read.samples, read.hashes, strict=True)) if kept[s.name] == h]
    hashes = tuple(read.hashes[row] for row in rows)
    return Prepared(tuple(read.samples[row] for row in rows), read.images.subset(np.asarray(rows, np.int64)), hashes)
