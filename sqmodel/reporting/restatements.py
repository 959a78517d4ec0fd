"""Restatements: a published number of a past run that a later run replaced, with what had changed in between."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqmodel.errors import RunError
from sqmodel.reporting.atomic import write_file
from sqmodel.reporting.failures import RESTATEMENTS
from sqmodel.reporting.manifest import Manifest

NOISE = 1e-9
"""Relative difference below which two numbers are the same one, computed on other machines."""


NO_REASON = "nothing that the manifests tell"


@dataclass(frozen=True)
class Restatement:
    """The index of a line and quarter before and after, and why it changed.

    Parameters
    ----------
    name : str
        Quarter and line.
    before, after : dict
        The index: value, low, high, n.
    reasons : list of str
        What differs between the two manifests.
    date : str
        Day of the later run, UTC.
    """

    name: str
    before: dict[str, Any]
    after: dict[str, Any]
    reasons: list[str]
    date: str


def compare(old: tuple[Manifest, Mapping[str, Any]], new: tuple[Manifest, Mapping[str, Any]]) -> Restatement | None:
    """The restatement that `new` (manifest and record of results) makes of `old`; None where the index is the same."""
    before, after = (_number(record) for _, record in (old, new))
    if all(_same(before[k], after[k]) for k in before):
        return None
    name = f"{new[0].quarter}/{new[0].business_line}"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Restatement(name, before, after, reasons(old[0], new[0]), today)


def reasons(old: Manifest, new: Manifest) -> list[str]:
    """What two manifests of the same report differ in."""
    found = []
    for name in sorted(old.inputs.keys() | new.inputs.keys()):
        if old.inputs.get(name) != new.inputs.get(name):
            kind = "added" if name not in old.inputs else "removed" if name not in new.inputs else "changed"
            found.append(f"input {name} {kind}")
    for name in sorted(old.params.keys() | new.params.keys()):
        if old.params.get(name) != new.params.get(name):
            found.append(f"{name}: {_shown(old.params.get(name))} → {_shown(new.params.get(name))}")
    if old.notebook != new.notebook:
        found.append("notebook changed")
    for name in sorted(old.versions.keys() | new.versions.keys()):
        if old.versions.get(name) != new.versions.get(name):
            found.append(f"{name} {old.versions.get(name, 'none')} → {new.versions.get(name, 'none')}")
    if old.code != new.code and old.versions.get("sqmodel") == new.versions.get("sqmodel"):
        found.append("sqmodel's code changed")
    return found or [NO_REASON]


def read_restatements(reports: Path) -> list[Restatement]:
    """All restatements of a reports folder, oldest first.

    Raises
    ------
    RunError
        The file cannot be read.
    """
    path = reports / RESTATEMENTS
    if not path.exists():
        return []
    try:
        return [Restatement(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path}: expected a list of restatements, found: {error}; repair or remove the file") from None


def add_restatements(reports: Path, found: list[Restatement], scratch: Path) -> None:
    """Put restatements on the list; those of a day are in the order of their names, whichever page was made first."""
    if found:
        ordered = sorted((*read_restatements(reports), *found), key=lambda r: (r.date, r.name))
        rows = [asdict(r) for r in ordered]
        write_file(reports / RESTATEMENTS, (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode(), scratch)


def _number(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: record["index"][k] for k in ("value", "low", "high", "n")}


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= NOISE * max(abs(one), abs(other), 1.0)


def _shown(value: Any) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
