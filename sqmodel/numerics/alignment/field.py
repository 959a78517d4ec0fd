"""Sums over all groups of a smooth function of their differences, in time that grows with groups, not with pairs.

Why: the loss of alignment adds up f(x_g - x_h) over all pairs, for every loading and intercept, with f(x) = (x^2 +
eps)^(1/4). f is smooth at the scale of the root of eps, so that, seen from a group, all others together are a smooth
function of its own value, which a polynomial of modest degree tells to ten digits. With the values on [-1, 1] after
division by half their range h, f(x - y) is analytic but for x = y +- i sqrt(eps) / h: Chebyshev interpolation in N
nodes errs by r^-N with r = t + sqrt(1 + t^2) and t = sqrt(eps) / h (Trefethen, Approximation Theory and Approximation
Practice, chapter 8). Interpolated in both arguments, sum_h w_h f(x_g - x_h) = T_g' M K M' (sum_h T_h w_h): T the
Chebyshev polynomials at the groups, M from values at the nodes to coefficients, K the function between nodes. A
thousand groups within a range of one need about a hundred nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sqmodel.numerics.correlation import Floats

MOST = 700
"""Nodes beyond which nothing would be gained: the range of the values is hundreds of times the root of eps."""
_FEWEST = 16


class Field(NamedTuple):
    """The values of c parameters in G groups, as Chebyshev polynomials.

    Attributes
    ----------
    basis : array, c x N x G
    distance : array, c x N x N
        Between the nodes.
    transform : array, N x N
        From values at the nodes to coefficients.
    """

    basis: Floats
    distance: Floats
    transform: Floats

    @classmethod
    def of(cls, x: Floats, eps: float, tolerance: float) -> Field | None:
        """For values c x G; None where too many nodes would be needed."""
        middle = (x.max(axis=1) + x.min(axis=1)) / 2
        half = np.maximum((x.max(axis=1) - x.min(axis=1)) / 2, 1e-3 * math.sqrt(eps)) * (1 + 1e-12)
        if not np.isfinite(half).all():
            return None
        y = math.sqrt(eps) / float(half.max())
        count = max(_FEWEST, 4 + math.ceil(-math.log(tolerance) / math.asinh(y)))
        if count > MOST:
            return None
        angle = (np.arange(count) + 0.5) * math.pi / count
        transform = np.cos(np.outer(np.arange(count), angle)) * (2 / count)
        transform[0] /= 2
        nodes = np.cos(angle)
        distance = half[:, None, None] * (nodes[:, None] - nodes)
        return cls(_polynomials((x - middle[:, None]) / half[:, None], count), distance, transform)

    def sums(self, weight: Floats, *functions: Callable[[Floats], Floats]) -> list[Floats]:
        """For each function and group (c x G): the sum over all groups, itself included, of weight times function."""
        at_nodes = (self.basis @ weight) @ self.transform
        out = []
        for function in functions:
            coefficients = (function(self.distance) @ at_nodes[:, :, None])[:, :, 0] @ self.transform.T
            out.append((coefficients[:, None, :] @ self.basis)[:, 0])
        return out

    def factors(self, weight: Floats, function: Callable[[Floats], Floats], cut: float) -> list[tuple[Floats, Floats]]:
        """For each parameter vectors U (G x r) and values L: U diag(L) U' are weight_g weight_h function(x_g - x_h).

        Values below `cut` of the largest are left out. The singular values of the polynomials at the groups, weights
        included, make the truncation the best there is for these groups.
        """
        kernel = self.transform @ function(self.distance) @ self.transform.T
        out = []
        for basis, own in zip(self.basis, kernel, strict=True):
            size, vectors = np.linalg.eigh((basis * weight**2) @ basis.T)
            kept = size > 1e-15 * size[-1]
            root, vectors = np.sqrt(size[kept]), vectors[:, kept]
            values, turned = np.linalg.eigh(root[:, None] * (vectors.T @ own @ vectors) * root)
            large = np.abs(values) > cut * np.abs(values).max()
            onto = (vectors / root) @ turned[:, large]
            out.append(((basis * weight).T @ onto, values[large]))
        return out


def _polynomials(t: Floats, count: int) -> Floats:
    """T_0 ... T_(count - 1) at t (c x G), by their recurrence: c x count x G."""
    out = np.empty((count, *t.shape))
    out[0], out[1] = 1.0, t
    double = 2 * t
    for k in range(2, count):
        np.multiply(double, out[k - 1], out=out[k])
        out[k] -= out[k - 2]
    return np.ascontiguousarray(out.transpose(1, 0, 2))
