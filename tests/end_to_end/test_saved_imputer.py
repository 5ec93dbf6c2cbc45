from __future__ import annotations

import json
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fosa_sem import FosaImputer, RefinerConfig
from fosa_sem.datasets import load_holzinger_swineford
from fosa_sem.errors import DataError, FosaError, OptionError, SavedFileError
from fosa_sem.fiml.engines.native import NativeEngine
from fosa_sem.persistence.records import _checksum, load_records, save_records

TESTS = [f"x{i}" for i in range(1, 10)]
MODEL = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"
SHORT = RefinerConfig(epochs=4, width=8, heads=2, layers=1, folds=2, bins=4)


@pytest.fixture(scope="module")
def pupils() -> pd.DataFrame:
    frame = load_holzinger_swineford()
    holes = np.random.default_rng(3).random((len(frame), 9)) < 0.15
    holes[:, 1] = False  # no row without a value, whatever the model
    frame[TESTS] = frame[TESTS].mask(holes)
    return frame


@pytest.fixture(scope="module")
def fitted(pupils: pd.DataFrame) -> FosaImputer:
    return FosaImputer(MODEL, refiner=SHORT).fit(pupils)


@pytest.fixture
def saved(fitted: FosaImputer, tmp_path: Path) -> Path:
    return fitted.save(tmp_path / "imputer.safetensors")


def parts(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    with safe_open(path, framework="np") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


# ---- the same numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (MODEL, {"refiner": None}),
        (MODEL, {"refiner": SHORT, "func": "cfa", "verbose": False, "seed": 4}),
        ("x1 ~ x2 + x2:x3", {"refiner": SHORT}),
        ("x1 ~~ x2\nx3 ~~ x2", {"refiner": SHORT, "sem_options": {"group": "school", "group_equal": ["means"]}}),
        ("x1 ~ x2 + x3", {"refiner": None, "sem_options": {"auxiliary": ("x4", "x5"), "start": {"x1~x2": 0.3}}}),
    ],
)
def test_a_loaded_imputer_fills_bit_for_bit_alike(
    model: str, parameters: dict[str, Any], pupils: pd.DataFrame, tmp_path: Path
) -> None:
    imputer = FosaImputer(model, **parameters).fit(pupils)
    loaded = FosaImputer.load(imputer.save(tmp_path / "a"))
    new = pupils.iloc[::-3].assign(x1=np.nan)
    for rows in (pupils, new, new.iloc[:1]):
        pd.testing.assert_frame_equal(loaded.transform(rows), imputer.transform(rows), check_exact=True)
    assert loaded.get_params() == imputer.get_params()
    assert list(loaded.get_feature_names_out()) == list(imputer.get_feature_names_out())
    assert loaded.n_features_in_ == pupils.shape[1]


def test_gates_and_history_are_those_saved(fitted: FosaImputer, saved: Path) -> None:
    refiner = FosaImputer.load(saved).refiner_
    assert refiner is not None
    assert fitted.refiner_ is not None
    pd.testing.assert_frame_equal(refiner.gates, fitted.refiner_.gates, check_exact=True)
    pd.testing.assert_frame_equal(refiner.history, fitted.refiner_.history, check_exact=True)
    assert (refiner.spread == fitted.refiner_.spread).all()


def test_a_loaded_imputer_saves_the_same(saved: Path, tmp_path: Path) -> None:
    metadata, tensors = parts(FosaImputer.load(saved).save(tmp_path / "again"))
    expected, arrays = parts(saved)
    assert metadata == expected
    assert all((tensors.pop(name) == array).all() for name, array in arrays.items())
    assert not tensors


def test_no_value_of_the_data_is_in_the_file(pupils: pd.DataFrame, saved: Path) -> None:
    sizes = {name: tensor.size for name, tensor in parts(saved)[1].items()}
    assert max(size for name, size in sizes.items() if "weights" not in name) < len(pupils)


def test_a_loaded_imputer_checks_columns_and_can_be_fitted_anew(saved: Path, pupils: pd.DataFrame) -> None:
    loaded = FosaImputer.load(saved)
    with pytest.raises(DataError, match="x4"):
        loaded.transform(pupils.drop(columns="x4"))
    assert clone(loaded).get_params() == loaded.get_params()
    assert loaded.set_params(refiner=None).fit(pupils).sem_results_.nobs == 301


@pytest.mark.parametrize("name", ["sem_results_", "completion_", "refined_"])
def test_what_belongs_to_the_data_is_said_to_be_absent(saved: Path, name: str) -> None:
    loaded = FosaImputer.load(saved)
    assert not hasattr(loaded, name)
    with pytest.raises(NotFittedError, match=rf"{name} belongs to the data of fit\(\)"):
        getattr(loaded, name)


def test_a_report_or_an_evaluation_of_a_loaded_imputer_is_refused(saved: Path, tmp_path: Path) -> None:
    loaded = FosaImputer.load(saved)
    with pytest.raises(NotFittedError, match="belongs to the data"):
        loaded.report(tmp_path / "a.txt")
    with pytest.raises(NotFittedError, match="belongs to the data"):
        loaded.evaluate()
    assert not (tmp_path / "a.txt").exists()


# ---- what cannot be saved, and where ------------------------------------------------------------------------


def test_objects_are_refused_and_nothing_is_written(pupils: pd.DataFrame, tmp_path: Path) -> None:
    engine = FosaImputer("x1 ~~ x2", refiner=None, engine=NativeEngine()).fit(pupils)
    with pytest.raises(OptionError, match=r"engine 'native' is an object"):
        engine.save(tmp_path / "a")
    start = FosaImputer("x1 ~~ x2", refiner=None, sem_options={"start": {"x1~~x2": Fraction(1, 3)}}).fit(pupils)
    with pytest.raises(OptionError, match=r"parameters.sem_options.start.x1~~x2 cannot be saved: .* type Fraction"):
        start.save(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_an_unfitted_imputer_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        FosaImputer(MODEL).save(tmp_path / "a")


def test_a_place_that_cannot_be_written_is_named(fitted: FosaImputer, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="does not exist"):
        fitted.save(tmp_path / "no" / "a")
    with pytest.raises(OptionError, match="folder"):
        fitted.save(tmp_path)


def test_a_failure_leaves_the_old_file_whole(fitted: FosaImputer, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def broken(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", broken)
    with pytest.raises(OptionError, match="No space left"):
        fitted.save(saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


# ---- files that are not ours, or no longer ------------------------------------------------------------------


def test_any_changed_byte_is_noticed(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    path = tmp_path / "changed"
    for place in np.linspace(0, len(whole) - 1, 120).astype(int):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x21]) + whole[place + 1 :])
        with pytest.raises(SavedFileError):
            FosaImputer.load(path)


def test_a_truncated_or_longer_file_is_noticed(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    path = tmp_path / "cut"
    for content in (b"", whole[:4], whole[:100], whole[:-1], whole + b"\0"):
        path.write_bytes(content)
        with pytest.raises(SavedFileError):
            FosaImputer.load(path)


def test_foreign_files_are_refused_and_not_run(fitted: FosaImputer, tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(pickle.dumps(fitted))
    with pytest.raises(SavedFileError, match="cannot be read as a safetensors file"):
        FosaImputer.load(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SavedFileError, match="cannot be read"):
        FosaImputer.load(path)
    save_file({"weight": np.ones((2, 2), dtype=np.float32)}, path)
    with pytest.raises(SavedFileError, match="written by something else"):
        FosaImputer.load(path)
    save_records(path, {"a": 1}, kind="another", package="")
    with pytest.raises(SavedFileError, match="written by something else"):
        FosaImputer.load(path)
    with pytest.raises(SavedFileError, match="no such file"):
        FosaImputer.load(tmp_path / "absent")
    with pytest.raises(SavedFileError, match="no such file"):
        FosaImputer.load(tmp_path)


def test_another_version_is_named(saved: Path) -> None:
    metadata, tensors = parts(saved)
    saved.write_bytes(save(tensors, {**metadata, "format_version": "99", "package_version": "7.0"}))
    with pytest.raises(SavedFileError, match=r"fosa_sem 7.0 in format 99"):
        FosaImputer.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(extra=1),
        lambda c: c.pop("filler"),
        lambda c: c["parameters"]["items"].update(modell="x"),
        lambda c: c["refiner"].update({"class": "os.system"}),
        lambda c: c["refiner"].update({"class": "Scaling"}),
        lambda c: c["refiner"].update(kind="thing"),
        lambda c: c["filler"]["items"]["labels"].update(items=["a", "b"]),
        lambda c: c["filler"]["items"]["rule"]["items"]["variables"].update(items=["x1"]),
        lambda c: c["filler"]["items"]["rule"]["items"]["means"]["items"][0].update(name="nowhere"),
    ],
)
def test_content_that_cannot_be_is_refused_though_its_checksum_is_right(saved: Path, change: Any) -> None:
    metadata, tensors = parts(saved)
    content = json.loads(metadata["content"])
    change(content)
    metadata["content"] = json.dumps(content)
    metadata["sha256"] = _checksum(metadata, tensors)
    saved.write_bytes(save(tensors, metadata))
    with pytest.raises(SavedFileError, match="cannot be read"):
        FosaImputer.load(saved)


def test_the_error_is_one_of_ours() -> None:
    assert issubclass(SavedFileError, DataError)
    assert issubclass(SavedFileError, FosaError)


# ---- values -------------------------------------------------------------------------------------------------


def test_values_come_back_with_their_types(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "plain": [None, True, 3, 0.1, "text", (), (1, (2.5,)), float("inf"), float("-inf")],
        "arrays": {"a.b": np.arange(6.0).reshape(2, 3), "a": {"b": np.array([True])}, "0d": np.array(3.0)},
        "frame": pd.DataFrame({"name": ["a", "b"], "x": [0.1, np.nan], "n": [1, 2], "fold": [0, "all"]}),
        "numpy": np.float64(0.1),
    }
    found = load_records(save_records(tmp_path / "a", values, kind="test", package="1"), kind="test")
    assert found["plain"] == values["plain"]
    assert [type(v) for v in found["plain"]] == [type(v) for v in values["plain"]]
    assert found["numpy"] == 0.1
    for got, given in (
        (found["arrays"]["a.b"], values["arrays"]["a.b"]),
        (found["arrays"]["a"]["b"], values["arrays"]["a"]["b"]),
        (found["arrays"]["0d"], values["arrays"]["0d"]),
    ):
        assert got.dtype == given.dtype
        np.testing.assert_array_equal(got, given, strict=True)
    pd.testing.assert_frame_equal(found["frame"], values["frame"])


@pytest.mark.parametrize("value", [{1}, object(), {1: 2}, 1j, b"bytes", [lambda: 0]])
def test_values_of_other_types_are_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"place.* cannot be saved"):
        save_records(tmp_path / "a", {"place": value}, kind="test", package="1")
    assert list(tmp_path.iterdir()) == []
