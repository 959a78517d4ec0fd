"""A Dask scheduler and its workers on this machine, as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.reporting.cells import ROOT

PATIENCE = 60.0


class Cluster:
    """A scheduler, and the workers that it was given.

    Parameters
    ----------
    folder : Path
        For its files; temporary ones too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        # Workers must find the functions that they are sent, which are those of these tests.
        self._env = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
        self._file = folder / "scheduler.json"
        self._file.unlink(missing_ok=True)
        self._scheduler = self._start("dask_scheduler", "--port", "0")
        until = time.monotonic() + PATIENCE
        while not self._file.exists() and time.monotonic() < until:
            time.sleep(0.05)
        self.address: str = json.loads(self._file.read_text(encoding="utf-8"))["address"]

    def add_workers(self, count: int, **env: str) -> None:
        """Start workers of one thread each, and wait until the scheduler knows them."""
        self._env |= env
        for _ in range(count):
            self.workers.append(
                self._start(
                    "dask_worker", "--no-nanny", "--nthreads", "1", "--local-directory", str(self.folder / "tmp")
                )
            )
        from distributed import Client

        with Client(self.address, timeout=PATIENCE, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(len(self.workers), timeout=PATIENCE)

    def close(self) -> None:
        """Ask every process to end, and see to it."""
        for process in (*self.workers, self._scheduler):
            process.terminate()
        for process in (*self.workers, self._scheduler):
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        own = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(self._file)]
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", *own, *arguments],
            env=self._env,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def cluster(folder: Path, count: int) -> Iterator[Cluster]:
    """A scheduler with a number of workers for as long as the block runs."""
    found = Cluster(folder)
    try:
        if count:
            found.add_workers(count)
        yield found
    finally:
        found.close()
