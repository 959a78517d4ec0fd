"""What several commands share: options, plans, and how they stop."""

from __future__ import annotations

import atexit
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from sqmodel.errors import ParamsError, SqmodelError
from sqmodel.reporting import interrupts
from sqmodel.reporting.sources import expand_quarters, params_in

if TYPE_CHECKING:
    from sqmodel.reporting.plan import Task

Command = TypeVar("Command", bound=Callable[..., Any])

ALL_WELL, SOME_FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class Terminated(KeyboardInterrupt):
    """A scheduler asked the run to end: the same clean-up as Ctrl-C."""


class Commands(click.Group):
    """Commands that end on Ctrl-C with status 130 and on SIGTERM with 143, after the same clean-up."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        interrupts.forget()
        atexit.register(_deaf)
        handlers = {signal.SIGINT: _interrupt, signal.SIGTERM: _end}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            return super().invoke(ctx)
        except Terminated:
            ctx.exit(TERMINATED)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            interrupts.forget()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    interrupts.ask(KeyboardInterrupt)
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> NoReturn:
    interrupts.ask(Terminated)
    raise Terminated


def _deaf() -> None:
    """The command has ended and said how: a signal that comes while Python tidies up would only change its status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def params_arguments(function: Command) -> Command:
    """PARAMS and --quarter."""
    paths = click.argument("params", nargs=-1, type=click.Path(path_type=Path))
    quarter = click.option(
        "--quarter", "-q", "quarters", multiple=True, metavar="QUARTER",
        help="2026Q3, or a range such as 2025Q3..2026Q3; replaces the one in the params. May be repeated.",
    )  # fmt: skip
    decorated: Command = paths(quarter(function))
    return decorated


def reports_option(function: Command) -> Command:
    """--reports."""
    option = click.option(
        "--reports", type=click.Path(path_type=Path), default=Path("reports"), show_default=True,
        help="Folder of the published pages.",
    )  # fmt: skip
    decorated: Command = option(function)
    return decorated


def stop(*found: SqmodelError) -> NoReturn:
    """Say what is wrong and end with the status of bad input."""
    for error in found:
        click.echo(str(error), err=True)
    sys.exit(BAD_INPUT)


def params_files(params: tuple[Path, ...]) -> list[Path]:
    """The params files that were named, or all of the project's.

    Raises
    ------
    ParamsError
        There are none.
    """
    paths = list(params) or params_in(Path("params"))
    if not paths:
        raise ParamsError("params", ["expected params/*.yaml here, found none"], "run `sqmodel new DIR` first")
    return paths


def tasks_of(params: tuple[Path, ...], quarters: tuple[str, ...]) -> list[Task]:
    """All reports that are asked for; stops on bad params."""
    from sqmodel.reporting.plan import make_plan

    try:
        return make_plan(params_files(params), expand_quarters(quarters))
    except SqmodelError as error:
        stop(error)


def distinct(failed: dict[str, SqmodelError]) -> list[SqmodelError]:
    """Each message once, however many quarters it spoils."""
    return list({str(e): e for e in failed.values()}.values())
