"""Composite of perception and operation: submissions as arrays, normalised and added up by the association's tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqmodel.benchmark.content import Indicator, Submission
from sqmodel.benchmark.profile import Profile, ProfileError
from sqmodel.index.tree import IndexTree, load_tree
from sqmodel.numerics.indicators import normalise

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Parts:
    """Indicators of the tree as institutions submitted them.

    Attributes
    ----------
    tree : IndexTree
    values, se : array, institutions x indicators
        In the units of the tree; NaN where nothing was submitted. An error of a perceived indicator is its own, beside
        the covariances.
    perceived : tuple of int
        Places of the indicators that clients' answers make.
    cov : array, institutions x perceived x perceived
        Covariance of the scores of the dimensions; 0 where one is missing.
    """

    tree: IndexTree
    values: Floats
    se: Floats
    perceived: tuple[int, ...]
    cov: Floats


@dataclass(frozen=True)
class Composites:
    """Scores of a branch.

    Attributes
    ----------
    score, se : array, institutions
        0-100, before floors and deductions; NaN where too little was submitted.
    slope : array, institutions x indicators
        Points that a unit of each indicator makes, goalposts not minded.
    cut : array of bool, institutions x indicators
        Indicators at or beyond a goalpost.
    """

    score: Floats
    se: Floats
    slope: Floats
    cut: Bools


def profile_tree(profile: Profile) -> IndexTree:
    """The association's tree.

    Raises
    ------
    ProfileError
        Indicators that do not fit the profile, or have no goalposts; all at once.
    """
    tree = load_tree(profile.tree)
    problems = list(profile.problems(tree))
    problems += [f"{c}: expected goalposts in {tree.name}, found none" for c in tree.indicators
                 if tree.node(c).goalposts is None]  # fmt: skip
    if problems:
        raise ProfileError(profile.name, problems, "correct the profile or its tree")
    return tree


def indicator_error(indicator: Indicator) -> float:
    """Standard error of an indicator, of a share or a rate no smaller than with half an event added to either side.

    A share of 0 of 40 has a standard error of 0 by the usual formula, as if it were known for sure, and one of 1 of 40
    a rather small one.
    """
    if indicator.kind == "mean" or not np.isfinite(indicator.events) or not indicator.n > 0:
        return indicator.se
    n, events = indicator.n, indicator.events
    share = (events + 2) / (n + 4)
    least = np.sqrt(events + 2) / n if indicator.kind == "rate" else np.sqrt(share * (1 - share) / n)
    return float(np.fmax(indicator.se, least))


def gather_parts(submissions: Sequence[Submission], profile: Profile, tree: IndexTree) -> Parts:
    """The submissions' indicators in the tree's units.

    Parameters
    ----------
    submissions : sequence of Submission
        One an institution.
    profile : Profile
    tree : IndexTree

    Notes
    -----
    An indicator without a standard error, or with one of 0 (a mean of one case), is taken as missing. One that several
    sources feed has the first there is.
    """
    codes = {c: k for k, c in enumerate(tree.indicators)}
    places = tuple(sorted({codes[t] for t in profile.perception.values()}))
    rows, q = len(submissions), len(codes)
    values, se = np.full((rows, q), np.nan), np.full((rows, q), np.nan)
    cov = np.zeros((rows, len(places), len(places)))
    dimensions = {d: codes[t] for d, t in profile.perception.items()}
    scale = np.array([profile.scale.get(c, 1.0) for c in codes])
    for row, submission in enumerate(submissions):
        for k, value, error in _operations(submission, profile.operations, codes):
            if np.isnan(values[row, k]):
                values[row, k], se[row, k] = value, error
        _perception(submission, dimensions, places, values[row], se[row], cov[row])
    square = scale[list(places)][:, None] * scale[list(places)][None, :]
    return Parts(tree, values * scale, se * np.abs(scale), places, cov * square)


def _operations(
    submission: Submission, operations: Mapping[str, str], codes: Mapping[str, int]
) -> list[tuple[int, float, float]]:
    found = []
    for indicator in submission.indicators:
        target = operations.get(indicator.code)
        error = indicator_error(indicator)
        if target is not None and np.isfinite(indicator.estimate) and np.isfinite(error) and error > 0:
            found.append((codes[target], indicator.estimate, error))
    return found


def _perception(
    submission: Submission, dimensions: Mapping[str, int], places: Sequence[int], values: Floats, se: Floats,
    cov: Floats,
) -> None:  # fmt: skip
    """Write the scores of an institution's dimensions and their covariances into its rows."""
    told = {s.scope: s for s in submission.scores}
    order = submission.dimensions
    known = [d for d in dimensions if d in told and np.isfinite(told[d].estimate) and told[d].se > 0]
    for d in known:
        values[dimensions[d]], se[dimensions[d]] = told[d].estimate, told[d].se
    at, own = [places.index(dimensions[d]) for d in known], [order.index(d) for d in known]
    if known:
        cov[np.ix_(at, at)] = submission.score_cov[np.ix_(own, own)]


def branch_weights(tree: IndexTree, branch: str, present: Bools) -> Floats:
    """What each indicator counts in a branch, re-weighted in every branch for what is missing.

    Parameters
    ----------
    tree : IndexTree
    branch : str
    present : array of bool, institutions x indicators

    Returns
    -------
    array, institutions x indicators
        Summing to one in each row with any indicator of the branch.
    """
    if branch in tree.indicators:
        only = np.zeros(present.shape)
        k = tree.indicators.index(branch)
        only[:, k] = present[:, k]
        return only
    below = [branch_weights(tree, child, present) for child in tree.children(branch)]
    share = np.stack([w * (b.sum(axis=1) > 0) for w, b in zip(tree.shares(branch), below, strict=True)], axis=1)
    total = share.sum(axis=1, keepdims=True)
    share = np.divide(share, total, out=np.zeros_like(share), where=total > 0)
    return np.asarray(sum(share[:, [k]] * b for k, b in enumerate(below)))


def build_composites(parts: Parts, branch: str, required: float) -> Composites:
    """Scores of a branch of the tree, or of the index, before floors and deductions.

    Parameters
    ----------
    parts : Parts
    branch : str
        Code of a branch.
    required : float
        Share of the branch's indicators that an institution needs; of the index also one of each of its branches.

    Returns
    -------
    Composites

    Notes
    -----
    Indicators are normalised by the tree's goalposts to 0-100 and cut there, so that no score depends on who else
    submits, then averaged with the weights of the tree; those of missing indicators go to the others of the same
    branch. Standard errors are the delta method's: the covariance of the dimensions' scores, and the errors of the
    operational indicators, taken as independent of the answers and of each other. At a goalpost the slope is that
    inside, not 0: the cut value never moves more than the uncut one, so that errors are rather too large.
    """
    tree, values = parts.tree, parts.values
    nodes = [tree.node(c) for c in tree.indicators]
    direction = np.array([float(n.direction) for n in nodes])
    ends = np.array([n.goalposts for n in nodes], dtype=float)
    normalised = normalise(values, "goalposts", direction=direction, scale=(0.0, 100.0), goalposts=ends)
    present = ~np.isnan(values)
    weights = branch_weights(tree, branch, present)
    score = np.where(present, weights * np.where(present, normalised, 0.0), 0.0).sum(axis=1)
    slope = weights * direction * 100 / (ends[:, 1] - ends[:, 0])
    enough = _enough(tree, branch, present, required)
    se = composite_errors(parts, slope)
    with np.errstate(invalid="ignore"):
        cut = (values <= ends[:, 0]) | (values >= ends[:, 1])
    return Composites(np.where(enough, score, np.nan), np.where(enough, se, np.nan), slope, cut & (weights > 0))


def _enough(tree: IndexTree, branch: str, present: Bools, required: float) -> Bools:
    leaves = [tree.indicators.index(c) for c in tree.leaves(branch)]
    enough: Bools = present[:, leaves].mean(axis=1) >= required - 1e-12
    if branch == tree.root:
        for child in tree.children(branch):
            enough &= present[:, [tree.indicators.index(c) for c in tree.leaves(child)]].any(axis=1)
    return np.asarray(enough & present[:, leaves].any(axis=1))


def composite_errors(parts: Parts, slope: Floats) -> Floats:
    """Standard errors of sums of indicators with given slopes, shape (institutions,)."""
    perceived = list(parts.perceived)
    done = [k for k in range(slope.shape[1]) if k not in parts.perceived]
    moved = slope[:, perceived]
    variance = np.einsum("ij,ijk,ik->i", moved, parts.cov, moved)
    variance = variance + (slope[:, done] * np.nan_to_num(parts.se[:, done])) ** 2 @ np.ones(len(done))
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))
