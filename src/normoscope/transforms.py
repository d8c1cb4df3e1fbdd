"""From a file's pixels to what every method sees; fitted on training normals, saved in the model, applied everywhere.

    pixels (h, w[, 3]) --geometry: channels, aspect, antialiased resize--> stored integers (c, h, w)
                       --intensity: per-image step, then affine clip fitted on normals--> float32 in [0, 1]

`Preprocessing` is the recipe, `Preprocessor` the fitted result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .errors import (
    ImageDepthError,
    OptionError,
    TooFewImagesError,
    UnreadableImageError,
    UnreadableImagesError,
)
from .images import PixelStore, allocate, content_hash
from .types import Pixels, Sample

__all__ = ["Aspect", "Intensity", "Prepared", "Preprocessing", "Preprocessor"]

LOOKED_AT = 64
"""How many training images decide the automatic size and channel count."""


class Aspect(Enum):
    """What happens to images that are not of the target's aspect ratio."""

    PAD = "pad"
    CROP = "crop"
    SQUASH = "squash"


def _local_contrast(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Subtract the local mean and divide by the local standard deviation (box of an eighth of the side)."""
    side = max(3, images.shape[-1] // 8 | 1)
    padded = functional.pad(images, [side // 2] * 4, mode="replicate")
    mean = functional.avg_pool2d(padded, side, stride=1)
    power = functional.avg_pool2d(padded.square(), side, stride=1)
    return (images - mean) / ((power - mean.square()).clamp_min(0).sqrt() + 0.02)


def _standardise(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Give every image mean 0 and standard deviation 1."""
    flat = images.flatten(1)
    mean, sd = flat.mean(1)[:, None, None, None], flat.std(1)[:, None, None, None]
    return (images - mean) / (sd + 1e-6)


def _identity(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    return images


class Intensity(Enum):
    """How grey values are mapped to [0, 1]: a step per image, then an affine clip fitted on training normals."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ZSCORE = "zscore"
    STANDARDISE = "standardise"
    LOCAL_CONTRAST = "local-contrast"

    @property
    def per_image(self) -> Callable[[Tensor], Tensor]:
        """The step that looks at one image alone."""
        steps = {Intensity.STANDARDISE: _standardise, Intensity.LOCAL_CONTRAST: _local_contrast}
        return steps.get(self, _identity)

    def bounds(self, images: PixelStore) -> tuple[float, float]:
        """Fit what becomes 0 and 1: minimum and maximum, percentiles 0.5 and 99.5, or mean ± 3 sd."""
        low, high, total, square, count = np.inf, -np.inf, 0.0, 0.0, 0
        histogram = np.zeros(65536)
        for index in range(2 if self is not Intensity.MINMAX else 1):
            for start in range(0, len(images), 256):
                values = self.per_image(images.raw(np.arange(start, min(start + 256, len(images))))).double()
                if index == 0:
                    low, high = min(low, values.min().item()), max(high, values.max().item())
                    total, square = total + values.sum().item(), square + values.square().sum().item()
                    count += values.numel()
                else:
                    histogram += torch.histc(values.float(), 65536, low, high).numpy()
        if self is Intensity.ZSCORE:
            mean = total / count
            sd = max(square / count - mean**2, 0.0) ** 0.5
            return mean - 3 * sd, mean + 3 * sd
        if self is Intensity.MINMAX or low == high:
            return low, high
        cumulative = np.cumsum(histogram) / histogram.sum()
        edges = np.linspace(low, high, 65537)
        return float(edges[np.searchsorted(cumulative, 0.005)]), float(edges[np.searchsorted(cumulative, 0.995) + 1])


@dataclass(frozen=True)
class Preprocessing:
    """The recipe.

    Args:
        size: Side in pixels after resizing; 0 keeps the training images' own size where the first 64 share one
            square size from 8 to 256, and takes 64 otherwise.
        channels: 1 grey, 3 colour, 0 colour only where one of the first 64 training images has it.
        aspect: pad with black, crop the centre, or squash.
        intensity: minmax, percentile, zscore, standardise or local-contrast.
    """

    size: int = 0
    channels: int = 0
    aspect: Aspect = Aspect.PAD
    intensity: Intensity = Intensity.MINMAX

    def __post_init__(self) -> None:
        if self.channels not in (0, 1, 3):
            raise OptionError("--image-channels", self.channels, "0 (automatic), 1 or 3")
        if self.size != 0 and not 8 <= self.size <= 1024:
            raise OptionError("--image-size", self.size, "0 (automatic) or 8 to 1024 pixels")

    def plan(self, samples: Sequence[Sample]) -> Preprocessor:
        """Settle geometry and depth from the first training images that can be read; intensity is not fitted yet."""
        looked: list[Pixels] = []
        for sample in samples:
            try:
                looked.append(sample.read())
            except UnreadableImageError:
                continue
            if len(looked) == LOOKED_AT:
                break
        if not looked:
            raise TooFewImagesError("train", 1, 0, "no training image can be read")
        shapes = {image.shape[:2] for image in looked}
        height, width = next(iter(shapes))
        native = len(shapes) == 1 and 8 <= height == width <= 256
        side = self.size or (height if native else 64)
        colour = any(i.ndim == 3 and (np.ptp(i.astype(np.float64), axis=2) > 0).any() for i in looked)
        channels = self.channels or (3 if colour else 1)
        return Preprocessor(side, channels, self.aspect, self.intensity, str(looked[0].dtype), 0.0, 1.0)


@dataclass(frozen=True)
class Prepared:
    """Decoded samples: their images, content hashes, and what could not be read.

    Args:
        samples: The samples that could be read, in order.
        images: Their pixels.
        hashes: 128-bit hash of each file's decoded pixels, before any resizing.
        problems: One error per unreadable sample.
    """

    samples: tuple[Sample, ...]
    images: PixelStore
    hashes: tuple[str, ...]
    problems: tuple[UnreadableImageError, ...] = ()

    @property
    def contents(self) -> dict[str, str]:
        """Sample name to content hash."""
        return {sample.name: content for sample, content in zip(self.samples, self.hashes, strict=True)}


@dataclass(frozen=True)
class Preprocessor:
    """The fitted result: applied identically to every image the model will ever see."""

    size: int
    channels: int
    aspect: Aspect
    intensity: Intensity
    depth: str
    low: float
    high: float

    def fit(self, images: PixelStore) -> Preprocessor:
        """Fit the intensity's affine clip on training normals."""
        low, high = self.intensity.bounds(images)
        # a constant training set has no scale: keep steps finite and let every image be grey
        return Preprocessor(**{**self.__dict__, "low": low, "high": high if high > low else low + 1.0})

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map raw grey values to [0, 1]."""
        stepped = self.intensity.per_image(images)
        if (self.low, self.high) == (0.0, 1.0):
            return stepped.clamp(0, 1)
        return stepped.sub(self.low).div_(self.high - self.low).clamp_(0, 1)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, enumerations by their names."""
        return {k: v.value if isinstance(v, Enum) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preprocessor:
        """Rebuild from `to_json`."""
        enums = {"aspect": Aspect(values["aspect"]), "intensity": Intensity(values["intensity"])}
        return cls(**{**values, **enums})

    def geometry(self, pixels: Pixels) -> npt.NDArray[Any]:
        """Return (c, size, size) of the same dtype: channels, aspect, antialiased resize."""
        planes = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None]
        if planes.shape == (self.channels, self.size, self.size):
            return planes
        image = torch.from_numpy(planes.astype(np.float32))
        if image.shape[0] == 3 and self.channels == 1:
            luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]  # ITU-R BT.601
            image = (image * luma).sum(0, keepdim=True)
        elif image.shape[0] == 1 and self.channels == 3:
            image = image.expand(3, -1, -1)
        image = self._resize(image)
        if np.issubdtype(pixels.dtype, np.integer):
            image = image.round().clamp(0, float(np.iinfo(pixels.dtype).max))
        return np.asarray(image.numpy().astype(pixels.dtype))

    def mask(self, mask: Pixels) -> npt.NDArray[np.bool_]:
        """Bring a lesion mask (h, w) to (size, size): a pixel counts where at least half of it is lesion."""
        return np.asarray(self._resize(torch.from_numpy(mask.astype(np.float32))[None])[0].numpy() >= 0.5)

    def _resize(self, image: Float[Tensor, "c h w"]) -> Float[Tensor, "c s s"]:
        height, width = image.shape[1:]
        if self.aspect is Aspect.CROP:
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            image = image[:, top : top + side, left : left + side]
        elif self.aspect is Aspect.PAD and height != width:
            side = max(height, width)
            top, left = (side - height) // 2, (side - width) // 2
            image = functional.pad(image, [left, side - width - left, top, side - height - top])
        if image.shape[1:] == (self.size, self.size):
            return image
        return functional.interpolate(image[None], (self.size, self.size), mode="bilinear", antialias=True)[0]

    def prepare(self, samples: Sequence[Sample], *, skip_unreadable: bool = False, progress: bool = False) -> Prepared:
        """Read every sample once and keep its pixels at the target size.

        Raises:
            UnreadableImagesError: Some cannot be read and `skip_unreadable` is off; all are listed.
        """
        from tqdm import tqdm

        store = allocate((len(samples), self.channels, self.size, self.size), self.depth)
        kept: list[Sample] = []
        hashes: list[str] = []
        problems: list[UnreadableImageError] = []
        for sample in tqdm(samples, "reading", unit="image", disable=not progress, delay=1, leave=False):
            try:
                pixels = self._read(sample)
            except UnreadableImageError as problem:
                problems.append(problem)
                continue
            store[len(kept)] = self.geometry(pixels)
            hashes.append(content_hash(pixels))
            kept.append(sample)
        if problems and not skip_unreadable:
            raise UnreadableImagesError(problems, len(samples))
        images = PixelStore(store[: len(kept)], self)
        return Prepared(tuple(kept), images, tuple(hashes), tuple(problems))

    def _read(self, sample: Sample) -> Pixels:
        pixels = sample.read()
        if str(pixels.dtype) != self.depth:
            raise ImageDepthError(sample.name, self.depth, str(pixels.dtype))
        return pixels
