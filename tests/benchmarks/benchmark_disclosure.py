"""What does a reader find out who runs disclosure control backwards on one item's counts?

Run as ``python -m tests.benchmarks.benchmark_disclosure [--tables 300] [--seed 0]``. Of random tables (5 or 7 points,
14 to 80 answers, skewed), the reader knows n, the mean, the variance, the counts that are published, the rules and the
program. He lists all tables that fit, runs the program on each as an institution would, and keeps those of which the
same counts could have been withheld. Twice: as the program does it, with the set drawn by the institution's secret; and
with the set of the least sum instead, the obvious choice. Told are small counts of which one value is left (singled
out) or a range below `spread` (narrowed), how many tables could not be protected by their counts, and the odds on the
best guess, every table being as probable as any other beforehand. It ends with 1 where, as the program does it, one
small count is singled out or narrowed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from sqmodel.benchmark.disclosure_items import Table
from sqmodel.benchmark.disclosure_search import small
from sqmodel.benchmark.disclosure_system import System, enumerated, moment_rows
from sqmodel.benchmark.profile import DisclosureRules

RULES = DisclosureRules()
MOST = 400
"""Tables that fit, up to which each is run."""
Counts = tuple[int, ...]
Sets = list[Counts]


class Reader:
    """Runs the program on tables, each by itself, so that no answer for one can lean on that for another."""

    def __init__(self) -> None:
        self._sets: dict[Counts, Sets] = {}

    def sets(self, counts: Counts) -> Sets:
        """The sets of counts of which one is withheld of a table; none where nothing is enough."""
        if counts not in self._sets:
            table = Table(tuple(range(1, len(counts) + 1)), np.array(counts))
            told = small(table.counts, RULES.minimum_cell)
            self._sets[counts] = table.search(RULES).least(table.counts)[1] if told else [()]
        return self._sets[counts]

    def left(self, counts: Counts, hidden: Counts, least_sum: bool) -> list[Counts]:
        """Tables that fit what is published and of which the same could have been withheld."""
        own = np.array(counts)
        lower, upper = own.copy(), own.copy()
        lower[list(hidden)], upper[list(hidden)] = 0, int(own.sum())
        matrix, sums = moment_rows(range(1, len(counts) + 1), own)
        tables = enumerated(System(matrix, sums, sums, lower, upper))
        if tables is None or len(tables) > MOST:
            return []
        every = [tuple(t) for t in tables.tolist()]
        return [t for t in every if hidden in (self.sets(t) if not least_sum else smallest_sum(t, self.sets(t)))]


def smallest_sum(counts: Sequence[int], sets: Sets) -> Sets:
    """The one set that would be chosen by the sum of the withheld counts."""
    return sorted(sets, key=lambda s: (sum(counts[k] for k in s), s))[:1]


def attack(tables: int, seed: int, *, categories: Sequence[int] = (5, 7), most: int = 80) -> dict[str, Counter[str]]:
    """Figures of both ways to choose, by name."""
    rng, reader = np.random.default_rng(seed), Reader()
    ways: dict[str, Callable[[Counts, Sets], Counts]] = {
        "drawn": lambda _, sets: sets[int(rng.integers(len(sets)))],
        "least sum": lambda counts, sets: smallest_sum(counts, sets)[0],
    }
    found: dict[str, Counter[str]] = {name: Counter() for name in ways}
    for _ in range(tables):
        size, n = int(rng.choice(categories)), int(rng.integers(14, most))
        counts = tuple(rng.multinomial(n, rng.dirichlet(np.linspace(0.5, 3, size) * 1.5)).tolist())
        primary = small(np.array(counts), RULES.minimum_cell)
        for name, choose in ways.items() if primary else ():
            found[name]["tables"] += 1
            sets = reader.sets(counts)
            if not sets:
                found[name]["unprotected"] += 1
                continue
            left = reader.left(counts, choose(counts, sets), name == "least sum")
            found[name].update(_told(counts, primary, left, reader))
    return found


def _told(counts: Counts, primary: Sequence[int], left: list[Counts], reader: Reader) -> Counter[str]:
    """Of each small count: how far it is told."""
    found: Counter[str] = Counter()
    if not left:
        return Counter({"too many to run": 1})
    assert counts in left
    weight = [1 / len(reader.sets(t)) for t in left]
    for cell in primary:
        values = [t[cell] for t in left]
        width = max(values) - min(values)
        found["small counts"] += 1
        found["singled out"] += width == 0
        found["narrowed"] += 0 < width < RULES.spread
        by_value = [sum(w for w, v in zip(weight, values, strict=True) if v == value) for value in set(values)]
        found["odds above 9 to 1"] += max(by_value) > 0.9 * sum(weight)
    return found


def main() -> int:
    """Print the figures of both ways."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = attack(given.tables, given.seed)
    for name, figures in found.items():
        print(f"{name}: " + ", ".join(f"{figure} {count}" for figure, count in figures.items()))
    own = found["drawn"]
    return int(own["singled out"] + own["narrowed"] > 0 or not own["small counts"])


if __name__ == "__main__":
    sys.exit(main())
