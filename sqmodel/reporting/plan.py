"""Plan: which reports are to be made, with params and data checked before anything runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sqmodel.errors import ParamsError, Problem, SqmodelError
from sqmodel.reporting.params import PLACEHOLDER, project_root, public_source, read_params
from sqmodel.reporting.study import Study, load_study
from sqmodel.survey.responses import Responses

NOTEBOOK = "business_line.ipynb"
VALIDATION_NOTEBOOK = "validation.ipynb"


@dataclass(frozen=True)
class Task:
    """One report to make."""

    params: Path
    study: Study
    root: Path
    replaced: bool = False
    """Whether the quarter is another one than the params file says."""

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
                tasks.append(Task(path, study, root, read_params(path)[0].get("quarter") != study.quarter))
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


def check(tasks: Sequence[Task]) -> tuple[dict[str, str], dict[str, SqmodelError]]:
    """Read the data of all tasks as the notebook would, each source once, and check that the params fit them.

    Returns
    -------
    found : dict
        Name of each task that can be run, to what its data hold.
    failed : dict
        Name of each task that cannot, to the error.
    """
    found: dict[str, str] = {}
    failed: dict[str, SqmodelError] = {}
    for params in dict.fromkeys(t.params for t in tasks):
        own = [t for t in tasks if t.params == params]
        latest = max(own, key=lambda t: t.study.quarter)
        shared = None if PLACEHOLDER in latest.study.responses else _read(latest)
        for task in own:
            # Where the source tells no quarter, its answers are of whichever quarter asks.
            alone = shared is None or (task is not latest and isinstance(shared, Responses) and _undated(shared) > 0)
            answers = _read(task) if alone else shared
            try:
                found[task.name] = _ready(task, answers)
            except SqmodelError as error:
                failed[task.name] = error
    return found, failed


def _read(task: Task) -> Responses | SqmodelError:
    with contextlib.chdir(task.root):
        try:
            return task.study.read_all()
        except SqmodelError as error:
            return error


def _undated(answers: Responses) -> int:
    """Answers whose source does not tell their quarter."""
    changes = answers.reading.changes
    return int(changes.loc[changes["kind"] == "quarter filled", "count"].sum())


def _ready(task: Task, answers: Responses | SqmodelError | None) -> str:
    """What the data hold for a task that can be run; raises for one that cannot."""
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


def find_notebook(root: Path, name: str = NOTEBOOK) -> Path:
    """The project's own notebook, or the one shipped with the package."""
    package = Path(str(files("sqmodel")))
    for candidate in (root / "notebooks" / name, package / "notebooks" / name, package.parent / "notebooks" / name):
        if candidate.is_file():
            return candidate
    raise ParamsError(
        name,
        [f"expected the notebook at {root / 'notebooks' / name}, found nothing"],
        "run `sqmodel new` in the project",
    )


def params_in(folder: Path) -> list[Path]:
    """All params files of a folder, by name."""
    return sorted(p for p in folder.glob("*.y*ml") if not p.name.endswith((".columns.yaml", ".instrument.yaml")))


def expand_quarters(texts: Iterable[str]) -> list[str]:
    """Quarters from ``2026Q3`` or ranges such as ``2025Q3..2026Q3``, each once, in order of time.

    Raises
    ------
    ParamsError
        A text that is neither.
    """
    found: set[str] = set()
    problems = []
    for text in texts:
        match = re.fullmatch(r"(\d{4})Q([1-4])(?:\.\.(\d{4})Q([1-4]))?", text)
        if match is None:
            problems.append(f"expected a quarter such as 2026Q3 or a range such as 2025Q3..2026Q3, found {text!r}")
            continue
        start = int(match[1]) * 4 + int(match[2]) - 1
        end = start if match[3] is None else int(match[3]) * 4 + int(match[4]) - 1
        if end < start:
            problems.append(f"expected the earlier quarter first, found {text!r}")
        found |= {f"{q // 4}Q{q % 4 + 1}" for q in range(start, end + 1)}
    if problems:
        raise ParamsError("--quarter", problems)
    return sorted(found)
