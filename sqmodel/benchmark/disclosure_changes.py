"""What differs from earlier revisions of a quarter: the difference of two releases is a release about a few."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sqmodel.benchmark.content import Indicator, Submission, Waiting
from sqmodel.benchmark.disclosure_joint import complete, release_of
from sqmodel.benchmark.profile import DisclosureRules

SMALL = "small counts"
TOO_FEW = "minimum n"
DIFFERENCE = "difference"


class Changes(NamedTuple):
    """What may not be sent of a revision, because of what was sent before.

    Attributes
    ----------
    shares : frozenset of (variable, value)
    indicators : dict
        Code to rule.
    stages : frozenset of str
    points : frozenset of (stage, hours)
    """

    shares: frozenset[tuple[str, str]] = frozenset()
    indicators: dict[str, str] = {}  # noqa: RUF012 - never changed
    stages: frozenset[str] = frozenset()
    points: frozenset[tuple[str, float]] = frozenset()


def change_problems(submission: Submission, before: Sequence[Submission], rules: DisclosureRules) -> Iterator[str]:
    """Revisions that tell of few respondents whatever is withheld of the counts."""
    for old in before:
        name = f"revision {old.revision}"
        few = f"expected as many as in {name} or a difference of {rules.minimum_n} or more"
        if 0 < abs(submission.n - old.n) < rules.minimum_n:
            yield f"respondents: {few} ({old.n}), found {submission.n}"
        n, of_old = complete(submission), complete(old)
        if n is not None and of_old is not None and 0 < abs(n - of_old) < rules.minimum_n:
            yield f"respondents who answered all items: {few} ({of_old}), found {n}"
        if n is None or n != of_old:
            continue
        for own in submission.counts:
            release = release_of(old, own.item)
            counts = np.array([c or 0 for c in own.counts], dtype=np.int64)
            moved = 0 if release is None else release.moved(counts)
            if 0 < moved < rules.minimum_n:
                yield (
                    f"{own.item}: expected the answers of {name}, or {rules.minimum_n} or more that differ, found "
                    f"{moved}"
                )


def changes(submission: Submission, before: Sequence[Submission], rules: DisclosureRules) -> Changes:
    """What the revisions of a quarter tell of shares, indicators and waiting tables.

    Notes
    -----
    What was withheld stays withheld. A share whose count changed by a small number, an indicator whose events, trials
    without one, or cases did, and a survival table in which a cell did, are withheld.
    """
    shares: set[tuple[str, str]] = set()
    indicators: dict[str, str] = {}
    stages: set[str] = set()
    points: set[tuple[str, float]] = set()
    for old in before:
        sent = {(c.variable, c.value): round(c.share * old.n) for c in old.context}
        told = {variable for variable, _ in sent} | {w.cell.split("=")[0] for w in old.withheld if w.table == "context"}
        for own in submission.context:
            place = own.variable, own.value
            change = abs(round(own.share * submission.n) - sent.get(place, 0))
            hidden = place not in sent and own.variable in told
            if hidden or (place in sent and 0 < change < rules.minimum_cell):
                shares.add(place)
        rule = {w.cell: w.rule for w in old.withheld if w.table == "indicators"}
        sent_indicators = {i.code: i for i in old.indicators}
        for own_indicator in submission.indicators:
            code = own_indicator.code
            if code in rule:
                indicators[code] = rule[code]
            elif code in sent_indicators and _few(own_indicator, sent_indicators[code], rules):
                indicators[code] = DIFFERENCE
        points |= {(w.cell.rsplit(":", 1)[0], float(w.cell.rsplit(":", 1)[1]))
                   for w in old.withheld if w.table == "waiting"}  # fmt: skip
        stages |= _few_cases(submission.waiting, old.waiting, rules)
    return Changes(frozenset(shares), indicators, frozenset(stages), frozenset(points))


def _few(own: Indicator, old: Indicator, rules: DisclosureRules) -> bool:
    """Whether two releases of an indicator differ by few cases."""
    n = abs(own.n - old.n)
    if own.kind == "mean":
        return 0 < n < rules.minimum_n
    events = abs(own.events - old.events)
    without = abs((own.n - own.events) - (old.n - old.events)) if own.kind == "share" else 0.0
    return 0 < n < rules.minimum_n or any(0 < c < rules.minimum_cell for c in (events, without))


def _few_cases(new: Sequence[Waiting], old: Sequence[Waiting], rules: DisclosureRules) -> set[str]:
    """Stages in which a cell between two points that both tables have changed by few cases."""
    found = set()
    for stage in {w.stage for w in old}:
        ours, theirs = ({w.hours: w for w in rows if w.stage == stage} for rows in (new, old))
        hours = sorted(set(ours) & set(theirs))
        if not hours:
            continue
        change = [float(ours[hours[0]].n - theirs[hours[0]].n)]
        change += [ours[h].n * ours[h].waiting - theirs[h].n * theirs[h].waiting for h in hours]
        cells = [abs(a - b) for a, b in itertools.pairwise(change)] + [abs(change[-1])]
        if any(1e-6 < c < rules.minimum_cell - 1e-6 for c in cells) or 0 < abs(change[0]) < rules.minimum_n:
            found.add(stage)
    return found
