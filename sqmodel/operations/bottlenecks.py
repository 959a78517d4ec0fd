"""Bottlenecks: the steps whose waiting costs a case the most time, with intervals, and why they are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.operations.process import Process
from sqmodel.operations.process_intervals import each_case
from sqmodel.operations.process_tally import Tally

Floats = npt.NDArray[np.float64]

ENOUGH = 2 / 3
"""Named are the fewest steps that together cost this share of the lender's waiting."""
POSSIBLE = 0.05
"""And every step that is first in at least this share of the draws."""

LARGEST, SHARED, POSSIBLY, THEIRS, SMALLER = "largest", "shared", "possibly largest", "not the lender's", "smaller"


def bottleneck_frame(
    tally: Tally, process: Process, *, level: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Steps by the time their waiting costs; see `ProcessAnalysis.bottlenecks`."""
    names = np.asarray(tally.facts.activities, object)
    hours = tally.sums["wait"] + tally.sums["open_hours"]
    codes = np.flatnonzero(hours.sum(axis=0) > 0)
    if not len(codes):
        return _frame(np.empty((0, 0)), codes, names, tally, process, None, level)
    found = each_case(hours[:, codes], tally.sizes, level=level, draws=draws, rng=rng)
    lenders = np.array([process.step(a).wait == "lender" for a in names[codes]])
    first = np.zeros(len(codes))
    if lenders.any():
        leader = np.flatnonzero(lenders)[np.argmax(found.draws[:, lenders], axis=1)]
        first = np.bincount(leader, minlength=len(codes)) / len(found.draws)
    bounds = np.column_stack([found.estimate, np.maximum(found.low, 0), found.high, first])
    return _frame(bounds, codes, names, tally, process, lenders, level)


def _frame(
    bounds: Floats,
    codes: npt.NDArray[np.intp],
    names: npt.NDArray[np.object_],
    tally: Tally,
    process: Process,
    lenders: npt.NDArray[np.bool_] | None,
    level: float,
) -> pd.DataFrame:
    totals = {name: total[:, codes].sum(axis=0) for name, total in tally.sums.items()}
    hours = totals["wait"] + totals["open_hours"]
    bounds = bounds if len(codes) else np.empty((0, 4))
    owners = [process.step(a).wait for a in names[codes]]
    tagged = {s.code for s in process.steps}
    frame = pd.DataFrame(
        {
            "wait": pd.Series(owners, dtype=object),
            "tagged": [a in tagged for a in names[codes]],
            "n": np.rint(totals["waits"]).astype(int),
            "hours": hours,
            "per_case": bounds[:, 0],
            "low": bounds[:, 1],
            "high": bounds[:, 2],
            "first": bounds[:, 3],
            "open": np.rint(totals["open"]).astype(int),
            "open_hours": totals["open_hours"],
            "paused_hours": totals["paused"],
            "resumed": np.divide(totals["resumptions"], np.maximum(totals["executions"], 1)),
        }
    )
    frame.index = pd.Index(names[codes], name="step")
    frame["lender"] = np.ones(0, bool) if lenders is None else lenders
    frame = frame.sort_values(["lender", "hours"], ascending=False, kind="stable")
    return _named(frame)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Ranks, shares of the waiting of the same owner, which steps are named, and why."""
    frame = frame.copy()
    lender = frame.pop("lender").to_numpy(bool)
    hours = frame["hours"].to_numpy(float)
    rank = np.where(lender, np.cumsum(lender), 0)
    of_owner = frame.groupby("wait")["hours"].transform("sum").to_numpy(float)
    share = hours / of_owner if len(frame) else hours
    before = np.where(lender, np.cumsum(share * lender) - share, np.inf)
    leading = lender & (before < ENOUGH - 1e-12)
    possible = lender & (frame["first"].to_numpy(float) >= POSSIBLE)
    reason = np.select(
        [~lender, rank == 1, leading, possible], [THEIRS, LARGEST, SHARED, POSSIBLY], default=SMALLER
    ).astype(object)
    frame.insert(0, "rank", rank)
    frame.insert(5, "share", share)
    frame["named"] = leading | possible
    frame["reason"] = reason
    second = next((str(s) for s, r in zip(frame.index, rank, strict=True) if r == 2), "")
    frame["why"] = [_why({str(k): v for k, v in row.items()}, second) for row in frame.to_dict("records")]
    return frame


def _why(row: dict[str, Any], second: str) -> str:
    """In words, for readers of the frame; `reason` is for programs."""
    if row["reason"] == THEIRS:
        whose = "planned" if row["wait"] == "planned" else f"the {row['wait']}'s"
        return f"the definition says that its wait is {whose}: kept apart"
    return _rank_in_words(row, second) + _pauses_in_words(row)


def _pauses_in_words(row: dict[str, Any]) -> str:
    """Pauses are not ranked; where they outweigh the waiting, nobody may overlook them."""
    if row["paused_hours"] <= row["hours"]:
        return ""
    return (
        f"; not counted: {row['paused_hours']:.0f} hours laid down between two sessions, more than its waiting; "
        "the events do not tell whom it waited for then"
    )


def _rank_in_words(row: dict[str, Any], second: str) -> str:
    share = f"{100 * row['share']:.0f} % of the lender's waiting"
    if not row["named"]:
        return share
    words = {
        LARGEST: f"the largest: {share}",
        SHARED: f"{share}: the steps before it do not make two thirds",
        POSSIBLY: f"{share}: it is first in {100 * row['first']:.0f} % of the draws",
    }[str(row["reason"])]
    if row["tagged"]:
        return words
    said = "; the definition does not say whose wait this is, so that it counts as the lender's"
    if row["resumed"] >= 1:
        said += f"; it is taken up again {row['resumed']:.1f} times an execution, as calls to a client are"
    if row["reason"] == LARGEST and second:
        said += f"; if it waits for the client, tag it so, and {second} is the largest"
    return words + said
