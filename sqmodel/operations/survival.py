"""Time until something happens, where some cases are still open: Kaplan-Meier, log-rank, Cox, competing ends.

The estimates come from statsmodels. Four things are done here because its version 0.15 does not do them: the quantile
where S(t) equals 1 - p but for rounding, intervals of a share of 0 or 1, the standard error of the cumulative incidence
at the last time where all are done (NaN there), and p-values of the log-rank test below 1e-16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from sqmodel.errors import ComputationError
from sqmodel.result import Estimate, Result

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_CLOSE = 1e-10  # S(t) is a product of many factors: equal to a probability means equal but for their rounding


@dataclass(frozen=True, repr=False)
class Survival(Result):
    """A Kaplan-Meier curve.

    Attributes
    ----------
    n, events : int
    last : float
        The longest time observed; beyond it the curve is not defined unless it has come to zero.
    censored : DataFrame
        time, count: cases not done when they were last seen.
    curve : DataFrame, one row an event time
        time, at_risk, events, survival, se (Greenwood), low, high (log-log).
    level : float
    """

    n: int
    events: int
    last: float
    censored: pd.DataFrame
    curve: pd.DataFrame
    level: float
    settings: dict[str, Any]

    def _headline(self) -> str:
        middle = self.quantile(0.5)
        return f"n={self.n}, {self.events} events: median {middle}"

    def survival(self, times: npt.ArrayLike) -> Floats:
        """S(t), the probability of taking longer than t; NaN beyond the longest time observed."""
        at = np.asarray(times, float)
        k = np.searchsorted(self.curve["time"].to_numpy(float), at, side="right")
        values = np.concatenate([[1.0], self.curve["survival"].to_numpy(float)])[k]
        return np.where((at > self.last) & (values > _CLOSE), np.nan, values)

    def reached(self, limit: float) -> Estimate:
        """P(T <= limit): the share that is done within the limit.

        The interval is log-log (Kalbfleisch and Prentice 1980), Wilson's where nobody is censored up to the limit, and
        Wilson's on the cases that tell where the share is 0 or 1 by censoring (log-log is not defined there).
        """
        conditional = self.conditional(0.0, limit, whole=True)
        return Estimate(1 - conditional.value, 1 - conditional.high, 1 - conditional.low, conditional.se,
                        self.n, self.level, conditional.method)  # fmt: skip

    def conditional(self, age: float, limit: float, *, whole: bool = False) -> Estimate:
        """P(T > limit | T > age) = S(limit) / S(age): of not being done by the limit, once `age` has passed.

        One minus it is the probability of still making it. This is the curve of those still at risk after `age`, with
        Greenwood's variance of the steps after it; NaN where nobody was observed as long as the limit.

        Parameters
        ----------
        age, limit : float
        whole : bool
            Count from before the first event, so that events at time 0 count too.
        """
        return self.conditionals(np.array([-math.inf if whole else age]), limit)[0]

    def conditionals(self, ages: npt.ArrayLike, limit: float) -> list[Estimate]:
        """`conditional` for many ages at once."""
        time, risk, died = (self.curve[c].to_numpy(float) for c in ("time", "at_risk", "events"))
        start = np.searchsorted(time, np.asarray(ages, float), side="right")
        stop = int(np.searchsorted(time, limit, side="right"))
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.concatenate([[0.0], np.cumsum(np.where(risk > died, died / (risk * (risk - died)), 0.0))])
            variance = np.maximum(steps[stop] - steps[np.minimum(start, stop)], 0)
        survival = np.concatenate([[1.0], self.curve["survival"].to_numpy(float)])
        after, lost = self._counts(np.asarray(ages, float), limit)
        results = []
        for i, v, n, unknown in zip(start, variance, after.tolist(), lost.tolist(), strict=True):
            if n == 0 or (limit > self.last and survival[stop] > _CLOSE):
                results.append(Estimate(math.nan, math.nan, math.nan, math.nan, n, self.level, "not defined"))
                continue
            value = survival[stop] / survival[i] if survival[i] > 0 else math.nan
            value = 0.0 if survival[stop] <= _CLOSE else float(min(value, 1.0))
            results.append(_interval(value, float(v), n, unknown, self.level))
        return results

    def quantile(self, p: float) -> Estimate:
        """The time by which a share p is done, with the interval of Brookmeyer and Crowley (1982), log-log scale.

        Where S(t) stays at 1 - p the middle of the stretch is given, as R does; NaN where the curve does not come so
        far, and for a bound that it does not reach.
        """
        time = self.curve["time"].to_numpy(float)
        names = ("survival", "low", "high")
        value, low, high = (_crossing(time, self.curve[c].to_numpy(float), 1 - p) for c in names)
        return Estimate(value, low, high, math.nan, self.n, self.level, "Brookmeyer-Crowley, log-log")

    def _counts(self, ages: Floats, limit: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Cases observed for longer than each age, and those of them last seen before the limit, which do not tell."""
        time, lost = self.censored["time"].to_numpy(float), np.concatenate([[0], np.cumsum(self.censored["count"])])
        done = np.concatenate([[0], np.cumsum(self.curve["events"])])
        gone = lost[np.searchsorted(time, ages, side="right")]
        after = self.n - gone - done[np.searchsorted(self.curve["time"].to_numpy(float), ages, side="right")]
        before = lost[np.searchsorted(time, limit, side="left")]
        return after.astype(np.int64), np.maximum(before - gone, 0).astype(np.int64)


def kaplan_meier(time: npt.ArrayLike, event: npt.ArrayLike, *, level: float = 0.95) -> Survival:
    """How long it takes until something happens, where some cases are still open.

    Parameters
    ----------
    time : array_like, shape (n,)
        Time to the event, or as long as the case was observed without it.
    event : array_like of bool, shape (n,)
        Whether it happened.
    level : float

    Raises
    ------
    ComputationError
        No case, or times that are missing, infinite or negative.

    Examples
    --------
    >>> curve = kaplan_meier([6, 6, 6, 6, 7, 9, 10, 10], [1, 1, 1, 0, 1, 0, 1, 0])
    >>> curve.survival([6, 7]).round(3)
    array([0.625, 0.469])
    """
    t, e = checked_times(time, event)
    from statsmodels.duration.survfunc import SurvfuncRight

    if e.any():
        fit = SurvfuncRight(t, e.astype(float))
        columns = (fit.surv_times, fit.n_risk, fit.n_events, fit.surv_prob, fit.surv_prob_se)
    else:
        columns = (np.empty(0),) * 5
    curve = pd.DataFrame(dict(zip(("time", "at_risk", "events", "survival", "se"), columns, strict=True)), dtype=float)
    curve["low"], curve["high"] = _log_log(curve["survival"].to_numpy(), curve["se"].to_numpy(), level)
    at, count = np.unique(t[~e], return_counts=True)
    censored = pd.DataFrame({"time": at.astype(float), "count": count.astype(int)})
    settings = {"level": level, "interval": "log-log"}
    return Survival(len(t), int(e.sum()), float(t.max()), censored, curve, level, settings)


@dataclass(frozen=True, repr=False)
class Incidence(Result):
    """Cumulative incidence where a case can end in more than one way.

    Attributes
    ----------
    n : int
    last : float
        The longest time observed.
    causes : DataFrame, one row a cause
        events.
    censored : DataFrame
        time, count.
    curve : DataFrame, one row a cause and time
        cause, time, incidence, se (Dinse and Larson 1986), low, high (log-log).
    level : float
    """

    n: int
    last: float
    causes: pd.DataFrame
    censored: pd.DataFrame
    curve: pd.DataFrame
    level: float
    settings: dict[str, Any]

    def _headline(self) -> str:
        return f"n={self.n}: " + ", ".join(f"{c} {v}" for c, v in self.causes["events"].items())

    def at(self, time: float, cause: str) -> Estimate:
        """P(T <= time, by this cause), all other causes at work."""
        rows = self.curve[(self.curve["cause"] == cause) & (self.curve["time"] <= time)]
        lost = int(self.censored.loc[self.censored["time"] < time, "count"].sum())
        if time > self.last and lost:
            return Estimate(math.nan, math.nan, math.nan, math.nan, self.n, self.level, "not defined")
        value, se = (float(rows[c].iloc[-1]) if len(rows) else 0.0 for c in ("incidence", "se"))
        if lost and 0 < value < 1:
            low, high = (float(b[0]) for b in _log_log(np.array([value]), np.array([se]), self.level))
            return Estimate(value, low, high, se, self.n, self.level, "log-log")
        return _wilson(value, se, self.n - lost, self.n, self.level)


def cumulative_incidence(time: npt.ArrayLike, cause: npt.ArrayLike, *, level: float = 0.95) -> Incidence:
    """How many have ended in each way by each time: the Aalen-Johansen estimate.

    Unlike one minus Kaplan-Meier with other ends censored, it does not pretend that a case that ended otherwise could
    still have come to this end.

    Parameters
    ----------
    time : array_like, shape (n,)
    cause : array_like of str, shape (n,)
        How the case ended; empty where it is still open.
    level : float

    Raises
    ------
    ComputationError
        No case, or times that are missing, infinite or negative.

    Examples
    --------
    >>> share = cumulative_incidence([1, 2, 3, 4], ["done", "left", "done", ""]).at(3, "done")
    >>> share.value
    0.5
    """
    names = np.asarray(cause, dtype=object)
    names = np.where(pd.isna(names), "", names).astype(str)
    t, e = checked_times(time, names != "")
    from statsmodels.duration.survfunc import CumIncidenceRight

    codes = sorted(set(names[e]))
    status = np.searchsorted(codes, names) + 1 if codes else np.zeros(len(t), int)
    status = np.where(e, status, 0)
    frames = []
    if codes:
        with np.errstate(divide="ignore", invalid="ignore"):
            fit = CumIncidenceRight(t, status)
        place = np.searchsorted(fit.times, t)
        for k, code in enumerate(codes):
            value = np.asarray(fit.cinc[k], float)
            se = _incidence_se(value, place, status, k + 1, len(fit.times))
            low, high = _log_log(value, se, level)
            frames.append(pd.DataFrame({"cause": code, "time": fit.times.astype(float), "incidence": value, "se": se,
                                        "low": low, "high": high}))  # fmt: skip
    empty = pd.DataFrame(columns=["cause", "time", "incidence", "se", "low", "high"])
    at, count = np.unique(t[~e], return_counts=True)
    events = [int((names == c).sum()) for c in codes]
    return Incidence(
        n=len(t),
        last=float(t.max()),
        causes=pd.DataFrame({"events": events}, index=pd.Index(codes, name="cause")),
        censored=pd.DataFrame({"time": at.astype(float), "count": count.astype(int)}),
        curve=pd.concat(frames, ignore_index=True) if frames else empty,
        level=level,
        settings={"level": level, "interval": "log-log", "se": "Dinse and Larson 1986"},
    )


def _incidence_se(
    value: Floats, place: npt.NDArray[np.intp], status: npt.NDArray[Any], cause: int, length: int
) -> Floats:
    """Delta-method standard error (Dinse and Larson 1986; Marubini and Valsecchi 1995, eq. 10.12)."""
    died = np.bincount(place[status > 0], minlength=length).astype(float)
    own = np.bincount(place[status == cause], minlength=length).astype(float)
    risk = np.cumsum(np.bincount(place, minlength=length)[::-1])[::-1].astype(float)
    before = np.concatenate([[1.0], np.cumprod(1 - died / risk)[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):  # the last step, where all are done, adds nothing
        a = np.where(risk > died, died / (risk * (risk - died)), 0.0)
    b = before * own / risk**2
    variance = value**2 * np.cumsum(a) - 2 * value * np.cumsum(value * a) + np.cumsum(value**2 * a)
    variance += np.cumsum(before**2 * (risk - own) * own / risk**3)
    variance -= 2 * (value * np.cumsum(b) - np.cumsum(value * b))
    result: Floats = np.sqrt(np.maximum(variance, 0))
    return result


def checked_times(time: npt.ArrayLike, event: npt.ArrayLike) -> tuple[Floats, Bools]:
    """Times and events as arrays, refused where they are none."""
    t, e = np.asarray(time, float), np.asarray(event).astype(bool)
    if t.ndim != 1 or t.shape != e.shape or not len(t):
        raise ComputationError(
            f"survival: expected as many times as events and one or more, found {t.shape}, {e.shape}"
        )
    bad = ~np.isfinite(t) | (t < 0)
    if bad.any():
        some = ", ".join(f"{v:g}" for v in t[bad][:5])
        raise ComputationError(f"survival: expected times of 0 or more, found {int(bad.sum())} others: {some}")
    return t, e


def _log_log(value: Floats, se: Floats, level: float) -> tuple[Floats, Floats]:
    """Bounds of a probability on the scale log(-log p); 0 and 1 have none."""
    z = ndtri((1 + level) / 2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inside = (value > 0) & (value < 1)
        spread = np.where(inside, z * se / (value * np.abs(np.log(value))), np.nan)
        return np.where(inside, value ** np.exp(spread), np.nan), np.where(inside, value ** np.exp(-spread), np.nan)


def _interval(value: float, variance: float, n: int, lost: int, level: float) -> Estimate:
    """Interval of a conditional survival whose logarithm has this variance; `lost` cases do not tell."""
    se = value * math.sqrt(variance)
    if lost and 0 < value < 1:
        low, high = _log_log(np.array([value]), np.array([se]), level)
        return Estimate(value, float(low[0]), float(high[0]), se, n, level, "log-log")
    return _wilson(value, se, n - lost, n, level)


def _wilson(value: float, se: float, counted: int, n: int, level: float) -> Estimate:
    from statsmodels.stats.proportion import proportion_confint

    if counted <= 0:
        return Estimate(value, 0.0, 1.0, se, n, level, "Wilson")
    low, high = proportion_confint(value * counted, counted, alpha=1 - level, method="wilson")
    low, high = (float(low) if value > 0 else 0.0), (float(high) if value < 1 else 1.0)  # not but for rounding
    return Estimate(value, low, high, se, n, level, "Wilson")


def _crossing(time: Floats, curve: Floats, at: float) -> float:
    """The first time at which a falling curve is at or below a value; the middle of a stretch where it stays on it."""
    below = np.flatnonzero(curve <= at + _CLOSE)
    if not len(below):
        return math.nan
    k = below[0]
    on = abs(curve[k] - at) <= _CLOSE and k + 1 < len(time)
    return float((time[k] + time[k + 1]) / 2 if on else time[k])
