"""The association's command: benchmark."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sqmodel.cli import tools
from sqmodel.cli.screen import Screen
from sqmodel.errors import SqmodelError, UnfinishedError

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_inputs import Compared
    from sqmodel.reporting.benchmark_run import BenchmarkOutcome


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--quarter", "-q", required=True, metavar="QUARTER", help="Such as 2026Q3.")
@click.option(
    "--profile",
    default="lending_association",
    show_default=True,
    metavar="NAME",
    help="A shipped profile, or the path of one.",
)
@click.option(
    "--register",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The association's institutions, their keys and peer groups.",
)
@click.option(
    "--secret",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The association's secret, for a profile that publishes blind codes.",
)
@tools.reports_option
@click.option(
    "--workers",
    "-w",
    type=click.IntRange(1, 64),
    default=None,
    help="Reports at a time on this machine; one more than it has cores by default.",
)
@click.option(
    "--scheduler", default="", metavar="ADDRESS", help="Have a Dask cluster make the reports: tcp://host:8786."
)
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=600.0, show_default=True, help="Seconds that a report may take."
)
@click.option("--draws", type=click.IntRange(200, 100_000), default=2000, show_default=True, help="Draws for ranks.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--force", is_flag=True, help="Make also the reports whose inputs are unchanged.")
@click.option("--only", multiple=True, metavar="CODE", help="`public`, or an institution's code. May be repeated.")
@click.option("--no-confidential", is_flag=True, help="Make the public report alone.")  # fmt: skip
def benchmark(
    folder: Path,
    quarter: str,
    profile: str,
    register: Path,
    secret: Path | None,
    reports: Path,
    workers: int | None,
    no_confidential: bool,
    **options: Any,
) -> None:
    """Compare the institutions whose submissions lie in DIR: a public report, and a confidential one for each.

    A file that is refused stops no other. Receipts and confidential reports are in reports/confidential.
    """
    steps = _Steps()
    try:
        outcomes = _made(folder, quarter, profile, register, secret, reports, workers, no_confidential, options, steps)
    except KeyboardInterrupt:
        click.echo(f"interrupted: {steps.ended} published; what was published before is in place; run the same "
                   "command again to go on", err=True)  # fmt: skip
        raise
    from sqmodel.reporting.benchmark_run import counted

    for outcome in outcomes:
        for note in outcome.notes:
            click.echo(f"{outcome.name} warns: {note}", err=True)
        if not outcome.published:
            click.echo(f"{outcome.name} failed at {outcome.step}: {outcome.cause}", err=True)
    click.echo(counted(outcomes))
    if outcomes and outcomes[0].folder and not outcomes[0].name.startswith("confidential"):
        click.echo(str(outcomes[0].folder / "index.html"))
    if any(o.published and o.name.startswith("confidential") for o in outcomes):
        click.echo(str(reports / "confidential" / quarter))
    sys.exit(tools.ALL_WELL if all(o.published for o in outcomes) else tools.SOME_FAILED)


def _made(
    folder: Path,
    quarter: str,
    profile: str,
    register: Path,
    secret: Path | None,
    reports: Path,
    workers: int | None,
    no_confidential: bool,
    options: dict[str, Any],
    steps: _Steps,
) -> list[BenchmarkOutcome]:
    """All reports that are asked for; stops where nothing can be made."""
    from sqmodel.reporting.kernels.manager import kernels

    hands = workers or (os.cpu_count() or 1) + 1
    # Kernels load their libraries while this process loads its own and takes in the submissions.
    with nullcontext() if options["scheduler"] else kernels(ahead=hands):
        from sqmodel.reporting.benchmark_inputs import NothingAccepted, plan_benchmark
        from sqmodel.reporting.benchmark_run import BenchmarkSettings, make_benchmark

        settings = BenchmarkSettings(
            workers=hands, scheduler=options["scheduler"], seconds=options["timeout"], force=options["force"],
            only=options["only"], confidential=not no_confidential, draws=options["draws"], seed=options["seed"],
        )  # fmt: skip
        try:
            plan = plan_benchmark(folder, quarter, profile, register, secret)
            return make_benchmark(plan, reports, settings=settings, compared=steps.compared, report=steps.report)
        except NothingAccepted as error:
            for line in error.refused:
                click.echo(line, err=True)
            tools.stop(error)
        except UnfinishedError as error:
            click.echo(str(error), err=True)
            sys.exit(tools.SOME_FAILED)
        except SqmodelError as error:
            tools.stop(error)


class _Steps:
    """What is said while the run goes on: who was refused, and each report as it ends."""

    def __init__(self) -> None:
        self.screen = Screen([], {})
        self.screen.live = False
        self.ended = 0

    def compared(self, found: Compared) -> None:
        """The receipts, before any page is made."""
        from sqmodel.reporting.benchmark_inputs import refusals

        receipts = found.intake.receipts
        for line in refusals(receipts):
            click.echo(line, err=True)
        click.echo(f"{int(receipts['accepted'].sum())} of {len(receipts)} files accepted; {found.benchmark!r}")

    def report(self, name: str, step: str) -> None:
        """A report has reached a step."""
        self.screen.states.setdefault(name, "run")
        self.ended += step in ("done", "unchanged")
        self.screen.report(name, step)
