"""Step times, rework, variants and bottlenecks of a large event log: sqmodel against pm4py, timed in one run.

Run as ``python -m tests.benchmarks.process_mining [--copies 40] [--peer PYTHON] [--json]``. The log is the BPI
Challenge 2012 many times over with distinct case ids (40 copies: 10.5 million events), written once as one Parquet file
in a temporary folder. Each program runs in a process of its own and tells its peak memory. sqmodel is timed from the
file to the result; pm4py, whose reading is not timed, from the frame to the performance graph and the variants.
pm4py is under the AGPL and no dependency: name the interpreter of an environment that has it by ``--peer`` or
``SQMODEL_PM4PY``; without one only sqmodel is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TARGET, MEMORY = 3.0, 3.0
"""Times faster, and gigabytes at the most (for the 40 copies)."""

PEER = """
import json, sys, time
import numpy as np, pandas as pd, pm4py
columns = np.load(sys.argv[1], allow_pickle=True)
frame = pd.DataFrame({
    "case_id": columns["cases"][columns["case"]],
    "activity": columns["activities"][columns["activity"]],
    "timestamp": pd.to_datetime(columns["at"], unit="us", utc=True),
})
begin = time.perf_counter()
graph, starts, ends = pm4py.discover_performance_dfg(
    frame, activity_key="activity", timestamp_key="timestamp", case_id_key="case_id")
middle = time.perf_counter()
variants = pm4py.get_variants(frame, activity_key="activity", timestamp_key="timestamp", case_id_key="case_id")
end = time.perf_counter()
print(json.dumps({"version": pm4py.__version__, "graph": middle - begin, "variants": end - middle,
                  "seconds": end - begin, "variant_count": len(variants),
                  "peak_kb": next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM"))}))
"""


def peak_kb() -> int:
    """Memory at the most so far; getrusage would also count the process that started this one."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def definition() -> Any:
    """How the log's events are to be read: calls to clients are the client's waits."""
    from sqmodel.operations.process import End, Process, Step

    ends = (("approved", "A_APPROVED", "lender"), ("declined", "A_DECLINED", "lender"),
            ("cancelled", "A_CANCELLED", "client"))  # fmt: skip
    calls = ("W_Nabellen offertes", "W_Nabellen incomplete dossiers")
    return Process(
        name="bpic2012",
        time_zone="Europe/Amsterdam",
        steps=tuple(Step(code=code, wait="client") for code in calls),
        ends=tuple(End(code=code, activities=(a,), by=by) for code, a, by in ends),  # type: ignore[arg-type]
    )


def write_log(source: Path, copies: int, target: Path, folder: Path) -> int:
    """The log `copies` times over, each with case ids of its own; gives the number of events."""
    import duckdb

    settings: dict[str, Any] = {"memory_limit": "2GB", "temp_directory": str(folder / "spill")}
    with duckdb.connect(config=settings) as connection:
        connection.execute(
            'CREATE TABLE log AS SELECT "case" AS case_id, act AS activity, lower(lc) AS lifecycle, '
            "nullif(res, 'NA') AS resource, CAST(\"time:timestamp\" AS TIMESTAMPTZ) AS timestamp, "
            "TRY_CAST(case_AMOUNT_REQ AS DOUBLE) AS amount, row_number() OVER () AS place "
            f"FROM read_csv('{source}', all_varchar = true)"
        )
        connection.execute(
            "COPY (SELECT case_id || '-' || copy AS case_id, activity, lifecycle, timestamp, resource, amount "
            f"FROM range({copies}) numbers(copy), log ORDER BY copy, place) TO '{target}' (FORMAT parquet)"
        )
        ((events,),) = connection.execute("SELECT count(*) FROM log").fetchall()
    return int(events) * copies


def write_columns(log: Path, target: Path) -> None:
    """The log as arrays, for an environment that need not read Parquet."""
    import duckdb
    import numpy as np

    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT case_id, activity, epoch_us(timestamp) AS stamp FROM read_parquet('{log}')"
        ).fetchnumpy()
    columns: dict[str, Any] = {"at": np.asarray(found["stamp"])}
    for name, codes, values in (("case_id", "case", "cases"), ("activity", "activity", "activities")):
        columns[values], columns[codes] = np.unique(np.asarray(found[name], object).astype(str), return_inverse=True)
        columns[values] = columns[values].astype(object)
    np.savez(target, **columns)


def ours(path: str) -> dict[str, Any]:
    """Time one analysis in this process."""
    from sqmodel.operations.events import read_events
    from sqmodel.operations.process_analysis import analyse_process

    begin = time.perf_counter()
    log = read_events(path, process=definition())
    middle = time.perf_counter()
    result = analyse_process(log)
    end = time.perf_counter()
    return {
        "reading": middle - begin, "analysis": end - middle, "seconds": end - begin, "cases": result.n,
        "events": result.events, "variant_count": result.variant_count, "named": list(result.named),
        "peak_kb": peak_kb(),
    }  # fmt: skip


def child(arguments: list[str]) -> dict[str, Any]:
    """What a process of its own prints."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments[0]} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def has_pm4py(interpreter: str | None) -> bool:
    """Whether there is an interpreter that has the peer."""
    if not interpreter or not shutil.which(interpreter):
        return False
    return subprocess.run([interpreter, "-c", "import pm4py"], capture_output=True, check=False).returncode == 0


def measure(source: Path, copies: int, peer: str | None, repetitions: int) -> dict[str, Any]:
    """Both programs in turn, on the same file; the fastest run of each."""
    with tempfile.TemporaryDirectory(prefix="sqmodel-benchmark-") as name:
        folder = Path(name)
        path = folder / "log.parquet"
        events = write_log(source, copies, path, folder)
        with_peer = has_pm4py(peer)
        if with_peer:
            write_columns(path, folder / "columns.npz")
        mine, theirs = [], []
        for _ in range(repetitions):
            mine.append(child([sys.executable, "-m", "tests.benchmarks.process_mining", "--child", str(path)]))
            if with_peer:
                theirs.append(child([str(peer), "-W", "ignore", "-c", PEER, str(folder / "columns.npz")]))
    result: dict[str, Any] = {"copies": copies, "events": events, "sqmodel": min(mine, key=lambda r: r["seconds"]),
                              "all": {"sqmodel": [r["seconds"] for r in mine],
                                      "pm4py": [r["seconds"] for r in theirs]}}  # fmt: skip
    if theirs:
        result["pm4py"] = min(theirs, key=lambda r: r["seconds"])
        result["ratio"] = result["pm4py"]["seconds"] / result["sqmodel"]["seconds"]
    return result


def verdict(found: dict[str, Any]) -> bool:
    """Whether the targets are met, as far as they were measured."""
    small = found["copies"] > 40 or found["sqmodel"]["peak_kb"] / 2**20 < MEMORY
    return bool(small and found.get("ratio", TARGET) >= TARGET)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=40, help="40: 10.5 million events; 400: 105 million")
    parser.add_argument("--peer", default=os.environ.get("SQMODEL_PM4PY"), help="interpreter that has pm4py")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--source", type=Path, help="bpic2012_flat.csv.gz")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(ours(given.child)))
        return 0
    root = Path(os.environ.get("SQMODEL_SHARED") or Path(__file__).parents[3] / "shared")
    source = given.source or root / "data" / "bpic2012" / "bpic2012_flat.csv.gz"
    if not source.is_file():
        raise SystemExit(f"expected the log at {source}; name it by --source")
    found = measure(source, given.copies, given.peer, given.repetitions)
    if given.json:
        print(json.dumps(found, indent=1))
        return 0 if verdict(found) else 1
    mine = found["sqmodel"]
    print(f"{found['events']:,} events of {mine['cases']:,} cases, {mine['variant_count']:,} variants; "
          f"bottleneck: {', '.join(mine['named'])}")  # fmt: skip
    print(f"sqmodel: {mine['seconds']:.1f} s (reading {mine['reading']:.1f}, analysis {mine['analysis']:.1f}), "
          f"peak {mine['peak_kb'] / 2**20:.2f} GB")  # fmt: skip
    if "pm4py" in found:
        other = found["pm4py"]
        print(f"pm4py {other['version']}: {other['seconds']:.1f} s (graph {other['graph']:.1f}, variants "
              f"{other['variants']:.1f}; reading not timed), peak {other['peak_kb'] / 2**20:.2f} GB")  # fmt: skip
        print(f"ratio {found['ratio']:.1f}; wanted {TARGET:.0f} and less than {MEMORY:.0f} GB")
    else:
        print("pm4py was not found: name an interpreter that has it by --peer; only sqmodel was timed")
    return 0 if verdict(found) else 1


if __name__ == "__main__":
    sys.exit(main())
