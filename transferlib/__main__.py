"""`python -m transferlib` is the command `transferlib`."""

from transferlib.cli import main

raise SystemExit(main())
