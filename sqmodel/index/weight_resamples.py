"""The index and its groups under several weightings, in the same resamples of respondents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.index.columns import Columns, Part, Totals, quarter_pattern
from sqmodel.index.rank_shift import kendall, ranks_of
from sqmodel.index.suppression import suppressed
from sqmodel.index.weight_methods import Derived, allocation_parts, sample_for, weights_from
from sqmodel.index.weighting import Weights
from sqmodel.measurement.measure import Measure
from sqmodel.numerics.derived_weights import difference_bounds, share_bounds
from sqmodel.numerics.ranks import rank_sets
from sqmodel.survey.responses import Responses

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
JUDGED = "judged"
FIXED = ("equal", "given", JUDGED)
QUARTER = "quarter"
GROUPS = ["scope", "value", "method", "n", "estimate", "low", "high", "difference", "difference_low",
          "difference_high", "rank", "rank_low", "rank_high", "shift"]  # fmt: skip
RANKINGS = ["scope", "method", "tau", "tau_low", "tau_high", "mean_shift", "largest_shift"]


@dataclass(frozen=True)
class _Member:
    """Respondents whose score is looked at: all of the quarter, a group of them, or another quarter."""

    scope: str
    value: str
    n: int
    means: list[Part]


class Resampled:
    """Scores of all groups under all weightings, in the sample and in its resamples.

    Parameters
    ----------
    measure : Measure
    found : mapping
        Weights by method.
    by : str
        Group variable, or empty.
    minimum_n, draws, seed : int

    Attributes
    ----------
    left_out : DataFrame
        scope, value, reason.
    """

    def __init__(
        self, measure: Measure, found: Mapping[str, Weights], by: str, minimum_n: int, draws: int, seed: int
    ) -> None:
        part = measure.responses
        if measure.quarter:
            part = part.keep(part.frame["quarter"] <= measure.quarter)
        quarters = part.frame["quarter"].astype(str) if "quarter" in part.frame else None
        now = (part.frame["quarter"] == measure.quarter).to_numpy(bool) if measure.quarter else np.ones(len(part), bool)
        book = Columns(part.sample_weight, part.calibration, quarters)
        scores = part.dimension_scores(list(measure.items))
        self._left: list[tuple[str, str, str]] = []
        members = self._members(part, scores, now, by, minimum_n, measure.quarter)
        self._members_seen = [
            _Member(scope, value, _scored(scores[mask]), [book.mean(scores[c].where(mask)) for c in scores.columns])
            for scope, value, mask in members
        ]
        shares = {m: _shares(book, measure, part, now, m, w) for m, w in found.items()}
        drawn = book.resamples(
            rng=seed, draws=draws, units=part.frame["respondent"], strata=quarter_pattern(part.frame).astype(str)
        )
        self._at = {m: self._scores(share, book.totals[None])[0] for m, share in shares.items()}
        self._drawn = {m: self._scores(share, drawn) for m, share in shares.items()}
        self.left_out = pd.DataFrame(self._left, columns=["scope", "value", "reason"])

    def _members(
        self, part: Responses, scores: pd.DataFrame, now: Mask, by: str, minimum_n: int, quarter: str
    ) -> Iterator[tuple[str, str, Mask]]:
        yield "overall", "", now
        if by:
            labels = part.frame[by].where(now)
            counts = {str(v): _scored(scores[labels == v]) for v in sorted(labels.dropna().unique())}
            hidden = suppressed(counts, int((now & labels.isna().to_numpy(bool)).sum()), minimum_n)
            self._left += [(by, v, reason) for v, reason in hidden.items()]
            for value in counts:
                if value not in hidden:
                    yield by, value, (labels == value).to_numpy(bool)
        for name in part.quarters if len(part.quarters) > 1 else []:
            mask = (part.frame["quarter"] == name).to_numpy(bool)
            if name == quarter or _scored(scores[mask]) >= minimum_n:
                yield QUARTER, name, mask
            else:
                self._left.append((QUARTER, name, "too few"))

    def _scores(self, share: Callable[[Totals], Totals], totals: Array) -> Array:
        """Score of every member, (draws, members)."""
        weights = share(totals)
        means = np.stack([np.stack([m(totals) for m in member.means], axis=-1) for member in self._members_seen])
        return np.asarray((means * weights).sum(axis=-1).T)

    def _places(self, scope: str) -> list[int]:
        return [j for j, member in enumerate(self._members_seen) if member.scope == scope]

    def _figures(self, method: str, reference: str, j: int, level: float) -> dict[str, float]:
        """Score of one member with its interval, and its difference from that under the reference."""
        n = self._members_seen[j].n
        own, drawn = self._at[method][j : j + 1], self._drawn[method][:, j : j + 1]
        low, high = share_bounds(np.clip(own, 0, 100), np.clip(drawn, 0, 100), n, level=level, scale=100.0)
        apart, moved = own - self._at[reference][j], drawn - self._drawn[reference][:, j : j + 1]
        under, over = difference_bounds(apart, moved, n, level=level)
        values = {"estimate": own, "low": low, "high": high,
                  "difference": apart, "difference_low": under, "difference_high": over}  # fmt: skip
        return {k: float(v[0]) for k, v in values.items()}

    def index(self, reference: str, level: float) -> pd.DataFrame:
        """The overall index under every method."""
        rows = {m: self._figures(m, reference, 0, level) for m in self._at}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")

    def groups(self, reference: str, level: float) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Scores and ranks of groups and quarters, and what each method does to the rankings."""
        rows, rankings = [], []
        for scope in dict.fromkeys(m.scope for m in self._members_seen[1:]):
            places = self._places(scope)
            before = ranks_of(self._at[reference][places])
            for method in self._at:
                own, drawn = self._at[method][places], self._drawn[method][:, places]
                errors = (drawn - own)[~np.isnan(drawn).any(axis=1)]
                best, worst = rank_sets(own, errors, level=level) if len(own) > 1 else (np.ones(1), np.ones(1))
                ranks = ranks_of(own)
                for k, j in enumerate(places):
                    member = self._members_seen[j]
                    rows.append(
                        {"scope": scope, "value": member.value, "method": method, "n": member.n,
                         **self._figures(method, reference, j, level),
                         "rank": ranks[k], "rank_low": best[k], "rank_high": worst[k], "shift": ranks[k] - before[k]}
                    )  # fmt: skip
                shift = np.abs(ranks - before)
                drawn_tau = kendall(drawn, self._drawn[reference][:, places])
                known = drawn_tau[~np.isnan(drawn_tau)]
                tail = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if len(known) else (np.nan, np.nan)
                tau = float(kendall(own, self._at[reference][places]))
                rankings.append((scope, method, tau, *map(float, tail), shift.mean(), shift.max()))
        return pd.DataFrame(rows, columns=GROUPS), pd.DataFrame(rankings, columns=RANKINGS)


def _scored(scores: pd.DataFrame) -> int:
    """Respondents who can be scored, on the dimension where they are fewest."""
    return int(scores.notna().sum().min())


def _shares(
    book: Columns, measure: Measure, part: Responses, now: Mask, method: str, weights: Weights
) -> Callable[[Totals], Totals]:
    """Weights of a method as a function of totals."""
    if method in FIXED:
        constant = weights.table["weight"].to_numpy(float)
        return lambda t: np.broadcast_to(constant, (*t.shape[:-1], len(constant)))
    if method == "allocation":
        frame = part.frame.copy()
        prefix = part.instrument.allocation.prefix if part.instrument.allocation else ""
        frame.loc[~now, [prefix + c for c in part.instrument.dimension_codes]] = np.nan
        parts = allocation_parts(book, Responses(part.instrument, frame))
        return lambda t: np.stack([p(t) for p in parts], axis=-1)
    derived = cast(Derived, method)
    sample = sample_for(measure, derived)
    columns = np.zeros((len(part), sample.columns.shape[1]))
    columns[np.flatnonzero(now)[sample.whole]] = sample.columns
    block = book.block(columns)
    return lambda t: weights_from(block(t), derived, len(sample.codes))
