"""One `map`: in this process, in a pool of processes, or on a Dask cluster; the results do not depend on which.

Whoever draws random numbers gives each item a seed of its own (`seeds`), so that an item gives the same result
wherever it is computed and in whatever order.
"""

from __future__ import annotations

import contextlib
import contextvars
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from sqmodel.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")

HERE = "here"
VARIABLE = "SQMODEL_COMPUTE"
_place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="")


@contextlib.contextmanager
def on(place: str | int) -> Iterator[None]:
    """Have every `map` inside the block use a place.

    Parameters
    ----------
    place : str or int
        ``here``; a number of processes; or the address of a Dask scheduler, ``tcp://host:8786``. Without a block the
        environment variable ``SQMODEL_COMPUTE`` says it, and without that everything is done here.

    Examples
    --------
    >>> with on("here"):
    ...     map(abs, [-1, 2])
    [1, 2]
    """
    _parsed(str(place))
    token = _place.set(str(place))
    try:
        yield
    finally:
        _place.reset(token)


def map(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Results of a function for every item, in the order of the items.

    Parameters
    ----------
    function : callable
        Of one argument; away from here it and the items must be picklable, so a function of a module.
    items : iterable

    Returns
    -------
    list

    Raises
    ------
    RunError
        The place is none, or cannot be reached.
    Exception
        Whatever the function raised first, in the order of the items.
    """
    given = list(items)
    place = _parsed(_place.get() or os.environ.get(VARIABLE, "") or HERE)
    if place == HERE or len(given) < 2:
        return [function(item) for item in given]
    if isinstance(place, int):
        return _in_processes(function, given, place)
    return _on_cluster(function, given, place)


def _parsed(place: str) -> str | int:
    if place == HERE or "://" in place:
        return place
    if place.isdigit() and int(place) > 0:
        return int(place)
    raise RunError(f"expected here, a number of processes or the address of a Dask scheduler, found {place!r}")


def _in_processes(function: Callable[[Item], Result], items: Sequence[Item], count: int) -> list[Result]:
    # Not fork: this process may have threads, and a fork copies their locks.
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    size = max(1, len(items) // (4 * count))
    parts = [items[k : k + size] for k in range(0, len(items), size)]
    with ProcessPoolExecutor(min(count, len(parts)), mp_context=context, initializer=_one_thread) as pool:
        try:
            with _unheard():
                futures = [pool.submit(_each, function, part) for part in parts]
            return [result for future in futures for result in future.result()]
        except BaseException:
            # Nobody waits for what they are at.
            for process in list((pool._processes or {}).values()):
                process.kill()
            raise


def _each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Processes begun here never hear Ctrl-C, which a terminal sends to all of them: this one does, and ends them.

    The signal is held back rather than ignored: one that comes meanwhile is obeyed afterwards. The tracker, which lets
    the signal through again once it has begun, is begun before.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _one_thread() -> None:
    """One linear algebra thread a process: there is a process for every core, and the sums keep their order."""
    _limit()
    # Nothing computed here may be spread out a second time.
    os.environ[VARIABLE] = HERE


def _on_cluster(function: Callable[[Item], Result], items: Sequence[Item], address: str) -> list[Result]:
    client = connect(address)
    try:
        futures = client.map(_Limited(function), items, pure=False)
        return list(client.gather(futures))
    finally:
        client.close()


class _Limited:
    """A function that keeps linear algebra to one thread: a worker has others to care for, and sums their order."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, item: Any) -> Any:
        with _limit(), on(HERE):
            return self.function(item)


def _limit() -> Any:
    """Linear algebra limited to one thread, until it is left as a context.

    Only libraries that are loaded are limited. Numpy and scipy have one each, which a process that has just begun need
    not have loaded yet: left to themselves, the processes' threads wait for one another.
    """
    import numpy as np  # noqa: F401
    import scipy.linalg  # noqa: F401
    import threadpoolctl

    return threadpoolctl.threadpool_limits(1)


def connect(address: str) -> Any:
    """A client of a Dask scheduler that has workers.

    Raises
    ------
    RunError
        There is no scheduler, it has no workers, or Dask is not installed.
    """
    try:
        import distributed
    except ImportError:
        raise RunError(f"{address}: a cluster needs Dask; install sqmodel[cluster]; nothing was run") from None
    try:
        client: Any = distributed.Client(address, timeout=10, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise RunError(f"expected a Dask scheduler at {address}, found: {error}; nothing was run") from None
    if not workers_of(client):
        client.close()
        raise RunError(f"expected workers at the scheduler {address}, found none; start some; nothing was run")
    return client


def workers_of(client: Any) -> dict[str, Any]:
    """The workers that a cluster has now, by address."""
    found: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return found
