"""The erased square, and what is asked of the network that sees it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from normoscope.errors import OptionError
from normoscope.images import as_images
from normoscope.methods.ceae import CeAE, erase_square
from normoscope.nn.benchmark import BenchmarkAutoencoder
from normoscope.types import Run
from toys import draw_blobs

SMALL = CeAE(latent_dim=4, width=4, hidden=16, epochs=2, batch_size=16)


@pytest.mark.parametrize(
    ("height", "width", "side"), [(64, 64, 10), (28, 28, 4), (128, 128, 20), (40, 90, 9), (4, 900, 4)]
)
def test_a_square_of_the_benchmarks_share_is_black_in_every_channel_and_nothing_else_changes(
    height: int, width: int, side: int
) -> None:
    images = torch.rand(50, 3, height, width) + 0.1
    given = images.clone()
    erased = erase_square(images, 0.024)
    assert torch.equal(images, given)
    gone = erased == 0
    assert torch.equal(erased[~gone], images[~gone])
    for picture in gone.numpy():
        rows, columns = picture[0].any(1).nonzero()[0], picture[0].any(0).nonzero()[0]
        assert len(rows) == len(columns) == side
        assert picture[0].sum() == side**2
        assert (picture == picture[0]).all()
    if height == width:
        assert side**2 / (height * width) == pytest.approx(0.024, abs=0.004)


def test_squares_reach_every_pixel_and_differ_between_images() -> None:
    torch.manual_seed(0)
    gone = (erase_square(torch.ones(3000, 1, 12, 10), 0.1) == 0)[:, 0]
    share = gone.float().mean(0)
    assert share.min() > 0
    # side 3 in 12 x 10: 10 by 8 places; a corner is met by one of them, the middle by nine
    assert float(share[0, 0]) == pytest.approx(1 / 80, abs=0.01)
    assert float(share[6, 5]) == pytest.approx(9 / 80, abs=0.025)


class Sees(BenchmarkAutoencoder):
    """Answers what it was shown, so that the loss tells the target."""

    def forward(self, images: Tensor) -> Tensor:
        self.shown = images
        return images


def test_the_target_is_the_clean_image_on_the_scale_minus_one_to_one() -> None:
    images = draw_blobs(6, seed=0)
    network = Sees((1, 28, 28), 4, 4, 16)
    loss = SMALL.objective(network, images)
    square = network.shown == 0
    assert (square.flatten(1).sum(1) == 16).all()
    expected = [float((2 * image[hole]).square().sum()) / 784 for image, hole in zip(images, square, strict=True)]
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)


def test_scoring_erases_nothing() -> None:
    detector = SMALL.fit(as_images(draw_blobs(40, seed=1)), Run(device="cpu", precision="float32"))
    images = draw_blobs(5, seed=2)
    with torch.inference_mode():
        expected = detector.network(images)
    torch.testing.assert_close(detector.reconstruct(images), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(detector.anomaly_score(images), detector.anomaly_score(images))


@pytest.mark.parametrize("erased", [0.0, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused_by_name(erased: float) -> None:
    with pytest.raises(OptionError, match="ceae --erased: expected a share of the pixels between 0 and 1"):
        replace(SMALL, erased=erased)
