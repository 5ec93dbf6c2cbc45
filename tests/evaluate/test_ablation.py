"""An ablation scores every version on the same cells, with one fit of the model per seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import fosa_sem as fs
from fosa_sem.errors import DataError, ModelSpecificationError, OptionError
from fosa_sem.evaluate import ablate, ablation, overall_table
from fosa_sem.evaluate.baselines import column_mean, saturated_fiml
from fosa_sem.evaluate.experiment import compare
from fosa_sem.evaluate.masking import hide_cells, mask_cells
from fosa_sem.imputation.completion import Origin

MODEL = "y ~ x + z"
SHORT = fs.RefinerConfig(width=8, epochs=2, rows_per_epoch=64)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=120), rng.normal(size=120)
    frame = pd.DataFrame({"x": x, "z": z, "other": rng.normal(size=120), "y": x + z**2 + 0.3 * rng.normal(size=120)})
    return frame.mask(rng.random(frame.shape) < 0.05)


@pytest.fixture
def short_paper(monkeypatch):
    monkeypatch.setattr(ablate, "_base", lambda *given: SHORT)


@pytest.fixture
def fits(monkeypatch):
    """Counts fits of the model and trainings."""
    from fosa_sem.refine.refiner import AttentionRefiner

    counts = {"model": 0, "training": 0}
    fit, train = ablate.fit_or_ridge, AttentionRefiner.fit

    def counted_fit(*arguments):
        counts["model"] += 1
        return fit(*arguments)

    def counted_training(self, completion, **options):
        counts["training"] += 1
        return train(self, completion, **options)

    monkeypatch.setattr(ablate, "fit_or_ridge", counted_fit)
    monkeypatch.setattr(AttentionRefiner, "fit", counted_training)
    return counts


@pytest.mark.usefixtures("short_paper")
def test_all_versions_in_one_call(data, fits):
    copy = data.copy()
    table = ablation(MODEL, data, proportion=0.2, seeds=(0, 1), config=SHORT)
    pd.testing.assert_frame_equal(data, copy)
    assert overall_table(table)["method"].tolist() == ["mean", "saturated FIML", "SEM FIML", *ablate.VARIANTS]
    assert table["variable"].unique().tolist() == ["y", "x", "z", "overall"]
    assert fits == {"model": 2, "training": 2 * len(ablate.VARIANTS)}


def test_first_rows_are_those_of_the_methods_alone(data):
    mask = mask_cells(data, 0.2, seed=4, columns=["x", "y", "z"])
    table = ablation(MODEL, data, mask=mask, variants=())
    names = ["y", "x", "z"]

    def sem(holes, seed):
        return fs.sem(MODEL, holes, fixed_x=False).impute().to_frame()

    methods = {"mean": column_mean, "saturated FIML": saturated_fiml, "SEM FIML": sem}
    expected = compare(data[names], methods, mask=mask[names])
    pd.testing.assert_frame_equal(table, expected)


def test_full_method_is_that_of_the_imputer(data):
    mask = mask_cells(data, 0.2, seed=4, columns=["x", "y", "z"])
    table = ablation(MODEL, data, mask=mask, seeds=(4,), variants="FOSA", config=SHORT)
    imputed = fs.FosaImputer(MODEL, refiner=fs.RefinerConfig(width=8, epochs=2, rows_per_epoch=64, seed=4))
    names = ["y", "x", "z"]
    holes = hide_cells(data, mask)[names]
    expected = fs.imputation_metrics(data[names], imputed.fit_transform(holes), mask[names])
    found = table[table["method"] == "FOSA"][expected.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_without_the_start_means_are_refined_and_without_gates_all_cells(data):
    completion = fs.sem(MODEL, data, fixed_x=False).impute()
    start = ablate._without_relations(completion)
    np.testing.assert_allclose(start.values, column_mean(data[list(completion.variables)]).to_numpy(), rtol=1e-12)
    assert (start.sd[~start.observed] > 0).all()
    np.testing.assert_array_equal(start.values[start.observed], completion.values[completion.observed])
    ungated = ablate._refined(completion, {}, replace(SHORT, gated=False), "sem")
    alone = ~completion.observed & completion.observed.any(axis=1, keepdims=True)
    assert (ungated.origin[alone] == Origin.REFINED).all()


def test_mechanism_and_groups(data):
    grouped = data.dropna().assign(group=np.arange(len(data.dropna())) % 2)
    table = ablation("x ~~ y", grouped, mechanism="MAR", sem_options={"group": "group"}, variants=())
    assert table["variable"].unique().tolist() == ["x", "y", "overall"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"variants": ["FOSA", "FISA"]}, OptionError, "'FISA'; there are"),
        ({"sem_options": {"fixed_x": True}}, OptionError, "fixed_x=False"),
        ({"mechanism": "MAR", "proportion": 0.2}, OptionError, "are given"),
        ({"model": "y ~ x + w"}, ModelSpecificationError, "'w' is not a column"),
    ],
)
def test_bad_input(data, options, error, message):
    with pytest.raises(error, match=message):
        ablation(**{"model": MODEL, "data": data, "variants": ()} | options)


def test_figure(data):
    table = ablation(MODEL, data, proportion=0.2, seeds=(0, 1), variants=())
    axes = fs.plot_ablation(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Column mean", "saturated FIML", "SEM FIML"]
    seeds, means = axes.collections
    overall = overall_table(table)["r2"]
    np.testing.assert_allclose(means.get_offsets()[:, 0], overall)
    assert len(seeds.get_offsets()) == 6
    with pytest.raises(OptionError, match="'R2'"):
        fs.plot_ablation(table, "R2")
    with pytest.raises(DataError, match="no overall scores"):
        fs.plot_ablation(table[table["variable"] == "x"])
