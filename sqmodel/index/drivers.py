"""What drives satisfaction: which wait, rework or breach moves which dimension, and what a limit would be worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.errors import ComputationError
from sqmodel.index.driver_design import models
from sqmodel.index.driver_effects import all_effects, worth
from sqmodel.index.driver_features import BREACH, REWORK, driver_features
from sqmodel.index.driver_join import check_arguments, counts_frame, join
from sqmodel.index.driver_tables import doses, on_paper
from sqmodel.index.weighting import Weights, derive_weights
from sqmodel.measurement.measure import Measure
from sqmodel.result import Result

__all__ = ["Drivers", "driver_features", "find_drivers"]

OVERALL = "overall"
HIGH_VIF = 5.0


@dataclass(frozen=True, repr=False)
class Drivers(Result):
    """What happened to the cases against what their clients felt: associations among clients, no promises.

    Attributes
    ----------
    n : int
        Cases with answers that entered the regressions.
    quarter : str
    effects : DataFrame, one row a feature and outcome (a dimension, or ``overall``: the index)
        feature, outcome, n, slope (points of 0-100 for one unit of the feature on its scale, the other features
        held), se, low, high; joint_low, joint_high (hold for all features and outcomes together); p, p_joint (adjusted
        for all); drives (the joint bounds exclude zero); effect, effect_low, effect_high (points for one standard
        deviation of the feature); beta (standard deviations of the outcome for one of the feature); unadjusted,
        unadjusted_low, unadjusted_high (the feature alone); p_curved (whether a curve fits better than the line).
    worth : DataFrame
        feature, limit, outcome, above (cases beyond the limit), share_above, change (points of the mean over all
        cases if every wait beyond the limit had been cut to it; of rework and breaches, whose limit is 0, if there had
        been none), low, high, reason (why there is none); slope with slope_se and df, and cut (mean over the cases, on
        the feature's scale) with cut_se and cases: the change is their product.
    paper : DataFrame
        rule, outcome, group, value; kept (cases within the rule), felt_slow (share of them whose score is below the
        middle) with felt_slow_low, felt_slow_high; breached, felt_fast (share of those at or above the middle) with
        bounds; difference (share below the middle, breached minus kept) with bounds; reason. ``any`` stands for all
        rules together, the group ``all`` for everybody.
    doses : DataFrame
        feature, outcome, from, to, n, mean, low, high: the score by fourths of the cases (by value for counts).
    features : DataFrame, one row a feature
        scale, n, absent, mean, median, lowest, highest, vif, used, reason, instead_of (waits in whose place a breach
        is regressed because it is the same wait seen through a limit).
    joined : DataFrame, one row a kind of answer or case, with its count
    """

    n: int
    quarter: str
    effects: pd.DataFrame
    worth: pd.DataFrame
    paper: pd.DataFrame
    doses: pd.DataFrame
    features: pd.DataFrame
    joined: pd.DataFrame
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()

    def _headline(self) -> str:
        found = self.found
        shown = [
            f"{r['feature']} moves {r['outcome']} {r['effect']:+.1f} [{r['effect_low']:+.1f}, {r['effect_high']:+.1f}]"
            for r in found.head(3).to_dict("records")
        ]
        return f"{self.quarter} n={self.n}: ".lstrip() + ("; ".join(shown) or "nothing is shown to move a score")

    @property
    def found(self) -> pd.DataFrame:
        """Effects on dimensions whose joint bounds exclude zero, the largest first."""
        sure = self.effects[self.effects["drives"].astype(bool) & (self.effects["outcome"] != OVERALL)]
        return sure.reindex(sure["effect"].abs().sort_values(ascending=False).index)


def find_drivers(
    measure: Measure,
    features: pd.DataFrame,
    *,
    weights: Weights | None = None,
    transform: str = "log1p",
    adjust: Sequence[str] = (),
    limits: Mapping[str, float | Sequence[float]] | None = None,
    middle: float = 50.0,
    minimum_n: int = 10,
    level: float = 0.95,
    draws: int = 10_000,
    rng: np.random.Generator | int = 0,
) -> Drivers:
    """Which step's wait, rework or breach moves which dimension?

    Parameters
    ----------
    measure : Measure
        Its current quarter is used; the answers need a column ``case_id``.
    features : DataFrame indexed by case_id
        See `driver_features`: ``wait_STEP`` in hours, ``rework_STEP``, ``breach_RULE`` (0, 1), or others.
    weights : Weights, optional
        Of the index; equal by default.
    transform : {"log1p", "rank", "linear"}
        Scale of the waits: the logarithm of 1 + hours, the share of cases that waited less, or hours.
    adjust : sequence of str
        Grouping variables of the questionnaire to hold as well.
    limits : mapping, optional
        Wait to a limit in hours, or several: what would keeping it be worth? (Of rework and breaches: none at all.)
    middle : float
        A score below it counts as felt slow.
    minimum_n : int
        Fewer cases give no figure.
    level, draws, rng
        Of intervals; of the joint bounds and adjusted p-values.

    Returns
    -------
    Drivers

    Raises
    ------
    OperationsError
        The answers name no cases, no case is joined, or an argument is wrong; all problems at once.
    ComputationError
        No feature varies enough, or too few cases are left for the regression.

    Notes
    -----
    One weighted regression a dimension on all features together, with HC3 errors and bounds from t(n - k). A case
    whose client answered more than once counts once, with the mean of the answers. Steps that a case did not reach
    enter by an indicator (see `prepare`). A limit's worth is slope times the mean cut, over all cases of the
    regression, with the error of both. No figure is given for a limit with fewer than `minimum_n` cases within it
    (nothing is known about such waits) or beyond it. A breach that is a wait seen through its limit has a regression
    of its own, in place of that wait (see `models`).

    Examples
    --------
    >>> from sqmodel.measurement.measure import qualify
    >>> from sqmodel.survey.responses import Responses
    >>> from sqmodel.survey.simulate import demo_population, simulate_responses
    >>> population = demo_population("project_finance")
    >>> answers = simulate_responses(population, 120, quarter="2026Q3", rng=1)
    >>> measure = qualify(Responses(population.instrument, answers), quarter="2026Q3")
    >>> waits = pd.DataFrame({"wait_approval": np.linspace(10, 90, 120)}, index=answers["case_id"])
    >>> find_drivers(measure, waits)
    <Drivers 2026Q3 n=120: nothing is shown to move a score>
    """
    check_arguments(measure, features, transform, adjust, limits or {}, middle, level)
    scores, labels, weight, joined = join(measure, features, adjust)
    whole = scores.notna().all(axis=1)
    chosen = weights or derive_weights(measure)
    dimensions = [str(d) for d in scores]
    scores[OVERALL] = (scores * chosen.table["weight"].reindex(dimensions)).sum(axis=1).where(whole)
    given = features.reindex(scores.index).astype(float)
    found, table = models(given, labels[list(adjust)], scores, weight, transform, minimum_n)
    if not found:
        name = f"{measure.instrument.name} {measure.quarter}".strip()
        why = "; ".join(f"{f}: {r}" for f, r in table["reason"].items())
        raise ComputationError(f"{name}: expected a feature whose effect can be estimated over the {len(scores)} cases "
                               f"joined, found none: {why}")  # fmt: skip
    generator = np.random.default_rng(rng)
    effects = all_effects(found, scores, weight, level, draws, generator)
    used = np.any([m.ready.rows for m in found], axis=0)
    joined = pd.concat([joined, counts_frame({"cases left out: a feature is unknown": int((~used).sum())})])
    none_at_all = {str(f): 0.0 for f in given if str(f).startswith((REWORK, BREACH))}
    return Drivers(
        n=int(used.sum()),
        quarter=measure.quarter,
        effects=effects,
        worth=worth(found, table, given, [*dimensions, OVERALL], weight, {**(limits or {}), **none_at_all}, transform,
                    minimum_n, level, draws, generator),
        paper=on_paper(given, scores[dimensions], labels, weight, middle, minimum_n, level),
        doses=doses(given[list(table.index[table["used"].astype(bool)])], scores, weight, minimum_n, level),
        features=table,
        joined=joined,
        settings={"transform": transform, "adjust": list(adjust), "middle": middle, "minimum_n": minimum_n,
                  "level": level, "weights": chosen.method, "draws": draws,
                  "interval": "HC3, t; joint by max-t; worth by the product's distribution; shares by Wilson, their "
                              "differences by Newcombe"},
        notes=_notes(table, effects, level),
    )  # fmt: skip


def _notes(table: pd.DataFrame, effects: pd.DataFrame, level: float) -> tuple[str, ...]:
    notes = [f"{f}: not used, {r}" for f, r in table.loc[~table["used"].astype(bool), "reason"].items()]
    notes += [f"{f}: a regression of its own, in place of {w}" for f, w in table["instead_of"].items() if w]
    close = table["vif"][table["vif"] > HIGH_VIF]
    notes += [f"{f}: hardly separable from the other features, variance inflation {v:.1f}" for f, v in close.items()]
    bent = effects[(effects["p_curved"] < (1 - level) / max(len(effects), 1)) & effects["drives"]]
    notes += [f"{r['feature']} on {r['outcome']}: a curve fits better than the line" for r in bent.to_dict("records")]
    if not any(str(f).startswith(BREACH) for f in table.index):
        notes.append("no breaches given: nothing on what is fast on paper and felt slow")
    return tuple(notes)
