"""What does each item tell, and does it mean the same in every group? Graded response model and item bias (DIF)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.errors import ComputationError, ConvergenceWarning, InputError
from sqmodel.measurement.inputs import Ratings, Structure, as_ratings
from sqmodel.numerics.irt import curves, graded
from sqmodel.numerics.irt.patterns import MOST_CATEGORIES
from sqmodel.numerics.ordinal_regression import OrdinalRegression, nagelkerke, proportional_odds
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

MATCHINGS = ("theta", "total", "rest")
CRITERIA = ("nagelkerke", "significance")
ADJUSTMENTS = ("holm", "bh", "none")
CLASSES = ((0.035, "negligible"), (0.070, "moderate"), (np.inf, "large"))
"""Upper ends of the change of Nagelkerke's R2 by group (Jodoin & Gierl 2001)."""
MOST_ROUNDS = 10
FEWEST_ANCHORS = 3
"""Unflagged items that purification leaves: fewer determine no trait on which groups could be held equal."""
STEEPEST = 10.0
"""A slope beyond it comes from an item that repeats another, or from too few answers."""
GRID = np.round(np.arange(-40, 41) / 10, 1)
_FINE = np.linspace(-curves.WIDTH, curves.WIDTH, 1201)


@dataclass(frozen=True, repr=False)
class ItemScreening(Result):
    """What each item contributes, and where it treats groups differently; frames unrounded.

    Attributes
    ----------
    n : int
        Respondents, complete or not.
    by : str
        Grouping variable; empty without one.
    scales : DataFrame, one row a scale
        k, n (with any answer), loglik, gradient_norm (largest derivative per respondent), converged,
        marginal_reliability (mean of I / (I + 1) over a standard normal trait), peak_theta and peak_information of the
        whole scale; with groups rounds and settled (of the purification).
    items : DataFrame, one row an item
        scale, n, answers (different ones), slope, peak_theta and peak_information (where the item tells most, and how
        much), share (of the scale's information, over a standard normal trait).
    parameters : DataFrame
        item, scale, parameter (``slope``, ``threshold``), answer (the lowest one above the threshold), value, se, low,
        high: Wald intervals at `level`. A threshold is the trait value, in standard deviations, at which half choose
        this answer or a higher one.
    information : DataFrame, trait values -4 to 4 x items
    scale_information : DataFrame, trait values x scales
    dif : DataFrame, one row an item; empty without groups
        scale, n; chisq_, df_, pvalue_ and r2_ (change of Nagelkerke's R2) of item bias that is uniform
        (df = groups - 1), nonuniform (df = groups - 1) and total (both: df = 2 (groups - 1)), and of spread beyond it
        (df = (groups - 1) (answers - 2); NaN with two answers or where not asked for); pvalue (twice the smaller one
        of total and spread), pvalue_adjusted (over the items of the scale), effect (``negligible``, ``moderate``,
        ``large``), flagged, kind (where flagged: ``spread`` where that test is the surer one, ``non-uniform`` where
        its test is significant, ``uniform`` otherwise).
    shifts : DataFrame, one row an item and group other than the reference
        item, group, log_odds (of a higher answer than the reference group's at the same standing), se, low, high,
        points (mean difference of the expected answer at the same standing, in points of the item's scale).
    groups : DataFrame, one row a compared group
        n and reference.
    left_out : tuple of str
        Groups below `minimum_n`.
    notes : tuple of str
        What could not be computed or deserves doubt, and why.
    """

    n: int
    by: str
    settings: dict[str, Any]
    scales: pd.DataFrame
    items: pd.DataFrame
    parameters: pd.DataFrame
    information: pd.DataFrame
    scale_information: pd.DataFrame
    dif: pd.DataFrame
    shifts: pd.DataFrame
    groups: pd.DataFrame
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def flagged(self) -> tuple[str, ...]:
        """Items that treat groups differently."""
        return tuple(map(str, self.dif.index[self.dif["flagged"].astype(bool)])) if len(self.dif) else ()

    def _headline(self) -> str:
        slopes = self.items["slope"]
        text = f"{len(self.items)} items, n={self.n}: slopes {slopes.min():.2f} to {slopes.max():.2f}"
        if not self.by:
            return text
        some = f" ({_some(list(self.flagged))})" if self.flagged else ""
        sure = int((self.dif["pvalue_adjusted"] < 1 - self.settings["level"]).sum())
        return f"{text}; by {self.by}: {sure} of {len(self.dif)} items differ, {len(self.flagged)} flagged{some}"


class _Groups(NamedTuple):
    """Compared groups: their names in order, and each respondent's number (-1: in none)."""

    names: list[str]
    codes: Integers


class _Test(NamedTuple):
    """Item bias of one item: regressions on the match, with groups, and with their slopes; the row it becomes."""

    row: dict[str, Any]
    uniform: OrdinalRegression
    full: OrdinalRegression
    standing: Array


class _Scale(NamedTuple):
    """Item bias of one scale."""

    tests: dict[str, _Test]
    table: pd.DataFrame
    rounds: int
    settled: bool


@dataclass(frozen=True)
class _Rules:
    """How item bias is tested."""

    matching: str
    criterion: str
    adjust: str
    purify: bool
    spread: bool
    level: float


def screen_items(
    data: Responses | pd.DataFrame,
    *,
    structure: Structure | None = None,
    items: Sequence[str] | None = None,
    by: str | npt.ArrayLike | None = None,
    level: float = 0.95,
    purify: bool = True,
    criterion: str = "nagelkerke",
    matching: str = "theta",
    spread: bool = True,
    adjust: str = "holm",
    minimum_n: int = 100,
) -> ItemScreening:
    """Which items tell much about whom, and which mean something else in some groups?

    Each scale is taken as one trait: a graded response model by marginal maximum likelihood (Samejima 1969; Bock &
    Aitkin 1981) gives slopes, thresholds and information. With `by`, differential item functioning is tested by
    proportional-odds regression of each item on the respondent's standing, the group, and their product (Swaminathan &
    Rogers 1990; Zumbo 1999).

    Parameters
    ----------
    data : Responses or DataFrame
        Of a frame all columns but `by` are items, numbers with NaN for missing answers. Respondents with some answers
        count: missing ones are taken as missing at random.
    structure : str or mapping, optional
        Scales to screen; the instrument's dimensions, or all columns of a frame, by default.
    items : sequence of str, optional
        Items to keep.
    by : str or array, n, optional
        Grouping variable of the responses or column of the frame, or the groups themselves. The first group in order
        is the reference; missing values are left out of the comparison.
    level : float
        Of the intervals; item bias is significant where its adjusted p value is below 1 - level.
    purify : bool
        Rest the standing on the unflagged items (and the item studied), again and again until the flagged set stays
        the same, at most 10 rounds. Items flagged with less than half the largest chi square wait for a round, since a
        biased item makes others look biased the other way. `notes` and `scales` say where the set did not settle.
    criterion : str
        ``nagelkerke``: flagged where significant and the effect moderate or large (Jodoin & Gierl 2001), for which
        thresholds of a five-point item must move by some 0.7 to 0.9 standard deviations of the trait;
        ``significance``: flagged where significant.
    matching : str
        What holds the respondents' standing equal: ``theta``, the trait estimate (EAP) of the graded response model
        over all compared groups, as lordif (Choi, Gibbons & Crane 2011); ``total`` and ``rest``, the mean of the
        answered items with and without the item itself, where at least half of them are answered.
    spread : bool
        Test besides whether the answers of one group lie farther apart than a shift and a slope explain, by regressions
        of each group alone. Without it only the total test of Zumbo (1999) counts, which with three answers or more
        hardly sees an item that tells less about one group around the same thresholds.
    adjust : str
        ``holm``, ``bh`` (Benjamini & Hochberg 1995) or ``none``, over the items of a scale.
    minimum_n : int
        Groups with fewer respondents are not compared, and named in `left_out`.

    Raises
    ------
    InputError
        An unknown name or item, columns that are not numbers.
    ComputationError
        No scale of three items, an item with one answer only (in all, or among the compared groups), fewer than two
        groups that are large enough.

    Warns
    -----
    ConvergenceWarning
        A model was not found; the result says so too.

    Notes
    -----
    Responses weigh the model's parameters by their sample weights, with sandwich errors. The tests of item bias are
    unweighted: they compare respondents of equal standing, and likelihood ratios have no design-based form.
    Where groups differ in standing, ``rest`` and ``total`` raise false alarms in short scales or with unequal slopes;
    ``theta`` keeps them near 1 - level (see ``tests/benchmarks/dif.py``). It departs from lordif in purification:
    there flagged items get parameters of their own in each group, with one normal prior for all, and false alarms grow
    with the groups' difference in standing; here they are left out.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> latent = 1.7 * rng.normal(size=(600, 1)) + rng.logistic(size=(600, 4))
    >>> frame = pd.DataFrame(np.digitize(latent, [-2, 0, 2]), columns=list("abcd"))
    >>> screen_items(frame)
    <ItemScreening 4 items, n=600: slopes 1.49 to 1.72>
    """
    rules = _Rules(matching, criterion, adjust, purify, spread, level)
    _check_choices(data, rules, by)
    label, values, answers = _split(data, by)
    ratings = as_ratings(answers, "dimensions" if structure is None else structure, items)
    notes: list[str] = []
    scales = _usable(ratings, notes)
    groups, counts, left_out = _groups(values, label, ratings, minimum_n)
    fits = {code: _fit(ratings, code, members, notes) for code, members in scales.items()}
    biases = {} if groups is None else {c: _bias(ratings.frame[m], groups, rules, c, notes) for c, m in scales.items()}
    settings = {"structure": _described(structure), "items": None if items is None else list(items), "by": label,
                "level": level, "purify": purify, "criterion": criterion, "matching": matching, "spread": spread,
                "adjust": adjust, "minimum_n": minimum_n, "weighted": ratings.weighted,
                "nodes": curves.NODES}  # fmt: skip
    return ItemScreening(
        n=len(ratings.frame), by=label or "", settings=settings, scales=_scale_table(scales, fits, biases),
        items=_item_table(ratings, scales, fits), parameters=_parameter_table(scales, fits, level),
        **_information_tables(scales, fits), **_bias_tables(biases, groups, level), groups=counts,
        left_out=left_out, notes=tuple(notes),
    )  # fmt: skip


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _described(structure: Structure | None) -> Any:
    return structure if structure is None or isinstance(structure, str) else {c: list(m) for c, m in structure.items()}


def _check_choices(data: Responses | pd.DataFrame, rules: _Rules, by: Any) -> None:
    problems = []
    for name, choices in (("criterion", CRITERIA), ("matching", MATCHINGS), ("adjust", ADJUSTMENTS)):
        if getattr(rules, name) not in choices:
            problems.append(f"{name}: expected one of {', '.join(choices)}, found {getattr(rules, name)!r}")
    if not 0.5 < rules.level < 1:
        problems.append(f"level: expected a number between 0.5 and 1, found {rules.level}")
    if isinstance(by, str):
        known = data.group_codes if isinstance(data, Responses) else [str(c) for c in data.columns]
        if by not in known:
            problems.append(f"by: expected one of {_some(list(known))}, found {by!r}")
    elif by is not None and np.shape(by) != (len(data),):
        problems.append(f"by: expected a name or {len(data)} groups, one a respondent, found shape {np.shape(by)}")
    if isinstance(data, pd.DataFrame):
        answers = [c for c in data.columns if not (isinstance(by, str) and str(c) == by)]
        text = [str(c) for c in answers if not pd.api.types.is_numeric_dtype(data[c])]
        if text:
            problems.append(f"data: expected columns of numbers, found other content in {_some(text)}")
    if problems:
        raise InputError("screen_items", problems, "correct the arguments")


def _split(
    data: Responses | pd.DataFrame, by: str | npt.ArrayLike | None
) -> tuple[str | None, pd.Series | None, Responses | pd.DataFrame]:
    """Name and values of the grouping variable, and the answers without it."""
    if by is None:
        return None, None, data
    if not isinstance(by, str):
        name = getattr(by, "name", None)
        # A categorical keeps the order of its groups, which arrays do not have.
        values = by if isinstance(by, pd.Series) else pd.Series(np.asarray(by))
        return ("groups" if name is None else str(name)), values, data
    if isinstance(data, Responses):
        return by, data.frame[by], data
    column = next(c for c in data.columns if str(c) == by)
    return by, data[column], data.drop(columns=[column])


def _usable(ratings: Ratings, notes: list[str]) -> dict[str, list[str]]:
    """Scales that have a model, after a look at their items."""
    scales = {}
    for code, members in ratings.scales.items():
        if len(members) < 3:
            notes.append(f"{code}: not screened, a trait needs three items or more, it has {len(members)}")
        else:
            scales[code] = members
    if not scales:
        most = max(map(len, ratings.scales.values()), default=0)
        raise ComputationError(
            f"expected a scale of at least 3 items, found {most} in the largest; add items or join scales"
        )
    whole = [c for members in scales.values() for c in members]
    twice = [c for c in dict.fromkeys(whole) if whole.count(c) > 1]
    if twice:
        raise InputError("structure", [f"expected every item in one scale, found {_some(twice)} in several"])
    for item in whole:
        given = ratings.frame[item].dropna().to_numpy(float)
        _check_answers(given, item)
        _note_absent(given, item, notes)
    return scales


def _check_answers(given: Array, item: str, where: str = "") -> None:
    count = len(np.unique(given))
    if count < 2:
        raise ComputationError(
            f"expected at least 2 different answers to {item}{where}, found {count}; leave this item out"
        )
    if count > MOST_CATEGORIES:
        raise ComputationError(
            f"expected ratings with at most {MOST_CATEGORIES} different answers, found {count} for {item}; "
            "join neighbouring answers"
        )


def _note_absent(given: Array, item: str, notes: list[str]) -> None:
    """Whole numbers between the lowest and the highest answer that nobody chose."""
    found = np.unique(given)
    if (found == np.round(found)).all():
        absent = [f"{v:g}" for v in np.setdiff1d(np.arange(found[0], found[-1] + 1), found)[:6]]
        if absent:
            notes.append(f"{item}: nobody answered {_some(absent)}, which therefore has no threshold of its own")


def _fit(ratings: Ratings, code: str, members: list[str], notes: list[str]) -> graded.GradedResponse:
    fit = graded.graded_response(ratings.frame[members].to_numpy(float), weight=ratings.weight)
    for item, slope in zip(members, fit.slopes, strict=True):
        if slope < 0:
            notes.append(f"{item}: its slope is negative; is it worded in reverse?")
        if abs(slope) > STEEPEST:
            notes.append(f"{item}: its slope {slope:.1f} has no bound in these answers; it repeats another item")
    if not fit.converged:
        notes.append(
            f"{code}: the model did not converge (derivative {fit.gradient_norm:.1e} per respondent), doubt it"
        )
        warnings.warn(notes[-1], ConvergenceWarning, stacklevel=3)
    return fit


def _groups(
    values: pd.Series | None, label: str | None, ratings: Ratings, minimum_n: int
) -> tuple[_Groups | None, pd.DataFrame, tuple[str, ...]]:
    """Groups with enough respondents who answered anything, their sizes, and the other groups."""
    if values is None:
        return None, pd.DataFrame(columns=["n", "reference"]), ()
    found = pd.Categorical(values)
    codes = np.where(ratings.frame.notna().to_numpy().any(axis=1), found.codes, -1)
    names, counts = [str(c) for c in found.categories], np.bincount(codes[codes >= 0], minlength=len(found.categories))
    kept = np.flatnonzero(counts >= minimum_n)
    if len(kept) < 2:
        raise ComputationError(
            f"by {label}: expected at least 2 groups of {minimum_n} respondents, found {len(kept)}; "
            "join groups or lower `minimum_n`"
        )
    new = np.full(len(names) + 1, -1, dtype=np.intp)
    new[kept] = np.arange(len(kept))
    table = pd.DataFrame({"n": counts[kept], "reference": kept == kept[0]}, index=[names[k] for k in kept])
    return _Groups([names[k] for k in kept], new[codes]), table, tuple(names[k] for k in np.flatnonzero(new[:-1] < 0))


def _bias(frame: pd.DataFrame, groups: _Groups, rules: _Rules, scale: str, notes: list[str]) -> _Scale:
    """Item bias of one scale, purified where asked for."""
    inside = groups.codes >= 0
    block, codes, names = frame.to_numpy(float)[inside], groups.codes[inside], [str(c) for c in frame.columns]
    for j, name in enumerate(names):
        _check_answers(block[~np.isnan(block[:, j]), j], name, " among the compared groups")
    freed: frozenset[int] = frozenset()
    seen, why = [freed], ""
    while True:
        tests = _round(block, codes, freed, rules, names)
        table = _judged(tests, rules)
        found = _to_free(table, freed)
        if not rules.purify or found == freed:
            break
        if len(names) - len(found) < FEWEST_ANCHORS:
            why = f"it would leave fewer than {FEWEST_ANCHORS} items"
        elif found in seen or len(seen) == MOST_ROUNDS:
            why = "the flags do not settle"
        if why:
            notes.append(f"{scale}: purification stopped after round {len(seen)} because {why}; doubt borderline items")
            break
        freed = found
        seen.append(freed)
    separated = [c for c, t in tests.items() if t.full.separated]
    if separated:
        notes.append(f"{scale}: some group answers {_some(separated)} without variation, doubt their sizes of effect")
    return _Scale(tests, table, len(seen), not why)


def _to_free(table: pd.DataFrame, freed: frozenset[int]) -> frozenset[int]:
    """Items to leave out of the standing next: those out already that are still flagged, and the worst new ones.

    A biased item biases the standing and so makes others look biased the other way, with smaller chi squares. Flagged
    items with less than half the largest new chi square therefore wait for another round.
    """
    flagged, chisq = table["flagged"].to_numpy(bool), table[["chisq_total", "chisq_spread"]].max(axis=1).to_numpy(float)
    fresh = flagged & ~np.isin(np.arange(len(table)), list(freed))
    worst = fresh & (chisq >= chisq[fresh].max(initial=0.0) / 2)
    return frozenset(np.flatnonzero(worst).tolist()) | {j for j in freed if flagged[j]}


def _round(block: Array, codes: Integers, freed: frozenset[int], rules: _Rules, names: list[str]) -> dict[str, _Test]:
    anchors = [j for j in range(len(names)) if j not in freed]
    standing = _theta(block[:, anchors]) if rules.matching == "theta" else None
    tests = {}
    for j, name in enumerate(names):
        used = sorted({*anchors, j}) if rules.matching != "rest" else [i for i in anchors if i != j]
        if standing is None:
            match = _mean_answer(block[:, used])
        else:
            match = _theta(block[:, used]) if j in freed else standing
        tests[name] = _test(block[:, j], match, codes, name, rules.spread)
    return tests


def _theta(block: Array) -> Array:
    """Trait estimates over all groups; NaN without any answer."""
    return graded.expected_scores(block, graded.graded_response(block, errors=False)).theta


def _mean_answer(block: Array) -> Array:
    """Mean of the answered items, where at least half of them are answered."""
    given = ~np.isnan(block)
    count = given.sum(axis=1)
    total = np.where(given, block, 0.0).sum(axis=1)
    return np.where(count >= block.shape[1] / 2, total / np.maximum(count, 1), np.nan)


def _test(answer: Array, match: Array, codes: Integers, name: str, spread: bool) -> _Test:
    """Likelihood ratio tests of one item; the regressions are nested."""
    used = ~np.isnan(answer) & ~np.isnan(match)
    y, standing, group = answer[used], match[used], codes[used]
    sizes = np.bincount(group, minlength=codes.max() + 1)
    if (sizes == 0).any() or len(np.unique(y)) < 2 or np.ptp(standing) == 0:
        raise ComputationError(
            f"expected different answers to {name} in every group from respondents of different standing, found none; "
            "leave this item out"
        )
    standing = (standing - standing.mean()) / standing.std()
    dummies = (group[:, None] == np.arange(1, len(sizes))).astype(float)
    base = proportional_odds(y, standing[:, None])
    uniform = proportional_odds(y, np.column_stack([standing, dummies]))
    full = proportional_odds(y, _with_products(standing, dummies))
    row: dict[str, Any] = {"n": int(used.sum())}
    df = len(sizes) - 1
    for kind, less, more, degrees in (
        ("uniform", base, uniform, df), ("nonuniform", uniform, full, df), ("total", base, full, 2 * df)
    ):  # fmt: skip
        row[f"chisq_{kind}"] = max(2 * (more.loglik - less.loglik), 0.0)
        row[f"df_{kind}"] = degrees
        row[f"pvalue_{kind}"] = float(stats.chi2.sf(row[f"chisq_{kind}"], degrees))
        row[f"r2_{kind}"] = more.nagelkerke - less.nagelkerke
    return _Test(row | _spread(y, standing, group, full, spread), uniform, full, standing)


def _spread(y: Array, standing: Array, group: Integers, full: OrdinalRegression, asked: bool) -> dict[str, Any]:
    """What the thresholds of each group's own regression add to one set of thresholds, shifted and stretched."""
    loglik, parameters = 0.0, 0
    for g in range(group.max() + 1) if asked else ():
        inside = group == g
        if np.ptp(y[inside]) > 0 and np.ptp(standing[inside]) > 0:
            alone = proportional_odds(y[inside], standing[inside, None])
            loglik, parameters = loglik + alone.loglik, parameters + len(alone.answers)
    df = parameters - len(full.covariance)
    if df <= 0:
        return {"chisq_spread": np.nan, "df_spread": 0, "pvalue_spread": np.nan, "r2_spread": np.nan}
    chisq = max(2 * (loglik - full.loglik), 0.0)
    gain = nagelkerke(loglik, full.null_loglik, full.n) - full.nagelkerke
    return {"chisq_spread": chisq, "df_spread": df, "pvalue_spread": float(stats.chi2.sf(chisq, df)), "r2_spread": gain}


def _with_products(standing: Array, dummies: Array) -> Array:
    return np.column_stack([standing, dummies, standing[:, None] * dummies])


def _judged(tests: dict[str, _Test], rules: _Rules) -> pd.DataFrame:
    """Table of the tests with adjusted p values, classes and flags."""
    table = pd.DataFrame.from_dict({name: test.row for name, test in tests.items()}, orient="index")
    total, spread = table["pvalue_total"], table["pvalue_spread"]
    # Two tests of one item: Bonferroni's bound keeps its false alarms at the level.
    table["pvalue"] = np.where(spread.isna(), total, np.minimum(2 * np.fmin(total, spread), 1.0))
    table["pvalue_adjusted"] = adjusted(table["pvalue"].to_numpy(float), rules.adjust)
    wider = spread < total
    r2 = table["r2_total"] + table["r2_spread"].where(wider, 0.0)
    table["effect"] = [next(name for end, name in CLASSES if value < end) for value in r2]
    flagged = table["pvalue_adjusted"] < 1 - rules.level
    if rules.criterion == "nagelkerke":
        flagged &= table["effect"] != "negligible"
    table["flagged"] = flagged
    bent = table["pvalue_nonuniform"] < 1 - rules.level
    kinds = np.select([~flagged, wider, bent], ["", "spread", "non-uniform"], "uniform")
    table["kind"] = kinds.astype(object)
    return table


def adjusted(pvalues: Array, method: str) -> Array:
    """p values adjusted for their number.

    Parameters
    ----------
    pvalues : array, m
    method : str
        ``holm`` (Holm 1979: no false alarm at all), ``bh`` (Benjamini & Hochberg 1995: few among the alarms) or
        ``none``; as R's ``p.adjust``.

    Examples
    --------
    >>> adjusted(np.array([0.01, 0.04, 0.03]), "holm").round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    m, order = len(pvalues), np.argsort(pvalues)
    result = np.empty(m)
    if method == "holm":
        result[order] = np.maximum.accumulate((m - np.arange(m)) * pvalues[order])
    elif method == "bh":
        result[order] = np.minimum.accumulate((m / np.arange(1, m + 1) * pvalues[order])[::-1])[::-1]
    else:
        result = pvalues.copy()
    return np.minimum(result, 1.0)


def _scale_table(
    scales: dict[str, list[str]], fits: dict[str, graded.GradedResponse], biases: dict[str, _Scale]
) -> pd.DataFrame:
    rows = {}
    for code, fit in fits.items():
        information = curves.test_information(_FINE, fit.slopes, fit.thresholds)
        row: dict[str, Any] = {"k": len(scales[code]), "n": fit.n, "loglik": fit.loglik}
        row |= {"gradient_norm": fit.gradient_norm, "converged": fit.converged}
        row["marginal_reliability"] = curves.marginal_reliability(fit.slopes, fit.thresholds)
        row |= {"peak_theta": float(_FINE[information.argmax()]), "peak_information": float(information.max())}
        if code in biases:
            row |= {"rounds": biases[code].rounds, "settled": biases[code].settled}
        rows[code] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _item_table(ratings: Ratings, scales: dict[str, list[str]], fits: dict[str, graded.GradedResponse]) -> pd.DataFrame:
    density = stats.norm.pdf(_FINE)
    rows = {}
    for code, fit in fits.items():
        information = curves.item_information(_FINE, fit.slopes, fit.thresholds)
        expected = density @ information
        for j, item in enumerate(scales[code]):
            peak = int(information[:, j].argmax())
            row: dict[str, Any] = {"scale": code, "n": int(ratings.frame[item].notna().sum())}
            row |= {"answers": int((~np.isnan(fit.answers[j])).sum()), "slope": float(fit.slopes[j])}
            row |= {"peak_theta": float(_FINE[peak]), "peak_information": float(information[peak, j])}
            rows[item] = row | {"share": float(expected[j] / expected.sum())}
    return pd.DataFrame.from_dict(rows, orient="index")


def _parameter_table(
    scales: dict[str, list[str]], fits: dict[str, graded.GradedResponse], level: float
) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for code, fit in fits.items():
        for j, item in enumerate(scales[code]):
            rows.append((item, code, "slope", np.nan, fit.slopes[j], fit.slope_errors[j]))
            there = ~np.isnan(fit.thresholds[j])
            found = zip(
                fit.answers[j, 1:][there], fit.thresholds[j, there], fit.threshold_errors[j, there], strict=True
            )
            rows += [(item, code, "threshold", *values) for values in found]
    table = pd.DataFrame(rows, columns=["item", "scale", "parameter", "answer", "value", "se"])
    return _with_bounds(table, "value", level)


def _with_bounds(table: pd.DataFrame, value: str, level: float) -> pd.DataFrame:
    half = float(stats.norm.ppf((1 + level) / 2)) * table["se"]
    return table.assign(low=table[value] - half, high=table[value] + half)


def _information_tables(
    scales: dict[str, list[str]], fits: dict[str, graded.GradedResponse]
) -> dict[str, pd.DataFrame]:
    index = pd.Index(GRID, name="theta")
    parts = {
        code: pd.DataFrame(curves.item_information(GRID, fit.slopes, fit.thresholds), index=index, columns=scales[code])
        for code, fit in fits.items()
    }
    wholes = pd.DataFrame({code: part.sum(axis=1) for code, part in parts.items()}, index=index)
    return {"information": pd.concat(parts.values(), axis=1), "scale_information": wholes}


def _bias_tables(biases: dict[str, _Scale], groups: _Groups | None, level: float) -> dict[str, pd.DataFrame]:
    columns = ["item", "group", "log_odds", "se"]
    if groups is None:
        return {"dif": pd.DataFrame(), "shifts": pd.DataFrame(columns=[*columns, "low", "high", "points"])}
    tables, rows = [], []
    for code, bias in biases.items():
        tables.append(bias.table.assign(scale=code))
        for item, test in bias.tests.items():
            points = _points(test, len(groups.names))
            found = zip(groups.names[1:], test.uniform.coefficients[1:], test.uniform.errors[1:], points, strict=True)
            rows += [(item, *values) for values in found]
    table = pd.concat(tables)
    shifts = _with_bounds(pd.DataFrame(rows, columns=[*columns, "points"]), "log_odds", level)
    return {
        "dif": table[["scale", *(c for c in table.columns if c != "scale")]],
        "shifts": shifts[[*columns, "low", "high", "points"]],
    }


def _points(test: _Test, count: int) -> list[float]:
    """Expected answer of each group less the reference's, were all respondents in it with the standing they have."""
    means = []
    for g in range(count):
        dummies = np.tile((np.arange(1, count) == g).astype(float), (len(test.standing), 1))
        chances = test.full.probabilities(_with_products(test.standing, dummies))
        means.append(float((chances @ test.full.answers).mean()))
    return [mean - means[0] for mean in means[1:]]
