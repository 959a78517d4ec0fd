"""One run at a time in a reports folder: a lock that the system lets go of when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import datetime
import errno
import getpass
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from sqmodel.errors import RunError

STATE = ".sqmodel"
"""Folder of what a run needs to know of earlier ones: lock, failures, scratch."""


@contextlib.contextmanager
def exclusive(reports: Path, then: str = "nothing was run") -> Iterator[Path]:
    """Hold a reports folder; the state folder in it.

    Parameters
    ----------
    reports : Path
    then : str
        What it means that the folder cannot be had.

    Raises
    ------
    RunError
        Another run holds it (the message says who), or the folder cannot be written to.
    """
    state = reports / STATE
    try:
        state.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise _unwritable(reports, error, then) from None
    try:
        if not _seize(descriptor, reports, then):
            holder = os.pread(descriptor, 500, 0).decode(errors="replace").strip() or "an unnamed holder"
            raise RunError(
                f"{reports}: expected no other run in this folder, found one by {holder}; "
                f"wait for it to end, or give --reports another folder; {then}"
            )
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _own_name().encode(), 0)
        except OSError as error:
            raise _unwritable(reports, error, then) from None
        yield state
    finally:
        os.close(descriptor)


def _unwritable(reports: Path, error: OSError, then: str) -> RunError:
    return RunError(f"{reports}: expected a folder that can be written to, found: {error.strerror}; {then}")


def _seize(descriptor: int, reports: Path, then: str) -> bool:
    """Try to lock the file; the lock ends with the descriptor."""
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:  # pragma: no cover - Windows
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES):
            raise RunError(
                f"{reports}: expected a file system with locks, found: {error.strerror}; give --reports a folder on "
                f"another one and use --publish-to; {then}"
            ) from None
        return False
    return True


def _own_name() -> str:
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return f"{_user()}, process {os.getpid()} on {socket.gethostname()}, since {now}\n"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "an unknown user"
