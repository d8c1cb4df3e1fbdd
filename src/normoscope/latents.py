"""Everything known of a fitted autoencoder's latent vectors, at the noise its own decoder can bear.

Detector, held-out normals --embed--> latents --decode, disturbed--> sigma, step --measure--> LatentEntropy
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .dimension import levina_bickel, participation_ratio, two_nn
from .disturbance import decoding_error, encoded, noise_level, step_level
from .entropy import gaussian_entropy, knn_entropy, shrunk_gaussian_entropy
from .errors import TooFewImagesError
from .estimates import Estimate, Latents, averaged, checked, one_of_each
from .information import gaussian_information, information_by_dimension, knn_information
from .nn.detector import AutoencoderDetector
from .rounding import quantised_bits
from .types import Detector, Images

__all__ = ["FEWEST", "LatentEntropy", "latent_entropy", "measure"]

FEWEST = 20
"""Fewer normals say nothing of an entropy."""


def latent_entropy(
    detector: Detector, normals: Images, patients: Sequence[object] | None = None, seed: int = 0
) -> LatentEntropy | None:
    """Measure what the latent vectors of normals hold.

    Args:
        detector: Fitted.
        normals: Images it was not fitted on, 20 or more.
        patients: Of each image; where none or one is unknown (None), images count as independent.
        seed: Of noise and intervals.

    Returns:
        The figures; None where images do not pass through one latent vector that can be decoded.

    Raises:
        TooFewImagesError: Fewer than 20 normals.
    """
    if not isinstance(detector, AutoencoderDetector):
        return None
    if len(normals) < FEWEST:
        raise TooFewImagesError("normals to measure the latent entropy on", FEWEST, len(normals))
    latents = encoded(detector.embed, normals)
    error = decoding_error(detector.decode, normals)
    sigma, step = noise_level(error, latents, seed=seed), step_level(error, latents, seed=seed)
    known = patients is not None and None not in patients
    return measure(latents, sigma, step, np.asarray(patients) if known else None, seed)


@dataclass(frozen=True)
class LatentEntropy:
    """What is known of a model's latent vectors on held-out normals.

    Args:
        images: n.
        patients: Of whom these images are; None where unknown. One image of each is measured, several times.
        dimensions: d.
        sigma: The noise the information is counted above.
        step: The rounding step the quantised bits are counted with.
        gaussian_information: Bits above the noise.
        knn_information: The same without assuming a distribution.
        information_by_dimension: Along each latent coordinate.
        quantised: Upper bound of the bits of the rounded latent.
        gaussian: Differential entropy, in nats; it follows the latents' scale, as do the next two.
        shrunk_gaussian: The same from the Ledoit-Wolf covariance.
        knn: The same without assuming a distribution.
        two_nn: Intrinsic dimension.
        levina_bickel: Intrinsic dimension.
        participation_ratio: Linear dimension.
    """

    images: int
    patients: int | None
    dimensions: int
    sigma: Estimate
    step: Estimate
    gaussian_information: Estimate
    knn_information: Estimate
    information_by_dimension: tuple[Estimate, ...]
    quantised: Estimate
    gaussian: Estimate
    shrunk_gaussian: Estimate
    knn: Estimate
    two_nn: Estimate
    levina_bickel: Estimate
    participation_ratio: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return every figure under its name, in plain values; nan becomes None."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def rows(self) -> list[tuple[str, str]]:
        """Return label and text of every figure, for a table."""
        figures = [(label, str(getattr(self, name))) for name, label in _LABELS.items()]
        along = [estimate.value for estimate in self.information_by_dimension]
        if not any(map(math.isnan, along)):
            best, used = int(np.argmax(along)), sum(value >= 0.1 for value in along)
            most = f"most in coordinate {best + 1}: {along[best]:.3g}"  # its interval is of no picked coordinate
            figures.insert(4, ("coordinates with 0.1 bits or more", f"{used} of {self.dimensions}; {most}"))
        several = self.patients is not None and self.patients < self.images
        of = f"; of {self.patients} patients, one image of each at a time" if several else ""
        return [("latent vectors", f"{self.images} in {self.dimensions} dimensions{of}"), *figures]


_LABELS = {
    "sigma": "noise (sd)",
    "step": "rounding step",
    "gaussian_information": "information above the noise, Gaussian",
    "knn_information": "information above the noise, nearest neighbours",
    "quantised": "rounded latent, at most",
    "two_nn": "intrinsic dimension, two nearest neighbours",
    "levina_bickel": "intrinsic dimension, maximum likelihood",
    "participation_ratio": "linear dimension, participation ratio",
    "gaussian": "differential entropy, Gaussian",
    "shrunk_gaussian": "differential entropy, Gaussian, shrunk",
    "knn": "differential entropy, nearest neighbours",
}


_LEVELS = ("sigma", "step")
"""Read off the decoder, with all images."""


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value.to_json()
    return [item.to_json() for item in value] if isinstance(value, tuple) else value


def measure(
    latents: npt.ArrayLike,
    sigma: float | Estimate,
    step: float | Estimate,
    groups: npt.ArrayLike | None = None,
    seed: int = 0,
) -> LatentEntropy:
    """Estimate everything about the latent vectors of held-out normals.

    Args:
        latents: (n, d), one image per row.
        sigma: Noise to count information above; where it is not estimable, neither is the information.
        step: Rounding step; likewise.
        groups: (n,) patient of each image; where one has several, figures are the means of eight picks of one image of
            each patient. None takes images as independent.
        seed: Of intervals, noise draws and picks.

    Raises:
        ScoresError: Latents that are not (n, d) finite numbers, or groups of another length.
        OptionError: Sigma or the step is not above 0.
    """
    latents = checked(latents)
    noise, rounding = (level if isinstance(level, Estimate) else Estimate(level) for level in (sigma, step))
    picks = one_of_each(groups, len(latents), seed)
    found = [_measured(latents[rows], noise, rounding, seed) for rows in picks]
    figures: dict[str, Any] = {
        name: averaged([getattr(one, name) for one in found]) for name in _LABELS if name not in _LEVELS
    }
    along = tuple(averaged(each) for each in zip(*(one.information_by_dimension for one in found), strict=True))
    patients = None if groups is None else len(picks[0])
    return replace(found[0], images=len(latents), patients=patients, information_by_dimension=along, **figures)


def _measured(latents: Latents, noise: Estimate, rounding: Estimate, seed: int) -> LatentEntropy:
    """Measure independent images."""
    n, d = latents.shape

    def above(information: Callable[..., Estimate], level: Estimate) -> Estimate:
        if level.reason is not None:
            return Estimate.missing(level.reason, "bits")
        return information(latents, level.value, seed=seed)

    along: Sequence[Estimate] = (Estimate.missing(noise.reason or "", "bits"),) * d
    if noise.reason is None:
        along = information_by_dimension(latents, noise.value, seed)
    return LatentEntropy(
        images=n,
        patients=None,
        dimensions=d,
        sigma=noise,
        step=rounding,
        gaussian_information=above(gaussian_information, noise),
        knn_information=above(knn_information, noise),
        information_by_dimension=tuple(along),
        quantised=above(quantised_bits, rounding),
        gaussian=gaussian_entropy(latents, seed),
        shrunk_gaussian=shrunk_gaussian_entropy(latents, seed),
        knn=knn_entropy(latents, seed=seed),
        two_nn=two_nn(latents, seed),
        levina_bickel=levina_bickel(latents, seed=seed),
        participation_ratio=participation_ratio(latents, seed),
    )
