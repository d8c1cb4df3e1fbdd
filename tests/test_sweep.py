from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normoscope.candidates import Pool, _save, cut, name_of, share
from normoscope.errors import FolderBusyError, OptionError, ScoresError, TooFewImagesError
from normoscope.images import PixelStore, as_images
from normoscope.methods.ae import AE
from normoscope.partitions import Partition
from normoscope.runner import Done, Job, checkpoint_of, perform
from normoscope.sweep import GRIDS, PATIENCE, axis_of, pool_of, sweep
from toys import draw_blobs

SMALL = {"epochs": 2, "hidden": 8, "width": 4}


@dataclass(frozen=True)
class Toy:
    """An engine made of a function."""

    do: Callable[[Sequence[Job], Path], Iterator[Done]]
    at_once: int = 1

    def __call__(self, jobs: Sequence[Job], folder: Path) -> Iterator[Done]:
        return self.do(jobs, folder)


@Toy
def here(jobs: Sequence[Job], folder: Path) -> Iterator[Done]:
    """An engine that works in this process."""
    for job in jobs:
        yield job, perform(job, checkpoint_of(job, folder))


@Toy
def idle(jobs: Sequence[Job], folder: Path) -> Iterator[Done]:
    """An engine that must not be asked."""
    raise AssertionError(f"{len(jobs)} finished jobs were asked for again")
    yield


def pool(count: int, groups: tuple[int, ...] = ()) -> Pool:
    images = as_images(draw_blobs(count, seed=1))
    return Pool(images, groups, images.subset([0]))


def test_every_seed_holds_other_normals_out_and_trains_on_the_rest() -> None:
    images = pool(60)
    parts = [cut(images, seed) for seed in (0, 1)]
    for train, held in parts:
        assert len(held) == 18  # three tenths, for a tenth would be fewer than fifty
        assert sorted([*train, *held]) == list(range(60))
    assert set(parts[0][1]) != set(parts[1][1])


@pytest.mark.parametrize(("count", "held"), [(40, 12), (200, 50), (1000, 100)])
def test_a_tenth_is_held_out_but_fifty_if_they_are_no_more_than_three_tenths(count: int, held: int) -> None:
    store = PixelStore(np.zeros((count, 1, 2, 2), np.uint8))
    assert len(cut(Pool(store, (), store), 0)[1]) == held


def test_patients_are_held_out_whole() -> None:
    groups = tuple(i // 4 for i in range(60))
    train, held = cut(pool(60, groups), 3)
    assert not {groups[i] for i in train} & {groups[i] for i in held}
    assert len(held) == 16  # the next patient would pass three tenths


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_more_than_three_tenths_are_held_out_unless_every_patient_has_more(seed: int) -> None:
    one_large = tuple([0] * 90 + list(range(1, 11)))
    assert sorted(cut(pool(100, one_large), seed)[1]) == list(range(90, 100))
    assert len(cut(pool(60, tuple([0] * 35 + [1] * 25)), seed)[1]) == 25


def test_one_patients_normals_cannot_be_held_out(small_phantom: Partition) -> None:
    images = pool(60, (0,) * 60)
    with pytest.raises(ScoresError, match="normals of at least 2 patients, got one; a sweep holds whole patients out"):
        name_of(images, small_phantom.preprocessor)


def test_the_shared_images_are_the_partitions_and_carry_no_label(small_phantom: Partition, tmp_path: Path) -> None:
    joined = pool_of(small_phantom)
    name = share(joined, small_phantom.preprocessor, tmp_path)
    assert share(joined, small_phantom.preprocessor, tmp_path) == name
    folder = tmp_path / f"data-{name}"
    assert sorted(file.name for file in folder.iterdir()) == ["facts.json", "pool.npy", "test.npy"]
    assert set(json.loads((folder / "facts.json").read_text())) == {"preprocessor", "groups"}
    train, select = small_phantom.images["train"], small_phantom.images["select"]
    assert len(np.load(folder / "pool.npy")) == len(train) + len(select)
    np.testing.assert_array_equal(np.load(folder / "pool.npy")[0], train.pixels[train.index[0]])
    assert len(joined.groups) == len(joined.normals)


def test_other_images_are_shared_under_another_name(small_phantom: Partition, tmp_path: Path) -> None:
    joined = pool_of(small_phantom)
    fewer = Pool(joined.normals.subset(range(30)), joined.groups[:30], joined.test)
    names = {share(one, small_phantom.preprocessor, tmp_path) for one in (joined, fewer)}
    assert len(names) == 2


def test_too_few_normals_are_refused(small_phantom: Partition, tmp_path: Path) -> None:
    joined = pool_of(small_phantom)
    with pytest.raises(TooFewImagesError, match="20 images needed, 12 given"):
        share(Pool(joined.normals.subset(range(12)), (), joined.test), small_phantom.preprocessor, tmp_path)


def test_a_sweep_tells_what_normals_say_of_every_candidate_and_repeats_nothing(
    small_phantom: Partition, tmp_path: Path
) -> None:
    axis = axis_of("ae", "latent_dim", (1, 8), overrides=SMALL)
    found = sweep(axis, small_phantom, tmp_path, seeds=(0, 1), engine=here)
    assert found.axis.values == (1, 8)
    for runs in found.found.values():
        for run in runs:
            assert run["counts"]["train"] + run["counts"]["held_out"] == len(small_phantom.images["train"]) + len(
                small_phantom.images["select"]
            )
            assert len(run["held_out"]) == run["counts"]["held_out"]
            assert len(run["test"]) == len(small_phantom.images["test"])
            assert run["entropy"] is None  # of eighteen held-out normals
            assert run["epochs"] == 2
            assert set(run["planted"]) == {"cut-paste", "foreign-patch", "blur", "noise", "intensity"}
            for copies in run["planted"].values():
                assert len(copies["scores"]) == len(copies["from"]) >= 190
            # the score of an ae is its error on the scale [-1, 1]: four times that on [0, 1]
            assert np.mean(run["held_out"]) == pytest.approx(4 * run["error"]["held_out"], rel=2e-2)
    # of the images nothing stays behind
    assert {file.suffix or file.name for file in tmp_path.iterdir()} == {".json", ".lock"}
    again = sweep(axis, small_phantom, tmp_path, seeds=(0, 1), engine=idle)
    assert again.found == found.found


def test_candidates_compute_in_the_precision_asked_for(small_phantom: Partition, tmp_path: Path) -> None:
    axis = axis_of("ae", "latent_dim", (1, 8), overrides=SMALL)
    coarse, fine, again = (
        sweep(axis, small_phantom, tmp_path / name, seeds=(0,), engine=here, device="cpu", precision=precision)
        for name, precision in (("coarse", "bf16"), ("fine", "float32"), ("again", "float32"))
    )
    assert coarse.found[8][0]["held_out"] != fine.found[8][0]["held_out"]
    assert fine.found[8][0]["held_out"] == again.found[8][0]["held_out"]


def test_where_a_sweep_is_under_way_another_is_refused_and_leaves_its_images_alone(
    small_phantom: Partition, tmp_path: Path
) -> None:
    axis = axis_of("pca", "latent_dim", (1, 8))

    @Toy
    def disturbed(jobs: Sequence[Job], folder: Path) -> Iterator[Done]:
        with pytest.raises(
            FolderBusyError, match="expected a folder where no other run is at work; wait until it ends"
        ):
            sweep(axis, small_phantom, tmp_path, seeds=(0,), engine=idle)
        yield from here(jobs, folder)

    assert len(sweep(axis, small_phantom, tmp_path, seeds=(0,), engine=disturbed).found) == 2
    sweep(axis, small_phantom, tmp_path, seeds=(0,), engine=idle)


@pytest.mark.parametrize("end", [RuntimeError, KeyboardInterrupt])
def test_images_are_removed_however_a_sweep_ends_and_those_that_a_killed_one_left(
    end: type[BaseException], small_phantom: Partition, tmp_path: Path
) -> None:
    @Toy
    def broken(jobs: Sequence[Job], folder: Path) -> Iterator[Done]:
        yield jobs[0], perform(jobs[0], checkpoint_of(jobs[0], folder))
        raise end

    axis = axis_of("pca", "latent_dim", (1, 8))
    name = name_of(pool_of(small_phantom), small_phantom.preprocessor)
    for left in (f".data-{name}-killed", "data-of-the-user"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "pool.npy").write_bytes(b"pixels")
    with pytest.raises(end):
        sweep(axis, small_phantom, tmp_path, seeds=(0,), engine=broken)
    assert sorted(file.suffix or file.name for file in tmp_path.iterdir()) == [
        ".json",
        ".lock",
        ".lock",
        "data-of-the-user",
    ]


def test_a_finished_sweep_writes_no_images_again(
    small_phantom: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axis = axis_of("pca", "latent_dim", (1, 8))
    found = sweep(axis, small_phantom, tmp_path, seeds=(0,), engine=here)
    monkeypatch.setattr("normoscope.candidates.np.save", lambda *_, **__: pytest.fail("images were written"))
    assert sweep(axis, small_phantom, tmp_path, seeds=(0,), engine=idle) == found


def test_candidates_of_a_seed_share_their_images_and_what_is_planted_in_them(
    small_phantom: Partition, tmp_path: Path
) -> None:
    axis = axis_of("method", "method", ("knn", "pca"))
    found = sweep(axis, small_phantom, tmp_path, seeds=(4,), engine=here).found
    assert found["knn"][0]["error"] is None
    assert found["knn"][0]["entropy"] is None
    assert found["pca"][0]["error"]["held_out"] > found["pca"][0]["error"]["train"] > 0
    for kind, copies in found["knn"][0]["planted"].items():
        assert copies["from"] == found["pca"][0]["planted"][kind]["from"]


def test_an_axis_has_the_grid_and_stops_early_unless_told_otherwise() -> None:
    axis = axis_of("ae")
    assert axis.values == GRIDS["latent_dim"]
    recipes: list[Any] = [recipe for _, recipe in axis.recipes.values()]
    assert [recipe.latent_dim for recipe in recipes] == list(axis.values)
    assert {recipe.patience for recipe in recipes} == {PATIENCE}
    patient = axis_of("ae", overrides={"patience": "none"}).recipes[1][1]
    assert isinstance(patient, AE)
    assert patient.patience is None


def test_values_are_read_as_the_field_s_type_and_methods_take_the_settings_they_have() -> None:
    assert axis_of("ae", "learning_rate", ("1e-3", "1e-4")).values == (0.001, 0.0001)
    mixed = axis_of("ae", "method", ("ae", "pca"), overrides={"epochs": "7"})
    assert {name: type(recipe).__name__ for name, (_, recipe) in mixed.recipes.items()} == {"ae": "AE", "pca": "PCA"}
    assert isinstance(mixed.recipes["ae"][1], AE)
    assert mixed.recipes["ae"][1].epochs == 7
    assert axis_of("ae", "loss", ("l2", "l1")).values == ("l2", "l1")
    assert axis_of("ae", "patience", ("none", "5")).values == (None, 5)


@pytest.mark.parametrize(
    ("field", "values", "sentence"),
    [
        ("latent_dim", (4,), "two values or more"),
        ("width", (), "two values or more"),
        ("depth", (1, 2), "option of ae: expected one of"),
        ("channels", ("8", "16"), "expected a setting of cae that holds one value, got 'channels'"),
        ("latent_dim", ("4", "many"), "a whole number, got 'many'"),
        ("latent_dim", ("8", "08"), "expected two values or more of latent_dim, got '8,08'"),
    ],
)
def test_an_axis_that_cannot_be_swept_is_refused(field: str, values: Sequence[Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        axis_of("cae" if field == "channels" else "ae", field, values)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_where_numpy_only_counts_bytes(tmp_path: Path) -> None:
    (tmp_path / "pool.npy").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        _save(tmp_path / "pool.npy", np.zeros((64, 64, 64)))
    assert caught.value.errno == errno.ENOSPC
