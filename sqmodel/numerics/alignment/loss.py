"""What alignment minimises: the loss of differences between groups, its derivatives, and what the search moves."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.linalg import block_diag

from sqmodel.numerics.correlation import Floats

Origin = Literal["centre", "first"]

EPS = 0.01
"""Mplus' tolerance, in squared units of an item."""


class Metric(NamedTuple):
    """How means and log standard deviations are identified in the search: each is a basis times free numbers."""

    mean: Floats
    log_sd: Floats

    @classmethod
    def of(cls, groups: int, origin: Origin) -> Metric:
        """For so many groups: all means free but the first, or adding up to zero."""
        # An orthonormal basis of all vectors that sum to zero.
        centred = np.linalg.svd(np.eye(groups) - 1 / groups)[0][:, : groups - 1]
        return cls(centred if origin == "centre" else np.eye(groups)[:, 1:], centred)

    def full(self, free: Floats) -> tuple[Floats, Floats]:
        """Means and log standard deviations of all groups."""
        k = self.mean.shape[1]
        return self.mean @ free[:k], self.log_sd @ free[k:]

    def reduced(self, gradient: Floats) -> Floats:
        """Derivatives by the free numbers."""
        G = len(self.mean)
        return np.concatenate([self.mean.T @ gradient[:G], self.log_sd.T @ gradient[G:]])

    def basis(self) -> Floats:
        """Of both at once."""
        return np.asarray(block_diag(self.mean, self.log_sd))


class Loss(NamedTuple):
    """The objective of one factor.

    Attributes
    ----------
    loadings, intercepts : array, p x G
        Configural.
    weight : array, G x G
        Of pairs; over pairs they add up to 1.
    eps : float
    """

    loadings: Floats
    intercepts: Floats
    weight: Floats
    eps: float

    @classmethod
    def of(cls, loadings: Floats, intercepts: Floats, sizes: Floats, eps: float) -> Loss:
        """Of arrays G x p; pairs weigh as the root of the product of their sizes."""
        root = np.sqrt(sizes)
        weight = np.outer(root, root)
        np.fill_diagonal(weight, 0.0)
        return cls(loadings.T.copy(), intercepts.T.copy(), weight / (weight.sum() / 2), eps)

    def aligned(self, mean: Floats, log_sd: Floats) -> tuple[Floats, Floats]:
        """Loadings and intercepts, p x G."""
        scaled = self.loadings * np.exp(-log_sd)
        return scaled, self.intercepts - mean * scaled

    def value_and_gradient(self, mean: Floats, log_sd: Floats) -> tuple[float, Floats]:
        """By means, then log standard deviations (2 G)."""
        scaled, moved = self.aligned(mean, log_sd)
        value, first = 0.0, []
        for x in (scaled, moved):
            difference = x[:, :, None] - x[:, None, :]
            square = difference * difference + self.eps
            root = self.weight * np.sqrt(np.sqrt(square))
            value += float(root.sum()) / 2
            first.append((root / square * difference).sum(axis=2) / 2)
        by_loading, by_intercept = first
        by_log_sd = ((mean * by_intercept - by_loading) * scaled).sum(axis=0)
        return value, np.concatenate([-(by_intercept * scaled).sum(axis=0), by_log_sd])

    def derivatives(self, x: Floats) -> tuple[Floats, Floats]:
        """First (p x G) and second (p x G x G) derivatives by one kind of aligned parameters."""
        difference = x[:, :, None] - x[:, None, :]
        square = difference * difference + self.eps
        slope = self.weight * np.sqrt(np.sqrt(square)) / square
        bend = slope * (0.5 - 0.75 * difference * difference / square)
        second, index = -bend, np.arange(x.shape[1])
        second[:, index, index] += bend.sum(axis=2)
        return (slope * difference).sum(axis=2) / 2, second

    def hessian(self, mean: Floats, log_sd: Floats) -> Floats:
        """Second derivatives by means, then log standard deviations (2 G x 2 G)."""
        G = len(mean)
        scaled, moved = self.aligned(mean, log_sd)
        (pull, by_loading), (push, by_intercept) = self.derivatives(scaled), self.derivatives(moved)
        crossed = np.einsum("pg,pgh,ph->gh", scaled, by_intercept, scaled, optimize=True)
        out = np.empty((2 * G, 2 * G))
        out[:G, :G] = crossed
        out[:G, G:] = -crossed * mean + np.diag((push * scaled).sum(axis=0))
        out[G:, :G] = out[:G, G:].T
        out[G:, G:] = np.einsum("pg,pgh,ph->gh", scaled, by_loading, scaled, optimize=True)
        out[G:, G:] += np.outer(mean, mean) * crossed + np.diag(((pull - mean * push) * scaled).sum(axis=0))
        return out

    def mixed(self, mean: Floats, log_sd: Floats) -> Floats:
        """Derivatives of the gradient by each group's configural loadings, then intercepts (2 G x G x 2 p)."""
        p, G = self.loadings.shape
        shrink, index = np.exp(-log_sd), np.arange(G)
        scaled, moved = self.aligned(mean, log_sd)
        (pull, by_loading), (push, by_intercept) = self.derivatives(scaled), self.derivatives(moved)
        along = (scaled[:, :, None] * by_intercept).transpose(1, 2, 0)
        out = np.empty((2 * G, G, 2 * p))
        out[:G, :, p:] = -along
        out[:G, :, :p] = along * (mean * shrink)[:, None]
        out[index, index, :p] -= (shrink * push).T
        out[G:] = -mean[:, None, None] * out[:G]
        out[G:, :, :p] -= (scaled[:, :, None] * by_loading).transpose(1, 2, 0) * shrink[:, None]
        out[G + index, index, :p] -= (shrink * pull).T
        return out
