"""Snapshot: the key nodes at one instant, counted from what the monitor remembers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from sqmodel.operations.monitor_rules import MICROSECONDS, Floats, Watched, amounts, known_ages
from sqmodel.operations.watch_state import OPEN, WatchState
from sqmodel.result import Result

MOST_CASES = 50
DAY = 24 * MICROSECONDS


@dataclass(frozen=True, repr=False)
class Snapshot(Result):
    """The key nodes at one instant.

    Parameters
    ----------
    at : str
        The instant, ISO 8601 in the process's time zone.
    source : str
        Where the events are, without secrets.
    stale_since : str
        Since when nothing could be read; empty while all is well.
    cause : str
        Why nothing could be read.
    last_event : str
        Instant of the latest event; empty where there is none.
    nodes : DataFrame
        A row a limit, by its code: title_zh, title_en, step, node, limit, unit; open and of these within, at_risk,
        beyond; oldest (age in the unit); risk_age (from which the chance is too small; NaN where unknown), history
        (finished spans behind it); breaches and finished today and in seven days.
    cases : DataFrame
        The cases beyond a limit or at risk, the most pressing first: case_id, rule, state, begin, deadline,
        remaining_hours (negative: overdue), probability of still making it.
    counts : dict
        rows read, late, ahead (of the clock) and unreadable ones; alerts, alerted_breaches, and undelivered: those
        that the command still has to take; unknown: open spans whose deadline the calendar cannot tell yet.
    settings : dict
    """

    at: str
    source: str
    stale_since: str
    cause: str
    last_event: str
    nodes: pd.DataFrame
    cases: pd.DataFrame
    counts: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        beyond, risk = int(self.nodes["beyond"].sum()), int(self.nodes["at_risk"].sum())
        stale = f", stale since {self.stale_since}" if self.stale_since else ""
        return f"{self.at}: {int(self.nodes['open'].sum())} open, {beyond} beyond their limit, {risk} at risk{stale}"


def take_snapshot(
    state: WatchState,
    now: int,
    *,
    source: str,
    threshold: float,
    clock_stepped: float = 0.0,
    written: bool = True,
) -> Snapshot:
    """How things are now, by what the monitor remembers; instants are microseconds of UTC."""
    zone = ZoneInfo(state.process.time_zone)
    cause = state.get("cause", "")
    position = state.get("position", {})
    # While nothing can be read, things are shown as they stood.
    seen = state.get("read_at", now) if cause else now
    settings = {
        "process": state.process.name, "threshold": threshold, "time_zone": state.process.time_zone,
        "clock_stepped": clock_stepped, "since": iso(zone, state.get("since")),
        "written": written, "read_until": position.get("high"), "gaps": position.get("gaps", []),
    }  # fmt: skip
    return Snapshot(
        iso(zone, now), source, iso(zone, state.get("read_at")) if cause else "", cause,
        iso(zone, state.get("last_event")), _nodes(state, seen, zone), _cases(state, seen, zone), _counts(state),
        settings,
    )  # fmt: skip


def iso(zone: ZoneInfo, instant: float | None) -> str:
    """An instant in ISO 8601; empty where there is none."""
    if not instant or instant != instant:
        return ""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(instant))
    return moment.astimezone(zone).isoformat(timespec="microseconds")


def making_it(state: WatchState, rule: Watched, begin: Floats, now: int) -> Floats:
    """Probability that spans open since `begin` end within the limit; NaN where unknown."""
    known = state.chances.get(rule.code)
    if known is None:
        return np.full(len(begin), math.nan)
    ages = amounts(begin, np.full(len(begin), float(now)), rule.unit, state.calendar)
    return known.making_it(known_ages(ages, rule.unit))


def _counts(state: WatchState) -> dict[str, Any]:
    counts: dict[str, Any] = {"rows": 0, "unreadable": 0, "late": 0, "ahead": 0} | state.get("counts", {})
    totals = "SELECT count(*), coalesce(sum(kind = 'breach'), 0), coalesce(sum(NOT delivered), 0) FROM alerts"
    names = ("alerts", "alerted_breaches", "undelivered")
    counts |= dict(zip(names, state.connection.execute(totals).fetchone(), strict=True))
    unknown = f"SELECT count(*) FROM spans JOIN json_each(?) ON value = rule WHERE {OPEN} AND deadline IS NULL"
    limited = json.dumps([rule.code for rule in state.rules if math.isfinite(rule.limit)])
    counts["unknown"] = int(state.connection.execute(unknown, (limited,)).fetchone()[0])
    return counts


def _nodes(state: WatchState, now: int, zone: ZoneInfo) -> pd.DataFrame:
    moment = datetime.fromtimestamp(now / 1e6, zone)
    today = round(moment.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1e6)
    rows = [_node(state, rule, now, today) for rule in state.rules]
    return pd.DataFrame(rows, index=pd.Index([r.code for r in state.rules], name="rule"))


def _node(state: WatchState, rule: Watched, now: int, today: int) -> dict[str, Any]:
    run = state.connection.execute
    opened, beyond, risk, first = run(
        f"SELECT count(*), coalesce(sum(breached), 0), coalesce(sum(NOT breached AND risk_at < ?), 0), min(begin) "
        f"FROM spans WHERE {OPEN} AND rule = ?", (now, rule.code),
    ).fetchone()  # fmt: skip
    week = today - 6 * DAY

    def since(condition: str, column: str, start: int) -> int:
        query = f"SELECT count(*) FROM spans WHERE {condition} AND rule = ? AND {column} >= ?"
        return int(run(query, (rule.code, start)).fetchone()[0])

    known = state.chances.get(rule.code)
    oldest = amounts(np.array([first], dtype=float), np.array([now], dtype=float), rule.unit, state.calendar)
    return {
        "title_zh": rule.title["zh"], "title_en": rule.title["en"], "step": rule.step, "node": rule.node,
        "limit": rule.limit if math.isfinite(rule.limit) else math.nan, "unit": rule.unit, "open": opened,
        "within": opened - beyond - risk, "at_risk": risk, "beyond": beyond, "oldest": float(oldest[0]),
        "risk_age": state.risk_ages.get(rule.code, math.nan), "history": known.n if known else 0,
        "breaches_today": since("breached", "deadline", today),
        "breaches_week": since("breached", "deadline", week),
        "finished_today": since("finished", "until", today), "finished_week": since("finished", "until", week),
    }  # fmt: skip


def _cases(state: WatchState, now: int, zone: ZoneInfo) -> pd.DataFrame:
    query = (
        "SELECT case_id, rule, '{0}' AS state, begin, deadline FROM spans WHERE " + OPEN + " AND {1} "
        f"ORDER BY deadline LIMIT {MOST_CASES}"
    )
    risky = query.format("at_risk", f"NOT breached AND risk_at < {now} AND deadline IS NOT NULL")
    found = pd.concat([state.frame(query.format("beyond", "breached")), state.frame(risky)])
    found = found.reset_index(drop=True)
    found["probability"] = math.nan
    for rule in state.rules:
        rows = found["rule"] == rule.code
        begin = found.loc[rows, "begin"].to_numpy(dtype=float)
        found.loc[rows, "probability"] = making_it(state, rule, begin, now)
    found["remaining_hours"] = (found["deadline"].astype(float) - now) / MICROSECONDS
    for name in ("begin", "deadline"):
        found[name] = found[name].map(lambda instant: iso(zone, instant))
    return found[["case_id", "rule", "state", "begin", "deadline", "remaining_hours", "probability"]]
