"""The section on the sample and its missing values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.report.document import Block, Section, Table
from fosa_sem.report.formatting import DASH, apa_unit, clean, percent, readable
from fosa_sem.report.records import FitReport
from fosa_sem.report.tables import MAX_MATRIX, facts, matrix_tables, numbered_names, of_label

MAX_PATTERNS = 20
_MAX_PATTERN_COLUMNS = 12
_MAX_HEADINGS = 60
LOW_COVERAGE = 0.10


def missing_section(report: FitReport) -> Section:
    """Rows given and used, missing rates, patterns, coverage, and moments for re-analysis.

    Parameters
    ----------
    report : FitReport
    """
    blocks: list[Block] = [*facts("Rows", _rows(report))]
    if len(report.missing_rates):
        blocks.append(_rates(report.missing_rates))
    if len(report.patterns):
        blocks.append(_patterns(report))
    for index, frame in enumerate(report.coverage):
        caption = f"Coverage: per cent of rows in which both are observed{of_label(report.group_labels, index)}"
        note = f"The diagonal is the share observed. Emphasised: below {percent(LOW_COVERAGE, 0)}."
        blocks += matrix_tables(
            frame, caption, note, strong=lambda value: value < LOW_COVERAGE, diagonal=True, shares=True
        )
    for index, (mean, cov) in enumerate(report.saturated):
        blocks.append(_moments(mean, cov, of_label(report.group_labels, index)))
    return Section(title="Sample and missing data", blocks=tuple(blocks))


def _rows(report: FitReport) -> list[tuple[str, str]]:
    rows = [("Rows given", str(report.n_given)), ("Rows used", str(report.n_used))]
    rows += [(f"Dropped: {reason}", str(number)) for reason, number in report.dropped]
    if len(report.group_labels) > 1:
        for index, label in enumerate(report.group_labels):
            text = f"{report.n_by_group[index]} rows, {report.n_patterns[index]} missing-data patterns"
            rows.append((f"Group {label}", text))
    else:
        rows.append(("Missing-data patterns", str(sum(report.n_patterns))))
    if len(report.missing_rates):
        rows.append(("Cells missing in rows used", percent(float(report.missing_rates.mean()))))
    if len(report.patterns):
        patterns = _read_patterns(report)
        complete = int(patterns.n[patterns.observed.all(axis=1)].sum())
        rows.append(("Complete rows", f"{complete} ({percent(complete / report.n_used)} of rows used)"))
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patterns:
    """Patterns, most frequent first: observed (k, p), rows n (k,), names of their groups (k,) or none."""

    names: tuple[object, ...]
    observed: NDArray[np.bool_]
    n: NDArray[np.intp]
    groups: tuple[str, ...]


def _read_patterns(report: FitReport) -> _Patterns:
    # By position, since a variable may itself be called "n" or "group".
    frame = report.patterns
    several = len(report.group_labels) > 1 and frame.columns[-1] == "group"
    p = frame.shape[1] - 1 - several
    n = frame.iloc[:, p].to_numpy(dtype=np.intp)
    order = np.argsort(-n, kind="stable")
    labels = [_group_name(value, report.group_labels) for value in frame.iloc[:, -1]] if several else []
    return _Patterns(
        names=tuple(frame.columns[:p]),
        observed=frame.iloc[order, :p].to_numpy(dtype=float) > 0,
        n=n[order],
        groups=tuple(labels[k] for k in order) if several else (),
    )


def _rates(rates: pd.Series) -> Table:
    rows = tuple(
        (name, percent(float(rate))) for name, rate in zip(numbered_names(rates.index), rates.to_numpy(), strict=True)
    )
    return Table(
        caption="Missing values by variable",
        columns=("Variable", "Missing"),
        rows=rows,
        align="lr",
        notes=("Share of the rows used.",),
    )


def _patterns(report: FitReport) -> Table:
    """Return the most frequent patterns: a grid of 1 and 0, or the missing names where that is too wide."""
    patterns = _read_patterns(report)
    keys = _grid_keys(patterns.names, report.missing_rates.index)
    several = bool(patterns.groups)
    shown = patterns.observed[:MAX_PATTERNS]
    rows = []
    for k, (pattern, n) in enumerate(zip(shown, patterns.n, strict=False)):
        missing = [clean(name) for name, seen in zip(patterns.names, pattern, strict=True) if not seen]
        cells = tuple("1" if seen else "0" for seen in pattern) if keys else (", ".join(missing) or "none",)
        lead = patterns.groups[k : k + 1]
        rows.append((*lead, *cells, str(len(missing)), str(n), percent(n / report.n_used)))
    holes = {(int(i), int(j) + several) for i, j in np.argwhere(~shown)} if keys else set()
    return Table(
        caption="Missing-data patterns, most frequent first",
        columns=(*("Group",) * several, *(keys or ("Missing variables",)), "No. missing", "Rows", "Share"),
        rows=tuple(rows),
        align="l" * several + ("c" * len(keys) or "l") + "rrr",
        notes=_pattern_notes(patterns, keys),
        strong=frozenset(holes),
    )


def _grid_keys(names: tuple[object, ...], listed: pd.Index) -> tuple[str, ...]:
    """Return headings for a grid: names if short, else their numbers in the list; empty if it is too wide."""
    if len(names) > _MAX_PATTERN_COLUMNS:
        return ()
    if sum(len(clean(name)) + 2 for name in names) <= _MAX_HEADINGS:
        return tuple(clean(name) for name in names)
    numbers = {name: str(number) for number, name in enumerate(listed, 1)}
    return tuple(numbers[name] for name in names) if set(names) <= set(numbers) else ()


def _pattern_notes(patterns: _Patterns, keys: tuple[str, ...]) -> tuple[str, ...]:
    notes = ["1 observed, 0 missing."] if keys else []
    if any(key.isdigit() for key in keys):
        notes.append("Columns are numbered as in the table of missing values by variable.")
    more, rest = len(patterns.n) - MAX_PATTERNS, int(patterns.n[MAX_PATTERNS:].sum())
    if more > 0:
        notes.append(f"{more} more patterns, which hold {rest} rows, are not shown.")
    return tuple(notes)


def _group_name(value: object, labels: tuple[str, ...]) -> str:
    numeric = isinstance(value, int | np.integer) and 1 <= int(value) <= len(labels)
    return clean(labels[int(value) - 1] if numeric else value)  # type: ignore[call-overload]


def _moments(mean: pd.Series, cov: pd.DataFrame, group: str) -> Table:
    """Means, standard deviations and, where they fit on a page, correlations of the saturated model."""
    sd = np.sqrt(np.diag(cov.to_numpy(dtype=float)))
    corr = cov.to_numpy(dtype=float) / np.outer(sd, sd)
    p = len(mean)
    wide = p > MAX_MATRIX
    rows = tuple(
        (
            name,
            readable(float(mean.iloc[i])),
            readable(float(sd[i])),
            *("" if wide else (apa_unit(corr[i, j], 2) if j < i else DASH * (i == j)) for j in range(p)),
        )[: 3 if wide else None]
        for i, name in enumerate(numbered_names(mean.index))
    )
    numbers = () if wide else tuple(str(number) for number in range(1, p + 1))
    what = "Means and standard deviations" if wide else "Means, standard deviations and correlations"
    return Table(
        caption=f"{what}, estimated with missing data{group}",
        columns=("Variable", "Mean", "SD", *numbers),
        rows=rows,
        align="l" + "r" * (2 + len(numbers)),
        notes=("Maximum likelihood under the saturated normal model (EM); covariances divide by N.",),
    )
