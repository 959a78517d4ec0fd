"""Publishing a benchmark: the public report, and one confidential report for every institution that submitted."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqmodel.errors import RunError
from sqmodel.reporting.atomic import put_folder, recover, write_file
from sqmodel.reporting.benchmark_inputs import CONFIDENTIAL, LOGS, PUBLIC, Compared, Plan, compare, private_folder
from sqmodel.reporting.failures import Failure, forget_failure, keep_failure, kept_failures, stamp_index
from sqmodel.reporting.kernels.manager import Watch
from sqmodel.reporting.keys import BENCHMARK_NOTEBOOK, find_notebook
from sqmodel.reporting.lock import exclusive
from sqmodel.reporting.making import Assignment, Made
from sqmodel.reporting.manifest import MANIFEST, Manifest, digest_of, is_current, key_of, read_manifest
from sqmodel.reporting.press import INTERRUPTED, Log, Maker, attempt, maker_of, print_all
from sqmodel.reporting.run import DOSSIER_BYTES, TIMEOUT
from sqmodel.reporting.run import LOGS as PUBLIC_LOGS
from sqmodel.reporting.sharing import written
from sqmodel.reporting.shelf import PAGE, write_index

FOLDER = "benchmark"
"""Of the public report, among the business lines of a quarter."""
KIND = "benchmark"


@dataclass(frozen=True)
class BenchmarkSettings:
    """How a benchmark is to be made.

    Parameters
    ----------
    workers : int
        Reports at a time on this machine.
    scheduler : str
        Address of a Dask cluster; empty for this machine.
    seconds : float
        Time limit of a report.
    force : bool
        Make also what is unchanged.
    only : tuple of str
        ``public`` or codes of institutions; empty for all.
    confidential : bool
        Whether the institutions get their reports.
    draws, seed : int
        Of the ranks.
    """

    workers: int = 2
    scheduler: str = ""
    seconds: float = TIMEOUT
    force: bool = False
    only: tuple[str, ...] = ()
    confidential: bool = True
    draws: int = 2000
    seed: int = 1


@dataclass(frozen=True)
class BenchmarkOutcome:
    """What became of a report: its folder, or step and cause of the failure; and the cells' warnings."""

    name: str
    folder: Path | None
    step: str = ""
    cause: str = ""
    detail: str = field(default="", repr=False)
    notes: tuple[str, ...] = ()
    made: bool = True

    @property
    def published(self) -> bool:
        """Whether the page is in place."""
        return self.folder is not None


@dataclass(frozen=True)
class _Task:
    """One report: ``public``, or an institution's code."""

    reader: str
    version: Path
    parameters: dict[str, Any]
    place: str
    """Its folder among the reports."""


def make_benchmark(
    plan: Plan,
    reports: Path,
    *,
    settings: BenchmarkSettings | None = None,
    compared: Callable[[Compared], None] = lambda found: None,
    report: Callable[[str, str], None] = lambda name, step: None,
) -> list[BenchmarkOutcome]:
    """Take in, compare, and publish.

    The public report goes to ``reports/<quarter>/benchmark``, those of the institutions to
    ``reports/confidential/<quarter>/<code>``; a page is made from its reader's version of the comparison, which holds
    nothing that this reader may not see.

    Parameters
    ----------
    plan : Plan
        See `plan_benchmark`.
    reports : Path
    settings : BenchmarkSettings, optional
    compared : callable
        Told of the comparison before any page is made.
    report : callable
        Told of every step of every report, by its folder among the reports.

    Returns
    -------
    list of BenchmarkOutcome
        The public report first. One that failed leaves what was published before untouched.

    Raises
    ------
    RunError
        Another run holds the folder, it cannot be written to, or holds something else where the report belongs.
    NothingAccepted
        No submission of the quarter.
    InputError
        `only` names somebody who did not submit.
    KeyboardInterrupt
        After every kernel was ended; what was published by then is in place.
    """
    settings = settings or BenchmarkSettings()
    with exclusive(reports) as state:
        recover(reports)
        recover(reports / CONFIDENTIAL)
        _check_place(reports / plan.quarter / FOLDER)
        for left in state.glob("scratch-*"):
            shutil.rmtree(left, ignore_errors=True)
        with written(reports, "nothing was run"):
            scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=state))
            private_folder(reports, plan.quarter)
        try:
            found = compare(
                plan, reports, workers=settings.workers, draws=settings.draws, seed=settings.seed,
                only=settings.only, confidential=settings.confidential,
            )  # fmt: skip
            compared(found)
            press = _Press(plan, found, reports, state, scratch, settings, report)
            return press.work()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _check_place(folder: Path) -> None:
    """Whether the public report may go there: a business line might be called so."""
    if (folder / MANIFEST).exists() and read_manifest(folder).kind != KIND:
        raise RunError(f"{folder}: expected the public report of a benchmark or nothing, found the report of a "
                       "business line; give --reports another folder; nothing was run")  # fmt: skip


@dataclass
class _Press:
    """One run: who makes the pages, where they go, what became of them."""

    plan: Plan
    found: Compared
    reports: Path
    state: Path
    scratch: Path
    settings: BenchmarkSettings
    report: Callable[[str, str], None]

    def __post_init__(self) -> None:
        self.notebook = find_notebook(self.plan.root, BENCHMARK_NOTEBOOK)
        self.text = self.notebook.read_text(encoding="utf-8")
        self.modules = {f"module {p.name}": digest_of(p) for p in sorted(self.plan.root.glob("*.py"))}

    def work(self) -> list[BenchmarkOutcome]:
        """All outcomes, the public report's first."""
        tasks = {task.place: task for task in self._tasks()}
        keys = {name: self._key(task) for name, task in tasks.items()}
        outcomes: dict[str, BenchmarkOutcome] = {}
        for name in tasks:
            if not self.settings.force and is_current(self.reports / name, keys[name]):
                outcomes[name] = BenchmarkOutcome(name, self.reports / name, made=False)
                self.report(name, "unchanged")
        todo = {name: task for name, task in tasks.items() if name not in outcomes}
        try:
            if todo:
                self._print(todo, keys, outcomes)
        finally:
            self._conclude(outcomes)
        return [outcomes[name] for name in tasks]

    def _print(self, todo: dict[str, _Task], keys: dict[str, str], outcomes: dict[str, BenchmarkOutcome]) -> None:
        """Make what has to be made, several at a time."""

        def ended(name: str, outcome: BenchmarkOutcome) -> None:
            outcomes[name] = outcome
            if outcome.published or outcome.cause != INTERRUPTED:
                self.report(name, "done" if outcome.published else "failed")

        with ExitStack() as stack:
            own = self.settings
            maker, threads = maker_of(stack, len(todo), workers=own.workers, scheduler=own.scheduler)
            print_all(list(todo), lambda n, watch: self._one(todo[n], keys[n], maker, watch), threads, ended)

    def _conclude(self, outcomes: dict[str, BenchmarkOutcome]) -> None:
        """The index over what is public."""
        name = f"{self.plan.quarter}/{FOLDER}"
        outcome = outcomes.get(name)
        if outcome is None or outcome.cause == INTERRUPTED:
            return
        if outcome.published:
            forget_failure(self.state, name)
        else:
            title = self.plan.profile.title
            failure = Failure(outcome.step, outcome.cause, title["zh"], title["en"], self.found.benchmark.simulated)
            keep_failure(self.state, name, failure)
        with written(self.reports, "the pages are in place, but the index is as it was; run again"):
            write_index(self.reports, kept_failures(self.state), self.scratch)
            stamp_index(self.reports)

    def _tasks(self) -> list[_Task]:
        """What is asked for, the public report first."""
        return [self._task(reader, path) for reader, path in self.found.versions.items()]

    def _task(self, reader: str, version: Path) -> _Task:
        institution = "" if reader == PUBLIC else reader
        parameters = {"quarter": self.plan.quarter, "results": self._named(version), "institution": institution,
                      "simulated": self.found.benchmark.simulated}  # fmt: skip
        place = f"{CONFIDENTIAL}/{self.plan.quarter}/{reader}" if institution else f"{self.plan.quarter}/{FOLDER}"
        return _Task(reader, version, parameters, place)

    def _named(self, path: Path) -> str:
        """A path as the notebook, which runs in the project's folder, finds it."""
        found, root = path.resolve(), self.plan.root.resolve()
        return found.relative_to(root).as_posix() if found.is_relative_to(root) else str(found)

    def _key(self, task: _Task) -> str:
        inputs = {"version": digest_of(task.version)} | self.modules
        given = {k: v for k, v in task.parameters.items() if k != "results"}
        return key_of(given, inputs, digest_of(self.notebook))

    def _one(self, task: _Task, key: str, maker: Maker, watch: Watch) -> BenchmarkOutcome:
        """One report from its reader's version to the page, with its log."""
        log = Log()

        def report(step: str) -> None:
            log.step(step)
            self.report(task.place, step)

        def made_and_published() -> BenchmarkOutcome:
            assignment = Assignment(
                task.place, str(self.plan.root), self.text, task.parameters, self.settings.seconds, DOSSIER_BYTES
            )
            made = maker(assignment, watch, report)
            report("publish")
            log.add("\n".join((*made.notes, made.log)))
            return self._publish(task, made, key)

        def failed(step: str, cause: str, detail: str, interrupted: bool) -> BenchmarkOutcome:
            return BenchmarkOutcome(task.place, None, step, INTERRUPTED if interrupted else cause, detail)

        outcome = attempt(self.reports, watch, made_and_published, failed)
        ending = "published" if outcome.published else f"failed at {outcome.step}: {outcome.cause}"
        log.add(f"{ending}\n{outcome.detail}")
        self._log(task, log)
        return outcome

    def _publish(self, task: _Task, made: Made, key: str) -> BenchmarkOutcome:
        if self._key(task) != key:
            raise RunError(f"{task.place}: expected the notebook and what the reader may see to stay as they are while "
                           "the report is made, found them changed; run again")  # fmt: skip
        files = {PAGE: made.page.encode(), **made.companions}
        manifest = Manifest(
            business_line=FOLDER if task.reader == PUBLIC else task.reader, quarter=self.plan.quarter, kind=KIND,
            key=key, params=_told(task.parameters), given=sorted(task.parameters), seed=self.settings.seed,
            inputs={_told(task.parameters)["results"]: digest_of(task.version)},
            notebook={"name": self.notebook.name, "sha256": digest_of(self.notebook)}, code=made.code,
            versions=made.versions, outputs={n: hashlib.sha256(c).hexdigest() for n, c in files.items()},
        )  # fmt: skip
        folder = self.reports / task.place
        put_folder(files | {MANIFEST: manifest.encode()}, folder, self.scratch)
        return BenchmarkOutcome(task.place, folder, notes=made.notes)

    def _log(self, task: _Task, log: Log) -> None:
        """Of an institution's report the log is as confidential as the report."""
        path = self.reports / PUBLIC_LOGS / f"{task.place}.log"
        if task.reader != PUBLIC:
            path = self.reports / CONFIDENTIAL / self.plan.quarter / LOGS / f"{task.reader}.log"
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, log.text().encode(), self.scratch)


def _told(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as a manifest may tell them: of an absolute path its end."""
    path = Path(parameters["results"])
    return parameters | {"results": "/".join(path.parts[-2:]) if path.is_absolute() else path.as_posix()}


def counted(outcomes: Sequence[BenchmarkOutcome]) -> str:
    """How many reports are in place, in words."""
    published, same = sum(o.published for o in outcomes), sum(o.published and not o.made for o in outcomes)
    return f"{published} of {len(outcomes)} published" + (f", {same} unchanged" if same else "")
