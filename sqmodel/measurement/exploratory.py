"""Exploration: which dimensions do the answers themselves suggest, before any model is imposed?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.errors import ComputationError, ConvergenceWarning, HeywoodWarning, InputError
from sqmodel.numerics.correlation import Floats, pearson
from sqmodel.numerics.discrepancy import SMALLEST_UNIQUENESS, factor_fit
from sqmodel.numerics.factoring import Extraction, maximum_likelihood, minres, most_factors, principal_axis
from sqmodel.numerics.retention import Parallel, n_retained, parallel_eigenvalues, velicer_map
from sqmodel.numerics.rotation import Rotation, geomin, oblimin, promax, quartimin, sort_factors, varimax
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

EXTRACTIONS = {"minres": minres, "ml": maximum_likelihood, "pa": principal_axis}
ROTATIONS: dict[str, Callable[[Floats], Rotation]] = {
    **{f.__name__: f for f in (oblimin, quartimin, geomin, promax, varimax)},
    "none": lambda L: Rotation(L, np.eye(L.shape[1]), np.eye(L.shape[1]), float("nan"), True),
}
QUANTILE = 0.95
DECIDING = "parallel factors (normal)"
"""The method whose number is taken where none is given: psych's ``nfact``."""
SINGULAR = 1e-10
"""A smallest eigenvalue below this share of the mean means that items repeat each other."""


@dataclass(frozen=True, repr=False)
class Exploration(Result):
    """What the answers suggest about dimensions; frames unrounded.

    Attributes
    ----------
    n, dropped : int
        Complete rows used, and rows left out because an answer was missing.
    n_factors : int
        Factors extracted; `settings` echoes what was asked for.
    kmo_overall : float
        Kaiser-Meyer-Olkin sampling adequacy; `kmo` has it by item.
    bartlett : DataFrame
        One row: chisq, df, pvalue of the hypothesis that no items correlate.
    eigenvalues : DataFrame
        By number: observed components and factors, and mean and quantile of the simulated ones.
    map : DataFrame
        Velicer's mean squared partial correlation by number of components.
    suggestions : DataFrame
        By method: n_factors; margin_kept and margin_next, observed less criterion at the last factor kept and at
        the first one not kept (for MAP: what the last one gains, and what one more would); `margin`, the one nearer
        to zero: a small one means a borderline decision.
    disagreement : str
        Empty where all methods agree.
    loadings, factor_correlations, communalities, fit : DataFrame
        The rotated pattern, the factors' correlations, communality and uniqueness by item, one row of fit.
    heywood : tuple of str
        Items whose uniqueness reached its bound: with any, the solution is improper.
    """

    n: int
    dropped: int
    settings: Mapping[str, Any]
    n_factors: int
    kmo_overall: float
    kmo: pd.DataFrame
    bartlett: pd.DataFrame
    eigenvalues: pd.DataFrame
    map: pd.DataFrame
    suggestions: pd.DataFrame
    disagreement: str
    loadings: pd.DataFrame
    factor_correlations: pd.DataFrame
    communalities: pd.DataFrame
    fit: pd.DataFrame
    heywood: tuple[str, ...] = field(default=())
    converged: bool = True

    def _headline(self) -> str:
        rms, rmsea = float(self.fit["rms"].iloc[0]), float(self.fit["rmsea"].iloc[0])
        flags = (", Heywood" if self.heywood else "") + ("" if self.converged else ", not converged")
        return (
            f"{len(self.kmo)} items, {self.n_factors} factors, n={self.n}: KMO {self.kmo_overall:.3f}, "
            f"RMSR {rms:.3f}, RMSEA {rmsea:.3f}{flags}"
        )


def explore(
    data: Responses | pd.DataFrame,
    *,
    items: Sequence[str] | None = None,
    n_factors: int | None = None,
    structure: str = "dimensions",
    extraction: str = "minres",
    rotation: str = "oblimin",
    draws: int = 500,
    rng: np.random.Generator | int = 0,
) -> Exploration:
    """Which dimensions do the answers suggest, and how sure is their number?

    KMO (Kaiser 1974) and Bartlett's test (1950) come from factor_analyzer; parallel analysis, MAP,
    extraction and rotation follow psych 2.2.9. Sample weights are not used.

    Parameters
    ----------
    data : Responses or DataFrame
        Of a frame all columns are items. Rows with a missing answer are left out and counted.
    items : sequence of str, optional
        Items to keep; all by default.
    n_factors : int, optional
        By default what parallel analysis of the factors suggests with normal draws (psych's ``nfact``), at
        least 1 and at most what the items allow.
    structure : str
        For responses: the structure whose items are explored; its number of dimensions is listed among the
        suggestions as ``structure``.
    extraction, rotation : str
        ``minres``, ``ml`` or ``pa``; ``oblimin``, ``quartimin``, ``geomin``, ``promax``, ``varimax`` or ``none``.
    draws : int
        Random data sets of each kind for parallel analysis.
    rng : Generator or int

    Raises
    ------
    InputError
        An unknown name or item, or columns that are not numbers.
    ComputationError
        Fewer complete rows than items, constant items, items that repeat others, too many factors.

    Warns
    -----
    HeywoodWarning, ConvergenceWarning
        The solution is improper, or was not found; the result says so too.
    """
    frame, expected = _items(data, structure, items)
    _check_choices(frame, extraction, rotation, draws)
    complete = frame.dropna()
    x, names = complete.to_numpy(dtype=float), [str(c) for c in frame.columns]
    R = _correlations(x, names)
    parallel = parallel_eigenvalues(x, draws=draws, rng=rng)
    suggestions, partials = _suggest(parallel, velicer_map(R), expected)
    suggested = int(suggestions["n_factors"][DECIDING])
    k = min(max(suggested, 1), most_factors(len(names))) if n_factors is None else n_factors
    settings: dict[str, Any] = {
        "n_factors": n_factors,
        "structure": structure,
        "extraction": extraction,
        "rotation": rotation,
    }
    settings |= {"draws": draws, "rng": rng if isinstance(rng, int) else "generator"}
    settings |= {} if items is None else {"items": names}
    return Exploration(
        n=len(x), dropped=len(frame) - len(x), settings=settings, n_factors=k, **_adequacy(complete, names),
        eigenvalues=_eigenvalue_frame(parallel), map=partials, suggestions=suggestions,
        disagreement=_disagreement(suggestions), **_solution(R, names, k, extraction, rotation, len(x)),
    )  # fmt: skip


def _items(
    data: Responses | pd.DataFrame, structure: str, items: Sequence[str] | None
) -> tuple[pd.DataFrame, int | None]:
    """Ratings of the items to explore, and the number of dimensions that they are meant to have."""
    expected = None
    if not isinstance(data, Responses):
        frame = data
    else:
        grouped = [set(members) for members in data.instrument.structure(structure).values()]
        kept = set().union(*grouped) if items is None else set(items)
        frame = data.items[[c for c in data.instrument.item_codes if any(c in g for g in grouped)]]
        expected = sum(bool(g & kept) for g in grouped)
    unknown = [c for c in items or () if c not in frame.columns]
    if unknown:
        raise InputError("explore", [f"items: expected items of the answers, found {c!r}" for c in unknown])
    return (frame if items is None else frame[[c for c in frame.columns if c in set(items)]]), expected


def _check_choices(frame: pd.DataFrame, extraction: str, rotation: str, draws: int) -> None:
    problems = []
    for name, value, known in (("extraction", extraction, EXTRACTIONS), ("rotation", rotation, ROTATIONS)):
        if value not in known:
            problems.append(f"{name}: expected one of {', '.join(known)}, found {value!r}")
    if draws < 20:
        problems.append(f"draws: expected at least 20 for a quantile of {QUANTILE}, found {draws}")
    text = [str(c) for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
    if text:
        problems.append(f"data: expected columns of numbers, found other content in {_some(text)}")
    if problems:
        raise InputError("explore", problems, "correct the arguments")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _correlations(x: Floats, items: list[str]) -> Floats:
    if len(items) < 3:
        raise ComputationError(f"expected at least 3 items to explore, found {len(items)}; add items")
    if len(x) <= len(items):
        raise ComputationError(
            f"expected more complete rows than the {len(items)} items, found {len(x)}; "
            "collect more answers or leave out items that few answered"
        )
    constant = [c for c, spread in zip(items, np.ptp(x, axis=0), strict=True) if spread == 0]
    if constant:
        raise ComputationError(
            f"expected items with different answers, found the same answer throughout in {_some(constant)}; "
            "leave these items out"
        )
    R = pearson(x)
    values, vectors = np.linalg.eigh(R)
    if values[0] < SINGULAR:
        null = (vectors[:, values < SINGULAR] ** 2).sum(axis=1)
        culprits = [c for c, part in zip(items, null, strict=True) if part > 1e-6]
        raise ComputationError(
            f"expected items that are no sum of others, found a singular correlation matrix through "
            f"{_some(culprits)}; leave out items that repeat or add up others"
        )
    return R


def _adequacy(complete: pd.DataFrame, items: list[str]) -> dict[str, Any]:
    from factor_analyzer import calculate_bartlett_sphericity, calculate_kmo

    by_item, overall = calculate_kmo(complete.to_numpy(dtype=float))
    chisq, pvalue = calculate_bartlett_sphericity(complete.to_numpy(dtype=float))
    df = len(items) * (len(items) - 1) // 2
    bartlett = pd.DataFrame({"chisq": float(chisq), "df": df, "pvalue": float(pvalue)}, index=["bartlett"])
    kmo = pd.DataFrame({"kmo": by_item}, index=items)
    return {"kmo_overall": float(overall), "kmo": kmo, "bartlett": bartlett}


def _eigenvalue_frame(parallel: Parallel) -> pd.DataFrame:
    columns: dict[str, Floats] = {}
    for kind in ("components", "factors"):
        columns[kind] = getattr(parallel.observed, kind)
        for source in ("normal", "resampled"):
            drawn = getattr(getattr(parallel, source), kind)
            columns[f"{kind}_{source}_mean"] = drawn.mean(axis=0)
            columns[f"{kind}_{source}_quantile"] = np.quantile(drawn, QUANTILE, axis=0)
    index = pd.RangeIndex(1, len(parallel.observed.components) + 1, name="number")
    return pd.DataFrame(columns, index=index)


def _suggest(parallel: Parallel, partials: Floats, expected: int | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows: dict[str, tuple[int, float, float]] = {}
    for kind in ("components", "factors"):
        for source in ("normal", "resampled"):
            drawn = getattr(getattr(parallel, source), kind)
            number, margin = n_retained(getattr(parallel.observed, kind), drawn, QUANTILE)
            rows[f"parallel {kind} ({source})"] = (number, *_around(margin, number))
    number = int(partials.argmin()) + 1
    rows["MAP"] = (number, *_around(-np.diff(partials), number - 1))
    above = parallel.observed.components - 1
    number = int((above > 0).sum())
    rows["Kaiser"] = (number, *_around(above, number))
    if expected is not None:
        rows["structure"] = (expected, float("nan"), float("nan"))
    columns = ["n_factors", "margin_kept", "margin_next"]
    suggestions = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    kept, after = suggestions["margin_kept"], suggestions["margin_next"]
    suggestions["margin"] = kept.where(~(after.abs() < kept.abs().fillna(np.inf)), after)
    index = pd.RangeIndex(1, len(partials) + 1, name="number")
    return suggestions, pd.DataFrame({"mean_squared_partial": partials}, index=index)


def _around(margin: Floats, number: int) -> tuple[float, float]:
    kept = float(margin[number - 1]) if number else float("nan")
    after = float(margin[number]) if number < len(margin) else float("nan")
    return kept, after


def _disagreement(suggestions: pd.DataFrame) -> str:
    numbers = suggestions["n_factors"]
    low, high = numbers.min(), numbers.max()
    if low == high:
        return ""
    parts = [f"{k} by {', '.join(map(str, group.index))}" for k, group in numbers.groupby(numbers)]
    return f"The methods suggest {low} to {high} factors: " + "; ".join(parts)


def _solution(R: Floats, items: list[str], k: int, extraction: str, rotation: str, n: int) -> dict[str, Any]:
    """Extracted, rotated and ordered factors as labelled frames."""
    extracted: Extraction = EXTRACTIONS[extraction](R, k)
    rotated = ROTATIONS[rotation](extracted.loadings)
    ordered = sort_factors(rotated.loadings, rotated.phi)
    names = [f"F{j}" for j in range(1, k + 1)]
    h2 = (extracted.loadings**2).sum(axis=1)
    bounded = (extracted.uniquenesses <= SMALLEST_UNIQUENESS * (1 + 1e-9)) | (h2 >= 1)
    heywood = tuple(c for c, at in zip(items, bounded, strict=True) if at)
    converged = bool(extracted.converged) and rotated.converged
    _warn(heywood, converged, extraction, k)
    return {
        "loadings": pd.DataFrame(ordered.loadings, index=items, columns=names),
        "factor_correlations": pd.DataFrame(ordered.phi, index=names, columns=names),
        "communalities": pd.DataFrame({"communality": h2, "uniqueness": 1 - h2}, index=items),
        "fit": pd.DataFrame([factor_fit(R, ordered.loadings, ordered.phi, n=n)._asdict()], index=["fit"]),
        "heywood": heywood,
        "converged": converged,
    }


def _warn(heywood: tuple[str, ...], converged: bool, extraction: str, k: int) -> None:
    if heywood:
        warnings.warn(
            f"Heywood case: with {k} factors by {extraction} the uniqueness of {_some(list(heywood))} "
            "reached its bound; do not interpret this solution, ask for fewer factors",
            HeywoodWarning,
            stacklevel=4,
        )
    if not converged:
        warnings.warn(
            f"{k} factors by {extraction} did not converge; ask for fewer factors or another rotation",
            ConvergenceWarning,
            stacklevel=4,
        )
