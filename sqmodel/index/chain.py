"""Chain-linking: one series over versions of the questionnaire or of the weights, with the error of the links in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd

from sqmodel.errors import ComputationError, InputError
from sqmodel.index.chain_statistics import Chain, Splice
from sqmodel.index.links import Segment, plan_links, segment_problems
from sqmodel.index.quarter_charts import control_signals, mark_signals
from sqmodel.index.scoring import OVERALL
from sqmodel.index.trend import left_out, quarters_of
from sqmodel.result import Result

REMEDY = "ask both versions in one quarter (all respondents, or a random half each), or keep items as they are"


@dataclass(frozen=True, repr=False)
class LinkedIndex(Result):
    """One series over several versions, on the scale of the last one.

    Attributes
    ----------
    n : int
        Respondents of all versions.
    version : str
        The questionnaire whose scale the series is on.
    series : DataFrame
        quarter, scope (``overall`` or a dimension of the last version), segment (from 1), version, n, own (the value
        on that version's own scale), estimate (linked) with se, low, high, signals (rules of the control chart that
        the quarter completes). A dimension begins with the version from which on it can be linked.
    differences : DataFrame
        quarter, earlier, scope, difference with se, low, high, joint_low, joint_high (as in `Trend`), verdict and
        joint_verdict (``rose``, ``fell``, ``not sure``): between any two quarters.
    links : DataFrame
        segment (the one that begins), scope, method (``overlap`` or ``matched items``), before and after (quarters
        compared), items (unchanged ones) and share (of the index that they carry), n_before, n_after, n_both
        (respondents of the quarters compared, and of both), offset with se, low, high (what is added to the old
        version, or the factor of a ratio splice), reason.
    restatements : DataFrame
        quarter, scope, segment, before (the version's own value), after (linked), difference with low, high, reason
        (of the changes since then).
    charts, signals : DataFrame
        Control charts of the linked series, as in `Trend`.
    notes : DataFrame
        code and text: ``few_answers``, ``not_linked`` (a dimension and the version before which it has no series),
        ``outside_scale`` (linked values below 0 or above 100), ``few_quarters`` and the notes of the charts.
    """

    n: int
    version: str
    series: pd.DataFrame
    differences: pd.DataFrame
    links: pd.DataFrame
    restatements: pd.DataFrame
    charts: pd.DataFrame
    signals: pd.DataFrame
    notes: pd.DataFrame
    level: float
    method: str
    settings: dict[str, Any]

    def _headline(self) -> str:
        own = self.series[self.series["scope"] == OVERALL]
        first, last = own["quarter"].iloc[0], own["quarter"].iloc[-1]
        found: Any = self.differences[
            (self.differences["scope"] == OVERALL)
            & (self.differences["quarter"] == last)
            & (self.differences["earlier"] == first)
        ].iloc[0]
        moved = f"{found['difference']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]"
        methods = ", ".join(self.links.loc[self.links["scope"] == OVERALL, "method"])
        return f"{first} to {last} on {self.version}: {moved}, linked by {methods}"


def link_index(
    segments: Sequence[Segment],
    *,
    splice: Splice = "additive",
    minimum_matched: float = 0.5,
    minimum_n: int = 10,
    accept: str = "",
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> LinkedIndex:
    """How did the service change over versions of the questionnaire or of the weights?

    Parameters
    ----------
    segments : sequence of Segment
        In order of time. A respondent who answered in several quarters or versions has the same id in all of them,
        and nobody else has it.
    splice : {"additive", "ratio"}
        What a link does to the old version: adds an offset, or multiplies by a factor.
    minimum_matched : float
        Share of the index that unchanged items must carry to link by them.
    minimum_n : int
        Quarters with fewer respondents have no figure and link nothing.
    accept : str
        Reason for scoring measures that failed.
    level, draws, rng
        Of one joint bootstrap over the respondents of all versions.

    Returns
    -------
    LinkedIndex

    Raises
    ------
    UnfitMeasureError
        A measure failed and `accept` is empty.
    InputError
        Segments that cannot be linked, a change without a reason, a respondent twice in a quarter; all together.
    ComputationError
        A ratio splice of an index of 0, or unchanged items that nobody answered in the quarters compared.

    Notes
    -----
    Two segments that share quarters are linked over them (``overlap``): the offset is the mean over these quarters of
    the new minus the old version. It assumes that both were answered by the same respondents or by random parts of
    the same sample. Without such a quarter they are linked over the items with the same code, text and scale
    (``matched items``): the index of these items alone, at the new weights, tells how the service changed from the
    last quarter of the old to the first of the new version, and the offset is what is left of the difference. It
    assumes that the other items changed as these did, and that they are understood as before beside new neighbours:
    the anchor items of test equating (Kolen and Brennan 2014, Test Equating, Scaling, and Linking, chapter 4).

    Additive by default: points on 0-100 are points of a rating scale whose lower end is a label and not the absence of
    service. Differences mean the same wherever the scale begins, ratios do not: with answers counted from 1 instead of
    0 a ratio splice gives another series. It is offered for scales with a true zero, such as shares of promises kept.

    The series stays on the scale of the last version, so that today's number is the published one; from the first
    shared quarter on it is that of the newer version. Every figure is a function of the same resampled respondents, so
    that intervals of linked values and of differences hold the error of the links. Changes of version in several
    steps add up: each link adds its error.
    """
    problems = segment_problems(segments)
    if splice not in get_args(Splice):
        problems.append(f"splice: expected one of {', '.join(get_args(Splice))}, found {splice!r}")
    for segment in segments:
        segment.measure.require(accept)
    found = [quarters_of(s.measure, minimum_n) for s in segments]
    quarters = [own for _, own in found]
    links, unlinked = plan_links(segments, quarters, minimum_n, minimum_matched)
    if problems or unlinked:
        raise InputError("chain-linking", [*problems, *unlinked], REMEDY)
    chain = Chain(tuple(segments), tuple(links), tuple(map(tuple, quarters)), splice)
    result = chain.bootstrap({"level": level, "draws": draws, "rng": rng})
    if not np.isfinite(result.estimate).all():
        raise ComputationError(
            "chain-linking: expected answers to the unchanged items in the quarters compared, and with a ratio splice "
            "an index above 0; found a link that is not defined; choose splice: additive, or ask both versions once"
        )
    series = chain.series_table(result)
    bounds = (0.0, 100.0) if series["estimate"].between(0, 100).all() else (-np.inf, np.inf)
    charts, signals, notes = control_signals(series, bounds=bounds, level=level, draws=draws)
    few = [
        (code, f"{segment.version}: {text}")
        for segment, (every, own) in zip(segments, found, strict=True)
        for code, text in left_out(every, own, minimum_n)
    ]
    notes = [*few, *chain.notes(series), *notes]
    settings = {"splice": splice, "minimum_matched": minimum_matched, "minimum_n": minimum_n, "level": level,
                "draws": draws, "weights": [s.chosen.method for s in segments]}  # fmt: skip
    return LinkedIndex(
        n=int(chain.frame["respondent"].nunique()),
        version=segments[-1].version,
        series=mark_signals(series, signals),
        differences=chain.difference_table(result),
        links=chain.link_table(result),
        restatements=chain.restatement_table(result),
        charts=charts,
        signals=signals,
        notes=pd.DataFrame(notes, columns=["code", "text"]),
        level=level,
        method=result.method,
        settings=settings,
    )
