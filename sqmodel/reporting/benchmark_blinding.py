"""Blinding: the public's version of a benchmark with codes for names, in which no figure tells whose it is.

A code hides nobody whose number of respondents stands beside it, and that number can be worked out from a standard
error, the width of an interval, how far a score was shrunken, or the last digits of a share. So sizes are told by
class, intervals are those of the least exact of a class, and figures of one institution have one digit.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.assess_field import hidden_groups
from sqmodel.benchmark.blind import size_classes
from sqmodel.benchmark.comparison import Benchmark, Gate
from sqmodel.benchmark.content import CODE
from sqmodel.benchmark.profile import Profile

GROUPED = ("standing", "scopes", "indicators", "history")
"""Tables with rows of one institution each."""
SIZES = "sizes"
"""Name in the settings of the classes of respondents by code."""
DIGITS = 1
"""Of an institution's figures."""
MEAN_DIGITS = 2
"""Of figures of several together: with more, one could be solved for the weights in them."""
_TOKEN = re.compile(CODE.strip("^$"))

Labels = npt.NDArray[np.object_]


def blinded(benchmark: Benchmark, profile: Profile, names: Mapping[str, str]) -> Benchmark:
    """A comparison in which all codes are replaced by blind ones, in the order of these, and sizes by classes.

    Parameters
    ----------
    benchmark : Benchmark
    profile : Profile
        Its `publication.size_classes` and `disclosure.minimum_institutions`.
    names : mapping of str to str
        Blind code of every institution.

    Returns
    -------
    Benchmark
        Of an institution: peer group where it is large enough to hide in; scores with one digit; intervals of the
        class, never narrower than its own; no standard error of its own, no shrunken score, no indicator. Classes of
        size are in ``settings["sizes"]``. Who is too small to be shown has no code at all.

    Notes
    -----
    Classes hold at least `minimum_institutions` of the same peer group. An interval of a class is that of its largest
    standard error, so that it covers at least as often as it says; where a cap or a deduction may apply, it is widened
    to the institution's own, rounded outward to whole points. Sets of ranks are as they are: they tell a little of how
    exact a score is, and ranks cannot be told without.
    """
    least = profile.disclosure.minimum_institutions
    tables: dict[str, Any] = {name: _recoded(getattr(benchmark, name), names) for name in GROUPED}
    standing = _without_small_groups(tables["standing"], profile)
    sizes = _sizes(standing, profile)
    z = NormalDist().inv_cdf(0.5 + profile.publication.level / 2)
    small = set(standing["institution"]) - set(sizes)
    peers = dict(zip(standing["institution"], standing["peers"], strict=True))
    classes = {c: f"{peers[c]}|{sizes.get(c, '')}" for c in peers}
    tables["standing"] = _even_standing(standing, classes, least, z)
    tables["scopes"] = _even_scopes(tables["scopes"], classes, peers, least, z)
    tables["history"] = _even(tables["history"], classes, ["quarter"], least, z)
    tables["indicators"] = _counted(tables["indicators"])
    tables |= {name: _without(tables[name], small) for name in GROUPED}
    for name, column in (("standing", "reason"), ("withheld", "cell")):
        table = tables.get(name, getattr(benchmark, name))
        tables[name] = table.assign(**{column: [said(str(t), names) for t in table[column]]})
    tables |= {name: getattr(benchmark, name).round(MEAN_DIGITS) for name in ("overall", "case_mix")}
    together = benchmark.peers.round(MEAN_DIGITS)
    tables["peers"] = together.assign(n=[about(n) for n in together["n"]])
    return replace(
        benchmark, **tables, n=int(about(benchmark.n)), gate=_gate(benchmark.gate, names, classes, least),
        settings=renamed(benchmark.settings, names) | {SIZES: sizes},
        notes=tuple(said(n, names) for n in benchmark.notes),
    )  # fmt: skip


def about(n: float) -> float:
    """A total with two digits, rounded down; what is left of it tells nothing of one of many.

    Examples
    --------
    >>> about(48_712), about(95), about(float("nan"))
    (48000.0, 95.0, nan)
    """
    if not math.isfinite(n) or n < 100:
        return float(n)
    unit = 10.0 ** (math.floor(math.log10(n)) - 1)
    return float(math.floor(n / unit) * unit)


def said(text: str, names: Mapping[str, str]) -> str:
    """A text in which institutions are named by other codes."""

    def other(match: re.Match[str]) -> str:
        code = match.group().rstrip(".-")
        return names.get(code, code) + match.group()[len(code) :]

    return _TOKEN.sub(other, text)


def tokens(text: str) -> list[str]:
    """What in a text can be a code; a full stop at the end belongs to the sentence."""
    return [token.rstrip(".-") for token in _TOKEN.findall(text)]


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Settings in which institutions are named by other codes."""
    if isinstance(value, str):
        return said(value, names)
    if isinstance(value, Mapping):
        return {said(str(k), names): renamed(v, names) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(renamed(v, names) for v in value)
    return value


def _recoded(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """A table with blind codes, ordered by them; an institution's own rows keep their order."""
    codes = table["institution"].map(lambda code: names[code])
    return table.assign(institution=codes).sort_values("institution", kind="stable").reset_index(drop=True)


def _without_small_groups(standing: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """No peer group of few; nor of others, where those without a group would be few and so known."""
    small = standing["n"] < profile.publication.minimum_n
    counts = Counter(map(str, standing.loc[~small, "peers"]))
    at = small | standing["peers"].isin(hidden_groups(counts, profile.disclosure.minimum_institutions))
    ranks = {c: standing[c].mask(at) for c in ("best_peers", "worst_peers")}
    return standing.assign(peers=standing["peers"].mask(at, ""), **ranks)


def _sizes(standing: pd.DataFrame, profile: Profile) -> dict[str, str]:
    """Class of respondents of each institution that is large enough to be shown, among those of its peer group."""
    rules, found = profile.publication, dict[str, str]()
    for _, own in standing.groupby("peers", sort=True):
        told = size_classes(own["n"].tolist(), rules.size_classes, minimum=rules.minimum_n,
                            least=profile.disclosure.minimum_institutions)  # fmt: skip
        found |= dict(zip(own["institution"], told, strict=True))
    return {code: size for code, size in sorted(found.items()) if size}


def _largest(values: pd.Series, labels: pd.Series, least: int) -> pd.Series:
    """The largest value of each one's class, of all where the class has too few values, NaN where all are too few."""
    known = values.dropna()
    if len(known) < least:
        return pd.Series(np.nan, index=values.index)
    classes = known.groupby(labels[known.index])
    found = classes.max().where(classes.count() >= least)
    return (labels.map(found).fillna(known.max()).astype(float) * 100).apply(np.ceil) / 100


def _fair(errors: pd.Series, ruled: pd.Series, labels: pd.Series, least: int) -> pd.Series:
    """Error of each one's class; of who is capped it is mostly the cap's, and no measure of the others'."""
    plain = errors.mask(ruled)
    return _largest(plain if plain.notna().sum() >= least else errors, labels, least)


def _ruled(table: pd.DataFrame, z: float) -> pd.Series:
    """Whose interval a cap or a deduction has a part in, also where it applies in some draws only."""
    low, high = table["score"] - z * table["se"], table["score"] + z * table["se"]
    return ((low.clip(lower=0) - table["low"]).abs() > 1e-6) | ((high.clip(upper=100) - table["high"]).abs() > 1e-6)


def _interval(score: pd.Series, error: pd.Series, own: pd.DataFrame, ruled: pd.Series, z: float) -> dict[str, Any]:
    """The interval of the class; of who is ruled at least its own, rounded outward."""
    low, high = (score - z * error).clip(lower=0).round(DIGITS), (score + z * error).clip(upper=100).round(DIGITS)
    return {"low": low.mask(ruled, np.fmin(low, np.floor(own["low"]))),
            "high": high.mask(ruled, np.fmax(high, np.ceil(own["high"])))}  # fmt: skip


def _even_standing(table: pd.DataFrame, classes: Mapping[str, str], least: int, z: float) -> pd.DataFrame:
    labels, own = table["institution"].map(classes), table["adjusted_se"]
    ruled = _ruled(table, z) | table["cap"].notna() | (table["deducted"] > 0)
    found = table.assign(n=0).round(dict.fromkeys(("score", "adjusted", "cap", "deducted", "change"), DIGITS))
    for score, error in (("score", "se"), ("adjusted", "adjusted_se")):
        found[error] = _fair(table[error], ruled, labels, least).where(table[score].notna())
    found = found.assign(**_interval(found["score"], found["se"], table, ruled, z))
    wider = np.fmax(found["adjusted_se"], np.ceil(own))
    found["adjusted_se"] = found["adjusted_se"].mask(ruled & (own > found["adjusted_se"]), wider)
    reach = _largest((table["change_high"] - table["change_low"]) / 2, labels, least)
    found["change"] = found["change"].where(reach.notna())
    found["change_low"] = (found["change"] - reach).round(DIGITS)
    found["change_high"] = (found["change"] + reach).round(DIGITS)
    return found.assign(shrunken=np.nan, shrunken_low=np.nan, shrunken_high=np.nan)


def _even_scopes(
    table: pd.DataFrame, classes: Mapping[str, str], peers: Mapping[str, str], least: int, z: float
) -> pd.DataFrame:
    found = _even(table, classes, ["scope"], least, z)
    groupless = table["institution"].map(peers) == ""
    found["peers_median"] = found["peers_median"].mask(groupless)
    nothing = found["score"].isna()
    middles = {c: found[c].round(DIGITS).mask(nothing) for c in ("median", "peers_median", "best_practice")}
    distance = (found["best_practice"] - found["score"]).round(DIGITS)
    ranks = {c: found[c].mask(nothing) for c in ("best_all", "worst_all")}
    return found.assign(n=0, distance=distance, distance_low=np.nan, distance_high=np.nan,
                        standing=found["standing"].mask(nothing, ""), **middles, **ranks)  # fmt: skip


def _even(table: pd.DataFrame, classes: Mapping[str, str], by: list[str], least: int, z: float) -> pd.DataFrame:
    """Scores with the intervals of their classes, within each value of `by`; none where too few have a score."""
    found = table.copy()
    labels = table["institution"].map(lambda code: classes.get(code, ""))
    for _, own in table.groupby(by, sort=False):
        ruled, at = _ruled(own, z), own["score"].notna()
        error = _fair(own["se"].where(at), ruled, labels[own.index], least).where(at)
        score = own["score"].round(DIGITS).where(error.notna())
        even = pd.DataFrame({"score": score, "se": error, **_interval(score, error, own, ruled & error.notna(), z)})
        found.loc[own.index, even.columns] = even
    return found


def _without(table: pd.DataFrame, small: set[str]) -> pd.DataFrame:
    """Rows of those who are too small to be shown without their codes, which would tell as much of other quarters."""
    gone = table["institution"].isin(small)
    found = table.assign(institution=table["institution"].mask(gone, ""))
    return found.sort_values("institution", kind="stable", ignore_index=True)


def _counted(indicators: pd.DataFrame) -> pd.DataFrame:
    """Of indicators only who lies where, to be counted; figures of cases tell who is who."""
    gone = dict.fromkeys(("n", "value", "low", "high", "peers", "lower_limit", "upper_limit"), np.nan)
    return indicators.assign(**gone)


def _gate(gate: Gate, names: Mapping[str, str], classes: Mapping[str, str], least: int) -> Gate:
    """The gate with blind codes of those only whose answers are biased beyond the limit.

    Who was looked at has enough complete answers and who was left out has not: that is a class of size of its own.
    """
    left_out = gate.left_out.drop_duplicates("institution").assign(institution="", reason="")
    biased = _even_bias(_recoded(gate.biased, names), classes, least)
    open_ = ~biased["withheld"].astype(bool)
    figures = [c for c in biased.columns if c not in ("institution", "withheld", "bias", "finding")]
    biased = biased.assign(
        institution=biased["institution"].mask(open_, ""), **{c: biased[c].mask(open_) for c in figures}
    ).sort_values(["institution", "bias"], ignore_index=True)
    told = tuple(n for n in gate.notes if not set(tokens(n)) & set(names))
    return replace(
        gate, n=int(about(gate.n)), biased=biased.round(dict.fromkeys(["bias", *figures], DIGITS)),
        left_out=left_out.reset_index(drop=True), reason=said(gate.reason, names), notes=told,
    )  # fmt: skip


def _even_bias(biased: pd.DataFrame, classes: Mapping[str, str], least: int) -> pd.DataFrame:
    """Bias with the interval of the class; what was found of each stays, as found by its own interval."""
    labels = biased["institution"].map(lambda code: classes.get(code, ""))
    half = _largest((biased["high"] - biased["low"]) / 2, labels, least)
    return biased.assign(se=np.nan, unseen=np.nan, low=biased["bias"] - half, high=biased["bias"] + half)
