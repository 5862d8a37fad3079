"""Finishes the pages: diagrams that follow the theme, the doors of a lesson, what a page may load, and how little.

A diagram is written as a picture, so that Jupyter shows it too; on the site its SVG becomes part of the page and takes
the page's colours. The content security policy stands in each page itself, because a folder or a zip sends no headers:
scripts of the site and, by their hash, those few that the theme writes into the page; nothing from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
import textwrap
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from bs4.dammit import EntitySubstitution
from bs4.formatter import HTMLFormatter
from docutils import nodes
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont
from PIL import Image
from replicated import add_scores
from sphinx.application import Sphinx

LESSON = re.compile(r"lessons/\d\d_\w+$")
POLICY = (
    "default-src 'self'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'"
)
ICON_RULE = re.compile(r'(?P<names>(?:\.fa-[\w-]+:before,?)+)\{content:"[^"]+"\}')
ICON_FONT = "vendor/fontawesome/webfonts/fa-solid-900"
REDIRECT = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Head Start</title>\n'
    '<link rel="icon" href="_static/favicon.svg">\n{}</head>\n'
    '<body><p><a href="book/welcome.html">Head Start: transfer learning, measured</a></p></body>\n</html>\n'
)


def inline_diagrams(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put each SVG of book/_static into the page."""
    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir, image["uri"])
        if path.parent == Path(app.srcdir, "book/_static") and path.suffix == ".svg":
            raw = nodes.raw("", path.read_text(encoding="utf-8"), format="html")
            image.replace_self(raw)


def add_doors(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Under the card at the head of a lesson: its notebook, and the places to run it."""
    if app.builder.format != "html" or not LESSON.match(docname):
        return
    to_root = posixpath.relpath(".", posixpath.dirname(docname))
    how = app.builder.get_relative_uri(docname, "book/how-to-use")
    doors = [
        f'<a href="{to_root}/_sources/{docname}.ipynb" download>Download this notebook</a>',
        f'<a href="{how}#run-it">Run it in JupyterLab</a>',
    ]
    if repository := app.config.html_context.get("repository"):  # "OWNER/NAME" on GitHub, in _config.yml
        github, name = f"https://colab.research.google.com/github/{repository}/blob/main", f"{docname}.ipynb"
        binder = f"https://mybinder.org/v2/gh/{repository}/main?labpath={name}"
        doors += [f'<a href="{github}/{name}">Open in Colab</a>', f'<a href="{binder}">Open in Binder</a>']
    else:
        doors.append(f'<a href="{how}#in-google-colab">Run it in Colab</a>')
    card = next(doctree.findall(nodes.block_quote))
    row = nodes.raw("", f'<p class="doors">{"".join(doors)}</p>', format="html")
    card.parent.insert(card.parent.index(card) + 1, row)


def describe(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """What search engines show of a page: the beginning of its first real paragraph."""
    texts = [p.astext() for p in doctree.findall(nodes.paragraph)] if doctree else []
    text = next(
        (t for t in texts if len(t) > 60 and "·" not in t), "A free course on transfer learning in PyTorch, measured."
    )
    short = textwrap.shorten(" ".join(text.split()), 155, placeholder=" …")
    context["metatags"] = context.get("metatags", "") + f'\n<meta name="description" content="{escape(short)}">'


class AsWritten(HTMLFormatter):
    """Writes a page as it was: Beautiful Soup would sort the attributes."""

    def attributes(self, tag: Tag) -> Iterable[tuple[str, str]]:
        """Name and value, in the page's order."""
        return tag.attrs.items()


def _hash(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def policy(page: BeautifulSoup, handlers: Iterable[str]) -> str:
    """The content security policy that a page needs, and no more."""
    scripts = [tag for tag in page.find_all("script", src=False) if "json" not in tag.get("type", "")]
    runs, answers = {_hash(tag.string or "") for tag in scripts}, {_hash(code) for code in handlers}
    hashes = [*sorted(runs), *(["'unsafe-hashes'", *sorted(answers)] if answers else [])]
    found = POLICY.format(hashes="".join(f" {found}" for found in hashes))
    if page.find(id="teach-data"):  # it runs WebAssembly on its reader's pictures: its scripts may connect to nothing
        found = found.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'") + "; connect-src 'none'"
    return found


def lighten(page: BeautifulSoup) -> None:
    """What a page need not load, it does not; what need not hold it up, waits."""
    for script in page.find_all("script", src=True):
        # The theme draws its icons twice, by a script, half of a page's weight, and by a font: the font is enough.
        # Sphinx gives MathJax to the first page in any case.
        if "scripts/fontawesome.js" in script["src"] or ("mathjax/" in script["src"] and not page.select(".math")):
            script.decompose()
        # The first script stays: lines in the page itself build on it.
        elif not {"async", "defer"} & set(script.attrs) and "documentation_options" not in script["src"]:
            script["defer"] = ""
    for image in page.find_all("img", loading=False):
        image["loading"] = "lazy"
    # Citations are marked as a list that has no items, which misleads screen readers.
    for citations in page.select("div.citation-list[role=list]"):
        del citations["role"]


def is_chart(path: Path) -> bool:
    """Whether a figure is lines on white paper, no photograph and no map of colours: it may be turned over."""
    with Image.open(path) as figure:
        colours = figure.convert("RGB").getcolors(10_000)  # None if there are more
        white = next((count for count, colour in colours or [] if colour == (255, 255, 255)), 0)
        return white > 0.7 * figure.width * figure.height


def mark_charts(page: BeautifulSoup, folder: Path) -> None:
    """Give the class `chart` to each figure that is one."""
    for image in page.select('.cell_output img[src$=".png"]'):
        if is_chart(folder / image["src"]):
            image["class"] = [*image.get("class", []), "chart"]


def finish(app: Sphinx, failed: Exception | None) -> None:
    """Make every page lighter, and write the policy into it."""
    if failed or app.builder.format != "html":
        return
    paths = [path for path in Path(app.outdir).rglob("*.html") if "_static" not in path.relative_to(app.outdir).parts]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    # The redirect to the first page is nothing but its meta element.
    whole = {path: text if "<head>" in text else REDIRECT.format(text) for path, text in texts.items()}
    pages = {path: BeautifulSoup(text, "html.parser") for path, text in whole.items()}
    # The search opens other pages in its own, so every page allows the handlers of all: the theme has one, to print.
    tags = [tag for page in pages.values() for tag in page.find_all(True)]
    handlers = {code for tag in tags for name, code in tag.attrs.items() if name.startswith("on")}
    for path, page in pages.items():
        if page.find("meta", {"http-equiv": "Content-Security-Policy"}):
            continue
        lighten(page)
        mark_charts(page, path.parent)
        add_scores(page)
        head = {"http-equiv": "Content-Security-Policy", "content": policy(page, handlers)}
        page.find("meta", charset=True).insert_after("\n    ", page.new_tag("meta", attrs=head))
        path.write_text(page.decode(formatter=AsWritten(EntitySubstitution.substitute_xml)), encoding="utf-8")


def lighten_icons(app: Sphinx, failed: Exception | None) -> None:
    """Of the theme's icons, near two thousand, keep those that a page or another rule shows."""
    static = Path(app.outdir, "_static")
    sheet = static / "styles/pydata-sphinx-theme.css"
    if failed or app.builder.format != "html":
        return
    used = {name for page in Path(app.outdir).rglob("*.html") for name in re.findall(r"\bfa-[\w-]+", page.read_text())}
    css = ICON_RULE.sub(
        lambda rule: rule[0] if used & set(re.findall(r"fa-[\w-]+", rule["names"])) else "", sheet.read_text()
    )
    others = "".join(path.read_text() for path in static.rglob("*.css") if path != sheet)
    font = TTFont(static / f"{ICON_FONT}.ttf")
    icons = Subsetter()
    icons.populate(unicodes=[int(code, 16) for code in re.findall(r'content:"\\(f[0-9a-f]{3})"', css + others)])
    icons.populate(text="".join(re.findall("[\ue000-\uf8ff]", css)))  # in variables they stand as they are
    icons.subset(font)
    font.flavor = "woff"  # woff2 would need one more library
    font.save(static / f"{ICON_FONT}.woff")
    sheet.write_text(css.replace(f'{ICON_FONT}.woff2) format("woff2")', f'{ICON_FONT}.woff) format("woff")'))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", inline_diagrams)
    app.connect("doctree-resolved", add_doors)
    app.connect("html-page-context", describe)
    app.connect("build-finished", finish)
    app.connect("build-finished", lighten_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
