"""Disclosure control from its definition: all tables with the same sums are played at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from sqmodel.benchmark.profile import DisclosureRules

RULES = DisclosureRules()


def every_table(counts: Sequence[int]) -> list[tuple[int, ...]]:
    """All tables with the same n, sum and sum of squares, by trying all."""
    k = range(1, len(counts) + 1)
    power = [[v**p for v in k] for p in range(3)]
    sums = [sum(w * c for w, c in zip(row, counts, strict=True)) for row in power]
    n = sums[0]
    head = itertools.product(range(n + 1), repeat=len(counts) - 1)
    full = ((*h, n - sum(h)) for h in head if sum(h) <= n)
    return [t for t in full if all(sum(w * c for w, c in zip(r, t, strict=True)) == s
                                   for r, s in zip(power, sums, strict=True))]  # fmt: skip


def compositions(total: int, cells: int) -> list[tuple[int, ...]]:
    """All whole numbers with this sum."""
    if cells == 1:
        return [(total,)]
    return [(k, *more) for k in range(total + 1) for more in compositions(total - k, cells - 1)]


def game(
    tables: Sequence[tuple[int, ...]], kept: Sequence[int] = (), thresholds: Any = None, rules: DisclosureRules = RULES
) -> dict[tuple[int, ...], list[tuple[bool, tuple[int, ...]]]]:
    """Of every table with the same sums: whether thresholds stay, and the smallest sets that may be withheld.

    None where nothing is enough. All tables are played at once, size by size, from the definition: a table that was
    served leaves the game. `thresholds`: table to the places of the categories between them, or None.
    """
    found: dict[tuple[int, ...], list[tuple[bool, tuple[int, ...]]]] = {t: [] for t in tables}
    left = [t for t in tables if any(0 < c < rules.minimum_cell for c in t)]
    cells = range(len(tables[0]))
    for told, size in itertools.product((True, False) if thresholds else (False,), range(1, len(cells) + 1)):
        for hidden in itertools.combinations(cells, size):
            classes: dict[Any, list[tuple[int, ...]]] = {}
            for t in left if set(kept) <= set(hidden) else ():
                groups = thresholds(t) if told else ()
                seen = [t[k] for k in cells if k not in hidden]
                if groups is not None and not any(0 < c < rules.minimum_cell for c in seen):
                    sums = tuple(sum(t[k] for k in g) for g in groups)
                    classes.setdefault((tuple(seen), groups, sums), []).append(t)
            for alike in classes.values():
                columns = [[t[k] for t in alike] for k in hidden]
                small_ones = [c for c in columns if any(0 < v < rules.minimum_cell for v in c)]
                if all(max(c) - min(c) >= rules.spread for c in small_ones):
                    for t in alike:
                        found[t].append((told, hidden))
        left = [t for t in left if not found[t]]
    return found
