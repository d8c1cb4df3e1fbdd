"""DAGMM: its mixture against scikit-learn's, its features by hand, and covariances that cannot be inverted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from interruptions import fit_with_interruptions, undisturbed
from normoscope.errors import OptionError
from normoscope.images import as_images
from normoscope.methods.dagmm import DAGMM
from normoscope.nn.mixture import Mixture, MixtureAutoencoder, reconstruction_features
from normoscope.types import Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = DAGMM(latent_dim=3, channels=(6, 8), epochs=4, batch_size=16, learning_rate=3e-3)


def cloud(kind: str) -> np.ndarray:
    """Draw 200 points in five dimensions."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 1, (120, 5)), rng.normal(3, 0.3, (80, 5))])
    if kind == "nearly flat":
        points[:, 4] = points[:, 0] + 1e-7 * rng.normal(size=200)
    if kind == "on a line":
        points = points[:, :1] * np.array([1, 2, -1, 0.5, 0])
    return points


def fitted_by_scikit_learn(points: np.ndarray, components: int) -> tuple[GaussianMixture, Mixture]:
    reference = GaussianMixture(components, reg_covar=1e-6, random_state=0).fit(points)
    parameters = (reference.weights_, reference.means_, reference.covariances_)
    return reference, Mixture(*(torch.from_numpy(np.ascontiguousarray(value)) for value in parameters))


@pytest.mark.parametrize("components", [1, 2, 4])
@pytest.mark.parametrize("kind", ["round", "nearly flat", "on a line"])
def test_energy_is_scikit_learns_log_likelihood_negated(kind: str, components: int) -> None:
    reference, mixture = fitted_by_scikit_learn(cloud(kind), components)
    elsewhere = np.random.default_rng(1).normal(1, 2, (50, 5))
    for points in (cloud(kind), elsewhere):
        expected = -reference.score_samples(points)
        np.testing.assert_allclose(mixture.energy(torch.from_numpy(points)).numpy(), expected, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("kind", ["round", "nearly flat", "on a line"])
def test_one_gaussian_of_all_points_is_scikit_learns(kind: str) -> None:
    points = cloud(kind) / 4
    reference = GaussianMixture(1, reg_covar=1e-6).fit(points)
    mixture = Mixture.estimated(torch.from_numpy(points), torch.ones(200, 1), floor=1e-6)
    np.testing.assert_allclose(mixture.means.numpy(), reference.means_, atol=1e-12)
    np.testing.assert_allclose(mixture.covariances.numpy(), reference.covariances_, atol=1e-12)
    np.testing.assert_allclose(
        mixture.energy(torch.from_numpy(points)).numpy(), -reference.score_samples(points), rtol=1e-6, atol=1e-6
    )


def test_moments_are_weighted_by_membership() -> None:
    points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 6.0]])
    memberships = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    mixture = Mixture.estimated(points, memberships, floor=0.0)
    assert mixture.weights.tolist() == [0.5, 0.5]
    torch.testing.assert_close(mixture.means, torch.tensor([[2 / 3, 0.0], [10 / 3, 4.0]]).double())
    # second Gaussian: deviations (-4/3, -4) with 1/2 and (2/3, 2) with 1, over 3/2
    expected = [[[8 / 9, 0.0], [0.0, 0.0]], [[8 / 9, 8 / 3], [8 / 3, 8.0]]]
    torch.testing.assert_close(mixture.covariances, torch.tensor(expected, dtype=torch.float64))


def test_degeneracy_sums_the_inverse_variances() -> None:
    covariances = torch.tensor([[[0.5, 0.1], [0.1, 0.25]], [[2.0, 0.0], [0.0, 1.0]]]).double()
    assert float(Mixture(torch.ones(2) / 2, torch.zeros(2, 2), covariances).degeneracy()) == 2 + 4 + 0.5 + 1


@pytest.mark.parametrize(
    ("points", "logit"),
    [
        (torch.randn(16, 258), 0.0),
        (torch.full((16, 4), 3.0), 0.0),
        (torch.randn(16, 4), 2000.0),
        (torch.randn(16, 4), 100.0),
        (1e7 * torch.randn(16, 1) * torch.rand(4), 0.0),
        (torch.randn(1, 4), 0.0),
    ],
    ids=["fewer points than dimensions", "equal points", "no members", "faint members", "a long line", "one point"],
)
def test_singular_covariances_have_finite_energies_and_gradients(points: Tensor, logit: float) -> None:
    points = points.clone().requires_grad_()
    logits = torch.tensor([[logit, 0.0]]).repeat(len(points), 1).requires_grad_()
    mixture = Mixture.estimated(points, logits.double().softmax(1), floor=1e-6)
    energy = mixture.energy(points)
    assert torch.isfinite(energy).all()
    for gradient in torch.autograd.grad(energy.mean() + mixture.degeneracy(), (points, logits)):
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("size", "least"), [(1e4, 1e-6 * 1e8 / 2), (1.0, 1e-6)])
def test_the_floor_grows_with_variances_above_1(size: float, least: float) -> None:
    line = torch.tensor([[-size, 0.0], [size, 0.0]])
    covariance = Mixture.estimated(line, torch.ones(2, 1), floor=1e-6).covariances[0]
    assert covariance.diagonal().tolist() == pytest.approx([size**2 + least, least])


def test_reconstruction_features_by_hand() -> None:
    images = torch.tensor([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]]).view(3, 1, 1, 2)
    redrawn = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).view(3, 1, 1, 2)
    expected = torch.tensor([[4 / 5, 9 / 15], [1 / 2, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(reconstruction_features(images, redrawn), expected)


def network() -> MixtureAutoencoder:
    torch.manual_seed(0)
    return MixtureAutoencoder((1, 28, 28), (6, 8), 3, components=2, hidden=10, dropout=0.5).eval()


def test_the_loss_adds_error_energy_and_inverse_variances_of_the_batch() -> None:
    net, images = network(), draw_blobs(20, seed=0)
    recipe = replace(SMALL, lambda1=0.3, lambda2=1e-4)
    features, memberships = net.features(images), net.memberships(net.features(images))
    mixture = Mixture.estimated(features, memberships, floor=1e-6)
    error = sum((a - b).square().sum().item() for a, b in zip(net(images), images, strict=True)) / 20
    expected = error + 0.3 * mixture.energy(features).mean().item() + 1e-4 * mixture.degeneracy().item()
    assert recipe.objective(net, images).item() == pytest.approx(expected, rel=1e-5)


def test_the_energy_moves_encoder_decoder_and_estimation_network() -> None:
    net, images = network(), draw_blobs(20, seed=0)
    parameters = dict(net.named_parameters())
    without, with_energy = (
        torch.autograd.grad(
            replace(SMALL, lambda1=weight, lambda2=0.0).objective(net, images), parameters.values(), allow_unused=True
        )
        for weight in (0.0, 1.0)
    )
    for name, before, after in zip(parameters, without, with_energy, strict=True):
        moved = after if before is None else after - before
        assert moved.abs().max() > 0, name


def test_the_mixture_that_scores_is_that_of_all_normals_in_evaluation_mode() -> None:
    normals = draw_blobs(50, seed=1)
    detector = SMALL.fit(as_images(normals), RUN)
    net = detector.network
    with torch.no_grad():
        features = torch.cat([net.features(image[None]) for image in normals]).double().numpy()
        memberships = torch.cat([net.memberships(net.features(image[None])) for image in normals]).numpy()
    for k in range(2):
        weights = memberships[:, k] / memberships[:, k].sum()
        mean = weights @ features
        covariance = (weights[:, None] * (features - mean)).T @ (features - mean) + 1e-6 * np.eye(5)
        np.testing.assert_allclose(net.weights[k], memberships[:, k].mean(), rtol=1e-5)
        np.testing.assert_allclose(net.means[k].numpy(), mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(net.covariances[k].numpy(), covariance, rtol=1e-3, atol=1e-5)
    energy = net.mixture.energy(torch.from_numpy(features)).float()
    torch.testing.assert_close(detector.anomaly_score(normals), energy, rtol=1e-3, atol=1e-3)


def test_the_papers_own_latent_size_runs_although_every_covariance_is_singular() -> None:
    recipe = replace(SMALL, latent_dim=256, epochs=2)
    detector = recipe.fit(as_images(draw_blobs(50, seed=1)), RUN)
    assert torch.isfinite(detector.anomaly_score(draw_blobs(5, seed=2, bright=True))).all()


def test_stopped_again_and_again_it_ends_with_the_same_scores(tmp_path: Path) -> None:
    normals, test = as_images(draw_blobs(60, seed=1)), draw_blobs(20, seed=2)
    detector, stopped = fit_with_interruptions(SMALL, normals, tmp_path, batches=7)
    assert stopped >= 2
    assert torch.equal(detector.anomaly_score(test), undisturbed(SMALL, normals).anomaly_score(test))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"components": 0}, "dagmm --components: expected a number of at least 1, got 0"),
        ({"lambda2": -0.1}, "dagmm --lambda2: expected a number of at least 0, got -0.1"),
        ({"floor": 0.0}, "dagmm --floor: expected a number of at least 1e-12, got 0.0"),
        ({"dropout": 1.0}, "dagmm --dropout: expected a share from 0 to below 1, got 1.0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        replace(SMALL, **changes)
