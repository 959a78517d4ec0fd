"""Samples drawn from a population, and a measurement model fitted to each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.measurement.confirmatory import SINGULAR
from sqmodel.measurement.model_table import Cell, Table
from sqmodel.numerics.polychoric import codes_of, polychoric
from sqmodel.numerics.sem.curvature import smallest_eigenvalue
from sqmodel.numerics.sem.estimated import Estimated
from sqmodel.numerics.sem.fit import cfi
from sqmodel.numerics.sem.least_squares import fit_least_squares, unweighted
from sqmodel.numerics.sem.likelihood import fit_normal, srmr_normal
from sqmodel.numerics.sem.model import Block, Matrix, lower, residual_variances
from sqmodel.numerics.sem.power import ordered_answers, wishart
from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.samples import LeastSquares, Normal
from sqmodel.numerics.sem.solve import Solution, information_of, minimise
from sqmodel.numerics.sem.sufficient import complete_sample
from sqmodel.numerics.threads import one_blas_thread

Floats = npt.NDArray[np.float64]

INDICES = ("srmr", "rmsea", "cfi")


class Fit(NamedTuple):
    """A model fitted to a sample, of as many categories as the sample shows."""

    table: Table
    estimated: Estimated


@dataclass(frozen=True)
class Simulation:
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
        """`INDICES` of the fits (replications x 3); NaN where the search failed.

        Parameters
        ----------
        n, replications, rng
        suffix : str
            Of lavaan's names of RMSEA and CFI: "", ".scaled" or ".robust".
        """
        out = np.full((replications, len(INDICES)), np.nan)
        with one_blas_thread(), np.errstate(all="ignore"):
            if self.cuts or self.estimator != "ML":
                names = [index_name(index, suffix) for index in INDICES]
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


def index_name(index: str, suffix: str) -> str:
    """lavaan's name of one of `INDICES`: the SRMR has no scaled or robust one."""
    return index if index == "srmr" else f"{index}{suffix}"


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
