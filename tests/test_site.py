"""The built website, in a real browser and without: whole, self-contained and readable everywhere."""

from __future__ import annotations

import functools
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

sync_api = pytest.importorskip("playwright.sync_api")

SITE = Path(__file__).parents[1] / "_build" / "html"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
WIDTHS = (360, 768, 1440)
REQUIRED = os.environ.get("REQUIRE_BROWSER") == "1"
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
# Text against the colour behind it (WCAG 2 contrast), the worst case of each kind of text.
CONTRAST = """() => {
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const rgba = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const node of document.querySelectorAll("article :is(h1, h2, h3, p, li, a, th, td, summary, code, span)")) {
    if (!node.checkVisibility() || ![...node.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [one, two] = [light(rgba(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < 4.5) bad.push(`${node.tagName} "${node.textContent.slice(0, 30)}" has contrast ${ratio.toFixed(1)}`);
  }
  return bad;
}"""

pytestmark = pytest.mark.browser


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

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/favicon.ico":  # browsers ask for it on pages that name no icon, such as a redirect
                self.send_response(204)
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    """Chromium, where the system has one; else Chrome, where Playwright looks for it."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            channel = None if path else "chrome"
            started = playwright.chromium.launch(executable_path=path, channel=channel, args=ARGUMENTS)
        except sync_api.Error as error:
            unavailable(f"no Chromium (set CHROMIUM to its path): {error.message.splitlines()[0]}")
        yield started
        started.close()


@pytest.fixture
def visit(site: str, browser: sync_api.Browser) -> Iterator[Callable[[str], sync_api.Page]]:
    """Opens a page; afterwards nothing may have gone wrong on it and nothing may have left the machine."""
    context = browser.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"error: {error.message}"))
    page.on("request", lambda request: request.url.startswith((site, "data:")) or wrong.append(f"asks {request.url}"))
    page.on("response", lambda answer: answer.ok or wrong.append(f"{answer.status} {answer.url}"))

    def open_page(path: str) -> sync_api.Page:
        page.goto(site + path, wait_until="networkidle")
        return page

    yield open_page
    context.close()
    assert not wrong


class Document(HTMLParser):
    """The ids, links and images of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.images: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag names."""
        values = {name: value or "" for name, value in attrs}
        self.ids.update(values[name] for name in ("id", "name") if name in values)
        if tag in {"a", "link"} and "href" in values:
            self.links.append(values["href"])
        if tag in {"img", "script"} and "src" in values:
            self.links.append(values["src"])
        if tag == "img":
            self.images.append((values.get("src", ""), values.get("alt", "")))


@functools.cache
def document(path: Path) -> Document:
    """The parsed page."""
    return Document(path.read_text(encoding="utf8"))


def test_there_is_a_site() -> None:
    if not PAGES:
        unavailable("no site in _build/html: run `make book` first")
    assert "index.html" in PAGES


@pytest.mark.parametrize("page", PAGES)
def test_every_link_on_the_page_leads_somewhere(page: str) -> None:
    broken = []
    for link in document(SITE / page).links:
        target, anchor = urldefrag(urljoin(f"site:///{page}", link) if not urlsplit(link).scheme else link)
        if not target.startswith("site:"):
            continue
        path = SITE / unquote(urlsplit(target).path).lstrip("/")
        if not path.is_file() or (anchor and path.suffix == ".html" and unquote(anchor) not in document(path).ids):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES)
def test_every_image_says_in_words_what_it_shows(page: str) -> None:
    silent = [
        src for src, alt in document(SITE / page).images if len(alt) < 5 or re.search(r"[0-9a-f]{20}|\.\w+$", alt)
    ]
    assert not silent, 'give the cell the metadata {"mystnb": {"image": {"alt": "…"}}}'


@pytest.mark.parametrize("page", PAGES)
def test_page_is_whole_and_readable_in_light_and_dark_and_on_a_phone(
    page: str, visit: Callable[[str], sync_api.Page]
) -> None:
    tab = visit(page)
    for theme in ("light", "dark"):
        tab.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            wide = tab.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{page} is {wide} px wide on a screen of {width} px"
        assert not tab.evaluate(CONTRAST), theme
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_search_finds_a_term_without_a_network(visit: Callable[[str], sync_api.Page]) -> None:
    tab = visit("search.html?q=dropout")
    result = tab.locator("#search-results a", has_text="Dropout").first
    result.wait_for()
    assert "glossary" in (result.get_attribute("href") or "")


def test_hidden_answers_open_with_the_keyboard(visit: Callable[[str], sync_api.Page]) -> None:
    lesson = next((page for page in PAGES if "<details><summary>" in (SITE / page).read_text(encoding="utf8")), None)
    if lesson is None:
        pytest.skip("no lesson with a quiz is built yet")
    summary = visit(lesson).locator("article details:not(.hide) > summary").first
    summary.focus()
    summary.press("Enter")
    assert summary.evaluate("node => node.parentElement.open")
