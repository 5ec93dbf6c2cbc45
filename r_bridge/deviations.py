"""Where lavaan is known to say something else: what, in which versions, and why; the reasons stand in the notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem import SemResults
from r_bridge.lavaan import LavaanFit

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One known difference.

    Attributes
    ----------
    reason : str
        As it stands in DESCRIPTION_NOTES.md.
    versions : tuple of str
        Beginnings of the lavaan versions that it was seen in.
    applies : callable
        Which rows of the comparison it explains, from the results, lavaan's fit and the table.
    """

    reason: str
    versions: tuple[str, ...]
    applies: Callable[[SemResults, LavaanFit, pd.DataFrame], BoolArray]


def known(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> NDArray[np.object_]:
    """The reason for each row's difference, if there is a known one; empty otherwise."""
    reasons = np.full(len(table), "", dtype=object)
    for deviation in KNOWN:
        if lavaan.versions["lavaan"].startswith(deviation.versions):
            reasons[(reasons == "") & deviation.applies(results, lavaan, table)] = deviation.reason
    return reasons


def _is(table: pd.DataFrame, quantity: str, *names: str) -> BoolArray:
    found = (table["quantity"] == quantity).to_numpy()
    return found & table["name"].isin(names).to_numpy() if names else found


KNOWN: tuple[Deviation, ...] = ()
