"""The command line: new, demo, check, run, validate. Heavy imports wait until a command needs them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import sqmodel.errors as errors

if TYPE_CHECKING:
    from rich.progress import Progress

    from sqmodel.reporting.plan import Task
    from sqmodel.reporting.run import Outcome

Command = TypeVar("Command", bound=Callable[..., Any])

ALL_PUBLISHED, SOME_FAILED, BAD_INPUT = 0, 1, 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sqmodel")
def main() -> None:
    """Service quality in lending: from answers to a published report.

    Exit status: 0 all published, 1 some reports failed, 2 bad input (nothing was run).
    """


def _params(function: Command) -> Command:
    paths = click.argument("params", nargs=-1, type=click.Path(path_type=Path))
    quarter = click.option(
        "--quarter", "-q", "quarters", multiple=True, metavar="QUARTER",
        help="2026Q3, or a range such as 2025Q3..2026Q3; replaces the one in the params. May be repeated.",
    )  # fmt: skip
    decorated: Command = paths(quarter(function))
    return decorated


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
def new(directory: Path) -> None:
    """Start a project in DIRECTORY: params, notebooks, the questionnaire, and where to put the answers."""
    from sqmodel.reporting.scaffold import new_project

    try:
        made = new_project(directory)
    except errors.SqmodelError as error:
        _stop(error)
    for path in made:
        click.echo(f"  {path}")
    click.echo(
        f"Next: put your answers in {directory / 'params' / 'data'}, then `sqmodel check` and `sqmodel run` there."
    )


@main.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("params/data"))
def demo(directory: Path) -> None:
    """Write the simulated demonstration study to DIRECTORY (params/data by default)."""
    from sqmodel.survey.simulate import demo_study

    for path in demo_study(directory):
        click.echo(f"  {path}")


@main.command()
@_params
def check(params: tuple[Path, ...], quarters: tuple[str, ...]) -> None:
    """Check PARAMS and the data they name, without running anything."""
    tasks, found, failed = _plan(params, quarters)
    for task in tasks:
        if task.name in found:
            click.echo(f"  {task.name}: {found[task.name]}")
    if failed:
        _stop(*_distinct(failed))
    click.echo(f"{len(tasks)} of {len(tasks)} ready to run")


@main.command()
@_params
@click.option("--workers", "-w", type=click.IntRange(1, 64), default=2, show_default=True, help="Reports at a time.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True,
              help="Folder of the published pages.")  # fmt: skip
@click.option("--notebook", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Another notebook.")
@click.option("--keep-going", is_flag=True, help="Publish the good ones even if the data of others are bad.")
def run(
    params: tuple[Path, ...],
    quarters: tuple[str, ...],
    workers: int,
    reports: Path,
    notebook: Path | None,
    keep_going: bool,
) -> None:
    """Make and publish the reports of PARAMS (all of params/ by default)."""
    from sqmodel.reporting import run as runner
    from sqmodel.reporting import shelf

    tasks, found, failed = _plan(params, quarters)
    if failed and not (keep_going and found):
        _stop(*_distinct(failed))
    _print_plan(tasks, failed)
    with _progress() as progress:
        report = _reporter(progress, len(tasks) - len(failed))
        try:
            outcomes = runner.run(tasks, reports, workers=workers, notebook=notebook, report=report, failed=failed)
        except errors.SqmodelError as error:
            _stop(error)
    _print_failures(outcomes)
    for cause in shelf.published(reports)[1].values():
        click.echo(f"note: {cause}", err=True)
    published = sum(o.published for o in outcomes)
    click.echo(f"{published} of {len(outcomes)} published")
    click.echo(str(reports / "index.html"))
    sys.exit(ALL_PUBLISHED if published == len(outcomes) else SOME_FAILED)


@main.command()
@_params
@click.option("--workers", "-w", type=click.IntRange(1, 64), default=2, show_default=True, help="Dossiers at a time.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True,
              help="Folder of the published pages.")  # fmt: skip
def validate(params: tuple[Path, ...], quarters: tuple[str, ...], workers: int, reports: Path) -> None:
    """Publish the evidence behind the measure of PARAMS: a validation dossier beside each report."""
    from sqmodel.reporting import run as runner

    tasks, _, failed = _plan(params, quarters)
    if failed:
        _stop(*_distinct(failed))
    with _progress() as progress:
        report = _reporter(progress, len(tasks))
        outcomes = runner.run(tasks, reports, workers=workers, report=report, dossiers=True)
    _print_failures(outcomes)
    for outcome in outcomes:
        if outcome.folder is not None:
            click.echo(str(outcome.folder / "index.html"))
    published = sum(o.published for o in outcomes)
    click.echo(f"{published} of {len(outcomes)} published")
    sys.exit(ALL_PUBLISHED if published == len(outcomes) else SOME_FAILED)


def _plan(
    params: tuple[Path, ...], quarters: tuple[str, ...]
) -> tuple[list[Task], dict[str, str], dict[str, errors.SqmodelError]]:
    """Tasks, and which of them have data that can be used; stops on bad params."""
    from sqmodel.reporting import plan

    try:
        paths = list(params) or plan.params_in(Path("params"))
        if not paths:
            raise errors.ParamsError(
                "params", ["expected params/*.yaml here, found none"], "run `sqmodel new DIR` first"
            )
        tasks = plan.make_plan(paths, plan.expand_quarters(quarters))
        found, failed = plan.check(tasks)
    except errors.SqmodelError as error:
        _stop(error)
    return tasks, found, failed


def _distinct(failed: dict[str, errors.SqmodelError]) -> list[errors.SqmodelError]:
    """Each message once, however many quarters it spoils."""
    return list({str(e): e for e in failed.values()}.values())


def _stop(*found: errors.SqmodelError) -> Any:
    for error in found:
        click.echo(str(error), err=True)
    sys.exit(BAD_INPUT)


def _print_plan(tasks: list[Task], failed: dict[str, errors.SqmodelError]) -> None:
    from rich.console import Console
    from rich.table import Table

    lines = list(dict.fromkeys(t.study.business_line for t in tasks))
    quarters = sorted({t.study.quarter for t in tasks})
    names = {t.name for t in tasks}
    table = Table("", *quarters, box=None, pad_edge=False)
    for line in lines:
        marks = [_mark(f"{quarter}/{line}", names, failed) for quarter in quarters]
        table.add_row(line, *marks)
    Console().print(table)


def _mark(name: str, names: set[str], failed: dict[str, errors.SqmodelError]) -> str:
    return "bad data" if name in failed else "run" if name in names else ""


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


def _reporter(progress: Progress, total: int) -> Callable[[Task, str], None]:
    bar = progress.add_task("", total=total)

    def report(task: Task, step: str) -> None:
        finished = step in ("done", "failed")
        if finished:
            progress.console.print(f"  {step:<7} {task.name}", highlight=False)
        progress.update(bar, description=f"{step} {task.name}", advance=1 if finished else 0)

    return report


def _print_failures(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        for note in outcome.notes:
            click.echo(f"{outcome.task.name} warns: {note}", err=True)
        if not outcome.published:
            click.echo(f"{outcome.task.name} failed at {outcome.step}: {outcome.cause}", err=True)
