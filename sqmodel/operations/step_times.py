"""Step times: how long each step waits and works, and whose waits they are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.operations.event_chunks import COMPLETE, SCHEDULE, START, Facts
from sqmodel.operations.process import Process
from sqmodel.operations.process_counts import PAUSED, WAIT, WORK
from sqmodel.operations.process_intervals import Quantiles, each_case, quantiles
from sqmodel.operations.process_tally import Tally

OWNERS = ("lender", "client", "planned")

TIMING = {
    (True, True): "schedule to start, start to completion",
    (False, True): "last completion of the case to start, start to completion",
    (True, False): "schedule to completion",
    (False, False): "",
}
ELAPSED = "previous event to completion, work included"
STATUS = "a state: no time of its own"
NEVER_BEGUN = "scheduled, never begun"


def timing_of(facts: Facts, code: int) -> str:
    """What a step's waiting and working times are taken from."""
    scheduled, started = (bool(facts.counts[code, k]) for k in (SCHEDULE, START))
    if scheduled and not started and not facts.counts[code, COMPLETE]:
        return NEVER_BEGUN
    return TIMING[scheduled, started] or (STATUS if facts.timed.any() else ELAPSED)


def step_frame(tally: Tally, process: Process, level: float) -> pd.DataFrame:
    """Waiting, pausing and working times of each step; see `ProcessAnalysis.steps`."""
    facts = tally.facts
    split = {name: _by_step(tally, name) for name in (WAIT, PAUSED, WORK)}
    rows = []
    for code, activity in enumerate(facts.activities):
        step = process.step(activity)
        wait, paused, work = (quantiles(*split[n][code], len(tally.sizes), level) for n in (WAIT, PAUSED, WORK))
        rows.append(
            {
                "wait": step.wait,
                "timing": timing_of(facts, code),
                "events": int(facts.counts[code].sum()),
                "cases": int(tally.having["executions"][code]),
                "executions": _count(tally, "executions", code),
                **_columns("waiting", wait),
                **_columns("working", work),
                "working_total": float(tally.sums["work"][:, code].sum()),
                "resumptions": paused.n,
                "paused_median": paused.median,
                "paused_low": paused.low,
                "paused_high": paused.high,
                "paused_total": float(tally.sums["paused"][:, code].sum()),
                "open": _count(tally, "open", code),
                "open_hours": float(tally.sums["open_hours"][:, code].sum()),
                "reason": _reason(timing_of(facts, code), wait, work),
            }
        )
    return pd.DataFrame(rows, index=pd.Index(facts.activities, name="step"))


def _columns(name: str, found: Quantiles) -> dict[str, float]:
    return {
        f"{name}_n": found.n,
        f"{name}_median": found.median,
        f"{name}_low": found.low,
        f"{name}_high": found.high,
        f"{name}_p25": found.p25,
        f"{name}_p75": found.p75,
        f"{name}_p90": found.p90,
        f"{name}_mean": found.mean,
    }


def _reason(timing: str, wait: Quantiles, work: Quantiles) -> str:
    """Why a duration or its interval is missing."""
    if timing in (STATUS, NEVER_BEGUN):
        return timing
    found = {"waiting": wait.reason, "working": work.reason}
    return "; ".join(f"{name}: {reason}" for name, reason in found.items() if reason)


def _count(tally: Tally, name: str, code: int) -> int:
    return round(float(tally.sums[name][:, code].sum()))


def _by_step(tally: Tally, name: str) -> list[tuple[Any, Any]]:
    """Durations and bundles of each step."""
    values = tally.values[name]
    order = np.argsort(values.step, kind="stable")
    edges = np.searchsorted(values.step[order], np.arange(len(tally.facts.activities) + 1))
    hours, bundle = values.hours[order], values.bundle[order]
    return [(hours[a:b], bundle[a:b]) for a, b in pairwise(edges)]


def owner_frame(tally: Tally, process: Process, *, level: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """Waiting by whose it is; see `ProcessAnalysis.waits`."""
    owners = np.array([process.step(a).wait for a in tally.facts.activities])
    hours = tally.sums["wait"] + tally.sums["open_hours"]
    members = [owners == owner for owner in OWNERS]
    columns = np.column_stack([hours[:, m].sum(axis=1) for m in members])
    found = each_case(columns, tally.sizes, level=level, draws=draws, rng=rng, shares=True)
    k, any_wait = len(OWNERS), columns.sum() > 0
    low, high = np.maximum(found.low, 0), found.high

    def total(name: str) -> list[float]:
        return [float(tally.sums[name][:, m].sum()) for m in members]

    blank = np.full(k, np.nan)
    return pd.DataFrame(
        {
            "steps": [int(((tally.sums["waits"] + tally.sums["open"])[:, m].sum(axis=0) > 0).sum()) for m in members],
            "n": np.rint(total("waits")).astype(int),
            "hours": columns.sum(axis=0),
            "per_case": found.estimate[:k],
            "low": low[:k],
            "high": high[:k],
            "share": found.estimate[k:] if any_wait else blank,
            "share_low": low[k:] if any_wait else blank,
            "share_high": np.minimum(high[k:], 1) if any_wait else blank,
            "open": np.rint(total("open")).astype(int),
            "open_hours": total("open_hours"),
            "paused_hours": total("paused"),
        },
        index=pd.Index(OWNERS, name="wait"),
    )
