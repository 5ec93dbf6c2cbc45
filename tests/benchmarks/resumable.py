"""A long run whose results land in a CSV file row by row, so that a killed one goes on where it stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFile:
    """The file.

    Attributes
    ----------
    path : Path
    texts : tuple of str
        Columns of text, in which nothing stands for a missing value.
    columns : tuple of str
        All columns, in order.
    """

    path: Path
    texts: tuple[str, ...]
    columns: tuple[str, ...]

    def read(self) -> pd.DataFrame:
        """What is there; a last line that was cut off is removed from the file."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            self.path.write_text(whole, encoding="utf-8")
        if not whole:
            return pd.DataFrame(columns=list(self.columns))
        missing = {name: [""] for name in self.columns if name not in self.texts}
        rows = pd.read_csv(self.path, keep_default_na=False, na_values=missing)
        if list(rows.columns) != list(self.columns):
            raise SystemExit(f"{self.path} is another table; name a new file")
        return rows

    def done(self, key: Sequence[str]) -> set[tuple[Any, ...]]:
        """Values of the key columns that are there."""
        return set(self.read()[list(key)].itertuples(index=False, name=None))

    def append(self, rows: Sequence[dict[str, object]]) -> None:
        """Add lines, in one piece."""
        header = not self.path.exists() or not self.path.stat().st_size
        lines = pd.DataFrame(rows, columns=list(self.columns)).to_csv(index=False, header=header)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(lines)


def run_all(
    work: Callable[..., Sequence[dict[str, object]]], pending: Sequence[tuple[Any, ...]], file: RowFile, jobs: int
) -> None:
    """Call the work with each of the pending arguments, in fresh processes, and append its rows when they are there."""
    with (
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool,
        tqdm(total=len(pending), unit="run", disable=None) as bar,
    ):
        futures = {pool.submit(work, *arguments): arguments for arguments in pending}
        try:
            for future in as_completed(futures):
                file.append(future.result())
                bar.set_description(" ".join(map(str, futures[future])))
                bar.update()
        except BrokenProcessPool:
            sys.exit("a run was killed (out of memory?); what is finished is in the file: run again, with fewer jobs")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
