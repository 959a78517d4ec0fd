"""Alpha with item statistics and a bootstrap interval: sqmodel against psych::alpha, timed in one run.

Run as ``python -m tests.benchmarks.alpha [--json]``. Both compute alpha, alpha without each item, item-rest
correlations and the percentile interval of 1,000 bootstrap draws of the same 10,000 x 22 ratings; sqmodel also omega
and the jackknife. psych::alpha reads the ratings from a temporary CSV; the reading is not timed. R needs psych and
jsonlite.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.measurement.reliability import assess_reliability
from sqmodel.numerics.reliability import alpha_columns, alpha_from_totals
from sqmodel.numerics.resampling import resample_counts
from sqmodel.survey.simple_population import simple_population

RESPONDENTS, ITEMS, CATEGORIES, DRAWS = 10_000, 22, 5, 1000
TARGET = 40.0


def ratings() -> pd.DataFrame:
    """The answers that both programs get."""
    answers = simple_population(ITEMS, categories=CATEGORIES, skewed=True).sample(1, RESPONDENTS, rng=1)[0]
    return pd.DataFrame(answers.astype(float), columns=[f"i{k + 1}" for k in range(ITEMS)])


def kernel(x: np.ndarray) -> np.ndarray:
    """The bootstrap alone: alpha in every draw."""
    columns = alpha_columns(x, np.ones(len(x)))
    counts = resample_counts(np.zeros(len(x), dtype=np.intp), DRAWS, np.random.default_rng(1))
    return np.concatenate([alpha_from_totals(block @ columns) for block in counts])


def timed(function: Any, repetitions: int) -> tuple[list[float], Any]:
    """Seconds of each call after one to warm up, and the last result."""
    result, seconds = function(), []
    for _ in range(repetitions):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return seconds, result


def in_r(frame: pd.DataFrame, repetitions: int) -> dict[str, Any]:
    """What alpha.R prints."""
    program = shutil.which("Rscript")
    if program is None:
        raise SystemExit("Rscript is not installed: nothing to compare with")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.csv"
        frame.to_csv(path, index=False)
        script = Path(__file__).with_suffix(".R")
        arguments = [program, "--vanilla", str(script), str(path), str(DRAWS), str(repetitions)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def libraries() -> str:
    """Name of numpy's linear algebra."""
    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def measure(repetitions: int) -> dict[str, Any]:
    """Both programs on the same answers: sqmodel, R, and sqmodel again, so that a busy machine slows both."""
    frame = ratings()
    ours, result = timed(lambda: assess_reliability(frame, draws=DRAWS, rng=1), repetitions)
    alone, _ = timed(lambda: kernel(frame.to_numpy()), repetitions)
    theirs = in_r(frame, max(repetitions // 2, 1))
    ours += timed(lambda: assess_reliability(frame, draws=DRAWS, rng=1), repetitions)[0]
    row = result.intervals[result.intervals["method"].str.startswith("percentile")].iloc[0]
    items = result.items
    return {
        "respondents": RESPONDENTS,
        "items": ITEMS,
        "draws": DRAWS,
        "threads": os.environ.get("OMP_NUM_THREADS", f"up to {os.cpu_count()}"),
        "blas": {"python": libraries(), "R": "/".join(Path(theirs["blas"]).parts[-2:])},
        "versions": {"python": sys.version.split()[0], "R": theirs["R"], "psych": theirs["psych"]},
        "seconds": {
            "sqmodel": statistics.median(ours),
            "bootstrap alone": statistics.median(alone),
            "psych": statistics.median(theirs["seconds"]),
        },
        "ratio": statistics.median(theirs["seconds"]) / statistics.median(ours),
        "alpha": {"sqmodel": float(row["value"]), "psych": theirs["alpha"]},
        "interval": {"sqmodel": [float(row["low"]), float(row["high"])], "psych": theirs["interval"]},
        "largest_difference": {
            "alpha": abs(float(row["value"]) - theirs["alpha"]),
            "item_rest": float(np.abs(items["item_rest"] - theirs["item_rest"]).max()),
            "alpha_if_dropped": float(np.abs(items["alpha_if_dropped"] - theirs["dropped"]).max()),
            "interval": float(np.abs(np.subtract([row["low"], row["high"]], theirs["interval"])).max()),
        },
    }


def show(found: dict[str, Any]) -> None:
    """Print the comparison."""
    print(f"{found['respondents']:,} x {found['items']} answers, {found['draws']} draws; threads: {found['threads']}")
    print(f"Python {found['versions']['python']}, {found['blas']['python']}")
    print(f"{found['versions']['R']}, psych {found['versions']['psych']}, {found['blas']['R']}")
    for name, seconds in found["seconds"].items():
        print(f"{name:<16} {seconds:8.3f} s")
    verdict = "met" if found["ratio"] >= TARGET else "MISSED"
    print(f"psych / sqmodel  {found['ratio']:8.1f}   target {TARGET:.0f}: {verdict}")
    for name in ("sqmodel", "psych"):
        low, high = found["interval"][name]
        print(f"{name:<8} alpha {found['alpha'][name]:.8f}  bootstrap [{low:.5f}, {high:.5f}]")
    print("largest differences: " + ", ".join(f"{k} {v:.1e}" for k, v in found["largest_difference"].items()))


def main() -> int:
    """Measure, print, and fail where the target or the agreement is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.repetitions)
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        show(found)
    differences = found["largest_difference"]
    exact = max(differences[k] for k in ("alpha", "item_rest", "alpha_if_dropped"))
    same = exact < 1e-6 and differences["interval"] < 1e-3
    return 0 if same and found["ratio"] >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
