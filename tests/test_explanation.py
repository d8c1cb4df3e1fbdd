"""An explanation against the model it explains, in numbers and in sentences."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from normoscope import methods
from normoscope.apps.cli import main
from normoscope.attribution import Attribution, differentiable
from normoscope.calibration import Calibration
from normoscope.decoding import read_image
from normoscope.errors import OptionError, TooFewImagesError
from normoscope.explanation import Explanation, explain
from normoscope.explanation_page import Context, write_explanations
from normoscope.explanation_text import place, sentences
from normoscope.faithfulness import Chance, replacement_curves
from normoscope.latent_groups import scored_group
from normoscope.latent_page import latent_page
from normoscope.latent_view import latent_view
from normoscope.map_kinds import NEAREST, OWN, STANDARDISED, Few, map_check, spread
from normoscope.model import Model, fit
from normoscope.neighbours import NormalLatents
from normoscope.own_images import training_normals
from normoscope.partitions import Partition, partition
from normoscope.persistence import load_model, save_model
from normoscope.randomisation import Verdict
from normoscope.regions import Region
from normoscope.sources import load
from normoscope.transforms import Prepared, Preprocessor
from normoscope.types import Decomposes, Sample
from normoscope.written import Written
from toys import PHANTOM, Typed


@pytest.fixture(scope="module")
def model(small_phantom: Partition) -> Model:
    recipe = methods.build("conocc", "quick", {"epochs": 8, "update_interval": 2, "latent_dim": 8})
    return fit("conocc", recipe, small_phantom)


@pytest.fixture(scope="module")
def normals(model: Model, small_phantom: Partition) -> Prepared:
    found = training_normals(model, small_phantom.collection)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def abnormal(model: Model, small_phantom: Partition) -> Prepared:
    return model.prepare([sample for sample in small_phantom.samples["test"] if sample.label][:3])


@pytest.fixture(scope="module")
def found(model: Model, abnormal: Prepared, normals: Prepared) -> list[Explanation]:
    return explain(model, abnormal, normals)[0]


# --- attributions of the score


def test_integrated_gradients_sum_to_the_difference_of_the_two_scores(model: Model, abnormal: Prepared) -> None:
    pca = fit("pca", methods.build("pca"), _data(model))
    image = abnormal.images.batch(np.array([0]))[0]
    counterpart = pca.counterparts(image[None])["median"][0]
    shares = Attribution.INTEGRATED(pca.batch_score, image, counterpart)
    gap = pca.batch_score(torch.stack([image, counterpart]))
    # the score is quadratic on the line, so that the sum over points is nearly exact
    assert float(shares.sum()) == pytest.approx(float(gap[0] - gap[1]), rel=1e-3)


def _data(model: Model) -> Partition:
    options = dict(pair.split("=") for pair in model.provenance["data"]["spec"].split()[1:])
    return partition(load("phantom", options=options))


def test_the_gradient_is_the_scores_slope() -> None:
    weights = torch.arange(16.0).view(1, 4, 4) - 5
    shares = Attribution.GRADIENT(lambda x: (x * weights).sum((1, 2, 3)), torch.rand(1, 4, 4), torch.zeros(1, 4, 4))
    torch.testing.assert_close(shares, weights[0].abs())


def test_occlusion_gives_each_square_what_the_score_loses_without_it() -> None:
    image = torch.zeros(1, 16, 16)
    image[:, 4:6, 8:10] = 1.0
    shares = Attribution.OCCLUSION(lambda x: x.sum((1, 2, 3)), image, torch.zeros(1, 16, 16))
    # squares of 2 x 2 moved by 1: a pixel's share is the mean over the squares that hold it
    assert float(shares[4, 8]) == pytest.approx((4 + 2 + 2 + 1) / 4)
    assert float(shares[3, 8]) == pytest.approx((0 + 0 + 1 + 2) / 4)
    assert float(shares[12, 2]) == 0


def test_attributions_of_colour_are_summed_over_channels() -> None:
    weights, image = torch.tensor([1.0, 2, 4]).view(3, 1, 1), torch.zeros(3, 16, 16)
    image[:, 4:6, 8:10] = 1.0

    def score(images: torch.Tensor) -> torch.Tensor:
        return (weights * images).sum((1, 2, 3))

    # of the three channels together, as of one that weighs 7
    grey = Attribution.OCCLUSION(lambda x: 7 * x.sum((1, 2, 3)), image[:1], torch.zeros(1, 16, 16))
    torch.testing.assert_close(Attribution.OCCLUSION(score, image, torch.zeros(3, 16, 16)), grey)
    torch.testing.assert_close(Attribution.INTEGRATED(score, image, torch.zeros(3, 16, 16)), 7 * image[0])
    torch.testing.assert_close(Attribution.GRADIENT(score, image, image), torch.full((16, 16), 7.0))


def test_a_score_that_leaves_torch_has_no_gradient_and_says_which_attribution_is_left(small_phantom: Partition) -> None:
    knn = fit("knn", methods.build("knn"), small_phantom)
    image = small_phantom.images["test"].batch(np.array([0]))[0]
    assert not differentiable(knn.batch_score, image)
    with pytest.raises(OptionError, match="occlusion"):
        Attribution.INTEGRATED(knn.batch_score, image, image)


# --- one image


def test_an_explanation_holds_the_scores_p_values_and_regions_of_the_model(
    model: Model, abnormal: Prepared, found: list[Explanation]
) -> None:
    scores = model.scores(abnormal.images)
    assert [one.score for one in found] == pytest.approx(scores.tolist())
    assert [one.pvalue for one in found] == pytest.approx(model.calibration.pvalues(scores).tolist())
    maps = list(model.maps(abnormal.images))
    for one, pixel_scores in zip(found, maps, strict=True):
        np.testing.assert_allclose(one.maps[OWN].pixels, pixel_scores, rtol=1e-5)
        assert model.normal_maps is not None
        assert [r.pvalue for r in one.regions or ()] == [r.pvalue for r in model.normal_maps.regions(pixel_scores)]
        marked = np.any([r.pixels for r in one.standing(0.05)] or [np.zeros_like(pixel_scores, bool)], axis=0)
        np.testing.assert_array_equal(marked, model.marked(pixel_scores))


def test_latent_shares_are_of_the_distance_to_the_centre_and_sum_to_its_excess(
    model: Model, abnormal: Prepared, normals: Prepared, found: list[Explanation]
) -> None:
    z = model.detector.embed(abnormal.images.batch(np.arange(3))).double().numpy()  # type: ignore[attr-defined]
    centre = model.detector.network.center.double().numpy()  # type: ignore[attr-defined]
    for row, one in enumerate(found):
        assert one.latent is not None
        assert one.latent.value == pytest.approx(float(((z[row] - centre) ** 2).sum()), rel=0.02)
        assert one.latent.shares.sum() == pytest.approx(one.latent.value - one.latent.base, abs=1e-6)


def test_neighbours_are_the_nearest_and_their_distance_is_compared_with_the_normals_own() -> None:
    latents = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [5.0, 2.0]])
    normals = NormalLatents.of(latents, "abcd")
    assert normals.apart.tolist() == [1, 1, 2, 2]
    near = normals.nearest(np.array([5.0, 0.5]), 2)
    assert [(n.row, n.name, n.distance) for n in near] == [(2, "c", 0.5), (3, "d", 1.5)]
    assert normals.further_than(1.5) == 0.5
    with pytest.raises(TooFewImagesError):
        NormalLatents.of(latents[:1], "a")
    others = normals.nearest(np.array([5.0, 0.5]), 2, without=np.array([False, False, True, False]))
    assert [n.name for n in others] == ["d", "b"]


def test_a_normals_nearest_is_of_another_patient_so_new_normals_are_as_far_out_as_they() -> None:
    rng = np.random.default_rng(0)
    patients = [str(number) for number in range(40) for _ in range(4)]
    people = rng.standard_normal((40, 16)).repeat(4, axis=0)
    latents = people + 0.1 * rng.standard_normal(people.shape)
    normals = NormalLatents.of(latents, patients, patients)
    new = rng.standard_normal((200, 16)) + 0.1 * rng.standard_normal((200, 16))
    further = [normals.further_than(normals.nearest(one, 1)[0].distance) for one in new]
    assert 0.4 < np.mean(further) < 0.6
    alone = NormalLatents.of(latents, patients)  # what ids keep out: every new normal looks stranger than all normals
    assert np.mean([alone.further_than(alone.nearest(one, 1)[0].distance) for one in new]) > 0.95
    one = NormalLatents.of(latents[:4], patients[:4], patients[:4])
    assert np.isnan(one.further_than(1.0))


def test_areas_are_those_of_each_map_towards_each_counterpart(
    model: Model, abnormal: Prepared, found: list[Explanation]
) -> None:
    images = abnormal.images.batch(np.arange(3))
    for name in (OWN, "gradient", "random"):
        maps = np.stack([one.maps[name].pixels for one in found])
        for which in ("reconstruction", "median", NEAREST):
            normal = torch.from_numpy(np.stack([one.counterparts[which] for one in found]))
            curves = replacement_curves(model.batch_score, images, normal, maps)
            areas = [one.maps[name].areas[which] for one in found]
            np.testing.assert_allclose([area.deletion for area in areas], curves.deletion_area, atol=1e-3)
            np.testing.assert_allclose([area.insertion for area in areas], curves.insertion_area, atol=1e-3)
    for one in found:
        assert set(one.maps[OWN].areas) == {"reconstruction", "median", NEAREST}
    # the score is the mean of the map, so that the map names what the reconstruction takes away
    deletions = [[one.maps[name].areas["reconstruction"].deletion for one in found] for name in (OWN, "random")]
    assert np.mean(deletions[0]) < np.mean(deletions[1])


def test_maps_are_checked_on_training_normals_and_without_them_on_the_images_themselves(
    model: Model, abnormal: Prepared, normals: Prepared, found: list[Explanation]
) -> None:
    for one in found:
        assert one.maps[OWN].check == map_check(model, normals.images)
        kinds = {OWN, STANDARDISED, *(kind.value for kind in Attribution)}
        assert {name: shown.check.images for name, shown in one.maps.items() if name in kinds} == dict.fromkeys(
            kinds, 16
        )
        assert {one.maps[chance.value].check.verdict for chance in Chance} == {Verdict.NOT_APPLICABLE}
    alone, _ = explain(model, abnormal)
    assert alone[0].maps[OWN].check == map_check(model, abnormal.images)
    assert alone[0].maps[OWN].check.images == alone[0].maps["gradient"].check.images == 3


def test_how_far_an_image_is_out_is_the_share_of_normals_that_are_nearer_to_their_nearest(
    model: Model, abnormal: Prepared, normals: Prepared, found: list[Explanation]
) -> None:
    embed = model.detector.embed  # type: ignore[attr-defined]
    z, others = (embed(one.images.batch(np.arange(len(one.samples)))).double() for one in (abnormal, normals))
    patients = np.array([sample.patient for sample in normals.samples])
    alike = torch.from_numpy(patients[:, None] == patients)
    apart = torch.cdist(others, others).masked_fill(alike, torch.inf).min(1).values
    for row, one in enumerate(found):
        nearest = torch.cdist(z[row : row + 1], others).min()
        assert one.neighbours[0].distance == pytest.approx(float(nearest), rel=1e-4)
        assert one.further == pytest.approx(float((apart < nearest).double().mean()))


def test_the_nearest_normal_is_a_counterpart_and_without_normals_it_is_not(
    model: Model, abnormal: Prepared, normals: Prepared, found: list[Explanation]
) -> None:
    every = normals.images.batch(np.arange(len(normals.samples)))
    for one in found:
        distances = (every - torch.from_numpy(one.image)).square().sum((1, 2, 3))
        expected = every[int(distances.argmin())].numpy()
        np.testing.assert_allclose(one.counterparts[NEAREST], expected, atol=1e-6)
    alone, _ = explain(model, abnormal)
    assert NEAREST not in alone[0].counterparts
    assert alone[0].latent is None
    assert alone[0].neighbours == ()


# --- sentences


def plain(found: Explanation, **changes: Any) -> Explanation:
    return replace(found, **{"regions": (), "terms": {}, "usual": {}, "latent": None, "neighbours": (), **changes})


def test_the_decision_is_told_with_the_count_that_makes_its_p_value(found: list[Explanation]) -> None:
    calibration = Calibration.fit(np.arange(1.0, 40.0), alpha=0.05)
    told = sentences(plain(found[0], score=38.0, pvalue=0.075, flagged=False), calibration)
    assert told[0] == "Not flagged: its score is 38, and 2 of 39 calibration images score at least as high (p = 0.075)."
    told = sentences(plain(found[0], score=99.0, pvalue=0.025, flagged=True), calibration)
    assert told[0].startswith("Flagged: its score is 99, and 0 of 39")
    both = Calibration.fit(np.arange(1.0, 40.0), kind="two-sided")  # 20 +- 2 x 11.4
    told = sentences(plain(found[0], score=-9.0, pvalue=1.0, flagged=True), both)
    assert told[0] == (
        "Flagged: its score is -9, below -2.804, unusually like the normals; maps and regions show only what raises a "
        "score (p = 1)."
    )
    told = sentences(plain(found[0], score=50.0, pvalue=0.025, flagged=True), both)
    assert told[0] == "Flagged: its score is 50, above 42.8 (p = 0.025)."
    told = sentences(plain(found[0], score=9.0, pvalue=0.8, flagged=False), both)
    assert told[0] == "Not flagged: its score is 9, between -2.804 and 42.8 (p = 0.8)."
    upper = Calibration.fit(np.arange(1.0, 40.0), kind="upper")
    told = sentences(plain(found[0], score=9.0, pvalue=0.8, flagged=False), upper)
    assert told[0] == "Not flagged: its score is 9, not above 42.8 (p = 0.8)."
    assert "No region stands out" in told[1]
    unsure = sentences(plain(found[0], pvalue=None, flagged=None), Calibration.fit(np.empty(0)))
    assert "not calibrated" in unsure[0]


def test_terms_are_told_as_shares_unless_one_is_negative(found: list[Explanation]) -> None:
    calibration = Calibration.fit(np.arange(1.0, 40.0), alpha=0.05)
    told = sentences(plain(found[0], terms={"edges": 1.0, "texture": 3.0}), calibration)[-1]
    assert told == "The score is shared out among: texture 75 %, edges 25 %."
    four = {"edges": 1.0, "texture": 3.0, "spots": 4.0, "brightness": 2.0}
    usual = {"edges": 1.0, "texture": 1.0, "spots": 2.0, "brightness": 0.0}
    told = sentences(plain(found[0], terms=four, usual=usual), calibration)[-1]
    assert told == (
        "The score is shared out among: spots 40 % (of normals 50 %), texture 30 % (of normals 25 %), brightness 20 % "
        "(of normals 0 %), and 1 more."
    )
    told = sentences(plain(found[0], terms={"edges": -1.0, "texture": 3.0}), calibration)[-1]
    assert told == "The score is shared out among: texture +3, edges -1."


def test_regions_are_told_with_plain_numbers_however_large(found: list[Explanation]) -> None:
    calibration = Calibration.fit(np.arange(1.0, 40.0), alpha=0.05)
    whole = Region(np.ones((9, 9), bool), 1.0, 1.7e37, (4, 4), 0.025)
    told = sentences(plain(found[0], regions=(whole,)), calibration)[1]
    assert told.endswith("centre of the picture, 100 % of its area, where normals never vary (p = 0.025).")


def test_what_normals_share_their_scores_out_among_stands_beside(small_phantom: Partition) -> None:
    recipe = methods.build("local_gaussian", "quick")
    fitted = fit("local_gaussian", recipe, small_phantom)
    test = fitted.prepare(small_phantom.samples["test"][:1])
    normals = training_normals(fitted, small_phantom.collection)
    assert normals is not None
    (one,), _ = explain(fitted, test, normals)
    assert isinstance(fitted.detector, Decomposes)
    every = fitted.detector.score_terms(normals.images.batch(spread(len(normals.samples))))
    assert one.usual == {name: pytest.approx(float(values.mean()), rel=1e-4) for name, values in every.items()}
    assert one.usual.keys() == one.terms.keys()
    assert "(of normals" in " ".join(sentences(one, fitted.calibration))
    alone, _ = explain(fitted, test)
    assert alone[0].usual == {}


@pytest.mark.parametrize(("at", "told"), [((0, 0), "upper left"), ((4, 4), "centre"), ((8, 4), "lower centre"),
                                          ((4, 8), "middle right")])  # fmt: skip
def test_places_are_those_of_the_picture(at: tuple[int, int], told: str) -> None:
    pixels = np.zeros((9, 9), bool)
    pixels[at] = True
    assert place(Region(pixels, 1.0, 3.0, at, 0.05)) == told


# --- pages and the command


def test_pages_hold_no_name_that_could_leave_them_or_their_folder(
    model: Model, found: list[Explanation], tmp_path: Path
) -> None:
    names = ["index.png", "<script>alert(1)</script>", "image-index.png"]
    renamed = [replace(one, name=name) for one, name in zip(found, names, strict=True)]
    index = write_explanations(renamed, Context(model), tmp_path / "pages")
    files = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert len(files) == 5
    assert index.name in files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages"]
    for file in files:
        assert "<script>alert" not in (tmp_path / "pages" / file).read_text() or file == "explanations.json"
    summary = json.loads((tmp_path / "pages" / "explanations.json").read_text())
    assert [image["image_path"] for image in summary["images"]] == names
    assert all((tmp_path / "pages" / image["page"]).is_file() for image in summary["images"])


def test_the_latent_space_is_drawn_once_for_all_pages_and_marks_another_image_in_each(
    model: Model, abnormal: Prepared, found: list[Explanation], small_phantom: Partition, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    view = latent_view(model, [scored_group(small_phantom.collection, abnormal)])
    assert view is not None
    drawn = []
    monkeypatch.setattr("normoscope.explanation_page.latent_page", lambda one: drawn.append(one) or latent_page(one))
    write_explanations(found, Context(model, view=view), tmp_path)
    assert len(drawn) == 1
    for number, one in enumerate(json.loads((tmp_path / "explanations.json").read_text())["images"]):
        page = (tmp_path / one["page"]).read_text()
        data = json.loads(page.split('id="latent-data">')[1].split("</script>")[0])
        assert data["highlight"] == number
        assert data["names"][number] == one["image_path"]
        assert f"<td>{found[number].maps[OWN].check.verdict.value} (16 images)</td>" in page


def test_all_images_are_embedded_at_once(
    model: Model, abnormal: Prepared, normals: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, embed = [], model.detector.embed  # type: ignore[attr-defined]
    monkeypatch.setattr(model.detector, "embed", lambda images: sizes.append(len(images)) or embed(images))
    monkeypatch.setattr("normoscope.explanation.drawn", lambda *_, **__: iter(()))
    explain(model, abnormal, normals)
    assert sizes == [len(normals.samples), 3]


def test_explain_writes_a_page_for_each_file_and_each_named_image(
    typed: Typed, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    answered("fit", "pca", *PHANTOM, "--out", tmp_path / "m")
    Image.fromarray(np.full((28, 28), 90, np.uint8)).save(tmp_path / "own.png")
    named = f"{PHANTOM[0]}#test/abnormal-00001"
    told = answered("explain", tmp_path / "m", tmp_path / "own.png", named, *PHANTOM[1:], "--out", tmp_path / "why")
    model, data = load_model(tmp_path / "m"), load("phantom", options=dict(one.split("=") for one in PHANTOM[2::2]))
    own = Sample("own.png", partial(read_image, tmp_path / "own.png"))
    images = model.prepare([own, *(one for one in data.samples if one.name == "test/abnormal-00001")]).images
    normals = training_normals(model, data)
    assert normals is not None
    counterparts = Few.of(model, images, np.arange(2), normals.images).counterparts
    scores = {name: model.batch_score(normal) for name, normal in counterparts.items()}
    assert set(told["images"]) == {str(tmp_path / "own.png"), "test/abnormal-00001"}
    assert Written.EXPLANATION.beside(tmp_path / "why", "*.html", "explanations.json")  # may be written over
    summary = json.loads((tmp_path / "why" / "explanations.json").read_text())
    for row, image in enumerate(summary["images"]):
        least = min(scores, key=lambda name: float(scores[name][row]))
        assert image["maps"]["occlusion"]["compared_with"] == least
        assert (tmp_path / "why" / image["page"]).stat().st_size > 20_000
        assert len(image["neighbours"]) == 5
        assert {"map", "gradient", "integrated-gradients", "occlusion", "random"} <= set(image["maps"])


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (["phantom#test/no-such-image"], "for instance phantom#train/normal-00000"),
        (["phantom#test/abnormal-00001", "phantom#test/abnormal-00001"], "every image once"),
        (["phantom"], "at most --most 20 images"),
        (["nowhere.png"], "an existing folder"),
    ],
)
def test_images_that_cannot_be_explained_are_refused_in_a_sentence(
    images: list[str], said: str, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(model, tmp_path / "m")
    assert main(["explain", str(tmp_path / "m"), *images, *PHANTOM[1:], "--out", str(tmp_path / "why"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "why").exists()


def test_without_the_models_own_data_the_pages_say_what_is_missing(
    model: Model, found: list[Explanation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = {"spec": "folder:/gone", "source": "folder:/gone", "options": {}}
    provenance = {**model.provenance, "data": {**model.provenance["data"], **gone}}
    save_model(replace(model, provenance=provenance), tmp_path / "m")
    assert load_model(tmp_path / "m").provenance["data"]["spec"] == "folder:/gone"
    typed = ["explain", str(tmp_path / "m"), "phantom#test/abnormal-00001", *PHANTOM[1:], "--out", str(tmp_path / "w")]
    assert main([*typed, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert any("the model's own data are not here" in note for note in said["notes"])
    summary = json.loads((tmp_path / "w" / "explanations.json").read_text())
    assert summary["images"][0]["neighbours"] == []
    assert summary["images"][0]["normals_nearer_to_their_nearest"] is None
    assert not math.isnan(summary["images"][0]["pred_score"])


def pictures(folder: Path, names: list[str], seed: int) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(rng.integers(0, 200, (28, 28), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def explained(
    monkeypatch: pytest.MonkeyPatch, answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Explain without drawing any map."""
    monkeypatch.setattr("normoscope.explanation.drawn", lambda *_, **__: iter(()))
    return lambda model, *words: answered("explain", model, *words, "--out", tmp_path / "why")


def test_names_and_folders_may_hold_the_sign_that_parts_them(
    model: Model, explained: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    pictures(tmp_path / "a", ["x#1.png", "y.png"], 0)
    pictures(tmp_path / "b#2", ["x#1.png"], 1)
    save_model(model, tmp_path / "m")
    for typed in (f"{tmp_path}/a#x#1.png", f"folder:{tmp_path}/a#x#1.png", f"{tmp_path}/b#2#x#1.png"):
        assert set(explained(tmp_path / "m", typed)["images"]) == {"x#1.png"}


def test_images_of_one_name_in_two_data_sets_are_two_images(
    model: Model, explained: Callable[..., dict[str, Any]], refused: Callable[..., str], tmp_path: Path
) -> None:
    one, two = (pictures(tmp_path / name, ["x.png", f"{name}.png"], seed) for seed, name in enumerate("ab"))
    save_model(model, tmp_path / "m")
    told = explained(tmp_path / "m", f"{one}#x.png", two)
    assert set(told["images"]) == {f"{one}#x.png", f"{two}#x.png", "b.png"}
    twice = refused("explain", tmp_path / "m", f"{one}#x.png", f"{one}/#x.png", "--out", tmp_path / "w", "--quiet")
    assert twice == "IMAGE: expected every image once, got 'x.png'."


def test_a_models_own_data_are_found_again_whatever_their_folder_is_called(
    explained: Callable[..., dict[str, Any]], answered: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    own = pictures(tmp_path / "run seed=3" / "normal", [f"{i:02d}.png" for i in range(40)], 0).parent
    table = tmp_path / "own.csv"
    table.write_text("\n".join(["path,label", *(f"normal/{i:02d}.png,normal" for i in range(40))]))
    given = {"folder": [own], "table": [table, "-o", f"root={own}", "--normal-class", "normal"]}
    for name, words in given.items():
        answered("fit", "pca", *words, "--out", tmp_path / name)
        told = explained(tmp_path / name, f"{own}#normal/03.png")
        assert [said for said in told["notes"] if "not here" in said] == []
        assert len(json.loads((tmp_path / "why" / "explanations.json").read_text())["images"][0]["neighbours"]) == 5


def test_a_model_of_an_earlier_version_finds_its_data_by_the_text_that_held_everything(
    model: Model, explained: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    before = {key: value for key, value in model.provenance["data"].items() if key not in ("source", "options")}
    assert before["spec"] == "phantom size=28 test=40 train=60 validation=40"
    save_model(replace(model, provenance={**model.provenance, "data": before}), tmp_path / "m")
    told = explained(tmp_path / "m", f"{PHANTOM[0]}#test/abnormal-00001", *PHANTOM[1:])
    assert [said for said in told["notes"] if "no nearest normal" in said] == []


def test_what_was_read_or_scored_once_is_not_read_or_scored_again(
    model: Model, explained: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model, tmp_path / "m")
    read, scored, prepare, scores = Counter[str](), [], Preprocessor.prepare, Model.scores

    def counted(one: Preprocessor, samples: Any, **options: Any) -> Prepared:
        read.update(sample.name for sample in samples)
        return prepare(one, samples, **options)

    monkeypatch.setattr(Preprocessor, "prepare", counted)
    monkeypatch.setattr(Model, "scores", lambda one, images: scored.append(len(images)) or scores(one, images))
    names = [f"{PHANTOM[0]}#test/{name}" for name in ("abnormal-00001", "abnormal-00002", "normal-00003")]
    explained(tmp_path / "m", *names, *PHANTOM[1:])
    assert set(read.values()) == {1}
    assert sorted(scored) == [3, 6, 54]


def test_a_method_without_latent_vector_says_too_that_no_normal_is_compared_with(
    explained: Callable[..., dict[str, Any]], small_phantom: Partition, tmp_path: Path
) -> None:
    trivial = fit("trivial", methods.build("trivial"), small_phantom)
    gone = {**trivial.provenance["data"], "source": "folder:/gone", "options": {}}
    save_model(replace(trivial, provenance={**trivial.provenance, "data": gone}), tmp_path / "m")
    (said,) = [one for one in explained(tmp_path / "m", f"{PHANTOM[0]}#test/abnormal-00001", *PHANTOM[1:])["notes"]
               if "--normals" in one]  # fmt: skip
    assert said.startswith("no nearest normal to compare with: the model's own data are not here (")


def test_data_that_moved_are_read_as_they_were_at_the_fit(
    explained: Callable[..., dict[str, Any]], scans: Path, tmp_path: Path
) -> None:
    here, options = scans / "normal", ["-o", "layout=flat", "--normal-class", "normal"]
    assert main(["fit", "knn", str(here), *options, "--out", str(tmp_path / "m"), "--quiet"]) == 0
    (moved := tmp_path / "elsewhere" / "normal").parent.mkdir()
    here.rename(moved)
    image = str(scans / "abnormal" / "00.png")
    assert any("--normals" in one for one in explained(tmp_path / "m", image)["notes"])
    assert not any("--normals" in one for one in explained(tmp_path / "m", image, "--normals", str(moved))["notes"])


def test_a_latent_value_that_is_rounding_is_not_explained(small_phantom: Partition) -> None:
    pca = fit("pca", methods.build("pca", overrides={"latent_dim": 2}), small_phantom)
    usual = pca.prepare([sample for sample in small_phantom.samples["test"] if not sample.label][:2])
    found, notes = explain(pca, usual, training_normals(pca, small_phantom.collection))
    assert all(one.latent is None for one in found)  # what a subspace decodes lies in it, and scores nothing
    assert any("is next to nothing" in note for note in notes)


def test_an_image_that_fitted_the_model_gets_no_p_value(model: Model, small_phantom: Partition) -> None:
    own = model.prepare(small_phantom.samples["train"][:1])
    (one,), _ = explain(model, own)
    assert one.seen
    assert one.pvalue is None
    assert one.flagged is None
    assert "it fitted or calibrated the model" in sentences(one, model.calibration)[0]
    assert one.regions is None
    assert "this image fitted or calibrated it" in sentences(one, model.calibration)[1]


def test_an_image_that_fitted_the_model_is_not_its_own_neighbour(model: Model, small_phantom: Partition) -> None:
    own = model.prepare(small_phantom.samples["train"][:1])
    (one,), _ = explain(model, own, training_normals(model, small_phantom.collection))
    assert one.neighbours[0].distance > 0
    assert own.samples[0].name not in [near.name for near in one.neighbours]
    assert np.abs(one.counterparts[NEAREST] - one.image).max() > 0.01
    assert one.further < 1


def test_where_no_region_could_stand_none_is_denied(model: Model, abnormal: Prepared) -> None:
    assert model.normal_maps is not None
    few = replace(model, normal_maps=replace(model.normal_maps, masses=model.normal_maps.masses[:12]))
    (one, *_), _ = explain(few, abnormal)
    assert one.regions is None
    assert "the model cannot say" in sentences(one, model.calibration)[1]


def test_a_page_whose_regions_nothing_judges_neither_finds_nor_denies_them(
    model: Model, found: list[Explanation], tmp_path: Path
) -> None:
    unjudged = replace(found[0], name="unjudged", regions=None)
    quiet = replace(found[0], name="quiet", regions=())
    write_explanations([unjudged, quiet], Context(model), tmp_path)
    said = {name: (tmp_path / f"{name}.html").read_text() for name in ("unjudged", "quiet")}
    assert "No region stands out" not in said["unjudged"]
    assert said["unjudged"].count("No region can be judged") == 2
    assert "Which regions stand out, the model cannot say: it has too few" in said["unjudged"]
    assert said["quiet"].count("No region stands out") == 2
    assert "be judged" not in said["quiet"]
    assert "cannot say" not in said["quiet"]


def test_a_model_judges_regions_only_with_enough_normals_for_its_rate(model: Model) -> None:
    assert model.normal_maps is not None
    assert model.region_judge is model.normal_maps
    few = replace(model.normal_maps, masses=model.normal_maps.masses[:18])  # 1 / 19 > 0.05
    assert replace(model, normal_maps=few).region_judge is None
    assert replace(model, normal_maps=None).region_judge is None


def test_each_attribution_is_compared_with_what_the_model_finds_most_normal(
    model: Model, found: list[Explanation]
) -> None:
    for one in found:
        scores = {
            which: float(model.batch_score(torch.from_numpy(image)[None])[0])
            for which, image in one.counterparts.items()
        }
        assert one.maps["occlusion"].against == min(scores, key=scores.__getitem__)
        assert one.maps["gradient"].against is None
