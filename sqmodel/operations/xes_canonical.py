"""The canonical serialisation of XES, taken apart by vectorised search instead of element by element."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sqmodel.operations.xes_markup import EVENT, LOG, TRACE

if TYPE_CHECKING:
    from sqmodel.operations.xes import Seen

Ints = npt.NDArray[np.intp]

BLANK = rb"[ \t\r\n]*"
TAG = rb"</?(?:trace|event)" + BLANK + rb">" + BLANK
OPENED = rb"(<(?:string|date|int|float|boolean|id)[ \t\r\n]+key" + BLANK + rb"=" + BLANK + rb")?"
# A blank before "value" is what XML asks for; behind the value an attribute without children ends.
BETWEEN = re.compile(rb"[ \t\r\n]+value" + BLANK + rb"=" + BLANK)
BEHIND = re.compile(BLANK + rb"/>" + BLANK + rb"((?:" + TAG + rb")*)" + OPENED)
BEFORE = re.compile(BLANK + rb"((?:" + TAG + rb")+)" + OPENED)
ENTITY = re.compile(rb"&(?:amp|lt|gt|quot|apos);")
ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&"}
MOVES = {(LOG, b"<trace"): TRACE, (TRACE, b"<event"): EVENT, (EVENT, b"</event"): TRACE, (TRACE, b"</trace"): LOG}
STARTS = {b"<trace": LOG, b"<event": TRACE, b"</event": EVENT, b"</trace": TRACE}


class _Move(NamedTuple):
    """What the markup between two attributes does: from which level to which, and what it opens."""

    start: int
    end: int
    traces: int
    events: int
    attribute: bool


STAY = -1


def _move(tags: bytes, attribute: bool) -> _Move | None:
    """The move of some tags; None where they are in no order, or leave a trace or an event without attributes."""
    names = re.findall(rb"</?\w+", tags)
    if not names:
        return _Move(STAY, STAY, 0, 0, attribute)
    level = start = STARTS[names[0]]
    for name in names:
        following = MOVES.get((level, name))
        if following is None:
            return None
        level = following
    traces, events = names.count(b"<trace"), names.count(b"<event")
    if traces > 1 or events > 1 or (events and level != EVENT) or attribute != (level != LOG):
        return None
    return _Move(start, level, traces, events, attribute)


def parse_canonical(data: bytes, wanted: tuple[list[str], list[str]], seen: Seen) -> list[pa.Table] | None:
    """The events of whole traces, or None where a single byte is not as OpenXES would write it.

    Parameters
    ----------
    data : bytes
        From behind the end of one trace to the end of another.
    wanted : tuple of two lists of str
        Keys of traces and of events.
    seen : Seen
        Takes the counts.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    quotes = np.flatnonzero(raw == ord('"'))
    if not len(quotes) or len(quotes) % 4 or not _is_utf8(data):
        return None
    keys = _pieces(data, quotes[0::4] + 1, quotes[1::4])
    between = _pieces(data, quotes[1::4] + 1, quotes[2::4])
    behind = _pieces(data, quotes[3::4] + 1, np.append(quotes[4::4], len(data)))
    moves = _moves(data[: quotes[0]], behind)
    if moves is None or not all(BETWEEN.fullmatch(b) for b in between.dictionary.to_pylist()):
        return None
    if not _accounted(raw, data, [(keys, b""), (between, b""), (behind, data[: quotes[0]])]):
        return None
    return _table(data, quotes, keys, moves, wanted, seen)


def _is_utf8(data: bytes) -> bool:
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False


def _both(data: bytes, begins: Ints, ends: Ints) -> pa.Array:
    """data[begins:ends] at the even places and what lies between them at the odd ones, without a copy."""
    edges = np.empty(2 * len(begins), dtype=np.int32)
    edges[0::2], edges[1::2] = begins, ends
    return pa.Array.from_buffers(pa.binary(), len(edges) - 1, [None, pa.py_buffer(edges), pa.py_buffer(data)])


def _pieces(data: bytes, begins: Ints, ends: Ints) -> pa.DictionaryArray:
    """data[begins:ends] as codes of the different texts."""
    even = pa.array(np.arange(0, 2 * len(begins), 2, dtype=np.int32))
    return _both(data, begins, ends).take(even).dictionary_encode()


def _moves(before: bytes, behind: pa.DictionaryArray) -> tuple[Ints, npt.NDArray[np.int64]] | None:
    """For the opening of every attribute and the end, the row of the table of moves; checked to follow each other."""
    first = BEFORE.fullmatch(before)
    found = [BEHIND.fullmatch(b) for b in behind.dictionary.to_pylist()]
    known = [m and _move(m[1], m[2] is not None) for m in (first, *found)]
    if any(k is None for k in known):
        return None
    table = np.array(known, dtype=np.int64)
    rows = np.concatenate([[0], behind.indices.to_numpy(zero_copy_only=False) + 1]).astype(np.intp)
    start, end = table[rows, 0], table[rows, 1]
    moved = np.flatnonzero(start != STAY)
    inner = not table[rows[-1], 4] and bool(table[rows[:-1], 4].all())
    if start[0] != LOG or end[-1] != LOG or not inner or not np.array_equal(end[moved[:-1]], start[moved[1:]]):
        return None
    return rows, table


def _accounted(raw: npt.NDArray[np.uint8], data: bytes, parts: list[tuple[pa.DictionaryArray, bytes]]) -> bool:
    """Whether the values hold no tag, control character or unknown entity: all those found are the markup's."""
    inside = controls = 0
    for array, more in parts:
        counts = np.bincount(array.indices.to_numpy(zero_copy_only=False), minlength=len(array.dictionary))
        texts = [*array.dictionary.to_pylist(), more]
        weights = [*counts.tolist(), 1]
        inside += sum(n * t.count(b"<") for t, n in zip(texts, weights, strict=True))
        controls += sum(n * sum(c < 32 for c in t) for t, n in zip(texts, weights, strict=True))
    keys = parts[0][0].dictionary.to_pylist()
    if any(c < 32 or c in b"<&" for key in keys for c in key):
        return False
    entities = int(np.count_nonzero(raw == ord("&")))
    return (
        int(np.count_nonzero(raw == ord("<"))) == inside
        and int(np.count_nonzero(raw < 32)) == controls
        and (not entities or len(ENTITY.findall(data)) == entities)
    )


def _table(
    data: bytes,
    quotes: Ints,
    keys: pa.DictionaryArray,
    moves: tuple[Ints, npt.NDArray[np.int64]],
    wanted: tuple[list[str], list[str]],
    seen: Seen,
) -> list[pa.Table]:
    rows, table = moves
    opened = rows[:-1]
    last = np.maximum.accumulate(np.where(table[opened, 0] != STAY, np.arange(len(opened)), 0))
    of_event = table[opened[last], 1] == EVENT
    trace, event = np.cumsum(table[opened, 2]) - 1, np.cumsum(table[opened, 3]) - 1
    owner = trace[np.flatnonzero(table[opened, 3])]
    traces, events = int(trace[-1]) + 1, int(event[-1]) + 1
    names = [k.decode() for k in keys.dictionary.to_pylist()]
    codes = keys.indices.to_numpy(zero_copy_only=False)
    values = _both(data, quotes[2::4] + 1, quotes[3::4])
    columns = {}
    for prefix, level, known, among, place, size in (
        ("case:", ~of_event, seen.case_keys, wanted[0], trace, traces),
        ("", of_event, seen.event_keys, wanted[1], event, events),
    ):
        present = np.bincount(codes[level], minlength=len(names))
        known.update({name: None for name, count in zip(names, present, strict=True) if count})
        for key in among:
            at = np.full(size, -1)
            if key in names:
                chosen = np.flatnonzero(level & (codes == names.index(key)))
                at[place[chosen]] = chosen
            columns[prefix + key] = _values(values, at[owner] if prefix else at)
    seen.traces += traces
    seen.empty += traces - len(np.unique(owner))
    seen.events += events
    return [pa.table(columns)] if events else []


def _values(both: pa.Array, attributes: Ints) -> pa.Array:
    """The values of attributes by their number, -1 has none; & is the sign of an entity."""
    missing = attributes < 0
    if missing.all():
        return pa.nulls(len(attributes), pa.string())
    texts = both.take(pa.array(2 * attributes, mask=missing)).cast(pa.string())
    return _resolved(texts) if pc.any(pc.match_substring(texts, "&")).as_py() else texts


def _resolved(texts: pa.Array) -> pa.Array:
    """With the five entities of XML in place of their names; & last, so that &amp;lt; stays &lt;."""
    for name, sign in ENTITIES.items():
        texts = pc.replace_substring(texts, f"&{name};", sign)
    return texts
