"""The interactive pages tell what was measured, by mouse and by keyboard, and say so where they cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pytest
from browsing import PAGES, TOOLS
from scipy.stats import ttest_1samp

import transferlib as tl
from transferlib.advice.places import expect, load_map, recipes
from transferlib.advice.similarity import Similarity
from transferlib.cli.parser import STRATEGIES
from transferlib.plots import COLOURS

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

Visit = Callable[[str], sync_api.Page]
CELLS = json.loads((Path(__file__).parents[1] / "lessons/studies/map.json").read_text())["cells"]
STUDY = json.loads((Path(__file__).parents[1] / "lessons" / "studies" / "depth.json").read_text())["cells"]
LEAST = 3  # seeds
SHOWN = (*recipes(1), "from scratch, long-trained")
SAID = {"pixels": "logistic regression on pixels", "from scratch": "from scratch, quick"}


def place(data: str, n: int) -> dict[str, list[dict]]:
    """The cells of a place, by strategy, in the order of their seeds."""
    found: dict[str, list[dict]] = {}
    for cell in sorted(CELLS, key=lambda cell: cell["seed"]):
        if (cell["set"], cell["n"]) == (data, n) and "accuracy" in cell:
            found.setdefault(cell["strategy"], []).append(cell)
    return found


def best_buy(cells: dict[str, list[dict]]) -> str:
    """The cheapest strategy that is not behind the best by more than chance, worked out apart from the page."""
    n = next(iter(cells.values()))[0]["n"]
    spent = {s: [c["seconds"] for c in CELLS if (c["n"], c["strategy"]) == (n, s) and "seconds" in c] for s in cells}
    seconds = {s: mean(found) for s, found in spent.items() if found and s in SHOWN and len(cells[s]) >= LEAST}
    rows = {s: cells[s] for s in seconds}
    means = {s: mean(c["accuracy"] for c in found) for s, found in rows.items()}
    best = max(means, key=means.__getitem__)

    def close(name: str) -> bool:
        behind = [b["accuracy"] - c["accuracy"] for b, c in zip(rows[best], rows[name], strict=False)]
        return ttest_1samp(behind, 0).confidence_interval(0.95).low <= 0

    return min((s for s in rows if s == best or close(s)), key=seconds.__getitem__)


@pytest.mark.parametrize(
    ("data", "n"), [("photos", 16), ("photos", 512), ("lesions", 128), ("digits", 256), ("isic9", 512)]
)
def test_the_explorer_shows_the_recorded_numbers_and_recommends_the_cheapest_within_chance(
    data: str, n: int, visit: Visit
) -> None:
    sizes = sorted({p.similarity.images for p in load_map() if p.data == data})
    tab = visit(f"book/explorer.html#set={data}&size={sizes.index(n)}")
    cells = place(data, n)
    shown = {
        row.locator("th").inner_text().strip().removesuffix("\u00a0✓"): row.locator("td").all_inner_texts()
        for row in tab.locator("#explorer tbody tr").all()
    }
    for strategy, found in cells.items():
        if strategy not in (*SHOWN, "pixels") or len(found) < LEAST:
            assert SAID.get(strategy, strategy) not in shown
            continue
        values = [100 * cell["accuracy"] for cell in found]
        accuracy, seeds, _, learns = shown[SAID.get(strategy, strategy)]
        middle, spread = accuracy.removesuffix(" %").split(" ± ")
        assert float(middle) == pytest.approx(mean(values), abs=0.06)
        assert float(spread) == pytest.approx(stdev(values), abs=0.06)
        assert int(seeds) == len(values)
        if strategy == "feature extraction":
            assert int(learns.replace(",", "")) == 1281 * found[0]["classes"]
    chosen = best_buy(cells)
    assert tab.locator("#explorer .verdict strong").inner_text() == f"Take: {SAID.get(chosen, chosen)}"


def test_the_explorer_expects_off_the_map_what_the_package_expects(visit: Visit) -> None:
    tab = visit("book/explorer.html")
    for shift, each in ((0.26, 16.0), (0.33, 3.0), (0.43, 40.0)):
        rows = tab.evaluate("([shift, each]) => explorer.expect(shift, each).rows", [shift, each])
        there = {row["name"]: row for row in rows}
        data = Similarity(round(each * 10), 10, 0.5, 0.2, shift)
        for row in expect(data, load_map()):
            assert there[row.strategy]["gain"] == pytest.approx(row.gain, abs=1e-3)
            assert there[row.strategy]["spread"] == pytest.approx(row.spread, abs=1e-3)


def test_the_explorer_works_with_the_keyboard_and_its_address_brings_the_answer_back(visit: Visit) -> None:
    tab = visit("book/explorer.html")
    slider = tab.locator("#explorer input[name=size]")
    before = tab.locator("#explorer output[name=images]").inner_text()
    slider.focus()
    slider.press("ArrowRight")
    after = tab.locator("#explorer output[name=images]").inner_text()
    assert int(after.replace(",", "")) > int(before.replace(",", ""))
    tab.locator("#explorer select[name=freeze]").select_option("learns")
    tab.locator("#explorer select[name=budget]").select_option("60")
    answer, address = tab.locator("#explorer .verdict").inner_text(), tab.url
    assert "freeze=learns" in address
    tab.goto("about:blank")
    tab.goto(address)
    assert tab.locator("#explorer .verdict").inner_text() == answer


def test_the_explorer_says_so_where_nothing_fits_and_ignores_a_wrong_address(visit: Visit) -> None:
    tab = visit("book/explorer.html#set=photos&size=5&budget=3&freeze=learns")
    assert "Nothing fits" in tab.locator("#explorer .verdict").inner_text()
    tab = visit("book/explorer.html#set=nonsense&size=99&budget=-1")
    assert "Take:" in tab.locator("#explorer .verdict").inner_text()


def test_images_that_are_far_from_the_map_are_told_to_believe_little(visit: Visit) -> None:
    tab = visit("book/explorer.html#set=own&distance=0.38&perclass=8")
    assert "believe this little" in tab.locator("#explorer .verdict").inner_text()


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet18", "vit_b_16"])
def test_the_stage_diagram_counts_and_rates_what_the_package_would(backbone: str, visit: Visit) -> None:
    tab = visit(f"book/stages.html#network={backbone}&set=photos&learn=2")
    model = tl.TransferModel(backbone, 16, pretrained=False)
    depth = len(model.stages)
    for learn in (2, 0, depth, 1):
        tab.goto("about:blank")
        visit(f"book/stages.html#network={backbone}&set=photos&learn={learn}")
        phase = tl.fine_tuning(learn=learn).phases[0]
        words = [button.inner_text() for button in tab.locator("#stages ol button").all()]
        for text, (name, count, _), rate in zip(words, model.parameter_table(), phase.rates(depth), strict=True):
            assert text.startswith(f"{name} {'learns' if rate else 'frozen'}, {count:,} parameters")
            if rate:
                assert float(text.split("rate ")[1]) == pytest.approx(rate, rel=0.06)


def test_pressing_a_stage_thaws_it_and_all_towards_the_head(visit: Visit) -> None:
    tab = visit("book/stages.html#set=photos&learn=0")
    buttons = tab.locator("#stages ol button")
    buttons.nth(2).focus()
    buttons.nth(2).press("Enter")  # stage2 of stem, stage1 … stage4: it and the two above it
    assert [b.get_attribute("aria-pressed") for b in buttons.all()] == ["false"] * 2 + ["true"] * 4
    assert tab.evaluate("document.activeElement.textContent").startswith("stage2")
    cells = [100 * cell["accuracy"] for cell in STUDY if (cell["set"], cell["learn"]) == ("photos", 3)]
    assert f"{mean(cells):.1f} ± {stdev(cells):.1f} %" in tab.locator("#stages .verdict").inner_text()
    buttons.nth(4).click()  # a learning stage freezes, with all below it
    assert [b.get_attribute("aria-pressed") for b in buttons.all()] == ["false"] * 5 + ["true"]


def test_the_code_of_the_stage_diagram_gives_the_recorded_result(visit: Visit) -> None:
    code = visit("book/stages.html#set=digits&learn=0").locator("#stages code").inner_text()
    made: dict = {}
    exec(code.rpartition("\n")[0], made)
    recorded = next(c for c in STUDY if (c["set"], c["learn"], c["seed"]) == ("digits", 0, 0))
    assert tl.evaluate(made["model"], made["splits"].test).accuracy == pytest.approx(recorded["accuracy"], abs=0.03)


def test_the_study_of_depths_is_complete() -> None:
    found = {(cell["set"], cell["learn"], cell["seed"]) for cell in STUDY}
    wanted = {(s, k, seed) for s in ("photos", "lesions", "digits") for k in range(6) for seed in range(3)}
    assert found == wanted and len(STUDY) == len(wanted)


LESSONS = [page for page in PAGES if page.startswith("lessons/")]


@pytest.mark.parametrize("page", LESSONS)
def test_every_quiz_answers_at_once_and_has_one_right_answer_a_question(page: str, visit: Visit) -> None:
    tab = visit(page)
    answers = tab.locator("#check-yourself > details")
    groups = tab.evaluate("""() => {
      const groups = [];
      for (let node = document.getElementById("check-yourself").firstElementChild; node; node = node.nextElementSibling)
        if (node.tagName === "DETAILS") groups[groups.length - 1].push(node); else groups.push([]);
      return groups.filter(g => g.length).map(g => g.length);
    }""")
    assert 3 <= len(groups) <= 5
    for index in range(answers.count()):
        answers.nth(index).locator("summary").first.click()
    right = [answers.nth(i).evaluate("node => node.classList.contains('right')") for i in range(answers.count())]
    start = 0
    for size in groups:
        assert sum(right[start : start + size]) == 1
        start += size
    assert f"of {len(groups)} right at the first try" in tab.locator(".quiz-score").inner_text()


def test_a_quiz_is_answered_with_the_keyboard_remembered_here_and_started_again(visit: Visit) -> None:
    page = "lessons/05_feature_extraction.html"
    tab = visit(page)
    summary = tab.locator("#check-yourself > details > summary").first
    summary.focus()
    summary.press("Enter")
    tab.locator(".quiz-score button").wait_for()
    told = tab.locator(".quiz-score span").inner_text()
    assert "at the first try" in told and "to go" in told
    tab.reload(wait_until="networkidle")
    assert tab.locator(".quiz-score span").inner_text() == told
    tab.locator(".quiz-score button").press("Enter")
    assert tab.locator(".quiz-score").inner_text().strip() == ""
    assert tab.evaluate("localStorage.getItem('head-start-quizzes')") == "{}"


def test_a_strategy_has_one_colour_on_the_site_and_in_the_figures() -> None:
    sheet = (TOOLS.parent / "_static" / "course.css").read_text()
    names = {"from scratch": "scratch", "feature extraction": "probe", "progressive unfreezing": "progressive"}
    for strategy in (make().name for make in STRATEGIES.values()):
        variable = f"--{names.get(strategy, strategy.lower().replace(' ', '-'))}"
        assert strategy in COLOURS, f"give {strategy!r} a colour in plots.COLOURS"
        here = f"{variable}: {COLOURS[strategy].lower()};"
        assert here in sheet, f"write {here!r} into :root of book/_static/course.css"
        assert sheet.count(f"{variable}: #") == 2, f"give {variable} a colour for the dark theme, too, in course.css"
