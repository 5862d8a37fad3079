"""How sure are we?: every claim with its replications, the weakest first; and its score beside it."""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from docutils.core import publish_parts
from docutils.parsers.rst import roles
from docutils.utils import SystemMessage

sync_api = pytest.importorskip("playwright.sync_api")
EXTENSIONS = Path(__file__).parents[1] / "book" / "_ext"
Visit = Callable[[str], sync_api.Page]


def told(key: str, margin: float, other: float = 9.0, firmly: str = "always") -> dict:
    evidence = [{"measured": "m", "margin": margin}, {"measured": "m", "margin": other}]
    sentence = f"{key} is <so>."
    return {"key": key, "firmly": firmly, "sentence": sentence, "evidence": evidence, "holds": min(margin, other) > 0}


@pytest.fixture
def page(monkeypatch):
    """The extension, with a record of four runs of one lesson."""
    monkeypatch.syspath_prepend(EXTENSIONS)
    module = importlib.import_module("replicated")
    margins = {
        "sure": [5.0, 5.1, 4.9, 5.0],
        "falls": [1.0, -0.5, 1.0, 2.0],
        "near": [0.1, 3.0, 2.0, 4.0],
        "recorded": [0.01] * 4,
    }
    runs = [
        {
            "lesson": "01_some",
            "text": "t",
            "variant": variant,
            "seconds": 60,
            "claims": [told(key, found[i]) for key, found in margins.items()],
            "errors": [],
            "measured": 0,
        }
        for i, variant in enumerate(("as it comes", "draw-1", "draw-2", "draw-3"))
    ]
    module.replicated.cache_clear()
    monkeypatch.setattr(module, "runs", lambda: runs)
    monkeypatch.setattr(module, "titles", lambda: {"01_some": "1 · Some", "02_other": "2 · Other"})
    yield module
    module.replicated.cache_clear()


def test_what_fell_most_often_stands_first_then_what_came_nearest_and_records_last(page):
    assert list(page.replicated()) == ["falls", "near", "sure", "recorded"]


def test_the_page_shows_each_claim_with_its_score_and_says_what_is_missing(page):
    made = page.how_sure()
    assert "4 claims, 4 runs of 1 lesson" in made
    assert "3 claims held in every run; none fell more often than it may" in made
    assert "Not replicated yet in their present wording: 2 · Other." in made
    soup = BeautifulSoup(made, "html.parser")
    assert [li["id"] for li in soup.select("li")] == ["sure-falls", "sure-near", "sure-sure", "sure-recorded"]
    assert "held in 3 of 4 replications" in soup.select_one("#sure-falls").text
    assert "falls is <so>." in soup.select_one("#sure-falls").text
    assert "held in 4 of 4 replications, which no draw moved" in soup.select_one("#sure-recorded").text
    assert "no draw" not in soup.select_one("#sure-sure").text


def test_a_dot_lies_right_of_the_line_exactly_if_the_claim_held(page):
    for one in page.replicated().values():
        drawn = BeautifulSoup(page.strip(one.weakest, one.variants), "html.parser")
        zero = float(drawn.select_one(".zero")["d"].split()[0].lstrip("M"))
        dots = drawn.select("circle")
        assert [float(dot["cx"]) > zero for dot in dots] == [dot["class"] == ["holds"] for dot in dots] == one.held
        assert [dot.title.text.partition(":")[0] for dot in dots] == one.variants


def test_of_several_pieces_of_evidence_the_one_nearest_to_falling_is_drawn(page):
    one = page.Replicated("k", "01_some", "always", "S.", margins=[[1.0, 0.1], [3.0, 0.3], [2.0, 0.2]])
    assert one.weakest == [0.1, 0.3, 0.2] or one.weakest == [1.0, 3.0, 2.0]
    one.margins = [[1.0, 0.1], [3.0, -0.3], [2.0, 0.2]]
    assert one.weakest == [0.1, -0.3, 0.2]


def test_a_claim_on_a_page_gets_its_score_and_one_without_a_record_says_so(page):
    soup = BeautifulSoup(
        '<blockquote class="claim holds" id="claim-near"></blockquote>'
        '<blockquote class="claim holds" id="claim-new"></blockquote>',
        "html.parser",
    )
    page.add_scores(soup)
    near, new = soup.select("a")
    assert (near.text, near["href"]) == ("held in 4 of 4 replications", "../book/how-sure.html#sure-near")
    assert (new.text, new["href"]) == ("not replicated yet in this wording", "../book/how-sure.html")


def test_a_page_can_put_the_score_of_a_claim_behind_a_sentence_and_a_key_that_no_lesson_claims_is_an_error(
    page, monkeypatch
):
    monkeypatch.setattr(page, "code", lambda: 'tl.claim("near", ...)\ntl.claim("new", ...)')
    monkeypatch.setitem(roles._roles, "score", page.score_role)
    made = publish_parts("Near :score:`near`, new :score:`new`.", writer_name="html")["body"]
    near, new = BeautifulSoup(made, "html.parser").select("span.score > a")
    assert (near.text, near["href"]) == ("held in 4 of 4 replications", "../book/how-sure.html#sure-near")
    assert (new.text, new["href"]) == ("not replicated yet in this wording", "../book/how-sure.html")
    with pytest.raises(SystemMessage, match="No lesson claims 'typo': name a claim's key"):
        publish_parts(":score:`typo`", writer_name="html", settings_overrides={"halt_level": 3})


def test_runs_of_another_text_do_not_count(page, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.syspath_prepend(EXTENSIONS)
    record = json.loads(page.RECORD.read_text())
    for cell in record["cells"]:
        cell["text"] = "another"
    (tmp_path / "record.json").write_text(json.dumps(record))
    page.runs.cache_clear()
    monkeypatch.setattr(page, "RECORD", tmp_path / "record.json")
    assert page.runs() == [] and "Nothing is on record" in page.how_sure()
    page.runs.cache_clear()


@pytest.mark.parametrize(
    ("held", "of", "always", "usually"),
    [
        *[(2, 4, True, True), (1, 4, False, True), (0, 4, False, False), (16, 19, True, True), (14, 19, False, True)],
        *[(19, 20, True, True), (18, 20, False, True), (20, 21, True, True), (19, 21, False, True)],
        *[(24, 25, True, True), (23, 25, False, True), (20, 25, False, True), (19, 25, False, False)],
    ],
)
def test_of_many_runs_the_share_decides_and_few_are_judged_by_chance(page, held, of, always, usually):
    runs = [True] * held + [False] * (of - held)
    assert page.often_enough(runs, "always") is always
    assert page.often_enough(runs, "usually") is usually


def test_kernels_that_repeat_one_draw_do_not_outvote_the_draws(page):
    kernels, draws = ["avx2", "sse41", "avx512", "two threads"], [f"draw-{n}" for n in range(1, 21)]
    held = [True] * 5 + [False, False] + [True] * 18
    one = page.Replicated("k", "l", "always", "S.", ["as it comes", *kernels, *draws], held)
    assert not one.keeps_its_word
    one.held[5] = True
    assert one.keeps_its_word


@pytest.fixture
def today(monkeypatch):
    """The extension with the record of the course."""
    monkeypatch.syspath_prepend(EXTENSIONS)
    module = importlib.import_module("replicated")
    module.runs.cache_clear()
    module.replicated.cache_clear()
    yield module
    module.runs.cache_clear()
    module.replicated.cache_clear()


def test_no_run_on_record_is_of_another_text_of_its_lesson(today):
    cells = json.loads(today.RECORD.read_text(encoding="utf-8"))["cells"]
    old = {cell["lesson"] for cell in cells if cell not in today.runs()}
    assert not old, f"make replicate (or replicate.py --only) forgets the runs of an earlier text of {sorted(old)}"


def test_every_claim_of_the_lessons_is_on_record_and_nothing_else(today):
    keys = re.findall(r'tl\.claim\(\s*f?"([^"]+)"', today.code())
    shapes = [re.compile(re.sub(r"\\\{.*?\\\}", ".+", re.escape(key))) for key in keys]
    recorded = today.replicated()
    assert [s.pattern for s in shapes if not any(s.fullmatch(key) for key in recorded)] == []
    assert [key for key in recorded if not any(s.fullmatch(key) for s in shapes)] == []


def test_every_claim_holds_as_often_as_it_is_meant(today):
    assert [one.key for one in today.replicated().values() if not one.keeps_its_word] == []


def test_every_lesson_was_run_twenty_five_times(today):
    counts = Counter(run["lesson"] for run in today.runs())
    assert min(counts[lesson] for lesson in today.titles()) >= 25


@pytest.mark.browser
def test_the_list_can_be_narrowed_to_a_lesson_and_a_link_to_a_hidden_claim_shows_it(visit: Visit) -> None:
    tab = visit("book/how-sure.html")
    items = tab.locator("ol.replicated > li")
    lessons = {item.get_attribute("data-lesson") for item in items.all()}
    lesson = sorted(lessons)[0]
    tab.locator("#sure select").select_option(lesson)
    shown = [item.get_attribute("data-lesson") for item in items.all() if item.is_visible()]
    assert shown and set(shown) == {lesson}
    assert tab.locator("#sure output").inner_text() == f"{len(shown)} of {items.count()} claims"
    fell = [item for item in items.all() if item.get_attribute("data-fell") == "1"]
    tab.locator("#sure select").select_option("")
    tab.locator("#sure input").check()
    assert sum(item.is_visible() for item in items.all()) == len(fell)
    hidden = next(item.get_attribute("id") for item in items.all() if item.get_attribute("data-fell") == "0")
    tab.evaluate(f"location.hash = '#{hidden}'")
    tab.locator(f"#{hidden}").wait_for(state="visible")


@pytest.mark.browser
def test_links_between_a_claim_and_its_replications_lead_there_and_back(visit: Visit) -> None:
    tab = visit("book/how-sure.html")
    first = tab.locator("ol.replicated > li").first
    key = first.get_attribute("id").removeprefix("sure-")
    first.locator("a").click()
    box = tab.locator(f"#claim-{key}")
    assert "held in" in box.locator(".score").inner_text()
    box.locator(".score a").click()
    assert tab.url.endswith(f"how-sure.html#sure-{key}")
    assert tab.locator(f"#sure-{key}").is_visible()
