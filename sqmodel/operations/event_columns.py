"""Columns of an event log: which header holds what, and the SQL that turns cells into canonical values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqmodel.errors import Problem
from sqmodel.operations.process import Process
from sqmodel.survey.column_map import fold

TEXTS = ("case_id", "activity", "timestamp", "lifecycle", "resource", "channel")
NUMBERS = ("entry_minutes", "errors")
FIELDS = (*TEXTS, *NUMBERS)
NEEDED = ("case_id", "activity", "timestamp")
WORDS = ("schedule", "start", "complete")

# The names that exports of event logs commonly have, the keys of XES among them.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "case_id": ("case:concept:name", "case_id", "case id", "case"),
    "activity": ("concept:name", "activity"),
    "timestamp": ("time:timestamp", "timestamp"),
    "lifecycle": ("lifecycle:transition", "lifecycle"),
    "resource": ("org:resource", "resource"),
}

EMPTY_CASE, EMPTY_ACTIVITY, EMPTY_TIME, BAD_TIME, BAD_MINUTES, BAD_ERRORS, EMPTY_LIFECYCLE = (1 << i for i in range(7))
"""What may be wrong with an event, as the bits of its column `faults`."""


def quoted(name: str) -> str:
    """An identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text of SQL."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Located:
    """Where the canonical columns are.

    Parameters
    ----------
    headers : dict
        Canonical field, or case attribute, to the header in the source.
    types : dict
        Header to its type in DuckDB.
    attributes : tuple of str
        Case attributes among `headers`.
    """

    headers: Mapping[str, str]
    types: Mapping[str, str]
    attributes: tuple[str, ...]

    @property
    def needed(self) -> list[str]:
        """The headers that are read."""
        return list(dict.fromkeys(self.headers.values()))

    def type_of(self, name: str) -> str:
        """DuckDB's type of a canonical column."""
        return self.types[self.headers[name]]


def wanted(process: Process, columns: Mapping[str, str] | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """The mapping of canonical name to header, and the names of case attributes among or beside its keys."""
    mapping = {**process.columns, **(columns or {})}
    extra = [name for name in mapping if name not in FIELDS]
    return mapping, tuple(dict.fromkeys([*process.attributes, *extra]))


def sought(process: Process, columns: Mapping[str, str] | None) -> list[str]:
    """Every header that could be one of the columns."""
    mapping, attributes = wanted(process, columns)
    return list(dict.fromkeys(c for name in (*FIELDS, *attributes) for c in candidates(name, mapping)))


def candidates(name: str, mapping: Mapping[str, str]) -> list[str]:
    """The headers under which a column is looked for, in order.

    What belongs to a case has the prefix ``case:`` in XES, as in the tables that pm4py writes; there it goes before an
    attribute of events of the same name, elsewhere after it.
    """
    of_case = name == "case_id" or name not in FIELDS
    found: list[str] = []
    for given in (mapping[name],) if name in mapping else ALIASES.get(name, (name,)):
        if given.startswith("case:"):
            found.append(given)
        else:
            found += [f"case:{given}", given] if of_case else [given]
            # A channel may be the case's; the name of a trace is no activity.
            found += [f"case:{given}"] if name in mapping and not of_case else []
    return found


def locate(
    types: Mapping[str, str], process: Process, columns: Mapping[str, str] | None
) -> tuple[Located, list[Problem]]:
    """Find the canonical columns among a source's headers, and say which are missing.

    Parameters
    ----------
    types : mapping
        Header to DuckDB's type, in the order of the source.
    process : Process
    columns : mapping, optional
        Goes before `process.columns`.
    """
    mapping, attributes = wanted(process, columns)
    known: dict[str, str] = {}
    for header in types:
        known.setdefault(fold(header).casefold(), header)
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in (*FIELDS, *attributes):
        names = candidates(name, mapping)
        places = [known[k] for k in (fold(n).casefold() for n in names) if k in known]
        if places:
            found[name] = places[0]
        elif name in mapping or name in NEEDED or name in attributes:
            missing.append(mapping.get(name, name))
    problems = []
    if missing:
        message = "expected columns " + ", ".join(repr(m) for m in missing) + "; the source has"
        problems.append(Problem(message, tuple(repr(h) for h in types)))
    return Located(found, types, tuple(a for a in attributes if a in found)), problems


def canonical(located: Located, process: Process, time_format: str | None, position: str | None) -> str:
    """The SELECT list that makes canonical columns, `offset_told` and `faults` of the source's columns."""
    texts = {name: _text(located, name) for name in TEXTS if name in located.headers}
    none = "NULL::VARCHAR"
    stamp, told = _times(located, time_format)
    numbers = {name: _number(located, name) for name in NUMBERS}
    given = {name: _text(located, name) if name in located.headers else none for name in NUMBERS}
    # A native time stamp is not turned into text to see whether it is there.
    native = located.type_of("timestamp") != "VARCHAR"
    given["timestamp"] = quoted(located.headers["timestamp"]) if native else texts["timestamp"]
    lifecycle = texts.get("lifecycle")
    faults = {
        EMPTY_CASE: f"{texts['case_id']} IS NULL",
        EMPTY_ACTIVITY: f"{texts['activity']} IS NULL",
        EMPTY_TIME: f"{given['timestamp']} IS NULL",
        BAD_TIME: f"{given['timestamp']} IS NOT NULL AND {stamp} IS NULL",
        BAD_MINUTES: f"{given['entry_minutes']} IS NOT NULL AND {numbers['entry_minutes']} IS NULL",
        BAD_ERRORS: f"{given['errors']} IS NOT NULL AND {numbers['errors']} IS NULL",
        EMPTY_LIFECYCLE: f"{lifecycle} IS NULL" if lifecycle else "false",
    }
    bits = " + ".join(f"CASE WHEN {test} THEN {bit} ELSE 0 END" for bit, test in faults.items())
    columns = {
        "case_id": texts["case_id"],
        "activity": _renamed(texts["activity"], process.activities),
        "lifecycle": _lifecycle(lifecycle, process) if lifecycle else "'complete'",
        "stamp": stamp,
        "resource": texts.get("resource", none),
        "channel": texts.get("channel", none),
        **numbers,
        **({"position": position} if position else {}),
        **{f"attribute_{i}": _attribute(located, name) for i, name in enumerate(located.attributes)},
        "offset_told": told,
        "faults": f"({bits})::UTINYINT",
    }
    return ", ".join(f"{expression} AS {quoted(name)}" for name, expression in columns.items())


def _text(located: Located, name: str) -> str:
    """A cell as text; empty is NULL, and a whole number in a column of floats has no point."""
    header, kind = quoted(located.headers[name]), located.type_of(name)
    if kind in ("DOUBLE", "FLOAT"):
        return (
            f"CASE WHEN {header} = trunc({header}) THEN {header}::DECIMAL(38,0)::VARCHAR "
            f"WHEN NOT isnan({header}) THEN {header}::VARCHAR END"
        )
    return f"nullif(trim({header}), '')" if kind == "VARCHAR" else f"{header}::VARCHAR"


def _number(located: Located, name: str) -> str:
    if name not in located.headers:
        return "NULL::DOUBLE"
    number = f"TRY_CAST({_text(located, name)} AS DOUBLE)"
    return f"CASE WHEN {number} >= 0 AND isfinite({number}) THEN {number} END"


def _attribute(located: Located, name: str) -> str:
    kind = located.type_of(name)
    plain = kind in ("BOOLEAN", "DOUBLE", "FLOAT") or kind.endswith("INT") or kind.startswith("DECIMAL")
    header = quoted(located.headers[name])
    if kind == "BOOLEAN":
        return header
    return f"{header}::DOUBLE" if plain else _text(located, name)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    if not names:
        return text
    cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in names.items())
    return f"CASE {text} {cases} ELSE {text} END"


def _lifecycle(text: str, process: Process) -> str:
    """The words schedule, start, complete; others in lower case; an empty cell is a completed step."""
    words: dict[str, Sequence[str]] = {w: [w, *process.lifecycle.get(w, ())] for w in WORDS}  # type: ignore[call-overload]
    folded = f"lower({text})"
    cases = " ".join(
        f"WHEN {folded} IN ({', '.join(literal(w.lower()) for w in given)}) THEN {literal(name)}"
        for name, given in words.items()
    )
    return f"CASE {cases} ELSE coalesce({folded}, 'complete') END"


def _times(located: Located, time_format: str | None) -> tuple[str, str]:
    """Two expressions: the time stamp, and whether it tells its offset: then it is UTC, else a clock on the wall."""
    header, kind = quoted(located.headers["timestamp"]), located.type_of("timestamp")
    if kind == "TIMESTAMP WITH TIME ZONE":
        return _utc(header), "true"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"{header}::TIMESTAMP", "false"
    text = _text(located, "timestamp")
    if time_format is not None:
        told = "%z" in time_format
        parsed = f"TRY_STRPTIME({text}, {literal(time_format)})"
        return (_utc(f"{parsed}::TIMESTAMPTZ") if told else f"{parsed}::TIMESTAMP"), str(told).lower()
    # Year first, so that day and month cannot be confused; DuckDB alone would also take "epoch" and "26-07-01".
    sound = f"substr({text}, 5, 1) IN ('-', '/')"
    # The connection's time zone is UTC: what tells no offset stays as it is.
    given = f"TRY_CAST(replace({text}, ' +', '+') AS TIMESTAMPTZ)"
    read = f"CASE WHEN {sound} THEN {_utc(given)} END"
    # Behind the date, everything that is no digit of a time belongs to an offset.
    return read, f"coalesce(translate(substr({text}, 9), '0123456789:. T', '') <> '', false)"


def _utc(instant: str) -> str:
    """What AT TIME ZONE 'UTC' gives, without asking a calendar for every row."""
    return f"make_timestamp(epoch_us({instant}))"
