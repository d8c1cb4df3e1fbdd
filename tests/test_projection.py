"""Planes of latent vectors: against principal components computed otherwise, and against groups one knows."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from normoscope.errors import MissingExtraError, NormoscopeError, ScoresError, TooFewImagesError
from normoscope.projection import Projection, hypersphere, side_by_side, variance_shares

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(40, 6)) * [5.0, 3.0, 1.0, 1.0, 0.5, 0.1]
GROUPS = np.repeat([0, 1, 2], 20)
CLUSTERS = RNG.normal(size=(60, 8)) + 20 * np.eye(8)[GROUPS]


def test_the_pca_plane_is_that_of_scikit_learn_but_for_signs() -> None:
    reference = PCA(2).fit(CLOUD)
    plane = Projection.PCA(CLOUD)
    np.testing.assert_allclose(np.abs(plane), np.abs(reference.transform(CLOUD)), atol=1e-10)
    assert variance_shares(CLOUD) == pytest.approx(reference.explained_variance_ratio_)


def test_the_largest_loading_is_positive_so_that_no_plane_flips() -> None:
    along = np.array([[-3.0, 0.0], [0.0, 0.1], [3.0, 0.0], [0.0, -0.1]])
    np.testing.assert_allclose(Projection.PCA(along), along, atol=1e-12)
    np.testing.assert_allclose(Projection.PCA(-along), -along, atol=1e-12)


def test_distances_in_the_pca_plane_are_never_longer_than_those_of_the_latents() -> None:
    plane = Projection.PCA(CLOUD)

    def distances(points: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(points[:, None] - points[None], axis=2))

    assert (distances(plane) <= distances(CLOUD) + 1e-9).all()


@pytest.mark.parametrize("projection", list(Projection))
def test_points_far_apart_in_three_groups_stay_three_groups(projection: Projection) -> None:
    plane = projection(CLUSTERS)
    _, nearest = NearestNeighbors(n_neighbors=6).fit(plane).kneighbors(plane)
    assert (GROUPS[nearest] == GROUPS[:, None]).mean() > 0.99


@pytest.mark.parametrize("projection", list(Projection))
def test_the_same_points_and_seed_give_the_same_plane(projection: Projection) -> None:
    np.testing.assert_array_equal(projection(CLOUD, 3), projection(CLOUD, 3))


@pytest.mark.parametrize("projection", [Projection.TSNE, Projection.UMAP])
def test_another_seed_gives_another_plane(projection: Projection) -> None:
    assert not np.allclose(projection(CLOUD, 0), projection(CLOUD, 1))


@pytest.mark.parametrize("projection", list(Projection))
def test_the_fewest_points_work_one_fewer_is_refused(projection: Projection) -> None:
    plane = projection(CLOUD[: projection.fewest])
    assert plane.shape == (projection.fewest, 2)
    assert np.isfinite(plane).all()
    with pytest.raises(TooFewImagesError, match=f"{projection.fewest} images needed"):
        projection(CLOUD[: projection.fewest - 1])


@pytest.mark.parametrize("projection", list(Projection))
def test_latents_of_one_dimension_are_laid_out_too(projection: Projection) -> None:
    line = CLOUD[:, :1]
    plane = projection(line)
    assert plane.shape == (40, 2)
    assert np.isfinite(plane).all()
    if projection is Projection.PCA:
        np.testing.assert_allclose(plane, np.column_stack([line - line.mean(), np.zeros(40)]), atol=1e-12)


def test_equal_latents_are_one_point_for_pca_and_refused_where_neighbours_are_asked_for() -> None:
    same = np.ones((20, 3))
    np.testing.assert_allclose(Projection.PCA(same), 0)
    assert variance_shares(same) == (0.0, 0.0)
    for projection in (Projection.TSNE, Projection.UMAP):
        with pytest.raises(ScoresError, match="all equal"):
            projection(same)


@pytest.mark.parametrize("wrong", [np.zeros(5), np.full((5, 2), np.nan), np.zeros((0, 3))])
def test_what_is_no_table_of_numbers_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ScoresError, match=r"latents: expected finite numbers \(n, d\)"):
        Projection.PCA(wrong)


@pytest.mark.parametrize("projection", list(Projection))
def test_the_number_of_threads_is_what_it_was(projection: Projection) -> None:
    before = torch.get_num_threads()
    projection(CLOUD)
    assert torch.get_num_threads() == before


def test_without_umap_learn_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "umap":
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match=r"UMAP needs .* 'normoscope\[explain\]'"):
        Projection.UMAP(CLOUD)


def test_radius_is_the_distance_to_the_centre_and_the_angle_lies_in_its_best_plane() -> None:
    # two coordinates carry all: angles are those of the plane, up to a turn or reflection
    angles = np.linspace(0, 1.9 * np.pi, 12)
    radii = np.linspace(1, 3, 12)
    circle = np.column_stack([radii * np.cos(angles), radii * np.sin(angles), np.zeros(12)])
    centre = np.array([4.0, -2.0, 7.0])
    found = hypersphere(circle + centre, centre)
    np.testing.assert_allclose(found.distance, radii)
    assert found.share == pytest.approx(1)
    inner = np.cos(found.angle[:, None] - found.angle[None])
    np.testing.assert_allclose(inner, np.cos(angles[:, None] - angles[None]), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found.plane, axis=1), radii)


def test_what_lies_across_the_plane_counts_in_the_distance_but_not_in_the_share() -> None:
    points = np.diag([3.0, 2.0, 1.0])
    found = hypersphere(points, np.zeros(3))
    np.testing.assert_allclose(found.distance, [3, 2, 1])
    assert found.share == pytest.approx((9 + 4) / 14)


def test_a_ball_that_has_collapsed_is_a_point() -> None:
    found = hypersphere(np.ones((5, 4)), np.ones(4))
    np.testing.assert_array_equal(found.plane, 0)
    assert found.share == 0


def test_a_centre_of_another_detector_is_refused() -> None:
    with pytest.raises(ScoresError, match="centre: expected 6 numbers"):
        hypersphere(CLOUD, np.zeros(5))


def test_two_codes_share_one_plane() -> None:
    first, second, share = side_by_side(CLOUD, CLOUD + 1.0)
    both = PCA(2).fit(np.concatenate([CLOUD, CLOUD + 1.0]))
    # one shift in the latents is one shift in the plane: both were projected by the same axes
    moved = second - first
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-9)
    np.testing.assert_allclose(np.abs(moved[0]), np.abs(both.components_ @ np.ones(6)), atol=1e-9)
    assert share == pytest.approx(both.explained_variance_ratio_.sum())


def test_codes_of_unlike_images_are_refused() -> None:
    with pytest.raises(NormoscopeError, match=r"second code: expected shape \(40, 6\)"):
        side_by_side(CLOUD, CLOUD[:5])
