"""The command that publishes a design study: design."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sqmodel.cli import tools
from sqmodel.errors import SqmodelError


@click.command()
@click.argument("params", type=click.Path(path_type=Path))
@tools.reports_option
@click.option("--timeout", type=click.FloatRange(min=1), default=600.0, show_default=True,
              help="Seconds that the page may take.")  # fmt: skip
@click.option("--force", is_flag=True, help="Make the page also if nothing has changed.")
def design(params: Path, reports: Path, timeout: float, force: bool) -> None:
    """Publish the design of an index (PARAMS): coherence, weights, ranks with intervals, and what matters."""
    from sqmodel.reporting.design_run import plan_design, publish_design
    from sqmodel.reporting.kernels.manager import kernels
    from sqmodel.reporting.making import StepError

    try:
        task = plan_design(params)
        steps: list[str] = []
        with kernels(ahead=1):
            page, notes = publish_design(task, reports, seconds=timeout, force=force, report=steps.append)
    except StepError as error:
        click.echo(f"{task.name} failed at {error.step}: {error.cause}", err=True)
        click.echo("0 of 1 published")
        sys.exit(tools.SOME_FAILED)
    except SqmodelError as error:
        tools.stop(error)
    for note in notes:
        click.echo(f"{task.name} warns: {note}", err=True)
    click.echo(str(page))
    click.echo("1 of 1 published" + (", 1 unchanged" if "unchanged" in steps else ""))
    sys.exit(tools.ALL_WELL)
