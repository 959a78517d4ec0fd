"""Disclosure control of what an institution sends: no reader may work out a small group."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from sqmodel.benchmark.content import ItemMoments, Ordinal, Submission, Withheld
from sqmodel.benchmark.disclosure_cells import withheld_indicators, withheld_shares, withheld_waiting
from sqmodel.benchmark.disclosure_changes import DIFFERENCE, SMALL, TOO_FEW, change_problems, changes
from sqmodel.benchmark.disclosure_items import Choice, mergers
from sqmodel.benchmark.disclosure_joint import Total, complete
from sqmodel.benchmark.disclosure_tables import Structure, chosen_items, drawing, table_problems
from sqmodel.benchmark.disclosure_totals import PublishedTotals, unsafe_changes, unsafe_totals
from sqmodel.benchmark.profile import DisclosureRules
from sqmodel.errors import InputError
from sqmodel.measurement.moments import Moments

__all__ = ["DisclosureError", "PublishedTotals", "Total", "mergers", "needs_complete_scores", "protect",
           "unsafe_changes", "unsafe_totals"]  # fmt: skip

REMEDY = (
    "wait for more answers, or send the quarter with the next one; a submission from which somebody's answer could be "
    "worked out is not written"
)


class DisclosureError(InputError):
    """Nothing can be sent, because whatever is withheld some figure tells of a few."""


def protect(
    submission: Submission,
    rules: DisclosureRules,
    *,
    secret: bytes,
    earlier: Sequence[Submission] = (),
    structure: Mapping[str, Sequence[str]] | None = None,
    totals: Sequence[Total] = (),
) -> Submission:
    """What of a submission may leave the institution?

    Counts, moments and thresholds of an item are decided jointly: n, the mean and the variance are three equations
    that give back three counts. What is withheld is the least with which every small count can still be any of a range
    of at least ``rules.spread``, found in the whole numbers that solve all that is published together, also by a reader
    who asks of which tables the same would have been withheld; what is least, and what a reader is taken to know, is
    said in `sqmodel.benchmark.disclosure_items` and `sqmodel.benchmark.disclosure_search`.

    Parameters
    ----------
    submission : Submission
        With nothing withheld.
    rules : DisclosureRules
    secret : bytes
        Known to the institution alone (`signing.drawing_secret` of its key): it draws which of equally many counts are
        withheld. The same secret and answers give the same result.
    earlier : sequence of Submission
        What this institution sent before, as it was sent: revisions of the quarter, and other quarters.
    structure : mapping of str to sequence of str, optional
        Dimension to its items, which count equally in its score. Where no set of an item's counts is enough, all items
        of its dimension are withheld; without it all items of the questionnaire.
    totals : sequence of Total
        Sums of this institution's counts over quarters that are published somewhere.

    Returns
    -------
    Submission
        With `withheld` filled: table, cell (``ITEM=CATEGORY``, an item, ``VARIABLE=VALUE``, an indicator,
        ``STAGE:HOURS``; empty for a whole table) and rule: ``minimum n``, ``small counts`` (the same words for a small
        count and for one that hides it) or ``difference``.

    Raises
    ------
    DisclosureError
        Scores of fewer than ``rules.minimum_n`` respondents; a revision that differs from an earlier one by fewer; a
        small count that a published score gives whatever is withheld. All problems at once.

    Notes
    -----
    - Moments need ``minimum_n`` complete answers more than there are items: the sums of products of p whole-number
      items over n <= p respondents can have one solution only, which are the records themselves. With more, an item's
      covariances are each one sum over a two-way table; they rule out counts only where no order of the answers
      reaches them, which is looked at exactly (`disclosure_moments.Products`).
    - Scores are of all scored respondents, moments and counts of those who answered all items. Where the two numbers
      differ by less than ``minimum_n`` and not by 0, the sum of the scores of those few is told by subtraction. Then
      counts, moments and thresholds are all withheld (rule ``difference``). Nothing need be withheld where the scores
      are computed from the complete answers, so that both numbers are the same: see `needs_complete_scores`.
    - Scores are always sent, for without them there is nothing to compare. What they tell by themselves (all but one
      respondent at the top of the scale) is withheld by no rule but ``minimum_n``.
    - Polychoric correlations and their covariance are functions of two-way tables of merged categories. An item's
      thresholds are sent only where no merged category is small; that correlations do not tell small cells of a
      two-way table is not proven. See `mergers` for which categories to merge before the correlations are computed.
    - Other quarters are answers given anew, also by a respondent of both: no equation ties their counts, unless
      `totals` over quarters do. Then the counts of all of these quarters are solved for together.
    - An earlier revision with the same answers counts as published; with other respondents, see
      `disclosure_joint.choose_jointly`; with as many respondents and other answers, fewer than ``minimum_n`` that
      differ are refused. What both tell together where the rules changed between them is not looked at: keep the rules
      within a quarter. Where no counts are safe beside those sent before, all counts, moments and thresholds are
      withheld, as they are where `structure` is not given and an item cannot be protected by its counts.
    """
    before = [s for s in earlier if s.quarter == submission.quarter and s.revision < submission.revision]
    problems = [*_problems(submission, rules, earlier), *change_problems(submission, before, rules)]
    if problems:
        raise DisclosureError(f"{submission.institution} {submission.quarter}", problems, REMEDY)
    items, withheld = _items(submission, rules, structure or {}, earlier, before, totals, secret)
    changed = changes(submission, before, rules)
    cells = [
        *withheld_indicators(submission.indicators, rules, changed),
        *withheld_waiting(submission.waiting, rules, changed),
        *withheld_shares(
            submission.context, submission.n, rules, changed, partial(drawing, secret, submission, "context")
        ),
    ]
    gone = {(w.table, w.cell) for w in cells}
    return dataclasses.replace(
        items,
        indicators=tuple(i for i in submission.indicators if ("indicators", i.code) not in gone),
        waiting=tuple(w for w in submission.waiting if ("waiting", f"{w.stage}:{w.hours:g}") not in gone),
        context=tuple(c for c in submission.context if ("context", f"{c.variable}={c.value}") not in gone),
        withheld=(*withheld, *cells),
    )


def needs_complete_scores(n: int | Iterable[int], complete_n: int, rules: DisclosureRules) -> bool:
    """Whether scores of all `n` respondents would tell of the few who did not answer all items.

    Parameters
    ----------
    n : int or iterable of int
        Scored respondents: of the index, or of each dimension.
    complete_n : int
        Those who answered all items.
    rules : DisclosureRules

    Examples
    --------
    >>> needs_complete_scores(104, 100, DisclosureRules()), needs_complete_scores(100, 100, DisclosureRules())
    (True, False)
    """
    return any(0 < abs(k - complete_n) < rules.minimum_n for k in ([n] if isinstance(n, int) else n))


def _problems(submission: Submission, rules: DisclosureRules, earlier: Sequence[Submission]) -> Iterator[str]:
    if submission.withheld:
        yield f"expected a submission with nothing withheld, found {len(submission.withheld)} figures withheld"
    yield from table_problems(submission)
    for score in submission.scores:
        if score.n < rules.minimum_n:
            yield f"scores: expected {rules.minimum_n} respondents or more, found {score.n} of {score.scope}"
    if submission.n < rules.minimum_n:
        yield f"expected {rules.minimum_n} scored respondents or more, found {submission.n}"
    others = sorted({s.institution for s in earlier} - {submission.institution})
    if others:
        yield f"earlier: expected submissions of {submission.institution}, found some of {', '.join(others)}"
    again = [s for s in earlier if s.quarter == submission.quarter and s.revision >= submission.revision]
    if again:
        latest = max(s.revision for s in again)
        yield f"revision: expected one above {latest}, which was sent before, found {submission.revision}"


def _items(
    submission: Submission, rules: DisclosureRules, structure: Structure, earlier: Sequence[Submission],
    before: Sequence[Submission], totals: Sequence[Total], secret: bytes,
) -> tuple[Submission, list[Withheld]]:  # fmt: skip
    """Counts, moments and thresholds, with what is withheld of them."""
    n = complete(submission)
    if n is None:
        return submission, []
    if n < rules.minimum_n:
        return _without_items(submission, TOO_FEW)
    if needs_complete_scores([submission.n, *(s.n for s in submission.scores)], n, rules):
        return _without_items(submission, DIFFERENCE)
    others = [s for s in earlier if s.quarter != submission.quarter]
    chosen = chosen_items(submission, rules, structure, [*others, *before], totals, secret)
    lost = [item for item, choice in chosen.items() if choice is None]
    if lost:
        _refuse(submission, lost, structure)
        return _without_items(submission, SMALL)
    return _with_choices(submission, {i: c for i, c in chosen.items() if c is not None}, n, rules)


def _refuse(submission: Submission, lost: Sequence[str], structure: Structure) -> None:
    """Small counts that are told even if all counts, moments and thresholds are withheld."""
    single = {items[0]: d for d, items in structure.items() if len(items) == 1}
    told = [f"{i}: expected a score of {single[i]} from which no small count follows, found one that gives it"
            for i in lost if i in single]  # fmt: skip
    if told:
        raise DisclosureError(f"{submission.institution} {submission.quarter}", told, REMEDY)


def _without_items(submission: Submission, rule: str) -> tuple[Submission, list[Withheld]]:
    tables = [name for name in ("counts", "moments", "ordinal") if getattr(submission, name)]
    return dataclasses.replace(submission, counts=(), moments=None, ordinal=None), [
        Withheld(name, "", rule) for name in tables
    ]


def _with_choices(
    submission: Submission, chosen: Mapping[str, Choice], n: int, rules: DisclosureRules
) -> tuple[Submission, list[Withheld]]:
    counts, withheld = [], []
    for own in submission.counts:
        hidden = chosen[own.item].hidden
        counts.append(own._replace(counts=tuple(None if k in hidden else c for k, c in enumerate(own.counts))))
        withheld += [Withheld("counts", f"{own.item}={own.categories[k]}", SMALL) for k in hidden]
    moments, ordinal = submission.moments, submission.ordinal
    if moments is not None:
        kept = [i for i in moments.items if chosen[i].moments]
        if not kept:
            withheld.append(Withheld("moments", "", TOO_FEW if n < len(chosen) + rules.minimum_n else SMALL))
        else:
            withheld += [Withheld("moments", i, SMALL) for i in moments.items if i not in kept]
        moments = _some_moments(moments, kept)
    if ordinal is not None:
        kept = [i for i in ordinal.items if chosen[i].ordinal]
        withheld += [Withheld("ordinal", i, SMALL) for i in ordinal.items if i not in kept]
        ordinal = _some_ordinal(ordinal, kept)
    return dataclasses.replace(submission, counts=tuple(counts), moments=moments, ordinal=ordinal), withheld


def _some_moments(moments: ItemMoments, kept: Sequence[str]) -> ItemMoments | None:
    if tuple(kept) == moments.items:
        return moments
    place = np.array([moments.items.index(i) for i in kept], dtype=int)
    if not kept:
        return None
    return ItemMoments(tuple(kept), moments.n, moments.mean[place], moments.cov[np.ix_(place, place)])


def _some_ordinal(ordinal: Ordinal, kept: Sequence[str]) -> Ordinal | None:
    """Statistics of some items; a correlation needs two."""
    if tuple(kept) == ordinal.items:
        return ordinal
    if len(kept) < 2:
        return None
    categories = dict(zip(ordinal.items, ordinal.categories, strict=True))
    chosen = Moments(ordinal.items, {"": ordinal.moments}, categories).select(kept)
    return Ordinal(tuple(kept), tuple(categories[i] for i in kept), chosen.groups[""])
