"""What deserves doubt about the replicates of an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqmodel.index.replicates import Design

Floats = npt.NDArray[np.float64]
MOST = 5


@dataclass(frozen=True)
class Drawn:
    """Replicates of one kind.

    Parameters
    ----------
    scores : ndarray, shape (replicates, units)
    constant : ndarray of int, shape (indicators,)
        Replicates in which an indicator does not vary.
    unanswered : dict of column to int
        Values drawn that were missing, for which the data's own stand in.
    """

    scores: Floats
    constant: npt.NDArray[np.intp]
    unanswered: dict[str, int]


def find_notes(design: Design, drawn: Mapping[str, Drawn | None]) -> Iterator[str]:
    """Notes on what was drawn, what could not be, and what is taken as known."""
    every, sampled = drawn["all"], drawn["sampling"]
    if every is not None:
        yield from _of_replicates(design, every)
    if design.rescaled:
        yield "alternatives on another scale are brought to the mean and the spread of the arrangement's own scores"
    if sampled is None:
        yield "no samples were given: confidence sets of ranks, and what sampling adds, are not known"
    else:
        yield from _of_samples(design)
    if drawn["method"] is None:
        yield "no alternatives were given: what other choices would change is not known"


def _of_replicates(design: Design, every: Drawn) -> Iterator[str]:
    count = len(every.scores)
    lost = int(np.isnan(every.scores).any(axis=1).sum())
    if lost:
        yield f"{lost:,} of {count:,} replicates leave a unit without a score: ranks are of the others"
    for code, times in zip(design.tree.indicators, every.constant, strict=True):
        if times:
            yield f"{code}: does not vary in {times:,} of {count:,} replicates, and says nothing there"
    for column, times in every.unanswered.items():
        yield f"{column}: nobody answered in {times:,} draws of a unit, in which the data's own value stands in"


def _of_samples(design: Design) -> Iterator[str]:
    for sample in design.samples:
        if sample.fixed:
            yield f"{sample.name}: nothing to draw from for {_listed(sample.fixed)}, whose values are taken as known"
    covered = {c for s in design.samples for c in s.columns}
    columns = [str(c) for c in design.data.columns if str(c) not in covered]
    if design.samples and columns:
        yield f"taken as known, without a sample: {_listed(columns)}"
    units = [str(u) for u in design.data.index if not any(str(u) in s.units for s in design.samples)]
    if design.samples and units:
        yield f"units without a sample, taken as known: {_listed(units)}"
    kinds = {kind for kind, _ in design.options["normalisation"]} - {"goalposts"}
    if design.samples and kinds:
        yield ("normalised by the units themselves: a new sample moves the ends of the scale too, so that intervals of "
               "the first and the last units may be too narrow")  # fmt: skip


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
