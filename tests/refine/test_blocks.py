"""Indicators of one nominal variable are hidden, held out and permuted together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from fosa_sem import AttentionRefiner, FosaImputer, RefinerConfig
from fosa_sem.errors import OptionError
from fosa_sem.refine.folds import make_probe, owners, training_data
from fosa_sem.refine.form import Form
from fosa_sem.refine.insight import held_out_expectations
from fosa_sem.refine.remasking import Remasker
from fosa_sem.refine.training import batches

CONFIG = RefinerConfig(epochs=60, width=16, heads=2, folds=2, check_every=10, learning_rate=0.01)
BLOCK = ("kind=high", "kind=low")


def bent() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Whether kind is extreme depends on the size of x, not on its sign: no linear rule can tell."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    score = np.column_stack([4 * (np.abs(x) - 0.7), -4 * (np.abs(x) - 0.7), np.zeros(600)])
    kind = np.array(["high", "low", "any"])[(score + rng.gumbel(size=(600, 3))).argmax(axis=1)]
    truth = pd.DataFrame({"x": x, "y": x + rng.normal(size=600), "kind": kind})
    holes = rng.random(truth.shape) < 0.2
    holes[:, 1] &= ~holes[:, 0]
    return truth, truth.mask(holes)


@pytest.fixture(scope="module")
def imputer() -> FosaImputer:
    return FosaImputer("y ~ x", refiner=CONFIG, categorical={"kind": "nominal"}).fit(bent()[1])


def test_owners_name_the_first_of_a_block() -> None:
    assert owners(("a", "b", "c", "d"), [("d", "b")]).tolist() == [0, 3, 2, 3]
    assert owners(("a", "b"), ()).tolist() == [0, 1]
    for bad in ([("a", "x")], [("a", "b"), ("b", "c")]):
        with pytest.raises(OptionError, match="blocks names"):
            owners(("a", "b", "c"), bad)


def test_blocks_are_dealt_hidden_and_probed_together(imputer: FosaImputer) -> None:
    completion = imputer.completion_
    form, rng = Form.of(completion, CONFIG, {}), np.random.default_rng(0)
    data = training_data(completion, form.scaling, 2, rng, form.device, [BLOCK])
    first, second = (completion.variables.index(name) for name in BLOCK)
    assert (data.fold[:, first] == data.fold[:, second]).all()
    alone = torch.as_tensor(completion.observed[:, [0, 1]].sum(axis=1) == 0)
    assert (data.fold[alone][:, [first, second]] == -1).all()  # nothing else is known of these rows
    remasker = Remasker(completion.rule, form.scaling, form.device)
    for batch in batches(data, remasker, torch.arange(2), CONFIG, rng):
        assert (batch.rows.hidden[..., first] == batch.rows.hidden[..., second]).all()
    probe = make_probe(data, remasker, range(2), 10**6)
    of_block = (probe.column == first) | (probe.column == second)
    assert probe.rows.hidden[of_block][:, [first, second]].all()
    others = ~of_block & torch.as_tensor(completion.observed[:, first])[probe.row]
    assert not probe.rows.hidden[others][:, [first, second]].any()


def test_without_blocks_nothing_changes() -> None:
    data = bent()[1][["x", "y"]].dropna()
    completion = FosaImputer("y ~ x", refiner=None).fit(data).completion_
    plain = AttentionRefiner(config=RefinerConfig(epochs=3, width=4, heads=1, folds=2)).fit(completion)
    alone = AttentionRefiner(config=plain.config, blocks=[("x",), ("y",)]).fit(completion)
    pd.testing.assert_frame_equal(plain.history, alone.history)


def test_the_network_tells_what_no_line_can(imputer: FosaImputer) -> None:
    truth, data = bent()
    hole = (data["kind"].isna() & data["x"].notna()).to_numpy()
    plain = FosaImputer("y ~ x", refiner=None, categorical={"kind": "nominal"}).fit(data)

    def score(one: FosaImputer) -> float:
        table = one.category_probabilities(data)["kind"]
        return float(np.mean([np.log(table.loc[i, truth.loc[i, "kind"]]) for i in np.flatnonzero(hole)]))

    shares = truth["kind"][hole].value_counts(normalize=True)
    ignorant = float((shares * np.log(shares)).sum())
    assert abs(score(plain) - ignorant) < 0.05  # lines know the shares, no more
    assert score(imputer) > ignorant + 0.15
    assert (imputer.transform(data)["kind"] == truth["kind"])[hole].mean() > shares.max() + 0.1


def test_probabilities_are_calibrated_on_cells_held_out(imputer: FosaImputer) -> None:
    """Among all observed cells, the mean probability of each category is its share: the intercepts see to that."""
    assert imputer.refiner_ is not None
    rows, expected = held_out_expectations(imputer.refiner_, imputer.completion_, BLOCK, cells=10**6)
    kinds = bent()[1]["kind"].to_numpy()[rows]
    others = imputer.completion_.observed[:, [0, 1]].any(axis=1)
    assert sorted(rows) == np.flatnonzero(imputer.completion_.observed[:, 2] & others).tolist()
    found = imputer.types_.heads["kind"].probabilities(expected).mean(axis=0)
    shares = [(kinds == name).mean() for name in ("any", "high", "low")]
    np.testing.assert_allclose(found, shares, atol=2e-3)  # up to the penalty of the regression


def test_held_out_expectations_are_not_those_of_networks_that_saw_the_cell(imputer: FosaImputer) -> None:
    assert imputer.refiner_ is not None
    _, some = held_out_expectations(imputer.refiner_, imputer.completion_, BLOCK, cells=100)
    assert 50 <= len(some) <= 100
    gates = imputer.refiner_.gates.set_index("variable").loc[list(BLOCK), "gate"]
    assert (gates > 0).all()


def test_the_dependence_of_the_category_is_found(imputer: FosaImputer) -> None:
    pairs = imputer.dependence().pairs.set_index(["variable", "source"])
    assert pairs.loc[("kind=low", "x"), "hint"] == "not linear"
    assert pairs.loc[("kind=low", "kind=high"), "cells"] == 0
