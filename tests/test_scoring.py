from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity

from normoscope.errors import OptionError
from normoscope.scoring import Pooling, Residual, Scoring, gaussian_blur, ssim_map

A = torch.rand(3, 1, 40, 40, generator=torch.Generator().manual_seed(0))
B = (A + 0.2 * torch.rand(3, 1, 40, 40, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
COLOUR = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(2))
OF_RECONSTRUCTIONS = [r for r in Residual if r.term is None and r is not Residual.VARIANCE]


@pytest.mark.parametrize("sigma", [0.75, 1.5, 3.0])
def test_blur_agrees_with_scipy_up_to_the_borders(sigma: float) -> None:
    expected = ndimage.gaussian_filter(A[0, 0].double().numpy(), sigma, mode="nearest", truncate=3.5)
    np.testing.assert_allclose(gaussian_blur(A, sigma)[0, 0].numpy(), expected, atol=1e-6)


def test_blur_is_wider_than_the_image_without_complaint() -> None:
    assert gaussian_blur(torch.full((1, 1, 8, 8), 0.3), 20.0).numpy() == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("sigma", [1.5, 2.0])
def test_ssim_agrees_with_scikit_image_inside_the_border(sigma: float) -> None:
    inner = slice(8, -8)
    for a, b, got in zip(A, B, ssim_map(A, B, sigma), strict=True):
        _, expected = structural_similarity(
            a[0].double().numpy(),
            b[0].double().numpy(),
            gaussian_weights=True,
            sigma=sigma,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )
        np.testing.assert_allclose(got[0, inner, inner].numpy(), expected[inner, inner], atol=2e-5)


def test_an_image_is_perfectly_similar_to_itself() -> None:
    assert (1 - ssim_map(A, A, 1.5)).abs().max() < 1e-5


def test_squared_and_absolute_residuals_are_means_over_channels() -> None:
    other = torch.zeros_like(COLOUR)
    array = COLOUR.numpy()
    np.testing.assert_allclose(Residual.SQUARED(COLOUR, other, 1.5).numpy(), (array**2).mean(1), rtol=1e-6)
    np.testing.assert_allclose(Residual.ABSOLUTE(COLOUR, other, 1.5).numpy(), np.abs(array).mean(1), rtol=1e-6)


def test_the_gradient_residual_compares_neighbouring_differences() -> None:
    difference = (A - B).double().numpy()
    along_x = np.diff(difference, axis=3, append=difference[..., -1:])
    along_y = np.diff(difference, axis=2, append=difference[..., -1:, :])
    expected = (along_x**2 + along_y**2).mean(1)
    np.testing.assert_allclose(Residual.GRADIENT(A, B, 1.5).numpy(), expected, atol=1e-6)


def test_the_normalised_residual_by_hand() -> None:
    image = torch.tensor([[[[0.0, 0.5, 0.5], [0.0, 0.5, 1.0]]]])
    # along x: 0.5, 0, 0.5, 0.5 -> mean square 0.1875; along y: 0, 0, 0.5 -> 0.25 / 3
    energy = 0.1875 + 0.25 / 3 + 1e-4
    got = Residual.NORMALISED(image, torch.full_like(image, 0.5), 1.5)
    expected = np.array([[[0.25, 0.0, 0.0], [0.25, 0.0, 0.25]]]) / energy
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)


def test_the_normalised_residual_is_the_squared_one_over_the_images_own_energy_alone() -> None:
    array = COLOUR.double().numpy()
    energy = (np.diff(array, axis=2) ** 2).mean((1, 2, 3)) + (np.diff(array, axis=3) ** 2).mean((1, 2, 3)) + 1e-4
    other = COLOUR.flip(3) * 0.7
    expected = Residual.SQUARED(COLOUR, other, 1.5).numpy() / energy[:, None, None]
    np.testing.assert_allclose(Residual.NORMALISED(COLOUR, other, 1.5).numpy(), expected, rtol=1e-5)
    flat = torch.full((1, 1, 5, 5), 0.5)
    np.testing.assert_allclose(Residual.NORMALISED(flat, flat + 0.1, 1.5).numpy(), 100.0, rtol=1e-4)


def test_contrast_cancels_in_the_normalised_residual() -> None:
    dim, bright = (Residual.NORMALISED(c * A, c * B, 1.5).mean((1, 2)) for c in (0.5, 1.0))
    torch.testing.assert_close(dim, bright, rtol=2e-3, atol=0)


def test_the_gradient_residual_ignores_a_constant_offset() -> None:
    assert Residual.GRADIENT(A, A + 0.3, 1.5).max() < 1e-12


@pytest.mark.parametrize("residual", OF_RECONSTRUCTIONS)
def test_every_residual_is_a_map_that_grows_where_images_differ(residual: Residual) -> None:
    changed = A.clone()
    changed[:, :, 10:16, 10:16] = 1 - changed[:, :, 10:16, 10:16]
    maps = residual(A, changed, 1.5)
    assert maps.shape == (3, 40, 40)
    assert maps[:, 10:16, 10:16].mean() > 10 * maps[:, 25:, 25:].abs().mean() + 1e-3


def test_pooling_by_hand() -> None:
    maps = torch.arange(200.0).reshape(2, 10, 10)
    assert Scoring(pooling=Pooling.MEAN).score(maps).tolist() == [49.5, 149.5]
    assert Scoring(pooling=Pooling.TOP, fraction=0.04).score(maps).tolist() == [97.5, 197.5]
    assert Scoring(pooling=Pooling.TOP, fraction=0.001).score(maps).tolist() == [99.0, 199.0]
    assert Scoring(pooling=Pooling.TOP, fraction=1.0).score(maps).tolist() == [49.5, 149.5]


def test_the_smoothed_maximum_agrees_with_scipy() -> None:
    maps = (A - B)[:, 0].square()
    expected = [ndimage.gaussian_filter(m.double().numpy(), 2.0, mode="nearest", truncate=3.5).max() for m in maps]
    np.testing.assert_allclose(Scoring(pooling=Pooling.MAXIMUM, smoothing=2.0).score(maps).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("residual", OF_RECONSTRUCTIONS)
@pytest.mark.parametrize("pooling", Pooling)
def test_a_score_does_not_depend_on_batch_neighbours(residual: Residual, pooling: Pooling) -> None:
    scoring = Scoring(residual, pooling=pooling)
    together = scoring.score(scoring.map(A, B))
    alone = torch.cat([scoring.score(scoring.map(a[None], b[None])) for a, b in zip(A, B, strict=True)])
    torch.testing.assert_close(alone, together, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("sigma", 0.1, "--sigma: expected 0.3 to 50 pixels, got 0.1."),
        ("sigma", float("nan"), "--sigma: expected 0.3 to 50 pixels, got nan."),
        ("smoothing", 51.0, "--smoothing: expected 0.3 to 50 pixels, got 51.0."),
        ("fraction", 0.0, "--fraction: expected a share of the pixels in (0, 1], got 0.0."),
        ("fraction", 1.5, "--fraction: expected a share of the pixels in (0, 1], got 1.5."),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: float, sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        Scoring(**{option: value})  # type: ignore[arg-type]
    assert str(caught.value) == sentence
