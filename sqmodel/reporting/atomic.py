"""Putting files and folders in place so that a reader sees the old one or the new one, never half of either."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2
RENAME_SWAP = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
PREVIOUS = ".previous"


def write_file(path: Path, content: bytes, scratch: Path) -> None:
    """Write a file whole or not at all; `scratch` is a folder on the same file system."""
    descriptor, name = tempfile.mkstemp(dir=scratch)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def put_folder(files: Mapping[str, bytes], target: Path, scratch: Path) -> None:
    """Put a folder of files in place of the one that is there, whole or not at all.

    Parameters
    ----------
    files : mapping
        Content by name.
    target : Path
        The folder; its parent is made if need be.
    scratch : Path
        A folder on the same file system, for the new one until it is whole and for the old one until it is gone.

    Raises
    ------
    OSError
        The new folder could not be written; the old one is as it was.
    """
    own = Path(tempfile.mkdtemp(dir=scratch))
    try:
        fresh = own / target.name
        fresh.mkdir()
        for name, content in files.items():
            with (fresh / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(fresh)
        target.parent.mkdir(parents=True, exist_ok=True)
        _put(fresh, target)
        _sync(target.parent)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def recover(folder: Path) -> list[str]:
    """Names of pages that a killed run had taken away where no exchange in one step is possible, put back now."""
    found = []
    for old in sorted(folder.glob(f"*/.*{PREVIOUS}")):
        target = old.with_name(old.name[1 : -len(PREVIOUS)])
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(old, target)
            found.append(f"{target.parent.name}/{target.name}")
    return found


def _put(fresh: Path, target: Path) -> None:
    """Rename `fresh` to `target`; what stood there is afterwards in `fresh`, to be removed with it."""
    if not target.exists():
        os.rename(fresh, target)
    elif not _exchange(fresh, target):
        # Two steps: a run that is killed between them leaves the old folder under a name that `recover` knows.
        old = target.with_name(f".{target.name}{PREVIOUS}")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(target, old)
        try:
            os.replace(fresh, target)
        except OSError:
            os.replace(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system or the file system cannot."""
    library = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        failed = library.renameat2(AT_FDCWD, first, AT_FDCWD, second, RENAME_EXCHANGE)  # type: ignore[union-attr]
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(first, second, RENAME_SWAP)  # type: ignore[union-attr]
    else:
        return False
    number = ctypes.get_errno() if failed else 0
    if number and number not in _UNSUPPORTED:
        raise OSError(number, os.strerror(number), str(other))
    return not failed


def _sync(folder: Path) -> None:
    """Have the folder's entries survive a power cut; where folders cannot be opened the system sees to it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED | {errno.EACCES, errno.EPERM}:
            raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
