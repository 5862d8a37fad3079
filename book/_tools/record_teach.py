"""Records a session of the page "Teach her your things" with the site's own pictures, for who cannot run it.

Needs a built site with the page whole, and Chromium; writes lessons/studies/teach.json. Predictions are left out: they
are the reader's.
"""

from __future__ import annotations

import json
import platform
import sys
from datetime import date
from pathlib import Path

from browser import launch, served
from playwright.sync_api import Page, sync_playwright

TARGET = Path(__file__).parents[2] / "lessons" / "studies" / "teach.json"
FIRST = """() => teach.things.map(({ pictures: [first] }) => ({ thing: first.thing.name.value, ...first.word }))"""
JPEGS = """() => headStart.tray.first.map(({ thing, jpeg }) => ({ thing, jpeg }))"""


def told(page: Page, step: str) -> tuple[str, str]:
    """A verdict's headline, and its sentences without those on the prediction."""
    box = page.locator(step)
    sentences = " ".join(text for text in box.locator("p").all_inner_texts() if text).split(". ")
    kept = ". ".join(sentence for sentence in sentences if "You predicted" not in sentence)
    return box.locator("strong").inner_text() + ".", kept.removesuffix(".") + "."


def session(page: Page) -> dict[str, object]:
    page.locator("button.tray").click()
    for which, shown in (("hers", ".learns .verdict strong"), ("twins", ".rivals .start strong")):
        page.locator(f"form.{which} button").click()
        page.locator(shown).wait_for()
    page.wait_for_function("() => teach.things.flatMap(t => t.pictures).every(p => p.twin)")
    page.locator(".rivals th", has_text="blank twin").first.wait_for()
    page.wait_for_function("() => document.querySelector('.curve').textContent.includes('blank twin')")
    page.locator("button.lamp").click()
    page.locator("form.elsewhere button").click()
    page.locator(".room .verdict strong").wait_for()
    jpegs: dict[str, str] = {}
    for row in page.evaluate(JPEGS):
        jpegs.setdefault(row["thing"], row["jpeg"])
    table = page.locator(".rivals table").first
    milliseconds = sorted(page.evaluate("teach.milliseconds"))
    usual = f"{milliseconds[len(milliseconds) // 2]:.0f} milliseconds"
    return {
        "how": (
            "Patches of four photographs that this course carries, and what she called the first of each before she "
            f"was taught. Recorded on {date.today()} in Chromium {page.context.browser.version} on "
            f"{platform.machine()}, beside other work; a look took {usual}."
        ),
        "pictures": [row | {"jpeg": jpegs[row["thing"]]} for row in page.evaluate(FIRST)],
        "caption": table.locator("caption").inner_text(),
        "head": table.locator("thead th").all_inner_texts(),
        "rows": [
            {"student": row.locator("th").inner_text(), "values": row.locator("td").all_inner_texts()}
            for row in table.locator("tbody tr").all()
        ],
        "curve": page.locator("#teach .curve").inner_html(),
        "said": [
            told(page, step)
            for step in (".learns .verdict", ".rivals .found > .verdict:not(.start)", ".start", ".room .verdict")
        ],
    }


def main() -> None:
    with sync_playwright() as playwright, served() as site:
        page = launch(playwright).new_page()
        page.set_default_timeout(300_000)
        page.goto(f"{site}book/teach.html")
        if page.locator("#teach").is_hidden():
            sys.exit("the site in _build/html was built without what runs the network: build it with a registry.")
        found = session(page)
    TARGET.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(TARGET)


if __name__ == "__main__":
    main()
