"""What tests of the website share: the built site, a server for it, and a browser that notes what goes wrong."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SITE = Path(__file__).parents[1] / "_build" / "html"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
REQUIRED = os.environ.get("REQUIRE_BROWSER") == "1"
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]


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
def browser() -> Iterator[Browser]:
    """Chromium, where the system has one; else Chrome, where Playwright looks for it."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        try:
            channel = None if path else "chrome"
            started = playwright.chromium.launch(executable_path=path, channel=channel, args=ARGUMENTS)
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
    page.on("response", lambda answer: answer.ok or wrong.append(f"{answer.status} {answer.url}"))

    def open_page(path: str) -> Page:
        page.goto(site + path, wait_until="networkidle")
        return page

    yield open_page
    context.close()
    assert not wrong
