"""Starts the kernel that runs a submission, shut in: no network, no files but its own, limited memory.

A kernel specification names this file; see `coursework.py`. It sets the limits and becomes bubblewrap
(https://github.com/containers/bubblewrap), which becomes the kernel:

* **seen**, read-only: the system's programs and libraries, this Python and `transferlib`;
  not the course folder, the sources with their solutions, other submissions, the gradebook, the home folder;
* **written**: folders in memory. The submission's other files are seen there; its notebook is not, because the one
  that is graded holds the hidden tests;
* **reached**: nothing. The grader talks to the kernel by sockets in one folder, which is all that both share.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MEMORY, FILE, DISK, CPU_SECONDS = 8 << 30, 64 << 20, 256 << 20, 1200
INSIDE = "/tmp/submission"
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")


def wall(work: Path, shared: Path, package: Path) -> list[str]:
    """Bubblewrap with everything it lets through; what is to run inside comes after it."""
    seen = [(path, path) for path in (*SYSTEM, sys.base_prefix, sys.prefix, str(package))]
    seen += [(str(path), f"{INSIDE}/{path.name}") for path in work.iterdir() if path.suffix != ".ipynb"]
    return [
        "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--proc", "/proc",
        "--dev", "/dev",
        "--size", str(DISK), "--tmpfs", "/tmp",
        "--dir", INSIDE,
        *(word for pair in seen for word in ("--ro-bind-try", *pair)),
        "--bind", str(shared), str(shared),
        "--chdir", INSIDE,
        "--clearenv",
        "--setenv", "HOME", "/tmp",
        "--setenv", "PATH", f"{sys.prefix}/bin:/usr/bin:/bin",
        "--setenv", "LANG", "C.UTF-8",
        "--setenv", "OMP_NUM_THREADS", "1",
        "--setenv", "PYTHONPATH", str(package.parent),
        "--setenv", "IPYTHONDIR", "/tmp/.ipython",
    ]  # fmt: skip


def obstacle() -> str:
    """Why this machine cannot shut a submission in; empty where it can."""
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (Debian, Ubuntu: sudo apt install bubblewrap)"
    with tempfile.TemporaryDirectory() as empty:
        here = Path(empty)
        tried = subprocess.run([*wall(here, here, here), "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() and f"bubblewrap does not work here: {tried.stderr.strip()}"


def main() -> None:
    """Become the kernel: CONNECTION_FILE PACKAGE [--open]; with --open only limited, not shut in."""
    connection, package = Path(sys.argv[1]), Path(sys.argv[2])
    for what, limit in (
        (resource.RLIMIT_DATA, MEMORY),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    # The kernel watches for the death of a parent, which inside has another number.
    os.environ.pop("JPY_PARENT_PID", None)
    # What is written past the kernel would end up in the grader's own words.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    kernel = [sys.executable, "-m", "ipykernel_launcher", "-f", str(connection), "--HistoryManager.enabled=False"]
    if "--open" in sys.argv:
        os.execv(kernel[0], kernel)
    assert json.loads(connection.read_text())["transport"] == "ipc"
    os.execvp("bwrap", [*wall(Path.cwd(), connection.parent, package), *kernel])


if __name__ == "__main__":
    main()
