"""lavaan's own numbers as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from r_cases import pupils

from fosa_sem.errors import DataError, EngineError, ModelSyntaxError, OptionError
from r_bridge import fit_lavaan, session
from r_bridge.lavaan import TABLES, checked
from r_bridge.options import lavaan_names

MODEL = "f =~ x1 + x2 + x3 + x4"
DOTS = ("std.lv", "fixed.x", "em.h1.tol", "group.equal", "control", "missing", "constraints", "optim.method")
UNDERSCORES = tuple(name.replace(".", "_") for name in DOTS)


# ---- what is asked (no R) ----------------------------------------------------------------------------------


def test_options_take_the_installed_names() -> None:
    options = {"std_lv": True, "group": None, "em_h1_tol": 1e-10, "group.equal": ("loadings", "means"),
               "control": {"rel_tol": 1e-12}}  # fmt: skip
    assert lavaan_names(options, DOTS) == {
        "std.lv": True, "em.h1.tol": 1e-10, "group.equal": ["loadings", "means"], "control": {"rel.tol": 1e-12},
    }  # fmt: skip
    assert set(lavaan_names(options, UNDERSCORES)) == {"std_lv", "em_h1_tol", "group_equal", "control"}


def test_an_unknown_option_is_named_with_the_closest() -> None:
    with pytest.raises(OptionError, match=r"lavaan has no option 'std_lw'; did you mean 'std\.lv'\?"):
        lavaan_names({"std_lw": True}, DOTS)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"func": "system"}, OptionError, "func must be one of sem, cfa, growth, lavaan"),
        ({"tables": ["Sys.time"]}, OptionError, "there is no table 'Sys.time'"),
        ({"model": "f =~ x1 +"}, ModelSyntaxError, "line 1"),
        ({"data": pd.DataFrame([[1, 2]], columns=["x", "x"])}, DataError, "unique"),
    ],
)
def test_bad_input(change: dict[str, Any], error: type[Exception], said: str, one_factor: pd.DataFrame) -> None:
    asked: dict[str, Any] = {"model": MODEL, "data": one_factor, "func": "sem", "tables": TABLES, "options": {}}
    with pytest.raises(error, match=said):
        checked(**(asked | change), known=DOTS)


# ---- with R ------------------------------------------------------------------------------------------------


@pytest.mark.r
class TestWithR:
    def test_every_table_under_lavaan_s_names(self, one_factor: pd.DataFrame) -> None:
        found = fit_lavaan(MODEL, one_factor, missing="fiml")
        assert set(found) == set(TABLES)
        assert len(found) == len(TABLES)
        assert found.failures == {}
        assert found.converged
        assert {"lhs", "op", "rhs", "est", "se", "ci.lower", "std.all"} <= set(found["parameterEstimates"])
        assert {"lhs", "op", "rhs", "mi", "epc"} <= set(found["modindices"])
        assert found["fitMeasures"].loc["df", "value"] == 2
        assert found["fitted.cov"].index.tolist() == found["fitted.cov"].columns.tolist() == ["x1", "x2", "x3", "x4"]
        assert found["parTable"]["free"].max() == 12
        assert found["vcov"].shape == (12, 12)
        assert found["lavPredict"].index.tolist() == one_factor.index.tolist()
        assert found["options"].loc["missing", "value"] == "ml"
        assert found.versions["lavaan"].startswith("0.")

    @pytest.mark.filterwarnings("ignore::fosa_sem.errors.EngineWarning")  # of negative variances
    def test_groups_are_an_index_level(self) -> None:
        table = pupils().set_index("id")
        found = fit_lavaan(MODEL, table, func="cfa", missing="ml", group="school")
        assert found.group_labels == ("Pasteur", "Grant-White")
        assert found["sampstat.cov"].loc["Pasteur"].shape == (4, 4)
        assert found["cases"]["group"].tolist() == table["school"].tolist()
        assert found["lavPredict"].index.tolist() == table.index.tolist()
        assert found["nobs"]["nobs"].tolist() == table["school"].value_counts(sort=False).tolist()

    def test_listwise_deletion_of_complete_rows(self, one_factor: pd.DataFrame) -> None:
        found = fit_lavaan(MODEL, one_factor, meanstructure=True)
        complete = one_factor.dropna()
        assert found["nobs"]["nobs"].tolist() == [len(complete)]
        assert found["lavPredict"].index.tolist() == complete.index.tolist()
        # Saturated moments are then those of the complete rows, divided by n.
        np.testing.assert_allclose(found["sampstat.cov"], complete.cov(ddof=0), rtol=1e-12)
        np.testing.assert_allclose(found["sampstat.mean"]["value"], complete.mean(), rtol=1e-12)

    def test_conditional_expectations_are_regressions(self, one_factor: pd.DataFrame) -> None:
        found = fit_lavaan(MODEL, one_factor, missing="ml")
        filled, mean, cov = found["conditional"], found["fitted.mean"]["value"], found["fitted.cov"]
        row = int(np.flatnonzero(one_factor.isna().sum(axis=1) == 2)[0])
        lost = one_factor.iloc[row].isna().to_numpy()
        deviation = (one_factor.iloc[row] - mean)[~lost]
        weights = np.linalg.solve(cov.to_numpy()[np.ix_(~lost, ~lost)], cov.to_numpy()[np.ix_(~lost, lost)])
        np.testing.assert_allclose(filled.iloc[row][lost], mean[lost] + deviation.to_numpy() @ weights)
        seen = one_factor.notna().to_numpy()
        np.testing.assert_array_equal(filled.to_numpy()[seen], one_factor.to_numpy()[seen])

    def test_a_table_that_lavaan_cannot_make(self, one_factor: pd.DataFrame) -> None:
        found = fit_lavaan("x1 ~ x2", one_factor, missing="listwise", tables=["coverage", "lavPredict", "coef"])
        assert "lavPredict" not in found
        with pytest.raises(KeyError, match="lavPredict"):
            found["lavPredict"]
        assert found["coef"].index.tolist() == ["x1~x2", "x1~~x1"]

    def test_a_failure_keeps_r_s_message(self, one_factor: pd.DataFrame) -> None:
        found = fit_lavaan("f =~ x1 + x2 + x3\nx4 ~~ f", one_factor, missing="ml", tables=["lavPredict", "coef"])
        assert "coef" in found
        assert "lavPredict" not in found
        with pytest.raises(EngineError, match="lavaan has no lavPredict for this fit: "):
            found["lavPredict"]

    def test_an_unknown_option(self, one_factor: pd.DataFrame) -> None:
        with pytest.raises(OptionError, match=r"std_lw.*did you mean 'std\.lv'"):
            fit_lavaan(MODEL, one_factor, std_lw=True)

    @pytest.mark.filterwarnings("ignore::fosa_sem.errors.EngineWarning")
    def test_auxiliary_variables(self, one_factor: pd.DataFrame) -> None:
        found = fit_lavaan("f =~ x1 + x2 + x3", one_factor, aux=["x4"], tables=["parameterEstimates", "fitMeasures"])
        assert "x4" in set(found["parameterEstimates"]["lhs"])

    def test_the_data_are_never_changed(self, one_factor: pd.DataFrame) -> None:
        before = one_factor.copy(deep=True)
        fit_lavaan(MODEL, one_factor, missing="ml")
        pd.testing.assert_frame_equal(one_factor, before)

    def test_only_our_functions_can_be_called(self) -> None:
        with pytest.raises(EngineError):
            session.call("system", command="true")
