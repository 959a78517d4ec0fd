"""How two versions of an index meet: over a quarter in which both were asked, or over the items that did not change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sqmodel.errors import Problem
from sqmodel.index.trend import answered_twice
from sqmodel.index.weighting import Weights, derive_weights
from sqmodel.measurement.measure import Measure
from sqmodel.survey.instrument import Instrument

OVERLAP, MATCHED = "overlap", "matched items"


@dataclass(frozen=True)
class Segment:
    """Quarters that were asked and scored in one way.

    Parameters
    ----------
    measure : Measure
        Its answers may hold several quarters; those after the measure's own quarter do not count.
    weights : Weights, optional
        Equal by default.
    reason : str
        Why this version replaced the one before; the first segment needs none.
    """

    measure: Measure
    weights: Weights | None = None
    reason: str = ""

    @property
    def version(self) -> str:
        """Name and version of the questionnaire."""
        return f"{self.measure.instrument.name} {self.measure.instrument.version}"

    @cached_property
    def chosen(self) -> Weights:
        """The weights, equal ones where none were given."""
        return self.weights or derive_weights(self.measure)


@dataclass(frozen=True)
class Link:
    """How a segment meets the next: the quarters compared on either side, and the items of both that are the same.

    Attributes
    ----------
    method : str
        ``overlap`` or ``matched items``.
    before, after : tuple of str
        Quarters of the old and of the new version that are compared; the same ones where they overlap.
    items : tuple of str
        Items that both versions have unchanged.
    share : float
        How much of the index these items carry, in the version where they carry less.
    """

    method: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    items: tuple[str, ...]
    share: float


def item_digest(instrument: Instrument, code: str) -> str:
    """Sha256 of what a respondent sees of an item: its text, and its scale with the anchors.

    Whether it is reversed counts too: the same text turned the other way is scored differently.
    """
    item, scale = instrument.item(code), instrument.scale_of(code)
    seen = {"text": item.text.model_dump(), "reversed": item.reversed, "minimum": scale.minimum,
            "maximum": scale.maximum, "anchors": {k: v.model_dump() for k, v in scale.anchors.items()}}  # fmt: skip
    return hashlib.sha256(json.dumps(seen, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def matched_items(old: Measure, new: Measure) -> tuple[str, ...]:
    """Items scored in both versions with the same code, text and scale, in the order of the new one."""
    both = [c for c in new.items if c in old.items]
    return tuple(c for c in both if item_digest(old.instrument, c) == item_digest(new.instrument, c))


def carried(segment: Segment, items: Sequence[str]) -> float:
    """Share of the index that some items carry: each dimension's weight, times their share of its scored items."""
    measure = segment.measure
    weight = segment.chosen.table["weight"].to_dict()
    total = 0.0
    for code, members in measure.instrument.structure().items():
        scored = [c for c in members if c in measure.items]
        total += float(weight[code]) * sum(c in items for c in scored) / len(scored)
    return total


def segment_problems(segments: Sequence[Segment]) -> list[Problem | str]:
    """What is wrong with the segments one by one: respondents twice in a quarter, no reason of a change."""
    problems: list[Problem | str] = []
    if len(segments) < 2:
        problems.append(f"expected at least 2 segments, found {len(segments)}")
    for number, segment in enumerate(segments, start=1):
        place = f"segment {number} ({segment.version})"
        if number > 1 and not segment.reason.strip():
            problems.append(f"{place}: expected a reason of the change, found none")
        problems += [Problem(f"{place}: {p.message}", p.where) for p in answered_twice(segment.measure.responses)]
    return problems


def plan_links(
    segments: Sequence[Segment], quarters: Sequence[list[str]], minimum_n: int, minimum_matched: float
) -> tuple[list[Link], list[Problem | str]]:
    """The link of each segment with the next over the quarters that are large enough, and all problems."""
    problems: list[Problem | str] = []
    for number, (segment, own) in enumerate(zip(segments, quarters, strict=True), start=1):
        if not own:
            place = f"segment {number} ({segment.version})"
            problems.append(
                f"{place}: expected a quarter with at least {minimum_n} respondents (minimum_n), found none"
            )
    seen = sorted({q for own in quarters for q in own})
    if len(seen) < 2 and not problems:
        problems.append(f"expected at least 2 quarters in all segments together, found {', '.join(seen) or 'none'}")
    links = []
    for i in range(len(segments) - 1):
        if quarters[i] and quarters[i + 1]:
            found = _link(segments[i], segments[i + 1], quarters[i], quarters[i + 1], minimum_matched)
            place = f"segments {i + 1} and {i + 2} ({segments[i].version}, {segments[i + 1].version})"
            if isinstance(found, Link):
                links.append(found)
            else:
                problems.append(f"{place}: {found}")
    return links, problems


def _link(old: Segment, new: Segment, before: list[str], after: list[str], least: float) -> Link | str:
    """The link, or why there is none."""
    items = matched_items(old.measure, new.measure)
    share = min(carried(old, items), carried(new, items))
    shared = tuple(q for q in before if q in after)
    late = [q for q in before if q >= after[0] and q not in shared]
    if late or before[0] > after[0]:
        return (
            f"expected the old version to end where the new one begins, found {before[0]} to {before[-1]} and "
            f"{after[0]} to {after[-1]}"
        )
    if shared:
        return Link(OVERLAP, shared, shared, items, share)
    if share < least or not items:
        return (
            "expected a quarter that both versions asked, or unchanged items (code, text and scale) that carry at "
            f"least {least:.0%} of the index; found no such quarter, and {_changed(old.measure, new.measure)} "
            f"({share:.0%} of the index)"
        )
    return Link(MATCHED, (before[-1],), (after[0],), items, share)


def _changed(old: Measure, new: Measure) -> str:
    """How many items both versions share, and how many of them changed."""
    both = [c for c in new.items if c in old.items]
    same = len(matched_items(old, new))
    scales = [c for c in both if _ends(old.instrument, c) != _ends(new.instrument, c)]
    found = f"{same} unchanged of {len(both)} items that have the same code"
    return f"{found}, {len(scales)} of them on another scale" if scales else found


def _ends(instrument: Instrument, code: str) -> tuple[int, int]:
    scale = instrument.scale_of(code)
    return scale.minimum, scale.maximum
