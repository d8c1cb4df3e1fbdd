"""The layers, the autoencoder, and answers that do not depend on neighbours."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from normoscope.errors import ImageShapeError, OptionError
from normoscope.methods.cae import CAE
from normoscope.nn.autoencoder import ConvAutoencoder, check_widths
from normoscope.nn.blocks import UpConv
from normoscope.nn.collapse import collapse_warnings
from normoscope.nn.detector import AutoencoderDetector
from normoscope.nn.inference import chunk_size, in_chunks

CPU = torch.device("cpu")


def plain(layer: UpConv) -> nn.Sequential:
    """The two steps UpConv folds into one, with its weights."""
    convolution = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1)
    convolution.load_state_dict(layer.state_dict())
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), convolution)


@pytest.mark.parametrize("out_channels", [1, 3, 16, 20])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (8, 8)])
def test_upconv_is_nearest_doubling_then_convolution_with_the_same_gradients(
    out_channels: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    layer = UpConv(6, out_channels)
    reference = plain(layer)
    here = torch.randn(3, 6, *size, requires_grad=True)
    there = here.detach().clone().requires_grad_()
    ours, theirs = layer(here), reference(there)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    torch.testing.assert_close(here.grad, there.grad, rtol=0, atol=1e-5)
    for mine, other in zip(layer.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-4)


def plain_autoencoder(network: ConvAutoencoder, images: Tensor) -> Tensor:
    """The same network written with plain layers."""
    hidden = images
    for layer in network.down:
        hidden = layer(hidden).relu()
    hidden = network.from_latent(network.to_latent(hidden.flatten(1))).relu().view(-1, *network.grid)
    for step, layer in enumerate(network.up, start=1):
        height, width = network.sizes[-1 - step]
        hidden = plain(layer)(hidden)[:, :, :height, :width]
        hidden = hidden.relu() if step < len(network.up) else hidden.sigmoid()
    return hidden


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 64, 64), (3, 100, 100), (1, 30, 45), (2, 5, 9)])
def test_autoencoder_of_any_size_equals_its_plain_layers(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(1)
    network = ConvAutoencoder(shape, channels=(4, 18, 20), latent_dim=7)
    images = torch.rand(2, *shape)
    assert network.encode(images).shape == (2, 7)
    torch.testing.assert_close(network(images), plain_autoencoder(network, images), rtol=0, atol=1e-5)


def test_paper_network_has_the_parameters_its_layers_add_up_to() -> None:
    network = ConvAutoencoder((1, 64, 64))
    widths = [1, 32, 64, 128]
    convolutions = sum(9 * i * o + o for i, o in pairwise(widths)) + sum(9 * i * o + i for i, o in pairwise(widths))
    linear = 2 * 8192 * 256 + 256 + 8192
    assert sum(p.numel() for p in network.parameters()) == convolutions + linear


@pytest.mark.parametrize(("latent_dim", "channels"), [(0, (8,)), (4, ()), (4, (8, 0))])
def test_impossible_widths_are_refused_by_name(latent_dim: int, channels: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match=r"^cae --(latent-dim|channels): expected .*at least 1, got "):
        check_widths("cae", latent_dim, channels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [20, 64])
def test_an_images_score_is_the_same_bits_in_any_company(dtype: torch.dtype, side: int) -> None:
    torch.manual_seed(2)
    detector = AutoencoderDetector(CAE(), ConvAutoencoder((1, side, side), (16, 32), 8), CPU, dtype)
    images = torch.rand(131, 1, side, side)
    together = detector.anomaly_score(images)
    assert together.shape == (131,)
    assert together.dtype == torch.float32
    order = torch.randperm(131)
    assert torch.equal(detector.anomaly_score(images[order]), together[order])
    for row in (0, 1, 64, 130):
        assert torch.equal(detector.anomaly_score(images[row : row + 1])[0], together[row])


def test_chunks_have_one_size_and_padding_never_shows() -> None:
    seen: list[int] = []

    def total(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.sum((1, 2, 3))

    images = torch.rand(300, 1, 4, 4)
    torch.testing.assert_close(in_chunks(total, images, CPU, torch.float32), images.sum((1, 2, 3)))
    assert seen == [128, 128, 128]
    assert [chunk_size((1, side, side)) for side in (28, 64, 224, 4096)] == [128, 128, 10, 1]


def test_map_and_score_and_reconstruction_tell_one_story() -> None:
    torch.manual_seed(3)
    detector = AutoencoderDetector(CAE(), ConvAutoencoder((3, 12, 10), (8,), 4), CPU, torch.float32)
    images = torch.rand(5, 3, 12, 10)
    residual = (images - detector.reconstruct(images)).square()
    torch.testing.assert_close(detector.anomaly_map(images), residual.mean(1))
    torch.testing.assert_close(detector.anomaly_score(images), residual.mean((1, 2, 3)))
    assert detector.embed(images).shape == (5, 4)


def test_images_of_another_shape_are_refused_in_one_sentence() -> None:
    detector = AutoencoderDetector(CAE(), ConvAutoencoder((1, 12, 12), (8,), 4), CPU, torch.float32)
    with pytest.raises(ImageShapeError, match=r"images must have shape \(n, 1, 12, 12\), got \(2, 3, 12, 12\)"):
        detector.anomaly_score(torch.rand(2, 3, 12, 12))


def test_collapse_is_seen_from_normals_alone() -> None:
    torch.manual_seed(4)
    images, latents = torch.rand(30, 1, 6, 6), torch.randn(30, 5)
    same = images.mean(0, keepdim=True).expand_as(images)
    assert collapse_warnings(images, 0.5 * images, latents) == []
    assert "vary by 0.00% of what the training images do" in collapse_warnings(images, same, latents)[0]
    stuck = collapse_warnings(images, images, torch.ones(30, 5))
    assert [sentence.split(":")[0] for sentence in stuck] == ["The latent space has collapsed"]
    assert collapse_warnings(images[:1], same[:1], latents[:1]) == []
    assert len(collapse_warnings(images, same)) == 1
    assert collapse_warnings(images, images) == []
