"""What does each item tell, and does it mean the same in every group? Graded response model and item bias (DIF)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ConvergenceWarning
from sqmodel.measurement.inputs import Ratings, Structure, as_ratings
from sqmodel.measurement.item_bias import assess_bias
from sqmodel.measurement.item_inputs import Rules, check_choices, compared_groups, some_of, split_groups, usable_scales
from sqmodel.measurement.item_tables import bias_tables, information_tables, item_table, parameter_table, scale_table
from sqmodel.numerics.irt import curves, graded
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

STEEPEST = 10.0
"""A slope beyond it comes from an item that repeats another, or from too few answers."""


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
        some = f" ({some_of(list(self.flagged))})" if self.flagged else ""
        sure = int((self.dif["pvalue_adjusted"] < 1 - self.settings["level"]).sum())
        return f"{text}; by {self.by}: {sure} of {len(self.dif)} items differ, {len(self.flagged)} flagged{some}"


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
    >>> import numpy as np
    >>> rng = np.random.default_rng(7)
    >>> latent = 1.7 * rng.normal(size=(600, 1)) + rng.logistic(size=(600, 4))
    >>> frame = pd.DataFrame(np.digitize(latent, [-2, 0, 2]), columns=list("abcd"))
    >>> screen_items(frame)
    <ItemScreening 4 items, n=600: slopes 1.49 to 1.72>
    """
    rules = Rules(matching, criterion, adjust, purify, spread, level)
    check_choices(data, rules, by)
    label, values, answers = split_groups(data, by)
    ratings = as_ratings(answers, "dimensions" if structure is None else structure, items)
    notes: list[str] = []
    scales = usable_scales(ratings, notes)
    groups, counts, left_out = compared_groups(values, label, ratings, minimum_n)
    fits = {code: _fit(ratings, code, members, notes) for code, members in scales.items()}
    biases = (
        {} if groups is None else {c: assess_bias(ratings.frame[m], groups, rules, c, notes) for c, m in scales.items()}
    )
    settings = {"structure": _described(structure), "items": None if items is None else list(items), "by": label,
                "level": level, "purify": purify, "criterion": criterion, "matching": matching, "spread": spread,
                "adjust": adjust, "minimum_n": minimum_n, "weighted": ratings.weighted,
                "nodes": curves.NODES}  # fmt: skip
    return ItemScreening(
        n=len(ratings.frame), by=label or "", settings=settings, scales=scale_table(scales, fits, biases),
        items=item_table(ratings, scales, fits), parameters=parameter_table(scales, fits, level),
        **information_tables(scales, fits), **bias_tables(biases, groups, level), groups=counts,
        left_out=left_out, notes=tuple(notes),
    )  # fmt: skip


def _described(structure: Structure | None) -> Any:
    return structure if structure is None or isinstance(structure, str) else {c: list(m) for c, m in structure.items()}


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
