"""The command line: advise, train, evaluate, predict, export and look at data, on the reader's own photographs.

`parser` knows the words and their help, and imports nothing heavy; what a command does is a function of its
arguments in `train`, `use` or `data`, which returns the exit code. To add one, write it there and give it its words.
"""

import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from transferlib.cli.parser import make_parser
from transferlib.errors import TransferError
from transferlib.files.waiting import waiting


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 if all went well, 1 on an error, 130 on Ctrl-C; wrong usage exits with 2.

    Whoever reads the output may stop (`| head`): then it ends without a word, with 141, as other programs do.
    """
    is_main = os.environ.get("RANK", "0") == "0"  # of several processes one talks

    def tell(line: str) -> None:
        if is_main:
            print(line, file=sys.stderr)

    terminal = sys.stdout if isinstance(sys.stdout, io.TextIOWrapper) else None
    if terminal:  # it may lack letters, and names of files may hold bytes that are no text
        terminal.reconfigure(errors="backslashreplace")
    note = cache(tell)  # what is said of every batch is said once
    warnings.showwarning = lambda message, *_, **__: note(f"note: {message}")
    log, notes = logging.getLogger("transferlib"), logging.StreamHandler(sys.stderr)
    notes.setFormatter(logging.Formatter("note: %(message)s"))
    log.setLevel(logging.INFO if is_main else logging.ERROR)
    log.addHandler(notes)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # to stop is to stop as Ctrl-C does
    try:
        try:
            args = make_parser().parse_args(argv)
            module, command = args.run
            with waiting("loading PyTorch"):
                import_module("transferlib.engine.memory").keep_freed_memory()
                run = getattr(import_module(f"transferlib.cli.{module}"), command)
            return int(run(args))
        finally:
            if terminal:
                terminal.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
        return 141
    except TransferError as error:
        tell(f"error: {error}")
        return 1
    except OSError as error:
        where = "the output" if error.filename is None else repr(str(error.filename))
        why = error.strerror or error
        tell(f"error: {where} cannot be read or written ({why}). Choose another place, or free some.")
        return 1
    except (MemoryError, RuntimeError) as error:
        if not import_module("transferlib.engine.memory").out_of_memory(error):
            raise
        tell(f"error: out of memory: {error or 'choose a smaller --image-size, --input-size or --batch-size.'}")
        return 1
    except KeyboardInterrupt:
        tell("interrupted")
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
        log.removeHandler(notes)
