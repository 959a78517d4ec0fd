"""Process counts: what the chunks of an event log add to sums by step and bundle, to durations and to cases."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from sqmodel.operations.event_chunks import COMPLETE, NEVER, Bools, Chunk, Facts, Floats, Ints, ends_of
from sqmodel.operations.executions import PENDING, Executions, find_executions
from sqmodel.operations.process import Process
from sqmodel.operations.process_views import ENDED, durations_of, hours_between, resource_of

EXAMPLES = 5
WAIT, PAUSED, WORK, SAME, OTHER_HANDS = "wait", "paused", "work", "same hands", "other hands"


class Counter:
    """What is counted of a log, chunk by chunk."""

    def __init__(self, facts: Facts, process: Process, calendar: Any, bundles: int) -> None:
        self.facts, self.process, self.calendar = facts, process, calendar
        self.steps = len(facts.activities)
        self.bundles = bundles
        self.ends, codes = ends_of(process, facts)
        self.codes = codes or [ENDED]
        self.nodes = [s.code for s in process.steps if s.node and s.code in facts.activities]
        self.sums: dict[str, Floats] = defaultdict(lambda: np.zeros(self.bundles * self.steps))
        self.sizes = np.zeros(self.bundles)
        self.having: dict[str, Ints] = defaultdict(lambda: np.zeros(self.steps + 1, np.int64))
        self.entries = np.zeros((self.bundles, self.steps, len(facts.channels), 5))
        self.values: dict[str, list[tuple[Any, Any, Any]]] = {k: [] for k in (WAIT, PAUSED, WORK, SAME, OTHER_HANDS)}
        self.cases: dict[str, list[Any]] = defaultdict(list)
        self.noticed: dict[str, tuple[int, int, list[int]]] = {}
        # Far from the numbers of places, and the same in every run.
        self.letters = _scattered(np.arange(self.steps, dtype=np.uint64) + np.uint64(2**62))
        self.places = np.empty(0, np.uint64)
        # Completions by which an activity ends a case; any event, where it has none.
        self.ending = (self.ends >= 0)[:, None] & np.ones(4, bool)
        completes = facts.counts[:, COMPLETE] > 0
        self.ending[completes] = self.ending[completes] & (np.arange(4) == COMPLETE)

    def add(self, chunk: Chunk, number: int) -> None:
        """Count a chunk before which there were `number` cases."""
        cases = len(chunk.first)
        bundle = ((number + np.arange(cases)) % self.bundles).astype(np.uint16)
        self.sizes += np.bincount(bundle, minlength=self.bundles)
        begin, end = self._cases(chunk)
        found = find_executions(chunk, self.facts)
        self._times(chunk, found, bundle, end)
        self._hand_overs(chunk, found, bundle)
        self._states(chunk, bundle)
        if self.facts.channels:
            self._entries(chunk, bundle)
        self._lapses(chunk, found, begin, end)

    def _cases(self, chunk: Chunk) -> tuple[Ints, Ints]:
        """Begin, end, outcome, variant and nodes of each case."""
        cases, rows = len(chunk.first), np.arange(len(chunk))
        last = np.append(chunk.first[1:], len(chunk)) - 1
        begin_row = chunk.first
        if self.process.origin:
            begin_row = _first_row(chunk, np.isin(chunk.activity, self.facts.codes([self.process.origin])))
        outcome = np.full(cases, -1 if self.process.ends else 0, np.int16)
        end_row = last
        if self.process.ends:
            end_row = _first_row(chunk, self.ending[chunk.activity, chunk.lifecycle])
            known = end_row >= 0
            outcome[known] = self.ends[chunk.activity[end_row[known]]]
        begin, end = _at(chunk, begin_row), _at(chunk, end_row)
        self._variants(chunk, rows, last)
        for name, value in (("key", chunk.key[chunk.first]), ("begin", begin), ("end", end), ("outcome", outcome)):
            self.cases[name].append(value)
        reached = [_first_row(chunk, chunk.activity == code) >= 0 for code in self.facts.codes(self.nodes)]
        self.cases["reached"].append(np.column_stack(reached) if reached else np.zeros((cases, 0), bool))
        if self.process.origin:
            self._note("before the case begins", chunk, (rows < begin_row[chunk.case]), chunk.case)
        if self.process.ends:
            after = (end_row >= 0)[chunk.case] & (rows > end_row[chunk.case])
            self._note("after the case ended", chunk, after, chunk.case)
        return begin, end

    def _variants(self, chunk: Chunk, rows: Ints, last: Ints) -> None:
        """A number for each case's sequence of activities: a sum of products of random numbers modulo 2^64."""
        longest = int((last - chunk.first).max()) + 1
        if longest > len(self.places):
            self.places = _scattered(np.arange(2 * longest, dtype=np.uint64)) | np.uint64(1)
        place = rows - chunk.first[chunk.case]
        terms = self.letters[chunk.activity] * self.places[place]
        self.cases["variant"].append(np.add.reduceat(terms, chunk.first))

    def _times(self, chunk: Chunk, found: Executions, bundle: Any, end: Ints) -> None:
        waiting, paused, working = durations_of(found, self.calendar)
        begun = found.kind != PENDING
        again = (found.repeat > 0) & begun
        whole = found.fresh
        flat = bundle[found.case].astype(np.int64) * self.steps + found.step
        for name, hours in (("wait", waiting), ("paused", paused), ("work", working)):
            known = np.isfinite(hours)
            self._sum(name, flat[known], hours[known])
            self._sum({"wait": "waits", "paused": "resumptions", "work": "works"}[name], flat[known])
            self._keep(name, found.step[known], bundle[found.case[known]], hours[known])
        self._sum("executions", flat[whole])
        self._sum("repeats", flat[whole & again])
        redone = again & np.isfinite(working)
        self._sum("rework", flat[redone], working[redone])
        is_open = ~begun & (end[found.case] == NEVER)
        still = hours_between(found.scheduled[is_open], np.full(int(is_open.sum()), self.facts.until), self.calendar)
        self._sum("open_hours", flat[is_open], still)
        self._sum("open", flat[is_open])
        cases = len(chunk.first)
        self._have("executions", found.case[whole], found.step[whole], cases)
        self._have("repeats", found.case[whole & again], found.step[whole & again], cases)

    def _hand_overs(self, chunk: Chunk, found: Executions, bundle: Any) -> None:
        """Executions of a case one after another: does another person go on?"""
        order = np.argsort(found.row)
        order = order[found.kind[order] != PENDING]
        if len(order) < 2:
            return
        who, case, step = resource_of(chunk, found)[order], found.case[order], found.step[order]
        next_one = (case[1:] == case[:-1]) & (who[1:] != 0) & (who[:-1] != 0)
        other = next_one & (who[1:] != who[:-1])
        left = np.maximum(chunk.at[found.row[order]], np.where(found.completed == NEVER, 0, found.completed)[order])
        taken = chunk.at[found.row[order]]
        gap = hours_between(left[:-1], np.maximum(taken[1:], left[:-1]), self.calendar)
        case, step = case[1:], step[1:]
        flat = bundle[case].astype(np.int64) * self.steps + step
        self._sum("transitions", flat[next_one])
        self._sum("handovers", flat[other])
        for name, chosen in ((SAME, next_one & ~other), (OTHER_HANDS, other)):
            self._keep(name, step[chosen], bundle[case[chosen]], gap[chosen])
        self._have("handovers", case[other], step[other], len(chunk.first))

    def _states(self, chunk: Chunk, bundle: Any) -> None:
        """How often a state is reached that takes no time of its own, in a log where work is timed."""
        timed = self.facts.timed
        if not timed.any() or timed.all():
            return
        chosen = ~timed[chunk.activity] & (chunk.lifecycle == COMPLETE)
        case, step = chunk.case[chosen], chunk.activity[chosen].astype(np.int64)
        cases = len(chunk.first)
        counts = np.bincount(case * self.steps + step, minlength=cases * self.steps).reshape(cases, self.steps)
        who, what = np.nonzero(counts)
        times = counts[who, what]
        flat = bundle[who].astype(np.int64) * self.steps + what
        self._sum("executions", flat, times)
        self._sum("repeats", flat, times - 1)
        self._have("executions", who, what, cases)
        self._have("repeats", who[times > 1], what[times > 1], cases)

    def _entries(self, chunk: Chunk, bundle: Any) -> None:
        told = np.flatnonzero(chunk.channel >= 0)
        shape = self.entries.shape[:3]
        place = np.ravel_multi_index((bundle[chunk.case[told]], chunk.activity[told], chunk.channel[told]), shape)
        minutes, errors = chunk.entry_minutes[told], chunk.errors[told]
        for k, values in enumerate((np.ones(len(told)), np.isfinite(minutes), minutes, np.isfinite(errors), errors)):
            self.entries[..., k] += np.bincount(place, np.nan_to_num(values), np.prod(shape)).reshape(shape)

    def _lapses(self, chunk: Chunk, found: Executions, begin: Ints, end: Ints) -> None:
        replaced, alone, undone, turned = found.lapsed.T
        ended = end != NEVER
        never = np.bincount(found.case[found.kind == PENDING], minlength=len(end))
        for what, counts in (
            ("scheduled again before it was begun", replaced),
            ("completed without a start", alone),
            ("started and not completed, case ended", undone * ended),
            ("started and not completed, case open", undone * ~ended),
            ("scheduled and not begun, case ended", never * ended),
            ("scheduled and not begun, case open", never * ~ended),
            ("negative duration", turned),
            ("no origin", (begin == NEVER).astype(np.int64)),
            ("case ends before it begins", ((end < begin) & ended & (begin != NEVER)).astype(np.int64)),
        ):
            chosen = np.repeat(np.arange(len(counts)), counts)
            self._note(what, chunk, np.ones(len(chosen), bool), chosen)

    def _note(self, what: str, chunk: Chunk, chosen: Bools, case: Ints) -> None:
        count, cases, some = self.noticed.get(what, (0, 0, []))
        if chosen.any():
            affected = np.unique(case[chosen])
            count, cases = count + int(chosen.sum()), cases + len(affected)
            some = [*some, *chunk.key[chunk.first][affected[:EXAMPLES]].tolist()][:EXAMPLES]
        self.noticed[what] = (count, cases, some)

    def _sum(self, name: str, flat: Ints, values: Any = None) -> None:
        self.sums[name] += np.bincount(flat, values, self.bundles * self.steps)

    def _keep(self, name: str, step: Any, bundle: Any, hours: Floats) -> None:
        self.values[name].append((step.astype(np.uint16), bundle, hours))

    def _have(self, name: str, case: Ints, step: Ints, cases: int) -> None:
        place = np.zeros(cases * self.steps, bool)
        place[case * self.steps + step] = True
        by_step = place.reshape(cases, self.steps)
        self.having[name][:-1] += by_step.sum(axis=0)
        self.having[name][-1] += by_step.any(axis=1).sum()

    def take(self, other: Counter) -> None:
        """Add what another counter has counted."""
        for name, total in other.sums.items():
            self.sums[name] += total
        for name, counts in other.having.items():
            self.having[name] += counts
        self.sizes += other.sizes
        self.entries += other.entries
        for name, found in other.values.items():
            self.values[name] += found
        for name, parts in other.cases.items():
            self.cases[name] += parts
        for what, (count, cases, some) in other.noticed.items():
            before = self.noticed.get(what, (0, 0, []))
            self.noticed[what] = (before[0] + count, before[1] + cases, [*before[2], *some][:EXAMPLES])


def _scattered(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Numbers scattered over 64 bits: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    z = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _first_row(chunk: Chunk, chosen: Bools) -> Ints:
    """Row of each case's first chosen event; -1 where it has none."""
    rows = np.flatnonzero(chosen)[::-1]
    first = np.full(len(chunk.first), -1)
    # Written backwards, so that the first one stays.
    first[chunk.case[rows]] = rows
    return first


def _at(chunk: Chunk, rows: Ints) -> Ints:
    return np.where(rows >= 0, chunk.at[np.maximum(rows, 0)], NEVER)
