"""Reports on a Dask cluster: the same assignments, made where there are hands free."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from sqmodel.compute import connect, workers_of
from sqmodel.reporting.kernels.manager import Watch, kernels
from sqmodel.reporting.making import Assignment, Made, StepError, make
from sqmodel.reporting.manifest import code_digest

PATIENCE = 60
"""Seconds without any worker after which a run gives up."""
_kept = ExitStack()
_first = threading.Lock()
_opened = False


class Cluster:
    """A connection to a scheduler.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``.

    Raises
    ------
    RunError
        There is no scheduler, or it has no workers.
    """

    def __init__(self, address: str) -> None:
        self.client = connect(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.client.close()

    @property
    def threads(self) -> int:
        """Reports that the cluster can make at the same time."""
        return sum(int(w["nthreads"]) for w in workers_of(self.client).values())

    def make(self, assignment: Assignment, watch: Watch, report: Callable[[str], None]) -> Made:
        """Have a worker make a report; one that dies on the way costs a try, not the report.

        Raises
        ------
        StepError
            Names step and cause.
        """
        report("execute on the cluster")
        future: Any = self.client.submit(make_there, assignment, pure=False)
        seen = time.monotonic()
        while not future.done():
            if watch.stopped:
                future.cancel()
                raise StepError("execute", watch.stopped, "")
            if workers_of(self.client):
                seen = time.monotonic()
            elif time.monotonic() - seen > PATIENCE:
                future.cancel()
                raise StepError("execute", f"expected a worker on the cluster, found none for {PATIENCE} s", "")
            time.sleep(0.1)
        made: Made = self._result(future)
        if made.code != code_digest():
            cause = (
                f"expected workers with this machine's sqmodel (code {code_digest()[:12]}…), found {made.code[:12]}…; "
                "install the same version everywhere"
            )
            raise StepError("execute", cause, "")
        return made

    def _result(self, future: Any) -> Made:
        from distributed import KilledWorker

        try:
            made: Made = future.result()
        except StepError:
            raise
        except KilledWorker as error:
            raise StepError("execute", f"the workers that tried this report died: {error}", "") from None
        except Exception as error:
            raise StepError("execute", f"the cluster failed: {type(error).__name__}: {error}", "") from None
        return made


def make_there(assignment: Assignment) -> Made:
    """Make a report in this worker's process, which keeps its prepared kernels for the next one."""
    global _opened
    with _first:
        if not _opened:
            _kept.enter_context(kernels())
            atexit.register(_kept.close)
            _opened = True
    return make(assignment)
