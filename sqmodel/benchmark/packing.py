"""Packing: a submission as tables, and tables as a submission."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from sqmodel.benchmark.content import (
    OVERALL,
    Context,
    Identity,
    Indicator,
    ItemCounts,
    ItemMoments,
    Ordinal,
    Score,
    Submission,
    Waiting,
    Withheld,
)
from sqmodel.benchmark.descriptor import Facts
from sqmodel.benchmark.tables import (
    CONTEXT,
    COUNTS,
    COVARIANCES,
    INDICATORS,
    MOMENTS,
    POLYCHORIC_COVARIANCES,
    POLYCHORICS,
    SCORE_COVARIANCES,
    SCORES,
    THRESHOLDS,
    WAITING,
    WITHHELD,
    Floats,
    Table,
    floats,
)
from sqmodel.errors import Problem
from sqmodel.measurement.moments import GroupMoments
from sqmodel.numerics.sem.model import lower

Cells = Mapping[str, list[list[str]]]
"""Columns of cells by table."""


def texts_of(submission: Submission) -> dict[str, bytes]:
    """The tables of a submission by path; of matrices the lower triangle."""
    dimensions = [s.scope for s in submission.scores[1:]]
    answers = [(c.item, k, count) for c in submission.counts for k, count in zip(c.categories, c.counts, strict=True)]
    moments = submission.moments
    items: Sequence[str] = moments.items if moments else ()
    found: dict[Table, list[Sequence[Any]]] = {
        COUNTS: _columns(answers, 3),
        MOMENTS: [items, moments.mean.tolist() if moments else []],
        COVARIANCES: [*_pairs(items), _triangle(moments.cov) if moments else []],
        SCORES: _columns(submission.scores, 4),
        SCORE_COVARIANCES: [*_pairs(dimensions), _triangle(submission.score_cov)],
        INDICATORS: _columns(submission.indicators, 6),
        WAITING: _columns(submission.waiting, 5),
        CONTEXT: _columns(submission.context, 3),
        WITHHELD: _columns(submission.withheld, 3),
    }
    if submission.ordinal:
        found |= _ordinal_columns(submission.ordinal)
    return {t.path: t.text(columns).encode("utf-8", "surrogatepass") for t, columns in found.items()}


def _ordinal_columns(ordinal: Ordinal) -> dict[Table, list[Sequence[Any]]]:
    moments = ordinal.moments
    item = [i for i, k in zip(ordinal.items, ordinal.categories, strict=True) for _ in range(k - 1)]
    found: dict[Table, list[Sequence[Any]]] = {
        THRESHOLDS: [item, moments.thresholds.tolist()],
        POLYCHORICS: [*_pairs(ordinal.items, diagonal=False), _triangle(moments.cov, diagonal=False)],
    }
    if moments.acov is not None:
        found[POLYCHORIC_COVARIANCES] = [_triangle(moments.acov)]
    return found


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _pairs(names: Sequence[str], *, diagonal: bool = True) -> list[list[str]]:
    """First and second names of a lower triangle, column by column."""
    row, column = lower(len(names), diagonal=diagonal)
    return [[names[k] for k in row.tolist()], [names[k] for k in column.tolist()]]


def _triangle(matrix: Floats, *, diagonal: bool = True) -> list[float]:
    row, column = lower(len(matrix), diagonal=diagonal)
    found: list[float] = np.asarray(matrix, dtype=np.float64)[row, column].tolist()
    return found


def _square(values: Floats, p: int, *, diagonal: bool = True) -> Floats:
    matrix = np.eye(p)
    row, column = lower(p, diagonal=diagonal)
    matrix[row, column] = matrix[column, row] = values
    return matrix


def misplaced(cells: Cells) -> list[Problem]:
    """Matrices that are not the triangles of what their tables list."""
    scopes = cells[SCORES.name][0]
    problems = []
    if scopes[:1] != [OVERALL]:
        problems.append(Problem(f"{SCORES.path}: expected {OVERALL} first, found {scopes[0] if scopes else 'no row'}"))
    return [
        *problems,
        *_misplaced(COVARIANCES, cells, cells[MOMENTS.name][0]),
        *_misplaced(SCORE_COVARIANCES, cells, scopes[1:]),
    ]


def misplaced_ordinal(cells: Cells, acov: Floats | None) -> list[Problem]:
    """The same of ordinal statistics; `acov` is the triangle of their covariance."""
    found = cells[THRESHOLDS.name][0]
    items = list(dict.fromkeys(found))
    problems = _misplaced(POLYCHORICS, cells, items, diagonal=False)
    if [i for i, _ in groupby(found)] != items:
        problems.append(Problem(f"{THRESHOLDS.path}: expected an item's thresholds one after the other, found others "
                                "between them"))  # fmt: skip
    m = len(found) + len(items) * (len(items) - 1) // 2
    if acov is not None and len(acov) != m * (m + 1) // 2:
        problems.append(Problem(f"{POLYCHORIC_COVARIANCES.path}: expected the lower triangle of {m} "
                                f"({m * (m + 1) // 2:,} rows), found {len(acov):,} rows"))  # fmt: skip
    return problems


def _misplaced(table: Table, cells: Cells, names: Sequence[str], *, diagonal: bool = True) -> list[Problem]:
    p, found = len(names), cells[table.name]
    rows = p * (p + 1) // 2 if diagonal else p * (p - 1) // 2
    # Lengths first: hostile tables are not given as many pairs as they ask for.
    if len(found[0]) == rows and found[:2] == _pairs(names, diagonal=diagonal):
        return []
    return [Problem(f"{table.path}: expected the lower triangle of {p} ({rows:,} rows), column by column in the order "
                    f"of their own table, found {len(found[0]):,} rows or another order")]  # fmt: skip


def submission_of(facts: Facts, cells: Cells) -> Submission:
    """The submission of tables that are in place; its ordinal statistics are left where they are."""
    items, mean = cells[MOMENTS.name]
    moments = None
    if facts.complete is not None:
        moments = ItemMoments(
            tuple(items), facts.complete, floats(mean), _square(floats(cells[COVARIANCES.name][2]), len(items))
        )
    scores = tuple(Score(*row) for row in _typed(SCORES, cells))
    standard = facts.standard
    return Submission(
        institution=facts.institution, quarter=facts.quarter, revision=facts.revision,
        instrument=Identity(facts.instrument.name, facts.instrument.version, facts.instrument.digest),
        standard=Identity(standard.name, standard.version, standard.digest) if standard else None,
        simulated=facts.simulated, n=facts.n, counts=tuple(_counts(cells[COUNTS.name])), moments=moments, scores=scores,
        score_cov=_square(floats(cells[SCORE_COVARIANCES.name][2]), len(scores) - 1),
        indicators=tuple(Indicator(*row) for row in _typed(INDICATORS, cells)),
        waiting=tuple(Waiting(*row) for row in _typed(WAITING, cells)),
        context=tuple(Context(*row) for row in _typed(CONTEXT, cells)),
        withheld=tuple(Withheld(*row) for row in _typed(WITHHELD, cells)),
    )  # fmt: skip


def _typed(table: Table, cells: Cells) -> Iterator[tuple[Any, ...]]:
    """Rows of a table, each cell of its column's kind."""
    columns: list[Sequence[Any]] = []
    for column, found in zip(table.columns, cells[table.name], strict=True):
        if column.kind == "number":
            columns.append(floats(found).tolist())
        elif column.kind in ("count", "integer"):
            columns.append([int(c) for c in found])
        else:
            columns.append(found)
    return zip(*columns, strict=True)


def _counts(cells: list[list[str]]) -> Iterator[ItemCounts]:
    start = 0
    for item, rows in groupby(cells[0]):
        stop = start + sum(1 for _ in rows)
        counts = tuple(int(c) if c else None for c in cells[2][start:stop])
        yield ItemCounts(item, tuple(map(int, cells[1][start:stop])), counts)
        start = stop


def ordinal_of(cells: Cells, acov: Floats | None, n: int) -> Ordinal:
    """Ordinal statistics of tables that are in place; `acov` is the triangle of their covariance."""
    item, threshold = cells[THRESHOLDS.name]
    sizes = [(i, sum(1 for _ in rows)) for i, rows in groupby(item)]
    items = tuple(i for i, _ in sizes)
    p = len(items)
    square = None if acov is None else _square(acov, len(item) + p * (p - 1) // 2)
    correlation = _square(floats(cells[POLYCHORICS.name][2]), p, diagonal=False)
    moments = GroupMoments(float(n), correlation, np.zeros(p), floats(threshold), square)
    return Ordinal(items, tuple(k + 1 for _, k in sizes), moments)
