"""Every way of storing the same numbers gives the same fit, and none of them is changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from fosa_sem import SemResults, cfa, sem

MODEL = "f =~ x1 + x2 + x3 + x4"


def _objects(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(object).where(frame.notna(), None)


def _read_only(frame: pd.DataFrame) -> pd.DataFrame:
    values = frame.to_numpy(copy=True)
    values.flags.writeable = False
    return pd.DataFrame(values, columns=frame.columns, copy=False)


SAME: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "Float64": lambda d: d.astype("Float64"),
    "arrow": lambda d: d.astype("double[pyarrow]"),
    "objects with None": _objects,
    "objects with NA": lambda d: d.astype(object).where(d.notna(), pd.NA),
    "read-only": _read_only,
    "labels as index": lambda d: d.set_axis([f"r{i}" for i in range(len(d))], axis=0),
    "duplicate index": lambda d: d.set_axis([0] * len(d), axis=0),
    "two-level index": lambda d: d.set_axis(pd.MultiIndex.from_product([range(12), range(10)]), axis=0),
    "dates as index": lambda d: d.set_axis(pd.date_range("2020-01-01", periods=len(d)), axis=0),
    "one block per column": lambda d: pd.DataFrame({c: d[c].copy() for c in d}),
    "view with steps": lambda d: d.loc[d.index.repeat(2)].iloc[::2],
}


@pytest.mark.parametrize("kind", SAME)
def test_storage_does_not_matter(kind: str, one_factor: pd.DataFrame) -> None:
    stored = SAME[kind](one_factor)
    before = stored.copy(deep=True)
    results, plain = cfa(MODEL, stored), cfa(MODEL, one_factor)
    assert results.loglik == plain.loglik
    assert (results.coef() == plain.coef()).all()
    completed, scores = results.impute().to_frame(), results.predict()
    pd.testing.assert_frame_equal(stored, before)
    assert (stored.dtypes == before.dtypes).all()
    assert completed.index.equals(stored.index)
    assert scores.index.equals(stored.index)
    assert_allclose(completed.to_numpy(dtype=float), plain.impute().to_frame(), rtol=1e-12)
    assert_allclose(scores, plain.predict(), rtol=1e-12)


@pytest.fixture
def counts(rng: np.random.Generator) -> pd.DataFrame:
    factor = rng.standard_normal((150, 1))
    return pd.DataFrame(np.round(4 + factor + rng.standard_normal((150, 3))).astype(int), columns=["x1", "x2", "x3"])


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "float32", "Int64", "UInt16", "int64[pyarrow]"])
def test_integers_of_every_width(dtype: str, counts: pd.DataFrame) -> None:
    counts = counts.clip(lower=0)
    expected = cfa("f =~ x1 + x2 + x3", counts.astype(float))
    results: SemResults = cfa("f =~ x1 + x2 + x3", counts.astype(dtype))
    assert results.loglik == expected.loglik


def test_nullable_integers_and_booleans_with_holes(counts: pd.DataFrame) -> None:
    frame = counts.astype("Int64")
    frame.loc[::7, "x1"] = pd.NA
    frame["treated"] = pd.array(np.arange(150) % 2 == 0, dtype="boolean")
    frame.loc[3::11, "treated"] = pd.NA
    plain = frame.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    expected = sem("x1 + x2 ~ treated", pd.DataFrame(plain, columns=frame.columns), fixed_x=False)
    results = sem("x1 + x2 ~ treated", frame, fixed_x=False)
    assert results.loglik == expected.loglik
    completed = results.impute().to_frame()
    assert completed[["x1", "treated"]].notna().all().all()
    assert completed["x2"].dtype == "Int64"
    assert frame["x1"].dtype == "Int64"
    assert frame["x1"].isna().sum() == len(frame.loc[::7])


def test_group_labels_of_every_kind(one_factor: pd.DataFrame) -> None:
    codes = np.tile([2, 1], 60)
    model = "f =~ x1 + x2 + x3 + x4"
    expected = cfa(model, one_factor.assign(g=codes), group="g")
    for column in (
        pd.Series(codes.astype(float)), pd.Series(codes.astype(str)), pd.Series(pd.Categorical(codes)),
        pd.Series(codes, dtype="Int64"), pd.Series(codes, dtype=object),
    ):  # fmt: skip
        results = cfa(model, one_factor.assign(g=column), group="g")
        assert results.loglik == expected.loglik
        assert [m.group for m in results.implied()] == ["2", "1"]
