"""Deep SVDD: centre, radius and losses by hand, and the collapse it must admit to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from interruptions import fit_with_interruptions, undisturbed
from normoscope.errors import OptionError
from normoscope.images import PixelStore, as_images
from normoscope.methods.deep_svdd import DeepSVDD, Objective
from normoscope.nn.ball import BallDetector, BallEncoder
from normoscope.nn.detector import AutoencoderDetector
from normoscope.types import Run
from toys import draw_blobs

RUN = Run(device="cpu", precision="float32")
SMALL = DeepSVDD(
    latent_dim=6, channels=(6, 8), pretrain_epochs=3, epochs=4, milestone=3, batch_size=16, learning_rate=3e-3
)
SOFT = replace(SMALL, objective=Objective.SOFT_BOUNDARY, nu=0.2, update_interval=2)


def by_hand() -> BallDetector:
    """A detector whose latent vector is (p, -p / 10, 0) for a 2x2 image whose first pixel is p."""
    network = BallEncoder((1, 2, 2), (1,), 3)
    with torch.no_grad():
        network.down[0].weight.zero_()[0, 0, 1, 1] = 1.0
        network.to_latent.weight.copy_(torch.tensor([[1.0], [-0.1], [0.0]]))
    return BallDetector(AutoencoderDetector(SMALL, network, torch.device("cpu"), torch.float32))


def squares(*first: float) -> Tensor:
    """Draw 2x2 images with these first pixels."""
    images = torch.zeros(len(first), 1, 2, 2)
    images[:, 0, 0, 0] = torch.tensor(first)
    return images


def test_center_is_the_mean_latent_vector_kept_a_tenth_away_from_zero() -> None:
    detector = by_hand()
    detector.center(as_images(squares(0.2, 0.6)))
    # the mean is (0.4, -0.04, 0): the first stays, the second keeps its sign, an exact zero goes up
    torch.testing.assert_close(detector.network.center, torch.tensor([0.4, -0.1, 0.1]))


def test_distances_and_radius_by_hand() -> None:
    detector, normals = by_hand(), squares(0.2, 0.6, 1.0)
    detector.network.center.copy_(torch.tensor([0.4, -0.1, 0.1]))
    distances = [0.04 + 0.0064 + 0.01, 0.04 + 0.0016 + 0.01, 0.36 + 0.0 + 0.01]
    torch.testing.assert_close(detector.anomaly_score(normals), torch.tensor(distances))
    detector.enclose(as_images(normals), nu=0.5)  # the middle one of 0.227, 0.2375, 0.608
    assert float(detector.network.radius) == pytest.approx(0.0564**0.5, rel=1e-6)
    expected = torch.tensor(distances) - 0.0564
    torch.testing.assert_close(detector.anomaly_score(normals), expected, rtol=1e-4, atol=1e-7)
    detector.enclose(as_images(normals), nu=0.25)  # halfway between the two larger ones
    assert float(detector.network.radius) == pytest.approx((0.0564**0.5 + 0.37**0.5) / 2, rel=1e-6)


def test_no_radius_makes_the_soft_boundarys_loss_smaller() -> None:
    detector, pixels = by_hand(), torch.rand(101, generator=torch.Generator().manual_seed(0))
    normals = squares(*pixels.tolist())
    detector.network.center.copy_(torch.tensor([0.4, -0.1, 0.1]))
    distances = detector.anomaly_score(normals).double()
    recipe = replace(SOFT, nu=0.1)
    detector.enclose(as_images(normals), nu=0.1)
    found = float(recipe.loss(distances, detector.network.radius))
    others = [float(recipe.loss(distances, radius)) for radius in torch.linspace(0, 1, 2001).double()]
    assert found <= min(others) + 1e-9
    assert found < float(recipe.loss(distances, torch.tensor(0.0).double())) / 2


def test_losses_by_hand() -> None:
    distances, radius = torch.tensor([1.0, 4.0, 9.0, 2.0]), torch.tensor(1.5)
    assert float(SMALL.loss(distances, radius)) == 4.0
    assert float(SOFT.loss(distances, radius)) == pytest.approx(2.25 + (1.75 + 6.75) / 4 / 0.2)


def test_the_encoder_has_no_bias_so_black_is_zero() -> None:
    detector = SMALL.fit(as_images(draw_blobs(40, seed=1)), RUN)
    assert [name for name in detector.state() if name.endswith("bias")] == []
    black, images = torch.zeros(1, 1, 28, 28), draw_blobs(3, seed=2)
    assert not detector.embed(black).any()
    torch.testing.assert_close(detector.embed(0.5 * images), 0.5 * detector.embed(images), rtol=1e-4, atol=1e-6)


def test_one_class_scores_are_squared_distances_to_a_center_that_stage_2_leaves_in_place() -> None:
    normals, test = as_images(draw_blobs(40, seed=1)), draw_blobs(9, seed=2)
    short, long = (replace(SMALL, epochs=epochs).fit(normals, RUN) for epochs in (1, 4))
    assert torch.equal(short.network.center, long.network.center)
    assert not torch.equal(short.network.to_latent.weight, long.network.to_latent.weight)
    assert float(long.network.center.abs().min()) >= 0.1
    expected = torch.stack([((long.embed(x[None])[0] - long.network.center) ** 2).sum() for x in test])
    torch.testing.assert_close(long.anomaly_score(test), expected, rtol=1e-5, atol=1e-7)


def test_stage_2_draws_normals_to_the_center() -> None:
    normals, batch = as_images(draw_blobs(60, seed=1)), draw_blobs(60, seed=1)
    recipe = replace(SMALL, epochs=1, learning_rate=1e-3)
    before, after = (replace(recipe, epochs=epochs).fit(normals, RUN).anomaly_score(batch) for epochs in (1, 20))
    assert float(after.mean()) < float(before.mean()) / 3


def test_a_share_nu_of_the_normals_lies_outside_the_soft_boundary() -> None:
    normals = draw_blobs(101, seed=1)
    outside = (SOFT.fit(as_images(normals), RUN).anomaly_score(normals) > 1e-7).double().mean()
    assert float(outside) == pytest.approx(20 / 101)


def test_radius_is_zero_until_its_first_solution_and_then_enters_the_loss() -> None:
    normals = as_images(draw_blobs(16, seed=1))  # one batch: the first loss is that of the pretrained weights

    def losses(recipe: DeepSVDD) -> list[float]:
        return [epoch.losses[0] for epoch in recipe.fit(normals, RUN).history.epochs if epoch.stage == "hypersphere"]

    one_class, early, late = losses(SMALL), losses(replace(SOFT, update_interval=1)), losses(SOFT)
    assert early[0] == pytest.approx(one_class[0] / 0.2, rel=1e-5)
    assert early[0] == late[0]
    assert early[1] < late[1]
    assert late[2] < late[1] / 2


def test_the_step_size_falls_to_a_tenth_at_the_milestone_of_either_stage() -> None:
    paper = DeepSVDD()
    parts = paper.schedules("hypersphere", paper.epochs)
    assert [(part.epochs, part.learning_rate) for part in parts.values()] == [(50, 1e-4), (100, 1e-5)]
    epochs = replace(SMALL, pretrain_epochs=4).fit(as_images(draw_blobs(40, seed=1)), RUN).history.epochs
    assert [epoch.stage for epoch in epochs] == ["pretraining"] * 3 + ["pretraining-fine"] + ["hypersphere"] * 3 + [
        "hypersphere-fine"
    ]


def test_spread_is_the_variance_of_latent_vectors_against_the_center() -> None:
    detector = by_hand()
    detector.network.center.copy_(torch.tensor([0.4, -0.1, 0.1]))
    # latent vectors (0.2, -0.02, 0) and (0.6, -0.06, 0): variances 0.04 and 0.0004; |c|^2 = 0.18
    assert detector.spread(squares(0.2, 0.6)) == pytest.approx(0.0404 / 0.18, rel=1e-5)


def test_weights_decayed_to_nothing_are_reported_as_collapse_and_healthy_ones_are_not() -> None:
    normals = as_images(draw_blobs(40, seed=1))
    healthy = SMALL.fit(normals, RUN)
    assert healthy.history.warnings == []
    collapsed = replace(SMALL, epochs=30, milestone=30, weight_decay=1e4, learning_rate=1e-2).fit(normals, RUN)
    assert collapsed.spread(draw_blobs(40, seed=1)) < 1e-6
    assert [text.split(":")[0] for text in collapsed.history.warnings] == ["The ball has collapsed"]
    assert healthy.collapse_warnings(PixelStore(np.full((5, 1, 28, 28), 99, np.uint8))) == []


def test_latent_vectors_keep_more_digits_than_bfloat16() -> None:
    detector = SMALL.fit(as_images(draw_blobs(40, seed=1)), RUN.replace(precision="bf16"))
    latent = detector.embed(draw_blobs(9, seed=2))
    assert (latent.bfloat16().float() != latent).float().mean() > 0.9


@pytest.mark.parametrize("recipe", [SMALL, SOFT], ids=["one-class", "soft-boundary"])
def test_stopped_again_and_again_it_ends_with_the_same_scores(recipe: DeepSVDD, tmp_path: Path) -> None:
    normals, test = as_images(draw_blobs(60, seed=1)), draw_blobs(20, seed=2)
    detector, stopped = fit_with_interruptions(recipe, normals, tmp_path, batches=11)
    assert stopped >= 3
    whole = undisturbed(recipe, normals)
    assert torch.equal(detector.anomaly_score(test), whole.anomaly_score(test))
    assert detector.network.radius == whole.network.radius
    assert [epoch.losses for epoch in detector.history.epochs] == [epoch.losses for epoch in whole.history.epochs]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nu": 0.0}, r"deep_svdd --nu: expected a share in \(0, 1\], got 0.0"),
        ({"pretrain_epochs": -1}, "deep_svdd --pretrain-epochs: expected a number of at least 0, got -1"),
        ({"milestone": 0}, "deep_svdd --milestone: expected a number of at least 1, got 0"),
        ({"weight_decay": -1.0}, "deep_svdd --weight-decay: expected a number of at least 0, got -1.0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        replace(SMALL, **changes)
