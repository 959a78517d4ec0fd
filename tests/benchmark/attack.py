"""An attacker: solves everything that is published together, in whole numbers, with nothing of the code under test.

Three ways, from weak to strong: linear algebra in fractions (which counts does the linear system determine?), whole
numbers item by item (enumeration, or HiGHS where several releases are tied), and the table of all answer patterns, in
which everything published is linear: counts, sums of products, sums and products of the dimensions' scores.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix
from scipy.stats import norm

from sqmodel.benchmark.content import Submission
from sqmodel.benchmark.profile import DisclosureRules

Cell = tuple[str, str, int]
"""Release, item, category."""
Structure = Mapping[str, Sequence[str]]


@dataclass
class Equations:
    """Integer equations and bounds of named unknowns."""

    rows: list[tuple[dict[Cell, int], int, int]] = field(default_factory=list)
    bounds: dict[Cell, tuple[int, int]] = field(default_factory=dict)

    def equal(self, weights: Mapping[Cell, int], value: int) -> None:
        self.rows.append((dict(weights), value, value))

    def between(self, weights: Mapping[Cell, int], low: int, high: int) -> None:
        self.rows.append((dict(weights), low, high))


def whole(value: float) -> int:
    """A figure that must be a whole number."""
    found = round(value)
    assert abs(found - value) < 1e-4, value
    return found


def read(sent: Submission, name: str, structure: Structure, n: int, to: Equations | None = None) -> Equations:
    """What a release says of the counts of those who answered everything; their number n is known to the attacker."""
    found = to if to is not None else Equations()
    scored = {s.scope: s for s in sent.scores}
    in_moments = sent.moments.items if sent.moments is not None else ()
    for own in sent.counts:
        cells = {k: (name, own.item, k) for k in own.categories}
        found.bounds |= {cells[k]: (0, n) if c is None else (c, c)
                         for k, c in zip(own.categories, own.counts, strict=True)}  # fmt: skip
        found.equal(dict.fromkeys(cells.values(), 1), n)
        if sent.moments is not None and own.item in in_moments:
            place = in_moments.index(own.item)
            mean = float(sent.moments.mean[place])
            found.equal({cells[k]: k for k in cells}, whole(n * mean))
            squares = whole(n * (float(sent.moments.cov[place, place]) + mean**2))
            found.equal({cells[k]: k * k for k in cells}, squares)
    have = {c.item: c for c in sent.counts}
    for d, items in structure.items():
        if set(items) <= set(have) and scored[d].n == n:
            width = have[items[0]].categories[-1] - 1
            total = whole(n * len(items) * (scored[d].estimate / 100 * width + 1))
            found.equal({(name, i, k): k for i in items for k in have[i].categories}, total)
            if len(items) == 1:
                place = list(structure).index(d)
                spread = float(sent.score_cov[place, place]) * (n - 1) * n / 100**2 * width**2
                cells = have[items[0]].categories
                found.equal({(name, items[0], k): k * k for k in cells}, whole(spread + total**2 / n))
    _thresholds(sent, name, n, found)
    return found


def _thresholds(sent: Submission, name: str, n: int, found: Equations) -> None:
    """Thresholds are cumulative counts; the attacker sees which, for the categories are those of the questionnaire."""
    if sent.ordinal is None:
        return
    start = 0
    for item, categories in zip(sent.ordinal.items, sent.ordinal.categories, strict=True):
        ends = sent.ordinal.moments.thresholds[start : start + categories - 1]
        start += categories - 1
        scale = next(c.categories for c in sent.counts if c.item == item)
        if categories == len(scale):
            for k, t in zip(scale, ends, strict=False):
                found.equal({(name, item, c): 1 for c in scale if c <= k}, whole(n * float(norm.cdf(t))))


def determined(equations: Equations, cell: Cell) -> bool:
    """Whether the linear equations alone fix an unknown: Gaussian elimination in fractions."""
    free = [c for c, (low, high) in equations.bounds.items() if low < high]
    if cell not in free:
        return True
    rows = [[Fraction(w.get(c, 0)) for c in free] for w, low, high in equations.rows if low == high]
    target = [Fraction(int(c == cell)) for c in free]
    for pivot in range(len(free)):
        row = next((r for r in rows if r[pivot]), None)
        if row is None:
            continue
        rows.remove(row)
        lead = [v / row[pivot] for v in row]
        rows = [[a - r[pivot] * b for a, b in zip(r, lead, strict=True)] if r[pivot] else r for r in rows]
        target = [a - target[pivot] * b for a, b in zip(target, lead, strict=True)]
    return not any(target)


def every_table(equations: Equations, name: str, item: str) -> Iterator[tuple[int, ...]]:
    """All tables of one item by depth first search over the equations in which no other item is."""
    cells = [c for c in equations.bounds if c[:2] == (name, item)]
    rows = [(w, low, high) for w, low, high in equations.rows if set(w) <= set(cells)]
    most = [equations.bounds[c][1] for c in cells]

    def go(at: int, before: tuple[int, ...], left: list[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
        if at == len(cells):
            if all(low <= 0 <= high for low, high in left):
                yield before
            return
        low, high = equations.bounds[cells[at]]
        for (w, _, _), (_, room) in zip(rows, left, strict=True):
            if w.get(cells[at], 0) > 0:
                high = min(high, room // w[cells[at]])
        for x in range(low, high + 1):
            rest = [(a - w.get(cells[at], 0) * x, b - w.get(cells[at], 0) * x)
                    for (w, _, _), (a, b) in zip(rows, left, strict=True)]  # fmt: skip
            reach = all(
                a <= sum(w.get(c, 0) * most[j] for j, c in enumerate(cells) if j > at)
                for (w, _, _), (a, _) in zip(rows, rest, strict=True)
            )
            if reach and all(b >= 0 for _, b in rest):
                yield from go(at + 1, (*before, x), rest)

    yield from go(0, (), [(low, high) for _, low, high in rows])


def extent(equations: Equations, cell: Cell, seen: Sequence[Sequence[Cell]], rules: DisclosureRules) -> tuple[int, int]:
    """Smallest and largest value of an unknown by HiGHS.

    In each of the tables `seen` the attacker knows that one of the withheld counts is a small one.
    """
    cells = list(equations.bounds)
    place = {c: k for k, c in enumerate(cells)}
    matrix = np.zeros((len(equations.rows), len(cells)))
    for row, (weights, _, _) in zip(matrix, equations.rows, strict=True):
        for c, w in weights.items():
            row[place[c]] += w
    limits = [np.array([r[side] for r in equations.rows]) for side in (1, 2)]
    ends: list[int] = []
    for sign in (1, -1):
        best: list[int] = []
        for small in itertools.product(*seen) if seen else [()]:
            lower, upper = (np.array([equations.bounds[c][side] for c in cells]) for side in (0, 1))
            for c in small:
                lower[place[c]], upper[place[c]] = max(lower[place[c]], 1), min(upper[place[c]], rules.minimum_cell - 1)
            aim = np.zeros(len(cells))
            aim[place[cell]] = sign
            found = milp(aim, constraints=LinearConstraint(matrix, *limits), integrality=np.ones(len(cells)),
                         bounds=Bounds(lower, upper)) if (lower <= upper).all() else None  # fmt: skip
            if found is not None and found.x is not None:
                best.append(round(found.x[place[cell]]))
        assert best, "nothing published is consistent with itself"
        ends.append(min(best) if sign > 0 else max(best))
    return ends[0], ends[1]


class Patterns:
    """The table of all answer patterns of a release: few items, everything published linear and exact."""

    def __init__(self, sent: Submission, structure: Structure, n: int) -> None:
        scales = [c.categories for c in sent.counts]
        self.items = [c.item for c in sent.counts]
        self.grid = np.array(list(itertools.product(*scales)), dtype=np.int64)
        self.n, self.sent = n, sent
        self.rows: list[np.ndarray] = [np.ones(len(self.grid), dtype=np.int64)]
        self.values: list[int] = [n]
        for column, own in enumerate(sent.counts):
            for k, c in zip(own.categories, own.counts, strict=True):
                if c is not None:
                    self._add(self.grid[:, column] == k, c)
        self._moments(sent)
        self._scores(sent, structure)

    def _add(self, row: np.ndarray, value: float) -> None:
        self.rows.append(row.astype(np.int64))
        self.values.append(whole(value))

    def _moments(self, sent: Submission) -> None:
        if sent.moments is None:
            return
        m = sent.moments
        places = [self.items.index(i) for i in m.items]
        for a, p in enumerate(places):
            self._add(self.grid[:, p], self.n * float(m.mean[a]))
            for b, q in enumerate(places[: a + 1]):
                value = float(m.cov[a, b] + m.mean[a] * m.mean[b])
                self._add(self.grid[:, p] * self.grid[:, q], self.n * value)

    def _scores(self, sent: Submission, structure: Structure) -> None:
        if sent.n != self.n or not set(itertools.chain(*structure.values())) <= set(self.items):
            return
        width = self.sent.counts[0].categories[-1] - 1
        sums = [self.grid[:, [self.items.index(i) for i in items]].sum(axis=1) for items in structure.values()]
        mean = [next(s.estimate for s in sent.scores if s.scope == d) / 100 * width * len(items) + len(items)
                for d, items in structure.items()]  # fmt: skip
        size = [len(items) for items in structure.values()]
        for a in range(len(sums)):
            self._add(sums[a], self.n * mean[a])
            for b in range(a + 1):
                cov = float(sent.score_cov[a, b]) * (self.n - 1) * (width / 100) ** 2 * size[a] * size[b]
                self._add(sums[a] * sums[b], self.n * (cov + mean[a] * mean[b]))

    def extent(self, item: str, category: int, rules: DisclosureRules) -> tuple[int, int]:
        """Smallest and largest count, knowing that one of the item's withheld counts is a small one."""
        column = self.items.index(item)
        own = self.sent.counts[column]
        hidden = [k for k, c in zip(own.categories, own.counts, strict=True) if c is None]
        target = (self.grid[:, column] == category).astype(np.int64)
        matrix = csr_matrix(np.array(self.rows))
        value = np.array(self.values)
        ends = []
        for sign in (1, -1):
            best = []
            for small in hidden:
                cell = csr_matrix((self.grid[:, column] == small).astype(np.int64))
                found = milp(
                    sign * target, integrality=np.ones(len(target)), bounds=Bounds(0, self.n),
                    constraints=[LinearConstraint(matrix, value, value),
                                 LinearConstraint(cell, 1, rules.minimum_cell - 1)],
                    options={"time_limit": 20.0},
                )  # fmt: skip
                if found.x is not None:
                    x = np.rint(found.x).astype(np.int64)
                    assert (np.array(self.rows) @ x == value).all()
                    best.append(int(target @ x))
            assert best, "nothing published is consistent with itself"
            ends.append(min(best) if sign > 0 else max(best))
        return ends[0], ends[1]
