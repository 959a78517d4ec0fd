"""Process tally: one pass over a log; sums by step and bundle of cases, durations, and what each case came to.

Intervals are taken over cases. Where there are more than `BUNDLES` of them, cases are bundled at random (they come in
the order of a hash of their ids), and the bundles are resampled: their sums are as independent as the cases, and the
time no longer grows with the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sqmodel.operations.event_chunks import Bools, Chunk, Facts, Floats, Ints, read_chunks
from sqmodel.operations.process import Process
from sqmodel.operations.process_counts import Counter

if TYPE_CHECKING:
    from sqmodel.operations.events import EventLog

BUNDLES = 2000
COUNTERS = 2


@dataclass(frozen=True)
class Values:
    """Durations one by one: hours, with the step and the bundle of cases of each."""

    step: npt.NDArray[np.uint16]
    bundle: npt.NDArray[np.uint16]
    hours: Floats


@dataclass(frozen=True)
class Cases:
    """What every case came to, in the order of `key`.

    Attributes
    ----------
    key, variant : (n,) hashes
    begin, end : (n,) instants
    outcome : (n,) integers
        Place in `ends`; -1: open.
    ends : list of str
    reached : (n, nodes) booleans
        Whether the case came to the process's node.
    nodes : list of str
    """

    key: npt.NDArray[np.uint64]
    variant: npt.NDArray[np.uint64]
    begin: Ints
    end: Ints
    outcome: npt.NDArray[np.int16]
    ends: list[str]
    reached: Bools
    nodes: list[str]

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True)
class Tally:
    """What one pass over the log gives.

    Attributes
    ----------
    facts : Facts
    sums : dict of (bundles, steps) arrays
        waits, wait, open, open_hours, resumptions, paused, works, work, executions, repeats, rework, rework_executions,
        transitions, handovers: counts and hours.
    sizes : (bundles,) array
        Cases in each bundle.
    having : dict of (steps + 1,) arrays
        Cases with any: executions, repeats, handovers; last for any step at all.
    entries : (bundles, steps, channels, 5) array
        Entries, those with minutes, minutes, those with errors told, errors.
    values : dict of Values
    cases : Cases
    noticed : dict of (count, cases, example keys)
    """

    facts: Facts
    sums: dict[str, Floats]
    sizes: Floats
    having: dict[str, Ints]
    entries: Floats
    values: dict[str, Values]
    cases: Cases
    noticed: dict[str, tuple[int, int, list[int]]]


def tally(log: EventLog, facts: Facts, calendar: Any = None) -> Tally:
    """Pass over a log once."""
    return tally_chunks(read_chunks(log, facts, entries=bool(facts.channels)), facts, log.process, calendar)


def tally_chunks(chunks: Iterable[Chunk], facts: Facts, process: Process, calendar: Any = None) -> Tally:
    """Pass over the chunks of a log once.

    The chunks are dealt out to `COUNTERS` in turn, whatever the machine, so that the sums have always the same order.
    """
    counters = [Counter(facts, process, calendar, max(min(facts.cases, BUNDLES), 1)) for _ in range(COUNTERS)]
    number = 0
    running: deque[Future[None]] = deque()
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(1)) for _ in counters]
        for i, chunk in enumerate(chunks):
            running.append(pools[i % COUNTERS].submit(counters[i % COUNTERS].add, chunk, number))
            number += len(chunk.first)
            # No more than a few chunks are held at a time.
            if len(running) > 2 * COUNTERS:
                running.popleft().result()
        for task in running:
            task.result()
    for other in counters[1:]:
        counters[0].take(other)
    return _tally(counters[0])


def _tally(counter: Counter) -> Tally:
    """The sums; bundles that no case fell into, because `as_of` came before it, are left out."""
    used = counter.sizes > 0
    columns = {name: np.concatenate(parts) for name, parts in counter.cases.items()}
    none = (np.empty(0, np.uint16), np.empty(0, np.uint16), np.empty(0))
    values = {
        k: Values(*(np.concatenate(part) for part in zip(none, *v, strict=True))) for k, v in counter.values.items()
    }
    return Tally(
        facts=counter.facts,
        sums={name: counter.sums[name].reshape(counter.bundles, counter.steps)[used] for name in _SUMS},
        sizes=counter.sizes[used],
        having={name: counter.having[name] for name in ("executions", "repeats", "handovers")},
        entries=counter.entries[used],
        values=values,
        cases=Cases(**columns, ends=counter.codes, nodes=counter.nodes),
        noticed=counter.noticed,
    )


_SUMS = (
    "waits", "wait", "open", "open_hours", "resumptions", "paused", "works", "work", "executions", "repeats", "rework",
    "transitions", "handovers",
)  # fmt: skip
