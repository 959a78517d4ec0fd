"""Process analysis: where the time of the cases goes, what is done twice, how they run, and how they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sqmodel.errors import OperationsError
from sqmodel.operations.bottlenecks import ENOUGH, POSSIBLE, bottleneck_frame
from sqmodel.operations.case_durations import duration_frame, outcome_frame
from sqmodel.operations.channels import channel_frame
from sqmodel.operations.event_chunks import OTHER, Facts, facts_of, iso
from sqmodel.operations.process_counts import EXAMPLES
from sqmodel.operations.process_tally import Tally, tally
from sqmodel.operations.process_views import case_names
from sqmodel.operations.rework import cost_frame, document_frame, handover_frame, rework_frame
from sqmodel.operations.step_times import ELAPSED, STATUS, owner_frame, step_frame
from sqmodel.operations.variants import variant_frame
from sqmodel.result import Result

if TYPE_CHECKING:
    from sqmodel.operations.events import EventLog


@dataclass(frozen=True, repr=False)
class ProcessAnalysis(Result):
    """What the events of a process tell; hours are calendar hours, or working hours where a calendar was given.

    Attributes
    ----------
    n : int
        Cases.
    events, variant_count : int
    steps : DataFrame, one row an activity
        wait (whose), timing (what the times are taken from), events, cases, executions; waiting_ and working_ n, median
        with low and high (Woodruff, over cases), p25, p75, p90, mean; working_total; resumptions of work laid down and
        paused_ median, low, high, total; open (scheduled and not begun, in open cases) and open_hours until now; reason
        of what is missing.
    waits : DataFrame, one row an owner (lender, client, planned)
        steps, n, hours, per_case with low and high, share of all waiting with bounds, open, open_hours, paused_hours.
    bottlenecks : DataFrame, one row a step that waits, the lender's first and by hours
        rank (0: not the lender's), wait, tagged (the definition names the step), n, hours (waits done and still
        open), share of the same owner's, per_case with low and high (bootstrap over cases), first (share of the
        draws in which it is the lender's largest), open, open_hours, paused_hours (not counted), resumed (times an
        execution is taken up again), named, reason (a code) and why (in words).
    rework : DataFrame, one row an activity and ``all steps``
        executions, repeats, cases, cases_with repeats, their share (Wilson), repeats_per_case, hours worked in
        repeats, resumptions, paused_hours.
    handovers : DataFrame, one row a step that follows another, and ``all steps``
        transitions between executions whose resources are known, handovers, their share (over cases), cases_with;
        hours from the execution before to this one with other hands and with the same: median, low, high, mean.
    documents : DataFrame, one row a step that asks for documents
        cases, requests, repeated, cases_repeated, share with low and high.
    variants : DataFrame, one row a variant
        variant, events, cases, share (Wilson), cumulative.
    channels : DataFrame, one row a step and channel
        reference, n, minutes and errors an entry (over all steps: standardised to the mix of steps), differences
        from the reference, all with bounds (bootstrap over cases); reason.
    durations : DataFrame, ``all cases`` and one row a node that cases reach
        Days from begin to end: Kaplan-Meier median, p25, p75, shares within so many days, with bounds; n, ended, open;
        the same of ended cases only, which is too favourable.
    outcomes : DataFrame, one row an end
        by, n, of, median_days of those ended so, cumulative incidence within so many days with bounds.
    costs : DataFrame, one row an activity and ``total``
        executions, repeats, hours, source, rate, cost, cost_of_rework, per_case and rework_per_case with bounds;
        reason.
    notes : DataFrame, one row a kind
        kind, count, cases, of (events, cases or steps), examples.
    settings : dict
    """

    n: int
    events: int
    variant_count: int
    steps: pd.DataFrame
    waits: pd.DataFrame
    bottlenecks: pd.DataFrame
    rework: pd.DataFrame
    handovers: pd.DataFrame
    documents: pd.DataFrame
    variants: pd.DataFrame
    channels: pd.DataFrame
    durations: pd.DataFrame
    outcomes: pd.DataFrame
    costs: pd.DataFrame
    notes: pd.DataFrame
    settings: dict[str, Any]

    @property
    def named(self) -> tuple[str, ...]:
        """The bottlenecks, the largest first."""
        return tuple(str(s) for s in self.bottlenecks.index[self.bottlenecks["named"].astype(bool)])

    def _headline(self) -> str:
        named = ", ".join(self.named) or "none"
        middle = self.durations["median"].iloc[0]
        return (
            f"{self.n} cases, {self.events} events, {self.variant_count} variants, median {middle:.3f} days; "
            f"bottleneck: {named}"
        )


def analyse_process(
    log: EventLog,
    *,
    calendar: Any = None,
    as_of: Any = None,
    within: tuple[float, ...] = (5.0, 15.0, 30.0),
    top: int = 20,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 1,
) -> ProcessAnalysis:
    """Where does the time of the cases go, what is done twice, how do they run and end?

    Parameters
    ----------
    log : EventLog
    calendar : WorkingCalendar, optional
        Waits, pauses and work are then counted in working hours; durations of cases stay in calendar days.
    as_of : instant, optional
        Later events are as if they had not happened.
    within : tuple of float
        Days within which the shares of ended cases are wanted.
    top : int
        Variants to show.
    level, draws, rng
        Of the intervals; see `process_tally` for the bundles of cases that are drawn in large logs.

    Returns
    -------
    ProcessAnalysis

    Raises
    ------
    OperationsError
        `as_of` is no instant or lies before all events; draws, level, within or top out of their range.

    Examples
    --------
    >>> from sqmodel.operations.events import read_events
    >>> frame = pd.DataFrame({"case_id": ["a", "a", "b", "b"], "activity": ["apply", "review"] * 2,
    ...     "timestamp": pd.to_datetime(["2026-01-05 01:00", "2026-01-05 03:00"] * 2, utc=True)})
    >>> analyse_process(read_events(frame), draws=50)
    <ProcessAnalysis 2 cases, 4 events, 1 variants, median 0.083 days; bottleneck: review>
    """
    _check(within, top, level, draws)
    facts = facts_of(log, as_of)
    found = tally(log, facts, calendar)
    generator = np.random.default_rng(rng)
    options: dict[str, Any] = {"level": level, "draws": draws, "rng": generator}
    variants, count = variant_frame(log, found, level=level, top=top)
    hours = "working hours" if calendar is not None else "calendar hours"
    settings = {"hours": hours, "as_of": "" if facts.as_of is None else iso(facts.as_of), "until": iso(facts.until),
                "within": list(within), "level": level, "draws": draws, "units": len(found.sizes),
        "enough": ENOUGH,
        "possible": POSSIBLE,
                "process": log.process.name}  # fmt: skip
    return ProcessAnalysis(
        n=len(found.cases),
        events=int(facts.counts.sum()),
        variant_count=count,
        steps=step_frame(found, log.process, level),
        waits=owner_frame(found, log.process, **options),
        bottlenecks=bottleneck_frame(found, log.process, **options),
        rework=rework_frame(found, level),
        handovers=handover_frame(found, level),
        documents=document_frame(found, log.process, level),
        variants=variants,
        channels=channel_frame(found, **options),
        durations=duration_frame(found, within=within, level=level),
        outcomes=outcome_frame(found, log.process, within=within, level=level),
        costs=cost_frame(found, log.process, **options),
        notes=_notes(log, facts, found),
        settings=settings,
    )


def _check(within: tuple[float, ...], top: int, level: float, draws: int) -> None:
    """All arguments that make no sense, in one message."""
    problems = []
    if not all(0 < limit < float("inf") for limit in within):
        problems.append(f"within: expected days above 0, found {', '.join(f'{v:g}' for v in within)}")
    if top < 1:
        problems.append(f"top: expected 1 or more, found {top}")
    if not 0 < level < 1:
        problems.append(f"level: expected a share between 0 and 1, found {level:g}")
    if draws < 50:
        problems.append(f"draws: expected 50 or more, found {draws}")
    if problems:
        raise OperationsError("analyse_process", problems)


def noticed(log: EventLog) -> pd.DataFrame:
    """What is odd in the events of a log, without an analysis of them: see `ProcessAnalysis.notes`."""
    facts = facts_of(log, None)
    return _notes(log, facts, tally(log, facts))


def _notes(log: EventLog, facts: Facts, found: Tally) -> pd.DataFrame:
    """What was noticed, left out, or could not be matched; never silently."""
    events, cases = int(facts.counts.sum()), len(found.cases)
    other = int(facts.counts[:, OTHER].sum())
    rows: list[tuple[Any, ...]] = []
    if facts.as_of is not None:
        every = len(log)
        rows.append(("events after as_of, left out", every - events, np.nan, every, ""))
        rows.append(("cases without an event by as_of, left out", facts.cases - cases, np.nan, facts.cases, ""))
    rows.append(("events of another lifecycle, not timed", other, np.nan, events, ""))
    names = case_names(log, facts, [key for _, _, keys in found.noticed.values() for key in keys])
    for what, (count, concerned, keys) in found.noticed.items():
        some = ", ".join(str(names[k]) for k in keys[:EXAMPLES])
        rows.append((what, count, concerned, events, some))
    status = [a for a, timed in zip(facts.activities, facts.timed, strict=True) if not timed]
    if status:
        kind = STATUS if facts.timed.any() else ELAPSED
        rows.append((f"steps: {kind}", len(status), np.nan, len(facts.activities), ", ".join(status[:EXAMPLES])))
    return pd.DataFrame(rows, columns=["kind", "count", "cases", "of", "examples"])
