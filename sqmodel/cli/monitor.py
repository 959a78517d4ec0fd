"""The command that watches the key nodes: monitor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sqmodel.cli import tools
from sqmodel.errors import SqmodelError

if TYPE_CHECKING:
    from sqmodel.operations.monitor import Monitor
    from sqmodel.operations.monitor_snapshot import Snapshot


@click.command()
@click.argument("params", type=click.Path(path_type=Path))
@click.option("--every", type=click.FloatRange(min=1), default=60.0, show_default=True, metavar="SECONDS",
              help="How often new events are read and the page is drawn.")  # fmt: skip
@click.option("--once", is_flag=True, help="Read, draw and end.")
@click.option("--on-alert", "command", default="", metavar="CMD",
              help="Run CMD for every alert, with the alert (JSON) on standard input.")  # fmt: skip
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="A case is at risk once the chance of making its limit is below.")  # fmt: skip
@click.option("--output", "-o", type=click.Path(path_type=Path, file_okay=False), default=None,
              help="Folder of page, alerts.jsonl and state; reports/monitor/NAME by default.")  # fmt: skip
def monitor(params: Path, every: float, once: bool, command: str, threshold: float, output: Path | None) -> None:
    """Watch the key nodes of PARAMS as events come in: one page that stays fresh, and alerts, once each."""
    from sqmodel.operations.monitor import follow
    from sqmodel.operations.monitor_alerts import parse_command
    from sqmodel.reporting.monitor_params import load_watch

    folder = output or Path("reports") / "monitor" / params.stem
    try:
        watch = load_watch(params)
        words = parse_command(command) if command else None
        watching = watch.monitor(output=folder, command=words, threshold=threshold)
        _warm()
        told = _Told(folder)
        for snapshot in follow(watching, every):
            watch.page(snapshot, every=every).write(folder)
            told.tick(snapshot)
            told.failures(watching, every)
            if once:
                sys.exit(tools.SOME_FAILED if snapshot.stale_since else tools.ALL_WELL)
    except SqmodelError as error:
        tools.stop(error)
    except KeyboardInterrupt as error:
        if once or isinstance(error, tools.Terminated):
            raise
        click.echo("stopped")
        sys.exit(tools.ALL_WELL)


def _warm() -> None:
    """Load what is slow to load now: the first page is to be as fresh as the others."""
    import statsmodels.duration.survfunc  # noqa: F401

    from sqmodel.reporting import fonts, monitor_page  # noqa: F401

    fonts.prepare()


class _Told:
    """Says what has changed, so that a monitor that runs for months fills no log."""

    def __init__(self, folder: Path) -> None:
        self.page, self.alerts, self.cause = folder / "index.html", -1, ""

    def tick(self, snapshot: Snapshot) -> None:
        """A line where there are new alerts, or where the source went away or came back."""
        alerts = int(snapshot.counts["alerts"])
        if self.alerts < 0:
            click.echo(str(self.page))
        if snapshot.cause != self.cause:
            click.echo(f"{snapshot.at} {snapshot.cause or 'events can be read again'}", err=True)
        if alerts != self.alerts:
            fresh = "" if self.alerts < 0 else f", {alerts - self.alerts} new"
            click.echo(f"{snapshot._headline()}; alerts: {alerts}{fresh}")
        self.alerts, self.cause = alerts, snapshot.cause

    @staticmethod
    def failures(watching: Monitor, every: float) -> None:
        """Hand over alerts, for half of the time there is, and say which were not taken."""
        for problem in watching.deliver(every / 2):
            click.echo(f"on-alert: {problem}; tried again at the next tick", err=True)
