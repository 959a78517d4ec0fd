"""How often does a prediction interval hold the true value of a further unit?

Run as ``python -m tests.benchmarks.prediction [--trials 400]``. Units differ by a standard deviation of 0 to 3 typical
errors; errors are equal or differ up to fourfold. Beside `prediction_interval` stands the usual one of Higgins,
Thompson and Spiegelhalter (2009) with REML and Knapp and Hartung's error, which takes the estimated spread for the
true one.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from sqmodel.numerics.prediction import prediction_interval
from sqmodel.numerics.random_effects import pool_effects

UNITS, SPREADS, ERRORS, LEVEL = (3, 5, 8, 12, 24, 60), (0.0, 0.2, 0.5, 1.0, 3.0), (1.0, 4.0), 0.95
Bounds = tuple[float, float]


def usual(estimates: np.ndarray, errors: np.ndarray) -> Bounds:
    """The interval that takes the estimated spread for the true one, with n - 2 degrees of freedom."""
    found = pool_effects(estimates, errors)
    reach = stats.t.ppf((1 + LEVEL) / 2, found.df - 1) * np.sqrt(found.tau2 + found.se[0] ** 2)
    return found.mean - reach, found.mean + reach


def held(bounds: Bounds, spread: float) -> float:
    """The chance that a further unit, around 0, lies within."""
    if not spread:
        return float(bounds[0] <= 0 <= bounds[1])
    return float(np.diff(stats.norm.cdf(np.array(bounds) / spread))[0])


def measure(units: int, spread: float, ratio: float, trials: int) -> tuple[float, float]:
    """Coverage of `prediction_interval` and of the usual interval."""
    rng = np.random.default_rng([units, int(10 * spread), int(ratio)])
    found = []
    for _ in range(trials):
        errors = ratio ** rng.uniform(-0.5, 0.5, units)
        estimates = spread * rng.standard_normal(units) + errors * rng.standard_normal(units)
        own = prediction_interval(estimates, errors, level=LEVEL)
        found.append((held(own, spread), held(usual(estimates, errors), spread)))
    both = np.mean(found, axis=0)
    return float(both[0]), float(both[1])


def main() -> None:
    """Print a line for each case, and the least and most of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    trials = parser.parse_args().trials
    print(f"coverage of {LEVEL:.0%} prediction intervals, {trials} trials a case")
    print("units  spread  errors up to  ours   usual")
    rows = []
    for units in UNITS:
        for spread in SPREADS:
            for ratio in ERRORS:
                rows.append(measure(units, spread, ratio, trials))
                print(f"{units:5d}  {spread:6.1f}  {ratio:12.0f}  {rows[-1][0]:.3f}  {rows[-1][1]:.3f}", flush=True)
    for k, name in enumerate(("ours", "usual")):
        print(f"{name}: {min(r[k] for r in rows):.3f} to {max(r[k] for r in rows):.3f}")


if __name__ == "__main__":
    main()
