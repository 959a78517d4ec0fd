"""Do 95 % intervals of a confirmatory model cover the truth? ``python -m tests.benchmarks.recovery [--json]``.

Nine items of three correlated factors, n = 300: normal answers by ML and MLR, five ordered categories by WLSMV. In each
of the replications every loading and every correlation of factors has its interval, and so have composite
reliability, AVE, HTMT and HTMT2; the coverage of each kind must lie within 93 and 97 %. The test of the right model
must reject it in about 5 % of the replications.
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
from sqmodel.measurement.validity import htmt

LOADINGS = np.array([0.8, 0.7, 0.6] * 3)
CORRELATION = np.array([[1, 0.5, 0.3], [0.5, 1, 0.4], [0.3, 0.4, 1]])
CUTS = [-1.5, -0.6, 0.4, 1.3]
NAMES = [f"x{k + 1}" for k in range(9)]
MODEL = "\n".join(f"f{f + 1} =~ " + " + ".join(NAMES[3 * f : 3 * f + 3]) for f in range(3))
N, TARGET = 300, (0.93, 0.97)
VALIDITY_DRAWS, VALIDITY = 300, ("cr", "ave", "htmt", "htmt2")
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


def validity_truth() -> dict[tuple[str, str], float]:
    """Composite reliability, AVE, HTMT and HTMT2 of the population."""
    R = LOADINGS[:, None] * CORRELATION[np.ix_(np.arange(9) // 3, np.arange(9) // 3)] * LOADINGS
    np.fill_diagonal(R, 1.0)
    out: dict[tuple[str, str], float] = {}
    for f in range(3):
        own = slice(3 * f, 3 * f + 3)
        out[(f"f{f + 1}", "cr")] = float(LOADINGS[own].sum() ** 2 / R[own, own].sum())
        out[(f"f{f + 1}", "ave")] = float((LOADINGS[own] ** 2).mean())
    for a, b in ((0, 1), (0, 2), (1, 2)):
        first, second = range(3 * a, 3 * a + 3), range(3 * b, 3 * b + 3)
        for name, geometric in (("htmt", False), ("htmt2", True)):
            out[(f"f{a + 1} f{b + 1}", name)] = float(htmt(R, first, second, geometric=geometric))
    return out


def validity_hits(seed: int) -> dict[str, float]:
    """Which intervals of `assess_validity` cover, by kind."""
    found = sq.assess_validity(sample("ML", seed), MODEL, estimator="ML", draws=VALIDITY_DRAWS, rng=seed)
    bounds = {}
    for factor, row in found.factors.iterrows():
        bounds[(str(factor), "cr")] = (row["cr_low"], row["cr_high"])
        bounds[(str(factor), "ave")] = (row["ave_low"], row["ave_high"])
    for row in found.pairs.to_dict("records"):
        for name in ("htmt", "htmt2"):
            bounds[(f"{row['first']} {row['second']}", name)] = (row[f"{name}_low"], row[f"{name}_high"])
    hits = {k: bounds[k][0] <= v <= bounds[k][1] for k, v in validity_truth().items()}
    return {name: float(np.mean([h for k, h in hits.items() if k[1] == name])) for name in VALIDITY}


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
    if kind == "validity":
        return [{"kind": kind, **validity_hits(seed)} for seed in range(first, first + count)]
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
        (kind, first, min(chunk, replications - first))
        for kind in (*KINDS, "validity")
        for first in range(0, replications, chunk)
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
        known = {str(kind): {str(k): float(v) for k, v in row.dropna().items()} for kind, row in table.iterrows()}
        print(json.dumps({"n": N, "replications": arguments.replications} | known, indent=1))
    else:
        print(f"n = {N}, {arguments.replications} replications, target {TARGET[0]:.0%} to {TARGET[1]:.0%}")
        print(table.to_string(float_format="{:.3f}".format))
        print(f"{time.perf_counter() - start:.0f} s")
    models = table.loc[list(KINDS), ["loadings", "correlations"]].to_numpy().ravel()
    covered = np.concatenate([models, table.loc["validity", [*VALIDITY]].to_numpy(float)])
    return 0 if bool(((covered >= TARGET[0]) & (covered <= TARGET[1])).all()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
