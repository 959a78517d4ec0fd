"""Do 95 % intervals of a confirmatory model cover the truth? ``python -m tests.benchmarks.recovery [--json]``.

Nine items of three correlated factors, n = 300: normal answers by ML and MLR, five ordered categories by WLSMV. In each
of the replications every loading and every correlation of factors has its interval; the coverage of each kind must lie
within 93 and 97 %. The test of the right model must reject it in about 5 % of the replications.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from typing import Any

import numpy as np
import pandas as pd

import sqmodel as sq

LOADINGS = np.array([0.8, 0.7, 0.6] * 3)
CORRELATION = np.array([[1, 0.5, 0.3], [0.5, 1, 0.4], [0.3, 0.4, 1]])
CUTS = [-1.5, -0.6, 0.4, 1.3]
NAMES = [f"x{k + 1}" for k in range(9)]
MODEL = "\n".join(f"f{f + 1} =~ " + " + ".join(NAMES[3 * f : 3 * f + 3]) for f in range(3))
N, TARGET = 300, (0.93, 0.97)
KINDS = {
    "ML": {"estimator": "ML"},
    "MLR": {"estimator": "MLR"},
    "WLSMV": {"ordered": True},
}


def truth() -> dict[tuple[str, str, str], float]:
    """Standardised loadings and correlations of the population."""
    out = {(f"f{k // 3 + 1}", "=~", name): float(LOADINGS[k]) for k, name in enumerate(NAMES)}
    pairs = [(a, b) for a in range(3) for b in range(a + 1, 3)]
    return out | {(f"f{a + 1}", "~~", f"f{b + 1}"): float(CORRELATION[a, b]) for a, b in pairs}


def sample(kind: str, seed: int) -> pd.DataFrame:
    """One sample of answers."""
    rng = np.random.default_rng([seed, N])
    scores = rng.multivariate_normal(np.zeros(3), CORRELATION, size=N)
    z = scores[:, np.arange(9) // 3] * LOADINGS + rng.normal(size=(N, 9)) * np.sqrt(1 - LOADINGS**2)
    values = np.searchsorted(CUTS, z) + 1 if kind == "WLSMV" else z
    return pd.DataFrame(values, columns=NAMES)


def replicate(task: tuple[str, int, int]) -> list[dict[str, Any]]:
    """Which intervals cover, in a run of replications."""
    kind, first, count = task
    expected, out = truth(), []
    for seed in range(first, first + count):
        found = sq.confirm(sample(kind, seed), MODEL, std_lv=True, **KINDS[kind])
        rows = found.parameters.set_index(["lhs", "op", "rhs"])
        hits = {k: bool(rows.loc[k, "std_low"] <= v <= rows.loc[k, "std_high"]) for k, v in expected.items()}
        pvalue = found.fit.get("pvalue.scaled", found.fit["pvalue"])
        out.append(
            {
                "kind": kind, "converged": found.converged, "rejected": pvalue < 0.05,
                "loadings": float(np.mean([h for k, h in hits.items() if k[1] == "=~"])),
                "correlations": float(np.mean([h for k, h in hits.items() if k[1] == "~~"])),
            }
        )  # fmt: skip
    return out


def measure(replications: int, processes: int) -> pd.DataFrame:
    """Coverage by estimator."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read when the spawned processes import numpy
    chunk = 50
    tasks = [
        (kind, first, min(chunk, replications - first)) for kind in KINDS for first in range(0, replications, chunk)
    ]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = [row for part in pool.map(replicate, tasks, chunksize=1) for row in part]
    return pd.DataFrame(found).groupby("kind", sort=False).mean()


def main() -> int:
    """Measure, print, and fail where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    start = time.perf_counter()
    table = measure(arguments.replications, arguments.processes)
    if arguments.json:
        print(json.dumps({"n": N, "replications": arguments.replications} | table.to_dict("index"), indent=1))
    else:
        print(f"n = {N}, {arguments.replications} replications, target {TARGET[0]:.0%} to {TARGET[1]:.0%}")
        print(table.to_string(float_format="{:.3f}".format))
        print(f"{time.perf_counter() - start:.0f} s")
    covered = table[["loadings", "correlations"]]
    return 0 if bool(((covered >= TARGET[0]) & (covered <= TARGET[1])).all(axis=None)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
