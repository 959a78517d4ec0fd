"""Press: many pages at a time, here or on a cluster; one that fails stops no other, and an interrupt ends them all."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from sqmodel.errors import SqmodelError
from sqmodel.reporting import interrupts
from sqmodel.reporting.fonts import prepare
from sqmodel.reporting.kernels.manager import Watch, kernels
from sqmodel.reporting.making import Assignment, Made, StepError, make

INTERRUPTED = "interrupted: expected to be left to its end, found the run stopped from outside"

Maker = Callable[[Assignment, Watch, Callable[[str], None]], Made]
Outcome = TypeVar("Outcome")
Failing = Callable[[str, str, str, bool], Outcome]
"""Makes an outcome of step, cause, details, and whether the run was interrupted."""


class Log:
    """What happened to a report, with times; it is no part of what is published."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lines = [time.strftime("%Y-%m-%d %H:%M:%S %z")]

    def step(self, name: str) -> None:
        """It has reached a step."""
        self._lines.append(f"{time.monotonic() - self._start:8.2f} s  {name}")

    def add(self, text: str) -> None:
        """What was said."""
        self._lines += [line for line in text.strip().splitlines() if line.strip()]

    def text(self) -> str:
        """The whole log."""
        return "\n".join(self._lines) + "\n"


def maker_of(stack: ExitStack, count: int, *, workers: int, scheduler: str) -> tuple[Maker, int]:
    """Who makes the pages, for as long as `stack` is open, and how many at a time."""
    if scheduler:
        from sqmodel.reporting.cluster import Cluster

        cluster = stack.enter_context(Cluster(scheduler))
        return cluster.make, min(count, 2 * cluster.threads)
    threads = min(workers, count)
    stack.enter_context(kernels(ahead=threads))
    # While the first cells run this process has nothing to do; the first page would wait for it.
    threading.Thread(target=prepare, name="font", daemon=True).start()
    return lambda assignment, watch, report: make(assignment, watch=watch, report=report), threads


def print_all(
    names: Sequence[str],
    one: Callable[[str, Watch], Outcome],
    threads: int,
    ended: Callable[[str, Outcome], None],
) -> None:
    """Do `one` for every name, several at a time.

    Parameters
    ----------
    names : sequence of str
    one : callable
        Makes the outcome of a name; it is given a watch that ends its kernel.
    threads : int
    ended : callable
        Told of every outcome, in this thread, as they come; after an interrupt also of those that came meanwhile.

    Raises
    ------
    BaseException
        What interrupted it, after all kernels were ended.
    """
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="report")
    futures: dict[Future[Outcome], str] = {}
    told: set[Future[Outcome]] = set()
    # Before anything begins, so that an interrupt while it does finds all that there is to stop.
    watches = {name: Watch() for name in names}
    try:
        for name in names:
            futures[pool.submit(one, name, watches[name])] = name
        for future in _as_completed(futures):
            ended(futures[future], future.result())
            told.add(future)
    except BaseException:
        for future in futures:
            future.cancel()
        for watch in watches.values():
            watch.stop(INTERRUPTED)
        pool.shutdown(wait=True, cancel_futures=True)
        for future, name in futures.items():
            if future not in told and future.done() and not future.cancelled() and future.exception() is None:
                ended(name, future.result())
        raise
    pool.shutdown(wait=True)


def attempt(place: Path, watch: Watch, one: Callable[[], Outcome], failed: Failing[Outcome]) -> Outcome:
    """Do `one`; whatever goes wrong becomes an outcome that names step and cause."""
    try:
        return one()
    except StepError as error:
        return failed(error.step, error.cause, error.detail, watch.stopped == INTERRUPTED)
    except CancelledError:
        return failed("execute", INTERRUPTED, "", True)
    except Exception as error:
        return failed("publish", _cause(place, error), traceback.format_exc(), False)


def _cause(place: Path, error: Exception) -> str:
    """What kept a page from being put in place."""
    if isinstance(error, SqmodelError):
        return str(error)
    if isinstance(error, OSError):
        return f"{place}: expected a folder that can be written to, found: {error.strerror or error}"
    return f"{type(error).__name__}: {error}"


def _as_completed(futures: Iterable[Future[Outcome]]) -> Iterator[Future[Outcome]]:
    """As they end; an interrupt that something swallowed before is obeyed here."""
    left = set(futures)
    while left:
        interrupts.obey()
        ended, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
        yield from ended
