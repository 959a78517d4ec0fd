"""How many respondents does a measurement model need? RMSEA power and Monte Carlo with the model itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.errors import ComputationError, InputError
from sqmodel.measurement.confirmatory import ESTIMATORS, SINGULAR
from sqmodel.measurement.model_table import Cell, Options, Table, complete
from sqmodel.measurement.syntax import Row, parse_model
from sqmodel.numerics.polychoric import codes_of, polychoric
from sqmodel.numerics.sem.estimation import (
    Estimated,
    complete_sample,
    fit_least_squares,
    fit_normal,
    smallest_eigenvalue,
    srmr_normal,
    unweighted,
)
from sqmodel.numerics.sem.fit import cfi
from sqmodel.numerics.sem.model import Block, Matrix, lower, residual_variances
from sqmodel.numerics.sem.power import ordered_answers, rmsea_power, rmsea_sample_size, symmetric_cuts, wishart
from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.samples import LeastSquares, Normal
from sqmodel.numerics.sem.solve import Solution, information_of, minimise
from sqmodel.numerics.threads import one_blas_thread
from sqmodel.result import Result
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.simple_population import SimplePopulation

Floats = npt.NDArray[np.float64]
Key = tuple[str, str, str]
Model = str | Mapping[str, Sequence[str]] | Instrument | SimplePopulation

LOADING, FACTOR_CORRELATION = 0.7, 0.6
"""Of populations given by their items alone; those of `simple_population`."""
CATEGORIES = 5
RMSEA_TESTS = {"close fit": (0.05, 0.08), "not close fit": (0.05, 0.01), "exact fit": (0.0, 0.05)}
"""Null and true RMSEA of MacCallum, Browne & Sugawara's (1996) three tests."""
COVERAGE, BIAS = (-0.04, 0.03), 0.10
"""Muthen & Muthen's (2002) limits: coverage of 95 % intervals from .91 to .98, here as distances from the level, and
relative bias of estimates and standard errors."""
KINDS = ("loading", "factor correlation", "residual covariance", "residual variance")
TESTED = KINDS[:3]
"""Kinds whose power counts: that a residual variance is not zero is no finding."""


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
    study = population.study()
    df, alpha = study.df(), 1 - level
    streams = np.random.default_rng(rng).spawn(len(sizes))
    rows, parameters = [], []
    for n, stream in zip(sizes, streams, strict=True):
        outcome = _Outcome.of(study, n, replications, stream)
        rows.append(outcome.shares(alpha))
        parameters.append(outcome.parameters(population, alpha))
    simulation, by_parameter = pd.DataFrame(rows), pd.concat(parameters, ignore_index=True)
    kinds, rmsea = _kinds(by_parameter), _rmsea(df, target, alpha)
    needed, smallest = _needed(simulation, kinds, rmsea, target, level)
    settings = {
        "items": list(population.table.items), "factors": list(population.table.factors),
        "estimator": population.estimator, "categories": [len(c) + 1 for c in population.cuts],
        "sizes": [int(n) for n in sizes], "replications": replications, "target": target, "level": level,
        "rng": rng if isinstance(rng, int) else "Generator",
    }  # fmt: skip
    notes = _notes(simulation, df, smallest, target)
    return SamplePlan(settings, df, smallest, rmsea, simulation, kinds, by_parameter, needed, notes)


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


@dataclass(frozen=True)
class Population:
    """A measurement model with a value for every parameter.

    Attributes
    ----------
    table : Table
        The model as it is analysed, factors with unit variance.
    values : dict
        Of every loading, variance and covariance by (lhs, op, rhs) of the table.
    sigma : array, p x p
        Covariances of the items, or of the normal variables behind them.
    cuts : tuple of array
        Thresholds of every item; empty for continuous answers.
    estimator : str
    """

    table: Table
    values: dict[Key, float]
    sigma: Floats
    cuts: tuple[Floats, ...]
    estimator: str

    def study(self) -> Study:
        """The population's own model in its own samples.

        Raises
        ------
        ComputationError
            The values do not determine every parameter.
        """
        start = np.zeros(self.table.q)
        for cell in self.table.cells:
            if cell.free >= 0:
                start[cell.free] = self.values.get(cell[:3], 0.0)
        study = Study(self.table, start, self.estimator, self.sigma, np.zeros(len(self.sigma)), self.cuts)
        study.check()
        return study


class Fit(NamedTuple):
    """A model fitted to a sample, of as many categories as the sample shows."""

    table: Table
    estimated: Estimated


@dataclass(frozen=True)
class Study:
    """Samples from a population, and a model fitted to them; the model need not be the population's.

    Attributes
    ----------
    table : Table
        The model, of one group.
    start : array, q
        Where the search starts; thresholds start at the sample's own.
    estimator : str
    sigma : array, p x p
    mean : array, p
    cuts : tuple of array
        Thresholds of every item; empty for continuous answers.
    """

    table: Table
    start: Floats
    estimator: str
    sigma: Floats
    mean: Floats
    cuts: tuple[Floats, ...] = ()

    def df(self) -> int:
        """Degrees of freedom."""
        p = len(self.table.items)
        if self.cuts:
            return sum(map(len, self.cuts)) + p * (p - 1) // 2 - self.table.q
        return p * (p + 1) // 2 + p * self._blocks[0].mean_structure - self.table.q

    def check(self) -> None:
        """Raise ComputationError where the model is not identified at its start in a sample like the population."""
        if self.df() < 0:
            raise ComputationError(
                f"expected no more parameters than moments, found {-self.df()} too many; use more items a factor"
            )
        # Thresholds are free and identified: what remains is the covariance structure, ordered or not.
        block = self._blocks[0]
        if self.cuts:
            row, column = lower(block.p, diagonal=False)
            observed = np.concatenate([*self.cuts, self.sigma[row, column]])
            sample: LeastSquares | Normal = LeastSquares(1.0, observed, np.ones(len(observed)))
        else:
            sample = Normal.of(1.0, self.mean, self.sigma)
        curvature = information_of([block], [sample], self._started(self.table, np.concatenate([*self.cuts, []])))
        if smallest_eigenvalue(curvature) < SINGULAR:
            raise ComputationError(
                "expected values that determine every parameter, found a model that is not identified; "
                "use at least three items a factor, or two where factors correlate"
            )

    def fits(self, n: int, replications: int, rng: np.random.Generator) -> Iterator[Fit | None]:
        """The model fitted to samples of n; None where the sample carries no such model or the search failed."""
        draw = self._ordered if self.cuts else self._wishart if self.estimator == "ML" else self._answers
        return draw(n, replications, rng)

    def indices(self, n: int, replications: int, rng: np.random.Generator, suffix: str = "") -> Floats:
        """SRMR, RMSEA and CFI of the fits (replications x 3); NaN where the search failed.

        Parameters
        ----------
        n, replications, rng
        suffix : str
            Of lavaan's names of RMSEA and CFI: "", ".scaled" or ".robust".
        """
        out = np.full((replications, 3), np.nan)
        with one_blas_thread(), np.errstate(all="ignore"):
            if self.cuts or self.estimator != "ML":
                names = ("srmr", f"rmsea{suffix}", f"cfi{suffix}")
                for k, found in enumerate(self.fits(n, replications, rng)):
                    if found is not None and found.estimated.solution.converged:
                        out[k] = [found.estimated.fit[name] for name in names]
                return out
            # A wrong model has its own nearest point to the population, from which samples are a few steps away.
            nearest = self._search(Normal.of(float(n), self.mean, self.sigma), self.start)
            start = self.start if nearest is None else nearest.theta
            for k, sample in enumerate(self._moments(n, replications, rng)):
                solution = self._search(sample, start)
                if solution is not None:
                    out[k] = self._likelihood_indices(sample, solution)
        return out

    def _search(self, sample: Normal, start: Floats) -> Solution | None:
        try:
            solution = minimise(self._blocks, [sample], start, tolerance=1e-10)
        except (ComputationError, np.linalg.LinAlgError):
            return None
        return solution if solution.converged else None

    def _likelihood_indices(self, sample: Normal, solution: Solution) -> tuple[float, float, float]:
        """What `fit_normal` finds, without the errors and intervals that take most of its time."""
        df, p = self.df(), len(self.sigma)
        chisq = 2 * sample.n * solution.value
        # Free means and variances fit exactly: what is left of the baseline is the determinant of the correlations.
        null = sample.n * (float(np.log(np.diag(sample.cov)).sum()) - sample.log_det)
        rmsea = math.sqrt(max(chisq / df - 1, 0.0) / sample.n)
        return srmr_normal(self._blocks, [sample], solution.theta), rmsea, cfi(chisq, df, null, p * (p - 1) // 2)

    @cached_property
    def _blocks(self) -> list[Block]:
        return self.table.blocks()

    @cached_property
    def _root(self) -> Floats:
        return np.asarray(np.linalg.cholesky(self.sigma), dtype=float)

    def _wishart(self, n: int, replications: int, rng: np.random.Generator) -> Iterator[Fit | None]:
        for sample in self._moments(n, replications, rng):
            yield self._continuous(sample, None)

    def _moments(self, n: int, replications: int, rng: np.random.Generator) -> Iterator[Normal]:
        means = self.mean + rng.standard_normal((replications, len(self.mean))) @ self._root.T / np.sqrt(n)
        for mean, cov in zip(means, wishart(replications, n, self.sigma, rng), strict=True):
            yield Normal.of(float(n), mean, cov)

    def _answers(self, n: int, replications: int, rng: np.random.Generator) -> Iterator[Fit | None]:
        for _ in range(replications):
            answers = Answers(self.mean + rng.standard_normal((n, len(self.mean))) @ self._root.T, None, None)
            yield self._continuous(complete_sample(answers), answers)

    def _continuous(self, sample: Normal, answers: Answers | None) -> Fit | None:
        blocks, given = self._blocks, None if answers is None else [answers]
        try:
            if self.estimator == "ULSM" and answers is not None:
                moments, gamma = unweighted(blocks[0], sample, answers)
                fitted = fit_least_squares(blocks, [moments], [gamma], self.start, estimator="ULSM")
                unbiased = Normal.of(sample.n, sample.mean, sample.cov * (sample.n / (sample.n - 1)))
                srmr = srmr_normal(blocks, [unbiased], fitted.solution.theta)
                fitted = replace(fitted, fit=fitted.fit | {"srmr": srmr})
            else:
                fitted = fit_normal(blocks, [sample], self.start, answers=given, estimator=self.estimator)
        except (ComputationError, np.linalg.LinAlgError):
            return None
        return Fit(self.table, fitted)

    def _ordered(self, n: int, replications: int, rng: np.random.Generator) -> Iterator[Fit | None]:
        for _ in range(replications):
            codes, values = codes_of(ordered_answers(n, self._root, list(self.cuts), rng))
            shown = {item: len(v) for item, v in zip(self.table.items, values, strict=True)}
            try:
                yield self._polychoric(n, codes, without_categories(self.table, shown))
            except (ComputationError, np.linalg.LinAlgError):
                yield None

    def _polychoric(self, n: int, codes: npt.NDArray[np.uint8], table: Table) -> Fit:
        found = polychoric(codes)
        assert found.acov is not None
        row, column = lower(len(self.sigma), diagonal=False)
        observed = np.concatenate([found.thresholds, found.correlation[row, column]])
        unit = self.estimator.startswith("ULS")
        sample = LeastSquares(float(n), observed, np.ones(len(observed)) if unit else 1 / np.diag(found.acov))
        blocks = self._blocks if table is self.table else table.blocks()
        start = self._started(table, found.thresholds)
        return Fit(table, fit_least_squares(blocks, [sample], [found.acov], start, estimator=self.estimator))

    def _started(self, table: Table, thresholds: Floats) -> Floats:
        """The start, with the sample's thresholds, for a table with the same or fewer categories."""
        own = {cell[:3]: self.start[cell.free] for cell in self.table.cells if cell.free >= 0}
        start = np.zeros(table.q)
        for cell in table.cells:
            if cell.free >= 0:
                start[cell.free] = thresholds[cell.row] if cell.matrix is Matrix.THRESHOLD else own[cell[:3]]
        return start


def without_categories(table: Table, categories: Mapping[str, int]) -> Table:
    """The model of one group for items of which a sample shows fewer categories: their last thresholds left out."""
    if all(table.options.categories[i] == k for i, k in categories.items()):
        return table
    cells: list[Cell] = []
    position, numbers = 0, dict[int, int]()
    for cell in table.cells:
        if cell.matrix is Matrix.THRESHOLD:
            if int(cell.rhs[1:]) >= categories[cell.lhs]:
                continue
            cell, position = cell._replace(row=position), position + 1
        free = numbers.setdefault(cell.free, len(numbers)) if cell.free >= 0 else -1
        cells.append(cell._replace(free=free))
    options = replace(table.options, categories=dict(categories))
    return replace(table, cells=tuple(cells), q=len(numbers), options=options)


def proper(estimated: Estimated) -> bool:
    """No negative variance, and a possible covariance matrix of the factors."""
    block, at = estimated.blocks[0], estimated.implied()[0]
    psi = at.factor_cov
    variance = np.diag(psi)
    if (residual_variances(block, at) < -1e-8).any() or (variance < -1e-8).any():
        return False
    size = np.sqrt(np.maximum(variance, 1e-12))
    return bool(np.linalg.eigvalsh(psi / np.outer(size, size))[0] >= -1e-6)


class _Outcome(NamedTuple):
    """What the replications of one size gave; a row a replication, NaN where it failed."""

    n: int
    keys: list[Key]
    estimate: Floats
    se: Floats
    pvalue: Floats
    converged: npt.NDArray[np.bool_]
    proper: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, study: Study, n: int, replications: int, rng: np.random.Generator) -> _Outcome:
        keys = [c[:3] for c in study.table.cells if c.free >= 0 and _kind(c, study.table.items)]
        estimate, se = (np.full((replications, len(keys)), np.nan) for _ in range(2))
        pvalue = np.full(replications, np.nan)
        converged, good = (np.zeros(replications, dtype=bool) for _ in range(2))
        with one_blas_thread(), np.errstate(all="ignore"):
            for r, found in enumerate(study.fits(n, replications, rng)):
                if found is None:
                    continue
                table, fitted = found
                place = {c[:3]: c.free for c in table.cells if c.free >= 0}
                at = [place[k] for k in keys]
                estimate[r], se[r] = fitted.solution.theta[at], fitted.se[at]
                pvalue[r] = fitted.fit.get("pvalue.scaled", fitted.fit["pvalue"])
                converged[r] = fitted.solution.converged and not fitted.singular < SINGULAR
                good[r] = converged[r] and proper(fitted)
        return cls(n, keys, estimate, se, pvalue, converged, good)

    def shares(self, alpha: float) -> dict[str, float]:
        tested = self.pvalue[self.converged & np.isfinite(self.pvalue)]
        rejected = float((tested < alpha).mean()) if len(tested) else math.nan
        return {
            "n": int(self.n), "replications": len(self.pvalue), "converged": float(self.converged.mean()),
            "proper": float(self.proper.mean()), "rejected": rejected,
        }  # fmt: skip

    def parameters(self, population: Population, alpha: float) -> pd.DataFrame:
        """Estimates of converged replications against the population, a row a parameter."""
        z = stats.norm.isf(alpha / 2)
        cells = {c[:3]: c for c in population.table.cells}
        rows = []
        for key, estimates, errors in zip(self.keys, self.estimate.T, self.se.T, strict=True):
            kind, value = _kind(cells[key], population.table.items), population.values.get(key, 0.0)
            used = self.converged & (errors > 0)
            est, se = estimates[used], errors[used]
            sd = float(est.std(ddof=1)) if len(est) > 1 else math.nan
            mean, error = (float(est.mean()), float(se.mean())) if len(est) else (math.nan, math.nan)
            covered = float((np.abs(est - value) <= z * se).mean()) if len(est) else math.nan
            # Nothing can be found where nothing is: the rejections of a true zero are no power.
            counts = kind in TESTED and value != 0 and len(est)
            rows.append({
                "n": int(self.n), "kind": kind, "lhs": key[0], "op": key[1], "rhs": key[2], "value": value,
                "mean": mean, "sd": sd, "se": error, "bias": mean / value - 1 if value else mean,
                "se_bias": error / sd - 1 if sd else math.nan, "coverage": covered,
                "power": float((np.abs(est) > z * se).mean()) if counts else math.nan,
            })  # fmt: skip
        return pd.DataFrame(rows)


def _kind(cell: Cell, items: Sequence[str]) -> str:
    """One of `KINDS`; "" for thresholds and means, which the plan does not look at."""
    if cell.op == "=~":
        return "loading"
    if cell.op != "~~":
        return ""
    if cell.lhs not in items:
        return "factor correlation" if cell.lhs != cell.rhs else ""
    return "residual variance" if cell.lhs == cell.rhs else "residual covariance"


def _kinds(parameters: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (n, kind), own in parameters.groupby(["n", "kind"], sort=False):
        relative = own.loc[own["value"] != 0, "bias"]
        rows.append({
            "n": n, "kind": kind, "parameters": len(own), "power": own["power"].mean(),
            "lowest_power": own["power"].min(), "coverage": own["coverage"].mean(), "bias": relative.mean(),
            "se_bias": own["se_bias"].mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


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


def population_of(
    model: Model,
    *,
    loadings: float | Sequence[float] | Mapping[str, float] | None = None,
    factor_correlation: float | npt.ArrayLike | None = None,
    categories: int | None = None,
    thresholds: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    estimator: str | None = None,
) -> Population:
    """The population that `plan_sample` draws from; see there.

    Raises
    ------
    InputError
        A population that cannot be.
    """
    known = [name for names in ESTIMATORS.values() for name in names]
    if estimator not in (None, *known):
        raise InputError("population", [f"expected an estimator ({', '.join(known)}), found {estimator!r}"])
    if isinstance(model, SimplePopulation | str):
        given = {"loadings": loadings, "factor_correlation": factor_correlation}
        surplus = [name for name, value in given.items() if value is not None]
        if surplus:
            kind = "a model's text" if isinstance(model, str) else "a SimplePopulation"
            raise InputError(
                "population", [f"expected the values of {kind} alone, found {name} as well" for name in surplus]
            )
    if isinstance(model, str):
        written = parse_model(model)
        _check_text(written)
    elif isinstance(model, SimplePopulation):
        written = _written(model.instrument.structure(), _by_dimension(model), model.factor_correlation)
    else:
        structure = model.structure() if isinstance(model, Instrument) else model
        written = _written(
            structure, LOADING if loadings is None else loadings,
            FACTOR_CORRELATION if factor_correlation is None else factor_correlation,
        )  # fmt: skip
    items = _items(written)
    cuts = _cuts(model, items, categories, thresholds, estimator)
    chosen = estimator or ("WLSMV" if cuts else "ML")
    kind = "ordered" if cuts else "continuous"
    if chosen not in ESTIMATORS[kind]:
        raise InputError(
            "population",
            [f"expected an estimator for {kind} answers ({', '.join(ESTIMATORS[kind])}), found {chosen!r}"],
        )
    options = Options(
        std_lv=True, categories={i: len(c) + 1 for i, c in zip(items, cuts, strict=True)} if cuts else {},
    )  # fmt: skip
    table = complete([row._replace(fixed=(), start=()) for row in written], 1, options)
    values, sigma = _completed(table, written)
    return Population(table, values, sigma, cuts, chosen)


def _items(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(r.rhs for r in rows if r.op == "=~"))


def _check_text(rows: Sequence[Row]) -> None:
    """A model's text must give a value to everything it names, and nothing but loadings and covariances."""
    factors = {r.lhs for r in rows if r.op == "=~"}
    problems = []
    for row in rows:
        written = f"'{row.lhs} {row.op} {row.rhs}'".replace("~1 ", "~ 1")
        if row.op not in ("=~", "~~"):
            problems.append(f"expected loadings and covariances only, found {written}")
        elif row.op == "=~" and row.rhs in factors:
            problems.append(f"expected factors that items measure, found a factor of factors in {written}")
        elif len(row.fixed) != 1 or math.isnan(row.fixed[0]):
            problems.append(f"expected one number, the population's value, in {written}, found {len(row.fixed)}")
        elif row.lhs == row.rhs and row.lhs in factors and row.fixed[0] != 1:
            problems.append(f"expected factors of variance 1, found {row.fixed[0]:g} in {written}")
    if problems:
        raise InputError("population", problems, "write the model as f =~ 0.7*x1 + 0.6*x2 and f ~~ 0.3*g")


def _by_dimension(population: SimplePopulation) -> list[float]:
    """Loadings in the order of the instrument's items, dimension after dimension."""
    order = np.argsort(population.membership, kind="stable")
    return [float(x) for x in population.loadings[order]]


def _written(
    structure: Mapping[str, Sequence[str]],
    loadings: float | Sequence[float] | Mapping[str, float],
    correlation: float | npt.ArrayLike,
) -> tuple[Row, ...]:
    """The relations of a mapping, with the population's values as if they had been written."""
    rows = parse_model("\n".join(f"{factor} =~ {' + '.join(members)}" for factor, members in structure.items()))
    factors = list(structure)
    problems = [f"expected factors that items measure, found {r.rhs} in {r.lhs}" for r in rows if r.rhs in factors]
    if isinstance(loadings, Mapping):
        problems += [f"expected a loading of {r.rhs}, found none" for r in rows if r.rhs not in loadings]
        values = [float(loadings.get(r.rhs, math.nan)) for r in rows]
    else:
        given = np.atleast_1d(np.asarray(loadings, dtype=float))
        if given.shape not in ((1,), (len(rows),)):
            problems.append(f"expected one loading or {len(rows)}, found {given.size}")
            given = np.zeros(1)
        values = [float(x) for x in np.broadcast_to(given, len(rows))]
    m = len(factors)
    phi = np.asarray(correlation, dtype=float)
    if phi.ndim == 0:
        phi = np.full((m, m), float(phi)) + (1 - float(phi)) * np.eye(m)
    if phi.shape != (m, m) or not np.allclose(phi, phi.T) or not np.allclose(np.diag(phi), 1):
        problems.append(
            f"expected a number or a symmetric {m} x {m} matrix with diagonal 1 as factor_correlation, "
            f"found {np.asarray(correlation).tolist()}"
        )
    if problems:
        raise InputError("population", problems)
    out = [row._replace(fixed=(value,)) for row, value in zip(rows, values, strict=True)]
    pairs = [(a, b) for k, a in enumerate(factors) for b in factors[k + 1 :]]
    out += [Row(a, "~~", b, (float(phi[factors.index(a), factors.index(b)]),), (), (), 0) for a, b in pairs]
    return tuple(out)


def _cuts(
    model: Model,
    items: Sequence[str],
    categories: int | None,
    thresholds: Sequence[float] | Mapping[str, Sequence[float]] | None,
    estimator: str | None,
) -> tuple[Floats, ...]:
    """Thresholds of every item; none for continuous answers."""
    if estimator in ESTIMATORS["continuous"] and categories is None and thresholds is None:
        return ()
    if thresholds is None and categories is None:
        if isinstance(model, SimplePopulation):
            order = np.argsort(model.membership, kind="stable")
            return tuple(model.thresholds[order])
        if estimator is None:
            return ()
        if isinstance(model, Instrument):
            return tuple(symmetric_cuts(model.scale_of(i).width + 1) for i in items)
    if thresholds is None:
        found = dict.fromkeys(items, symmetric_cuts(max(categories or CATEGORIES, 2)))
    elif isinstance(thresholds, Mapping):
        found = {i: np.asarray(thresholds[i], dtype=float) for i in items if i in thresholds}
    else:
        found = dict.fromkeys(items, np.asarray(thresholds, dtype=float))
    problems = [f"expected thresholds of {i}, found none" for i in items if i not in found]
    if categories is not None and categories < 2:
        problems.append(f"expected at least 2 categories, found {categories}")
    for cut in {tuple(c.tolist()): c for c in found.values()}.values():
        if not len(cut) or (np.diff(cut) <= 0).any() or not np.isfinite(cut).all():
            problems.append(f"expected increasing thresholds, found {cut.tolist()}")
        elif thresholds is not None and categories is not None and len(cut) != categories - 1:
            problems.append(f"expected {categories - 1} thresholds for {categories} categories, found {len(cut)}")
    if problems:
        raise InputError("population", problems)
    return tuple(found[i] for i in items)


def _completed(table: Table, written: Sequence[Row]) -> tuple[dict[Key, float], Floats]:
    """Values of all loadings, variances and covariances, and the covariance matrix they imply."""
    given = {(r.lhs, r.op, r.rhs): r.fixed[0] for r in written}
    given |= {(r.rhs, r.op, r.lhs): r.fixed[0] for r in written if r.op == "~~"}
    p, m = len(table.items), len(table.factors)
    L, phi, residual = np.zeros((p, m)), np.eye(m), np.full((p, p), 0.0)
    places = {Matrix.LOADING: L, Matrix.FACTOR_COV: phi, Matrix.RESIDUAL_COV: residual}
    for cell in table.cells:
        if cell.matrix in places and not (cell.op == "~~" and cell.lhs == cell.rhs):
            places[cell.matrix][cell.row, cell.column] = given.get(cell[:3], 0.0)
            if cell.op == "~~":
                places[cell.matrix][cell.column, cell.row] = given.get(cell[:3], 0.0)
    common = L @ phi @ L.T
    own = [given.get((i, "~~", i), math.nan) for i in table.items]
    rest = np.where(np.isnan(own), 1 - np.diag(common), own)
    np.fill_diagonal(residual, rest)
    _check_values(table, phi, common, np.array(own), rest, residual)
    values = {c[:3]: float(places[c.matrix][c.row, c.column]) for c in table.cells if c.matrix in places}
    return values, common + residual


def _check_values(table: Table, phi: Floats, common: Floats, own: Floats, rest: Floats, residual: Floats) -> None:
    problems = []
    lowest = float(np.linalg.eigvalsh(phi)[0])
    if not lowest > 0:
        problems.append(
            f"expected a positive definite correlation matrix of the factors, found a smallest eigenvalue of "
            f"{lowest:.3f}"
        )
    for i, item in enumerate(table.items):
        if math.isnan(own[i]) and not rest[i] > 0:
            problems.append(f"expected a communality below 1, found {common[i, i]:.3f} for {item}")
        elif not math.isnan(own[i]) and not own[i] > 0:
            problems.append(f"expected a residual variance above 0, found {own[i]:g} for {item}")
        elif not math.isnan(own[i]) and table.options.categories and abs(own[i] + common[i, i] - 1) > 1e-6:
            problems.append(
                f"expected ordered items with a variance of 1 behind them, found {own[i] + common[i, i]:g} for {item}"
            )
    if not problems and not np.linalg.eigvalsh(residual)[0] > 0:
        problems.append("expected residual covariances with a positive definite matrix, found one that is not")
    if problems:
        raise InputError("population", problems)
