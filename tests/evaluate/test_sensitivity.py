from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fosa_sem import MultipleImputation, ampute, delta_adjust, impute, sensitivity
from fosa_sem.errors import CongenialityWarning, DataError, OptionError
from fosa_sem.evaluate.sensitivity import CONCLUSIONS

BELOW, BETWEEN, ABOVE = CONCLUSIONS
MODEL = "m ~ a*t\ny ~ b*m + c*t\nab := a*b"


def mean_of_y(table: pd.DataFrame) -> tuple[list[float], list[float]]:
    return [table["y"].mean()], [table["y"].std() / np.sqrt(len(table))]


@pytest.fixture(scope="module")
def imputations() -> MultipleImputation:
    rng = np.random.default_rng(5)
    n = 200
    t = rng.integers(0, 2, n).astype(float)
    m = 0.5 * t + rng.standard_normal(n)
    y = 0.4 * m + 0.3 * t + rng.standard_normal(n)
    data = pd.DataFrame({"t": t, "m": m, "y": y}, index=np.arange(n) + 3)
    holes = ampute(data, 0.4, patterns=[[1, 1, 0], [1, 0, 1]], seed=2)
    holes["arm"] = np.where(t > 0, "drug", "placebo")
    holes["two"] = np.where(np.arange(n) % 9 == 0, np.nan, (t + (np.arange(n) % 4 == 1)) % 2)
    holes["level"] = np.where(np.arange(n) % 7 == 0, np.nan, np.clip(np.round(t + rng.standard_normal(n)), -1, 2))
    return impute(holes, "m ~ t\ny ~ m + t\ntwo + level ~ t", m=5, seed=1, ordinal="level")


def test_only_imputed_cells_of_the_variable_and_group_move(imputations: MultipleImputation) -> None:
    shifted = delta_adjust(imputations, {"y": {"drug": -2.0}}, by="arm")
    cells = imputations.where["y"].to_numpy() & (imputations.table["arm"] == "drug").to_numpy()
    for i in range(1, 6):
        before, after = imputations.complete(i), shifted.complete(i)
        assert_allclose(after["y"] - before["y"], np.where(cells, -2.0, 0.0))
        assert_array_equal(after["m"], before["m"])
        seen = imputations.table["y"].notna()
        assert_array_equal(after.loc[seen, "y"], imputations.table.loc[seen, "y"])
    assert shifted.model is imputations.model


def test_standard_deviations_are_those_of_the_observed_values(imputations: MultipleImputation) -> None:
    sd = imputations.table["y"].std()
    one, other = delta_adjust(imputations, {"y": 0.5}, unit="sd"), delta_adjust(imputations, {"y": 0.5 * sd})
    assert_allclose(one.complete(2)["y"], other.complete(2)["y"], rtol=1e-14)


def test_a_mean_moves_by_its_share_of_imputed_values(imputations: MultipleImputation) -> None:
    result = sensitivity(imputations, mean_of_y, {"y": [-1.0, 0.5, 2.0]})
    rows = result.along(0, "0")
    assert_array_equal(rows["delta_y"], [-1.0, 0.0, 0.5, 2.0])
    share = imputations.where["y"].mean()
    assert_allclose(rows["est"] - rows["est"][1], share * rows["delta_y"], atol=1e-12)


def test_a_model_gives_what_fitting_it_to_shifted_tables_gives(imputations: MultipleImputation) -> None:
    result = sensitivity(imputations, MODEL, {"y": [-1.5, 1.0]}, fixed_x=False)
    assert result.terms == ("m ~ t", "y ~ m", "y ~ t", "ab")
    frame = delta_adjust(imputations, {"y": -1.5}).fit(MODEL, fixed_x=False).parameter_estimates()
    expected = frame[frame["op"].isin(["~", ":="])]
    found = result.estimates[result.estimates["delta_y"] == -1.5]
    for column in ("est", "se", "df", "pvalue", "ci_lower", "ci_upper"):
        assert_allclose(found[column], expected[column], rtol=1e-9)


def test_tipping_points_are_where_the_interval_reaches_zero(imputations: MultipleImputation) -> None:
    grid = np.linspace(-3, 3, 13)
    table = sensitivity(imputations, mean_of_y, {"y": grid}).tipping_points()
    changed = table[table["becomes"] != ""]
    assert list(changed["direction"]) == ["down"]
    assert list(changed["conclusion"]) == [ABOVE]
    for row in changed.to_dict("records"):
        assert min(row["last"], row["first"]) <= row["tipping"] <= max(row["last"], row["first"])
        there = sensitivity(imputations, mean_of_y, {"y": [row["tipping"]]}).along(0, "0")
        at = there[there["delta_y"] == row["tipping"]].iloc[0]
        # The limit is not straight between shifts 0.5 apart, but nearly so.
        assert min(abs(at["ci_lower"]), abs(at["ci_upper"])) < 0.05 * at["se"]


def rows_of(conclusions: list[tuple[float, float]]) -> tuple:
    """An analysis of which the limits at shifts -2 ... 2 are given."""
    shifts = np.arange(-2.0, 3.0)
    return shifts, dict(zip(shifts, conclusions, strict=True))


@pytest.mark.parametrize(
    ("limits", "down", "up"),
    [
        # (lower, upper) at -2, -1, 0, 1, 2
        ([(-1, 1), (-1, 3), (1, 3), (1, 3), (1, 3)], (BETWEEN, -0.5), ("", np.nan)),
        ([(1, 3), (1, 2), (-1, 1), (-3, -1), (-3, -1)], (ABOVE, -0.5), (BELOW, 0.5)),
        ([(-5, -3), (-5, -3), (-5, -1), (1, 4), (1, 4)], ("", np.nan), (ABOVE, 0.2)),
    ],
)
def test_changes_by_hand(monkeypatch, imputations, limits, down, up) -> None:
    shifts, table = rows_of(limits)

    def frame(tables) -> pd.DataFrame:
        low, high = table[tables.point[0]]
        return pd.DataFrame({"term": ["x"], "est": [(low + high) / 2], "se": [1.0], "df": [9.0], "pvalue": [0.5],
                             "ci_lower": [float(low)], "ci_upper": [float(high)]})  # fmt: skip

    monkeypatch.setattr("fosa_sem.evaluate.sensitivity._runner", lambda *_: frame)
    found = sensitivity(imputations, mean_of_y, {"y": shifts}).tipping_points().set_index("direction")
    for direction, (becomes, tipping) in (("down", down), ("up", up)):
        assert found.loc[direction, "becomes"] == becomes
        assert_allclose(found.loc[direction, "tipping"], tipping)
        if not becomes:
            assert abs(found.loc[direction, "last"]) == 2.0
            assert np.isnan(found.loc[direction, "first"])


def test_several_axes_are_combined_and_read_one_at_a_time(imputations: MultipleImputation) -> None:
    result = sensitivity(imputations, mean_of_y, {"y": {"drug": [-1, 1], "placebo": [2]}, "m": [1]}, by="arm")
    assert [axis.name for axis in result.axes] == ["y [drug]", "y [placebo]", "m"]
    assert len(result.estimates) == 3 * 2 * 2
    assert sum(axis.n_imputed for axis in result.axes[:2]) == imputations.where["y"].sum()
    along = result.along(1, "0")
    assert_array_equal(along["delta_y [placebo]"], [0.0, 2.0])
    assert (along["delta_y [drug]"] == 0).all()
    assert set(result.tipping_points()["direction"]) == {"up", "down"}
    assert len(result.tipping_points()) == 2 + 1 + 1


def test_a_known_departure_is_undone_by_its_shift() -> None:
    """Holes depend on x, and y is lower by 1 where it is missing: at the shift -1 the mean of y is right."""
    rng = np.random.default_rng(3)
    n = 4000
    x = rng.standard_normal(n)
    holes = rng.random(n) < 1 / (1 + np.exp(0.5 - x))
    y = 0.8 * x + rng.standard_normal(n) - 1.0 * holes
    data = pd.DataFrame({"x": x, "y": np.where(holes, np.nan, y)})
    rows = sensitivity(impute(data, "y ~ x", m=10, seed=4), mean_of_y, {"y": [-1.0]}).along(0, "0")
    wrong, right = rows.iloc[1], rows.iloc[0]
    # The mean of the sampled y, not of the population, is what complete data would have given.
    assert abs(right["est"] - y.mean()) < 3 * right["se"]
    assert wrong["est"] - y.mean() > 10 * wrong["se"]


def test_the_text_says_what_the_data_cannot_say(imputations: MultipleImputation) -> None:
    text = " ".join(str(sensitivity(imputations, mean_of_y, {"y": [-1]}, unit="sd")).split())
    assert "standard deviations" in text
    assert "The data cannot say which shift is right" in text


def test_congeniality_is_warned_of_once(imputations: MultipleImputation) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sensitivity(imputations, "y ~ two + m", {"y": [-1, 1]}, fixed_x=False)
    assert sum(issubclass(w.category, CongenialityWarning) for w in caught) == 1


def test_failures_name_the_shift(imputations: MultipleImputation) -> None:
    def analysis(table: pd.DataFrame) -> tuple[list[float], list[float]]:
        if table["y"].min() < -100:
            raise ValueError("too low")
        return mean_of_y(table)

    with pytest.raises(ValueError, match="too low") as failure:
        sensitivity(imputations, analysis, {"y": [-1000.0]})
    assert failure.value.__notes__ == ["at the shift y: -1000"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": {"z": [1]}}, "'z', which is not a column"),
        ({"delta": {"t": [1]}}, "has categories"),
        ({"delta": {"two": [1]}}, "has categories"),
        ({"delta": {"level": [1]}}, "has categories"),
        ({"delta": {"arm": [1]}}, "not numeric"),
        ({"delta": {}}, "delta is empty"),
        ({"delta": {"y": []}}, "finite numbers"),
        ({"delta": {"y": [np.nan]}}, "finite numbers"),
        ({"delta": {"y": ["much"]}}, "must hold numbers"),
        ({"delta": {"y": {"drug": [1]}}}, "name the column of the groups in by"),
        ({"delta": {"y": {"other": [1]}}, "by": "arm"}, "the group 'other'"),
        ({"delta": {"y": {"drug": [1]}}, "by": "site"}, "by names 'site'"),
        ({"delta": {"y": [1]}, "unit": "SD"}, "'value' or 'sd'"),
        ({"delta": {"y": [1]}, "terms": ["slope"]}, "terms names 'slope'"),
        ({"delta": {"y": [1]}, "estimator": "MLR"}, "estimator is an option of a model"),
    ],
)
def test_bad_arguments(imputations: MultipleImputation, arguments, message) -> None:
    with pytest.raises(OptionError, match=message):
        sensitivity(imputations, mean_of_y, **arguments)


def test_more_bad_input(imputations: MultipleImputation) -> None:
    with pytest.raises(OptionError, match="must be one number"):
        delta_adjust(imputations, {"y": [1, 2]})
    with pytest.raises(DataError, match="'two' has 23 holes"):
        delta_adjust(imputations, {"y": {"1": 1.0}}, by="two")
    complete = MultipleImputation.from_frames([imputations.complete(1)[["y"]]] * 2, imputations.complete(1)[["y"]])
    with pytest.raises(OptionError, match="no value of 'y' was imputed"):
        sensitivity(complete, mean_of_y, {"y": [1]})
    with pytest.raises(OptionError, match="terms names 'y ~ z'"):
        sensitivity(imputations, MODEL, {"y": [1]}, terms=["y ~ z"], fixed_x=False)
