"""The monitor's time: a clock that is set forward or back does not make cases old, or young, at once."""

from __future__ import annotations

from dataclasses import dataclass, field

TOLERANCE = 60.0
PATIENCE = 3


@dataclass
class Clock:
    """Instants from a clock that may be set, held together by one that may not.

    A step of more than a minute is believed once it has stood for three readings; until then time goes on as the
    monotonic clock says. Instants are microseconds of UTC.

    Examples
    --------
    >>> clock = Clock()
    >>> minute = 60_000_000
    >>> [clock.read(minute * m, 60.0 * k) // minute for k, m in enumerate([1, 2, 603, 604, 605])]
    [1, 2, 3, 4, 605]
    """

    now: int = 0
    stepped: float = 0.0
    """Seconds by which the clock differs from the time in use; 0 while they agree."""
    _at: float | None = None
    _doubted: int = field(default=0, repr=False)

    def read(self, reading: int, monotonic: float) -> int:
        """The time in use.

        Parameters
        ----------
        reading : int
            What the clock says.
        monotonic : float
            Seconds of a clock that nobody sets.
        """
        if self._at is None:
            self.now, self._at = reading, monotonic
            return self.now
        expected = self.now + round((monotonic - self._at) * 1e6)
        self._at = monotonic
        step = (reading - expected) / 1e6
        self._doubted = self._doubted + 1 if abs(step) > TOLERANCE else 0
        believed = self._doubted in (0, PATIENCE)
        if believed:
            self._doubted = 0
            # Small corrections never take time back.
            self.now = reading if abs(step) > TOLERANCE else max(self.now, reading)
        else:
            self.now = expected
        self.stepped = 0.0 if believed else step
        return self.now

    def ahead(self, monotonic: float) -> int:
        """The time in use where there is no clock to read: as much later as the monotonic clock says."""
        passed = 0.0 if self._at is None else monotonic - self._at
        return self.now + round(passed * 1e6)
