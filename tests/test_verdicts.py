"""What the end of a build says: which lesson broke, where and what to do, and which claims do not hold here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
CONFIG = """
title: A small book
only_build_toc_files: true
execute: {{execute_notebooks: cache, raise_on_error: false, timeout: 60}}
sphinx:
  local_extensions: {{verdicts: {extensions}}}
"""


@pytest.fixture
def build(tmp_path):
    (tmp_path / "lessons").mkdir()
    (tmp_path / "_config.yml").write_text(CONFIG.format(extensions=ROOT / "book" / "_ext"))
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: lessons/01_some\n")

    def build(*sources: str) -> tuple[int, str]:
        if sources:
            cells = [nbformat.v4.new_markdown_cell("# Some")]
            cells += [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
            notebook = nbformat.v4.new_notebook(cells=cells)
            notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(notebook, tmp_path / "lessons" / "01_some.ipynb")
        book = "import jupyter_book.cli.main as cli; cli.main()"
        command = [sys.executable, "-c", book, "build", ".", "--all", "-W", "-n", "--keep-going"]
        done = subprocess.run(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.returncode, done.stdout

    return build


@pytest.mark.thorough
def test_a_broken_invariant_fails_every_build_until_it_is_mended_and_the_last_lines_say_where(build):
    broken = ("import transferlib as tl", "# Check: counts\nassert 2 == 1, 'two is one'")
    for sources in (broken, ()):  # the second build finds nothing changed, and still fails
        code, said = build(*sources)
        assert code != 0 and "Traceback" not in said
        end = said.strip().splitlines()[-3:]
        assert end[0] == "lessons/01_some.ipynb, code cell 2 (cell-1: # Check: counts)"
        assert end[1].strip() == "AssertionError: two is one"
        assert "must hold on every machine" in end[2] and "requirements.txt" in end[2]
    code, said = build("import transferlib as tl", 'tl.claim("k", "always", "It is so.", tl.above(1.0))')
    assert code == 0 and said.strip().splitlines()[-1] == "1 of 1 claims hold here."


def test_a_crash_names_the_cell_and_how_to_look_at_it(build):
    code, said = build("1 / 0")
    assert code != 0 and "ZeroDivisionError: division by zero" in said
    assert said.strip().splitlines()[-1].strip().startswith("Open the lesson with `make lab`")


@pytest.mark.thorough
def test_a_fallen_claim_is_told_and_too_many_fail_the_build(build):
    cell = 'tl.claim("k{0}", "always", "Sentence {0}.", tl.above({1}, 0.5))'
    code, said = build("import transferlib as tl", *(cell.format(i, float(i > 0)) for i in range(6)))
    assert code == 0
    assert "01_some: k0 (always) does not hold here: Sentence 0. Measured: 0.000; claimed: above 0.500" in said
    assert said.strip().splitlines()[-1] == "5 of 6 claims hold here."
    code, said = build("import transferlib as tl", *(cell.format(i, float(i > 3)) for i in range(6)))
    assert code != 0 and "4 at once are more than chance makes plausible" in said
