"""The fork server: a process that has the libraries loaded and forks a kernel for each report.

``python -m sqmodel.reporting.kernels.server FD FOLDER`` talks JSON lines over the inherited socket FD. It ends, with
every kernel it made, when the other side closes the socket, however that came about; FOLDER, which holds the kernels'
sockets and connection files, goes with it. It is single-threaded: only then is a fork safe.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import shutil
import signal
import socket
import sys
import traceback
from typing import Any

from sqmodel.reporting.kernels.child import Order, become_kernel, load_libraries

PR_SET_PDEATHSIG = 1


class Server:
    """Forks kernels on request and keeps account of how they ended."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.running: set[int] = set()

    def serve(self) -> None:
        """Answer requests until the other side is gone."""
        with self.channel.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                answer = self._answer(json.loads(line))
                self.channel.sendall((json.dumps(answer) + "\n").encode())

    def end(self) -> None:
        """Kill what still runs."""
        for pid in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        for pid in self.running:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "start":
            return {"pid": self._fork(Order(**request["order"]))}
        if request["do"] == "poll":
            return {"status": self._poll(request["pid"])}
        return {"threads": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1}

    def _poll(self, pid: int) -> int | None:
        """The exit status as subprocess gives it, None while it runs; a process is reaped here and nowhere else."""
        if pid not in self.running:
            return 0
        found, status = os.waitpid(pid, os.WNOHANG)
        if found == 0:
            return None
        self.running.discard(pid)
        return os.waitstatus_to_exitcode(status)

    def _fork(self, order: Order) -> int:
        server = os.getpid()
        pid = os.fork()
        if pid:
            self.running.add(pid)
            # Both sides do it, so that whoever comes first may rely on it.
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            return pid
        status = 1
        try:
            os.setpgid(0, 0)
            _die_with(server)
            self.channel.close()
            become_kernel(order)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # No exit handlers: those of the server are not this process's.
            os._exit(status)


def _die_with(parent: int) -> None:
    """On Linux the kernel dies with the server even if that is killed; elsewhere ipykernel watches its parent."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(descriptor: int, folder: str) -> None:
    """Load, fork on request, clean up."""
    channel = socket.socket(fileno=descriptor)
    load_libraries()
    gc.collect()
    # What is loaded stays shared memory between the kernels: the collector leaves it alone.
    gc.freeze()
    server = Server(channel)
    try:
        # A broken pipe says that the other side was killed: the same end as when it closes.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            channel.sendall(b'{"ready": true}\n')
            server.serve()
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
