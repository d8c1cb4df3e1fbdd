"""The report in a real browser: the latent space moves, shows and opens images, and the page keeps silent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from normoscope import methods, sources
from normoscope.comparison import Assessment, assess
from normoscope.model import fit
from normoscope.partitions import partition
from normoscope.report import write_report

pytestmark = pytest.mark.slow

Open = Callable[..., AbstractContextManager[Page]]
"""Opens a file and fails on whatever the page complains of."""

Box = dict[str, float]


@pytest.fixture(scope="module")
def found() -> Assessment:
    options = {"size": "28", "train": "60", "validation": "40", "test": "40"}
    data = partition(sources.load("phantom", options=options))
    recipe = methods.build("conocc", "quick", {"epochs": 6, "update_interval": 2, "latent_dim": 16})
    return assess(fit("conocc", recipe, data), data.collection)


@pytest.fixture(scope="module")
def report(found: Assessment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(found, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def page(open_page: Open, report: Path) -> Iterator[Page]:
    with open_page(report) as opened:
        opened.locator("#latent").scroll_into_view_if_needed()
        yield opened


def positions(page: Page) -> np.ndarray:
    """Where every mark's middle stands on the screen."""
    script = """marks => marks.map(mark => { const b = mark.getBoundingClientRect();
                return [b.x + b.width / 2, b.y + b.height / 2]; })"""
    return np.asarray(page.locator(".latent-mark").evaluate_all(script))


def box(page: Page) -> Box:
    found = page.locator(".latent-plot").bounding_box()
    assert found is not None
    return dict(found)


def spread(points: np.ndarray) -> float:
    return float(np.linalg.norm(points - points.mean(0), axis=1).mean())


def nth(page: Page, name: str) -> int:
    """The place of an image among the points."""
    names = page.evaluate("JSON.parse(document.getElementById('latent-data').textContent).names")
    return int(names.index(name))


def farthest(page: Page) -> int:
    """A mark that no other one covers."""
    points = positions(page)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
    return int(apart.min(1).argmax())


def test_buttons_zoom_about_the_middle_and_reset(page: Page) -> None:
    before, frame = positions(page), box(page)
    middle = np.array([frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2])
    page.get_by_role("button", name="Zoom in").click()
    np.testing.assert_allclose(positions(page) - middle, 1.5 * (before - middle), atol=1.5)
    page.get_by_role("button", name="Zoom out").click()
    np.testing.assert_allclose(positions(page), before, atol=0.5)
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Reset").click()
    np.testing.assert_allclose(positions(page), before, atol=0.5)


def test_the_wheel_scrolls_the_page_until_the_picture_is_chosen_and_then_zooms_where_it_points(page: Page) -> None:
    mark = farthest(page)
    x, y = positions(page)[mark]
    size = spread(positions(page))
    page.mouse.move(x, y)
    scrolled = page.evaluate("scrollY")
    page.mouse.wheel(0, -40)
    page.wait_for_function("before => scrollY < before", arg=scrolled)
    assert spread(positions(page)) == pytest.approx(size, rel=1e-3)
    x, y = positions(page)[mark]
    page.locator(".latent-plot").focus()
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.wait_for_function("() => Number(document.querySelector('.latent-plot').style.getPropertyValue('--zoom')) > 2")
    after = positions(page)
    assert spread(after) == pytest.approx(size * np.exp(0.8), rel=0.02)
    np.testing.assert_allclose(after[mark], [x, y], atol=1.5)


def test_dragging_moves_all_marks_together_and_opens_nothing(page: Page) -> None:
    before = positions(page)
    x, y = before[farthest(page)]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 20, steps=4)
    page.mouse.move(x + 60, y - 25, steps=4)
    page.mouse.up()
    np.testing.assert_allclose(positions(page) - before, np.broadcast_to([60, -25], before.shape), atol=1.5)
    expect(page.locator(".latent-panel")).to_be_hidden()


def test_pointing_at_a_mark_shows_its_image_and_facts(page: Page, found: Assessment) -> None:
    name = found.prepared.samples[int(found.scores.argmax())].name
    i = nth(page, name)
    page.locator(".latent-mark").nth(i).dispatch_event("pointerenter")
    tip = page.locator(".latent-tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text(name)
    expect(tip).to_contain_text(f"score {found.scores.max():.4g}")
    drawn = tip.locator("canvas").evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0)"
    )
    row = int(found.scores.argmax())
    image = found.prepared.images.batch([row])[0, 0].numpy()
    np.testing.assert_array_equal(drawn, np.rint(255 * image).ravel())


def test_a_mark_that_lies_alone_is_hovered_and_clicked_with_the_mouse(page: Page) -> None:
    i = farthest(page)
    names = page.evaluate("JSON.parse(document.getElementById('latent-data').textContent).names")
    x, y = positions(page)[i]
    page.mouse.move(x, y)
    expect(page.locator(".latent-tip strong")).to_have_text(names[i])
    page.mouse.click(x, y)
    panel = page.locator(".latent-panel")
    expect(panel).to_be_visible()
    expect(panel.locator("h3")).to_have_text(names[i])
    assert panel.locator("figcaption").all_inner_texts() == ["image", "if it were normal", "heatmap"]
    expect(panel).to_contain_text("p-value" if names[i].startswith("test") else "part")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    page.mouse.click(x, y)
    expect(panel).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()


def test_arrow_keys_walk_down_the_scores_and_enter_opens(page: Page, found: Assessment) -> None:
    data = page.evaluate("JSON.parse(document.getElementById('latent-data').textContent)")
    order = np.argsort(-np.asarray(data["scores"]), kind="stable")
    page.locator(".latent-plot").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".latent-tip strong")).to_have_text(data["names"][order[0]])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".latent-panel h3")).to_have_text(data["names"][order[1]])
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".latent-panel h3")).to_have_text(data["names"][order[0]])
    expect(page.locator(".latent-live")).to_contain_text(data["names"][order[0]])
    page.keyboard.press("End")
    expect(page.locator(".latent-panel h3")).to_have_text(data["names"][order[-1]])
    page.keyboard.press("Escape")
    expect(page.locator(".latent-panel")).to_be_hidden()


@pytest.mark.parametrize(("key", "place"), [("End", -1), ("Home", 0), ("ArrowLeft", 0)])
def test_the_first_key_goes_where_it_says(key: str, place: int, page: Page) -> None:
    data = page.evaluate("JSON.parse(document.getElementById('latent-data').textContent)")
    order = np.argsort(-np.asarray(data["scores"]), kind="stable")
    page.locator(".latent-plot").focus()
    page.keyboard.press(key)
    expect(page.locator(".latent-tip strong")).to_have_text(data["names"][order[place]])


def test_every_view_lays_the_marks_out_anew_and_says_what_it_cannot_show(page: Page) -> None:
    select = page.locator("[data-role=view]")
    assert select.locator("option").all_inner_texts() == ["principal components", "t-SNE", "UMAP", "hypersphere"]
    seen = [positions(page)]
    for view, words in (("t-SNE", "nothing in it"), ("UMAP", "nothing in it"), ("hypersphere", "may still lie far")):
        select.select_option(view)
        expect(page.locator(".latent-note")).to_contain_text(words)
        seen.append(positions(page))
        assert all(np.abs(seen[-1] - before).max() > 20 for before in seen[:-1])
    shown = page.locator(".latent-frame").evaluate_all("all => all.map(f => f.getAttribute('visibility'))")
    assert shown == ["hidden", "hidden", "hidden", "visible"]


def test_the_frame_of_the_hypersphere_zooms_with_its_marks(page: Page) -> None:
    page.locator("[data-role=view]").select_option("hypersphere")
    ring = page.locator(".latent-frame circle").first
    before = ring.bounding_box()
    page.get_by_role("button", name="Zoom in").click()
    after = ring.bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] == pytest.approx(1.5 * before["width"], rel=0.02)


def test_colours_and_shapes_follow_the_choice(page: Page, found: Assessment) -> None:
    def looks() -> set[tuple[str, str]]:
        script = "all => all.map(m => [m.getAttribute('d'), m.getAttribute('fill')])"
        return {tuple(pair) for pair in page.locator(".latent-mark").evaluate_all(script)}

    legend = page.locator(".latent-legend")
    assert len(looks()) == 2
    expect(legend).to_contain_text("normal (80)")
    page.locator("[data-role=colour]").select_option("site")
    assert len({d for d, _ in looks()}) == len({fill for _, fill in looks()}) == 2
    expect(legend).to_contain_text("A (")
    page.locator("[data-role=colour]").select_option("score")
    assert len({d for d, _ in looks()}) == 2
    assert len({fill for _, fill in looks()}) > 5
    expect(legend).to_contain_text("score ≤")


def test_nothing_overflows_on_a_narrow_screen(open_page: Open, report: Path) -> None:
    with open_page(report, 400) as page:
        page.locator(".latent-mark").nth(3).click(force=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        tip = page.locator(".latent-tip").bounding_box()
        assert tip is None or tip["x"] + tip["width"] <= 400


def test_without_scripts_the_picture_stands_still_and_offers_no_control(open_page: Open, report: Path) -> None:
    with open_page(report, script=False) as page:
        assert page.locator(".latent-mark").count() == 100
        expect(page.locator(".latent-controls")).to_be_hidden()
        expect(page.locator(".latent-panel")).to_be_hidden()
        expect(page.locator(".latent-legend")).to_contain_text("abnormal (20)")
        assert spread(positions(page)) > 20


def test_without_images_the_page_moves_as_well_and_names_nobody(
    open_page: Open, found: Assessment, tmp_path: Path
) -> None:
    path = write_report(found, tmp_path / "report.html", images=False)
    with open_page(path) as page:
        page.locator(".latent-plot").focus()
        page.keyboard.press("Home")
        expect(page.locator(".latent-tip")).to_contain_text(re.compile(r"image \d+ of 100"))
        page.keyboard.press("Enter")
        expect(page.locator(".latent-panel h3")).to_have_text(re.compile(r"image \d+ of 100"))
        assert page.locator(".latent-panel canvas").count() == 0


def test_a_script_that_is_not_ours_is_not_run_and_fails_the_watch(
    open_page: Open, report: Path, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(
        report.read_text(encoding="utf-8").replace("</main>", "<script>document.title = 'x'</script></main>")
    )
    with pytest.raises(AssertionError, match="Content Security Policy"), open_page(path) as page:
        assert page.title() != "x"


def test_a_request_for_anything_beside_the_file_fails_the_watch(open_page: Open, tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "other.png")
    path = tmp_path / "page.html"
    path.write_text('<meta charset="utf-8"><link rel="icon" href="data:,"><img src="other.png" alt="x">')
    with pytest.raises(AssertionError, match=r"other\.png"), open_page(path):
        pass
