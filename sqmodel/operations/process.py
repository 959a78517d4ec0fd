"""Process: how a lender's events are to be read: columns, steps, whose waits they are, where a case begins and ends."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from sqmodel.definitions import Frozen, Text, TimeZone, load_definition
from sqmodel.errors import OperationsError

Owner = Literal["lender", "client", "planned"]
By = Literal["lender", "client"]


class Hours(Frozen):
    """Whose working hours count.

    Parameters
    ----------
    country : str
        ``CN`` (the State Council's calendar with its make-up working days), another ISO code known to `holidays`, or
        empty: every day of the week but those of `weekend` is worked.
    subdivision : str
        State or province of the country, where its holidays differ.
    hours : tuple of str
        Working hours of a day, such as ``09:00-12:00``, in order; ``24:00`` ends a day.
    weekend : tuple of int
        Days of the week that are not worked, Monday is 0.
    closures, extra : tuple of date
        The institution's own closed days, and days it works although the calendar does not.
    """

    country: str = "CN"
    subdivision: str = ""
    hours: tuple[str, ...] = ("09:00-12:00", "13:30-17:30")
    weekend: tuple[int, ...] = (5, 6)
    closures: tuple[date, ...] = ()
    extra: tuple[date, ...] = ()


class Step(Frozen):
    """A step of the process.

    Parameters
    ----------
    code : str
        The activity as the events name it, after `Process.activities`.
    title : Text, optional
    wait : {"lender", "client", "planned"}
        Who is waited for before the step is done; waits for clients and planned ones are kept apart.
    minutes, rate : float, optional
        Minutes of work that one execution takes where the events do not tell, and cost of an hour.
    documents : bool
        Whether the step asks the client for documents: asking again is counted.
    node : bool
        Whether the monitor shows it as a key node.
    """

    code: str
    title: Text | None = None
    wait: Owner = "lender"
    minutes: float | None = Field(default=None, ge=0)
    rate: float | None = Field(default=None, ge=0)
    documents: bool = False
    node: bool = False

    @property
    def name(self) -> Text:
        """The title, or the code where there is none."""
        return self.title or Text(zh=self.code, en=self.code)


class End(Frozen):
    """A way in which a case ends: the first of these activities; decided by the lender or by the client."""

    code: str
    activities: tuple[str, ...] = Field(min_length=1)
    title: Text | None = None
    by: By = "lender"

    @property
    def name(self) -> Text:
        """The title, or the code where there is none."""
        return self.title or Text(zh=self.code, en=self.code)


class Process(Frozen):
    """How events are to be read.

    Parameters
    ----------
    name, version, title
    columns : mapping
        Canonical name (``case_id``, ``activity``, ``timestamp``, ``lifecycle``, ``resource``, ``channel``,
        ``entry_minutes``, ``errors``, or a case attribute) to the header in the source or the key in XES.
    attributes : tuple of str
        Attributes of a case to keep, such as ``amount`` or ``urgent``.
    time_zone : str
        Of time stamps that tell no offset, and of the working hours.
    lifecycle : mapping
        The source's words for ``schedule``, ``start`` and ``complete``.
    activities : mapping
        The source's names of activities, to codes of steps, where they differ.
    calendar : Hours
    steps : tuple of Step
        Steps that deserve a title or a tag; others are taken as they are found.
    origin : str
        Activity whose first event begins a case; empty: the case's first event.
    ends : tuple of End
        Empty: a case ends with its last event, and no case is open.
    query : str
        SQL that gives the events, where they are in a database; empty: the table ``events``.
    """

    name: str
    version: str = "1"
    title: Text | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    time_zone: TimeZone = "Asia/Shanghai"
    lifecycle: dict[Literal["schedule", "start", "complete"], tuple[str, ...]] = Field(default_factory=dict)
    activities: dict[str, str] = Field(default_factory=dict)
    calendar: Hours = Field(default_factory=Hours)
    steps: tuple[Step, ...] = ()
    origin: str = ""
    ends: tuple[End, ...] = ()
    query: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Process:
        problems = []
        for kind, codes in (("step", [s.code for s in self.steps]), ("end", [e.code for e in self.ends])):
            twice = [c for c, count in Counter(codes).items() if count > 1]
            problems += [f"expected every {kind} once, found {c!r} {codes.count(c)} times" for c in twice]
        shared = Counter(a for e in self.ends for a in e.activities)
        problems += [f"expected activity {a!r} in one end, found it in {n}" for a, n in shared.items() if n > 1]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def __repr__(self) -> str:
        return f"<Process {self.name} {self.version}: {len(self.steps)} steps, {len(self.ends)} ends>"

    @property
    def digest(self) -> str:
        """Sha256 of the content, the same for any layout of the YAML."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def step(self, code: str) -> Step:
        """The step of an activity; one without tags where the definition has none."""
        return next((s for s in self.steps if s.code == code), Step(code=code))


def load_process(source: str | Path) -> Process:
    """Read a process's definition.

    Parameters
    ----------
    source : str or Path
        Name of a definition shipped with sqmodel (``"lending_process"``), or the path of a YAML file.

    Raises
    ------
    OperationsError
        The file is missing, is no YAML, or contradicts itself; all problems in one message.

    Examples
    --------
    >>> load_process("lending_process")
    <Process lending_process 1: 8 steps, 4 ends>
    """
    return load_definition(source, Process, folder="operations/processes", kind="process", error=OperationsError)
