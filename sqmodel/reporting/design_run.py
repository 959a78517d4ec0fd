"""Publishing a design study: checked, made, gated and put in place in one step, as reports are."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqmodel.errors import RunError
from sqmodel.reporting.atomic import put_folder, recover, write_file
from sqmodel.reporting.design_inputs import check_inputs
from sqmodel.reporting.design_params import DesignStudy, load_design
from sqmodel.reporting.keys import DESIGN_NOTEBOOK, find_notebook
from sqmodel.reporting.lock import exclusive
from sqmodel.reporting.making import Assignment, Made, StepError, make
from sqmodel.reporting.manifest import MANIFEST, Manifest, digest_of, is_current, key_of
from sqmodel.reporting.run import DOSSIER_BYTES, LOGS
from sqmodel.reporting.sharing import written
from sqmodel.reporting.shelf import PAGE
from sqmodel.reporting.sources import project_root

FOLDER = "design"
"""Of the design studies' pages, among the quarters."""


@dataclass(frozen=True)
class DesignTask:
    """A design study to publish.

    Parameters
    ----------
    study : DesignStudy
    root : Path
        The project's folder, which relative paths are meant from.
    """

    study: DesignStudy
    root: Path

    @property
    def name(self) -> str:
        """Its folder among the reports."""
        return f"{FOLDER}/{self.study.name}"

    @property
    def parameters(self) -> dict[str, Any]:
        """What the notebook is given: all parameters, so that its own examples never stand in."""
        return self.study.model_dump(mode="json")

    @property
    def notebook(self) -> Path:
        """The project's notebook, or the one shipped with the package."""
        return find_notebook(self.root, DESIGN_NOTEBOOK)

    def key(self) -> str:
        """Digest of all that the page depends on, also of modules that the notebook may import."""
        with contextlib.chdir(self.root):
            inputs = self.study.digests()
        modules = {f"module {p.name}": digest_of(p) for p in sorted(self.root.glob("*.py"))}
        return key_of(self.parameters, inputs | modules, digest_of(self.notebook))


def plan_design(params: Path) -> DesignTask:
    """Check the params of a design study and all its data, without running its notebook.

    Raises
    ------
    InputError
        All problems of the params; or all of the files; or all of what the index would be made of.
    """
    task = DesignTask(load_design(params), project_root(params.resolve().parent))
    with contextlib.chdir(task.root):
        check_inputs(task.study)
    return task


def publish_design(
    task: DesignTask,
    reports: Path,
    *,
    seconds: float,
    force: bool = False,
    report: Callable[[str], None] = lambda step: None,
) -> tuple[Path, tuple[str, ...]]:
    """Make the page and put it at ``reports/design/NAME``, with results.json, tables.xlsx and manifest.json.

    Needs `sqmodel.reporting.kernels.manager.kernels` to be open.

    Parameters
    ----------
    task : DesignTask
    reports : Path
    seconds : float
        Time limit.
    force : bool
        Make it also if nothing has changed.
    report : callable
        Told of every step; at the end ``done`` or ``unchanged``.

    Returns
    -------
    tuple of Path and tuple of str
        The page, and the cells' warnings.

    Raises
    ------
    StepError
        Names step and cause; what was published before stays.
    RunError
        Another run holds the folder, it cannot be written to, or an input changed on the way.
    """
    folder = reports / FOLDER / task.study.name
    with exclusive(reports) as state:
        recover(reports)
        key = task.key()
        if not force and is_current(folder, key):
            report("unchanged")
            return folder / PAGE, ()
        scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=state))
        try:
            made = _made(task, reports, scratch, seconds, report)
            report("publish")
            if task.key() != key:
                raise RunError(f"{task.name}: expected inputs and notebook to stay as they are while the page is made, "
                               "found them changed; run again")  # fmt: skip
            with written(reports, "the page is as it was"):
                put_folder(_files(task, made, key), folder, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    report("done")
    return folder / PAGE, made.notes


def _made(task: DesignTask, reports: Path, scratch: Path, seconds: float, report: Callable[[str], None]) -> Made:
    """The page; what was said on the way is in its log, whatever became of it."""
    text = task.notebook.read_text(encoding="utf-8")
    assignment = Assignment(task.name, str(task.root), text, task.parameters, seconds, DOSSIER_BYTES)
    log = reports / LOGS / f"{task.name}.log"
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = make(assignment, report=report)
    except StepError as error:
        with contextlib.suppress(OSError):
            write_file(log, f"failed at {error.step}: {error.cause}\n{error.detail}\n".encode(), scratch)
        raise
    with contextlib.suppress(OSError):
        write_file(log, "\n".join((*made.notes, made.log, "published", "")).encode(), scratch)
    return made


def _files(task: DesignTask, made: Made, key: str) -> dict[str, bytes]:
    """The page, what stands beside it, and the manifest of all."""
    files = {PAGE: made.page.encode(), **made.companions}
    with contextlib.chdir(task.root):
        inputs = task.study.digests()
    manifest = Manifest(
        business_line=task.study.name, quarter="", kind="design", key=key, params=task.parameters,
        given=sorted(task.parameters), seed=task.study.seed, inputs=inputs,
        notebook={"name": task.notebook.name, "sha256": digest_of(task.notebook)}, code=made.code,
        versions=made.versions,
        outputs={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )  # fmt: skip
    return files | {MANIFEST: manifest.encode()}
