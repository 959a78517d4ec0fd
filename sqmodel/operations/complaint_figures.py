"""Figures of complaints, each with its interval: shares, rates, causes, handling within limits, and change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations.survival import kaplan_meier
from sqmodel.result import Estimate

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NONE = (math.nan, math.nan)


def wilson(count: float, n: float, level: float) -> tuple[float, float]:
    """Bounds of a share by Wilson's score interval; `n` may be an effective number."""
    if not n > 0:
        return NONE
    z = float(stats.norm.ppf((1 + level) / 2))
    p = count / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(max(p * (1 - p), 0.0) / n + z**2 / (4 * n**2))
    # At the ends the bound is the end itself, but for rounding.
    return (0.0 if p <= 0 else middle - half), (1.0 if p >= 1 else middle + half)


def share(count: int, n: int, level: float) -> Estimate:
    """A share of complaints, with Wilson's interval; NaN of none."""
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, n=0, level=level, method="not defined")
    return Estimate(count / n, *wilson(count, n, level), math.sqrt(count * (n - count) / n**3), n, level, "Wilson")


def poisson_bounds(count: float, level: float) -> tuple[float, float]:
    """Exact bounds of the mean of a Poisson count (Garwood 1936)."""
    tail = (1 - level) / 2
    low = float(stats.chi2.ppf(tail, 2 * count)) / 2 if count > 0 else 0.0
    return low, float(stats.chi2.isf(tail, 2 * count + 2)) / 2


def complaint_rates(
    counts: pd.Series, units: pd.Series | float, *, per: float = 1000.0, level: float = 0.95
) -> pd.DataFrame:
    """How many complaints there are for so many cases, clients or outlets.

    Parameters
    ----------
    counts : Series
        Complaints of each unit compared, such as a quarter or an institution.
    units : Series or float
        What they are counted in; a unit with none, or without a number, has no rate.
    per : float
    level : float

    Returns
    -------
    DataFrame
        Index of `counts`; complaints, units, rate, low, high (exact Poisson interval, Garwood 1936), reason.

    Raises
    ------
    OperationsError
        Counts that are no whole numbers of 0 or more, or negative units.

    Examples
    --------
    >>> complaint_rates(pd.Series({"2026Q3": 10}), 4000.0).round(3).loc["2026Q3", ["rate", "low", "high"]].tolist()
    [2.5, 1.199, 4.598]
    """
    base = units.reindex(counts.index) if isinstance(units, pd.Series) else pd.Series(units, index=counts.index)
    base = base.astype(float)
    wrong = [str(i) for i in counts.index[~((counts >= 0) & (counts == counts.round()))]]
    below = [str(i) for i in base.index[base < 0]]
    problems = []
    if wrong:
        problems.append(Problem("expected whole numbers of complaints, 0 or more, found others for", tuple(wrong)))
    if below:
        problems.append(Problem("expected units of 0 or more, found negative ones for", tuple(below)))
    if problems:
        raise OperationsError("complaint rates", problems, "correct the counts or what they are counted in")
    rows = []
    for count, unit in zip(counts, base, strict=True):
        if not unit > 0:
            rows.append((int(count), unit, math.nan, *NONE, "no number of cases"))
            continue
        low, high = poisson_bounds(count, level)
        rows.append((int(count), unit, per * count / unit, per * low / unit, per * high / unit, ""))
    return pd.DataFrame(rows, index=counts.index, columns=["complaints", "units", "rate", "low", "high", "reason"])


def rate_ratio(now: int, units_now: float, before: int, units_before: float, level: float) -> Estimate:
    """Rate now over rate before.

    The interval is that of the score test (method W2A of Gu et al. 2008): Wilson's interval of now / (now + before),
    turned into a ratio. With none before there is no ratio and no upper bound (NaN), but a lower one.
    """
    n = now + before
    if n == 0 or not (units_now > 0 and units_before > 0):
        return Estimate(math.nan, math.nan, math.nan, n=n, level=level, method="not defined")
    scale = units_before / units_now
    low, high = wilson(now, n, level)
    value, upper = (scale * now / before, scale * high / (1 - high)) if before else NONE
    return Estimate(value, scale * low / (1 - low), upper, math.nan, n, level, "score (W2A)")


def difference(now: Estimate, before: Estimate) -> Estimate:
    """Share now minus share before (Newcombe 1998, method 10: the square-and-add of both intervals)."""
    value = now.value - before.value
    low = value - math.hypot(now.value - now.low, before.high - before.value)
    high = value + math.hypot(now.high - now.value, before.value - before.low)
    method = "not defined" if math.isnan(value) else "Newcombe"
    return Estimate(value, low, high, math.nan, now.n + before.n, now.level, method)


def cause_table(causes: pd.Series, level: float) -> pd.DataFrame:
    """Pareto: causes from the most frequent, with intervals that hold for all of them together.

    Parameters
    ----------
    causes : Series of str
        One a complaint; missing ones are left out (the facts count them).

    Returns
    -------
    DataFrame, index cause
        count, share, low, high (Goodman 1965: Wilson's interval at a level that holds for all k together), cumulative
        (share of this and all more frequent ones, of these complaints), rank_low and rank_high (places that the
        intervals leave open).
    """
    named = causes.dropna()
    counts = named.value_counts()
    counts = counts.iloc[np.lexsort((counts.index.astype(str), -counts.to_numpy()))]
    n, k = int(counts.sum()), len(counts)
    # With two causes both intervals hold or fail together.
    each = level if k <= 2 else 1 - (1 - level) / k
    bounds = np.array([wilson(c, n, each) for c in counts], dtype=float).reshape(k, 2)
    low, high = bounds[:, 0], bounds[:, 1]
    above = (low[None, :] > high[:, None]).sum(axis=1)
    below = (high[None, :] < low[:, None]).sum(axis=1)
    values = counts.to_numpy(float)
    return pd.DataFrame(
        {"count": counts.to_numpy(int), "share": values / max(n, 1), "low": low, "high": high,
         "cumulative": np.cumsum(values) / max(n, 1), "rank_low": 1 + above, "rank_high": k - below},
        index=pd.Index(counts.index.astype(str), name="cause"),
    )  # fmt: skip


class Handling:
    """A stage of complaints against its limit.

    Parameters
    ----------
    time : ndarray
        Days on the limit's clock until the stage or, where it is open, until it was last seen; NaN: left out.
    done : ndarray of bool
        Whether the stage was reached.
    limit : ndarray
        Limit of each complaint in the same days.
    """

    def __init__(self, time: Floats, done: Bools, limit: Floats) -> None:
        keep = np.isfinite(time)
        self.kept = keep
        self.time, self.done, self.limit = time[keep], done[keep], limit[keep]

    def part(self, mask: Bools) -> Handling:
        """The complaints of a mask over all that were given."""
        own = mask[self.kept]
        return Handling(self.time[own], self.done[own], self.limit[own])

    def counts(self) -> dict[str, int]:
        """How many were in time, late (also if still open), and undecided."""
        late = self.time > self.limit
        timely = self.done & ~late
        return {"n": len(self.time), "in_time": int(timely.sum()), "late": int(late.sum()),
                "undecided": int((~self.done & ~late).sum())}  # fmt: skip

    def share(self, level: float) -> tuple[Estimate, str]:
        """Share that is done within its limit, open complaints censored, and why where it is not defined.

        Where complaints have different limits the shares of each limit are weighted by how many complaints have it,
        and the interval is Wilson's with the effective number of complaints that their variance gives (Rothman 1978).
        """
        if not len(self.time):
            return Estimate(math.nan, math.nan, math.nan, n=0, level=level, method="not defined"), "no complaints"
        limits = np.unique(self.limit)
        parts = []
        for limit in limits:
            own = self.limit == limit
            parts.append(kaplan_meier(self.time[own] + 1.0, self.done[own], level=level).reached(float(limit) + 1.0))
        told = [p for p in parts if math.isfinite(p.value)]
        reason = "" if len(told) == len(parts) else "nobody was observed until the limit"
        if not told:
            return Estimate(math.nan, math.nan, math.nan, n=len(self.time), level=level, method="not defined"), reason
        if reason:
            left = sum(p.n for p in parts) - sum(p.n for p in told)
            reason = f"without {left} complaints of limits until which nobody was observed"
        if len(told) == 1:
            return told[0], reason
        return _stratified(told, self.counts(), level), reason


def _stratified(parts: Sequence[Estimate], counts: dict[str, int], level: float) -> Estimate:
    n = sum(p.n for p in parts)
    weight = np.array([p.n / n for p in parts])
    value = np.array([p.value for p in parts])
    se = np.array([p.se for p in parts])
    total = float(weight @ value)
    # Which limits complaints have is chance too: with nothing open this is the variance of a plain share.
    variance = float((weight**2) @ se**2 + (weight @ (value - total) ** 2) / n)
    known = counts["in_time"] + counts["late"]
    effective = total * (1 - total) / variance if variance > 0 else float(known)
    low, high = wilson(total * effective, effective, level)
    return Estimate(total, low, high, math.sqrt(variance), n, level, "Wilson, effective n")
