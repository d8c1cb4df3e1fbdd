"""A Gaussian of local shape and texture at every position, beside the residual of a linear subspace.

    image --Gaussian derivatives, oriented energies--> descriptors (k, h, w) --Mahalanobis, same place--> t (h, w)
          --PCA--> reconstruction --absolute residual--> r (h, w)
    t, r --standardised, position by position, by normals--> map: geometric mean of both, softly cut at 0
                                                             score: mean of the largest 2 % of the standardised t

t says that something does not belong here (a shape is new, or texture is missing), r which pixels it is. Nothing is
trained by gradients: a fit takes seconds to a minute. Images must show the same anatomy at about the same place: it
localises better on the phantom than every other method here at preset quick, and does well on chest X-rays; on breast
ultrasound, where a lesion may be anywhere and no two images are alike, its score is no better than chance.

Reference: Defard et al., PaDiM, ICPR 2021, for one Gaussian per position; Koenderink & van Doorn, Representation of
local geometry in the visual system, Biological Cybernetics 55 (1987), for the descriptors; the oriented energies follow
Dalal and Triggs, CVPR 2005.

differs from the paper in: no pretrained network, whose weights would need a download and whose images are not medical;
moments are pooled over neighbouring positions, because bodies are not aligned to the pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ..errors import OptionError, TooFewImagesError
from ..features import derived
from ..images import batches, check_shape
from ..nn.inference import in_chunks
from ..types import Images, Run, State
from .pca import PCA, Subspace

__all__ = ["LocalGaussian"]

Maps = Float[Tensor, "n h w"]

Descriptors = Float[Tensor, "n k h w"]

_ORDERS = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
_ORIENTED = ((0, 1), (1, 0), (0, 2), (2, 0))
_KINDS = ("brightness", "edges", "spots and ridges")
_SUBSPACE = "subspace/"
_FAINT = 1e-3  # energies below that of a grey level in a thousand are alike
_FLAT = 0.1  # least deviation of a position, in those of the whole map
_LEAST_RIDGE = 1e-5  # in standardised variances: below, rounding may leave a covariance without its factor
_NARROWEST = 0.7  # second derivatives of narrower kernels do not sum to zero: they would answer to brightness
_FEWEST = 10


@dataclass(frozen=True)
class LocalGaussian:
    """Local descriptors recipe.

    Args:
        scales: Widths of the Gaussian derivatives, in pixels of the grid.
        pooled: Width over which oriented energies are averaged, in pixels of the grid.
        shift: Width over which the normals' moments are pooled, in pixels of the grid: how far bodies are off.
        shrinkage: Share of the mean variance that is added to every covariance's diagonal.
        latent_dim: Components of the subspace that the residual is taken from.
        grid: Longest side of the grid in pixels; larger images are averaged down to it, smaller ones stay.
        top: Share of the pixels, the most anomalous, whose mean is the score.
    """

    scales: tuple[float, ...] = (1.0, 2.0, 4.0)
    pooled: float = 3.0
    shift: float = 2.0
    shrinkage: float = 0.01
    latent_dim: int = 32
    grid: int = 64
    top: float = 0.02

    quick: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        if not self.scales or not all(_NARROWEST <= scale <= 32 for scale in self.scales):
            raise OptionError("local_gaussian --scales", self.scales, f"{_NARROWEST} to 32 pixels of the grid")
        for option, width in (("pooled", self.pooled), ("shift", self.shift)):
            if not 0.3 <= width <= 32:
                raise OptionError(f"local_gaussian --{option}", width, "0.3 to 32 pixels of the grid")
        if not 0 < self.shrinkage <= 1:
            raise OptionError("local_gaussian --shrinkage", self.shrinkage, "a share above 0, at most 1")
        if self.latent_dim < 1:
            raise OptionError("local_gaussian --latent-dim", self.latent_dim, "at least 1")
        if not 8 <= self.grid <= 256:
            raise OptionError("local_gaussian --grid", self.grid, "8 to 256 pixels")
        if not 0 < self.top <= 1:
            raise OptionError("local_gaussian --top", self.top, "a share of the pixels above 0, at most 1")

    def fit(self, normals: Images, run: Run, select: Images | None = None) -> LocalGaussianDetector:
        """Measure moments; each half of the normals is judged by the other, so that none standardises its own map.

        Raises:
            TooFewImagesError: Fewer than 10 normals.
        """
        if len(normals) < _FEWEST:
            raise TooFewImagesError("train", _FEWEST, len(normals))
        halves = [_Rows(normals, np.arange(start, len(normals), 2)) for start in (0, 1)]
        judged = [self._terms(half, run) for half in halves[::-1]]
        maps = (terms(batch) for terms, half in zip(judged, halves, strict=True) for batch in batches(half))
        mean, variance = _moments(maps, self.shift * self._ratio(normals.shape))
        least = _FLAT**2 * variance.mean((1, 2), keepdim=True)
        # maps that never differ have no scale: any change is then far, as it should be
        deviation = variance.maximum(least).sqrt() + torch.finfo(torch.float32).tiny
        return LocalGaussianDetector(self, self._terms(normals, run), mean, deviation, normals.shape[1:])

    def restore(self, state: State) -> LocalGaussianDetector:
        """Rebuild the fitted detector."""
        inner = {key.removeprefix(_SUBSPACE): state[key] for key in state if key.startswith(_SUBSPACE)}
        terms = _Terms(self, state["mean"], state["whiten"], PCA().restore(inner))
        return LocalGaussianDetector(
            self, terms, state["map_mean"], state["map_deviation"], state["image_shape"].tolist()
        )

    def descriptors(self, images: Float[Tensor, "n c h w"]) -> Descriptors:
        """Return derivatives of orders 0 to 2 at every scale, and the log energies of those smaller than the pool.

        Of several channels their mean gives these, and each channel blurred is added.
        """
        images = self._on_grid(images)
        grey = images.mean(1)
        found: list[Tensor] = []
        for scale in self.scales:
            along = {order: derived(grey, scale, order) for order in _ORDERS}
            found += along.values()
            if scale < self.pooled:  # a pool narrower than what it averages would not average
                waves = [along[order] for order in _ORIENTED]
                found += [0.5 * torch.log(derived(wave.square(), self.pooled) + _FAINT**2) for wave in waves]
        if images.shape[1] > 1:
            found += [derived(images[:, i], scale) for scale in self.scales for i in range(images.shape[1])]
        return torch.stack(found, 1)

    def kinds(self, channels: int) -> list[str]:
        """Return what every descriptor is, in words."""
        found: list[str] = []
        for scale in self.scales:
            found += [_KINDS[sum(order)] for order in _ORDERS]
            found += ["texture"] * len(_ORIENTED) * (scale < self.pooled)
        return found + ["colour"] * len(self.scales) * channels * (channels > 1)

    def _on_grid(self, images: Tensor) -> Tensor:
        side = [max(1, round(pixels / self._ratio(images.shape))) for pixels in images.shape[2:]]
        return functional.interpolate(images, side, mode="area") if side != list(images.shape[2:]) else images

    def _ratio(self, shape: Sequence[int]) -> float:
        """Pixels of the image per pixel of the grid, along a side."""
        return max(1.0, max(shape[2:]) / self.grid)

    def _terms(self, normals: Images, run: Run) -> _Terms:
        """Fit the Gaussians and the subspace."""
        mean, scatter = _moments((self.descriptors(batch) for batch in batches(normals)), self.shift, covariance=True)
        deviation = scatter.diagonal(dim1=2, dim2=3).mean((0, 1)).clamp_min(_FAINT**2).sqrt()
        scatter = scatter / (deviation[:, None] * deviation)
        ridge = (self.shrinkage * scatter.diagonal(dim1=2, dim2=3).mean()).clamp_min(_LEAST_RIDGE)
        whiten = torch.linalg.cholesky(scatter + ridge * torch.eye(len(deviation))).inverse() / deviation
        return _Terms(self, mean, whiten.contiguous(), PCA(latent_dim=self.latent_dim).fit(normals, run))


@dataclass(frozen=True)
class _Terms:
    """Fitted to some normals: what t and r are computed from.

    Args:
        recipe: Says which descriptors.
        mean: (k, gh, gw) of the descriptors.
        whiten: (gh, gw, k, k) lower triangular; the Mahalanobis distance is the length of `whiten @ (d - mean)`.
        subspace: Redraws images.
    """

    recipe: LocalGaussian
    mean: Float[Tensor, "k gh gw"]
    whiten: Float[Tensor, "gh gw k k"]
    subspace: Subspace

    def parts(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k gh gw"]:
        """Return what every descriptor adds to t^2."""
        away = (self.recipe.descriptors(images) - self.mean).permute(2, 3, 1, 0)
        return (away * (self.whiten.mT @ (self.whiten @ away))).permute(3, 2, 0, 1)

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 2 h w"]:
        """Return t and r."""
        distance = (self._squared(images)[:, None] + _FAINT).sqrt()
        if distance.shape[2:] != images.shape[2:]:
            distance = functional.interpolate(distance, images.shape[2:], mode="bilinear")
        residual = (images - self.subspace.redraw(images)).abs().mean(1, keepdim=True)
        return torch.cat([distance, residual], 1)

    def _squared(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n gh gw"]:
        """Return t^2, one row of the grid at a time: what a row needs stays in the processor's cache."""
        rows = zip(self.whiten, self.recipe.descriptors(images).unbind(2), self.mean.unbind(1), strict=True)
        away = ((whiten, (found - mean).permute(2, 1, 0)) for whiten, found, mean in rows)
        return torch.stack([(whiten @ row).square().sum(1) for whiten, row in away]).permute(2, 0, 1)


class LocalGaussianDetector:
    """Fitted: both terms and what standardises their maps."""

    def __init__(
        self,
        method: LocalGaussian,
        terms: _Terms,
        map_mean: Float[Tensor, "2 h w"],
        map_deviation: Float[Tensor, "2 h w"],
        image_shape: Sequence[int],
    ) -> None:
        self.method, self.terms, self.image_shape = method, terms, image_shape
        self.map_mean, self.map_deviation = map_mean, map_deviation

    def anomaly_map(self, images: Float[Tensor, "n c h w"]) -> Maps:
        """Return the geometric mean of t and r in standard deviations of normals at the same place, softly cut at 0."""
        return self._apply(lambda x: functional.softplus(self._standardised(x)).sqrt().prod(1), images)

    def anomaly_score(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the mean of the largest `top` of the standardised t."""
        return self._apply(lambda x: self._largest(self._standardised(x)[:, 0]), images)

    def score_terms(self, images: Float[Tensor, "n c h w"]) -> Mapping[str, Float[Tensor, " n"]]:
        """Share the score out among kinds of descriptors, in proportion to their part of t^2 at the scored pixels.

        With P the inverse covariance, t^2 is the sum over descriptors k of (d - mean)_k (P (d - mean))_k; a part may be
        negative, where a descriptor makes the others more usual.
        """
        kinds = self.method.kinds(self.image_shape[0])
        shares = self._apply(self._shares, images)
        score = self.anomaly_score(images)
        return {
            kind: score * shares[:, [i for i, own in enumerate(kinds) if own == kind]].sum(1)
            for kind in dict.fromkeys(kinds)
        }

    def embed(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the coordinates in the subspace."""
        return self.terms.subspace.embed(images)

    def _shares(self, images: Tensor) -> Float[Tensor, "n k"]:
        """Return each descriptor's share of t^2, summed over the pixels that are scored."""
        parts = self.terms.parts(images)
        if parts.shape[2:] != images.shape[2:]:
            parts = functional.interpolate(parts, images.shape[2:], mode="bilinear")
        flat = self._standardised(images)[:, 0].flatten(1)
        scored = flat.topk(math.ceil(self.method.top * flat.shape[1])).indices[:, None]
        sums = parts.flatten(2).gather(2, scored.expand(-1, parts.shape[1], -1)).sum(2)
        total = sums.sum(1, keepdim=True)
        return sums / total.masked_fill(total == 0, 1)  # an image that equals constant normals has nothing to share out

    def _standardised(self, images: Tensor) -> Float[Tensor, "n 2 h w"]:
        return (self.terms(images) - self.map_mean) / self.map_deviation

    def _largest(self, maps: Maps) -> Float[Tensor, " n"]:
        flat = maps.flatten(1)
        return flat.topk(math.ceil(self.method.top * flat.shape[1])).values.mean(1)

    def reconstruct(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the nearest point of the subspace."""
        return self.terms.subspace.reconstruct(images)

    def _apply(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        check_shape(images, self.image_shape)
        return in_chunks(function, images, self.map_mean.device, torch.float32)

    def state(self) -> State:
        """Return the moments of descriptors and maps, the subspace and the image shape."""
        return {
            "mean": self.terms.mean,
            "whiten": self.terms.whiten,
            "map_mean": self.map_mean,
            "map_deviation": self.map_deviation,
            "image_shape": torch.tensor(self.image_shape),
            **{_SUBSPACE + key: value for key, value in self.terms.subspace.state().items()},
        }


class _Rows:
    """Some of the images."""

    def __init__(self, images: Images, rows: npt.NDArray[np.int64]) -> None:
        self.images, self.rows = images, rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: npt.NDArray[np.int64], device: str = "cpu") -> Tensor:
        return self.images.batch(self.rows[indices], device)


def _moments(
    maps: Iterable[Float[Tensor, "n k h w"]], pooled: float, *, covariance: bool = False
) -> tuple[Tensor, Tensor]:
    """Return mean and variance per position, both over normals and, with Gaussian weights, over neighbours.

    Args:
        maps: Batches, (n, k, h, w).
        pooled: Width of the neighbourhood in pixels.
        covariance: Return (h, w, k, k) instead of (k, h, w).
    """
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    for batch in maps:
        wide = batch.detach().double()
        count += len(wide)
        total = total + wide.sum(0)
        places = wide.permute(2, 3, 1, 0)
        products = products + (places @ places.mT if covariance else wide.square().sum(0))
    mean = derived(total / count, pooled)
    if not covariance:
        return mean.float(), (derived(products / count, pooled) - mean.square()).clamp_min(0).float()
    flat = (products / count).flatten(2).permute(2, 0, 1)
    second = derived(flat, pooled).permute(1, 2, 0).reshape(*mean.shape[1:], len(mean), len(mean))
    at = mean.permute(1, 2, 0)
    return mean.float(), (second - at[..., :, None] * at[..., None, :]).float()
