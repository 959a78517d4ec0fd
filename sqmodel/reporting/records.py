"""Records: all that the params name of what the lender did, read and checked before anything is computed."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from sqmodel.errors import OperationsError, Problem, gathered
from sqmodel.operations.alerts import check_alerts
from sqmodel.operations.checklists import check_inspections
from sqmodel.operations.complaint_records import STAGES
from sqmodel.operations.complaints import ComplaintRules, Complaints, read_complaints
from sqmodel.operations.early_warning import read_alerts, read_exposures
from sqmodel.operations.process import Process, load_process
from sqmodel.operations.promises import check_standard
from sqmodel.operations.records import Records
from sqmodel.operations.staff import read_advisers, read_inspections, read_tests, read_training
from sqmodel.operations.standards import ServiceStandard, load_standard
from sqmodel.reporting.sources import RECORDS, found_path, is_path, placed

if TYPE_CHECKING:
    from sqmodel.operations.events import EventLog
    from sqmodel.reporting.params import Params

Read = TypeVar("Read")
PACKAGES = ("duckdb", "statsmodels", "chinese_calendar", "holidays")


@dataclass(frozen=True)
class Sources:
    """What the params name, as read; None for what they do not name.

    Parameters
    ----------
    process, standard : Process and ServiceStandard
    rules : ComplaintRules
    log : EventLog, optional
        Open as long as `open_sources` is.
    cases : DataFrame, optional
        All cases of the log, as of its end.
    complaints : Complaints, optional
    exposures, alerts, tests, training, inspections, advisers : Records, optional
    """

    process: Process
    standard: ServiceStandard
    rules: ComplaintRules
    log: EventLog | None = None
    cases: pd.DataFrame | None = None
    complaints: Complaints | None = None
    exposures: Records | None = None
    alerts: Records | None = None
    tests: Records | None = None
    training: Records | None = None
    inspections: Records | None = None
    advisers: Records | None = None

    def counts(self) -> dict[str, int]:
        """Rows of every source, by its key in the params."""
        found = {key: getattr(self, "log" if key == "events" else key) for key in RECORDS}
        return {
            key: len(value.frame) if isinstance(value, Records) else len(value)
            for key, value in found.items()
            if value is not None
        }

    def noticed(self) -> list[str]:
        """What is odd in each source without being an error, and how often; not what depends on the quarter."""
        lines = []
        for key in RECORDS:
            value = getattr(self, "log" if key == "events" else key)
            counts = {} if value is None else _counted(value)
            if counts:
                lines.append(f"{key}: {', '.join(f'{kind} ({n:,})' for kind, n in counts.items())}")
        return lines


def _counted(source: EventLog | Complaints | Records) -> dict[str, int]:
    """How often each kind of oddity was found in a source, those that were not left out."""
    found: Counter[str] = Counter()
    for row in source.reading.changes.to_dict("records"):
        found[f"{row['kind']} in column {row['column']}" if row["column"] else str(row["kind"])] += int(row["count"])
    if isinstance(source, Complaints):
        found["row that repeats an earlier one"] = len(source.identical)
        for stage in STAGES[1:]:
            found[f"{stage} before received"] = int((source.frame[stage] < source.frame["received"]).sum())
    elif not isinstance(source, Records):
        from sqmodel.operations.process_analysis import noticed

        odd = noticed(source)
        odd = odd[~odd["kind"].str.startswith("steps:")]
        found.update({str(kind): int(n) for kind, n in zip(odd["kind"], odd["count"], strict=True)})
    return {kind: n for kind, n in found.items() if n}


@contextmanager
def open_sources(params: Params) -> Iterator[Sources]:
    """Read all records that the params name.

    Raises
    ------
    OperationsError
        All problems of all sources, and of the process and the standard; nothing is left half read.
    """
    absent = tuple(name for name in PACKAGES if importlib.util.find_spec(name) is None)
    if absent:
        problem = Problem("expected the packages that analyse records of operations, found none of", absent)
        raise OperationsError(f"{params.business_line} {params.quarter}", [problem], "pip install 'sqmodel[process]'")
    errors: list[OperationsError] = []

    def attempt(read: Callable[..., Read], *arguments: Any, **options: Any) -> Read | None:
        try:
            return read(*arguments, **options)
        except OperationsError as error:
            errors.append(error)
            return None

    process = attempt(load_process, _definition(params.process))
    standard = attempt(load_standard, _definition(params.standard))
    with ExitStack() as stack:
        found: dict[str, Any] = {}
        if process is not None:
            zone = process.time_zone
            rules = ComplaintRules(time_zone=zone)
            if params.events and standard is not None:
                found |= attempt(_events, params, process, standard, stack) or {}
            readers: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
                "complaints": (read_complaints, {"rules": rules}),
                "exposures": (read_exposures, {"zone": zone}),
                "alerts": (read_alerts, {"zone": zone}),
                "tests": (read_tests, {"zone": zone}),
                "training": (read_training, {"zone": zone}),
                "inspections": (read_inspections, {"zone": zone}),
                "advisers": (read_advisers, {}),
            }
            for key, (read, options) in readers.items():
                if getattr(params, key):
                    found[key] = attempt(read, placed(getattr(params, key)), **options)
            for fit in (_alerts_fit, _inspections_fit):
                attempt(fit, found, standard)
        if errors or process is None or standard is None:
            raise gathered(errors, f"{params.business_line} {params.quarter}")
        yield Sources(process, standard, rules, **found)


def _alerts_fit(found: dict[str, Any], standard: ServiceStandard | None) -> None:
    """Whether all alerts are of loans among the exposures."""
    alerts, exposures = found.get("alerts"), found.get("exposures")
    if alerts is not None and exposures is not None and len(alerts.frame):
        check_alerts(alerts.frame, exposures.frame, alerts.reading.source)


def _inspections_fit(found: dict[str, Any], standard: ServiceStandard | None) -> None:
    """Whether the checklists are those of the standard."""
    inspections = found.get("inspections")
    if inspections is not None and standard is not None and len(inspections.frame):
        check_inspections(inspections.frame, conduct_points(standard), inspections.reading.source)


def conduct_points(standard: ServiceStandard) -> dict[str, float]:
    """Points of every check of the code of conduct."""
    return {check.code: check.points for check in standard.conduct}


def _definition(name: str) -> str:
    return str(found_path(name)) if is_path(name) else name


def _events(params: Params, process: Process, standard: ServiceStandard, stack: ExitStack) -> dict[str, Any]:
    from sqmodel.operations.events import read_events

    log = stack.enter_context(read_events(placed(params.events), process=process))
    # One thread: sums of floating-point numbers depend on their order, and a report has the same bytes each time.
    log.connection.execute("SET threads = 1")
    cases = log.cases()
    check_standard(log, standard, cases)
    return {"log": log, "cases": cases}
