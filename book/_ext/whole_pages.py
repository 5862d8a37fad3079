"""Finishes the pages: diagrams that follow the theme, the doors of a lesson, what a page may load, and how little.

A diagram is written as a picture, so that Jupyter shows it too; on the site its SVG becomes part of the page and takes
the page's colours. The content security policy stands in each page itself, because a folder or a zip sends no headers:
scripts of the site and, by their hash, those few that the theme writes into the page; nothing from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
import textwrap
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

LESSON = re.compile(r"lessons/\d\d_\w+$")
SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)(?P<kind>[^>]*)>(?P<code>.*?)</script>", re.S | re.I)
HANDLER = re.compile(r"""\son\w+=(?:"([^"]*)"|'([^']*)')""", re.I)
POLICY = (
    "default-src 'self'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'"
)
# The theme draws its icons twice, by this script, half of a page's weight, and by a font; the font is enough.
ICON_SCRIPT = re.compile(r"\s*<script[^>]*scripts/fontawesome\.js[^>]*></script>")
MATHJAX = re.compile(r"\s*<script[^>]*mathjax/[^>]*></script>")
ICON_RULE = re.compile(r'(?P<names>(?:\.fa-[\w-]+:before,?)+)\{content:"[^"]+"\}')
ICON_FONT = "vendor/fontawesome/webfonts/fa-solid-900"
# A script that waits does not hold up the page. The first one stays: lines in the page itself build on it.
SCRIPT_THAT_BLOCKS = re.compile(r"<script(?=[^>]*\bsrc=)(?![^>]*\b(?:async|defer)\b)(?![^>]*documentation_options)")
EAGER_IMAGE = re.compile(r"<img(?![^>]*\bloading=)")
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


def mend_lists(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Citations are marked as a list that has no items, which misleads screen readers: drop the mark."""
    if "body" in context:
        context["body"] = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )


def add_doors(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Under the card at the head of a lesson: its notebook, and the places to run it."""
    if not LESSON.match(pagename) or "body" not in context:
        return
    to = context["pathto"]
    doors = [
        f'<a href="{to(f"_sources/{pagename}.ipynb", 1)}" download>Download this notebook</a>',
        f'<a href="{to("book/how-to-use")}#run-it">Run it in JupyterLab</a>',
    ]
    if repository := app.config.html_context.get("repository"):  # "OWNER/NAME" on GitHub, in _config.yml
        github, name = f"https://colab.research.google.com/github/{repository}/blob/main", f"{pagename}.ipynb"
        binder = f"https://mybinder.org/v2/gh/{repository}/main?labpath={name}"
        doors += [f'<a href="{github}/{name}">Open in Colab</a>', f'<a href="{binder}">Open in Binder</a>']
    else:
        doors.append(f'<a href="{to("book/how-to-use")}#in-google-colab">Run it in Colab</a>')
    row = f'<p class="doors">{"".join(doors)}</p>'
    context["body"] = context["body"].replace("</blockquote>", f"</blockquote>\n{row}", 1)


def _hash(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def policy(page: str, handlers: Iterable[str]) -> str:
    """The content security policy that a page needs, and no more."""
    runs = {_hash(m["code"]) for m in SCRIPT.finditer(page) if "json" not in m["kind"]}
    answers = {_hash(code) for code in handlers}
    hashes = [*sorted(runs), *(["'unsafe-hashes'", *sorted(answers)] if answers else [])]
    return POLICY.format(hashes="".join(f" {found}" for found in hashes))


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


def seal(app: Sphinx, failed: Exception | None) -> None:
    """Write the policy into every page."""
    if failed or app.builder.format != "html":
        return
    paths = [path for path in Path(app.outdir).rglob("*.html") if "_static" not in path.relative_to(app.outdir).parts]
    pages = {path: path.read_text(encoding="utf-8") for path in paths}
    # The search opens other pages in its own, so every page allows the handlers of all: the theme has one, to print.
    handlers = {a or b for page in pages.values() for a, b in HANDLER.findall(page)}
    for path, page in pages.items():
        if "Content-Security-Policy" in page:
            continue
        if "<head>" not in page:  # the redirect to the first page is nothing but its meta element
            page = REDIRECT.format(page)
        page = ICON_SCRIPT.sub("", page)
        if 'class="math' not in page:  # Sphinx gives it to the first page in any case
            page = MATHJAX.sub("", page)
        page = SCRIPT_THAT_BLOCKS.sub("<script defer", page)
        page = EAGER_IMAGE.sub('<img loading="lazy"', page)
        meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(page, handlers)}">'
        path.write_text(re.sub(r"<meta charset=[^>]*>", rf"\g<0>\n    {meta}", page, count=1), encoding="utf-8")


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
    icons.subset(font)
    font.flavor = "woff"  # woff2 would need one more library
    font.save(static / f"{ICON_FONT}.woff")
    sheet.write_text(css.replace(f'{ICON_FONT}.woff2) format("woff2")', f'{ICON_FONT}.woff) format("woff")'))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", inline_diagrams)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", mend_lists)
    app.connect("html-page-context", add_doors)
    app.connect("build-finished", seal)
    app.connect("build-finished", lighten_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
