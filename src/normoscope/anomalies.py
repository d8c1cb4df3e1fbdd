"""Synthetic anomalies planted in normal images, so that sizes, stops and methods can be chosen without labels.

    normals --suite--> Anomaly -> (images, masks)      for every kind, a copy of each image

A copy differs from its normal inside one region, whose pixels the mask marks, and is equal to it elsewhere. The region
is an ellipse (for cut-paste a rectangle) of 2 % to 35 % of the image's area, drawn uniformly: what an autoencoder may
learn to redraw is the large and smooth, and small regions alone would not tell. Its aspect ratio is 1/2 to 2, and its
centre lies where the image shows something. Strengths are drawn from subtle to plain and measured in the image's own
contrast, its standard deviation. A change too faint to count (root mean square in the region below 5 % of the contrast)
is drawn anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter, uniform_filter
from torch import Tensor

from .errors import ImageShapeError, OptionError, TooFewImagesError
from .images import PixelStore, allocate, check_shape
from .types import Images

__all__ = ["Anomaly", "Planted", "blend", "plant", "suite"]

Image = npt.NDArray[np.float64]
"""One image (c, h, w) in [0, 1]."""

Mask = npt.NDArray[np.bool_]

_AREAS = (0.02, 0.35)
_ASPECTS = (0.5, 2.0)
_LEAST_SIDE = 16
_LEAST_CHANGE = 0.05
_DRAWS = 20
_CHUNK = 256


class Anomaly(Enum):
    """What is done to the region; every channel alike, so that grey images stay grey.

    cut-paste: a rectangle of the same image pasted elsewhere with hard edges, at an opacity of 0.4 to 1.
    foreign-patch: a share of 0.4 to 1 of the image's gradients gives way to those of a patch of another normal;
        Poisson's equation with the image's values around the region turns them into greys, so no edge shows.
    blur: a Gaussian whose sigma is 1/64 to 1/14 of the shorter side.
    noise: Gaussian noise with a deviation of 0.1 to 0.5 contrasts at the centre, half of the time independent in
        every pixel, else correlated over 1/40 to 1/10 of the shorter side.
    intensity: brighter or, half of the time, darker by 0.3 to 1.5 contrasts at the centre.

    Opacity and share are drawn uniformly, all other amounts log-uniformly. The last three fade out towards the
    region's border.

    Reference: Li et al., CutPaste, CVPR 2021 (opacity 1); Tan et al., Detecting outliers with foreign patch
    interpolation, MELBA 2022 (opacity below 1); Pérez et al., Poisson image editing, SIGGRAPH 2003; Tan et al.,
    Detecting outliers with Poisson image interpolation, MICCAI 2021.
    """

    CUT_PASTE = "cut-paste"
    FOREIGN_PATCH = "foreign-patch"
    BLUR = "blur"
    NOISE = "noise"
    INTENSITY = "intensity"

    @property
    def needs_donor(self) -> bool:
        """Whether its region is filled from another image."""
        return self is Anomaly.FOREIGN_PATCH

    def __call__(self, image: Image, donor: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
        """Return a changed copy (c, h, w), not yet clipped, and its region (h, w); see `needs_donor`."""
        change = {
            "cut-paste": _cut_paste,
            "foreign-patch": _foreign_patch,
            "blur": _blur,
            "noise": _noise,
            "intensity": _intensity,
        }[self.value]
        return change(image, donor, rng)


class Planted(NamedTuple):
    """The copies with one kind of anomaly.

    Args:
        images: (n, c, h, w) float32, to be scored as any other images; `images.index` modulo the number of normals
            is the normal each was made from.
        masks: True in the region; a pixel there may by chance have kept its value, none outside has changed.
    """

    images: PixelStore
    masks: Bool[np.ndarray, "n h w"]


def plant(
    anomaly: Anomaly,
    images: Float[Tensor, "n c h w"],
    donors: Float[Tensor, "m c h w"],
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "n c h w"], Bool[Tensor, "n h w"]]:
    """Plant one anomaly in a copy of every image.

    An image that cannot show this anomaly comes back unchanged with an empty mask: one where 20 draws changed too
    little, such as a constant one, which only a foreign patch can change.

    Args:
        anomaly: The kind.
        images: In [0, 1], 16 pixels or more a side.
        donors: Other normals of the same size, of which one is drawn per image; a copy of the image itself is
            never taken. May be empty for kinds without a donor.
        rng: All randomness; the global states are not touched.

    Returns:
        The copies in [0, 1] and the masks, on the images' device.

    Raises:
        ImageShapeError: Images too small, or donors of another shape.
        TooFewImagesError: A donor is needed and there is none but the image itself.
    """
    _check_sides(images.shape)
    check_shape(donors, images.shape[1:])
    given, pool = images.cpu().numpy(), donors.cpu().numpy()
    changed, masks = given.copy(), np.zeros((len(given), *given.shape[2:]), bool)
    for row, image in enumerate(given):
        changed[row], masks[row] = _planted(anomaly, image, _other(anomaly, image, pool, rng), rng)
    return torch.from_numpy(changed).to(images.device), torch.from_numpy(masks).to(images.device)


def suite(
    normals: Images, kinds: Iterable[Anomaly] = tuple(Anomaly), *, seed: int = 0, per_image: int = 1
) -> Mapping[Anomaly, Planted]:
    """Plant every kind of anomaly in copies of all normals.

    An image's copy derives from (seed, kind, number of the copy, row) alone: the other kinds asked for and the batch
    size do not matter. Images that cannot show a kind (see `plant`) are missing from it.

    Args:
        normals: Two or more, each a donor of others; a copy's donor never stands in its own row. Those the model
            was not fitted on tell more.
        kinds: Default all.
        seed: 0 or more.
        per_image: Copies of each image per kind.

    Returns:
        The copies by kind: all first ones in the normals' order, then all second ones.

    Raises:
        TooFewImagesError: Donors are needed and there is one image only, or no image can show a kind.
        ImageShapeError: Images below 16 pixels a side.
        OptionError: seed or per_image out of range.

    Example:
        >>> import numpy as np
        >>> from normoscope.images import as_images
        >>> normals = as_images(np.random.default_rng(0).random((5, 28, 28)))
        >>> suite(normals, [Anomaly.BLUR])[Anomaly.BLUR].images.shape
        (5, 1, 28, 28)
    """
    if seed < 0:
        raise OptionError("seed", seed, "0 or more")
    if per_image < 1:
        raise OptionError("per_image", per_image, "1 or more")
    _check_sides(normals.shape)
    return {kind: _copies(kind, normals, seed, per_image) for kind in kinds}


def _check_sides(shape: tuple[int, ...]) -> None:
    if len(shape) != 4 or min(shape[2:]) < _LEAST_SIDE:
        raise ImageShapeError(("c", "h", "w"), shape, f"anomalies need {_LEAST_SIDE} pixels or more a side")


def _other(anomaly: Anomaly, image: Image, pool: Image, rng: np.random.Generator) -> Image:
    """Draw a donor that is not the image itself."""
    if not anomaly.needs_donor:
        return image
    others = np.flatnonzero((pool != image).any((1, 2, 3)))
    if not len(others):
        raise TooFewImagesError("donors other than the image itself", 1, 0, "give another normal image")
    return np.asarray(pool[rng.choice(others)])


def _copies(kind: Anomaly, normals: Images, seed: int, per_image: int) -> Planted:
    count, _, height, width = normals.shape
    if kind.needs_donor and count < 2:
        raise TooFewImagesError(f"normals for {kind.value}", 2, count, "each takes its patch from another one")
    total = count * per_image
    pixels = allocate((total, *normals.shape[1:]), np.float32)
    masks = np.zeros((total, height, width), bool)
    for start in range(0, total, _CHUNK):
        copies = np.arange(start, min(start + _CHUNK, total))
        generators = [_generator(seed, kind, *divmod(int(copy), count)) for copy in copies]
        images = donors = normals.batch(copies % count).cpu().numpy()
        if kind.needs_donor:
            # one of the n - 1 other rows: a step of 1 to n - 1 from the image's own, around the end
            steps = [rng.integers(1, count) for rng in generators]
            donors = normals.batch((copies + steps) % count).cpu().numpy()
        for copy, image, donor, rng in zip(copies, images, donors, generators, strict=True):
            pixels[copy], masks[copy] = _planted(kind, image, donor, rng)
    shown = np.flatnonzero(masks.any((1, 2)))
    if not len(shown):
        raise TooFewImagesError(f"normals that can show {kind.value}", 1, 0, "constant images have nothing to change")
    return Planted(PixelStore(pixels).subset(shown), masks[shown])


def _generator(seed: int, kind: Anomaly, copy: int, row: int) -> np.random.Generator:
    """Derive the randomness of one copy; a kind counts by its name, so others may come and go."""
    return np.random.default_rng([seed, int.from_bytes(kind.value.encode()), copy, row])


def _planted(kind: Anomaly, image: Image, donor: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Draw until the change counts; else return the image and an empty mask."""
    exact, foreign = image.astype(np.float64), donor.astype(np.float64)
    least = _LEAST_CHANGE * float(exact.std())
    for _ in range(_DRAWS):
        drawn, mask = kind(exact, foreign, rng)
        changed = np.clip(drawn, 0, 1).astype(image.dtype)
        change = math.sqrt(np.square(changed.astype(np.float64) - exact)[:, mask].mean())
        if change > 0 and change >= least:
            return changed, mask
    return image, np.zeros(image.shape[1:], bool)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


# --- where


def _foreground(image: Image) -> Mask:
    """Mark what is brighter than the image's border or textured: by more than a quarter of the contrast."""
    grey = image.mean(0)
    least = grey.std() / 4
    frame = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    window = max(3, min(grey.shape) // 16 | 1)
    mean, power = uniform_filter(grey, window), uniform_filter(grey * grey, window)
    textured = power - mean * mean > least * least
    return np.asarray((grey > np.median(frame) + least) | textured)


def _centre(image: Image, half_height: float, half_width: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw a foreground pixel around which such a region lies inside the image, two pixels from its border.

    Where none does, any pixel that leaves room; where the region fills the image, its middle.
    """
    height, width = image.shape[1:]
    rows, columns = _room(height, half_height), _room(width, half_width)
    found = np.argwhere(_foreground(image)[rows, columns])
    if len(found):
        row, column = found[rng.integers(len(found))]
    else:
        row, column = rng.integers(rows.stop - rows.start), rng.integers(columns.stop - columns.start)
    return np.array([rows.start + row, columns.start + column])


def _room(side: int, half: float) -> slice:
    first = math.ceil(half + 2)
    return slice(first, side - first) if 2 * first < side else slice(side // 2, side // 2 + 1)


@dataclass(frozen=True)
class _Ellipse:
    """An ellipse of the unit square: its share of the area, the ratio of its axes and its turn in radians."""

    area: float
    aspect: float
    turn: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Ellipse:
        return cls(rng.uniform(*_AREAS), _log_uniform(rng, *_ASPECTS), rng.uniform(0, math.pi))

    def centre(self, image: Image, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw its place in an image."""
        a, b = self._axes()
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        height, width = image.shape[1:]
        return _centre(image, height * math.hypot(a * cos, b * sin), width * math.hypot(a * sin, b * cos), rng)

    def radius(self, centre: npt.NDArray[np.int64], height: int, width: int) -> Float[np.ndarray, "h w"]:
        """Return each pixel's radius from the centre, the ellipse's own being 1; exactly its area lies below 1.

        The image's outermost pixels never do, so that every pixel of the ellipse has four neighbours.
        """
        a, b = self._axes()
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        # a hair off the pixel's middle, so that no two pixels are equally far
        down = ((np.arange(height) - centre[0] + 1e-3) / height)[:, None]
        across = ((np.arange(width) - centre[1] + 1e-4) / width)[None, :]
        far = np.hypot((down * cos + across * sin) / a, (across * cos - down * sin) / b)
        far[[0, -1]], far[:, [0, -1]] = np.inf, np.inf
        count = round(self.area * height * width)
        return np.asarray(far / np.partition(far, count, axis=None)[count])

    def _axes(self) -> tuple[float, float]:
        return math.sqrt(self.area * self.aspect / math.pi), math.sqrt(self.area / self.aspect / math.pi)


# --- what


def _cut_paste(image: Image, _: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    area, aspect = rng.uniform(*_AREAS), _log_uniform(rng, *_ASPECTS)
    height, width = image.shape[1:]
    tall = round(height * math.sqrt(area * aspect))
    wide = round(height * width * area / tall)
    middle = _centre(image, tall / 2, wide / 2, rng)
    to_row, to_column = middle[0] - tall // 2, middle[1] - wide // 2
    row, column = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    patch = image[:, row : row + tall, column : column + wide]
    mask = np.zeros((height, width), bool)
    mask[to_row : to_row + tall, to_column : to_column + wide] = True
    opacity = rng.uniform(0.4, 1)
    changed = image.copy()
    changed[:, mask] = (1 - opacity) * image[:, mask] + opacity * patch.reshape(len(patch), -1)
    return changed, mask


def _foreign_patch(image: Image, donor: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    ellipse = _Ellipse.draw(rng)
    here, there = ellipse.centre(image, rng), ellipse.centre(donor, rng)
    mask = ellipse.radius(here, *image.shape[1:]) < 1
    moved = np.roll(donor, tuple(here - there), axis=(1, 2))
    return blend(image, moved, mask, rng.uniform(0.4, 1)), mask


def blend(target: Image, source: Image, mask: Mask, share: float) -> Image:
    """Solve Poisson's equation in the mask with the target's values around it (Pérez et al. 2003, eq. 7).

    The guidance field mixes both images' differences: v = (1 - share) grad target + share grad source. What is added
    to the target, f - target, is 0 around the mask and has the Laplacian share (Laplacian source - Laplacian target).
    """
    difference = source - target
    missing = [np.roll(difference, step, axis) for axis in (1, 2) for step in (1, -1)]
    load = (4 * difference - sum(missing))[:, mask]
    changed = target.copy()
    changed[:, mask] += share * _membrane(mask, load.T).T
    return changed


def _membrane(mask: Mask, load: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Solve 4 u_p - sum of u at the four neighbours = load_p in the mask (k pixels), u = 0 around it; load (k, c).

    Row by row the matrix has as many bands as the mask is wide, and is symmetric positive definite.
    """
    number = np.cumsum(mask).reshape(mask.shape) - 1
    right = number[:, :-1][mask[:, :-1] & mask[:, 1:]]
    pairs = mask[:-1] & mask[1:]
    upper, lower = number[:-1][pairs], number[1:][pairs]
    bands = np.zeros((max(2, int((lower - upper).max(initial=0)) + 1), len(load)))
    bands[0], bands[1, right], bands[lower - upper, upper] = 4, -1, -1
    return np.asarray(solveh_banded(bands, load, lower=True, overwrite_ab=True, check_finite=False))


def _soft(image: Image, rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], Mask]:
    """Draw an ellipse; its weight is 1 inside and falls to 0 over the outer 20 % to 100 % of the radius."""
    ellipse = _Ellipse.draw(rng)
    radius = ellipse.radius(ellipse.centre(image, rng), *image.shape[1:])
    rim = np.clip((1 - radius) / rng.uniform(0.2, 1), 0, 1)
    return rim * rim * (3 - 2 * rim), radius < 1


def _blur(image: Image, _: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    weight, mask = _soft(image, rng)
    blurred = _smooth(image, _coarseness(image, rng, 1 / 64, 1 / 14))
    return image + weight * (blurred - image), mask


def _noise(image: Image, _: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    weight, mask = _soft(image, rng)
    noise = rng.standard_normal((1, *image.shape[1:]))
    if rng.random() < 0.5:
        noise = _smooth(noise, _coarseness(image, rng, 1 / 40, 1 / 10))
    deviation = _log_uniform(rng, 0.1, 0.5) * image.std()
    return image + deviation / noise.std() * weight * noise, mask


def _intensity(image: Image, _: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    weight, mask = _soft(image, rng)
    sign = 1 if rng.random() < 0.5 else -1
    return image + sign * _log_uniform(rng, 0.3, 1.5) * image.std() * weight, mask


def _coarseness(image: Image, rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a length in pixels between these shares of the shorter side."""
    return float(min(image.shape[1:]) * _log_uniform(rng, low, high))


def _smooth(image: Image, sigma: float) -> Image:
    return np.asarray(gaussian_filter(image, (0, sigma, sigma), mode="nearest"))
