"""Service standards: coverage of the intervals of shares, medians, chances and ratios, with cases still open."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from sqmodel.operations.compliance import assess_standard
from sqmodel.operations.hazards import cox, logrank
from sqmodel.operations.process import Hours
from sqmodel.operations.standards import Rule, ServiceStandard, Urgent
from sqmodel.operations.survival import cumulative_incidence, kaplan_meier
from sqmodel.operations.urgent import assess_risk
from sqmodel.operations.working_time import WorkingCalendar, working_calendar
from sqmodel.result import Estimate
from tests.benchmarks.truth import Trial
from tests.operations.spans import FrameLog

Draw = Callable[[np.random.Generator, int], "Estimate | bool"]


def trials(repetitions: int, seed: int) -> list[Trial]:
    """Coverage of every kind of interval, and how often what is planted is found."""
    rng = np.random.default_rng(seed)
    found = []
    for n in (50, 300):
        for share in (0.5, 0.9):
            limit = float(-np.log(1 - share))
            found.append(
                _coverage(f"share done within a limit, truly {share:.0%}", _share(limit), share, n, repetitions, rng)
            )
            found.append(
                _coverage(f"the same, nothing censored, near {share:.0%}", _counted(share), True, n, repetitions, rng)
            )
        found.append(_coverage("median time", _median, float(np.log(2)), n, repetitions, rng))
        chance = 1 - float(np.exp(-0.7))
        found.append(_coverage("chance of an open case of still making it", _chance, chance, n, repetitions, rng))
        truth = 0.6 * (1 - float(np.exp(-0.9)))
        found.append(_coverage("cumulative incidence, other ends competing", _incidence, truth, n, repetitions, rng))
        found.append(_coverage("hazard ratio, adjusted", _ratio, 1.6, n, repetitions, rng))
        found.append(_coverage("log-rank test, no difference, p above .05", _null, True, n, repetitions, rng))
        found.append(_coverage("difference in risk of the urgent path", _difference, 0.05, n, repetitions, rng))
    found.append(_coverage("a rule in working hours, from the log", _rule, 0.8, 150, repetitions, rng))
    found.append(_coverage("urgent path found faster (twice as fast)", _faster, True, 150, repetitions, rng, high=1.0))
    return found


def _coverage(
    what: str, draw: Draw, truth: float | bool, n: int, repetitions: int, rng: np.random.Generator, high: float = 0.97
) -> Trial:
    """Estimates that say that they are not defined are no intervals, and are not counted."""
    hits = given = 0
    for _ in range(repetitions):
        drawn = draw(rng, n)
        if isinstance(drawn, Estimate):
            given += not np.isnan(drawn.value)
            hits += bool(drawn.low <= truth <= drawn.high)
        else:
            given, hits = given + 1, hits + bool(drawn)
    return Trial(what, n, int(hits), given, high=high)


def _open(rng: np.random.Generator, time: np.ndarray, rate: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Times as far as they are seen, and whether to the end."""
    seen = rng.exponential(1 / rate, len(time))
    return np.minimum(time, seen), time <= seen


def _share(limit: float) -> Draw:
    return lambda rng, n: kaplan_meier(*_open(rng, rng.exponential(1, n), 0.2)).reached(limit)


def _counted(share: float) -> Draw:
    """Of a count the coverage jumps with the share, whatever the interval: it is averaged over shares near by."""

    def draw(rng: np.random.Generator, n: int) -> bool:
        near = share + rng.uniform(-0.05, 0.05)
        found = kaplan_meier(rng.exponential(1, n), np.ones(n)).reached(-np.log(1 - near))
        return found.low <= near <= found.high

    return draw


def _median(rng: np.random.Generator, n: int) -> Estimate:
    median = kaplan_meier(*_open(rng, rng.exponential(1, n))).quantile(0.5)
    high = np.inf if np.isnan(median.high) else median.high
    return Estimate(median.value, median.low, high)


def _chance(rng: np.random.Generator, n: int) -> Estimate:
    breach = kaplan_meier(*_open(rng, rng.exponential(1, n), 0.2)).conditional(0.3, 1.0)
    return Estimate(1 - breach.value, 1 - breach.high, 1 - breach.low)


def _incidence(rng: np.random.Generator, n: int) -> Estimate:
    time, done = _open(rng, rng.exponential(1, n))
    cause = np.where(done, np.where(rng.random(n) < 0.6, "done", "left"), "")
    return cumulative_incidence(time, cause).at(0.9, "done")


def _ratio(rng: np.random.Generator, n: int) -> Estimate:
    urgent = (rng.random(n) < 0.4).astype(float)
    amount = rng.normal(urgent, 1)
    time, done = _open(rng, rng.exponential(1 / (1.6**urgent * np.exp(-0.4 * amount))))
    row = cox(time, done, pd.DataFrame({"urgent": urgent, "amount": amount})).table.loc["urgent"]
    return Estimate(row["hazard_ratio"], row["low"], row["high"])


def _null(rng: np.random.Generator, n: int) -> bool:
    return logrank(*_open(rng, rng.exponential(1, n)), rng.random(n) < 0.4).p > 0.05


PATH = ServiceStandard(
    name="s", urgent=Urgent(attribute="urgent"),
    rules=(Rule(code="work", step="work", limit=7, unit="working_hours", share=0.8, urgent=7),),
)  # fmt: skip
PLAIN = ServiceStandard(name="s", rules=(Rule(code="work", step="work", limit=7, unit="working_hours", share=0.8),))
CHINA: WorkingCalendar = working_calendar(Hours(), "Asia/Shanghai")


def _difference(rng: np.random.Generator, n: int) -> Estimate:
    urgent = rng.random(n) < 0.4
    cases = pd.DataFrame({"urgent": np.where(urgent, "yes", "no")})
    bad = pd.Series((rng.random(n) < np.where(urgent, 0.2, 0.15)).astype(float))
    row = assess_risk(cases, PATH, bad, 0.95).loc[0]
    return Estimate(row["difference"], row["low"], row["high"])


def _log(rng: np.random.Generator, n: int, rate: np.ndarray) -> FrameLog:
    """Cases begun within six weeks before the end of the log, some withdrawn; times in working hours."""
    begin = CHINA.add_hours(["2026-03-02T01:00"] * n, rng.uniform(0, 200, n))
    done, left = rng.exponential(1 / rate), rng.exponential(40, n)
    end = CHINA.add_hours(begin, np.minimum(done, left))
    names = [f"c{i}" for i in range(n)]
    urgent = np.where(rate > rate.min(), "yes", "no")
    rows = [
        pd.DataFrame({"case_id": names, "activity": "work", "lifecycle": "start", "at": begin}),
        pd.DataFrame({"case_id": names, "activity": np.where(done <= left, "work", "withdrawal"),
                      "lifecycle": "complete", "at": end}),
    ]  # fmt: skip
    return FrameLog(pd.concat(rows), ["withdrawal"], pd.DataFrame({"urgent": urgent}, index=names))


def _rule(rng: np.random.Generator, n: int) -> Estimate:
    log = _log(rng, n, np.full(n, np.log(5) / 7))
    row = assess_standard(log, PLAIN, calendar=CHINA, as_of="2026-04-10T00:00Z").rules.loc[0]
    return Estimate(row["share"], row["low"], row["high"])


def _faster(rng: np.random.Generator, n: int) -> bool:
    log = _log(rng, n, np.where(rng.random(n) < 0.35, 2.0, 1.0) * 0.15)
    result = assess_standard(log, PATH, calendar=CHINA, as_of="2026-04-10T00:00Z")
    return bool(result.urgent.loc[0, "verdict"] == "faster")
