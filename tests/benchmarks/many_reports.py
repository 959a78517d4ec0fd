"""Does a long run stay as it began? ``python -m tests.benchmarks.many_reports [--lines N] [--json FILE]``.

Two hundred reports of a notebook that costs next to nothing, in one run. After each the runner's resident memory, its
open descriptors and its descendant processes are taken. Exit status 1 if memory grows by more than a twentieth between
report 50 and the last, if the runner holds more descriptors at the end, or if a process or a file is left behind.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from tests.reporting.projects import left_behind, make_project, own_process

SETTLED, BEGUN = 40, 50
GROWTH = 0.05
WINDOW = 10
"""Reports over which the level at a time is taken, as the median."""


def sample(runner: psutil.Process) -> dict[str, int]:
    """What the runner holds now."""
    return {
        "rss": runner.memory_info().rss,
        "descriptors": runner.num_fds(),
        "processes": len(runner.children(recursive=True)),
    }


def measure(folder: Path, lines: int, quarters: list[str]) -> tuple[list[dict[str, int]], list[str], float]:
    """Samples after every report, what is left behind, and seconds."""
    make_project(folder, [f"line_{i:02d}" for i in range(lines)], quarters)
    started = time.monotonic()
    run = own_process(
        "run", "--notebook", "cheap.ipynb", "-w", "2", "-q", f"{quarters[0]}..{quarters[-1]}", folder=folder
    )
    runner = psutil.Process(run.pid)
    assert run.stdout is not None
    samples = [sample(runner) for line in run.stdout if line.startswith("  done")]
    if run.wait() != 0 or len(samples) != lines * len(quarters):
        said = run.stderr.read() if run.stderr else ""
        raise SystemExit(f"{len(samples)} reports, exit status {run.returncode}: {said}")
    return samples, left_behind(folder), time.monotonic() - started


def level(samples: list[dict[str, int]], name: str, end: int) -> float:
    """Median over the reports before `end`."""
    return statistics.median(s[name] for s in samples[max(0, end - WINDOW) : end])


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--quarters", type=int, default=5, choices=range(1, 13))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    last = 2026 * 4 + 2
    quarters = [f"{q // 4}Q{q % 4 + 1}" for q in range(last - arguments.quarters + 1, last + 1)]
    with tempfile.TemporaryDirectory() as folder:
        samples, left, seconds = measure(Path(folder), arguments.lines, quarters)
    count = len(samples)
    begun = min(BEGUN, count)
    rss = np.array([s["rss"] for s in samples], dtype=float)
    later = np.arange(count)[min(SETTLED, count // 2) :]
    slope = float(np.polyfit(later, rss[later], 1)[0])
    before, after = level(samples, "rss", begun), level(samples, "rss", count)
    growth = after / before - 1
    descriptors = level(samples, "descriptors", begun), level(samples, "descriptors", count)
    found = {
        "reports": count, "seconds": seconds, "rss_at_50": before, "rss_at_end": after, "growth": growth,
        "bytes_per_report": slope, "descriptors_at_50": descriptors[0], "descriptors_at_end": descriptors[1],
        "most_processes": max(s["processes"] for s in samples), "left_behind": left,
    }  # fmt: skip
    print(f"{count} reports in {seconds:.0f} s, {seconds / count:.2f} s each")
    print(f"memory of the runner: {before / 1e6:.1f} MB after {begun}, {after / 1e6:.1f} MB at the end ({growth:+.1%})")
    print(f"  after the first {later[0]}: {slope / 1e3:+.1f} kB a report")
    print(f"descriptors: {descriptors[0]:g} after {begun}, {descriptors[1]:g} at the end")
    print(f"processes: at most {found['most_processes']}; left behind: {', '.join(left) or 'nothing'}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found | {"samples": samples}, indent=1), encoding="utf-8")
    good = growth <= GROWTH and descriptors[1] <= descriptors[0] + 1 and not left
    print("as it began" if good else "NOT as it began")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
