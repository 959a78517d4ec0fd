"""Making one report: parameters in, page out. It writes nothing but its log, so it can be done on any machine."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqmodel import errors
from sqmodel.errors import RunError, SqmodelError
from sqmodel.reporting.gate import Expected, check_page
from sqmodel.reporting.kernels.manager import Watch, current_launcher, manager_for
from sqmodel.reporting.manifest import code_digest, versions

OWN_ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SqmodelError)}


@dataclass(frozen=True)
class Assignment:
    """All that is needed to make one report, here or on another machine.

    Parameters
    ----------
    name : str
        Quarter and line, with ``-validation`` for a dossier.
    root : str
        The project's folder; another machine must see it under the same path.
    notebook : str
        The notebook's text.
    given : dict
        Its parameters.
    seconds : float
        Time limit of the whole report.
    most_bytes : int
        Size budget of the page.
    """

    name: str
    root: str
    notebook: str
    given: dict[str, Any]
    seconds: float
    most_bytes: int


@dataclass(frozen=True)
class Made:
    """A page that passed the gate, and what stands beside it."""

    page: str
    companions: dict[str, bytes]
    notes: tuple[str, ...]
    code: str
    versions: dict[str, str]
    log: str = field(default="", repr=False)


class StepError(Exception):
    """A report could not be made: at which step, why, and everything that was said."""

    def __init__(self, step: str, cause: str, detail: str) -> None:
        super().__init__(step, cause, detail)
        self.step, self.cause, self.detail = step, cause, detail


def make(
    assignment: Assignment, *, watch: Watch | None = None, report: Callable[[str], None] = lambda step: None
) -> Made:
    """Execute, render and check one report.

    Parameters
    ----------
    assignment : Assignment
    watch : Watch, optional
        Through which the kernel can be ended from another thread.
    report : callable
        Told of every step, ``execute`` with the cell that runs.

    Raises
    ------
    StepError
        Names step and cause.
    """
    step = "execute"
    watch = watch or Watch()
    # In the kernels' folder, which their server removes even if this process is killed.
    with tempfile.TemporaryDirectory(dir=current_launcher().folder) as folder:
        log = Path(folder) / "kernel.log"
        watch.log = str(log)
        try:
            report(step)
            with _time_limit(watch, assignment.seconds):
                executed = execute(assignment, watch, lambda cell: report(f"execute {cell}"), Path(folder))
            step = "render"
            report(step)
            page, companions, notes, counts = render(executed)
            step = "gate"
            report(step)
            expected = Expected(**counts, files=tuple(companions), most_bytes=assignment.most_bytes)
            check_page(assignment.name, page, expected)
            return Made(page, companions, notes, code_digest(), versions(), _said(log))
        except Exception as error:
            cause = watch.stopped or cause_of(error)
            raise StepError(step, cause, f"{traceback.format_exc()}{_said(log)}") from None


def _said(log: Path) -> str:
    """What the kernel's process printed outside of cells."""
    return log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""


@contextlib.contextmanager
def _time_limit(watch: Watch, seconds: float) -> Iterator[None]:
    """End the kernel when its time is up, whatever it does."""

    def stop() -> None:
        where = watch.cell or "the kernel's start"
        watch.stop(f"expected the report within {seconds:g} s (--timeout), found {where} still running")

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        watch.ended()


def execute(assignment: Assignment, watch: Watch, report: Callable[[str], None], scratch: Path) -> Any:
    """Run the notebook with its parameters through papermill; the executed notebook."""
    import papermill

    if not Path(assignment.root).is_dir():
        raise RunError(f"expected the project's folder at {assignment.root} on this machine, found nothing; share it")
    # papermill and nbclient log what they raise as well: once is enough.
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    code = 0

    def started(cell: Any, cell_index: int) -> None:
        nonlocal code
        watch.cell = f"cell {cell_index + 1} ({cell.source.strip().split(chr(10))[0][:60]!r})"
        if cell.cell_type == "code":
            code += 1
            report(str(code))

    source = scratch / "notebook.ipynb"
    source.write_text(assignment.notebook, encoding="utf-8")
    return papermill.execute_notebook(
        str(source),
        None,
        parameters=assignment.given,
        cwd=assignment.root,
        progress_bar=False,
        log_output=False,
        shutdown_kernel="immediate",
        kernel_name="python3",
        language="python",
        kernel_manager_class=manager_for(watch),
        on_cell_start=started,
    )


def render(executed: Any) -> tuple[str, dict[str, bytes], tuple[str, ...], dict[str, int]]:
    """Page, companion files, notes for who runs it, and how many figures and tables the cells displayed."""
    from sqmodel.reporting.publish import SqReportExporter

    page, resources = SqReportExporter().from_notebook_node(executed)  # type: ignore[no-untyped-call]
    files = {str(k): v for k, v in resources["outputs"].items()}
    return page, files, tuple(resources["notes"]), resources["shown"]


def cause_of(error: Exception) -> str:
    """One cause in words: the error of the failing cell, not papermill's frame around it.

    sqmodel's own errors say everything themselves; of any other the type is half of the message.
    """
    name, value = getattr(error, "ename", ""), getattr(error, "evalue", "")
    if name:
        return f"{value}" if name in OWN_ERRORS and value else f"{name}: {value}"
    # The second is jupyter_client's word for a kernel that died before its first cell.
    if type(error).__name__ == "DeadKernelError" or str(error).startswith("Kernel died before replying"):
        return "the kernel died: expected it to run to the end of the notebook"
    return str(error) if isinstance(error, SqmodelError) else f"{type(error).__name__}: {error}"
