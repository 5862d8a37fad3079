"""What tests of the website share: the built site, a server for it, and a browser that notes what goes wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

TOOLS = Path(__file__).parents[1] / "book" / "_tools"
sys.path.insert(0, str(TOOLS))
from browser import SITE, launch, served  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
# What axe, once it is in a page, finds serious.
SERIOUS = """async () => (await axe.run(document, { preload: false, resultTypes: ["violations"] })).violations
  .filter(found => ["serious", "critical"].includes(found.impact))
  .flatMap(found => found.nodes.map(node => `${found.id}: ${node.target} ${node.failureSummary}`))"""
REQUIRED = os.environ.get("REQUIRE_BROWSER") == "1"


def unavailable(reason: str) -> NoReturn:
    """Skip; where a browser is promised (REQUIRE_BROWSER=1), fail."""
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of a local server that serves the site."""
    if not PAGES:
        unavailable("no site in _build/html: run `make book` first")
    with served() as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser that the site's tools use."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        try:
            started = launch(playwright)
        except sync_api.Error as error:
            unavailable(f"no Chromium (set CHROMIUM to its path): {error.message.splitlines()[0]}")
        yield started
        started.close()


@pytest.fixture
def visit(site: str, browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Opens a page; afterwards nothing may have gone wrong on it and nothing may have left the machine."""
    context = browser.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"error: {error.message}"))
    page.on("request", lambda request: request.url.startswith((site, "data:")) or wrong.append(f"asks {request.url}"))
    page.on(
        "response", lambda answer: answer.ok or answer.status == 304 or wrong.append(f"{answer.status} {answer.url}")
    )

    def open_page(path: str) -> Page:
        page.goto(site + path, wait_until="networkidle")
        return page

    yield open_page
    context.close()
    assert not wrong
