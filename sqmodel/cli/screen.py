"""What a run shows while it works: lines down, quarters across, each report with its step and time."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

ENDS = ("done", "failed", "unchanged")
WAITING = "waiting"


class Screen:
    """The matrix of a run: a table that lives in a terminal, lines of text elsewhere.

    Parameters
    ----------
    names : sequence of str
        Quarter and line of each report.
    states : dict
        What is known of a report from the start: ``run``, ``unchanged`` or ``bad data``.
    """

    def __init__(self, names: Sequence[str], states: dict[str, str]) -> None:
        self.states = {name: states.get(name, "run") for name in names}
        self.since: dict[str, float] = {}
        self.live = sys.stdout.isatty()

    def watching(self) -> AbstractContextManager[Any]:
        """Show the table and keep it true while the block runs."""
        if not self.live:
            self._print_matrix()
            return nullcontext()
        from rich.live import Live

        for name, state in self.states.items():
            if state == "run":
                self.states[name] = WAITING
        return Live(get_renderable=self.table, refresh_per_second=5)

    def report(self, name: str, step: str) -> None:
        """A report has reached a step."""
        now = time.monotonic()
        if step.startswith("execute") and not self.states[name].startswith("execute"):
            self.since[name] = now
        self.states[name] = step
        if step in ENDS:
            taken = f"  {now - self.since[name]:.1f} s" if name in self.since else ""
            self.states[name] = f"{step}{taken}"
            self.since.pop(name, None)
            if not self.live:
                click.echo(f"  {step:<9} {name}{taken}")

    def table(self) -> Table:
        """The matrix as it is now."""
        from rich.table import Table

        lines, quarters = self._axes()
        table = Table("", *quarters, box=None, pad_edge=False)
        for line in lines:
            table.add_row(line, *(self._cell(f"{quarter}/{line}") for quarter in quarters))
        return table

    def _cell(self, name: str) -> str:
        state = self.states.get(name, "")
        if name in self.since:
            return f"{state.replace('execute', 'cell')}  {time.monotonic() - self.since[name]:.0f} s"
        colour = {"failed": "red", "bad data": "red", "done": "green"}.get(state.split("  ")[0])
        return f"[{colour}]{state}[/]" if colour else state

    def _axes(self) -> tuple[list[str], list[str]]:
        parts = [name.split("/", 1) for name in self.states]
        return list(dict.fromkeys(line for _, line in parts)), sorted({quarter for quarter, _ in parts})

    def _print_matrix(self) -> None:
        lines, quarters = self._axes()
        first = max(len(line) for line in lines)
        widths = [max(len(q), *(len(self.states.get(f"{q}/{line}", "")) for line in lines)) for q in quarters]
        click.echo("  ".join([" " * first, *(q.ljust(w) for q, w in zip(quarters, widths, strict=True))]).rstrip())
        for line in lines:
            cells = (self.states.get(f"{q}/{line}", "").ljust(w) for q, w in zip(quarters, widths, strict=True))
            click.echo("  ".join([line.ljust(first), *cells]).rstrip())
