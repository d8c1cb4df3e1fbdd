"""What two players share: any size, either at rest while the other moves, verdicts and starting weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from normoscope.nn.gan import ConvEncoder, Generator, resting, signed, small_weights, verdict_loss


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (1, 100, 76), (1, 5, 9), (2, 3, 4)])
def test_any_size_is_generated_and_judged(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    images = Generator(shape, 4, 6)(torch.randn(2, 6))
    assert images.shape == (2, *shape)
    assert float(images.detach().abs().max()) < 1
    assert ConvEncoder(shape, 4, 5)(images).shape == (2, 5)


def test_channels_double_up_to_eight_times_and_sides_halve_down_to_four() -> None:
    encoder = ConvEncoder((1, 200, 64), 3, 1)
    convolutions = [layer for layer in encoder.down if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [3, 6, 12, 24, 24, 24]
    assert encoder.head.in_features == 24 * 4 * 1  # 200 100 50 25 13 7 4 and 64 32 16 8 4 2 1


def test_who_rests_gets_no_gradient_and_keeps_its_statistics_yet_answers_the_same() -> None:
    torch.manual_seed(0)
    judge, images = ConvEncoder((1, 12, 12), 4, 1), torch.randn(8, 1, 12, 12).requires_grad_()
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    with resting(judge):
        answer = judge(images)
    answer.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert all(parameter.grad is None and parameter.requires_grad for parameter in judge.parameters())
    assert all(torch.equal(value, before[name]) for name, value in judge.state_dict().items())
    again = judge(images)
    assert torch.equal(again, answer)
    again.sum().backward()
    assert all(parameter.grad is not None for parameter in judge.parameters())
    assert not torch.equal(judge.down[3].running_mean, before["down.3.running_mean"])


def test_at_rest_in_evaluation_mode_the_running_statistics_count() -> None:
    torch.manual_seed(0)
    judge, images = ConvEncoder((1, 12, 12), 4, 1), torch.randn(8, 1, 12, 12)
    judge(images)
    judge.eval()
    with resting(judge):
        together, alone = judge(images), judge(images[:1])
    torch.testing.assert_close(together[:1], alone)
    torch.testing.assert_close(together, judge(images))


def test_verdict_loss_is_the_logistic_loss() -> None:
    logits = torch.tensor([[-1.0], [0.5], [3.0]])
    for real, sign in ((True, -1), (False, 1)):
        by_hand = sum(math.log1p(math.exp(sign * float(value))) for value in logits) / 3
        assert float(verdict_loss(logits, real)) == pytest.approx(by_hand, rel=1e-6)


def test_signed_images_run_from_minus_one_to_one() -> None:
    assert signed(torch.tensor([0.0, 0.25, 1.0])).tolist() == [-1.0, -0.5, 1.0]


def test_small_weights_make_the_first_images_grey() -> None:
    torch.manual_seed(0)
    generator = Generator((1, 28, 28), 16, 100)
    small_weights(generator)
    assert float(generator.project.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert float(generator(torch.randn(32, 100)).detach().abs().mean()) < 0.2
