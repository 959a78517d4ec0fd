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
from scipy import linalg
from scipy.special import expit, log_expit

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

NODES = 61
"""Equally spaced quadrature points from -6 to 6, as mirt has them for one trait."""
WIDTH = 6.0
MOST_CATEGORIES = 20
"""An item with more different answers is not a rating; its thresholds would be too many to estimate."""
_ABSENT = -1000.0
"""Intercept of a category that an item does not have: its chance is exactly zero in double precision."""
_NEGLIGIBLE = 1e-13
"""Posterior mass at a node below which a respondent adds nothing to the second derivatives there."""
_NEAR = 1e-3
"""Gradient per respondent at which EM gives way to Newton's method, which is then in its region of convergence."""
_EM_ROUND, _INNER = 10, 3


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


class _Grid(NamedTuple):
    """Quadrature nodes and the logarithms of their weights."""

    theta: Floats
    log_weight: Floats


class _Data(NamedTuple):
    """Different patterns of answers.

    Attributes
    ----------
    codes : integers, r x p
        Categories from 0; K where unanswered.
    indicator : array, r x (p K)
        One where an item was answered with a category: turns sums over items and patterns into matrix products.
    weight, square : array, r
        Sum of the weights and of their squares over the respondents with the pattern.
    free : flags, p x K
        Parameters that an item has: its slope, then its intercepts.
    """

    codes: Integers
    indicator: Floats
    weight: Floats
    square: Floats
    free: Flags


class _Point(NamedTuple):
    """The marginal likelihood at one set of parameters (p x K: slope, then intercepts).

    `posterior` (r x nodes) is weighted; `counts` (p x K x nodes) are the expected answers at each node.
    """

    parameters: Floats
    loglik: float
    posterior: Floats
    counts: Floats
    gradient: Floats
    information: Floats
    norm: float


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
    data, n = _collapse(codes, values, weight)
    grid = _grid(nodes)
    point, n_iter = _maximise(data, _start(data), grid, tolerance, max_iter)
    free, width = data.free, data.free.shape[1]
    covariance = np.full((free.sum(), free.sum()), np.nan)
    if errors:
        covariance = _covariance(data, point, grid)
    found = point.parameters
    if found[:, 0].sum() < 0:
        # Trait and slopes may both be turned round: the nodes are symmetric, so the likelihood stays what it is.
        found = found * np.where(np.arange(width) == 0, -1.0, 1.0)
        turn = np.where(np.nonzero(free)[1] == 0, -1.0, 1.0)
        covariance = covariance * np.outer(turn, turn)
    slopes, intercepts = found[:, 0], np.where(free, found, np.nan)[:, 1:]
    thresholds = -intercepts / slopes[:, None]
    spread = _spread(slopes, thresholds, covariance, free)
    return GradedResponse(
        slopes, thresholds, intercepts, *spread, covariance, values, n, len(data.weight), point.loglik,
        point.norm, point.norm <= tolerance, n_iter,
    )  # fmt: skip


def categories(answers: Floats) -> tuple[Integers, Floats]:
    """Codes 0, 1, ... of the answers that occur in each column, and those answers.

    Parameters
    ----------
    answers : array, n x p
        NaN where unanswered.

    Returns
    -------
    codes : integers, n x p
        K, the largest number of categories, where unanswered.
    values : array, p x K
        The answers in ascending order; NaN where an item has fewer.

    Raises
    ------
    ComputationError
        A column with one answer only, or with more than 20.
    """
    found = [np.unique(column[~np.isnan(column)]) for column in answers.T]
    constant = [str(j + 1) for j, v in enumerate(found) if len(v) < 2]
    if constant:
        raise ComputationError(
            f"expected items with different answers, found one answer at most in column {', '.join(constant)}; "
            "leave these items out"
        )
    most = max(len(v) for v in found)
    if most > MOST_CATEGORIES:
        j = next(j for j, v in enumerate(found) if len(v) == most)
        raise ComputationError(
            f"expected ratings with at most {MOST_CATEGORIES} different answers, found {most} in column {j + 1}; "
            "join neighbouring answers"
        )
    values = np.full((len(found), most), np.nan)
    codes = np.full(answers.shape, most, dtype=np.intp)
    for j, v in enumerate(found):
        values[j, : len(v)] = v
        given = ~np.isnan(answers[:, j])
        codes[given, j] = np.searchsorted(v, answers[given, j])
    return codes, values


def category_probabilities(theta: npt.ArrayLike, slopes: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """How likely is each category at given trait values?

    Parameters
    ----------
    theta : array, m
    slopes : array, p
    thresholds : array, p x K - 1
        NaN where an item has fewer categories.

    Returns
    -------
    array, m x p x K
        Sums to 1 over the last axis; NaN for categories that an item does not have.

    Examples
    --------
    >>> category_probabilities([0.0], [1.0], [[-1.0, 1.0]]).round(3).tolist()
    [[[0.269, 0.462, 0.269]]]
    """
    parameters = _parameters(slopes, thresholds)
    log_p = _log_probabilities(parameters, np.atleast_1d(np.asarray(theta, dtype=float)))
    missing = np.isnan(np.atleast_2d(np.asarray(thresholds, dtype=float)))
    absent = np.pad(missing, ((0, 0), (1, 0)))
    result: Floats = np.where(absent[:, :, None], np.nan, np.exp(log_p)).transpose(2, 0, 1)
    return result


def item_information(theta: npt.ArrayLike, slopes: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """How much does each item tell about the trait, along the trait?

    Fisher's information, the inverse of a squared standard error of the trait (Samejima 1969, ch. 6).

    Parameters
    ----------
    theta : array, m
    slopes : array, p
    thresholds : array, p x K - 1
        NaN where an item has fewer categories.

    Returns
    -------
    array, m x p
        At most slope^2 / 4 with two categories.

    Examples
    --------
    >>> item_information([0.0, 1.0], [2.0], [[0.0]]).round(3).ravel().tolist()
    [1.0, 0.42]
    """
    parameters, where = _parameters(slopes, thresholds), np.atleast_1d(np.asarray(theta, dtype=float))
    above = expit(_logits(parameters, where))
    edges = np.pad(above, ((0, 0), (1, 1), (0, 0)))
    edges[:, 0] = 1.0
    # The derivative of log P_k by a t is 1 - (chance of k or more) - (chance of more than k).
    squares = np.exp(_log_probabilities(parameters, where)) * (1 - edges[:, :-1] - edges[:, 1:]) ** 2
    result: Floats = (parameters[:, :1] ** 2 * squares.sum(axis=1)).T
    return result


def test_information(theta: npt.ArrayLike, slopes: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """How much do all items together tell about the trait, along the trait: the sum of `item_information`, m."""
    result: Floats = item_information(theta, slopes, thresholds).sum(axis=1)
    return result


# The name is that of the literature; it is no test of this package.
test_information.__test__ = False  # type: ignore[attr-defined]


def marginal_reliability(slopes: npt.ArrayLike, thresholds: npt.ArrayLike, *, nodes: int = NODES) -> float:
    """What share of the variance of trait estimates is trait, over a standard normal population?

    The mean of I / (I + 1) over the trait, I the test information (Green et al. 1984; ``mirt::marginal_rxx``).

    Examples
    --------
    >>> round(marginal_reliability([2.0] * 10, [[-1.0, 0.0, 1.0]] * 10), 2)
    0.9
    """
    grid = _grid(nodes)
    information = test_information(grid.theta, slopes, thresholds)
    return float(np.exp(grid.log_weight) @ (information / (information + 1)))


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
    codes = _recode(table, fit.answers)
    some = (codes < fit.answers.shape[1]).any(axis=1)
    grid = _grid(nodes)
    log_p = _log_probabilities(_parameters(fit.slopes, fit.thresholds), grid.theta)
    joint = _indicator(codes[some], fit.answers.shape[1]) @ log_p.reshape(-1, nodes) + grid.log_weight
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


def _grid(nodes: int) -> _Grid:
    theta = np.linspace(-WIDTH, WIDTH, nodes)
    log_weight = -(theta**2) / 2
    return _Grid(theta, log_weight - np.log(np.exp(log_weight).sum()))


def _recode(table: Floats, values: Floats) -> Integers:
    """Codes of the answers as they were when the model was fitted."""
    match = table[:, :, None] == values[None]
    known = match.any(axis=2) | np.isnan(table)
    if not known.all():
        row, column = np.argwhere(~known)[0]
        raise ComputationError(
            f"expected answers that occurred when the model was fitted, found {table[row, column]:g} in column "
            f"{column + 1}; fit the model to these answers too"
        )
    codes: Integers = np.where(np.isnan(table), values.shape[1], match.argmax(axis=2))
    return codes


def _collapse(codes: Integers, values: Floats, weight: npt.ArrayLike | None) -> tuple[_Data, int]:
    """Different patterns with their weights, and the number of respondents with any answer and a weight."""
    width = values.shape[1]
    w = np.ones(len(codes)) if weight is None else np.asarray(weight, dtype=float)
    if w.shape != (len(codes),) or not (np.isfinite(w) & (w >= 0)).all():
        raise ComputationError(
            f"expected {len(codes)} weights that are numbers of at least 0, found "
            f"{'others' if w.shape == (len(codes),) else f'an array of shape {w.shape}'}; give one weight a respondent"
        )
    used = (codes < width).any(axis=1) & (w > 0)
    if not used.any():
        raise ComputationError("expected respondents with an answer and a positive weight, found none; check the data")
    codes, w = codes[used], w[used] / w[used].mean()
    # A row of small integers is one value of its bytes: sorted much faster than a row of numbers.
    rows = np.ascontiguousarray(codes.astype(np.uint8)).view(f"V{codes.shape[1]}").ravel()
    _, first, pattern = np.unique(rows, return_index=True, return_inverse=True)
    codes = codes[first]
    free = np.column_stack([np.ones(len(values), bool), ~np.isnan(values[:, 1:])])
    weight_of, square_of = (np.bincount(pattern, v).astype(float) for v in (w, w**2))
    return _Data(codes, _indicator(codes, width), weight_of, square_of, free), int(used.sum())


def _indicator(codes: Integers, width: int) -> Floats:
    indicator: Floats = (codes[:, :, None] == np.arange(width)).astype(float).reshape(len(codes), -1)
    return indicator


def _parameters(slopes: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    a, b = np.atleast_1d(np.asarray(slopes, dtype=float)), np.atleast_2d(np.asarray(thresholds, dtype=float))
    return _filled(np.column_stack([a, -a[:, None] * b]))


def _filled(parameters: Floats) -> Floats:
    """Intercepts that an item does not have, far below and still descending."""
    far = _ABSENT * np.arange(1.0, parameters.shape[1] + 1)
    return np.where(np.isnan(parameters), far, parameters)


def _logits(parameters: Floats, theta: Floats) -> Floats:
    """Logit of each category or a higher one; p x K - 1 x nodes."""
    result: Floats = parameters[:, :1, None] * theta + parameters[:, 1:, None]
    return result


def _log_probabilities(parameters: Floats, theta: Floats) -> Floats:
    """Logarithm of every category's chance, p x K x nodes.

    s(x) - s(y) = s(x) s(-y) (1 - exp(y - x)) for the logistic s: exact in the tails, where the difference of two
    chances near 0 or 1 would lose all digits, and each factor is log-concave.
    """
    logits = _logits(parameters, theta)
    above = log_expit(logits)
    result = np.zeros((logits.shape[0], logits.shape[1] + 1, len(theta)))
    result[:, 1:] = above
    result[:, :-1] += above - logits
    gaps = parameters[:, 1:-1] - parameters[:, 2:]
    result[:, 1:-1] += np.log(-np.expm1(-gaps))[:, :, None]
    return result


def _gap_derivatives(parameters: Floats) -> tuple[Floats, Floats]:
    """First derivative of log(1 - exp(-gap)) for the inner categories, p x K - 2, and minus the second."""
    tail = np.exp(parameters[:, 2:] - parameters[:, 1:-1])
    first = tail / -np.expm1(parameters[:, 2:] - parameters[:, 1:-1])
    return first, first * (1 + first)


def _item_derivatives(parameters: Floats, counts: Floats, theta: Floats, free: Flags) -> tuple[Floats, Floats]:
    """Gradient (p x K) and negative second derivatives (p x K x K) of the items' expected log likelihoods."""
    p, width = parameters.shape
    above = expit(_logits(parameters, theta))
    over, under = counts[:, 1:], counts[:, :-1]
    slope = over * (1 - above) - under * above
    curve = above * (1 - above) * (over + under)
    first, second = _gap_derivatives(parameters)
    inner = counts[:, 1:-1].sum(axis=2)
    gradient = np.column_stack([slope.sum(axis=1) @ theta, slope.sum(axis=2)])
    gradient[:, 1:-1] += inner * first
    gradient[:, 2:] -= inner * first
    information, k = np.zeros((p, width, width)), np.arange(1, width)
    information[:, 0, 0] = curve.sum(axis=1) @ theta**2
    information[:, 0, 1:] = information[:, 1:, 0] = curve @ theta
    information[:, k, k] = curve.sum(axis=2)
    information[:, k[:-1], k[:-1]] += inner * second
    information[:, k[1:], k[1:]] += inner * second
    information[:, k[:-1], k[1:]] -= inner * second
    information[:, k[1:], k[:-1]] -= inner * second
    both = free[:, :, None] & free[:, None, :]
    return np.where(free, gradient, 0.0), np.where(both, information, np.eye(width))


def _evaluate(data: _Data, parameters: Floats, grid: _Grid) -> _Point:
    """Expectation step, with the gradient of the marginal log likelihood (by Fisher's identity that of EM)."""
    p, width = data.free.shape
    log_p = _log_probabilities(parameters, grid.theta)
    joint = data.indicator @ log_p.reshape(p * width, -1)
    joint += grid.log_weight
    top = joint.max(axis=1)
    joint -= top[:, None]
    posterior = np.exp(joint, out=joint)
    total = posterior.sum(axis=1)
    loglik = float(data.weight @ (top + np.log(total)))
    posterior *= (data.weight / total)[:, None]
    counts = (data.indicator.T @ posterior).reshape(p, width, -1)
    gradient, information = _item_derivatives(parameters, counts, grid.theta, data.free)
    norm = float(np.abs(gradient).max() / data.weight.sum())
    return _Point(parameters, loglik, posterior, counts, gradient, information, norm)


def _start(data: _Data) -> Floats:
    """Slopes from the first principal component of the codes, intercepts from the shares of answers."""
    p, width = data.free.shape
    shares = (data.weight @ data.indicator).reshape(p, width)
    shares /= shares.sum(axis=1, keepdims=True)
    given, code = data.codes < width, np.arange(width)
    mean = shares @ code
    sd = np.sqrt(shares @ code**2 - mean**2)
    centred = np.where(given, (data.codes - mean) / sd, 0.0) * np.sqrt(data.weight)[:, None]
    values, vectors = np.linalg.eigh(centred.T @ centred / data.weight.sum())
    loading = vectors[:, -1] * np.sqrt(values[-1])
    loading = np.where(loading < 0, -1, 1) * np.clip(np.abs(loading), 0.3, 0.9)
    slopes = 1.7 * loading / np.sqrt(1 - loading**2)
    above = 1 - shares.cumsum(axis=1)[:, :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        # The marginal logit is flatter than the conditional one by about this factor (Zeger, Liang & Albert 1988).
        intercepts = np.log(above / (1 - above)) * np.sqrt(1 + 0.346 * slopes[:, None] ** 2)
    return _filled(np.where(data.free, np.column_stack([slopes, intercepts]), np.nan))


def _maximise(data: _Data, start: Floats, grid: _Grid, tolerance: float, most: int) -> tuple[_Point, int]:
    """EM until the gradient is small, then Newton's method; back to EM where Newton's step does not help."""
    point, used = _evaluate(data, start, grid), 1
    near = _NEAR
    while point.norm > tolerance and used < most:
        for _ in range(_EM_ROUND):
            if point.norm <= near or used >= most:
                break
            point, used = _evaluate(data, _improve_items(point, grid.theta, data.free), grid), used + 1
        if point.norm <= near:
            point, used = _newton(data, point, grid, tolerance, used, most)
            # A point from which Newton's method fails again needs a smaller gradient first.
            near = min(near, point.norm) / 10
    return point, used


def _improve_items(point: _Point, theta: Floats, free: Flags) -> Floats:
    """Maximisation step: Newton's method in each item's own concave log likelihood, halved where it goes too far."""
    parameters, counts = point.parameters, point.counts
    gradient, information = point.gradient, point.information
    value = _expected_loglik(parameters, counts, theta)
    for _ in range(_INNER):
        step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        factor = np.ones((len(step), 1))
        for _ in range(30):
            trial = parameters + factor * step
            reached = _expected_loglik(trial, counts, theta)
            worse: Flags = np.asarray(reached < value - 1e-12 * np.abs(value))
            if not worse.any():
                break
            factor[worse] /= 2
        parameters = np.where(worse[:, None], parameters, trial)
        value = np.where(worse, value, reached)
        if np.abs(factor * step).max() < 1e-4:
            break
        gradient, information = _item_derivatives(parameters, counts, theta, free)
    return parameters


def _expected_loglik(parameters: Floats, counts: Floats, theta: Floats) -> Floats:
    """Of each item; minus infinity where its intercepts are not in order."""
    ordered = np.asarray((np.diff(parameters[:, 1:], axis=1) < 0).all(axis=1))
    safe = np.where(ordered[:, None], parameters, _filled(np.full_like(parameters, np.nan)))
    value = np.einsum("jkq,jkq->j", counts, _log_probabilities(safe, theta))
    return np.where(ordered, value, -np.inf)


def _newton(data: _Data, point: _Point, grid: _Grid, tolerance: float, used: int, most: int) -> tuple[_Point, int]:
    """Newton's method; second derivatives are kept as long as they bring the gradient down tenfold."""
    free, factor = data.free, None
    while point.norm > tolerance and used < most:
        if factor is None:
            try:
                factor = linalg.cho_factor(_information(data, point, grid)[0])
            except linalg.LinAlgError:
                return point, used
        step = np.zeros(free.shape)
        step[free] = linalg.cho_solve(factor, point.gradient[free])
        better, tried = _line(data, point, step, grid)
        used += tried
        if better is None:
            return point, used
        if better.norm > point.norm / 10:
            factor = None
        point = better
    return point, used


def _line(data: _Data, point: _Point, step: Floats, grid: _Grid) -> tuple[_Point | None, int]:
    """The longest of step, step / 2, ... that does not lower the likelihood, if any, and how many were tried."""
    slack = 1e-13 * abs(point.loglik)
    for tried in range(1, 9):
        trial = point.parameters + step / 2 ** (tried - 1)
        if (np.diff(trial[:, 1:], axis=1) < 0).all():
            reached = _evaluate(data, trial, grid)
            if reached.loglik >= point.loglik - slack:
                return reached, tried
    return None, tried


def _information(data: _Data, point: _Point, grid: _Grid) -> tuple[Floats, Floats]:
    """Observed information of the free parameters and the sum of squared scores, both q x q.

    Louis (1982): what complete answers would tell, less the posterior covariance of the complete-data scores.
    """
    p, width = data.free.shape
    scores, table = np.zeros((len(data.weight), p * width)), _score_table(point.parameters, grid.theta)
    share = point.posterior / data.weight[:, None]
    within, items = np.zeros((p * width, p * width)), np.arange(p)
    for q in range(len(grid.theta)):
        rows = np.flatnonzero(share[:, q] > _NEGLIGIBLE)
        part = table[q][items, data.codes[rows]].reshape(len(rows), p * width)
        scores[rows] += share[rows, q, None] * part
        part *= np.sqrt(point.posterior[rows, q, None])
        within += part.T @ part
    between = scores.T @ (data.weight[:, None] * scores)
    complete = linalg.block_diag(*point.information)
    chosen = np.ix_(data.free.ravel(), data.free.ravel())
    squares = scores.T @ (data.square[:, None] * scores)
    return (complete - within + between)[chosen], squares[chosen]


def _score_table(parameters: Floats, theta: Floats) -> Floats:
    """Derivatives of the log chance of each category by the item's parameters; nodes x p x K + 1 x K.

    The last category stands for no answer: its derivatives are zero.
    """
    p, width = parameters.shape
    above = expit(_logits(parameters, theta)).transpose(2, 0, 1)
    first, _ = _gap_derivatives(parameters)
    table, k = np.zeros((len(theta), p, width + 1, width)), np.arange(width)
    table[:, :, k[1:], k[1:]] = 1 - above
    table[:, :, k[:-1], k[1:]] = -above
    table[:, :, :, 0] = theta[:, None, None] * table[:, :, :, 1:].sum(axis=3)
    table[:, :, k[1:-1], k[1:-1]] += first
    table[:, :, k[1:-1], k[2:]] -= first
    return table


def _covariance(data: _Data, point: _Point, grid: _Grid) -> Floats:
    information, squares = _information(data, point, grid)
    try:
        bread = linalg.cho_solve(linalg.cho_factor(information), np.eye(len(information)))
    except linalg.LinAlgError:
        return np.full_like(information, np.nan)
    # Weights that are all 1 sum to what their squares sum to: the model's own errors hold, without the sandwich.
    equal = np.allclose(data.square, data.weight)
    covariance: Floats = bread if equal else bread @ squares @ bread
    return covariance


def _spread(slopes: Floats, thresholds: Floats, covariance: Floats, free: Flags) -> tuple[Floats, Floats, Floats]:
    """Standard errors of slopes, thresholds and intercepts."""
    variances = np.full(free.shape, np.nan)
    variances[free] = np.diag(covariance)
    shared = np.full(free.shape, np.nan)
    item = np.nonzero(free)[0]
    first = np.searchsorted(item, np.arange(len(free)))
    shared[free] = covariance[first[item], np.arange(len(item))]
    # b = -d / a, so that its derivatives are -1 / a by d and -b / a by a.
    square = variances[:, 1:] + 2 * thresholds * shared[:, 1:] + thresholds**2 * variances[:, :1]
    errors = np.sqrt(np.maximum(square, 0)) / np.abs(slopes[:, None])
    return np.sqrt(variances[:, 0]), errors, np.sqrt(variances[:, 1:])
