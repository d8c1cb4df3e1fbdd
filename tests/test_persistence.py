from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import normoscope as ns
from normoscope.errors import ModelError, ModelNotFoundError, NewerFormatError, OptionError
from normoscope.images import as_images
from normoscope.model import Model
from normoscope.model_card import model_card
from normoscope.partitions import Partition
from normoscope.persistence import FORMAT, _seal, load_model, replace_calibration, save_model
from normoscope.scoring import Pooling, Residual, Scoring
from normoscope.types import Run, State
from normoscope.written import write_atomically

FIXTURES = Path(__file__).parent / "fixtures"
QUICK: Mapping[str, dict[str, Any]] = {
    "cae": {"epochs": 2, "batch_size": 16},
    "conocc": {"epochs": 3, "update_interval": 1, "batch_size": 16},
}


def make(data: Partition, method: str, **more: Any) -> Model:
    return ns.fit(method, ns.build(method, "quick", QUICK.get(method)), data, preset="quick", **more)


@pytest.fixture(scope="module")
def pca(small_phantom: Partition) -> Model:
    return make(small_phantom, "pca")


@pytest.fixture
def folder(pca: Model, tmp_path: Path) -> Path:
    return save_model(pca, tmp_path / "model")


def sentence(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(str(folder), "MODEL")


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


DAMAGED = "the model is damaged, restore it from a copy or fit it again."
CHANGED = f"its contents changed since it was written (sha256 differs); {DAMAGED}"


@pytest.mark.parametrize("method", ["cae", "conocc", "knn", "ocsvm", "pca", "trivial"])
def test_a_model_read_back_is_the_model(method: str, small_phantom: Partition, tmp_path: Path) -> None:
    model = make(small_phantom, method)
    again = load_model(save_model(model, tmp_path / "model"))
    test = small_phantom.images["test"]
    np.testing.assert_array_equal(again.scores(test), model.scores(test))
    np.testing.assert_array_equal(
        again.calibration.pvalues(model.scores(test)), model.calibration.pvalues(model.scores(test))
    )
    assert again.calibration.to_json() == model.calibration.to_json()
    assert again.recipe == model.recipe
    assert again.preprocessor == model.preprocessor
    assert again.parts == model.parts
    assert json.dumps(again.provenance) == json.dumps(model.provenance)
    for name, baseline in model.baselines.items():
        batch = test.batch(np.arange(len(test)))
        assert torch.equal(again.baselines[name].anomaly_score(batch), baseline.anomaly_score(batch))
    if model.localizes:
        np.testing.assert_array_equal(np.stack(list(again.maps(test))), np.stack(list(model.maps(test))))


def test_a_chosen_scoring_travels_with_its_calibration(small_phantom: Partition, tmp_path: Path) -> None:
    scoring = Scoring(Residual.SSIM, sigma=2.0, pooling=Pooling.TOP, fraction=0.1)
    model = make(small_phantom, "pca", scoring=scoring)
    again = load_model(save_model(model, tmp_path / "model"))
    assert again.scoring == scoring
    test = small_phantom.images["test"]
    np.testing.assert_array_equal(again.scores(test), model.scores(test))


def test_the_folder_holds_json_safetensors_and_a_model_card_and_nothing_else(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.json", "weights.safetensors", "parts.json", "calibration.json", "README.md"}
    card = (folder / "README.md").read_text()
    assert "**Research use. Not a medical device.**" in card
    assert "| rule | score > " in card


def test_a_bar_in_what_was_typed_begins_no_new_cell_of_the_card(small_phantom: Partition) -> None:
    model = make(small_phantom, "pca")
    typed = r"normoscope fit pca scans --group-regex '(P\d+|Q\d+)'"
    card = model_card(replace(model, provenance={**model.provenance, "command": typed}))
    [line] = [line for line in card.splitlines() if "group-regex" in line]
    assert line == r"| command | `normoscope fit pca scans --group-regex '(P\d+\|Q\d+)'` |"


def test_every_part_is_saved_with_the_contents_of_its_images(folder: Path, small_phantom: Partition) -> None:
    parts = json.loads((folder / "parts.json").read_text())
    assert {part: len(names) for part, names in parts.items()} == {
        "train": 54,
        "select": 6,
        "calibrate": 40,
        "test": 40,
    }
    assert parts == small_phantom.parts


def test_a_model_of_format_1_is_still_read_and_says_the_same() -> None:
    place = FIXTURES / "model-format-1"
    recorded = json.loads((place / "recorded.json").read_text())
    model = load_model(place / "model", Run(device="cpu"))
    images = as_images(np.load(place / "images.npy")).with_intensity(model.preprocessor)
    scores = model.scores(images)
    np.testing.assert_allclose(scores, recorded["scores"], rtol=1e-5)
    np.testing.assert_allclose(model.calibration.pvalues(scores), recorded["pvalues"], rtol=1e-12)
    assert model.calibration.calibrated
    assert sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) < 100_000


def test_the_fixture_of_the_present_format_exists() -> None:
    assert (FIXTURES / f"model-format-{FORMAT}" / "model" / "model.json").is_file()


# damage


def test_no_model_is_told_with_the_way_to_one(tmp_path: Path) -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"no model here \(model.json is missing\); make one with 'normoscope fit'"
    ):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["weights.safetensors", "parts.json", "calibration.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert sentence(folder) == f"MODEL/{name}: the file is missing; {DAMAGED}"


@pytest.mark.parametrize("name", ["weights.safetensors", "parts.json"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_weights_and_parts_are_refused(folder: Path, name: str, share: float) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    assert sentence(folder) == f"MODEL/{name}: {CHANGED}"


def test_a_loaded_model_no_longer_reads_its_file(pca: Model, folder: Path, small_phantom: Partition) -> None:
    model, test = load_model(folder), small_phantom.images["test"]
    before = model.scores(test)
    with (folder / "weights.safetensors").open("r+b") as file:
        file.truncate(100)
    np.testing.assert_array_equal(model.scores(test), before)


def test_weights_that_are_no_numbers_are_refused(folder: Path) -> None:
    weights = load_file(folder / "weights.safetensors")
    weights["detector/mean"].view(-1)[3] = torch.nan
    save_file(weights, folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    parts = json.loads((folder / "model.json").read_text())["sha256"]["parts.json"]
    reseal(folder, "model.json", "sha256", {"weights.safetensors": digest, "parts.json": parts})
    reseal(folder, "calibration.json", "weights", digest)
    assert "detector/mean holds values that are not finite" in sentence(folder)


@pytest.mark.parametrize("name", ["model.json", "calibration.json"])
@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", "\x00\x01"])
def test_json_that_is_none_is_refused(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    expected = {"[1, 2]": "not a JSON object", "null": "not a JSON object"}.get(content, "not readable as JSON")
    assert sentence(folder).startswith(f"MODEL/{name}: {expected}")


@pytest.mark.parametrize("name", ["model.json", "calibration.json"])
@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 100_000])
def test_json_nested_beyond_measure_is_refused(folder: Path, name: str, nested: str) -> None:
    (folder / name).write_text(nested)
    assert sentence(folder) == f"MODEL/{name}: not readable as JSON (nested too deeply); {DAMAGED}"


def test_what_is_no_file_or_has_no_end_is_not_opened(folder: Path) -> None:
    path = folder / "calibration.json"
    for place in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir):
        path.unlink()
        place(path)
        assert sentence(folder) == f"MODEL/calibration.json: not readable as JSON (not a regular file); {DAMAGED}"


def test_a_file_far_too_large_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (folder / "calibration.json").stat().st_size
    monkeypatch.setattr("normoscope.written._LARGEST", size - 1)
    said = f"not readable as JSON ({size} bytes are too many)"
    assert sentence(folder) == f"MODEL/calibration.json: {said}; {DAMAGED}"


def reseal(folder: Path, name: str, field: str, value: object) -> None:
    """Set one field, and seal the file and what names its hash anew."""
    *above, last = field.split(".")

    def change(content: dict[str, Any]) -> None:
        for key in above:
            content = content[key]
        content[last] = value

    def seal(content: dict[str, Any]) -> None:
        if name == "parts.json":
            content["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        content["seal"] = _seal(content)

    rewrite(folder / name, change)
    rewrite(folder / ("model.json" if name == "parts.json" else name), seal)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("model.json", "sha256", "x"),
        ("model.json", "provenance", {}),
        ("model.json", "provenance.data", "phantom"),
        ("model.json", "preprocessor.size", "28"),
        ("model.json", "preprocessor.size", 28.0),
        ("model.json", "preprocessor.size", -1),
        ("model.json", "preprocessor.size", 10**6),
        ("model.json", "preprocessor.depth", "nonsense"),
        ("model.json", "preprocessor.low", None),
        ("model.json", "preprocessor.high", 10**400),
        ("calibration.json", "calibration.alpha", "x"),
        ("calibration.json", "calibration.alpha", 5),
        ("calibration.json", "calibration.scores", [float("nan")] * 40),
        ("calibration.json", "calibration.scores", [2.0, 1.0]),
        ("calibration.json", "calibration.rule", {"kind": "above", "threshold": "x"}),
        ("calibration.json", "calibration.rule", {"kind": "above"}),
        ("calibration.json", "normals", "x"),
        ("parts.json", "train", 5),
    ],
)
def test_a_field_of_another_form_is_named_though_the_seal_holds(
    folder: Path, name: str, field: str, value: object
) -> None:
    reseal(folder, name, field, value)
    named = {"provenance": "provenance.created"}.get(field, field)
    assert sentence(folder) == f"MODEL/{name}: its field {named} is missing, or holds what no fit writes; {DAMAGED}"


@pytest.mark.parametrize("number", [True, -3, 0, "1", None])
def test_a_format_number_is_a_whole_one(folder: Path, number: object) -> None:
    reseal(folder, "model.json", "format", number)
    assert sentence(folder) == f"MODEL/model.json: the format number is missing or none from 1 on; {DAMAGED}"


@pytest.mark.parametrize(
    ("name", "field", "value", "said"),
    [
        ("model.json", "method", "os", "OptionError: method: expected one of ae, "),
        ("model.json", "preprocessor.size", 32, "ValueError: weights for images of shape (1, 28, 28), preprocessing"),
        ("model.json", "preprocessor.low", 3.0, "ValueError: grey values without a range"),
        ("calibration.json", "calibration.scores", [], "ValueError: a rule without calibration scores"),
        ("calibration.json", "normal_maps.shape", [1, 1], "ValueError: cannot reshape"),
    ],
)
def test_fields_that_contradict_one_another_are_told(
    folder: Path, name: str, field: str, value: object, said: str
) -> None:
    reseal(folder, name, field, value)
    text = sentence(folder)
    assert text.startswith(f"MODEL: its contents do not fit together ({said}")
    assert text.endswith(DAMAGED)


def test_one_flipped_bit_in_the_weights_is_noticed(folder: Path) -> None:
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-100] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    assert sentence(folder) == f"MODEL/weights.safetensors: {CHANGED}"


def test_an_edited_part_list_is_noticed(folder: Path) -> None:
    rewrite(folder / "parts.json", lambda parts: parts["test"].clear())
    assert sentence(folder) == f"MODEL/parts.json: {CHANGED}"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.json", lambda c: c["preprocessor"].update(low=0.5)),
        ("model.json", lambda c: c.pop("seal")),
        ("model.json", lambda c: c["sha256"].clear()),
        ("calibration.json", lambda c: c["calibration"]["rule"].update(threshold=1e9)),
        ("calibration.json", lambda c: c["calibration"]["scores"].pop()),
        ("calibration.json", lambda c: c.update(scoring={"residual": "ssim"})),
    ],
)
def test_an_edited_json_file_is_noticed(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    rewrite(folder / name, change)
    assert sentence(folder) == f"MODEL/{name}: {CHANGED}"


def test_a_file_reformatted_by_an_editor_is_still_the_same(folder: Path, pca: Model) -> None:
    for name in ("model.json", "calibration.json"):
        rewrite(folder / name, lambda content: None)
    assert load_model(folder).calibration.rule == pca.calibration.rule


def test_the_calibration_of_another_model_is_refused(folder: Path, small_phantom: Partition, tmp_path: Path) -> None:
    other = save_model(make(small_phantom, "knn"), tmp_path / "other")
    shutil.copy(other / "calibration.json", folder / "calibration.json")
    assert sentence(folder) == f"MODEL/calibration.json: it belongs to other weights; {DAMAGED}"


@pytest.mark.parametrize("name", ["model.json", "calibration.json"])
def test_a_newer_format_is_refused_with_what_to_do(folder: Path, name: str) -> None:
    rewrite(folder / name, lambda content: content.update(format=FORMAT + 1, normoscope="9.0"))
    with pytest.raises(NewerFormatError):
        load_model(folder)
    assert sentence(folder) == (
        f"MODEL/{name}: model format 2 was written by normoscope 9.0, this version reads up to 1; update normoscope."
    )


def test_a_missing_format_number_is_refused(folder: Path) -> None:
    rewrite(folder / "model.json", lambda content: content.pop("format"))
    assert sentence(folder) == f"MODEL/model.json: the format number is missing or none from 1 on; {DAMAGED}"


def test_weights_that_do_not_fit_the_recipe_are_refused_in_one_line(small_phantom: Partition, tmp_path: Path) -> None:
    class Forgetful:
        """A detector that saves too little."""

        def anomaly_score(self, images: Tensor) -> Tensor:
            return images.flatten(1).mean(1)

        def state(self) -> State:
            return {"mean": torch.zeros(3)}

    model = replace(make(small_phantom, "pca"), detector=Forgetful(), scoring=None)
    text = sentence(save_model(model, tmp_path / "model"))
    assert text.startswith("MODEL: its contents do not fit together (KeyError: 'components')")


# whole or not at all


class Broken:
    """A detector that cannot be saved."""

    def anomaly_score(self, images: Tensor) -> Tensor:
        return images.flatten(1).mean(1)

    def state(self) -> State:
        raise RuntimeError("no state")


def test_a_save_that_fails_leaves_nothing(pca: Model, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no state"):
        save_model(replace(pca, detector=Broken()), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_the_old_model_as_it_was(pca: Model, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(RuntimeError, match="no state"):
        save_model(replace(pca, detector=Broken()), folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_overwriting_replaces_the_whole_folder(pca: Model, folder: Path, small_phantom: Partition) -> None:
    (folder / "calibration-1.json").write_text("left over")
    knn = make(small_phantom, "knn")
    save_model(knn, folder, overwrite=True)
    assert load_model(folder).method == "knn"
    assert not (folder / "calibration-1.json").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_an_existing_folder_is_never_replaced_unasked_nor_one_that_is_no_model(pca: Model, folder: Path) -> None:
    with pytest.raises(OptionError, match=r"expected a path that does not exist yet \(or pass --overwrite\)"):
        save_model(pca, folder)
    scans = folder.parent / "scans"
    scans.mkdir()
    (scans / "a.png").write_text("precious")
    with pytest.raises(OptionError, match="expected a new path; this one exists and is not a model"):
        save_model(pca, scans, overwrite=True)
    assert (scans / "a.png").read_text() == "precious"


def test_a_model_alone_is_replaced_and_what_lies_beside_it_in_its_folder_is_named(pca: Model, folder: Path) -> None:
    (folder / "scans").mkdir()
    (folder / "scans" / "a.png").write_text("precious")
    for name in ("notes.txt", "thesis.txt", "weights.h5"):
        (folder / name).write_text("precious")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    said = r"a folder with a model alone \(this one also holds notes.txt, scans, thesis.txt and 1 more\), got"
    with pytest.raises(OptionError, match=said):
        save_model(pca, folder, overwrite=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_another_programs_model_json_makes_no_model(pca: Model, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"format": "layers-model", "modelTopology": {}}')
    with pytest.raises(OptionError, match="this one exists and is not a model"):
        save_model(pca, tmp_path, overwrite=True)
    assert (tmp_path / "model.json").read_text() == '{"format": "layers-model", "modelTopology": {}}'


def test_a_damaged_model_may_be_fitted_again_over_itself(pca: Model, folder: Path) -> None:
    (folder / "model.json").write_text((folder / "model.json").read_text()[:200])
    save_model(pca, folder, overwrite=True)
    assert load_model(folder).method == "pca"


def test_a_model_is_replaced_through_a_link_that_stays_one(pca: Model, folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to("model")
    (folder / "README.md").write_text("old")
    assert save_model(pca, link, overwrite=True) == link
    assert link.is_symlink()
    assert (folder / "README.md").read_text() != "old"


def test_a_text_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full_disk)
        with pytest.raises(OSError, match="No space"):
            write_atomically(path, "new")
    assert path.read_text() == "old"
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_bytes_of_a_path_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    write_atomically(tmp_path / "README.md", "normoscope fit " + os.fsdecode(b"sc\xffans") + " ü")
    assert (tmp_path / "README.md").read_bytes() == "normoscope fit sc\\udcffans ü".encode()


def test_a_link_is_written_through_to_a_file_that_need_not_be_there_yet(tmp_path: Path) -> None:
    (tmp_path / "here.csv").write_text("old")
    for target in ("here.csv", "deep/there.csv"):
        (tmp_path / "link.csv").unlink(missing_ok=True)
        (tmp_path / "link.csv").symlink_to(target)
        write_atomically(tmp_path / "link.csv", "new")
        assert (tmp_path / "link.csv").is_symlink()
        assert (tmp_path / target).read_text() == "new"


# calibration


def test_replacing_the_calibration_keeps_the_old_ones_in_order(
    pca: Model, folder: Path, small_phantom: Partition
) -> None:
    (folder / "calibration-mine.json").write_text("{}")
    old = (folder / "calibration.json").read_text()
    normals = small_phantom.images["calibrate"]
    for alpha, number in ((0.1, 1), (0.2, 2)):
        kept = replace_calibration(pca.calibrated(normals, None, alpha=alpha), folder)
        assert kept == folder / f"calibration-{number}.json"
    assert (folder / "calibration-1.json").read_text() == old
    assert load_model(folder).calibration.alpha == 0.2
    assert "0.2 false alarms" in (folder / "README.md").read_text()
    shutil.copy(folder / "calibration-1.json", folder / "calibration.json")
    assert load_model(folder).calibration.to_json() == pca.calibration.to_json()


def test_a_rule_is_not_written_over_another_model(pca: Model, folder: Path, small_phantom: Partition) -> None:
    renewed = pca.calibrated(small_phantom.images["calibrate"], None, alpha=0.2)
    save_model(make(small_phantom, "knn"), folder, overwrite=True)  # while the images were read
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OptionError, match=r"the model that was read \(by now another one stands there\)"):
        replace_calibration(renewed, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert load_model(folder).method == "knn"


def test_numbers_given_in_python_for_options_and_classes_come_back(pca: Model, tmp_path: Path) -> None:
    data = {**pca.provenance["data"], "options": {"size": 28, "anatomy": "chest"}, "normal_class": 0}
    model = replace(pca, provenance={**pca.provenance, "data": data})
    again = load_model(save_model(model, tmp_path / "m"))
    assert again.provenance["data"]["options"] == {"size": 28, "anatomy": "chest"}
    assert again.provenance["data"]["normal_class"] == 0


def test_writing_leaves_the_process_its_umask_as_other_threads_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(_: int) -> int:
        raise AssertionError("the umask is the whole process's")

    (tmp_path / "other").touch()
    monkeypatch.setattr(os, "umask", changed)
    write_atomically(tmp_path / "file", "text")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_weights_are_as_readable_as_the_other_files(pca: Model, tmp_path: Path) -> None:
    save_model(pca, tmp_path / "m")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "m").iterdir()}
    assert len(set(modes.values())) == 1, modes
