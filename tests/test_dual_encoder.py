"""The dual encoder: its losses, what each phase moves, and the gates between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from normoscope.errors import OptionError
from normoscope.images import PixelStore
from normoscope.methods.dual_encoder import DualEncoder, Score
from normoscope.nn.autoencoder import ConvAutoencoder
from normoscope.nn.corruption import Corruption
from normoscope.nn.detector import AutoencoderDetector
from normoscope.nn.dual import DualAutoencoder, Reading, Views, patch_encoder
from normoscope.training import History, Phase, Schedule, train
from normoscope.types import Run

RUN = Run(device="cpu", precision="float32")
SMALL = DualEncoder(latent_dim=4, channels=(6, 8), epochs=3, batch_size=16, patience=None)
ABSURD = replace(SMALL, joint_learning_rate=3.0)
SHAPE = (1, 12, 10)


def images(count: int, seed: int) -> PixelStore:
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 1, 12)[:, None] * rng.uniform(0.2, 1, (count, 1, 1, 1)) * np.ones(10)
    return PixelStore((slope * 255).astype(np.uint8))


def all_of(store: PixelStore) -> Tensor:
    return store.batch(np.arange(len(store)))


NORMALS, SELECT = images(40, 1), images(24, 2)


@pytest.fixture
def network() -> DualAutoencoder:
    torch.manual_seed(0)
    return DualAutoencoder(SHAPE, (6, 8), 4, Reading.TWO_VIEWS)


def encoder_of(network: ConvAutoencoder) -> list[torch.nn.Parameter]:
    return [*network.down.parameters(), *network.to_latent.parameters()]


def squared(a: Tensor, b: Tensor) -> float:
    pairs = zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)
    return sum((x - y) ** 2 for x, y in pairs)


def equal(state: dict[str, Tensor], other: dict[str, Tensor], names: Callable[[str], bool]) -> bool:
    chosen = [name for name in state if names(name)]
    assert chosen
    return all(torch.equal(state[name], other[name]) for name in chosen)


def test_losses_of_p2_and_p3_are_the_sums_they_are_written_as() -> None:
    torch.manual_seed(0)
    batch, views = torch.rand(3, *SHAPE), Views(*torch.randn(2, 3, 4), *torch.rand(2, 3, *SHAPE))
    recipe = replace(SMALL, lam_a=0.3, lam_c=0.7)
    alone, joint = 0.0, 0.0
    for x, z1, z2, x1, x2 in zip(batch, *views, strict=True):
        alone += (squared(x2, x) + 0.3 * squared(z2, z1)) / 3
        joint += (squared(x1, x) + squared(x2, x) + 0.3 * squared(z1, z2) + 0.7 * squared(x1, x2)) / 3
    assert float(recipe.alone(views, batch)) == pytest.approx(alone, rel=1e-5)
    assert float(recipe.joint(views, batch)) == pytest.approx(joint, rel=1e-5)


@pytest.mark.parametrize("kind", list(Corruption))
def test_training_corrupts_the_second_view_of_two_views_alone(network: DualAutoencoder, kind: Corruption) -> None:
    batch, recipe = all_of(images(3, 0)), replace(SMALL, corruption=kind)
    with RUN.seeded():
        seen = recipe.seen(network, batch)
    with RUN.seeded():
        expected = network.views(batch, kind(batch))
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))
    torch.testing.assert_close(seen.z1, network.encode(batch))
    assert not torch.equal(seen.z2, network.views(batch, batch).z2)


def test_p2_pulls_the_second_code_to_the_first_and_not_the_first_to_the_second(network: DualAutoencoder) -> None:
    batch = all_of(images(3, 0))
    first, second = encoder_of(network), list(network.second.parameters())

    def largest(loss: Callable[[Views, Tensor], Tensor], parameters: list[Any]) -> float:
        found = torch.autograd.grad(loss(network.views(batch, batch), batch), parameters, allow_unused=True)
        return max(0.0 if gradient is None else float(gradient.abs().max()) for gradient in found)

    assert largest(SMALL.alone, first) == 0
    assert largest(SMALL.alone, second) > 0
    assert min(largest(SMALL.joint, first), largest(SMALL.joint, second)) > 0


@pytest.mark.parametrize("reading", list(Reading))
def test_p2_moves_the_second_encoder_alone(reading: Reading, tmp_path: Path) -> None:
    replace(SMALL, reading=reading).fit(NORMALS, RUN.replace(checkpoint=tmp_path), SELECT)
    p1, p2, p3 = (load_file(tmp_path / f"p{number}.safetensors") for number in (1, 2, 3))
    second = [name for name in p1 if name.startswith("module.second")]
    first = [name for name in p1 if name.startswith(("module.down", "module.to_", "module.from_", "module.up"))]
    assert all(torch.equal(p1[name], p2[name]) for name in first)
    assert all(not torch.equal(p1[name], p2[name]) for name in second)
    assert all(not torch.equal(p2[name], p3[name]) for name in (*first, *second))


def test_without_its_second_encoder_it_is_a_plain_autoencoder_to_the_bit() -> None:
    detector = replace(SMALL, second_encoder=False).fit(NORMALS, RUN, SELECT)
    with RUN.seeded():
        plain = ConvAutoencoder(SHAPE, (6, 8), 4)
    loss = lambda x: (plain(x) - x).square().sum((1, 2, 3)).mean()  # noqa: E731
    phase, schedule = Phase(tuple(plain.parameters()), loss), Schedule(3, 16, 1e-3)
    for _ in train(plain, [phase], NORMALS, schedule, RUN, History(), recipe=None, stage="p1"):
        pass
    weights = plain.state_dict()
    assert detector.network.state_dict().keys() == weights.keys()
    assert equal(weights, detector.network.state_dict(), bool)
    reference, batch = AutoencoderDetector(SMALL, plain, RUN.torch_device, torch.float32), all_of(images(9, 3))
    assert torch.equal(detector.anomaly_score(batch), reference.anomaly_score(batch))
    assert torch.equal(detector.anomaly_map(batch), reference.anomaly_map(batch))
    assert torch.equal(detector.reconstruct(batch), reference.reconstruct(batch))


def test_a_joint_phase_that_worsens_the_select_loss_is_undone_to_the_bit(tmp_path: Path) -> None:
    detector = ABSURD.fit(NORMALS, RUN.replace(checkpoint=tmp_path), SELECT)
    (warning,) = (text for text in detector.history.warnings if "undone" in text)
    assert warning.startswith("Phase p3 was undone: it did not help the select normals (loss ")
    kept, weights = load_file(tmp_path / "p2.safetensors"), detector.network.state_dict()
    ruined = load_file(tmp_path / "p3.safetensors")
    for name in (name for name in weights if name not in {"mean", "sd"}):
        assert torch.equal(weights[name], kept[f"module.{name}"]), name
        assert not torch.equal(weights[name], ruined[f"module.{name}"]), name


def test_a_joint_phase_that_helps_is_kept(tmp_path: Path) -> None:
    detector = SMALL.fit(NORMALS, RUN.replace(checkpoint=tmp_path), SELECT)
    assert not any("undone" in text or "select" in text for text in detector.history.warnings)
    kept, weights = load_file(tmp_path / "p3.safetensors"), detector.network.state_dict()
    assert all(torch.equal(weights[n], kept[f"module.{n}"]) for n in weights if n not in {"mean", "sd"})


def test_without_select_normals_nothing_is_gated_and_the_history_says_so(tmp_path: Path) -> None:
    detector = ABSURD.fit(NORMALS, RUN.replace(checkpoint=tmp_path))
    assert "No select normals: no phase was gated or stopped early." in detector.history.warnings
    assert "No select normals: the score's terms were standardised on training normals." in detector.history.warnings
    ruined, weights = load_file(tmp_path / "p3.safetensors"), detector.network.state_dict()
    assert torch.equal(weights["to_latent.weight"], ruined["module.to_latent.weight"])


def test_a_first_phase_that_worsens_the_select_loss_is_undone_too() -> None:
    recipe = replace(SMALL, second_encoder=False, learning_rate=3.0, epochs=1)
    detector = recipe.fit(NORMALS, RUN, SELECT)
    assert any(text.startswith("Phase p1 was undone") for text in detector.history.warnings)
    with RUN.seeded():
        untrained = ConvAutoencoder(SHAPE, (6, 8), 4)
    assert equal(untrained.state_dict(), detector.network.state_dict(), bool)


@pytest.mark.parametrize("score", list(Score))
@pytest.mark.parametrize("reading", list(Reading))
def test_score_and_map_are_those_of_the_reading_and_survive_saving(reading: Reading, score: Score) -> None:
    recipe = replace(SMALL, reading=reading, score=score, epochs=2)
    detector = recipe.fit(NORMALS, RUN, SELECT)

    def terms(batch: Tensor) -> tuple[Tensor, list[Tensor]]:
        with torch.no_grad():
            v = detector.network.views(batch, batch)
        pairs = [(v.x1, batch), (v.x2, batch), (v.z1, v.z2), (v.x1, v.x2)]
        return torch.stack([(a - b).double().square().flatten(1).sum(1) for a, b in pairs]), [v.x1, v.x2]

    on_select, _ = terms(all_of(SELECT))
    batch = all_of(images(9, 3))
    on_test, pictures = terms(batch)
    standard = (on_test - on_select.mean(1, keepdim=True)) / on_select.std(1, correction=0, keepdim=True)
    primary = {Reading.TWO_VIEWS: [0, 1], Reading.RE_ENCODE: [2], Reading.TWO_SCALES: [1]}[reading]
    expected = standard.mean(0) if score is Score.FUSED else standard[primary].mean(0)
    scores = detector.anomaly_score(batch)
    torch.testing.assert_close(scores, expected.float(), rtol=1e-3, atol=1e-3)
    shown = {Reading.TWO_VIEWS: [0, 1], Reading.RE_ENCODE: [0], Reading.TWO_SCALES: [1]}[reading]
    maps = sum((pictures[i] - batch).square()[:, 0] for i in shown) / len(shown)
    torch.testing.assert_close(detector.anomaly_map(batch), maps, rtol=1e-3, atol=1e-6)
    restored = recipe.restore(detector.state())
    assert torch.equal(restored.anomaly_score(batch), scores)
    assert torch.equal(restored.anomaly_map(batch), detector.anomaly_map(batch))


def test_second_encoder_sees_the_corrupted_image_the_reconstruction_or_patches(network: DualAutoencoder) -> None:
    batch, spoilt = all_of(images(3, 0)), torch.rand(3, *SHAPE)
    views = network.views(batch, spoilt)
    torch.testing.assert_close(views.z1, network.encode(batch))
    torch.testing.assert_close(views.z2, network.second(spoilt))
    torch.testing.assert_close(views.x2, network.decode(views.z2))
    network.reading = Reading.RE_ENCODE
    torch.testing.assert_close(network.views(batch, spoilt).z2, network.second(network(batch)))
    scales = DualAutoencoder(SHAPE, (6, 8), 4, Reading.TWO_SCALES)
    for parameter in scales.second.parameters():
        torch.nn.init.normal_(parameter)
    views = scales.views(batch, spoilt)
    torch.testing.assert_close(views.z2, views.z1 + scales.second(batch))
    torch.testing.assert_close(scales(batch), views.x2)
    torch.testing.assert_close(scales.first(batch), views.x1)


def test_two_scales_start_as_the_first_encoder_alone() -> None:
    scales, batch = DualAutoencoder(SHAPE, (6, 8), 4, Reading.TWO_SCALES), all_of(images(3, 0))
    assert torch.equal(scales(batch), scales.first(batch))


def test_patches_are_encoded_alone_until_the_last_layer() -> None:
    torch.manual_seed(0)
    before_last = patch_encoder((1, 20, 24), (6, 8), 4)[:-2]
    batch = torch.rand(1, 1, 20, 24)
    changed = batch.clone()
    changed[..., 8:16, 16:24] = torch.rand(8, 8)
    moved = (before_last(changed) != before_last(batch)).any(1)[0]
    assert moved.tolist() == [[False, False, False], [False, False, True], [False, False, False]]


class Interrupting(PixelStore):
    """Normals that can be read only so many times."""

    def __init__(self, store: PixelStore, reads: int) -> None:
        super().__init__(store.pixels)
        self.reads = reads

    def batch(self, indices: npt.ArrayLike, device: str = "cpu") -> Tensor:
        self.reads -= 1
        if self.reads < 0:
            raise KeyboardInterrupt
        return super().batch(indices, device)


def test_interrupted_in_any_phase_and_resumed_it_ends_with_the_same_bits_and_warnings(tmp_path: Path) -> None:
    batch = all_of(images(9, 3))
    undisturbed = ABSURD.fit(NORMALS, RUN, SELECT)
    run = RUN.replace(checkpoint=tmp_path, checkpoint_seconds=0.0, resume=True)
    for expected in ("p1", "p2", "p2", "p3", "p3"):
        with pytest.raises(KeyboardInterrupt):
            ABSURD.fit(Interrupting(NORMALS, 8), run, SELECT)
        assert max(file.stem for file in tmp_path.glob("*.safetensors")) == expected
    resumed = ABSURD.fit(NORMALS, run, SELECT)
    assert equal(undisturbed.network.state_dict(), resumed.network.state_dict(), bool)
    assert torch.equal(resumed.anomaly_score(batch), undisturbed.anomaly_score(batch))
    assert resumed.history.warnings == undisturbed.history.warnings
    assert [epoch.losses for epoch in resumed.history.epochs] == [e.losses for e in undisturbed.history.epochs]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lam_a": -1.0}, "dual_encoder --lam-a: expected a number of at least 0, got -1.0"),
        ({"lam_c": float("nan")}, "dual_encoder --lam-c: expected a number of at least 0, got nan"),
        ({"latent_dim": 0}, "dual_encoder --latent-dim: expected at least 1, got 0"),
        ({"joint_learning_rate": 0.0}, "learning rate: expected a number above 0, got 0.0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        replace(SMALL, **changes)
