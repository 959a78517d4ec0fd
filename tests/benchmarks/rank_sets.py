"""How often do confidence sets of ranks hold the true ranks, of one unit and of all at once?

Run as ``python -m tests.benchmarks.rank_sets [--trials 500]``. Four truths: the means and errors of PISA 2018; units
evenly apart; tight clusters; and all equal, where somebody wrongly set apart is a false claim. Errors are drawn from
1,000 draws a trial, as a bootstrap gives them. A set must hold every rank that a unit may have where units are tied.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.numerics.ranks import rank_sets
from tests.oracles import shared

Floats = npt.NDArray[np.float64]
DRAWS, LEVEL = 1000, 0.95


def truths() -> dict[str, tuple[Floats, Floats]]:
    """True values and standard errors."""
    rng = np.random.default_rng(3)
    pisa = pd.read_csv(shared("data", "pisa2018_math", "pisa2018_math_ranks.csv"))
    return {
        "PISA 2018": (pisa["score"].to_numpy(float), pisa["se"].to_numpy(float)),
        "evenly apart": (np.linspace(40, 60, 30), rng.uniform(0.5, 2.5, 30)),
        "clusters": (np.repeat([40.0, 50.0, 50.5], 10), rng.uniform(0.5, 1.5, 30)),
        "all equal": (np.full(30, 50.0), rng.uniform(0.5, 2.5, 30)),
    }


def coverage(truth: Floats, se: Floats, trials: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Shares of trials: all true ranks held at once; of units, the own rank held; trials with a unit called first."""
    least = 1 + (truth[None, :] > truth[:, None]).sum(axis=1)
    most = (truth[None, :] >= truth[:, None]).sum(axis=1)
    at_once, each, first = 0, 0.0, 0
    for _ in range(trials):
        errors = rng.normal(0, 1, (DRAWS, len(truth))) * se
        found = truth + rng.normal(0, 1, len(truth)) * se
        best, worst = rank_sets(found, errors, level=LEVEL, simultaneous=True)
        at_once += bool(((best <= least) & (worst >= most)).all())
        first += bool((worst == 1).any())
        best, worst = rank_sets(found, errors, level=LEVEL)
        each += float(((best <= least) & (worst >= most)).mean())
    return at_once / trials, each / trials, first / trials


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=500)
    trials = parser.parse_args().trials
    bound = LEVEL - 2 * math.sqrt(LEVEL * (1 - LEVEL) / trials)
    print(f"{trials} trials each; at once at least {bound:.1%}; declared first of equals at most {1 - bound:.1%}")
    for name, (truth, se) in truths().items():
        at_once, each, first = coverage(truth, se, trials, np.random.default_rng(1))
        state = "ok" if at_once >= bound and (name != "all equal" or first <= 1 - bound) else "BEYOND"
        print(f"{name:>14}: all at once {at_once:.1%}, of a unit {each:.1%}, somebody first {first:.1%}  {state}")


if __name__ == "__main__":
    main()
