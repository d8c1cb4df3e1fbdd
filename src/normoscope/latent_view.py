"""A model's latent space as a page shows it: images as points, what each of them is, and what the decoder makes of it.

Model, Groups --embed--> latents --planes--> Views
              --score, counterpart, heatmap--> Points, Sheets            latents --decode--> Traversals
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from .disturbance import encoded
from .errors import TooFewImagesError
from .heatmaps import greyscale, overlay
from .images import batches
from .latent_groups import Group, Part
from .latent_planes import View, codes_view, hypersphere_view, projected_views
from .latents import LatentEntropy
from .model import Model
from .nn.detector import AutoencoderDetector
from .nn.dual import DualAutoencoder
from .nn.inference import in_chunks
from .projection import Projection, centre_of
from .sprites import Sheet, sheet
from .traversal import Traversal, traversals
from .types import Decodes, Detector, Embeds, Sample

__all__ = ["LatentView", "Point", "latent_view"]

Latents = Float[np.ndarray, "n d"]


@dataclass(frozen=True)
class Point:
    """One image.

    Args:
        name: As the data calls it.
        part: What it was to the model.
        label: normal, abnormal or unknown; what a model was fitted on is normal.
        source: Where it comes from: data, class, and every subgroup it is known by.
        score: Raw, higher is more anomalous.
        pvalue: None where not calibrated, and for images the model has seen, where it would mean nothing.
        disagreement: |z1 - z2| in latent units; None with one code.
    """

    name: str
    part: Part
    label: str
    source: Mapping[str, str]
    score: float
    pvalue: float | None
    disagreement: float | None = None


@dataclass(frozen=True)
class LatentView:
    """Everything a page shows of a latent space.

    Args:
        points: The images.
        views: The planes, that of the principal components first; each has all points, in their order.
        sheets: Small pictures: the images, what they would be if they were normal, their heatmaps; empty without any.
        traversals: Walks along coordinates; empty where latents cannot be decoded.
        entropy: What the latents hold; None where it was not measured.
        dimensions: d.
        counts: How many of each part are shown, in words.
        notes: What is not shown, and why.
    """

    points: tuple[Point, ...]
    views: tuple[View, ...]
    sheets: tuple[Sheet, ...]
    traversals: tuple[Traversal, ...]
    entropy: LatentEntropy | None
    dimensions: int
    counts: tuple[str, ...]
    notes: tuple[str, ...] = ()


def latent_view(
    model: Model,
    groups: Sequence[Group],
    *,
    entropy: LatentEntropy | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
    images: bool = True,
) -> LatentView | None:
    """Lay a model's latent space out.

    Args:
        model: The model.
        groups: What to show (`fitted_groups`, `scored_group`).
        entropy: Of the model's latents, to tell which coordinates carry most.
        notes: Sentences on what is not shown.
        seed: Of t-SNE and UMAP.
        images: Draw small pictures; False draws none, nor decodes any.

    Returns:
        The view; None where the method has no latent vector.

    Raises:
        TooFewImagesError: Fewer than 2 images.
    """
    detector = model.detector
    if not isinstance(detector, Embeds):
        return None
    groups = [group for group in groups if group.prepared.samples]
    shown = sum(len(group.prepared.samples) for group in groups)
    if shown < Projection.PCA.fewest:
        raise TooFewImagesError("images to lay a latent space out", Projection.PCA.fewest, shown, "show more images")
    latents = [encoded(detector.embed, group.prepared.images) for group in groups]
    codes = [_codes(detector, group) for group in groups]
    views, missing = _views(detector, np.concatenate(latents), codes, seed)
    apart = [None if both is None else np.linalg.norm(both[0] - both[1], axis=1) for both in codes]
    return LatentView(
        points=tuple(point for group, far in zip(groups, apart, strict=True) for point in _points(model, group, far)),
        views=tuple(views),
        sheets=_sheets(model, groups) if images else (),
        traversals=_traversals(model, groups, latents, entropy, images),
        entropy=entropy,
        dimensions=latents[0].shape[1],
        counts=tuple(f"{len(g.prepared.samples)} of {g.total} {_WORDS[g.part]}" for g in groups),
        notes=(*notes, *missing),
    )


_WORDS = {
    Part.TRAIN: "training normals",
    Part.HELD_OUT: "held-out normals, which stopped or sized the training",
    Part.SCORED: "scored images",
}


def _views(
    detector: Detector, latents: Latents, codes: Sequence[tuple[Latents, Latents] | None], seed: int
) -> tuple[list[View], list[str]]:
    """Lay the points out in every way that the detector allows."""
    views, missing = projected_views(latents, seed)
    centre = centre_of(detector)
    if centre is not None:
        views.append(hypersphere_view(latents, centre.double().cpu().numpy()))
    both = [pair for pair in codes if pair is not None]
    if both:
        first, second = (np.concatenate(code) for code in zip(*both, strict=True))
        views.append(codes_view(first, second))
    return views, missing


def _codes(detector: Detector, group: Group) -> tuple[Latents, Latents] | None:
    """Return both codes of the images; None for a detector that has one."""
    if not isinstance(detector, AutoencoderDetector):
        return None
    network = detector.network
    if not isinstance(network, DualAutoencoder) or network.reading is None:
        return None

    def both(images: Tensor) -> Tensor:
        views = network.views(images, images)
        return torch.cat([views.z1, views.z2], 1)

    stacked = encoded(
        lambda images: in_chunks(both, images, detector.device, detector.dtype).float(), group.prepared.images
    )
    first, second = np.split(stacked, 2, axis=1)
    return first, second


def _points(model: Model, group: Group, disagreement: npt.NDArray[np.float64] | None) -> list[Point]:
    prepared = group.prepared
    scores = model.scores(prepared.images) if group.scores is None else group.scores
    # a p-value compares with normals the model has not seen: of others it says nothing
    judged = group.part is Part.SCORED and model.calibration.calibrated
    pvalues = model.calibration.pvalues(scores).tolist() if judged else [None] * len(scores)
    pvalues = [None if seen else p for seen, p in zip(model.seen_rows(prepared), pvalues, strict=True)]
    apart = [None] * len(scores) if disagreement is None else disagreement.tolist()
    return [
        Point(sample.name, group.part, _label(sample, group.part), _source(sample, group), score, pvalue, far)
        for sample, score, pvalue, far in zip(prepared.samples, scores.tolist(), pvalues, apart, strict=True)
    ]


def _label(sample: Sample, part: Part) -> str:
    if part is not Part.SCORED:
        return "normal"
    return "unknown" if sample.label is None else ("normal", "abnormal")[int(bool(sample.label))]


def _source(sample: Sample, group: Group) -> dict[str, str]:
    known = {"data": group.collection.spec, "class": group.collection.title(sample.class_name)}
    return {**{column: value for column, value in known.items() if value}, **sample.subgroups}


def _sheets(model: Model, groups: Sequence[Group]) -> tuple[Sheet, ...]:
    """Draw the small pictures, batch by batch."""
    found: dict[str, list[npt.NDArray[np.uint8]]] = {}
    scale = model.calibration.map_scale
    for group in groups:
        for batch in batches(group.prepared.images, device=str(model.run.torch_device)):
            images, redrawn = batch.cpu().numpy(), model.counterparts(batch)
            found.setdefault("image", []).extend(greyscale(image) for image in images)
            if "reconstruction" in redrawn:
                normal = redrawn["reconstruction"].cpu().numpy()
                found.setdefault("if it were normal", []).extend(greyscale(image) for image in normal)
            elif "median" in redrawn:
                # the same for every image
                found["median normal image"] = [greyscale(redrawn["median"][0].cpu().numpy())]
            if model.localizes and scale:
                maps = model.batch_map(batch).float().cpu().numpy()
                heat = [overlay(*pair, scale) for pair in zip(images, maps, strict=True)]
                found.setdefault("heatmap", []).extend(heat)
    return tuple(sheet(title, pictures) for title, pictures in found.items())


def _traversals(
    model: Model, groups: Sequence[Group], latents: Sequence[Latents], entropy: LatentEntropy | None, images: bool
) -> tuple[Traversal, ...]:
    """Walk through the latent space of the training normals; without these there is no scale to walk by."""
    normals = [z for group, z in zip(groups, latents, strict=True) if group.part is Part.TRAIN]
    if not isinstance(model.detector, Decodes) or not normals:
        return ()
    decode = model.detector.decode if images else None
    return traversals(decode, normals[0], entropy.information_by_dimension if entropy else ())
