"""What a submission tells of the lender's operations, from the records that the params name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqmodel.benchmark.content import Indicator, Waiting
from sqmodel.benchmark.done import Casework, indicators_of, waiting_of
from sqmodel.operations.standards import ServiceStandard
from sqmodel.operations.working_time import working_calendar
from sqmodel.reporting.operations import Operations, Period
from sqmodel.reporting.records import Sources, open_sources
from sqmodel.reporting.sources import RECORDS

if TYPE_CHECKING:
    from sqmodel.index.weighting import Weights
    from sqmodel.measurement.measure import Measure
    from sqmodel.reporting.study import Study


@dataclass(frozen=True)
class Done:
    """What an institution tells of its operations."""

    standard: ServiceStandard | None = None
    indicators: tuple[Indicator, ...] = ()
    waiting: tuple[Waiting, ...] = ()


def done_of(study: Study, measure: Measure, weights: Weights) -> Done:
    """Indicators and survival tables of what the params name records of."""
    if not any(getattr(study, key) for key in RECORDS):
        return Done()
    found: Operations = study.assess_operations(measure, weights=weights)
    with open_sources(study) as sources:
        work = _casework(study, sources)
    indicators = indicators_of(
        casework=work, compliance=found.compliance, complaints=found.complaints, alerts=found.alerts,
        tests=found.tests, training=found.training, quarter=study.quarter,
    )  # fmt: skip
    return Done(found.standard, indicators, waiting_of(work) if work else ())


def _casework(study: Study, sources: Sources) -> Casework | None:
    """The cases that began in the quarter, as of its end."""
    log = sources.log
    if log is None:
        return None
    period = Period.of(study.quarter, sources.process.time_zone)
    cases = log.cases(as_of=period.last)
    cases = cases[(cases["begin"] >= period.begin) & (cases["begin"] < period.end)]
    if cases.empty:
        return None
    steps = log.steps(as_of=period.last)
    calendar = working_calendar(log.process.calendar, log.process.time_zone)
    return Casework(cases, steps[steps["case_id"].isin(cases.index)], log.process, calendar, period.last)
