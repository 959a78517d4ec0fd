"""Run: tasks in, pages out; one failed report stops no other, and nothing that is published gets lost."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqmodel.errors import RunError, UnfinishedError
from sqmodel.reporting.atomic import put_folder, recover, write_file
from sqmodel.reporting.failures import Failure, forget_failure, keep_failure, kept_failures, stamp_index
from sqmodel.reporting.kernels.manager import Watch
from sqmodel.reporting.keys import DOSSIER, NOTEBOOK, VALIDATION_NOTEBOOK, find_notebook, report_key
from sqmodel.reporting.lock import exclusive
from sqmodel.reporting.making import Assignment, Made
from sqmodel.reporting.manifest import MANIFEST, Manifest, digest_of, is_current, read_manifest
from sqmodel.reporting.payload import ANSWERS
from sqmodel.reporting.pdf import NAMES, find_browser, print_page
from sqmodel.reporting.plan import Checked, Task
from sqmodel.reporting.press import INTERRUPTED, Log, Maker, attempt, maker_of, print_all
from sqmodel.reporting.restatements import Restatement, add_restatements, compare
from sqmodel.reporting.sharing import check_share, copy_pages, written
from sqmodel.reporting.shelf import PAGE, RESULTS, write_index

TIMEOUT = 600.0
"""Seconds that a report may take."""
DOSSIER_BYTES = 1_500_000
"""Size budget of a dossier: researchers read it at a desk."""
LOGS = "logs"


@dataclass(frozen=True)
class Outcome:
    """What became of a report: the page's folder, or the step and cause of the failure; and the cells' warnings."""

    task: Task
    folder: Path | None
    step: str = ""
    cause: str = ""
    detail: str = field(default="", repr=False)
    notes: tuple[str, ...] = ()
    made: bool = True
    """False where the page was there already, made from the same input."""

    @property
    def published(self) -> bool:
        """Whether the page is in place."""
        return self.folder is not None


@dataclass(frozen=True)
class Settings:
    """How a run is to go about its reports.

    Parameters
    ----------
    workers : int
        Reports made at the same time; each has a kernel process of its own.
    notebook : Path, optional
        The notebook to run; ``notebooks/business_line.ipynb`` of the project by default.
    dossiers : bool
        Make ``reports/<quarter>/<line>-validation/index.html`` of ``notebooks/validation.ipynb`` instead; pages and
        index stay as they are.
    seconds : float
        Time limit of a report.
    force : bool
        Make also what is unchanged.
    scheduler : str
        Address of a Dask cluster that makes the reports; empty for this machine.
    """

    workers: int = 2
    notebook: Path | None = None
    dossiers: bool = False
    seconds: float = TIMEOUT
    force: bool = False
    scheduler: str = ""


def run(
    tasks: Sequence[Task],
    reports: Path,
    *,
    settings: Settings | None = None,
    report: Callable[[Task, str], None] = lambda task, step: None,
    checked: Checked | None = None,
    publish_to: Path | None = None,
    pdf: bool = False,
) -> list[Outcome]:
    """Make the reports, or their validation dossiers, and put them in place.

    Parameters
    ----------
    tasks : sequence of Task
    reports : Path
        Folder of the pages: ``reports/<quarter>/<line>/index.html`` with results.json, tables.xlsx and manifest.json
        beside it.
    settings : Settings, optional
    report : callable
        Told of every step: ``execute N`` (the cell), ``render``, ``gate``, ``publish``, and at the end ``done``,
        ``unchanged`` or ``failed``.
    checked : Checked, optional
        What `check` found: tasks with bad data are not run, and the index names their cause.
    publish_to : Path, optional
        A folder, a share for example, that gets every page that is in place, and an index over them.
    pdf : bool
        Print every page as well.

    Returns
    -------
    list of Outcome
        In the order of the tasks. A failed report leaves what was published before untouched.

    Raises
    ------
    RunError
        Another run holds the folder, or it cannot be written to; nothing was run.
    UnfinishedError
        The pages are in place, but the index or the share could not be written.
    KeyboardInterrupt
        After every kernel was ended; what was published by then is in place and in the index.
    """
    settings, checked = settings or Settings(), checked or Checked()
    browser = find_browser() if pdf else ""
    if publish_to is not None:
        check_share(reports, publish_to)
    with exclusive(reports) as state:
        recover(reports)
        for left in state.glob("scratch-*"):
            shutil.rmtree(left, ignore_errors=True)
        with written(reports, "nothing was run"):
            scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=state))
        try:
            press = _Press(reports, state, scratch, settings, checked, report, browser)
            try:
                outcomes = press.work(tasks)
            except BaseException:
                with contextlib.suppress(UnfinishedError):
                    press.conclude(publish_to)
                raise
            press.conclude(publish_to)
            return outcomes
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


class _Press:
    """One run: who makes the pages, where they go, what became of them."""

    def __init__(
        self,
        reports: Path,
        state: Path,
        scratch: Path,
        settings: Settings,
        checked: Checked,
        report: Callable[[Task, str], None],
        browser: str,
    ) -> None:
        self.browser = browser
        self.reports, self.state, self.scratch = reports, state, scratch
        self.settings, self.checked, self.report = settings, checked, report
        self.suffix = DOSSIER if settings.dossiers else ""
        self.in_place: list[str] = []
        self.noting = threading.Lock()

    def work(self, tasks: Sequence[Task]) -> list[Outcome]:
        """All outcomes, in the order of the tasks."""
        found = {t.name: o for t in tasks if (o := self._known(t)) is not None}
        todo = {t.name: t for t in tasks if t.name not in found}
        try:
            if todo:
                self._print(todo, found)
        finally:
            self.in_place += [t.name + self.suffix for t in tasks if t.name in found and found[t.name].published]
        return [found[t.name] for t in tasks]

    def _print(self, todo: dict[str, Task], found: dict[str, Outcome]) -> None:
        """Make what has to be made, several at a time."""

        def ended(name: str, outcome: Outcome) -> None:
            found[name] = outcome
            if outcome.published or outcome.cause != INTERRUPTED:
                self.report(todo[name], "done" if outcome.published else "failed")

        with ExitStack() as stack:
            settings = self.settings
            maker, threads = maker_of(stack, len(todo), workers=settings.workers, scheduler=settings.scheduler)
            print_all(list(todo), lambda name, watch: self._one(todo[name], maker, watch), threads, ended)

    def conclude(self, publish_to: Path | None) -> None:
        """The index over all pages, and the share."""
        if not self.settings.dossiers:
            with written(self.reports, "the pages are in place, but the index is as it was; run again"):
                write_index(self.reports, kept_failures(self.state), self.scratch)
                stamp_index(self.reports)
        if publish_to is not None:
            try:
                copy_pages(self.reports, publish_to, self.in_place)
            except RunError as error:
                raise UnfinishedError(str(error)) from None

    def _known(self, task: Task) -> Outcome | None:
        """The outcome of a report that need not or cannot be made."""
        if task.name in self.checked.failed:
            self.report(task, "failed")
            return self._failed(task, "check", str(self.checked.failed[task.name]), "")
        folder = self._folder(task)
        key = self._key(task)
        printed = not self.browser or all((folder / name).is_file() for name in NAMES.values())
        if not self.settings.force and key is not None and printed and is_current(folder, key):
            if not self.settings.dossiers:
                forget_failure(self.state, task.name)
            self.report(task, "unchanged")
            return Outcome(task, folder, made=False)
        return None

    def _one(self, task: Task, maker: Maker, watch: Watch) -> Outcome:
        """One report from params to page, with its log."""
        log = Log()

        def report(step: str) -> None:
            log.step(step)
            self.report(task, step)

        def made_and_published() -> Outcome:
            assignment, key = self._assignment(task), self._key(task)
            made = maker(assignment, watch, report)
            report("publish")
            outcome = self._publish(task, made, key, assignment)
            log.add("\n".join((*made.notes, made.log)))
            return outcome

        def failed(step: str, cause: str, detail: str, interrupted: bool) -> Outcome:
            return self._failed(task, step, cause, detail, interrupted=interrupted)

        outcome = attempt(self.reports, watch, made_and_published, failed)
        ending = "published" if outcome.published else f"failed at {outcome.step}: {outcome.cause}"
        log.add(f"{ending}\n{outcome.detail}")
        return self._logged(outcome, log)

    def _assignment(self, task: Task) -> Assignment:
        return Assignment(
            name=task.name + self.suffix,
            root=str(task.root),
            notebook=self._notebook(task).read_text(encoding="utf-8"),
            given=task.parameters,
            seconds=self.settings.seconds,
            most_bytes=DOSSIER_BYTES if self.settings.dossiers else task.study.page_bytes,
        )

    def _publish(self, task: Task, made: Made, key: str | None, assignment: Assignment) -> Outcome:
        """Put a page in place, with its manifest, unless its inputs are others by now."""
        if key is None or self._key(task) != key:
            raise RunError(
                f"{task.name}: expected inputs and notebook to stay as they are while the report is made, "
                "found them changed; run again"
            )
        # A notebook of one's own need not display a record of results.
        record = json.loads(made.companions.get(RESULTS, b"{}"))
        read = record.get("inputs", {})
        if any(read.get(name, digest) != digest for name, digest in self._answers(task).items()):
            raise RunError(f"{task.name}: expected the database's answers as checked, found others since; run again")
        files = {PAGE: made.page.encode(), **made.companions}
        if self.browser:
            files |= print_page(made.page, self.browser)
        manifest = Manifest(
            business_line=task.study.business_line,
            quarter=task.study.quarter,
            kind="dossier" if self.settings.dossiers else "report",
            key=key,
            params=task.study.public(),
            given=sorted(task.parameters),
            seed=task.study.seed,
            inputs=record.get("inputs", task.study.digests() | self._answers(task)),
            notebook={"name": self._notebook(task).name, "sha256": digest_of(self._notebook(task))},
            code=made.code,
            versions=made.versions,
            outputs={name: _sha256(content) for name, content in files.items()},
        )
        folder = self._folder(task)
        restatement = _restated(folder, manifest, record)
        put_folder(files | {MANIFEST: manifest.encode()}, folder, self.scratch)
        if not self.settings.dossiers:
            forget_failure(self.state, task.name)
        return Outcome(task, folder, notes=(*made.notes, *self._noted(restatement)))

    def _noted(self, restatement: Restatement | None) -> tuple[str, ...]:
        """Put a restatement on the list at once: a run that is killed later must not lose it."""
        if restatement is not None:
            try:
                with self.noting:
                    add_restatements(self.reports, [restatement], self.scratch)
            except (OSError, RunError) as error:
                return (f"the restatement could not be noted: {error}",)
        return ()

    def _failed(self, task: Task, step: str, cause: str, detail: str, *, interrupted: bool = False) -> Outcome:
        """A failure, kept for the index; one that was interrupted is no fault of the report."""
        notes: tuple[str, ...] = ()
        if not self.settings.dossiers and not interrupted:
            title = task.study.title
            failure = Failure(step, cause, title["zh"], title["en"], task.study.simulated)
            try:
                keep_failure(self.state, task.name, failure)
            except OSError as error:
                notes = (f"the failure could not be noted for the index: {error}",)
        return Outcome(task, None, step, cause, detail, notes)

    def _logged(self, outcome: Outcome, log: Log) -> Outcome:
        path = self.reports / LOGS / f"{outcome.task.name}{self.suffix}.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, log.text().encode(), self.scratch)
        except OSError as error:
            return _with_note(outcome, f"the log could not be written: {error}")
        return outcome

    def _key(self, task: Task) -> str | None:
        return report_key(
            task.given,
            task.root,
            notebook=self.settings.notebook,
            dossier=self.settings.dossiers,
            answers=self.checked.answers.get(task.name, ""),
        )

    def _answers(self, task: Task) -> dict[str, str]:
        """Digest of the answers when they were checked, where they come from a database."""
        digest = self.checked.answers.get(task.name)
        return {f"{ANSWERS}{task.study.public()['responses']}": digest} if digest else {}

    def _notebook(self, task: Task) -> Path:
        name = VALIDATION_NOTEBOOK if self.settings.dossiers else NOTEBOOK
        return self.settings.notebook or find_notebook(task.root, name)

    def _folder(self, task: Task) -> Path:
        return self.reports / task.study.quarter / (task.study.business_line + self.suffix)


def _restated(folder: Path, manifest: Manifest, record: dict[str, Any]) -> Restatement | None:
    """What the new page changes of a published index; nothing where no readable page stands."""
    if "index" not in record:
        return None
    try:
        old = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        return compare((read_manifest(folder), old), (manifest, record))
    except (OSError, ValueError, KeyError, TypeError, RunError):
        return None


def _with_note(outcome: Outcome, note: str) -> Outcome:
    return replace(outcome, notes=(*outcome.notes, note))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
