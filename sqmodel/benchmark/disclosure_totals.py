"""Which totals of groups of institutions the association withholds, so that no institution's value can be estimated."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.content import OVERALL
from sqmodel.benchmark.profile import DisclosureRules
from sqmodel.errors import InputError

Floats = npt.NDArray[np.float64]

FEW, DOMINANCE, ESTIMABLE, SECONDARY = "minimum institutions", "dominance", "p percent", "secondary"
MOST_GROUPS = 15
"""Groups up to which every set is tried; beyond, the smallest totals join one by one."""
COLUMNS = ["group", "institution", "value"]
HINT = "give one row an institution and group, with values that are not negative"


class TotalsError(InputError):
    """Contributions of which no totals can be made."""


class PublishedTotals(NamedTuple):
    """Totals of an earlier quarter.

    Attributes
    ----------
    contributions : DataFrame
        group, institution, value.
    withheld : mapping of str to str
        What `unsafe_totals` gave for them.
    """

    contributions: pd.DataFrame
    withheld: Mapping[str, str]


def unsafe_totals(
    contributions: pd.DataFrame, rules: DisclosureRules, *, earlier: Sequence[PublishedTotals] = ()
) -> dict[str, str]:
    """Which totals must be withheld?

    Groups' totals and the total of all (``overall``) are meant to be published. A total is withheld where too few
    institutions are behind it, where the n largest of them give more than k % of it (dominance), or where the second
    largest could estimate the largest within p %, knowing the total and its own value. Others are withheld with it
    (rule ``secondary``) until what subtraction gives of those withheld together obeys the same rules.

    Parameters
    ----------
    contributions : DataFrame
        group, institution, value (0 or more): a row an institution; groups do not overlap.
    rules : DisclosureRules
    earlier : sequence of PublishedTotals
        Earlier quarters, where totals of this and those quarters together are published too: for every group that is
        not withheld in this quarter, and for all.

    Returns
    -------
    dict
        Group, or ``overall``, to ``minimum institutions``, ``dominance``, ``p percent`` or ``secondary``.

    Raises
    ------
    TotalsError
        Missing columns, values below zero or not finite, or an institution twice. All problems at once.

    Notes
    -----
    The sum of the withheld totals is told by subtraction as soon as the overall total is published, so it is itself a
    total and obeys all three rules; and no total that breaks a rule may be known within p % of it, to outsiders or to
    an institution of another group that takes away its own value. The least is withheld: fewest groups, then the least
    sum, then by name; by trying all sets up to 15 groups, beyond by adding the smallest total that is not withheld yet.
    Where the total of all breaks a rule, or all groups withheld are not enough, the total of all is withheld (with rule
    ``secondary`` in the latter case), and then groups need not hide one another.

    With cumulated totals, a group published now is told of earlier quarters in which it was withheld. So a group that
    broke a rule then stays withheld, and of the others as many as are needed for what is left of each quarter to obey
    the rules. (A group withheld in two earlier quarters is taken to be told in both, where only its sum is.)
    """
    problems = [*_problems(contributions)]
    for quarter in earlier:
        problems += [f"earlier: {p}" for p in _problems(quarter.contributions)]
    if problems:
        raise TotalsError("contributions", problems, HINT)
    values = _by_group(contributions)
    primary = {g: rule for g, own in values.items() if (rule := _rule(own, rules))}
    everything = _joined(values, values)
    rule = _rule(everything, rules) if values else ""
    if rule:
        return dict(sorted({OVERALL: rule, **primary}.items()))
    tied = [(_by_group(q.contributions), q.withheld) for q in earlier]
    if not primary and not any(set(w) - {OVERALL} for _, w in tied):
        return {}
    for hidden in _sets(values, primary):
        if _safe(values, hidden, tied, rules):
            return dict(sorted({g: primary.get(g, SECONDARY) for g in hidden}.items()))
    # Without the overall total nothing ties the groups, unless cumulated totals do.
    others = dict.fromkeys(values, SECONDARY) if tied else {}
    return dict(sorted({OVERALL: SECONDARY, **others, **primary}.items()))


def unsafe_changes(now: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """Which changes between two quarters must be withheld: those of which either quarter's total is.

    Parameters
    ----------
    now, before : mapping of str to str
        What `unsafe_totals` gave for the quarters.

    Returns
    -------
    dict
        Group to rule; the present quarter's where both have one.

    Examples
    --------
    >>> unsafe_changes({"city": "dominance"}, {"rural": "secondary", "city": "secondary"})
    {'city': 'dominance', 'rural': 'secondary'}
    """
    return dict(sorted({**before, **now}.items()))


def _problems(frame: pd.DataFrame) -> Iterator[str]:
    missing = [c for c in COLUMNS if c not in frame.columns]
    if missing:
        yield f"expected columns {', '.join(COLUMNS)}, found none called {', '.join(missing)}"
        return
    values = pd.to_numeric(frame["value"], errors="coerce").to_numpy(dtype=float)
    wrong = frame[~(np.isfinite(values) & (values >= 0))]
    if len(wrong):
        yield f"expected values of 0 or more, found others of {_some(wrong['institution'])}"
    twice = frame.loc[frame["institution"].duplicated(), "institution"].drop_duplicates()
    if len(twice):
        yield f"expected every institution once, found more rows of {_some(twice)}"
    if (frame["group"] == OVERALL).any():
        yield f"expected groups with other names than {OVERALL!r}, which is the total of all, found one"


def _some(names: pd.Series) -> str:
    shown = [str(n) for n in names.head(5)]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _by_group(frame: pd.DataFrame) -> dict[str, Floats]:
    """Values by group, the largest first."""
    return {
        str(g): np.sort(own["value"].to_numpy(dtype=np.float64))[::-1] for g, own in frame.groupby("group", sort=True)
    }


def _joined(values: Mapping[str, Floats], groups: Set[str] | Mapping[str, Floats] | Sequence[str]) -> Floats:
    parts = [values[g] for g in groups]
    return np.sort(np.concatenate(parts))[::-1] if parts else np.zeros(0)


def _rule(own: Floats, rules: DisclosureRules) -> str:
    """The rule that a total of these contributions breaks, or nothing; a total of zero tells that all are zero."""
    if len(own) < rules.minimum_institutions:
        return FEW
    total, (n, k) = float(own.sum()), rules.dominance
    if float(own[:n].sum()) > k / 100 * total or total == 0:
        return DOMINANCE
    return ESTIMABLE if total - float(own[:2].sum()) < rules.p_percent / 100 * float(own[0]) else ""


def _sets(values: Mapping[str, Floats], primary: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    others = [g for g in values if g not in primary]
    total = {g: float(own.sum()) for g, own in values.items()}
    if len(values) <= MOST_GROUPS:
        for size in range(len(others) + 1):
            yield from sorted(
                (tuple(sorted((*primary, *more))) for more in itertools.combinations(others, size)),
                key=lambda s: (sum(total[g] for g in s), s),
            )
        return
    order = sorted(others, key=lambda g: (total[g], g))
    yield from (tuple(sorted((*primary, *order[:size]))) for size in range(len(order) + 1))


def _safe(
    values: Mapping[str, Floats], hidden: Sequence[str], earlier: Sequence[tuple[dict[str, Floats], Mapping[str, str]]],
    rules: DisclosureRules,
) -> bool:  # fmt: skip
    """Whether what is told of the withheld totals together, in this quarter and in earlier ones, is safe."""
    # What is published now and in the cumulated total is told of the quarters before.
    told = set(values) - set(hidden)
    left = [(values, set(hidden))]
    for own, withheld in earlier:
        gone = set(withheld) - {OVERALL}
        if any(_rule(own[g], rules) for g in gone & told):
            return False
        if OVERALL not in withheld:
            left.append((own, gone - told))
    return all(not groups or _hide_one_another(own, groups, rules) for own, groups in left)


def _hide_one_another(values: Mapping[str, Floats], hidden: Set[str], rules: DisclosureRules) -> bool:
    """Whether the withheld totals are safe as one, and none that breaks a rule is known within p % of it.

    An institution of another group takes its own value away from the sum of the other withheld totals.
    """
    if _rule(_joined(values, hidden), rules):
        return False
    for group in (g for g in hidden if _rule(values[g], rules)):
        others = [values[g] for g in hidden if g != group]
        free = sum(float(o.sum()) for o in others) - max((float(o[0]) for o in others), default=0.0)
        if free < rules.p_percent / 100 * float(values[group].sum()):
            return False
    return True
