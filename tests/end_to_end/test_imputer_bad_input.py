"""Tables at the edge of what can be imputed, and training that goes wrong."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fosa_sem import FosaImputer, RefinerConfig, sem
from fosa_sem.errors import DataError, FosaWarning
from fosa_sem.refine import training

BRIEF = RefinerConfig(epochs=4, width=8, heads=2, layers=1, folds=2, check_every=1)
LONGER = RefinerConfig(epochs=60, width=16, heads=2, folds=2, check_every=10, learning_rate=0.01)
MODEL = "c ~ a + b"


def table(n: int = 150, share: float = 0.15) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, n))
    truth = pd.DataFrame({"a": a, "b": b, "c": a**2 + b + 0.3 * rng.normal(size=n)})
    holes = rng.random(truth.shape) < share
    holes[:, 1] &= ~(holes[:, 0] & holes[:, 2])  # no row without a value
    return truth.mask(holes)


def kept(imputer: FosaImputer, data: pd.DataFrame) -> None:
    """The filled values are those of the model."""
    expected = sem(MODEL, data, fixed_x=False).impute().to_frame()
    pd.testing.assert_frame_equal(imputer.transform(data), expected)
    pd.testing.assert_frame_equal(imputer.refined_.to_frame(), expected)


# ---- tables -------------------------------------------------------------------------------------------------


def test_columns_without_holes_come_back_as_they_are() -> None:
    data = table().assign(a=lambda d: d["a"].fillna(0.0), whole=np.arange(150), text="t")
    filled = FosaImputer(MODEL, refiner=BRIEF).fit_transform(data)
    for name in ("a", "whole", "text"):
        pd.testing.assert_series_equal(filled[name], data[name])
    assert not filled[["b", "c"]].isna().any(axis=None)


@pytest.mark.parametrize("refiner", [None, BRIEF])
def test_a_table_without_holes_comes_back(refiner: RefinerConfig | None) -> None:
    data = table(share=0.0)
    imputer = FosaImputer(MODEL, refiner=refiner).fit(data)
    pd.testing.assert_frame_equal(imputer.transform(data), data)
    pd.testing.assert_frame_equal(imputer.refined_.to_frame(), data)
    assert (imputer.refined_.origin == 0).all()
    assert not imputer.transform(data.assign(c=np.nan)).isna().any(axis=None)  # new rows may have holes


@pytest.mark.parametrize("refiner", [None, BRIEF])
@pytest.mark.filterwarnings("ignore::fosa_sem.errors.FosaWarning")  # of the fit, which has next to nothing on c
def test_a_column_with_two_observed_cells_is_filled(refiner: RefinerConfig | None) -> None:
    data = table()
    data.loc[data["c"].dropna().index[2:], "c"] = np.nan
    data = data.dropna(how="all")
    imputer = FosaImputer("a ~~ b\na ~~ c\nb ~~ c", refiner=refiner, categorical=None).fit(data)
    filled = imputer.transform(data)
    assert np.isfinite(filled.to_numpy()).all()
    seen = data["c"].notna()
    pd.testing.assert_series_equal(filled["c"][seen], data["c"][seen])
    if imputer.refiner_ is not None:
        gates = imputer.refiner_.gates.set_index("variable")
        assert gates.loc["c", "n_heldout"] <= 2
        assert gates.loc["c", "gate"] == 0  # two cells are no evidence
        model = imputer.completion_.to_frame()["c"]
        pd.testing.assert_series_equal(filled["c"], model)


def test_a_column_with_one_or_no_value_is_an_error_that_names_it() -> None:
    data = table()
    one = data.assign(c=data["c"].where(data.index == data["c"].first_valid_index()))
    for bad in (one, data.assign(c=np.nan)):
        with pytest.raises(DataError, match="'c'"):
            FosaImputer(MODEL, refiner=BRIEF).fit(bad.dropna(how="all", subset=["a", "b"]))


@pytest.mark.parametrize("refiner", [None, BRIEF])
@pytest.mark.filterwarnings("ignore::fosa_sem.errors.DroppedRowsWarning")  # rows without a are of no use to the fit
def test_one_variable_is_filled_with_its_mean(refiner: RefinerConfig | None) -> None:
    data = table()[["a"]]
    filled = FosaImputer("a ~~ a", refiner=refiner).fit(data).transform(data)
    hole = data["a"].isna()
    np.testing.assert_allclose(filled["a"][hole], data["a"].mean(), rtol=1e-9)
    pd.testing.assert_series_equal(filled["a"][~hole], data["a"][~hole])


# ---- training -----------------------------------------------------------------------------------------------


def broken_after(steps: int, monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Let the loss of all later steps be what ``act`` makes of it."""
    losses, count = training.losses, [0]

    def patched(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        found = losses(*args, **kwargs)
        return act(found) if count[0] > steps else found

    monkeypatch.setattr(training, "losses", patched)


def test_a_loss_that_is_not_finite_keeps_the_values_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    broken_after(5, monkeypatch, lambda found: replace(found, mse=found.mse * torch.nan))
    data = table()
    with pytest.warns(FosaWarning, match="loss is not finite"):
        imputer = FosaImputer(MODEL, refiner=BRIEF).fit(data)
    kept(imputer, data)


def test_interrupted_training_keeps_the_best_state_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(found: Any) -> Any:
        raise KeyboardInterrupt

    data = table(400)
    per_epoch = 4 * LONGER.folds  # batches; networks may be trained together or in teams
    broken_after(30 * per_epoch, monkeypatch, interrupt)
    with pytest.warns(FosaWarning, match="interrupted"):
        imputer = FosaImputer(MODEL, refiner=LONGER).fit(data)
    assert imputer.refiner_ is not None
    assert 0 < len(imputer.refiner_.history) < LONGER.epochs / LONGER.check_every
    assert imputer.refiner_.history["heldout_mse"].min() < imputer.refiner_.history["baseline_mse"].min()
    assert (imputer.refined_.values != imputer.completion_.values).any()  # what was learned by then


def test_training_interrupted_at_once_keeps_the_values_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(found: Any) -> Any:
        raise KeyboardInterrupt

    broken_after(0, monkeypatch, interrupt)
    data = table()
    with pytest.warns(FosaWarning, match="interrupted"):
        imputer = FosaImputer(MODEL, refiner=BRIEF).fit(data)
    kept(imputer, data)


def test_an_interrupted_fit_of_the_model_leaves_the_imputer_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    data = table()
    imputer = FosaImputer(MODEL, refiner=None).fit(data)
    before = imputer.transform(data)

    def interrupt(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("fosa_sem.imputer.fit_or_ridge", interrupt)
    with pytest.raises(KeyboardInterrupt):
        imputer.fit(data.assign(a=1.0 * np.arange(150)))
    pd.testing.assert_frame_equal(imputer.transform(data), before)


def test_too_little_memory_means_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = training.losses

    def patched(networks: Any, heads: Any, batch: Any, *args: Any) -> Any:
        if batch.z.shape[1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return losses(networks, heads, batch, *args)

    monkeypatch.setattr(training, "losses", patched)
    data = table()
    imputer = FosaImputer(MODEL, refiner=BRIEF).fit(data)
    assert not imputer.transform(data).isna().any(axis=None)


def test_a_missing_value_of_any_kind_is_missing() -> None:
    data = table()
    none = data.astype(object).where(data.notna(), None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = FosaImputer(MODEL, refiner=None).fit_transform(data)
        for kind in (none, data.convert_dtypes(), data.astype("Float64")):
            found = FosaImputer(MODEL, refiner=None).fit_transform(kind)
            np.testing.assert_allclose(found.to_numpy(dtype=float), expected.to_numpy(), rtol=1e-12)
