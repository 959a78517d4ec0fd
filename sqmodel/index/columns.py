"""Weighted means as functions of totals: the form in which `numerics.resampling` gives everything an interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.numerics.resampling import Bootstrap, bootstrap_totals, merge_small_strata, resample_counts

Totals = npt.NDArray[Any]
Part = Callable[[Totals], Totals]

WIDEST = 40_000_000
"""Numbers that a studentised bootstrap may hold at a time; a wider one takes the standard errors of the sample."""


class Columns:
    """Collects what every respondent adds to numerators and denominators, each pair once.

    Parameters
    ----------
    weight : (n,) array
        Sample weights.
    calibration : DataFrame or None, n x margins
        Where the weights were raked, the dummy columns of the margins: deviations from a mean are then replaced by
        their residuals on the margins, over all respondents who were raked together and not only those whose mean it
        is. That leaves every mean as it is and takes out the variance that raking removes (the regression residuals
        of calibration estimators, Deville and Sarndal 1992).
    raked : (n,) array, optional
        Which respondents were raked together (the quarter); all of them by default.
    """

    def __init__(
        self,
        weight: npt.NDArray[np.float64],
        calibration: pd.DataFrame | None = None,
        raked: npt.ArrayLike | None = None,
    ) -> None:
        self.weight = weight
        self._raked = np.zeros(len(weight)) if raked is None else np.asarray(raked)
        self._margins = None if calibration is None else calibration.to_numpy(float)
        self._columns: list[npt.NDArray[np.float64]] = []
        self._masks: dict[bytes, int] = {}

    def mean(self, values: npt.ArrayLike) -> Part:
        """Register the weighted mean of `values` (n,; NaN left out); returns totals -> mean."""
        x = np.asarray(values, float)
        observed = ~np.isnan(x)
        key = observed.tobytes()
        if key not in self._masks:
            self._masks[key] = self._add(np.where(observed, self.weight, 0.0))
        column = np.where(observed, self.weight * x, 0.0)
        if self._margins is not None and observed.any():
            column = self._without_margins(x, observed)
        numerator, denominator = self._add(column), self._masks[key]
        return lambda t: t[..., numerator] / t[..., denominator]

    def products(self, values: npt.ArrayLike) -> Callable[[Totals], Totals]:
        """Register the weighted cross products of (n, q) complete columns; returns totals -> (..., q, q) covariance.

        Rows with a NaN are left out.
        """
        block = np.asarray(values, float)
        whole = ~np.isnan(block).any(axis=1)
        z = np.column_stack([np.ones(len(block)), np.where(whole[:, None], block, 0.0)])
        weight = np.where(whole, self.weight, 0.0)
        size = z.shape[1]
        rows, columns = np.triu_indices(size)
        places = np.array([self._add(weight * z[:, i] * z[:, j]) for i, j in zip(rows, columns, strict=True)])

        def covariance(t: Totals) -> Totals:
            cross = np.empty((*t.shape[:-1], size, size), dtype=t.dtype)
            cross[..., rows, columns] = cross[..., columns, rows] = t[..., places]
            mean = cross[..., 0, 1:] / cross[..., 0, :1]
            moment = cross[..., 1:, 1:] / cross[..., :1, :1]
            result: Totals = moment - mean[..., :, None] * mean[..., None, :]
            return result

        return covariance

    def block(self, columns: npt.ArrayLike) -> Callable[[Totals], Totals]:
        """Register columns (n, q) as they are, sample weights multiplied in; returns totals -> (..., q)."""
        places = [self._add(column) for column in np.asarray(columns, float).T]
        return lambda t: t[..., places]

    def _add(self, column: npt.NDArray[np.float64]) -> int:
        self._columns.append(column)
        return len(self._columns) - 1

    def _without_margins(self, x: npt.NDArray[np.float64], observed: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        margins = self._margins
        if margins is None:
            raise ValueError("expected the margins of a raked sample, found none")
        centre = float(np.average(x[observed], weights=self.weight[observed]))
        deviation = np.where(observed, x - centre, 0.0)
        column = np.where(observed, self.weight * centre, 0.0)
        for together in np.unique(self._raked[observed]):
            rows = self._raked == together
            root = np.sqrt(self.weight[rows])
            slopes, *_ = np.linalg.lstsq(margins[rows] * root[:, None], deviation[rows] * root, rcond=None)
            column[rows] += self.weight[rows] * (deviation[rows] - margins[rows] @ slopes)
        return column

    @property
    def totals(self) -> npt.NDArray[np.float64]:
        """Totals of all registered columns in the sample."""
        return np.array([column.sum() for column in self._columns])

    def bootstrap(
        self,
        parts: Sequence[Part] | Part,
        *,
        rng: np.random.Generator | int,
        draws: int,
        level: float,
        units: npt.ArrayLike | None = None,
        strata: npt.ArrayLike | None = None,
        studentise: bool = True,
    ) -> Bootstrap:
        """Intervals of statistics that are functions of the totals.

        Parameters
        ----------
        parts : sequence of callables, or one callable
            Each gives one statistic; a single callable gives all of them along its last axis.
        units : (n,) array, optional
            Respondents: rows of the same unit are drawn together.
        strata : (n,) array, optional
            Constant within a unit.
        studentise : bool
            See `bootstrap_totals`.
        """
        x, strata = self._by_unit(units, strata)

        def statistic(totals: Totals) -> Totals:
            if callable(parts):
                return parts(totals)
            return np.stack([part(totals) for part in parts], axis=-1)

        return bootstrap_totals(x, statistic, rng=rng, draws=draws, strata=strata, level=level, studentise=studentise)

    def resamples(
        self,
        *,
        rng: np.random.Generator | int,
        draws: int,
        units: npt.ArrayLike | None = None,
        strata: npt.ArrayLike | None = None,
    ) -> npt.NDArray[np.float64]:
        """Totals of resamples (draws, columns), for statistics that are no analytic functions of them.

        Parameters
        ----------
        units, strata
            As for `bootstrap`.
        """
        x, strata = self._by_unit(units, strata)
        codes = merge_small_strata(strata, len(x))
        return np.concatenate([counts @ x for counts in resample_counts(codes, draws, np.random.default_rng(rng))])

    def _by_unit(
        self, units: npt.ArrayLike | None, strata: npt.ArrayLike | None
    ) -> tuple[npt.NDArray[np.float64], npt.ArrayLike | None]:
        """The columns summed within units, and the stratum of each unit."""
        x = np.column_stack(self._columns)
        if units is None:
            return x, strata
        _, first, codes = np.unique(np.asarray(units), return_index=True, return_inverse=True)
        if len(first) == len(x):
            return x, strata
        summed = np.zeros((len(first), x.shape[1]))
        np.add.at(summed, codes, x)
        return summed, None if strata is None else np.asarray(strata)[first]


def quarter_pattern(frame: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Number of the set of quarters in which each row's respondent answered: the strata of a comparison over time."""
    if "quarter" not in frame:
        return np.zeros(len(frame), dtype=np.intp)
    respondent, quarter = (pd.factorize(frame[c].astype(str))[0] for c in ("respondent", "quarter"))
    answered = np.zeros((respondent.max(initial=-1) + 1, quarter.max(initial=-1) + 1), dtype=bool)
    answered[respondent, quarter] = True
    _, pattern = np.unique(answered, axis=0, return_inverse=True)
    return np.asarray(pattern.ravel()[respondent], dtype=np.intp)


def constant(value: float) -> Part:
    """A statistic that does not depend on the answers."""
    return lambda t: np.full(t.shape[:-1], value, dtype=t.dtype)


def weighted_sum(weights: Sequence[Part], parts: Sequence[Part]) -> Part:
    """Sum of weight times part, both functions of the totals."""

    def total(t: Totals) -> Totals:
        result: Totals = sum((w(t) * p(t) for w, p in zip(weights, parts, strict=True)), np.zeros(t.shape[:-1]))
        return result

    return total


def difference(first: Part, second: Part) -> Part:
    """First minus second."""
    return lambda t: first(t) - second(t)


def quarter_levels(
    book: Columns, scores: pd.DataFrame, masks: Sequence[npt.NDArray[np.bool_]], shares: Sequence[Part]
) -> Callable[[Totals], Totals]:
    """Totals -> (..., quarters, 1 + dimensions): the index of each quarter at `shares`, then its dimensions."""
    means = [[book.mean(scores[c].where(mask)) for c in scores.columns] for mask in masks]

    def levels(t: Totals) -> Totals:
        weight = np.stack([share(t) for share in shares], axis=-1)[..., None, :]
        own = np.stack([np.stack([mean(t) for mean in row], axis=-1) for row in means], axis=-2)
        return np.concatenate([(own * weight).sum(axis=-1, keepdims=True), own], axis=-1)

    return levels


def affordable(book: Columns, strata: npt.NDArray[Any], statistics: int, draws: int) -> bool:
    """Whether a studentised bootstrap of so many statistics fits into the memory meant for it."""
    columns = len(book.totals)
    moments = len(np.unique(strata)) * columns * (columns + 3) // 2
    return draws * max(moments, 2 * columns * statistics) <= WIDEST
