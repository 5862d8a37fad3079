"""Executes the pages that have changed, two at a time, and says how far it is; the build then finds them in its cache.

    python book/_tools/execute.py

Sphinx would execute one after another. What a lesson printed when it was tested is taken from there. A page that fails
is not kept: the build meets it again, and reports it.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
AT_ONCE = 2


def execute(path: Path, timeout: int) -> tuple[str, float, bool]:
    """The executed notebook as text, how long it took, and whether it went through."""
    done = single_nb_execution(nbformat.read(path, 4), cwd=str(path.parent), timeout=timeout, allow_errors=False)
    return nbformat.writes(done.nb), done.time, done.err is None


def main() -> None:
    """The command line."""
    from fresh_results import cache_folder, tested_folder

    timeout = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["execute"]["timeout"]
    cache = get_cache(cache_folder(ROOT))

    def is_known(path: Path) -> bool:
        try:
            return bool(cache.match_cache_notebook(nbformat.read(path, 4)))
        except KeyError:
            return False

    def keep(path: Path, notebook: nbformat.NotebookNode, **data: float) -> None:
        bundle = CacheBundleIn(notebook, str(path), data=data)
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)

    wanted = []
    for path in sorted((ROOT / "lessons").glob("[0-9][0-9]_*.ipynb")):
        tested = tested_folder(ROOT) / path.name
        if not is_known(path) and tested.exists():
            keep(path, nbformat.read(tested, 4))
        if not is_known(path):
            wanted.append(path)
    if not wanted:
        return
    print(f"executing {len(wanted)} lessons, {AT_ONCE} at a time:", *(path.stem for path in wanted), flush=True)
    begun = time.perf_counter()
    with ProcessPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(execute, path, timeout): path for path in wanted}
        for number, future in enumerate(as_completed(running), start=1):
            path, (text, seconds, succeeded) = running[future], future.result()
            if succeeded:
                keep(path, nbformat.reads(text, 4), execution_seconds=seconds)
            left = (time.perf_counter() - begun) / number * (len(wanted) - number) / 60
            how = f"{seconds:.0f} s" if succeeded else "failed: the build says why"
            print(f"{number}/{len(wanted)} {path.stem}: {how}; about {left:.0f} min left", flush=True)


if __name__ == "__main__":
    main()
