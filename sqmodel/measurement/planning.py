"""How many respondents does a measurement model need? RMSEA power and Monte Carlo with the model itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel import compute
from sqmodel.errors import InputError
from sqmodel.measurement.model_population import Model, population_of
from sqmodel.measurement.simulation_outcome import TESTED, by_kind, simulate
from sqmodel.numerics.sem.power import rmsea_power, rmsea_sample_size
from sqmodel.result import Result

RMSEA_TESTS = {"close fit": (0.05, 0.08), "not close fit": (0.05, 0.01), "exact fit": (0.0, 0.05)}
"""Null and true RMSEA of MacCallum, Browne & Sugawara's (1996) three tests."""
COVERAGE, BIAS = (-0.04, 0.03), 0.10
"""Muthen & Muthen's (2002) limits: coverage of 95 % intervals from .91 to .98, here as distances from the level, and
relative bias of estimates and standard errors."""


@dataclass(frozen=True, repr=False)
class SamplePlan(Result):
    """What a measurement model would show in samples of several sizes.

    Attributes
    ----------
    settings : dict
    df : int
        Degrees of freedom of the model.
    smallest : int or None
        The smallest of the sizes tried in which every loading, factor correlation and residual covariance has the
        wanted power; None where no size has.
    rmsea : DataFrame
        A row a test of RMSEA: test, rmsea0, rmsea_a, n (smallest for the wanted power), power (reached with it).
    simulation : DataFrame, one row a size
        n, replications, converged (share that found a minimum and identified parameters), proper (share of all
        without negative variances and with a possible matrix of factors), rejected (share of the converged in which
        the chi-square test rejects the true model; 1 - level is right).
    kinds : DataFrame
        By n and kind of parameter (loading, factor correlation, residual covariance, residual variance): parameters,
        power and lowest_power (of the mean and the weakest parameter), coverage, bias (mean relative one), se_bias.
    parameters : DataFrame
        By n and parameter: kind, lhs, op, rhs, value (in the population), mean, sd (of the estimates), se (mean
        standard error), bias (relative; absolute where the value is 0), se_bias (se / sd - 1), coverage, power.
    needed : DataFrame
        criterion, n: from which sample on; NaN where none of the sizes tried reaches it.
    notes : tuple of str
    """

    settings: dict[str, Any]
    df: int
    smallest: int | None
    rmsea: pd.DataFrame
    simulation: pd.DataFrame
    kinds: pd.DataFrame
    parameters: pd.DataFrame
    needed: pd.DataFrame
    notes: tuple[str, ...]

    def _headline(self) -> str:
        target = f"{self.settings['target']:.0%}"
        found = f"from n={self.smallest}" if self.smallest else "in none of the sizes tried"
        n = float(self.rmsea["n"].iloc[0])
        close = f", test of {self.rmsea['test'].iloc[0]} from n={n:.0f}" if math.isfinite(n) else ""
        return (
            f"{len(self.settings['items'])} items, {len(self.settings['factors'])} factors, df={self.df}: "
            f"{target} power of all parameters {found}{close}"
        )


def plan_sample(
    model: Model,
    *,
    loadings: float | Sequence[float] | Mapping[str, float] | None = None,
    factor_correlation: float | npt.ArrayLike | None = None,
    categories: int | None = None,
    thresholds: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    sizes: Sequence[int] = (100, 200, 400),
    replications: int = 200,
    estimator: str | None = None,
    target: float = 0.80,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> SamplePlan:
    """How many respondents does this model need?

    Two answers. The power of the RMSEA tests follows from the degrees of freedom alone (MacCallum, Browne & Sugawara
    1996). All else depends on the loadings: samples are drawn from a population with the values given, the model is
    fitted to each, and its estimates are compared with the population's (Muthen & Muthen 2002). Factors have unit
    variance in population and analysis; the search starts at the population's values, as in Mplus.

    Continuous answers are multivariate normal. For ML their covariance matrices are drawn themselves (Wishart), so
    that the time does not depend on n; MLR and MLM need the answers. Ordered answers are normal ones cut at
    thresholds; a category that nobody chose in a sample is merged with its neighbour, as an analyst would do.

    A share p of R replications has a Monte Carlo standard error of sqrt(p (1 - p) / R): .028 for .80 of 200.

    Parameters
    ----------
    model : str, mapping, Instrument or SimplePopulation
        lavaan's syntax in which a number before every loading and covariance is the population's value of a free
        parameter, as in ``f =~ 0.7*x1 + 0.6*x2``, ``f ~~ 0.3*g``. Factors have unit variance; items too, unless
        residual variances are written. Covariances that are not written are 0, those of factors free nevertheless.
        Or factor -> items, or an instrument's dimensions, with `loadings` and `factor_correlation`. A
        SimplePopulation brings its own values.
    loadings : float, sequence or mapping, optional
        Standardised: of all items, of each in the order of the model, or by item; 0.7 by default.
    factor_correlation : float or array, optional
        Of all pairs, or the matrix; 0.6 by default.
    categories : int, optional
        Ordered answers with so many categories. Without it and `thresholds` answers are continuous, but for a
        SimplePopulation, or an estimator for ordered answers (then 5 categories, or those of the instrument).
    thresholds : sequence or mapping, optional
        Cuts of the normal variables, of all items or by item; by default -2.5 to 2.5 in parts of one width.
    sizes : sequence of int
        Respondents.
    replications : int
        Samples of each size.
    estimator : str, optional
        ``ML`` (default), ``MLR``, ``MLM``; ordered answers ``WLSMV`` (default), ``ULSMV``, ``DWLS``, ``ULS``.
    target : float
        The wanted power.
    level : float
        Confidence level of the intervals; all tests use 1 - level.
    rng : Generator or int

    Raises
    ------
    InputError
        A population that cannot be: communalities above 1, correlations that are not positive definite; values
        missing in the text; sizes not above the number of items; an estimator for other answers.
    ComputationError
        A model that is not identified in this population.

    Examples
    --------
    >>> plan = plan_sample({"f": ["a", "b", "c", "d"]}, loadings=0.7, sizes=(50, 100), replications=20)
    >>> plan.df, plan.smallest
    (2, 50)
    """
    _check_arguments(sizes, replications, target, level)
    population = population_of(
        model, loadings=loadings, factor_correlation=factor_correlation, categories=categories, thresholds=thresholds,
        estimator=estimator,
    )  # fmt: skip
    small = [n for n in sizes if n <= len(population.table.items)]
    if small:
        raise InputError(
            "plan_sample", [f"expected sizes above the {len(population.table.items)} items, found {n}" for n in small]
        )
    simulation = population.simulation()
    df, alpha = simulation.df(), 1 - level
    streams = np.random.default_rng(rng).spawn(len(sizes))
    # Each size has random numbers of its own, so that it may be simulated anywhere.
    outcomes = compute.map(
        simulate, [(simulation, n, replications, stream) for n, stream in zip(sizes, streams, strict=True)]
    )
    shares = pd.DataFrame([outcome.shares(alpha) for outcome in outcomes])
    by_parameter = pd.concat([outcome.parameters(population, alpha) for outcome in outcomes], ignore_index=True)
    kinds, rmsea = by_kind(by_parameter), _rmsea(df, target, alpha)
    needed, smallest = _needed(shares, kinds, rmsea, target, level)
    settings = {
        "items": list(population.table.items), "factors": list(population.table.factors),
        "estimator": population.estimator, "categories": [len(c) + 1 for c in population.cuts],
        "sizes": [int(n) for n in sizes], "replications": replications, "target": target, "level": level,
        "rng": rng if isinstance(rng, int) else "Generator",
    }  # fmt: skip
    notes = _notes(shares, df, smallest, target)
    return SamplePlan(settings, df, smallest, rmsea, shares, kinds, by_parameter, needed, notes)


def _check_arguments(sizes: Sequence[int], replications: int, target: float, level: float) -> None:
    problems = [] if len(sizes) else ["expected at least one size, found none"]
    problems += [f"expected whole sizes above 0, found {n}" for n in sizes if n != int(n) or n <= 0]
    if replications < 2:
        problems.append(f"expected at least 2 replications, found {replications}")
    for name, value in (("target", target), ("level", level)):
        if not 0 < value < 1:
            problems.append(f"expected {name} between 0 and 1, found {value:g}")
    if problems:
        raise InputError("plan_sample", problems)


def _rmsea(df: int, target: float, alpha: float) -> pd.DataFrame:
    rows = []
    for test, (null, true) in RMSEA_TESTS.items():
        n = rmsea_sample_size(df, null, true, power=target, alpha=alpha) if df else math.nan
        power = rmsea_power(df, n, null, true, alpha=alpha) if df else math.nan
        rows.append({"test": test, "rmsea0": null, "rmsea_a": true, "n": n, "power": power})
    return pd.DataFrame(rows)


def _needed(
    simulation: pd.DataFrame, kinds: pd.DataFrame, rmsea: pd.DataFrame, target: float, level: float
) -> tuple[pd.DataFrame, int | None]:
    """From which n on each criterion holds, and the smallest size in which all powers reach the target."""
    good: dict[str, pd.Series[bool]] = {}
    by_n = kinds.set_index("n")
    for kind in TESTED:
        lowest = by_n.loc[by_n["kind"] == kind, "lowest_power"].dropna()
        if len(lowest):
            good[f"power of every {kind}"] = lowest >= target
    powers = list(good.values())
    sizes = pd.Index(simulation["n"])
    reached = pd.concat(powers, axis=1).all(axis=1) if powers else pd.Series(False, index=sizes)
    grouped = by_n.groupby(level=0, sort=False)
    low, high = (level + distance for distance in COVERAGE)
    good["coverage of intervals"] = grouped["coverage"].agg(lambda c: bool(c.between(low, high).all()))
    good["bias of estimates"] = grouped["bias"].agg(lambda b: bool((b.abs().dropna() <= BIAS).all()))
    good["bias of standard errors"] = grouped["se_bias"].agg(lambda b: bool((b.abs() <= BIAS).all()))
    good["bias of estimates"] &= simulation.set_index("n")["converged"] > 0
    good["proper solutions"] = simulation.set_index("n")["proper"] >= target
    rows = [{"criterion": f"power of the test of {r.test}", "n": r.n} for r in rmsea.itertuples()]
    rows += [{"criterion": name, "n": _first(flags)} for name, flags in good.items()]
    smallest = _first(reached)
    return pd.DataFrame(rows), None if math.isnan(smallest) else int(smallest)


def _first(flags: pd.Series[bool]) -> float:
    return min((float(n) for n, held in zip(flags.index.tolist(), flags, strict=True) if held), default=math.nan)


def _notes(simulation: pd.DataFrame, df: int, smallest: int | None, target: float) -> tuple[str, ...]:
    notes = []
    if not df:
        notes.append("the model has no degrees of freedom: its fit cannot be tested")
    sizes = simulation["n"]
    if smallest is None:
        notes.append(f"no size up to {sizes.max()} gives every parameter a power of {target:g}; try larger ones")
    elif smallest == sizes.min():
        notes.append(f"already the smallest size tried, {smallest}, gives every parameter a power of {target:g}")
    shares = zip(sizes, simulation["converged"], strict=True)
    notes += [f"{1 - share:.1%} of the samples of {n} gave no solution" for n, share in shares if share < 1]
    return tuple(notes)
