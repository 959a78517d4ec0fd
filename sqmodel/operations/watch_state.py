"""What the monitor remembers: a database of its own in which every event may be told twice and in any order.

Of a span only the earliest begin and the earliest end are kept, of a case the earliest event and the earliest ending,
of an attribute the value that came first. The earliest of what was heard does not depend on order or repetition, which
is what makes duplicates, late events and reading again after a crash harmless.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.operations.monitor_rules import Calendar, Chance, Watched, activities_of, amounts, deadlines, known_ages
from sqmodel.operations.process import Process

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cases(case_id TEXT PRIMARY KEY, origin INTEGER, ended INTEGER, last INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attributes(case_id TEXT, name TEXT, at INTEGER, value TEXT, PRIMARY KEY(case_id, name))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spans(case_id TEXT, rule TEXT, begin INTEGER, finish INTEGER, applies INTEGER DEFAULT 0,
  deadline INTEGER, risk_at INTEGER, until INTEGER, elapsed REAL, finished INTEGER DEFAULT 0,
  breached INTEGER DEFAULT 0, told INTEGER DEFAULT 0, warned INTEGER DEFAULT 0, PRIMARY KEY(case_id, rule))
  WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open_spans ON spans(rule, deadline) WHERE applies AND until IS NULL AND begin IS NOT NULL;
CREATE INDEX IF NOT EXISTS risks ON spans(risk_at)
  WHERE applies AND until IS NULL AND begin IS NOT NULL AND NOT warned;
CREATE INDEX IF NOT EXISTS news ON spans(rule) WHERE breached AND NOT told;
CREATE INDEX IF NOT EXISTS amends ON spans(rule) WHERE told = 1 AND NOT breached;
CREATE INDEX IF NOT EXISTS breaches ON spans(rule, deadline) WHERE breached;
CREATE INDEX IF NOT EXISTS finishes ON spans(rule, until) WHERE finished;
CREATE TABLE IF NOT EXISTS alerts(number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  case_id TEXT NOT NULL, rule TEXT NOT NULL, body TEXT, written INTEGER DEFAULT 0, delivered INTEGER DEFAULT 0);
CREATE INDEX IF NOT EXISTS unwritten ON alerts(number) WHERE NOT written;
CREATE INDEX IF NOT EXISTS undelivered ON alerts(number) WHERE NOT delivered;
CREATE INDEX IF NOT EXISTS alerts_of ON alerts(case_id, rule);
CREATE TABLE IF NOT EXISTS gone(case_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE touched(case_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
EARLIEST = "min(coalesce({0}, excluded.{0}), coalesce(excluded.{0}, {0}))"
HISTORY = 20_000
"""Spans, the latest of a rule, that tell how long they take."""
PIECES = 500


class WatchState:
    """The monitor's memory, in a file of its own or, for a look, in none.

    Parameters
    ----------
    path : Path or None
        The SQLite file; None keeps everything in memory.
    process : Process
    rules : sequence of Watched
    calendar : Calendar
    """

    def __init__(self, path: Path | None, process: Process, rules: Sequence[Watched], calendar: Calendar) -> None:
        self.process, self.rules, self.calendar = process, tuple(rules), calendar
        self.chances: dict[str, Chance] = {}
        self.risk_ages: dict[str, float] = {}
        self.connection = sqlite3.connect(path or ":memory:", isolation_level=None)
        # A commit that was reported is on the disk; the cache stays small, whatever is remembered.
        for pragma in ("busy_timeout=3000", "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL",
                       "cache_size=-4000"):  # fmt: skip
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.executescript(SCHEMA)

    def __enter__(self) -> WatchState:
        self.connection.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self.connection.execute("ROLLBACK" if kind else "COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def get(self, name: str, default: Any = None) -> Any:
        """Something remembered by name."""
        row = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def put(self, name: str, value: Any) -> None:
        """Remember something by name."""
        text = json.dumps(value, ensure_ascii=False)
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, text))

    def frame(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> pd.DataFrame:
        """The rows of a query; whole numbers and missing ones as float."""
        cursor = self.connection.execute(query, values)
        names = [d[0] for d in cursor.description]
        return pd.DataFrame(cursor.fetchall(), columns=names)

    def forget(self) -> None:
        """Begin anew, as for another standard; what was alerted stays known."""
        for table in ("cases", "attributes", "spans", "gone"):
            self.connection.execute(f"DELETE FROM {table}")

    def apply(self, events: pd.DataFrame) -> None:
        """Take in events: case_id, activity, lifecycle, at, and attributes."""
        if events.empty:
            return
        gone = self._gone(events["case_id"])
        events = events[~events["case_id"].isin(gone)]
        marked = events["activity"] + "/" + events["lifecycle"]

        def first(marks: Iterable[str]) -> dict[str, float]:
            plain, staged = activities_of(marks)
            chosen = events[events["activity"].isin(plain) | marked.isin(staged)]
            earliest = chosen.groupby("case_id")["at"].min()
            return dict(zip(earliest.index.tolist(), earliest.tolist(), strict=True))

        self._keep_cases(events, first)
        for rule in self.rules:
            begins, finishes = first(rule.begin), first(rule.finish)
            self.connection.executemany(
                "INSERT INTO spans(case_id, rule, begin, finish) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                f"begin = {EARLIEST.format('begin')}, finish = {EARLIEST.format('finish')}",
                [(c, rule.code, _whole(begins.get(c)), _whole(finishes.get(c))) for c in {**begins, **finishes}],
            )
        self._keep_attributes(events)
        self.connection.executemany(
            "INSERT OR IGNORE INTO touched VALUES (?)", [(c,) for c in events["case_id"].unique()]
        )

    def _gone(self, ids: pd.Series) -> set[str]:
        if not self.connection.execute("SELECT 1 FROM gone LIMIT 1").fetchone():
            return set()
        asked = [(c,) for c in ids.unique()]
        return {c for (c,) in asked if self.connection.execute("SELECT 1 FROM gone WHERE case_id=?", (c,)).fetchone()}

    def _keep_cases(self, events: pd.DataFrame, first: Any) -> None:
        groups = events.groupby("case_id")["at"]
        origins = first([self.process.origin]) if self.process.origin else groups.min().to_dict()
        ends = first([a for end in self.process.ends for a in end.activities])
        rows = [(c, _whole(origins.get(c)), _whole(ends.get(c)), _whole(at)) for c, at in groups.max().items()]
        self.connection.executemany(
            "INSERT INTO cases VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET last = max(last, excluded.last), "
            f"origin = {EARLIEST.format('origin')}, ended = {EARLIEST.format('ended')}",
            rows,
        )

    def _keep_attributes(self, events: pd.DataFrame) -> None:
        for name in sorted({name for rule in self.rules for name in rule.attributes} & set(events.columns)):
            told = events[events[name] != ""].sort_values(["at", name]).drop_duplicates("case_id")
            self.connection.executemany(
                "INSERT INTO attributes VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, "
                "value = excluded.value WHERE (excluded.at, excluded.value) < (at, value)",
                [(c, name, _whole(at), v) for c, at, v in told[["case_id", "at", name]].itertuples(index=False)],
            )

    def derive(self) -> pd.DataFrame:
        """Work out deadlines and ends of the spans of all cases that something was heard of since the last time.

        Returns
        -------
        DataFrame
            Those spans: case_id, rule, and the columns of the table.
        """
        for rule in (r for r in self.rules if not r.begin):
            self.connection.execute(
                "INSERT INTO spans(case_id, rule, begin) SELECT case_id, ?, origin FROM cases JOIN touched "
                "USING (case_id) WHERE origin IS NOT NULL ON CONFLICT DO UPDATE SET begin = excluded.begin",
                (rule.code,),
            )
        spans = self.frame(
            "SELECT s.*, c.ended FROM touched CROSS JOIN spans s USING (case_id) JOIN cases c USING (case_id)"
        )
        attributes = self._attributes()
        parts = [self._derived(part, rule, attributes) for rule in self.rules
                 if len(part := spans[spans["rule"] == rule.code])]  # fmt: skip
        result = pd.concat(parts, ignore_index=True) if parts else spans
        names = ("applies", "deadline", "risk_at", "until", "elapsed", "finished", "breached")
        self.connection.executemany(
            f"UPDATE spans SET {', '.join(f'{n} = ?' for n in names)} WHERE case_id = ? AND rule = ?",
            list(zip(*(_plain(result[n], whole=n != "elapsed") for n in names), result["case_id"], result["rule"],
                     strict=True)),
        )  # fmt: skip
        self.connection.execute("DELETE FROM touched")
        return result

    def _attributes(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        query = "SELECT case_id, name, value FROM touched CROSS JOIN attributes USING (case_id)"
        for case, name, value in self.connection.execute(query):
            found.setdefault(case, {})[name] = value
        return found

    def _derived(self, spans: pd.DataFrame, rule: Watched, attributes: dict[str, dict[str, str]]) -> pd.DataFrame:
        begin, finish, ended = (spans[n].to_numpy(dtype=float) for n in ("begin", "finish", "ended"))
        until = np.fmin(finish, ended)
        deadline = deadlines(begin, rule.limit, rule.unit, self.calendar)
        with np.errstate(invalid="ignore"):
            over = until > deadline
            finished = np.isfinite(begin) & (finish == until) & (until >= begin)
            backwards = until < begin
        elapsed = np.where(backwards, math.nan, amounts(begin, until, rule.unit, self.calendar))
        applies = np.array([rule.fits(attributes.get(c, {})) for c in spans["case_id"]], dtype=bool)
        risk = deadlines(begin, self.risk_ages.get(rule.code, math.nan), rule.unit, self.calendar)
        open_breach = np.isnan(until) & spans["breached"].to_numpy(dtype=bool)
        return spans.assign(
            applies=applies, deadline=deadline, risk_at=risk, until=until, elapsed=elapsed, finished=finished & applies,
            breached=applies & (over | open_breach),
        )  # fmt: skip

    def learn(self, chances: Mapping[str, Chance], threshold: float) -> None:
        """Take new chances into use, and reckon again from when every open case is at risk."""
        self.chances = dict(chances)
        before, self.risk_ages = self.risk_ages, {c: known.risk_age(threshold) for c, known in chances.items()}
        for rule in self.rules:
            age = self.risk_ages.get(rule.code, math.nan)
            same = rule.code in before and np.array_equal([age], [before[rule.code]], equal_nan=True)
            if same:
                continue
            opened = self.frame(f"SELECT case_id, begin FROM spans WHERE {OPEN} AND rule = ?", (rule.code,))
            at = deadlines(opened["begin"].to_numpy(dtype=float), age, rule.unit, self.calendar)
            rows = zip(_plain(pd.Series(at)), opened["case_id"], [rule.code] * len(opened), strict=True)
            self.connection.executemany("UPDATE spans SET risk_at = ? WHERE case_id = ? AND rule = ?", list(rows))

    def history(self, rule: Watched, now: int) -> tuple[Any, Any]:
        """Times of the latest spans of a rule in its unit, those of open ones until now; and which were finished."""
        done = self.frame(
            "SELECT elapsed, finished FROM spans WHERE rule = ? AND applies AND elapsed IS NOT NULL "
            "ORDER BY until DESC LIMIT ?", (rule.code, HISTORY),
        )  # fmt: skip
        opened = self.frame(f"SELECT begin FROM spans WHERE {OPEN} AND rule = ? LIMIT ?", (rule.code, HISTORY))
        begin = opened["begin"].to_numpy(dtype=float)
        ages = amounts(begin, np.full(len(begin), float(now)), rule.unit, self.calendar)
        ages = known_ages(ages, rule.unit)
        ages = ages[ages >= 0]
        elapsed = np.concatenate([done["elapsed"].to_numpy(dtype=float), ages])
        finished = np.concatenate([done["finished"].to_numpy(dtype=bool), np.zeros(len(ages), dtype=bool)])
        return elapsed, finished

    def purge(self, horizon: int) -> int:
        """Forget closed cases of which nothing was heard since `horizon`, but for their ids; how many."""
        query = (
            "SELECT case_id FROM cases c WHERE last < ? AND (ended IS NOT NULL OR NOT EXISTS "
            "(SELECT 1 FROM spans s WHERE s.case_id = c.case_id AND applies AND until IS NULL AND begin IS NOT NULL)) "
            "AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.case_id = c.case_id AND NOT (written AND delivered)) "
            "LIMIT 5000"
        )
        ids = self.connection.execute(query, (horizon,)).fetchall()
        for table in ("cases", "attributes", "spans", "alerts"):
            self.connection.executemany(f"DELETE FROM {table} WHERE case_id = ?", ids)
        self.connection.executemany("INSERT OR IGNORE INTO gone VALUES (?)", ids)
        return len(ids)


OPEN = "applies AND until IS NULL AND begin IS NOT NULL"


def _whole(value: float | None) -> int | None:
    return None if value is None or value != value else int(value)


def _plain(values: pd.Series, *, whole: bool = True) -> list[Any]:
    """Numbers as SQLite takes them: missing ones as NULL."""
    array = values.to_numpy(dtype=float)
    known = np.isfinite(array)
    numbers = array[known].astype(np.int64).tolist() if whole else array[known].tolist()
    result: list[Any] = [None] * len(array)
    for j, number in zip(np.flatnonzero(known).tolist(), numbers, strict=True):
        result[j] = number
    return result
