"""A small process with two limits, and a database that events are put into: what the monitor's tests share."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.operations.monitor import Monitor
from sqmodel.operations.monitor_rules import Watched
from sqmodel.operations.process import End, Hours, Process
from sqmodel.operations.working_time import working_calendar

PROCESS = Process(
    name="small",
    time_zone="Asia/Shanghai",
    calendar=Hours(country="", hours=("00:00-24:00",), weekend=()),
    attributes=("urgent",),
    origin="application",
    ends=(End(code="granted", activities=("granted",)), End(code="withdrawn", activities=("withdrawn",), by="client")),
)
CALENDAR = working_calendar(PROCESS.calendar, PROCESS.time_zone)
URGENT = {"urgent": ("yes",)}
RULES = [
    Watched("review", Text(zh="审查", en="Review"), "review", ("review/schedule",), ("review/complete",), 10.0,
            "working_hours", node=True),
    Watched("whole", Text(zh="全程", en="From application to answer"), "", (), ("granted",), 2.0, "calendar_days",
            unless=URGENT),
    Watched("whole.urgent", Text(zh="全程（加急）", en="Urgent"), "", (), ("granted",), 24.0, "hours", applies=URGENT),
]  # fmt: skip
COLUMNS = ("case_id", "activity", "lifecycle", "timestamp", "urgent")
Row = tuple[str, str, str, float, str]
"""Case, activity, stage, hours from now (before it negative), urgent."""


def stamp(hours: float, now: float) -> str:
    """An instant so many hours from now, in UTC."""
    return pd.Timestamp(now + 3600 * hours, unit="s", tz="UTC").isoformat()


def insert(path: Path, rows: Iterable[Row], now: float) -> None:
    """Put events into a SQLite database, which is made if need be."""
    with sqlite3.connect(path) as connection:
        columns = ", ".join(f'"{c}" TEXT' for c in COLUMNS)
        connection.execute(f"CREATE TABLE IF NOT EXISTS events (event_id INTEGER PRIMARY KEY, {columns})")
        values = [(c, a, s, stamp(h, now), u) for c, a, s, h, u in rows]
        connection.executemany(f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?)", values)
    connection.close()


def history(n: int = 40, *, before: float = -500.0) -> list[Row]:
    """Reviews that took 0.3, 0.6 … hours and are over, a day and an hour apart.

    They begin at all hours of the day: whole days between their events then depend little on when a test runs.
    """
    rows: list[Row] = []
    for k in range(n):
        case, at = f"past-{k}", before - 25 * k
        rows += [
            (case, "application", "complete", at, "no"), (case, "review", "schedule", at, ""),
            (case, "review", "complete", at + 0.3 * (k + 1), ""), (case, "granted", "complete", at + 13, ""),
        ]  # fmt: skip
    return rows


def make_monitor(source: str | Path, output: Path | None, **options: Any) -> Monitor:
    """A monitor of the small process."""
    return Monitor(str(source), PROCESS, list(RULES), CALENDAR, output=output, **options)


def now() -> float:
    """The machine's clock."""
    return time.time()
