"""Control charts: has an indicator changed, or does it only vary as it always did?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from warnings import warn

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError, Problem, SmallSampleWarning
from sqmodel.numerics.control import RULES, detect, mean_range_sigma, simulate_stable
from sqmodel.operations.control_points import (
    FEWEST,
    Points,
    centre_estimate,
    episodes,
    false_alarms_of,
    limit_intervals,
    notes_of,
    point_table,
    scale,
    sigma_estimate,
)
from sqmodel.result import Estimate, Result

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Baseline = int | tuple[str, str] | None

WESTERN_ELECTRIC = ("beyond_limits", "two_of_three", "four_of_five", "run_of_eight")


@dataclass(frozen=True, repr=False)
class ControlChart(Result):
    """An indicator over time with the limits of its usual variation.

    Attributes
    ----------
    n : int
        Points with a value.
    method : str
        ``XmR``; ``u'`` or ``p'`` (Laney), or ``u`` or ``p``.
    centre : Estimate
        Mean of the baseline, weighted by denominators where there are any.
    sigma : Estimate
        Standard deviation of a point from moving ranges (XmR), or how many times more the points vary than chance
        alone makes them (u', p'; exactly 1 for u and p).
    points : DataFrame, index label
        value, count and size (NaN for XmR), centre, lower and upper with lower_low, lower_high, upper_low and
        upper_high (intervals of the limits), z (distance from the centre in standard deviations), moving_range,
        range_limit, baseline, signals (rules that this point completes, by comma) and reason (why there is no value).
    signals : DataFrame
        rule, side (``high``, ``low``), first and last (labels of the points that complete the pattern), points.
    false_alarms : DataFrame, index rule and ``any``
        per_point and per_chart: chance of a signal at a point and anywhere in this chart though nothing changed; se of
        per_chart, from simulation.
    notes : DataFrame
        code and text of what deserves doubt: ``few_points``, ``no_variation``, ``missing_points``, ``few_events``,
        ``autocorrelation``.
    settings : dict
    """

    n: int
    method: str
    centre: Estimate
    sigma: Estimate
    points: pd.DataFrame
    signals: pd.DataFrame
    false_alarms: pd.DataFrame
    notes: pd.DataFrame
    settings: dict[str, Any]

    @property
    def stable(self) -> bool:
        """Whether no rule signals; also true where there are too few points to signal."""
        return self.signals.empty

    def _headline(self) -> str:
        found = len(self.signals)
        state = f"{found} signal{'' if found == 1 else 's'}"
        if "few_points" in set(self.notes["code"]):
            state = "too few points for signals"
        chance = float(self.false_alarms["per_chart"].loc["any"])
        chance_text = "" if math.isnan(chance) else f", false alarm in {chance:.0%} of such charts"
        return f"{self.method}, {self.n} points: centre {self.centre}, {state}{chance_text}"


def chart_individuals(
    values: Sequence[float] | npt.ArrayLike,
    *,
    labels: Sequence[str],
    baseline: Baseline = None,
    rules: Sequence[str] = WESTERN_ELECTRIC,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 1,
) -> ControlChart:
    """XmR chart: individual values with limits from their moving ranges.

    Parameters
    ----------
    values : array_like, shape (n,)
        In order of time; NaN for a period without a value.
    labels : sequence of str, shape (n,)
        Names of the periods, each once.
    baseline : int, tuple of two labels, or None
        Points that give the limits: the first so many, those from one label to another, or all.
    rules : sequence of str
        Keys of `sqmodel.numerics.control.RULES`.
    bounds : tuple of float
        Values that the indicator cannot leave; limits are cut there.
    level, draws, rng
        Of intervals and false alarms, both simulated.

    Raises
    ------
    OperationsError
        Labels and values do not match, a label comes twice, a value is infinite, a rule or a label of the baseline is
        not known; all in one message.

    Warns
    -----
    SmallSampleWarning
        The baseline has fewer than 8 values: limits are shown with their interval, but nothing signals.

    Notes
    -----
    Centre: mean; limits: mean ± 3 (mean moving range) / 1.128 (Shewhart; NIST/SEMATECH e-Handbook 6.3.2.2). Intervals
    of the centre and of the limits hold for independent normal points whatever their number: the errors of the
    estimated limits, in units of the estimated deviation, have a distribution without unknowns, which is simulated.
    False alarms come from the same draws, with limits estimated from as many points as here.

    Examples
    --------
    >>> days = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]
    >>> chart = chart_individuals(days, labels=[f"batch {i}" for i in range(10)])
    >>> chart.points[["lower", "centre", "upper"]].iloc[0].round(4).tolist()
    [45.8159, 50.81, 55.8041]
    """
    x = np.asarray(values, dtype=float).ravel()
    problems = _label_problems(labels, len(x)) + _rule_problems(rules)
    if np.isinf(x).any():
        problems.append(Problem("expected finite values, found", tuple(str(v) for v in x[np.isinf(x)])))
    none = np.full(len(x), np.nan)
    reasons = ["" if np.isfinite(v) else "no value" for v in x]
    data = Points("XmR", [str(v) for v in labels], x, none, none, False, reasons, bounds)
    return _warned(build_chart(data, baseline, rules, level, draws, rng, problems))


def chart_counts(
    counts: Sequence[float] | npt.ArrayLike,
    sizes: Sequence[float] | npt.ArrayLike,
    *,
    labels: Sequence[str],
    kind: Literal["rate", "share"] = "rate",
    per: float = 1.0,
    dispersion: bool = True,
    baseline: Baseline = None,
    rules: Sequence[str] = WESTERN_ELECTRIC,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 1,
) -> ControlChart:
    """u' or p' chart: rates or shares whose denominators vary.

    Parameters
    ----------
    counts, sizes : array_like, shape (n,)
        Events, and what they are counted in: cases or days for a rate, trials for a share. NaN, or a size of 0, is a
        period without a value.
    labels : sequence of str, shape (n,)
    kind : {"rate", "share"}
    per : float
        Values are `per` times counts over sizes, such as complaints per 1,000 cases.
    dispersion : bool
        Whether the points' own variation widens or narrows the limits (Laney's u' and p'), or chance alone gives them
        (u and p), which raises false alarms as soon as anything else varies too.
    baseline, rules, level, draws, rng
        As in `chart_individuals`.

    Raises
    ------
    OperationsError
        As `chart_individuals`; also negative counts or sizes, and shares of more than all.

    Warns
    -----
    SmallSampleWarning
        The baseline has fewer than 8 values.

    Notes
    -----
    Laney, D. B. (2002), Improved control charts for attributes, Quality Engineering 14, 531-537: limits are the
    centre ± 3 s_i sigma_z, where s_i is the Poisson or binomial standard deviation of the point and sigma_z the mean
    moving range of (x_i - centre) / s_i over 1.128. Intervals and false alarms as in `chart_individuals`, where the
    chance of a point is taken as normal: ``few_events`` in the notes tells where that is rough.

    Examples
    --------
    >>> chart = chart_counts([12, 15, 9, 14, 11, 8, 13, 10, 40], [1000] * 9, labels=list("abcdefghi"), per=1000,
    ...                      baseline=8)
    >>> chart.method, chart.signals[["rule", "side", "first"]].values.tolist()
    ("u'", [['beyond_limits', 'high', 'i']])
    """
    return _warned(counts_chart(counts, sizes, labels, kind, per, dispersion, baseline, rules, level, draws, rng))


def counts_chart(
    counts: Sequence[float] | npt.ArrayLike, sizes: Sequence[float] | npt.ArrayLike, labels: Sequence[str],
    kind: Literal["rate", "share"], per: float, dispersion: bool, baseline: Baseline, rules: Sequence[str],
    level: float, draws: int, rng: np.random.Generator | int,
) -> ControlChart:  # fmt: skip
    """`chart_counts` for a caller that shows the notes itself: few points are noted, and nobody is warned."""
    c, m = (np.asarray(v, dtype=float).ravel() for v in (counts, sizes))
    problems = _label_problems(labels, len(c)) + _rule_problems(rules)
    problems += _count_problems(c, m, [str(v) for v in labels], kind, per)
    data = Points("", [], c, c, m, kind == "share", [], (0.0, math.inf))
    if len(c) == len(m) and not problems:
        given = np.isfinite(c) & (m > 0)
        reasons = ["" if g else "no cases" if s == 0 else "no value" for g, s in zip(given, m, strict=True)]
        rate = np.divide(c, m, out=np.full(len(c), np.nan), where=given)
        method = ("p" if kind == "share" else "u") + ("'" if dispersion else "")
        bounds = (0.0, per if kind == "share" else math.inf)
        data = Points(method, [str(v) for v in labels], per * rate, c, np.where(given, m, np.nan), kind == "share",
                     reasons, bounds)  # fmt: skip
    return build_chart(data, baseline, rules, level, draws, rng, problems, per)


def _label_problems(labels: Sequence[str], n: int) -> list[Problem]:
    named = [str(v) for v in labels]
    problems = []
    if len(named) != n:
        problems.append(Problem(f"expected a label for each of {n} values, found {len(named)}"))
    twice = sorted({v for v in named if named.count(v) > 1})
    if twice:
        problems.append(Problem("expected every label once, found several times", tuple(twice)))
    return problems


def _rule_problems(rules: Sequence[str]) -> list[Problem]:
    unknown = [str(r) for r in rules if r not in RULES]
    return [Problem(f"expected rules among {', '.join(RULES)}, found", tuple(unknown))] if unknown else []


def _count_problems(c: Floats, m: Floats, labels: list[str], kind: str, per: float) -> list[Problem]:
    if len(c) != len(m):
        return [Problem(f"expected a size for each of {len(c)} counts, found {len(m)}")]
    problems = [] if per > 0 else [Problem(f"expected `per` above 0, found {per:g}")]
    names = np.array(labels if len(labels) == len(c) else [str(i + 1) for i in range(len(c))], dtype=object)
    for message, wrong in (
        ("expected counts of 0 or more, found others for", (c < 0) | np.isinf(c)),
        ("expected sizes of 0 or more, found others for", (m < 0) | np.isinf(m)),
        ("expected no events where the size is 0, found some for", (m == 0) & (c > 0)),
        ("expected shares of at most 1, found more events than trials for", (c > m) & (m > 0) & (kind == "share")),
    ):
        if wrong.any():
            problems.append(Problem(message, tuple(names[wrong])))
    return problems


def build_chart(
    data: Points,
    baseline: Baseline,
    rules: Sequence[str],
    level: float,
    draws: int,
    rng: np.random.Generator | int,
    problems: Sequence[Problem] = (),
    per: float = 1.0,
) -> ControlChart:
    """The chart of points that were checked; without the warning that its notes hold."""
    found = [*problems]
    chosen = np.zeros(0, dtype=bool) if found else _chosen(data.labels, baseline, found)
    if found:
        raise OperationsError("control chart", found, "correct the values, their labels or the options of the chart")
    counted = bool(data.method) and data.method != "XmR"
    own = chosen & np.isfinite(data.values)
    centre, spread, slope, size = scale(data, own, per)
    estimated = data.method == "XmR" or data.method.endswith("'")
    distance = np.divide(data.values - centre, spread, out=np.full(len(spread), np.nan), where=spread > 0)
    sigma = float(mean_range_sigma(distance, own)) if estimated else 1.0
    enough = int(own.sum()) >= FEWEST
    defined = int(own.sum()) >= 2 and sigma > 0 and bool((spread[own] > 0).all())
    stable = simulate_stable(size, own, estimated=estimated, draws=draws, rng=rng) if defined else None
    z = distance / sigma if defined else np.full(len(spread), np.nan)
    sides = {rule: side if enough else np.zeros_like(side) for rule, side in detect(z, rules).items()}
    points = point_table(data, own, centre, spread, sigma if defined else math.nan, z, sides)
    limit_intervals(points, data, stable, sigma, spread, slope, np.sqrt(size / size[own].sum()), level)
    settings = {
        "baseline": [data.labels[i] for i in np.flatnonzero(own)[[0, -1]]] if own.any() else [],
        "rules": list(rules), "level": level, "draws": draws, "fewest": FEWEST, "per": per,
        "intervals": "pivots simulated under independent normal points",
        "false_alarms": "simulated under independent normal points, limits estimated as here",
    }  # fmt: skip
    return ControlChart(
        n=int(np.isfinite(data.values).sum()),
        method=data.method,
        centre=centre_estimate(centre, stable, sigma, spread, size, own, level),
        sigma=sigma_estimate(stable, sigma if defined else math.nan, estimated, int(own.sum()), level),
        points=points,
        signals=episodes(sides, data.labels),
        false_alarms=false_alarms_of(stable if enough else None, rules),
        notes=notes_of(data, own, z, defined, centre / per if counted else math.nan),
        settings=settings,
    )


def _warned(chart: ControlChart) -> ControlChart:
    few = chart.notes.loc[chart.notes["code"] == "few_points", "text"]
    for text in few:
        warn(text, SmallSampleWarning, stacklevel=3)
    return chart


def _chosen(labels: list[str], baseline: Baseline, problems: list[Problem]) -> Bools:
    """Which points are in the baseline."""
    n = len(labels)
    if baseline is None:
        return np.ones(n, dtype=bool)
    if isinstance(baseline, int):
        if not 2 <= baseline <= n:
            problems.append(Problem(f"expected a baseline of 2 to {n} points, found {baseline}"))
        return np.arange(n) < baseline
    unknown = [str(v) for v in baseline if str(v) not in labels]
    if unknown or len(baseline) != 2:
        problems.append(Problem("expected the first and last label of the baseline, found", tuple(map(str, baseline))))
        return np.zeros(n, dtype=bool)
    first, last = (labels.index(str(v)) for v in baseline)
    if last <= first:
        found = f"{baseline[0]} to {baseline[1]}"
        problems.append(Problem(f"expected a baseline that begins before it ends, found {found}"))
    return (np.arange(n) >= first) & (np.arange(n) <= last)
