"""Run the trials of every module: ``python -m tests.benchmarks.truth [--repetitions 1000] [--seed 1] [names]``."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="modules; all by default")
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    names = given.names or sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))
    failed = 0
    print(f"{'what':<64} {'n':>5} {'share':>7} {'bounds':>12} {'of':>6}")
    for name in names:
        module = importlib.import_module(f"tests.benchmarks.truth.{name}")
        for trial in module.trials(given.repetitions, given.seed):
            failed += not trial.holds
            bounds = f"{trial.low:.2f}..{trial.high:.2f}"
            mark = "" if trial.holds else "  <-- outside"
            line = f"{trial.what:<64} {trial.n:>5} {trial.share:>7.3f} {bounds:>12} {trial.repetitions:>6}{mark}"
            print(line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
