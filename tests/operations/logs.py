"""Small event logs for tests, and the real one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from sqmodel.operations.events import EventLog, read_events
from sqmodel.operations.process import End, Process, Step
from tests.oracles import shared

ENDS = (
    End(code="approved", activities=("A_APPROVED",)),
    End(code="declined", activities=("A_DECLINED",)),
    End(code="cancelled", activities=("A_CANCELLED",), by="client"),
)
CALLS = tuple(Step(code=code, wait="client") for code in ("W_Nabellen offertes", "W_Nabellen incomplete dossiers"))
COLUMNS = {"case_id": "case", "activity": "act", "lifecycle": "lc", "resource": "res", "timestamp": "time:timestamp"}


def loan_process(*steps: Step) -> Process:
    """How the BPI Challenge 2012 is to be read."""
    nodes = (Step(code="A_PREACCEPTED", node=True),)
    return Process(name="bpic2012", columns=COLUMNS, time_zone="Europe/Amsterdam", ends=ENDS, steps=(*nodes, *steps))


def loan_log(*steps: Step) -> EventLog:
    """The BPI Challenge 2012; its resource NA is none."""
    frame = pd.read_csv(shared("data", "bpic2012", "bpic2012_flat.csv.gz"), dtype=str, na_values=["NA"])
    return read_events(frame, process=loan_process(*steps))


def log_of(events: Iterable[tuple[Any, ...]], process: Process | None = None, **columns: Any) -> EventLog:
    """Events (case, activity, lifecycle, hour, resource); hours from the first of June 2026."""
    rows = [(*event, "")[:5] for event in events]
    frame = pd.DataFrame(rows, columns=["case_id", "activity", "lifecycle", "hour", "resource"])
    frame["timestamp"] = pd.Timestamp("2026-06-01", tz="UTC") + pd.to_timedelta(frame.pop("hour"), unit="h")
    return read_events(frame.assign(**columns), process=process)
