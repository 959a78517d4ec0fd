"""Parallel analysis against psych::fa.parallel: ``python -m tests.benchmarks.parallel_analysis [--json]``.

100,000 answers to 22 five-point items, 100 draws. psych draws normal data and resamples the columns in one
call; ours is timed with normal draws alone, and with both. The same answers go to R in a temporary file, and
the observed eigenvalues must agree before a time counts.
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

import numpy as np

from sqmodel.numerics.retention import n_retained, parallel_eigenvalues

N, ITEMS, FACTORS, DRAWS = 100_000, 22, 4, 100
TARGETS = {"normal": 1000.0, "both": 4.0}


def answers(seed: int = 0) -> np.ndarray:
    """Five-point answers of four correlated factors."""
    rng = np.random.default_rng(seed)
    general = rng.normal(size=(N, 1))
    scores = 0.6 * general + 0.8 * rng.normal(size=(N, FACTORS))
    z = 0.7 * scores[:, np.arange(ITEMS) % FACTORS] + np.sqrt(0.51) * rng.normal(size=(N, ITEMS))
    return np.searchsorted([-1.8, -1.0, -0.1, 1.0], z) + 1


def time_ours(x: np.ndarray, repeats: int = 5) -> dict[str, Any]:
    """Median seconds of either kind, after one call that warms up."""
    seconds: dict[str, float] = {}
    for name, resampled in (("normal", False), ("both", True)):
        times = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            found = parallel_eigenvalues(x, draws=DRAWS, rng=1, resampled=resampled)
            times.append(time.perf_counter() - start)
        seconds[name] = float(np.median(times[1:]))
    factors = n_retained(found.observed.factors, found.normal.factors)[0]
    components = n_retained(found.observed.components, found.normal.components)[0]
    values = {"fa_values": found.observed.factors.tolist(), "pc_values": found.observed.components.tolist()}
    return {"seconds": seconds, "factors": factors, "components": components, **values}


def time_psych(x: np.ndarray) -> dict[str, Any] | None:
    """What R says, or None where it is not installed."""
    if shutil.which("Rscript") is None:
        return None
    script = Path(__file__).with_suffix(".R")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.csv"
        header = ",".join(f"i{j}" for j in range(ITEMS))
        np.savetxt(path, x, fmt="%d", delimiter=",", header=header, comments="")
        command = ["Rscript", str(script), str(path), str(DRAWS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"Rscript failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(lines[0].removeprefix("RESULT "))
    return result


def main(arguments: list[str] | None = None) -> int:
    """Print the comparison; 1 where results differ or a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    x = answers()
    result: dict[str, Any] = {
        "n": N,
        "items": ITEMS,
        "draws": DRAWS,
        "threads": os.cpu_count(),
        "ours": time_ours(x),
    }
    result["psych"] = time_psych(x)
    if result["psych"]:
        ours, theirs = result["ours"], result["psych"]
        result["ratio"] = {kind: theirs["seconds"] / ours["seconds"][kind] for kind in TARGETS}
        apart = [np.abs(np.subtract(ours[k], theirs[k])).max() for k in ("fa_values", "pc_values")]
        result["largest_difference"] = float(max(apart))
        result["same_numbers"] = all(ours[k] == theirs[k] for k in ("factors", "components"))
        result["targets_met"] = all(result["ratio"][k] >= TARGETS[k] for k in TARGETS)
    print(json.dumps(result) if options.json else describe(result))
    return 0 if result.get("targets_met", True) and result.get("largest_difference", 0) < 1e-5 else 1


def describe(result: dict[str, Any]) -> str:
    """The comparison as a few lines of text."""
    ours, theirs = result["ours"], result["psych"]
    lines = [f"{result['n']:,} x {result['items']} answers, {result['draws']} draws, {result['threads']} threads"]
    lines += [f"sqmodel, {kind:<7} {ours['seconds'][kind]:9.3f} s" for kind in TARGETS]
    if theirs is None:
        return "\n".join([*lines, "Rscript is not installed: no comparison"])
    versions = f"{theirs['r']}, psych {theirs['psych']}, BLAS {theirs['blas_path']}, {theirs['cores']} cores"
    lines.append(f"psych, both     {theirs['seconds']:9.3f} s  ({versions})")
    lines += [f"ratio, {kind:<7}  {result['ratio'][kind]:9.0f}  (target {TARGETS[kind]:.0f})" for kind in TARGETS]
    lines.append(f"observed eigenvalues differ by at most {result['largest_difference']:.1e}")
    lines.append(f"same numbers of factors and components: {'yes' if result['same_numbers'] else 'no'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
