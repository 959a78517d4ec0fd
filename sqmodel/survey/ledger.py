"""Ledger: everything that was changed or wrong on the way from a source to responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import Problem, ResponsesError

Policy = Literal["error", "missing"]
Rows = npt.NDArray[np.intp]

REMEDY = "correct the source, or read with policy='missing' to turn bad cells into missing values and count them"


@dataclass
class Ledger:
    """Collects problems and changes while one source is read.

    Parameters
    ----------
    policy : {"error", "missing"}
        Whether a fault in a cell is a problem or a change.
    unit : str
        What a record is called in messages: "row" or "record".
    """

    policy: Policy
    unit: str
    structural: list[Problem] = field(default_factory=list)
    _faults: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)
    _changes: list[dict[str, object]] = field(default_factory=list)
    _columns: dict[str, int] = field(default_factory=dict)

    def change(self, kind: str, column: str, rows: Rows) -> None:
        """Note a change to the cells of `column` in `rows` (numbers as a person sees them)."""
        if len(rows):
            examples = ", ".join(str(r) for r in rows[: Problem.MOST])
            self._changes.append({"kind": kind, "column": column, "count": len(rows), "examples": examples})

    def unused(self, headers: list[str]) -> None:
        """Note columns of the source that no question asks for."""
        if headers:
            shown = ", ".join(headers[: Problem.MOST])
            self._changes.append({"kind": "columns not used", "column": "", "count": len(headers), "examples": shown})

    def fault(self, kind: str, message: str, column: str, rows: Rows, found: list[str]) -> None:
        """Note cells that break a rule: a problem, or under policy "missing" a change."""
        if self.policy == "missing":
            self.change(kind, column, rows)
            return
        place = self._columns.setdefault(column, len(self._columns))
        for row, text in zip(rows.tolist(), found, strict=True):
            where = f"{self.unit} {row}" + (f", column {column}" if column else "") + f" ({_short(text)})"
            self._faults.setdefault(message, []).append((row, place, where))

    def problems(self) -> list[Problem]:
        """All problems: those of the whole table first, then of cells, each in the order of the rows."""
        cells = []
        for message, places in self._faults.items():
            shown = tuple(where for _, _, where in sorted(places)[: Problem.MOST])
            cells.append(Problem(message, shown, len(places)))
        return [*self.structural, *cells]

    def raise_problems(self, source: str) -> None:
        """Raise all problems in one error, if there are any."""
        problems = self.problems()
        if problems:
            raise ResponsesError(source, problems, REMEDY if self._faults else "correct the source or its column map")

    def changes(self) -> pd.DataFrame:
        """One row a kind of change and column: kind, column, count, examples."""
        return pd.DataFrame(self._changes, columns=["kind", "column", "count", "examples"])


def _short(text: str, most: int = 24) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
