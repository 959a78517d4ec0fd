"""How many factors: parallel analysis and Velicer's minimum average partial."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats, pearson, to_correlation
from sqmodel.numerics.discrepancy import SMALLEST_UNIQUENESS, Discrepancy, Spectrum, minimise
from sqmodel.numerics.factoring import minres
from sqmodel.numerics.polychoric import codes_of, polychoric
from sqmodel.numerics.threads import one_blas_thread

NORMAL_BLOCK, RESAMPLED_BLOCK = 100, 50
"""Draws that share one random stream: fixed, so that the processors' number does not change the result. A resample is
work enough for a thread of its own; normal draws are small calls that gain more from being many in one."""
MOST_TRIES = 1000
"""Resamples of an item that hardly varies before it is given up."""


STEPS = 10
"""Newton steps for a draw's single factor. Nine in ten draws need fewer; most of the others creep towards a
Heywood case, on which way psych's optimiser stops early as well, because its tolerance is absolute."""

SQUARINGS = 6


class Eigenvalues(NamedTuple):
    """Eigenvalues (..., p) in decreasing order, of correlation matrices as they are and of the reduced ones.

    The reduced matrix has the communalities of a one-factor minres solution in its diagonal; `improper` is
    the share of matrices where that solution is a Heywood case, which puts their first factor near 1.
    """

    components: Floats
    factors: Floats
    improper: float


class Parallel(NamedTuple):
    """Observed eigenvalues (p), and those of random data (draws x p); a kind not asked for is None."""

    observed: Eigenvalues
    normal: Eigenvalues | None
    resampled: Eigenvalues | None


def parallel_eigenvalues(
    x: npt.ArrayLike,
    *,
    draws: int = 500,
    rng: np.random.Generator | int = 0,
    normal: bool = True,
    resampled: bool = True,
) -> Parallel:
    """Which eigenvalues would unrelated items show with as many respondents (Horn 1965)?

    The quantities of ``psych::fa.parallel``. It draws n x p normal numbers; here their correlation matrix
    is drawn itself (Wishart by Bartlett's decomposition), so the cost does not depend on n. Resampling
    draws every column with replacement from its own answers, as psych does.

    Parameters
    ----------
    x : array, n x p
        Complete answers.
    draws : int
    rng : Generator or int
    normal, resampled : bool
        Kinds of random data.

    Raises
    ------
    ComputationError
        Not more rows than items, or an item without variance.
    """
    given = np.asarray(x)
    n, p = given.shape
    if n <= p:
        raise ComputationError(f"expected more rows than the {p} items, found {n}; collect more answers")
    generator = np.random.default_rng(rng)
    # The threads are ours: BLAS threads on top of them wait for each other, ten times slower above 25 items.
    with one_blas_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        drawn = _submit(pool, lambda size, g: _wishart(size, n, p, g), draws if normal else 0, NORMAL_BLOCK, generator)
        data = given.astype(float, copy=False)
        observed = _observed(data)
        codes, largest = _codes(data) if resampled else (data, 0.0)
        again = _submit(
            pool,
            lambda size, g: _resample(codes, largest, size, g),
            draws if resampled else 0,
            RESAMPLED_BLOCK,
            generator,
        )
        return Parallel(observed, _gather(drawn), _gather(again))


def polychoric_parallel(
    codes: npt.ArrayLike, *, draws: int = 20, rng: np.random.Generator | int = 0
) -> tuple[Eigenvalues, Eigenvalues]:
    """Which eigenvalues would unrelated ordered items show, their correlations being polychoric?

    Every draw takes each column with replacement from its own answers, as ``psych::fa.parallel(cor = "poly")`` does. A
    category that a draw misses is left out of it.

    Parameters
    ----------
    codes : integer array, n x p
        Answers 0, 1, ... of each item, complete.
    draws : int
    rng : Generator or int

    Returns
    -------
    observed, resampled : Eigenvalues

    Raises
    ------
    ComputationError
        An item with one category.
    """
    answers = np.asarray(codes)
    n, p = answers.shape
    observed = polychoric(answers, acov=False).correlation
    fit = minres(observed, 1)
    reduced = _with_diagonal(observed, fit.loadings[:, 0] ** 2)
    streams = np.random.default_rng(rng).spawn(draws)

    def one(stream: np.random.Generator) -> Floats:
        for _ in range(MOST_TRIES):
            drawn = np.take_along_axis(answers, stream.integers(0, n, size=(n, p)), axis=0)
            recoded, values = codes_of(drawn)
            if all(len(v) > 1 for v in values):
                return polychoric(recoded, acov=False).correlation
        raise ComputationError(f"expected items that vary, found one that {MOST_TRIES} resamples left constant")

    with one_blas_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = np.stack(list(pool.map(one, streams)))
    return Eigenvalues(_descending(observed), _descending(reduced), float(fit.heywood)), _eigenvalues(found)


def n_retained(observed: Floats, simulated: Floats, quantile: float = 0.95) -> tuple[int, Floats]:
    """How many observed eigenvalues, from the first on, lie above the quantile of the simulated ones?

    psych prints the simulated means but decides by this quantile (``quant=.95``); with its default
    ``sim=TRUE`` it is the quantile of the normal draws, also where it has resampled.

    Returns
    -------
    number : int
    margin : array, p
        Observed eigenvalue less the quantile: the first that is not positive decides.
    """
    margin = observed - np.quantile(simulated, quantile, axis=0)
    below = np.flatnonzero(~(margin > 0))
    return int(below[0]) if len(below) else len(margin), margin


def velicer_map(R: npt.ArrayLike) -> Floats:
    """What is the mean squared partial correlation without 1, 2, ... p - 1 components (Velicer 1976)?

    The number of components is where it is smallest. As in ``psych::VSS`` the value without any component
    is left out; entry 0 belongs to one component.
    """
    correlation = np.asarray(R, dtype=float)
    p = len(correlation)
    values, vectors = np.linalg.eigh(correlation)
    components = (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1]
    taken_out = np.cumsum(components.T[:-1, :, None] * components.T[:-1, None, :], axis=0)
    partial = to_correlation(correlation - taken_out)
    return np.asarray(((partial**2).sum(axis=(1, 2)) - p) / (p * (p - 1)))


def _observed(data: Floats) -> Eigenvalues:
    R = pearson(data)
    if not np.isfinite(R).all():
        raise ComputationError("expected items with variance, found a constant one; leave out constant items")
    fit = minres(R, 1)
    reduced = _with_diagonal(R, fit.loadings[:, 0] ** 2)
    return Eigenvalues(_descending(R), _descending(reduced), float(fit.heywood))


def _descending(R: Floats) -> Floats:
    return np.asarray(np.linalg.eigvalsh(R)[..., ::-1], dtype=float)


def _submit(
    pool: ThreadPoolExecutor,
    draw: Callable[[int, np.random.Generator], Floats],
    draws: int,
    block: int,
    generator: np.random.Generator,
) -> list[Future[Eigenvalues]]:
    """Set out to draw correlation matrices and take their eigenvalues, in blocks with a stream each."""
    sizes = [min(block, draws - first) for first in range(0, draws, block)]
    streams = generator.spawn(len(sizes))

    def work(size: int, stream: np.random.Generator) -> Eigenvalues:
        return _eigenvalues(draw(size, stream))

    return [pool.submit(work, size, stream) for size, stream in zip(sizes, streams, strict=True)]


def _gather(blocks: list[Future[Eigenvalues]]) -> Eigenvalues | None:
    if not blocks:
        return None
    parts = [block.result() for block in blocks]
    components = np.concatenate([part.components for part in parts])
    factors = np.concatenate([part.factors for part in parts])
    improper = sum(part.improper * len(part.factors) for part in parts) / len(factors)
    return Eigenvalues(components, factors, improper)


def _wishart(size: int, n: int, p: int, rng: np.random.Generator) -> Floats:
    root = np.tril(rng.normal(size=(size, p, p)), -1)
    index = np.arange(p)
    root[:, index, index] = np.sqrt(rng.chisquare(n - 1 - index, size=(size, p)))
    return to_correlation(root @ root.mT)


def _codes(data: Floats) -> tuple[npt.NDArray[np.float32] | Floats, float]:
    """Answers item by item (p x n): whole numbers as float32 and the largest; all else centred, and 0."""
    codes = (data - data.min(axis=0)).T
    largest = float(codes.max(initial=0))
    if 0 < largest <= 255 and (codes == np.rint(codes)).all():
        return np.ascontiguousarray(codes, dtype=np.float32), largest
    return np.ascontiguousarray((data - data.mean(axis=0)).T), 0.0


def _resample(codes: npt.NDArray[np.float32] | Floats, largest: float, size: int, rng: np.random.Generator) -> Floats:
    found = np.empty((size, len(codes), len(codes)))
    for i in range(size):
        for _ in range(MOST_TRIES):  # a column may come out constant: psych draws again as well
            found[i] = _resampled_correlation(codes, largest, rng)
            if np.isfinite(found[i]).all():
                break
        else:
            raise ComputationError(
                f"expected items that vary, found one so nearly constant that {MOST_TRIES} resamples of it did not; "
                "leave it out"
            )
    return found


def _resampled_correlation(codes: npt.NDArray[np.float32] | Floats, largest: float, rng: np.random.Generator) -> Floats:
    p, n = codes.shape
    # float32 counts exactly below 2^24: so many rows may enter one product of whole numbers.
    block = max(1, int(2**24 // largest**2)) if largest else n
    total, cross = np.zeros(p), np.zeros((p, p))
    for first in range(0, n, block):
        rows = min(block, n - first)
        drawn = np.empty((p, rows), dtype=codes.dtype)
        for column, out in zip(codes, drawn, strict=True):
            np.take(column, rng.integers(0, n, size=rows, dtype=np.uint32), out=out, mode="clip")
        total += drawn.sum(axis=1, dtype=float)
        cross += np.dot(drawn, drawn.T)  # lets other threads run meanwhile, unlike the operator @
    return to_correlation(cross - np.outer(total, total) / n)


def _eigenvalues(R: Floats) -> Eigenvalues:
    communalities = _one_factor_communalities(R)
    factors = _descending(_with_diagonal(R, communalities))
    improper = communalities.max(axis=-1) >= (1 - SMALLEST_UNIQUENESS) * (1 - 1e-9)
    return Eigenvalues(_descending(R), factors, float(improper.mean()))


def _with_diagonal(R: Floats, diagonal: Floats | float) -> Floats:
    changed = R.copy()
    index = np.arange(R.shape[-1])
    changed[..., index, index] = diagonal
    return changed


def _one_factor_communalities(R: Floats) -> Floats:
    """Communalities of one minres factor by Newton's method in its loadings, without eigenvalues on the way.

    It starts like `minres`, from the squared multiple correlations.
    """
    apart = _with_diagonal(R, 0.0)
    # To first order in the correlations these are the squared multiple correlations psych starts from.
    start = _first_component(_with_diagonal(R, np.minimum((apart**2).sum(axis=-1), 1.0)))
    loadings, _, _ = minimise(_ONE_FACTOR, apart, start, 1, 1e-6, STEPS)
    return loadings**2


def _first_component(R: Floats) -> Floats:
    """Roughly the largest eigenvector times the root of its eigenvalue: a start, so a tenth of the work will do.

    Squaring a matrix six times raises the ratio of its eigenvalues to the 64th power; the shift by the largest row
    sum keeps negative eigenvalues from taking the lead.
    """
    bound = np.abs(R).sum(axis=-1).max(axis=-1)[:, None, None]
    power = R / bound + np.eye(R.shape[-1])
    for _ in range(SQUARINGS):
        power = power @ power
        power /= np.trace(power, axis1=-2, axis2=-1)[:, None, None]
    longest = np.diagonal(power, axis1=-2, axis2=-1).argmax(axis=-1)
    vector = np.take_along_axis(power, longest[:, None, None], axis=2)[..., 0]
    vector /= np.linalg.norm(vector, axis=-1, keepdims=True)
    value = (vector * (R @ vector[..., None])[..., 0]).sum(axis=-1, keepdims=True)
    return np.asarray(vector * np.sqrt(np.maximum(value, 0)), dtype=float)


def _residuals(apart: Floats, loadings: Floats, _: int) -> Spectrum:
    """Sum of squared residuals above the diagonal, halved; the fields hold what the Hessian needs."""
    squares = loadings**2
    length = squares.sum(axis=-1)
    fitted = (apart @ loadings[:, :, None])[..., 0]
    gradient = loadings * (length[:, None] - squares) - fitted
    # Without the constant sum of squared correlations, and with both triangles: a quarter, not a half.
    objective = (length**2 - (squares**2).sum(axis=-1)) / 4 - (loadings * fitted).sum(axis=-1) / 2
    return Spectrum(objective, gradient, loadings, apart)


def _residuals_hessian(point: Spectrum, _: int) -> tuple[Floats, Floats]:
    loadings, apart = point.values, point.vectors
    outer = loadings[:, :, None] * loadings[:, None, :]
    squares = loadings**2
    turning = outer - apart
    index = np.arange(loadings.shape[-1])
    outer[:, index, index] = squares.sum(axis=-1, keepdims=True) - squares
    turning[:, index, index] = 0.0
    return outer, turning


_LARGEST = float(np.sqrt(1 - SMALLEST_UNIQUENESS))
_ONE_FACTOR = Discrepancy(_residuals, _residuals_hessian, -_LARGEST, _LARGEST)
