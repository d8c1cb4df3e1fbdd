"""The loop: what it passes, what it moves, when it stops, what it keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normoscope.errors import CheckpointError, DivergedError, OptionError, TooFewImagesError
from normoscope.images import PixelStore
from normoscope.training import Epoch, History, Phase, Schedule, train
from normoscope.types import Run

RUN = Run(device="cpu", precision="float32")


def noise(count: int, seed: int = 0) -> PixelStore:
    """Random 6x5 images."""
    return PixelStore(np.random.default_rng(seed).integers(0, 256, (count, 1, 6, 5), dtype=np.uint8))


class Line(nn.Module):
    """Predicts an image's mean from its pixels; counts its passes in a buffer."""

    passes: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(30, 1)
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def loss(self, images: Tensor) -> Tensor:
        """Squared error of the mean."""
        flat = images.flatten(1)
        return (self.layer(flat)[:, 0] - flat.mean(1)).square().mean()


def phase(line: Line) -> Phase:
    return Phase(tuple(line.parameters()), line.loss)


def fit(
    line: Line,
    schedule: Schedule,
    run: Run = RUN,
    select: PixelStore | None = None,
    stop_after: int | None = None,
    normals: PixelStore | None = None,
) -> History:
    """Train, counting epochs in the module between them."""
    history = History()
    images = noise(50) if normals is None else normals
    for epoch in train(line, [phase(line)], images, schedule, run, history, recipe="line", select=select):
        line.passes += 1
        if epoch.number == stop_after:
            break
    return history


def test_every_image_is_passed_once_an_epoch_and_the_last_partial_batch_is_kept() -> None:
    line, sizes, sums = Line(), [], []

    def loss(images: Tensor) -> Tensor:
        sizes.append(len(images))
        sums.append(float(images.double().sum()))
        return line.loss(images)

    normals = noise(50)
    for _ in train(line, [Phase(tuple(line.parameters()), loss)], normals, Schedule(1, 16), RUN, History(), recipe=0):
        pass
    assert sizes == [16, 16, 16, 2]
    assert sum(sums) == pytest.approx(float(normals.batch(np.arange(50)).double().sum()), rel=1e-6)


def test_full_batch_training_equals_a_hand_written_adam_loop() -> None:
    line, other = Line(), Line()
    fit(line, Schedule(20, 50, 1e-2))
    images = noise(50).batch(np.arange(50))
    adam = torch.optim.Adam(other.parameters(), lr=1e-2)
    for _ in range(20):
        adam.zero_grad()
        other.loss(images).backward()
        adam.step()
    torch.testing.assert_close(line.layer.weight, other.layer.weight, rtol=0, atol=1e-6)


def test_two_phases_each_move_their_own_parameters() -> None:
    pair = nn.ModuleList([Line(), Line()])
    first, second = pair
    before = [p.detach().clone() for p in pair.parameters()]
    frozen = Phase(tuple(second.parameters()), lambda x: 0 * first.loss(x) + 0 * second.loss(x))
    history = History()
    for _ in train(pair, [phase(first), frozen], noise(20), Schedule(3, 8), RUN, history, recipe=0):
        pass
    after = list(pair.parameters())
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])
    assert [len(epoch.losses) for epoch in history.epochs] == [2, 2, 2]


def test_a_phase_listed_twice_takes_two_steps_with_one_optimiser() -> None:
    line, other = Line(), Line()
    twice, history = [phase(line)] * 2, History()
    for _ in train(line, twice, noise(50), Schedule(4, 50, 1e-2), RUN, history, recipe=0):
        pass
    images = noise(50).batch(np.arange(50))
    adam = torch.optim.Adam(other.parameters(), lr=1e-2)
    for _ in range(8):
        adam.zero_grad()
        other.loss(images).backward()
        adam.step()
    torch.testing.assert_close(line.layer.weight, other.layer.weight, rtol=0, atol=1e-6)
    assert [len(epoch.losses) for epoch in history.epochs] == [2] * 4


def test_the_recorded_loss_is_the_mean_over_images_not_over_batches() -> None:
    line = Line()
    history = fit(line, Schedule(1, 32, 1e-12))
    expected = Line().loss(noise(50).batch(np.arange(50))).item()
    assert history.epochs[0].losses[0] == pytest.approx(expected, rel=1e-5)


def test_patience_stops_and_goes_back_to_the_best_epoch() -> None:
    line = Line()
    best: dict[int, Tensor] = {}
    history = History()
    wrong = PixelStore(255 - noise(30, 1).pixels // 4)  # far from the training images, so its loss soon rises
    schedule = Schedule(400, 50, 5e-2, patience=4)
    for epoch in train(line, [phase(line)], noise(50), schedule, RUN, history, recipe=0, select=wrong):
        best[epoch.number] = line.layer.weight.detach().clone()
    losses = [epoch.select_loss for epoch in history.epochs]
    chosen = int(np.argmin(np.array(losses, float))) + 1
    assert len(losses) == chosen + 4 < 400
    assert torch.equal(line.layer.weight, best[chosen])


def test_without_select_images_patience_changes_nothing() -> None:
    line, other = Line(), Line()
    fit(line, Schedule(6, 16, patience=1))
    fit(other, Schedule(6, 16))
    assert torch.equal(line.layer.weight, other.layer.weight)


def test_same_seed_same_bits_another_seed_other_bits() -> None:
    weights = []
    for seed in (0, 0, 1):
        line = Line()
        fit(line, Schedule(4, 8), replace(RUN, seed=seed))
        weights.append(line.layer.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_leaves_no_trace_in_global_random_state() -> None:
    line = Line()
    torch.manual_seed(9)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    fit(line, Schedule(2, 8), select=noise(10, 3))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_a_loss_that_is_not_a_number_ends_training_with_a_way_out() -> None:
    line = Line()
    nan = Phase(tuple(line.parameters()), lambda images: line.loss(images) * float("nan"))
    with pytest.raises(DivergedError, match=r"diverged in stage 'training', epoch 1: the loss is nan; lower the"):
        list(train(line, [nan], noise(8), Schedule(2), RUN, History(), recipe=0))


def test_no_images_and_no_epochs_are_refused() -> None:
    with pytest.raises(TooFewImagesError, match="train: 1 image needed, 0 given"):
        fit(Line(), Schedule(1), normals=noise(1).subset(np.arange(0)))
    with pytest.raises(OptionError, match="epochs: expected at least 1, got 0"):
        Schedule(0)
    with pytest.raises(OptionError, match="learning rate: expected a number above 0, got -1"):
        Schedule(1, learning_rate=-1)


def keeping(folder: Path, **changes: object) -> Run:
    return RUN.replace(checkpoint=folder, checkpoint_seconds=0.0, **changes)


@pytest.mark.parametrize("stop_after", [1, 3, 6])
@pytest.mark.parametrize("patience", [None, 2])
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path, stop_after: int, patience: int | None) -> None:
    schedule, select = Schedule(7, 16, 1e-2, patience), noise(12, 5)
    whole, half, rest = Line(), Line(), Line()
    expected = fit(whole, schedule, select=select)
    fit(half, schedule, keeping(tmp_path), select, stop_after=stop_after)
    resumed = fit(rest, schedule, keeping(tmp_path, resume=True), select)
    for name, value in whole.state_dict().items():
        assert torch.equal(rest.state_dict()[name], value), name
    drop = [replace(epoch, seconds=0.0) for epoch in resumed.epochs]
    assert drop == [replace(epoch, seconds=0.0) for epoch in expected.epochs]


def test_a_finished_stage_is_restored_and_yields_nothing(tmp_path: Path) -> None:
    line, again = Line(), Line()
    first = fit(line, Schedule(3, 16), keeping(tmp_path))
    second = fit(again, Schedule(3, 16), keeping(tmp_path, resume=True))
    assert second.epochs == first.epochs
    assert int(again.passes) == 3
    assert torch.equal(again.layer.weight, line.layer.weight)


def test_without_a_folder_nothing_is_written_and_without_resume_an_old_one_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fit(Line(), Schedule(2, 16))
    assert list(tmp_path.iterdir()) == []
    fit(Line(), Schedule(2, 16), keeping(tmp_path))
    history = fit(Line(), Schedule(2, 16), keeping(tmp_path))
    assert [epoch.number for epoch in history.epochs] == [1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["training.safetensors"]


@pytest.mark.parametrize(
    ("run", "schedule", "normals", "fact"),
    [
        ({"seed": 1}, Schedule(3, 16), noise(50), "seed was 0, is 1"),
        ({}, Schedule(3, 17), noise(50), "batch_size=17"),
        ({}, Schedule(3, 16), noise(50, 8), "training data was"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    tmp_path: Path, run: dict[str, int], schedule: Schedule, normals: PixelStore, fact: str
) -> None:
    fit(Line(), Schedule(3, 16), keeping(tmp_path))
    with pytest.raises(CheckpointError, match="it belongs to another run") as caught:
        fit(Line(), schedule, keeping(tmp_path, resume=True, **run), normals=normals)
    assert fact in str(caught.value)


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: b"", lambda data: b"x" * 200])
def test_a_damaged_checkpoint_is_refused_in_one_sentence(tmp_path: Path, damage: object) -> None:
    fit(Line(), Schedule(2, 16), keeping(tmp_path))
    file = tmp_path / "training.safetensors"
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=r"training\.safetensors: it cannot be read .*delete it and train"):
        fit(Line(), Schedule(2, 16), keeping(tmp_path, resume=True))


def test_a_resume_under_other_circumstances_goes_on_and_says_so(tmp_path: Path) -> None:
    fit(Line(), Schedule(4, 16), keeping(tmp_path), stop_after=2)
    other = keeping(tmp_path, resume=True, precision="bf16")
    first = fit(Line(), Schedule(4, 16), other)
    assert [epoch.number for epoch in first.epochs] == [1, 2, 3, 4]
    assert first.warnings == [
        "Resumed under other circumstances, results may differ in the last bits: precision was float32, is bfloat16."
    ]
    assert fit(Line(), Schedule(4, 16), other).warnings == first.warnings


def test_the_record_of_training_is_plain_values() -> None:
    history = History([Epoch("a", 1, (2.0,), None, 100, 0.5), Epoch("a", 2, (1.0,), 1.5, 100, 1.5)], ["note"])
    assert history.images_per_second == pytest.approx(100.0)
    record = history.record()
    assert record["warnings"] == ["note"]
    assert record["epochs"][1]["select_loss"] == 1.5
    assert History().images_per_second is None


def test_the_progress_bar_shows_loss_and_time_left_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Line(), Schedule(2, 16))
    assert capsys.readouterr().err == ""
    fit(Line(), Schedule(2, 16), RUN.replace(progress=True))
    shown = capsys.readouterr().err
    assert "8/8" in shown
    assert "loss=" in shown
