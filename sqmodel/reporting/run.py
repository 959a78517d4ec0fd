"""Run: tasks in, pages out; one failed report stops no other."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqmodel import errors
from sqmodel.errors import SqmodelError
from sqmodel.reporting.plan import NOTEBOOK, VALIDATION_NOTEBOOK, Task, find_notebook
from sqmodel.reporting.shelf import DOSSIER, publish_page, write_index

TIMEOUT = 600
"""Seconds that one cell may take."""

OWN_ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SqmodelError)}


@dataclass(frozen=True)
class Outcome:
    """What became of a report: the page's folder, or the step and cause of the failure; and the cells' warnings."""

    task: Task
    folder: Path | None
    step: str = ""
    cause: str = ""
    detail: str = field(default="", repr=False)
    notes: tuple[str, ...] = ()

    @property
    def published(self) -> bool:
        """Whether the page is in place."""
        return self.folder is not None


def run(
    tasks: Sequence[Task],
    reports: Path,
    *,
    workers: int = 1,
    notebook: Path | None = None,
    report: Callable[[Task, str], None] = lambda task, step: None,
    failed: Mapping[str, SqmodelError] | None = None,
    dossiers: bool = False,
) -> list[Outcome]:
    """Make the reports, or their validation dossiers, and put them in place.

    Parameters
    ----------
    tasks : sequence of Task
    reports : Path
        Folder of the pages: ``reports/<quarter>/<line>/index.html`` with results.json and tables.xlsx beside it.
    workers : int
        Reports made at the same time; each has a kernel process of its own.
    notebook : Path, optional
        The notebook to run; ``notebooks/business_line.ipynb`` of the project by default.
    report : callable
        Told of every step: ``execute``, ``render``, ``publish``, ``done`` or ``failed``.
    failed : mapping, optional
        Tasks that `check` found wanting: they are not run, and the index names their cause.
    dossiers : bool
        Make ``reports/<quarter>/<line>-validation/index.html`` of ``notebooks/validation.ipynb`` instead; pages and
        index stay as they are.

    Returns
    -------
    list of Outcome
        In the order of the tasks. A failed report leaves what was published before untouched.
    """
    reports.mkdir(parents=True, exist_ok=True)
    # Kernels inherit this: several of them, each with a linear algebra thread a core, would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // max(workers, 1))))
    bad = failed or {}
    found = {t.name: Outcome(t, None, "check", str(bad[t.name])) for t in tasks if t.name in bad}
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = {
            pool.submit(_make, task, reports, notebook, report, dossiers): task
            for task in tasks
            if task.name not in bad
        }
        for future in as_completed(futures):
            outcome = future.result()
            found[outcome.task.name] = outcome
            report(outcome.task, "done" if outcome.published else "failed")
    outcomes = [found[t.name] for t in tasks]
    if not dossiers:
        write_index(reports, {o.task.name: (o.task.study, o.step, o.cause) for o in outcomes if not o.published})
    return outcomes


def _make(
    task: Task, reports: Path, notebook: Path | None, report: Callable[[Task, str], None], dossier: bool = False
) -> Outcome:
    """One report from params to page; whatever goes wrong becomes an outcome that names step and cause."""
    step = "execute"
    name = task.study.business_line + (DOSSIER if dossier else "")
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=reports))
    try:
        report(task, step)
        executed = execute(
            task, notebook or find_notebook(task.root, VALIDATION_NOTEBOOK if dossier else NOTEBOOK), staging
        )
        step = "render"
        report(task, step)
        page, companions, notes = render(executed)
        step = "publish"
        report(task, step)
        folder = publish_page(reports / task.study.quarter, name, page, companions, staging)
        return Outcome(task, folder, notes=notes)
    except Exception as error:
        return Outcome(task, None, step, cause_of(error), traceback.format_exc())
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def execute(task: Task, notebook: Path, staging: Path) -> Any:
    """Run the notebook with the task's parameters through papermill; the executed notebook."""
    import papermill

    from sqmodel.reporting.kernels import kernel_manager

    given = task.study.model_dump(mode="json", exclude_unset=True)
    given["quarter"] = task.study.quarter
    return papermill.execute_notebook(
        str(notebook),
        str(staging / "executed.ipynb"),
        parameters=given,
        cwd=str(task.root),
        progress_bar=False,
        log_output=False,
        execution_timeout=TIMEOUT,
        shutdown_kernel="immediate",
        kernel_name="python3",
        kernel_manager_class=kernel_manager(),
    )


def render(executed: Any) -> tuple[str, dict[str, bytes], tuple[str, ...]]:
    """The page, its companion files, and the cells' warnings, from an executed notebook."""
    from sqmodel.reporting.publish import SqReportExporter

    page, resources = SqReportExporter().from_notebook_node(executed)  # type: ignore[no-untyped-call]
    files = {str(k): v for k, v in resources["outputs"].items()}
    return page, files, tuple(resources["notes"])


def cause_of(error: Exception) -> str:
    """One cause in words: the error of the failing cell, not papermill's frame around it.

    sqmodel's own errors say everything themselves; of any other the type is half of the message.
    """
    name, value = getattr(error, "ename", ""), getattr(error, "evalue", "")
    if name:
        return f"{value}" if name in OWN_ERRORS and value else f"{name}: {value}"
    return str(error) if isinstance(error, SqmodelError) else f"{type(error).__name__}: {error}"
