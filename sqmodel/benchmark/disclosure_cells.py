"""What is withheld of context shares, indicators and waiting tables: each a table of counts with one sum."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sqmodel.benchmark.content import Context, Indicator, Waiting, Withheld
from sqmodel.benchmark.disclosure_changes import DIFFERENCE, SMALL, TOO_FEW, Changes
from sqmodel.benchmark.disclosure_search import Search, shuffled, small
from sqmodel.benchmark.disclosure_system import Ints
from sqmodel.benchmark.profile import DisclosureRules


def withheld_shares(
    context: Sequence[Context], n: int, rules: DisclosureRules, changes: Changes, secret: Callable[[str], bytes]
) -> list[Withheld]:
    """Shares not to be sent: small groups, and others that hide them in the sum.

    Parameters
    ----------
    context : sequence of Context
    n : int
        Scored respondents.
    rules : DisclosureRules
    changes : Changes
        Against earlier revisions.
    secret : callable
        Of each variable its own, by which it is drawn what is withheld.

    Notes
    -----
    The shares of a variable sum to one; respondents who stated no value are a value more that is told by the rest, so
    it is hidden like any other when it is a small one. Least: fewest values; which of them, where several sets may be
    used, is drawn (`disclosure_search`).
    """
    found = []
    for variable, rows in itertools.groupby(sorted(context, key=lambda c: c.variable), key=lambda c: c.variable):
        own = list(rows)
        counts = np.rint(np.array([c.share for c in own]) * n).astype(np.int64)
        rest = max(n - int(counts.sum()), 0)
        kept = {k for k, c in enumerate(own) if (c.variable, c.value) in changes.shares}
        if rest:
            counts = np.append(counts, rest)
        hidden = _hidden_in_sum(counts, kept, len(own) if rest else None, rules, secret(variable))
        found += [Withheld("context", f"{variable}={own[k].value}", SMALL) for k in hidden if k < len(own)]
    return found


def _hidden_in_sum(
    counts: Ints, changed: set[int], rest: int | None, rules: DisclosureRules, secret: bytes
) -> tuple[int, ...]:
    """The least cells to hide where only their sum is known; what is not stated, at `rest`, is hidden in any case."""
    if not small(counts, rules.minimum_cell) and not changed:
        return ()
    kept = changed | ({rest} if rest is not None else set())
    free = range(len(counts))
    if small(counts, rules.minimum_cell):
        # Whether all stated a value may be known, so that tables of both kinds are no alternatives for one another.
        stated = None if rest is None else lambda tables: tables[:, rest] > 0
        search = Search(free, rules, 1, kept=kept, fits=stated)
        return next(search.drawn(counts, free, secret), (False, tuple(free)))[1]
    # One cell alone is told by the sum, whether or not it is a small one.
    others = [c for c in free if c not in kept]
    more = itertools.combinations(others, max(min(2 - len(kept), len(others)), 0))
    return shuffled([tuple(sorted((*kept, *m))) for m in more], counts, secret)[0]


def withheld_indicators(indicators: Sequence[Indicator], rules: DisclosureRules, changes: Changes) -> list[Withheld]:
    """Indicators not to be sent, whole: too few cases, or a small count of events or of trials without one.

    Notes
    -----
    Of a rate, exposure that is not whole cannot be counted; its events are. Codes with a dot are parts of the
    indicator whose trials and events they sum to (``standard.first_reply`` and the other stages of ``within_limit``):
    where a single part, or the sum alone, is withheld, the part with the fewest trials joins it, so that what
    subtraction gives is the sum of two; and so on while that sum itself is small.
    """
    reason: dict[str, str] = {}
    for own in indicators:
        if own.n < rules.minimum_n:
            reason[own.code] = TOO_FEW
        elif own.kind != "mean" and any(0 < cell < rules.minimum_cell for cell in _cells(own)):
            reason[own.code] = SMALL
        elif own.code in changes.indicators:
            reason[own.code] = changes.indicators[own.code]
    for total, parts in _sums(indicators):
        _hide_in_sum(total, parts, reason, rules)
    return [Withheld("indicators", own.code, reason[own.code]) for own in indicators if own.code in reason]


def _cells(own: Indicator) -> tuple[float, ...]:
    return (own.events, own.n - own.events) if own.kind == "share" else (own.events,)


def _sums(indicators: Sequence[Indicator]) -> Iterator[tuple[Indicator, list[Indicator]]]:
    """Indicators that are sums of parts: the trials and the events of all codes with the same beginning."""
    counted = [i for i in indicators if i.kind != "mean"]
    parts = sorted((i for i in counted if "." in i.code), key=lambda i: i.code.split(".")[0])
    for _, rows in itertools.groupby(parts, key=lambda i: i.code.split(".")[0]):
        group = list(rows)
        for total in counted:
            fits = abs(sum(i.n for i in group) - total.n) < 1e-6
            if total not in group and fits and abs(sum(i.events for i in group) - total.events) < 1e-6:
                yield total, group


def _hide_in_sum(total: Indicator, parts: Sequence[Indicator], reason: dict[str, str], rules: DisclosureRules) -> None:
    """Let parts join until the rest, which subtraction gives, is no small figure."""
    while True:
        hidden = [i for i in (total, *parts) if i.code in reason]
        if not hidden:
            return
        rest = [i for i in hidden if i is not total]
        n, events = sum(i.n for i in rest), sum(i.events for i in rest)
        cells = (events, n - events) if total.kind == "share" else (events,)
        told = total.code not in reason and (n < rules.minimum_n or any(0 < c < rules.minimum_cell for c in cells))
        if len(hidden) > 1 and not told:
            return
        # The total hides a single part as well as another part would, and is the larger loss.
        free = [i for i in parts if i.code not in reason] or [i for i in (total,) if i.code not in reason]
        if not free:
            return
        reason[min(free, key=lambda i: (i.n, i.code)).code] = SMALL


def withheld_waiting(waiting: Sequence[Waiting], rules: DisclosureRules, changes: Changes) -> list[Withheld]:
    """Points of the survival tables not to be sent: the fewest, so that between two points too few cannot be done.

    Notes
    -----
    The cells are the cases done between two points that are sent, those done before the first and those waiting at the
    last. To withhold a point merges two of them, so that nothing but sums is told and no cell needs a second one to
    hide it. Of equally few points, those with the longest hours are sent. Shares of censored cases are not whole
    numbers of cases; they are taken as they are.
    """
    found = []
    for stage, rows in itertools.groupby(sorted(waiting, key=lambda w: w.stage), key=lambda w: w.stage):
        own = sorted(rows, key=lambda w: w.hours)
        if min(w.n for w in own) < rules.minimum_n:
            rule = TOO_FEW
        elif stage in changes.stages:
            rule = DIFFERENCE
        else:
            rule = SMALL
        points = [w for w in own if (stage, w.hours) not in changes.points] if rule == SMALL else []
        sent = _kept_points([w.n * w.waiting for w in points], max(w.n for w in own), rules)
        kept = {points[k].hours for k in sent}
        found += [Withheld("waiting", f"{stage}:{w.hours:g}", rule) for w in own if w.hours not in kept]
    return found


def _kept_points(left: Sequence[float], n: float, rules: DisclosureRules) -> set[int]:
    """The most points such that no cell between them is small: dynamic programming from the first to the last."""

    def fine(cases: float) -> bool:
        return cases < 1e-6 or cases > rules.minimum_cell - 1e-6

    best: dict[int, tuple[int, tuple[int, ...]]] = {-1: (0, ())}
    before = [n, *left]
    for k, waiting in enumerate(left):
        ways = [(size + 1, (*path, k)) for j, (size, path) in best.items() if fine(before[j + 1] - waiting)]
        if ways:
            best[k] = max(ways)
    return set(max((way for k, way in best.items() if fine(before[k + 1])), default=(0, ()))[1])
