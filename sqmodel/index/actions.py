"""What to do first, of all that is known: items, drivers and standards, ranked by the index points they promise."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.errors import InputError
from sqmodel.index.action_candidates import ITEM, LIMIT_OF, Candidate, driven, items, missed, same_matter
from sqmodel.index.driver_features import BREACH, REWORK, WAIT
from sqmodel.index.drivers import Drivers
from sqmodel.index.priorities import MOST_ACTIONS, Priorities
from sqmodel.operations.compliance import Compliance
from sqmodel.operations.process_analysis import ProcessAnalysis
from sqmodel.result import Result

PREFIXES = (WAIT, REWORK, BREACH, LIMIT_OF)
GIVEN, PROCESS, ASSUMED = "given", "process", "assumed"


@dataclass(frozen=True, repr=False)
class Actions(Result):
    """Everything that could be done, in points of the index, and the few things to do first.

    Attributes
    ----------
    n : int
        Respondents.
    candidates : DataFrame, one row a candidate by its code, largest expected gain first, those without a figure last
        source (``item``, ``driver``, ``standard``), dimension (of an item), limit (hours to which a wait is cut; 0: no
        rework, no breach; of a standard the share of cases that is to keep it); importance (points of the index for one
        unit), headroom (units that can be gained: points of the item, or units of the driver on its scale, averaged
        over the cases), both with bounds (``_low``, ``_high``); controllability (share of the headroom that the lender
        itself can move) and controlled_by (``given``, ``process``: whose wait it is, ``assumed``: taken to be all);
        gain (their product) with low and high, and joint_low, joint_high, which hold for all candidates together;
        versus_mean_low, versus_mean_high (of an item: importance x headroom less the mean item's, jointly too);
        correlation with correlation_low, correlation_high (of an item with overall satisfaction: the importance of the
        importance-performance grid, jointly too); sure; satisfaction with bounds (of an item: the same shortfall in
        points of overall satisfaction, from `find_priorities`); overlaps (codes of candidates about the same matter);
        reason (why there is no figure).
    notes : tuple of str
    """

    n: int
    candidates: pd.DataFrame
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def leading(self) -> pd.DataFrame:
        """At most three candidates to show, sure or not (column sure): the sure ones first, each by expected gain.

        Only what is expected to gain anything; of drivers and standards about the same wait or limit only the first.
        """
        table = self.candidates[self.candidates["gain"] > 0].sort_values("sure", ascending=False, kind="stable")
        chosen: list[str] = []
        for code, row in table.iterrows():
            repeats = row["source"] != ITEM and self._repeats(str(code), chosen)
            if not repeats and len(chosen) < MOST_ACTIONS:
                chosen.append(str(code))
        return self.candidates.loc[chosen]

    def _repeats(self, code: str, chosen: list[str]) -> bool:
        others = [c for c in chosen if self.candidates.loc[c, "source"] != ITEM]
        return bool(set(str(self.candidates.loc[code, "overlaps"]).split(", ")) & set(others))

    @property
    def first(self) -> tuple[str, ...]:
        """What to do first: at most three candidates, all of them sure, the largest expected gain first."""
        shown = self.leading
        return tuple(str(c) for c in shown.index[shown["sure"].astype(bool)])

    def _headline(self) -> str:
        gains = self.candidates["gain"].to_dict()
        shown = [f"{c} {gains[c]:+.2f}" for c in self.first]
        return f"n={self.n}, {len(self.candidates)} candidates: " + (", ".join(shown) or "nothing is sure")


def rank_actions(
    priorities: Priorities,
    *,
    drivers: Drivers | None = None,
    compliance: Compliance | None = None,
    process: ProcessAnalysis | None = None,
    controllability: Mapping[str, float] | None = None,
    minimum_n: int = 10,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> Actions:
    """What should be done first, of all that the answers, the drivers and the standards tell?

    Parameters
    ----------
    priorities : Priorities
        Of the items.
    drivers : Drivers, optional
        Waits are cut to the strictest limit for which there is a figure; rework and breaches to none at all.
    compliance : Compliance, optional
        Limits with the verdict ``missed``, kept by their target share: breaches avoided times what a breach goes with
        (a case that kept the limit is then like the others that keep it).
    process : ProcessAnalysis, optional
        Tells whose a wait is: a client's or a planned one is not the lender's to cut. Of a breach that several waits
        lie behind, the lender's share of their hours.
    controllability : mapping, optional
        Code of a candidate (an item, ``wait_STEP``, ``rework_STEP``, ``breach_RULE``, ``standard_RULE``) to the share
        of its headroom, 0 to 1, that the lender can move. It goes before what the process tells; without either it
        is 1, and ``controlled_by`` says ``assumed``.
    minimum_n : int
        As given to `find_priorities`; for the reasons.
    level, rng
        Of the intervals; of the draws of the products' distributions.

    Returns
    -------
    Actions

    Raises
    ------
    InputError
        A share outside 0 to 1, or of something that is no candidate; all problems at once.

    Notes
    -----
    Expected gain = importance x headroom x controllability, in points of the index (0-100).

    Items are counted in the index itself: raised by its headroom, an item moves its dimension by headroom / number of
    items and the index by that times the dimension's weight. That is arithmetic, not an association, and the same unit
    in which drivers are told. Points of overall satisfaction (`Priorities.candidates`) are not converted into it: the
    rate would be the weight divided by the slope of satisfaction, the slope would cancel against the one in the gain,
    and what is left is this arithmetic with the errors of two regressions added. What matters for satisfaction stands
    beside it; whoever wants it to decide gives the index weights by regression.

    The gains of drivers and standards are associations among clients, no promises.

    Joint bounds: each at level ``level ** (1 / m)`` for m bounds, which hold together at `level` at least, however the
    estimates are correlated (Sidak 1967, Journal of the American Statistical Association 62); Student's t for items,
    quantiles of the product's distribution for the others. ``sure``: the whole joint interval of the gain lies above
    zero, and of an item those of its difference from the mean item and of its correlation with overall satisfaction
    (where that was asked) do so too. For where every item falls short of what clients expect, each would gain
    something, and that says nothing about what comes first; and an item that satisfaction does not go with raises the
    index and nothing else.

    Gains must not be added up: an item on response time and the wait behind it are the same gain seen twice
    (``overlaps`` names such pairs as far as the data show them).

    Examples
    --------
    >>> from sqmodel.index.priorities import find_priorities
    >>> from sqmodel.index.weighting import derive_weights
    >>> from sqmodel.measurement.measure import qualify
    >>> from sqmodel.survey.responses import Responses
    >>> from sqmodel.survey.simulate import demo_population, simulate_responses
    >>> population = demo_population("project_finance")
    >>> answers = simulate_responses(population, 400, quarter="2026Q3", rng=1)
    >>> measure = qualify(Responses(population.instrument, answers), quarter="2026Q3")
    >>> rank_actions(find_priorities(measure, weights=derive_weights(measure)))
    <Actions n=400, 26 candidates: eff2 +1.10, eff1 +0.91, rsk6 +0.75>
    """
    generator = np.random.default_rng(rng)
    found = list(items(priorities, level, minimum_n))
    found += [] if drivers is None else driven(drivers, compliance, level, generator)
    found += [] if compliance is None else missed(compliance, drivers, level, generator)
    given = dict(controllability or {})
    _check(given, level, [c.code for c in found])
    shares = {c.code: _share(c, given, process) for c in found}
    moved = [c for c in found if c.bounds is not None and shares[c.code][0] > 0]
    count = len(moved) + sum((c.versus is not None) + (c.felt is not None) for c in found)
    single = level ** (1 / max(count, 1))
    overlaps = same_matter(found, drivers)
    rows = {c.code: _row(c, *shares[c.code], level, single) | {"overlaps": ", ".join(overlaps[c.code])} for c in found}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).rename_axis("candidate")
    return Actions(
        n=priorities.n,
        candidates=table.sort_values("gain", ascending=False, kind="stable"),
        notes=_notes(table, given),
        settings={"level": level, "bounds": count, "target": priorities.target, "controllability": given,
                  "interval": "Student's t on linearised errors; products by their distribution; joint by Sidak"},
    )  # fmt: skip


COLUMNS = ["source", "dimension", "limit", "importance", "importance_low", "importance_high", "headroom",
           "headroom_low", "headroom_high", "controllability", "controlled_by", "gain", "low", "high", "joint_low",
           "joint_high", "versus_mean_low", "versus_mean_high", "correlation", "correlation_low", "correlation_high",
           "sure", "satisfaction", "satisfaction_low", "satisfaction_high", "overlaps", "reason"]  # fmt: skip


def _check(given: Mapping[str, float], level: float, codes: list[str]) -> None:
    problems = [] if 0 < level < 1 else [f"level: expected a number between 0 and 1, found {level!r}"]
    for code, share in given.items():
        number = isinstance(share, int | float | np.number) and not isinstance(share, bool)
        if not number or not 0 <= float(share) <= 1:
            problems.append(f"controllability: {code}: expected a share between 0 and 1, found {share!r}")
        if code not in codes and not code.startswith(PREFIXES):
            near = difflib.get_close_matches(code, codes, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"controllability: expected an item, {', '.join(p + '...' for p in PREFIXES)}, "
                            f"found {code!r}{hint}")  # fmt: skip
    if problems:
        raise InputError("rank_actions", problems, "give shares of candidates that the lender can move")


def _share(candidate: Candidate, given: Mapping[str, float], process: ProcessAnalysis | None) -> tuple[float, str]:
    """The lender's share of a candidate's headroom, and who says so."""
    named = [code for code in (candidate.code, *candidate.about) if code in given]
    if named:
        return float(given[named[0]]), GIVEN
    steps = [f.removeprefix(WAIT) for f in candidate.about if f.startswith(WAIT)]
    if process is None or not steps or not set(steps) <= set(process.bottlenecks.index):
        return 1.0, ASSUMED
    own = process.bottlenecks.loc[steps]
    hours = own["hours"].to_numpy(float)
    return float(hours[(own["wait"] == "lender").to_numpy()].sum() / hours.sum()), PROCESS


def _row(candidate: Candidate, share: float, by: str, level: float, single: float) -> dict[str, Any]:
    row: dict[str, Any] = {"source": candidate.source, "dimension": candidate.dimension, "limit": candidate.limit,
                           "controllability": share, "controlled_by": by, "sure": False, "reason": candidate.reason,
                           "correlation": candidate.correlation, "gain": share * candidate.gain}  # fmt: skip
    for name in ("importance", "headroom", "satisfaction"):
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), getattr(candidate, name), strict=True))
    if candidate.bounds is not None:
        low, high = candidate.bounds(level)
        joint = candidate.bounds(single)
        row |= {"low": share * low, "high": share * high}
        row |= {"joint_low": share * joint[0], "joint_high": share * joint[1]}
        row["sure"] = row["joint_low"] > 0
    for name, own in (("versus_mean", candidate.versus), ("correlation", candidate.felt)):
        if own is not None:
            row[f"{name}_low"], row[f"{name}_high"] = own(single)
            row["sure"] = row["sure"] and row[f"{name}_low"] > 0
    if share == 0 and not candidate.reason:
        row["reason"] = "nothing of it is the lender's to move"
    return row


def _notes(table: pd.DataFrame, given: Mapping[str, float]) -> tuple[str, ...]:
    notes = ["gains of candidates that overlap are the same gain seen twice: they must not be added up"]
    assumed = int((table["controlled_by"] == ASSUMED).sum())
    if assumed:
        notes.append(f"taken to be wholly the lender's to move, because nothing says otherwise: {assumed} candidates")
    without = int(table["gain"].map(math.isnan).sum())
    if without:
        notes.append(f"without a figure: {without} candidates, each with its reason")
    absent = [code for code in given if code not in table.index]
    notes += [f"controllability: {code} is no candidate in these data" for code in absent]
    return tuple(notes)
