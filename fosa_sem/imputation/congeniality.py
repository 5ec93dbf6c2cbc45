"""Whether the imputation model allows for what the analysis estimates."""

from __future__ import annotations

from fosa_sem.inference.fit import FimlFit
from fosa_sem.syntax.table import ParameterTable, Row


def lacking(analysis: FimlFit, imputation: FimlFit) -> tuple[str, ...]:
    """What the analysis estimates and the imputation model rules out.

    Parameters
    ----------
    analysis, imputation : FimlFit

    Returns
    -------
    tuple of str
        Variables, groups, equality constraints, and relations as the analysis writes them; empty if the imputation
        model is saturated, or has all of them. Latent variables are recognised by their indicators, whatever their
        names, and relations by the variables that they connect, whatever their direction.

    Notes
    -----
    This compares what is written, not what is implied: a relation of the analysis may be implied by other parameters of
    the imputation model, and then the warning is about a restriction that does no harm.
    """
    ours, theirs = analysis.table, imputation.table
    found = [f"variable {name!r}" for name in ours.names.observed if name not in theirs.names.observed]
    group = analysis.options.group
    if group is not None and group != imputation.options.group:
        found.append(f"differences between groups of {group!r}")
    if imputation.df == 0 or any(name not in theirs.names.observed for name in ours.names.observed):
        return tuple(found)
    known = _latent_names(ours, theirs)
    connected = {_pair(row, {}) for row in theirs.rows if _relates(row)}
    relations = [row for row in ours.rows if _relates(row) and row.group == 1]
    found += [f"{r.lhs} {r.op} {r.rhs}" for r in relations if _pair(r, known) not in connected]
    means = {row.lhs for row in theirs.free_rows() if row.op == "~1"} | set(theirs.names.observed_x)
    if theirs.meanstructure:
        found += [
            f"{row.lhs} ~ 1" for row in ours.free_rows()
            if row.op == "~1" and row.group == 1 and row.lhs in ours.names.observed and row.lhs not in means
        ]  # fmt: skip
    if imputation.problem.equality.rank > analysis.problem.equality.rank:
        found.append("freedom from the imputation model's equality constraints")
    return tuple(found)


def _relates(row: Row) -> bool:
    """Whether the parameter connects two variables."""
    return row.op in ("=~", "<~", "~", "~~") and row.lhs != row.rhs and (row.free > 0 or row.exo or row.ustart != 0.0)


def _pair(row: Row, names: dict[str, str]) -> frozenset[str]:
    return frozenset((names.get(row.lhs, row.lhs), names.get(row.rhs, row.rhs)))


def _latent_names(ours: ParameterTable, theirs: ParameterTable) -> dict[str, str]:
    """The name that the imputation model has for a latent variable with (at least) the same indicators."""
    indicators, known = ({lv: _indicators(table, lv) for lv in table.names.latent} for table in (ours, theirs))
    names = {}
    for latent, own in indicators.items():
        same = [other for other, theirs_ in known.items() if own and own <= theirs_]
        if same:
            names[latent] = latent if latent in same else same[0]
    return names


def _indicators(table: ParameterTable, latent: str) -> set[str]:
    return {row.rhs for row in table.rows if row.op == "=~" and row.lhs == latent}
