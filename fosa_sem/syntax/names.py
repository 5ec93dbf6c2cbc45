"""Which role each variable plays, in the field's terms: latent, indicator, exogenous, endogenous."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fosa_sem.errors import OptionError
from fosa_sem.syntax.statements import Statement


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableNames:
    """Variables by role, each in lavaan's order (``lavNames``).

    Attributes
    ----------
    observed, latent : tuple of str
        All of them; observed variables are ordered indicators, outcomes, predictors, others.
    observed_x : tuple of str
        Exogenous observed: predictors of a regression that nothing explains, whose variances, covariances
        and means the user did not write down.
    latent_x : tuple of str
        Latent variables that nothing explains.
    pure_outcomes : tuple of str
        Outcomes that are neither predictors nor indicators: latent ones first.
    composites : tuple of str
        Latent variables that are weighted sums (``<~``).
    single_indicators : tuple of str
        Indicators of one factor only, which has no other.
    """

    observed: tuple[str, ...]
    latent: tuple[str, ...]
    observed_x: tuple[str, ...]
    latent_x: tuple[str, ...]
    pure_outcomes: tuple[str, ...]
    composites: tuple[str, ...]
    single_indicators: tuple[str, ...]


def classify(statements: Sequence[Statement]) -> VariableNames:
    """Find the role of every variable.

    Parameters
    ----------
    statements : sequence of Statement

    Returns
    -------
    VariableNames
    """
    by_op = {op: [s for s in statements if s.op == op] for op in ("=~", "<~", "~", "~~", "~1")}
    latent = _unique([s.lhs for s in statements if s.op in ("=~", "<~")])
    loadings, measured = Counter(s.lhs for s in by_op["=~"]), Counter(s.rhs for s in by_op["=~"])
    indicators = _unique([s.rhs for s in by_op["=~"]])
    outcomes = _unique([s.lhs for s in by_op["~"]])
    predictors = _unique([s.rhs for s in statements if s.op in ("~", "<~")])
    moments = _unique([s.lhs for s in by_op["~~"]] + [s.rhs for s in by_op["~~"]] + [s.lhs for s in by_op["~1"]])
    # a product with an outcome in it is itself no exogenous variable
    products = [n for n in predictors if ":" in n and not set(outcomes).isdisjoint(n.split(":"))]
    in_order = _unique([*indicators, *outcomes, *products, *predictors, *moments])
    observed = tuple(name for name in in_order if name not in latent)
    explained = {*indicators, *outcomes, *products}
    observed_x = tuple(n for n in predictors if n in observed and n not in explained and n not in moments)
    pure = [n for n in (*latent, *observed) if n in outcomes and n not in predictors and n not in indicators]
    return VariableNames(
        observed=observed,
        latent=latent,
        observed_x=observed_x,
        latent_x=tuple(n for n in latent if n not in explained),
        pure_outcomes=tuple(pure),
        composites=_unique([s.lhs for s in by_op["<~"]]),
        single_indicators=tuple(
            s.rhs for s in by_op["=~"] if loadings[s.lhs] == 1 and measured[s.rhs] == 1 and s.lhs != s.rhs
        ),
    )


def with_auxiliary(names: VariableNames, auxiliary: Sequence[str]) -> VariableNames:
    """Append auxiliary variables to the observed ones.

    Raises
    ------
    OptionError
        If one is a variable of the model.
    """
    clash = [name for name in auxiliary if name in (*names.observed, *names.latent)]
    if clash:
        raise OptionError(f"auxiliary variable {clash[0]!r} is a variable of the model; leave it out of auxiliary")
    return replace(names, observed=(*names.observed, *auxiliary))


def order_covariance(statement: Statement, names: VariableNames) -> Statement:
    """A covariance with its sides in the order latent, observed (lavaan: ``lav_partable_covariance_reorder``)."""
    if statement.op != "~~" or statement.lhs == statement.rhs:
        return statement
    order = (*names.latent, *names.observed)
    if order.index(statement.lhs) < order.index(statement.rhs):
        return statement
    return replace(statement, lhs=statement.rhs, rhs=statement.lhs, left=statement.span, span=statement.left)
