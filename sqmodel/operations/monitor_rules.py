"""What the monitor watches: limits of the standard as spans between events, deadlines, and when a case is at risk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from sqmodel.definitions import Text
from sqmodel.errors import OperationsError
from sqmodel.operations.process import Process

CLOCK = {"hours": 1.0, "days": 24.0}
"""Hours of the units that pass on any clock; the others are the calendar's."""
FEWEST = 20
"""Finished spans below which nothing is said about the chance of an open one."""
MICROSECONDS = 3_600_000_000
CLOSE = 1e-9  # S(t) is a product of many factors

Floats = npt.NDArray[np.float64]


class Calendar(Protocol):
    """Working time, as `sqmodel.operations.working_time` measures it."""

    def hours(self, begin: Any, end: Any) -> Any:
        """Working hours between instants."""

    def days(self, begin: Any, end: Any) -> Any:
        """Working days after the day of begin until the day of end."""

    def calendar_days(self, begin: Any, end: Any) -> Any:
        """Days after the day of begin until the day of end."""

    def add_hours(self, begin: Any, hours: Any, *, unknown: Literal["refuse", "nat"]) -> Any:
        """Instants at which so many working hours are over."""

    def add_days(self, begin: Any, days: Any, *, unknown: Literal["refuse", "nat"]) -> Any:
        """The first instants that are too late for so many working days."""

    def add_calendar_days(self, begin: Any, days: Any) -> Any:
        """The first instants that are too late for so many days."""


@dataclass(frozen=True)
class Watched:
    """A limit that is watched.

    Parameters
    ----------
    code : str
    title : Text
    step : str
        The key node it belongs to; empty for a limit across steps.
    begin, finish : tuple of str
        The span runs from the first event of one of `begin` to the first of one of `finish`, each ``activity`` or
        ``activity/lifecycle``; an empty `begin` is the case's origin.
    limit : float
        Infinite for a node that no limit stands for: it is counted, and never a breach.
    unit : str
        ``hours``, ``days`` (of 24 hours), ``calendar_days``, ``working_hours`` or ``working_days``.
    applies, unless : mapping
        Attributes with the values of which a case must have one, or must have none.
    node : bool
        Whether it stands among the key nodes.
    """

    code: str
    title: Text
    step: str
    begin: tuple[str, ...]
    finish: tuple[str, ...]
    limit: float
    unit: str
    applies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unless: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    node: bool = False

    @property
    def attributes(self) -> set[str]:
        """Attributes of a case that decide whether the limit applies."""
        return {*self.applies, *self.unless}

    def fits(self, attributes: Mapping[str, str]) -> bool:
        """Whether the limit applies to a case with these attributes."""

        def among(name: str, values: tuple[str, ...]) -> bool:
            return attributes.get(name, "").strip().lower() in {v.strip().lower() for v in values}

        return all(among(*pair) for pair in self.applies.items()) and not any(
            among(*pair) for pair in self.unless.items()
        )


def watched_rules(process: Process, standard: Any) -> list[Watched]:
    """The limits of a service standard as the monitor watches them, and key nodes that no limit stands for.

    A rule with a tighter limit on the urgent path becomes two; a rule of a step runs from when the step was first
    scheduled or started to its first completion.
    """
    steps = {step.code: step for step in process.steps}
    found = []
    for rule in standard.rules:
        begin = (f"{rule.step}/schedule", f"{rule.step}/start") if rule.step else _marks(rule.begin)
        finish = (f"{rule.step}/complete",) if rule.step else _marks(rule.finish)
        title = rule.title or (steps[rule.step].name if rule.step in steps else Text(zh=rule.code, en=rule.code))
        node = bool(rule.node) or (rule.step in steps and steps[rule.step].node)
        given = {name: _marks(value) for name, value in dict(rule.applies or {}).items()}
        plain = Watched(
            rule.code, title, rule.step or "", begin, finish, float(rule.limit), rule.unit, given, node=node
        )
        tighter, path = getattr(rule, "urgent", None), getattr(standard, "urgent", None)
        if tighter is None or path is None:
            found.append(plain)
            continue
        chosen = {path.attribute: tuple(path.values)}
        name = Text(zh=f"{title['zh']}（{path.title['zh']}）", en=f"{title['en']} ({path.title['en'].lower()})")
        found.append(replace(plain, unless=chosen))
        found.append(replace(plain, code=f"{rule.code}.urgent", title=name, limit=float(tighter),
                             applies={**given, **chosen}))  # fmt: skip
    return found + _uncovered(process, {rule.step for rule in found})


def _uncovered(process: Process, covered: set[str]) -> list[Watched]:
    """Key nodes that no limit stands for, to be counted all the same."""
    return [
        Watched(f"node.{step.code}", step.name, step.code, (f"{step.code}/schedule", f"{step.code}/start"),
                (f"{step.code}/complete",), math.inf, "working_hours", node=True)
        for step in process.steps if step.node and step.code not in covered
    ]  # fmt: skip


def _marks(value: str | Iterable[str] | None) -> tuple[str, ...]:
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def deadlines(begin: Floats, amount: float, unit: str, calendar: Calendar) -> Floats:
    """The last instants that are in time; instants are microseconds of UTC, missing ones NaN.

    One that lies in a year whose holidays are not known yet is NaN: nothing is said about it.
    """
    known = np.isfinite(begin)
    result = np.full(begin.shape, math.nan)
    if not known.any() or not math.isfinite(amount):
        return result
    if unit in CLOCK:
        result[known] = np.rint(begin[known] + amount * CLOCK[unit] * MICROSECONDS)
        return result
    add = {
        "working_hours": lambda at: numbers(calendar.add_hours(at, amount, unknown="nat")),
        "working_days": lambda at: numbers(calendar.add_days(at, round(amount), unknown="nat")) - 1,
        "calendar_days": lambda at: numbers(calendar.add_calendar_days(at, round(amount))) - 1,
    }[unit]
    result[known] = _each(add, begin[known])
    return result


def amounts(begin: Floats, end: Floats, unit: str, calendar: Calendar) -> Floats:
    """Time between instants in a unit; never below 0, NaN where an instant is missing or its holidays are unknown."""
    known = np.isfinite(begin) & np.isfinite(end)
    result = np.full(begin.shape, math.nan)
    first, last = begin[known], np.maximum(begin[known], end[known])
    if unit in CLOCK:
        result[known] = (last - first) / (CLOCK[unit] * MICROSECONDS)
    elif known.any():
        days = calendar.days if unit == "working_days" else calendar.calendar_days
        result[known] = _each(calendar.hours if unit == "working_hours" else days, first, last)
    return result


def known_ages(ages: Floats, unit: str) -> Floats:
    """What open spans are known to take longer than: one on its fourth day may still end today."""
    return ages if unit in CLOCK or unit == "working_hours" else ages - 0.5


def _each(measure: Callable[..., Any], *moments: Floats) -> Any:
    """What the calendar measures; NaN where it knows no holidays of a year, which says nothing of the others."""
    try:
        return measure(*(instants(m) for m in moments))
    except OperationsError:
        if len(moments[0]) == 1:
            return np.array([math.nan])
        return np.concatenate([_each(measure, *(m[k : k + 1] for m in moments)) for k in range(len(moments[0]))])


def instants(microseconds: Floats) -> Any:
    """Instants of microseconds since 1970, as the calendar takes them."""
    import pandas as pd

    return pd.DatetimeIndex(microseconds.astype("int64").view("datetime64[us]")).tz_localize("UTC")


def numbers(moments: Any) -> Floats:
    """Microseconds since 1970 of the instants that a calendar gave; NaN for a missing one."""
    import pandas as pd

    index = pd.DatetimeIndex(pd.to_datetime(moments, utc=True)).as_unit("us")
    found = index.asi8.astype(np.float64)
    found[np.asarray(index.isna())] = math.nan
    return found


@dataclass(frozen=True)
class Chance:
    """How long such spans took: what an open one's chance is of still making its limit.

    Parameters
    ----------
    times, surviving : ndarray
        Kaplan–Meier: the share still open after each time, in the rule's unit.
    limit : float
    n : int
        Finished spans behind it.
    """

    times: Floats
    surviving: Floats
    limit: float
    n: int

    def survival(self, age: Floats | float) -> Floats:
        """Share of spans that are still open at an age."""
        at = np.searchsorted(self.times, age, side="right")
        return np.concatenate(([1.0], self.surviving))[at]

    def making_it(self, age: Floats | float) -> Floats:
        """Probability that a span of which it is known that it takes longer than `age` ends within the limit.

        1 − S(limit)/S(age), and 0 from the limit on; NaN where too few were finished, or none took so long.
        """
        age = np.asarray(age, dtype=np.float64)
        if self.n < FEWEST:
            return np.full(age.shape, math.nan)
        now = self.survival(age)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = 1 - self.survival(self.limit) / now
        return np.where(age >= self.limit, 0.0, np.where(now > CLOSE, found, math.nan))

    def risk_age(self, threshold: float) -> float:
        """Age from which the probability lies below a threshold; NaN where it never does before the limit."""
        if self.n < FEWEST:
            return math.nan
        # The probability changes at the times of the curve only, and never rises with age.
        ages = np.concatenate(([0.0], self.times[self.times < self.limit]))
        low = np.flatnonzero(self.making_it(ages) < threshold - CLOSE)
        return float(ages[low[0]]) if len(low) else math.nan


def chance(elapsed: Floats, finished: npt.NDArray[np.bool_], limit: float) -> Chance:
    """Kaplan–Meier of spans, those still open censored at their age.

    Parameters
    ----------
    elapsed : ndarray
        Time of each span in the rule's unit.
    finished : ndarray of bool
        Whether it reached its end; False where it is open, or its case ended before.
    limit : float

    Examples
    --------
    >>> import numpy as np
    >>> known = chance(np.arange(1.0, 41.0), np.ones(40, dtype=bool), limit=30.0)
    >>> float(known.making_it(0.0).round(3)), known.risk_age(0.5)
    (0.75, 21.0)
    """
    known = np.isfinite(elapsed)
    elapsed, finished = elapsed[known], finished[known]
    n = int(finished.sum())
    if n < FEWEST:
        return Chance(np.empty(0), np.empty(0), limit, n)
    from statsmodels.duration.survfunc import SurvfuncRight

    curve = SurvfuncRight(elapsed, finished.astype(float))
    return Chance(np.asarray(curve.surv_times, dtype=float), np.asarray(curve.surv_prob, dtype=float), limit, n)


def activities_of(marks: Iterable[str]) -> tuple[set[str], set[str]]:
    """Marks apart: activities of any lifecycle, and those with one."""
    given = set(marks)
    return {m for m in given if "/" not in m}, {m for m in given if "/" in m}
