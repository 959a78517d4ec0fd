"""Benchmark: where every institution stands, with what is not known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from sqmodel.benchmark.content import Identity
from sqmodel.result import Result

STANDING = ["institution", "peers", "n", "score", "se", "low", "high", "adjusted", "adjusted_se", "shrunken",
            "shrunken_low", "shrunken_high", "rank", "best", "worst", "best_all", "worst_all", "band", "best_peers",
            "worst_peers", "funnel", "cap", "deducted", "change", "change_low", "change_high", "reason"]  # fmt: skip
SCOPES = ["institution", "scope", "n", "score", "se", "low", "high", "median", "peers_median", "best_practice",
          "distance", "distance_low", "distance_high", "best_all", "worst_all", "standing"]  # fmt: skip
INDICATORS = ["institution", "indicator", "kind", "n", "value", "low", "high", "overall", "peers", "best_practice",
              "lower_limit", "upper_limit", "funnel"]  # fmt: skip
PEERS = ["peers", "institutions", "n", "mean", "low", "high", "tau", "i2", "withheld"]
HISTORY = ["institution", "quarter", "score", "se", "low", "high"]
WAITING = ["scope", "stage", "hours", "waiting", "low", "high", "institutions"]


@dataclass(frozen=True, repr=False)
class Gate(Result):
    """May institutions be compared by what their clients say?

    Attributes
    ----------
    institutions : int
        Looked at: with enough complete answers and all moments.
    n : int
        Their respondents.
    method : {"ladder", "alignment", "none"}
    verdict : {"comparable", "partial", "doubtful", "not comparable", "not assessed"}
        "partial" is invariance but for some parameters or institutions; "doubtful" the same with bias beyond the
        profile's limit, or not to be decided, on some institutions: these are left out of ranks and named in `biased`.
    reason : str
    steps : DataFrame
        The ladder: model, chisq, df, cfi, rmsea, srmr, changes, holds; empty where it was not fitted.
    items : DataFrame
        Of alignment: factor, item, kind, value, noninvariant, r2; of the ladder the released parameters.
    biased : DataFrame
        institution; observed, bias, fair: index points that the items' meaning, not the service, puts between an
        institution and the mean of all; se, its sampling error, and unseen, what shifts too small to be seen could make
        at most, which together give low and high; least and most, the bias by other readings of the items that the
        answers allow as well; ladder, the same by the ladder; finding (``within``, ``near``: the interval holds the
        limit, ``beyond``, ``undecided``: beyond by one reading only); withheld (bool): ``beyond`` or ``undecided``. NaN
        where there is no interval or no ladder.
    left_out : DataFrame
        institution, reason.
    notes : tuple of str
    ordinal : DataFrame or None
        The configural model of thresholds and polychoric correlations: a row for its fit over all institutions
        (``fit``) and one a standardised loading (``loading``); see `pooling_ordinal.ORDINAL`. None where it was not
        asked for.
    """

    institutions: int
    n: int
    method: str
    verdict: str
    reason: str
    steps: pd.DataFrame
    items: pd.DataFrame
    biased: pd.DataFrame
    left_out: pd.DataFrame
    notes: tuple[str, ...] = ()
    ordinal: pd.DataFrame | None = None

    def _headline(self) -> str:
        return f"{self.institutions} institutions, n={self.n}: {self.verdict} ({self.method})"


@dataclass(frozen=True, repr=False)
class Benchmark(Result):
    """An association's comparison of a quarter.

    Attributes
    ----------
    quarter : str
    profile : Identity
    simulated : bool
    institutions : int
        Ranked.
    n : int
        Their respondents.
    overall : DataFrame
        One row a scope (``overall`` is the composite, then every branch of the tree, then ``perception``): mean, se,
        low, high, tau (between institutions), i2, prediction_low, prediction_high, median, best_practice (upper decile
        of the shrunken values, of at least `minimum_institutions`), institutions; NaN where it would tell of a few.
    standing : DataFrame
        A row an institution (see STANDING): the composite, adjusted for case mix, shrunken, its rank and the sets of
        ranks (marginal, simultaneous, simultaneous among peers), band, place in the funnel (``within``, ``above``,
        ``far above``, ``below``, ``far below``), cap and points deducted by the profile's rules, change against a year
        or a quarter before; `reason` says why one is not ranked, with NaN in its figures.
    scopes : DataFrame
        A row an institution and branch or dimension (see SCOPES); `standing` is ``strength``, ``weakness`` or empty:
        surely above or below the mean of all.
    indicators : DataFrame
        A row an institution and operational indicator (see INDICATORS) with funnel limits at its own n.
    peers : DataFrame
        A row a peer group and one for all (see PEERS).
    history : DataFrame
        Composites of the quarters submitted (see HISTORY).
    waiting : DataFrame
        Survival tables by stage: scope is an institution, ``overall`` or ``peers:GROUP`` (see WAITING).
    case_mix : DataFrame
        Coefficients of the adjustment: term, estimate, se, low, high.
    gate : Gate
    receipts : DataFrame
        file, institution, quarter, revision, accepted, reason.
    withheld : DataFrame
        What the publication withholds: table, cell, rule.
    compared_with : str
        Quarter that changes are against; empty where there is none.
    settings : dict
    notes : tuple of str
    """

    quarter: str
    profile: Identity
    simulated: bool
    institutions: int
    n: int
    overall: pd.DataFrame
    standing: pd.DataFrame
    scopes: pd.DataFrame
    indicators: pd.DataFrame
    peers: pd.DataFrame
    history: pd.DataFrame
    waiting: pd.DataFrame
    case_mix: pd.DataFrame
    gate: Gate
    receipts: pd.DataFrame
    withheld: pd.DataFrame
    compared_with: str
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Read back from JSON the profile is a plain tuple.
        object.__setattr__(self, "profile", Identity(*self.profile))

    def _headline(self) -> str:
        return f"{self.quarter}: {self.institutions} institutions, n={self.n}, {self.gate.verdict}"
