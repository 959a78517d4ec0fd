"""Plan: which reports are to be made, with params and data checked before anything runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sqmodel.errors import ParamsError, Problem, SqmodelError
from sqmodel.reporting.study import Study, load_study, project_root
from sqmodel.survey.responses import Responses

NOTEBOOK = "business_line.ipynb"


@dataclass(frozen=True)
class Task:
    """One report to make."""

    params: Path
    study: Study
    root: Path

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
                tasks.append(Task(path, study, root))
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
    """Read the data of all tasks as the notebook would, each source once.

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
        with contextlib.chdir(latest.root):
            try:
                answers: Responses | SqmodelError = latest.study.read_all()
            except SqmodelError as error:
                answers = error
        for task in own:
            try:
                if isinstance(answers, SqmodelError):
                    raise answers
                current = task.study.current(answers)
                earlier = sum(q < task.study.quarter for q in answers.quarters)
                found[task.name] = f"{len(current)} answers, {earlier} earlier quarters"
            except SqmodelError as error:
                failed[task.name] = error
    return found, failed


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
