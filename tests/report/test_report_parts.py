from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_examples import FIT_MEASURES, imputation_report

from fosa_sem.report.accuracy import best_methods, overall_accuracy, variable_accuracy
from fosa_sem.report.formatting import (
    apa_unit,
    cell,
    cells,
    clean,
    count,
    decimal,
    display_width,
    narrow,
    p_apa,
    p_equation,
    pad_left,
    percent,
    readable,
    shorten,
)
from fosa_sem.report.measures import measure_blocks
from fosa_sem.report.plots import (
    MAX_PANELS,
    common_edges,
    distributions_figure,
    gates_figure,
    history_figure,
)
from fosa_sem.report.records import Distribution


@given(st.lists(st.floats(), max_size=6), st.integers(8, 12))
def test_several_cells_are_each_a_cell(values, width):
    assert cells(values, width) == "".join(cell(value, width) for value in values)


@given(st.text(max_size=60), st.integers(1, 40))
def test_shortening_keeps_the_width_and_is_visible(text, width):
    short = shorten(text, width)
    assert display_width(short) <= max(width, 0) or short == text
    assert short == text or "…" in short
    assert display_width(text) > width or short == text


def test_shortening_keeps_both_ends():
    assert shorten("depression_item_01", 9) == "depr…m_01"


@pytest.mark.parametrize("width", [8, 9])
@pytest.mark.parametrize(
    "value", [0.0, -0.0001, 1.5, -999.9996, 9999.9994, 12345.678, 1e30, math.nan, math.inf, -math.inf]
)
def test_a_cell_is_the_narrow_number_in_its_field(value, width):
    assert cell(value, width) == pad_left(narrow(value, width - 1), width)


@given(st.floats(), st.integers(7, 12))
def test_narrow_fits(value, width):
    assert len(narrow(value, width)) <= width


@given(st.floats(-999, 999))
def test_narrow_is_plain_where_there_is_room(value):
    assert narrow(value, 8) == f"{value:.3f}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.035, ".035"), (0.0004, "< .001"), (0.0, "< .001"), (1.0, "1.000"), (0.001, ".001"), (math.nan, "—")],
)
def test_p_values_as_in_apa(value, expected):
    assert p_apa(value) == expected


def test_p_within_a_sentence():
    assert (p_equation(0.0001), p_equation(0.5)) == ("p < .001", "p = .500")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.00012, "0.00012"),
        (1e-17, "0.000"),
        (-0.0314, "-0.031"),
        (123456789.0, "1.235e+08"),
        (math.nan, "—"),
    ],
)
def test_readable_hides_no_small_number(value, expected):
    assert readable(value) == expected


def test_small_formats():
    assert (apa_unit(-0.25, 2), apa_unit(1.02, 2)) == ("-.25", "1.02")
    assert (count(24.0), count(23.5), count(math.nan)) == ("24", "23.500", "—")
    assert (percent(0.123), decimal(math.inf), decimal(-math.inf)) == ("12.3%", "Inf", "-Inf")
    assert (clean(None), clean(math.nan), clean("a\tb"), clean(7)) == ("", "", "a�b", "7")


def test_measures_that_are_absent_are_left_out():
    (block,) = measure_blocks(pd.Series({"chisq": 1.0, "df": 2.0}))
    assert [row.label for row in block.rows] == ["Test statistic", "Degrees of freedom"]


def test_levels_and_bounds_come_from_the_measures():
    changed = {**FIT_MEASURES, "rmsea.ci.level": 0.95, "rmsea.close.h0": 0.06}
    labels = [row.label for block in measure_blocks(pd.Series(changed)) for row in block.rows]
    assert "95 Percent confidence interval - lower" in labels
    assert "P-value H_0: RMSEA <= 0.060" in labels


def test_accuracy_by_hand():
    metrics = pd.DataFrame(
        {
            "seed": [0, 1, 0, 1, 0, 1],
            "method": ["mean", "mean", "sem", "sem", "sem", "sem"],
            "variable": ["overall"] * 4 + ["a"] * 2,
            "mse": [1.0, 3.0, 0.5, 0.7, 0.2, 0.4],
            "r2": [0.0, 0.0, 0.5, 0.3, 0.8, 0.6],
        }
    )
    accuracy = overall_accuracy(metrics)
    assert accuracy.n_seeds == 2
    assert list(accuracy.mean.index) == ["mean", "sem"]
    np.testing.assert_allclose(accuracy.mean["mse"], [2.0, 0.6])
    np.testing.assert_allclose(accuracy.sd["mse"], [np.sqrt(2.0), np.sqrt(0.02)])
    assert best_methods(accuracy) == {"mse": "sem", "r2": "sem"}
    assert variable_accuracy(metrics, "mse").loc["a", "sem"] == pytest.approx(0.3)


def test_a_tie_has_no_best_method():
    metrics = pd.DataFrame({"seed": 0, "method": ["sem", "refined"], "variable": "overall", "mse": [0.5, 0.5]})
    assert best_methods(overall_accuracy(metrics)) == {}


def test_edges_cover_all_values():
    values = np.array([-3.0, 0.2, 11.0])
    edges = common_edges(values)
    assert edges[0] == -3.0
    assert edges[-1] == 11.0
    assert 11 <= len(edges) <= 41
    np.testing.assert_allclose(common_edges(np.array([2.0, 2.0])), [1.5, 2.5])


def test_distributions_are_densities_of_the_given_values():
    observed = np.repeat([1.0, 2.0, 3.0], [10, 20, 30])
    one = Distribution(variable="$item$", observed=observed, sem=np.array([2.1, 2.4]), refined=None)
    panel = distributions_figure((one,)).axes[0]
    heights, edges, _ = panel.patches[0].get_data()
    np.testing.assert_allclose(edges, [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_allclose(heights, np.array([10, 20, 30]) / 60)
    assert panel.get_title(loc="left") == "$item$"
    assert len(panel.patches) == 2


def test_odd_distributions_are_drawn():
    empty = np.array([])
    odd = (
        Distribution(variable="none", observed=empty, sem=empty, refined=None),
        Distribution(variable="constant", observed=np.ones(3), sem=np.ones(1), refined=np.ones(1)),
        Distribution(variable="all missing", observed=empty, sem=np.ones(4), refined=None),
        Distribution(variable="large", observed=np.array([1e12, 2e12]), sem=np.array([1.5e12]), refined=None),
    )
    distributions_figure(odd).canvas.draw()


def test_no_more_panels_than_can_be_read():
    one = Distribution(variable="v", observed=np.arange(20.0), sem=np.arange(3.0), refined=None)
    assert len(distributions_figure((one,) * (MAX_PANELS + 5)).axes) == MAX_PANELS


def test_training_curve_skips_epochs_without_evaluation():
    history = imputation_report().history
    assert history is not None
    curve, baseline = history_figure(history).axes[1].get_lines()
    held = history.dropna()
    np.testing.assert_allclose(curve.get_ydata(), held["heldout_mse"])
    np.testing.assert_allclose(baseline.get_ydata(), held["baseline_mse"])


def test_gates_show_one_standard_error_and_fill_the_open_ones():
    gates = pd.DataFrame(
        {
            "variable": ["$a$", "b"],
            "gate": [1.0, 0.0],
            "gain": [0.5, -0.1],
            "se": [0.2, 0.3],
            "n_heldout": [9, 9],
        }
    )
    axes = gates_figure(gates).axes[0]
    lines, is_open, closed = axes.collections
    np.testing.assert_allclose([segment[:, 0] for segment in lines.get_segments()], [[0.3, 0.7], [-0.4, 0.2]])
    np.testing.assert_allclose(is_open.get_offsets(), [[0.5, 0]])
    np.testing.assert_allclose(closed.get_offsets(), [[-0.1, 1]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$a$", "b"]
