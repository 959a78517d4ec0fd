"""How often do the 95 % intervals of the index, alpha and omega cover the truth?

Run as ``python -m tests.benchmarks.coverage [--replications 1000] [--json]``. The truth is the exact population value
of the discrete items. Weighted: two strata of equal size whose clients differ in satisfaction are reached with unequal
probability, so that the unweighted mean is biased and the weights undo it.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from sqmodel.errors import ComputationError, HeywoodWarning
from sqmodel.index.columns import Columns, Part, constant, weighted_sum
from sqmodel.index.scoring import build_index
from sqmodel.measurement.measure import qualify
from sqmodel.measurement.reliability import assess_reliability
from sqmodel.numerics.factoring import one_factor_ml
from sqmodel.numerics.reliability import omega_from_factor
from sqmodel.survey.responses import Responses
from sqmodel.survey.simple_population import SimplePopulation, simple_population
from sqmodel.survey.truth import cronbach

SIZES = (10, 50, 400)
ITEMS, DIMENSIONS, DRAWS, LEVEL = 5, 2, 1000, 0.95
LOADINGS = (0.8, 0.75, 0.7, 0.65, 0.6)
SYMMETRIC = (-1.8, -1.1, -0.4, 0.4, 1.1, 1.8)
SKEWED = (-2.2, -1.8, -1.4, -0.95, -0.4, 0.35)
"""Seven answers cut so that the items have the skewness of satisfaction ratings, about -1.1."""
REACHED = 0.25
"""Share of the sample that comes from the second stratum, half of the population."""
SHIFT = -0.6
"""Mean of the dimensions in the second stratum, in standard deviations of the first."""
TARGET = (0.93, 0.97)
THROUGH_BUILD_INDEX = 5
COEFFICIENTS = ("index", "alpha", "omega")


@dataclass(frozen=True)
class World:
    """A population of one or two strata, with the true values of what is estimated."""

    strata: tuple[SimplePopulation, ...]
    weighted: bool

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Exact mean and covariance of the answers over both strata."""
        means = np.array([s.mean for s in self.strata])
        mean = means.mean(axis=0)
        between = (means - mean).T @ (means - mean) / len(means)
        return mean, np.mean([s.covariance for s in self.strata], axis=0) + between

    def truth(self) -> dict[str, float]:
        """Index of all items; alpha and omega of the first dimension."""
        mean, covariance = self.moments()
        own = covariance[:ITEMS, :ITEMS]
        scoring = self.strata[0].scoring
        return {
            "index": float(((mean - 1) @ scoring).mean()),
            "alpha": cronbach(own),
            "omega": float(omega_from_factor(one_factor_ml(own).loadings, own)),
        }

    def skewness(self) -> float:
        """Mean skewness of the items."""
        cuts = np.array([s.thresholds for s in self.strata])
        below = np.concatenate([np.zeros((*cuts.shape[:2], 1)), ndtr(cuts), np.ones((*cuts.shape[:2], 1))], axis=2)
        shares = np.diff(below, axis=2).mean(axis=0)
        codes = np.arange(shares.shape[1])
        deviation = codes - (shares @ codes)[:, None]
        moment = [(shares * deviation**power).sum(axis=1) for power in (2, 3)]
        return float((moment[1] / moment[0] ** 1.5).mean())

    def sample(self, n: int, rng: np.random.Generator) -> Responses:
        """A sample in which each stratum has its own chance to be reached, with weights that undo it."""
        second = rng.random(n) < REACHED if self.weighted else np.zeros(n, bool)
        answers = np.empty((n, ITEMS * DIMENSIONS))
        for member, stratum in zip((~second, second), self.strata, strict=False):
            answers[member] = stratum.sample(1, int(member.sum()), rng=rng)[0]
        frame = pd.DataFrame(answers, columns=self.strata[0].instrument.item_codes)
        frame.insert(0, "respondent", [f"{k:04d}" for k in range(n)])
        if self.weighted:
            frame["sample_weight"] = np.where(second, 0.5 / REACHED, 0.5 / (1 - REACHED))
        return Responses(self.strata[0].instrument, frame)


def world(skewed: bool, weighted: bool) -> World:
    """The population of one row of the table."""
    first = simple_population(
        ITEMS, dimensions=DIMENSIONS, loadings=LOADINGS, thresholds=SKEWED if skewed else SYMMETRIC
    )
    if not weighted:
        return World((first,), weighted=False)
    moved = replace(first, thresholds=first.thresholds - SHIFT * first.loadings[:, None])
    return World((first, moved), weighted=True)


def index_interval(responses: Responses, seed: int) -> tuple[float, float, str]:
    """The interval of the overall index by the kernel that `build_index` uses."""
    book = Columns(responses.sample_weight)
    scores = responses.dimension_scores()
    means = [book.mean(scores[c]) for c in scores.columns]
    shares: list[Part] = [constant(1 / len(means))] * len(means)
    b = book.bootstrap([weighted_sum(shares, means)], rng=seed, draws=DRAWS, level=LEVEL)
    return max(float(b.low[0]), 0.0), min(float(b.high[0]), 100.0), b.method


def check_against_build_index(responses: Responses, seed: int, found: tuple[float, float, str]) -> None:
    """Raise unless `build_index` gives the same interval."""
    overall = build_index(qualify(responses), rng=seed, draws=DRAWS, level=LEVEL, minimum_n=2).overall
    if not np.allclose((overall.low, overall.high), found[:2], rtol=1e-9) or overall.method != found[2]:
        raise AssertionError(f"build_index: {overall} by {overall.method}, the kernel: {found}")


def replicate(task: tuple[bool, bool, int, int, int]) -> dict[str, Any]:
    """One chunk of replications of one cell: bounds by coefficient."""
    skewed, weighted, n, first, count = task
    warnings.simplefilter("ignore", HeywoodWarning)
    here, bounds = world(skewed, weighted), {name: np.full((count, 2), np.nan) for name in COEFFICIENTS}
    method = ""
    for k in range(count):
        seed = first + k
        responses = here.sample(n, np.random.default_rng([n, skewed, weighted, seed]))
        found = index_interval(responses, seed)
        if seed < THROUGH_BUILD_INDEX:
            check_against_build_index(responses, seed, found)
        bounds["index"][k], method = found[:2], found[2]
        try:
            result = assess_reliability(responses, items=responses.instrument.item_codes[:ITEMS], level=LEVEL)
        except ComputationError:
            continue
        for name in ("alpha", "omega"):
            bounds[name][k] = result.interval("D1", name)
    return {"cell": (skewed, weighted, n), "bounds": bounds, "method": method}


def measure(replications: int, processes: int) -> list[dict[str, Any]]:
    """Coverage of every cell."""
    cells = [(s, w, n) for s in (False, True) for w in (False, True) for n in SIZES]
    chunk = 50
    tasks = [
        (*cell, first, min(chunk, replications - first))
        for cell in sorted(cells, key=lambda c: -c[2])
        for first in range(0, replications, chunk)
    ]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read when the spawned processes import numpy
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        done = pool.map(replicate, tasks, chunksize=1)
    return [_row(cell, [d for d in done if d["cell"] == cell]) for cell in cells]


def _row(cell: tuple[bool, bool, int], chunks: list[dict[str, Any]]) -> dict[str, Any]:
    skewed, weighted, n = cell
    here = world(skewed, weighted)
    row: dict[str, Any] = {"n": n, "skewed": skewed, "weighted": weighted, "skewness": here.skewness()}
    row["index_method"] = chunks[0]["method"]
    for name, truth in here.truth().items():
        bounds = np.concatenate([c["bounds"][name] for c in chunks])
        known = ~np.isnan(bounds).any(axis=1)
        low, high = bounds[known].T
        row[name] = {
            "truth": truth,
            "coverage": float(((low <= truth) & (truth <= high)).mean()),
            "missed_below": float((high < truth).mean()),
            "missed_above": float((low > truth).mean()),
            "width": float(np.median(high - low)),
            "undefined": int((~known).sum()),
        }
    return row


def passed(row: dict[str, Any]) -> bool:
    """Whether all coverages of a cell of 50 or more lie in the target."""
    return row["n"] < 50 or all(TARGET[0] <= row[c]["coverage"] <= TARGET[1] for c in COEFFICIENTS)


def show(rows: list[dict[str, Any]], replications: int, seconds: float) -> None:
    """Print the table."""
    margin = 1.96 * math.sqrt(0.95 * 0.05 / replications)
    print(f"coverage of {LEVEL:.0%} intervals, {replications} replications (Monte Carlo margin {margin:.1%})")
    print(f"target {TARGET[0]:.0%} to {TARGET[1]:.0%} for n >= 50; alpha and omega by the jackknife on log(1 - x)")
    print("   n skewness weighted   index   alpha   omega  target  method of the index")
    for row in rows:
        shown = " ".join(f"{row[c]['coverage']:>7.1%}" for c in COEFFICIENTS)
        verdict = ("met" if passed(row) else "MISSED") if row["n"] >= 50 else "-"
        weighted = "yes" if row["weighted"] else "no"
        skewness = round(row["skewness"], 6) + 0.0
        print(f"{row['n']:>4} {skewness:>8.2f} {weighted:>8} {shown}  {verdict:6}  {row['index_method']}")
        lost = {c: row[c]["undefined"] for c in COEFFICIENTS if row[c]["undefined"]}
        if lost:
            print("     no interval in " + ", ".join(f"{v} replications of {c}" for c, v in lost.items()))
    print(f"{seconds:.0f} s")


def main() -> int:
    """Measure, print, and fail where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    start = time.perf_counter()
    rows = measure(arguments.replications, arguments.processes)
    seconds = time.perf_counter() - start
    if arguments.json:
        print(json.dumps({"replications": arguments.replications, "seconds": seconds, "rows": rows}, indent=1))
    else:
        show(rows, arguments.replications, seconds)
    return 0 if all(passed(row) for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
