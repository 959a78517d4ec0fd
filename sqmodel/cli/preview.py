"""The researcher's loop: preview."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from sqmodel.cli import tools
from sqmodel.errors import SqmodelError


@click.command()
@click.argument("params", type=click.Path(path_type=Path))
@click.option("--quarter", "-q", default="", metavar="QUARTER", help="Replaces the one in the params.")
@click.option("--watch", is_flag=True, help="Build again whenever params, data, notebook or questionnaire change.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="Where to write the page; reports/preview/NAME.html by default.")  # fmt: skip
@click.option("--notebook", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Another notebook.")
@click.option("--timeout", type=click.FloatRange(min=1), default=600.0, help="Seconds that the page may take.")
def preview(
    params: Path, quarter: str, watch: bool, output: Path | None, notebook: Path | None, timeout: float
) -> None:
    """Build the page of one params file without publishing it; with --watch after every change."""
    from sqmodel.reporting import preview as loop
    from sqmodel.reporting.kernels.manager import kernels

    target = output or Path("reports") / "preview" / f"{params.stem}.html"
    try:
        with kernels(ahead=2):
            builds = loop.rebuild(params, quarter, target, notebook=notebook, seconds=timeout, changes=_changes)
            for built in builds:
                _print(built)
                if not watch:
                    sys.exit(tools.SOME_FAILED if built.cause else tools.ALL_WELL)
    except SqmodelError as error:
        tools.stop(error)
    except KeyboardInterrupt as error:
        if not watch or isinstance(error, tools.Terminated):
            raise
        click.echo("stopped")
        sys.exit(tools.ALL_WELL)


def _print(built: object) -> None:
    from sqmodel.reporting.preview import Preview

    assert isinstance(built, Preview)
    for note in built.notes:
        click.echo(f"warns: {note}", err=True)
    if built.cause:
        click.echo(f"not built ({built.seconds:.1f} s): {built.cause}", err=True)
    else:
        click.echo(f"{built.page}  {built.seconds:.1f} s")


def _changes(files: set[Path]) -> Iterator[object]:
    """Whenever one of the files was written, removed or replaced."""
    import watchfiles

    folders = {f.parent for f in files if f.parent.is_dir()}
    names = {str(f) for f in files}
    yield from watchfiles.watch(
        *folders, watch_filter=lambda kind, path: path in names, recursive=False, debounce=100, step=20
    )
