"""Is an XES log read four times as fast as by pm4py? ``python -m tests.benchmarks.events LOG.xes.gz``.

Each run is a process of its own, the two taking turns; told are the median seconds of reading (imports left out) and
the peak memory. pm4py is not installed with sqmodel: name an interpreter that has it by ``--peer`` or in
``SQMODEL_PM4PY``; without one, only this side is measured. With ``--parquet FILES`` the opening of a larger log is
timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

TARGET = 4.0
OURS = r"""
import re, sys, time
from sqmodel.operations.events import read_events
begin = time.perf_counter()
log = read_events(sys.argv[1])
seconds = time.perf_counter() - begin
peak = int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
print(seconds, peak / 1024, len(log))
"""
THEIRS = r"""
import re, sys, time
import pm4py
begin = time.perf_counter()
log = pm4py.read_xes(sys.argv[1])
seconds = time.perf_counter() - begin
peak = int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
print(seconds, peak / 1024, len(log))
"""


def run(python: str, script: str, path: str) -> tuple[float, float, int]:
    """Seconds, megabytes and events of one reading in a fresh process."""
    done = subprocess.run([python, "-c", script, path], check=True, capture_output=True, text=True)
    seconds, memory, events = done.stdout.split()[-3:]
    return float(seconds), float(memory), int(events)


def has_peer(python: str) -> bool:
    """Whether an interpreter can import pm4py."""
    try:
        return subprocess.run([python, "-c", "import pm4py"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def median(runs: list[tuple[float, float, int]]) -> dict[str, Any]:
    """Median seconds, largest memory, events."""
    seconds = statistics.median(r[0] for r in runs)
    return {"seconds": seconds, "megabytes": max(r[1] for r in runs), "events": runs[0][2]}


def measure(path: str, peer: str | None, repetitions: int) -> dict[str, Any]:
    """Both sides in turns."""
    ours, theirs = [], []
    for _ in range(repetitions):
        ours.append(run(sys.executable, OURS, path))
        if peer is not None:
            theirs.append(run(peer, THEIRS, path))
    found: dict[str, Any] = {"sqmodel": median(ours)}
    if theirs:
        found["pm4py"] = median(theirs)
        found["ratio"] = found["pm4py"]["seconds"] / found["sqmodel"]["seconds"]
    return found


def main() -> int:
    """Measure, print, and fail where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--peer", default=os.environ.get("SQMODEL_PM4PY", sys.executable))
    parser.add_argument("--parquet")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    peer = arguments.peer if has_peer(arguments.peer) else None
    found = measure(str(arguments.log), peer, arguments.repetitions)
    if arguments.parquet:
        found["parquet"] = median([run(sys.executable, OURS, arguments.parquet) for _ in range(arguments.repetitions)])
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for name in ("sqmodel", "pm4py", "parquet"):
            if name in found:
                own = found[name]
                print(f"{name:8} {own['seconds']:7.2f} s {own['megabytes']:6.0f} MB {own['events']:>12} events")
        if peer is None:
            print(f"pm4py is not importable by {arguments.peer}: nothing to compare with")
        else:
            print(f"{found['ratio']:.1f} times as fast as pm4py, target {TARGET:g}")
    return int(found.get("ratio", TARGET) < TARGET)


if __name__ == "__main__":
    sys.exit(main())
