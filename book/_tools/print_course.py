"""Prints the built site as one book, _build/head-start.pdf: all pages in order, answers open, pages numbered.

A real browser does the printing. It puts the articles of all pages after one another on the home page, with their
links and anchors renamed so that they stay inside the book.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from browser import SITE, launch, served
from playwright.sync_api import Error, sync_playwright

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "_build" / "head-start.pdf"

GATHER = """async pages => {
  const key = path => path.replace(/[^\\w]+/g, "-");
  const book = document.createElement("main");
  for (const page of pages) {
    const url = new URL(page, location.origin + "/");
    const text = await (await fetch(url)).text();
    const article = new DOMParser().parseFromString(text, "text/html").querySelector("article.bd-article");
    for (const node of article.querySelectorAll("script, .headerlink, .copybtn, .doors")) node.remove();
    for (const node of article.querySelectorAll("[id]")) {
      if (!node.closest("svg")) node.id = `${key(url.pathname)}--${node.id}`; // diagrams refer to their own parts
    }
    for (const node of article.querySelectorAll("[src]")) node.src = new URL(node.getAttribute("src"), url).href;
    for (const node of article.querySelectorAll("[href]")) {
      const to = new URL(node.getAttribute("href"), url);
      if (to.origin !== location.origin) node.href = to.href;
      else node.setAttribute("href", `#${key(to.pathname)}${to.hash ? "--" + to.hash.slice(1) : ""}`);
    }
    for (const node of article.querySelectorAll("details")) node.open = true;
    const part = document.createElement("section");
    part.id = key(url.pathname);
    part.className = "bd-article chapter";
    part.append(...article.childNodes);
    book.append(part);
  }
  document.body.replaceChildren(book);
  document.documentElement.dataset.theme = "light";
  document.documentElement.dataset.mode = "light";
  if (window.MathJax && MathJax.typesetPromise) await MathJax.typesetPromise();
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map(image => image.decode().catch(() => image.src)));
  return document.images.length;
}"""
LOOK = """
  @page { size: A4; margin: 18mm 16mm 20mm; }
  body { background: #fff; font-size: 10.5pt; }
  main { display: block; max-width: none; }
  .chapter { break-before: page; }
  .chapter:first-child { break-before: auto; }
  .chapter :is(figure, img, tr, svg) { break-inside: avoid; }
  h1, h2, h3 { break-after: avoid; }
  .interactive, noscript, .copybtn { display: none; }
  summary { list-style: none; }
  summary::-webkit-details-marker { display: none; }
  details.hide > summary { display: none; }
  figcaption { color: #000; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  table { font-size: 0.85em; }
"""
FOOT = """<div style="width: 100%; font: 8pt sans-serif; color: #555; padding: 0 16mm; display: flex;
  justify-content: space-between"><span>Head Start: transfer learning, measured</span>
  <span><span class="pageNumber"></span> / <span class="totalPages"></span></span></div>"""


def pages() -> list[str]:
    """The pages in the order of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    return [f"{name}.html" for name in files]


def print_course(target: Path) -> int:
    """Write the PDF, under a temporary name first; returns how many pictures it has."""
    whole = target.with_suffix(".part")
    with served() as site, sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except Error as error:
            sys.exit(f"no Chromium to print with (set CHROMIUM to its path): {error.message.splitlines()[0]}")
        # The pages' own policy forbids what is done to them here.
        page = browser.new_context(bypass_csp=True).new_page()
        page.goto(site + pages()[0], wait_until="networkidle")
        pictures = page.evaluate(GATHER, pages())
        page.add_style_tag(content=LOOK)
        page.pdf(
            path=whole,
            prefer_css_page_size=True,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOT,
            outline=True,
            tagged=True,
        )
        browser.close()
    whole.replace(target)
    return int(pictures)


def main() -> None:
    if not (SITE / "index.html").exists():
        sys.exit("there is no site in _build/html: run `make book` first.")
    target = Path(sys.argv[1]) if sys.argv[1:] else TARGET
    pictures = print_course(target)
    print(f"{target}: {len(pages())} chapters, {pictures} pictures, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
