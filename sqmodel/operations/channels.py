"""Channels: what entry by hand, by recognition or by voice costs in minutes and in errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.numerics.resampling import bootstrap_totals
from sqmodel.operations.process_tally import Tally

Floats = npt.NDArray[np.float64]

ALL = "all steps"
MANUAL = "manual"
ENTRIES, MINUTES_TOLD, MINUTES, ERRORS_TOLD, ERRORS = range(5)
FEWEST = 20
"""Cases that a channel must be told of; with fewer, means are shown without an interval."""

COLUMNS = ("step", "channel", "reference", "n",
           "minutes_n", "minutes", "minutes_low", "minutes_high", "errors_n", "errors",
           "errors_low", "errors_high", "minutes_difference", "minutes_difference_low", "minutes_difference_high",
           "errors_difference", "errors_difference_low", "errors_difference_high", "reason")  # fmt: skip


def channel_frame(tally: Tally, *, level: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """Minutes and errors of an entry by channel; see `ProcessAnalysis.channels`."""
    channels = tally.facts.channels
    if not channels:
        return pd.DataFrame(columns=list(COLUMNS))
    reference = MANUAL if MANUAL in channels else channels[0]
    entries = tally.entries
    steps = np.flatnonzero(entries[..., ENTRIES].sum(axis=(0, 2)) > 0)
    options: dict[str, Any] = {"level": level, "draws": draws, "rng": rng}
    rows = []
    for chosen in ([int(c)] for c in steps):
        rows += _rows(entries[:, chosen], channels, reference, tally.facts.activities[chosen[0]], options)
    if len(steps) > 1:
        rows += _rows(entries[:, steps], channels, reference, ALL, options)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(
    entries: Floats, channels: list[str], reference: str, name: str, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """One row a channel; over several steps, means are standardised to the mix of steps of all entries."""
    r = channels.index(reference)
    results = {}
    for what, told, total in (("minutes", MINUTES_TOLD, MINUTES), ("errors", ERRORS_TOLD, ERRORS)):
        results[what] = [
            _compared(entries[..., told], entries[..., total], k, r, options) for k in range(len(channels))
        ]
    rows = []
    for k, channel in enumerate(channels):
        n = int(entries[:, :, k, ENTRIES].sum())
        if not n:
            continue
        row: dict[str, Any] = {"step": name, "channel": channel, "reference": reference, "n": n}
        reasons = []
        for what, told in (("minutes", MINUTES_TOLD), ("errors", ERRORS_TOLD)):
            level_, difference, reason = results[what][k]
            row[f"{what}_n"] = int(entries[:, :, k, told].sum())
            row |= dict(zip((what, f"{what}_low", f"{what}_high"), level_, strict=True))
            names = (f"{what}_difference", f"{what}_difference_low", f"{what}_difference_high")
            row |= dict(zip(names, difference, strict=True))
            reasons += [f"{what}: {reason}"] if reason else []
        rows.append(row | {"reason": "; ".join(reasons)})
    return rows


_NONE = (np.nan, np.nan, np.nan)


def _compared(
    told: Floats, total: Floats, k: int, reference: int, options: dict[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Mean of channel k and its difference from the reference, over the steps where both are used."""
    used = (told.sum(axis=0) > 0)[:, [k, reference]].all(axis=1)
    if not used.any():
        return _NONE, _NONE, f"nothing told where {'it and the reference' if k != reference else 'it'} are used"
    s = int(used.sum())
    columns = np.concatenate(
        [told[:, used].sum(axis=2), *(part[:, used, c] for c in (k, reference) for part in (told, total))], axis=1
    )

    def statistic(t: npt.NDArray[Any]) -> npt.NDArray[Any]:
        mix, n, sums, n0, sums0 = (t[..., i * s : (i + 1) * s] for i in range(5))
        weight = mix / mix.sum(axis=-1, keepdims=True)
        own = (weight * sums / n).sum(axis=-1)
        other = (weight * sums0 / n0).sum(axis=-1)
        return np.stack([own, own - other], axis=-1)

    cases = min(int((told[:, used, c].sum(axis=1) > 0).sum()) for c in (k, reference))
    if cases < FEWEST:
        mean, difference = (float(v) for v in statistic(columns.sum(axis=0)))
        second = math.nan if k == reference else difference
        return (mean, math.nan, math.nan), (second, math.nan, math.nan), f"fewer than {FEWEST} cases"
    found = bootstrap_totals(columns, statistic, **options)
    bounds = [(float(found.estimate[j]), float(found.low[j]), float(found.high[j])) for j in range(2)]
    own = (bounds[0][0], max(bounds[0][1], 0.0), bounds[0][2])
    return own, _NONE if k == reference else bounds[1], ""
