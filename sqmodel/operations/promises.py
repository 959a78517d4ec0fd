"""Promises: what a service standard's rules mean on the cases of a log: which cases, how long, kept or broken."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations.standards import COUNTED, Rule, ServiceStandard, Unit
from sqmodel.operations.survival import Incidence, Survival, cumulative_incidence, kaplan_meier
from sqmodel.operations.working_intervals import HOUR, microseconds
from sqmodel.operations.working_time import WorkingCalendar

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# The clock that tells cases of one day apart, for the units that count whole days.
FINER: dict[Unit, Unit] = {"calendar_days": "days", "working_days": "working_hours"}


class Log(Protocol):
    """What is needed of a log of events: `EventLog`, or anything else with these methods."""

    def spans(self, begin: str, finish: str | Sequence[str], as_of: Any = None) -> pd.DataFrame:
        """One row a case that has begun: case_id, begin, finish (NaT: not yet), until, ended, before if it is known."""
        ...

    def cases(self, as_of: Any = None) -> pd.DataFrame:
        """One row a case, by case_id: its attributes."""
        ...


@dataclass(frozen=True)
class Promise:
    """One rule on the cases of one path.

    Attributes
    ----------
    rule : Rule
    path : {"all", "ordinary", "urgent"}
    limit : float
    spans : DataFrame
        case_id, begin, finish, until, ended; and took (to the finish; NaN: not reached), age (to the last instant seen)
        in the unit of the rule.
    backward : int
        Cases left out because their finish, or their end, lies before their begin.
    """

    rule: Rule
    path: str
    limit: float
    spans: pd.DataFrame
    backward: int

    @property
    def done(self) -> Bools:
        """Reached the finish."""
        return self.spans["took"].notna().to_numpy()

    @property
    def ended(self) -> Bools:
        """Ended in another way, and can reach it no more."""
        return self.spans["ended"].to_numpy(bool) & ~self.done

    @property
    def late(self) -> Bools:
        """Took, or has already taken, longer than the limit."""
        return self.spans["age"].to_numpy(float) > self.limit

    @property
    def open(self) -> Bools:
        """Neither done nor ended, and still within the limit."""
        return ~self.done & ~self.ended & ~self.late

    def known_age(self, ages: Floats) -> Floats:
        """How long open cases are known to take longer than.

        Of a case open on its fourth day it is not known that it takes more than four days: it may still be done today.
        It is known to take more than three, and counts as seen until the middle between them.
        """
        return ages - 0.5 if self.rule.unit in COUNTED else ages

    def times(self) -> tuple[Floats, Bools, Bools]:
        """Time, whether done, and whether ended otherwise, of the cases that tell anything."""
        time = self.spans["age"].to_numpy(float)
        waiting = ~self.done & ~self.ended
        time = np.where(waiting, self.known_age(time), time)
        tells = time >= 0
        return time[tells], self.done[tells], self.ended[tells]

    def survival(self, level: float) -> Survival | None:
        """Kaplan-Meier, other ends censored; None without cases."""
        time, done, _ = self.times()
        return kaplan_meier(time, done, level=level) if len(time) else None

    def incidence(self, level: float) -> Incidence | None:
        """Cumulative incidence of being done, other ends competing; None without cases."""
        time, done, ended = self.times()
        cause = np.where(done, "done", np.where(ended, "ended", ""))
        return cumulative_incidence(time, cause, level=level) if len(time) else None


def elapsed(calendar: WorkingCalendar, unit: Unit, begin: Any, end: Any) -> Floats:
    """Time between instants in a unit of the standard; NaN where one is missing or the end lies before the begin."""
    if unit == "working_days":
        return calendar.days(begin, end, negative="nan")
    if unit == "working_hours":
        return calendar.hours(begin, end, negative="nan")
    if unit == "calendar_days":
        return calendar.calendar_days(begin, end, negative="nan")
    first, last = pd.Series(microseconds(begin)), pd.Series(microseconds(end))
    missing = pd.isna(pd.Index(begin)) | pd.isna(pd.Index(end))
    time = (last - first).to_numpy(float) / (HOUR if unit == "hours" else 24 * HOUR)
    return np.where(missing | (time < 0), np.nan, time)


def deadlines(calendar: WorkingCalendar, unit: Unit, begin: Any, limit: float) -> pd.DatetimeIndex:
    """When the limit is over; NaT where the calendar does not know the year."""
    if unit == "working_days":
        return calendar.add_days(begin, limit, unknown="nat")
    if unit == "working_hours":
        return calendar.add_hours(begin, limit, unknown="nat")
    if unit == "calendar_days":
        return calendar.add_calendar_days(begin, limit)
    return pd.DatetimeIndex(begin) + pd.Timedelta(hours=limit * (24 if unit == "days" else 1))


def promises(
    log: Log, standard: ServiceStandard, calendar: WorkingCalendar, as_of: Any
) -> tuple[pd.DataFrame, list[Promise]]:
    """The cases, and every rule on its cases.

    Raises
    ------
    OperationsError
        The standard names steps or attributes that the log does not know; all of them in one message.
    """
    cases = log.cases(as_of)
    if "case_id" in cases.columns:
        cases = cases.set_index("case_id")
    check_standard(log, standard, cases)
    found: list[Promise] = []
    for rule in standard.rules:
        spans, backward = _measure(_spans(log, rule, as_of), rule.unit, calendar)
        known = cases.reindex(spans["case_id"])
        holds = np.ones(len(spans), bool)
        for attribute, values in rule.applies.items():
            holds &= among(known[attribute], values)
        spans, known, backward = spans[holds], known[holds], backward[holds]
        if standard.urgent is None or rule.urgent is None:
            paths = [("all", rule.limit, np.ones(len(spans), bool))]
        else:
            urgent = among(known[standard.urgent.attribute], standard.urgent.values)
            paths = [("ordinary", rule.limit, ~urgent), ("urgent", rule.urgent, urgent)]
        for path, limit, who in paths:
            part = spans[who & ~backward].reset_index(drop=True)
            found.append(Promise(rule, path, limit, part, int((who & backward).sum())))
    return cases, found


def among(column: pd.Series, values: tuple[str, ...]) -> Bools:
    """Where an attribute has one of the values, whatever the case of its letters."""
    wanted = {v.strip().lower() for v in values}
    return column.astype("string").str.strip().str.lower().isin(wanted).to_numpy(bool)


def _spans(log: Log, rule: Rule, as_of: Any) -> pd.DataFrame:
    if not rule.step:
        return log.spans(rule.begin, list(rule.finish), as_of)
    spans = log.spans(f"{rule.step}/schedule", f"{rule.step}/complete", as_of)
    return spans if len(spans) else log.spans(f"{rule.step}/start", f"{rule.step}/complete", as_of)


def _measure(spans: pd.DataFrame, unit: Unit, calendar: WorkingCalendar) -> tuple[pd.DataFrame, Bools]:
    """With took and age, and which rows run backward."""
    spans = spans[spans["begin"].notna()].reset_index(drop=True)
    seen = spans["finish"].where(spans["finish"].notna(), spans["until"])
    age = elapsed(calendar, unit, spans["begin"], seen)
    took = np.where(spans["finish"].notna(), age, np.nan)
    backward = np.isnan(age)
    if "before" in spans:  # the finish lies before the begin, and did not come again
        backward |= spans["before"].to_numpy(bool)
    return spans.assign(took=took, age=age), backward


def check_standard(log: Log, standard: ServiceStandard, cases: pd.DataFrame) -> None:
    """Does a log know the steps and attributes that a standard names?

    Raises
    ------
    OperationsError
        All that it does not know, with the nearest known name.
    """
    problems: list[Problem | str] = []
    activities = known_activities(log)
    wanted = [(r.code, r.step or n) for r in standard.rules for n in ([r.step] if r.step else [r.begin, *r.finish])]
    for code, name in wanted:
        step = name.rpartition("/")[0] if name.rpartition("/")[2] in ("schedule", "start", "complete") else name
        if activities and step and step not in activities:
            problems.append(_unknown(f"rule {code}: expected a step of the log", step, activities))
    attributes = [(f"rule {r.code}", a) for r in standard.rules for a in r.applies]
    if standard.urgent is not None and any(r.urgent is not None for r in standard.rules):
        attributes.append(("urgent", standard.urgent.attribute))
    columns = [str(c) for c in cases.columns]
    problems += [_unknown(f"{where}: expected an attribute of the cases", name, columns)
                 for where, name in attributes if name not in columns]  # fmt: skip
    if problems:
        raise OperationsError(
            f"standard {standard.name}", problems, "correct the standard, or the names in the process"
        )


def _unknown(expected: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known)[:10])}"
    return f"{expected}, found {name!r}; {hint}"


def known_activities(log: Log) -> list[str]:
    """What the log can tell of its activities: those seen, and those its process defines; empty if nothing."""
    names: set[str] = set(getattr(log, "activities", ()))
    connection, process = getattr(log, "connection", None), getattr(log, "process", None)
    if not names and connection is not None:
        names = {str(row[0]) for row in connection.execute("SELECT DISTINCT activity FROM events").fetchall()}
    if names and process is not None:
        names |= {s.code for s in process.steps} | {a for e in process.ends for a in e.activities}
    return sorted(names)
