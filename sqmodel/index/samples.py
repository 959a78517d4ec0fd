"""What the indicators were estimated from: respondents, cases, published errors, judges, drawn again together."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import CompositeError, Problem
from sqmodel.index.judgements import judge_matrices
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.pairwise import Priority, priorities
from sqmodel.numerics.resampling import resample_counts

Floats = npt.NDArray[np.float64]
Statistic = Literal["mean", "median"]
_BLOCK = 4_000_000
"""Values drawn at a time for a median: 32 MB."""


class Sample(Protocol):
    """Anything that can draw the values of some indicators again."""

    @property
    def name(self) -> str:
        """Of the sample, as tables show it."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that it draws."""
        ...

    @property
    def units(self) -> tuple[str, ...]:
        """Units whose values it draws; those of the others stay as they are."""
        ...

    @property
    def fixed(self) -> tuple[str, ...]:
        """Units of which nothing can be drawn again."""
        ...

    def values(self) -> pd.DataFrame:
        """What the sample itself gives, units x columns."""
        ...

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Values of all its units and columns, shape (count, units, columns)."""
        ...


@dataclass(frozen=True)
class RowSample:
    """Rows, such as respondents or cases, whose mean or median within a unit is its indicator.

    Parameters
    ----------
    name : str
    rows : DataFrame
        One row a respondent or a case: `unit`, `columns` and, if named, `weight`; NaN is no answer.
    unit : str
        Column that tells the unit of a row.
    columns : tuple of str
        Drawn together, so that what goes together in a row stays together.
    statistic : {"mean", "median"}
    weight : str
        Column of sample weights of a mean; empty for none.

    Notes
    -----
    Of a unit's n rows n - 1 are drawn with replacement, so that the variance of a drawn mean is the unbiased one (Rao &
    Wu 1988); the samples of the units are independent and their sizes part of the design. A unit with a single row does
    not vary, and is told in `fixed`.

    References
    ----------
    Rao, J. N. K. & Wu, C. F. J. (1988). Resampling inference with complex survey data. Journal of the American
    Statistical Association 83, 231-241.

    Examples
    --------
    >>> rows = pd.DataFrame({"branch": ["a", "a", "b", "b"], "wait": [1.0, 3.0, 2.0, 2.0]})
    >>> sample = RowSample("cases", rows, unit="branch", columns=("wait",))
    >>> sample.values()["wait"].to_dict()
    {'a': 2.0, 'b': 2.0}
    """

    name: str
    rows: pd.DataFrame
    unit: str
    columns: tuple[str, ...]
    statistic: Statistic = "mean"
    weight: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.columns, str):
            object.__setattr__(self, "columns", (self.columns,))
        named = (self.unit, *self.columns, *([self.weight] if self.weight else []))
        absent = [Problem(f"expected a column {c!r}, found none") for c in named if c not in self.rows]
        counts = Counter([*self.rows.columns, *_again(self.columns)])
        absent += [Problem(f"expected a column {c!r} once, found it {counts[c]} times")
                   for c in dict.fromkeys(named) if counts[c] > 1]  # fmt: skip
        problems: list[Problem | str] = [*(absent or self._strange())]
        if problems:
            raise CompositeError(self.name, problems, "correct the rows of this sample")
        ordered = self.rows.assign(**{self.unit: self.rows[self.unit].astype(str)})
        object.__setattr__(self, "rows", ordered.sort_values(self.unit, kind="stable"))

    def _strange(self) -> Iterator[Problem | str]:
        if self.statistic not in ("mean", "median"):
            yield f"statistic: expected mean or median, found {self.statistic!r}"
        if self.statistic == "median" and self.weight:
            yield "weight: expected none for a median, found a column"
        if not len(self.rows):
            yield "expected rows, found none"
        elif self.rows[self.unit].value_counts().max() < 2:
            yield "expected a unit of two rows or more, found none: nothing could be drawn again"
        if self.rows[self.unit].isna().any():
            yield f"{self.unit}: expected a unit in every row, found {int(self.rows[self.unit].isna().sum())} without"
        for column in (*self.columns, *([self.weight] if self.weight else [])):
            numbers = pd.to_numeric(self.rows[column], errors="coerce")
            bad = self.rows.index[(numbers.isna() & self.rows[column].notna()) | np.isinf(numbers)]
            if len(bad):
                yield Problem(f"{column}: expected finite numbers, found others in row", tuple(map(str, bad)))
        if self.weight:
            weights = pd.to_numeric(self.rows[self.weight], errors="coerce")
            light = self.rows.index[~(weights > 0)]
            if len(light):
                yield Problem(f"{self.weight}: expected weights above 0, found others in row", tuple(map(str, light)))

    @property
    def units(self) -> tuple[str, ...]:
        """Units that have rows."""
        return tuple(dict.fromkeys(self.rows[self.unit]))

    @property
    def fixed(self) -> tuple[str, ...]:
        """Units of a single row, which do not vary."""
        sizes = self.rows.groupby(self.unit, sort=False).size()
        return tuple(map(str, sizes.index[sizes == 1]))

    def values(self) -> pd.DataFrame:
        """The indicators of the sample itself, units x columns."""
        every = np.ones((1, len(self.rows)))
        found = self._medians(np.arange(len(self.rows))[None]) if self.statistic == "median" else self._means(every)
        return pd.DataFrame(found[0], list(self.units), list(self.columns))

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """See `Sample`."""
        codes = pd.factorize(self.rows[self.unit])[0].astype(np.intp)
        if self.statistic == "mean":
            return np.concatenate([self._means(counts) for counts in resample_counts(codes, count, rng, fewer=1)])
        starts, sizes = self._places()
        found, step = [], max(1, _BLOCK // (len(codes) * len(self.columns)))
        for begin in range(0, count, step):
            share = rng.random((min(step, count - begin), len(codes)))
            found.append(self._medians(starts[codes] + (share * sizes[codes]).astype(np.intp), fewer=1))
        return np.concatenate(found)

    def _places(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Where each unit's rows begin, and how many there are."""
        sizes = self.rows.groupby(self.unit, sort=False).size().to_numpy(np.intp)
        return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp), np.asarray(sizes, np.intp)

    def _means(self, counts: Floats) -> Floats:
        """Means of counted rows; counts: (draws, rows)."""
        x = self.rows[list(self.columns)].to_numpy(float)
        weight = self.rows[self.weight].to_numpy(float)[:, None] if self.weight else np.ones((len(x), 1))
        known = ~np.isnan(x)
        both = np.hstack([np.where(known, x, 0.0) * weight, known * weight])
        starts, sizes = self._places()
        found = np.empty((len(counts), len(sizes), both.shape[1]))
        for k, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            found[:, k] = counts[:, start : start + size] @ both[start : start + size]
        total, below = np.split(found, 2, axis=-1)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / np.where(below > 0, below, np.nan))

    def _medians(self, picked: npt.NDArray[np.intp], fewer: int = 0) -> Floats:
        """Medians of the rows picked, but for the last of each unit; picked: (draws, rows), side by side by unit."""
        x = self.rows[list(self.columns)].to_numpy(float)
        middle = np.nanmedian if np.isnan(x).any() else np.median
        starts, sizes = self._places()
        found = np.empty((len(picked), len(sizes), x.shape[1]))
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            for k, (start, size) in enumerate(zip(starts, sizes, strict=True)):
                found[:, k] = middle(x[picked[:, start : start + max(1, size - fewer)]], axis=1)
        return found


def _again(columns: tuple[str, ...]) -> list[str]:
    """Columns named more than once, once for each time too many."""
    return [c for k, c in enumerate(columns) if c in columns[:k]]


@dataclass(frozen=True)
class ErrorSample:
    """Values whose standard errors are known, such as those that another office published.

    Parameters
    ----------
    name : str
    estimates, errors : DataFrame, units x columns
        Values and their standard errors; errors of 0 or NaN are none.

    Notes
    -----
    Drawn from normal distributions, independently of each other.
    """

    name: str
    estimates: pd.DataFrame
    errors: pd.DataFrame

    def __post_init__(self) -> None:
        problems = [*self._strange()] or [*self._together()]
        if problems:
            raise CompositeError(self.name, problems, "correct the errors of this sample")

    def _strange(self) -> Iterator[str]:
        twice = dict.fromkeys(str(u) for u in self.estimates.index[self.estimates.index.duplicated()])
        if twice:
            yield f"expected every unit once, found {', '.join(twice)} again"
        for what, frame in (("estimates", self.estimates), ("errors", self.errors)):
            for column in frame:
                if not pd.api.types.is_numeric_dtype(frame[column]):
                    yield f"{column}: expected numbers as {what}, found text"
                elif np.isinf(frame[column].to_numpy(float)).any():
                    yield f"{column}: expected finite {what}, found infinite ones"

    def _together(self) -> Iterator[str]:
        if not (self.estimates.index.equals(self.errors.index) and self.estimates.columns.equals(self.errors.columns)):
            yield "expected the same units and columns of estimates and errors, found others"
        elif (self.errors < 0).any(axis=None):
            bad = ", ".join(map(str, self.errors.columns[(self.errors < 0).any()]))
            yield f"expected standard errors of at least 0, found negative ones of {bad}"
        elif not (self.errors > 0).any(axis=None):
            yield "expected a standard error above 0, found none: nothing could be drawn again"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns with errors."""
        return tuple(map(str, self.estimates.columns))

    @property
    def units(self) -> tuple[str, ...]:
        """Units with errors."""
        return tuple(map(str, self.estimates.index))

    @property
    def fixed(self) -> tuple[str, ...]:
        """Units without any error, which do not vary."""
        return tuple(map(str, self.errors.index[~(self.errors > 0).any(axis=1)]))

    def values(self) -> pd.DataFrame:
        """The estimates."""
        return self.estimates.set_axis(list(self.units)).set_axis(list(self.columns), axis=1)

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """See `Sample`."""
        mean, sd = self.estimates.to_numpy(float), np.nan_to_num(self.errors.to_numpy(float))
        return np.asarray(mean + sd * rng.standard_normal((count, *mean.shape)))


@dataclass(frozen=True)
class JudgeSample:
    """Judges whose comparisons give the weights of some branches.

    Parameters
    ----------
    name : str
    judgements : DataFrame
        As for `judge_weights`, whose checks they have passed.
    tree : IndexTree
    method : {"eigenvector", "geometric_mean"}

    Notes
    -----
    The judges of a branch are drawn with replacement; their common matrix is the geometric mean of the matrices drawn.
    """

    name: str
    judgements: pd.DataFrame
    tree: IndexTree
    method: Priority = "eigenvector"

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Weights of each branch's children in the order of the tree, shape (count, children)."""
        found = {}
        for branch, elements, matrices in self._branches():
            judges = len(matrices)
            counts = rng.multinomial(judges, np.full(judges, 1 / judges), count) / judges
            logs = np.tensordot(counts, np.log(matrices), axes=1)
            weights = priorities(np.exp(logs), self.method)[0]
            found[branch] = weights[:, [elements.index(c) for c in self.tree.children(branch)]]
        return found

    def values(self) -> dict[str, Floats]:
        """Weights of each branch's children by all judges, shape (children,)."""
        return {
            branch: priorities(np.exp(np.log(m).mean(axis=0)), self.method)[0][
                [elements.index(c) for c in self.tree.children(branch)]
            ]
            for branch, elements, m in self._branches()
        }

    def _branches(self) -> Iterator[tuple[str, Sequence[str], Floats]]:
        return judge_matrices(self.judgements)
