"""The latent entropy of fitted detectors: of those that have a latent, at the noise their own decoder bears."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from normoscope import methods
from normoscope.errors import TooFewImagesError
from normoscope.images import PixelStore, as_images
from normoscope.latents import latent_entropy
from normoscope.nn.detector import AutoencoderDetector
from normoscope.types import Detector, Run
from toys import draw_blobs

FEW = {"epochs": 2, "batch_size": 16, "latent_dim": 4, "hidden": 16, "patience": None, "update_interval": 1}


def fitted(name: str, normals: PixelStore, **options: Any) -> Detector:
    fields = {field.name for field in dataclasses.fields(methods.recipe_class(name))}  # type: ignore[arg-type]
    few = {key: value for key, value in FEW.items() if key in fields}
    return methods.build(name, "quick", few | options).fit(normals, Run())


@pytest.mark.parametrize(
    "name", ["ae", "aeu", "cae", "ceae", "constrained_ae", "conocc", "memae", "sae", "twente", "vae"]
)
def test_what_is_measured_is_the_latent_that_the_reconstruction_is_decoded_from(name: str, normals: PixelStore) -> None:
    detector = fitted(name, normals)
    assert isinstance(detector, AutoencoderDetector)
    images = draw_blobs(8, seed=5)
    redrawn = detector._apply(lambda x: detector.network.decode(detector.network.encode(x))[:, :1], images)
    torch.testing.assert_close(redrawn, detector.reconstruct(images), rtol=1e-3, atol=1e-3)


def test_a_latent_that_was_trained_holds_bits_and_fills_no_more_dimensions_than_it_has(normals: PixelStore) -> None:
    found = latent_entropy(fitted("ae", normals, epochs=30), as_images(draw_blobs(100, seed=6)))
    assert found is not None
    assert (found.images, found.dimensions) == (100, 4)
    assert 1 < found.gaussian_information.value < 60
    assert found.gaussian_information.low < found.gaussian_information.value < found.gaussian_information.high
    assert 0.5 < found.participation_ratio.value <= 4.2
    assert found.sigma.value > 0
    assert found.step.value == pytest.approx(math.sqrt(12) * found.sigma.value, rel=0.6)


def test_patients_widen_the_interval_where_their_images_are_alike(normals: PixelStore) -> None:
    detector = fitted("ae", normals, epochs=10)
    images = as_images(draw_blobs(40, seed=6).repeat_interleave(3, 0))
    alone, grouped = (
        latent_entropy(detector, images, patients) for patients in ((None,), [f"p{i // 3}" for i in range(120)])
    )
    assert alone is not None
    assert grouped is not None
    widths = [one.gaussian_information.high - one.gaussian_information.low for one in (alone, grouped)]
    assert widths[1] > 1.3 * widths[0]


def test_methods_without_a_latent_that_can_be_decoded_have_none(normals: PixelStore) -> None:
    assert latent_entropy(fitted("knn", normals), normals) is None
    assert latent_entropy(fitted("pca", normals), normals) is None


def test_fewer_than_twenty_normals_are_refused(normals: PixelStore) -> None:
    with pytest.raises(TooFewImagesError, match="20 images needed, 12 given"):
        latent_entropy(fitted("ae", normals), normals.subset(range(12)))
