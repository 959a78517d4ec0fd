"""A log of events in a frame: the two methods that the standard wants, in a few lines of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


class FrameLog:
    """Events in memory.

    Parameters
    ----------
    events : DataFrame
        case_id, activity, lifecycle, at (UTC).
    ends : mapping
        Activities that end a case.
    attributes : DataFrame, optional
        By case_id.
    """

    def __init__(self, events: pd.DataFrame, ends: Sequence[str] = (), attributes: pd.DataFrame | None = None) -> None:
        self.events, self.ends = events.sort_values("at", kind="stable"), list(ends)
        self.attributes = attributes
        self.activities = sorted(set(events["activity"]))

    def _until(self, as_of: Any) -> tuple[pd.DataFrame, pd.Timestamp]:
        last = self.events["at"].max() if as_of is None else pd.Timestamp(as_of).tz_convert("UTC")
        return self.events[self.events["at"] <= last], last

    def cases(self, as_of: Any = None) -> pd.DataFrame:
        """Attributes of the cases that have begun."""
        events, _ = self._until(as_of)
        index = pd.Index(sorted(events["case_id"].unique()), name="case_id")
        return pd.DataFrame(index=index) if self.attributes is None else self.attributes.reindex(index)

    def spans(self, begin: str, finish: str | Sequence[str], as_of: Any = None) -> pd.DataFrame:
        """From the first event of one kind to the first of others."""
        events, last = self._until(as_of)
        wanted = [finish] if isinstance(finish, str) else list(finish)
        first = events.groupby("case_id")["at"].min() if not begin else _first(events, [begin])
        table = pd.DataFrame({"begin": first}).join(_first(events, wanted).rename("finish"))
        table = table.join(_first(events, self.ends).rename("end"))
        table["before"] = table["finish"] < table["begin"]
        table["finish"] = table["finish"].mask(table["before"])
        table["ended"] = table["finish"].isna() & table["end"].notna()
        table["until"] = table["finish"].fillna(table["end"]).fillna(last)
        return table.drop(columns="end").rename_axis("case_id").reset_index()


def _first(events: pd.DataFrame, names: list[str]) -> pd.Series:
    keep = np.zeros(len(events), bool)
    for name in names:
        activity, _, lifecycle = name.partition("/")
        keep |= (events["activity"] == activity) & (not lifecycle or (events["lifecycle"] == lifecycle))
    return events[keep].groupby("case_id")["at"].min()
