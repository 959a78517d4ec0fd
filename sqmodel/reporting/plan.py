"""Plan: which reports are to be made, with params and data checked before anything runs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqmodel.errors import InputError, OperationsError, ParamsError, Problem, SqmodelError, gathered
from sqmodel.reporting.params import public_source, read_params
from sqmodel.reporting.sources import PLACEHOLDER, RECORDS, is_url, project_root
from sqmodel.reporting.study import Study, digest_of_answers, load_study
from sqmodel.survey.responses import Responses


@dataclass(frozen=True)
class Task:
    """One report to make."""

    params: Path
    study: Study
    root: Path
    given: dict[str, Any] = field(default_factory=dict)
    """The params as the file has them, with the quarter of this report."""
    replaced: bool = False
    """Whether the quarter is another one than the params file says."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What the notebook is given: the params as checked, with the quarter."""
        return self.study.model_dump(mode="json", exclude_unset=True) | {"quarter": self.study.quarter}

    @property
    def name(self) -> str:
        """Quarter and line, as in the reports folder."""
        return f"{self.study.quarter}/{self.study.business_line}"


def make_plan(params: Sequence[Path], quarters: Sequence[str] = ()) -> list[Task]:
    """Check all params files for all quarters and list the reports to make.

    Parameters
    ----------
    params : sequence of Path
    quarters : sequence of str
        Quarters that replace the one in the params; each params file is run for each.

    Returns
    -------
    list of Task
        By quarter, then line.

    Raises
    ------
    ParamsError
        All problems of all files in one message; also two files that would write the same page.
    """
    problems: list[Problem | str] = []
    tasks: list[Task] = []
    for path in params:
        root = project_root(path.resolve().parent)
        for quarter in quarters or (None,):
            try:
                study = load_study(path, **({"quarter": quarter} if quarter else {}))
                content = read_params(path)[0]
                given = content | {"quarter": study.quarter}
                tasks.append(Task(path, study, root, given, content.get("quarter") != study.quarter))
            except ParamsError as error:
                problems += [Problem(f"{path.name}: {p}") for p in error.problems]
                break
    names = [t.name for t in tasks]
    for name in sorted({n for n in names if names.count(n) > 1}):
        files_ = ", ".join(t.params.name for t in tasks if t.name == name)
        problems.append(f"expected one params file for {name}, found {files_}")
    if problems:
        raise ParamsError("params", problems, "correct the params files; nothing was run")
    return sorted(tasks, key=lambda t: t.name)


@dataclass(frozen=True)
class Checked:
    """What is known of tasks before anything is run.

    Parameters
    ----------
    found : dict
        Name of each task that can be run, to what its data hold.
    noticed : dict
        Name of each task that can be run, to what was noticed in its records, where that was asked for.
    failed : dict
        Name of each task that cannot, to the error.
    answers : dict
        Name of each task that reads a database, to a digest of the answers as read.
    """

    found: dict[str, str] = field(default_factory=dict)
    noticed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, SqmodelError] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Records:
    """How many rows there are of every kind of record, and what was noticed in them."""

    counts: dict[str, int] = field(default_factory=dict)
    noticed: list[str] = field(default_factory=list)


def check(tasks: Sequence[Task], *, notices: bool = False) -> Checked:
    """Read the data of all tasks as the notebook would, each source once, and check that the params fit them.

    With `notices`, also what is odd in the records without being an error: a step completed but never begun.
    """
    result = Checked()
    for params in dict.fromkeys(t.params for t in tasks):
        own = [t for t in tasks if t.params == params]
        latest = max(own, key=lambda t: t.study.quarter)
        shared = None if PLACEHOLDER in latest.study.responses else _read(latest)
        records = _records(latest, notices)
        for task in own:
            # Where the source tells no quarter, its answers are of whichever quarter asks.
            alone = shared is None or (task is not latest and isinstance(shared, Responses) and _undated(shared) > 0)
            answers = _read(task) if alone else shared
            try:
                result.found[task.name] = _ready(task, answers, records)
            except SqmodelError as error:
                result.failed[task.name] = error
            else:
                if isinstance(records, _Records) and records.noticed:
                    result.noticed[task.name] = records.noticed
                if is_url(task.study.responses) and isinstance(answers, Responses):
                    result.answers[task.name] = digest_of_answers(answers, task.study.quarter)
    return result


def _read(task: Task) -> Responses | SqmodelError:
    with contextlib.chdir(task.root):
        try:
            return task.study.read_all()
        except SqmodelError as error:
            return error


def _records(task: Task, notices: bool) -> _Records | OperationsError:
    """What the records hold that the params name; they are of all quarters."""
    if not any(getattr(task.study, key) for key in RECORDS):
        return _Records()
    from sqmodel.reporting.records import open_sources

    with contextlib.chdir(task.root):
        try:
            with open_sources(task.study) as sources:
                return _Records(sources.counts(), sources.noticed() if notices else [])
        except OperationsError as error:
            return error


def _undated(answers: Responses) -> int:
    """Answers whose source does not tell their quarter."""
    changes = answers.reading.changes
    return int(changes.loc[changes["kind"] == "quarter filled", "count"].sum())


def _ready(task: Task, answers: Responses | SqmodelError | None, records: _Records | OperationsError) -> str:
    """What the data hold for a task that can be run; raises for one that cannot, with all that is wrong."""
    try:
        found = _answers(task, answers)
    except InputError as error:
        if isinstance(records, OperationsError):
            raise gathered([error, records], task.name) from error
        raise
    if isinstance(records, OperationsError):
        raise records
    return ", ".join([found, *(f"{n:,} {key}" for key, n in records.counts.items())])


def _answers(task: Task, answers: Responses | SqmodelError | None) -> str:
    """What the answers hold for a task."""
    study = task.study
    if not isinstance(answers, Responses):
        raise answers or ParamsError(task.name, ["expected answers, found none"])
    undated = _undated(answers)
    if task.replaced and undated and PLACEHOLDER not in study.responses:
        raise ParamsError(
            task.name,
            [
                f"expected a quarter column in {public_source(study.responses)}, or {PLACEHOLDER} in `responses`, "
                f"found {undated} answers without a quarter"
            ],
            f"add one of them, or set `quarter` in {task.params.name}: --quarter alone would publish a stale file as "
            f"{study.quarter}",
        )
    answers = answers.keep(answers.frame["quarter"] <= study.quarter)
    with contextlib.chdir(task.root):
        current = study.current(answers)
        study.check(answers)
    earlier = sum(q < study.quarter for q in answers.quarters)
    return f"{len(current)} answers, {earlier} earlier quarters"
