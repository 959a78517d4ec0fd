"""The trend: which quarters differ from the one before, and what only varies as it always did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError, InputError, Problem
from sqmodel.index.columns import Columns, Totals, affordable, quarter_levels
from sqmodel.index.quarter_charts import control_signals, mark_signals
from sqmodel.index.scoring import OVERALL, in_quarter, respondent_strata, weight_parts
from sqmodel.index.weighting import Weights, derive_weights
from sqmodel.measurement.measure import Measure
from sqmodel.numerics.resampling import Bootstrap
from sqmodel.operations.control_points import FEWEST
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

RESTATED = ("quarter", "before", "after", "reason", "date")

POINTS = ["quarter", "scope", "n", "estimate", "se", "low", "high", "signals", "restated"]
CHANGES = ["quarter", "previous", "scope", "change", "se", "low", "high", "joint_low", "joint_high", "verdict",
           "joint_verdict"]  # fmt: skip


@dataclass(frozen=True, repr=False)
class Trend(Result):
    """Changes from quarter to quarter, signals over all quarters, and what was restated.

    Attributes
    ----------
    n : int
        Answers of all quarters that are large enough.
    quarters : tuple of str
        These quarters, in order of time.
    points : DataFrame
        quarter, scope (``overall`` or a dimension), n, estimate, se, low, high, signals (rules of the control chart
        that the quarter completes, by comma), restated (how many restatements concern it). A quarter with too few
        answers holds no figure.
    changes : DataFrame
        quarter, previous (the latest earlier quarter that is large enough), scope, change, se, low, high, joint_low,
        joint_high (bounds that hold for all changes of the index together, and for all of the dimensions), verdict
        (``rose``, ``fell`` or ``not sure``: whether the interval of this change alone leaves zero out) and
        joint_verdict (the same of the joint bounds).
    charts : DataFrame, index scope
        points, centre with centre_low and centre_high, sigma, lower, upper (the XmR chart's limits), false_alarm (the
        chance that such a chart signals though nothing changed) with false_alarm_se. Empty with fewer than 8 quarters.
    signals : DataFrame
        scope, rule, side, first, last, points: what the control charts signal.
    restatements : DataFrame
        quarter, before, after, difference, reason, date.
    notes : DataFrame
        code and text: ``few_quarters`` (no signals, because fewer than 8 quarters), ``few_answers`` (a quarter left
        out), and the notes of the control charts.
    """

    n: int
    quarters: tuple[str, ...]
    points: pd.DataFrame
    changes: pd.DataFrame
    charts: pd.DataFrame
    signals: pd.DataFrame
    restatements: pd.DataFrame
    notes: pd.DataFrame
    level: float
    method: str
    settings: dict[str, Any]

    @property
    def sure(self) -> pd.DataFrame:
        """The changes that are sure when all of the index, or all of the dimensions, are judged together."""
        return self.changes[self.changes["joint_verdict"] != "not sure"]

    def _headline(self) -> str:
        found = f"{len(self.sure)} of {len(self.changes)} changes sure together"
        state = f"no signals (fewer than {FEWEST} quarters)" if self.charts.empty else f"{len(self.signals)} signals"
        return f"{self.quarters[0]} to {self.quarters[-1]}, {len(self.quarters)} quarters: {found}, {state}"


def assess_trend(
    measure: Measure,
    *,
    weights: Weights | None = None,
    restatements: pd.DataFrame | None = None,
    minimum_n: int = 10,
    strata: str | None = None,
    accept: str = "",
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> Trend:
    """From which quarter to which did the index change?

    Parameters
    ----------
    measure : Measure
    weights : Weights, optional
        As in `build_index`: those of the current quarter, for every quarter; equal by default.
    restatements : DataFrame, optional
        quarter, before, after, reason, date: published values that a later run replaced.
    minimum_n : int
        Quarters with fewer respondents have no figure; the change is then from the last quarter that has one.
    strata : str, optional
        A group variable within which respondents are resampled.
    accept : str
        Reason for scoring a measure that failed.
    level, draws, rng
        Of the joint bootstrap over respondents: who answered in several quarters is drawn with all answers.

    Returns
    -------
    Trend

    Raises
    ------
    UnfitMeasureError
        The measure failed and `accept` is empty.
    ComputationError
        Fewer than two quarters are large enough.
    InputError
        A respondent twice in a quarter; restatements without a reason or of unknown quarters.

    Notes
    -----
    Changes: studentised bootstrap of all quarters together (the basic bootstrap where quarters and dimensions are too
    many for it; `method` says which); joint bounds by the largest absolute pivot. Signals: XmR charts
    (`sqmodel.operations.control.chart_individuals`) of the estimates, whose false alarms are simulated. A chart asks
    whether a quarter leaves the usual variation, sampling error included; a change asks whether two quarters differ
    by more than sampling error. Dimensions have a chart each: one of them signals by chance more often than one does.

    Examples
    --------
    >>> from sqmodel.measurement.measure import qualify
    >>> from sqmodel.survey.simple_population import simple_population
    >>> population = simple_population(4, dimensions=2)
    >>> frames = [population.responses(60, rng=i).frame.assign(quarter=f"2026Q{i}") for i in (1, 2)]
    >>> frames = [f.assign(respondent=f["quarter"] + f["respondent"]) for f in frames]
    >>> responses = Responses(population.instrument, pd.concat(frames))
    >>> assess_trend(qualify(responses, quarter="2026Q2"), draws=200)
    <Trend 2026Q1 to 2026Q2, 2 quarters: 0 of 3 changes sure together, no signals (fewer than 8 quarters)>
    """
    measure.require(accept)
    chosen = weights or derive_weights(measure)
    every, quarters = quarters_of(measure, minimum_n)
    name = f"{measure.instrument.name} {measure.quarter}".strip()
    restated = pd.DataFrame(columns=[*RESTATED]) if restatements is None else restatements
    problems = [*answered_twice(measure.responses), *_restatement_problems(restated, every)]
    if problems:
        raise InputError(f"trend of {name}", problems, "correct the answers or the list of restatements")
    if len(quarters) < 2:
        raise ComputationError(
            f"trend of {name}: expected at least 2 quarters with at least {minimum_n} respondents (minimum_n), found "
            f"{len(quarters)}{f' ({quarters[0]})' if quarters else ''}; a trend begins with the second quarter"
        )
    part = measure.responses.keep(measure.responses.frame["quarter"].isin(quarters))
    result = _bootstrap(measure, part, chosen, quarters, respondent_strata(part, strata),
                        {"level": level, "draws": draws, "rng": rng})  # fmt: skip
    scopes = [OVERALL, *measure.instrument.dimension_codes]
    points = _points(result, part, quarters, every, scopes)
    charts, signals, notes = control_signals(points, bounds=(0.0, 100.0), level=level, draws=draws)
    points["restated"] = [int((restated["quarter"] == q).sum()) for q in points["quarter"]]
    settings = {"weights": chosen.method, "minimum_n": minimum_n, "strata": strata or "", "level": level,
                "draws": draws}  # fmt: skip
    return Trend(
        n=len(part),
        quarters=tuple(quarters),
        points=mark_signals(points, signals)[POINTS],
        changes=_changes(result, quarters, scopes),
        charts=charts,
        signals=signals,
        restatements=_restatements(restated),
        notes=pd.DataFrame([*left_out(every, quarters, minimum_n), *notes], columns=["code", "text"]),
        level=level,
        method=result.method,
        settings=settings,
    )


def quarters_of(measure: Measure, minimum_n: int) -> tuple[list[str], list[str]]:
    """The quarters up to the measure's own, and those of them that are large enough to be scored.

    A quarter is as large as the number of its respondents on the dimension where they are fewest.
    """
    every = [q for q in measure.responses.quarters if q <= measure.quarter]
    scored = measure.responses.dimension_scores(list(measure.items)).notna().to_numpy()
    n = {q: int(scored[in_quarter(measure.responses, q)].sum(axis=0).min()) for q in every}
    return every, [q for q in every if n[q] >= minimum_n]


def left_out(every: Sequence[str], quarters: Sequence[str], minimum_n: int) -> list[tuple[str, str]]:
    """A note on the quarters that have no figure."""
    few = [q for q in every if q not in quarters]
    return [("few_answers", f"fewer than {minimum_n} respondents, no figure: {', '.join(few)}")] if few else []


def answered_twice(responses: Responses) -> list[Problem]:
    """Respondents who stand twice in a quarter, as happens where a quarter's file is put in twice."""
    if "quarter" not in responses.frame:
        return []
    keys = responses.frame[["quarter", "respondent"]]
    twice = keys[keys.duplicated()].drop_duplicates()
    if twice.empty:
        return []
    shown = tuple(f"{r} of {q}" for q, r in twice.itertuples(index=False))
    return [Problem("expected each respondent once in a quarter, found again", shown)]


def _restatement_problems(given: pd.DataFrame, quarters: Sequence[str]) -> list[Problem | str]:
    missing = [c for c in RESTATED if c not in given]
    if missing:
        return [Problem("restatements: expected columns " + ", ".join(RESTATED) + "; missing", tuple(missing))]
    problems: list[Problem | str] = []
    reason = given["reason"].fillna("").astype(str).str.strip()
    unexplained = tuple(given.loc[reason == "", "quarter"].astype(str))
    if unexplained:
        problems.append(Problem("restatements: expected a reason for each, found none for", unexplained))
    strange = tuple(q for q in given["quarter"].astype(str) if q not in quarters)
    if strange:
        found = f"restatements: expected quarters of the trend ({', '.join(quarters) or 'none'}), found"
        problems.append(Problem(found, strange))
    return problems


def _restatements(given: pd.DataFrame) -> pd.DataFrame:
    table = given[list(RESTATED)].reset_index(drop=True)
    table.insert(3, "difference", table["after"].astype(float) - table["before"].astype(float))
    return table.sort_values(["quarter", "date"], kind="stable", ignore_index=True)


def _bootstrap(
    measure: Measure, part: Responses, weights: Weights, quarters: list[str], strata: npt.NDArray[Any],
    options: dict[str, Any],
) -> Bootstrap:  # fmt: skip
    """Levels of all quarters, then the changes between neighbours, quarter by quarter."""
    book = Columns(part.sample_weight, part.calibration, part.frame["quarter"].astype(str))
    masks = [in_quarter(part, q) for q in quarters]
    scores = part.dimension_scores(list(measure.items))
    shares = weight_parts(book, part, in_quarter(part, measure.quarter), weights)
    levels = quarter_levels(book, scores, masks, shares)

    def statistics(t: Totals) -> Totals:
        every = levels(t)
        changes = every[..., 1:, :] - every[..., :-1, :]
        return np.concatenate([x.reshape(*t.shape[:-1], -1) for x in (every, changes)], axis=-1)

    count = (2 * len(quarters) - 1) * (1 + scores.shape[1])
    return book.bootstrap(statistics, units=part.frame["respondent"], strata=strata,
                          studentise=affordable(book, strata, count, options["draws"]), **options)  # fmt: skip


def _points(
    result: Bootstrap, part: Responses, quarters: list[str], every: list[str], scopes: list[str]
) -> pd.DataFrame:
    count = len(quarters) * len(scopes)
    rows = pd.MultiIndex.from_product([quarters, scopes], names=["quarter", "scope"])
    found = pd.DataFrame(
        {
            "n": np.repeat([int(in_quarter(part, q).sum()) for q in quarters], len(scopes)),
            "estimate": result.estimate[:count],
            "se": result.se[:count],
            "low": np.maximum(result.low[:count], 0.0),
            "high": np.minimum(result.high[:count], 100.0),
        },
        index=rows,
    )
    whole = pd.MultiIndex.from_product([every, scopes], names=["quarter", "scope"])
    return found.reindex(whole).reset_index()


def _changes(result: Bootstrap, quarters: list[str], scopes: list[str]) -> pd.DataFrame:
    start = len(quarters) * len(scopes)
    pairs = [(later, earlier, scope) for earlier, later in pairwise(quarters) for scope in scopes]
    table = pd.DataFrame(pairs, columns=["quarter", "previous", "scope"])
    return with_verdicts(table, result, np.arange(start, start + len(pairs)), "change")[CHANGES]


def with_verdicts(table: pd.DataFrame, result: Bootstrap, places: npt.NDArray[np.intp], name: str) -> pd.DataFrame:
    """Add statistics of a bootstrap to a table of differences: intervals, joint bounds, and what they say.

    The joint bounds hold for all differences of the index, and apart from these for all of the dimensions: the index
    is what is judged first, and how many dimensions it has should not widen its bounds.
    """
    table[name], table["se"] = result.estimate[places], result.se[places]
    table["low"], table["high"] = result.low[places], result.high[places]
    for own in (table["scope"] == OVERALL, table["scope"] != OVERALL):
        family = np.zeros(len(result.estimate), bool)
        family[places[own]] = True
        low, high = result.simultaneous(family)
        table.loc[own, "joint_low"], table.loc[own, "joint_high"] = low[family], high[family]
    table["verdict"] = _verdict(table["low"], table["high"])
    table["joint_verdict"] = _verdict(table["joint_low"], table["joint_high"])
    return table


def _verdict(low: pd.Series, high: pd.Series) -> npt.NDArray[np.str_]:
    return np.where(low > 0, "rose", np.where(high < 0, "fell", "not sure"))
