from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from fosa_sem.refine.gate import MIN_CELLS, decide_gates


def cells(*counts):
    return np.repeat(np.arange(len(counts)), counts)


def test_gain_and_its_standard_error_in_closed_form():
    residual, correction = np.array([2.0, 1.0, -1.0]), np.array([1.0, 0.0, 1.0])
    table = decide_gates(["a"], cells(3), residual, correction)
    gain = np.array([3.0, 0.0, -3.0])
    assert table.columns.tolist() == ["variable", "gate", "gain", "se", "n_heldout"]
    assert_allclose(table.loc[0, ["gain", "se", "n_heldout"]].astype(float), [0, gain.std(ddof=1) / 3**0.5, 3])


def test_a_perfect_correction_is_kept_and_one_of_twice_its_size_is_not():
    residual = np.random.default_rng(0).normal(size=400)
    column = cells(200, 200)
    assert decide_gates(["a", "b"], column, residual, residual)["gate"].tolist() == [1.0, 1.0]
    # Twice the residual gains nothing on squared error; anything less does, and is kept whole.
    assert decide_gates(["a", "b"], column, residual, 2 * residual)["gate"].tolist() == [0.0, 0.0]
    assert decide_gates(["a", "b"], column, residual, 1.6 * residual)["gate"].tolist() == [1.0, 1.0]


def test_half_of_the_residual_is_kept_as_it_is():
    residual = np.random.default_rng(0).normal(size=300)
    assert_allclose(decide_gates(["a"], cells(300), residual, residual / 2)["gate"], 1.0)


def test_a_harmed_variable_is_switched_off_where_the_others_gain():
    rng = np.random.default_rng(1)
    residual = rng.normal(size=600)
    correction = residual.copy()
    correction[400:] = rng.normal(size=200)
    gate = decide_gates(["a", "b", "c"], cells(200, 200, 200), residual, correction)["gate"]
    assert gate.tolist() == [1.0, 1.0, 0.0]


def test_one_clear_variable_stands_alone_where_the_pool_shows_nothing():
    rng = np.random.default_rng(2)
    residual = rng.normal(size=2000)
    correction = np.where(cells(200, 1800) == 0, residual, rng.normal(size=2000))
    gate = decide_gates(["a", "b"], cells(200, 1800), residual, correction)["gate"]
    assert gate.tolist() == [1.0, 0.0]


def test_noise_rarely_opens_a_gate():
    """Over 200 sets of useless small corrections of 5 variables, at most 5 % open any gate."""
    opened = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        table = decide_gates(list("abcde"), cells(*[80] * 5), rng.normal(size=400), 0.1 * rng.normal(size=400))
        opened += bool((table["gate"] > 0).any())
    assert opened <= 10


def test_too_few_cells_are_never_evidence():
    residual = np.random.default_rng(3).normal(size=300 + MIN_CELLS - 1)
    table = decide_gates(["a", "b", "c"], cells(300, MIN_CELLS - 1, 0), residual, residual)
    assert table["gate"].tolist() == [1.0, 0.0, 0.0]
    assert table["n_heldout"].tolist() == [300, MIN_CELLS - 1, 0]
    assert np.isnan(table.loc[2, "gain"])


def test_no_cells_and_no_correction_close_every_gate():
    empty = np.zeros(0)
    assert decide_gates(["a", "b"], cells(0, 0), empty, empty)["gate"].tolist() == [0.0, 0.0]
    assert decide_gates(["a"], cells(50), np.ones(50), np.zeros(50))["gate"].tolist() == [0.0]


def test_where_the_pool_gains_a_variable_need_not_prove_its_own():
    """A gain of no standard error opens the gate beside a clear one, and keeps it closed alone."""
    rng = np.random.default_rng(4)
    residual = rng.normal(size=400)
    correction = np.concatenate([residual[:200], 0.01 * rng.normal(size=200)])
    both = decide_gates(["a", "b"], cells(200, 200), residual, correction)
    alone = decide_gates(["b"], cells(200), residual[200:], correction[200:])
    assert abs(both.loc[1, "gain"] / both.loc[1, "se"]) < 1
    assert both["gate"].tolist() == [1.0, 1.0]
    assert alone["gate"].tolist() == [0.0]
