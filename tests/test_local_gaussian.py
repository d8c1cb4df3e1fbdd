"""Local descriptors and their Gaussians against independent computations, and what they find."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from normoscope.errors import OptionError, TooFewImagesError
from normoscope.features import derived
from normoscope.images import as_images
from normoscope.methods.local_gaussian import LocalGaussian, _moments
from normoscope.types import Run


def striped(count: int, seed: int, *, side: int = 32) -> Tensor:
    """Normals: stripes of one spacing at any phase, a little noise."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    stripes = 0.5 + 0.3 * np.sin(np.arange(side)[None, :, None] * 2 * np.pi / 6 + phase)
    images = np.broadcast_to(stripes, (count, side, side)) + rng.normal(0, 0.02, (count, side, side))
    return torch.from_numpy(np.clip(images, 0, 1)[:, None].astype(np.float32))


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("order", [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)])
def test_a_derivative_is_scipys_in_units_of_its_width(scale: float, order: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((20, 17))
    expected = ndimage.gaussian_filter(image, scale, order=order, mode="nearest", radius=int(np.ceil(4 * scale)))
    found = derived(torch.from_numpy(image), scale, order).numpy()
    if sum(order) == 0:
        np.testing.assert_allclose(found, expected, atol=1e-12)
    else:
        # both sample the same function; scipy's derivative kernels have no other normalisation
        np.testing.assert_allclose(found, expected * scale ** sum(order), atol=1e-9)


def test_pooled_moments_are_those_of_the_weighted_neighbours() -> None:
    maps = np.random.default_rng(1).normal(size=(50, 2, 11, 11))
    mean, scatter = _moments([torch.from_numpy(maps[:30]), torch.from_numpy(maps[30:])], 1.0, covariance=True)
    row, column = 5, 5  # the window just fits: no border is continued into it
    impulse = np.zeros((11, 11))
    impulse[row, column] = 1
    weights = ndimage.gaussian_filter(impulse, 1.0, mode="nearest", radius=4) / len(maps)
    flat = maps.transpose(0, 2, 3, 1).reshape(-1, 2)
    every = np.tile(weights.ravel(), len(maps))
    np.testing.assert_allclose(mean[:, row, column], every @ flat, atol=1e-6)
    np.testing.assert_allclose(scatter[row, column], np.cov(flat.T, aweights=every, bias=True), atol=1e-6)
    assert _moments([torch.from_numpy(maps)], 1.0)[1][:, row, column] == pytest.approx(
        scatter[row, column].diagonal(), abs=1e-6
    )


def test_t_is_the_mahalanobis_distance_of_the_descriptors() -> None:
    normals = striped(40, 0)
    detector = LocalGaussian(shrinkage=0.05).fit(as_images(normals), Run())
    recipe, new = detector.method, striped(1, 9)
    described = recipe.descriptors(normals).double()
    mean, scatter = _moments([described], recipe.shift, covariance=True)
    deviation = scatter.diagonal(dim1=2, dim2=3).mean((0, 1)).sqrt().numpy()
    row, column = 7, 20
    own = scatter[row, column].numpy() / np.outer(deviation, deviation)
    ridge = 0.05 * np.mean([scatter[..., k, k].mean() / deviation[k] ** 2 for k in range(len(deviation))])
    away = (recipe.descriptors(new)[0, :, row, column] - mean[:, row, column]).numpy() / deviation
    expected = np.sqrt(away @ np.linalg.solve(own + ridge * np.eye(len(own)), away))
    assert float(detector.terms(new)[0, 0, row, column]) == pytest.approx(expected, rel=1e-3)


def test_texture_that_is_missing_is_found_although_every_grey_value_is_a_usual_one() -> None:
    detector = LocalGaussian().fit(as_images(striped(120, 0)), Run())
    usual, erased = striped(20, 5), striped(20, 5)
    erased[:, :, 8:20, 8:20] = 0.5
    pixel_scores = detector.anomaly_map(erased)
    inside = pixel_scores[:, 10:18, 10:18].mean((1, 2))
    outside = pixel_scores[:, :, 26:].mean((1, 2))
    assert (inside > 2 * outside).all()
    assert detector.anomaly_score(erased).min() > detector.anomaly_score(usual).max()
    # inside, where no derivative is far from its mean of zero, the energies alone are
    distances = [detector.terms(images)[:, 0, 12:16, 12:16].mean((1, 2)) for images in (erased, usual)]
    assert distances[0].min() > 1.5 * distances[1].max()


def test_larger_images_are_described_on_the_grid_and_mapped_at_their_own_size() -> None:
    detector = LocalGaussian(grid=16).fit(as_images(striped(30, 0)), Run())
    assert detector.terms.mean.shape[1:] == (16, 16)
    assert detector.anomaly_map(striped(2, 1)).shape == (2, 32, 32)


def test_colour_is_described_too() -> None:
    grey = striped(60, 0).expand(-1, 3, -1, -1).contiguous()
    detector = LocalGaussian().fit(as_images(grey), Run())
    tinted = striped(10, 3).expand(-1, 3, -1, -1).clone()
    before = detector.anomaly_score(tinted)
    tinted[:, 0, 10:20, 10:20] += 0.2  # red up, blue down: the mean of the channels stays
    tinted[:, 2, 10:20, 10:20] -= 0.2
    assert (detector.anomaly_score(tinted) > before + 1).all()


def test_a_score_has_a_gradient_that_finite_differences_confirm() -> None:
    detector = LocalGaussian().fit(as_images(striped(40, 0)), Run())
    image = striped(1, 2)
    image[:, :, 10:16, 10:16] = 0.9
    image.requires_grad_()
    (gradient,) = torch.autograd.grad(detector.anomaly_score(image).sum(), image)
    step = 1e-3 * gradient.sign()
    with torch.no_grad():
        found = detector.anomaly_score(image + step) - detector.anomaly_score(image - step)
    assert float(found) == pytest.approx(float(2 * (gradient * step).sum()), rel=0.1)


def test_ten_normals_are_the_fewest_and_options_out_of_range_are_refused() -> None:
    with pytest.raises(TooFewImagesError):
        LocalGaussian().fit(as_images(striped(9, 0)), Run())
    for wrong in ({"scales": (0.69, 2.0)}, {"scales": ()}, {"pooled": 99.0}, {"shift": 0.2},
                  {"shrinkage": 0.0}, {"latent_dim": 0}, {"grid": 4}, {"top": 0.0}):  # fmt: skip
        with pytest.raises(OptionError, match=next(iter(wrong)).replace("_", "-")):
            LocalGaussian(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 2), (1, 1), (2, 0)])
def test_no_derivative_of_the_narrowest_scale_answers_to_brightness(order: tuple[int, int]) -> None:
    assert LocalGaussian(scales=(0.7,)).scales == (0.7,)
    assert derived(torch.ones(20, 20), 0.7, order).abs().max() < 0.005
    with pytest.raises(OptionError, match="to 32 pixels of the grid"):
        LocalGaussian(scales=(1.0, 0.6))


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shrinkage", [0.01, 1e-9])
def test_normals_that_never_vary_are_fitted_and_any_change_is_far(grey: float, shrinkage: float) -> None:
    detector = LocalGaussian(shrinkage=shrinkage).fit(as_images(np.full((12, 16, 16), grey)), Run())
    images = torch.full((2, 1, 16, 16), grey)
    images[1, :, 4:8, 4:8] = 0.5
    usual, changed = detector.anomaly_score(images).tolist()
    assert changed > 1000 > usual
    pixel_scores = detector.anomaly_map(images)
    assert torch.isfinite(pixel_scores).all()
    assert pixel_scores[1, 4:8, 4:8].min() > pixel_scores[0].max()
    shared = torch.stack([*detector.score_terms(images).values()]).sum(0)
    assert shared.tolist() == pytest.approx([usual, changed], rel=1e-5), "an image like all normals has no share of nan"


def test_the_score_is_shared_out_among_what_is_unusual() -> None:
    detector = LocalGaussian().fit(as_images(striped(120, 0)), Run())
    erased = striped(5, 5)
    bright = erased.clone()
    erased[:, :, 8:20, 8:20] = 0.5
    bright[:, :, 8:20, 8:20] += 0.5
    terms = detector.score_terms(erased)
    assert set(terms) == {"brightness", "edges", "spots and ridges", "texture"}
    total = sum(terms.values())
    torch.testing.assert_close(total, detector.anomaly_score(erased), rtol=1e-4, atol=1e-4)
    assert (terms["texture"] / total).mean() > (
        detector.score_terms(bright)["texture"] / detector.anomaly_score(bright)
    ).mean()
