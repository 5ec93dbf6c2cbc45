"""Every score by hand, and what must hold for any data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import wasserstein_distance

from fosa_sem.errors import DataError, OptionError
from fosa_sem.evaluate.baselines import column_mean
from fosa_sem.evaluate.masking import hide_cells, mask_cells
from fosa_sem.evaluate.metrics import (
    COLUMNS,
    KL_CONSTANT,
    correlation_error,
    imputation_metrics,
    kl_binned,
    kl_categories,
    wasserstein,
)

SCORES = ["mse", "rmse", "mae", "r2", "kl", "wasserstein"]


def by_hand():
    """Remaining cells 1, 3, 1, 3 (SD 1; the SD of all six is sqrt 2), hidden 0 and 4, filled by 1 and 3."""
    truth = pd.DataFrame({"x": [1.0, 3.0, 1.0, 3.0, 0.0, 4.0]})
    mask = pd.DataFrame({"x": [False] * 4 + [True] * 2})
    return truth, truth.mask(mask, pd.DataFrame({"x": [1.0, 3.0] * 3})), mask


def disjoint_kl(bins):
    """KL of two pairs of bins with shares 1/2 that have no bin in common, out of ``bins``."""
    total = 1 + bins * KL_CONSTANT
    full, empty = (0.5 + KL_CONSTANT) / total, KL_CONSTANT / total
    return 2 * (full - empty) * np.log(full / empty)


def random_case(seed, n=60):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    truth = pd.DataFrame({name: common + rng.normal(size=n) for name in "abc"})
    truth["d"] = rng.integers(0, 4, size=n).astype(float)
    truth = truth.mask(rng.random(truth.shape) < 0.1)
    mask = mask_cells(truth, 0.3, seed=seed)
    imputed = column_mean(hide_cells(truth, mask)) + rng.normal(size=truth.shape)
    return truth, imputed, mask


def test_scores_by_hand():
    table = imputation_metrics(*by_hand())
    assert list(table.columns) == list(COLUMNS)
    assert table["variable"].tolist() == ["x", "overall"]
    assert table["n_masked"].tolist() == [2, 2]
    for _, row in table.iterrows():
        expected = [1.0, 1.0, 1.0, 0.75, disjoint_kl(4), 1.0]
        assert_allclose(row[SCORES].to_numpy(float), expected, rtol=1e-12)
        assert_allclose(row["missing_rate"], 1 / 3)
        assert row["cov_error"] == 0.0


def test_distribution_by_bins_or_categories():
    assert_allclose(imputation_metrics(*by_hand(), discrete=())["kl"], disjoint_kl(30), rtol=1e-12)
    assert_allclose(imputation_metrics(*by_hand(), discrete="x")["kl"], disjoint_kl(4), rtol=1e-12)
    truth, imputed, mask = by_hand()
    # Halves are no category codes: bins by default.
    assert_allclose(imputation_metrics(truth / 2, imputed / 2, mask)["kl"], disjoint_kl(30), rtol=1e-12)


def test_eleven_distinct_values_are_not_categories():
    truth = pd.DataFrame({"x": np.arange(11.0)})
    mask = truth >= 9
    imputed = truth.where(~mask, 0.0)
    # By bins, filled values below the range count in the first bin, where truth has one of its two cells.
    p, q = np.full(30, KL_CONSTANT), np.full(30, KL_CONSTANT)
    p[[0, 29]] += 0.5
    q[0] += 1.0
    expected = (p / p.sum() * np.log(p / p.sum() / (q / q.sum()))).sum()
    assert_allclose(imputation_metrics(truth, imputed, mask)["kl"], expected, rtol=1e-12)


def test_nearest_category_and_ties():
    categories = np.array([0.0, 1.0, 4.0])
    assert kl_categories(np.array([0.0, 1.0, 4.0]), np.array([-7.0, 2.4, 2.6]), categories) == 0.0
    assert kl_categories(np.array([0.0, 1.0]), np.array([0.5, 2.5]), categories) == 0.0


def test_kl_counts_values_outside_the_range_in_the_outer_bins():
    truth = np.array([0.0, 1.0, 2.0])
    assert kl_binned(truth, np.array([-100.0, 1.0, 100.0])) == 0.0


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_wasserstein_is_scipys(seed, size):
    truth, imputed = np.random.default_rng(seed).normal(size=(2, size))
    assert_allclose(wasserstein(truth, imputed), wasserstein_distance(truth, imputed), rtol=1e-9)


def test_overall_is_the_mean_over_variables():
    table = imputation_metrics(*random_case(3)).set_index("variable")
    per_variable = table.drop(index="overall")
    assert_allclose(
        table.loc["overall", ["missing_rate", *SCORES]].to_numpy(float),
        per_variable[["missing_rate", *SCORES]].mean().to_numpy(),
    )
    assert table.loc["overall", "n_masked"] == per_variable["n_masked"].sum()
    # The root of the mean is another number than the mean of the roots.
    assert table.loc["overall", "rmse"] != pytest.approx(np.sqrt(table.loc["overall", "mse"]), rel=1e-6)


def correlated():
    """Correlation 1 in truth, and 0 once the hidden cells of y are filled."""
    truth = pd.DataFrame({"x": [-1.0, 1.0, -1.0, 1.0], "y": [-1.0, 1.0, -1.0, 1.0]})
    mask = np.array([[False, True], [True, False], [False, False], [False, True]])
    imputed = truth.assign(y=[1.0, 1.0, -1.0, -1.0])
    return truth, imputed, mask


def test_correlation_distance_by_hand():
    assert_allclose(imputation_metrics(*correlated())["cov_error"], np.sqrt(0.5), rtol=1e-12)


def test_correlation_distance_leaves_natural_holes_out_on_both_sides():
    truth, imputed, mask = correlated()
    truth = pd.concat([truth, pd.DataFrame({"x": [50.0], "y": [np.nan]})], ignore_index=True)
    imputed = pd.concat([imputed, pd.DataFrame({"x": [50.0], "y": [-70.0]})], ignore_index=True)
    mask = np.vstack([mask, [False, True]])
    table = imputation_metrics(truth, imputed, mask)
    assert_allclose(table["cov_error"], np.sqrt(0.5), rtol=1e-12)
    assert table["n_masked"].tolist() == [1, 2, 3]
    assert_allclose(table["missing_rate"], [1 / 5, 3 / 5, 2 / 5])


def test_correlation_distance_of_pairs_without_a_correlation():
    nan = np.nan
    line = np.array([1.0, 2.0, 3.0])
    flat = correlation_error(np.column_stack([line, line]), np.column_stack([line, [2.0, 2.0, 2.0]]))
    assert_allclose([*flat.per_variable, flat.overall], np.sqrt(0.5))
    apart = np.array([[1.0, nan], [2.0, nan], [nan, 1.0], [nan, 5.0]])
    assert correlation_error(apart, apart * [-3.0, 1.0]).overall == 0.0


def test_correlation_distance_uses_each_variables_row():
    rng = np.random.default_rng(0)
    truth, completed = rng.normal(size=(2, 50, 3))
    found = correlation_error(truth, completed)
    a, b = np.corrcoef(truth.T), np.corrcoef(completed.T)
    assert_allclose(found.overall, np.linalg.norm(b - a) / np.linalg.norm(a))
    assert_allclose(found.per_variable, np.linalg.norm(b - a, axis=1) / np.linalg.norm(a, axis=1))


def test_undefined_scores_are_nan_and_left_out_of_the_mean():
    truth = pd.DataFrame({"flat": [0.5, 1.5, 2.5, 2.5], "still": [0.5, 0.5, 1.5, 2.5], "x": [1.0, 3.0, 0.0, 4.0]})
    mask = np.array([[False] * 3, [False] * 3, [True] * 3, [True] * 3])
    table = imputation_metrics(truth, truth + 1.0, mask, discrete=()).set_index("variable")
    assert table.loc["flat", ["r2", "kl"]].isna().all()
    assert_allclose(table.loc["flat", "mse"], 4.0)
    assert table.loc["still", ["mse", "rmse", "mae", "wasserstein"]].isna().all()
    assert_allclose(table.loc["still", "r2"], -3.0)
    assert_allclose(table.loc["overall", "mse"], (4.0 + 1.0) / 2)
    assert_allclose(table.loc["overall", "r2"], (-3.0 + 0.75) / 2)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_perfect_imputation(seed):
    truth, _, mask = random_case(seed)
    table = imputation_metrics(truth, truth, mask)
    for name, best in {
        "mse": 0,
        "rmse": 0,
        "mae": 0,
        "r2": 1,
        "kl": 0,
        "wasserstein": 0,
        "cov_error": 0,
    }.items():
        assert (table[name] == best).all(), name


@given(
    seed=st.integers(0, 10_000),
    factor=st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3),
    shift=st.floats(-1e3, 1e3),
)
@settings(max_examples=25, deadline=None)
def test_scores_do_not_depend_on_units(seed, factor, shift):
    truth, imputed, mask = (table[["a", "b", "c"]] for table in random_case(seed))
    before = imputation_metrics(truth, imputed, mask)
    change = {"b": lambda table: factor * table["b"] + shift}
    after = imputation_metrics(truth.assign(**change), imputed.assign(**change), mask)
    assert_allclose(
        after[[*SCORES, "cov_error"]].to_numpy(),
        before[[*SCORES, "cov_error"]].to_numpy(),
        rtol=1e-6,
        atol=1e-9,
    )


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_scores_do_not_depend_on_the_order_of_rows(seed):
    tables = random_case(seed)
    order = np.random.default_rng(seed).permutation(len(tables[0]))
    before = imputation_metrics(*tables)
    after = imputation_metrics(*(table.iloc[order] for table in tables))
    pd.testing.assert_frame_equal(after, before, rtol=1e-9)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_one_value_for_all_cells_explains_nothing(seed):
    truth, _, mask = random_case(seed)
    table = imputation_metrics(truth, column_mean(hide_cells(truth, mask)), mask)
    assert (table["r2"] <= 1e-12).all()


def test_only_the_masked_cells_of_imputed_are_read():
    truth, imputed, mask = random_case(1)
    before = imputation_metrics(truth, imputed, mask)
    elsewhere = imputed.where(mask, -99.0).assign(more="text")
    pd.testing.assert_frame_equal(imputation_metrics(truth, elsewhere[[*elsewhere.columns[::-1]]], mask), before)


def test_mask_as_array_or_with_columns_in_another_order():
    truth, imputed, mask = random_case(2)
    before = imputation_metrics(truth, imputed, mask)
    pd.testing.assert_frame_equal(imputation_metrics(truth, imputed, mask.to_numpy()), before)
    pd.testing.assert_frame_equal(imputation_metrics(truth, imputed, mask[[*"dcba"]]), before)


def test_variables_without_masked_cells_are_not_scored():
    truth, imputed, mask = random_case(4)
    mask["b"] = False
    truth = truth.assign(site=["north"] * len(truth))
    mask["site"] = False
    assert imputation_metrics(truth, imputed, mask)["variable"].tolist() == ["a", "c", "d", "overall"]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "float32", "Float64"])
def test_numeric_dtypes_agree(dtype):
    truth, imputed, mask = by_hand()
    expected = imputation_metrics(truth, imputed, mask)
    found = imputation_metrics(truth.astype(dtype), imputed.astype(dtype), mask)
    pd.testing.assert_frame_equal(found, expected)


def test_inputs_stay_as_they_were():
    tables = random_case(5)
    copies = [table.copy() for table in tables]
    imputation_metrics(*tables)
    for table, copy in zip(tables, copies, strict=True):
        pd.testing.assert_frame_equal(table, copy)


BAD = {
    "mask too short": (lambda t, i, m: (t, i, m.to_numpy()[:-1]), r"shape \(5, 1\)"),
    "mask not boolean": (lambda t, i, m: (t, i, m.astype(int)), "True and False"),
    "mask with other rows": (lambda t, i, m: (t, i, m.iloc[::-1]), "mask's index"),
    "mask with another column": (lambda t, i, m: (t, i, m.rename(columns={"x": "y"})), "no column 'x'"),
    "mask hits nothing": (lambda t, i, m: (t, i, m & False), "hits no cell"),
    "mask hits holes only": (lambda t, i, m: (t.mask(m), i, m), "hits no cell"),
    "imputed too short": (lambda t, i, m: (t, i.iloc[:-1], m), r"5 rows.*6 rows"),
    "imputed in another order": (lambda t, i, m: (t, i.iloc[::-1], m), "same order"),
    "imputed without the column": (lambda t, i, m: (t, i.rename(columns={"x": "y"}), m), "no column 'x'"),
    "imputed with holes": (lambda t, i, m: (t, i.mask(m), m), "'x' of imputed is missing .* 2 of 2"),
    "imputed infinite": (lambda t, i, m: (t, i.replace(3.0, np.inf), m), "1 of 2"),
    "imputed text": (lambda t, i, m: (t, i.astype(str), m), "'x' of imputed has dtype"),
    "truth text": (lambda t, i, m: (t.astype(str), i, m), "'x' of truth has dtype"),
    "truth infinite": (lambda t, i, m: (t.replace(4.0, np.inf), i, m), "infinite"),
    "two columns of one name": (
        lambda t, i, m: (pd.concat([t, t], axis=1), i, np.tile(m, 2)),
        "more than one column 'x'",
    ),
    "two imputed columns": (lambda t, i, m: (t, pd.concat([i, i], axis=1), m), "more than one column 'x'"),
    "reserved name": (
        lambda t, i, m: tuple(table.rename(columns={"x": "overall"}) for table in (t, i, m)),
        "'overall'",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD.keys())
def test_bad_tables_are_named(change, message):
    with pytest.raises(DataError, match=message):
        imputation_metrics(*change(*by_hand()))


def test_unknown_discrete_name():
    with pytest.raises(OptionError, match="'z'"):
        imputation_metrics(*by_hand(), discrete=["z"])
