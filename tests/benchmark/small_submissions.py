"""Small submissions from drawn answers, whose records are known to the tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sqmodel.benchmark.content import Context, Identity, ItemCounts, ItemMoments, Score, Submission

Answers = npt.NDArray[np.int64]
Structure = Mapping[str, Sequence[str]]


def structure_of(items: int, dimensions: int) -> dict[str, list[str]]:
    """Items q1, q2, ... dealt to dimensions D1, D2, ... in turn."""
    return {f"D{d + 1}": [f"q{i + 1}" for i in range(items) if i % dimensions == d] for d in range(dimensions)}


def draw(rng: np.random.Generator, n: int, items: int, categories: int, skew: float = 1.2) -> Answers:
    """Skewed, correlated answers 1, 2, ..., categories."""
    common = rng.standard_normal((n, 1))
    latent = skew + rng.uniform(-0.5, 0.5, items) + 0.7 * common + 0.7 * rng.standard_normal((n, items))
    cuts = np.linspace(-1.5, 1.5, categories - 1)
    return 1 + (latent[:, :, None] > cuts).sum(axis=2)


def submission_of(
    answers: Answers, structure: Structure, categories: int, *, quarter: str = "2026Q3", revision: int = 0,
    extra: npt.NDArray[np.float64] | None = None, context: Sequence[Context] = (),
) -> Submission:  # fmt: skip
    """What a quarter with these complete answers, and `extra` scores of respondents with some missing, would send."""
    items = [f"q{k + 1}" for k in range(answers.shape[1])]
    k = np.arange(1, categories + 1)
    counts = tuple(
        ItemCounts(item, tuple(k.tolist()), tuple(np.bincount(a, minlength=categories + 1)[1:].tolist()))
        for item, a in zip(items, answers.T, strict=True)
    )
    x = answers.astype(float)
    moments = ItemMoments(tuple(items), len(x), x.mean(axis=0), np.cov(x.T, bias=True).reshape(len(items), len(items)))
    own = np.column_stack([(x[:, [items.index(i) for i in part]].mean(axis=1) - 1) / (categories - 1) * 100
                           for part in structure.values()])  # fmt: skip
    if extra is not None:
        own = np.vstack([own, extra])
    n = len(own)
    cov = np.atleast_2d(np.cov(own.T)) / n
    overall = own.mean(axis=1)
    scores = [Score("overall", n, float(overall.mean()), float(overall.std(ddof=1) / math.sqrt(n)))]
    scores += [Score(d, n, float(m), float(math.sqrt(v)))
               for d, m, v in zip(structure, own.mean(axis=0), np.diag(cov), strict=True)]  # fmt: skip
    return Submission("A", quarter, revision, Identity("small", "1", "0" * 64), None, True, n, counts, moments,
                      tuple(scores), cov, context=tuple(context))  # fmt: skip


def hide(submission: Submission, cells: Mapping[str, Sequence[int]]) -> Submission:
    """The same with counts at some places withheld, and nothing else."""
    counts = tuple(c._replace(counts=tuple(None if k in cells.get(c.item, ()) else v for k, v in enumerate(c.counts)))
                   for c in submission.counts)  # fmt: skip
    return replace(submission, counts=counts)


def with_counts(*counts: Sequence[int], rng: int = 0) -> Answers:
    """Answers with these counts, otherwise in any order."""
    generator = np.random.default_rng(rng)
    return np.column_stack([generator.permutation(np.repeat(range(1, len(c) + 1), c)) for c in counts])


def told(submission: Submission) -> dict[str, tuple[int | None, ...]]:
    return {c.item: c.counts for c in submission.counts}


def bare(**fields: Any) -> Submission:
    sent = submission_of(with_counts([20, 20, 20]), structure_of(1, 1), 3)
    return replace(sent, counts=(), moments=None, **fields)
