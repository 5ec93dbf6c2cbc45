"""R within this process leaves R, Python and the terminal as they were; what is handed over is data."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fosa_sem as fs
from fosa_sem.errors import EngineError, EngineWarning, ModelSpecificationError, ModelSyntaxError
from r_bridge import LavaanEngine, crosscheck, fit_lavaan, session
from r_bridge.model_text import plain_model

MODEL = "f =~ x1 + x2 + x3 + x4"


# ---- nothing of the model becomes code (no R) --------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        'f =~ file.create("{mark}")*x1 + x2 + x3',
        'f =~ start(file.create("{mark}"))*x1 + x2 + x3',
        'f =~ x1 + a*x2 + x3\nb := a + file.create("{mark}")',
        '"); file.create("{mark}"); ("',
        "f =~ x1 + \"file.create('{mark}')\"*x2 + x3",
        "f =~ x1 + 'l := file.create(\"{mark}\")'*x2 + x3",
        "f =~ x1 + 'a#b'*x2 + x3",
        "f =~ x1 + 'a;b'*x2 + x3",
        "f =~ x1 + 'a\\\\b'*x2 + x3",
        "f =~ x1 + `file.create('{mark}')`*x2",
    ],
)
def test_a_model_that_is_code_is_refused(model: str) -> None:
    with pytest.raises(ModelSyntaxError):
        plain_model(model.replace("{mark}", "mark"))


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        ("f =~ x1 # ; g =~ file.create('m')*x2", "f =~ x1 \n"),
        ("f =~ x1 ! ; g =~ file.create('m')*x2\n y~x", "f =~ x1 \n y ~ x \n"),
        ("f =~ 'a'*x1 + equal('f=~x1')*x2", 'f =~ "a" * x1 + equal ( "f=~x1" ) * x2 \n'),
        ("f =~ c(a, 'b')*x1; a == 2*b", 'f =~ c ( a , "b" ) * x1 ; a == 2 * b \n'),
    ],
)
def test_what_is_handed_over_are_our_tokens(model: str, plain: str) -> None:
    """0.6 starts a statement at a ';' even in a comment."""
    assert plain_model(model) == plain


def test_the_plain_model_is_the_same_model() -> None:
    model = "f =~ start(2)*x1 + NA*x2  # one\n  + 1e-3*x3\nf ~ x:z ; x1 ~ 1\na := 2^b\nx1 ~~ b*x1\nx3 ~ 0*1"
    first, second = fs.parse(model), fs.parse(plain_model(model))
    pd.testing.assert_frame_equal(first, second)


# ---- with R ------------------------------------------------------------------------------------------------


@pytest.mark.r
class TestSafety:
    @pytest.fixture
    def mark(self, tmp_path: Path) -> Any:
        place = tmp_path / "mark"
        yield place
        assert not place.exists()

    def test_hostile_column_names_are_names(self, mark: Path, one_factor: pd.DataFrame) -> None:
        name = f'"); file.create("{mark.as_posix()}"); ("'
        table = one_factor.assign(**{name: 1.0, "`": "a 'b' \"c\" # d"})
        plain, hostile = (fit_lavaan(MODEL, d, missing="ml", tables=["logLik"]) for d in (one_factor, table))
        assert plain["logLik"].equals(hostile["logLik"])

    def test_hostile_group_names_and_labels_are_values(self, mark: Path, one_factor: pd.DataFrame) -> None:
        group = f"file.create('{mark.as_posix()}')"
        table = one_factor.assign(**{group: np.where(np.arange(120) % 2, group, "'); stop('")})
        found = fit_lavaan(MODEL, table, missing="ml", group=group, tables=["nobs"])
        assert found.group_labels == ("'); stop('", group)
        results = fs.sem(MODEL, table, group=group)
        assert crosscheck(results).ok
        assert fs.sem(MODEL, table, group=group, engine="lavaan").loglik == pytest.approx(results.loglik, abs=1e-4)

    def test_hostile_options_are_values(self, mark: Path, one_factor: pd.DataFrame) -> None:
        code = f"file.create('{mark.as_posix()}')"
        with pytest.raises(ModelSyntaxError):
            fit_lavaan(MODEL, one_factor, constraints=f"a == {code}")
        with pytest.raises(EngineError):
            fit_lavaan(MODEL, one_factor, missing=code)
        found = fit_lavaan(MODEL, one_factor, missing="ml", group_partial=code, tables=["logLik"])
        assert found.converged

    def test_constraints_as_an_option(self, one_factor: pd.DataFrame) -> None:
        labelled = MODEL.replace("x2", "a*x2").replace("x3", "b*x3")
        found = fit_lavaan(labelled, one_factor, missing="ml", constraints="a == b", tables=["coef"])
        assert found["coef"].loc["a", "value"] == pytest.approx(found["coef"].loc["b", "value"])

    def test_the_engine_gives_away_no_names(self, mark: Path, one_factor: pd.DataFrame) -> None:
        label = f"file.create('{mark.as_posix()}')"
        model = f'f =~ x1 + "{label}"*x2 + "{label}"*x3 + x4'
        assert fs.sem(model, one_factor, engine="lavaan").loglik == pytest.approx(
            fs.sem(model, one_factor).loglik, abs=1e-4
        )


@pytest.mark.r
class TestNothingIsLeftBehind:
    @pytest.mark.filterwarnings("ignore::fosa_sem.errors.EngineWarning")  # of three draws
    def test_random_state_and_options_are_put_back(self, one_factor: pd.DataFrame) -> None:
        from rpy2.rinterface import baseenv, evalr

        session.require_r()
        before = evalr("{ set.seed(5); options(digits = 7, my.own = 'x'); .Random.seed }")
        names = set(evalr("names(options())"))
        fit_lavaan(MODEL, one_factor, missing="ml", se="bootstrap", bootstrap=3, tables=["parameterEstimates"])
        assert list(evalr(".Random.seed")) == list(before)
        assert set(evalr("names(options())")) == names
        assert (baseenv["getOption"]("digits")[0], baseenv["getOption"]("my.own")[0]) == (7, "x")
        evalr("rm(.Random.seed, envir = globalenv())")
        fit_lavaan(MODEL, one_factor, missing="ml", se="bootstrap", bootstrap=3, tables=["parameterEstimates"])
        assert not evalr("exists('.Random.seed', envir = globalenv())")[0]

    def test_the_global_environment_stays_empty_of_us(self, one_factor: pd.DataFrame) -> None:
        from rpy2.rinterface import evalr

        session.require_r()
        before = set(evalr("ls(globalenv(), all.names = TRUE)"))
        searched = list(evalr("search()"))
        crosscheck(fs.sem(MODEL, one_factor))
        fs.sem(MODEL, one_factor, engine="lavaan")
        assert set(evalr("ls(globalenv(), all.names = TRUE)")) - {".Random.seed"} == before - {".Random.seed"}
        assert list(evalr("search()")) == searched

    def test_console_callbacks_are_put_back(self, one_factor: pd.DataFrame, capfd: pytest.CaptureFixture[str]) -> None:
        from rpy2.rinterface_lib import callbacks

        session.require_r()
        names = ("consolewrite_print", "consolewrite_warnerror", "showmessage", "consoleread")
        before = [getattr(callbacks, name) for name in names]
        fit_lavaan(MODEL, one_factor, missing="ml", verbose=True, tables=["logLik"])
        assert [getattr(callbacks, name) for name in names] == before
        assert capfd.readouterr() == ("", "")

    def test_what_r_prints_is_logged(self, one_factor: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, logger="r_bridge"):
            fit_lavaan(MODEL, one_factor, missing="ml", verbose=True, tables=["logLik"])
        assert any("lavdata" in record.message for record in caplog.records)

    def test_a_fresh_process_keeps_its_environment_and_interrupt_handler(self, tmp_path: Path) -> None:
        (tmp_path / ".RData").write_bytes(b"what a former session left; reading it would be an error")
        code = """
import os, signal
def mine(number, frame): pass
signal.signal(signal.SIGINT, mine)
before = dict(os.environ)
from r_bridge.session import require_r
require_r()
assert signal.getsignal(signal.SIGINT) is mine
changed = {k for k in set(before) | set(os.environ) if before.get(k) != os.environ.get(k)}
print(sorted(k for k in changed if not k.startswith(("R_", "PYTHON_SESSION"))))
"""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.stdout.strip() == "[]"
        assert done.stderr == ""

    def test_other_threads_may_call(self, one_factor: pd.DataFrame) -> None:
        found: list[float] = []
        before = signal.getsignal(signal.SIGINT)

        def fit() -> None:
            found.append(fit_lavaan(MODEL, one_factor, missing="ml", tables=["logLik"])["logLik"]["value"].iloc[0])

        threads = [threading.Thread(target=fit) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 3
        assert len(set(found)) == 1
        assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.r
class TestErrorsAndWarnings:
    def test_r_s_error_is_ours(self, one_factor: pd.DataFrame) -> None:
        with pytest.raises(EngineError, match=r"lavaan stopped: .*missing observed variables.*x9"):
            fit_lavaan("f =~ x1 + x2 + x9", one_factor)

    def test_r_s_warning_is_python_s(self, one_factor: pd.DataFrame) -> None:
        table = one_factor.astype(float)
        table.iloc[3] = np.nan
        with pytest.warns(EngineWarning, match="empty"):
            found = fit_lavaan(MODEL, table, missing="ml", tables=["nobs", "lavPredict"])
        assert any("empty" in text for text in found.warnings)
        assert found["lavPredict"].index[found["lavPredict"]["f"].isna()].tolist() == [3]

    def test_names_beyond_ascii_in_a_locale_without_them(self, one_factor: pd.DataFrame) -> None:
        from rpy2.rinterface import baseenv

        session.require_r()
        locale = baseenv["Sys.getlocale"]("LC_CTYPE")[0]
        table = one_factor.rename(columns={"x1": "größe"}).assign(schule=np.where(np.arange(120) % 2, "süd", "nord"))
        baseenv["Sys.setlocale"]("LC_CTYPE", "C")
        try:
            found = fit_lavaan(MODEL.replace("x1", "größe"), table, missing="ml", group="schule")
            assert baseenv["Sys.getlocale"]("LC_CTYPE")[0] == "C"
        finally:
            baseenv["Sys.setlocale"]("LC_CTYPE", locale)
        assert found["parameterEstimates"]["rhs"].iloc[0] == "größe"
        assert found.group_labels == ("nord", "süd")

    @pytest.mark.filterwarnings("ignore::fosa_sem.errors.CollinearityWarning")
    def test_an_engine_error_names_the_feature(self, one_factor: pd.DataFrame) -> None:
        table = one_factor.assign(twice=one_factor["x1"] * 2)
        imputer = fs.FosaImputer("f =~ x1 + x2 + x3 + twice", engine=LavaanEngine(), refiner=None)
        with pytest.raises(EngineError, match="ridge"):
            imputer.fit(table)

    def test_a_model_that_cannot_be_read_does_not_start_a_fit(self, one_factor: pd.DataFrame) -> None:
        with pytest.raises(ModelSpecificationError):
            fit_lavaan("f =~ f", one_factor)
