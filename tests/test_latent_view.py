"""The latent space as a page shows it: the right images, the right figures, the right pixels, and no name too many."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections import Counter

import numpy as np
import pytest
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from normoscope import methods, sources
from normoscope.errors import TooFewImagesError
from normoscope.estimates import Estimate
from normoscope.heatmaps import greyscale, overlay
from normoscope.latent_groups import MOST, Group, Part, fitted_groups, scored_group, stratified
from normoscope.latent_page import latent_page, policy
from normoscope.latent_planes import HEIGHT, WIDTH, codes_view, hypersphere_view, projected_views
from normoscope.latent_view import LatentView, latent_view
from normoscope.latents import latent_entropy
from normoscope.model import Model, fit
from normoscope.partitions import Partition, partition
from normoscope.sprites import SIDE, Sheet, sheet
from normoscope.traversal import COMPONENTS, SHOWN, traversals
from normoscope.types import Sample

SMALL = {"size": "28", "train": "60", "validation": "40", "test": "40"}
FEW = {
    "conocc": {"epochs": 6, "update_interval": 2},
    "deep_svdd": {"epochs": 2, "pretrain_epochs": 2},
    "dual_encoder": {"epochs": 2},
}


def made(method: str, data: Partition) -> Model:
    return fit(method, methods.build(method, "quick", FEW.get(method)), data)


def shown(model: Model, data: Partition, *, measured: bool = False) -> LatentView:
    """The view of everything the phantom has."""
    groups, notes = fitted_groups(model, data.collection)
    scored = scored_group(data.collection, model.prepare(data.samples["test"]))
    entropy = latent_entropy(model.detector, data.images["calibrate"]) if measured else None
    view = latent_view(model, [*groups, scored], entropy=entropy, notes=notes)
    assert view is not None
    return view


@pytest.fixture(scope="module")
def conocc(small_phantom: Partition) -> Model:
    return made("conocc", small_phantom)


@pytest.fixture(scope="module")
def view(conocc: Model, small_phantom: Partition) -> LatentView:
    return shown(conocc, small_phantom, measured=True)


def tile(one: Sheet, number: int) -> np.ndarray:
    """Cut a picture out of its sheet."""
    data = base64.b64decode(one.uri.removeprefix("data:image/png;base64,"))
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    row, column = divmod(number, one.across)
    return whole[row * one.height : (row + 1) * one.height, column * one.width : (column + 1) * one.width]


def named(count: int, **facts: str) -> list[Sample]:
    def absent() -> np.ndarray:
        raise AssertionError("nothing is read to choose")

    return [Sample(f"{facts}{i}", absent, **facts) for i in range(count)]  # type: ignore[arg-type]


# --- which images


def test_every_class_is_chosen_as_often_as_its_share_to_within_one() -> None:
    samples = [*named(120, class_name="a"), *named(60, class_name="b"), *named(20, class_name="c")]
    rows = stratified(samples, 50)
    counts = Counter(samples[row].class_name for row in rows)
    assert len(set(rows.tolist())) == 50
    for name, expected in (("a", 30), ("b", 15), ("c", 5)):
        assert abs(counts[name] - expected) <= 1
    assert_array_equal(rows, np.sort(rows))
    assert_array_equal(rows, stratified(samples, 50))
    assert not np.array_equal(rows, stratified(samples, 50, seed=1))


def test_few_samples_are_all_chosen() -> None:
    assert_array_equal(stratified(named(7), 100), np.arange(7))
    assert len(stratified([], 100)) == 0


def test_the_models_own_training_and_held_out_images_are_found_by_name(conocc: Model, small_phantom: Partition) -> None:
    groups, notes = fitted_groups(conocc, small_phantom.collection)
    assert notes == []
    for group, part in zip(groups, ("train", "select"), strict=True):
        assert {sample.name for sample in group.prepared.samples} == set(conocc.parts[part])
        rows = [small_phantom.samples[part].index(sample) for sample in group.prepared.samples]
        expected = small_phantom.images[part].batch(rows)
        torch.testing.assert_close(group.prepared.images.batch(np.arange(len(rows))), expected)


def test_other_data_show_no_training_image_and_say_so(conocc: Model, small_phantom: Partition) -> None:
    other = dataclasses.replace(small_phantom.collection, spec="folder:elsewhere", source="folder:elsewhere")
    groups, notes = fitted_groups(conocc, other)
    assert groups == []
    assert "not those the model was fitted on" in notes[0]


def test_images_that_are_gone_or_changed_are_left_out_and_counted(conocc: Model, small_phantom: Partition) -> None:
    train = list(conocc.parts["train"])
    samples = [s for s in small_phantom.collection.samples if s.name not in train[:3]]
    blank = [dataclasses.replace(s, read=lambda: np.zeros((28, 28), np.uint8)) if s.name == train[5] else s
             for s in samples]  # fmt: skip
    groups, notes = fitted_groups(conocc, dataclasses.replace(small_phantom.collection, samples=blank))
    assert notes == ["Not all train images can be shown: 3 are gone and 1 cannot be read or changed since."]
    assert len(groups[0].prepared.samples) == len(train) - 4
    assert train[5] not in {sample.name for sample in groups[0].prepared.samples}


def test_images_of_another_depth_do_not_fail_the_page(conocc: Model, small_phantom: Partition) -> None:
    deep = [dataclasses.replace(s, read=lambda: np.zeros((28, 28), np.uint16))
            for s in small_phantom.collection.samples]  # fmt: skip
    groups, notes = fitted_groups(conocc, dataclasses.replace(small_phantom.collection, samples=deep))
    assert groups == []
    assert notes[0] == "Not all train images can be shown: 54 cannot be read or changed since."


def test_at_most_a_hundred_of_a_group_are_shown_with_their_own_scores(conocc: Model) -> None:
    collection = sources.load("phantom", options={**SMALL, "test": "130"})
    prepared = conocc.prepare([sample for sample in collection.samples if sample.split == "test"])
    scores = np.arange(130.0)
    group = scored_group(collection, prepared, scores)
    assert (len(group.prepared.samples), group.total) == (MOST, 130)
    assert group.scores is not None
    for sample, score in zip(group.prepared.samples, group.scores, strict=True):
        assert prepared.samples[int(score)] is sample
    view = latent_view(conocc, [group])
    assert view is not None
    assert view.counts == ("100 of 130 scored images",)


# --- what they are


def test_points_carry_the_models_scores_and_p_values_where_they_mean_something(
    view: LatentView, conocc: Model, small_phantom: Partition
) -> None:
    counts = Counter((point.part, point.label) for point in view.points)
    assert counts == {(Part.TRAIN, "normal"): 54, (Part.HELD_OUT, "normal"): 6,
                      (Part.SCORED, "normal"): 20, (Part.SCORED, "abnormal"): 20}  # fmt: skip
    test = [point for point in view.points if point.part is Part.SCORED]
    scores = conocc.scores(small_phantom.images["test"])
    assert [point.name for point in test] == [sample.name for sample in small_phantom.samples["test"]]
    assert_allclose([point.score for point in test], scores)
    assert_allclose([point.pvalue for point in test], conocc.calibration.pvalues(scores))  # type: ignore[arg-type]
    assert {point.pvalue for point in view.points if point.part is not Part.SCORED} == {None}
    train = [point for point in view.points if point.part is Part.TRAIN]
    where = [[s.name for s in small_phantom.samples["train"]].index(point.name) for point in train]
    assert_allclose([point.score for point in train], conocc.scores(small_phantom.images["train"])[where])


def test_points_say_where_they_come_from(view: LatentView) -> None:
    cavities = [point for point in view.points if point.source["class"] == "cavity"]
    assert cavities
    assert {point.label for point in cavities} == {"abnormal"}
    assert {point.source["site"] for point in view.points} == {"A", "B"}
    assert len({point.source["data"] for point in view.points}) == 1


def test_a_scored_image_without_label_is_called_unknown(conocc: Model, small_phantom: Partition) -> None:
    samples = [dataclasses.replace(s, label=None, class_name=None) for s in small_phantom.samples["test"][:5]]
    view = latent_view(conocc, [scored_group(small_phantom.collection, conocc.prepare(samples))])
    assert view is not None
    assert {point.label for point in view.points} == {"unknown"}
    assert view.traversals == ()


def test_a_method_without_latent_vector_has_no_view_and_one_image_is_refused(
    conocc: Model, small_phantom: Partition
) -> None:
    trivial = dataclasses.replace(conocc, detector=next(iter(conocc.baselines.values())))
    group = scored_group(small_phantom.collection, conocc.prepare(small_phantom.samples["test"][:1]))
    assert latent_view(trivial, [group]) is None
    with pytest.raises(TooFewImagesError, match="2 images needed, 1 given"):
        latent_view(conocc, [group])


def test_the_features_of_a_method_without_network_are_shown_without_walks(small_phantom: Partition) -> None:
    view = shown(made("knn", small_phantom), small_phantom)
    assert view.traversals == ()
    assert [one.title for one in view.sheets] == ["image", "median normal image"]
    assert view.sheets[1].count == 1


# --- planes


def test_the_hypersphere_is_that_of_the_detectors_own_centre(
    view: LatentView, conocc: Model, small_phantom: Partition
) -> None:
    sphere = next(one for one in view.views if one.key == "hypersphere")
    z = conocc.detector.embed(small_phantom.images["test"].batch(np.arange(40))).double()  # type: ignore[attr-defined]
    distance = (z - conocc.detector.network.center).norm(dim=1).numpy()  # type: ignore[attr-defined]
    ring = sphere.rings[0]
    drawn = np.linalg.norm(sphere.at[-40:] - [ring.x, ring.y], axis=1)
    assert_allclose(drawn / ring.radius * ring.distance, distance, rtol=1e-4)


@pytest.mark.parametrize("method", ["deep_svdd", "dual_encoder"])
def test_views_follow_from_what_the_detector_has(method: str, small_phantom: Partition) -> None:
    model = made(method, small_phantom)
    view = shown(model, small_phantom)
    own = {"deep_svdd": "hypersphere", "dual_encoder": "codes"}[method]
    assert [one.key for one in view.views] == ["pca", "t-sne", "umap", own]
    assert bool(view.traversals) == (method == "dual_encoder")
    if own == "codes":
        images = small_phantom.images["test"].batch(np.arange(40))
        network = model.detector.network  # type: ignore[attr-defined]
        with torch.no_grad():
            views = network.views(images, images)
        apart = (views.z1 - views.z2).norm(dim=1).numpy()
        told = [point.disagreement for point in view.points if point.part is Part.SCORED]
        # the detector may compute in bfloat16
        assert_allclose(told, apart, rtol=0.1, atol=0.02)


def test_planes_fill_the_picture_at_one_scale_with_y_upwards() -> None:
    latents = np.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    (plane,), missing = projected_views(latents)
    assert plane.key == "pca"
    assert len(missing) == 2
    left, right, up, down = plane.at
    assert_allclose((left + right) / 2, [WIDTH / 2, HEIGHT / 2])
    assert up[1] < down[1]
    assert_allclose((right[0] - left[0]) / (down[1] - up[1]), 4)
    assert plane.at.min() >= 0
    assert plane.at[:, 0].max() <= WIDTH
    assert "100\u00a0% of the variance of all points" in plane.note
    assert plane.axes[0] == "first principal component: 94.1\u00a0% of the variance"


def test_planes_that_cannot_be_drawn_are_named_with_the_reason() -> None:
    _, missing = projected_views(np.eye(3))
    assert missing[0] == "t-SNE is not drawn: points of a t-sne plane: 5 images needed, 3 given; show more images."


def test_equal_latents_stand_in_the_middle() -> None:
    (plane,), missing = projected_views(np.ones((12, 3)))
    assert_allclose(plane.at, [[WIDTH / 2, HEIGHT / 2]] * 12)
    assert "collapsed" in missing[0]


@pytest.mark.filterwarnings("error")
def test_latents_of_one_dimension_lie_on_a_line_that_fills_the_picture() -> None:
    plane = projected_views(np.arange(12.0)[:, None])[0][0]
    assert_allclose(np.ptp(plane.at, axis=0), [WIDTH - 60, 0])
    assert_allclose(plane.at[:, 1], HEIGHT / 2)


def test_rings_stand_at_round_distances_within_the_farthest_image() -> None:
    view = hypersphere_view(np.diag([1.0, 2.0, 4.1]), np.zeros(3))
    assert [ring.distance for ring in view.rings] == [1, 2, 3, 4]
    assert_allclose([ring.radius / ring.distance for ring in view.rings], view.rings[0].radius)


def test_the_line_between_two_codes_is_as_long_as_their_disagreement_where_the_plane_holds_all() -> None:
    first = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    second = first + np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    view = codes_view(first, second)
    assert view.ends is not None
    drawn = np.linalg.norm(view.ends - view.at, axis=1)
    assert_allclose(drawn / drawn[0], [1, 2, 0], atol=1e-9)


# --- pictures


def test_sheets_hold_each_points_image_counterpart_and_heatmap(
    view: LatentView, conocc: Model, small_phantom: Partition
) -> None:
    images = small_phantom.images["test"].batch(np.arange(40))
    redrawn, maps = conocc.counterparts(images)["reconstruction"].numpy(), conocc.batch_map(images).numpy()
    scale = conocc.calibration.map_scale
    assert scale is not None
    image, normal, heat = view.sheets
    assert [one.title for one in view.sheets] == ["image", "if it were normal", "heatmap"]
    assert image.count == normal.count == heat.count == len(view.points)
    for number in (0, 17, 39):
        assert_array_equal(tile(image, 60 + number), greyscale(images[number].numpy()))
        assert_array_equal(tile(heat, 60 + number), overlay(images[number].numpy(), maps[number], scale))
        near = tile(normal, 60 + number).astype(int) - greyscale(redrawn[number])
        assert np.abs(near).max() <= 1


def test_large_pictures_are_shrunk_by_averaging() -> None:
    picture = np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8)
    picture[::2] = 200
    one = sheet("stripes", [picture])
    assert (one.width, one.height) == (SIDE, SIDE)
    assert_array_equal(tile(one, 0), np.full((SIDE, SIDE, 3), 100))


def test_pictures_lie_row_by_row() -> None:
    pictures = [np.full((2, 3, 3), [i, 2 * i, 0], np.uint8) for i in range(5)]
    one = sheet("five", pictures)
    assert (one.across, one.count) == (3, 5)
    for number, picture in enumerate(pictures):
        assert_array_equal(tile(one, number), picture)


# --- walks


def test_a_walk_moves_one_coordinate_by_the_normals_deviation() -> None:
    normals = np.array([[0.0, 1.0, 5.0], [2.0, 1.0, 1.0], [4.0, 1.0, 9.0]])
    walks = traversals(lambda z: z[:, :, None, None] / 100, normals)
    deviation = normals.std(0)
    walk = walks[COMPONENTS]
    assert walk.title == "coordinate 3"
    assert walk.share == pytest.approx(deviation[2] ** 2 / np.sum(deviation**2))
    moved = np.clip(5 + np.linspace(-2.5, 2.5, 7) * deviation[2], 0, 100) / 100
    assert_allclose(walk.images[:, 2, 0, 0], moved, rtol=1e-5)
    assert_allclose(walk.images[:, :2, 0, 0], np.tile([0.02, 0.01], (7, 1)), rtol=1e-5)


def test_coordinates_with_most_information_are_walked_along_first() -> None:
    normals = np.random.default_rng(0).normal(size=(30, 9)) * np.arange(1, 10)
    bits = tuple(Estimate(value, value, value, "bits") for value in (5.0, 1.0, 9.0, 0.0, 7.0, 2.0, 3.0, 4.0, 6.0))
    walks = traversals(lambda z: z[:, :1, None, None], normals, bits)[COMPONENTS:]
    assert [walk.title for walk in walks] == [f"coordinate {i}" for i in (3, 5, 9, 1, 8, 7)]
    assert [walk.information for walk in walks] == [bits[i - 1] for i in (3, 5, 9, 1, 8, 7)]
    missing = (*bits[:-1], Estimate.missing("too few", "bits"))
    varying = traversals(lambda z: z[:, :1, None, None], normals, missing)[COMPONENTS:]
    order = np.argsort(-normals.std(0))[:SHOWN] + 1
    assert [walk.title for walk in varying] == [f"coordinate {i}" for i in order]
    assert {walk.information for walk in varying} == {None}


def test_the_middle_of_a_walk_is_the_decoded_mean_of_the_training_normals(
    view: LatentView, conocc: Model, small_phantom: Partition
) -> None:
    z = conocc.detector.embed(small_phantom.images["train"].batch(np.arange(54)))  # type: ignore[attr-defined]
    decode = conocc.detector.decode  # type: ignore[attr-defined]
    assert decode is not None
    middle = decode(z.double().mean(0, keepdim=True).float())[0].numpy()
    assert len(view.traversals) == COMPONENTS + SHOWN
    for walk in view.traversals:
        # bfloat16 rounds a batch of one as a batch of seven only nearly
        assert_allclose(walk.images[3], middle, atol=0.02)


# --- the page


def test_the_page_offers_the_columns_that_differ(view: LatentView) -> None:
    page = latent_page(view)
    assert [column.title for column in page.columns] == ["label", "part", "class", "site"]
    label, part = page.columns[:2]
    assert dict(zip(label.values, label.counts, strict=True)) == {"normal": 80, "abnormal": 20}
    assert [part.values[place] for place in part.of] == [point.part.value for point in view.points]
    for column in page.columns:
        assert len(set(column.colours)) == len(column.values) <= len(page.marks)


def test_values_beyond_the_colours_share_one_grey(view: LatentView) -> None:
    points = tuple(dataclasses.replace(point, source={"device": f"scanner {i % 9}"})
                   for i, point in enumerate(view.points))  # fmt: skip
    column = latent_page(dataclasses.replace(view, points=points)).columns[-1]
    assert column.values == (*(f"scanner {i}" for i in range(6)), "other")
    assert column.values[column.of[8]] == "other"
    assert sum(column.counts) == len(points)


def test_the_chosen_image_is_marked_by_its_name(view: LatentView) -> None:
    chosen = latent_page(view).marking(view.points[70].name)
    assert chosen.highlight == chosen.data["highlight"] == 70
    assert latent_page(view).marking("not shown").highlight is None


def test_the_ring_of_the_still_picture_lies_on_the_chosen_image(view: LatentView) -> None:
    environment = Environment(loader=PackageLoader("normoscope"), autoescape=True, undefined=StrictUndefined)
    template = environment.from_string('{% from "latent.html.j2" import latent %}{{ latent(page) }}')
    ringed = template.render(page=latent_page(view).marking(view.points[70].name))
    x, y = view.views[0].at[70]
    assert f'class="latent-ring" r="11" transform="translate({x:.2f} {y:.2f})"' in ringed
    assert "The ringed mark is this image." in ringed
    plain = template.render(page=latent_page(view))
    assert 'class="latent-ring" r="11" visibility="hidden"' in plain
    assert "ringed mark" not in plain


def test_without_images_the_page_holds_neither_pictures_nor_names(view: LatentView) -> None:
    page = latent_page(view, images=False)
    text = repr(page.data) + repr([dataclasses.asdict(strip) for strip in page.strips])
    assert "data:image" not in text
    assert not [point.name for point in view.points if point.name in text]
    assert [strip.pictures for strip in page.strips] == [None] * len(page.strips)
    assert len(page.data["scores"]) == len(view.points)


def test_without_images_none_is_drawn_nor_decoded_and_the_figures_stay(
    view: LatentView, conocc: Model, small_phantom: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> None:
        raise AssertionError("nothing is drawn")

    for name in ("reconstruct", "decode", "anomaly_map"):
        monkeypatch.setattr(conocc.detector, name, refused)
    groups, _ = fitted_groups(conocc, small_phantom.collection)
    bare = latent_view(conocc, groups, entropy=view.entropy, images=False)
    assert bare is not None
    assert bare.sheets == ()
    with_images, without = ([(one.title, one.text, one.bar) for one in latent_page(drawn).strips]
                            for drawn in (view, bare))  # fmt: skip
    assert without == with_images
    assert {strip.pictures for strip in latent_page(bare).strips} == {None}


def test_the_policy_allows_the_script_that_is_in_the_page_and_no_other(view: LatentView) -> None:
    import hashlib

    digest = base64.b64encode(hashlib.sha256(str(latent_page(view).script).encode()).digest()).decode()
    assert policy(script=True) == f"{policy(script=False)}; script-src 'sha256-{digest}'"
    assert "script-src" not in policy(script=False)
    assert policy(script=False).startswith("default-src 'none'; ")


def test_the_spectrum_is_the_information_of_all_coordinates_in_order(view: LatentView) -> None:
    page = latent_page(view)
    assert view.entropy is not None
    along = sorted((e.value for e in view.entropy.information_by_dimension), reverse=True)
    assert list(page.spectrum) == along
    bars = [strip.bar for strip in page.strips[COMPONENTS:]]
    assert bars == pytest.approx([max(0, bits) / along[0] for bits in along[:SHOWN]])


def test_the_group_of_an_explained_image_can_stand_beside_its_training_normals(
    conocc: Model, small_phantom: Partition
) -> None:
    one = conocc.prepare(small_phantom.samples["test"][:1])
    groups, _ = fitted_groups(conocc, small_phantom.collection)
    view = latent_view(conocc, [*groups, Group(Part.SCORED, small_phantom.collection, one, 1)])
    assert view is not None
    assert latent_page(view).marking(one.samples[0].name).highlight == 60


@pytest.mark.slow
def test_a_view_of_real_radiographs_names_its_classes(real_data: object) -> None:
    assert callable(real_data)
    real_data("medmnist/pneumoniamnist.npz")
    data = partition(sources.load("medmnist:pneumoniamnist", normal_class="normal"))
    view = shown(made("knn", data), data)
    assert view.counts[0] == "100 of 1093 training normals"
    assert {point.source["class"] for point in view.points if point.label == "abnormal"} == {"pneumonia"}
