"""What each part of the method is worth: the full method beside versions that lack one part."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from fosa_sem.data.checks import check_column_values, check_names, check_table, column_parts
from fosa_sem.errors import OptionError
from fosa_sem.evaluate.baselines import column_mean, saturated_fiml
from fosa_sem.evaluate.experiment import Amputing, compare
from fosa_sem.evaluate.masking import BoolArray, FloatArray, aligned_mask
from fosa_sem.imputation.column_types import ColumnTypes
from fosa_sem.imputation.completion import Completion, GaussianRule
from fosa_sem.imputation.conditional import complete
from fosa_sem.imputation.joint_fit import coded_categories, joint_fit_options
from fosa_sem.inference.ridge import fit_or_ridge
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.syntax.groups import relations_of_first_group
from fosa_sem.syntax.names import classify
from fosa_sem.syntax.options import FunctionName
from fosa_sem.syntax.parser import parse_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A version of the refined method.

    Attributes
    ----------
    changes : dict
        Options of the refiner that differ.
    base : {"given", "paper"}
        Whose options: those given to `ablation`, or the FOSA paper's.
    start : {"sem", "means"}
        What is refined: the SEM's conditional expectations, or the column means, without a look at other columns.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    base: Literal["given", "paper"] = "given"
    start: Literal["sem", "means"] = "sem"


VARIANTS: dict[str, Variant] = {
    "attention without FIML start": Variant(start="means"),
    "FOSA without covariance loss": Variant(changes={"weight_covariance": 0.0}),
    "FOSA without L1": Variant(changes={"weight_l1": 0.0}),
    "FOSA without gate": Variant(changes={"gated": False}),
    "FOSA": Variant(),
    "paper's settings": Variant(base="paper"),
}
MEAN, SATURATED, SEM = "mean", "saturated FIML", "SEM FIML"


def ablation(
    model: str,
    data: pd.DataFrame,
    *,
    func: FunctionName = "sem",
    mask: pd.DataFrame | BoolArray | None = None,
    proportion: float | None = None,
    mechanism: Amputing | None = None,
    seeds: Sequence[int] = (0,),
    discrete: Sequence[Hashable] | str | None = None,
    config: RefinerConfig | None = None,
    variants: Sequence[str] | None = None,
    sem_options: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Hide observed cells, fill them by the method with and without each of its parts, and score all on them.

    Compared are the column mean, the conditional expectation under the saturated normal distribution and under the
    model, attention on the column means instead of the model's expectations, FOSA without the covariance loss, without
    L1, without gates, full FOSA, and FOSA with the paper's settings. The model is fitted once per seed, and all
    variants start from that fit.

    Parameters
    ----------
    model : str
        lavaan's model syntax.
    data : DataFrame
        Only the model's columns (and ``group`` of ``sem_options``) are read; holes stay and are not scored.
    func : {"sem", "cfa", "growth", "lavaan"}, default "sem"
        Whose defaults complete the model.
    mask, proportion, mechanism
        Which cells of the model's columns to hide, as in `compare`; at most one of them.
    seeds : sequence of int, default (0,)
        One repetition each: the seed chooses the cells and is that of the training.
    discrete : sequence of column names, optional
        As in `imputation_metrics`.
    config : RefinerConfig, optional
        Of the full method, but for its seed; the default one if not given.
    variants : sequence of str, optional
        Which of `VARIANTS` to train; all by default, each a training per seed.
    sem_options : mapping, optional
        Further keyword arguments as of `fosa_sem.sem`, without ``fixed_x``.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    DataFrame
        As of `compare`: for every seed and method one row per variable and the row "overall";
        `fosa_sem.evaluate.summary.overall_table` gives the means over seeds, `fosa_sem.plot_ablation` a figure.

    Raises
    ------
    OptionError
        An unknown variant, an option out of range, and what `compare` raises.
    FosaError
        What the fit of the model raises.
    """
    chosen = _chosen(variants)
    options = joint_fit_options(func, "native", sem_options)
    table = columns_of_model(model, data, options.group)
    names = [name for name in table.columns if name != options.group]
    if mask is not None:
        mask = aligned_mask(data, mask)[:, data.columns.get_indexer(table.columns)]

    def fill(holes: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
        categories, joint = coded_categories(holes, model, options, "auto")
        completion = complete(fit_or_ridge(model, holes, joint), holes)
        levels = ColumnTypes.learn(categories, completion, None, ()).levels
        filled = {
            MEAN: holes.assign(**dict(column_mean(holes[names]))),
            SATURATED: holes.assign(**dict(saturated_fiml(holes[names]))),
            SEM: completion.to_frame(),
        }
        for name, variant in chosen.items():
            own = replace(_base(variant, config, completion), **variant.changes, seed=seed)
            filled[name] = _refined(completion, levels, own, variant.start).to_frame()
        return filled

    return compare(
        table, {"ablation": fill}, mask=mask, proportion=proportion, mechanism=mechanism, seeds=seeds, columns=names,
        discrete=discrete, progress=progress,
    )  # fmt: skip


def _chosen(variants: Sequence[str] | None) -> dict[str, Variant]:
    names = list(VARIANTS) if variants is None else [variants] if isinstance(variants, str) else list(variants)
    for name in names:
        if name not in VARIANTS:
            raise OptionError(f"variants names {name!r}; there are {', '.join(map(repr, VARIANTS))}")
    return {name: VARIANTS[name] for name in names}


def columns_of_model(model: str, data: pd.DataFrame, group: str | None = None) -> pd.DataFrame:
    """The columns that a model uses, as numbers with holes, and the groups.

    Parameters
    ----------
    model : str
        lavaan's model syntax.
    data : DataFrame
    group : str, optional
        Column that holds the groups.

    Returns
    -------
    DataFrame
        Same rows; of a product ``x:z``, its two columns.

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        The model string; a column is missing.
    DataError
        A column is not numeric, or two share a name.
    """
    data = check_table(data)
    variables = classify(relations_of_first_group(parse_model(model))).observed
    names = list(dict.fromkeys(part for name in variables for part in column_parts(data, name)))
    check_names(data, [*names, *([group] if group else [])], {})
    table = pd.DataFrame({name: check_column_values(data[name]) for name in names}, index=data.index)
    return table.assign(**{group: data[group]}) if group else table


def _base(variant: Variant, config: RefinerConfig | None, completion: Completion) -> RefinerConfig:
    if variant.base == "paper":
        return RefinerConfig.paper()
    return config or RefinerConfig.suited(completion.observed)


def _refined(completion: Completion, levels: Mapping[str, FloatArray], config: RefinerConfig, start: str) -> Completion:
    """The completion as a variant corrects it."""
    from fosa_sem.refine.refiner import AttentionRefiner

    beginning = completion if start == "sem" else _without_relations(completion)
    return AttentionRefiner(config=config, levels=levels).fit(beginning).refine(beginning)


def _without_relations(completion: Completion) -> Completion:
    """The same cells filled by the column means, as if no variable told anything of another."""
    cells = np.where(completion.observed, completion.values, np.nan)
    mean, cov = np.nanmean(cells, axis=0), np.diag(np.nanvar(cells, axis=0))
    groups = len(completion.rule.means)
    rule = GaussianRule(variables=completion.variables, means=(mean,) * groups, covs=(cov,) * groups)
    values, sd = rule.conditional(completion.values, completion.observed, completion.group)
    return replace(completion, values=values, mean=values, sd=sd, rule=rule)
