"""The service standard: limits of time, the urgent path, the code of conduct and the training that advisers need."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator, model_validator

from sqmodel.definitions import Frozen, Text, load_definition
from sqmodel.errors import OperationsError

Unit = Literal["hours", "days", "calendar_days", "working_hours", "working_days"]
COUNTED: tuple[Unit, ...] = ("calendar_days", "working_days")


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Rule(Frozen):
    """A limit of time.

    Parameters
    ----------
    code, title
    step : str
        The step that is limited: from its first ``schedule`` (where the events have none, ``start``) to its first
        ``complete``.
    begin, finish
        Instead of a step: the event from which the time runs (``activity`` or ``activity/lifecycle``; empty: the
        case's origin), and the events of which the first ends it.
    limit : float
        Above 0; a case that takes exactly as long keeps it.
    unit : {"hours", "days", "calendar_days", "working_hours", "working_days"}
        ``hours`` and ``days`` (of 24 hours) pass on any clock. ``calendar_days`` and ``working_days`` are counted as
        the law does: the day of begin is not counted, the last one ends at 24:00.
    share : float
        Share of the cases that is to keep the limit.
    urgent : float, optional
        The limit on the urgent path; without one the rule is the same for all.
    applies : mapping
        Attribute of a case to the values for which the rule holds; empty: for all cases.
    node : bool
        Whether the monitor shows it as a key node.
    """

    code: str = Field(min_length=1)
    title: Text | None = None
    step: str = ""
    begin: str = ""
    finish: tuple[str, ...] = ()
    limit: float
    unit: Unit = "working_days"
    share: float = 0.9
    urgent: float | None = None
    applies: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    node: bool = False

    _lists = field_validator("finish", mode="before")(_listed)

    @field_validator("applies", mode="before")
    @classmethod
    def _values(cls, value: Any) -> Any:
        return {k: _listed(v) for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("limit", "urgent")
    @classmethod
    def _positive(cls, value: float | None) -> float | None:
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"expected a limit above 0, found {value:g}")
        return value

    @field_validator("share")
    @classmethod
    def _share(cls, value: float) -> float:
        if not 0 < value <= 1:
            raise ValueError(f"expected a target share above 0 and at most 1, found {value:g}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if bool(self.step) == bool(self.finish) or (self.step and self.begin):
            raise ValueError("expected either a step, or a finish with its begin")
        fractions = [v for v in (self.limit, self.urgent) if v is not None and v != int(v)]
        if self.unit in COUNTED and fractions:
            raise ValueError(f"expected whole {self.unit}, found {fractions[0]:g}: use hours or working_hours")
        return self

    @property
    def name(self) -> Text:
        """The title, or the code where there is none."""
        return self.title or Text(zh=self.code, en=self.code)


class Urgent(Frozen):
    """Which cases are on the urgent path, and by how much more of them may go wrong before it counts as riskier."""

    attribute: str
    values: tuple[str, ...] = ("yes",)
    title: Text | None = None
    margin: float = Field(default=0.02, ge=0, lt=1)

    _lists = field_validator("values", mode="before")(_listed)


class Check(Frozen):
    """A line of the code of conduct: its points, and whether missing it fails the whole inspection."""

    code: str
    title: Text
    points: float = Field(default=1, gt=0)
    critical: bool = False


class Course(Frozen):
    """A training that is required: its hours, after how many months it must be repeated (0: never), its points."""

    code: str
    title: Text
    hours: float = Field(gt=0)
    months: int = Field(default=12, ge=0)
    points: float = Field(default=1, gt=0)


class ServiceStandard(Frozen):
    """What the lender promises.

    Parameters
    ----------
    name, version, title
    rules : tuple of Rule
    urgent : Urgent, optional
    conduct : tuple of Check
    training : tuple of Course
    """

    name: str
    version: str = "1"
    title: Text | None = None
    rules: tuple[Rule, ...]
    urgent: Urgent | None = None
    conduct: tuple[Check, ...] = ()
    training: tuple[Course, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> ServiceStandard:
        problems = [] if self.rules else ["expected at least one rule, found none"]
        for kind, parts in (("rule", self.rules), ("check", self.conduct), ("course", self.training)):
            codes = Counter(p.code for p in parts)
            problems += [f"expected every {kind} once, found {c!r} {n} times" for c, n in codes.items() if n > 1]
        orphans = [r.code for r in self.rules if r.urgent is not None]
        if self.urgent is None and orphans:
            problems.append(f"expected an urgent path (the key urgent), found limits for it only: {', '.join(orphans)}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def __repr__(self) -> str:
        path = "" if self.urgent is None else ", an urgent path"
        return (
            f"<ServiceStandard {self.name} {self.version}: {len(self.rules)} rules{path}, "
            f"{len(self.conduct)} checks, {len(self.training)} courses>"
        )

    @property
    def digest(self) -> str:
        """Sha256 of the content, the same for any layout of the YAML."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def checklist(self, kind: Literal["conduct", "training"], language: str = "zh") -> pd.DataFrame:
        """The code of conduct or the training as a table by code: title, points, their share, and the rest."""
        parts = self.conduct if kind == "conduct" else self.training
        rows: list[dict[str, Any]] = [{**p.model_dump(), "title": p.title[language]} for p in parts]
        columns = ["code", "title", "points", *(["critical"] if kind == "conduct" else ["hours", "months"])]
        table = pd.DataFrame(rows, columns=columns).set_index("code")
        table.insert(2, "share", table["points"] / table["points"].sum())
        return table


def load_standard(source: str | Path) -> ServiceStandard:
    """Read a service standard.

    Parameters
    ----------
    source : str or Path
        Name of a standard shipped with sqmodel (``"lending_standard"``), or the path of a YAML file.

    Raises
    ------
    OperationsError
        The file is missing, is no YAML, or contradicts itself; all problems in one message.

    Examples
    --------
    >>> load_standard("lending_standard")
    <ServiceStandard lending_standard 1: 6 rules, an urgent path, 8 checks, 3 courses>
    """
    return load_definition(
        source, ServiceStandard, folder="operations/standards", kind="standard", error=OperationsError
    )
