"""Executions: which start belongs to which completion, what each one waited for, and what the log leaves open.

Events of a step are matched within a case: a completion ends the oldest work begun and not yet completed (first in,
first out). A start takes the latest scheduling since the start before it. A step's executions wait

- ``schedule``: from the scheduling to the start (to the completion, where the step has no starts);
- ``resumed``: a step that is scheduled, but was taken up again without a new scheduling; it had been laid down since
  its last completion, and whom it waited for meanwhile the events do not tell: shown as a pause, not as a wait;
- ``previous``: a start without scheduling: since the case's last completion of any step;
- ``elapsed``: a log of completions only: since the case's previous event, work included.

In a log where work is timed, a step that has completions only marks a state (``status``): it neither waits nor works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sqmodel.operations.event_chunks import COMPLETE, NEVER, SCHEDULE, START, Bools, Chunk, Facts, Ints

NONE, SCHEDULED, RESUMED, PREVIOUS, ELAPSED, STATUS, PENDING = range(7)
KINDS = ("", "schedule", "resumed", "previous", "elapsed", "status", "pending")
"""What an execution waited for, or why nothing is known of it; ``pending``: scheduled, and not begun."""


@dataclass(frozen=True)
class Executions:
    """Executions of the cases of a chunk; instants in microseconds, `NEVER` where there is none.

    Attributes
    ----------
    row : (m,) integers
        The event in the chunk that begins the execution: its start, else its completion, else its scheduling.
    last : (m,) integers
        The event that completes it, or `row`.
    step, case, kind, repeat : (m,) integers
        Activity, case within the chunk, place in `KINDS`, and how often the step was done in the case before.
    fresh : (m,) booleans
        An execution of its own: neither taken up again nor pending.
    scheduled, ready, started, completed : (m,) instants
    lapsed : (cases, 4) integers
        Of each case: schedulings replaced by a later one, completions without a start, starts without a completion,
        completions recorded after their start but dated before it.
    """

    row: Ints
    last: Ints
    step: Ints
    case: Ints
    kind: npt.NDArray[np.int8]
    repeat: Ints
    fresh: Bools
    scheduled: Ints
    ready: Ints
    started: Ints
    completed: Ints
    lapsed: Ints

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class _Groups:
    """Events of a chunk by step, case and time.

    Attributes
    ----------
    row : (n,) integers
        Place in the chunk.
    start : (n,) integers
        Place in this order of the first event of the same step and case.
    """

    row: Ints
    start: Ints

    @property
    def first(self) -> Bools:
        return np.asarray(self.start == np.arange(len(self.start)))

    def running(self, values: npt.NDArray[Any]) -> Ints:
        """Sum up to and with each event, from the group's beginning."""
        total = np.cumsum(values, dtype=np.int64)
        return np.asarray(total - (total - values)[self.start])

    def latest(self, chosen: Bools) -> Ints:
        """Place of the latest chosen event up to and with each event; -1 where the group has none so far."""
        place = np.where(chosen, np.arange(len(chosen)), -1)
        place = np.maximum.accumulate(place) if len(place) else place
        return np.where(place >= self.start, place, -1)

    def before(self, places: Ints) -> Ints:
        """What stood at the event before, in the same group; -1 at the group's first."""
        moved = np.empty_like(places)
        moved[:1] = -1
        moved[1:] = places[:-1]
        return np.where(self.first, -1, moved)


def find_executions(chunk: Chunk, facts: Facts, *, statuses: bool = False) -> Executions:
    """Match the events of whole cases.

    Parameters
    ----------
    chunk : Chunk
    facts : Facts
    statuses : bool
        Also give what only marks a state, in a log where work is timed.
    """
    timed = facts.timed
    if not timed.any():
        return _plain(chunk, chunk.lifecycle == COMPLETE, ELAPSED)
    of_timed = timed[chunk.activity]
    found = _matched(chunk, of_timed & (chunk.lifecycle <= COMPLETE), facts)
    if statuses:
        found = _joined(found, _plain(chunk, ~of_timed & (chunk.lifecycle == COMPLETE), STATUS))
    return found


def _groups(chunk: Chunk, chosen: Bools) -> _Groups:
    row = np.flatnonzero(chosen)
    # Numbers of 16 bits are sorted by counting: the order by case and time within a step stays.
    row = row[np.argsort(chunk.activity[row], kind="stable")]
    step, case = chunk.activity[row], chunk.case[row]
    begins = np.ones(len(row), bool)
    begins[1:] = (step[1:] != step[:-1]) | (case[1:] != case[:-1])
    place = np.where(begins, np.arange(len(row)), 0)
    return _Groups(row, np.maximum.accumulate(place) if len(place) else place)


def _plain(chunk: Chunk, chosen: Bools, kind: int) -> Executions:
    """Completions without anything else: each is one execution."""
    groups = _groups(chunk, chosen)
    row, m = groups.row, len(groups.row)
    never = np.full(m, NEVER)
    ready = never
    if kind == ELAPSED and m:
        before = np.maximum(row - 1, 0)
        ready = np.where(np.isin(row, chunk.first), NEVER, chunk.at[before])
    return Executions(
        row=row,
        last=row,
        step=chunk.activity[row].astype(np.int64),
        case=chunk.case[row],
        kind=np.full(m, kind, np.int8),
        repeat=groups.running(np.ones(m, np.int64)) - 1,
        fresh=np.ones(m, bool),
        scheduled=never,
        ready=ready,
        started=never,
        completed=chunk.at[row],
        lapsed=np.zeros((len(chunk.first), 4), np.int64),
    )


def _matched(chunk: Chunk, chosen: Bools, facts: Facts) -> Executions:
    groups = _groups(chunk, chosen)
    row, places = groups.row, np.arange(len(groups.row))
    lifecycle = chunk.lifecycle[row]
    starts, completes, schedules = lifecycle == START, lifecycle == COMPLETE, lifecycle == SCHEDULE
    partner, alone = first_in_first_out(starts, completes, groups)
    begun = starts | alone
    latest = groups.latest(schedules)
    taken_before = groups.before(groups.latest(begun))
    queued = (latest > taken_before) & (latest >= 0)
    fresh = begun & queued
    step = chunk.activity[row].astype(np.int64)
    started_step = (facts.counts[:, START] > 0)[step]
    scheduled_step = (facts.counts[:, SCHEDULE] > 0)[step]
    # A second completion of one start, or work that nothing scheduled anew, is no execution of its own.
    again = begun & ~queued & (taken_before >= 0) & (scheduled_step | (alone & started_step))
    repeat = groups.running(begun & ~again) - 1
    # Scheduled and never begun: the group's last event knows of a scheduling that nothing took.
    final = np.ones(len(row), bool)
    final[:-1] = groups.start[1:] != groups.start[:-1]
    waits_on = final & (latest > groups.latest(begun))
    pending = latest[waits_on]
    taken = np.zeros(len(row), bool)
    taken[latest[fresh]] = True
    taken[pending] = True
    undone = starts & (partner < 0)
    lapsed = _lapsed(chunk, groups, (schedules & ~taken, alone & started_step, undone))
    chosen_places = np.concatenate([places[begun], pending])
    kind = _kinds(starts, fresh, again, started_step)
    kind[pending] = PENDING
    before = groups.before(groups.latest(completes))
    picked = _Picked(chosen_places, latest, before, partner, repeat, begun & ~again, kind)
    return _assembled(chunk, groups, picked, starts, lapsed)


def first_in_first_out(starts: Bools, completes: Bools, groups: _Groups) -> tuple[Ints, Bools]:
    """The completion of each start (-1: none), and which completions have no start.

    A completion has none if the completions up to it outnumber the starts by more than ever before: the running
    minimum of their difference, a queue that cannot fall below empty.
    """
    n = len(starts)
    surplus = groups.running(starts.astype(np.int64) - completes)
    # One running minimum for all groups: each lies deeper than the one before can reach.
    depth = np.cumsum(groups.first) * np.int64(n + 1)
    lowest = np.minimum.accumulate(np.minimum(surplus, 0) - depth) + depth if n else surplus
    before = np.zeros(n, np.int64)
    before[1:] = lowest[:-1]
    before[groups.first] = 0
    alone = completes & (lowest < before)
    matched = np.flatnonzero(completes & ~alone)
    rank = groups.running(completes & ~alone)[matched] - 1
    earlier: Ints = (np.cumsum(starts) - starts)[groups.start[matched]]
    partner = np.full(n, -1)
    partner[np.flatnonzero(starts)[earlier + rank]] = matched
    return partner, alone


def _kinds(starts: Bools, fresh: Bools, again: Bools, has_starts: Bools) -> npt.NDArray[np.int8]:
    """What each event that begins an execution waited for."""
    kind = np.zeros(len(starts), np.int8)
    timed = starts | ~has_starts
    kind[timed] = PREVIOUS
    kind[timed & fresh] = SCHEDULED
    kind[timed & again] = RESUMED
    return kind


def _lapsed(chunk: Chunk, groups: _Groups, kinds: tuple[Bools, Bools, Bools]) -> Ints:
    """Per case: what found no partner, and pairs whose order in the source contradicts their dates."""
    replaced, alone, undone = kinds
    at = groups.latest(alone)
    turned = undone & (at >= 0)
    turned[turned] = chunk.position[groups.row[turned]] < chunk.position[groups.row[at[turned]]]
    cases, case = len(chunk.first), chunk.case[groups.row]
    found = [np.bincount(case[chosen], minlength=cases) for chosen in (replaced, alone, undone, turned)]
    return np.column_stack(found)


@dataclass(frozen=True)
class _Picked:
    """Places in a group's order: the executions, and for every event the latest scheduling, the completion before it,
    its own completion, its repeat, whether it is an execution of its own, and its kind."""

    places: Ints
    latest: Ints
    before: Ints
    partner: Ints
    repeat: Ints
    fresh: Bools
    kind: npt.NDArray[np.int8]


def _assembled(chunk: Chunk, groups: _Groups, picked: _Picked, starts: Bools, lapsed: Ints) -> Executions:
    place = picked.places
    row = groups.row[place]
    at = chunk.at[groups.row]
    kind = picked.kind[place]
    is_start, pending = starts[place], kind == PENDING

    def instants(places: Ints, where: Bools) -> Ints:
        return np.where(where & (places >= 0), at[np.maximum(places, 0)], NEVER)

    # Work without a start has a scheduling only where nothing else can tell its wait.
    scheduled = instants(picked.latest[place], (kind == SCHEDULED) | pending)
    ready = np.where(kind == SCHEDULED, scheduled, NEVER)
    ready = np.where(kind == RESUMED, instants(picked.before[place], kind == RESUMED), ready)
    ready = np.where(kind == PREVIOUS, _previous(chunk)[row], ready)
    completed = np.where(is_start, instants(picked.partner[place], is_start), at[place])
    last = np.where(is_start & (picked.partner[place] >= 0), picked.partner[place], place)
    return Executions(
        row=row,
        last=groups.row[last],
        step=chunk.activity[row].astype(np.int64),
        case=chunk.case[row],
        kind=kind,
        repeat=picked.repeat[place] + np.where(pending, 1, 0),
        fresh=picked.fresh[place],
        scheduled=scheduled,
        ready=np.where(pending, scheduled, ready),
        started=np.where(is_start, at[place], NEVER),
        completed=np.where(pending, NEVER, completed),
        lapsed=lapsed,
    )


def _previous(chunk: Chunk) -> Ints:
    """The case's last completion before each event; before any completion, its first event."""
    n = len(chunk)
    place = np.where(chunk.lifecycle == COMPLETE, np.arange(n), -1)
    place[1:] = np.maximum.accumulate(place)[:-1]
    place[:1] = -1
    first = chunk.first[chunk.case]
    place = np.maximum(place, first)
    return np.where(np.arange(n) == first, NEVER, chunk.at[place])


def _joined(a: Executions, b: Executions) -> Executions:
    names = [n for n in Executions.__dataclass_fields__ if n != "lapsed"]
    columns = {n: np.concatenate([getattr(a, n), getattr(b, n)]) for n in names}
    return Executions(**columns, lapsed=a.lapsed + b.lapsed)
