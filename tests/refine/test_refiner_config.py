from __future__ import annotations

import subprocess
import sys

import pytest

from fosa_sem.errors import OptionError
from fosa_sem.refine.config import RefinerConfig

BAD = [
    ("heads", 0, "at least 1"),
    ("heads", 2.0, "an integer"),
    ("heads", True, "an integer"),
    ("heads", 7, "divisor of width, which is 64"),
    ("width", -64, "at least 1"),
    ("layers", 0, "at least 1"),
    ("epochs", 0, "at least 1"),
    ("epochs", "many", "an integer"),
    ("dropout", 1.0, r"\[0, 1\)"),
    ("dropout", -0.1, r"\[0, 1\)"),
    ("dropout", float("nan"), r"\[0, 1\)"),
    ("learning_rate", 0.0, r"\(0, 1\]"),
    ("learning_rate", 2.0, r"\(0, 1\]"),
    ("learning_rate", None, r"\(0, 1\]"),
    ("weight_mse", 0.0, "greater than 0"),
    ("weight_covariance", -1.0, "at least 0"),
    ("weight_l1", float("inf"), "finite"),
    ("hide_rate", (0.0, 0.5), "0 < low <= high < 1"),
    ("hide_rate", (0.6, 0.5), "0 < low <= high < 1"),
    ("hide_rate", (0.1, 1.0), "0 < low <= high < 1"),
    ("hide_rate", (0.1,), "two numbers"),
    ("hide_rate", 0.3, "two numbers"),
    ("holdout", 0.0, r"\(0, 0.5\]"),
    ("holdout", 0.6, r"\(0, 0.5\]"),
    ("folds", 0, "at least 1"),
    ("folds", 6, "at most 5, or None"),
    ("batch_size", 0, "at least 1"),
    ("rows_per_epoch", 0, "at least 1"),
    ("patience", 0, "at least 1, or None"),
    ("device", "gpu", "'auto', 'cpu', 'cuda'"),
    ("seed", -1, "at least 0"),
    ("seed", 1.5, "an integer"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD)
def test_option_out_of_range_names_option_value_and_range(name, value, allowed):
    with pytest.raises(OptionError, match=allowed) as error:
        RefinerConfig(**{name: value})
    assert f"{name}={value!r}" in str(error.value)


def test_defaults_are_the_papers():
    config = RefinerConfig()
    assert (config.heads, config.width, config.epochs) == (4, 64, 200)
    assert (config.dropout, config.learning_rate) == (0.5, 0.001)


@pytest.mark.parametrize(
    "options", [{"holdout": 0.1, "folds": 10}, {"patience": None}, {"heads": 1, "width": 1}, {"dropout": 0}]
)
def test_ends_of_the_ranges_are_allowed(options):
    config = RefinerConfig(**options)
    assert all(getattr(config, name) == value for name, value in options.items())


def test_config_does_not_import_torch():
    code = "import fosa_sem.refine.config, sys; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
