"""Small pieces that both reports of a benchmark share: names, figures, verdicts, funnels, waiting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sqmodel.benchmark.assess_field import FEW_INSTITUTIONS
from sqmodel.benchmark.content import OVERALL
from sqmodel.benchmark.funnel import LEVELS, Kind, assess_funnel, funnel_limits
from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_blinding import SIZES
from sqmodel.reporting.charts import Curve
from sqmodel.reporting.words import interval, known_as, listed, number, percent, plain, say
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.benchmark.profile import Profile
    from sqmodel.reporting.benchmark_page import BenchmarkPage

PERCEPTION = "perception"
MOST = 40
"""Institutions that a chart or a table shows; of more than these the best and the last."""
BADGES = {"comparable": "", "partial": "w", "doubtful": "w", "not comparable": "bad", "not assessed": "w"}
KEYS = {"not comparable": "not_comparable", "not assessed": "not_assessed"}
"""Of verdicts whose texts cannot be named as they are."""
FEWEST = 5
"""Institutions below which a usual range or a funnel tells nothing."""
GRID = 60
"""Points of a limit's curve."""


def level(page: BenchmarkPage) -> float:
    """Of all intervals and sets."""
    return float(page.benchmark.settings.get("level", 0.95))


def profile_of(page: BenchmarkPage) -> Profile:
    """The association's rules, which are public."""
    return page.params.version.profile


def institution_name(page: BenchmarkPage, code: str) -> Text:
    """What the page's reader may know an institution by: its name, or its blind code."""
    return page.params.version.labels.institution(code)


def peers_name(page: BenchmarkPage, code: str) -> Text:
    """Name of a peer group; of all institutions where it is ``overall``."""
    return say("bench_all") if code == OVERALL else page.params.version.labels.peer_group(code)


def label_of(page: BenchmarkPage, code: str) -> Text:
    """Name of the composite, a branch of the tree, a dimension or an indicator; the code where it has none."""
    if code in (OVERALL, PERCEPTION):
        return say(f"bench_scope_{code}")
    tree, mapping = page.params.version.tree, profile_of(page).operations
    known = {n.code: n.label for n in tree.nodes}
    return known.get(mapping.get(code, code)) or known.get(code) or plain(code)


def direction_of(page: BenchmarkPage, code: str) -> int:
    """-1 where less of an indicator is better."""
    tree, own = page.params.version.tree, profile_of(page).operations.get(code, code)
    return next((n.direction for n in tree.nodes if n.code == own), 1)


def named(page: BenchmarkPage, codes: Iterable[str], most: int = 6) -> Text:
    """Names of institutions in a row, no more than a reader takes in; a dash for those that have none to be told."""
    found = [c for c in codes if c]
    if not found:
        return plain("–")
    shown = listed(institution_name(page, c) for c in found[:most])
    return shown if len(found) <= most else say("bench_and_more", list=shown, count=len(found) - most)


def joined(parts: Iterable[Text | None]) -> Text:
    """Sentences one after another; English ones with a space between them."""
    found = [p for p in parts if p is not None]
    return Text(zh="".join(p["zh"] for p in found), en=" ".join(p["en"] for p in found))


def overall_of(page: BenchmarkPage, scope: str = OVERALL) -> dict[str, Any]:
    """The row of a scope in the table of all institutions; empty where there is none."""
    table = page.benchmark.overall
    rows = table[table["scope"] == scope].to_dict("records")
    return {str(k): v for k, v in rows[0].items()} if rows else {}


def rule_name(rule: str) -> Text:
    """By which rule a figure is withheld."""
    return known_as("bench_rule", rule.replace(" ", "_"))


def finite(value: Any) -> bool:
    """Whether there is a number."""
    return isinstance(value, int | float | np.number) and math.isfinite(value)


def ranked(page: BenchmarkPage) -> pd.DataFrame:
    """Standing of those ranked, the highest score first, with the interval of the score that ranks are made of."""
    table = page.benchmark.standing
    found = table[table["rank"].notna()].copy()
    found["low"], found["high"] = compared_bounds(page, found)
    return found.sort_values(["rank", "adjusted"], ascending=[True, False], kind="stable").reset_index(drop=True)


def compared_bounds(page: BenchmarkPage, table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Interval of the adjusted scores: that of the score where nothing was adjusted."""
    reach = NormalDist().inv_cdf(0.5 + level(page) / 2) * table["adjusted_se"]
    same = np.isclose(table["adjusted"], table["score"], rtol=0, atol=1e-9)
    low, high = (table["adjusted"] + sign * reach for sign in (-1, 1))
    return table["low"].where(same, low.clip(lower=0)), table["high"].where(same, high.clip(upper=100))


def least_of(page: BenchmarkPage) -> int:
    """Institutions that a published figure rests on, at the least."""
    return profile_of(page).disclosure.minimum_institutions


def is_few(page: BenchmarkPage) -> bool:
    """Whether there are too few institutions to tell anything of."""
    return int(page.benchmark.standing["score"].notna().sum()) < least_of(page)


def are_few_comparable(page: BenchmarkPage) -> bool:
    """Whether nobody is ranked because only a few could be."""
    return is_few(page) or bool((page.benchmark.standing["reason"] == FEW_INSTITUTIONS).any())


def sizes_of(page: BenchmarkPage) -> dict[str, str] | None:
    """Classes of respondents by code where numbers are not told; None where they are."""
    found = page.benchmark.settings.get(SIZES)
    return None if found is None else dict(found)


def size_words(page: BenchmarkPage, row: Mapping[Any, Any]) -> str:
    """Respondents of an institution, or their class."""
    sizes = sizes_of(page)
    return f"{row['n']:,.0f}" if sizes is None else sizes.get(str(row["institution"]), "") or "–"


def total_words(page: BenchmarkPage, n: float) -> Text:
    """Respondents of several institutions; about so many where numbers are not told."""
    if not finite(n):
        return plain("–")
    return plain(f"{int(n):,}") if sizes_of(page) is None else say("bench_about", n=f"{int(n):,}")


def respondents(page: BenchmarkPage) -> Text:
    """All respondents of the institutions ranked; where nobody is, of those that submitted."""
    found = page.benchmark
    if found.n or sizes_of(page) is None:
        return total_words(page, found.n or int(found.standing["n"].sum()))
    every = found.peers.loc[found.peers["peers"] == OVERALL, "n"]
    return total_words(page, float(every.iloc[0]) if len(every) else math.nan)


def leaders(page: BenchmarkPage) -> list[str]:
    """Institutions that may rank first; a single one is surely first."""
    table = ranked(page)
    return [str(c) for c in table.loc[table["best_all"] == 1, "institution"]]


def shown_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that are shown, of many the first and the last."""
    if len(table) <= MOST:
        return table
    return pd.concat([table.head(MOST // 2), table.tail(MOST // 2)])


def bounded(value: Any, low: Any, high: Any, digits: int = 1) -> str:
    """A value with its interval in brackets."""
    if not finite(value):
        return "–"
    bounds = f" [{number(low, digits)}, {number(high, digits)}]" if finite(low) and finite(high) else ""
    return number(value, digits) + bounds


def usual_range(row: Mapping[Any, Any]) -> tuple[float, float]:
    """Where most institutions' true scores lie, within 0-100; NaN where there are too few to tell."""
    if not finite(row.get("prediction_low")) or row["institutions"] < FEWEST:
        return math.nan, math.nan
    return max(float(row["prediction_low"]), 0.0), min(float(row["prediction_high"]), 100.0)


def in_words(row: Mapping[Any, Any], page: BenchmarkPage) -> dict[str, Text | str]:
    """Mean and interval of a row of the table of all, ready to be filled in."""
    return {
        "mean": number(row["mean"]),
        "level": percent(level(page)),
        "interval": interval(row["low"], row["high"]),
    }


def figure_of(value: Any, kind: str) -> str:
    """An indicator in its own units: a share in percent, anything else to three digits."""
    if not finite(value):
        return "–"
    if kind == "share":
        return percent(value, 1)
    size = math.floor(math.log10(abs(value))) if value else 0
    return number(value, min(max(2 - size, 0), 3))


def estimate(row: Mapping[Any, Any], page: BenchmarkPage, value: str = "score") -> Estimate:
    """A score with its interval for a chart."""
    told = sizes_of(page) is None or "institution" not in row
    n = int(row["n"]) if told and finite(row.get("n")) else 0
    return Estimate(row[value], row["low"], row["high"], n=n, level=level(page))


def funnel_curves(
    kind: Kind, values: Sequence[float], sizes: Sequence[float], target: float, *, factor: float = 1.0
) -> pd.DataFrame:
    """Limits along the axis of a funnel plot, by the rule that gave the institutions their places.

    Parameters
    ----------
    kind : {"mean", "share", "rate"}
    values, sizes : sequence of float
        Of the institutions; sizes are standard errors of means, trials of shares and exposures of rates.
    target : float
    factor : float
        What a submitted value is multiplied with to be shown.

    Returns
    -------
    DataFrame
        size, inner_low, inner_high, outer_low, outer_high.
    """
    y, n, centre = np.asarray(values, float) / factor, np.asarray(sizes, float), target / factor
    spread = assess_funnel(kind, y, n, centre).tau2
    ends = n.min(), n.max()
    grid = np.linspace(*ends, GRID) if kind == "mean" or ends[0] <= 0 else np.geomspace(*ends, GRID)
    if kind != "mean":
        # Whole numbers of cases; the exact limits of a few cases are stairs, which are not smoothed.
        grid = np.unique(np.maximum(np.rint(grid), 1.0))
    chance = grid if kind == "mean" else np.sqrt(centre * (1 - centre) / grid if kind == "share" else centre / grid)
    wider = np.sqrt(1 + spread / chance**2)
    found: dict[str, Any] = {"size": grid}
    top, least = (1.0 if kind == "share" else np.inf), (-np.inf if kind == "mean" else 0.0)
    for name, own in zip(("inner", "outer"), LEVELS, strict=True):
        for side, limit in zip(("low", "high"), funnel_limits(kind, grid, centre, level=own), strict=True):
            found[f"{name}_{side}"] = factor * np.clip(centre + (limit - centre) * wider, least, top)
    return pd.DataFrame(found)


def curve_of(table: pd.DataFrame) -> Curve:
    """The survival table of one stage and scope as a curve."""
    own = table.sort_values("hours", kind="stable")
    columns = (tuple(float(v) for v in own[c]) for c in ("hours", "waiting", "low", "high"))
    return Curve(*columns)
