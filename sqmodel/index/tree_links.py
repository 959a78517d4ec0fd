"""Chain-linking of composite indices: one series of every unit over versions of the tree."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from sqmodel.errors import CompositeError, Problem
from sqmodel.index.alternatives import Alternatives
from sqmodel.index.composite import Arrangement, build_composite
from sqmodel.index.replicates import Design, Pool
from sqmodel.index.sampled_data import complete_from_samples
from sqmodel.index.samples import Sample
from sqmodel.index.tree import IndexTree
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]
REMEDY = "score the units under both versions in one period, and normalise by goalposts"


@dataclass(frozen=True)
class Period:
    """What is known of the units in a period.

    Parameters
    ----------
    data : DataFrame, units x columns
        As for `assess_uncertainty`.
    samples : sequence of Sample
        What the indicators were estimated from.
    """

    data: pd.DataFrame
    samples: Sequence[Sample] = ()


@dataclass(frozen=True)
class TreeSegment:
    """Periods that were scored by one version of a tree.

    Parameters
    ----------
    tree : IndexTree
    periods : mapping of name to Period
        Names sort in order of time, as 2026Q3 does.
    arrangement : Arrangement
        Normalised by goalposts: the ends of any other scale move with the units of a period.
    reason : str
        Why this version replaced the one before; the first segment needs none.
    """

    tree: IndexTree
    periods: Mapping[str, Period]
    arrangement: Arrangement = field(default_factory=lambda: Arrangement(normalise="goalposts"))
    reason: str = ""

    @property
    def version(self) -> str:
        """Name and version of the tree."""
        return f"{self.tree.name} {self.tree.version}"


@dataclass(frozen=True, repr=False)
class LinkedComposites(Result):
    """One series of every unit over several versions of a tree, on the scale of the last one.

    Attributes
    ----------
    n : int
        Units that every period has.
    version : str
        The tree whose scale the series is on.
    series : DataFrame
        period, unit, segment (from 1), version, own (the value on that version's scale), estimate (linked), se, low,
        high.
    differences : DataFrame
        period, earlier, unit, difference, se, low, high, joint_low, joint_high (hold for all units together), verdict
        and joint_verdict (``rose``, ``fell``, ``not sure``): between any two periods.
    links : DataFrame
        segment (the one that begins), period (shared), unit, offset (added to the old version), se, low, high, reason.
    left_out : DataFrame
        unit, reason.
    settings : dict
    """

    n: int
    version: str
    series: pd.DataFrame
    differences: pd.DataFrame
    links: pd.DataFrame
    left_out: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        periods = self.series["period"].drop_duplicates().tolist()
        own = self.differences[
            (self.differences["period"] == periods[-1]) & (self.differences["earlier"] == periods[0])
        ]
        counts = own["joint_verdict"].value_counts()
        told = ", ".join(f"{counts.get(v, 0)} {v}" for v in ("rose", "fell", "not sure"))
        return f"{periods[0]} to {periods[-1]} on {self.version}, {self.n} units: {told}"


def link_composites(
    segments: Sequence[TreeSegment], *, level: float = 0.95, draws: int = 1000, rng: int = 0
) -> LinkedComposites:
    """How did the units' index change over versions of the tree?

    Parameters
    ----------
    segments : sequence of TreeSegment
        In order of time; each shares a period with the next, in which the units are scored by both versions.
    level : float
    draws : int
        Of the samples. In a period the same rows are drawn for both versions: samples of one name must hold the same
        rows, whatever columns of them a version uses.
    rng : int
        Seed.

    Returns
    -------
    LinkedComposites

    Raises
    ------
    CompositeError
        Fewer than two segments, segments that share no period or overlap out of order, another normalisation than
        goalposts, a change without a reason, no unit that all periods have, periods without samples; all together. And
        what `build_composite` refuses.

    Notes
    -----
    The offset of a unit is its index by the new version less that by the old one in the shared period, the mean of
    several; the old values are moved by it, so that today's number is the published one. Offsets of several versions
    add up. A unit has an offset of its own: versions that weigh other things move units differently. Standard errors
    are those of the linked values over the draws, in which the error of the offset is; intervals are normal, joint ones
    by the largest absolute studentised deviation over the units.

    Examples
    --------
    >>> from sqmodel.index.samples import ErrorSample
    >>> from sqmodel.index.tree import Node
    >>> def tree(weight, version):
    ...     post = {"parent": "I", "goalposts": (0, 100)}
    ...     return IndexTree(name="t", version=version,
    ...                      nodes=(Node(code="I"), Node(code="a", **post), Node(code="b", weight=weight, **post)))
    >>> def period(shift):
    ...     data = pd.DataFrame({"a": [40.0, 50.0], "b": [60.0 + shift, 80.0]}, index=["x", "y"])
    ...     return Period(data, [ErrorSample("survey", data, data * 0 + 1)])
    >>> old = TreeSegment(tree(1, "1"), {"2026Q1": period(0), "2026Q2": period(0)})
    >>> new = TreeSegment(tree(3, "2"), {"2026Q2": period(0), "2026Q3": period(9)}, reason="b matters more")
    >>> link_composites([old, new])
    <LinkedComposites 2026Q1 to 2026Q3 on t 2, 2 units: 1 rose, 0 fell, 1 not sure>
    """
    problems = [*_problems(segments, level, draws)]
    if problems:
        raise CompositeError("chain-linking", problems, REMEDY)
    scored = [{name: _scored(s, name, draws, rng) for name in sorted(s.periods)} for s in segments]
    units, left_out = _common(scored)
    values = [{p: frame[units].to_numpy() for p, frame in own.items()} for own in scored]
    offsets = _offsets(values)
    series, links = _linked(segments, values, offsets)
    z = float(norm.ppf((1 + level) / 2))
    return LinkedComposites(
        n=len(units), version=segments[-1].version, series=_series_table(segments, values, series, units, z),
        differences=_difference_table(series, units, z, level), links=_link_table(segments, links, units, z),
        left_out=left_out,
        settings={"level": level, "draws": draws, "seed": rng, "splice": "additive", "interval": "normal, over draws"},
    )  # fmt: skip


def _problems(segments: Sequence[TreeSegment], level: float, draws: int) -> Iterator[str]:
    if len(segments) < 2:
        yield f"expected at least 2 segments, found {len(segments)}"
    for number, segment in enumerate(segments, start=1):
        place = f"segment {number} ({segment.version})"
        if not segment.periods:
            yield f"{place}: expected periods, found none"
        if segment.arrangement.normalise != "goalposts":
            yield f"{place}: expected goalposts, whose ends do not move, found {segment.arrangement.normalise}"
        if number > 1 and not segment.reason.strip():
            yield f"{place}: expected a reason of the change, found none"
        without = [name for name, period in segment.periods.items() if not period.samples]
        if without:
            yield f"{place}: expected samples in every period, found none in {', '.join(without)}"
    for k, (old, new) in enumerate(pairwise(segments), start=1):
        place = f"segments {k} and {k + 1} ({old.version}, {new.version})"
        shared = set(old.periods) & set(new.periods)
        if not shared:
            yield f"{place}: expected a period that both versions score, found none"
        elif {*sorted(old.periods)[-len(shared) :]} != shared or {*sorted(new.periods)[: len(shared)]} != shared:
            yield f"{place}: expected the old version to end where the new begins, found {', '.join(sorted(shared))}"
    if draws < 100:
        yield f"draws: expected at least 100, found {draws}"
    if not 0.5 < level < 1:
        yield f"level: expected a share above .5 and below 1, found {level}"


def _scored(segment: TreeSegment, name: str, draws: int, seed: int) -> pd.DataFrame:
    """The index of a period by its units, first as it is and then in every draw."""
    period, tree = segment.periods[name], segment.tree
    wanted = {*tree.indicators, *(tree.node(c).denominator for c in tree.indicators)}
    data = complete_from_samples(period.data, tree, period.samples)
    composite = build_composite(data[[c for c in data if c in wanted]], tree, arrangement=segment.arrangement)
    design = Design.of(composite, data, tree, segment.arrangement, Alternatives(), "", period.samples, None)
    pool = Pool(tuple(_drawn(replace(design, samples=(s,)), name, draws, seed) for s in period.samples), {}, None)
    found = design.scores({s.name: np.arange(draws) for s in period.samples}, pool).scores
    return pd.DataFrame(np.vstack([composite.index.to_numpy(), found]), columns=composite.index.index)


def _drawn(design: Design, name: str, draws: int, seed: int) -> Floats:
    """Draws of one sample in a period, of a stream of their own: another version draws the same rows."""
    key = [seed, zlib.crc32(name.encode()), zlib.crc32(design.samples[0].name.encode())]
    return design.pool(draws, np.random.default_rng(key)).samples[0]


def _common(scored: Sequence[Mapping[str, pd.DataFrame]]) -> tuple[list[str], pd.DataFrame]:
    """Units that every period scores, in the order of the last one, and the others."""
    frames = [(p, f) for own in scored for p, f in own.items()]
    missing: dict[str, list[str]] = {}
    for unit in dict.fromkeys(str(u) for _, f in frames for u in f):
        without = [p for p, f in frames if unit not in f or f[unit].isna().any()]
        if without:
            missing[unit] = list(dict.fromkeys(without))
    units = [str(u) for u in frames[-1][1] if str(u) not in missing]
    if not units:
        told = Problem("expected a unit with a score in every period, found none of", tuple(missing))
        raise CompositeError("chain-linking", [told], "link the periods that have the same units")
    table = pd.DataFrame({"unit": list(missing), "reason": [f"no score in {', '.join(p)}" for p in missing.values()]})
    return units, table


def _offsets(values: Sequence[Mapping[str, Floats]]) -> list[Floats]:
    """What each version before the last is moved by to meet the next, shape (1 + draws, units)."""
    return [np.mean([new[p] - old[p] for p in sorted(old.keys() & new.keys())], axis=0)
            for old, new in pairwise(values)]  # fmt: skip


def _linked(
    segments: Sequence[TreeSegment], values: Sequence[Mapping[str, Floats]], offsets: Sequence[Floats]
) -> tuple[dict[str, tuple[int, Floats]], list[tuple[int, str, Floats, str]]]:
    """Of every period the segment it is taken from and its linked values; and the links."""
    series: dict[str, tuple[int, Floats]] = {}
    for k, own in enumerate(values):
        moved = np.sum(offsets[k:], axis=0) if offsets[k:] else 0.0
        # From a shared period on the newer version counts.
        series |= {p: (k, v + moved) for p, v in own.items()}
    links = [
        (k + 2, ", ".join(sorted(values[k].keys() & values[k + 1].keys())), offset, segments[k + 1].reason)
        for k, offset in enumerate(offsets)
    ]
    return dict(sorted(series.items())), links


def _bounds(found: Floats, z: float) -> dict[str, Floats]:
    """Standard error over the draws, and normal bounds; found: (1 + draws, units)."""
    se = found[1:].std(axis=0, ddof=1)
    return {"se": se, "low": found[0] - z * se, "high": found[0] + z * se}


def _series_table(
    segments: Sequence[TreeSegment], values: Sequence[Mapping[str, Floats]], series: Mapping[str, tuple[int, Floats]],
    units: list[str], z: float,
) -> pd.DataFrame:  # fmt: skip
    rows = [
        pd.DataFrame({"period": period, "unit": units, "segment": k + 1, "version": segments[k].version,
                      "own": values[k][period][0], "estimate": found[0], **_bounds(found, z)})
        for period, (k, found) in series.items()
    ]  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def _link_table(
    segments: Sequence[TreeSegment], links: Sequence[tuple[int, str, Floats, str]], units: list[str], z: float
) -> pd.DataFrame:
    rows = [
        pd.DataFrame({"segment": k, "period": period, "unit": units, "offset": found[0], **_bounds(found, z),
                      "reason": reason})
        for k, period, found, reason in links
    ]  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def _difference_table(
    series: Mapping[str, tuple[int, Floats]], units: list[str], z: float, level: float
) -> pd.DataFrame:
    rows, names = [], list(series)
    for later in range(1, len(names)):
        for earlier in range(later):
            found = series[names[later]][1] - series[names[earlier]][1]
            bounds = _bounds(found, z)
            se = bounds["se"]
            with np.errstate(invalid="ignore", divide="ignore"):
                told = np.abs(found[1:] - found[1:].mean(axis=0)) / se
            largest = np.where(np.isfinite(told), told, 0.0).max(axis=1)
            reach = max(float(np.quantile(largest, level)), z) * se
            table = pd.DataFrame({"period": names[later], "earlier": names[earlier], "unit": units,
                                  "difference": found[0], **bounds, "joint_low": found[0] - reach,
                                  "joint_high": found[0] + reach})  # fmt: skip
            rows.append(table)
    table = pd.concat(rows, ignore_index=True)
    for prefix in ("", "joint_"):
        low, high = table[f"{prefix}low"], table[f"{prefix}high"]
        table[f"{prefix}verdict"] = np.where(low > 0, "rose", np.where(high < 0, "fell", "not sure"))
    return table
