"""Markup: XES of any form, read by expat one element at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import pyarrow as pa

if TYPE_CHECKING:
    from sqmodel.operations.xes import Seen

LOG, TRACE, EVENT = range(3)
BATCH = 50_000
"""Events handed on together."""
LARGEST = 16 << 20
"""Bytes that one element may have."""
KEYS = 1_000
"""Keys that are remembered for messages."""


class MarkupError(Exception):
    """A log cannot be read."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class Markup:
    """A log on its way through expat.

    Parameters
    ----------
    wanted : tuple of two lists of str
        Keys of traces and of events.
    seen : Seen
        Takes the counts.
    lines : int
        Lines of the file before what is fed.
    inside : bool
        Whether what is fed begins inside the log.
    """

    def __init__(
        self, wanted: tuple[list[str], list[str]], seen: Seen, *, lines: int = 0, inside: bool = False
    ) -> None:
        self.seen = seen
        self.encoding = ""
        self.prefixed = False
        self._lines = lines
        self._wanted = (frozenset(wanted[0]), frozenset(wanted[1]))
        self._columns: tuple[list[str], list[str]] = wanted
        self._rows: list[dict[str, str]] = []
        self._cases: list[dict[str, str]] = []
        self._level = -1
        self._skipped = 0
        self._case: dict[str, str] = {}
        self._event: dict[str, str] = {}
        self._begun = 0
        self._events = 0
        self._handed_on = False
        self._fed = 0
        self._parser = self._new_parser()
        if inside:
            self._parser.Parse(b"<log>", False)
            self._fed = len(b"<log>")

    def _new_parser(self) -> Any:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.XmlDeclHandler = self._declared
        return parser

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[pa.Table]:
        """Read on; yields batches of events as they are complete."""
        step = 1 << 20
        for begin in range(0, max(len(data), 1), step):
            piece = data[begin : begin + step]
            try:
                self._parser.Parse(piece, last and begin + step >= len(data))
            except expat.ExpatError as error:
                raise MarkupError(
                    f"expected well-formed XES, found in line {self._lines + error.lineno}: "
                    f"{expat.ErrorString(error.code)}",
                    "export the log again",
                ) from None
            self._fed += len(piece)
            if self._fed - self._parser.CurrentByteIndex > LARGEST:
                found = f"found a longer one from line {self._lines + self._parser.CurrentLineNumber}"
                raise MarkupError(f"expected elements of at most {LARGEST >> 20} MB, {found}")
            if len(self._rows) >= BATCH or (last and self._rows):
                yield self._batch()

    def _refuse(self, *_: Any) -> None:
        raise MarkupError(
            "expected XES without document type and entities, found a declaration of them: "
            "it could make a small file fill the memory",
            "export the log again without <!DOCTYPE ...>",
        )

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        self.encoding = (encoding or "").lower()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._skipped:
            self._skipped += 1
            return
        if ":" in tag:
            self.prefixed = True
            tag = tag.rpartition(":")[2]
        if tag == "event" and self._level in (LOG, TRACE):
            self._begun = self._level
            self._level, self._event = EVENT, {}
        elif tag == "trace" and self._level == LOG:
            self._level, self._case = TRACE, {}
            self.seen.traces += 1
            self._events, self._handed_on = 0, False
        elif tag == "log" and self._level < LOG:
            self._level = LOG
        elif self._level < LOG:
            raise MarkupError(f"expected XES, a file that begins with <log>, found <{tag}>")
        else:
            self._skipped = 1
            if self._level > LOG and (key := attributes.get("key")) is not None:
                self._attribute(key, attributes.get("value"))

    def _attribute(self, key: str, value: str | None) -> None:
        of_event = self._level == EVENT
        known = self.seen.event_keys if of_event else self.seen.case_keys
        if key not in known and len(known) < KEYS:
            known[key] = None
        if value is None or key not in self._wanted[of_event]:
            return
        if of_event:
            self._event[key] = value
        elif self._handed_on:
            raise MarkupError(f"expected attributes of a trace before its events, found {key!r} behind them")
        else:
            self._case[key] = value

    def _end(self, tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
        elif self._level == EVENT:
            self._level = self._begun
            self.seen.events += 1
            self._rows.append(self._event)
            self._cases.append(self._case if self._level == TRACE else {})
            self._events += 1
        elif self._level == TRACE:
            self._level = LOG
            self.seen.empty += not self._events

    def _batch(self) -> pa.Table:
        case_keys, event_keys = self._columns
        columns = {f"case:{k}": pa.array([c.get(k) for c in self._cases], pa.string()) for k in case_keys}
        columns |= {k: pa.array([e.get(k) for e in self._rows], pa.string()) for k in event_keys}
        self._rows, self._cases = [], []
        self._handed_on = self._level > LOG
        return pa.table(columns)
