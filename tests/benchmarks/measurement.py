"""The measurement core against lavaan and psych: ``python -m tests.benchmarks.measurement [--json]``.

22 items of 5 factors, five answers each; both sides timed in one run until standard errors, scaled statistics and
robust indices are read. Values must agree before a time counts. A model of 200 groups from sufficient statistics is
timed alone, and memory is the peak of this process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sqmodel as sq
from sqmodel.measurement.moments import GroupMoments, Moments
from sqmodel.numerics.polychoric import codes_of, polychoric
from sqmodel.numerics.retention import polychoric_parallel

ITEMS, FACTORS, SMALL, LARGE = 22, 5, 1_000, 100_000
NAMES = [f"i{j}" for j in range(ITEMS)]
MODEL = "\n".join(f"f{f + 1} =~ " + " + ".join(NAMES[f::FACTORS]) for f in range(FACTORS))
CUTS = [-1.8, -1.0, -0.1, 1.0]
TARGETS = {
    "polychoric_lavaan": 50.0,
    "polychoric_psych": 15.0,
    "wlsmv_small": 5.0,
    "wlsmv_large": 15.0,
    "ml_small": 3.0,
    "mlr_large": 8.0,
    "parallel_small": 25.0,
}
GROUPS, GROUPS_SECONDS, MEMORY_GB = 200, 20.0, 2.0


def answers(n: int, seed: int) -> pd.DataFrame:
    """Five-point answers of five correlated factors."""
    rng = np.random.default_rng(seed)
    scores = 0.6 * rng.normal(size=(n, 1)) + 0.8 * rng.normal(size=(n, FACTORS))
    z = 0.7 * scores[:, np.arange(ITEMS) % FACTORS] + np.sqrt(0.51) * rng.normal(size=(n, ITEMS))
    return pd.DataFrame(np.searchsorted(CUTS, z) + 1, columns=NAMES)


def fit(data: pd.DataFrame, **options: Any) -> dict[str, float]:
    """Everything that R's side reads as well: parameters with errors, standardised, and all fit measures."""
    found = sq.confirm(data, MODEL, **options)
    assert found.parameters["std_se"].notna().all()
    return found.fit


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median seconds after one call that warms up, and the last result."""
    result, seconds = call(), []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), result


def many_groups() -> float:
    """Seconds of a metric model with 200 groups, fitted to sufficient statistics."""
    groups = {}
    for g in range(GROUPS):
        x = answers(300, 1000 + g).to_numpy(float)
        groups[f"g{g}"] = GroupMoments(300.0, np.cov(x.T, bias=True), x.mean(axis=0))
    moments = Moments(tuple(sq.confirm(answers(300, 1), MODEL, estimator="ML").internal.table.items), {})
    place = [NAMES.index(i) for i in moments.items]
    moments = Moments(
        moments.items,
        {k: GroupMoments(g.n, g.cov[np.ix_(place, place)], g.mean[place]) for k, g in groups.items()},
    )
    start = time.perf_counter()
    found = sq.confirm(moments, MODEL, estimator="ML", group_equal=("loadings",))
    seconds = time.perf_counter() - start
    if not found.converged:
        raise SystemExit("the model of 200 groups did not converge")
    return seconds


def time_ours(small: pd.DataFrame, large: pd.DataFrame, repeats: int) -> dict[str, Any]:
    """Seconds and values of every task."""
    tasks: dict[str, Callable[[], Any]] = {
        "polychoric": lambda: polychoric(codes_of(large.to_numpy())[0], acov=False),
        "wlsmv_small": lambda: fit(small, ordered=True),
        "wlsmv_large": lambda: fit(large, ordered=True),
        "ml_small": lambda: fit(small, estimator="ML"),
        "mlr_large": lambda: fit(large, estimator="MLR"),
        "parallel_small": lambda: polychoric_parallel(codes_of(small.to_numpy())[0], draws=20, rng=1),
    }
    seconds, values = {}, {}
    for name, task in tasks.items():
        seconds[name], values[name] = timed(task, repeats)
    seconds["polychoric_lavaan"] = seconds["polychoric_psych"] = seconds.pop("polychoric")
    R = polychoric(codes_of(small.to_numpy())[0], acov=False).correlation
    kept = {name: found for name, found in values.items() if isinstance(found, dict)}
    return {"seconds": seconds, "values": {**kept, "polychoric": R[:3, 3].tolist()}}


def time_r(small: pd.DataFrame, large: pd.DataFrame, repeats: int) -> dict[str, Any] | None:
    """What R says, or None where it is not installed."""
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("small.csv", "large.csv")]
        for frame, path in zip((small, large), paths, strict=True):
            frame.to_csv(path, index=False)
        command = ["Rscript", str(Path(__file__).with_suffix(".R")), *map(str, paths), str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"Rscript failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(lines[0].removeprefix("RESULT "))
    return found


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """Largest difference of a value that both report, relative for values above 1."""
    apart = [abs(a - b) for a, b in zip(ours["polychoric"], theirs["polychoric"], strict=True)]
    for task, found in theirs.items():
        if isinstance(found, dict):
            apart += [abs(ours[task][k] - v) / max(abs(v), 1.0) for k, v in found.items()]
    return max(apart)


def main() -> int:
    """Print the comparison; 1 where values differ or a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    small, large = answers(SMALL, 1), answers(LARGE, 2)
    result: dict[str, Any] = {"threads": os.cpu_count(), "ours": time_ours(small, large, options.repeats)}
    result["groups_seconds"] = many_groups()
    result["memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    result["r"] = time_r(small, large, options.repeats)
    good = result["groups_seconds"] < GROUPS_SECONDS and result["memory_gb"] < MEMORY_GB
    if result["r"]:
        ours, theirs = result["ours"], result["r"]
        result["ratio"] = {k: theirs["seconds"][k] / ours["seconds"][k] for k in TARGETS}
        result["largest_difference"] = differences(ours["values"], theirs["values"])
        good = good and result["largest_difference"] < 1e-3
        good = good and all(result["ratio"][k] >= TARGETS[k] for k in TARGETS)
    result["targets_met"] = good
    print(json.dumps(result, indent=1) if options.json else describe(result))
    return 0 if good else 1


def describe(result: dict[str, Any]) -> str:
    """The comparison as a few lines of text."""
    theirs = result["r"]
    lines = [f"{ITEMS} items, {FACTORS} factors, 5 answers; {result['threads']} threads"]
    if theirs:
        lines.append(f"{theirs['r']}, lavaan {theirs['lavaan']}, psych {theirs['psych']}, BLAS {theirs['blas_path']}")
    lines.append(f"{'task':<20}{'ours':>10}{'R':>10}{'ratio':>8}  target")
    for name, target in TARGETS.items():
        line = f"{name:<20}{result['ours']['seconds'][name]:>9.3f}s"
        if theirs:
            line += f"{theirs['seconds'][name]:>9.2f}s{result['ratio'][name]:>8.1f}  {target:g}"
        lines.append(line)
    lines.append(f"{GROUPS} groups, metric model: {result['groups_seconds']:.1f} s (target under {GROUPS_SECONDS:g})")
    lines.append(f"memory at the peak: {result['memory_gb']:.2f} GB (target under {MEMORY_GB:g})")
    if theirs:
        lines.append(f"values differ by at most {result['largest_difference']:.1e}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
