"""Alignment of many groups: the same minimum and the same errors, without a matrix of all pairs of groups.

Why it can be exact. A group feels the others only through the sums of `field.Field`. So the second derivatives of the
loss are 2 x 2 blocks D_g, one a group, less A L A' of low rank (some thirty directions for every loading and
intercept), and with Woodbury's identity Newton's step and the delta method cost G R^2 in place of G^3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize

from sqmodel.numerics.alignment.field import Field
from sqmodel.numerics.alignment.loss import Origin
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.model import Ints

_NEWTON = 30
_SEARCHED = 1e-9
_REFINED = 1e-11
"""Relative errors of the interpolated functions, in the search and at its end."""
_CUT = 1e-9
"""Directions of the second derivatives below this share of the largest count as none."""
_STILL = 1e-12


class ManyLoss(NamedTuple):
    """The objective of one factor, of many groups.

    Attributes
    ----------
    loadings, intercepts : array, p x G
    root : array, G
        A pair's weight is the product of its two.
    eps : float
    """

    loadings: Floats
    intercepts: Floats
    root: Floats
    eps: float

    @classmethod
    def of(cls, loadings: Floats, intercepts: Floats, sizes: Floats, eps: float) -> ManyLoss:
        """Of arrays G x p, with the weights of `Loss`."""
        root = np.sqrt(sizes)
        total = (root.sum() ** 2 - sizes.sum()) / 2
        return cls(loadings.T.copy(), intercepts.T.copy(), root / np.sqrt(total), eps)

    def aligned(self, mean: Floats, log_sd: Floats) -> tuple[Floats, Floats]:
        """Loadings and intercepts, p x G."""
        scaled = self.loadings * np.exp(-log_sd)
        return scaled, self.intercepts - mean * scaled

    def value_and_gradient(
        self, mean: Floats, log_sd: Floats, tolerance: float | None = _SEARCHED
    ) -> tuple[float, Floats]:
        """By means, then log standard deviations (2 G); summed over pairs without a tolerance."""
        scaled, moved = self.aligned(mean, log_sd)
        value, (pull, push) = self._sums(scaled, moved, tolerance)
        by_log_sd = ((mean * push - pull) * scaled).sum(axis=0)
        return value, np.concatenate([-(push * scaled).sum(axis=0), by_log_sd])

    def _sums(self, scaled: Floats, moved: Floats, tolerance: float | None) -> tuple[float, list[Floats]]:
        value, first = 0.0, []
        for x in (scaled, moved):
            field = None if tolerance is None else Field.of(x, self.eps, tolerance)
            loss, slope = self._pairs(x) if field is None else field.sums(self.root, self.loss, self.slope)
            value += float((loss @ self.root).sum() - len(x) * self.eps**0.25 * (self.root @ self.root)) / 2
            first.append(slope * self.root)
        return value, first

    def _pairs(self, x: Floats) -> tuple[Floats, Floats]:
        """The sums over all pairs, one parameter at a time to spare memory."""
        loss, slope = np.empty_like(x), np.empty_like(x)
        for k, own in enumerate(x):
            difference = own[:, None] - own
            loss[k] = self.loss(difference) @ self.root
            slope[k] = self.slope(difference) @ self.root
        return loss, slope

    def loss(self, x: Floats) -> Floats:
        """Of a difference."""
        return np.asarray(np.sqrt(np.sqrt(x * x + self.eps)))

    def slope(self, x: Floats) -> Floats:
        """Its derivative."""
        square = x * x + self.eps
        return np.asarray(0.5 * x * np.sqrt(np.sqrt(square)) / square)

    def bend(self, x: Floats) -> Floats:
        """Its second derivative."""
        square = x * x + self.eps
        return np.asarray(np.sqrt(np.sqrt(square)) / square * (0.5 - 0.75 * x * x / square))


class Linear(NamedTuple):
    """The second derivatives at a point: D_g - A L A', inverted within the constraints on means and deviations.

    Attributes
    ----------
    blocks : array, G x 2 x 2
        Inverses of D_g, for mean and log standard deviation.
    lean : array, 2 x G x S
        D^-1 (A, Q), Q the normals of the constraints.
    inner : array, S x S
        The inverse within the constraints is D^-1 + lean inner lean'.
    along : array, 2 x G x R
        A.
    vectors : array, G x R
        U: of each parameter's differences, see `Field.factors`.
    owner : integer array, R
        Parameter (loadings, then intercepts) of each direction.
    values : array, R
        L.
    bent, first : array, 2 p x G
        Sums of second and first derivatives.
    through : array, 2 x 2 p x G
        Derivatives of the aligned parameters by the group's own mean and log standard deviation.
    positive : bool
        Whether the point is a minimum.
    """

    blocks: Floats
    lean: Floats
    inner: Floats
    along: Floats
    vectors: Floats
    owner: Ints
    values: Floats
    bent: Floats
    first: Floats
    through: Floats
    positive: bool

    def solve(self, gradient: Floats) -> Floats:
        """The inverse times a vector (2 G)."""
        g = gradient.reshape(2, -1)
        own = np.einsum("gab,bg->ag", self.blocks, g)
        common = self.inner @ np.einsum("ags,ag->s", self.lean, g)
        return np.asarray((own + self.lean @ common).ravel())


def linearise(loss: ManyLoss, mean: Floats, log_sd: Floats, origin: Origin) -> Linear | None:
    """The second derivatives at a point; None where the values lie too far apart for `Field`."""
    scaled, moved = loss.aligned(mean, log_sd)
    bent, first, parts = [], [], []
    for x in (scaled, moved):
        field = Field.of(x, loss.eps, _REFINED)
        if field is None:
            return None
        slope, bend = field.sums(loss.root, loss.slope, loss.bend)
        bent.append(bend * loss.root)
        first.append(slope * loss.root)
        parts += field.factors(loss.root, loss.bend, _CUT)
    B, (pull, push) = np.concatenate(bent), first
    none = np.zeros_like(scaled)
    through = np.array([np.concatenate([none, -scaled]), np.concatenate([-scaled, mean * scaled])])
    D = np.einsum("acg,cg,bcg->gab", through, B, through)
    D[:, 0, 1] += (push * scaled).sum(axis=0)
    D[:, 1, 0] = D[:, 0, 1]
    D[:, 1, 1] += ((pull - mean * push) * scaled).sum(axis=0)
    vectors, values = np.concatenate([u for u, _ in parts], axis=1), np.concatenate([v for _, v in parts])
    owner = np.repeat(np.arange(len(parts)), [len(v) for _, v in parts])
    along = through[:, owner].transpose(0, 2, 1) * vectors
    return _inverted(D, along, values, origin, (vectors, owner, B, np.concatenate(first), through))


_Rest = tuple[Floats, Ints, Floats, Floats, Floats]
"""Vectors, owner, bent, first, through of `Linear`."""


def _inverted(D: Floats, along: Floats, values: Floats, origin: Origin, rest: _Rest) -> Linear:
    """By Woodbury's identity; the constraints first as a ridge across them, then exactly."""
    vectors, owner, bent, first, through = rest
    G, R = len(D), len(values)
    Q = np.zeros((2, G, 2))
    Q[1, :, 1] = G**-0.5
    Q[0, :, 0] = G**-0.5 if origin == "centre" else np.arange(G) == 0
    # The loss hardly changes where all means move together: the ridge keeps the matrix regular.
    ridge = float(np.abs(np.trace(D, axis1=1, axis2=2)).mean())
    wide, strength = np.concatenate([along, Q], axis=2), np.concatenate([values, [-ridge, -ridge]])
    blocks = np.asarray(np.linalg.inv(D), dtype=float)
    lean = np.einsum("gab,bgs->ags", blocks, wide)
    middle = np.diag(1 / strength) - np.einsum("agr,ags->rs", wide, lean, optimize=True)
    middle = (middle + middle.T) / 2
    # Inertia of (D, A; A', 1 / L) counted from both ends (Haynsworth 1968).
    negative = int((np.linalg.eigvalsh(D) < 0).sum()) + int((np.linalg.eigvalsh(middle) < 0).sum())
    inverse = np.linalg.inv(middle)
    onto = np.einsum("ags,agq->sq", lean, Q, optimize=True)
    pulled = inverse @ onto
    pulled[R:] += np.eye(2)
    inner = inverse - pulled @ np.linalg.inv(onto.T @ pulled) @ pulled.T
    positive = negative == int((strength < 0).sum())
    return Linear(blocks, lean, inner, along, vectors, owner, values, bent, first, through, positive)


class Found(NamedTuple):
    """Where the search ended, in its own metric."""

    value: float
    mean: Floats
    log_sd: Floats
    norm: float
    positive: bool


def within(gradient: Floats, origin: Origin) -> Floats:
    """A vector of means and log standard deviations (2 G) without what the constraints forbid."""
    by_mean, by_log_sd = gradient.reshape(2, -1)
    if origin == "centre":
        by_mean = by_mean - by_mean.mean()
    else:
        by_mean = np.where(np.arange(len(by_mean)) == 0, 0.0, by_mean)
    return np.concatenate([by_mean, by_log_sd - by_log_sd.mean()])


def descend(loss: ManyLoss, start: Floats, tolerances: Floats, origin: Origin) -> tuple[float, Floats]:
    """As `search._descend`, of a start of 2 G numbers within the constraints; steps along gradients stay there."""
    G = len(loss.root)

    def objective(x: Floats, own: ManyLoss) -> tuple[float, Floats]:
        value, gradient = own.value_and_gradient(x[:G], x[G:])
        return value, within(gradient, origin)

    x, value = start, np.inf
    for eps in tolerances:
        own = loss._replace(eps=float(eps))
        found = optimize.minimize(objective, x, args=(own,), jac=True, method="L-BFGS-B", options={"maxiter": 500})
        x, value = found.x, float(found.fun)
    return value, x


def polish(loss: ManyLoss, start: Floats, origin: Origin) -> Found | None:
    """Newton's steps on to the optimum; the derivatives that certify it are summed over all pairs.

    None where second derivatives are out of reach, or where the steps do not end in a minimum.
    """
    G, x = len(loss.root), start
    value, slope = loss.value_and_gradient(x[:G], x[G:], _REFINED)
    gradient, positive = within(slope, origin), False
    for _ in range(_NEWTON):
        at = linearise(loss, x[:G], x[G:], origin)
        if at is None or not at.positive:
            return None
        positive = at.positive
        step, length = -at.solve(gradient), 1.0
        while length > 1e-4:
            moved = x + length * step
            found, slope = loss.value_and_gradient(moved[:G], moved[G:], _REFINED)
            if found <= value + 1e-11 * abs(value):
                break
            length /= 2
        else:
            return None
        x, value, gradient = moved, found, within(slope, origin)
        if np.abs(gradient).max() < _STILL:
            break
    value, slope = loss.value_and_gradient(x[:G], x[G:], None)
    norm = float(np.abs(within(slope, origin)).max())
    return Found(value, x[:G], x[G:], norm, positive)
