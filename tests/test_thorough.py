"""Whether CI tries what is slow by nature: where nothing changed that a slow test rests on it may not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASH = shutil.which("bash")
by_bash = pytest.mark.skipif(os.name == "nt" or not BASH or not shutil.which("git"), reason="needs bash and git")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a small repository, with .ci/thorough in it."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    for folder in (".ci", "book", "transferlib"):
        (origin / folder).mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "thorough", origin / ".ci")
    for file in ("README.md", "book/page.md", "transferlib/model.py"):
        (origin / file).write_text("before\n")
    git(origin, "init", "-q", "-b", "main")
    commit(origin)
    git(tmp_path, "clone", "-q", str(origin), str(clone))
    return clone


def git(folder: Path, *words: str) -> None:
    """Run git as nobody in particular."""
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=n@n", *words], cwd=folder, check=True)


def commit(folder: Path) -> None:
    """All that is there."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "c")


def decide(folder: Path, **more: str) -> tuple[bool, str]:
    """Whether everything is tried, and why."""
    known = {name: value for name, value in os.environ.items() if name not in {"THOROUGH", "LANDED"}}
    done = subprocess.run(
        [str(BASH), str(folder / ".ci" / "thorough")], env=known | more, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1)
    assert done.stderr.count("\n") == 1 and not done.stdout
    assert done.stderr.startswith(f"slow tests: {'yes' if done.returncode == 0 else 'no'}, ")
    return done.returncode == 0, done.stderr


def write(*names: str) -> Callable[[Path], None]:
    """Something else in these files."""

    def change(clone: Path) -> None:
        for name in names:
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_text("after\n")

    return change


def remove(clone: Path) -> None:
    (clone / "transferlib" / "model.py").rename(clone / "book" / "model.md")


@by_bash
@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize(
    ("change", "everything", "told"),
    [
        (write("README.md", "book/page.md"), False, "only these changed, on which none rests: README.md book/page.md"),
        (write("book/new.md", "book/new.css"), False, "none rests: book/new.css book/new.md"),
        (write("lessons/01_new.ipynb", "lessons/studies/map.json"), False, "none rests: lessons/01_new.ipynb"),
        (write("lessons/studies/map.py"), True, "lessons/studies/map.py"),
        (write("lessons/coursework/new.ipynb"), True, "lessons/coursework/new.ipynb"),
        (write("book/her.js"), True, "book/her.js"),
        (write("README.md", "transferlib/model.py"), True, "transferlib/model.py"),
        (write("transferlib/new.py"), True, "transferlib/new.py"),
        (remove, True, "transferlib/model.py"),
    ],
)
def test_ci_leaves_out_what_is_slow_only_where_nothing_changed_that_it_rests_on(
    change: Callable[[Path], None], everything: bool, told: str, committed: bool, clone: Path
) -> None:
    change(clone)
    if committed:
        commit(clone)
    decided, why = decide(clone)
    assert decided == everything and told in why


@by_bash
def test_whoever_cannot_know_what_changed_tries_everything(clone: Path, tmp_path: Path) -> None:
    assert decide(clone)[0]  # nothing differs: it has landed, and who knows since when
    write("README.md")(clone)
    commit(clone)
    assert not decide(clone)[0] and not decide(clone, LANDED="HEAD~1")[0]
    assert "is not here" in decide(clone, LANDED="f" * 40)[1]
    assert "is set" in decide(clone, THOROUGH="1")[1]
    git(clone, "remote", "remove", "origin")
    assert "no main branch" in decide(clone)[1]
    shutil.rmtree(clone / ".git")
    assert "without git" in decide(clone, GIT_CEILING_DIRECTORIES=str(tmp_path))[1]


def test_what_is_on_record_as_slow_exists() -> None:
    for line in (ROOT / "tests" / "seconds.tsv").read_text(encoding="utf-8").splitlines():
        file, _, function = line.split("\t")[1].partition("[")[0].partition("::")
        assert f"def {function.split('::')[-1]}(" in (ROOT / file).read_text(encoding="utf-8") or not function, line
