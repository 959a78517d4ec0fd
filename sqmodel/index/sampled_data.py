"""Data, samples and judges put together: columns that only a sample has, and weights that only judges gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from sqmodel.errors import CompositeError, Problem
from sqmodel.index.judgements import judge_weights
from sqmodel.index.samples import JudgeSample, Sample
from sqmodel.index.tree import IndexTree
from sqmodel.operations.records import Records

JUDGES = "judges"


def judged_tree(
    judgements: Records | pd.DataFrame | None, tree: IndexTree, gate: float
) -> tuple[JudgeSample | None, IndexTree]:
    """The judges, and the tree with their weights.

    Raises
    ------
    CompositeError
        Comparisons that `judge_weights` refuses, or a single judge.
    """
    if judgements is None:
        return None, tree
    told = judge_weights(judgements, tree=tree, gate=gate)
    alone = told.branches.index[told.branches["judges"] < 2]
    if len(alone) == len(told.branches):
        problems = ["expected two judges or more of a branch, found one: nothing could be drawn again"]
        raise CompositeError(JUDGES, problems, "put the judge's weights into the tree")
    frame = judgements.frame if isinstance(judgements, Records) else judgements
    judges = JudgeSample(JUDGES, frame, tree)
    weight = {c: float(w) for branch, own in judges.values().items()
            for c, w in zip(tree.children(branch), own, strict=True)}  # fmt: skip
    nodes = tuple(n.model_copy(update={"weight": weight.get(n.code, n.weight)}) for n in tree.nodes)
    changed = IndexTree(name=tree.name, version=tree.version, title=tree.title, weights=tree.weights, nodes=nodes)
    return JudgeSample(JUDGES, frame, changed), changed


def complete_from_samples(data: pd.DataFrame, tree: IndexTree, samples: Sequence[Sample]) -> pd.DataFrame:
    """The data with the columns that only a sample has.

    Raises
    ------
    CompositeError
        Samples that do not go with the data.
    """
    data = data.set_axis(data.index.astype(str))
    twice = data.index[data.index.duplicated()].unique()
    if len(twice):
        told = Problem("expected every unit once, found it again", tuple(map(str, twice)))
        raise CompositeError(tree.name, [told], "correct the data")
    wanted = {*tree.indicators, *(tree.node(c).denominator for c in tree.indicators)}
    problems: list[Problem | str] = []
    taken: dict[str, str] = {}
    for sample in samples:
        strange = [c for c in sample.columns if c not in wanted]
        problems += [f"{sample.name}: expected columns of the tree, found {c!r}" for c in strange]
        for column in sample.columns:
            if column in taken:
                also = f"found {column!r} in {taken[column]!r} too"
                problems.append(f"{sample.name}: expected a column of one sample, {also}")
            taken[column] = sample.name
        unknown = tuple(u for u in sample.units if u not in data.index)
        if unknown:
            problems.append(Problem(f"{sample.name}: expected units of the data, found others", unknown))
            continue
        values = sample.values()
        new = [c for c in sample.columns if c not in data]
        data = data.join(values[new]) if new else data
        problems += _apart(sample, values, data)
    if problems:
        remedy = "correct the samples or the data; a column that a sample gives may be left out of the data"
        raise CompositeError(tree.name, problems, remedy)
    return data


def _apart(sample: Sample, values: pd.DataFrame, data: pd.DataFrame) -> Iterator[Problem]:
    """Values of the data that are not what the sample's rows give."""
    for column in sample.columns:
        given = pd.to_numeric(data.loc[list(values.index), column], errors="coerce")
        off = ~np.isclose(given, values[column], rtol=1e-6, atol=1e-9, equal_nan=True)
        if off.any():
            shown = tuple(f"{u} ({g!r}, not {v!r})" if f"{g:g}" == f"{v:g}" else f"{u} ({g:g}, not {v:g})"
                          for u, g, v in zip(
                values.index[off], given[off].tolist(), values.loc[off, column].tolist(), strict=True))  # fmt: skip
            yield Problem(f"{column}: expected the values that {sample.name} gives, found others", shown)
