"""The options of a fit, checked once, and what lavaan makes of those that are left open."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, cast, get_args

from fosa_sem.errors import OptionError
from fosa_sem.fiml.engines.base import Engine
from fosa_sem.fiml.information import InformationKind
from fosa_sem.syntax.options import FunctionName, TableOptions

Missing = Literal["ml", "ml.x", "listwise", "two.stage", "robust.two.stage"]
StandardErrors = Literal[
    "standard", "robust.huber.white", "robust.sem", "two.stage", "robust.two.stage", "bootstrap", "none"
]
ScaledTest = Literal["satorra.bentler", "yuan.bentler", "yuan.bentler.mplus"]
MomentsKind = Literal["structured", "unstructured"]

_MISSING: dict[str, Missing] = {
    "fiml": "ml", "ml": "ml", "direct": "ml", "fiml.x": "ml.x", "ml.x": "ml.x", "direct.x": "ml.x",
    "listwise": "listwise", "two.stage": "two.stage", "robust.two.stage": "robust.two.stage",
}  # fmt: skip
_ESTIMATORS = ("ML", "MLR", "MLF", "MLM")
_SE = ("standard", "robust", "robust.huber.white", "robust.sem", "two.stage", "robust.two.stage", "bootstrap", "none")
_TESTS = ("standard", "none", *get_args(ScaledTest))
FIML: tuple[Missing, ...] = ("ml", "ml.x")
TWO_STAGE: tuple[Missing, ...] = ("two.stage", "robust.two.stage")


@dataclass(frozen=True, slots=True, kw_only=True)
class InformationOptions:
    """How an information matrix is computed.

    Attributes
    ----------
    kind : {"observed", "expected", "first.order"}
    observed : {"hessian", "h1"}
        Second derivatives with respect to theta, or of the moments alone.
    moments : {"structured", "unstructured"}
        Where the information about the moments is evaluated: at the model-implied or at the saturated moments.
    """

    kind: InformationKind
    observed: Literal["hessian", "h1"]
    moments: MomentsKind


HESSIAN = InformationOptions(kind="observed", observed="hessian", moments="structured")
"""What curves the likelihood at its maximum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedOptions:
    """What lavaan resolves from the function, ``missing``, ``estimator`` and what the user asked for.

    Attributes
    ----------
    missing : {"ml", "ml.x", "listwise", "two.stage", "robust.two.stage"}
    likelihood : {"normal", "wishart"}
    se : str
        One of `StandardErrors`.
    test : str
        "standard", "none", or the scaled test that is given beside the standard one.
    information, test_information : InformationOptions
        For standard errors, and for scaled tests.
    """

    missing: Missing
    likelihood: Literal["normal", "wishart"]
    se: StandardErrors
    test: Literal["standard", "none"] | ScaledTest
    information: InformationOptions
    test_information: InformationOptions

    @property
    def is_fiml(self) -> bool:
        """Whether the likelihood is that of incomplete rows."""
        return self.missing in FIML

    @property
    def scaled_test(self) -> ScaledTest | None:
        """The scaled test, if one is given."""
        return None if self.test in ("standard", "none") else cast(ScaledTest, self.test)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How a model is fitted; the defaults are those of `fosa_sem.sem`, explained in `FitKeywords`.

    Attributes
    ----------
    func : {"sem", "cfa", "growth", "lavaan"}
    start_strict : bool
        Whether a name of ``start`` that the model lacks is an error.
    table : dict
        Fields of `TableOptions`; None keeps the function's default.
    ridge : float
        Added to the variance of every column, as a share of it; 0 unless columns are exactly dependent and the
        caller accepts it (then chi-square and standard errors are withheld).
    """

    func: FunctionName = "sem"
    missing: str = "fiml"
    estimator: str = "ML"
    engine: str | Engine = "native"
    meanstructure: bool | None = None
    group: str | None = None
    group_label: tuple[str, ...] = ()
    auxiliary: tuple[str, ...] = ()
    likelihood: str = "normal"
    information: str | tuple[str, str] | None = None
    observed_information: str | tuple[str, str] | None = None
    h1_information: str | tuple[str, str] | None = None
    se: str | None = None
    test: str | None = None
    bootstrap: int = 1000
    start: Mapping[str, float] | None = None
    start_strict: bool = True
    seed: int = 0
    table: dict[str, Any] = field(default_factory=dict)
    ridge: float = 0.0

    def __post_init__(self) -> None:
        _one_of("missing", self.missing, tuple(_MISSING))
        _one_of("estimator", self.estimator, _ESTIMATORS)
        _one_of("likelihood", self.likelihood, ("normal", "wishart"))
        _one_of("se", self.se, (None, *_SE))
        _one_of("test", self.test, (None, *_TESTS))
        if self.group is not None and not isinstance(self.group, str):
            raise OptionError(f"group must be the name of a column, got {self.group!r}")
        if self.group_label and self.group is None:
            raise OptionError("group_label orders the values of the group variable: name that in group")
        if self.meanstructure is not None and not isinstance(self.meanstructure, bool):
            raise OptionError(f"meanstructure must be True, False or None, got {self.meanstructure!r}")
        if isinstance(self.bootstrap, bool) or not isinstance(self.bootstrap, int) or self.bootstrap < 2:
            raise OptionError(f"bootstrap must be a number of draws, at least 2, got {self.bootstrap!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise OptionError(f"seed must be a whole number from 0 on, got {self.seed!r}")
        if self.start is not None and not isinstance(self.start, Mapping):
            raise OptionError(f"start must map names of coef() to values, or be a fit, got {type(self.start).__name__}")
        if not 0.0 <= self.ridge < 1.0:
            raise OptionError(f"ridge must be at least 0 and below 1, got {self.ridge!r}")
        self.resolve()

    def table_options(self, *, has_intercepts: bool) -> TableOptions:
        """Resolve what lavaan resolves per function.

        Parameters
        ----------
        has_intercepts : bool
            Whether the model string has intercepts.
        """
        given = dict(self.table)
        if self.auxiliary:
            if given.get("fixed_x"):
                raise OptionError("auxiliary variables need fixed_x=False: exogenous variables covary with them")
            given["fixed_x"] = False
        given["meanstructure"] = self._has_means(has_intercepts)
        return TableOptions.for_function(self.func, **given)

    def _has_means(self, has_intercepts: bool) -> bool:
        kinds = self.table.get("group_equal") or ()
        kinds = (kinds,) if isinstance(kinds, str) else kinds
        forced = _MISSING[self.missing] != "listwise" or self.func == "growth" or {"intercepts", "means"} & set(kinds)
        if forced or self.auxiliary:
            if self.meanstructure is False:
                raise OptionError("meanstructure must be True or None here: missing values and growth need the means")
            return True
        if self.meanstructure is False and has_intercepts:
            raise OptionError(
                "meanstructure=False, but the model has intercepts (~ 1); take them out, or leave it open"
            )
        if self.meanstructure is not None:
            return self.meanstructure
        return has_intercepts or self.group is not None

    def resolve(self) -> ResolvedOptions:
        """Fill in lavaan's defaults.

        Raises
        ------
        OptionError
            For a combination that lavaan refuses or silently changes.
        """
        missing = _MISSING[self.missing]
        se, test = self._se_and_test(missing)
        if self.likelihood == "wishart" and (missing != "listwise" or self.estimator != "ML"):
            raise OptionError("likelihood='wishart' is for missing='listwise' with estimator='ML'")
        if self.auxiliary and missing != "ml":
            raise OptionError("auxiliary variables need missing='fiml'")
        robust = se == "robust.huber.white"
        default = "observed" if missing != "listwise" or robust or se == "bootstrap" else "expected"
        if self.estimator == "MLF":
            default = "first.order"
        kinds = _pair("information", self.information, default, get_args(InformationKind))
        scaled = test not in ("standard", "none")
        # lavaan takes the Hessian for the Mplus variant alone, and the H1 information for all other scaled tests
        after = "h1" if scaled and (test != "yuan.bentler.mplus" or self.estimator != "MLR") else "hessian"
        observed = _pair("observed_information", self.observed_information, "hessian", ("hessian", "h1"), after)
        moments = _pair("h1_information", self.h1_information, "structured", get_args(MomentsKind))
        if missing in TWO_STAGE:
            observed, moments = ("h1", "h1"), ("unstructured", "unstructured")
        if "first.order" in kinds and (scaled or se not in ("standard", "none", "bootstrap")):
            raise OptionError("information must be 'observed' or 'expected' for robust standard errors and tests")
        first, second = (
            InformationOptions(kind=k, observed=o, moments=m)  # type: ignore[arg-type]
            for k, o, m in zip(kinds, observed, moments, strict=True)
        )
        return ResolvedOptions(
            missing=missing, likelihood=cast(Any, self.likelihood), se=se, test=test,
            information=first, test_information=second,
        )  # fmt: skip

    def _se_and_test(self, missing: Missing) -> tuple[StandardErrors, Any]:
        defaults: dict[str, tuple[str, str]] = {
            "ML": ("standard", "standard"), "MLF": ("standard", "standard"),
            "MLR": ("robust.huber.white", "yuan.bentler.mplus"), "MLM": ("robust.sem", "satorra.bentler"),
        }  # fmt: skip
        se, test = defaults[self.estimator]
        if missing in TWO_STAGE:
            if self.estimator not in ("ML", "MLR"):
                raise OptionError(f"estimator={self.estimator!r} does not go with missing={self.missing!r}")
            se, test = missing, "satorra.bentler"
        asked_se = self.se
        if asked_se == "robust":
            asked_se = missing if missing in TWO_STAGE else "robust.huber.white" if missing in FIML else "robust.sem"
        se, test = asked_se or se, self.test or test
        if missing in TWO_STAGE and (se not in (missing, "none") or test not in ("satorra.bentler", "none")):
            raise OptionError(f"missing={self.missing!r} comes with its own standard errors and scaled test")
        if missing not in TWO_STAGE and se in TWO_STAGE:
            raise OptionError(f"se={se!r} belongs to missing={se!r}")
        if missing in FIML and (self.estimator == "MLM" or se == "robust.sem" or test == "satorra.bentler"):
            raise OptionError(
                "Satorra-Bentler corrections (se='robust.sem', test='satorra.bentler', estimator='MLM') need complete "
                "rows: use missing='listwise', or estimator='MLR' with missing='fiml'"
            )
        if se == "bootstrap" and self.estimator != "ML":
            raise OptionError("se='bootstrap' goes with estimator='ML'")
        return cast(StandardErrors, se), test

    @property
    def engine_name(self) -> str:
        """For display."""
        return self.engine if isinstance(self.engine, str) else self.engine.name


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        shown = ", ".join("None" if a is None else repr(a) for a in allowed)
        raise OptionError(f"{name} must be one of {shown}; got {value!r}")


def _pair(name: str, value: Any, default: str, allowed: tuple[str, ...], after: str | None = None) -> tuple[str, str]:
    """One value for standard errors and tests, or one for each."""
    if value is None:
        return default, after or default
    values = (value,) if isinstance(value, str) else tuple(value)
    if not 1 <= len(values) <= 2:
        raise OptionError(f"{name} must be one value or a pair (for standard errors, for scaled tests), got {value!r}")
    for item in values:
        _one_of(name, item, allowed)
    return values[0], values[-1]


class FitKeywords(TypedDict, total=False):
    """Keyword arguments of `sem`, `cfa`, `growth` and `lavaan`.

    Attributes
    ----------
    missing : str, default "fiml"
        ``"fiml"`` (also "ml", "direct"): full-information maximum likelihood, the one deliberate difference from
        lavaan's defaults (listwise). With ``fixed_x`` it drops rows in which an exogenous variable is missing;
        ``"fiml.x"`` keeps them, and fixes the exogenous moments at their EM values. ``"listwise"``: complete rows
        alone. ``"two.stage"``, ``"robust.two.stage"``: the EM moments of the saturated model are fitted as if complete,
        with standard errors and test corrected (Savalei & Bentler 2009; Savalei & Falk 2014).
    estimator : {"ML", "MLR", "MLF", "MLM"}, default "ML"
        All maximise the normal likelihood. "MLR": sandwich standard errors (Huber-White) and the scaled test of Yuan &
        Bentler (2000) in Mplus's variant; "MLF": first-order information; "MLM" (complete rows): Satorra-Bentler.
    engine : str or Engine, default "native"
        "native", "semopy", or an object with ``name`` and ``estimate(problem)``. It finds the estimates;
        everything else is computed from them here.
    meanstructure : bool, optional
        None: True unless rows are deleted listwise, there are no groups, and the model has no intercepts.
    fixed_x : bool, optional
        Exogenous observed variables keep their sample moments, and rows in which one is missing are dropped
        (lavaan's default, True). False models them jointly and keeps every row.
    std_lv : bool, default False
        Fix latent variances to 1 instead of first loadings.
    orthogonal : bool, default False
        Fix the covariances of exogenous latent variables to 0.
    effect_coding : bool, str or tuple of str, optional
        ``"loadings"``: the loadings of a factor average 1; ``"intercepts"``: its indicators' intercepts sum to 0 and
        its mean is free; True: both (Little, Slegers & Card 2006).
    int_ov_free, int_lv_free, auto_fix_first, auto_fix_single, auto_var, auto_cov_lv_x, auto_cov_y : bool, optional
        lavaan's switches; None keeps the default of the function called.
    group : str, optional
        Column that holds the groups; all parameters differ between groups unless they share a label.
    group_equal : str or tuple of str
        Kinds of parameters that are equal across groups: loadings, intercepts, means, residuals,
        residual.covariances, lv.variances, lv.covariances, regressions, composite.loadings.
    group_partial : str or tuple of str
        Parameters exempt from that, such as ``"f=~x2"``.
    group_label : tuple of str
        Values of the group variable, in the order of the groups; rows of others are dropped. Default: all, in order of
        first appearance.
    auxiliary : str or tuple of str
        Columns that covary freely with everything observed (saturated correlates; Graham 2003), so that they inform
        about missing values without changing the model (semTools: ``sem.auxiliary``). They imply ``fixed_x=False``.
    likelihood : {"normal", "wishart"}, default "normal"
        "wishart" (listwise only): unbiased sample covariances, and N - 1 in place of N.
    information : {"observed", "expected", "first.order"} or a pair, optional
        For standard errors, and for scaled tests. None: observed with missing data and for sandwich standard errors,
        expected for complete rows, first-order for MLF.
    observed_information : {"hessian", "h1"} or a pair, default "hessian"
        "h1" leaves out the second derivatives of the model.
    h1_information : {"structured", "unstructured"} or a pair, default "structured"
        Where the information about moments is evaluated: at the implied, or at the saturated moments.
    se : str, optional
        "standard", "robust" (what suits ``missing``), "robust.huber.white", "robust.sem", "bootstrap", "none". None:
        what the estimator brings.
    test : str, optional
        "standard", "yuan.bentler", "yuan.bentler.mplus", "satorra.bentler", "none"; a scaled test stands beside the
        standard one. None: what the estimator brings.
    bootstrap : int, default 1000
        Draws for ``se="bootstrap"``.
    start : mapping of str to float, or SemResults, optional
        Starting values by the names of ``coef()``, or a fit to start from; names the model lacks are ignored only from
        a fit.
    seed : int, default 0
        Of bootstrap draws.
    """

    missing: str
    estimator: str
    engine: str | Engine
    meanstructure: bool | None
    fixed_x: bool | None
    std_lv: bool | None
    orthogonal: bool | None
    effect_coding: bool | str | tuple[str, ...] | None
    int_ov_free: bool | None
    int_lv_free: bool | None
    auto_fix_first: bool | None
    auto_fix_single: bool | None
    auto_var: bool | None
    auto_cov_lv_x: bool | None
    auto_cov_y: bool | None
    group: str | None
    group_equal: str | tuple[str, ...]
    group_partial: str | tuple[str, ...]
    group_label: str | tuple[str, ...]
    auxiliary: str | tuple[str, ...]
    likelihood: str
    information: str | tuple[str, str] | None
    observed_information: str | tuple[str, str] | None
    h1_information: str | tuple[str, str] | None
    se: str | None
    test: str | None
    bootstrap: int
    start: Mapping[str, float] | Any
    seed: int


_OF_THE_TABLE = frozenset(TableOptions.__dataclass_fields__) - {"meanstructure"}


def fit_options(func: FunctionName, options: FitKeywords) -> FitOptions:
    """Check keyword arguments of one of lavaan's functions.

    Raises
    ------
    OptionError
        For an unknown option (with the closest known one), or a value out of range.
    """
    given: dict[str, Any] = dict(options)
    for name in given:
        if name not in FitKeywords.__annotations__:
            close = difflib.get_close_matches(name, FitKeywords.__annotations__, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f": known are {', '.join(FitKeywords.__annotations__)}"
            raise OptionError(f"{func}() has no option {name!r}{hint}")
    for name in ("auxiliary", "group_label"):
        if name in given:
            given[name] = _texts(name, given[name])
    if given.get("likelihood", "") is None:
        del given["likelihood"]
    table = {name: given.pop(name) for name in list(given) if name in _OF_THE_TABLE}
    return FitOptions(func=func, table=table, **given)


def _texts(name: str, value: object) -> tuple[str, ...]:
    """One string is as good as a tuple of one."""
    if value is None:
        return ()
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else (None,)
    if not all(isinstance(text, str) for text in texts):
        raise OptionError(f"{name} must be a string or several, got {value!r}")
    if len(set(texts)) < len(texts):
        raise OptionError(f"{name} names something twice: {', '.join(str(t) for t in texts)}")
    return cast(tuple[str, ...], texts)
