"""Two errors, one of pixels and one of latent vectors, and where their gradients go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from normoscope.errors import OptionError
from normoscope.methods.constrained_ae import ConstrainedAE
from normoscope.nn.benchmark import BenchmarkAutoencoder
from toys import draw_blobs

SMALL = ConstrainedAE(latent_dim=4, width=4, hidden=16, epochs=2, batch_size=16)


@pytest.fixture
def network() -> BenchmarkAutoencoder:
    torch.manual_seed(0)
    return SMALL._network((1, 28, 28))  # in training mode; untrained running statistics would silence the signal


def test_the_loss_by_hand(network: BenchmarkAutoencoder) -> None:
    images = draw_blobs(3, seed=0)
    with torch.no_grad():
        loss = replace(SMALL, latent_weight=0.3).objective(network, images)
        latent = network.encode(images).numpy()
        rebuilt = network.decode(torch.from_numpy(latent))
        again = network.encode(rebuilt).numpy()
    for value, x, y, z, w in zip(loss.tolist(), images.numpy(), rebuilt.numpy(), latent, again, strict=True):
        pixels = np.mean([(2 * float(a) - 2 * float(b)) ** 2 for a, b in zip(x.flat, y.flat, strict=True)])
        codes = sum((float(a) - float(b)) ** 2 for a, b in zip(z, w, strict=True)) / 4
        assert codes > 0.01
        assert value == pytest.approx(pixels + 0.3 * codes, rel=1e-4)


def test_the_latent_error_moves_decoder_and_encoder_by_both_its_uses(network: BenchmarkAutoencoder) -> None:
    images = draw_blobs(3, seed=0)
    names, parameters = zip(*network.named_parameters(), strict=True)

    def gradients(loss: torch.Tensor) -> dict[str, torch.Tensor | None]:
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        return dict(zip(names, found, strict=True))

    whole = gradients(SMALL.objective(network, images).mean())
    pixels = gradients(replace(SMALL, latent_weight=0.0).objective(network, images).mean())
    latent = network.encode(images)
    rebuilt = network.decode(latent)
    as_target = gradients((latent - network.encode(rebuilt.detach()).detach()).square().mean())
    as_echo = gradients((latent.detach() - network.encode(rebuilt)).square().mean())
    for name in names:
        by_hand = sum(g[name] for g in (pixels, as_target, as_echo) if g[name] is not None)
        torch.testing.assert_close(whole[name], by_hand, rtol=1e-3, atol=1e-5, msg=name)
    assert as_echo["up.0.weight"].abs().max() > 0
    assert as_target["down.0.weight"].abs().max() > 0


@pytest.mark.parametrize("weight", [-0.1, float("inf")])
def test_a_weight_out_of_range_is_refused_by_name(weight: float) -> None:
    with pytest.raises(OptionError, match="constrained_ae --latent-weight: expected a number of at least 0"):
        replace(SMALL, latent_weight=weight)
