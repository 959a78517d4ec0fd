"""Wrong models of the same kind: the levels of misspecification behind dynamic cutoffs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.measurement.confirmatory import Fitted
from sqmodel.measurement.model_population import matrices
from sqmodel.measurement.standardised import standardised
from sqmodel.numerics.sem.model import Matrix

Floats = npt.NDArray[np.float64]

RESIDUAL_CORRELATION = 0.3
ADMISSIBLE = 0.95
"""Share of the largest possible cross-loading that one may have."""
DIGITS = 4
"""Standardised estimates are rounded to so many digits before the simulation, as the package dynamic does: fits that
agree so far have the same cutoffs."""


class Relation(NamedTuple):
    """A relation that the population has and the model omits."""

    lhs: str
    op: str
    rhs: str
    value: float


@dataclass(frozen=True)
class Standardised:
    """The standardised solution as a population.

    Attributes
    ----------
    items, factors : tuple of str
    loading : array, p x m
    factor_correlation : array, m x m
    residual_correlation : array, p x p
        Diagonal 1.
    """

    items: tuple[str, ...]
    factors: tuple[str, ...]
    loading: Floats
    factor_correlation: Floats
    residual_correlation: Floats

    @classmethod
    def of(cls, fitted: Fitted) -> Standardised:
        """Rounded estimates of a model of one group."""
        block = fitted.estimated.blocks[0]
        values = np.round(standardised(block, fitted.estimated.solution.theta).real, DIGITS)
        places = matrices(fitted.table, values)
        return cls(
            fitted.table.items, fitted.table.factors, places[Matrix.LOADING], places[Matrix.FACTOR_COV],
            places[Matrix.RESIDUAL_COV],
        )  # fmt: skip

    def correlation(self, added: Sequence[Relation] = ()) -> Floats:
        """Of the items, with the added relations; what the factors leave of an item's variance is its residual's."""
        loading, residual = self.loading.copy(), self.residual_correlation.copy()
        for relation in added:
            if relation.op == "=~":
                loading[self.items.index(relation.rhs), self.factors.index(relation.lhs)] = relation.value
            else:
                i, j = self.items.index(relation.lhs), self.items.index(relation.rhs)
                residual[i, j] = residual[j, i] = relation.value
        common = loading @ self.factor_correlation @ loading.T
        deviation = np.sqrt(np.maximum(1 - np.diag(common), 0))
        out = common + residual * np.outer(deviation, deviation)
        if (np.diag(common) >= 1).any() or not np.linalg.eigvalsh(out)[0] > 1e-8:
            raise ComputationError("expected loadings that a population can have, found communalities of 1 or more")
        return np.asarray(out)

    def misspecifications(self) -> list[list[Relation]]:
        """What each level adds."""
        alone = (self.loading != 0).sum(axis=1) == 1
        alone &= (self.residual_correlation != 0).sum(axis=1) == 1
        return self._residuals(alone) if len(self.factors) == 1 else self._cross_loadings(alone)

    def _residuals(self, alone: npt.NDArray[np.bool_]) -> list[list[Relation]]:
        """The rule for one factor."""
        size = np.abs(self.loading[:, 0])
        order = [i for i in np.argsort(size, kind="stable") if alone[i]]
        k = len(order)
        if k < 4:
            raise ComputationError(
                f"expected at least 4 items without residual covariance for a one-factor model, found {k}"
            )
        pairs = [
            Relation(self.items[order[2 * i + 1]], "~~", self.items[order[2 * i]], RESIDUAL_CORRELATION)
            for i in range(k // 2)
        ]
        most = k // 2
        ends = {4: [1], 5: [1, 2]}.get(k, [most // 3, 2 * most // 3, most])
        return [pairs[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _cross_loadings(self, alone: npt.NDArray[np.bool_]) -> list[list[Relation]]:
        """The rule for several factors."""
        size, m = np.abs(self.loading), len(self.factors)
        lowest = [(j, min(own, key=lambda i: size[i, j])) for j in range(m) if (own := self._own(j, alone))]
        few = {j: int((size[:, j] > 0).sum() <= 2) for j in range(m)}
        ranked = sorted(lowest, key=lambda c: (few[c[0]], size[c[1], c[0]]))[: m - 1]
        if len(ranked) < m - 1:
            wanted = f"{m - 1} factor{'s' if m > 2 else ''}"
            raise ComputationError(
                f"expected {wanted} with an item that loads on nothing else and has no residual covariance, "
                f"found {len(ranked)}"
            )
        explained = np.where(size > 0, self.loading**2, 0.0)
        H = 1 / (1 + 1 / (explained / (1 - explained)).sum(axis=0))
        used: set[frozenset[int]] = set()
        partner = {}
        for j, i in sorted(ranked, key=lambda c: size[c[1], c[0]]):
            free = [k for k in range(m) if k != j and frozenset((j, k)) not in used]
            partner[i] = max(free, key=lambda k: H[k])
            used.add(frozenset((j, partner[i])))
        return [
            [Relation(self.factors[k := partner[i]], "=~", self.items[i], self._largest(i, j, k))] for j, i in ranked
        ]

    def _own(self, j: int, alone: npt.NDArray[np.bool_]) -> list[int]:
        return [int(i) for i in np.flatnonzero((self.loading[:, j] != 0) & alone)]

    def _largest(self, i: int, j: int, k: int) -> float:
        """The cross-loading of item i of factor j on factor k."""
        own, r = abs(self.loading[i, j]), abs(self.factor_correlation[j, k])
        most = ADMISSIBLE * (math.sqrt(own**2 * r**2 + 1 - own**2) - own * r)
        return float(min(own, round(most, DIGITS)))
