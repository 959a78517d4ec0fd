"""Which groups are too small to show, so that nobody can work them out from what is shown."""

from __future__ import annotations

from collections.abc import Mapping


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
