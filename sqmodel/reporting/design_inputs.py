"""Inputs of a design study, read and checked as its notebook will need them: every problem before anything is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from sqmodel.errors import CompositeError, InputError, gathered
from sqmodel.index.composite import Composite, build_composite
from sqmodel.index.judgements import read_judgements
from sqmodel.index.sampled_data import complete_from_samples
from sqmodel.index.samples import ErrorSample, RowSample, Sample
from sqmodel.index.tree import IndexTree, load_tree
from sqmodel.index.tree_weights import derive_tree_weights
from sqmodel.index.uncertainty import Uncertainty, assess_uncertainty
from sqmodel.operations.records import Column, Records, read_headers, read_records
from sqmodel.reporting.design_params import DesignStudy, SampleParams
from sqmodel.reporting.sources import found_path, is_path

T = TypeVar("T")
FEWEST_DRAWS = 100


@dataclass
class _Reader:
    """Reads one input after another, and keeps what is wrong with each."""

    errors: list[InputError] = field(default_factory=list)

    def get(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T | None:
        try:
            return function(*arguments, **options)
        except InputError as error:
            self.errors.append(error)
            return None


@dataclass(frozen=True)
class DesignInputs:
    """What a design study is made of.

    Parameters
    ----------
    tree : IndexTree
        With the weights of its file.
    data : DataFrame, units x columns
        Indicators and denominators, also those that only a sample gives; the groups.
    samples : tuple of Sample
    judgements : Records, optional
    """

    tree: IndexTree
    data: pd.DataFrame
    samples: tuple[Sample, ...] = ()
    judgements: Records | None = None


def read_inputs(study: DesignStudy) -> DesignInputs:
    """Read the tree and all files of a study.

    Raises
    ------
    InputError
        All problems of all files in one message, by file, row and column.
    """
    reader = _Reader()
    tree = reader.get(load_tree, str(found_path(study.tree)) if is_path(study.tree) else study.tree)
    rows = {s.name: reader.get(_rows, s, study.unit) for s in study.samples if s.rows}
    errors = {s.name: reader.get(_errors, s, study.unit) for s in study.samples if s.errors}
    judgements = reader.get(read_judgements, str(found_path(study.judgements))) if study.judgements else None
    data = reader.get(_units, study, tree) if tree is not None else None
    if tree is None or data is None or reader.errors:
        raise gathered(reader.errors, study.name)
    samples: list[Sample] = [s for s in rows.values() if s is not None]
    for name, frame in errors.items():
        if frame is not None and (sample := reader.get(_error_sample, name, frame, data)) is not None:
            samples.append(sample)
    order = [s.name for s in study.samples]
    samples.sort(key=lambda s: order.index(s.name))
    completed = reader.get(complete_from_samples, data, tree, samples) if not reader.errors else None
    if completed is None:
        raise gathered(reader.errors, study.name)
    return DesignInputs(tree, completed, tuple(samples), judgements)


def _units(study: DesignStudy, tree: IndexTree) -> pd.DataFrame:
    """The rows of the units; a column that a sample gives need not be there."""
    source = str(found_path(study.data))
    there = set(read_headers(source, what="units"))
    sampled = {c for s in study.samples for c in s.columns}
    below = [d for c in tree.indicators if (d := tree.node(c).denominator)]
    wanted = [c for c in dict.fromkeys([*tree.indicators, *below]) if c in there or c not in sampled]
    columns = [Column(study.unit, "text", filled=True), *(Column(c, "number") for c in wanted)]
    columns += [Column(study.groups, "text")] if study.groups else []
    frame = read_records(source, columns, what="units", unique=[study.unit]).frame
    return frame.set_index(study.unit)


def _rows(sample: SampleParams, unit: str) -> RowSample:
    unit = sample.unit or unit
    columns = [Column(unit, "text", filled=True), *(Column(c, "number") for c in sample.columns)]
    columns += [Column(sample.weight, "number", filled=True)] if sample.weight else []
    found = read_records(str(found_path(sample.rows)), columns, what=f"rows of {sample.name}").frame
    return RowSample(sample.name, found, unit=unit, columns=tuple(sample.columns), statistic=sample.statistic,
                     weight=sample.weight)  # fmt: skip


def _errors(sample: SampleParams, unit: str) -> pd.DataFrame:
    unit = sample.unit or unit
    columns = [Column(unit, "text", filled=True), *(Column(c, "number", low=0) for c in sample.columns)]
    found = read_records(str(found_path(sample.errors)), columns, what=f"errors of {sample.name}", unique=[unit])
    return found.frame.set_index(unit)


def _error_sample(name: str, errors: pd.DataFrame, data: pd.DataFrame) -> ErrorSample:
    absent = [f"expected a column of the data for its errors, found none of {c!r}" for c in errors if c not in data]
    strange = sorted(set(errors.index) - set(data.index))
    absent += [f"expected errors of units of the data, found those of {u!r}" for u in strange]
    if absent:
        raise CompositeError(name, absent, "correct the errors of this sample, or add the column to the data")
    return ErrorSample(name, data.loc[errors.index, list(errors.columns)], errors)


@dataclass(frozen=True)
class Arranged:
    """An index as the study arranges it.

    Parameters
    ----------
    tree : IndexTree
        With the weights that the study chose.
    composite : Composite
    given : Composite
        With the weights of the tree's file.
    others : dict of method to IndexTree
        The tree with the weights of the alternatives.
    """

    tree: IndexTree
    composite: Composite
    given: Composite
    others: dict[str, IndexTree]


def arrange(study: DesignStudy, inputs: DesignInputs) -> Arranged:
    """The composite with the weights of the study.

    Raises
    ------
    CompositeError
        Whatever was asked for and cannot be done; of weights, all methods at once.
    """
    given = build_composite(inputs.data, inputs.tree, arrangement=study.arrangement, groups=study.groups)
    reader = _Reader()
    trees = {}
    for method in dict.fromkeys([study.weighting, *study.alternatives.weights]):
        options = {"judgements": inputs.judgements} if method == "judged" else {}
        found = reader.get(
            derive_tree_weights, given, inputs.tree, method=method, level=study.level, draws=study.draws,
            rng=study.seed, **options,
        )  # fmt: skip
        if found is not None:
            trees[method] = found.apply(inputs.tree)
    if reader.errors:
        raise gathered(reader.errors, study.name)
    tree = trees[study.weighting]
    composite = build_composite(inputs.data, tree, arrangement=study.arrangement, groups=study.groups)
    return Arranged(tree, composite, given, {m: t for m, t in trees.items() if m != study.weighting})


def assess(study: DesignStudy, inputs: DesignInputs, arranged: Arranged, *, fewest: bool = False) -> Uncertainty:
    """The uncertainty of the index; with `fewest` draws only to see that it can be told."""
    return assess_uncertainty(
        inputs.data, arranged.tree, arrangement=study.arrangement, groups=study.groups, samples=inputs.samples,
        alternatives=study.other_choices(arranged.others),
        judgements=inputs.judgements if study.weighting == "judged" else None,
        draws=FEWEST_DRAWS if fewest else study.draws, evaluations=0 if fewest else study.evaluations,
        level=study.level, rng=study.seed,
    )  # fmt: skip


def check_inputs(study: DesignStudy) -> DesignInputs:
    """Read everything and go through all steps with few draws, so that the notebook can run to its end.

    Raises
    ------
    InputError
        All problems of the files at once; or all of the composite, the weights and the alternatives.
    """
    inputs = read_inputs(study)
    assess(study, inputs, arrange(study, inputs), fewest=True)
    return inputs
