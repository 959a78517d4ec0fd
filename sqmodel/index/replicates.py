"""The index of many replicates at once: each with its own sample and its own choices, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import CompositeError
from sqmodel.index.alternatives import NOISE, Alternatives
from sqmodel.index.composite import Arrangement, Composite, imputation
from sqmodel.index.replicate_means import children_at, replicate_means
from sqmodel.index.samples import JudgeSample, Sample
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.indicators import SCALES, fill_missing, normalise, treat

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
CELLS = 2_000_000
"""Values of indicators held at a time: 16 MB an array."""


@dataclass(frozen=True)
class Pool:
    """Draws of everything random, of which a replicate uses one each.

    Parameters
    ----------
    samples : tuple of ndarray, shape (draws, units, columns)
    judges : dict of branch to ndarray, shape (draws, children)
    noise : ndarray, shape (draws, nodes), optional
    unanswered : dict of column to int
        Values drawn that were missing though the data have them; the data's own stand in.
    """

    samples: tuple[Floats, ...]
    judges: dict[str, Floats]
    noise: Floats | None
    unanswered: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Replicates:
    """Scores of replicates.

    Parameters
    ----------
    scores : ndarray, shape (replicates, units)
    constant : ndarray of int, shape (indicators,)
        Replicates in which an indicator does not vary and says nothing.
    """

    scores: Floats
    constant: Ints


@dataclass(frozen=True)
class Design:
    """What is given: units, tree, choices and samples; each a factor whose level a replicate has.

    Parameters
    ----------
    tree : IndexTree
    how : Arrangement
    alternatives : Alternatives
    data : DataFrame, units x columns
        Of the units that are scored: indicators and denominators.
    codes : ndarray of int, shape (units,), optional
        Groups of imputation.
    samples : tuple of Sample
    judges : JudgeSample, optional
    """

    tree: IndexTree
    how: Arrangement
    alternatives: Alternatives
    data: pd.DataFrame
    codes: Ints | None
    samples: tuple[Sample, ...] = ()
    judges: JudgeSample | None = None

    @classmethod
    def of(
        cls, composite: Composite, data: pd.DataFrame, tree: IndexTree, how: Arrangement, alternatives: Alternatives,
        groups: str, samples: Sequence[Sample], judges: JudgeSample | None,
    ) -> Design:  # fmt: skip
        """The design for the units of a composite."""
        units = composite.scores.index
        names = [*tree.indicators, *dict.fromkeys(d for c in tree.indicators if (d := tree.node(c).denominator))]
        codes = pd.factorize(data.loc[units, groups])[0].astype(np.intp) if groups else None
        return cls(tree, how, alternatives, data.loc[units, names].astype(float), codes, tuple(samples), judges)

    @cached_property
    def options(self) -> dict[str, list[Any]]:
        """Options of every discrete choice."""
        return self.alternatives.options(self.how)

    @property
    def sampled(self) -> tuple[str, ...]:
        """Factors that are samples."""
        return (*(s.name for s in self.samples), *([self.judges.name] if self.judges else []))

    @property
    def chosen(self) -> tuple[str, ...]:
        """Factors that are choices."""
        return self.alternatives.names(self.how)

    @property
    def factors(self) -> tuple[str, ...]:
        """All factors, samples first."""
        return (*self.sampled, *self.chosen)

    def random(self, factor: str) -> bool:
        """Whether the levels of a factor are draws."""
        return factor in self.sampled or factor == NOISE

    def pool(self, draws: int, rng: np.random.Generator) -> Pool:
        """Draw everything random."""
        noise = None
        if np.any(self.alternatives.noise):
            reach = self.alternatives.reach(self.tree)
            noise = rng.uniform(1 - reach, 1 + reach, (draws, len(reach)))
        drawn, unanswered = [], dict[str, int]()
        for sample, place in zip(self.samples, self._places, strict=True):
            values = sample.draw(draws, rng)
            for column, count in self._completed(values, sample.columns, place):
                unanswered[column] = count
            drawn.append(values)
        return Pool(tuple(drawn), self.judges.draw(draws, rng) if self.judges else {}, noise, unanswered)

    def _completed(self, values: Floats, columns: Sequence[str], place: tuple[Ints, Ints]) -> Iterator[tuple[str, int]]:
        """Put the data's own values where a draw has none, and count them by column.

        Raises
        ------
        CompositeError
            Denominators of 0, or on the other side of it, in a draw.
        """
        units, at = place
        known = units >= 0
        own = self.data.to_numpy()[np.ix_(np.maximum(units, 0), at)]
        below = {self.tree.node(c).denominator for c in self.tree.indicators}
        problems = []
        for k, column in enumerate(columns):
            part, mine = values[..., k], np.where(known, own[:, k], np.nan)
            empty = np.isnan(part) & ~np.isnan(mine)
            if empty.any():
                part[...] = np.where(empty, mine, part)
                yield column, int(empty.sum())
            if column in below and (part * np.sign(mine) <= 0).any():
                count = int((part * np.sign(mine) <= 0).any(axis=1).sum())
                problems.append(f"{column}: expected denominators that no draw takes to 0 or beyond, found "
                                f"{count:,} of {len(part):,} draws that do")  # fmt: skip
        if problems:
            raise CompositeError(self.tree.name, problems, "take the denominator as known, without a sample")

    @cached_property
    def _places(self) -> list[tuple[Ints, Ints]]:
        """Of each sample: where its units and its columns stand in the data."""
        at = {str(u): k for k, u in enumerate(self.data.index)}
        return [
            (np.array([at.get(u, -1) for u in s.units], dtype=np.intp), self._columns(s.columns)) for s in self.samples
        ]

    def _columns(self, names: Sequence[str]) -> Ints:
        """Where columns stand in the data."""
        at = {str(c): k for k, c in enumerate(self.data.columns)}
        return np.array([at[c] for c in names], dtype=np.intp)

    def scores(self, levels: dict[str, Ints], pool: Pool) -> Replicates:
        """The index of every replicate.

        Parameters
        ----------
        levels : dict of factor to ndarray of int, shape (replicates,)
            Which draw, or which option; of factors that are not named the data and the arrangement's own.
        pool : Pool

        Raises
        ------
        CompositeError
            Values of 0 or below under a geometric or a harmonic mean, by branch.
        """
        slope, shift = self._scales
        found = self._raw(levels, pool)
        kind = [levels.get(n, np.zeros(len(found.scores), np.intp)) for n in ("normalisation", "aggregation")]
        scores = found.scores * slope[tuple(kind)][:, None] + shift[tuple(kind)][:, None]
        return Replicates(scores, found.constant)

    @cached_property
    def _scales(self) -> tuple[Floats, Floats]:
        """Slope and shift that bring every normalisation and aggregation to the arrangement's own scale.

        Scores of another scale have their own mean and standard deviation over the units; those of the data as given
        become the ones of the arrangement. Means of values on the same scale stay as they are.
        """
        kinds, means = self.options["normalisation"], self.options["aggregation"]
        slope, shift = np.ones((len(kinds), len(means))), np.zeros((len(kinds), len(means)))
        level = {"normalisation": np.arange(len(kinds)), "aggregation": np.zeros(len(kinds), np.intp)}
        other = [k for k in range(len(kinds)) if (kinds[k][0], _ends(kinds[k])) != (kinds[0][0], _ends(kinds[0]))]
        if other:
            self._linear(level, [(k, (k, slice(None))) for k in other], slope, shift)
        level = {"normalisation": np.zeros(len(means), np.intp), "aggregation": np.arange(len(means))}
        outranking = ["copeland" in ([m] if isinstance(m, str) else m) for m in means]
        unlike = [k for k in range(1, len(means)) if outranking[k] or outranking[0]]
        if unlike:
            self._linear(level, [(k, (slice(None), k)) for k in unlike], slope, shift)
        return slope, shift

    def _linear(self, level: dict[str, Ints], rows: Sequence[tuple[int, Any]], slope: Floats, shift: Floats) -> None:
        """Put in place what maps the scores of each row to the mean and the spread of the first."""
        values = self._raw(level, Pool((), {}, None)).scores
        mean, sd = np.nanmean(values, axis=1), np.nanstd(values, axis=1)
        for k, place in rows:
            slope[place] = sd[0] / sd[k] if sd[k] > 0 else 0.0
            shift[place] = mean[0] - mean[k] * (sd[0] / sd[k] if sd[k] > 0 else 0.0)

    @property
    def rescaled(self) -> bool:
        """Whether some alternatives give scores on another scale than the arrangement's."""
        return bool((self._scales[0] != 1).any() or (self._scales[1] != 0).any())

    def _raw(self, levels: dict[str, Ints], pool: Pool) -> Replicates:
        """Scores, each on the scale of its own choices."""
        count, units = len(next(iter(levels.values()))), len(self.data)
        found, constant = np.empty((count, units)), np.zeros(len(self.tree.indicators), np.intp)
        # Outranking compares all units with each other.
        outranking = any("copeland" in ([m] if isinstance(m, str) else m) for m in self.options["aggregation"])
        step = max(1, CELLS // max(self.data.size, units * units if outranking else 1))
        for start in range(0, count, step):
            part = {name: values[start : start + step] for name, values in levels.items()}
            found[start : start + step], lost = self._part(part, pool)
            constant += lost
        return Replicates(found, constant)

    def _part(self, levels: dict[str, Ints], pool: Pool) -> tuple[Floats, Ints]:
        """Scores, and how often each indicator does not vary."""
        count = len(next(iter(levels.values())))
        level = {name: levels.get(name, np.zeros(count, np.intp)) for name in self.options}
        keys = [levels.get(s.name, np.full(count, -1)) for s in self.samples]
        values, place = self._drawn(np.stack([level["imputation"], *keys], axis=1), pool)
        values, place = self._staged(values, place, level["treatment"], self._treat, "treatment")
        there = np.asarray(~np.isnan(values)).max(axis=(0, 1))
        values, place = self._staged(values, place, level["normalisation"], self._normalise, "normalisation")
        weights = self._weights(levels, level, pool)
        scores = np.empty((count, values.shape[1]))
        for k, method in enumerate(self.options["aggregation"]):
            own = np.flatnonzero(level["aggregation"] == k)
            if len(own):
                scores[own] = replicate_means(self.tree, values, place[own], weights[own], method)
        lost = np.asarray(np.isnan(values).min(axis=1) & there)
        return scores, np.asarray(lost[place].sum(axis=0), np.intp)

    def _drawn(self, keys: Ints, pool: Pool) -> tuple[Floats, Ints]:
        """Denominated and imputed data of all distinct draws; keys: (replicates, imputation and samples)."""
        distinct, place = _distinct(keys)
        x = np.repeat(self.data.to_numpy()[None], len(distinct), axis=0)
        for s, (units, columns) in enumerate(self._places):
            drawn, known = distinct[:, 1 + s], np.flatnonzero(units >= 0)
            own = np.flatnonzero(drawn >= 0)
            if len(own):
                x[np.ix_(own, units[known], columns)] = pool.samples[s][drawn[own]][:, known]
        x = self._denominated(x)
        for k, kind in enumerate(self.options["imputation"]):
            own = np.flatnonzero(distinct[:, 0] == k)
            if kind != "none" and len(own) and np.isnan(x[own]).any():
                middle, codes = imputation(kind, None if self.codes is None else pd.Series(self.codes))
                x[own] = fill_missing(x[own], middle, codes)
        return x, place

    def _denominated(self, x: Floats) -> Floats:
        count = len(self.tree.indicators)
        below = [self.tree.node(c).denominator for c in self.tree.indicators]
        own = [k for k, d in enumerate(below) if d]
        if own:
            with np.errstate(divide="ignore", invalid="ignore"):
                x[..., np.array(own)] /= x[..., self._columns([below[k] for k in own])]
        return x[..., :count]

    def _staged(self, values: Floats, place: Ints, level: Ints, apply: Any, factor: str) -> tuple[Floats, Ints]:
        """One stage: each option on the distinct values that some replicate takes it of."""
        distinct, found = _distinct(np.stack([level, place], axis=1))
        out = np.empty((len(distinct), *values.shape[1:]))
        for k, option in enumerate(self.options[factor]):
            own = np.flatnonzero(distinct[:, 0] == k)
            if len(own):
                out[own] = apply(values[distinct[own, 1]], option)
        return out, found

    def _treat(self, x: Floats, steps: int | None) -> Floats:
        if steps is None:
            return x
        return treat(x, [self.tree.node(c).treatment for c in self.tree.indicators], steps)[0]

    def _normalise(self, x: Floats, option: tuple[Any, Any]) -> Floats:
        nodes = [self.tree.node(c) for c in self.tree.indicators]
        posts = np.array([n.goalposts or (np.nan, np.nan) for n in nodes])
        direction = np.array([float(n.direction) for n in nodes])
        return normalise(x, option[0], direction=direction, scale=option[1], goalposts=posts)

    def _weights(self, levels: dict[str, Ints], level: dict[str, Ints], pool: Pool) -> Floats:
        """Weights of all nodes, not yet rescaled, shape (replicates, nodes)."""
        trees = [self.tree, *self.alternatives.trees.values()]
        table = np.array([[tree.node(n.code).weight for n in self.tree.nodes] for tree in trees])
        found = table[level["weights"]]
        if self.judges is not None and self.judges.name in levels:
            own = level["weights"] == 0
            for branch, drawn in pool.judges.items():
                found[np.ix_(own, children_at(self.tree, branch))] = drawn[levels[self.judges.name][own]]
        if NOISE in levels and pool.noise is not None:
            found = found * pool.noise[levels[NOISE]]
        codes = [n.code for n in self.tree.nodes]
        for k, code in enumerate(self.options["dropped"]):
            if code:
                found[level["dropped"] == k, codes.index(code)] = 0.0
        return np.asarray(found)


def _ends(option: tuple[Any, Any]) -> tuple[float, float] | None:
    """Ends of the scale of a normalisation, or its mean and standard deviation."""
    return option[1] or SCALES.get(option[0])


def _distinct(keys: Ints) -> tuple[Ints, Ints]:
    """Distinct rows, and the place of each row among them."""
    low = keys.min(axis=0)
    code = np.ravel_multi_index(tuple((keys - low).T), tuple(keys.max(axis=0) - low + 1))
    _, first, place = np.unique(code, return_index=True, return_inverse=True)
    return keys[first], place.astype(np.intp)
