"""Where kernels come from: a fork server, or processes started ahead of time where there is no fork."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from sqmodel.errors import RunError
from sqmodel.reporting.kernels.child import Order

ALLOWED_SECONDS = 120
"""For the libraries to be loaded."""


class Process(Protocol):
    """What a kernel's provisioner needs of a process, as in `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None:
        """Exit status, None while it runs."""

    def wait(self) -> int:
        """Exit status, once there is one."""

    def send_signal(self, number: int) -> None:
        """Send a signal to the process."""


class Launcher(Protocol):
    """A source of prepared kernels."""

    folder: Path
    """For connection files and sockets; it goes with the launcher."""

    def launch(self, order: Order) -> Process:
        """Start the kernel of one report."""

    def close(self) -> None:
        """End every kernel and clean up."""


class ForkedProcess:
    """A kernel that is a child of the server: only the server can tell how it ended."""

    stdin = stdout = stderr = None

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def poll(self) -> int | None:
        """Exit status, None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.poll(self.pid)
        return self.returncode

    def wait(self) -> int:
        """Exit status, once there is one."""
        while (status := self.poll()) is None:
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal; as its parent has not reaped it, the number is no other process's."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class ForkServer:
    """A running fork server.

    Parameters
    ----------
    env : mapping
        Environment of the server; what libraries read when they are loaded must be in it.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self.folder = _own_folder()
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "sqmodel.reporting.kernels.server", str(theirs.fileno()), str(self.folder)]
        with tempfile.TemporaryFile() as complaints:
            self._errors = os.dup(complaints.fileno())
        # A session of its own: Ctrl-C in the terminal is the runner's to answer.
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            start_new_session=True,
        )
        theirs.close()
        self._socket = ours
        self._lines = ours.makefile("r", encoding="utf-8")
        self._lock = threading.Lock()
        self._ready = False

    @property
    def pid(self) -> int:
        """Process of the server."""
        return self._process.pid

    def launch(self, order: Order) -> ForkedProcess:
        """Fork the kernel of one report."""
        return ForkedProcess(self, self._ask({"do": "start", "order": asdict(order)})["pid"])

    def poll(self, pid: int) -> int | None:
        """Exit status of a kernel, None while it runs; one whose server is gone was killed with it."""
        try:
            status: int | None = self._ask({"do": "poll", "pid": pid})["status"]
        except RunError:
            return -signal.SIGKILL
        return status

    def threads(self) -> int:
        """Threads of the server: more than one would make forking unsafe."""
        return int(self._ask({"do": "describe"})["threads"])

    def alive(self) -> bool:
        """Whether the server can be asked for a kernel."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the server, and with it every kernel."""
        self._lines.close()
        self._socket.close()
        try:
            # One that has not been asked for anything has no kernel to end, only libraries to load in vain.
            self._process.wait(timeout=10 if self._ready else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._errors)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            try:
                if not self._ready:
                    self._receive(ALLOWED_SECONDS)
                    self._ready = True
                self._socket.sendall((json.dumps(request) + "\n").encode())
                return self._receive(ALLOWED_SECONDS)
            except (OSError, ValueError) as error:
                raise RunError(f"the fork server is gone ({error}){self._complaints()}") from None

    def _receive(self, seconds: float) -> dict[str, Any]:
        self._socket.settimeout(seconds)
        line = self._lines.readline()
        if not line:
            raise ConnectionError("it closed the connection")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _complaints(self) -> str:
        size = os.fstat(self._errors).st_size
        said = os.pread(self._errors, 2000, max(0, size - 2000)).decode(errors="replace").strip()
        return f": {said}" if said else ""


class SpareProcesses:
    """Processes that load the libraries ahead of time and become kernels when told; each serves one report.

    Parameters
    ----------
    env : mapping
        Environment of the processes.
    ahead : int
        How many are kept ready.
    """

    def __init__(self, env: Mapping[str, str], ahead: int) -> None:
        self.folder = _own_folder()
        self._env = dict(env)
        self._lock = threading.Lock()
        self._spare = deque(self._start() for _ in range(max(1, ahead)))
        self._given: list[subprocess.Popen[bytes]] = []

    def launch(self, order: Order) -> subprocess.Popen[bytes]:
        """Hand the oldest spare its report, and start another in its place."""
        with self._lock:
            process = self._spare.popleft()
            self._spare.append(self._start())
            self._given = [p for p in self._given if p.poll() is None] + [process]
        if process.stdin is None or process.poll() is not None:
            raise RunError(f"a process that was to become a kernel ended with status {process.returncode}")
        process.stdin.write((json.dumps(asdict(order)) + "\n").encode())
        process.stdin.close()
        process.stdin = None
        return process

    def close(self) -> None:
        """End every process."""
        for process in (*self._spare, *self._given):
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "sqmodel.reporting.kernels.spare"],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=os.name == "posix",
        )


def _own_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="sqmodel-"))
