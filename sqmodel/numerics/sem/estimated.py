"""What a fit is: estimates, their covariance, the tests of model and baseline, the fit indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.curvature import Curvature
from sqmodel.numerics.sem.model import Block, Implied, implied
from sqmodel.numerics.sem.samples import LeastSquares, Normal, Patterns
from sqmodel.numerics.sem.solve import Solution


@dataclass(frozen=True)
class Estimated:
    """A fitted model.

    Attributes
    ----------
    blocks : list of Block
    samples : sequence
        Of Normal, Patterns or LeastSquares.
    solution : Solution
    covariance : array q x q, or None
        Of the estimates; None where there are too many parameters for one matrix.
    se : array, q
    fit : dict
        lavaan's names.
    curvature : Curvature
        The information behind the standard errors, of one respondent.
    singular : float
        Smallest eigenvalue of the information on unit diagonals; near 0 the model is not identified.
    gammas : list of array
        Least squares: asymptotic covariance of each group's moments.
    """

    blocks: list[Block]
    samples: Sequence[Normal | Patterns | LeastSquares]
    solution: Solution
    covariance: Floats | None
    se: Floats
    fit: dict[str, float]
    curvature: Curvature
    singular: float
    gammas: list[Floats]

    @property
    def n(self) -> float:
        """Respondents of all groups."""
        return float(sum(s.n for s in self.samples))

    def implied(self) -> list[Implied]:
        """Moments at the estimates, a group each."""
        return [implied(b, self.solution.theta) for b in self.blocks]


def inverse_of(curvature: Curvature) -> Floats | None:
    """The inverse of a small information matrix; the generalised one where it is singular."""
    if curvature.dense is None:
        return None
    size = np.sqrt(np.abs(np.diag(curvature.dense)))
    size = np.where(size > 0, size, 1.0)
    scaled = curvature.dense / np.outer(size, size)
    try:
        inverse = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        inverse = np.linalg.pinv(scaled, hermitian=True)
    return np.asarray(inverse / np.outer(size, size))
