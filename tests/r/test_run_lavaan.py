"""How a model and a table reach R and come back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from r_cases import pupils

from fosa_sem.errors import DataError, EngineError, ModelSyntaxError, OptionError
from r_bridge import r_info, reference, run_lavaan
from r_bridge.runtime import describe

MODEL = "f =~ x1 + x2 + x3 + x4"


@pytest.fixture(scope="module")
def _lavaan() -> None:
    missing = r_info().r_problems
    if missing:
        pytest.skip(describe(missing))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What would have been handed to R: the request and the text of the table."""
    seen: dict[str, object] = {}

    def run_script(folder: Path, timeout: float) -> None:
        seen["request"] = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        seen["csv"] = (folder / "data.csv").read_text(encoding="utf-8")
        (folder / "result.json").write_text("{}", encoding="utf-8")

    monkeypatch.setattr(reference, "_run_script", run_script)
    return seen


# ---- what is handed over (no R) ----------------------------------------------------------------------------


def test_options_take_lavaans_names(sent: dict, one_factor: pd.DataFrame) -> None:
    options = {"std_lv": True, "group": None, "em_h1_tol": np.float64(1e-10), "control": {"rel_tol": 1e-12}}
    reference.lavaan_payload(MODEL, one_factor, "cfa", group_equal=("loadings", "means"), **options)
    assert sent["request"]["func"] == "cfa"
    assert sent["request"]["options"] == {
        "std.lv": True,
        "em.h1.tol": 1e-10,
        "control": {"rel.tol": 1e-12},
        "group.equal": ["loadings", "means"],
    }


def test_numbers_keep_all_their_digits(sent: dict) -> None:
    values = [0.1 + 0.2, 1 / 3, 1e-300, np.nan, np.pi * 1e17]
    table = pd.DataFrame({"x": values, "t": [True, False, True, True, False], "w": list("ab,\nd")})
    before = table.copy()
    reference.lavaan_payload("f =~ x", table)
    back = sent["csv"].splitlines()
    assert back[0] == "x,t,w"
    assert [float(line.split(",")[0]) for line in back[1:4]] == values[:3]
    assert back[1].split(",")[1] == "1"
    assert "NA" in sent["csv"]
    assert sent["request"]["numeric"] == [True, True, False]
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"func": "system"}, OptionError, "func must be one of sem, cfa, growth, lavaan"),
        ({"start": object()}, OptionError, "start="),
        ({"em_h1_tol": float("nan")}, OptionError, "em_h1_tol=nan"),
        ({"model": "f =~ x1 +"}, ModelSyntaxError, "line 1"),
        ({"data": pd.DataFrame([[1, 2]], columns=["x", "x"])}, DataError, "unique"),
    ],
)
def test_bad_input(change: dict, error: type[Exception], said: str, sent: dict, one_factor: pd.DataFrame) -> None:
    with pytest.raises(error, match=said):
        reference.lavaan_payload(**({"model": MODEL, "data": one_factor} | change))
    assert sent == {}


@pytest.mark.parametrize(
    "model",
    [
        'f =~ file.create("{mark}")*x1 + x2 + x3',
        'f =~ start(file.create("{mark}"))*x1 + x2 + x3',
        'f =~ x1 + a*x2 + x3\nb := a + file.create("{mark}")',
        'f =~ x1 + x2 + x3"); file.create("{mark}"); ("',
    ],
)
def test_a_model_that_is_code_does_not_reach_r(model: str, sent: dict, one_factor: pd.DataFrame) -> None:
    with pytest.raises(ModelSyntaxError):
        reference.lavaan_payload(model.replace("{mark}", "mark"), one_factor)
    assert sent == {}


# ---- with R ------------------------------------------------------------------------------------------------


@pytest.mark.r
@pytest.mark.usefixtures("_lavaan")
class TestWithR:
    def test_a_column_name_that_is_code_is_only_a_name(self, tmp_path: Path, one_factor: pd.DataFrame) -> None:
        mark = tmp_path / "mark"
        name = f'"); file.create("{mark.as_posix()}"); ("'
        table = one_factor.assign(**{name: 1.0, "`": "a 'b' \"c\" # d"})
        plain, hostile = run_lavaan(MODEL, one_factor, missing="ml"), run_lavaan(MODEL, table, missing="ml")
        assert plain.loglik == hostile.loglik
        assert not mark.exists()

    def test_a_label_that_is_code_is_only_a_label(self, tmp_path: Path, one_factor: pd.DataFrame) -> None:
        mark = tmp_path / "mark"
        model = f"f =~ x1 + \"file.create('{mark.as_posix()}')\"*x2 + x3 + x4"
        found = run_lavaan(model, one_factor, missing="ml")
        assert len(found.parameter_estimates) == 14
        assert not mark.exists()

    def test_names_beyond_ascii(self, one_factor: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
        found = run_lavaan(MODEL.replace("x1", "größe"), one_factor.rename(columns={"x1": "größe"}), missing="ml")
        assert found.parameter_estimates["rhs"][0] == "größe"

    def test_lavaans_message_comes_back(self, one_factor: pd.DataFrame) -> None:
        with pytest.raises(EngineError, match=r"lavaan stopped.*missing observed variables.*x9"):
            run_lavaan("f =~ x1 + x2 + x9", one_factor)

    def test_an_unknown_option_is_lavaans_error(self, one_factor: pd.DataFrame) -> None:
        with pytest.raises(EngineError, match=r"std\.lw"):
            run_lavaan(MODEL, one_factor, std_lw=True)

    def test_time_is_limited(self, one_factor: pd.DataFrame) -> None:
        with pytest.raises(EngineError, match="timeout"):
            run_lavaan(MODEL, one_factor, timeout=0.001)

    def test_listwise_deletion_of_complete_rows(self, one_factor: pd.DataFrame) -> None:
        found = run_lavaan(MODEL, one_factor, meanstructure=True)
        complete = one_factor.dropna()
        assert found.nobs == (len(complete),)
        assert found.npatterns == (1,)
        # Saturated moments are then those of the complete rows, divided by n.
        cov = complete.cov(ddof=0).loc[found.saturated[0].cov.index, found.saturated[0].cov.columns]
        np.testing.assert_allclose(found.saturated[0].cov, cov, rtol=1e-12)
        np.testing.assert_allclose(found.saturated[0].mean, complete.mean(), rtol=1e-12)

    def test_warnings_are_kept(self, one_factor: pd.DataFrame) -> None:
        table = one_factor.astype(float)
        table.iloc[3] = np.nan
        found = run_lavaan(MODEL, table, missing="ml")
        assert any("empty" in text for text in found.warnings)
        assert found.nobs == (len(table) - 1,)
        assert found.factor_scores.index[found.factor_scores["f"].isna()].tolist() == [3]

    def test_scores_carry_the_index_of_the_data(self) -> None:
        table = pupils().set_index("id")
        found = run_lavaan(MODEL, table, "cfa", missing="ml", group="school")
        assert found.group_labels == ("Pasteur", "Grant-White")
        assert found.factor_scores.index.tolist() == table.index.tolist()
        assert found.factor_scores["group"].tolist() == table["school"].tolist()
