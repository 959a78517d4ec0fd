"""Integer systems of a table of counts: which tables fit all that is published of one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class System(NamedTuple):
    """Whole numbers x with ``low <= matrix @ x <= high`` and ``lower <= x <= upper``.

    Attributes
    ----------
    matrix : array, rows x cells
    low, high : array, rows
        Equal in an equation.
    lower, upper : array, cells
        Equal where a cell is published.
    """

    matrix: Ints
    low: Ints
    high: Ints
    lower: Ints
    upper: Ints


def moment_rows(values: Sequence[int], counts: Ints) -> tuple[Ints, Ints]:
    """What a table's size, sum and sum of squares say, and what follows from them.

    Parameters
    ----------
    values : sequence of int
        The scale's values in order.
    counts : array
        The table.

    Returns
    -------
    tuple of array
        Matrix, and what its rows give. The rows (k - a)(k - b) of adjacent values a, b and (k - first)(last - k), none
        of which can be negative, follow from the first three: they add nothing to the solutions and let `enumerated`
        see early that a branch has none.
    """
    k = np.asarray(values, dtype=np.int64)
    pairs = [(k - a) * (k - b) for a, b in itertools.pairwise(values)]
    matrix = np.vstack([k**0, k, k**2, *pairs, (k - values[0]) * (values[-1] - k)])
    return matrix, matrix @ counts


def enumerated(system: System, limit: int = 200_000) -> Ints | None:
    """All solutions of a small system.

    Parameters
    ----------
    system : System
    limit : int
        Most beginnings of solutions that are held at a time.

    Returns
    -------
    array, solutions x cells, or None
        None where there are more than `limit`.

    Notes
    -----
    Cell after cell, all beginnings at once; a beginning is dropped as soon as a row can no longer be met by the cells
    that are left. No number is rounded.
    """
    return _enumerated(system, limit, thin=False)


def some_solutions(system: System, limit: int) -> Ints:
    """Some solutions of a large system, `limit` at the most, which depend on nothing but the system.

    As `enumerated`; where there are more beginnings than `limit`, evenly spaced ones are gone on with.
    """
    found = _enumerated(system, limit, thin=True)
    return np.zeros((0, system.matrix.shape[1]), dtype=np.int64) if found is None else found


def _enumerated(system: System, limit: int, *, thin: bool) -> Ints | None:
    system, order = _tightened(system)
    matrix, lower, upper = system.matrix, system.lower, system.upper
    least = np.minimum(matrix * lower, matrix * upper)
    most = np.maximum(matrix * lower, matrix * upper)
    rest_least = least.sum(axis=1, keepdims=True) - np.cumsum(least, axis=1)
    rest_most = most.sum(axis=1, keepdims=True) - np.cumsum(most, axis=1)
    found: Ints = np.zeros((1, 0), dtype=np.int64)
    done: Ints = np.zeros((1, len(matrix)), dtype=np.int64)
    for cell in range(matrix.shape[1]):
        a = matrix[:, cell]
        first, last = _choices(a, system.low - done - rest_most[:, cell], system.high - done - rest_least[:, cell])
        first, last = np.maximum(first, lower[cell]), np.minimum(last, upper[cell])
        size = np.maximum(last - first + 1, 0)
        total = int(size.sum())
        if total > limit and not thin:
            return None
        kept = np.arange(total) if total <= limit else np.linspace(0, total - 1, limit).astype(np.int64)
        ends = np.cumsum(size)
        row = np.searchsorted(ends, kept, side="right")
        x = first[row] + kept - (ends - size)[row]
        found = np.column_stack([found[row], x])
        done = done[row] + np.outer(x, a)
    return found[:, np.argsort(order)]


def _tightened(system: System) -> tuple[System, npt.NDArray[np.intp]]:
    """Upper bounds that rows without negative weights give, and the cells with the fewest choices first."""
    upper = system.upper.copy()
    for row in np.flatnonzero((system.matrix >= 0).all(axis=1)):
        a = system.matrix[row]
        room = system.high[row] - a @ system.lower
        upper[a > 0] = np.minimum(upper, system.lower + room // np.maximum(a, 1))[a > 0]
    order = np.argsort(upper - system.lower, kind="stable")
    bounds = {"lower": system.lower[order], "upper": upper[order], "matrix": system.matrix[:, order]}
    return system._replace(**bounds), order


def _choices(a: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """First and last x with low <= a x <= high in all rows, by beginning; a row without the cell must hold already."""
    free = ((low <= 0) & (high >= 0))[:, a == 0].all(axis=1)
    first, last = np.where(free, -(2**40), 1), np.where(free, 2**40, 0)
    for row in np.flatnonzero(a):
        ends = (low[:, row], high[:, row]) if a[row] > 0 else (-high[:, row], -low[:, row])
        step = abs(int(a[row]))
        first, last = np.maximum(first, -(-ends[0] // step)), np.minimum(last, ends[1] // step)
    return first, last


def extreme(system: System, cell: int | Sequence[float], *, largest: bool) -> Ints | None:
    """A solution in which a cell, or a sum of cells, is smallest or largest; None where there is no solution.

    Parameters
    ----------
    system : System
    cell : int or sequence of float
        A cell, or the weights of a sum of cells.
    largest : bool

    Notes
    -----
    By HiGHS through `scipy.optimize.milp`; a solution is checked in whole numbers before it is given back. Should
    HiGHS give up, nothing is given back, so that a cell counts as told.
    """
    aim = np.zeros(system.matrix.shape[1])
    if isinstance(cell, int | np.integer):
        aim[cell] = 1.0
    else:
        aim[:] = cell
    if (system.lower > system.upper).any():
        return None
    answer = milp(
        -aim if largest else aim,
        constraints=LinearConstraint(system.matrix, system.low, system.high),
        bounds=Bounds(system.lower, system.upper),
        integrality=np.ones(len(aim)),
        options={"time_limit": 5.0, "mip_rel_gap": 0.0},
    )
    if answer.x is None:
        return None
    x: Ints = np.rint(answer.x).astype(np.int64)
    value = system.matrix @ x
    held = (value >= system.low).all() and (value <= system.high).all()
    held = held and (x >= system.lower).all() and (x <= system.upper).all()
    return x if held else None


@cache
def move(values: tuple[int, ...]) -> Ints:
    """The smallest change of counts at these values that leaves n, the sum and all powers below its length - 1.

    Notes
    -----
    Divided differences: the change at k is proportional to the inverse of the product of (k - l) over the others. With
    one value more than there are equations, all changes that leave them are multiples of it.

    Examples
    --------
    >>> move((1, 2, 3, 4)).tolist()
    [1, -3, 3, -1]
    """
    product = [math.prod(k - m for m in values if m != k) for k in values]
    common = math.lcm(*product)
    raw = [common // p for p in product]
    divisor = math.gcd(*raw) * (1 if raw[0] > 0 else -1)
    return np.array([r // divisor for r in raw], dtype=np.int64)


def neighbours(values: Sequence[int], counts: Ints, cells: Sequence[int], equations: int) -> Ints:
    """Tables that differ from a table in `equations` + 1 of some cells and have the same n and moments.

    Parameters
    ----------
    values : sequence of int
    counts : array
        The table.
    cells : sequence of int
        Places of the cells that may differ.
    equations : int
        2: n and the sum are kept; 3: the sum of squares too.

    Returns
    -------
    array, tables x cells
        With the table itself. All there are, where `cells` are `equations` + 1; else some.
    """
    found = [counts[None, :]]
    for chosen in itertools.combinations(cells, equations + 1):
        change = move(tuple(values[c] for c in chosen))
        own = counts[list(chosen)]
        down = int(np.min(own[change > 0] // change[change > 0]))
        up = int(np.min(own[change < 0] // -change[change < 0]))
        times = np.array([t for t in range(-down, up + 1) if t])
        if len(times):
            tables = np.tile(counts, (len(times), 1))
            tables[:, list(chosen)] += np.outer(times, change)
            found.append(tables)
    return np.vstack(found)
