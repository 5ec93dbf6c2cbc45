from __future__ import annotations

import builtins
import gzip
import io
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fosa_sem.data.reading import exact_float_options, read_table, write_table
from fosa_sem.errors import DataError, MissingDependencyError, OptionError

FORMATS = [".csv", ".tsv", ".tab", ".parquet", ".sav", ".zsav", ".dta"]
NEEDS = {".parquet": "pyarrow", ".sav": "pyreadstat", ".zsav": "pyreadstat"}
OUTERMOST = 8.9e307


def save(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def bits(frame: pd.DataFrame) -> Any:
    """The numbers as bit patterns, all NaN alike."""
    values = frame.to_numpy(dtype=np.float64)
    return np.where(np.isnan(values), np.uint64(0), values.view(np.uint64)).tolist()


@st.composite
def frames(draw: st.DrawFn, limit: float | None = None) -> pd.DataFrame:
    columns = draw(st.integers(1, 4))
    finite = st.floats(
        min_value=None if limit is None else -limit, max_value=limit, allow_nan=False, allow_infinity=False
    )
    cells = st.one_of(finite, st.just(np.nan))
    rows = draw(st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=1, max_size=8))
    return pd.DataFrame(rows, columns=[f"x{i}" for i in range(columns)], dtype=np.float64)


@pytest.mark.parametrize("suffix", FORMATS)
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_survive_writing_and_reading(suffix: str, data: st.DataObject, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS.get(suffix, "pandas"))
    # SPSS and Stata keep the outermost doubles for missing; compressed SPSS has one zero only.
    limit = OUTERMOST if suffix in (".sav", ".zsav", ".dta") else None
    frame = data.draw(frames(limit)) + (0.0 if suffix == ".zsav" else -0.0)
    write_table(frame, tmp_path / f"table{suffix}")
    back = read_table(tmp_path / f"table{suffix}")
    assert list(back.columns) == list(frame.columns)
    assert bits(back.astype(float)) == bits(frame)


@pytest.mark.parametrize("suffix", FORMATS)
def test_text_integers_and_the_frame_itself(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS.get(suffix, "pandas"))
    frame = pd.DataFrame({"school": ["Pasteur", "Grünwald"], "n": [1, 2]}, index=[7, 3])
    before = frame.copy()
    write_table(frame, tmp_path / f"t{suffix}")
    back = read_table(tmp_path / f"t{suffix}")
    assert back["school"].tolist() == ["Pasteur", "Grünwald"]
    assert back["n"].tolist() == [1, 2]
    assert back.index.tolist() == [0, 1]
    pd.testing.assert_frame_equal(frame, before)


def test_suffix_is_read_in_any_case(tmp_path: Path) -> None:
    assert read_table(save(tmp_path, "A.CSV", "x\n1\n")).shape == (1, 1)


def test_missing_value_strings_and_blank_lines(tmp_path: Path) -> None:
    frame = read_table(save(tmp_path, "a.csv", "x,y\n1,NA\n\n,2.5\n  \nNaN,\n"))
    np.testing.assert_array_equal(frame.to_numpy(), [[1.0, np.nan], [np.nan, 2.5], [np.nan, np.nan]])


def test_separators_and_quotes(tmp_path: Path) -> None:
    assert read_table(save(tmp_path, "a.tsv", "x\ty\n1\t2,5\n"))["y"].tolist() == ["2,5"]
    frame = read_table(save(tmp_path, "a.csv", '"a,b",c\r\n"line\nbreak",2\r\n'))
    assert frame.columns.tolist() == ["a,b", "c"]
    assert frame["a,b"].tolist() == ["line\nbreak"]


def test_row_names_of_r_are_a_column(tmp_path: Path) -> None:
    frame = read_table(save(tmp_path, "a.csv", '"","x"\n"1",2\n'))
    assert frame["x"].tolist() == [2]
    assert frame.index.tolist() == [0]


def test_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert read_table(save(tmp_path, "a.csv", b"\xef\xbb\xbfx,y\n1,2\n")).columns.tolist() == ["x", "y"]


def test_decimals_are_read_to_the_last_bit(tmp_path: Path) -> None:
    text = ["0.1", "2.2250738585072014e-308", "9007199254740993", "1.7976931348623157e308", "5e-324"]
    text += ["0.30000000000000004", "123456789.123456789123456789", "8.988465674311579e307"]
    values = read_table(save(tmp_path, "a.csv", "x\n0.5\n" + "\n".join(text) + "\n"))["x"]
    assert values.tolist() == [0.5, *map(float, text)]


def test_exact_reading_is_asked_for_where_it_is_not_the_default() -> None:
    for version in ("2.1.4", "2.3.0rc1", "3.0.2"):
        assert exact_float_options(version) == {"float_precision": "round_trip"}
    for version in ("3.1.1", "3.10.0", "4.0.0.dev0"):
        assert exact_float_options(version) == {}


def zipped(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def test_compressed_text(tmp_path: Path) -> None:
    text = "x,y\n1,2\n3,\n"
    plain = read_table(save(tmp_path, "a.csv", text))
    packed = [
        save(tmp_path, "a.csv.gz", gzip.compress(text.encode())),
        save(tmp_path, "a.csv.zip", zipped({"folder/": "", "any name": text, "__MACOSX/._any name": "x"})),
        save(tmp_path, "a.tsv.gz", gzip.compress(text.replace(",", "\t").encode())),
    ]
    for path in packed:
        pd.testing.assert_frame_equal(read_table(path), plain)


BAD_TEXT: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.csv", "", "the file is empty"),
    "only blank lines": ("a.csv", "\n  \n", "the file is empty"),
    "only a byte order mark": ("a.csv", b"\xef\xbb\xbf", "the file is empty"),
    "no rows": ("a.csv", "x,y\n", "column names but no rows"),
    "no names": ("a.csv", ",\n1,2\n", "line 1 should hold the column names"),
    "short row": ("a.csv", "x,y\n1,2\n3\n", "line 3 has 1 cells, but there are 2 column names"),
    "short blank row": ("a.csv", "x,y,z\n,\n1,2,3\n", "line 2 has 2 cells"),
    "long row": ("a.csv", "x,y\n1,2\n\n3,4,5\n", "line 4 has 3 cells, but there are 2"),
    "long rows throughout": ("a.csv", "x,y\n1,2,3\n4,5,6\n", "line 2 has 3 cells"),
    "equal names": ("a.csv", "x,y,x\n1,2,3\n", "more than one column is named 'x'"),
    "equal names in tsv": ("a.tsv", "x\tx\n1\t2\n", "more than one column is named 'x'"),
    "semicolons": ("a.csv", "x;y\n1;2\n", r"separated by semicolons; \.csv means commas"),
    "tabs": ("a.csv", "x\ty\n1\t2\n", "separated by tabulators"),
    "commas in tsv": ("a.tsv", "x,y\n1,2\n", "separated by commas"),
    "latin-1": ("a.csv", "x,y\nmüde,2\n".encode("latin-1"), "not UTF-8"),
    "utf-16": ("a.csv", "x,y\n1,2\n".encode("utf-16"), "not UTF-8"),
    "utf-16 without mark": ("a.csv", "x,y\n1,2\n".encode("utf-16-le"), "null characters"),
    "open quote": ("a.csv", 'x,y\n1,"2\n3,4\n', "malformed"),
    "giant cell": ("a.csv", "x,y\n1," + "9" * 200_000 + "\n", "malformed"),
    "not gzip": ("a.csv.gz", "x,y\n1,2\n", "damaged"),
    "cut gzip": ("a.csv.gz", gzip.compress(b"x,y\n1,2\n" * 50)[:-12], "damaged"),
    "not zip": ("a.csv.zip", "x,y\n1,2\n", "damaged"),
    "two members": ("a.csv.zip", zipped({"a": "x\n1\n", "b": "x\n1\n"}), "holds 2 files"),
    "no member": ("a.csv.zip", zipped({}), "holds 0 files"),
    "unknown suffix": ("a.xlsx", "x", r"unknown suffix; understood are \.csv, .*\.parquet, \.sav"),
    "archive of what": ("a.zip", zipped({"a.csv": "x\n1\n"}), "unknown suffix"),
    "no suffix": ("a", "x\n1\n", "unknown suffix"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD_TEXT.values(), ids=BAD_TEXT.keys())
def test_bad_text_is_refused(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    path = save(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        read_table(tmp_path / "absent.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_table(str(tmp_path / "folder.csv"))


@pytest.mark.parametrize("suffix", [".parquet", ".sav", ".zsav", ".dta"])
@pytest.mark.parametrize(
    "content",
    [b"", b"x,y\n1,2\n", b"PAR1", b"$FL2" + b"\0" * 40, b"<stata_dta><header>"],
    ids=["empty", "text", "parquet", "spss", "stata"],
)
def test_other_content_under_a_binary_suffix(suffix: str, content: bytes, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS.get(suffix, "pandas"))
    with pytest.raises(DataError, match=re.escape(f"a{suffix}")):
        read_table(save(tmp_path, f"a{suffix}", content))


@pytest.mark.parametrize("suffix", [".parquet", ".sav", ".zsav", ".dta"])
def test_a_cut_file_is_never_read_in_part(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS.get(suffix, "pandas"))
    frame = pd.DataFrame(np.random.default_rng(3).standard_normal((40, 3)), columns=list("abc"))
    write_table(frame, tmp_path / f"a{suffix}")
    raw = (tmp_path / f"a{suffix}").read_bytes()
    for length in range(1, len(raw), 29):
        cut = save(tmp_path, f"cut{suffix}", raw[:length])
        try:
            back = read_table(cut)
        except DataError:
            continue
        assert bits(back) == bits(frame)


def test_damaged_stata_offsets(tmp_path: Path) -> None:
    write_table(pd.DataFrame({"a": [1.0, 2.0], "s": ["u", "v"]}), tmp_path / "a.dta")
    raw = bytearray((tmp_path / "a.dta").read_bytes())
    start = raw.index(b"<map>") + len("<map>")
    raw[start + 16 : start + 24] = struct.pack("<Q", 2**40)
    with pytest.raises(DataError, match="not a readable Stata file"):
        read_table(save(tmp_path, "b.dta", bytes(raw)))


def test_spss_user_missing_and_labels(tmp_path: Path) -> None:
    pyreadstat = pytest.importorskip("pyreadstat")
    pyreadstat.write_sav(
        pd.DataFrame({"answer": [1.0, 2.0, 9.0], "score": [5.0, 97.0, np.nan]}),
        tmp_path / "a.sav",
        missing_ranges={"answer": [9], "score": [{"lo": 97, "hi": 99}]},
        variable_value_labels={"answer": {1: "yes", 2: "no", 9: "refused"}},
    )
    frame = read_table(tmp_path / "a.sav")
    np.testing.assert_array_equal(frame["answer"], [1.0, 2.0, np.nan])
    np.testing.assert_array_equal(frame["score"], [5.0, np.nan, np.nan])


def test_stata_labels_and_missing_codes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": pd.Categorical(["yes", "no", None]), "x": [1.0, np.nan, 3.0]})
    write_table(frame, tmp_path / "a.dta")
    back = read_table(tmp_path / "a.dta")
    np.testing.assert_array_equal(back["a"], [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(back["x"], [1.0, np.nan, 3.0])


def test_parquet_with_equal_names(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table([[1.0], [2.0]], names=["x", "x"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="more than one column is named 'x'"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize("suffix", [".parquet", ".sav", ".dta"])
def test_table_without_rows(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS.get(suffix, "pandas"))
    write_table(pd.DataFrame({"x": np.empty(0)}), tmp_path / f"a{suffix}")
    with pytest.raises(DataError, match="no rows"):
        read_table(tmp_path / f"a{suffix}")


def blocked_import(package: str) -> Callable[..., Any]:
    real = builtins.__import__

    def fake(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    return fake


@pytest.mark.parametrize("suffix", NEEDS)
def test_missing_optional_package(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, f"a{suffix}", b"content")
    monkeypatch.setattr(builtins, "__import__", blocked_import(NEEDS[suffix]))
    with pytest.raises(MissingDependencyError, match=r'pip install "fosa-sem\[io\]"'):
        read_table(path)
    with pytest.raises(MissingDependencyError, match=NEEDS[suffix]):
        write_table(pd.DataFrame({"x": [1.0]}), tmp_path / f"b{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


CANNOT_HOLD = {
    "infinity in Stata": (".dta", pd.DataFrame({"x": [np.inf]}), "Stata cannot hold"),
    "large integer in Stata": (".dta", pd.DataFrame({"x": [2**60 + 1]}), "Stata cannot hold"),
    "name in Stata": (".dta", pd.DataFrame({"a b": [1.0]}), "Stata cannot hold"),
    "name in SPSS": (".sav", pd.DataFrame({"a b": [1.0]}), "SPSS cannot hold"),
    "mixture in Parquet": (".parquet", pd.DataFrame({"x": [1, "a"]}, dtype=object), "Parquet cannot hold"),
}


@pytest.mark.parametrize(("suffix", "frame", "message"), CANNOT_HOLD.values(), ids=CANNOT_HOLD.keys())
def test_what_a_format_cannot_hold(suffix: str, frame: pd.DataFrame, message: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS.get(suffix, "pandas"))
    save(tmp_path, f"a{suffix}", "old")
    with pytest.raises(DataError, match=message):
        write_table(frame, tmp_path / f"a{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]
    assert (tmp_path / f"a{suffix}").read_text() == "old"


def test_writing_to_bad_places(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0]})
    with pytest.raises(OptionError, match="unknown suffix; understood are"):
        write_table(frame, tmp_path / "a.xlsx")
    with pytest.raises(OptionError, match="does not exist"):
        write_table(frame, tmp_path / "absent" / "a.csv")
    twice = pd.DataFrame([[1.0, 2.0]], columns=["x", "x"])
    with pytest.raises(DataError, match="more than one column is named 'x'"):
        write_table(twice, tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []
