"""XES: logs in the XML of IEEE 1849-2016, read in pieces, so that a log may be larger than memory.

What OpenXES and its kin write, traces of events of flat attributes, is taken apart by vectorised search for its
quotation marks, after every piece of markup between them has been recognised and every other byte accounted for; any
other piece of XML is read by expat. Both give the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from sqmodel.errors import OperationsError
from sqmodel.operations.unpack import chunks
from sqmodel.operations.xes_canonical import parse_canonical
from sqmodel.operations.xes_markup import Markup, MarkupError

PIECE = 8 << 20
"""Bytes that are looked at together."""
MOST = 64 << 20
"""Bytes that a trace may have before it is read event by event instead of in one piece."""
END = b"</trace>"


@dataclass
class Seen:
    """What a log holds, counted while it is read.

    Attributes
    ----------
    traces, empty : int
        Traces, and those among them without events.
    events : int
    case_keys, event_keys : dict
        Keys of attributes of traces and of events, as an ordered set.
    """

    traces: int = 0
    empty: int = 0
    events: int = 0
    case_keys: dict[str, None] = field(default_factory=dict)
    event_keys: dict[str, None] = field(default_factory=dict)


def read_xes(
    path: Path, *, source: str, case_keys: Sequence[str], event_keys: Sequence[str], seen: Seen
) -> Iterator[pa.Table]:
    """Events of a log in batches: texts as written, one column an attribute.

    Parameters
    ----------
    path : Path
        ``.xes`` or ``.xes.gz``.
    source : str
        Its name in errors.
    case_keys, event_keys : sequence of str
        Attributes that are wanted; a trace's get the prefix ``case:`` and are repeated for each of its events. An
        attribute's own attributes are not the event's. Defaults that a log declares are not filled in: what an event
        does not say stays missing.
    seen : Seen
        Takes the counts.

    Raises
    ------
    OperationsError
        The file is no well-formed XES, or declares a document type or entities.
    """
    wanted = (list(dict.fromkeys(case_keys)), list(dict.fromkeys(event_keys)))
    with ThreadPoolExecutor(1) as worker:
        try:
            yield from _batches(_ahead(chunks(path, PIECE), worker), wanted, seen)
        except MarkupError as error:
            raise OperationsError(source, [str(error)], error.remedy) from None
        except (OSError, EOFError) as error:
            found = f"expected a log packed by gzip, found: {' '.join(str(error).split())}"
            raise OperationsError(source, [found], "get the file again") from None


def _ahead(pieces: Iterator[bytes], worker: ThreadPoolExecutor) -> Iterator[bytes]:
    """The same, with the next one unpacked while this one is taken apart."""
    coming = worker.submit(next, pieces, b"")
    while piece := coming.result():
        coming = worker.submit(next, pieces, b"")
        yield piece


def _batches(pieces: Iterator[bytes], wanted: tuple[list[str], list[str]], seen: Seen) -> Iterator[pa.Table]:
    head, rest = _header(pieces)
    if not _plain(head):
        yield from _marked_up(head + rest, pieces, Markup(wanted, seen))
        return
    lines = head.count(b"\n")
    while True:
        end = rest.rfind(END) + len(END)
        if end < len(END):
            if len(rest) > MOST:
                break
        else:
            whole, rest = rest[:end], rest[end:]
            batches = parse_canonical(whole, wanted, seen)
            if batches is None:
                batches = _alone(whole, wanted, seen)
            if batches is None:
                rest = whole + rest
                break
            yield from batches
            lines += whole.count(b"\n")
        piece = next(pieces, b"")
        if not piece:
            break
        rest += piece
    yield from _marked_up(rest, pieces, Markup(wanted, seen, lines=lines, inside=True))


def _header(pieces: Iterator[bytes]) -> tuple[bytes, bytes]:
    """What stands before the first trace, and the beginning of the rest."""
    head = b""
    for piece in pieces:
        head += piece
        found = head.find(b"<trace", max(0, len(head) - len(piece) - len(b"<trace")))
        if found >= 0:
            return head[:found], head[found:]
        if len(head) > MOST:
            break
    return head, b""


def _plain(head: bytes) -> bool:
    """Whether traces in UTF-8 begin behind this header, rather than inside a comment of it."""
    try:
        probe = Markup(([], []), Seen())
        list(probe.feed(head + b"<trace></trace></log>", last=True))
    except MarkupError:
        return False
    return probe.seen.traces == 1 and probe.encoding in ("", "utf-8", "us-ascii") and not probe.prefixed


def _alone(whole: bytes, wanted: tuple[list[str], list[str]], seen: Seen) -> list[pa.Table] | None:
    """The batches of a piece that is well-formed by itself."""
    trial = Seen(seen.traces, seen.empty, seen.events, dict(seen.case_keys), dict(seen.event_keys))
    markup = Markup(wanted, trial, inside=True)
    try:
        batches = list(markup.feed(whole + b"</log>", last=True))
    except MarkupError:
        return None
    seen.__dict__.update(trial.__dict__)
    return batches


def _marked_up(first: bytes, pieces: Iterator[bytes], markup: Markup) -> Iterator[pa.Table]:
    """Everything from here on by expat."""
    yield from markup.feed(first)
    for piece in pieces:
        yield from markup.feed(piece)
    yield from markup.feed(b"", last=True)
