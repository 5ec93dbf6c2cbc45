"""Every engine on every model of the zoo: the same log-likelihood, or an error that names the feature."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from zoo import BY_NAME, NAMES, fitted

import fosa_sem as fs
from fosa_sem.errors import EngineError
from r_bridge import LavaanEngine

WITHIN = {"semopy": 1e-3, "lavaan": 1e-4}
"""Of the native engine's log-likelihood."""
SAME = "same log-likelihood"
TABLE: dict[str, dict[str, str]] = {
    "semopy": {
        **dict.fromkeys(NAMES, SAME),
        **dict.fromkeys(["two_groups", "three_groups"], "one group"),
        "curved_equality": "'=='",
        "scaled_by_a_product": "'=='",
        "inequality_active": "'>'",
        "inequality_inactive": "'<', '>'",
        "bounds": "no bounds",
        "heywood_bounded": "no bounds",
        "groups_ordered": "'==', '>'",
    },
    "lavaan": dict.fromkeys(NAMES, SAME),
}
"""What each engine makes of each model: the same maximum, or the words of its refusal."""

ENTRIES = [
    pytest.param(engine, name, marks=[pytest.mark.r] if engine == "lavaan" else [], id=f"{engine}-{name}")
    for engine, row in TABLE.items()
    for name in row
]


def test_the_table_has_every_model() -> None:
    assert all(set(row) == set(NAMES) for row in TABLE.values())


@pytest.mark.parametrize(("engine", "name"), ENTRIES)
def test_engine(engine: str, name: str) -> None:
    model, expected = BY_NAME[name], TABLE[engine][name]
    if expected != SAME:
        with pytest.raises(EngineError, match=re.escape(expected)):
            model.fit(model.data(), engine=engine)
        return
    found = model.fit(model.data(), engine=engine)
    assert found.loglik == pytest.approx(fitted(name).loglik, abs=WITHIN[engine])
    assert found.converged
    assert engine in found.fit.notes[0]


# ---- lavaan beyond the zoo ---------------------------------------------------------------------------------


@pytest.mark.r
class TestLavaanEngine:
    def test_the_same_results_object(self) -> None:
        model = BY_NAME["sem_labels"]
        found, ours = model.fit(model.data(), engine="lavaan"), fitted("sem_labels")
        pd.testing.assert_series_equal(found.coef(), ours.coef(), atol=1e-4, rtol=1e-4)
        pd.testing.assert_frame_equal(found.vcov(), ours.vcov(), atol=1e-4, rtol=1e-3)
        pd.testing.assert_series_equal(found.fit_measures(), ours.fit_measures(), atol=1e-3, rtol=1e-3)
        assert "lavaan" in found.summary()

    def test_badly_scaled_columns(self) -> None:
        data = fs.datasets.load_holzinger_swineford()
        model = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6"
        data = data.assign(x1=data["x1"] * 1e5, x5=data["x5"] / 1e4 + 7)
        for options in ({}, {"std_lv": True}, {"group": "school"}):
            ours, found = (fs.cfa(model, data, engine=e, **options) for e in ("native", "lavaan"))
            assert found.loglik == pytest.approx(ours.loglik, abs=1e-4)
            assert found.converged

    @pytest.mark.filterwarnings("ignore::fosa_sem.errors.AdmissibilityWarning")
    def test_fixed_values_starts_and_equality_keep_their_meaning_under_scaling(self) -> None:
        data = fs.datasets.load_holzinger_swineford().assign(x2=lambda d: d["x2"] * 100)
        for model in (
            "f =~ 2*x1 + x2 + start(90)*x3\nx1 ~ 5*1\nx2 ~~ 10000*x2",
            "f =~ x1 + x2 + a*x3 + a*x4",
            "f =~ x1 + a*x3 + b*x4\na == 2*b",
            "f =~ x1 + a*x3 + x4\nx1 ~~ a*x1",
        ):
            ours, found = (fs.cfa(model, data, engine=e) for e in ("native", "lavaan"))
            assert found.loglik == pytest.approx(ours.loglik, abs=1e-4)
            assert found.converged

    @pytest.mark.filterwarnings("ignore::fosa_sem.errors.DroppedRowsWarning")
    @pytest.mark.parametrize(
        "options",
        [
            {"missing": "listwise"}, {"missing": "listwise", "meanstructure": False},
            {"missing": "listwise", "likelihood": "wishart", "group": "g"}, {"missing": "two.stage", "fixed_x": False},
            {"missing": "fiml.x"}, {"estimator": "MLR", "auxiliary": "z"}, {"effect_coding": "loadings"},
        ],
        ids=str,
    )  # fmt: skip
    def test_whatever_the_likelihood_is_made_of(self, options: dict[str, object]) -> None:
        rng = np.random.default_rng(4)
        x, f = rng.standard_normal((2, 200))
        f = f + 0.5 * x
        data = pd.DataFrame({"x": x, **{f"y{i}": f + rng.standard_normal(200) for i in range(1, 5)}})
        data = data.assign(z=f + rng.standard_normal(200)).mask(rng.random((200, 6)) < 0.1).dropna(how="all")
        data["g"] = np.where(np.arange(len(data)) % 2, "a", "b")
        model = "f =~ y1 + y2 + y3 + y4\nf ~ x"
        ours, found = (fs.sem(model, data, engine=e, **options) for e in ("native", "lavaan"))
        assert found.loglik == pytest.approx(ours.loglik, abs=1e-4)
        assert found.converged

    def test_lavaan_s_options_pass_through(self) -> None:
        model = BY_NAME["cfa"]
        with pytest.warns(fs.errors.ConvergenceWarning):
            found = model.fit(model.data(), engine=LavaanEngine(optim_method="BFGS", control={"maxit": 3}))
        assert found.loglik < fitted("cfa").loglik - 1e-3
        with pytest.raises(fs.errors.OptionError, match="lavaan has no option 'optim_metod'"):
            model.fit(model.data(), engine=LavaanEngine(optim_metod="BFGS"))

    def test_names_that_no_language_likes(self) -> None:
        data = fs.datasets.load_holzinger_swineford()
        odd = pd.DataFrame({"größe": data["x1"], "T": data["x2"], "f0": data["x3"], "v0": data["x4"]})
        model = "v1 =~ größe + T + f0 + v0"
        assert fs.cfa(model, odd, engine="lavaan").loglik == pytest.approx(fs.cfa(model, odd).loglik, abs=1e-4)

    def test_imputation_with_it(self) -> None:
        model = BY_NAME["cfa"]
        native, lavaan = (
            fs.FosaImputer(model.model, func="cfa", engine=e, refiner=None).fit_transform(model.data())
            for e in ("native", "lavaan")
        )
        np.testing.assert_allclose(lavaan, native, atol=1e-4)
