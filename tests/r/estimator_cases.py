"""Ways of estimating, testing and grouping that lavaan and we fit: the options, where `r_cases` has the models."""

from __future__ import annotations

from typing import Any

from r_cases import PATHS, THREE_FACTORS, Case, adults, countries, pupils

LISTWISE: dict[str, Any] = {"missing": "listwise"}
SCALAR = ["loadings", "intercepts"]
TWO_FACTORS = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6"
PRESSURE = "pressure =~ systolic1 + systolic2 + systolic3\npressure ~ age + bmi + female"
GROWTH = """
level =~ 1*diastolic1 + 1*diastolic2 + 1*diastolic3
trend =~ 0*diastolic1 + 1*diastolic2 + 2*diastolic3
level ~ age
trend ~ age
"""
MEDIATION = """
waist  ~ a*bmi + female
hba1c  ~ b*waist + c*bmi + female
indirect := a*b
share := a*b / (c + a*b)
"""
DEMOCRACY = """
ind60 =~ x1 + x2 + x3
dem60 =~ y1 + y2 + y3 + y4
dem65 =~ y5 + y6 + y7 + y8
dem60 ~ ind60
dem65 ~ ind60 + dem60
"""
SIZE = "size <~ 1*waist + weight\nsystolic1 ~ size + age\nhba1c ~ size + age"


def _pupils(name: str, **options: Any) -> Case:
    return Case(name=f"pupils_{name}", func="cfa", model=THREE_FACTORS, table=pupils, options=options)


def _schools(name: str, **options: Any) -> Case:
    options["group"] = "school"
    return Case(name=f"two_schools_{name}", func="cfa", model=TWO_FACTORS, table=pupils, options=options)


def _adults(name: str, model: str, func: str = "sem", **options: Any) -> Case:
    return Case(name=f"adults_{name}", func=func, model=model, table=adults, options=options)


ESTIMATOR_CASES = (
    # incomplete rows: standard errors and tests
    _pupils("mlr", estimator="MLR"),
    _pupils("mlf", estimator="MLF"),
    _pupils("expected", information="expected"),
    _pupils("observed_h1", observed_information="h1", h1_information="unstructured"),
    _pupils("robust_yuan_bentler", se="robust", test="yuan.bentler"),
    _pupils("mlr_mixed", estimator="MLR", information=["expected", "observed"]),
    _pupils("two_stage", missing="two.stage"),
    _pupils("robust_two_stage", missing="robust.two.stage", information="expected"),
    Case(name="countries_mlr", func="sem", model=DEMOCRACY, table=countries, options={"estimator": "MLR"}),
    _adults("mimic_mlr", PRESSURE, estimator="MLR"),
    _adults("growth_mlr", GROWTH, "growth", estimator="MLR"),
    _adults("mediation_yuan_bentler", MEDIATION, test="yuan.bentler", fixed_x=False),
    # exogenous variables with holes; fixed at the moments that EM gives them
    _adults("path_fiml_x", PATHS, missing="fiml.x"),
    _adults("path_fiml_x_mlr", PATHS, missing="fiml.x", estimator="MLR"),
    # complete rows
    _pupils("listwise", **LISTWISE),
    _pupils("listwise_means_mlr", **LISTWISE, estimator="MLR", meanstructure=True),
    _pupils("listwise_mlm", **LISTWISE, estimator="MLM"),
    _adults("path_mlm_fixed_x", PATHS, **LISTWISE, estimator="MLM"),
    _adults("path_listwise_huber_white", PATHS, **LISTWISE, se="robust.huber.white", test="yuan.bentler.mplus"),
    _adults("path_wishart", PATHS, **LISTWISE, likelihood="wishart", meanstructure=True),
    # groups
    _schools("scalar_mlr", group_equal=SCALAR, estimator="MLR"),
    _schools(
        "strict", group_equal=[*SCALAR, "residuals", "lv.variances"], group_partial=["visual=~x2", "x4~1", "x6~~x6"]
    ),
    _schools("std_lv", group_equal="loadings", std_lv=True),
    _schools("mlm", **LISTWISE, group_equal=SCALAR, estimator="MLM"),
    _schools("wishart", **LISTWISE, group_equal="loadings", likelihood="wishart"),
    _schools("label", group_label=["Grant-White", "Pasteur"], group_equal=SCALAR),
    # other scales, other kinds of variables
    _pupils("effect_coding", effect_coding=["loadings", "intercepts"]),
    _schools("effect_coding", effect_coding="loadings", group_equal=SCALAR, estimator="MLR"),
    _adults("composite", SIZE, estimator="MLR"),
    Case(
        name="pupils_second_order",
        func="cfa",
        model=THREE_FACTORS + "ability =~ visual + textual + speed",
        table=pupils,
        options={"std_lv": True},
    ),
)
