"""Does the package start as fast as pandas? ``python -m tests.benchmarks.startup [--json]``.

Medians over fresh processes, the commands taking turns: an empty interpreter, ``import pandas``, ``import sqmodel`` and
``sqmodel --help``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

IMPORT_TARGET, HELP_TARGET = 1.5, 1.0


def commands() -> dict[str, list[str]]:
    """What is timed; the console script only where it is installed."""
    found = {
        "python": [sys.executable, "-c", "pass"],
        "import pandas": [sys.executable, "-c", "import pandas"],
        "import sqmodel": [sys.executable, "-c", "import sqmodel"],
    }
    script = shutil.which("sqmodel", path=str(Path(sys.executable).parent)) or shutil.which("sqmodel")
    if script is not None:
        found["sqmodel --help"] = [script, "--help"]
    return found


def seconds(command: list[str]) -> float:
    """One run in a fresh process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(repetitions: int) -> dict[str, float]:
    """Median seconds of every command, after one run each to warm the file cache."""
    todo = commands()
    for command in todo.values():
        seconds(command)
    runs = [{name: seconds(command) for name, command in todo.items()} for _ in range(repetitions)]
    return {name: statistics.median(run[name] for run in runs) for name in todo}


def main() -> int:
    """Measure, print, and fail where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.repetitions)
    targets = {"import sqmodel": IMPORT_TARGET, "sqmodel --help": HELP_TARGET}
    ratios = {name: found[name] / found["import pandas"] for name in targets if name in found}
    if arguments.json:
        print(json.dumps({"seconds": found, "ratios": ratios, "targets": targets}, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:<15} {value:6.3f} s")
        for name, target in targets.items():
            if name in ratios:
                verdict = "met" if ratios[name] <= target else "MISSED"
                print(f"{name} / import pandas {ratios[name]:.2f}   target {target:g}: {verdict}")
            else:
                print(f"{name}: not installed, not measured")
    return 0 if all(ratio <= targets[name] for name, ratio in ratios.items()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
