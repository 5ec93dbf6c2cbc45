from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fosa_sem.errors import OptionError
from fosa_sem.refine.config import RefinerConfig

BAD = [
    ("heads", 0, "at least 1"),
    ("heads", 2.0, "an integer"),
    ("heads", True, "an integer"),
    ("heads", 7, "divisor of width, which is 32"),
    ("width", -64, "at least 1"),
    ("layers", 0, "at least 1"),
    ("components", 0, "at least 1"),
    ("bins", 0, "at least 1"),
    ("epochs", 0, "at least 1"),
    ("epochs", "many", "an integer"),
    ("dropout", 1.0, r"\[0, 1\)"),
    ("dropout", -0.1, r"\[0, 1\)"),
    ("dropout", float("nan"), r"\[0, 1\)"),
    ("learning_rate", 0.0, r"\(0, 1\]"),
    ("learning_rate", 2.0, r"\(0, 1\]"),
    ("learning_rate", None, r"\(0, 1\]"),
    ("schedule", "linear", "'cosine', 'constant'"),
    ("weight_mse", 0.0, "greater than 0"),
    ("weight_likelihood", -0.5, "at least 0"),
    ("weight_covariance", -1.0, "at least 0"),
    ("weight_l1", float("inf"), "finite"),
    ("hide_rate", (0.0, 0.5), "0 < low <= high < 1"),
    ("hide_rate", (0.6, 0.5), "0 < low <= high < 1"),
    ("hide_rate", (0.1, 1.0), "0 < low <= high < 1"),
    ("hide_rate", (0.1,), "two numbers"),
    ("hide_rate", 0.3, "two numbers"),
    ("folds", 1, "at least 2"),
    ("batch_size", 0, "at least 1"),
    ("rows_per_epoch", 0, "at least 1"),
    ("check_every", 0, "at least 1"),
    ("patience", 0, "at least 1, or None"),
    ("attention_prior", 1, "True or False"),
    ("gated", None, "True or False"),
    ("device", "gpu", "'auto', 'cpu', 'cuda'"),
    ("seed", -1, "at least 0"),
    ("seed", 1.5, "an integer"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD)
def test_option_out_of_range_names_option_value_and_range(name, value, allowed):
    with pytest.raises(OptionError, match=allowed) as error:
        RefinerConfig(**{name: value})
    assert f"{name}={value!r}" in str(error.value)


def test_paper_gives_the_printed_settings_and_loss():
    config = RefinerConfig.paper()
    assert (config.heads, config.width, config.epochs) == (4, 64, 200)
    assert (config.dropout, config.learning_rate, config.schedule) == (0.5, 0.001, "constant")
    assert (config.weight_mse, config.weight_likelihood) == (1.0, 0.0)
    assert min(config.weight_covariance, config.weight_l1) > 0
    assert config.patience is None


def test_paper_takes_changes_and_checks_them():
    assert RefinerConfig.paper(epochs=3, seed=7) == RefinerConfig.paper(seed=7, epochs=3)
    assert RefinerConfig.paper(epochs=3).epochs == 3
    with pytest.raises(OptionError, match="folds=1"):
        RefinerConfig.paper(folds=1)


@pytest.mark.parametrize(
    "options",
    [
        {"folds": 2, "check_every": 1},
        {"patience": None},
        {"heads": 1, "width": 1, "layers": 1, "components": 1},
        {"dropout": 0, "learning_rate": 1},
        {"weight_likelihood": 0, "weight_covariance": 0.0, "weight_l1": 0},
        {"hide_rate": (0.5, 0.5)},
        {"schedule": "constant", "gated": False, "attention_prior": True},
    ],
)
def test_ends_of_the_ranges_are_allowed(options):
    config = RefinerConfig(**options)
    assert all(getattr(config, name) == value for name, value in options.items())


def test_config_does_not_import_torch():
    code = "import fosa_sem.refine.config, sys; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("rows", "p", "folds", "layers", "batch_size"),
    [
        (10_000, 5, 6, 2, 128),
        (10_001, 5, 6, 2, 1024),
        (10_000, 8, 6, 2, 640),
        (10_000, 20, 6, 1, 256),
        (100_001, 5, 2, 1, 1024),
    ],
)
def test_options_follow_the_size_of_the_data(rows, p, folds, layers, batch_size):
    config = RefinerConfig.suited(np.ones((rows, p), dtype=bool), seed=3)
    assert (config.folds, config.layers, config.batch_size, config.seed) == (folds, layers, batch_size, 3)
    assert RefinerConfig.suited(np.ones((rows, p), dtype=bool), folds=4).folds == 4


def test_missing_cells_do_not_count_for_the_size_of_the_data():
    observed = np.zeros((20_000, 5), dtype=bool)
    observed[:10_000] = True
    assert RefinerConfig.suited(observed) == RefinerConfig()
