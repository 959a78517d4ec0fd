"""Population: clients whose answers are known exactly, so that estimates can be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import ndtr

from sqmodel.errors import InputError
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.truth import FloatArray, Truth, cronbach, mixture_moments

Shifts = Mapping[str, float]


@dataclass(frozen=True)
class OutcomeModel:
    """How one outcome question follows from the dimensions.

    Parameters
    ----------
    thresholds : array (points of the scale - 1,)
        Where the standard normal response is cut into answers.
    slopes : mapping
        Change of the response for one standard deviation of a dimension, by dimension code.
    halo : float
        Share of the remaining standard deviation that the outcome shares with the other outcomes; signed.
    """

    thresholds: FloatArray
    slopes: Mapping[str, float]
    halo: float = 0.6


@dataclass(frozen=True, repr=False)
class Population:
    """Clients of one business line. Every item follows its dimension; all dimensions share a general factor.

    Within a cell of the population (one value for each grouping variable with an effect) the responses behind
    the answers are multivariate normal with unit variances; thresholds cut them into answers. Groups and
    quarters move the dimensions, never single items, so that measurement is invariant over both.

    Parameters
    ----------
    instrument : Instrument
    code : str
        Short name of the business line, the first part of its case numbers.
    loadings, thresholds : mapping by item code
        Loading on the item's dimension; cuts of the oriented response (points of the scale - 1).
    general : mapping by dimension code
        Loading of the dimension on the general factor.
    expected : mapping by item code
        Cuts of the expectation.
    expectation_link : float
        Correlation of the expectation's response with that of performance, within a cell.
    importance : mapping by dimension code
        Mean share of the importance points.
    outcomes : mapping by outcome code
    shares : mapping group -> value -> share
    effects : mapping group -> value -> dimension -> shift
        In standard deviations of the dimension; groups are independent of each other.
    quarters : mapping quarter -> dimension -> mean
    sizes : mapping quarter -> int
        Answers collected in a quarter of the demonstration study.
    comments : mapping
        Sentences by the dimension they complain about, and under ``praise``.
    seldom : tuple of tuples of item codes
        Items about one service each that some clients never used.
    importance_precision : float
        Sum of the Dirichlet distribution's parameters: the larger, the more alike the respondents' points.
    """

    instrument: Instrument
    code: str
    loadings: Mapping[str, float]
    thresholds: Mapping[str, FloatArray]
    general: Shifts
    expected: Mapping[str, FloatArray]
    importance: Shifts
    outcomes: Mapping[str, OutcomeModel]
    shares: Mapping[str, Mapping[str, float]]
    effects: Mapping[str, Mapping[str, Shifts]]
    quarters: Mapping[str, Shifts]
    sizes: Mapping[str, int] = field(default_factory=dict)
    comments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seldom: tuple[tuple[str, ...], ...] = ()
    expectation_link: float = 0.3
    importance_precision: float = 25.0

    def __repr__(self) -> str:
        return f"<Population {self.code}: {self.instrument.name}, {len(self.quarters)} quarters>"

    @property
    def variables(self) -> list[str]:
        """Codes of the items, then of the outcomes."""
        return [*self.instrument.item_codes, *self.outcomes]

    @property
    def cuts(self) -> list[FloatArray]:
        """Thresholds of `variables`."""
        items = [self.thresholds[c] for c in self.instrument.item_codes]
        return items + [o.thresholds for o in self.outcomes.values()]

    @property
    def factor_correlation(self) -> FloatArray:
        """Correlation of the dimensions within a cell."""
        general = np.array([self.general[d] for d in self.instrument.dimension_codes])
        correlation = np.outer(general, general)
        np.fill_diagonal(correlation, 1.0)
        return correlation

    @property
    def pattern(self) -> FloatArray:
        """Regression of the responses behind `variables` on the dimensions."""
        dimensions = self.instrument.dimension_codes
        items = [[self.loadings[i.code] * (i.dimension == d) for d in dimensions] for i in self.instrument.items]
        outcomes = [[o.slopes.get(d, 0.0) for d in dimensions] for o in self.outcomes.values()]
        return np.array(items + outcomes, dtype=float)

    @property
    def correlation(self) -> FloatArray:
        """Correlation of the responses behind `variables` within a cell."""
        pattern = self.pattern
        explained = pattern @ self.factor_correlation @ pattern.T
        halo = np.array([0.0] * len(self.instrument.items) + [o.halo for o in self.outcomes.values()])
        halo = halo * np.sqrt(1 - explained.diagonal())
        correlation = explained + np.outer(halo, halo)
        np.fill_diagonal(correlation, 1.0)
        return correlation

    def cells(self, quarter: str, **only: str) -> pd.DataFrame:
        """Cells of the population: their groups, share and mean of each dimension.

        Parameters
        ----------
        quarter : str
        **only
            Value of a grouping variable to restrict the population to.

        Raises
        ------
        InputError
            The population knows no such quarter or group.
        """
        self._check(quarter, only)
        rows = []
        for values in product(*(self.shares[g] for g in self.effects)):
            cell = dict(zip(self.effects, values, strict=True))
            if any(cell.get(g, v) != v for g, v in only.items()):
                continue
            share = float(np.prod([self.shares[g][v] for g, v in cell.items()]))
            moves = [self.quarters[quarter], *(self.effects[g].get(v, {}) for g, v in cell.items())]
            means = {d: sum(m.get(d, 0.0) for m in moves) for d in self.instrument.dimension_codes}
            rows.append({**cell, "share": share, **means})
        cells = pd.DataFrame(rows)
        cells["share"] /= cells["share"].sum()
        return cells

    def _check(self, quarter: str, only: Mapping[str, str]) -> None:
        problems = []
        if quarter not in self.quarters:
            problems.append(f"expected one of the quarters {', '.join(self.quarters)}, found {quarter!r}")
        for group, value in only.items():
            known = self.shares.get(group, {})
            if value not in known:
                problems.append(f"group {group!r}: expected one of {', '.join(known) or 'none'}, found {value!r}")
        if problems:
            raise InputError(f"population {self.code}", problems)

    def truth(self, *, quarter: str, **only: str) -> Truth:
        """What an estimate from a very large sample would be.

        The population is a finite mixture of its cells: its mean is the mean of the cells' means, its
        covariance the mean of the cells' covariances plus the covariance of their means.

        Parameters
        ----------
        quarter : str
        **only
            Value of a grouping variable to restrict the population to, such as ``institution="inst_a"``.

        Returns
        -------
        Truth

        Raises
        ------
        InputError
            The population knows no such quarter or group.

        Examples
        --------
        >>> from sqmodel.survey.simulate import demo_population
        >>> demo_population("project_finance").truth(quarter="2026Q2").index.idxmin()
        'EFF'
        """
        cells = self.cells(quarter, **only)
        share = cells["share"].to_numpy()
        centres = cells[self.instrument.dimension_codes].to_numpy() @ self.pattern.T
        mean, covariance = mixture_moments(self.cuts, self.correlation, share, centres)
        means = pd.Series(mean + self.minima, index=self.variables)
        frame = pd.DataFrame(covariance, index=self.variables, columns=self.variables)
        scoring = self._scoring()
        index = (means[scoring.index] - self.minima[: len(scoring)]) @ scoring
        index["overall"] = index.mean()
        alpha = {d: cronbach(frame.loc[m, m].to_numpy()) for d, m in self.instrument.structure().items()}
        return Truth(
            quarter=quarter,
            means=means,
            covariance=frame,
            expectations=self._expectations(),
            index=index,
            alpha=pd.Series(alpha),
            nps=self._nps(share, centres),
            scoring=scoring,
        )

    @property
    def minima(self) -> FloatArray:
        """Lowest answers of `variables`."""
        items = [self.instrument.scale_of(c).minimum for c in self.instrument.item_codes]
        return np.array(items + [o.scale.minimum for o in self.instrument.outcomes if o.code in self.outcomes])

    def _scoring(self) -> pd.DataFrame:
        """Weight of an item's answer in the score of its dimension on 0-100."""
        scoring = pd.DataFrame(0.0, index=self.instrument.item_codes, columns=self.instrument.dimension_codes)
        for dimension, members in self.instrument.structure().items():
            for code in members:
                scoring.loc[code, dimension] = 100 / self.instrument.scale_of(code).width / len(members)
        return scoring

    def _expectations(self) -> pd.Series[float]:
        # What lies behind an expectation is standard normal in every cell: the tail areas add up to its mean.
        means = {c: self.instrument.scale_of(c).minimum + float(ndtr(-self.expected[c]).sum()) for c in self.expected}
        return pd.Series(means)

    def _nps(self, share: FloatArray, centres: FloatArray) -> float:
        codes = [o.code for o in self.instrument.outcome("nps") if o.code in self.outcomes]
        if not codes:
            return float("nan")
        cuts = self.outcomes[codes[0]].thresholds
        centre = centres[:, self.variables.index(codes[0])]
        return float(100 * share @ (ndtr(centre - cuts[8]) - ndtr(cuts[6] - centre)))
