"""Interrupts that are not lost: a library that catches everything may swallow the exception, not the wish to end."""

from __future__ import annotations

_asked: list[type[KeyboardInterrupt]] = []


def ask(kind: type[KeyboardInterrupt]) -> None:
    """Note that the command is to end."""
    _asked.append(kind)


def obey() -> None:
    """End if somebody asked for it.

    Raises
    ------
    KeyboardInterrupt
        Of the kind that was asked for; once for each time.
    """
    if _asked:
        kind = _asked[-1]
        _asked.clear()
        raise kind


def forget() -> None:
    """A new command begins, or one has ended."""
    _asked.clear()
