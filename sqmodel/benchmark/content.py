"""What an institution sends: sufficient statistics of a quarter, and no respondent's record."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.measurement.moments import GroupMoments
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]

SCHEMA = "sqmodel.submission/1"
CODE = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
"""Of institutions, items, indicators and all other codes; none of them can be a formula of a spreadsheet."""
OVERALL = "overall"
GRID = (1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 32.0, 40.0, 60.0, 80.0, 120.0, 160.0, 240.0, 320.0, 480.0)
"""Working hours at which the survival tables are told."""


class Identity(NamedTuple):
    """A definition that both sides must share: a questionnaire or a service standard."""

    name: str
    version: str
    digest: str


class ItemCounts(NamedTuple):
    """Answers to an item by category, of the respondents who answered all items.

    Attributes
    ----------
    item : str
    categories : tuple of int
        The scale's values in order.
    counts : tuple of int or None
        One a category; None where withheld.
    """

    item: str
    categories: tuple[int, ...]
    counts: tuple[int | None, ...]


@dataclass(frozen=True)
class ItemMoments:
    """Means and covariances of the items, of the respondents who answered all items.

    Attributes
    ----------
    items : tuple of str
        Those whose moments are not withheld.
    n : int
        Respondents who answered all items of the questionnaire.
    mean : array, p
    cov : array, p x p
        Divisor n, as ML has it.
    """

    items: tuple[str, ...]
    n: int
    mean: Floats
    cov: Floats


@dataclass(frozen=True)
class Ordinal:
    """Thresholds and polychoric correlations of the same respondents; covariances are read one institution at a time.

    Attributes
    ----------
    items : tuple of str
    categories : tuple of int
        Categories of each item after merging.
    moments : GroupMoments
        See `sqmodel.measurement.moments`.
    """

    items: tuple[str, ...]
    categories: tuple[int, ...]
    moments: GroupMoments


class Score(NamedTuple):
    """Overall or a dimension on 0-100, of all scored respondents, calibrated where the institution calibrates."""

    scope: str
    n: int
    estimate: float
    se: float


class Indicator(NamedTuple):
    """What the lender did, as a share, a rate or a mean.

    Attributes
    ----------
    code : str
        Such as ``within_limit``, ``complaints``, ``standard.first_reply``.
    kind : {"share", "rate", "mean"}
    n : float
        Trials, exposure, or cases of a mean.
    events : float
        Of a share or a rate; NaN of a mean.
    estimate, se : float
        In the indicator's own units: a share 0-1, events a unit of exposure, a mean.
    """

    code: str
    kind: Literal["share", "rate", "mean"]
    n: float
    events: float
    estimate: float
    se: float


class Waiting(NamedTuple):
    """A point of a stage's survival table: the share of cases not yet done after so many working hours."""

    stage: str
    hours: float
    n: int
    waiting: float
    se: float


class Context(NamedTuple):
    """Case mix: the (weighted) share of all scored respondents with a value of a grouping variable."""

    variable: str
    value: str
    share: float


class Withheld(NamedTuple):
    """A figure that is not sent, and by which rule."""

    table: str
    cell: str
    rule: str


@dataclass(frozen=True, repr=False)
class Submission(Result):
    """Everything that leaves an institution for a quarter.

    Attributes
    ----------
    institution : str
        Its code in the association's register.
    quarter : str
    revision : int
        0 at first; a correction of the same quarter counts up.
    instrument : Identity
    standard : Identity or None
    simulated : bool
    n : int
        Scored respondents.
    counts : tuple of ItemCounts
    moments : ItemMoments or None
        None where too few answered all items.
    ordinal : Ordinal or None
        Only where the association asks for it.
    scores : tuple of Score
        Overall first, then the dimensions.
    score_cov : array, dimensions x dimensions
        Covariance of the estimates of the dimensions, in their order in `scores`.
    indicators : tuple of Indicator
    waiting : tuple of Waiting
    context : tuple of Context
    withheld : tuple of Withheld
    """

    institution: str
    quarter: str
    revision: int
    instrument: Identity
    standard: Identity | None
    simulated: bool
    n: int
    counts: tuple[ItemCounts, ...]
    moments: ItemMoments | None
    scores: tuple[Score, ...]
    score_cov: Floats
    indicators: tuple[Indicator, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    context: tuple[Context, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    ordinal: Ordinal | None = field(default=None, compare=False)

    def _headline(self) -> str:
        overall = next((s.estimate for s in self.scores if s.scope == OVERALL), math.nan)
        return f"{self.institution} {self.quarter} revision {self.revision}: {overall:.1f}, n={self.n}"

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Codes of the dimensions in the order of `score_cov`."""
        return tuple(s.scope for s in self.scores if s.scope != OVERALL)
