"""How Jupyter gets its kernels from here: a provisioner, and managers that ask for it.

`WarmProvisioner` is registered under the name ``sqmodel-warm``. papermill and nbclient run on it unchanged.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import CaselessStrEnum, default

from sqmodel.reporting.kernels.child import Order
from sqmodel.reporting.kernels.launchers import ForkServer, Launcher, SpareProcesses

PROVISIONER = "sqmodel-warm"
LONGEST_SOCKET = 90
"""Characters that the path of a Unix socket may have, with the port's number still to come."""

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")}
"""Linear algebra on one thread, whatever the machine: sums in another order would give other last digits."""
UNTHREADED = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""pyarrow's allocator would start a thread when it is loaded, and a server with two must not fork."""

_launcher: Launcher | None = None
_gone: list[Launcher] = []
_users = 0
_lock = threading.Lock()


@contextlib.contextmanager
def kernels(ahead: int = 2) -> Iterator[Launcher]:
    """Prepared kernels for as long as the block runs; blocks that are open together share them.

    Parameters
    ----------
    ahead : int
        Processes to keep ready where there is no fork.
    """
    global _launcher, _users
    with _lock:
        launcher = _launcher = _launcher or new_launcher(ahead)
        _users += 1
    try:
        yield launcher
    finally:
        with _lock:
            _users -= 1
            ended = [] if _users or _launcher is None else [_launcher, *_gone]
            if ended:
                _launcher = None
                _gone.clear()
        for launcher in ended:
            launcher.close()


def new_launcher(ahead: int) -> Launcher:
    """A fork server, or spare processes where there is no fork or ``SQMODEL_KERNELS=spare`` asks for them."""
    env = os.environ | ONE_THREAD
    if hasattr(os, "fork") and os.environ.get("SQMODEL_KERNELS", "fork") == "fork":
        return ForkServer(env | UNTHREADED)
    return SpareProcesses(env, ahead)


def current_launcher() -> Launcher:
    """The launcher of the block that is open; a fork server that was killed is replaced, for the reports to come.

    Raises
    ------
    RuntimeError
        A kernel was asked for outside of `kernels`.
    """
    global _launcher
    with _lock:
        if _launcher is None:
            raise RuntimeError("expected a kernel to be asked for inside `with kernels()`")
        if isinstance(_launcher, ForkServer) and not _launcher.alive():
            # Its folder stays until the end: a report may have begun to use it.
            _gone.append(_launcher)
            _launcher = new_launcher(1)
        return _launcher


class WarmProvisioner(LocalProvisioner):
    """Starts a kernel in a process that has its libraries loaded."""

    process: Any

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Hand the connection file to a prepared process; `cmd` says nothing that it needs."""
        manager: Any = self.parent
        launcher = current_launcher()
        order = Order(
            connection_file=str(manager.connection_file),
            cwd=str(kwargs.get("cwd") or os.getcwd()),
            env=dict(kwargs.get("env") or os.environ),
            log=manager.watch.log if isinstance(manager, WarmManager) else "",
            parent=getattr(launcher, "pid", os.getpid()),
        )
        self.process = launcher.launch(order)
        self.pid = self.process.pid
        # It leads a group of its own, so that what a cell started ends with it.
        self.pgid = self.pid if os.name == "posix" else None
        self.cwd = order.cwd
        if isinstance(manager, WarmManager):
            manager.watch.started(self.pid)
        return self.connection_info


class _OneSpec(KernelSpecManager):
    """This interpreter's kernel under any name: a report runs where its run does."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The specification, whatever kernels are installed on the machine."""
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="sqmodel",
            language="python",
            metadata={"kernel_provisioner": {"provisioner_name": PROVISIONER}},
        )


class Watch:
    """The kernel of one report, seen by who waits for it.

    Parameters
    ----------
    log : str
        File that the kernel's output outside of cells is appended to.
    """

    def __init__(self, log: str = "") -> None:
        self.log = log
        self.pid = 0
        self.cell = ""
        """The cell that runs: its number, from 1, and how it begins."""
        self.stopped = ""
        """Why the kernel was ended from outside."""
        self._lock = threading.Lock()

    def started(self, pid: int) -> None:
        """The kernel is there; one that was to be stopped before it came ends at once."""
        with self._lock:
            self.pid = pid
            if self.stopped:
                self._kill()

    def stop(self, why: str) -> None:
        """End the kernel and all that it started."""
        with self._lock:
            self.stopped = self.stopped or why
            if self.pid:
                self._kill()

    def ended(self) -> None:
        """The report is through: its process number may soon be another's."""
        with self._lock:
            self.pid = 0

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if os.name == "posix":
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGTERM)


class WarmManager(AsyncKernelManager):
    """A kernel on sockets of the file system: no race for ports, and nothing of a report on the network."""

    transport = CaselessStrEnum(["tcp", "ipc"], default_value="tcp", config=True)
    watch: ClassVar[Watch] = Watch()

    @default("kernel_spec_manager")
    def _own_spec(self) -> KernelSpecManager:
        return _OneSpec()

    @default("transport")
    def _sockets(self) -> str:
        long = len(str(self._place)) > LONGEST_SOCKET
        return "tcp" if os.name != "posix" or long else "ipc"

    @default("ip")
    def _own_place(self) -> str:
        """A name of its own for each kernel: by default two that start together would share one."""
        return str(self._place) if self.transport == "ipc" else "127.0.0.1"

    @default("connection_file")
    def _own_file(self) -> str:
        return f"{self._place}.json"

    @functools.cached_property
    def _place(self) -> Path:
        return current_launcher().folder / uuid.uuid4().hex[:12]


def manager_for(watch: Watch) -> type[WarmManager]:
    """A manager class for one report: nbclient makes the manager itself, so what it is to know stands on the class."""
    return type("ReportManager", (WarmManager,), {"watch": watch})
