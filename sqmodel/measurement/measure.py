"""The waist of the house: evidence and criteria make a Measure, fit to be scored or not, and why."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import pandas as pd

from sqmodel.errors import InputError, UnfitMeasureError
from sqmodel.measurement.comparability import Comparability
from sqmodel.measurement.confirmatory import Confirmation
from sqmodel.measurement.exploratory import DECIDING, Exploration
from sqmodel.measurement.reliability import Reliability
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.responses import Responses
from sqmodel.survey.screening import Screening
from sqmodel.yaml_text import read_yaml

Verdict = Literal["publish", "reservations", "reject"]
Overrides = Mapping[str, Any]

LEDGER = ["criterion", "scope", "value", "low", "high", "threshold", "direction", "required", "verdict", "source"]


@dataclass(frozen=True, repr=False)
class Measure:
    """An instrument on these answers, with the ledger that says whether it may be scored.

    Attributes
    ----------
    responses : Responses
        All quarters, screened: what is scored.
    quarter : str
        The quarter that the evidence is about; empty where the answers have none.
    items : tuple of str
        Items retained for scoring.
    ledger : DataFrame
        criterion, scope (dimension, item or ``all``), value, low, high, threshold, direction, required, verdict
        (``met``; ``doubtful``: the value is good enough but its interval reaches beyond the threshold; ``failed``;
        ``not assessed``), source.
    verdict : {"publish", "reservations", "reject"}
        reject: a required criterion failed. reservations: a required one is doubtful or not assessed, or another one
        failed. publish: neither.
    comparability : Comparability or None
        By which variables groups may be compared; where it is given, the index withholds other comparisons.
    """

    responses: Responses
    quarter: str
    items: tuple[str, ...]
    ledger: pd.DataFrame
    verdict: Verdict
    comparability: Comparability | None = None

    def __repr__(self) -> str:
        counts = self.ledger["verdict"].value_counts()
        shown = ", ".join(f"{counts[v]} {v}" for v in ("met", "doubtful", "failed", "not assessed") if v in counts)
        return f"<Measure {self.instrument.name} {self.quarter}: {self.verdict} ({shown})>"

    def _repr_html_(self) -> str:
        table = self.ledger.round(3).to_html(border=0, classes="sq", index=False, na_rep="")
        return f"<p><code>{self.__repr__().replace('<', '&lt;')}</code></p>{table}"

    @property
    def instrument(self) -> Instrument:
        """The questionnaire."""
        return self.responses.instrument

    @property
    def current(self) -> Responses:
        """The answers of the quarter that the evidence is about."""
        return self.responses.of(self.quarter) if self.quarter else self.responses

    @property
    def problems(self) -> pd.DataFrame:
        """Rows of the ledger that were not met, the gravest first."""
        rank = self.ledger["verdict"].map({"failed": 0, "doubtful": 1, "not assessed": 2})
        open_rows = self.ledger.assign(rank=rank)[rank.notna()]
        return open_rows.sort_values(["required", "rank"], ascending=[False, True]).drop(columns="rank")

    def require(self, accept: str = "") -> None:
        """Raise unless the measure may be scored, or somebody accepted its failure in writing.

        Raises
        ------
        UnfitMeasureError
            A required criterion failed and `accept` is empty.
        """
        if self.verdict != "reject" or accept.strip():
            return
        failed = self.ledger[(self.ledger["verdict"] == "failed") & self.ledger["required"]]
        lines = [f"  - {describe({str(k): v for k, v in row.items()})}" for row in failed.to_dict("records")]
        raise UnfitMeasureError(
            f"{self.instrument.name} {self.quarter}: the answers do not support an index\n"
            + "\n".join(lines)
            + "\n  What to do: mend the questionnaire or the data; or state in the params why the index is to be "
            'shown all the same (accept: "reason"), and the page prints the reason.'
        )


def describe(row: Mapping[str, Any]) -> str:
    """One row of the ledger in words: what was required and what was found."""
    bound = "at least" if row["direction"] == "at_least" else "at most"
    interval = "" if math.isnan(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    scope = "" if row["scope"] == "all" else f" of {row['scope']}"
    return f"{row['criterion']}{scope}: expected {bound} {row['threshold']:g}, found {row['value']:.3f}{interval}"


@functools.cache
def _shipped_criteria() -> dict[str, dict[str, Any]]:
    text = files("sqmodel.measurement").joinpath("criteria.yaml").read_text(encoding="utf-8")
    criteria: dict[str, dict[str, Any]] = read_yaml(text)["criteria"]
    return criteria


def load_criteria(overrides: Overrides | None = None) -> dict[str, dict[str, Any]]:
    """The criteria shipped with sqmodel, with thresholds replaced where `overrides` says so.

    Parameters
    ----------
    overrides : mapping, optional
        Criterion to a number (its threshold) or to a mapping with ``threshold`` and/or ``required``.

    Raises
    ------
    InputError
        An unknown criterion or key, or a threshold that is no number.
    """
    criteria = {name: dict(rule) for name, rule in _shipped_criteria().items()}
    problems = []
    for name, change in (overrides or {}).items():
        if name not in criteria:
            near = difflib.get_close_matches(name, criteria, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"unknown criterion {name!r}{hint}")
            continue
        changes = change if isinstance(change, Mapping) else {"threshold": change}
        unknown = set(changes) - {"threshold", "required"}
        if unknown:
            problems.append(f"{name}: expected threshold or required, found {', '.join(sorted(unknown))}")
        threshold = changes.get("threshold", 0.0)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float):
            problems.append(f"{name}: expected a number as threshold, found {threshold!r}")
        if not isinstance(changes.get("required", True), bool):
            problems.append(f"{name}: expected true or false as required, found {changes['required']!r}")
        criteria[name] = criteria[name] | dict(changes) | {"overridden": True}
    if problems:
        raise InputError("criteria", problems, "use the names in sqmodel/measurement/criteria.yaml")
    return criteria


def qualify(
    responses: Responses,
    *,
    quarter: str = "",
    screening: Screening | None = None,
    reliability: Reliability | None = None,
    exploration: Exploration | None = None,
    confirmation: Confirmation | None = None,
    comparability: Comparability | None = None,
    criteria: Overrides | None = None,
    drop_items: tuple[str, ...] | list[str] = (),
) -> Measure:
    """May this instrument be scored on these answers?

    Parameters
    ----------
    responses : Responses
        Screened answers, all quarters that will be scored.
    quarter : str
        The quarter that the evidence is about.
    screening, reliability, exploration, confirmation, comparability : results, optional
        The evidence. What is not given is entered as ``not assessed``.
    criteria : mapping, optional
        Overrides of thresholds, see `load_criteria`.
    drop_items : sequence of str
        Items not to be scored.

    Returns
    -------
    Measure
    """
    rules = load_criteria(criteria)
    unknown = [c for c in drop_items if c not in responses.instrument.item_codes]
    if unknown:
        raise InputError("drop_items", [f"expected items of {responses.instrument.name}, found {c!r}" for c in unknown])
    items = tuple(c for c in responses.instrument.item_codes if c not in set(drop_items))
    empty = [d for d, members in responses.instrument.structure().items() if not set(members) & set(items)]
    if empty:
        raise InputError("drop_items", [f"expected an item left in dimension {d!r}, found none" for d in empty])
    current = responses.of(quarter) if quarter else responses
    found: list[Finding] = [
        *_sample(current, items, screening, quarter),
        *_structure(current, exploration),
        *_consistency(current, items, reliability),
    ]
    found.append(_ends(current, items))
    found += [*_fit(confirmation), *_invariance(comparability)]
    rows = [_judge(rules[finding[0]], *finding) for finding in found]
    ledger = pd.DataFrame(rows, columns=LEDGER)
    return Measure(responses, quarter, items, ledger, _verdict(ledger), comparability)


Finding = tuple[str, str, float, float, float]


def _sample(current: Responses, items: tuple[str, ...], screening: Screening | None, quarter: str) -> list[Finding]:
    n = len(current)
    missing = float(current.items[list(items)].isna().to_numpy().mean()) if n else math.nan
    careless = math.nan if screening is None else screening.share_excluded(quarter)
    nothing = (math.nan, math.nan)
    return [
        ("sample_size", "all", float(n), *nothing),
        ("respondents_per_item", "all", n / len(items), *nothing),
        ("missing", "all", missing, *nothing),
        ("careless", "all", careless, *nothing),
    ]


def _structure(current: Responses, exploration: Exploration | None) -> list[Finding]:
    if exploration is None:
        return [(name, "all", math.nan, math.nan, math.nan) for name in ("kmo", "bartlett", "dimensionality")]
    suggested = int(exploration.suggestions["n_factors"][DECIDING])
    difference = abs(suggested - len(current.instrument.dimensions))
    values = (exploration.kmo_overall, float(exploration.bartlett["pvalue"].iloc[0]), float(difference))
    names = ("kmo", "bartlett", "dimensionality")
    return [(name, "all", value, math.nan, math.nan) for name, value in zip(names, values, strict=True)]


def _consistency(current: Responses, items: tuple[str, ...], reliability: Reliability | None) -> list[Finding]:
    """Alpha and omega of every dimension that is scored; one item alone has neither, two have no omega."""
    if reliability is None:
        return [(name, "all", math.nan, math.nan, math.nan) for name in ("alpha", "omega", "item_rest")]
    found = reliability.coefficients.to_dict("index")
    rows: list[Finding] = []
    for code, members in current.instrument.structure().items():
        size = len(set(members) & set(items))
        for name in ("alpha", "omega"):
            value = float(found.get(code, {}).get(name, math.nan))
            if name == "omega" and size == 2 and math.isnan(value):
                continue
            bounds = (math.nan, math.nan) if math.isnan(value) else reliability.interval(code, name)
            rows.append((name, code, value, *bounds))
    weakest = reliability.items["item_rest"].astype(float)
    rows.append(("item_rest", str(weakest.idxmin()), float(weakest.min()), math.nan, math.nan))
    return rows


def _ends(current: Responses, items: tuple[str, ...]) -> Finding:
    scores = current.dimension_scores(list(items))
    shares = pd.concat([(scores == 0).mean(), (scores == 100).mean()])
    return "floor_ceiling", str(shares.idxmax()), float(shares.max()), math.nan, math.nan


def _fit(confirmation: Confirmation | None) -> list[Finding]:
    """Fit of the dimensions as factors, robust where there is a robust index; an improper solution has none."""
    names = ("cfi", "rmsea", "srmr")
    if confirmation is None or not (confirmation.converged and confirmation.identified):
        return [(name, "all", math.nan, math.nan, math.nan) for name in ("proper", *names)]
    fit = confirmation.fit
    suffix = next((s for s in (".robust", ".scaled") if math.isfinite(fit.get(f"cfi{s}", math.nan))), "")
    bounds = (fit[f"rmsea.ci.lower{suffix}"], fit[f"rmsea.ci.upper{suffix}"])
    return [
        ("proper", "all", float(confirmation.proper), math.nan, math.nan),
        ("cfi", "all", fit[f"cfi{suffix}"], math.nan, math.nan),
        ("rmsea", "all", fit[f"rmsea{suffix}"], *bounds),
        ("srmr", "all", fit["srmr"], math.nan, math.nan),
    ]


def _invariance(comparability: Comparability | None) -> list[Finding]:
    """Change of CFI where intercepts are held equal, by every variable that could be tested."""
    if comparability is None:
        return [("invariance", "all", math.nan, math.nan, math.nan)]
    tested = comparability.variables[comparability.variables["status"] != "not assessed"]
    return [
        ("invariance", str(row["group"]), float(row["delta_cfi"]), math.nan, math.nan) for _, row in tested.iterrows()
    ]


def _judge(rule: dict[str, Any], name: str, scope: str, value: float, low: float, high: float) -> tuple[Any, ...]:
    limit, at_least = float(rule["threshold"]), rule["direction"] == "at_least"
    if math.isnan(value):
        verdict = "not assessed"
    else:
        passed = value >= limit if at_least else value <= limit
        open_ended = low < limit if at_least else high > limit
        verdict = "failed" if not passed else "doubtful" if open_ended else "met"
    source = rule["source"] + (" (threshold set in the params)" if rule.get("overridden") else "")
    return name, scope, value, low, high, limit, rule["direction"], bool(rule["required"]), verdict, source


def _verdict(ledger: pd.DataFrame) -> Verdict:
    failed, required = ledger["verdict"] == "failed", ledger["required"]
    if (failed & required).any():
        return "reject"
    open_required = ledger["verdict"].isin(["doubtful", "not assessed"]) & required
    return "reservations" if (failed | open_required).any() else "publish"
