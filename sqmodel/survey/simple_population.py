"""SimplePopulation: items with known loadings and nothing else, fast enough for thousands of replicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from sqmodel.definitions import Text
from sqmodel.errors import InputError
from sqmodel.numerics.correlation import discretised_moments
from sqmodel.survey.instrument import Dimension, Instrument, Item, Scale
from sqmodel.survey.responses import Responses
from sqmodel.survey.truth import FloatArray, IntArray, cronbach, discretise


@dataclass(frozen=True, repr=False)
class SimplePopulation:
    """Ordinal items cut from a correlated-factors normal model, without groups.

    Parameters
    ----------
    loadings : array (p,)
        Of each item on its own dimension.
    membership : array (p,)
        Number of each item's dimension, from 0.
    factor_correlation : array (d, d)
    thresholds : array (p, K - 1)
        Answers are 1..K.
    """

    loadings: FloatArray
    membership: IntArray
    factor_correlation: FloatArray
    thresholds: FloatArray

    def __repr__(self) -> str:
        p, cuts = self.thresholds.shape
        return f"<SimplePopulation {p} items, {len(self.factor_correlation)} dimensions, {cuts + 1} points>"

    @property
    def categories(self) -> int:
        """Points of the answer scale."""
        return int(self.thresholds.shape[1]) + 1

    @property
    def correlation(self) -> FloatArray:
        """Correlation (p, p) of the normal responses behind the answers."""
        between = self.factor_correlation[np.ix_(self.membership, self.membership)]
        correlation = np.outer(self.loadings, self.loadings) * between
        np.fill_diagonal(correlation, 1.0)
        return correlation

    @cached_property
    def _moments(self) -> tuple[FloatArray, FloatArray]:
        return discretised_moments(list(self.thresholds), self.correlation)

    @property
    def mean(self) -> FloatArray:
        """Exact mean answer (p,), on 1..K."""
        return self._moments[0] + 1

    @property
    def covariance(self) -> FloatArray:
        """Exact covariance (p, p) of the answers."""
        return self._moments[1]

    @property
    def index(self) -> FloatArray:
        """Exact score 0-100 of each dimension (d,)."""
        return self.scoring.T @ self._moments[0]

    @property
    def alpha(self) -> FloatArray:
        """Exact Cronbach's alpha of each dimension (d,)."""
        members = [self.membership == d for d in range(len(self.factor_correlation))]
        return np.array([cronbach(self.covariance[np.ix_(m, m)]) for m in members])

    @property
    def scoring(self) -> FloatArray:
        """Weight (p, d) of each answer in its dimension's score."""
        member = (self.membership[:, None] == np.arange(len(self.factor_correlation))).astype(float)
        weights: FloatArray = 100 / (self.categories - 1) * member / member.sum(axis=0)
        return weights

    def sample(self, replicates: int, n: int, *, rng: np.random.Generator | int) -> IntArray:
        """Answers 1..K of `replicates` independent samples, (replicates, n, p)."""
        generator = np.random.default_rng(rng)
        root = np.linalg.cholesky(self.factor_correlation)
        factors = generator.standard_normal((replicates, n, len(root))) @ root.T
        response = generator.standard_normal((replicates, n, len(self.loadings)))
        response *= np.sqrt(1 - self.loadings**2)
        response += factors[..., self.membership] * self.loadings
        return discretise(response, list(self.thresholds)) + 1

    @cached_property
    def instrument(self) -> Instrument:
        """A questionnaire with these items: dimensions D1.., items d1_1, d1_2, .. ."""
        counts = np.bincount(self.membership)
        names = [(d + 1, k + 1) for d, count in enumerate(counts) for k in range(count)]
        return Instrument(
            name="simple",
            version="1",
            title=Text(en="Simulated items"),
            scale=Scale(minimum=1, maximum=self.categories),
            dimensions=tuple(
                Dimension(code=f"D{d + 1}", title=Text(en=f"Dimension {d + 1}")) for d in range(len(counts))
            ),
            items=tuple(
                Item(code=f"d{d}_{k}", dimension=f"D{d}", text=Text(en=f"Item {k} of dimension {d}")) for d, k in names
            ),
        )

    def responses(self, n: int, *, rng: np.random.Generator | int) -> Responses:
        """One sample as `Responses`."""
        answers = self.sample(1, n, rng=rng)[0].astype(float)
        frame = pd.DataFrame(answers, columns=self.instrument.item_codes)
        frame.insert(0, "respondent", [f"r{k + 1}" for k in range(n)])
        return Responses(self.instrument, frame)


def simple_population(
    items: int,
    *,
    dimensions: int = 1,
    loadings: float | Sequence[float] = 0.7,
    factor_correlation: float = 0.6,
    categories: int = 7,
    skewed: bool = False,
    thresholds: Sequence[float] | None = None,
) -> SimplePopulation:
    """A population for coverage studies: one set of loadings and thresholds for every dimension.

    Parameters
    ----------
    items : int
        Items a dimension.
    dimensions : int
        Their number.
    loadings : float or sequence of `items` floats
        Above -1 and below 1.
    factor_correlation : float
        Between any two dimensions.
    categories : int
        Points of the answer scale.
    skewed : bool
        Most answers near the upper end, as satisfaction data are; else symmetric. Ignored with `thresholds`.
    thresholds : sequence of float, optional
        Own cuts of the standard normal response, increasing; they set `categories`.

    Returns
    -------
    SimplePopulation

    Raises
    ------
    InputError
        Loadings, thresholds or counts that no population can have.

    Examples
    --------
    >>> population = simple_population(5, skewed=True)
    >>> population
    <SimplePopulation 5 items, 1 dimensions, 7 points>
    >>> population.sample(2, 100, rng=1).shape
    (2, 100, 5)
    """
    cuts = _default_cuts(categories, skewed) if thresholds is None else np.asarray(thresholds, dtype=float)
    factors = np.full((dimensions, dimensions), factor_correlation)
    np.fill_diagonal(factors, 1.0)
    own = np.asarray(loadings, dtype=float)
    problems = _impossible(items, own, factors, cuts)
    if problems:
        raise InputError("simple_population", problems)
    return SimplePopulation(
        loadings=np.tile(np.broadcast_to(own, items), dimensions),
        membership=np.repeat(np.arange(dimensions), items),
        factor_correlation=factors,
        thresholds=np.tile(cuts, (items * dimensions, 1)),
    )


def _impossible(items: int, loadings: FloatArray, factors: FloatArray, cuts: FloatArray) -> list[str]:
    """Everything about a population that no population can have."""
    problems = []
    if loadings.size not in (1, items) or (np.abs(loadings) >= 1).any():
        problems.append(f"expected {items} loadings between -1 and 1, found {loadings.tolist()}")
    if items < 2 or not len(factors):
        problems.append(f"expected 2 items or more in 1 dimension or more, found {items} in {len(factors)}")
    if not len(cuts) or (np.diff(cuts) <= 0).any():
        problems.append(f"expected increasing thresholds, found {cuts.tolist()}")
    if len(factors) and np.linalg.eigvalsh(factors).min() <= 0:
        problems.append(f"expected a possible correlation of the dimensions, found {factors[0, -1]}")
    return problems


def _default_cuts(categories: int, skewed: bool) -> FloatArray:
    """Evenly spaced cuts of the standard normal, moved down by one standard deviation where skewed."""
    cuts = np.linspace(-1.75, 1.75, categories - 1) if categories > 2 else np.zeros(categories - 1)
    return np.asarray(cuts - skewed, dtype=float)
