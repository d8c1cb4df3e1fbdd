"""Pages of `explain` in a real browser: of ten real chest X-rays, and of phantom lesions."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from normoscope import sources

pytestmark = pytest.mark.slow

Open = Callable[..., AbstractContextManager[Page]]
Answered = Callable[..., dict[str, Any]]


def explained(answered: Answered, data: list[str], names: list[str], folder: Path) -> Path:
    """Fit the default method and explain these images."""
    answered("fit", "local_gaussian", *data, "--out", folder / "model")
    options = data[data.index("-o") :] if "-o" in data else []
    answered("explain", folder / "model", *(f"{data[0]}#{name}" for name in names), *options, "--out", folder / "why")
    return folder / "why"


def looked_through(open_page: Open, folder: Path) -> list[dict[str, Any]]:
    """Open the index and every page, zoom, hover, click; whatever the browser complains of fails."""
    summary = json.loads((folder / "explanations.json").read_text())
    with open_page(folder / "index.html") as page:
        assert page.locator("tbody tr").count() == len(summary["images"])
    for number, image in enumerate(summary["images"]):
        with open_page(folder / image["page"], 400 if number == 1 else 1200) as page:
            expect(page.locator("h1")).to_have_text(image["image_path"])
            expect(page.locator(".told li").first).to_have_text(image["sentences"][0])
            pictures = page.locator(".shown img")
            assert pictures.count() >= 4
            assert all(pictures.evaluate_all("all => all.map(one => one.naturalWidth > 100)"))
            assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("window.innerWidth")
            moved(page)
            highlighted(page, image["image_path"])
    return list(summary["images"])


def moved(page: Page) -> None:
    """Zoom, hover over a mark, click it."""
    marks = page.locator(".latent-mark")
    page.locator("#latent").scroll_into_view_if_needed()

    def places() -> np.ndarray:
        return np.asarray(marks.evaluate_all("all => all.map(m => [m.getBoundingClientRect().x])"))

    before = places()
    page.get_by_role("button", name="Zoom in").click()
    assert np.abs(places() - before).max() > 5
    page.get_by_role("button", name="Reset").click()
    middle = np.asarray(marks.evaluate_all(
        "all => all.map(m => { const b = m.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })"
    ))  # fmt: skip
    apart = np.linalg.norm(middle[:, None] - middle[None], axis=2) + 1e9 * np.eye(len(middle))
    x, y = middle[int(apart.min(1).argmax())]
    page.mouse.move(x, y)
    expect(page.locator(".latent-tip")).to_be_visible()
    page.mouse.click(x, y)
    expect(page.locator(".latent-panel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".latent-panel")).to_be_hidden()


def highlighted(page: Page, name: str) -> None:
    """The image that is explained is the one that is ringed."""
    data = page.evaluate("JSON.parse(document.getElementById('latent-data').textContent)")
    assert data["names"][data["highlight"]] == name
    assert page.locator(".latent-mark.highlight").count() == 1


def test_pages_of_phantom_lesions_can_be_moved_in_and_mark_them(
    open_page: Open, answered: Answered, tmp_path: Path
) -> None:
    data = ["phantom", "-o", "train=200", "-o", "validation=60", "-o", "test=20"]
    names = [f"test/abnormal-0000{i}" for i in range(4)]
    images = looked_through(open_page, explained(answered, data, names, tmp_path))
    assert [image["image_path"] for image in images] == names
    assert sum(image["pred_label"] for image in images) >= 2
    assert all(image["terms"] for image in images)


def test_pages_of_ten_real_chest_x_rays_can_be_moved_in(
    open_page: Open, answered: Answered, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    data = [f"npz:{real_data('chest_xray/chest_xray_64.npz')}", "--normal-class", "0"]
    test = [s.name for s in sources.load(data[0], normal_class="0").samples if s.split == "test"]
    names = test[:: len(test) // 10][:10]
    images = looked_through(open_page, explained(answered, data, names, tmp_path))
    assert len(images) == 10
    for image in images:
        assert len(image["neighbours"]) == 5
        assert 0 < image["pvalue"] <= 1
