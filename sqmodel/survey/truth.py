"""Truth: exact values of a known population, and the moments they are computed from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.numerics.correlation import discretised_moments
from sqmodel.result import Result

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Truth(Result):
    """Exact values of a population in one quarter, for careful and complete answers in whole numbers.

    Attributes
    ----------
    means : Series
        Mean answer to every item (oriented) and outcome.
    covariance : DataFrame
        Of the same variables.
    expectations : Series
        Mean expectation by item (oriented).
    index : Series
        Score 0-100 by dimension, and ``overall`` with equal weights.
    alpha : Series
        Cronbach's alpha by dimension.
    nps : float
        Share of promoters (9, 10) minus detractors (0 to 6), in points; NaN without such a question.
    """

    quarter: str
    means: pd.Series[float]
    covariance: pd.DataFrame
    expectations: pd.Series[float]
    index: pd.Series[float]
    alpha: pd.Series[float]
    nps: float
    scoring: pd.DataFrame = field(repr=False)

    def _headline(self) -> str:
        scores = ", ".join(f"{k} {v:.1f}" for k, v in self.index.items())
        return f"{self.quarter}: {scores}"

    @property
    def score_covariance(self) -> pd.DataFrame:
        """Covariance of the dimensions' scores (0-100) over respondents; divide by n for that of means."""
        items = self.scoring.index
        return self.scoring.T @ self.covariance.loc[items, items] @ self.scoring

    def slopes(self, outcome: str) -> pd.Series[float]:
        """Coefficients of the regression of an outcome on the dimensions' scores, in the population."""
        cross = self.scoring.T @ self.covariance.loc[self.scoring.index, outcome]
        solved = np.linalg.solve(self.score_covariance.to_numpy(), cross.to_numpy())
        return pd.Series(solved, index=self.scoring.columns)


def mixture_moments(
    thresholds: list[FloatArray], correlation: FloatArray, share: FloatArray, centres: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Exact mean and covariance of the codes 0..K-1 in a mixture of normals that differ in their means."""
    cells = [
        discretised_moments([t - m for t, m in zip(thresholds, centre, strict=True)], correlation) for centre in centres
    ]
    means = np.array([m for m, _ in cells])
    mean = share @ means
    within = np.einsum("c,cij->ij", share, np.array([c for _, c in cells]))
    off = means - mean
    return mean, within + np.einsum("c,ci,cj->ij", share, off, off)


def cronbach(covariance: FloatArray) -> float:
    """Cronbach's alpha of the sum of all variables of a covariance matrix."""
    # Written out here and not taken from numerics, because this is what the estimate is judged by.
    k = len(covariance)
    return float(k / (k - 1) * (1 - np.trace(covariance) / covariance.sum()))


def discretise(response: FloatArray, thresholds: list[FloatArray]) -> IntArray:
    """Codes 0..K-1 of normal responses (..., p): the number of thresholds that each response exceeds."""
    longest = max(map(len, thresholds))
    cuts = np.array([np.pad(t, (0, longest - len(t)), constant_values=np.inf) for t in thresholds])
    codes = np.zeros(response.shape, dtype=np.int64)
    for k in range(longest):
        codes += response > cuts[:, k]
    return codes
