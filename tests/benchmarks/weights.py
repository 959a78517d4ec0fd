"""Do the intervals of index weights hold the weights of the population as often as they say?

Run as ``python -m tests.benchmarks.weights [--replications 400] [--sizes 50 200 400] [--draws 1000] [--json]``. Surveys
of three dimensions on seven-point items, with points and satisfaction, are drawn from one population, whose weights are
those of half a million of its respondents. Printed is, for each method and size, the share of intervals that hold the
true weight, over all dimensions and for the dimension where it is least, and the mean width.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from typing import Any, cast, get_args

import numpy as np
import pandas as pd

from sqmodel.errors import ComputationError
from sqmodel.index.weight_methods import Derived, sample_for, weights_from
from sqmodel.index.weighting import Method, derive_weights
from tests.index.surveys import DIMENSIONS, measured, quarter

POPULATION = 500_000
LEVELS = {"e1": 1.4, "e2": 1.4, "r1": -1.0, "r2": -1.0}
"""What makes the dimensions unlike: the first is near the upper end of the scale, the last lower and wider."""
METHODS: tuple[Method, ...] = ("allocation", *get_args(Derived))


def truth() -> dict[str, np.ndarray]:
    """Weights of the population by method."""
    whole = measured(quarter(POPULATION, 20_261_130, **LEVELS))
    found = {"allocation": whole.current.allocation.mean().to_numpy()}
    for method in get_args(Derived):
        sample = sample_for(whole, method)
        found[method] = weights_from(sample.columns.sum(axis=0), method, len(DIMENSIONS))
    return found


def cover(n: int, replications: int, draws: int, known: dict[str, np.ndarray]) -> pd.DataFrame:
    """Coverage and width by method."""
    held: dict[str, list[np.ndarray]] = {m: [] for m in METHODS}
    width: dict[str, list[float]] = {m: [] for m in METHODS}
    refused = dict.fromkeys(METHODS, 0)
    for seed in range(replications):
        survey = measured(quarter(n, seed, **LEVELS))
        for method in METHODS:
            try:
                table = derive_weights(survey, method=method, draws=draws, rng=seed).table
            except ComputationError:
                refused[method] += 1
                continue
            held[method].append(((table["low"] <= known[method]) & (known[method] <= table["high"])).to_numpy())
            width[method].append(float((table["high"] - table["low"]).mean()))
    rows = {
        m: {"n": n, "coverage": float(np.mean(held[m])), "least": float(np.mean(held[m], axis=0).min()),
            "width": float(np.mean(width[m])), "refused": refused[m]}
        for m in METHODS
    }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200, 400])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    known, begun = truth(), time.perf_counter()
    found = pd.concat([cover(n, asked.replications, asked.draws, known) for n in asked.sizes]).reset_index()
    if asked.json:
        print(json.dumps({"coverage": cast(Any, found.to_dict("records")), "seconds": time.perf_counter() - begun}))
        return
    print(pd.DataFrame(known, index=list(DIMENSIONS)).round(3).to_string())
    print(found.round(3).to_string(index=False))
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
