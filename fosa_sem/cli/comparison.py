"""What ``compare`` does, once its arguments are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fosa_sem.cli.commands import make_imputer, say_written
from fosa_sem.cli.files import check_distinct, check_table_output, read_model
from fosa_sem.data.reading import read_table, write_table
from fosa_sem.errors import OptionError
from fosa_sem.evaluate import baselines
from fosa_sem.evaluate.ablate import columns_of_model
from fosa_sem.evaluate.experiment import Method, compare
from fosa_sem.report.text import accuracy_text

BASELINES: dict[str, Callable[[pd.DataFrame, int], pd.DataFrame]] = {
    "mean": baselines.column_mean,
    "saturated": baselines.saturated_fiml,
    "neighbours": baselines.nearest_neighbours,
    "ridge": baselines.chained_ridge,
    "extra-trees": baselines.chained_extra_trees,
    "forest": baselines.chained_forest,
}
DEFAULT_METHODS = ("mean", "saturated", "fosa")
FIGURES = (".png", ".svg", ".pdf")


def run(args: argparse.Namespace) -> None:
    """Compare methods on hidden cells, print the scores, and write table and figure if they are asked for."""
    check_distinct([args.model, args.data], [args.output, args.figure])
    if args.figure and Path(args.figure).suffix.lower() not in FIGURES:
        raise OptionError(f"{args.figure}: a figure's file name must end in {', '.join(FIGURES)}")
    model, data = read_model(args.model), read_table(args.data)
    table = columns_of_model(model, data, args.group)
    if args.output:
        check_table_output(args.output, pd.DataFrame({"method": ["mean"], "r2": [0.0]}))
    comparison = compare(
        table, {name: _method(name, args, model) for name in args.methods}, proportion=args.proportion,
        mechanism=args.mechanism, seeds=args.seeds, columns=[name for name in table if name != args.group],
    )  # fmt: skip
    print(accuracy_text(comparison))
    if args.output:
        write_table(comparison, args.output)
    if args.figure:
        from fosa_sem.report.ablation_plots import plot_ablation

        plot_ablation(comparison).savefig(args.figure)
    say_written(args.output, args.figure)


def _method(name: str, args: argparse.Namespace, model: str) -> Method:
    if name != "fosa":
        fill, group = BASELINES[name], args.group
        return lambda table, seed: table.assign(**dict(fill(table.drop(columns=group or []), seed)))

    def fosa(table: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
        imputer = make_imputer(args, model, seed).fit(table)
        sem = {"sem": imputer.completion_.to_frame()}
        return sem | {"refined": imputer.refined_.to_frame()} if args.refine else sem

    return fosa
