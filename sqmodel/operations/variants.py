"""Variants: the ways in which cases run, as sequences of activities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sqmodel.operations.event_chunks import until
from sqmodel.operations.process_intervals import wilson
from sqmodel.operations.process_tally import Tally

if TYPE_CHECKING:
    from sqmodel.operations.events import EventLog

ARROW = " → "


def variant_frame(log: EventLog, tally: Tally, *, level: float, top: int) -> tuple[pd.DataFrame, int]:
    """The most frequent variants and the number of all; see `ProcessAnalysis.variants`."""
    _, first, counts = np.unique(tally.cases.variant, return_index=True, return_counts=True)
    keys = tally.cases.key[first]
    # Ties by the first case's number, so that the order does not hang on the numbers of variants.
    order = np.lexsort((keys, -counts))[:top]
    sequences = _sequences(log, tally, keys[order].tolist())
    share, low, high = wilson(counts[order], len(tally.cases), level)
    frame = pd.DataFrame(
        {
            "variant": [ARROW.join(s) for s in sequences],
            "events": [len(s) for s in sequences],
            "cases": counts[order],
            "share": share,
            "low": low,
            "high": high,
            "cumulative": np.cumsum(share),
        },
        index=pd.RangeIndex(1, len(order) + 1, name="rank"),
    )
    return frame, len(counts)


def _sequences(log: EventLog, tally: Tally, keys: list[int]) -> list[list[str]]:
    """Activities of some cases, in order."""
    key = tally.facts.key
    listed = ", ".join(str(k) for k in keys)
    rows = log.connection.execute(
        f"SELECT {key}, activity FROM events WHERE {until(tally.facts.as_of)} AND case_id IN "
        f'(SELECT case_id FROM cases WHERE {key} IN ({listed})) ORDER BY "at", "position"'
    ).fetchall()
    found: dict[int, list[str]] = {k: [] for k in keys}
    for number, activity in rows:
        found[number].append(activity)
    return [found[k] for k in keys]
