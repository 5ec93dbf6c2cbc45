"""Arguments in, exit code out: 0 done, 2 bad input (one line on stderr), 130 interrupted, 141 broken pipe."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, NoReturn, TextIO

from fosa_sem.cli import commands, comparison, demo
from fosa_sem.cli.files import STDIN
from fosa_sem.errors import FosaError, FosaWarning, ModelSpecificationError, ModelSyntaxError
from fosa_sem.report.collect import package_version

PROGRAM = "fosa-sem"
BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
COMMANDS_GROUP = "fosa_sem.commands"
"""Entry points of further commands: ``register(subparsers)`` adds a parser with a default ``run(args)``."""
_MODEL_HELP = "text file with the model in lavaan's syntax; - reads standard input"
_DATA_HELP = "table: .csv, .tsv, .parquet, SPSS .sav or Stata .dta"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        Exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    args: argparse.Namespace | None = None
    try:
        with _one_line_warnings():
            args = build_parser().parse_args(argv)
            code = args.run(args)
            sys.stdout.flush()
        return int(code or 0)
    except FosaError as error:
        print(f"{PROGRAM}: error: {_message(error, getattr(args, 'model', None))}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered must not raise once more when Python closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _message(error: FosaError, model: str | None) -> str:
    """Put a message on one line; one that points into the model keeps its source line and carets."""
    if isinstance(error, ModelSyntaxError | ModelSpecificationError) and error.span is not None:
        return str(error) if model in (None, STDIN) else f"{model}, {error}"
    return " ".join(" ".join([str(error), *getattr(error, "__notes__", ())]).split())


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Print each warning once, as one line on stderr; what concerns developers only stays silent."""
    said: set[str] = set()

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        text = " ".join(str(message).split())
        if text not in said:
            said.add(text)
            print(f"warning: {text}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


# ---- the parser --------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, and whose help is at most 80 columns wide."""

    def __init__(self, **options: Any) -> None:
        width = min(shutil.get_terminal_size().columns, 80) - 2
        options.setdefault(
            "formatter_class", lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=width)
        )
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands, those of other packages included.

    Warns
    -----
    FosaWarning
        If a command of another package cannot be loaded.
    """
    parser = _Parser(
        prog=PROGRAM,
        description="Structural equation models with missing data: FIML estimation, model-implied "
        "imputation, self-attention refinement, reports.",
        epilog=f"'{PROGRAM} COMMAND --help' tells more. Start with '{PROGRAM} demo'.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {package_version() or '(not installed)'}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(subparsers)
    _add_fit(subparsers)
    _add_impute(subparsers)
    _add_report(subparsers)
    _add_compare(subparsers)
    for entry in entry_points(group=COMMANDS_GROUP):
        try:
            entry.load()(subparsers)
        except ImportError as error:
            warnings.warn(f"command {entry.name!r} is not available: {error}", FosaWarning, stacklevel=2)
    return parser


def _add_demo(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="the whole job on bundled health data",
        description="Fits a cardiometabolic model to adults of NHANES 2017-2018, fills and refines the "
        "missing cells, measures on hidden cells how well that works, prints summary and metrics, and "
        f"writes {demo.REPORT}. Takes less than a minute on two cores. The data are used unweighted: no "
        "population estimates.",
    )
    parser.add_argument("--output", metavar="FOLDER", default=".", help="where to write (default: here)")
    _add_seed(parser)
    parser.set_defaults(run=demo.run)


def _add_fit(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "fit",
        help="fit a model by FIML and print the summary",
        description="Fits a structural equation model to a table with missing values by full-information "
        "maximum likelihood and prints the summary.",
    )
    add_fit_arguments(parser)
    parser.add_argument("--ci", action="store_true", help="print 95%% confidence limits")
    parser.set_defaults(run=commands.fit)


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `fosa_sem.cli.commands.fit_model` reads, and ``--report``; for commands of other packages too."""
    _add_inputs(parser)
    _add_model_options(parser)
    parser.add_argument(
        "--fixed-x",
        action=argparse.BooleanOptionalAction,
        help="keep the sample moments of exogenous variables and drop rows where one is missing (lavaan's "
        "default), or model them and keep all rows",
    )
    parser.add_argument(
        "--missing", default="fiml", metavar="NAME",
        help="fiml (default), fiml.x (keeps rows in which an exogenous variable is missing), listwise, two.stage or "
        "robust.two.stage",
    )  # fmt: skip
    parser.add_argument(
        "--auxiliary", nargs="+", default=(), metavar="COLUMN",
        help="columns outside the model that inform about missing values",
    )  # fmt: skip
    _add_report_option(parser)


def _add_impute(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "impute",
        help="fill the missing cells of a table",
        description="Fits the model with exogenous variables modelled, fills every missing cell of its "
        "variables with the conditional expectation given the row's observed cells, refines these values "
        "by self-attention, and writes the table. Filled values are point predictions: standard errors and "
        "tests belong to the FIML fit.",
    )
    _add_inputs(parser)
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="table to write; formats as for DATA")
    _add_model_options(parser)
    _add_refiner_options(parser)
    parser.add_argument(
        "--fill", choices=("expected", "category"), default="expected",
        help="what fills categories: the expected value (default) or the most probable category",
    )  # fmt: skip
    _add_report_option(parser)
    parser.set_defaults(run=commands.impute)


def _add_report(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "report",
        help="fit, fill, refine, evaluate: all in one report",
        description="Does what impute does; then hides observed cells, does everything once more without "
        "them, and scores column mean, model and refinement on them. Prints the scores and writes a report.",
    )
    _add_inputs(parser)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="report to write: .html, .md or .txt")
    _add_model_options(parser)
    _add_refiner_options(parser)
    parser.add_argument(
        "--proportion", type=float, default=0.1, metavar="P", help="share of cells to hide (default: 0.1)"
    )
    parser.set_defaults(run=commands.report)


def _add_compare(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "compare",
        help="score ways to fill the same hidden cells",
        description="Hides observed cells of the model's columns, fills them by several methods that see the rest "
        "alone, and prints their scores. The seeds choose the cells and are those of the methods.",
    )
    _add_inputs(parser)
    known = ("fosa", *comparison.BASELINES)
    parser.add_argument(
        "--methods", nargs="+", choices=known, default=comparison.DEFAULT_METHODS, metavar="NAME",
        help=f"of {', '.join(known)} (default: {' '.join(comparison.DEFAULT_METHODS)}); with fosa comes the bare model",
    )  # fmt: skip
    cells = parser.add_mutually_exclusive_group()
    cells.add_argument("--proportion", type=float, metavar="P", help="share of cells to hide (default: 0.1)")
    cells.add_argument(
        "--mechanism",
        choices=("MCAR", "MAR", "MNAR"),
        help="hide cells of complete data by this mechanism, half the rows",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="repetitions (default: 0)")
    parser.add_argument("-o", "--output", metavar="OUT", help="table of all scores to write; formats as for DATA")
    parser.add_argument("--figure", metavar="FILE", help="figure of R2 to write: .png, .svg or .pdf")
    _add_model_options(parser)
    _add_refinement(parser)
    parser.set_defaults(run=comparison.run)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="text file with the model in lavaan's syntax; - reads standard input"
    )
    parser.add_argument("data", metavar="DATA", help="table: .csv, .tsv, .parquet, SPSS .sav or Stata .dta, by suffix")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--func",
        choices=("sem", "cfa", "growth", "lavaan"),
        default="sem",
        help="lavaan's function whose defaults complete the model (default: sem)",
    )
    parser.add_argument(
        "--engine",
        default="native",
        metavar="NAME",
        help="finds the estimates: native (default), semopy or lavaan (in R)",
    )
    parser.add_argument(
        "--estimator", default="ML", metavar="NAME",
        help="ML (default), MLR (robust standard errors and test), MLF, or MLM (complete rows)",
    )  # fmt: skip
    parser.add_argument("--std-lv", action="store_true", help="fix latent variances, not first loadings")
    parser.add_argument("--group", metavar="COLUMN", help="column that holds the groups")


def _add_refiner_options(parser: argparse.ArgumentParser) -> None:
    _add_refinement(parser)
    _add_seed(parser)


def _add_refinement(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--no-refine", dest="refine", action="store_false", help="keep what the model implies")
    choice.add_argument(
        "--epochs", type=int, metavar="N", help="most passes over the rows (default: the refiner's own)"
    )


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default: 0)")


def _add_report_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", metavar="FILE", help="write a report too: .html, .md or .txt")
