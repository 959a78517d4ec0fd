"""The graded response model: what each item tells about a latent trait, by marginal maximum likelihood; arrays only.

An item with K categories has one slope a and K - 1 intercepts d_1 > ... > d_(K-1): the chance of category k or higher
at the trait value t is 1 / (1 + exp(-(a t + d_k))) (Samejima 1969, logistic form without the constant 1.7). Its
thresholds b_k = -d_k / a lie on the scale of the trait, which has mean 0 and standard deviation 1. With two categories
it is the two-parameter logistic model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.numerics.irt.accuracy import covariance_of, standard_errors
from sqmodel.numerics.irt.curves import NODES, Floats, log_probabilities, parameters_of, quadrature
from sqmodel.numerics.irt.patterns import categories, collapse, indicator_of, recode
from sqmodel.numerics.irt.search import maximise, starting_values


class GradedResponse(NamedTuple):
    """A fitted graded response model of p items with at most K categories.

    Attributes
    ----------
    slopes : array, p
        a, per standard deviation of the trait. The trait points where the slopes' sum is positive.
    thresholds : array, p x K - 1
        b: the trait value where half choose the category or a higher one. NaN where an item has fewer categories.
    intercepts : array, p x K - 1
        d = -a b; NaN likewise.
    slope_errors, threshold_errors, intercept_errors : arrays
        Standard errors, of the thresholds by the delta method; NaN where they were not asked for.
    covariance : array, q x q
        Of the free parameters, item by item: slope, then intercepts.
    answers : array, p x K
        The answer behind each category, ascending; NaN where an item has fewer.
    n, patterns : int
        Respondents with any answer, and different patterns of answers among them.
    loglik : float
        Marginal log likelihood; of weighted answers with weights of mean 1.
    gradient_norm : float
        Largest absolute derivative of the log likelihood by a slope or an intercept, per respondent.
    converged : bool
        Whether `gradient_norm` is at most the tolerance.
    n_iter : int
        Evaluations of the likelihood.
    """

    slopes: Floats
    thresholds: Floats
    intercepts: Floats
    slope_errors: Floats
    threshold_errors: Floats
    intercept_errors: Floats
    covariance: Floats
    answers: Floats
    n: int
    patterns: int
    loglik: float
    gradient_norm: float
    converged: bool
    n_iter: int


class Scores(NamedTuple):
    """Where respondents stand on the trait: posterior mean and standard deviation, n each; NaN without any answer."""

    theta: Floats
    sd: Floats


def graded_response(
    answers: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    nodes: int = NODES,
    tolerance: float = 1e-8,
    max_iter: int = 1000,
    errors: bool = True,
) -> GradedResponse:
    """How sharply does each item tell satisfied from dissatisfied respondents, and where on the scale?

    Marginal maximum likelihood (Bock & Aitkin 1981): EM over quadrature nodes with Newton steps in each item, then
    Newton's method on the marginal log likelihood itself, whose second derivatives follow from Louis (1982).

    Parameters
    ----------
    answers : array, n x p
        Numbers, NaN where unanswered: such an item contributes nothing for that respondent, which is unbiased where
        answers are missing at random. A category is an answer that occurs; numbers that nobody chose between two
        others make no category, since their likelihood is largest when they have none.
    weight : array, n, optional
        Sample weights, scaled to mean 1 over the respondents with any answer. Where they differ the standard errors
        are of the sandwich form (pseudo maximum likelihood); otherwise they invert the observed information.
    nodes : int
        Quadrature nodes between -6 and 6, at least 11.
    tolerance : float
        Largest absolute derivative per respondent that counts as zero.
    max_iter : int
        Most evaluations of the likelihood; beyond it the result is marked as not converged.
    errors : bool
        Whether to compute the standard errors, which cost a third of the time.

    Raises
    ------
    ComputationError
        Fewer than three items (two never identify two slopes), an item with one answer only, or with more than 20,
        infinite numbers, no positive weight.

    Notes
    -----
    Same likelihood, nodes and observed-information errors as ``mirt(x, 1, "graded", SE=TRUE, SE.type="Louis")``, which
    stops when no parameter moves by 1e-4 and is then a little short of the maximum. With few items a slope can grow
    without bound (the counterpart of a Heywood case): look at slopes above about 8.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> trait = rng.normal(size=(2000, 1))
    >>> fit = graded_response((1.5 * trait + rng.logistic(size=(2000, 6)) > [-1.5, -1, 0, 0, 1, 1.5]).astype(int))
    >>> fit.converged, round(float(fit.slopes.mean()), 1)
    (True, 1.6)
    """
    table = np.asarray(answers, dtype=float)
    _check(table, nodes)
    codes, values = categories(table)
    data, n = collapse(codes, values, weight)
    grid = quadrature(nodes)
    point, n_iter = maximise(data, starting_values(data), grid, tolerance, max_iter)
    free, width = data.free, data.free.shape[1]
    covariance = np.full((free.sum(), free.sum()), np.nan)
    if errors:
        covariance = covariance_of(data, point, grid)
    found = point.parameters
    if found[:, 0].sum() < 0:
        # Trait and slopes may both be turned round: the nodes are symmetric, so the likelihood stays what it is.
        found = found * np.where(np.arange(width) == 0, -1.0, 1.0)
        turn = np.where(np.nonzero(free)[1] == 0, -1.0, 1.0)
        covariance = covariance * np.outer(turn, turn)
    slopes, intercepts = found[:, 0], np.where(free, found, np.nan)[:, 1:]
    thresholds = -intercepts / slopes[:, None]
    spread = standard_errors(slopes, thresholds, covariance, free)
    return GradedResponse(
        slopes, thresholds, intercepts, *spread, covariance, values, n, len(data.weight), point.loglik,
        point.norm, point.norm <= tolerance, n_iter,
    )  # fmt: skip


def expected_scores(answers: npt.ArrayLike, fit: GradedResponse, *, nodes: int = NODES) -> Scores:
    """Where does each respondent stand on the trait, and how surely (EAP: Bock & Mislevy 1982)?

    Parameters
    ----------
    answers : array, n x p
        The items that were fitted, in their order; NaN where unanswered.
    fit : GradedResponse

    Raises
    ------
    ComputationError
        Another number of items, or an answer that did not occur where the model was fitted.
    """
    table = np.asarray(answers, dtype=float)
    if table.ndim != 2 or table.shape[1] != len(fit.slopes):
        raise ComputationError(
            f"expected answers to the {len(fit.slopes)} fitted items, found an array of shape {table.shape}; "
            "give the items that the model was fitted to"
        )
    codes = recode(table, fit.answers)
    some = (codes < fit.answers.shape[1]).any(axis=1)
    grid = quadrature(nodes)
    log_p = log_probabilities(parameters_of(fit.slopes, fit.thresholds), grid.theta)
    joint = indicator_of(codes[some], fit.answers.shape[1]) @ log_p.reshape(-1, nodes) + grid.log_weight
    posterior = np.exp(joint - joint.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    theta, sd = np.full((2, len(table)), np.nan)
    theta[some] = posterior @ grid.theta
    sd[some] = np.sqrt(np.maximum(posterior @ grid.theta**2 - theta[some] ** 2, 0))
    return Scores(theta, sd)


def _check(table: Floats, nodes: int) -> None:
    if table.ndim != 2 or table.shape[1] < 3:
        found = f"an array of shape {table.shape}" if table.ndim != 2 else str(table.shape[1])
        raise ComputationError(
            f"expected respondents x at least 3 items, found {found}: the slopes of fewer are not determined; add items"
        )
    if np.isinf(table).any():
        raise ComputationError("expected finite answers, found infinite ones; mark missing answers as NaN")
    if nodes < 11:
        raise ComputationError(f"expected at least 11 quadrature nodes, found {nodes}; leave `nodes` out")
