"""Kernels of a run: how a report's process is talked to."""

from __future__ import annotations

import os
import tempfile
import uuid

from jupyter_client.manager import AsyncKernelManager
from traitlets import CaselessStrEnum, default


class LocalKernelManager(AsyncKernelManager):
    """A kernel on sockets of the file system: no race for ports, and nothing of a report on the network."""

    transport = CaselessStrEnum(["tcp", "ipc"], default_value="ipc", config=True)

    @default("ip")
    def _own_sockets(self) -> str:
        """A name of its own for each kernel: by default two that start together would share one."""
        return os.path.join(tempfile.gettempdir(), f"sqmodel-{uuid.uuid4().hex[:12]}")


def kernel_manager() -> type[AsyncKernelManager]:
    """The manager for this machine; Windows has no such sockets."""
    return LocalKernelManager if os.name == "posix" else AsyncKernelManager
