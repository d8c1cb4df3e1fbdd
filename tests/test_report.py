"""The report: it says what was measured, asks nothing of a network, and keeps names where they belong."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from normoscope import methods, metrics, sources
from normoscope.comparison import Assessment, assess
from normoscope.evaluation import PairedDifference, evaluate
from normoscope.model import fit
from normoscope.partitions import partition
from normoscope.randomisation import Check
from normoscope.report import render, write_report
from normoscope.statistics import Interval
from normoscope.summary import Verdict, false_alarms, summarise

VOID = {"meta", "link", "img", "br", "hr"}


def assessed(method: str, overrides: Mapping[str, object] | None = None, **options: object) -> Assessment:
    """Fit and measure on a small phantom."""
    texts = {"size": "28", "train": "60", "validation": "40", "test": "40", **{k: str(v) for k, v in options.items()}}
    data = partition(sources.load("phantom", options=texts))
    model = fit(method, methods.build(method, overrides=overrides), data, command=f"normoscope fit {method} phantom")
    return assess(model, data.collection)


@pytest.fixture(scope="module")
def pca() -> Assessment:
    return assessed("pca", {"latent_dim": 8})


@pytest.fixture(scope="module")
def knn() -> Assessment:
    return assessed("knn")


@pytest.fixture(scope="module")
def uncalibrated() -> Assessment:
    return assessed("pca", {"latent_dim": 8}, validation=10)


@pytest.fixture(scope="module")
def page(pca: Assessment) -> str:
    return render(pca, command="normoscope report model phantom --out report.html")


class Page(HTMLParser):
    """Read tags, attributes, ids and text; note tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.broken: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader sees, in single spaces."""
        return " ".join(" ".join(self.words).split())


def undated(html: str) -> str:
    return re.sub(r"<time>.*?</time>", "", html)


def table_row(html: str, name: str) -> str:
    """The row of the table whose head starts with a name, as text."""
    found = re.search(rf'<tr[^>]*><th scope="row">{re.escape(name)}.*?</tr>', html, re.DOTALL)
    assert found is not None
    return Page(found[0]).text


# --- one file that needs nothing else


def test_the_page_names_no_address_and_runs_no_script_but_its_own(page: str) -> None:
    assert "://" not in page
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    allowed = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    tags = Page(page).tags
    assert [a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy"] == [allowed]
    assert [a for tag, a in tags if tag == "script"] == [{"type": "application/json", "id": "latent-data"}, {}]
    for tag, attributes in tags:
        assert tag not in {"iframe", "object", "embed", "base", "form"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            if value := attributes.get(name):
                assert value.startswith(("data:", "#"))
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_every_tag_closes_every_id_is_unique_and_every_reference_is_met(page: str) -> None:
    parsed = Page(page)
    assert parsed.broken == []
    assert parsed.open == []
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    shapes = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert len(ids) == len(set(ids))
    assert shapes
    assert shapes <= set(ids)


def test_every_picture_and_chart_has_words_in_its_place(page: str) -> None:
    tags = Page(page).tags
    assert all(attributes.get("alt") for tag, attributes in tags if tag == "img")
    assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for tag, a in tags if tag == "svg")
    assert [tag for tag, _ in tags if tag in {"h1", "h2"}].count("h1") == 1


def test_the_same_assessment_gives_the_same_page_but_for_the_date(pca: Assessment, page: str) -> None:
    again = render(pca, command="normoscope report model phantom --out report.html")
    assert undated(again) == undated(page)
    assert "<time>20" in page


def test_the_readers_matplotlib_settings_neither_matter_nor_change(pca: Assessment, page: str) -> None:
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        again = render(pca, command="normoscope report model phantom --out report.html")
        assert dict(matplotlib.rcParams) == before
    assert undated(again) == undated(page)


def test_the_page_is_written_whole_or_not_at_all(
    pca: Assessment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new" / "report.html"
    assert write_report(pca, target, images=True, command="x") == target
    first = target.read_text(encoding="utf-8")
    assert first.rstrip().endswith("</html>")

    def full_disk(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_report(pca, target, images=False, command="x")
    assert target.read_text(encoding="utf-8") == first
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


# --- what it says


def test_figures_on_the_page_are_those_measured(pca: Assessment, page: str) -> None:
    auroc = pca.evaluation.auroc
    assert auroc.value == pytest.approx(metrics.auroc(pca.labels, pca.scores))
    bounds = f"{auroc.low:.3f} to {auroc.high:.3f}"
    assert f"{auroc.value:.3f} {bounds} abnormal, prevalence 0.500" in table_row(page, "AUROC")
    assert "normal, prevalence 0.500" in table_row(page, "AUPR normal")
    assert "point of the test curve" in table_row(page, "FPR at 95 % sensitivity")
    assert "point of the test curve" not in table_row(page, "sensitivity<")
    assert f"{pca.evaluation.pixels['pixel_ap'].value:.3f}" in table_row(page, "pixel AP")
    rows = [name for name in pca.baselines if "oracle" in name]
    assert len(rows) == 3
    for name in rows:
        assert "oracle" in table_row(page, name.removesuffix(" (oracle)"))
    assert f"{pca.evaluation.subgroups['site']['B'].auroc}" in table_row(page, "B")


def test_the_first_screen_says_rule_intended_use_and_that_images_are_inside(pca: Assessment, page: str) -> None:
    text = Page(page).text
    assert "Research use. Not a medical device." in text
    assert pca.model.calibration.status in text
    assert "This page embeds test images and their file names." in text
    assert "54 normal images alone" in text
    assert "40 test images: 20 normal, 20 abnormal (cavity, distortion" in text


def test_both_commands_and_the_provenance_are_there(pca: Assessment, page: str) -> None:
    text = Page(page).text
    assert "normoscope fit pca phantom" in text
    assert "normoscope report model phantom --out report.html" in text
    record = pca.model.provenance
    assert record["data"]["hash"] in text
    assert f"torch {record['versions']['torch']}" in text
    assert "train 54, select 6, calibrate 40, test 40" in text


def test_the_rules_point_on_the_roc_curve_is_where_the_flags_put_it(pca: Assessment) -> None:
    # drawn in data coordinates: compare with a page whose rule flags everything, whose point is (1, 1)
    flags = np.ones_like(pca.labels, dtype=bool)
    everything = dataclasses.replace(pca, flags=flags)
    x, y = _diamond(render(everything))
    x0, y0 = _diamond(render(dataclasses.replace(pca, flags=~flags)))
    assert pca.flags is not None
    alarms, hits = (float(pca.flags[pca.labels == label].mean()) for label in (0, 1))
    here = _diamond(render(pca))
    assert here == pytest.approx((x0 + alarms * (x - x0), y0 + hits * (y - y0)), abs=0.2)


def _diamond(html: str) -> tuple[float, float]:
    """Where the ROC chart's first diamond lies, in its own units."""
    chart = html[html.index('id="roc-figure_1"') : html.index('id="pr-figure_1"')]
    uses = re.findall(r'<use href="#roc-m\w+" x="([\d.]+)" y="([\d.]+)" style="fill: #d55e00', chart)
    assert uses
    return float(uses[0][0]), float(uses[0][1])


def test_it_says_plainly_when_a_trivial_baseline_is_as_good(pca: Assessment) -> None:
    worse = {"trivial contrast, two-sided": Interval(0.31, 0.2, 0.4, "")}
    ahead = {"trivial contrast, two-sided": margin(0.5, 1e-6)}
    beaten = summarise(dataclasses.replace(pca, baselines=worse, margins=ahead))
    assert "It beats every trivial baseline; the best is “contrast, two-sided” with AUROC 0.310" in _said(beaten)
    better = {**worse, "trivial bytes, low (oracle)": Interval(0.99, 0.97, 1.0, "")}
    told = {**ahead, "trivial bytes, low (oracle)": margin(-0.2, 0.01)}
    summary = summarise(dataclasses.replace(pca, baselines=better, margins=told))
    assert "It is behind a trivial baseline: “bytes, low (oracle)” with AUROC 0.990" in _said(summary)
    assert "of those that were not, the best is “contrast, two-sided” with AUROC 0.310" in _said(summary)
    assert summary.figures[1].verdict is Verdict.BAD
    told["trivial bytes, low (oracle)"] = margin(-0.2, 0.03)
    told["trivial contrast, two-sided"] = margin(0.5, 0.04)
    summary = summarise(dataclasses.replace(pca, baselines=better, margins=told))
    assert "It cannot be told from a trivial baseline: that it differs from “bytes, low (oracle)”" in _said(summary)
    assert summary.figures[1].verdict is Verdict.OPEN


def margin(value: float, p: float) -> PairedDifference:
    return PairedDifference(Interval(value, value - 0.1, value + 0.1, ""), p)


def test_margins_are_the_models_auroc_minus_the_baselines(pca: Assessment) -> None:
    for name, row in pca.baselines.items():
        found = pca.margins[name].auroc.value
        assert found == pytest.approx(pca.evaluation.auroc.value - row.value)


def _said(summary: object) -> str:
    return " ".join(text for _, text in getattr(summary, "sentences", ()))


def rescored(found: Assessment, normals: float, abnormals: float) -> Assessment:
    """The same assessment with scores shifted by class, decided and measured anew."""
    scores = found.scores + np.where(found.labels == 1, abnormals, normals)
    flags = found.model.calibration.flags(scores)
    groups = [str(sample.patient) for sample in found.prepared.samples]
    evaluation = evaluate(found.labels, scores, flags=flags, groups=groups, draws=200)
    pvalues = found.model.calibration.pvalues(scores)
    return dataclasses.replace(found, scores=scores, flags=flags, evaluation=evaluation, pvalues=pvalues)


def test_too_many_false_alarms_are_called_more_than_chance(pca: Assessment) -> None:
    shifted = rescored(pca, normals=1.0, abnormals=2.0)
    alarms = false_alarms(shifted)
    assert alarms is not None
    assert alarms.value == 1.0
    assert (
        "The rule flags 100 % of the normal test patients; 5 % wished: more than chance explains (p < 0.001)."
        in _plain(shifted)
    )
    spared = rescored(pca, normals=-1.0, abnormals=0.0)
    none = false_alarms(spared)
    assert none is not None
    assert none.value == 0.0
    assert "5 % wished: no more than chance explains, but so few normals show little: it allows up to" in _plain(spared)


@pytest.mark.parametrize(
    ("p", "end"),
    [
        (0.02, "(p = 0.02); the test normals differ from those that calibrated the rule, or this is one of the 2 in "
               "100 tests of alike normals that show as much."),
        (0.0002, "(p < 0.001); the test normals differ from those that calibrated the rule."),
    ],
)  # fmt: skip
def test_fewer_false_alarms_than_chance_may_still_be_chance(
    pca: Assessment, monkeypatch: pytest.MonkeyPatch, p: float, end: str
) -> None:
    monkeypatch.setattr("normoscope.calibration.Calibration.chance", lambda self, flagged, of: p)
    spared = rescored(pca, normals=-1.0, abnormals=0.0)
    assert f"5 % wished: fewer than chance explains {end}" in _plain(spared)


def _plain(found: Assessment) -> str:
    return _said(summarise(found)).replace("\u00a0", " ")


def test_false_alarms_are_counted_per_patient_where_the_promise_is(pca: Assessment) -> None:
    assert pca.model.calibration.unit == "patient"
    normals = [s.patient for s in pca.prepared.samples if s.label == 0]
    assert pca.flags is not None
    flagged = {p for p, f in zip(normals, pca.flags[pca.labels == 0], strict=True) if f}
    alarms = false_alarms(pca)
    assert alarms is not None
    assert alarms.value == pytest.approx(len(flagged) / len(set(normals)))
    assert alarms.how == f"exact binomial over {len(set(normals))} patients"


def test_a_patient_flagged_by_a_low_image_alone_is_a_false_alarm_too(pca: Assessment) -> None:
    rows = np.flatnonzero(pca.labels == 0)
    patients = [pca.prepared.samples[row].patient for row in rows]
    twice = next(p for p in patients if patients.count(p) == 2)
    lowest = min((row for row, p in zip(rows, patients, strict=True) if p == twice), key=lambda row: pca.scores[row])
    flags = np.arange(len(pca.scores)) == lowest
    alarms = false_alarms(dataclasses.replace(pca, flags=flags))
    assert alarms is not None
    assert alarms.value == pytest.approx(1 / len(set(patients)))


def test_a_rate_per_image_is_not_held_against_a_promise_per_patient(pca: Assessment) -> None:
    samples = tuple(dataclasses.replace(sample, patient=None) for sample in pca.prepared.samples)
    nameless = dataclasses.replace(pca, prepared=dataclasses.replace(pca.prepared, samples=samples))
    assert "wished" in _plain(pca)
    assert "wished" not in _plain(nameless)
    assert "per image" in summarise(nameless).figures[-1].detail


def test_a_promise_per_image_is_not_judged_where_a_patient_has_several(pca: Assessment) -> None:
    by_image = dataclasses.replace(pca.model, calibration=dataclasses.replace(pca.model.calibration, unit="image"))
    assert "wished" not in _plain(dataclasses.replace(pca, model=by_image))
    samples = tuple(dataclasses.replace(sample, patient=None) for sample in pca.prepared.samples)
    nameless = dataclasses.replace(pca.prepared, samples=samples)
    assert _plain(dataclasses.replace(pca, model=by_image, prepared=nameless)).endswith(
        "Patients are not known: each image counts as another patient's."
    )


def test_scores_no_better_than_chance_are_called_that(pca: Assessment) -> None:
    noise = dataclasses.replace(pca, evaluation=evaluate(pca.labels, np.arange(40) % 7 * 1.0, flags=pca.flags))
    assert "chance would give 50, which the 95 % interval includes" in _plain(noise)
    reverse = dataclasses.replace(
        pca, evaluation=evaluate(pca.labels, np.arange(40) / 25.0 - 1.5 * pca.labels, flags=pca.flags)
    )
    assert "normal images look the stranger ones" in _plain(reverse)


def test_pairs_are_said_as_they_are_with_ties_and_next_to_all(pca: Assessment) -> None:
    def said(scores: np.ndarray) -> str:
        return _plain(dataclasses.replace(pca, scores=scores, evaluation=evaluate(pca.labels, scores, flags=pca.flags)))

    assert "in 50 of 100 pairs, ties counted half; no interval" in said(np.zeros(40))
    nearly = pca.labels + np.arange(40) / 100
    assert "in 100 of 100 pairs." in said(nearly)
    nearly[np.flatnonzero(pca.labels == 1)[0]] = np.sort(nearly[pca.labels == 0])[-1] - 1e-6
    assert "in 99.8 of 100 pairs." in said(nearly)


def test_an_uncalibrated_model_says_how_many_normals_are_missing(uncalibrated: Assessment) -> None:
    html = render(uncalibrated)
    text = Page(html).text
    assert "not calibrated: 19 normal patients needed, 9 given" in text
    assert "so nothing is flagged" in text
    assert "p-value of" not in text
    assert "flagged</p>" not in html
    assert "frozen rule:" not in text.lower().replace("frozen rule: not calibrated", "")


def test_a_test_without_abnormal_images_is_reported_for_what_it_can_tell() -> None:
    found = assessed("pca", {"latent_dim": 8}, test=12, prevalence=0)
    text = Page(render(found)).text
    assert "There is no AUROC: no abnormal images: AUROC cannot be computed." in text
    assert "p-value of a normal test" in text
    assert "12 test images: 12 normal, 0 abnormal." in text


def test_methods_without_epochs_say_so_and_others_show_their_losses(pca: Assessment, page: str) -> None:
    assert "does not train in epochs" in page
    losses = [(9.0, 4.0), (5.0, 3.0), (4.5, None)]
    history = [
        {"stage": "warm-up" if i < 2 else "compact", "number": i + 1, "losses": [loss], "select_loss": select,
         "images": 54, "seconds": 0.1}
        for i, (loss, select) in enumerate(losses)
    ]  # fmt: skip
    record = {**pca.model.provenance, "training": {"seconds": 1.0, "history": history}}
    trained = dataclasses.replace(pca, model=dataclasses.replace(pca.model, provenance=record))
    html = render(trained)
    assert "does not train in epochs" not in html
    assert "loss on select normals" in html
    assert ">compact</text>" in html


# --- images


def _pictures(html: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB")) for code in found]


def test_the_gallery_shows_image_reconstruction_and_heatmap_of_four_times_six(page: str) -> None:
    assert page.count('<li class="card') == 24
    cards = page[page.index('<li class="card') : page.index("The latent space")]
    assert cards.count("<figcaption>image<") == cards.count("<figcaption>heatmap<") == 24
    assert cards.count("<figcaption>if it were normal<") == 24


def test_the_most_anomalous_come_first_with_their_scores(pca: Assessment, page: str) -> None:
    top = np.argsort(-pca.scores, kind="stable")[:6]
    shown = re.findall(r'<p class="name">(.*?)</p>', page)[:6]
    assert shown == [pca.prepared.samples[i].name for i in top]
    first = page[page.index('<li class="card') :]
    assert pca.pvalues is not None
    assert f"score {pca.scores[top[0]]:.4g} · p = {pca.pvalues[top[0]]:.3g}" in first[: first.index("</li>")]


def test_pictures_are_the_images_themselves(pca: Assessment, page: str) -> None:
    top = int(np.argmax(pca.scores))
    image = pca.prepared.images.batch([top])[0].numpy()
    np.testing.assert_array_equal(_pictures(page)[0][..., 0], np.rint(image[0] * 255))


def test_one_scale_serves_all_heatmaps(pca: Assessment, page: str) -> None:
    scale = pca.model.calibration.map_scale
    assert scale is not None
    assert f"≥ {scale:.3g}" in page
    # a calm normal image, the least anomalous one, shows no colour at all
    cards = page[page.index("Least anomalous") :]
    image, _, heat = _pictures(cards[: cards.index("</li>")])
    np.testing.assert_array_equal(image, heat)


@pytest.mark.parametrize(("check", "warned", "told"), [
    (Check(0.8, 16), True, "over 16 images"),
    (Check(0.1, 12), False, "The map changes when the weights are drawn anew (median |rank correlation| 0.10 over 12"),
    (Check.not_applicable("the method has no weights"), False, ""),
])  # fmt: skip
def test_heatmaps_that_fail_their_check_are_not_to_be_trusted(
    check: Check, warned: bool, told: str, pca: Assessment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("normoscope.report.map_check", lambda *_: check)
    text = Page(render(pca)).text
    assert ("These heatmaps are not to be trusted as an account of what the model learnt" in text) == warned
    assert told in text
    assert ("weights are drawn anew" in text) == bool(told)


def test_a_method_without_maps_shows_images_alone(knn: Assessment) -> None:
    html = render(knn)
    assert "it draws no heatmaps" in html
    assert html.count("<img") == 24
    assert html.count("<figcaption>image<") == 25
    assert "one absolute scale" not in html


# --- the latent space


def test_the_latent_space_shows_training_held_out_and_scored_images(pca: Assessment, page: str) -> None:
    text = Page(page).text
    assert "54 of 54 training normals" in text
    assert "6 of 6 held-out normals" in text
    assert "40 of 40 scored images" in text
    data = json.loads(re.findall(r'id="latent-data">(.*?)</script>', page, re.DOTALL)[0])
    assert data["names"][-40:] == [sample.name for sample in pca.prepared.samples]
    np.testing.assert_allclose(data["scores"][-40:], pca.scores)
    assert page.count('<path class="latent-mark') == 100


def test_other_data_show_scored_images_alone_and_say_so(pca: Assessment) -> None:
    other = dataclasses.replace(
        pca, collection=dataclasses.replace(pca.collection, spec="folder:elsewhere", source="folder:elsewhere")
    )
    html = render(other)
    assert "Training and held-out images are not shown: these data are not those" in Page(html).text
    assert html.count('<path class="latent-mark') == 40


def test_a_method_without_latent_vector_has_neither_picture_nor_script() -> None:
    html = render(assessed("trivial"))
    assert "The latent space" not in html
    assert "<script" not in html
    assert "script-src" not in html


# --- names


def test_without_images_no_pixel_and_no_name_is_left(pca: Assessment) -> None:
    samples = pca.prepared.samples
    notes = (
        f"2 images stand in the data more than once (first: {samples[0].name}, {samples[3].name})",
        "not read: ward/Jane Doe.png: the file is empty",
        "pixels were squashed",
    )
    html = render(dataclasses.replace(pca, notes=notes), images=False)
    assert "<img" not in html
    assert "data:image" not in html
    for sample in pca.collection.samples:
        assert sample.name not in html
        assert sample.patient is not None
        assert sample.patient not in html
    assert "Jane Doe" not in html
    assert "1 images could not be read" in html
    assert "2 images stand in the data more than once" in html
    assert "pixels were squashed" in html
    assert "holds no image, and no name" in html
    assert "This page embeds" not in html
    named = render(dataclasses.replace(pca, notes=notes), images=True)
    assert "Jane Doe" in named
    assert samples[0].name in named


def test_without_images_figures_are_no_names_though_images_be_numbers(pca: Assessment) -> None:
    samples = [dataclasses.replace(s, name=str(number)) for number, s in enumerate(pca.prepared.samples)]
    prepared = dataclasses.replace(pca.prepared, samples=tuple(samples))
    notes = (
        "2 images stand in the data more than once (first: 3, 12)",
        "2 equal images carry conflicting labels (first: 3 (normal), 12 (lesion))",
        "they hold the truth less often than 12 % of",
    )
    html = render(dataclasses.replace(pca, prepared=prepared, notes=notes), images=False)
    assert "(first: [name left out] (normal), [name left out] (lesion))" in html
    assert "(first: [name left out], [name left out])" in html
    assert "2 images stand" in html
    assert "less often than 12 % of" in html


def test_without_images_no_picture_is_drawn_to_be_thrown_away(pca: Assessment, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("normoscope.report.latent_view", lambda *_, **options: asked.append(options["images"]))
    render(pca, images=False)
    render(pca)
    assert asked == [False, True]


def test_hostile_names_are_text_and_nothing_else(pca: Assessment) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>.png'
    top = int(np.argmax(pca.scores))
    samples = [dataclasses.replace(s, name=evil, class_name=evil) if i == top else s
               for i, s in enumerate(pca.prepared.samples)]  # fmt: skip
    prepared = dataclasses.replace(pca.prepared, samples=tuple(samples))
    subgroups = {evil: {evil: pca.evaluation.subgroups["site"]["A"]}}
    hostile = dataclasses.replace(
        pca,
        prepared=prepared,
        collection=dataclasses.replace(pca.collection, spec=evil),
        evaluation=dataclasses.replace(pca.evaluation, subgroups=subgroups),
        notes=(evil,),
    )
    for images in (True, False):
        html = render(hostile, images=images, command=evil)
        parsed = Page(html)
        assert len([tag for tag, _ in parsed.tags if tag == "script"]) == 2
        assert not [a for _, a in parsed.tags if "onerror" in a or a.get("src") == "x"]
        assert parsed.broken == []
        assert "<script>alert(1)</script>" in parsed.text
        data = re.search(r'id="latent-data">(.*?)</script>', html, re.DOTALL)
        assert data is not None
        assert "<" not in data[1]
        assert evil in json.loads(data[1])["names"] if images else json.loads(data[1])["names"] is None


def test_a_file_with_a_hostile_name_passes_through_the_whole_program(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder, count in (("normal", 40), ("abnormal", 8)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 200 if folder == "normal" else 255, (16, 16), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"<img src=x onerror=alert({i})>.png")
    data = partition(sources.load(f"folder:{tmp_path}"))
    found = assess(fit("pca", methods.build("pca", overrides={"latent_dim": 4}), data), data.collection)
    html = render(found)
    assert not [a for _, a in Page(html).tags if "onerror" in a]
    assert "&lt;img src=x onerror=alert(" in html
    assert "onerror" not in render(found, images=False)
