"""Case durations: how long cases take and how they end, open ones counted as long as they were observed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.operations.event_chunks import NEVER
from sqmodel.operations.process import Process
from sqmodel.operations.process_tally import Cases, Tally
from sqmodel.operations.survival import cumulative_incidence, kaplan_meier

DAY = 86.4e9
"""Microseconds."""
ALL = "all cases"


def ages(cases: Cases, until: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Days from begin to end, or as long as the case was observed; NaN where it has no begin or ends before it."""
    ended = cases.end != NEVER
    last = np.where(ended, cases.end, until)
    days = np.where(cases.begin == NEVER, np.nan, (last - np.where(cases.begin == NEVER, 0, cases.begin)) / DAY)
    return np.where(days < 0, np.nan, days), ended


def duration_frame(tally: Tally, *, within: tuple[float, ...], level: float) -> pd.DataFrame:
    """Kaplan-Meier of the cases, and of those that came to each node; see `ProcessAnalysis.durations`."""
    cases = tally.cases
    days, ended = ages(cases, tally.facts.until)
    groups = {ALL: np.ones(len(cases), bool)}
    groups |= {node: cases.reached[:, k] for k, node in enumerate(cases.nodes)}
    rows = [_duration(days[m & ~np.isnan(days)], ended[m & ~np.isnan(days)], within, level) for m in groups.values()]
    return pd.DataFrame(rows, index=pd.Index(list(groups), name="cases"))


def _duration(
    days: npt.NDArray[np.float64], ended: npt.NDArray[np.bool_], within: tuple[float, ...], level: float
) -> dict[str, Any]:
    row: dict[str, Any] = {"n": len(days), "ended": int(ended.sum()), "open": int((~ended).sum()), "reason": ""}
    row["ended_only_median"] = float(np.median(days[ended])) if ended.any() else np.nan
    if not len(days):
        return row | {"reason": "no case"}
    curve = kaplan_meier(days, ended, level=level)
    for name, p in (("median", 0.5), ("p25", 0.25), ("p75", 0.75)):
        found = curve.quantile(p)
        row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    for limit in within:
        share = curve.reached(limit)
        row |= {f"within_{limit:g}": share.value, f"within_{limit:g}_low": share.low,
                f"within_{limit:g}_high": share.high}  # fmt: skip
        in_time = ended & (days <= limit)
        row[f"within_{limit:g}_ended_only"] = float(in_time.sum() / ended.sum()) if ended.any() else np.nan
    if np.isnan(row["median"]):
        row["reason"] = "fewer than half have ended in the time observed"
    return row


def outcome_frame(tally: Tally, process: Process, *, within: tuple[float, ...], level: float) -> pd.DataFrame:
    """Cumulative incidence of each end, the others competing; see `ProcessAnalysis.outcomes`."""
    cases = tally.cases
    days, _ = ages(cases, tally.facts.until)
    known = ~np.isnan(days)
    names = np.asarray([*cases.ends, ""], object)[cases.outcome]
    owners = {e.code: e.by for e in process.ends}
    found = cumulative_incidence(days[known], names[known], level=level) if known.any() else None
    rows = []
    for code in cases.ends:
        mine = days[known & (names == code)]
        row: dict[str, Any] = {"by": owners.get(code, ""), "n": len(mine), "of": int(known.sum())}
        row["median_days"] = float(np.median(mine)) if len(mine) else np.nan
        for limit in within:
            e = found.at(limit, code) if found is not None else None
            bounds = (np.nan,) * 3 if e is None else (e.value, e.low, e.high)
            labels = (f"within_{limit:g}", f"within_{limit:g}_low", f"within_{limit:g}_high")
            row |= dict(zip(labels, bounds, strict=True))
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index(cases.ends, name="outcome"))
