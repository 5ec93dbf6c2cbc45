"""Several groups: ``group:`` blocks, and parameters that are equal across groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from fosa_sem.errors import ModelSpecificationError, OptionError
from fosa_sem.syntax.names import VariableNames, classify
from fosa_sem.syntax.options import TableOptions
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.table import Row


def statements_of_groups(statements: Sequence[Statement], ngroups: int) -> list[list[Statement]]:
    """The relations of each group: the same for all, or those of its ``group:`` block.

    Raises
    ------
    ModelSpecificationError
        If the number of blocks is not that of the groups, or the blocks name different variables.
    """
    heads = [s for s in statements if s.op == ":"]
    relations = [s for s in statements if s.op != ":"]
    if not heads:
        return [relations] * ngroups
    if len(heads) != ngroups:
        raise ModelSpecificationError(
            f"the model has {len(heads)} group blocks, but the number of groups is {ngroups}", heads[-1].left
        )
    groups = [[s for s in relations if s.block == head.block] for head in heads]
    first = classify(groups[0])
    for head, group in zip(heads, groups, strict=True):
        names = classify(group)
        for kind in ("observed", "latent", "observed_x"):
            odd = set(getattr(names, kind)) ^ set(getattr(first, kind))
            if odd:
                raise ModelSpecificationError(
                    f"group blocks must give their variables the same roles; {sorted(odd)[0]!r} differs in "
                    f"'group: {head.rhs}'",
                    head.left,
                )
    return groups


def relations_of_first_group(statements: Sequence[Statement]) -> list[Statement]:
    """The relations from which the variables' roles are read before the number of groups is known."""
    relations = [s for s in statements if s.block]
    heads = [s for s in relations if s.op == ":"]
    return [s for s in relations if s.op != ":" and (not heads or s.block == heads[0].block)]


def equal_across_groups(rows: Sequence[Row], names: VariableNames, options: TableOptions) -> list[Row]:
    """Tie the kinds of parameters that ``group_equal`` names by the plabel of the first group's, as lavaan does.

    Equal intercepts free the latent means of later groups (unless "means" are equal too), equal loadings with
    ``std_lv`` free their latent variances: the scale is passed on by the ties.

    Raises
    ------
    OptionError
        If ``group_partial`` names a parameter that the model does not have.
    """
    present = {_name(row) for row in rows}
    unknown = [text for text in options.group_partial if text not in present]
    if unknown:
        raise OptionError(f"group_partial names {unknown[0]!r}, which is no parameter of the model")
    freed = [_freed(row, names, options) for row in rows]
    first = {(r.lhs, r.op, r.rhs): r for r in freed if r.group == 1}
    tied = {
        place: row.plabel
        for place, row in first.items()
        if row.free and not row.label and _name(row) not in options.group_partial
        and _kind(row, names) in options.group_equal
    }  # fmt: skip
    if max((row.group for row in rows), default=1) == 1:
        return freed
    return [
        replace(row, label=tied[row.lhs, row.op, row.rhs])
        if row.free and not row.label and (row.lhs, row.op, row.rhs) in tied
        else row
        for row in freed
    ]


def _name(row: Row) -> str:
    return f"{row.lhs}{row.op}{row.rhs}"


def _freed(row: Row, names: VariableNames, options: TableOptions) -> Row:
    if row.group == 1 or row.user or row.free or row.lhs not in names.latent or row.lhs in names.composites:
        return row
    equal = options.group_equal
    is_mean = row.op == "~1" and "intercepts" in equal and "means" not in equal
    is_scale = row.op == "~~" and row.lhs == row.rhs and options.std_lv and "loadings" in equal
    return replace(row, free=1, ustart=math.nan) if is_mean or is_scale else row


def _kind(row: Row, names: VariableNames) -> str:
    """The kind of a parameter in the words of ``group_equal``."""
    latent = row.lhs in names.latent
    simple = {"=~": "loadings", "<~": "composite.loadings", "~": "regressions"}
    if row.op in simple:
        return simple[row.op]
    if row.op == "~1":
        return "means" if latent else "intercepts"
    if row.lhs == row.rhs:
        return "lv.variances" if latent else "residuals"
    both_latent = latent and row.rhs in names.latent
    return "lv.covariances" if both_latent else "residual.covariances" if not latent else ""
