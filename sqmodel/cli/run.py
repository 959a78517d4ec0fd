"""Commands that check params and make reports: check, run, validate."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sqmodel.cli import tools
from sqmodel.cli.screen import Screen
from sqmodel.errors import SqmodelError, UnfinishedError
from sqmodel.reporting.failures import index_is_current
from sqmodel.reporting.keys import Report, asked_for, unchanged
from sqmodel.reporting.sources import expand_quarters

if TYPE_CHECKING:
    from sqmodel.reporting.plan import Checked, Task
    from sqmodel.reporting.run import Outcome, Settings


def _making(function: tools.Command) -> tools.Command:
    """Options of every command that makes reports."""
    options = [
        click.option("--workers", "-w", type=click.IntRange(1, 64), default=None,
                     help="Reports at a time on this machine; one more than it has cores by default."),
        click.option("--timeout", type=click.FloatRange(min=1), default=600.0, show_default=True,
                     help="Seconds that a report may take."),
        click.option("--force", is_flag=True, help="Make also the reports whose inputs are unchanged."),
        click.option("--scheduler", default="", metavar="ADDRESS",
                     help="Have a Dask cluster make the reports: tcp://host:8786."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return tools.params_arguments(tools.reports_option(function))


@click.command()
@tools.params_arguments
def check(params: tuple[Path, ...], quarters: tuple[str, ...]) -> None:
    """Check PARAMS and the data they name, without running anything."""
    from sqmodel.reporting import plan

    tasks = tools.tasks_of(params, quarters)
    try:
        checked = plan.check(tasks, notices=True)
    except SqmodelError as error:
        tools.stop(error)
    for task in tasks:
        if task.name in checked.found:
            click.echo(f"  {task.name}: {checked.found[task.name]}")
            for line in checked.noticed.get(task.name, ()):
                click.echo(f"    {line}")
    if checked.failed:
        tools.stop(*tools.distinct(checked.failed))
    click.echo(f"{len(tasks)} of {len(tasks)} ready to run")


@click.command()
@_making
@click.option("--notebook", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Another notebook.")
@click.option("--keep-going", is_flag=True, help="Publish the good ones even if the data of others are bad.")
@click.option("--publish-to", type=click.Path(path_type=Path), metavar="DIR",
              help="A share or a web server's folder that gets every page that is in place.")  # fmt: skip
@click.option("--pdf", is_flag=True, help="Print every page to PDF as well, with an installed Chromium.")
def run(
    params: tuple[Path, ...],
    quarters: tuple[str, ...],
    reports: Path,
    notebook: Path | None,
    keep_going: bool,
    publish_to: Path | None,
    pdf: bool,
    **options: Any,
) -> None:
    """Make and publish the reports of PARAMS (all of params/ by default); what is unchanged stays."""
    outcomes = _run(
        params, quarters, reports, keep_going=keep_going, publish_to=publish_to, pdf=pdf, notebook=notebook, **options
    )
    from sqmodel.reporting import shelf

    for cause in shelf.published(reports)[1].values():
        click.echo(f"note: {cause}", err=True)
    _finish(outcomes, before=[], after=[reports / "index.html"])


@click.command()
@_making
def validate(params: tuple[Path, ...], quarters: tuple[str, ...], reports: Path, **options: Any) -> None:
    """Publish the evidence behind the measure of PARAMS: a validation dossier beside each report."""
    outcomes = _run(params, quarters, reports, dossiers=True, **options)
    _finish(outcomes, before=[o.folder / "index.html" for o in outcomes if o.folder is not None], after=[])


def _run(
    params: tuple[Path, ...],
    quarters: tuple[str, ...],
    reports: Path,
    *,
    workers: int | None,
    timeout: float,
    force: bool,
    scheduler: str,
    notebook: Path | None = None,
    dossiers: bool = False,
    keep_going: bool = False,
    publish_to: Path | None = None,
    pdf: bool = False,
) -> list[Outcome]:
    """Plan, execute, render, gate, commit."""
    try:
        files, wanted = tools.params_files(params), expand_quarters(quarters)
        asked = asked_for(files, wanted)
        same = set() if force else unchanged(asked, reports, notebook=notebook, dossiers=dossiers)
    except SqmodelError as error:
        tools.stop(error)
    # A file that cannot be read asks for nothing: the plan has to say so.
    all_same = len(same) == len(asked) == len(files) * max(1, len(wanted))
    if all_same and not publish_to and not pdf and (dossiers or index_is_current(reports)):
        _nothing_to_do(asked, reports, dossiers)
    hands = workers or (os.cpu_count() or 1) + 1
    with _prepared(hands, scheduler):
        from sqmodel.reporting.run import Settings

        tasks = tools.tasks_of(params, quarters)
        checked = _checked(tasks, same, keep_going=keep_going and not dossiers)
        settings = Settings(
            workers=hands, notebook=notebook, dossiers=dossiers, seconds=timeout, force=force, scheduler=scheduler
        )
        states = dict.fromkeys(() if pdf else same, "unchanged") | dict.fromkeys(checked.failed, "bad data")
        return _make(Screen([t.name for t in tasks], states), tasks, reports, settings, checked, publish_to, pdf)


def _prepared(workers: int, scheduler: str) -> AbstractContextManager[Any]:
    """Kernels that load their libraries while this process loads its own."""
    if scheduler:
        return nullcontext()
    from sqmodel.reporting.kernels.manager import kernels

    return kernels(ahead=workers)


def _nothing_to_do(asked: list[Report], reports: Path, dossiers: bool) -> None:
    """Every page is there and whole: say so and end, without loading what makes pages."""
    names = [r.name for r in asked]
    with Screen(names, dict.fromkeys(names, "unchanged")).watching():
        pass
    click.echo(f"{len(names)} of {len(names)} published, all unchanged")
    if not dossiers:
        click.echo(str(reports / "index.html"))
    sys.exit(tools.ALL_WELL)


def _checked(tasks: list[Task], same: set[str], *, keep_going: bool) -> Checked:
    """What is known of the data; stops where they are bad, unless the others are to go on."""
    from sqmodel.reporting import plan

    try:
        checked = plan.check([t for t in tasks if t.name not in same])
    except SqmodelError as error:
        tools.stop(error)
    if checked.failed and not (keep_going and (checked.found or same)):
        tools.stop(*tools.distinct(checked.failed))
    return checked


def _make(
    screen: Screen,
    tasks: list[Task],
    reports: Path,
    settings: Settings,
    checked: Checked,
    publish_to: Path | None,
    pdf: bool,
) -> list[Outcome]:
    from sqmodel.reporting import run as runner

    report: Callable[[Task, str], None] = lambda task, step: screen.report(task.name, step)  # noqa: E731
    try:
        with screen.watching():
            return runner.run(
                tasks, reports, settings=settings, report=report, checked=checked, publish_to=publish_to, pdf=pdf
            )
    except UnfinishedError as error:
        click.echo(str(error), err=True)
        sys.exit(tools.SOME_FAILED)
    except SqmodelError as error:
        tools.stop(error)
    except KeyboardInterrupt:
        ended = sum(s.startswith(("done", "unchanged")) for s in screen.states.values())
        click.echo(
            f"interrupted: {ended} of {len(tasks)} published; what was published before is in place; "
            "run the same command again to go on",
            err=True,
        )
        raise


def _finish(outcomes: list[Outcome], *, before: list[Path], after: list[Path]) -> None:
    """Warnings, failures, the count, where the pages are, and the exit status."""
    for outcome in outcomes:
        for note in outcome.notes:
            click.echo(f"{outcome.task.name} warns: {note}", err=True)
        if not outcome.published:
            click.echo(f"{outcome.task.name} failed at {outcome.step}: {outcome.cause}", err=True)
    for place in before:
        click.echo(str(place))
    published = sum(o.published for o in outcomes)
    same = sum(o.published and not o.made for o in outcomes)
    click.echo(f"{published} of {len(outcomes)} published" + (f", {same} unchanged" if same else ""))
    for place in after:
        click.echo(str(place))
    sys.exit(tools.ALL_WELL if published == len(outcomes) else tools.SOME_FAILED)
