"""Which groups are too small to show, so that nobody can work them out from what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def suppressed(counts: Mapping[str, int], unstated: int, minimum_n: int) -> dict[str, str]:
    """Groups to withhold, with the reason.

    Parameters
    ----------
    counts : mapping
        Respondents by group; the groups do not overlap.
    unstated : int
        Respondents of the total who are in no group that is shown (no group stated).
    minimum_n : int
        Least number of respondents for a figure to be shown.

    Returns
    -------
    dict
        Group to ``too few`` (fewer than `minimum_n`) or ``secondary``: big enough, but withheld because the total
        minus the groups shown would otherwise give a figure for fewer than `minimum_n` respondents.

    Notes
    -----
    What can be had by subtraction is the sum of everything withheld and unstated. So as long as that sum is above
    zero and below `minimum_n`, or consists of a single small group, the smallest group still shown joins it.

    Examples
    --------
    >>> suppressed({"a": 40, "b": 25, "c": 6}, 0, 10)
    {'c': 'too few', 'b': 'secondary'}
    >>> suppressed({"a": 40, "b": 25}, 0, 10)
    {}
    """
    hidden = {g: "too few" for g, n in counts.items() if n < minimum_n}
    open_groups = sorted((g for g in counts if g not in hidden), key=lambda g: (counts[g], g))
    while open_groups and _recoverable(counts, hidden, unstated, minimum_n):
        hidden[open_groups.pop(0)] = "secondary"
    return hidden


def _recoverable(counts: Mapping[str, int], hidden: Mapping[str, str], unstated: int, minimum_n: int) -> bool:
    """Whether subtraction gives a figure for too few respondents, or for one small group alone."""
    rest = unstated + sum(counts[g] for g in hidden)
    return 0 < rest < minimum_n


def hide_nested(
    labels: Mapping[str, Sequence[str | None]], hidden: dict[str, dict[str, str]], minimum_n: int
) -> dict[str, dict[str, str]]:
    """What must be withheld besides, because groups of one variable lie inside a group of another.

    A region minus its branches shown is the rest of the region. Where that rest is too small, the smallest branch
    shown joins it.

    Parameters
    ----------
    labels : mapping
        Variable to the group of each respondent (None: not stated).
    hidden : mapping
        Variable to what `suppressed` says of its groups.
    minimum_n : int

    Returns
    -------
    dict
        `hidden`, with further ``secondary`` groups.
    """
    result = {variable: dict(groups) for variable, groups in hidden.items()}
    sets = {
        variable: {g: {i for i, v in enumerate(column) if v == g} for g in sorted({v for v in column if v is not None})}
        for variable, column in labels.items()
    }
    changed = True
    while changed:
        changed = False
        for outer in sets:
            for whole in [members for g, members in sets[outer].items() if g not in result[outer]]:
                for inner in [variable for variable in sets if variable != outer]:
                    changed |= _hide_inside(whole, sets[inner], result[inner], minimum_n)
    return result


def _hide_inside(whole: set[int], groups: Mapping[str, set[int]], hidden: dict[str, str], minimum_n: int) -> bool:
    """Hide the smallest group that lies inside `whole` where the others leave too small a rest of it."""
    inside = {g: members for g, members in groups.items() if g not in hidden and members < whole}
    rest = len(whole) - sum(map(len, inside.values()))
    if not inside or rest == 0 or rest >= minimum_n:
        return False
    hidden[min(inside, key=lambda g: (len(inside[g]), g))] = "secondary"
    return True
