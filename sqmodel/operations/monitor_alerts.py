"""Alerts on their way out: appended to a file once each, and handed to a command until it takes them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from sqmodel.errors import OperationsError

ALERTS = "alerts.jsonl"
SECONDS = 10.0
"""That the command may take for one alert."""


def append(path: Path, lines: Iterable[str]) -> int:
    """Append lines and have them survive a power cut; the size of the file afterwards."""
    fresh = not path.exists()
    with path.open("ab") as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    if fresh:
        _sync(path.parent)
    return size


def written_since(path: Path, size: int) -> tuple[set[str], int]:
    """Ids of the alerts in the file after its first `size` bytes, and its size.

    A line that a killed process left unfinished is taken away. A file that is shorter than `size` was put aside by
    somebody, and is read from its beginning.
    """
    if not path.exists():
        return set(), 0
    with path.open("r+b") as file:
        whole = file.seek(0, os.SEEK_END)
        start = size if size <= whole else 0
        file.seek(start)
        tail = file.read()
        end = tail.rfind(b"\n") + 1
        if end < len(tail):
            file.truncate(start + end)
            file.flush()
            os.fsync(file.fileno())
    ids = set()
    for line in tail[:end].splitlines():
        try:
            ids.add(str(json.loads(line)["id"]))
        except (ValueError, TypeError, KeyError):
            continue  # Not one of ours.
    return ids, start + end


def parse_command(text: str) -> list[str]:
    """The words of a command line.

    Raises
    ------
    OperationsError
        It is empty, or a quotation mark is left open.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise OperationsError("--on-alert", [f"expected a command, found {text!r}: {error}"]) from None
    if not words:
        raise OperationsError("--on-alert", ["expected a command, found none"])
    return words


def hand_over(command: list[str], body: str) -> str:
    """Run the command with an alert on standard input; why it did not take it, or empty."""
    try:
        done = subprocess.run(
            command, input=body + "\n", text=True, encoding="utf-8", errors="replace", timeout=SECONDS,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"expected an end within {SECONDS:g} s, found none"
    except OSError as error:
        return f"{command[0]}: {error.strerror or error}"
    if done.returncode == 0:
        return ""
    said = " ".join(done.stderr.split())[-200:]
    return f"exit status {done.returncode}" + (f": {said}" if said else "")


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
