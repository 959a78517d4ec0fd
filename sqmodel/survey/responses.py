"""Responses: what was answered, in a frame that obeys the instrument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ResponsesError
from sqmodel.result import Result
from sqmodel.survey.instrument import Instrument, Role


@dataclass(frozen=True, repr=False)
class Reading(Result):
    """How a source became responses: nothing that was changed or left out goes unmentioned.

    `changes` has one row a kind of change: kind, column, count, examples (row numbers of the file). `digest` is that of
    the answers themselves where they come from a database, which has no file to take it of.
    """

    source: str = ""
    encoding: str = ""
    rows: int = 0
    changes: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["kind", "column", "count", "examples"]))
    digest: str = ""

    def _headline(self) -> str:
        changed = int(self.changes["count"].sum()) if len(self.changes) else 0
        return f"{self.source}: {self.rows} rows, {self.encoding or 'no text encoding'}, {changed} values changed"


@dataclass(frozen=True, repr=False)
class Responses:
    """An instrument and the answers to it. Never changed in place.

    Parameters
    ----------
    instrument : Instrument
    frame : DataFrame, respondents x columns
        One row an answered questionnaire. Columns by their canonical names (see `Instrument`): ``respondent`` (text),
        ``quarter`` (text such as ``2026Q3``, or missing), items, expectations, allocation and outcomes (float as
        answered, NaN missing), groups (text or None), and the reserved fields that the source had.
    reading : Reading
        What happened on the way in.
    calibration : DataFrame or None
        Dummy columns of the margins that `sample_weight` was raked to, row by row; the intervals use them.
    """

    instrument: Instrument
    frame: pd.DataFrame
    reading: Reading = field(default_factory=Reading)
    calibration: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        missing = [c for c in self.instrument.item_codes if c not in self.frame]
        problems = [f"expected a column for item {c!r}, found none" for c in missing]
        if "respondent" not in self.frame:
            problems.append("expected a column 'respondent', found none")
        if problems:
            raise ResponsesError(self.reading.source or "responses", problems)
        if not self.frame.index.equals(pd.RangeIndex(len(self.frame))):
            object.__setattr__(self, "frame", self.frame.reset_index(drop=True))

    def __repr__(self) -> str:
        quarters = self.quarters
        when = "" if not quarters else f", {quarters[0]}" + (f" to {quarters[-1]}" if len(quarters) > 1 else "")
        return f"<Responses {self.instrument.name}: n={len(self)}, {len(self.instrument.items)} items{when}>"

    def __len__(self) -> int:
        return len(self.frame)

    def keep(self, mask: npt.ArrayLike) -> Responses:
        """The respondents where `mask` (length n, boolean) is true, as new responses."""
        chosen = np.asarray(mask, dtype=bool)
        calibration = None if self.calibration is None else self.calibration[chosen].reset_index(drop=True)
        return replace(self, frame=self.frame[chosen].reset_index(drop=True), calibration=calibration)

    def of(self, quarter: str) -> Responses:
        """The answers of one quarter."""
        return self.keep(self.frame["quarter"] == quarter)

    @property
    def quarters(self) -> list[str]:
        """Quarters in the data, in order of time."""
        return sorted(self.frame["quarter"].dropna().unique()) if "quarter" in self.frame else []

    @property
    def items(self) -> pd.DataFrame:
        """Performance ratings, n x items, oriented so that more is better (reversed items are turned)."""
        return self._oriented(self.frame[self.instrument.item_codes])

    @property
    def has_expectations(self) -> bool:
        """Whether the questionnaire asked for expectations and the source has them."""
        suffix = self.instrument.expectation_suffix
        return suffix is not None and all(c + suffix in self.frame for c in self.instrument.item_codes)

    @property
    def expectations(self) -> pd.DataFrame:
        """Expectation ratings, n x items, under the items' own codes, oriented like `items`."""
        suffix = self.instrument.expectation_suffix or ""
        codes = self.instrument.item_codes
        return self._oriented(self.frame[[c + suffix for c in codes]].set_axis(codes, axis=1))

    def _oriented(self, frame: pd.DataFrame) -> pd.DataFrame:
        turned = frame.astype(float)
        for item in self.instrument.items:
            if item.reversed:
                scale = self.instrument.scale_of(item.code)
                turned[item.code] = scale.minimum + scale.maximum - turned[item.code]
        return turned

    @property
    def has_allocation(self) -> bool:
        """Whether the source has the constant-sum question."""
        allocation = self.instrument.allocation
        return allocation is not None and all(
            allocation.prefix + d in self.frame for d in self.instrument.dimension_codes
        )

    @property
    def allocation(self) -> pd.DataFrame:
        """Importance points as shares of 1, n x dimensions, under the dimensions' codes; NaN where unanswered."""
        if self.instrument.allocation is None:
            raise ResponsesError(repr(self.instrument), ["expected an importance allocation, found none"])
        codes = self.instrument.dimension_codes
        prefix = self.instrument.allocation.prefix
        points = self.frame[[prefix + d for d in codes]].set_axis(codes, axis=1).astype(float)
        return points.div(points.sum(axis=1, min_count=len(codes)), axis=0)

    def outcome(self, role: Role) -> pd.DataFrame:
        """Answers to the outcome questions of one role that the source has, as answered; n x questions."""
        codes = [o.code for o in self.instrument.outcome(role) if o.code in self.frame]
        return self.frame[codes].astype(float)

    @property
    def group_codes(self) -> list[str]:
        """Grouping variables that the source has."""
        return [g.code for g in self.instrument.groups if g.code in self.frame]

    @property
    def sample_weight(self) -> npt.NDArray[np.float64]:
        """Weight of each respondent, mean 1; all ones where the source has none."""
        if "sample_weight" not in self.frame:
            return np.ones(len(self))
        weight = self.frame["sample_weight"].to_numpy(dtype=float)
        return weight / weight.mean() if len(weight) else weight

    @property
    def effective_n(self) -> float:
        """Kish's effective sample size, (sum w)^2 / sum w^2."""
        weight = self.sample_weight
        return float(weight.sum() ** 2 / (weight**2).sum()) if len(weight) else 0.0

    def dimension_scores(self, items: Sequence[str] | None = None, structure: str = "dimensions") -> pd.DataFrame:
        """Scores of every respondent on every dimension, 0-100, n x dimensions.

        Rule for missing answers: the mean of the items answered, each put on 0-100 by its own scale's ends, where at
        least half of the dimension's items are answered; NaN otherwise.

        Parameters
        ----------
        items : sequence of str, optional
            Items to use; all by default.
        structure : str
            The instrument's own dimensions, or a named structure.
        """
        return score_dimensions(self.instrument, self.items, items, structure)

    def expectation_scores(self, items: Sequence[str] | None = None) -> pd.DataFrame:
        """Like `dimension_scores`, of the expectations."""
        return score_dimensions(self.instrument, self.expectations, items, "dimensions")


def score_dimensions(
    instrument: Instrument, ratings: pd.DataFrame, items: Sequence[str] | None, structure: str
) -> pd.DataFrame:
    """Mean of the answered items per dimension on 0-100, where at least half of them are answered."""
    chosen = set(instrument.item_codes if items is None else items)
    percent = to_percent(instrument, ratings).to_numpy(dtype=float)
    place = {c: j for j, c in enumerate(ratings.columns)}
    scores = {}
    for code, members in instrument.structure(structure).items():
        used = percent[:, [place[c] for c in members if c in chosen]]
        answered = np.isfinite(used)
        count = answered.sum(axis=1)
        enough = (count > 0) & (count >= used.shape[1] / 2)
        total = np.where(answered, used, 0.0).sum(axis=1)
        scores[code] = np.divide(total, count, out=np.full(len(used), np.nan), where=enough)
    return pd.DataFrame(scores, index=ratings.index)


def to_percent(instrument: Instrument, ratings: pd.DataFrame) -> pd.DataFrame:
    """Ratings on 0-100: 0 the lower end of the item's scale, 100 the upper."""
    scales = {c: instrument.scale_of(c) for c in ratings.columns}
    low = pd.Series({c: s.minimum for c, s in scales.items()})
    width = pd.Series({c: s.width for c, s in scales.items()})
    return (ratings - low) / width * 100
