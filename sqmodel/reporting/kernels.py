"""Kernels of a run: how a report's process is talked to."""

from __future__ import annotations

import os

from jupyter_client.manager import AsyncKernelManager
from traitlets import CaselessStrEnum


class LocalKernelManager(AsyncKernelManager):
    """A kernel on sockets of the file system: no race for ports, and nothing of a report on the network."""

    transport = CaselessStrEnum(["tcp", "ipc"], default_value="ipc", config=True)


def kernel_manager() -> type[AsyncKernelManager]:
    """The manager for this machine; Windows has no such sockets."""
    return LocalKernelManager if os.name == "posix" else AsyncKernelManager
