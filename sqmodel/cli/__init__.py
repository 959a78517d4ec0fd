"""The command line. Heavy imports wait until a command needs them."""

from __future__ import annotations

from pathlib import Path

import click

from sqmodel.cli.benchmark import benchmark
from sqmodel.cli.design import design
from sqmodel.cli.inspect import diff, verify
from sqmodel.cli.monitor import monitor
from sqmodel.cli.preview import preview
from sqmodel.cli.run import check, run, validate
from sqmodel.cli.submit import keys, submission, submit
from sqmodel.cli.tools import Commands, stop
from sqmodel.errors import SqmodelError


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sqmodel")
def main() -> None:
    """Service quality in lending: from answers to a published report.

    Exit status: 0 all well, 1 some reports failed or differ, 2 bad input (nothing was run), 130 or 143 interrupted.
    """


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
def new(directory: Path) -> None:
    """Start a project in DIRECTORY: params, notebooks, the questionnaire, and where to put the answers."""
    from sqmodel.reporting.scaffold import new_project

    try:
        made = new_project(directory)
    except SqmodelError as error:
        stop(error)
    for path in made:
        click.echo(f"  {path}")
    click.echo(
        f"Next: put your answers in {directory / 'params' / 'data'}, then `sqmodel check` and `sqmodel run` there."
    )


@main.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("params/data"))
@click.option("--institutions", type=click.IntRange(1, 26), help="Write so many small institutions instead, each with "
              "its params, for a walk through the benchmark.")  # fmt: skip
def demo(directory: Path, institutions: int | None) -> None:
    """Write the simulated demonstration study to DIRECTORY (params/data by default).

    Answers to the questionnaire, and records of what the lender did: events, complaints, loans with their alerts, and
    what its advisers know and do. And 24 branches, with what their indicators were estimated from, for a design study.
    """
    if institutions:
        from sqmodel.benchmark.demo_institutions import demo_institutions

        for path in demo_institutions(directory, institutions):
            click.echo(f"  {path}")
        return
    from sqmodel.index.design_demo import demo_design
    from sqmodel.operations.simulate import demo_operations
    from sqmodel.survey.simulate import demo_study

    for path in (*demo_study(directory), *demo_operations(directory), *demo_design(directory)):
        click.echo(f"  {path}")


for command in (check, run, validate, design, preview, monitor, verify, diff, submit, submission, keys, benchmark):
    main.add_command(command)
