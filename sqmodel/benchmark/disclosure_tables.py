"""Items of a submission as tables to decide on, with what was told of them before."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.special import ndtr

from sqmodel.benchmark.content import ItemCounts, Ordinal, Submission
from sqmodel.benchmark.disclosure_items import Choice, Table, Told, choose, choose_dimension
from sqmodel.benchmark.disclosure_joint import Release, Total, choose_jointly, release_of
from sqmodel.benchmark.disclosure_moments import products
from sqmodel.benchmark.disclosure_search import small
from sqmodel.benchmark.profile import DisclosureRules

Structure = Mapping[str, Sequence[str]]


def table_problems(submission: Submission) -> Iterator[str]:
    """What of counts, moments and thresholds does not go together, so that nothing could be decided on them."""
    moments = submission.moments
    for own in submission.counts:
        if any(c is None for c in own.counts):
            yield f"{own.item}: expected all counts, so that it can be decided which to withhold, found some withheld"
            continue
        k, counts = np.array(own.categories), np.array(own.counts, dtype=np.int64)
        if moments is None:
            continue
        if own.item not in moments.items:
            yield f"{own.item}: expected its mean and covariances, found none"
            continue
        place, n = moments.items.index(own.item), int(counts.sum())
        mean = float(moments.mean[place])
        sums = moments.n * mean, moments.n * (float(moments.cov[place, place]) + mean**2)
        for what, found, expected in zip(
            ("answers", "sum of answers", "sum of squared answers"),
            (moments.n, *sums), (n, int(k @ counts), int(k**2 @ counts)), strict=True,
        ):  # fmt: skip
            if abs(found - expected) > 1e-6 * max(n, 1):
                yield f"{own.item}: expected moments of the counted answers ({what} {expected}), found {found:.6g}"
                break
    known = {c.item: c for c in submission.counts}
    for item, ends in _thresholds(submission.ordinal):
        if item not in known:
            yield f"{item}: expected its counts beside its thresholds, found none"
        elif None not in known[item].counts and _merged(known[item], ends) is None:
            yield f"{item}: expected thresholds of the counted answers, found others"


def _thresholds(ordinal: Ordinal | None) -> Iterator[tuple[str, list[float]]]:
    if ordinal is None:
        return
    start = 0
    for item, categories in zip(ordinal.items, ordinal.categories, strict=True):
        yield item, ordinal.moments.thresholds[start : start + categories - 1].tolist()
        start += categories - 1


def _merged(own: ItemCounts, thresholds: Sequence[float]) -> tuple[tuple[int, ...], ...] | None:
    """Places of the categories between thresholds; an empty category goes with the one before it."""
    ends = np.cumsum(np.array(own.counts, dtype=np.int64))
    cuts = [int(np.argmin(np.abs(ends - ndtr(t) * ends[-1]))) for t in thresholds]
    if any(abs(ends[c] - ndtr(t) * ends[-1]) > 1e-3 for c, t in zip(cuts, thresholds, strict=True)):
        return None
    # Empty categories after a cut could be on either side; they are told to be empty by being published.
    bounds = [0, *(c + 1 for c in cuts), len(ends)]
    return tuple(tuple(range(a, b)) for a, b in itertools.pairwise(bounds))


def tables_of(submission: Submission, rules: DisclosureRules, before: Sequence[Submission]) -> dict[str, Table]:
    """Each item's table; what is only needed for items with small counts is computed for these only."""
    counts = {c.item: c for c in submission.counts}
    moments = submission.moments
    thresholds = dict(_thresholds(submission.ordinal))
    allowed = moments is not None and moments.n >= len(counts) + rules.minimum_n
    found: dict[str, Table] = {}
    shared = None
    for place, (item, own) in enumerate(counts.items()):
        table = np.array(own.counts, dtype=np.int64)
        merged = (_merged(own, thresholds[item]) or ()) if item in thresholds else ()
        fits = None
        if moments is not None and small(table, rules.minimum_cell):
            shared = shared or products(submission.counts, moments)
            fits = partial(shared.fit, place, own.categories, table)
        found[item] = Table(own.categories, table, allowed, merged, submission.ordinal is not None, fits)
    return {item: replace(t, told=_told(item, t, submission, before)) for item, t in found.items()}


def _told(item: str, table: Table, submission: Submission, before: Sequence[Submission]) -> Told:
    """What revisions of the quarter with the same answers told."""
    told = Told()
    for release in _releases(item, before, submission.quarter):
        if release.same(table.values, table.counts) and release.n in (None, int(table.counts.sum())):
            moments = release.mean is not None
            told = Told(told.counts | release.told, told.moments or moments, told.ordinal or release.ordinal)
    return told


def _releases(item: str, before: Sequence[Submission], quarter: str) -> list[Release]:
    return [r for s in before if s.quarter == quarter and (r := release_of(s, item)) is not None]


def chosen_items(
    submission: Submission, rules: DisclosureRules, structure: Structure, before: Sequence[Submission],
    totals: Sequence[Total], secret: bytes,
) -> dict[str, Choice | None]:  # fmt: skip
    """What is published of each item; None where nothing is safe."""
    tables = tables_of(submission, rules, before)
    found: dict[str, Choice | None] = {}
    for item, table in tables.items():
        others = _ties(item, table, submission, before, totals)
        own = [t for t in totals if t.item == item and submission.quarter in t.quarters]
        draw = drawing(secret, submission, "counts", item)
        found[item] = (
            choose_jointly(table, submission.quarter, others, own, rules, draw)
            if others
            else choose(table, rules, draw)
        )
        if found[item] is None and others:
            return found
    for items in structure.values():
        told = [i for i in items if i in found and found[i] is None]
        if told and set(items) <= set(tables) and choose_dimension([tables[i] for i in items], rules):
            found |= {i: Choice(False, False, tuple(range(len(tables[i].counts)))) for i in items}
    return found


def drawing(secret: bytes, submission: Submission, *name: str) -> bytes:
    """A secret of its own for every item and quarter, so that nothing that was drawn tells of another draw."""
    told = json.dumps([submission.institution, submission.quarter, *name])
    return hmac.digest(secret, told.encode(), hashlib.sha256)


def _ties(
    item: str, table: Table, submission: Submission, before: Sequence[Submission], totals: Sequence[Total]
) -> list[Release]:
    """Releases to look at together: revisions with other respondents, and quarters that totals tie to this one."""
    found = [r for r in _releases(item, before, submission.quarter) if not r.same(table.values, table.counts)]
    tied = {q for t in totals if t.item == item and submission.quarter in t.quarters for q in t.quarters}
    newest = {s.quarter: s for s in sorted(before, key=lambda s: s.revision)}
    for quarter in sorted(tied - {submission.quarter}):
        release = release_of(newest[quarter], item) if quarter in newest else None
        if release is not None:
            found.append(release)
    return found
