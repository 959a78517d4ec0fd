"""Monitor: the key nodes of the process as they are now: what is open, what is late, and what is about to be."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from sqmodel.errors import OperationsError
from sqmodel.operations import monitor_alerts as outbox
from sqmodel.operations.monitor_clock import Clock
from sqmodel.operations.monitor_feed import AwayError, Feed, Tap, microseconds
from sqmodel.operations.monitor_rules import MICROSECONDS, Calendar, Watched, chance
from sqmodel.operations.monitor_snapshot import DAY, Snapshot, iso, making_it, take_snapshot
from sqmodel.operations.monitor_sources import open_feed
from sqmodel.operations.process import Process
from sqmodel.operations.watch_state import OPEN, WatchState

STATE = "monitor.sqlite"
LEARN_EVERY, EARLY = 60, (1, 2, 4, 8, 16, 32)
"""Ticks after which it is learnt anew how long spans take."""
CATCH_UP = 0.5
"""Seconds of reading after which a tick looks once more before it tells how things are."""
KEEP_DAYS = 400
FAILURES = 3
"""Alerts in a row that the command may refuse before the next tick."""
SLACK = 60_000_000


class Monitor:
    """Watches events as they come in.

    Parameters
    ----------
    source : str
        Database URL or file; see `sqmodel.operations.monitor_sources.open_feed`.
    process : Process
    rules : sequence of Watched
        What `watched_rules` makes of a standard.
    calendar : Calendar
    output : Path or None
        Folder of the state and of ``alerts.jsonl``; None: nothing is kept, and nothing written.
    command : sequence of str, optional
        Gets every alert on standard input.
    threshold : float
        A case is at risk once its probability of making the limit lies below.
    as_of : str
        An instant in ISO 8601: how things were then, by the events until then; only without `output`.

    Raises
    ------
    OperationsError
        The source is none, or another monitor holds the folder.
    """

    def __init__(
        self,
        source: str,
        process: Process,
        rules: list[Watched],
        calendar: Calendar,
        *,
        output: Path | None = None,
        command: list[str] | None = None,
        threshold: float = 0.5,
        as_of: str = "",
    ) -> None:
        names = tuple(sorted({name for rule in rules for name in rule.attributes}))
        self.feed: Feed = open_feed(source, process, names)
        self.process, self.rules, self.calendar = process, rules, calendar
        self.output, self.command, self.threshold = output, command, threshold
        self.as_of = self._instant(as_of) if as_of else None
        self.clock = Clock()
        self.zone = ZoneInfo(process.time_zone)
        self.ticks = 0
        self._state = self._opened()
        self._reconcile()

    def _instant(self, text: str) -> int:
        found, _ = microseconds(pd.Series([text]), self.process.time_zone)
        if self.output is not None:
            raise OperationsError("as_of", ["expected no output for a look at the past, found a folder"])
        if found.isna().any():
            raise OperationsError("as_of", [f"expected an instant such as 2026-09-30T18:00+08:00, found {text!r}"])
        return int(found.iloc[0])

    def _opened(self) -> WatchState:
        if self.output is None:
            return WatchState(None, self.process, self.rules, self.calendar)
        self.output.mkdir(parents=True, exist_ok=True)
        try:
            return WatchState(self.output / STATE, self.process, self.rules, self.calendar)
        except sqlite3.OperationalError as error:
            problem = f"expected a folder that no other monitor holds, found: {error}"
            remedy = "end the other one, or give --output another folder"
            raise OperationsError(str(self.output), [problem], remedy) from None

    def close(self) -> None:
        """Let go of the state."""
        self._state.close()

    @property
    def began(self) -> bool:
        """Whether events were ever read."""
        return self._state.get("read_at") is not None

    def tick(self) -> Snapshot:
        """Read what is new, find new alerts and write them down; how things are now.

        A source that cannot be had makes the snapshot stale: what is known stays, and nothing is alerted, since what
        would answer for it may be in the events that cannot be read.
        """
        try:
            with self.feed.open() as tap:
                begun, now = time.monotonic(), self._now(tap)
                self._take(tap, now)
                self._learn(now)
                if self.as_of is None and time.monotonic() - begun > CATCH_UP:
                    # Much was read, as at first: what came meanwhile is read too, so that the page is of now.
                    now = self.clock.ahead(time.monotonic())
                    self._take(tap, now)
        except OperationsError as error:
            if not self.ticks and not (self.began and isinstance(error, AwayError)):
                raise
            now = self._now(None)
            self._state.put("cause", str(error.problems[0]))
            self.ticks += 1
            return self._snapshot(now)
        with self._state:
            self._state.put("read_at", now)
            self._state.put("cause", "")
            self._find_alerts(now)
        self._write()
        self.ticks += 1
        return self._snapshot(now)

    def _now(self, tap: Tap | None) -> int:
        told = tap.now() if tap is not None else None
        machine = time.time_ns() // 1000
        if self.as_of is not None:
            return self.as_of
        if tap is None:
            # While the database is away its clock goes on by one that nobody sets.
            return self.clock.ahead(time.monotonic()) if self.clock.now else machine
        return self.clock.read(machine if told is None else told, time.monotonic())

    def _take(self, tap: Tap, now: int) -> None:
        state = self._state
        with state:
            self._begin_anew(now)
        start = state.get("position", {})
        for batch in tap.batches(start, now):
            frame = batch.frame
            if self.as_of is not None and len(frame):
                frame = frame[frame["at"] <= self.as_of]
            with state:
                if batch.rows:
                    self._count(frame, batch.rows, batch.unreadable, now, fresh=bool(start))
                    state.apply(frame)
                    state.derive()
                if batch.position is not None and batch.position != state.get("position"):
                    state.put("position", batch.position)

    def _learn(self, now: int) -> None:
        """Every so many ticks: how long spans take, and what may be forgotten."""
        state = self._state
        if self.ticks % LEARN_EVERY == 0 or self.ticks in EARLY:
            with state:
                known = {r.code: chance(*state.history(r, now), r.limit) for r in self.rules if math.isfinite(r.limit)}
                state.learn(known, self.threshold)
                state.purge(now - KEEP_DAYS * DAY)

    def _begin_anew(self, now: int) -> None:
        """Another process, standard or source than before is read from its beginning, without alerting it all again."""
        state = self._state
        given = [self.process.digest, repr(self.rules), self.feed.name]
        digest = hashlib.sha256(json.dumps(given).encode()).hexdigest()
        if state.get("digest") == digest:
            return
        state.forget()
        for name, value in (("digest", digest), ("since", now), ("position", {}), ("counts", {}), ("read_at", None)):
            state.put(name, value)

    def _count(self, frame: pd.DataFrame, rows: int, unreadable: Mapping[str, int], now: int, *, fresh: bool) -> None:
        counts = self._state.get("counts", {})
        counts["rows"] = counts.get("rows", 0) + rows
        counts["unreadable"] = counts.get("unreadable", 0) + sum(unreadable.values())
        if len(frame):
            at = frame["at"].to_numpy(dtype=float)
            last = self._state.get("last_event", 0)
            # What is read at first is the past: its order in the table says nothing of when it came.
            counts["late"] = counts.get("late", 0) + int((at < last - SLACK).sum() if fresh else 0)
            counts["ahead"] = counts.get("ahead", 0) + int((at > now + SLACK).sum())
            known = at[at <= now + SLACK]
            self._state.put("last_event", max([last, *([int(known.max())] if len(known) else [])]))
        self._state.put("counts", counts)

    def _find_alerts(self, now: int) -> None:
        """New breaches, cases newly at risk, and breaches that a late event has undone."""
        state, run = self._state, self._state.connection.execute
        for rule in self.rules:
            run(f"UPDATE spans SET breached = 1 WHERE {OPEN} AND NOT breached AND rule = ? AND deadline < ?",
                (rule.code, now))  # fmt: skip
        since = state.get("since")
        undone = "SELECT 1 FROM alerts a WHERE (a.case_id, a.rule, a.kind) = (spans.case_id, spans.rule, 'withdrawn')"
        run("UPDATE spans SET told = 2 WHERE breached AND NOT told AND until <= ? "
            f"AND NOT EXISTS ({undone})", (since,))  # fmt: skip
        fields = "case_id, rule, begin, deadline, until"
        self._announce("withdrawn", f"SELECT {fields} FROM spans WHERE told = 1 AND NOT breached", now)
        self._announce("breach", f"SELECT {fields} FROM spans WHERE breached AND NOT told", now)
        query = f"SELECT {fields} FROM spans WHERE {OPEN} AND NOT warned AND NOT breached AND risk_at < {now}"
        self._announce("at_risk", query, now)

    def _announce(self, kind: str, query: str, now: int) -> None:
        state = self._state
        told = {"withdrawn": "told = 0", "breach": "told = 1", "at_risk": "warned = 1"}[kind]
        rules = {rule.code: rule for rule in self.rules}
        news = state.connection.execute(f"{query} ORDER BY rule, case_id").fetchall()
        for case, code, begin, deadline, until in news:
            turn = 1 + state.connection.execute(
                "SELECT count(*) FROM alerts WHERE case_id = ? AND rule = ? AND kind = 'withdrawn'", (case, code)
            ).fetchone()[0]  # fmt: skip
            # A late event may undo a breach, and a still later one restore it: each turn has alerts of its own.
            name = f"{kind}:{code}:{case}" if turn == 1 or kind == "at_risk" else f"{kind}.{turn}:{code}:{case}"
            body = {"id": name, "kind": kind, "case": case, **self._told(rules[code], begin, deadline, until, now)}
            state.connection.execute(
                "INSERT OR IGNORE INTO alerts(id, kind, case_id, rule, body) VALUES (?, ?, ?, ?, ?)",
                (name, kind, case, code, json.dumps(body, ensure_ascii=False)),
            )
            state.connection.execute(f"UPDATE spans SET {told} WHERE case_id = ? AND rule = ?", (case, code))

    def _told(
        self, rule: Watched, begin: int | None, deadline: int | None, until: int | None, now: int
    ) -> dict[str, Any]:
        making = making_it(self._state, rule, np.array([math.nan if begin is None else begin], dtype=float), now)[0]
        opened = until is None
        return {
            "rule": rule.code, "title": {"zh": rule.title["zh"], "en": rule.title["en"]}, "step": rule.step,
            "limit": rule.limit, "unit": rule.unit,
            "begin": iso(self.zone, begin), "deadline": iso(self.zone, deadline),
            "open": opened, "ended": iso(self.zone, until), "found": iso(self.zone, now),
            "remaining_hours": round((deadline - now) / MICROSECONDS, 3) if opened and deadline is not None else None,
            "probability": round(float(making), 4) if opened and math.isfinite(making) else None,
        }  # fmt: skip

    def _reconcile(self) -> None:
        """After a sudden end: which alerts made it into the file, and which still have to."""
        if self.output is None:
            return
        ids, size = outbox.written_since(self.output / outbox.ALERTS, self._state.get("alerts_bytes", 0))
        with self._state:
            run = self._state.connection.executemany
            run("UPDATE alerts SET written = 1 WHERE id = ?", [(name,) for name in ids])
            self._state.put("alerts_bytes", size)

    def _write(self) -> None:
        """Append what is not in the file yet; a process that is killed in between finds out when it starts again."""
        if self.output is None:
            return
        query = "SELECT number, body FROM alerts WHERE NOT written ORDER BY number"
        rows = self._state.connection.execute(query).fetchall()
        if rows:
            size = outbox.append(self.output / outbox.ALERTS, [body for _, body in rows])
            with self._state:
                self._state.put("alerts_bytes", size)
                done = [(number,) for number, _ in rows]
                self._state.connection.executemany("UPDATE alerts SET written = 1 WHERE number = ?", done)
        if not self.command:
            self._state.connection.execute("UPDATE alerts SET delivered = 1 WHERE NOT delivered AND written")

    def deliver(self, seconds: float) -> list[str]:
        """Hand alerts to the command for so long; what went wrong. One it does not take is tried at the next tick."""
        if not self.command:
            return []
        until = time.monotonic() + seconds
        problems: list[str] = []
        query = "SELECT number, id, body FROM alerts WHERE NOT delivered AND written ORDER BY number LIMIT 1000"
        for number, name, body in self._state.connection.execute(query).fetchall():
            if len(problems) == FAILURES or time.monotonic() > until:
                break
            found = outbox.hand_over(self.command, body)
            if found:
                problems.append(f"{name}: {found}")
            else:
                self._state.connection.execute("UPDATE alerts SET delivered = 1 WHERE number = ?", (number,))
        return problems

    def _snapshot(self, now: int) -> Snapshot:
        return take_snapshot(
            self._state,
            now,
            source=self.feed.name,
            threshold=self.threshold,
            clock_stepped=self.clock.stepped,
            written=self.output is not None,
        )


def follow(monitor: Monitor, every: float) -> Iterator[Snapshot]:
    """Snapshots, one a tick; sooner again, after 1, 2, 4 … seconds, while the source cannot be had."""
    failed = 0
    while True:
        begun = time.monotonic()
        snapshot = monitor.tick()
        yield snapshot
        failed = failed + 1 if snapshot.stale_since else 0
        pause = min(every, 2.0 ** min(failed - 1, 20)) if failed else every
        with contextlib.suppress(InterruptedError):
            time.sleep(max(0.0, begun + pause - time.monotonic()))
