"""Preview: the researcher's loop. A page is rebuilt whenever its params, data, notebook or questionnaire change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqmodel.errors import SqmodelError
from sqmodel.reporting.atomic import write_file
from sqmodel.reporting.keys import find_notebook
from sqmodel.reporting.making import Assignment, StepError, make
from sqmodel.reporting.plan import Task, make_plan
from sqmodel.reporting.sources import input_files

NO_LIMIT = 100_000_000


@dataclass(frozen=True)
class Preview:
    """A page that was built, or why it was not.

    Parameters
    ----------
    page : Path
        Where it is.
    seconds : float
        How long it took.
    cause : str
        Empty if it was built; the page of the time before is still there otherwise.
    notes : tuple of str
        The cells' warnings.
    """

    page: Path
    seconds: float
    cause: str = ""
    notes: tuple[str, ...] = ()


def build(params: Path, quarter: str, target: Path, *, notebook: Path | None, seconds: float) -> Preview:
    """Build a page once, by the same execution, renderer and gate as a run, and put it at `target`.

    Needs `sqmodel.reporting.kernels.manager.kernels` to be open.
    """
    start = time.perf_counter()
    try:
        (task,) = make_plan([params], [quarter] if quarter else [])
        made = make(_assignment(task, notebook, seconds))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_file(target, made.page.encode(), target.parent)
    except StepError as error:
        return Preview(target, time.perf_counter() - start, f"{error.step}: {error.cause}")
    except (SqmodelError, OSError) as error:
        return Preview(target, time.perf_counter() - start, str(error))
    return Preview(target, time.perf_counter() - start, notes=made.notes)


def _assignment(task: Task, notebook: Path | None, seconds: float) -> Assignment:
    source = notebook or find_notebook(task.root)
    # A draft may be larger than what is published: the run's gate will say so.
    return Assignment(task.name, str(task.root), source.read_text(encoding="utf-8"), task.parameters, seconds, NO_LIMIT)


def watched(params: Path, quarter: str, notebook: Path | None) -> set[Path]:
    """All files that a page depends on; of params that cannot be read only themselves."""
    found = {params.resolve()}
    try:
        (task,) = make_plan([params], [quarter] if quarter else [])
        found.add((notebook or find_notebook(task.root)).resolve())
        found |= {p.resolve() for p in (input_files(task.given, task.root) or {}).values()}
    except (SqmodelError, OSError):
        pass
    return found


def _stamps(files: set[Path]) -> dict[Path, tuple[int, int]]:
    return {f: (s.st_mtime_ns, s.st_size) for f in files if f.exists() and (s := f.stat())}


def rebuild(
    params: Path,
    quarter: str,
    target: Path,
    *,
    notebook: Path | None,
    seconds: float,
    changes: Callable[[set[Path]], Iterator[object]],
) -> Iterator[Preview]:
    """Build now, and again after every change.

    Parameters
    ----------
    params, quarter, target, notebook, seconds
        As for `build`.
    changes : callable
        Given files, yields whenever some of them changed.
    """
    while True:
        files = watched(params, quarter, notebook)
        before = _stamps(files)
        yield build(params, quarter, target, notebook=notebook, seconds=seconds)
        # What was saved while the page was being built is not in it.
        if _stamps(files) == before:
            next(changes(files))
