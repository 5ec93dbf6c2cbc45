"""Models and options whose parameter tables are compared with lavaan's ``lavaanify``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TableCase:
    """A model, the function whose automatic parameters it gets, and options of `parameter_table`."""

    name: str
    model: str
    func: str = "sem"
    options: Mapping[str, Any] = field(default_factory=dict)


ONE = "f =~ x1 + x2 + x3"
TWO = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\n"
STRUCTURAL = TWO + "h =~ x7 + x8 + x9\nh ~ f + g\n"
PATH = "m ~ a*x1 + x2\ny ~ b*m + c*x1\n"
GROWTH = "i =~ 1*t1 + 1*t2 + 1*t3 + 1*t4\ns =~ 0*t1 + 1*t2 + 2*t3 + 3*t4\n"
WRITTEN_OUT = TWO + "f ~~ f\ng ~~ g\nf ~~ g\nx1 ~~ x1\nx2 ~~ x2\nx1 ~ 1\nf ~ 1\n"

_MODELS: dict[str, str] = {
    "one factor": ONE,
    "two factors": TWO,
    "structural": STRUCTURAL,
    "second order": TWO + "h =~ x7 + x8 + x9\ntop =~ f + g + h",
    "second order of two": TWO + "top =~ f + g\ny ~ top",
    "third order": TWO + "a =~ f + g\nb =~ y1 + y2\ntop =~ a + b",
    "bifactor": "g =~ x1 + x2 + x3 + x4\ns =~ x1 + x2\nt =~ x3 + x4",
    "cross loadings": TWO + "f =~ x4\ng =~ x1",
    "several factors on the left": "f + g =~ x1 + x2 + x3",
    "single indicator": "f =~ x1\ng =~ x2 + x3 + x4\ng ~ f",
    "single indicator with a residual": "f =~ x1\nx1 ~~ 0.3*x1\ng =~ x2 + x3 + x4",
    "single indicator that is explained": "f =~ x1\nx1 ~ z\ng =~ x2 + x3",
    "phantom": "f =~ 0\nf ~~ 1*f\ny ~ f + x",
    "phantom with predictors": "f =~ 0\nf ~ x1 + x2\ny1 + y2 ~ f",
    "composite": "c <~ x1 + x2 + x3\ny ~ c\ny2 ~ c",
    "composite with a fixed weight": "c <~ 1*x1 + x2 + x3\nc ~~ 0*c\ny =~ y1 + y2 + y3\ny ~ c",
    "composite and factor": "c <~ x1 + x2\nf =~ y1 + y2 + y3\nf ~ c",
    "composite that is explained": "c <~ x1 + x2\nc ~ z\ny ~ c",
    "mediation": PATH + "ab := a*b\ntotal := c + ab",
    "path with written moments of x": PATH + "x1 ~~ x1\nx1 ~ 1",
    "path with a written covariance of x": PATH + "x1 ~~ x2",
    "path with a mean of x": "y ~ x1 + x2\nx1 ~ 1",
    "several outcomes": "y1 + y2 + y3 ~ x1 + x2",
    "outcomes, latent and observed": ONE + "\ny1 + y2 + f ~ z\ny1 ~~ 0*y2",
    "outcome that predicts": "y1 ~ x\ny2 ~ y1\ny3 ~ x",
    "non-recursive": "y1 ~ y2 + x1\ny2 ~ y1 + x2\ny1 ~~ y2",
    "two latent outcomes": TWO + "h =~ x7 + x8 + x9\nf + g ~ h\ny ~ h",
    "interaction with an outcome": "y1 ~ x\ny2 ~ y1:x + y1 + x\ny3 ~ x:z",
    "single indicator twice": "f =~ x1\ng =~ x1 + x2 + x3",
    "latent interaction by hand": TWO + "fg =~ x1:x4 + x2:x5\ny ~ f + g + fg",
    "interaction of observed": "y ~ x + z + x:z\nw ~ x:z",
    "only covariances": "x1 ~~ x2 + x3\nx2 ~~ 0*x3",
    "covariance of factor and observed": ONE + "\nz ~~ f\nz ~~ x2",
    "only means": "x ~ 1\ny ~ 1",
    "intercepts in every form": "y ~ 1 + 2*z + x\nm ~ 0 + z\nk ~ a*1\nl ~ 0.5*1 + x\nn ~ start(2)*1",
    "intercept fixed at one": "y ~ 1*1\nx ~ NA*1",
    "latent means": TWO + "f ~ 1\ng ~ 0*1\nx1 ~ 0*1",
    "indicator that predicts": ONE + "\ny ~ x1 + f",
    "factor that predicts its indicator's twin": ONE + "\nx3 ~ x2",
    "correlated residuals": TWO + "x1 ~~ x4\nx5 ~~ x2 + x3",
    "several on both sides of a covariance": TWO + "x1 + x2 ~~ x4 + x5",
    "fixed, free and labelled": "f =~ NA*x1 + 1*x2 + a*x3 + 0.5*x4\nf ~~ v*f",
    "start on the marker": "f =~ start(0.8)*x1 + start(2)*x2 + x3\nx1 ~~ start(3)*x1",
    "marker with label": "f =~ a*x1 + b*x2 + b*x3",
    "label shared with the marker": "f =~ a*x1 + b*x2 + a*x3",
    "label shared with a fixed parameter": "f =~ x1 + a*x2 + a*x3\ny ~ 0.5*x1 + a*x1 + a*f",
    "labels by call": "f =~ x1 + label('a')*x2 + label(\"a\")*x3",
    "quoted label": "f =~ x1 + 'a'*x2 + \"b\"*x3",
    "equal": 'f =~ x1 + x2 + equal("f=~x2")*x3 + equal("f=~x2")*x4',
    "equal to a labelled one": 'f =~ x1 + a*x2 + equal("f=~x2")*x3',
    "equal across formulas": 'y ~ x1 + x2\nz ~ equal("y~x1")*x1 + equal("y~x2")*x2',
    "equal variances": 'f =~ x1 + x2 + x3\nx1 ~~ x1\nx2 ~~ equal("x1~~x1")*x2',
    "several modifiers by repetition": "f =~ x1 + a*x2 + start(0.4)*x2 + x3 + lower(0)*x3 + upper(2)*x3",
    "repetition across formulas": "f =~ x1 + x2 + x3\nf =~ a*x2\nf =~ start(2)*x3",
    "bounds": "f =~ x1 + lower(0)*x2 + upper(3)*x3\nx1 ~~ lower(0.01)*x1",
    "arithmetic": "f =~ (1/2)*x1 + 2^3*x2 + -1.5*x3 + 1e-2*x4 + sqrt(2)*x5 + (1+2)*x6",
    "numeric calls": "f =~ 1*x1 + exp(0.5)*x2 + start(log(2))*x3 + abs(-3)*x4",
    "order of covariances": "y ~ x\nz ~~ y\nz ~~ x\nx ~~ w",
    "constraints on labels": "f =~ x1 + a*x2 + b*x3 + c*x4\na == b\nc > 0\na + b < 2*c",
    "constraint with arithmetic": "y ~ a*x1 + b*x2 + c*x3\na == 2*b\nb + c == 1\nq := a/(b+c)^2",
    "constraint on a definition": "y ~ a*x1 + b*x2\nq := a*b\nq == 0.5",
    "constraints written first": "a == b\ny ~ a*x1 + b*x2",
    "definitions of definitions": "y ~ a*x\np := a^2\nq := exp(p) - log(a) * -1",
    "formula with own label of a parameter": "y ~ x1 + x2\n.p1. == .p2.",
    "odd names": "Größe =~ été + x.1 + .y + x_2\nif1 ~ Größe\nT ~ F1",
    "names with digits": "f1 =~ x1.1 + x1.2 + x1_3\nx1e3 ~ f1",
    "comments and blanks": "# head\nf =~ x1 + # first\n   x2 ! second\n + x3; g =~ x4 +\n\n x5\n",
    "no final break": "f=~x1+x2;f~~f;x1~~x1",
    "label that is a variable": "f =~ x1 + x2*x2 + x3\ny ~ f*f",
    "growth": GROWTH,
    "growth with predictors": GROWTH + "i ~ x1\ns ~ x1\nt1 ~~ e*t1\nt2 ~~ e*t2",
    "growth with time-varying predictors": GROWTH + "t1 ~ c1\nt2 ~ c2",
    "latent change score": "l1 =~ 1*y1\nl2 =~ 1*y2\nd =~ 1*l2\nl2 ~ 1*l1\nd ~ l1\nd ~ 1\nl1 ~ 1\ny1 ~ 0*1\ny2 ~ 0*1",
    "factor explained by observed": ONE + "\nf ~ z1 + z2",
    "observed exogenous and latent exogenous": TWO + "y ~ f + z",
    "written out": WRITTEN_OUT,
    "shared label of a variance and a covariance": ONE + "\nx1 ~~ v*x1\nx2 ~~ v*x2\nx1 ~~ v*x2",
    "regression of an indicator on its factor's cause": ONE + "\nf ~ z\nx1 ~ z",
    "NA label in repetition": "f =~ NA*x1 + a*x1 + x2\nf ~~ 1*f",
    "zero as a fixed value": "f =~ x1 + 0*x2 + x3\nf ~~ 0*f",
    "negative sign": "f =~ -1*x1 + x2\ny ~ -0.5*f",
}

_GROUP_MODELS: dict[str, str] = {
    "two labels": "f =~ x1 + c(a, b)*x2 + c(a2, a2)*x3",
    "one label": "f =~ x1 + a*x2 + x3",
    "label and NA": "f =~ x1 + c(a, NA)*x2 + x3",
    "quoted label and NA": "f =~ x1 + c('a', NA)*x2 + x3",
    "quoted labels": "f =~ x1 + c('a', \"b\")*x2 + x3",
    "values": "f =~ x1 + c(1, NA)*x2 + c(0.5, 0.6)*x3",
    "values on the marker": "f =~ c(NA, 1)*x1 + c(1, NA)*x2 + x3",
    "starts": "f =~ x1 + start(c(1, 2))*x2 + start(3)*x3",
    "start on the marker with NA": "f =~ start(c(2, NA))*x1 + x2 + x3",
    "one value for all": "f =~ x1 + 0.5*x2 + x3\nf ~ 1\nx1 ~~ 1*x1",
    "means": "f =~ x1 + x2 + x3\nf ~ c(0, NA)*1\nx1 ~ c(i, i)*1",
    "repeated": "f =~ x1 + rep('a', 2)*x2 + rep(c(1), 2)*x3",
    "pasted": 'f =~ x1 + c(paste("a", 1, sep=""), paste0("b", 2))*x2 + x3',
    "bounds": "f =~ x1 + lower(c(0, 0.1))*x2 + upper(3)*x3",
    "definition": "y ~ c(a1, a2)*x\ndiff := a1 - a2",
    "constraint": "y ~ c(a1, a2)*x + z\na1 == a2",
    "equal": 'f =~ x1 + x2 + equal("f=~x2")*x3',
    "equal across groups": 'f =~ x1 + x2 + x3 + c("w", "f=~x2")*x3',
    "path": PATH,
    "composite": "c <~ x1 + x2\ny ~ c",
}

_BLOCKS: dict[str, str] = {
    "same in both": "group: 1\nf =~ x1 + x2 + x3\ngroup: 2\nf =~ x1 + x2 + x3",
    "labels tie": "group: a\nf =~ x1 + l*x2 + x3\ngroup: b\nf =~ x1 + l*x2 + x3\nf ~~ 1*f",
    "more in the second": "group: 1\nf =~ x1 + x2 + x3 + x4\ngroup: 2\nf =~ x1 + x2 + x3 + x4\nx1 ~~ x2\nf ~ 1",
    "definition": "group: 1\ny ~ a*x\ngroup: 2\ny ~ b*x\nd := a - b\na > 0",
    "a name twice": "group: 1\nf =~ x1 + x2\ngroup: 2\nf =~ x1 + x2 + x3\ngroup: 1\nf =~ x3",
    "constraint within": "group: 1\ny ~ a*x\na == b\ngroup: 2\ny ~ b*x",
}

_EQUALITIES = (
    "loadings", "intercepts", "means", "residuals", "residual.covariances", "lv.variances", "lv.covariances",
    "regressions",
)  # fmt: skip
EVERYTHING = STRUCTURAL + "x1 ~~ x4\nx2 ~~ x2\ny ~ f + z\n"


def _cases() -> list[TableCase]:
    """Every model under several functions and options, then what only some models show."""
    found = []
    for name, model in _MODELS.items():
        latent = "=~" in model or "<~" in model
        variants: dict[str, tuple[str, dict[str, Any]]] = {"sem": ("sem", {}), "lavaan": ("lavaan", {})}
        if " ~ " in model:
            variants["fixed_x"] = ("sem", {"fixed_x": True})
        if latent:
            variants["std_lv"] = ("cfa", {"std_lv": True})
        if "=~" in model:
            variants["orthogonal"] = ("cfa", {"orthogonal": True})
        if "growth" in name or "latent" in name or name == "one factor":
            variants["growth function"] = ("growth", {})
        found += [
            TableCase(name=f"{name} [{variant}]", model=model, func=func, options=options)
            for variant, (func, options) in variants.items()
        ]
    for name, model in _GROUP_MODELS.items():
        found.append(TableCase(name=f"groups: {name}", model=model, options={"ngroups": 2}))
        found.append(TableCase(name=f"groups: {name} [fixed_x]", model=model, options={"ngroups": 2, "fixed_x": True}))
    found += [TableCase(name=f"blocks: {name}", model=model, options={"ngroups": 2}) for name, model in _BLOCKS.items()]
    for kind in _EQUALITIES:
        for n in (2, 3):
            options = {"ngroups": n, "group_equal": kind}
            found.append(TableCase(name=f"equal {kind} [{n} groups]", model=EVERYTHING, options=options))
    return [*found, *_switched(), *_equal_across_groups(), *_equal_in_odd_models()]


def _switched() -> list[TableCase]:
    switches = ("int_ov_free", "int_lv_free", "auto_fix_first", "auto_fix_single", "auto_var", "auto_cov_lv_x",
                "auto_cov_y")  # fmt: skip
    model = STRUCTURAL + "s =~ z1\ny1 + y2 ~ f + x\n"
    found = []
    for switch in switches:
        found.append(TableCase(name=f"{switch} off", model=model, options={switch: False}))
        found.append(TableCase(name=f"{switch} on", model=model, options={switch: True}))
        found.append(TableCase(name=f"{switch} on [lavaan]", model=model, func="lavaan", options={switch: True}))
    both = {"std_lv": True, "auto_fix_first": True}
    found.append(TableCase(name="std_lv and auto_fix_first", model=model, options=both))
    found.append(TableCase(name="std_lv [lavaan]", model=model, func="lavaan", options={"std_lv": True}))
    found.append(TableCase(name="fixed_x [lavaan]", model=PATH, func="lavaan", options={"fixed_x": True}))
    return found


def _equal_across_groups() -> list[TableCase]:
    sets: dict[str, dict[str, Any]] = {
        "metric and scalar": {"group_equal": ("loadings", "intercepts")},
        "strict": {"group_equal": ("loadings", "intercepts", "residuals", "residual.covariances")},
        "scalar with equal means": {"group_equal": ("loadings", "intercepts", "means")},
        "all": {"group_equal": _EQUALITIES},
        "intercepts only": {"group_equal": "intercepts"},
        "standardised, metric": {"group_equal": "loadings", "std_lv": True},
        "standardised, scalar": {"group_equal": ("loadings", "intercepts"), "std_lv": True},
        "standardised, equal variances": {"group_equal": ("loadings", "lv.variances"), "std_lv": True},
        "partial loadings": {"group_equal": "loadings", "group_partial": ("f=~x2", "g=~x6")},
        "partial, with blanks": {"group_equal": ("loadings", "intercepts"), "group_partial": ("f =~ x2", "x3 ~ 1")},
        "partial intercepts": {"group_equal": ("loadings", "intercepts"), "group_partial": ("x2~1", "x5~1")},
        "orthogonal": {"group_equal": "lv.covariances", "orthogonal": True},
        "fixed x": {"group_equal": ("regressions", "intercepts", "residuals"), "fixed_x": True},
    }
    found = [TableCase(name=f"equal: {name}", model=EVERYTHING, options={"ngroups": 2, **options})
             for name, options in sets.items()]  # fmt: skip
    labelled = "f =~ x1 + c(a, b)*x2 + v*x3 + 0.5*x4\nf ~ 1\nx1 ~ i*1\n"
    found += [TableCase(name=f"equal, labelled: {name}", model=labelled, options={"ngroups": 2, **options})
              for name, options in sets.items() if "partial" not in name]  # fmt: skip
    return found


def _equal_in_odd_models() -> list[TableCase]:
    blocks = "group: 1\nf =~ x1 + x2 + x3 + x4\ngroup: 2\nf =~ x1 + x2 + x3 + x4\nx1 ~~ x2\n"
    written: dict[str, tuple[str, str, dict[str, Any]]] = {
        "composite loadings": ("sem", "c <~ x1 + x2\ny1 ~ c\ny2 ~ c", {"group_equal": "composite.loadings"}),
        "growth": ("growth", GROWTH + "i ~ x", {"group_equal": ("means", "residuals", "regressions")}),
        "bounds and starts": ("sem", "f =~ x1 + lower(0)*x2 + start(2)*x3", {"group_equal": "loadings"}),
        "labelled in one of three groups": (
            "sem", "f =~ x1 + c(a, NA, NA)*x2 + x3", {"ngroups": 3, "group_equal": "loadings"},
        ),
        "labelled in one of three groups, quoted": (
            "sem", "f =~ x1 + c('a', NA, NA)*x2 + x3", {"ngroups": 3, "group_equal": "loadings"},
        ),
        "fixed in one group": (
            "sem", "f =~ c(NA, 1)*x1 + x2 + c(0.5, NA)*x3\nf ~ c(0, NA)*1", {"group_equal": ("loadings", "means")},
        ),
        "blocks": ("sem", blocks, {"group_equal": "loadings"}),
        "blocks, scalar": ("sem", blocks, {"group_equal": ("loadings", "intercepts")}),
        "blocks, standardised": ("sem", blocks, {"group_equal": "loadings", "std_lv": True}),
    }  # fmt: skip
    return [
        TableCase(name=f"equal: {name}", model=model, func=func, options={"ngroups": 2, **options})
        for name, (func, model, options) in written.items()
    ]


CASES = tuple(_cases())
BY_NAME = {case.name: case for case in CASES}
