"""The comparison with lavaan: it notices a difference in every quantity, and excuses only what is known."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from r_cases import CASES, Case, from_json
from zoo import BY_NAME, NAMES, fitted

import fosa_sem as fs
from fosa_sem import SemResults
from fosa_sem.cli import main
from fosa_sem.errors import EngineError, OptionError
from fosa_sem.inference.options import FitOptions, fit_options
from r_bridge import CrossCheck, crosscheck
from r_bridge.comparison import compare
from r_bridge.deviations import KNOWN
from r_bridge.lavaan import LavaanFit
from r_bridge.numbers import RULES
from r_bridge.options import OURS, lavaan_call

NOTES = Path(__file__).parents[2] / "DESCRIPTION_NOTES.md"
CASE = next(case for case in CASES if case.name == "pupils_two_schools")

ours = cache(CASE.ours)


def stored() -> LavaanFit:
    return from_json(CASE.stored()["answer"])


# ---- without R ---------------------------------------------------------------------------------------------


def nudged(fit: LavaanFit, table: str, row: Any, column: str, by: float) -> LavaanFit:
    frame = fit[table].copy()
    at = frame.columns.get_loc(column)
    frame.iloc[row, at] += by
    return replace(fit, tables={**fit.tables, table: frame})


def first_free(fit: LavaanFit, table: str) -> int:
    return int(np.flatnonzero(fit[table]["se"] > 0)[0])


def nudges(fit: LavaanFit) -> dict[str, tuple[str, int, str, float]]:
    """One change per quantity, a little larger than what is allowed: table, row, column, by how much."""
    free, std = first_free(fit, "parameterEstimates"), first_free(fit, "standardizedSolution")
    row = fit["parameterEstimates"].iloc[free]
    fixed = int(np.flatnonzero(fit["parameterEstimates"]["se"] == 0)[0])
    names = list(fit["fitMeasures"].index)
    hole = int(np.flatnonzero(np.arange(len(fit["lavPredict"])) >= 0)[0])
    return {
        "counts": ("nobs", 0, "nobs", 1),
        "coverage": ("coverage", 1, "x1", 1e-9),
        "log-likelihood": ("logLik", 0, "value", 2e-4),
        "estimate": ("parameterEstimates", free, "est", 2e-3 * row["se"]),
        "fixed value": ("parameterEstimates", fixed, "est", 1e-5),
        "standard error": ("parameterEstimates", free, "se", 2e-3 * row["se"]),
        "z": ("parameterEstimates", free, "z", 3e-3 * (1 + abs(row["z"]))),
        "p-value": ("parameterEstimates", free, "pvalue", 3e-3),
        "confidence limit": ("parameterEstimates", free, "ci.upper", 4e-3 * row["se"]),
        "standardised estimate": ("standardizedSolution", std, "est.std", 5e-4),
        "standardised SE": ("standardizedSolution", std, "se", 5e-3 * fit["standardizedSolution"]["se"].iloc[std]),
        "standardised z": ("standardizedSolution", std, "z", 0.2),
        "standardised p-value": ("standardizedSolution", std, "pvalue", 5e-3),
        "standardised limit": ("standardizedSolution", std, "ci.lower", 5e-3),
        "explained variance": ("rsquare", 0, "r2", 5e-4),
        "fit measure": ("fitMeasures", names.index("cfi"), "value", 2e-3),
        "parameter covariance": ("vcov", 0, fit["vcov"].columns[0], 1e-2 * fit["vcov"].iloc[0, 0]),
        "implied moment": ("fitted.cov", 1, "x1", 1e-3),
        "H1 moment": ("sampstat.mean", 1, "value", 1e-3),
        "modification index": ("modindices", 0, "mi", 5e-3 * max(1.0, fit["modindices"]["mi"].iloc[0])),
        "expected change": ("modindices", 0, "sepc.all", 0.1),
        "factor score": ("lavPredict", hole, "visual", 1e-2),
        "conditional expectation": ("conditional", 0, "", 1e-2),
    }


def test_stored_numbers_agree() -> None:
    check = compare(ours(), stored())
    assert check.ok
    assert set(check.table["verdict"]) == {"ok"}
    assert check.by_quantity()["numbers"].sum() == len(check.table)


@pytest.mark.parametrize("quantity", RULES)
def test_a_difference_is_noticed(quantity: str) -> None:
    fit = stored()
    table, row, column, by = nudges(fit)[quantity]
    if quantity == "conditional expectation":  # any filled cell
        holes = ours().data[list(fit["conditional"].columns)].iloc[fit["cases"]["row"].to_numpy() - 1].isna()
        row, at = (int(found[0]) for found in np.nonzero(holes.to_numpy()))
        column = holes.columns[at]
    check = compare(ours(), nudged(fit, table, row, column, by))
    assert not check.ok
    differing = check.table[check.table["verdict"] == "differs"]
    assert quantity in set(differing["quantity"])
    assert abs(differing["difference"]).max() < math.inf
    assert "DIFFER" in check.summary()


def test_every_quantity_is_tried_and_has_a_reason() -> None:
    assert set(nudges(stored())) == set(RULES)
    assert all(rule.reason and rule.unit for rule in RULES.values())


def test_a_parameter_on_one_side_only_is_noticed() -> None:
    fit = stored()
    shorter = replace(fit, tables={**fit.tables, "parameterEstimates": fit["parameterEstimates"].iloc[:-1]})
    check = compare(ours(), shorter)
    assert not check.ok
    alone = check.table[(check.table["verdict"] == "differs") & check.table["lavaan"].isna()]
    assert len(alone) > 0


def test_a_number_that_only_one_side_has_is_noticed() -> None:
    check = compare(ours(), nudged(stored(), "parameterEstimates", 1, "se", math.nan))
    assert not check.ok


def test_turned_signs_and_failures_are_told() -> None:
    fit = replace(stored(), turned=("visual (group 2)",), converged=False, warnings=("too hot",),
                  failures={"vcov": "no matrix"})  # fmt: skip
    text = compare(ours(), fit).summary()
    for said in ("visual (group 2)", "did not converge", "too hot", "no vcov for this fit: no matrix"):
        assert said in " ".join(text.split())


def test_text_is_80_columns_and_the_frame_is_complete() -> None:
    check = compare(ours(), stored(), rpy2="3.6.5")
    assert max(map(len, check.summary().splitlines())) <= 80
    frame = check.to_frame()
    assert list(frame) == ["quantity", "group", "name", "ours", "lavaan", "difference", "unit", "tolerance", "verdict"]
    assert {"R", "lavaan", "rpy2"} <= set(check.versions)
    assert "rpy2 3.6.5" in check.summary()
    frame["ours"] = 0.0  # a copy
    assert check.ok


@pytest.mark.parametrize("suffix", [".html", ".md", ".txt"])
def test_the_section_stands_in_every_kind_of_report(tmp_path: Path, suffix: str) -> None:
    check = compare(ours(), stored())
    path = ours().report(tmp_path / f"report{suffix}", sections=[check.section()])
    text = path.read_text(encoding="utf-8")
    assert "Comparison with lavaan" in text
    assert "numbers compared" in text
    assert "Comparison with lavaan" not in ours().report(tmp_path / f"plain{suffix}").read_text(encoding="utf-8")


# ---- known deviations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("deviation", KNOWN, ids=lambda d: d.reason[:30])
def test_every_known_deviation_stands_in_the_notes(deviation: Any) -> None:
    assert deviation.reason in " ".join(NOTES.read_text(encoding="utf-8").split())
    assert deviation.versions


def test_a_known_deviation_is_excused_by_its_reason_and_in_its_version_only() -> None:
    results = fitted("mediation")  # df = 0

    def check(version: str) -> CrossCheck:
        measures = results.fit_measures().to_frame("value")
        measures.loc[["cn_05", "cn_01"]] = math.nan
        tables = {**EMPTY, "fitMeasures": measures, "logLik": pd.DataFrame({"value": [results.loglik]})}
        fit = LavaanFit(
            versions={"lavaan": version, "R": "4"}, converged=True, iterations=1, group_labels=("",), warnings=(),
            tables=tables,
        )  # fmt: skip
        found = compare(results, fit).table
        return found[found["name"].isin(["cn_05", "cn_01"])]["verdict"].unique().tolist()

    assert check("0.6.14") == ["known: " + KNOWN[0].reason]
    assert check("0.7.2") == ["differs"]


_MOMENTS = pd.DataFrame({"value": []})
EMPTY = {
    "nobs": pd.DataFrame({"group": [""], "nobs": [250], "npatterns": [None]}),
    "parameterEstimates": pd.DataFrame(columns=["lhs", "op", "rhs", "est", "se", "z", "pvalue", "ci.lower",
                                                "ci.upper", "std.lv", "std.all", "std.nox"]),
    "standardizedSolution": pd.DataFrame(columns=["lhs", "op", "rhs", "est.std", "se", "z", "pvalue", "ci.lower",
                                                  "ci.upper"]),
    "rsquare": pd.DataFrame(columns=["group", "variable", "r2"]),
    "free": pd.DataFrame(columns=["lhs", "op", "rhs", "group"]),
    "fitted.cov": pd.DataFrame(), "sampstat.cov": pd.DataFrame(),
}  # fmt: skip


# ---- options -----------------------------------------------------------------------------------------------


def test_every_option_is_mapped_or_named() -> None:
    """A new option of a fit must be decided on, or every fit would be refused."""
    func, arguments = lavaan_call(FitOptions())
    assert func == "sem"
    assert set(arguments) <= set(OURS.values())


@pytest.mark.parametrize(
    ("options", "func", "expected"),
    [
        ({"fixed_x": False, "std_lv": True}, "cfa", {"fixed_x": False, "std_lv": True}),
        ({"group": "g", "group_equal": ("loadings",)}, "sem", {"group": "g", "group_equal": ("loadings",)}),
        ({"auxiliary": "z"}, "sem", {"aux": ("z",)}),
        ({"missing": "listwise", "likelihood": "wishart"}, "sem", {"missing": "listwise", "likelihood": "wishart"}),
        ({"information": ("observed", "expected")}, "sem", {"information": ("observed", "expected")}),
        ({"estimator": "MLR"}, "growth", {"estimator": "MLR"}),
    ],
)
def test_options_in_lavaan_s_terms(options: dict[str, Any], func: Any, expected: dict[str, Any]) -> None:
    called, arguments = lavaan_call(fit_options(func, options))
    assert called == func
    assert expected.items() <= arguments.items()


def test_switches_that_lavaan_overwrites_are_all_given_to_lavaan_itself() -> None:
    func, arguments = lavaan_call(fit_options("growth", {"auto_cov_y": False}))
    assert func == "lavaan"
    assert arguments["auto_cov_y"] is False
    assert (arguments["int_lv_free"], arguments["int_ov_free"], arguments["auto_var"]) == (True, False, True)


@pytest.mark.parametrize(("options", "named"), [({"se": "bootstrap"}, "bootstrap"), ({"ridge": 1e-6}, "ridge")])
def test_what_lavaan_has_nothing_like_is_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        lavaan_call(FitOptions(**options))


# ---- with R ------------------------------------------------------------------------------------------------


@pytest.mark.r
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_cases_agree_live_and_as_stored(case: Case) -> None:
    results = case.ours()
    live = crosscheck(results)
    assert live.ok, live.summary()
    if from_json(case.stored()["answer"]).versions["lavaan"] != live.versions["lavaan"]:
        pytest.skip("the stored values are of another lavaan")
    before = compare(results, from_json(case.stored()["answer"])).table
    keys = ["quantity", "group", "name"]
    # cumcount: confidence limits stand there twice under one name
    both = [t.assign(k=t.groupby(keys).cumcount()) for t in (before, live.table)]
    merged = both[0].merge(both[1], on=[*keys, "k"], how="left", suffixes=("", "_now"), validate="1:1")
    np.testing.assert_allclose(merged["lavaan_now"], merged["lavaan"], rtol=1e-4, atol=1e-5)


TOO_UNEVEN = "uneven_units"
"""Units ten-thousandfold apart, on which 0.6-14 stops."""


@pytest.mark.r
@pytest.mark.parametrize("name", NAMES)
def test_the_zoo_agrees(name: str) -> None:
    if name == TOO_UNEVEN:
        with pytest.raises(EngineError, match="lavaan stopped: "):
            crosscheck(fitted(name))
        return
    check = crosscheck(fitted(name))
    assert check.ok, check.summary()
    assert check.converged


def _two_stage() -> SemResults:
    model = BY_NAME["cfa"]
    return model.fit(model.data(), missing="two.stage")


OTHER_FITS = {
    "MLR": lambda m, d: m.fit(d, estimator="MLR"),
    "MLF": lambda m, d: m.fit(d, estimator="MLF"),
    "listwise MLM": lambda m, d: m.fit(d, missing="listwise", estimator="MLM"),
    "wishart": lambda m, d: m.fit(d, missing="listwise", likelihood="wishart"),
    "expected information": lambda m, d: m.fit(d, information="expected"),
    "two-stage": lambda m, d: m.fit(d, missing="two.stage"),
    "robust two-stage": lambda m, d: m.fit(d, missing="robust.two.stage"),
    "auxiliary": lambda m, d: fs.cfa("f =~ x1 + x2 + x3 + x4", d, auxiliary=("x5", "x6")),
    "effect coding": lambda m, d: m.fit(d, effect_coding="loadings"),
    "switches": lambda m, d: m.fit(d, auto_cov_lv_x=False),
    "engine": lambda m, d: m.fit(d, engine="lavaan"),
}


@pytest.mark.r
@pytest.mark.filterwarnings("ignore::fosa_sem.errors.DroppedRowsWarning")
@pytest.mark.parametrize("name", OTHER_FITS)
def test_other_kinds_of_fits_agree(name: str) -> None:
    model = BY_NAME["cfa"]
    check = crosscheck(OTHER_FITS[name](model, model.data()))
    assert check.ok, check.summary()


@pytest.mark.r
@pytest.mark.filterwarnings("ignore::fosa_sem.errors.FosaWarning")
def test_exogenous_holes_products_and_odd_types_agree() -> None:
    rng = np.random.default_rng(8)
    x, z = rng.standard_normal((2, 200))
    y = 0.5 * x + 0.3 * z + 0.4 * x * z + rng.standard_normal(200)
    data = pd.DataFrame({"x": x, "z": pd.Series(np.round(3 * z)).astype("Int64"), "y": y})
    data = data.mask(rng.random(data.shape) < 0.1).set_index(pd.Index([f"person {i // 2}" for i in range(200)]))
    data["unused"] = pd.Categorical(["a"] * 200)
    for options in ({}, {"fixed_x": False}):
        check = crosscheck(fs.sem("y ~ x + z + x:z", data, **options))
        assert check.ok, check.summary()


MEASURED = "f =~ y1 + y2 + y3 + y4\n"


@pytest.mark.r
@pytest.mark.parametrize(
    ("model", "excused"),
    [
        (MEASURED + "f ~ m\nm ~ x", True),  # an observed outcome before the factor
        (MEASURED + "z ~ m\nm ~ x\nf ~ z", True),
        (MEASURED + "z ~ x\nz ~~ f", True),
        (MEASURED + "f ~ x\nz ~ f", False),  # after it
        (MEASURED + "f ~ m + x", False),
    ],
)
def test_factor_scores_are_excused_only_where_lavaan_leaves_something_out(model: str, excused: bool) -> None:
    rng = np.random.default_rng(3)
    x, m, f, z = rng.standard_normal((4, 300))
    m, f, z = m + 0.6 * x, f + 0.7 * m + 0.4 * x, z + 0.5 * f
    data = pd.DataFrame({"x": x, "m": m, "z": z, **{f"y{i}": f + rng.standard_normal(300) for i in range(1, 5)}})
    check = crosscheck(fs.sem(model, data))
    assert check.ok, check.summary()
    scores = check.table[(check.table["quantity"] == "factor score") & ~check.table["name"].str.endswith("(Bartlett)")]
    assert scores["verdict"].str.startswith("known: 0.6-14 leaves out of factor scores").any() == excused


@pytest.mark.r
@pytest.mark.filterwarnings("ignore::fosa_sem.errors.CoverageWarning")
def test_a_pair_that_nobody_has_is_excused() -> None:
    data = BY_NAME["cfa"].data()
    data.loc[data["x1"].notna(), "x2"] = np.nan
    check = crosscheck(BY_NAME["cfa"].fit(data.dropna(how="all")))
    assert check.ok, check.summary()
    assert check.table["verdict"].str.contains("a covariance nobody observed").any()


@pytest.mark.r
def test_a_turned_factor_is_turned_back() -> None:
    rng = np.random.default_rng(2)
    # lavaan's starting values decide, and a loading near 0 may end on their other side.
    values = rng.standard_normal((200, 1)) * [0.05, -0.9, 1.0, 0.8] + rng.standard_normal((200, 4))
    data = pd.DataFrame(values, columns=["x1", "x2", "x3", "x4"])
    check = crosscheck(fs.cfa("f =~ x1 + x2 + x3 + x4", data, std_lv=True))
    assert check.turned == ("f",)
    assert check.ok, check.summary()


@pytest.mark.r
def test_a_wrong_fit_is_found_out() -> None:
    results = fitted("cfa")
    theta = results.fit.theta.copy()
    theta[0] *= 1.01
    with pytest.warns(fs.errors.ConvergenceWarning):
        wrong = BY_NAME["cfa"].fit(BY_NAME["cfa"].data(), engine=_Fixed(theta))
    check = crosscheck(wrong)
    assert not check.ok
    assert {"estimate", "standard error"} <= set(check.table.loc[check.table["verdict"] == "differs", "quantity"])


class _Fixed:
    """Returns the theta that it was made with."""

    name = "fixed"

    def __init__(self, theta: np.ndarray) -> None:
        self.theta = theta

    def estimate(self, problem: Any) -> Any:
        from fosa_sem.fiml.engines.base import Estimates

        return Estimates(theta=self.theta)


@pytest.mark.r
class TestCommand:
    @pytest.fixture
    def files(self, tmp_path: Path) -> tuple[str, str]:
        BY_NAME["cfa"].data().to_csv(tmp_path / "data.csv", index=False)
        (tmp_path / "model.txt").write_text(BY_NAME["cfa"].model)
        return str(tmp_path / "model.txt"), str(tmp_path / "data.csv")

    def test_crosscheck(self, files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report, table = tmp_path / "r.md", tmp_path / "all.csv"
        assert main(["crosscheck", *files, "--std-lv", "--report", str(report), "--table", str(table)]) == 0
        out = capsys.readouterr().out
        assert "Comparison with lavaan" in out
        assert "All agree" in out
        assert "Comparison with lavaan" in report.read_text(encoding="utf-8")
        assert (pd.read_csv(table)["verdict"] == "ok").all()

    def test_engine(self, files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["fit", *files, "--engine", "lavaan"]) == 0
        assert "Estimates found by lavaan" in " ".join(capsys.readouterr().out.split())
