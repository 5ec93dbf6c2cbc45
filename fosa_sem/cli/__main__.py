"""``python -m fosa_sem.cli``."""

from fosa_sem.cli.command_line import main

raise SystemExit(main())
