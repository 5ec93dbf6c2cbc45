"""What ``fit``, ``impute`` and ``report`` do, once their arguments are read."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Literal

from fosa_sem import api
from fosa_sem.cli.files import check_distinct, check_report, check_table_output, read_model
from fosa_sem.data.reading import read_table, write_table
from fosa_sem.imputation.completion import Origin
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.report.formatting import display_width, pad_right, shorten
from fosa_sem.report.plain import WIDTH
from fosa_sem.report.text import metrics_text
from fosa_sem.results import SemResults

if TYPE_CHECKING:
    from fosa_sem.imputer import FosaImputer

_FUNCTIONS = {"sem": api.sem, "cfa": api.cfa, "growth": api.growth, "lavaan": api.lavaan}


def fit(args: argparse.Namespace) -> None:
    """Fit a model, write the report if one is asked for, and print the summary."""
    check_distinct([args.model, args.data], [args.report])
    check_report(args.report)
    results = fit_model(args)
    if args.report:
        results.report(args.report)
    print(results.summary(ci=args.ci))
    say_written(args.report)


def fit_model(args: argparse.Namespace) -> SemResults:
    """Read model and table and fit."""
    model, data = read_model(args.model), read_table(args.data)
    return _FUNCTIONS[args.func](
        model,
        data,
        missing=args.missing,
        auxiliary=tuple(args.auxiliary),
        estimator=args.estimator,
        engine=args.engine,
        fixed_x=args.fixed_x,
        std_lv=args.std_lv,
        group=args.group,
    )


def impute(args: argparse.Namespace) -> None:
    """Fill a table, write it, and print what was filled."""
    check_distinct([args.model, args.data], [args.output, args.report])
    check_report(args.report)
    model, data = read_model(args.model), read_table(args.data)
    check_table_output(args.output, data)
    imputer = make_imputer(args, model, args.seed).set_params(output=args.fill).fit(data)
    write_table(imputer.transform(data), args.output)
    if args.report:
        imputer.report(args.report)
    print(filled_text(imputer))
    say_written(args.output, args.report)


def report(args: argparse.Namespace) -> None:
    """Fit, fill, refine and evaluate; write the report and print the metrics."""
    check_distinct([args.model, args.data], [args.output])
    check_report(args.output)
    model, data = read_model(args.model), read_table(args.data)
    imputer = make_imputer(args, model, args.seed).fit(data)
    imputer.evaluate(proportion=args.proportion, seeds=(args.seed,))
    imputer.report(args.output)
    print(imputation_text(imputer))
    say_written(args.output)


def filled_text(imputer: FosaImputer) -> str:
    """Count per variable the cells that were filled, and by what.

    Parameters
    ----------
    imputer : FosaImputer
        Fitted.

    Returns
    -------
    str
        At most 80 columns wide, without a newline at the end.
    """
    completion = imputer.refined_
    field = min(max(22, *(display_width(name) + 3 for name in completion.variables)), WIDTH - 30)
    lines = [f"Filled Cells ({len(completion.values)} rows):"]
    lines.append(" " * field + "".join(f"{heading:>10}" for heading in ("Missing", "SEM", "Refined")))
    for j, name in enumerate(completion.variables):
        missing = int((~completion.observed[:, j]).sum())
        refined = int((completion.origin[:, j] == Origin.REFINED).sum())
        lines.append(
            pad_right("  " + shorten(name, field - 3), field) + f"{missing:>10}{missing - refined:>10}{refined:>10}"
        )
    return "\n".join(lines)


def imputation_text(imputer: FosaImputer) -> str:
    """Metrics and gates as text of 80 columns."""
    return metrics_text(imputer.imputation_report())


def make_imputer(args: argparse.Namespace, model: str, seed: int) -> FosaImputer:
    """The imputer that the arguments ask for."""
    from fosa_sem.imputer import FosaImputer

    refiner: RefinerConfig | Literal["attention"]
    refiner = "attention" if args.epochs is None else RefinerConfig(seed=seed, epochs=args.epochs)
    return FosaImputer(
        model,
        func=args.func,
        refiner=refiner if args.refine else None,
        engine=args.engine,
        sem_options={"estimator": args.estimator, "std_lv": args.std_lv, "group": args.group},
        seed=seed,
    )


def say_written(*paths: str | None) -> None:
    """Say which files were written."""
    for path in filter(None, paths):
        print(f"\nWritten: {path}")
