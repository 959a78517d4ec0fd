"""Commands that look at what is published: verify, diff."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sqmodel.cli import tools
from sqmodel.errors import SqmodelError

if TYPE_CHECKING:
    from sqmodel.reporting.comparison import Comparison
    from sqmodel.reporting.verification import Verification


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--rerun", "again", is_flag=True, help="Make every page again and compare all its numbers.")
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that holds params/, if the pages are not inside it.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=1e-8,
    show_default=True,
    help="Relative difference of two numbers that still counts as equal.",
)
@click.option("--timeout", type=click.FloatRange(min=1), default=600.0, help="Seconds that a report may take.")
def verify(place: Path, again: bool, project: Path | None, tolerance: float, timeout: float) -> None:
    """Check that the pages at PLACE (reports/2026Q3, say) are what was published, and their inputs what they were.

    PLACE is a reports folder with its confidential reports, a quarter's folder in it, or a page's own.
    """
    from sqmodel.reporting import verification

    def report(one: Verification) -> None:
        state = "differs" if one.problems else one.rerun or "intact"
        click.echo(f"  {state:<9} {one.name}")
        for problem in one.problems:
            click.echo(f"      {problem}", err=True)
        for note in one.notes:
            click.echo(f"      note: {note}")

    try:
        with _kernels() if again else nullcontext():
            found = verification.verify_all(
                place, project, again=again, seconds=timeout, tolerance=tolerance, report=report
            )
    except SqmodelError as error:
        tools.stop(error)
    if left := verification.not_checked(place):
        click.echo(f"not checked: {left}", err=True)
    good = sum(not one.problems for one in found)
    click.echo(f"{good} of {len(found)} {'reproduced' if again else 'as published'}")
    sys.exit(tools.ALL_WELL if good == len(found) else tools.SOME_FAILED)


def _kernels() -> AbstractContextManager[Any]:
    from sqmodel.reporting.kernels.manager import kernels

    return kernels(ahead=1)


@click.command()
@click.argument("earlier")
@click.argument("later")
@tools.reports_option
def diff(earlier: str, later: str, reports: Path) -> None:
    """What changed between the published reports of two quarters: sqmodel diff 2026Q2 2026Q3."""
    from sqmodel.reporting.comparison import compare_quarters

    try:
        found = compare_quarters(reports, earlier, later)
    except SqmodelError as error:
        tools.stop(error)
    _print_changes(found, earlier, later)
    for line, sentences in found.restated.items():
        for sentence in sentences:
            click.echo(f"restated  {line} {sentence}")
    for line, quarter in found.only.items():
        click.echo(f"only in {quarter}: {line}")


def _print_changes(found: Comparison, earlier: str, later: str) -> None:
    rows = [("", "", earlier, later, "change", "interval", "")]
    for line in dict.fromkeys(c.line for c in found.changes):
        for c in (c for c in found.changes if c.line == line):
            words = ("up" if c.change > 0 else "down") if c.beyond_noise else "within noise"
            mark = "" if c.method == "as reported" else " *"
            rows.append((
                line if c.scope == "overall" else "", c.scope, f"{c.earlier:.1f}", f"{c.later:.1f}",
                f"{c.change:+.1f}", f"[{c.low:+.1f}, {c.high:+.1f}]{mark}", words,
            ))  # fmt: skip
    widths = [max(len(row[j]) for row in rows) for j in range(7)]
    for row in rows:
        left = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        right = [row[j].rjust(widths[j]) for j in range(2, 5)]
        click.echo("  ".join([*left, *right, row[5].ljust(widths[5]), row[6]]).rstrip())
    if any(c.method != "as reported" for c in found.changes):
        click.echo("* from the published standard errors: the later report compared itself with another quarter")
