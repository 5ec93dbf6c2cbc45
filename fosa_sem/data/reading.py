"""Tables from and to files, the format by suffix; what is wrong with a file is said, never guessed around."""

from __future__ import annotations

import csv
import gzip
import io
import os
import struct
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from fosa_sem.data.writing import atomic_path
from fosa_sem.errors import DataError, MissingDependencyError, OptionError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
COMPRESSED = (".gz", ".zip")
# RuntimeError: the archive is encrypted, or packed by a method that Python does not have.
_BROKEN_ARCHIVE = (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError)
# What pandas lets through when it follows the offsets of a damaged file.
_BROKEN_STATA = (ValueError, KeyError, IndexError, AttributeError, OverflowError, MemoryError, struct.error)


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a rectangular table; the suffix says how.

    Parameters
    ----------
    path : path
        ``.csv`` (comma), ``.tsv`` or ``.tab`` (tabulator), each also with ``.gz`` or ``.zip`` appended;
        ``.parquet``; SPSS ``.sav`` and ``.zsav``; Stata ``.dta``. Text is UTF-8, with or without byte order
        mark, and its first line holds the column names.

    Returns
    -------
    DataFrame
        At least one row and one column. Numbers are those of the file to the last bit. Missing (NaN) are, in
        text, empty cells and pandas' default strings (``NA``, ``NaN``, ``null``, ...); in SPSS also
        user-missing values; in Stata also ``.a`` to ``.z``. Labelled values stay the numbers that they are.

    Raises
    ------
    DataError
        If there is no such file, it is empty, malformed, without rows, or names two columns alike, or if the
        suffix is not known.
    MissingDependencyError
        If Parquet or SPSS is asked for and pyarrow or pyreadstat is not installed.
    """
    file = Path(os.path.expanduser(path))
    reader = _READERS.get(_format(file))
    if reader is None:
        raise DataError(f"{file}: unknown suffix; understood are {', '.join(_READERS)} ({_COMPRESSED_TOO})")
    _check_readable(file)
    frame = reader(file)
    if frame.shape[1] == 0:
        raise DataError(f"{file}: there are no columns")
    _check_names([str(name) for name in frame.columns], str(file))
    if frame.shape[0] == 0:
        raise DataError(f"{file}: there are column names but no rows")
    return frame


def write_table(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table whole or not at all; the suffix says how.

    Parameters
    ----------
    frame : DataFrame
        What to write; not changed. Its index is not written.
    path : path
        ``.csv``, ``.tsv``, ``.tab``, ``.parquet``, ``.sav``, ``.zsav`` or ``.dta``. A file that is there
        already is replaced.

    Raises
    ------
    OptionError
        If the suffix is not known or the file cannot be written.
    DataError
        If two columns have the same name, or if the format cannot hold the table.
    MissingDependencyError
        If Parquet or SPSS is asked for and pyarrow or pyreadstat is not installed.

    Notes
    -----
    ``float64`` comes back from `read_table` bit by bit, NaN as NaN (``.zsav`` has no negative zero). Formats
    cannot hold everything else: a text cell that reads ``NA`` comes back missing from CSV, a missing text
    empty from SPSS and Stata, a category as its number from Stata.
    """
    file = Path(os.path.expanduser(path))
    writer = _WRITERS.get(file.suffix.lower())
    if writer is None:
        raise OptionError(f"cannot write {file}: unknown suffix; understood are {', '.join(_WRITERS)}")
    _check_names([str(name) for name in frame.columns], "the table to write")
    with atomic_path(file) as temporary:
        writer(frame, temporary, file)


# --- checks ---


def _format(file: Path) -> str:
    """Return the suffix that says the format, in lower case and without that of a compression of text."""
    suffix = file.suffix.lower()
    inner = Path(file.stem).suffix.lower()
    return inner if suffix in COMPRESSED and inner in SEPARATORS else suffix


def _check_readable(file: Path) -> None:
    """Refuse what is not an ordinary file with content."""
    try:
        if file.is_dir():
            raise DataError(f"{file}: is a folder, not a file")
        if not file.exists():
            raise DataError(f"{file}: no such file (looked in {file.absolute().parent})")
        with file.open("rb") as stream:
            if not stream.read(1):
                raise DataError(f"{file}: the file is empty")
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from error


def _check_names(names: list[str], where: str) -> None:
    """Refuse two columns of one name, of which a model could mean either."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        listed = ", ".join(map(repr, twice))
        raise DataError(f"{where}: more than one column is named {listed}; rename all but one")


# --- text ---


def _read_text(file: Path) -> pd.DataFrame:
    """Read delimited text of UTF-8, after a pass that sees what pandas would repair in silence."""
    separator = SEPARATORS[_format(file)]
    try:
        with _open_text(file) as stream:
            _check_layout(_lines(stream, file), separator, file)
        with _open_text(file) as stream:
            options = exact_float_options(pd.__version__)
            frame: pd.DataFrame = pd.read_csv(stream, sep=separator, index_col=False, low_memory=False, **options)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except _BROKEN_ARCHIVE as error:
        raise DataError(f"{file}: the compressed file is damaged or protected ({error})") from error
    except (csv.Error, pd.errors.ParserError) as error:
        raise DataError(f"{file}: malformed text table ({error})") from error
    return frame


def exact_float_options(version: str) -> dict[str, Any]:
    """Return the options by which a version of pandas reads decimal numbers without rounding error.

    Parameters
    ----------
    version : str
        Version of pandas. From 3.1 on exact reading is the default and the option deprecated.
    """
    major, minor = (int(part) for part in version.split(".")[:2])
    return {"float_precision": "round_trip"} if (major, minor) < (3, 1) else {}


@contextmanager
def _open_text(file: Path) -> Iterator[TextIO]:
    """Open a text file, compressed or not, without changing its line ends."""
    suffix = file.suffix.lower()
    if suffix == ".gz":
        with gzip.open(file, "rt", encoding="utf-8-sig", newline="") as stream:
            yield stream
    elif suffix == ".zip":
        with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive, file)) as member:
            yield io.TextIOWrapper(member, encoding="utf-8-sig", newline="")
    else:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield stream


def _only_member(archive: zipfile.ZipFile, file: Path) -> str:
    """Return the name of the one file in an archive; folders and what macOS adds do not count."""
    files = [name for name in archive.namelist() if not name.endswith("/")]
    names = [name for name in files if not name.startswith("__MACOSX/")]
    if len(names) != 1:
        raise DataError(f"{file}: the archive holds {len(names)} files; there must be exactly one")
    return names[0]


def _lines(stream: TextIO, file: Path) -> Iterator[str]:
    """Yield the lines of a text file; refuse binary content."""
    for line in stream:
        if "\0" in line:
            raise DataError(f"{file}: not a text table (it has null characters); is the suffix right?")
        yield line


def _check_layout(lines: Iterator[str], separator: str, file: Path) -> None:
    """Check names and widths: pandas renames equal names and pads short rows without a word."""
    rows = csv.reader(lines, delimiter=separator)
    header = next((row for row in rows if not _is_blank(row)), None)
    if header is None:
        raise DataError(f"{file}: the file is empty")
    if not any(name.strip() for name in header):
        raise DataError(f"{file}: line {rows.line_num} should hold the column names, but has none")
    _check_names([name for name in header if name], str(file))
    if len(header) == 1:
        _check_separator(header[0], separator, file)
    for row in rows:
        if len(row) != len(header) and not _is_blank(row):
            raise DataError(
                f"{file}: line {rows.line_num} has {len(row)} cells, but there are {len(header)} column names"
            )


def _is_blank(row: list[str]) -> bool:
    """Whether pandas skips the line from which the row comes."""
    return not row or (len(row) == 1 and not row[0].strip())


def _check_separator(name: str, separator: str, file: Path) -> None:
    """Refuse a single column whose name shows that another separator was used."""
    for other, word in {";": "semicolons", "\t": "tabulators", ",": "commas"}.items():
        if other in name and other != separator:
            raise DataError(
                f"{file}: the columns seem to be separated by {word}; {_format(file)} means "
                f"{'commas' if separator == ',' else 'tabulators'}"
            )


def _write_text(frame: pd.DataFrame, temporary: Path, file: Path) -> None:
    """Write delimited text; the shortest decimals that give the same number back."""
    separator = SEPARATORS[file.suffix.lower()]
    frame.to_csv(temporary, sep=separator, index=False, lineterminator="\n", encoding="utf-8")


# --- Parquet, SPSS, Stata ---


def _read_parquet(file: Path) -> pd.DataFrame:
    """Read Parquet by pyarrow."""
    with _needing("pyarrow", "Parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        _check_names(list(pq.read_schema(file).names), str(file))
        return pd.read_parquet(file, engine="pyarrow")
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a readable Parquet file ({error})") from error


def _write_parquet(frame: pd.DataFrame, temporary: Path, file: Path) -> None:
    """Write Parquet by pyarrow."""
    with _needing("pyarrow", "Parquet"):
        import pyarrow as pa
    try:
        frame.to_parquet(temporary, engine="pyarrow", index=False)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{file}: Parquet cannot hold this table ({error})") from error


def _read_spss(file: Path) -> pd.DataFrame:
    """Read SPSS by pyreadstat, values not labels, user-missing as missing."""
    with _needing("pyreadstat", "SPSS"):
        import pyreadstat
        from pyreadstat._readstat_parser import PyreadstatError, ReadstatError  # 1.2 exports one only
    try:
        frame: pd.DataFrame = pyreadstat.read_sav(file, user_missing=False)[0]
    except (ReadstatError, PyreadstatError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not a readable SPSS file ({error})") from error
    return frame


def _write_spss(frame: pd.DataFrame, temporary: Path, file: Path) -> None:
    """Write SPSS by pyreadstat."""
    with _needing("pyreadstat", "SPSS"):
        import pyreadstat
        from pyreadstat._readstat_parser import PyreadstatError, ReadstatError
    try:
        pyreadstat.write_sav(frame, temporary, compress=file.suffix.lower() == ".zsav")
    except (ReadstatError, PyreadstatError) as error:
        raise DataError(f"{file}: SPSS cannot hold this table ({error})") from error


def _read_stata(file: Path) -> pd.DataFrame:
    """Read Stata, values not labels."""
    try:
        return pd.read_stata(file, convert_categoricals=False)
    except (*_BROKEN_STATA, OSError) as error:
        raise DataError(f"{file}: not a readable Stata file ({error})") from error


def _write_stata(frame: pd.DataFrame, temporary: Path, file: Path) -> None:
    """Write for Stata 14 or later; where pandas would only warn that it changes names or numbers, refuse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.InvalidColumnName)
            warnings.simplefilter("error", pd.errors.PossiblePrecisionLoss)
            frame.to_stata(temporary, write_index=False, version=118)
    except (pd.errors.InvalidColumnName, pd.errors.PossiblePrecisionLoss, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: Stata cannot hold this table ({reason})") from error


@contextmanager
def _needing(package: str, what: str) -> Iterator[None]:
    """Turn a failed import of an optional package into an error that says how to install it."""
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(f'{what} files need {package}: pip install "fosa-sem[io]"') from error


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    **dict.fromkeys(SEPARATORS, _read_text),
    ".parquet": _read_parquet,
    **dict.fromkeys((".sav", ".zsav"), _read_spss),
    ".dta": _read_stata,
}
_WRITERS: dict[str, Callable[[pd.DataFrame, Path, Path], None]] = {
    **dict.fromkeys(SEPARATORS, _write_text),
    ".parquet": _write_parquet,
    **dict.fromkeys((".sav", ".zsav"), _write_spss),
    ".dta": _write_stata,
}
_COMPRESSED_TOO = f"{', '.join(SEPARATORS)} also followed by {' or '.join(COMPRESSED)}"
