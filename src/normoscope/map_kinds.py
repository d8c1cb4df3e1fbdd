"""Every map that can be drawn of a model's decisions, and what becomes of each when the weights are drawn anew.

    model, images --> its own map · the same standardised · attributions of the score · chance maps --> Drawn

Attributions are drawn of a few images only: each takes hundreds of scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .attribution import Attribution
from .errors import MissingExtraError, OptionError
from .faithfulness import Chance
from .images import PixelStore, allocate, batches
from .model import Model
from .randomisation import Check, randomised
from .scoring import Residual
from .types import Images

__all__ = ["CHECKED", "OWN", "STANDARDISED", "Drawn", "Few", "chance_maps", "drawn", "map_check", "spread"]

CHECKED = 16
"""Most images on which a map is compared with that of the randomised model."""

NEAREST = "nearest normal"
"""The counterpart that is a training image."""

OWN, STANDARDISED = "map", "standardised map"
"""The model's own map: as drawn, and in deviations of normal images."""

Map = Float[np.ndarray, "h w"]
Maps = Float[np.ndarray, "n h w"]

_WEIGHTLESS = Check.not_applicable("the method has no weights")


class Drawn(NamedTuple):
    """Maps of one kind.

    Args:
        name: Of the kind.
        maps: Higher is more anomalous.
        rows: Of which images.
        check: By random weights.
    """

    name: str
    maps: Maps
    rows: Int[np.ndarray, " n"]
    check: Check


@dataclass(frozen=True)
class Few:
    """The images that what is dear is drawn of.

    Args:
        rows: Where they stand among all.
        images: In [0, 1].
        counterparts: The same images as if they were normal, by the name of what made them; may be empty.
        compared: Name of the counterpart of each image that attributions take: what the model itself finds most
            normal; empty without any.
    """

    rows: Int[np.ndarray, " m"]
    images: Float[Tensor, "m c h w"]
    counterparts: Mapping[str, Float[Tensor, "m c h w"]]
    compared: tuple[str, ...]

    @classmethod
    def of(cls, model: Model, images: PixelStore, rows: Int[np.ndarray, " m"], normals: Images | None = None) -> Few:
        """Read them and draw their counterparts.

        Args:
            model: Makes the counterparts, and says which of them it finds most normal.
            images: All of them.
            rows: Which to take.
            normals: Among them the nearest, pixel by pixel, is a counterpart too: the only one that is a real image.
        """
        batch = images.batch(rows, str(model.run.torch_device))
        found = model.counterparts(batch)
        if normals is not None and len(normals):
            found[NEAREST] = _nearest(batch, normals)
        with torch.no_grad():
            scores = [model.batch_score(normal) for normal in found.values()]
        names = list(found)
        least = torch.stack(scores).argmin(0).tolist() if scores else []
        return cls(rows, batch, found, tuple(names[which] for which in least))

    @property
    def checked(self) -> Int[np.ndarray, " k"]:
        """Return which of them are drawn by the randomised model too."""
        return spread(len(self.rows))

    @property
    def baselines(self) -> Float[Tensor, "m c h w"] | None:
        """Return each image's most normal counterpart; None without any."""
        if not self.compared:
            return None
        return torch.stack([self.counterparts[name][row] for row, name in enumerate(self.compared)])

    @property
    def counterpart(self) -> str | None:
        """Name the counterparts that attributions take, the most frequent first; None without any."""
        return ", ".join(name for name, _ in Counter(self.compared).most_common()) or None


def _nearest(images: Float[Tensor, "m c h w"], normals: Images) -> Float[Tensor, "m c h w"]:
    """Return the normal image with the least squared difference to each image, which is not that image itself."""
    least, found = torch.full((len(images),), torch.inf, device=images.device), images.clone()
    for batch in batches(normals, device=str(images.device)):
        all_distances = torch.cdist(images.flatten(1), batch.flatten(1))
        same = [[bool(torch.equal(image, normal)) for normal in batch] for image in images]
        distances, at = all_distances.masked_fill(torch.tensor(same, device=images.device), torch.inf).min(1)
        nearer = distances < least
        least, found[nearer] = torch.where(nearer, distances, least), batch[at[nearer]]
    return found


def drawn(
    model: Model, images: PixelStore, few: Few, notes: list[str], seed: int, progress: bool, *, on: Few | None = None
) -> Iterator[Drawn]:
    """Yield every map there is; add to the notes why others are missing.

    Args:
        model: Fitted.
        images: What the maps of the model and those of chance are drawn of.
        few: Those of them that attributions are drawn of.
        notes: Where to say why a kind is missing.
        seed: Of the random weights and of chance.
        progress: Show how far it is.
        on: Images to check maps by random weights on, up to 16 of them; None takes the few.
    """
    other, on = _randomised(model, seed), few if on is None else on
    yield from _own(model, other, images, few, on, progress)
    for kind in Attribution if few.counterparts else (Attribution.GRADIENT,):
        try:
            yield _attributed(model, other, kind, few, on, progress)
        except (OptionError, MissingExtraError) as reason:
            notes.append(f"no row for {kind.value}: {reason}")
    everyone, unread = np.arange(len(images)), Check.not_applicable("no model is read")
    for chance in Chance:
        yield Drawn(chance.value, chance_maps(chance, images, seed), everyone, unread)


def map_check(model: Model, images: Images, *, seed: int = 0) -> Check:
    """Return the check by random weights of the model's own map, on up to 16 of the images, evenly spread.

    Args:
        model: Fitted.
        images: Prepared; normal or not.
        seed: Of the random weights.
    """
    if not model.localizes:
        return Check.not_applicable("the method draws no map")
    if not len(images):
        return Check.not_applicable("no images")
    other = _randomised(model, seed)
    if other is None:
        return _WEIGHTLESS
    batch = images.batch(spread(len(images)), str(model.run.torch_device))
    return Check.of(_array(model.batch_map(batch)), _array(other.batch_map(batch)), _array(batch))


def chance_maps(chance: Chance, images: PixelStore, seed: int) -> Maps:
    """Return a chance map of every image, float32."""
    rng = np.random.default_rng([seed, len(images)])
    maps = (chance(images.batch([row])[0].numpy(), rng) for row in range(len(images)))
    return _held(maps, images, np.float32)


def _own(model: Model, other: Model | None, images: PixelStore, few: Few, on: Few, progress: bool) -> Iterator[Drawn]:
    if not model.localizes:
        return
    everyone, maps = np.arange(len(images)), _held(model.maps(images, progress=progress), images, np.float32)
    pair: tuple[Maps, Maps] | None = None
    batch = on.images[on.checked]
    if other is not None:
        fitted = maps[few.rows[few.checked]] if on is few else _array(model.batch_map(batch))
        pair = fitted, _array(other.batch_map(batch))
    yield Drawn(OWN, maps, everyone, _WEIGHTLESS if pair is None else Check.of(*pair, _array(batch)))
    if model.normal_maps is None:
        return
    # by the fitted model's normals both times: a randomised model has none of its own
    standardised = model.normal_maps.standardised
    deviations = _held(map(standardised, maps), images, np.float64)  # float32 need not hold those of a constant map
    check = _WEIGHTLESS
    if pair is not None:
        fitted, forgetful = (np.stack([*map(standardised, drawn)]) for drawn in pair)
        check = Check.of(fitted, forgetful, _array(batch))
    yield Drawn(STANDARDISED, deviations, everyone, check)


def _attributed(model: Model, other: Model | None, kind: Attribution, few: Few, on: Few, progress: bool) -> Drawn:
    def shares(one: Model, of: Few, rows: Iterable[int]) -> Maps:
        normal = of.images if of.baselines is None else of.baselines
        return np.stack([_array(kind(one.batch_score, of.images[row], normal[row])) for row in rows])

    maps = shares(model, few, _shown(range(len(few.rows)), kind.value, progress))
    if not np.isfinite(maps).all():
        raise OptionError("attribution", kind.value, "finite shares, which this score's gradient does not give")
    if other is None:
        return Drawn(kind.value, maps, few.rows, _WEIGHTLESS)
    fitted = maps[few.checked] if on is few else shares(model, on, on.checked)
    # the fitted model's counterparts both times, so that nothing but the weights differs
    check = Check.of(fitted, shares(other, on, on.checked), _array(on.images[on.checked]))
    return Drawn(kind.value, maps, few.rows, check)


def spread(count: int) -> Int[np.ndarray, " k"]:
    """Return up to 16 of so many rows, evenly spread: the first alone would be of the first classes."""
    return np.linspace(0, count - 1, min(count, CHECKED)).astype(np.int64)


def _held(maps: Iterable[Map], images: PixelStore, dtype: npt.DTypeLike) -> Maps:
    """Hold one map per image, in memory or on disk."""
    held = allocate((len(images), *images.shape[2:]), dtype)
    for row, one in enumerate(maps):
        held[row] = one
    return held


def _randomised(model: Model, seed: int) -> Model | None:
    """Return a model that forgot its weights; None where nothing that it scores with has any."""
    detector, learnt = randomised(model.detector, seed), model.scoring and model.scoring.residual is Residual.VARIANCE
    head = randomised(model.head, seed) if learnt else None
    if detector is None and head is None:
        return None
    return replace(model, detector=detector or model.detector, head=head or model.head)


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(tensor.detach().float().cpu().numpy())


def _shown(rows: Sequence[int], what: str, progress: bool) -> Sequence[int]:
    from tqdm import tqdm

    shown: Sequence[int] = tqdm(rows, what, unit="image", disable=not progress, delay=1, leave=False)
    return shown
