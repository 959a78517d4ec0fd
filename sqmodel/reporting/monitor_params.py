"""What the monitor takes from params: where the events are, how to read them, and which limits hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqmodel.definitions import Text
from sqmodel.errors import ParamsError, Problem
from sqmodel.operations.process import Process, load_process
from sqmodel.reporting.params import KNOWN_LINES, Params, plain, read_params, unknown
from sqmodel.reporting.sources import is_path, placed, project_root

if TYPE_CHECKING:
    from sqmodel.operations.monitor import Monitor
    from sqmodel.operations.monitor_snapshot import Snapshot
    from sqmodel.reporting.monitor_page import MonitorPage

KEYS = ("business_line", "events", "process", "standard")
WORDS = ("title_zh", "title_en", "organisation_zh", "organisation_en", "page_language")
PROCESS, STANDARD = "lending_process", "lending_standard"


@dataclass(frozen=True)
class Watch:
    """What is watched.

    Parameters
    ----------
    business_line, events, process, standard : str
        Short name of the line; database URL or file; names or paths of the definitions.
    title : Text
    organisation : Text or None
    language : str
    simulated : bool
    root : Path
        The project's folder, which relative paths are meant from.
    """

    business_line: str
    events: str
    process: str
    standard: str
    title: Text
    organisation: Text | None
    language: str
    simulated: bool
    root: Path

    def monitor(self, *, output: Path | None = None, **options: Any) -> Monitor:
        """The monitor of this line; without `output` it keeps and writes nothing.

        Raises
        ------
        OperationsError
            Process, standard or events cannot be read.
        """
        from sqmodel.operations.monitor import Monitor
        from sqmodel.operations.monitor_rules import watched_rules
        from sqmodel.operations.standards import load_standard
        from sqmodel.operations.working_time import working_calendar

        process: Process = load_process(self._place(self.process))
        rules = watched_rules(process, load_standard(self._place(self.standard)))
        calendar = working_calendar(process.calendar, process.time_zone)
        return Monitor(placed(self.events, self.root), process, rules, calendar, output=output, **options)

    def page(self, snapshot: Snapshot, *, every: float = 60.0) -> MonitorPage:
        """The page of a snapshot."""
        from sqmodel.reporting.monitor_page import MonitorPage

        return MonitorPage(snapshot, self.title, self.organisation, every, self.language, self.simulated)

    def _place(self, definition: str) -> str:
        return str(self.root / definition) if is_path(definition) else definition


def load_watch(source: str | Path | Mapping[str, Any]) -> Watch:
    """Check the parameters of a monitor.

    Parameters
    ----------
    source : path or mapping
        A params file, of which the survey's keys are left alone; or a notebook's namespace (``vars()``).

    Raises
    ------
    ParamsError
        Everything that is wrong with it, in one message.

    Examples
    --------
    >>> load_watch({"business_line": "project_finance", "events": "events.csv"}).process
    'lending_process'
    """
    if isinstance(source, Mapping):
        name, content, problems = "parameters", plain(source), list[Problem | str]()
        root = project_root()
    else:
        name, (content, problems) = str(source), read_params(Path(source))
        root = project_root(Path(source).resolve().parent)
        problems += [unknown(str(key)) for key in content if key not in {*Params.model_fields, *KEYS}]
    texts = {key: content.get(key, "") for key in (*KEYS, *WORDS)}
    for key, value in texts.items():
        if not isinstance(value, str):
            # What stands in a database URL is not repeated.
            problems.append(f"{key}: expected a text, found {type(value).__name__}")
        elif not value and key in ("business_line", "events"):
            problems.append(f"{key}: expected a value, found none")
    if problems:
        raise ParamsError(name, problems, "correct the params; `sqmodel monitor` needs business_line and events")
    line = texts["business_line"]
    given = _text(texts, "title") or KNOWN_LINES.get(line) or Text(en=line.replace("_", " ").capitalize())
    language = "en" if texts["page_language"] == "en" else "zh"
    return Watch(
        line, texts["events"], texts["process"] or PROCESS, texts["standard"] or STANDARD, given,
        _text(texts, "organisation"), language, content.get("simulated") is True, root,
    )  # fmt: skip


def _text(texts: Mapping[str, str], name: str) -> Text | None:
    zh, en = texts[f"{name}_zh"], texts[f"{name}_en"]
    return Text(zh=zh, en=en) if zh or en else None
