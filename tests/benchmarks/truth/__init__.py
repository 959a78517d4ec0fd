"""Coverage of intervals and recovery of planted facts, on data simulated from a known truth.

Each module beside this one has ``trials(repetitions, seed) -> list[Trial]``; ``python -m tests.benchmarks.truth`` runs
all of them and prints a table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """What was claimed, how often it held, and the bounds within which the share must lie.

    Parameters
    ----------
    what : str
    n : int
        Units of each simulated data set.
    hits, repetitions : int
    low, high : float
        Bounds of the share; a coverage of 95 % intervals must be in .93 to .97.
    """

    what: str
    n: int
    hits: int
    repetitions: int
    low: float = 0.93
    high: float = 0.97

    @property
    def share(self) -> float:
        return self.hits / self.repetitions

    @property
    def holds(self) -> bool:
        return self.low <= self.share <= self.high
