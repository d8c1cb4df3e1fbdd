"""Which images stand in the picture of a latent space: some of each part, chosen evenly.

Model, Collection --named in the model's parts, read, unchanged--> train, held-out        Prepared --> scored
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from .model import Model
from .own_images import chosen, unchanged
from .transforms import Prepared
from .types import Collection, Sample

__all__ = ["MOST", "Group", "Part", "fitted_groups", "scored_group", "stratified"]

MOST = 100
"""Images of a group that are shown."""


class Part(Enum):
    """What an image was to the model."""

    TRAIN = "train"
    HELD_OUT = "held-out"
    SCORED = "scored"


@dataclass(frozen=True)
class Group:
    """Images of one part that are to be shown.

    Args:
        part: What they were to the model.
        collection: Where they came from.
        prepared: At most 100.
        total: How many the part holds.
        scores: (n,) where they are known already; None has them computed.
    """

    part: Part
    collection: Collection
    prepared: Prepared
    total: int
    scores: Float[np.ndarray, " n"] | None = None


def scored_group(
    collection: Collection, prepared: Prepared, scores: npt.NDArray[np.float64] | None = None, seed: int = 0
) -> Group:
    """Choose among scored images.

    Args:
        collection: Where they came from.
        prepared: All of them.
        scores: (n,) of all of them, where known.
        seed: Of the choice.
    """
    rows = stratified(prepared.samples, MOST, seed)
    shown, known = chosen(prepared, rows), None if scores is None else scores[rows]
    return Group(Part.SCORED, collection, shown, len(prepared.samples), known)


def fitted_groups(
    model: Model, collection: Collection, seed: int = 0, read: Mapping[str, Prepared | None] | None = None
) -> tuple[list[Group], list[str]]:
    """Read some of the images a model was fitted on (*train*) and of those that stopped or sized it (*select*).

    Args:
        model: The model.
        collection: Data that may be the model's own.
        seed: Of the choice.
        read: By part, images that were read before (`own_images.unchanged`), to be chosen among.

    Returns:
        The groups, and a sentence for whatever is not shown: other data, images that are gone, unreadable or changed.

    Raises:
        OptionError: As `Model.owns`.
    """
    if not model.owns(collection):
        return [], ["Training and held-out images are not shown: these data are not those the model was fitted on."]
    groups, notes = [], []
    for part, key in ((Part.TRAIN, "train"), (Part.HELD_OUT, "select")):
        kept = model.parts.get(key, {})
        known = [sample for sample in collection.samples if sample.name in kept]
        asked = [known[row] for row in stratified(known, MOST, seed)]
        prepared = (read or {}).get(key) or unchanged(model, asked, key)
        if prepared is not None and prepared.samples:
            shown = chosen(prepared, stratified(prepared.samples, MOST, seed))
            groups.append(Group(part, collection, shown, len(kept)))
        notes += _absent(part, len(kept) - len(known), len(asked if prepared is None else prepared.problems))
    return groups, notes


def stratified(samples: Sequence[Sample], most: int, seed: int = 0) -> Int[np.ndarray, " k"]:
    """Choose up to so many samples, each class, label and subgroup as often as its share, to within one; ascending.

    Args:
        samples: To choose among.
        most: At least 1.
        seed: Of the choice within a stratum.
    """
    strata = [(str(s.label), s.class_name or "", *sorted(map(str, s.subgroups.items()))) for s in samples]
    order = np.random.default_rng(seed).permutation(len(samples))
    in_strata = sorted(order.tolist(), key=lambda row: strata[row])
    # evenly spaced in a list sorted by stratum: every stratum gets its share
    places = (np.arange(min(most, len(samples))) + 0.5) * max(1.0, len(samples) / most)
    return np.sort(np.asarray(in_strata, np.int64)[places.astype(np.int64)])


def _absent(part: Part, gone: int, changed: int) -> list[str]:
    found = [f"{gone} are gone"] if gone else []
    found += [f"{changed} cannot be read or changed since"] if changed else []
    return [f"Not all {part.value} images can be shown: {' and '.join(found)}."] if found else []
