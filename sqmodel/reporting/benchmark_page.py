"""The pages of an association's benchmark: the public report, and one confidential report for each institution.

Each method is what one cell of ``notebooks/benchmark.ipynb`` displays. Which of the two reports is meant the params
say: one that names an institution is that institution's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqmodel.benchmark.comparison import Benchmark
from sqmodel.reporting.blocks import Block
from sqmodel.reporting.payload import Payload

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_params import BenchmarkParams


@dataclass(frozen=True, repr=False)
class BenchmarkPage:
    """A comparison of institutions, ready to be displayed in both languages.

    Parameters
    ----------
    params : BenchmarkParams
        With `institution` empty, the public report.
    benchmark : Benchmark
        See `sqmodel.benchmark.assess.assess_benchmark`.
    """

    params: BenchmarkParams
    benchmark: Benchmark

    def __repr__(self) -> str:
        return f"<BenchmarkPage {self.benchmark.quarter}: {self.params.institution or 'public'}>"

    def headline(self) -> Block:
        """What the quarter says, in three sentences."""
        return self._section("headline")

    def overview(self) -> Block:
        """Who takes part, how much they differ, and by which rules they are compared."""
        return self._section("overview")

    def standing(self) -> Block:
        """Scores with intervals, and which ranks are sure."""
        return self._section("standing")

    def dimensions(self) -> Block:
        """Mean, spread and best practice of every branch."""
        return self._section("dimensions")

    def operations(self) -> Block:
        """What was done for clients, and how long they waited."""
        return self._section("operations")

    def peers(self) -> Block:
        """Groups of institutions that are alike."""
        return self._section("peers")

    def comparability(self) -> Block:
        """Whether the same answer means the same everywhere."""
        return self._section("comparability")

    def limits(self) -> Block:
        """What the data cannot say."""
        return self._section("limits")

    def provenance(self) -> Block:
        """Rules, method, settings and versions."""
        return self._section("provenance")

    def record(self) -> Payload:
        """The numbers of the page for machines: results.json and tables.xlsx are made of it."""
        found = self._call("record")
        assert isinstance(found, Payload)
        return found

    def _section(self, name: str) -> Block:
        found = self._call(name)
        assert isinstance(found, Block)
        return found

    def _call(self, name: str) -> Any:
        kind = "benchmark_own" if self.params.institution else "benchmark_public"
        return getattr(import_module(f"sqmodel.reporting.{kind}"), name)(self)
