"""A real browser that opens our pages, and a page that must not complain nor ask any network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["launched", "watched"]

NAMES = ("chromium", "chromium-browser", "google-chrome")


def found_browser() -> str:
    """Return the path of Chromium or Chrome; skip where there is none, fail under NORMOSCOPE_REQUIRE_DATA=1."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    reason = f"no browser on the path: looked for {', '.join(NAMES)}; on Debian: apt-get install chromium"
    if os.environ.get("NORMOSCOPE_REQUIRE_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def launched() -> Iterator[Browser]:
    """Run a headless browser."""
    path = found_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, path: Path, width: int = 1200, *, script: bool = True) -> Iterator[Page]:
    """Open a file; at the end, fail on any console message, exception, policy violation or request but the file's own.

    Args:
        browser: Where to open it.
        path: The HTML file.
        width: Of the window, in pixels.
        script: Whether scripts run.
    """
    complaints: list[str] = []
    requests: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=script)
    page = context.new_page()
    # a violated Content-Security-Policy is an error on the console
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.on("request", lambda request: requests.append(request.url))
    try:
        page.goto(path.as_uri())
        yield page
    finally:
        context.close()
    assert not complaints, complaints
    outside = [url for url in requests if url != path.as_uri() and not url.startswith("data:")]
    assert not outside, outside
