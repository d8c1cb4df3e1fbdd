"""The sanity table of a model: figures against a count by hand, chance rows near chance, and checks that can fail."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from normoscope import methods
from normoscope.attribution import Attribution
from normoscope.errors import OptionError, TooFewImagesError
from normoscope.faithfulness import Chance, pointing
from normoscope.map_kinds import CHECKED, OWN, STANDARDISED, Few, drawn, map_check
from normoscope.model import Model, fit
from normoscope.partitions import Partition
from normoscope.randomisation import Verdict, randomised
from normoscope.sanity import FEW, LARGE, SMALL, Sanity, sanity
from normoscope.transforms import Prepared
from normoscope.types import Run
from normoscope.written import Written
from toys import PHANTOM, Typed

CHANCES = [chance.value for chance in Chance]
SHARES = [kind.value for kind in Attribution]


class Edges:
    """A detector that owns a network and draws the image's edges."""

    def __init__(self) -> None:
        self.network = nn.Conv2d(1, 1, 3)

    def anomaly_map(self, images: Tensor) -> Tensor:
        across, down = (images.diff(dim=axis).abs() for axis in (3, 2))
        return (torch.nn.functional.pad(across, (0, 1)) + torch.nn.functional.pad(down, (0, 0, 0, 1))).mean(1)

    def anomaly_score(self, images: Tensor) -> Tensor:
        return self.anomaly_map(images).mean((1, 2))

    def state(self) -> dict[str, Tensor]:
        return self.network.state_dict()


@pytest.fixture(scope="module")
def pca(small_phantom: Partition) -> Model:
    return fit("pca", methods.build("pca", overrides={"latent_dim": 8}), small_phantom)


@pytest.fixture(scope="module")
def trained(small_phantom: Partition) -> Model:
    recipe = methods.build("ae", "quick", {"epochs": 60, "patience": None})
    return fit("ae", recipe, small_phantom, run=Run(precision="float32"))


@pytest.fixture(scope="module")
def held_out(pca: Model, small_phantom: Partition) -> Prepared:
    return pca.prepare(small_phantom.samples["test"])


@pytest.fixture(scope="module")
def found(pca: Model, held_out: Prepared) -> Sanity:
    return sanity(pca, held_out, few=5)


def lesions_of(model: Model, held_out: Prepared) -> dict[int, np.ndarray]:
    rows = [row for row, sample in enumerate(held_out.samples) if sample.label == 1]
    return {row: model.preprocessor.mask(held_out.samples[row].read_mask()) for row in rows}  # type: ignore[misc]


def edged(model: Model) -> Model:
    return dataclasses.replace(model, detector=Edges())


def test_every_map_there_is_has_its_row(found: Sanity) -> None:
    assert list(found.rows) == [OWN, STANDARDISED, *SHARES, *CHANCES]
    assert {name: row.images for name, row in found.rows.items()} == {
        name: 5 if name in SHARES else 20 for name in found.rows
    }
    assert (found.few, found.counterpart) == (5, "reconstruction")
    assert all(list(row.deletion) == list(row.insertion) == ["reconstruction", "median"] for row in found.rows.values())
    told = "attributions, deletion and insertion: 5 images, drawn by the seed; random weights: 5 of them"
    assert found.notes[0] == told


def test_pointing_and_hits_are_what_a_count_gives(pca: Model, held_out: Prepared, found: Sanity) -> None:
    masks, maps = lesions_of(pca, held_out), list(pca.maps(held_out.images))
    points = {row: pointing(maps[row], mask) for row, mask in masks.items()}
    small = [row for row, mask in masks.items() if SMALL[0] <= mask.mean() <= SMALL[1]]
    large = [row for row, mask in masks.items() if mask.mean() >= LARGE]
    assert 0 < len(small) < 20
    assert found.rows[OWN].pointing.value == pytest.approx(np.mean(list(points.values())))
    assert found.rows[OWN].pointing_small.value == pytest.approx(np.mean([points[row] for row in small]))
    hits = [bool((pca.marked(maps[row]) & masks[row]).any()) for row in large]
    assert found.hit_lesions.value == pytest.approx(np.mean(hits))
    normals = [row for row, sample in enumerate(held_out.samples) if sample.label == 0]
    assert found.marked_normals.value == pytest.approx(np.mean([pca.marked(maps[row]).any() for row in normals]))
    assert found.lesion_share == pytest.approx(np.mean(list(masks.values())))


def test_chance_rows_are_near_chance_and_the_model_far_above(found: Sanity) -> None:
    rows, share = found.rows, found.lesion_share
    assert rows["random"].pointing.low <= share <= rows["random"].pointing.high
    assert rows["random"].aupro.value == pytest.approx(0.15, abs=0.05)
    assert rows["random"].pixel_ap.value == pytest.approx(share, abs=0.02)
    assert rows["random"].deletion["reconstruction"].value == pytest.approx(0.5, abs=0.15)
    assert rows["random"].insertion["reconstruction"].value == pytest.approx(0.5, abs=0.15)
    best = max(rows[name].pointing.value for name in CHANCES)
    assert rows[OWN].pointing.value > best + 0.3
    assert rows[OWN].deletion["reconstruction"].value < 0.25 < 0.75 < rows[OWN].insertion["reconstruction"].value


def test_maps_that_read_no_model_or_no_weights_are_not_checked(found: Sanity) -> None:
    assert {row.check.verdict for row in found.rows.values()} == {Verdict.NOT_APPLICABLE}
    assert "has no weights" in found.rows[OWN].check.sentence
    assert "no model is read" in found.rows["edges"].check.sentence


def test_the_same_seed_gives_the_same_table_and_another_other_images(pca: Model, held_out: Prepared) -> None:
    first, again, other = (sanity(pca, held_out, few=3, seed=seed).to_json() for seed in (0, 0, 1))
    assert first == again
    assert first["rows"]["random"] != other["rows"]["random"]
    assert first["rows"]["occlusion"]["deletion"] != other["rows"]["occlusion"]["deletion"]
    assert first["rows"][OWN]["pointing"] == other["rows"][OWN]["pointing"]


def test_a_trained_network_passes_and_a_map_that_ignores_it_fails(trained: Model, held_out: Prepared) -> None:
    learnt = map_check(trained, held_out.images)
    assert (learnt.verdict, learnt.images) == (Verdict.HOLDS, CHECKED)
    ignoring = map_check(edged(trained), held_out.images)
    assert (ignoring.verdict, ignoring.median) == (Verdict.FAILS, pytest.approx(1))


def test_every_row_of_a_model_that_ignores_its_weights_fails(trained: Model, held_out: Prepared) -> None:
    rows = sanity(edged(trained), held_out, few=2).rows
    failed = [name for name, row in rows.items() if row.check.verdict is Verdict.FAILS]
    assert failed == [OWN, STANDARDISED, *SHARES]


def test_attributions_are_compared_under_the_fitted_models_counterpart(trained: Model, held_out: Prepared) -> None:
    few = Few.of(trained, held_out.images, np.array([30, 35]))
    kinds = {one.name: one for one in drawn(trained, held_out.images, few, [], 0, False)}
    expected = Attribution.OCCLUSION(trained.batch_score, few.images[1], few.counterparts["reconstruction"][1])
    np.testing.assert_allclose(kinds["occlusion"].maps[1], expected.numpy(), rtol=1e-4, atol=1e-7)
    assert kinds["occlusion"].rows.tolist() == [30, 35]
    assert kinds["occlusion"].check.images == 2


def test_every_check_is_of_the_same_images_evenly_spread_and_no_map_is_drawn_twice(
    trained: Model, held_out: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Few.of(trained, held_out.images, np.arange(10, 10 + CHECKED + 9))
    attributed: list[tuple[Attribution, bool, Tensor]] = []
    mapped: list[tuple[bool, Tensor]] = []
    copies: list[int] = []

    def attribute(kind: Attribution, score: Any, image: Tensor, counterpart: Tensor) -> Tensor:
        attributed.append((kind, score.__self__.detector is trained.detector, image))
        return image.sum(0)

    def batch_map(model: Model, images: Tensor) -> Tensor:
        mapped.append((model.detector is trained.detector, images))
        return images.sum(1)

    def copied(detector: Any, seed: int) -> Any:
        copies.append(seed)
        return randomised(detector, seed)

    monkeypatch.setattr(Attribution, "__call__", attribute)
    monkeypatch.setattr(Model, "batch_map", batch_map)
    monkeypatch.setattr("normoscope.map_kinds.randomised", copied)
    checks = {one.name: one.check for one in drawn(trained, held_out.images, few, [], 3, False)}
    assert copies == [3]
    expected = few.images[np.linspace(0, CHECKED + 8, CHECKED).astype(int)]
    for kind in Attribution:
        assert sum(kind is one and fitted for one, fitted, _ in attributed) == CHECKED + 9
        assert torch.equal(torch.stack([x for one, fitted, x in attributed if one is kind and not fitted]), expected)
    assert [fitted for fitted, _ in mapped] == [True, False]
    assert torch.equal(mapped[1][1], expected)
    assert {name: checks[name].images for name in (OWN, STANDARDISED, *SHARES)} == dict.fromkeys(
        (OWN, STANDARDISED, *SHARES), CHECKED
    )
    # maps that are the image itself correlate only where fitted and randomised are of the same image
    assert all(checks[name].median == pytest.approx(1) for name in (OWN, STANDARDISED, *SHARES))


def test_the_note_tells_how_many_images_are_checked(pca: Model, held_out: Prepared) -> None:
    assert sanity(pca, held_out, few=18).notes[0].endswith(f"random weights: {CHECKED} of them")


def test_maps_are_held_in_float32_and_on_disk_where_they_are_large(
    pca: Model, held_out: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("normoscope.images.IN_MEMORY_BYTES", 1000)
    few = Few.of(pca, held_out.images, np.array([30]))
    held = {one.name: one.maps for one in drawn(pca, held_out.images, few, [], 0, False)}
    for name in (OWN, *CHANCES):
        assert (type(held[name]), held[name].dtype) == (np.memmap, np.float32)
    np.testing.assert_array_equal(held[OWN], np.stack(list(pca.maps(held_out.images))))


def test_lesions_that_vanish_at_the_models_size_are_counted(pca: Model, held_out: Prepared) -> None:
    def speck() -> np.ndarray:
        mask = np.zeros((512, 512), bool)
        mask[100:103, 100:103] = True
        return mask

    samples = list(held_out.samples)
    masked = [row for row, sample in enumerate(samples) if sample.label]
    for row in masked[:2]:
        samples[row] = dataclasses.replace(samples[row], read_mask=speck)
    told = sanity(pca, dataclasses.replace(held_out, samples=tuple(samples)), few=2)
    assert told.rows[OWN].images == len(masked) - 2
    expected = f"2 of {len(masked)} lesions vanish at {pca.preprocessor.size} pixels and are left out"
    assert any(note.startswith(expected) for note in told.notes)
    assert not any("vanish" in note for note in sanity(pca, held_out, few=2).notes)
    for row in masked:
        samples[row] = dataclasses.replace(samples[row], read_mask=speck)
    told = sanity(pca, dataclasses.replace(held_out, samples=tuple(samples)), few=2)
    assert any(note.startswith(f"{len(masked)} of {len(masked)} lesions vanish") for note in told.notes)
    assert any(note.startswith("no masks to judge by") for note in told.notes)


def test_without_masks_the_curves_remain(pca: Model, held_out: Prepared) -> None:
    samples = tuple(dataclasses.replace(sample, read_mask=None) for sample in held_out.samples)
    blind = sanity(pca, dataclasses.replace(held_out, samples=samples), few=3)
    row = blind.rows[OWN]
    assert (row.pointing.how, row.aupro.how, blind.hit_lesions.how) == ("no masks",) * 3
    assert math.isnan(blind.lesion_share)
    assert row.deletion["median"].reason is None
    assert any("no masks" in note for note in blind.notes)
    assert blind.marked_normals.value == pytest.approx(sanity(pca, held_out, few=1).marked_normals.value)
    json.dumps(blind.to_json(), allow_nan=False)


def test_unlabelled_images_are_abnormal_by_their_masks(pca: Model, held_out: Prepared, found: Sanity) -> None:
    samples = tuple(dataclasses.replace(sample, label=None) for sample in held_out.samples)
    nameless = sanity(pca, dataclasses.replace(held_out, samples=samples), few=5)
    assert nameless.rows[OWN].pointing == found.rows[OWN].pointing
    assert math.isnan(nameless.marked_normals.value)


def test_a_method_without_maps_has_rows_of_its_score_alone(small_phantom: Partition, held_out: Prepared) -> None:
    knn = fit("knn", methods.build("knn"), small_phantom)
    assert map_check(knn, held_out.images).sentence.endswith("the method draws no map")
    judged = sanity(knn, held_out, few=2)
    assert list(judged.rows) == ["occlusion", *CHANCES]
    assert judged.counterpart == "median"
    assert any("no row for gradient" in note for note in judged.notes)
    assert judged.hit_lesions.how.startswith("the model marks nothing")


def test_without_captum_the_attributions_are_missing_and_say_so(
    pca: Model, held_out: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    judged = sanity(pca, held_out, few=2)
    assert list(judged.rows) == [OWN, STANDARDISED, *CHANCES]
    assert sum("normoscope[explain]" in note for note in judged.notes) == 3


def test_nothing_to_judge_is_refused(pca: Model, held_out: Prepared) -> None:
    with pytest.raises(OptionError, match="few: expected 1 or more, got 0"):
        sanity(pca, held_out, few=0)
    with pytest.raises(TooFewImagesError):
        sanity(pca, dataclasses.replace(held_out, samples=(), images=held_out.images.subset([])))
    assert map_check(pca, held_out.images.subset([])).sentence.endswith("no images")


# the command


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from normoscope.apps.cli import main

    folder = tmp_path_factory.mktemp("sane") / "model"
    assert main(["fit", "pca", *PHANTOM, "--out", str(folder), "--quiet"]) == 0
    return folder


def test_what_is_typed_defaults_to_what_the_module_says() -> None:
    from normoscope.apps.cli import parser

    assert parser().parse_args(["sanity", "model", "data"]).few == FEW


def test_the_command_prints_and_stores_the_table(
    stored: Path, tmp_path: Path, answered: Callable[..., dict[str, Any]]
) -> None:
    out = tmp_path / "deep" / "sane.json"
    content = answered("sanity", stored, *PHANTOM, "--few", "3", "--out", out)
    assert list(content["rows"]) == [OWN, STANDARDISED, *SHARES, *CHANCES]
    assert (content["few"], content["part"]) == (3, "the model's own test part")
    kept = json.loads(out.read_text())
    assert kept["rows"] == content["rows"]
    assert kept["provenance"]["command"].startswith("normoscope sanity")
    assert kept["schema"] == content["schema"]
    assert Written.SANITY.path(out) == out


def test_of_other_data_the_command_says_that_no_training_normal_is_compared_with(
    stored: Path, answered: Callable[..., dict[str, Any]]
) -> None:
    said = "no nearest normal to compare with"
    other = answered("sanity", stored, "phantom", "-o", "seed=5", *PHANTOM[1:], "--few", "1")
    assert [note for note in other["notes"] if note.startswith(said)] == other["notes"][-1:]
    assert "nearest normal" not in other["rows"][OWN]["deletion"]
    own = answered("sanity", stored, *PHANTOM, "--few", "1")
    assert not [note for note in own["notes"] if said in note]
    assert "nearest normal" in own["rows"][OWN]["deletion"]


def test_the_command_explains_its_table_to_people(stored: Path, typed: Typed) -> None:
    code, out, err = typed("sanity", stored, *PHANTOM, "--few", "2")
    assert code == 0
    for word in ("pointing", "deletion, median", "random weights", "lesions of 1 % or more hit", "brightest"):
        assert word in out
    assert "note: attributions" in err


def test_images_whose_mask_cannot_be_read_are_left_out_where_that_is_asked_for(
    typed: Typed, refused: Callable[..., str], tmp_path: Path
) -> None:
    rng, root = np.random.default_rng(0), tmp_path / "data"

    def save(name: str, pixels: np.ndarray) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(root / name)

    for number in range(40):
        save(f"train/good/{number:02d}.png", rng.integers(0, 100, (28, 28)))
    for number in range(6):
        pixels, mask = rng.integers(0, 100, (28, 28)), np.zeros((28, 28))
        pixels[5:15, 5:15], mask[5:15, 5:15] = 255, 255
        save(f"test/lesion/{number}.png", pixels)
        save(f"ground_truth/lesion/{number}_mask.png", mask)
    assert typed("fit", "pca", root, "--latent-dim", "4", "--out", tmp_path / "m", "--quiet")[0] == 0
    (root / "ground_truth/lesion/3_mask.png").write_bytes(b"")
    assert "1 of 6 images cannot be read" in typed("sanity", tmp_path / "m", root)[2]
    code, out, err = typed("sanity", tmp_path / "m", root, "--skip-unreadable")
    assert code == 0
    assert "the file is empty" in err
    assert [line.split()[1] for line in out.splitlines() if line.startswith(OWN)][1:2] == ["5"]


def test_images_the_model_was_fitted_on_are_refused(stored: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    from normoscope.sources import load

    sample = load("phantom", options={"train": "60", "size": "28"}).samples[0]
    (tmp_path / "seen").mkdir()
    Image.fromarray(sample.read()).save(tmp_path / "seen" / "one.png")
    assert "exact copies" in refused("sanity", stored, tmp_path / "seen")
    assert refused("sanity", stored, *PHANTOM, "--few", "0") == "few: expected 1 or more, got 0."
