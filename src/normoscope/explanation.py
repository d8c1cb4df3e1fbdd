"""Why a model scores images as it does: where, by what, and whether the answer can be trusted.

    Model, images --every map--> shares of the score per pixel, each with its curves and its check by random weights
                  --terms, latent vector, neighbours--> what the score is made of, and which normals are near

An explanation is of the *model's score*. It is true of the image only as far as the score is: curves and checks beside
every map tell how far the map is true of the score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from .attribution import Attribution
from .disturbance import encoded
from .errors import MissingExtraError, TooFewImagesError
from .faithfulness import replacement_curves
from .map_kinds import Drawn, Few, drawn, spread
from .model import Model
from .neighbours import Neighbour, NormalLatents
from .randomisation import Check
from .regions import Region
from .shapley import LatentShares, latent_shares, value_of_latent
from .splits import patients_of
from .transforms import Prepared
from .types import Decomposes, Embeds

__all__ = ["Areas", "Explained", "Explanation", "explain"]

Map = Float[np.ndarray, "h w"]

_NOTHING = 1e-6
"""A latent value below this share of the score is rounding."""


@dataclass(frozen=True)
class Areas:
    """How faithful one map of one image is to the score, against one counterpart.

    Args:
        deletion: Area under the deletion curve; 0 at best, 1 where the pixels it names carry nothing; may leave [0, 1].
        insertion: Area under the insertion curve; 1 at best.
    """

    deletion: float
    insertion: float

    def to_json(self) -> dict[str, float | None]:
        """Return plain values; nan becomes None."""
        return {name: None if math.isnan(value) else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class Explained:
    """One map of one image.

    Args:
        pixels: (h, w); positive pixels raise the score.
        areas: By counterpart; empty where the model has none.
        check: By random weights, on up to 16 training normals; without them, on the images explained together.
        against: Name of the counterpart that an attribution compared the image with; None for other maps.
    """

    pixels: Map
    areas: Mapping[str, Areas]
    check: Check
    against: str | None = None


@dataclass(frozen=True)
class Explanation:
    """Why one image has its score.

    Args:
        name: As the data calls it.
        image: Prepared, in [0, 1].
        score: Raw, higher is more anomalous.
        pvalue: None where not calibrated, and for an image that fitted or calibrated the model.
        flagged: None where there is no p-value.
        seen: Whether it fitted or calibrated the model.
        counterparts: The image as if it were normal, by what made it.
        maps: Every map by its name; chance maps last.
        regions: What stands out from normals, the least likely first; None where the model cannot say: without maps,
            with so few calibration normals that no region could stand, or for an image that fitted or calibrated it.
        terms: What the score is the sum of, or shared out among; empty for a score of one term.
        usual: The mean terms of training normals; empty without them.
        latent: Which dimensions drive the stated value of the latent vector; None without one.
        neighbours: Nearest training normals that are neither this image nor of its patient; empty without them.
        further: Share of training normals that are nearer to their nearest than this image is; nan without them.
    """

    name: str
    image: Float[np.ndarray, "c h w"]
    score: float
    pvalue: float | None
    flagged: bool | None
    seen: bool
    counterparts: Mapping[str, Float[np.ndarray, "c h w"]]
    maps: Mapping[str, Explained]
    regions: tuple[Region, ...] | None
    terms: Mapping[str, float]
    usual: Mapping[str, float]
    latent: LatentShares | None
    neighbours: tuple[Neighbour, ...]
    further: float

    def standing(self, alpha: float) -> list[Region]:
        """Return the regions with p <= alpha."""
        return [region for region in self.regions or () if region.pvalue <= alpha]

    def to_json(self, alpha: float) -> dict[str, Any]:
        """Return plain values, without pixels; regions are those with p <= alpha."""
        return {
            "image_path": self.name,
            "image_shape": list(self.image.shape[1:]),
            "seen": self.seen,
            "pred_score": self.score,
            "pvalue": self.pvalue,
            "pred_label": None if self.flagged is None else int(self.flagged),
            "regions": None if self.regions is None else [region.to_json() for region in self.standing(alpha)],
            "terms": dict(self.terms),
            "terms_of_normals": dict(self.usual),
            "latent": None if self.latent is None else self.latent.to_json(),
            "neighbours": [{"image_path": n.name, "distance": n.distance} for n in self.neighbours],
            "normals_nearer_to_their_nearest": None if math.isnan(self.further) else self.further,
            "maps": {
                name: {
                    "deletion_insertion": {which: areas.to_json() for which, areas in found.areas.items()},
                    "compared_with": found.against,
                    "check": found.check.to_json(),
                }
                for name, found in self.maps.items()
            },
        }


def explain(
    model: Model, prepared: Prepared, normals: Prepared | None = None, *, seed: int = 0, progress: bool = False
) -> tuple[list[Explanation], list[str]]:
    """Explain the scores of a few images; all are held in memory, with all their maps.

    Args:
        model: Fitted.
        prepared: The images, 1 or more.
        normals: Training normals, to be neighbours and to compare latent vectors with; None leaves both out.
        seed: Of orders, chance maps and random weights.
        progress: Show bars.

    Returns:
        One explanation per image, in their order, and sentences on what could not be explained, and why.

    Raises:
        TooFewImagesError: No images.
    """
    if not prepared.samples:
        raise TooFewImagesError("images to explain", 1, 0, "name at least one")
    few = Few.of(model, prepared.images, np.arange(len(prepared.samples)), None if normals is None else normals.images)
    notes: list[str] = []
    # one image's correlation may be anything: maps are checked on more than the few that are explained
    on = None if normals is None else Few.of(model, normals.images, spread(len(normals.samples)))
    maps = {one.name: one for one in drawn(model, prepared.images, few, notes, seed, progress, on=on)}
    areas = {name: _areas(model, few, one, seed) for name, one in maps.items()}
    scores = model.scores(prepared.images)
    flags = model.calibration.flags(scores)
    pvalues = np.ones(len(scores)) if flags is None else model.calibration.pvalues(scores)
    seen, judge = model.seen_rows(prepared), model.region_judge
    compares = {kind.value for kind in Attribution if kind.compares}
    terms = _terms(model, few, notes)
    usual = {} if on is None else {name: float(v.mean()) for name, v in _terms(model, on, notes).items()}
    latents = _Latents.of(model, normals, notes)
    found = []
    embedded = None if latents is None else latents.embedded(few)
    for row, sample in enumerate(_shown(prepared.samples, progress)):
        z = None if embedded is None else embedded[row]
        near = () if latents is None or z is None else latents.near(z, sample.patient, prepared.hashes[row])
        own = maps["map"].maps[row] if "map" in maps else None
        unknown = flags is None or seen[row]
        found.append(
            Explanation(
                sample.name,
                few.images[row].cpu().numpy(),
                float(scores[row]),
                None if unknown else float(pvalues[row]),
                None if unknown or flags is None else bool(flags[row]),
                bool(seen[row]),
                {which: images[row].detach().cpu().numpy() for which, images in few.counterparts.items()},
                {
                    name: Explained(
                        one.maps[row], areas[name][row], one.check, few.compared[row] if name in compares else None
                    )
                    for name, one in maps.items()
                },
                None if own is None or judge is None or seen[row] else tuple(judge.regions(own)),
                {name: float(values[row]) for name, values in terms.items()},
                usual,
                None if latents is None or z is None else latents.shares(z, float(scores[row]), seed, notes),
                near,
                latents.normals.further_than(near[0].distance) if latents is not None and near else math.nan,
            )
        )
    return found, list(dict.fromkeys(notes))


def _areas(model: Model, few: Few, one: Drawn, seed: int) -> list[dict[str, Areas]]:
    """Walk along every map, towards every counterpart."""
    found: list[dict[str, Areas]] = [{} for _ in few.rows]
    for which, normal in few.counterparts.items():
        curves = replacement_curves(model.batch_score, few.images, normal, one.maps, seed)
        for row, pair in enumerate(zip(curves.deletion_area, curves.insertion_area, strict=True)):
            found[row][which] = Areas(*map(float, pair))
    return found


def _terms(model: Model, few: Few, notes: list[str]) -> Mapping[str, npt.NDArray[np.float64]]:
    if not isinstance(model.detector, Decomposes):
        return {}
    if model.scoring is not None:
        notes.append("the score is another than the method's own, so its terms are not those of the method")
        return {}
    found = model.detector.score_terms(few.images)
    return {name: values.detach().double().cpu().numpy() for name, values in found.items()} if len(found) > 1 else {}


@dataclass(frozen=True)
class _Latents:
    """What latent vectors are explained with."""

    model: Model
    detector: Embeds
    normals: NormalLatents
    prepared: Prepared

    @classmethod
    def of(cls, model: Model, normals: Prepared | None, notes: list[str]) -> _Latents | None:
        detector = model.detector
        if not isinstance(detector, Embeds):
            notes.append("the method has no latent vector: no dimensions and no neighbours")
            return None
        if normals is None:
            return None
        names, patients = [s.name for s in normals.samples], patients_of(normals.samples)
        placed = NormalLatents.of(encoded(detector.embed, normals.images), names, patients)
        return cls(model, detector, placed, normals)

    def embedded(self, few: Few) -> Float[np.ndarray, "m d"]:
        """Return the latent vectors of the images."""
        return np.asarray(self.detector.embed(few.images).detach().double().cpu().numpy())

    def near(self, z: Float[np.ndarray, " d"], patient: str | None, content: str) -> tuple[Neighbour, ...]:
        """Return the nearest normals of other patients; of an image that is among them, the others."""
        known = zip(self.prepared.samples, self.prepared.hashes, strict=True)
        own = [other == content or (patient is not None and s.patient == patient) for s, other in known]
        return self.normals.nearest(z, without=np.asarray(own, bool))

    def shares(self, z: Float[np.ndarray, " d"], score: float, seed: int, notes: list[str]) -> LatentShares | None:
        """Share out the latent vector's value; None where there is none, with a note."""
        value = value_of_latent(self.model.detector, self.model.batch_score)
        if value is None:
            notes.append("the latent vector cannot be decoded and has no centre: its dimensions are not explained")
            return None
        try:
            found = latent_shares(value, z, self.normals.latents, seed)
            if abs(found.value) + abs(found.base) > _NOTHING * abs(score):
                return found
            notes.append(
                f"latent dimensions are not explained: the {value.name} is next to nothing, here and of normals"
            )
            return None
        except MissingExtraError as reason:
            notes.append(f"latent dimensions are not explained: {reason}")
            return None


def _shown(samples: Sequence[Any], progress: bool) -> Iterator[Any]:
    from tqdm import tqdm

    yield from tqdm(samples, "explaining", unit="image", disable=not progress, delay=1, leave=False)
