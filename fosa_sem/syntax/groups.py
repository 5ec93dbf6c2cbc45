"""Several groups: ``group:`` blocks, and parameters that are equal across groups."""

from __future__ import annotations

from collections.abc import Sequence

from fosa_sem.errors import ModelSpecificationError, OptionError
from fosa_sem.syntax.names import VariableNames, classify
from fosa_sem.syntax.options import TableOptions
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.table import Row


def statements_of_groups(statements: Sequence[Statement], ngroups: int) -> list[list[Statement]]:
    """The relations of each group: the same for all, or those of its ``group:`` blocks.

    Raises
    ------
    ModelSpecificationError
        If the number of blocks is not that of the groups, or the blocks name different variables.
    """
    heads = {s.rhs: s for s in statements if s.op == ":"}
    relations = [s for s in statements if s.op != ":"]
    if not heads:
        return [relations] * ngroups
    if statements[0].op != ":":
        raise ModelSpecificationError("this formula stands before the first 'group:'", statements[0].left)
    _check_blocks(list(heads.values()), relations, ngroups)
    groups = [[s for s in relations if s.block == head.block] for head in heads.values()]
    first = classify(groups[0])
    for head, group in zip(heads.values(), groups, strict=True):
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


def _check_blocks(heads: Sequence[Statement], relations: Sequence[Statement], ngroups: int) -> None:
    if len(heads) != ngroups:
        raise ModelSpecificationError(
            f"the model has {len(heads)} group blocks, but the number of groups is {ngroups}", heads[-1].left
        )
    for head in heads:
        if not any(statement.block == head.block for statement in relations):
            raise ModelSpecificationError(f"'group: {head.rhs}' has no formula", head.left)


def relations_of_first_group(statements: Sequence[Statement]) -> list[Statement]:
    """The relations from which the variables' roles are read before the number of groups is known."""
    relations = [s for s in statements if s.block]
    heads = [s for s in relations if s.op == ":"]
    return [s for s in relations if s.op != ":" and (not heads or s.block == heads[0].block)]


def check_group_partial(rows: Sequence[Row], options: TableOptions) -> None:
    """Every parameter that ``group_partial`` names must exist.

    Raises
    ------
    OptionError
    """
    present = {f"{row.lhs}{row.op}{row.rhs}" for row in rows} if options.group_partial else set()
    unknown = [text for text in options.group_partial if text not in present]
    if unknown:
        raise OptionError(f"group_partial names {unknown[0]!r}, which is no parameter of the model")


def is_equal_across_groups(row: Row, names: VariableNames, options: TableOptions) -> bool:
    """Whether ``group_equal`` and ``group_partial`` make a parameter equal in all groups."""
    return _kind(row, names) in options.group_equal and f"{row.lhs}{row.op}{row.rhs}" not in options.group_partial


def _kind(row: Row, names: VariableNames) -> str:
    """The kind of a parameter in the words of ``group_equal``; exogenous variables have none."""
    latent = row.lhs in names.latent
    simple = {"=~": "loadings", "<~": "composite.loadings", "~": "regressions"}
    if row.op in simple:
        return simple[row.op]
    if not latent and row.lhs in names.observed_x:
        return ""
    if row.op == "~1":
        return "means" if latent else "intercepts"
    if row.lhs == row.rhs:
        return "lv.variances" if latent else "residuals"
    return "lv.covariances" if latent else "residual.covariances"


def scale_is_passed_on(lhs: str, op: str, rhs: str, names: VariableNames, options: TableOptions) -> bool:
    """Whether ties across groups give later groups a free latent mean or variance.

    Equal intercepts free the latent means (unless "means" are equal too), equal loadings with ``std_lv`` the latent
    variances (unless "lv.variances" are).
    """
    equal = options.group_equal
    if lhs not in names.latent:
        return False
    if op == "~1":
        return "intercepts" in equal and "means" not in equal
    is_variance = op == "~~" and lhs == rhs
    return is_variance and options.std_lv and "loadings" in equal and "lv.variances" not in equal
