"""The institutions of a quarter as the benchmark looks at them: who is shown, who is compared, and who is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import stats

from sqmodel.benchmark.comparison import Gate
from sqmodel.benchmark.content import Submission
from sqmodel.benchmark.profile import Profile, Register
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.random_effects import Pooled, pool_effects

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]

FEW_RESPONDENTS = "few respondents"
FEW_INDICATORS = "few indicators"
BIASED = "biased answers"
NOT_COMPARABLE = "not comparable"
NOT_ASSESSED = "not assessed"
NO_CASE_MIX = "no case mix"
FEW_INSTITUTIONS = "few institutions"
REASONS = (FEW_RESPONDENTS, FEW_INDICATORS, NOT_COMPARABLE, NOT_ASSESSED, BIASED, NO_CASE_MIX, FEW_INSTITUTIONS)
"""Why an institution is not ranked: fewer respondents than the profile publishes; fewer indicators than a composite
needs; answers that mean something else in all institutions, in unknown ways, or in this one; shares of clients that it
does not tell; fewer institutions than the profile publishes figures of, of which each could work out the others. With
the first two it has no figures at all, with the others its score is shown."""


@dataclass(frozen=True)
class Field:
    """Submissions of the quarter, sorted by institution, and the rules.

    Attributes
    ----------
    submissions : tuple of Submission
    profile : Profile
    tree : IndexTree
    register : Register
    gate : Gate
    draws : int
    notes : list of str
        Told on the way.
    withheld : list of tuple
        table, cell, rule: told on the way.
    """

    submissions: tuple[Submission, ...]
    profile: Profile
    tree: IndexTree
    register: Register
    gate: Gate
    draws: int
    notes: list[str] = field(default_factory=list)
    withheld: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def level(self) -> float:
        """Of all intervals and sets."""
        return self.profile.publication.level

    @property
    def z(self) -> float:
        """The normal quantile of the level."""
        return float(stats.norm.ppf((1 + self.level) / 2))

    @property
    def least(self) -> int:
        """Institutions behind a published total or mean."""
        return self.profile.disclosure.minimum_institutions

    @cached_property
    def codes(self) -> Texts:
        """Of the institutions."""
        return np.array([s.institution for s in self.submissions])

    @cached_property
    def n(self) -> Floats:
        """Scored respondents."""
        return np.array([s.n for s in self.submissions], dtype=float)

    @cached_property
    def peers(self) -> Texts:
        """Peer group of each institution, "" where it has none."""
        if self.profile.publication.peers == "none":
            return np.full(len(self.submissions), "")
        of = {m.code: m.peers for m in self.register.members}
        return np.array([of.get(c, "") for c in self.codes])

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Peer groups with an institution in this quarter, in the order of the register."""
        return tuple(g for g in self.register.peer_groups if (self.peers == g).any())

    @cached_property
    def enough(self) -> Bools:
        """Institutions with the respondents to be shown."""
        return np.asarray(self.n >= self.profile.publication.minimum_n)

    @cached_property
    def doubts(self) -> Texts:
        """Why the gate does not let an institution's answers be compared, "" where it does."""
        if self.gate.verdict == "not comparable":
            return np.full(len(self.codes), NOT_COMPARABLE)
        if self.gate.verdict == "not assessed":
            return np.full(len(self.codes), NOT_ASSESSED)
        biased = self.gate.biased
        beyond = set(biased.loc[biased["withheld"].astype(bool), "institution"]) if len(biased) else set()
        return np.array([BIASED if c in beyond else "" for c in self.codes])

    def perceived(self, scope: str) -> bool:
        """Whether clients' answers are part of a branch."""
        return bool({*self.tree.leaves(scope)} & {*self.profile.perception.values()})

    def middle(self, values: Floats, used: Bools) -> float:
        """Median of the institutions used, NaN of too few."""
        known = values[used & np.isfinite(values)]
        return float(np.median(known)) if len(known) >= self.least else np.nan

    def told_groups(self, used: Bools) -> tuple[str, ...]:
        """Peer groups of which a figure may be told beside that of all the institutions used."""
        hidden = hidden_groups(Counter(map(str, self.peers[used])), self.least)
        return tuple(g for g in self.groups if g not in hidden)

    def peers_middle(self, values: Floats, used: Bools) -> Floats:
        """Median of each institution's peer group."""
        found = np.full(len(values), np.nan)
        for group in self.told_groups(used & np.isfinite(values)):
            own = self.peers == group
            found[own] = self.middle(values, used & own)
        return found

    def pooled(self, values: Floats, errors: Floats, used: Bools) -> Pooled | None:
        """Random effects of the institutions used, None of too few."""
        at = used & np.isfinite(values) & np.isfinite(errors)
        if at.sum() < max(self.least, 2):
            return None
        return pool_effects(values[at], errors[at], level=self.level)

    def withhold(self, table: str, cell: str, rule: str) -> None:
        """Tell what the publication withholds."""
        self.withheld.append((table, cell, rule))


def hidden_groups(counts: Mapping[str, int], least: int) -> set[str]:
    """Which groups' figures must not be told beside that of all, nor which institutions belong to them?

    Groups that are too small, and those of no group (``""``), who are what is left of all others; where these are too
    few together, the smallest of the other groups are hidden with them.

    Parameters
    ----------
    counts : mapping
        Institutions by group.
    least : int
        Institutions that a figure rests on, at the least.

    Returns
    -------
    set of str

    Examples
    --------
    >>> sorted(hidden_groups({"city": 5, "national": 2, "rural": 6}, 3))
    ['city', 'national']
    """
    hidden = {group for group, count in counts.items() if count < least or not group}
    others = sorted((group for group in counts if group not in hidden), key=lambda g: (counts[g], g))
    while others and 0 < sum(counts[group] for group in hidden) < least:
        hidden.add(others.pop(0))
    return hidden


def best_practice(shrunken: Floats, direction: int = 1) -> float:
    """The best tenth of the institutions begins here: a quantile of shrunken values, which chance has not spread."""
    return float(np.quantile(shrunken, 0.9 if direction > 0 else 0.1))


def place_of(codes: Sequence[str] | Texts) -> dict[str, int]:
    """Row of each institution."""
    return {str(c): k for k, c in enumerate(codes)}
