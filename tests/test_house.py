"""The package is a house with an order: what a student reads first knows nothing of the workshops behind it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import transferlib

ROOT = Path(transferlib.__file__).parent
# fmt: off
ORDER = (
    "deprecated", "errors", "files", "data", "stages", "networks", "model", "strategies", "run", "engine", "features",
    "evaluation", "training", "probe", "evidence", "plots", "check", "ship", "advice", "cli", "__init__", "__main__",
)
# fmt: on
"""Files and folders of the package; each imports only from those before it."""
CORE = ["errors", "stages", "strategies", "model", "features", "training", "evaluation", "run", "plots"]
CORE_LINES, ALL_LINES = 1000, 5555


def modules():
    return sorted(path for path in ROOT.rglob("*.py"))


def imports(path):
    """The modules of the package that a file imports, wherever in it: also in functions and for type checkers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1:] for name in names if name.split(".")[0] == "transferlib")


def lines_of_code(path):
    """Without docstrings, comments and blank lines."""
    source = path.read_text(encoding="utf8")
    strings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for part in node.body
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
        for line in range(part.lineno, part.end_lineno + 1)
    }
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in strings for n, line in lines)


def test_every_file_and_folder_has_its_place_in_the_order():
    assert {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in modules()} == set(ORDER)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_import_points_up(path):
    own = ORDER.index(path.relative_to(ROOT).parts[0].removesuffix(".py"))
    for name in imports(path):
        if name[0] in ORDER:
            assert ORDER.index(name[0]) <= own, f"imports {'.'.join(name)}, which comes later in the order"


def test_no_folder_has_a_circle_inside():
    for folder in (path for path in ROOT.rglob("*") if path.is_dir() and (path / "__init__.py").exists()):
        own = list(folder.relative_to(ROOT).parts)
        depends = {}
        for path in folder.glob("*.py"):
            inside = [name[len(own)] for name in imports(path) if name[: len(own)] == own and len(name) > len(own)]
            depends[path.stem] = {name for name in inside if (folder / f"{name}.py").exists()}
        while depends:
            free = {name for name, wanted in depends.items() if not wanted & set(depends)}
            assert free, f"{folder}: a circle among {sorted(depends)}"
            depends = {name: wanted for name, wanted in depends.items() if name not in free}


def test_a_student_reads_about_a_thousand_lines_and_all_stays_small():
    core = sum(lines_of_code(ROOT / f"{name}.py") for name in CORE)
    every = sum(map(lines_of_code, modules()))
    told = "lines of code, the limit is {}: take something out, or raise it and say in the commit what it buys"
    assert core <= CORE_LINES, f"the core has {core} {told.format(CORE_LINES)}"
    assert every <= ALL_LINES, f"the package has {every} {told.format(ALL_LINES)}"


@pytest.mark.parametrize("words", [[], ["train"]])
def test_asking_for_help_waits_for_nothing_heavy(words):
    """PyTorch alone takes seconds to import."""
    command = [sys.executable, "-X", "importtime", "-m", "transferlib", *words, "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "argparse" in imported
    assert not {"torch", "torchvision", "numpy", "scipy", "sklearn", "PIL"} & imported


def test_every_public_name_can_be_had():
    assert all(getattr(transferlib, name) is not None for name in transferlib.__all__)
