"""The command line ``fosa-sem``.

`command_line` reads the arguments and turns errors into one line and an exit code; `commands` and `demo` do
the work; `files` looks at inputs and outputs before it starts.
"""

from fosa_sem.cli.command_line import main

__all__ = ["main"]
