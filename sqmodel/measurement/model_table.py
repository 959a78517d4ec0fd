"""From the relations a user wrote to every cell of the model's matrices, by lavaan's rules for `cfa`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import numpy as np

from sqmodel.measurement.model_check import check_model
from sqmodel.measurement.syntax import Row
from sqmodel.numerics.sem.model import Block, Matrix

T = TypeVar("T")


class Cell(NamedTuple):
    """One cell of one group's matrices."""

    lhs: str
    op: str
    rhs: str
    group: int
    matrix: Matrix
    row: int
    column: int
    free: int
    value: float
    start: float
    label: str


@dataclass(frozen=True)
class Options:
    """How `cfa` completes a model.

    Attributes
    ----------
    std_lv : bool
        Identify factors by variances of 1 instead of first loadings of 1.
    orthogonal : bool
        No covariances of factors.
    mean_structure : bool
    group_equal : tuple of str
        lavaan's names: loadings, intercepts, residuals, means, lv.variances, lv.covariances, thresholds.
    group_partial : tuple of (lhs, op, rhs)
        Parameters released from `group_equal`.
    categories : dict
        Number of categories of each ordered item.
    """

    std_lv: bool = False
    orthogonal: bool = False
    mean_structure: bool = False
    group_equal: tuple[str, ...] = ()
    group_partial: tuple[tuple[str, str, str], ...] = ()
    categories: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """All cells of all groups.

    Attributes
    ----------
    cells : tuple of Cell
    items, factors : tuple of str
    groups : int
    q : int
        Free parameters, equal ones counted once.
    options : Options
    """

    cells: tuple[Cell, ...]
    items: tuple[str, ...]
    factors: tuple[str, ...]
    groups: int
    q: int
    options: Options

    def blocks(self) -> list[Block]:
        """What the numerics fit, a block a group."""
        thresholds = [i for i, item in enumerate(self.items) for _ in range(self.options.categories.get(item, 1) - 1)]
        out = []
        for g in range(self.groups):
            own = [c for c in self.cells if c.group == g]
            matrix, row, column, free = (
                np.array(part, dtype=np.intp)
                for part in zip(*((c.matrix, c.row, c.column, c.free) for c in own), strict=True)
            )
            value = np.array([c.value for c in own])
            out.append(
                Block(
                    len(self.items),
                    len(self.factors),
                    matrix,
                    row,
                    column,
                    value,
                    free,
                    np.array(thresholds, dtype=np.intp),
                )
            )
        return out

    def members(self, factor: str) -> list[str]:
        """Items (or factors) on which the factor loads."""
        return [c.rhs for c in self.cells if c.op == "=~" and c.lhs == factor and c.group == 0]

    def released(self) -> Table:
        """Every cell with a number of its own: the space of score tests of equality constraints."""
        number, cells = 0, []
        for c in self.cells:
            cells.append(c._replace(free=number) if c.free >= 0 else c)
            number += c.free >= 0
        return replace(self, cells=tuple(cells), q=number)


def complete(rows: Sequence[Row], groups: int, options: Options) -> Table:
    """The whole model: what was written, and what lavaan's `cfa` adds.

    Residual variances and variances of factors are free; factors that no other factor explains covary; the first
    loading of a factor is 1 (or, with `std_lv`, its variance); intercepts are free and means of factors 0. With
    intercepts (thresholds) equal over groups the factor means of all but the first group are free, and with `std_lv`
    and equal loadings their variances.

    Raises
    ------
    InputError
        With all problems: variables that are no indicators, modifiers for another number of groups, relations that no
        cell holds, factors that load on themselves through others.
    """
    return _Builder(rows, groups, options).table()


class _Builder:
    def __init__(self, rows: Sequence[Row], groups: int, options: Options) -> None:
        self.groups, self.options = groups, options
        self.factors = tuple(dict.fromkeys(r.lhs for r in rows if r.op == "=~"))
        indicators = dict.fromkeys(r.rhs for r in rows if r.op == "=~")
        self.items = tuple(name for name in indicators if name not in self.factors)
        self.explained = [name for name in indicators if name in self.factors]
        self.written: dict[tuple[str, str, str], Row] = {}
        for row in rows:
            self.written[self._key(row.lhs, row.op, row.rhs)] = row
        check_model(rows, self.items, self.factors, groups, options)
        self.fixed_labels = self._labels_of_markers()
        self.released = {self._key(*relation) for relation in options.group_partial}
        self.cells: list[Cell] = []
        self.numbers: dict[str, int] = {}
        self.q = 0

    def _labels_of_markers(self) -> dict[str, float]:
        """Labels of first loadings, which stay 1 as in lavaan, and so do all that share the label."""
        if self.options.std_lv:
            return {}
        first = {row.lhs: row for row in reversed(list(self.written.values())) if row.op == "=~"}
        return {label: 1.0 for row in first.values() if not row.fixed for label in row.label if label}

    def _key(self, lhs: str, op: str, rhs: str) -> tuple[str, str, str]:
        if op != "~~":
            return lhs, op, rhs
        order = {name: k for k, name in enumerate((*self.items, *self.factors))}
        return (lhs, op, rhs) if order.get(lhs, 0) <= order.get(rhs, 0) else (rhs, op, lhs)

    def table(self) -> Table:
        for g in range(self.groups):
            self._loadings(g)
            self._thresholds(g)
            self._covariances(g)
            self._means(g)
        return Table(tuple(self.cells), self.items, self.factors, self.groups, self.q, self.options)

    def _add(
        self, key: tuple[str, str, str], g: int, place: tuple[Matrix, int, int], default: float, equal: str = ""
    ) -> None:
        """A cell by what was written, else fixed at `default` or free where that is NaN."""
        row = self.written.get(key)
        fixed = _of_group(row.fixed if row else (), g)
        start = _of_group(row.start if row else (), g)
        label = _of_group(row.label if row else (), g) or ""
        if fixed is None:
            fixed = self.fixed_labels.get(label, default)
        kept = equal in self.options.group_equal and key not in self.released
        if not label and kept and math.isnan(fixed) and self.groups > 1:
            label = f".{key[0]}{key[1]}{key[2]}"
        number = -1
        if math.isnan(fixed):
            number = self.numbers.setdefault(label, self.q) if label else self.q
            self.q += number == self.q
        self.cells.append(
            Cell(*key, g, *place, number, 0.0 if math.isnan(fixed) else fixed, math.nan if start is None else start,
                 label)
        )  # fmt: skip

    def _loadings(self, g: int) -> None:
        firsts = set()
        for key in self.written:
            if key[1] != "=~":
                continue
            first = key[0] not in firsts
            firsts.add(key[0])
            default = 1.0 if first and not self.options.std_lv else math.nan
            column = self.factors.index(key[0])
            if key[2] in self.factors:
                place = (Matrix.BETA, self.factors.index(key[2]), column)
            else:
                place = (Matrix.LOADING, self.items.index(key[2]), column)
            self._add(key, g, place, default, "loadings")

    def _thresholds(self, g: int) -> None:
        position = 0
        for i, item in enumerate(self.items):
            count = self.options.categories.get(item, 1) - 1
            for t in range(count):
                self._add((item, "|", f"t{t + 1}"), g, (Matrix.THRESHOLD, position, 0), math.nan, "thresholds")
                position += 1
            if count:
                self._add((item, "~*~", item), g, (Matrix.SCALE, i, i), 1.0)

    def _covariances(self, g: int) -> None:
        for i, item in enumerate(self.items):
            if item not in self.options.categories:
                self._add((item, "~~", item), g, (Matrix.RESIDUAL_COV, i, i), math.nan, "residuals")
        for j, factor in enumerate(self.factors):
            explained = factor in self.explained
            fixed = self.options.std_lv and not (g > 0 and "loadings" in self.options.group_equal)
            default = 1.0 if fixed else math.nan
            self._add(
                (factor, "~~", factor), g, (Matrix.FACTOR_COV, j, j), default, "" if explained else "lv.variances"
            )
        outer = [f for f in self.factors if f not in self.explained]
        auto = [] if self.options.orthogonal else [(a, b) for k, a in enumerate(outer) for b in outer[k + 1 :]]
        pairs = dict.fromkeys((a, "~~", b) for a, b in auto)
        pairs |= dict.fromkeys(key for key in self.written if key[1] == "~~" and key[0] != key[2])
        for key in pairs:
            names = self.factors if key[0] in self.factors and key[2] in self.factors else self.items
            matrix = Matrix.FACTOR_COV if names is self.factors else Matrix.RESIDUAL_COV
            a, b = names.index(key[0]), names.index(key[2])
            equal = "lv.covariances" if matrix is Matrix.FACTOR_COV else "residuals"
            self._add(key, g, (matrix, max(a, b), min(a, b)), math.nan, equal)

    def _means(self, g: int) -> None:
        written = any(key[1] == "~1" for key in self.written)
        if not (self.options.mean_structure or written):
            return
        for i, item in enumerate(self.items):
            default = 0.0 if item in self.options.categories else math.nan
            self._add((item, "~1", ""), g, (Matrix.INTERCEPT, i, 0), default, "intercepts")
        equal = {"intercepts", "thresholds"} & set(self.options.group_equal)
        for j, factor in enumerate(self.factors):
            freed = g > 0 and equal and "means" not in self.options.group_equal and factor not in self.explained
            self._add((factor, "~1", ""), g, (Matrix.FACTOR_MEAN, j, 0), math.nan if freed else 0.0)


def _of_group(given: tuple[T, ...], g: int) -> T | None:
    """The modifier for a group: one for all, or one each."""
    if not given:
        return None
    return given[0] if len(given) == 1 else given[g]
