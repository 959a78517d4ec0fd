"""Operations of a study: what the lender did in the quarter, as far as the params name records of it."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from sqmodel.errors import ComputationError
from sqmodel.index.drivers import Drivers, driver_features, find_drivers
from sqmodel.index.weighting import Weights
from sqmodel.measurement.measure import Measure
from sqmodel.operations.complaints import ComplaintAssessment, Complaints, assess_complaints
from sqmodel.operations.compliance import Compliance, assess_standard
from sqmodel.operations.early_warning import (
    AlertAssessment,
    GradeAssessment,
    assess_alerts,
    assess_grades,
)
from sqmodel.operations.events import EventReading
from sqmodel.operations.process import Process
from sqmodel.operations.process_analysis import ProcessAnalysis, analyse_process
from sqmodel.operations.staff import (
    AdviserAssessment,
    ChecklistScores,
    TestAssessment,
    TrainingAssessment,
    assess_advisers,
    assess_tests,
    assess_training,
    score_checklists,
)
from sqmodel.operations.standards import ServiceStandard
from sqmodel.operations.working_time import WorkingCalendar, working_calendar
from sqmodel.reporting.records import Sources, conduct_points, open_sources
from sqmodel.reporting.sources import RECORDS
from sqmodel.result import Result

if TYPE_CHECKING:
    from sqmodel.operations.events import EventLog
    from sqmodel.reporting.params import Params


Found = TypeVar("Found")
NO_CASES = "the answers have no column case_id, by which they would be joined"
SINGLE_CASES = ("breaches", "at_risk", "violations", "advisers", "pairs")
"""Frames with a row a case or a person: they are for the monitor and for researchers, not for what is published."""


@dataclass(frozen=True)
class Operations:
    """Results on what the lender did; None for what the params name no records of.

    Parameters
    ----------
    definition, standard : Process and ServiceStandard, optional
    reading : EventReading, optional
        What was noticed in reading the log.
    process, compliance, complaints, grades, alerts, tests, training, inspections, advisers, drivers : results
    missing : tuple of str
        Keys of params that name no records.
    notes : tuple of str
        Why something that has records has no result.
    """

    definition: Process | None = None
    standard: ServiceStandard | None = None
    reading: EventReading | None = None
    process: ProcessAnalysis | None = None
    compliance: Compliance | None = None
    complaints: ComplaintAssessment | None = None
    grades: GradeAssessment | None = None
    alerts: AlertAssessment | None = None
    tests: TestAssessment | None = None
    training: TrainingAssessment | None = None
    inspections: ChecklistScores | None = None
    advisers: AdviserAssessment | None = None
    drivers: Drivers | None = None
    missing: tuple[str, ...] = RECORDS
    notes: tuple[str, ...] = field(default=())

    def record(self) -> dict[str, Any]:
        """What can travel with the page: every result, without the frames that hold single cases or persons."""
        results = {f.name: getattr(self, f.name) for f in fields(self)}
        found: dict[str, Any] = {"missing": list(self.missing), "notes": list(self.notes)}
        if self.drivers is not None:
            # By client group it is a table of hundreds of rows, for those who ask for it in Python.
            results["drivers"] = replace(self.drivers, paper=self.drivers.paper[self.drivers.paper["group"] == "all"])
        if self.process is not None:
            results["process"] = replace(self.process, notes=self.process.notes.drop(columns="examples"))
        if self.reading is not None:
            results["reading"] = replace(self.reading, changes=self.reading.changes.drop(columns="examples"))
        for name, result in results.items():
            if isinstance(result, Result):
                found[name] = {k: v for k, v in result.to_json().items() if k not in SINGLE_CASES}
        return found

    def __repr__(self) -> str:
        return f"<Operations: {len(RECORDS) - len(self.missing)} of {len(RECORDS)} kinds of records>"


@dataclass(frozen=True)
class Period:
    """A quarter as two instants in UTC: its begin, and the begin of the next."""

    begin: pd.Timestamp
    end: pd.Timestamp

    @classmethod
    def of(cls, quarter: str, zone: str) -> Period:
        """The quarter by the clocks of a zone.

        Examples
        --------
        >>> Period.of("2026Q3", "Asia/Shanghai").begin
        Timestamp('2026-06-30 16:00:00+0000', tz='UTC')
        """
        first = pd.Period(quarter, freq="Q")
        begin, end = (p.start_time.tz_localize(zone).tz_convert("UTC") for p in (first, first + 1))
        return cls(begin, end)

    @property
    def last(self) -> pd.Timestamp:
        """The last instant of the quarter."""
        return self.end - pd.Timedelta(microseconds=1)


def assess_operations(params: Params, measure: Measure, *, weights: Weights) -> Operations:
    """Analyse whatever the params name records of, for the cases of the quarter.

    Parameters
    ----------
    params : Params
    measure : Measure
        Its answers are joined with the cases.
    weights : Weights
        Of the index.

    Raises
    ------
    OperationsError
        Records or definitions break their rules; all problems of all sources at once.
    """
    missing = tuple(key for key in RECORDS if not getattr(params, key))
    if len(missing) == len(RECORDS):
        return Operations()
    notes = _Notes()
    with open_sources(params) as sources:
        period = Period.of(params.quarter, sources.process.time_zone)
        found: dict[str, Any] = {"definition": sources.process, "standard": sources.standard, "missing": missing}
        if sources.log is not None:
            found |= _events(params, measure, weights, sources, sources.log, period, notes)
        if sources.complaints is not None:
            found["complaints"] = _complaints(params, sources, sources.complaints, period)
        found |= _warnings(params, sources, period, notes) | _staff(params, measure, sources, period, notes)
        return Operations(**found, notes=tuple(notes))


class _Notes(list[str]):
    """Kinds of records that have no result, each with the reason."""

    def attempt(self, key: str, rows: Sized, make: Callable[[], Found]) -> Found | None:
        """A result, or a note that there is nothing to analyse or too little."""
        if len(rows) == 0:
            self.append(f"{key}: none until the end of the quarter")
            return None
        try:
            return make()
        except ComputationError as error:
            self.append(f"{key}: {error}")
            return None


def _events(
    params: Params,
    measure: Measure,
    weights: Weights,
    sources: Sources,
    log: EventLog,
    period: Period,
    notes: _Notes,
) -> dict[str, Any]:
    """The cases that began in the quarter, as of its end; drivers look at all cases that have answers."""
    calendar = working_calendar(log.process.calendar, log.process.time_zone)
    cases = log.cases(as_of=period.last)
    begun = cases.index[(cases["begin"] >= period.begin) & (cases["begin"] < period.end)]
    if len(begun) == 0:
        notes.append("events: no case began in the quarter")
        return {"reading": log.reading}
    options: dict[str, Any] = {"as_of": period.last, "level": params.level}
    from sqmodel.operations.event_part import part_of

    with part_of(log, begun) as part:
        part.connection.execute("SET threads = 1")
        process = analyse_process(part, calendar=calendar, draws=params.draws, rng=params.seed, **options)
        compliance = assess_standard(part, sources.standard, calendar=calendar, **options)
    steps = log.steps(as_of=period.last)
    # Waits as the clients' working day has them: nights and holidays are nobody's wait for a bank.
    waited = calendar.hours(steps["ready"], steps["started"], negative="nan")
    steps["waiting_hours"] = np.where(steps["waiting_hours"].isna(), np.nan, waited)
    if not _answers_name_cases(measure):
        notes.append(f"drivers: {NO_CASES}")
        return {"reading": log.reading, "process": process, "compliance": compliance}
    features = driver_features(steps, compliance.breaches, standard=sources.standard)
    limits = _limits(sources.standard, calendar, [str(f) for f in features])
    drivers = notes.attempt(
        "drivers",
        features,
        lambda: find_drivers(
            measure, features, weights=weights, limits=limits, minimum_n=params.minimum_n, level=params.level,
            rng=params.seed,
        ),
    )  # fmt: skip
    return {"reading": log.reading, "process": process, "compliance": compliance, "drivers": drivers}


def _answers_name_cases(measure: Measure) -> bool:
    frame = measure.current.frame
    return "case_id" in frame and bool(frame["case_id"].notna().any())


def _limits(standard: ServiceStandard, calendar: WorkingCalendar, features: list[str]) -> dict[str, list[float]]:
    """Limits of waits in working hours: the standard's own for the step, and half of it."""
    hours = {"working_days": calendar.day_hours, "working_hours": 1.0}
    found = {f"wait_{r.step}": r.limit * hours[r.unit] for r in standard.rules if r.step and r.unit in hours}
    return {name: [limit, limit / 2] for name, limit in found.items() if name in features}


def _complaints(params: Params, sources: Sources, records: Complaints, period: Period) -> ComplaintAssessment:
    process, served = sources.process, None
    if sources.cases is not None:
        local = sources.cases["begin"].dropna().dt.tz_convert(process.time_zone).dt.tz_localize(None)
        local = local[local < pd.Period(params.quarter, freq="Q").end_time].dt.to_period("Q")
        served = {str(q): float(n) for q, n in local.value_counts().sort_index().items()}
    return assess_complaints(
        records, rules=sources.rules, cases=served, as_of=period.last, period=params.quarter,
        calendar=working_calendar(process.calendar, process.time_zone), minimum_n=params.minimum_n,
        level=params.level, draws=params.draws, rng=params.seed,
    )  # fmt: skip


def _warnings(params: Params, sources: Sources, period: Period, notes: _Notes) -> dict[str, Any]:
    """Grades and alerts as of the end of the quarter: what became known later is not."""
    if sources.exposures is None:
        if sources.alerts is not None:
            notes.append("alerts: the params name no exposures that they would be about")
        return {}
    zone = sources.process.time_zone
    exposures = _as_of(sources.exposures.frame, period)
    options: dict[str, Any] = {"level": params.level, "rng": params.seed}
    found: dict[str, Any] = {}
    if exposures[["grade", "probability"]].notna().any(axis=None):
        found["grades"] = notes.attempt(
            "exposures", exposures, lambda: assess_grades(exposures, horizon=params.horizon, zone=zone, **options)
        )
    else:
        notes.append("exposures: no loan has a grade or a probability")
    if sources.alerts is not None:
        alerts = sources.alerts.frame
        known = alerts[(alerts["at"] < period.end) & alerts["loan_id"].isin(exposures["loan_id"])]
        options |= {"horizon": params.alert_horizon, "minimum_n": params.minimum_n, "draws": params.draws}
        found["alerts"] = notes.attempt("alerts", known, lambda: assess_alerts(exposures, known, **options))
    return found


def _as_of(exposures: pd.DataFrame, period: Period) -> pd.DataFrame:
    """Loans granted until the end of a period, with what was known of them then."""
    own = exposures[exposures["granted"] < period.end].copy()
    own["event"] = own["event"].where(own["event"] < period.end)
    own["observed_until"] = own["observed_until"].where(own["observed_until"] < period.end, period.last)
    return own


def _staff(params: Params, measure: Measure, sources: Sources, period: Period, notes: _Notes) -> dict[str, Any]:
    """Knowledge, training, inspections, and advisers' effects on what their clients feel."""
    found: dict[str, Any] = {}
    level, standard = params.level, sources.standard
    handled = None if sources.advisers is None else sources.advisers.frame
    if sources.tests is not None:
        tests = sources.tests.frame
        taken = tests[~(tests["taken"] >= period.end)]
        found["tests"] = notes.attempt("tests", taken, lambda: assess_tests(taken, level=level))
    if sources.training is not None:
        known = sources.training.frame
        known = known[known["completed"] < period.end]
        everybody = sorted({*known["adviser"], *(() if handled is None else handled["adviser"])})
        months: dict[str, Any] = {c.code: float(c.months) for c in standard.training}
        required: dict[str, Any] = {"courses": list(months), "within_months": months} if months else {}
        found["training"] = notes.attempt(
            "training",
            known,
            lambda: assess_training(known, advisers=everybody, as_of=period.last, level=level, **required),
        )
    if sources.inspections is not None:
        seen = sources.inspections.frame
        seen, points = seen[~(seen["visited"] >= period.end)], conduct_points(standard)
        found["inspections"] = notes.attempt(
            "inspections", seen, lambda: score_checklists(seen, points=points, level=level, rng=params.seed)
        )
    if handled is not None and not _answers_name_cases(measure):
        notes.append(f"advisers: {NO_CASES}")
    elif handled is not None:
        current = measure.current
        scores = current.dimension_scores(list(measure.items)).mean(axis=1)
        joined = pd.DataFrame({"case_id": current.frame["case_id"], "score": scores}).merge(handled, on="case_id")
        found["advisers"] = notes.attempt(
            "advisers", joined, lambda: assess_advisers(joined, outcome="score", level=level, rng=params.seed)
        )
    return found
