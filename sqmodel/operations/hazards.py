"""Is one group of cases faster than another: log-rank test and Cox model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import chdtrc, ndtr, ndtri

from sqmodel.operations.survival import checked_times
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LogRank:
    """Whether groups finish at the same pace: chi-square, degrees of freedom, p; NaN with a reason if undefined."""

    chisq: float
    df: int
    p: float
    reason: str = ""


@dataclass(frozen=True, repr=False)
class Hazards(Result):
    """A Cox model.

    Attributes
    ----------
    n, events : int
    table : DataFrame, one row a term
        hazard_ratio (above 1: happens sooner), low, high, coefficient, se, p.
    reason : str
        Why there is no estimate; empty where there is one.
    """

    n: int
    events: int
    table: pd.DataFrame
    reason: str
    settings: dict[str, Any]

    def _headline(self) -> str:
        rows = (f"{t} {r.hazard_ratio:.2f} [{r.low:.2f}, {r.high:.2f}]" for t, r in self.table.iterrows())
        return f"n={self.n}, {self.events} events: " + (self.reason or ", ".join(rows))


def logrank(
    time: npt.ArrayLike, event: npt.ArrayLike, group: npt.ArrayLike, *, strata: npt.ArrayLike | None = None
) -> LogRank:
    """Log-rank test of two or more groups, within strata where these are given.

    Raises
    ------
    ComputationError
        No case, or times that are missing, infinite or negative.

    Examples
    --------
    >>> test = logrank([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 0], ["a", "a", "a", "b", "b", "b"])
    >>> round(test.chisq, 3), test.df
    (5.052, 1)
    """
    t, e = checked_times(time, event)
    names = np.asarray(group).astype(str)
    df = len(set(names)) - 1
    if df < 1:
        return LogRank(math.nan, 0, math.nan, "only one group")
    if not e.any():
        return LogRank(math.nan, df, math.nan, "no events")
    from statsmodels.duration.survfunc import survdiff

    try:
        chisq = float(survdiff(t, e.astype(float), names, strata=None if strata is None else np.asarray(strata))[0])
    except np.linalg.LinAlgError:
        return LogRank(math.nan, df, math.nan, "the groups are never at risk together")
    return LogRank(chisq, df, float(chdtrc(df, chisq)))


def cox(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    covariates: pd.DataFrame,
    *,
    level: float = 0.95,
) -> Hazards:
    """Cox's proportional hazards with Efron's treatment of ties, as R's default; Wald intervals of log ratios.

    Parameters
    ----------
    time, event : array_like, shape (n,)
    covariates : DataFrame, shape (n, p)
        Numbers; text becomes one column for each value but the first.
    level : float

    Raises
    ------
    ComputationError
        No case, or times that are missing, infinite or negative.

    Notes
    -----
    statsmodels' PHReg finds the same (a test holds it to that), but goes through the events one by one: three seconds
    for the 13,000 applications of BPI Challenge 2012, where this takes 0.1.

    Examples
    --------
    >>> cox([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 0], pd.DataFrame({"urgent": [1, 0, 1, 1, 0, 0]}))
    <Hazards n=6, 5 events: urgent 4.03 [0.41, 39.51]>
    """
    t, e = checked_times(time, event)
    x = pd.get_dummies(covariates, drop_first=True, dtype=float).astype(float)
    good = np.isfinite(x.to_numpy()).all(axis=1)
    settings = {"ties": "efron", "level": level, "missing": int((~good).sum())}
    t, e, x = t[good], e[good], x[good]
    reason = _degenerate(e, x)
    fit = None if reason else _fit(t, e, x)
    if not reason and fit is None:
        reason = "the likelihood has no maximum: a term tells all events from none, or terms tell the same"
    z = ndtri((1 + level) / 2)
    b, se = fit if fit is not None else (np.full(x.shape[1], np.nan),) * 2
    table = pd.DataFrame(
        {"hazard_ratio": np.exp(b), "low": np.exp(b - z * se), "high": np.exp(b + z * se), "coefficient": b, "se": se,
         "p": 2 * ndtr(-np.abs(b / se))}, index=pd.Index(x.columns, name="term"),
    )  # fmt: skip
    return Hazards(len(t), int(e.sum()), table, reason, settings)


def _degenerate(e: npt.NDArray[np.bool_], x: pd.DataFrame) -> str:
    if not e.any():
        return "no events"
    constant = [str(c) for c in x.columns if x[c].nunique() < 2]
    return f"the same for all cases: {', '.join(constant)}" if constant else ""


def _fit(t: Floats, e: npt.NDArray[np.bool_], x: pd.DataFrame) -> tuple[Floats, Floats] | None:
    """Coefficients and standard errors, by Newton's method on standardised columns; None without a maximum."""
    scale = x.std(ddof=0).to_numpy()
    z = (x.to_numpy() - x.mean().to_numpy()) / scale
    order = np.argsort(-t, kind="stable")
    sets = _RiskSets.of(t[order], e[order], z[order])
    b = np.zeros(z.shape[1])
    value, slope, bend = sets.likelihood(b)
    for _ in range(50):
        if np.linalg.cond(bend) > 1e10 or np.abs(b).max() > 20:
            return None
        step = np.linalg.solve(bend, slope)
        for _ in range(30):
            new = sets.likelihood(b + step)
            if new[0] >= value - 1e-12 * abs(value):
                break
            step = step / 2
        b, (value, slope, bend) = b + step, new
        if np.abs(step).max() < 1e-9:
            se = np.sqrt(np.diag(np.linalg.inv(bend)))
            return b / scale, se / scale
    return None


@dataclass(frozen=True)
class _RiskSets:
    """Cases from the longest time to the shortest, and for each event its set and how much of its ties it leaves out.

    Efron (1977): the d events of one time leave the risk set one after the other, so that the sums over the k-th of
    them lack k/d of the tied cases (k = 0 .. d - 1).
    """

    x: Floats
    event: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]
    tie: npt.NDArray[np.intp]
    left: Floats

    @classmethod
    def of(cls, t: Floats, e: npt.NDArray[np.bool_], x: Floats) -> _RiskSets:
        event = np.flatnonzero(e)
        _, first, tie, ties = np.unique(-t[event], return_index=True, return_inverse=True, return_counts=True)
        rank = np.arange(len(event)) - first[tie]
        return cls(x, event, np.searchsorted(-t, -t[event], side="right") - 1, tie, rank / ties[tie])

    def likelihood(self, b: Floats) -> tuple[float, Floats, Floats]:
        """Logarithm of the partial likelihood, its gradient, and minus its Hessian."""
        n, p = self.x.shape
        eta = self.x @ b
        weight = np.exp(eta - eta.max())
        parts = np.column_stack([np.ones(n), self.x, (self.x[:, :, None] * self.x[:, None, :]).reshape(n, -1)])
        parts *= weight[:, None]
        tied = np.zeros((self.tie.max() + 1, parts.shape[1]))
        np.add.at(tied, self.tie, parts[self.event])
        sums = np.cumsum(parts, axis=0)[self.last] - self.left[:, None] * tied[self.tie]
        mean = sums[:, 1 : p + 1] / sums[:, :1]
        value = float((eta[self.event] - eta.max() - np.log(sums[:, 0])).sum())
        square = (sums[:, p + 1 :] / sums[:, :1]).sum(axis=0).reshape(p, p)
        return value, (self.x[self.event] - mean).sum(axis=0), square - mean.T @ mean
