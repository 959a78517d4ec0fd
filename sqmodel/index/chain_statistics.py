"""What a chain of index versions is made of: levels, offsets, linked values and differences, as functions of totals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.index.columns import Columns, Part, Totals, affordable, quarter_levels, quarter_pattern
from sqmodel.index.links import OVERLAP, Link, Segment
from sqmodel.index.scoring import OVERALL, weight_parts
from sqmodel.index.trend import with_verdicts
from sqmodel.numerics.resampling import Bootstrap
from sqmodel.survey.responses import Responses

Splice = Literal["additive", "ratio"]
Levels = Callable[[Totals], Totals]

SEGMENT = "@segment"
"""A column beside the answers' own, one of which may well be called "segment"."""
SERIES = ["quarter", "scope", "segment", "version", "n", "own", "estimate", "se", "low", "high", "signals"]
LINKS = ["segment", "scope", "method", "before", "after", "items", "share", "n_before", "n_after", "n_both", "offset",
         "se", "low", "high", "reason"]  # fmt: skip
RESTATEMENTS = ["quarter", "scope", "segment", "before", "after", "difference", "low", "high", "reason"]


@dataclass(frozen=True)
class Chain:
    """Segments and their links, and where each statistic of the joint bootstrap stands."""

    segments: tuple[Segment, ...]
    links: tuple[Link, ...]
    quarters: tuple[tuple[str, ...], ...]
    splice: Splice

    @cached_property
    def parts(self) -> list[Responses]:
        """Answers of each segment in the quarters that count, and in the one that its weights are from."""
        measures = [s.measure for s in self.segments]
        return [
            m.responses.keep(m.responses.frame["quarter"].isin([*own, m.quarter]))
            for m, own in zip(measures, self.quarters, strict=True)
        ]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The answers of all segments one under the other."""
        return pd.concat([p.frame.assign(**{SEGMENT: i}) for i, p in enumerate(self.parts)], ignore_index=True)

    @cached_property
    def scopes(self) -> list[str]:
        """The index and the dimensions of the last version."""
        return [OVERALL, *self.segments[-1].measure.instrument.dimension_codes]

    def first(self, scope: str) -> int:
        """The segment from which on a scope can be linked."""
        i = len(self.segments) - 1
        while i > 0 and self._links(i - 1, scope):
            i -= 1
        return i

    def _links(self, i: int, scope: str) -> bool:
        """Whether segments i and i + 1 are linked in a scope: the whole, or a dimension of both."""
        if scope == OVERALL:
            return True
        shared = all(scope in s.measure.instrument.dimension_codes for s in self.segments[i : i + 2])
        return shared and (self.links[i].method == OVERLAP or scope in self._matched_dimensions(i))

    @cached_property
    def places(self) -> list[tuple[str, str, int]]:
        """Rows of the series: scope, quarter, segment."""
        found = []
        for scope in self.scopes:
            for i in range(self.first(scope), len(self.segments)):
                following = self.quarters[i + 1][0] if i + 1 < len(self.segments) else ""
                found += [(scope, q, i) for q in self.quarters[i] if not following or q < following]
        return found

    @cached_property
    def steps(self) -> list[tuple[str, int]]:
        """Links by scope: scope, number of the segment that ends."""
        return [(s, i) for s in self.scopes for i in range(self.first(s), len(self.links))]

    @cached_property
    def pairs(self) -> npt.NDArray[np.intp]:
        """Positions in the series of every two quarters of a scope: the later, the earlier."""
        scope = [s for s, _, _ in self.places]
        found = [(b, a) for a, b in combinations(range(len(scope)), 2) if scope[a] == scope[b]]
        return np.array(found, dtype=np.intp).reshape(-1, 2)

    @cached_property
    def restated(self) -> list[tuple[str, str, int, int]]:
        """What older versions said: scope, quarter, segment, position of the linked value in the series."""
        place = {(s, q): k for k, (s, q, _) in enumerate(self.places)}
        return [
            (s, q, i, place[s, q])
            for s in self.scopes
            for i in range(self.first(s), len(self.links))
            for q in self.quarters[i]
        ]

    def bootstrap(self, options: dict[str, Any]) -> Bootstrap:
        """Series, offsets, differences and restatements of all draws."""
        rows = self.frame[SEGMENT].astype(str) + "/" + self.frame["quarter"].astype(str)
        weight = np.concatenate([p.sample_weight for p in self.parts])
        book = Columns(weight, self._margins(), rows)
        own, matched = self._levels(book)
        pattern = quarter_pattern(self.frame.assign(quarter=rows))
        count = len(self.places) + len(self.steps) + len(self.pairs) + len(self.restated)
        return book.bootstrap(lambda t: self._statistics(t, own, matched), units=self.frame["respondent"].astype(str),
                              strata=pattern, studentise=affordable(book, pattern, count, options["draws"]),
                              **options)  # fmt: skip

    def _margins(self) -> pd.DataFrame | None:
        """Margins that any segment was raked to; the others have none of them."""
        if all(p.calibration is None for p in self.parts):
            return None
        blocks = [
            (pd.DataFrame(index=range(len(p))) if p.calibration is None else p.calibration).add_prefix(f"{i}/")
            for i, p in enumerate(self.parts)
        ]
        return pd.concat(blocks, ignore_index=True).fillna(0.0)

    def _levels(self, book: Columns) -> tuple[list[Levels], list[tuple[Levels, Levels] | None]]:
        """Index and dimensions of each segment by quarter; and of the matched items before and after each link."""
        own, shares, parts = [], [], []
        for i, segment in enumerate(self.segments):
            part = Responses(segment.measure.instrument, self.frame)
            shares.append(weight_parts(book, part, self._rows(i, segment.measure.quarter), segment.chosen))
            scores = part.dimension_scores(list(segment.measure.items))
            own.append(quarter_levels(book, scores, [self._rows(i, q) for q in self.quarters[i]], shares[i]))
            parts.append(part)
        matched: list[tuple[Levels, Levels] | None] = []
        for i, link in enumerate(self.links):
            if link.method == OVERLAP:
                matched.append(None)
                continue
            scores = parts[i + 1].dimension_scores(list(link.items))
            there = self._matched_dimensions(i)
            kept = [share for c, share in zip(scores.columns, shares[i + 1], strict=True) if c in there]
            rows = [[self._rows(k, q) for q in of] for k, of in ((i, link.before), (i + 1, link.after))]
            before, after = (quarter_levels(book, scores[there], r, _rescaled(kept)) for r in rows)
            matched.append((before, after))
        return own, matched

    @cached_property
    def _where(self) -> dict[tuple[int, str], npt.NDArray[np.bool_]]:
        """Rows of each segment and quarter."""
        segment, quarter = (self.frame[c].to_numpy() for c in (SEGMENT, "quarter"))
        wanted = [(i, q) for i, own in enumerate(self.quarters) for q in {*own, self.segments[i].measure.quarter}]
        return {(i, q): (segment == i) & (quarter == q) for i, q in wanted}

    def _rows(self, i: int, quarter: str) -> npt.NDArray[np.bool_]:
        return self._where[i, quarter]

    def _statistics(self, t: Totals, own: list[Levels], matched: list[tuple[Levels, Levels] | None]) -> Totals:
        levels = [f(t) for f in own]
        only = [None if m is None else (m[0](t), m[1](t)) for m in matched]
        with np.errstate(divide="ignore", invalid="ignore"):
            offsets = {(s, i): self._offset(s, i, levels, only[i]) for s, i in self.steps}
            series = [self._linked(s, q, i, levels, offsets) for s, q, i in self.places]
        moved = [series[a] - series[b] for a, b in self.pairs]
        restated = [series[k] - self._own(s, q, i, levels) for s, q, i, k in self.restated]
        return np.stack([*series, *offsets.values(), *moved, *restated], axis=-1)

    def _own(self, scope: str, quarter: str, i: int, levels: list[Totals]) -> Totals:
        codes = [OVERALL, *self.segments[i].measure.instrument.dimension_codes]
        return np.asarray(levels[i][..., self.quarters[i].index(quarter), codes.index(scope)])

    def _linked(
        self, scope: str, quarter: str, i: int, levels: list[Totals], offsets: dict[tuple[str, int], Totals]
    ) -> Totals:
        value = self._own(scope, quarter, i, levels)
        for k in range(i, len(self.links)):
            value = value + offsets[scope, k] if self.splice == "additive" else value * offsets[scope, k]
        return value

    def _offset(self, scope: str, i: int, levels: list[Totals], matched: tuple[Totals, Totals] | None) -> Totals:
        link, ratio = self.links[i], self.splice == "ratio"
        old = sum(self._own(scope, q, i, levels) for q in link.before) / len(link.before)
        new = sum(self._own(scope, q, i + 1, levels) for q in link.after) / len(link.after)
        if matched is not None:
            place = [OVERALL, *self._matched_dimensions(i)].index(scope)
            before, after = (m[..., 0, place] for m in matched)
            old, new = (old / before, new / after) if ratio else (old - before, new - after)
        return np.asarray(new / old if ratio else new - old)

    def _matched_dimensions(self, i: int) -> list[str]:
        """Dimensions of the newer version that hold an unchanged item."""
        structure = self.segments[i + 1].measure.instrument.structure()
        return [d for d, members in structure.items() if set(members) & set(self.links[i].items)]

    def series_table(self, result: Bootstrap) -> pd.DataFrame:
        """Linked values with the versions' own."""
        own = {(s, q, i): result.estimate[k] - result.estimate[self._restated_from + r]
               for r, (s, q, i, k) in enumerate(self.restated)}  # fmt: skip
        rows = []
        for k, (scope, quarter, i) in enumerate(self.places):
            value = float(result.estimate[k])
            rows.append((quarter, scope, i + 1, self.segments[i].version, int(self._rows(i, quarter).sum()),
                         float(own.get((scope, quarter, i), value)), value, float(result.se[k]),
                         float(result.low[k]), float(result.high[k])))  # fmt: skip
        return pd.DataFrame(rows, columns=SERIES[:-1])

    @property
    def _restated_from(self) -> int:
        return len(self.places) + len(self.steps) + len(self.pairs)

    def difference_table(self, result: Bootstrap) -> pd.DataFrame:
        """Every later minus every earlier quarter of a scope."""
        start = len(self.places) + len(self.steps)
        rows = [(self.places[a][1], self.places[b][1], self.places[a][0]) for a, b in self.pairs]
        table = pd.DataFrame(rows, columns=["quarter", "earlier", "scope"])
        return with_verdicts(table, result, np.arange(start, start + len(rows)), "difference")

    def link_table(self, result: Bootstrap) -> pd.DataFrame:
        """The offset of every link and scope."""
        rows = []
        for k, (scope, i) in enumerate(self.steps, start=len(self.places)):
            link = self.links[i]
            old, new = (
                set(self.frame.loc[np.any([self._rows(j, q) for q in of], axis=0), "respondent"])
                for j, of in ((i, link.before), (i + 1, link.after))
            )
            found = [float(x[k]) for x in (result.estimate, result.se, result.low, result.high)]
            rows.append((i + 2, scope, link.method, ", ".join(link.before), ", ".join(link.after), len(link.items),
                         link.share, len(old), len(new), len(old & new), *found,
                         self.segments[i + 1].reason.strip()))  # fmt: skip
        return pd.DataFrame(rows, columns=LINKS)

    def restatement_table(self, result: Bootstrap) -> pd.DataFrame:
        """What each older version said against the linked series."""
        rows = []
        for k, (scope, quarter, i, place) in enumerate(self.restated, start=self._restated_from):
            after, difference = float(result.estimate[place]), float(result.estimate[k])
            reason = "; ".join(s.reason.strip() for s in self.segments[i + 1 :])
            rows.append((quarter, scope, i + 1, after - difference, after, difference, float(result.low[k]),
                         float(result.high[k]), reason))  # fmt: skip
        return pd.DataFrame(rows, columns=RESTATEMENTS)

    def notes(self, series: pd.DataFrame) -> list[tuple[str, str]]:
        """Dimensions that begin late, and values that left the scale."""
        late = [(scope, self.first(scope)) for scope in self.scopes if self.first(scope)]
        found = [
            ("not_linked", f"{scope} cannot be linked to a version before {self.segments[i].version}")
            for scope, i in late
        ]
        outside = series[(series["estimate"] < 0) | (series["estimate"] > 100)]
        if len(outside):
            named = ", ".join(f"{s} of {q}" for q, s in outside[["quarter", "scope"]].itertuples(index=False))
            found.append(("outside_scale", f"linked values outside 0-100: {named}"))
        return found


def _rescaled(shares: Sequence[Part]) -> list[Part]:
    """Weights of some dimensions as shares of their sum."""

    def share(j: int) -> Part:
        return lambda t: shares[j](t) / sum(s(t) for s in shares)

    return [share(j) for j in range(len(shares))]
