"""The built website, in a real browser and without: whole, self-contained and readable everywhere."""

from __future__ import annotations

import functools
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import numpy as np
import pytest
from browsing import PAGES, SERIOUS, SITE, TOOLS, unavailable
from fontTools.ttLib import TTFont
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api")
AXE = Path(pytest.importorskip("axe_playwright_python").__file__).with_name("axe.min.js")

WIDTHS = (360, 768, 1440)
ASKING = ("book/explorer.html", "book/stages.html", "book/teach.html")
MAIN = ("book/welcome.html", "lessons/05_feature_extraction.html", *ASKING)
# Images come when they are nearly in sight; here, all of them at once.
MISSING_IMAGES = """async () => (await Promise.all([...document.images].map(image => {
  image.loading = "eager";
  return image.decode().then(() => null, () => image.src);
}))).filter(Boolean)"""

pytestmark = pytest.mark.browser


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
    tab.evaluate(AXE.read_text(encoding="utf8"))
    for theme in ("light", "dark"):
        tab.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            wide = tab.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{page} is {wide} px wide on a screen of {width} px"
        assert not tab.evaluate(SERIOUS), theme
    assert not tab.evaluate(MISSING_IMAGES)


PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def test_in_the_dark_charts_are_dark_and_pictures_are_as_they_were(visit: Callable[[str], sync_api.Page]) -> None:
    tab = visit("lessons/01_the_specialist.html")
    tab.evaluate(MISSING_IMAGES)  # all of them come
    tab.evaluate("() => Promise.all([...document.images].map(image => image.decode()))")  # and are painted
    shown: dict[str, dict[str, np.ndarray]] = {"light": {}, "dark": {}}
    for theme, found in shown.items():
        tab.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        for figure in tab.locator(".cell_output img").all():
            figure.scroll_into_view_if_needed()
            tab.evaluate(PAINTED)
            taken = Image.open(io.BytesIO(figure.screenshot(animations="disabled"))).convert("L")
            found[figure.get_attribute("src") or ""] = np.asarray(taken.resize((64, 64))).ravel()
    charts = {figure.get_attribute("src") for figure in tab.locator(".cell_output img.chart").all()}
    assert charts
    assert charts < set(shown["dark"])
    for figure, dark in shown["dark"].items():
        light = shown["light"][figure]
        if figure in charts:
            assert np.median(light) > 240 > 60 > np.median(dark), figure
        else:
            assert np.corrcoef(light, dark)[0, 1] > 0.5, figure  # one that is turned over has less than 0


@pytest.mark.parametrize("page", PAGES)
def test_page_waits_for_no_script_and_no_distant_image(page: str) -> None:
    text = (SITE / page).read_text(encoding="utf8")
    waits = [tag for tag in re.findall(r"<script[^>]*\bsrc=[^>]*>", text) if not re.search(r"\b(defer|async)\b", tag)]
    assert len(waits) <= 1
    assert all("documentation_options" in tag for tag in waits)
    assert all('loading="lazy"' in tag for tag in re.findall(r"<img[^>]*>", text))


def test_the_icon_font_is_small_and_has_every_icon_that_a_page_shows() -> None:
    static = SITE / "_static"
    css = (static / "styles/pydata-sphinx-theme.css").read_text(encoding="utf8")
    sources = re.findall(r"url\(\.\./(vendor/fontawesome/webfonts/fa-solid[^)]*\.woff\d?)\)", css)
    assert len(sources) == 1
    path = static / sources[0]
    assert path.stat().st_size < 10_000
    drawn = TTFont(path).getBestCmap()
    shown = {name for page in PAGES for name in re.findall(r"\bfa-([\w-]+)", (SITE / page).read_text(encoding="utf8"))}
    icons = shown - {"solid", "lg"}  # how, not what
    assert len(icons) > 8
    for icon in icons:
        code = re.search(rf'\.fa-{icon}:before[^{{]*{{content:"\\([0-9a-f]+)"', css)
        assert code, icon
        assert int(code[1], 16) in drawn, icon
    assert ord(re.findall(r'--pst-icon-search-minus: ?"(.)"', css)[0]) in drawn  # after a search


def test_search_finds_a_term_without_a_network(visit: Callable[[str], sync_api.Page]) -> None:
    tab = visit("search.html?q=dropout")
    result = tab.locator("#search-results a", has_text="Dropout").first
    result.wait_for()
    assert "glossary" in (result.get_attribute("href") or "")


def test_search_works_from_a_folder(browser: sync_api.Browser) -> None:
    page = browser.new_page()
    page.goto((SITE / "search.html").as_uri() + "?q=batchnorm")
    page.locator("#search-results a").first.wait_for()
    assert any("glossary" in (link.get_attribute("href") or "") for link in page.locator("#search-results a").all())


@pytest.mark.parametrize("page", MAIN)
def test_main_pages_work_from_a_folder(page: str, browser: sync_api.Browser) -> None:
    wrong: list[str] = []
    tab = browser.new_page()
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(error.message))
    tab.goto((SITE / page).as_uri(), wait_until="load")
    assert not wrong
    assert tab.evaluate("getComputedStyle(document.querySelector('.bd-article h1')).fontSize") == "33.6px"


@pytest.mark.parametrize("page", PAGES)
def test_page_says_what_it_may_load_and_nothing_else_runs(page: str, site: str, browser: sync_api.Browser) -> None:
    assert "default-src 'self'; script-src 'self'" in (SITE / page).read_text(encoding="utf8")
    tab = browser.new_page()
    tab.goto(site + page)
    if page == "index.html":  # it leads on to the first page
        tab.wait_for_url("**/book/welcome.html")
    ran = tab.evaluate("""async () => {
      const refused = new Promise(done => addEventListener("securitypolicyviolation", done, { once: true }));
      const script = document.createElement("script");
      script.textContent = "window.smuggled = true";
      document.body.append(script);
      await refused;
      return Boolean(window.smuggled);
    }""")
    assert not ran
    tab.close()


@pytest.mark.parametrize("page", [*MAIN, "book/how-sure.html"])
def test_pages_can_be_read_without_javascript(page: str, browser: sync_api.Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((SITE / page).as_uri())
    article = tab.locator("article.bd-article")
    assert article.is_visible() and len(article.inner_text()) > 500
    if page in ASKING:
        assert "needs JavaScript" in article.inner_text()
    context.close()


LESSON_PAGES = [page for page in PAGES if page.startswith("lessons/")]


@pytest.mark.parametrize("page", LESSON_PAGES)
def test_no_lesson_uses_an_old_name(page: str) -> None:
    assert "DeprecationWarning" not in (SITE / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", LESSON_PAGES)
def test_on_a_phone_code_is_folded_and_opens(page: str, site: str, browser: sync_api.Browser) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800})
    tab = context.new_page()
    tab.goto(f"{site}/{page}")
    for box in tab.locator("div.cell .cell_input pre").all():
        assert not box.is_visible() or box.inner_text().strip().count("\n") < 3
    fold = tab.locator("details.fold").first
    fold.locator("summary").press("Enter")
    assert fold.locator("pre").is_visible()
    context.close()


def test_on_a_wide_screen_and_without_javascript_code_is_open(site: str, browser: sync_api.Browser) -> None:
    for options in ({}, {"viewport": {"width": 360, "height": 800}, "java_script_enabled": False}):
        context = browser.new_context(**options)
        tab = context.new_page()
        tab.goto(f"{site}/{LESSON_PAGES[0]}")
        assert tab.locator("details.fold").count() == 0
        assert tab.locator("div.cell > .cell_input pre").first.is_visible()
        context.close()


def test_theme_switch_and_copy_buttons_work_with_the_keyboard(visit: Callable[[str], sync_api.Page]) -> None:
    tab = visit("lessons/05_feature_extraction.html")
    before = tab.evaluate("document.documentElement.dataset.mode")
    switch = tab.locator("button.theme-switch-button:visible").first
    switch.focus()
    switch.press("Enter")
    assert tab.evaluate("document.documentElement.dataset.mode") != before
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copy = tab.locator("button.copybtn").first
    copy.focus()
    copy.press("Enter")
    tab.wait_for_function("() => document.querySelector('button.copybtn').classList.contains('success')")
    assert "import" in tab.evaluate("navigator.clipboard.readText()")


def sheets(pdf: bytes) -> int:
    """How many pages a PDF has."""
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


def test_the_cheat_sheet_prints_on_one_page(visit: Callable[[str], sync_api.Page]) -> None:
    assert sheets(visit("book/cheat-sheet.html").pdf(format="A4", print_background=True)) == 1


def test_the_whole_course_prints_as_one_book(tmp_path: Path) -> None:
    if not PAGES:
        unavailable("no site in _build/html: run `make book` first")
    command = [sys.executable, str(TOOLS / "print_course.py"), str(tmp_path / "course.pdf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pdf = (tmp_path / "course.pdf").read_bytes()
    assert sheets(pdf) > 100 and b"/Outlines" in pdf
    assert [path.name for path in tmp_path.iterdir()] == ["course.pdf"]


def test_the_zip_has_the_site_the_lessons_and_the_package(tmp_path: Path) -> None:
    import pack  # among the tools

    pack.pack(tmp_path / "course.zip")
    with zipfile.ZipFile(tmp_path / "course.zip") as archive:
        names = archive.namelist()
    wanted = ("site/index.html", "lessons/01_the_specialist.ipynb", "transferlib/advice/map.json", "requirements.txt")
    assert {f"head-start/{name}" for name in wanted} <= set(names)
    assert not any(".venv" in name or ".git/" in name for name in names)


@pytest.mark.parametrize("page", MAIN)
@pytest.mark.parametrize(
    ("name", "width", "theme"), [("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 390, "light")]
)
def test_a_screenshot_of_each_main_page_is_left_to_look_at(
    page: str, name: str, width: int, theme: str, site: str, browser: sync_api.Browser
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    tab = context.new_page()
    tab.goto(site + page, wait_until="networkidle")
    target = SITE.parent / "screenshots" / f"{Path(page).stem}-{name}.png"
    picture = tab.screenshot(path=target, full_page=page.startswith("book/"))
    assert len(picture) > 20_000 and tab.evaluate("document.documentElement.dataset.theme") == theme
    context.close()
