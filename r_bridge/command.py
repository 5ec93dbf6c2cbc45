"""``fosa-sem crosscheck MODEL DATA``: registered under the entry point group ``fosa_sem.commands``."""

from __future__ import annotations

import argparse
from typing import Any

DIFFERENT = 1
"""Exit code where a number differs."""


def register(subparsers: Any) -> None:
    """Add the command to the parser of ``fosa-sem``."""
    from fosa_sem.cli.command_line import add_fit_arguments

    parser = subparsers.add_parser(
        "crosscheck",
        help="compare a fit with R's lavaan, number by number",
        description="Fits the model to the table, fits it once more with lavaan in R, and prints how far every "
        f"number that both report differs. Exit code {DIFFERENT} if one differs for an unknown reason. Needs R with "
        'lavaan, and rpy2 (pip install "fosa-sem[r]").',
    )
    add_fit_arguments(parser)
    parser.add_argument("--table", metavar="FILE", help="write every number too: .csv, .tsv, .parquet")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, compare, print; write the report and the table if they are asked for."""
    from fosa_sem.cli import commands
    from fosa_sem.cli.files import check_distinct, check_report
    from fosa_sem.data.reading import write_table
    from r_bridge.comparison import crosscheck
    from r_bridge.session import require_r

    check_distinct([args.model, args.data], [args.report, args.table])
    check_report(args.report)
    require_r()
    results = commands.fit_model(args)
    check = crosscheck(results)
    if args.report:
        results.report(args.report, sections=[check.section()])
    if args.table:
        write_table(check.to_frame(), args.table)
    print(check.summary())
    commands.say_written(args.report, args.table)
    return 0 if check.ok else DIFFERENT
