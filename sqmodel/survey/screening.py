"""Screening: which respondents answered without reading?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ParamsError, ResponsesError
from sqmodel.result import Result
from sqmodel.survey.careless import even_odd, irv, longstring, mahalanobis
from sqmodel.survey.cells import allocated_names, rated_scales
from sqmodel.survey.responses import Responses

Array = npt.NDArray[np.float64]

SOURCES: Mapping[str, str] = {
    "longstring": "Curran (2016): the same answer to half of the items in a row, and to at least 10",
    "irv": "Dunn et al. (2018): the lowest tenth of the respondents",
    "mahalanobis": "Meade & Craig (2012); p below .001, Tabachnick & Fidell (2013)",
    "even_odd": "Jackson (1976), Curran (2016): consistency below .30; sign as R careless 1.2",
    "duplicate": "sqmodel: 10 answers or more, not all the same, identical in every rating; or same case",
    "share_missing": "sqmodel: more than half of the items, the rule of the dimension scores",
    "too_fast": "Huang et al. (2012): less than 2 seconds an item",
}
"""Flags in the order of the report, each with the source of its threshold."""

DEFAULT_EXCLUDE = ("longstring", "too_fast", "duplicate", "share_missing")


@dataclass(frozen=True, repr=False)
class Screening(Result):
    """Careless-response indices of every respondent, and who is left out for which reason.

    Attributes
    ----------
    n : int
        Respondents screened.
    settings : dict
        ``exclude``, ``thresholds`` and ``sources`` of the thresholds, by flag.
    indices : DataFrame, respondents x indices
        longstring (items), irv (points of the scale), mahalanobis (D squared), mahalanobis_p, even_odd (-1 to
        1, more is more careless), duplicate_of (number of the earlier respondent, from 0), share_missing (0
        to 1), seconds_per_item. NaN where the source has no duration, or too few answers.
    flags : DataFrame of bool, respondents x flags
    reasons : Series of str
        The excluding flags of each respondent, "" where kept.
    counts : DataFrame, flags x (n, share, threshold, excludes, source)
    excluded : Series of bool
    quarter : Series of str or None
        Quarter of each respondent, where the responses have it.
    """

    n: int
    settings: dict[str, Any]
    indices: pd.DataFrame
    flags: pd.DataFrame
    reasons: pd.Series[str]
    counts: pd.DataFrame
    excluded: pd.Series[bool]
    quarter: pd.Series[str] | None = None

    def share_excluded(self, quarter: str = "") -> float:
        """Share of the respondents left out, of one quarter or of all."""
        if not quarter or self.quarter is None:
            return float(self.excluded.mean())
        return float(self.excluded[(self.quarter == quarter).to_numpy()].mean())

    def _headline(self) -> str:
        out = int(self.excluded.sum())
        shares = [f"{flag} {n}" for flag, n in self.counts["n"].items() if n and flag in self.settings["exclude"]]
        return f"n={self.n}: {out} left out" + (f" ({', '.join(shares)})" if shares else "")

    def tables(self) -> dict[str, pd.DataFrame]:
        """The counts only: the other frames have a row for every respondent."""
        return {"counts": self.counts}

    def keep(self, responses: Responses) -> Responses:
        """The responses without those left out.

        Raises
        ------
        ResponsesError
            These are not the responses that were screened.
        """
        if list(self.excluded.index) != list(responses.frame["respondent"]):
            found = f"expected the {self.n} respondents that were screened, found {len(responses)} others"
            raise ResponsesError(responses.reading.source or "responses", [found], "screen these responses first")
        return responses.keep(~self.excluded.to_numpy(dtype=bool))


def screen(
    responses: Responses,
    *,
    exclude: Sequence[str] = DEFAULT_EXCLUDE,
    thresholds: Mapping[str, float] | None = None,
) -> Screening:
    """Which respondents answered without reading, and who should be left out?

    Flags are ``longstring`` (same answer in a row), ``irv`` (hardly any variation), ``mahalanobis`` (an
    unusual pattern), ``even_odd`` (halves of the dimensions disagree), ``duplicate``, ``share_missing`` and
    ``too_fast``. A flag alone proves nothing: a contented client may well give one answer throughout, and an
    honest unusual one is what Mahalanobis' distance finds. Hence only the flags in `exclude` leave anybody
    out.

    Parameters
    ----------
    responses : Responses
    exclude : sequence of str
        Flags that leave a respondent out.
    thresholds : mapping, optional
        Own thresholds by flag. Defaults: longstring max(10, half of the items), irv 0.10 (the lowest tenth),
        mahalanobis 0.001 (p), even_odd -0.30, duplicate 10 (answers), share_missing 0.5, too_fast 2
        (seconds).

    Returns
    -------
    Screening

    Raises
    ------
    ParamsError
        An unknown flag.

    References
    ----------
    Curran, P. G. (2016). Methods for the detection of carelessly invalid responses in survey data. Journal of
    Experimental Social Psychology, 66, 4-19. Huang, J. L. et al. (2012). Detecting and deterring insufficient
    effort responding to surveys. Journal of Business and Psychology, 27, 99-114.
    """
    _check_flags([*exclude, *(thresholds or {})])
    used = {**default_thresholds(len(responses.instrument.items)), **(thresholds or {})}
    indices = _indices(responses, used)
    flags = _flags(indices, used)
    reasons = pd.Series("", index=flags.index, dtype=object)
    for flag in (f for f in SOURCES if f in exclude):
        reasons = reasons.where(~flags[flag], reasons + ", " + flag)
    reasons = reasons.str.removeprefix(", ")
    counts = pd.DataFrame(
        {
            "n": flags.sum(),
            "share": flags.mean() if len(flags) else 0.0,
            "threshold": pd.Series(used, dtype=float),
            "excludes": [flag in exclude for flag in flags],
            "source": pd.Series({f: SOURCES[f] if f not in (thresholds or {}) else "given" for f in SOURCES}),
        }
    ).rename_axis("flag")
    settings = {"exclude": tuple(exclude), "thresholds": used, "sources": counts["source"].to_dict()}
    excluded = (reasons != "").astype(bool)
    quarter = responses.frame["quarter"].set_axis(flags.index) if "quarter" in responses.frame else None
    return Screening(len(responses), settings, indices, flags, reasons, counts, excluded, quarter)


def default_thresholds(items: int) -> dict[str, float]:
    """Thresholds by flag for a questionnaire with this many items."""
    return {
        "longstring": float(max(10, -(-items // 2))),
        "irv": 0.10,
        "mahalanobis": 0.001,
        "even_odd": -0.30,
        "duplicate": 10.0,
        "share_missing": 0.5,
        "too_fast": 2.0,
    }


def _check_flags(names: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(SOURCES))
    if unknown:
        found = f"expected flags among {', '.join(SOURCES)}, found {', '.join(unknown)}"
        raise ParamsError("screen", [found])


def _indices(responses: Responses, thresholds: Mapping[str, float]) -> pd.DataFrame:
    """All indices. Runs, variation and repetition use the answers as given, the others the turned ones."""
    given = responses.frame[responses.instrument.item_codes].to_numpy(dtype=float)
    turned = responses.items
    distance, p = mahalanobis(turned.to_numpy(dtype=float))
    halves = [turned[codes].to_numpy() for codes in responses.instrument.structure().values()]
    return pd.DataFrame(
        {
            "longstring": longstring(given).astype(float),
            "irv": irv(given),
            "mahalanobis": distance,
            "mahalanobis_p": p,
            "even_odd": even_odd(halves),
            "duplicate_of": _duplicate_of(responses, int(thresholds["duplicate"])),
            "share_missing": np.isnan(given).mean(axis=1),
            "seconds_per_item": _seconds_per_item(responses),
        },
        index=pd.Index(responses.frame["respondent"], name="respondent"),
    )


def _seconds_per_item(responses: Responses) -> Array:
    """Duration over the ratings answered; the other questions make the index lenient, never harsh."""
    if "duration" not in responses.frame:
        return np.full(len(responses), np.nan)
    answered = responses.frame[_ratings(responses)].notna().sum(axis=1)
    return (responses.frame["duration"].astype(float) / answered.where(answered > 0)).to_numpy()


def _ratings(responses: Responses) -> list[str]:
    return [name for name in rated_scales(responses.instrument) if name in responses.frame]


def _duplicate_of(responses: Responses, least: int) -> Array:
    """Number of the first respondent of the same quarter with the same answers or the same case, else NaN.

    Answers that are all the same do not count: many contented clients give the highest throughout, and a run
    is what `longstring` finds.
    """
    frame = responses.frame
    quarter = frame["quarter"].fillna("") if "quarter" in frame else pd.Series("", index=frame.index)
    items = frame[responses.instrument.item_codes].astype(float)
    names = [*_ratings(responses), *(n for n in allocated_names(responses.instrument) if n in frame)]
    telling = (items.notna().sum(axis=1) >= least) & (items.min(axis=1) < items.max(axis=1))
    # Missing answers compare as equal; minus infinity is no answer of any scale.
    keys = frame.loc[telling, names].astype(float).fillna(-np.inf).assign(quarter=quarter)
    first = _first_of(keys, len(frame))
    if "case_id" in frame:
        cases = pd.DataFrame({"case": frame["case_id"], "quarter": quarter}).dropna()
        same_case = _first_of(cases, len(frame))
        first = np.where(np.isnan(first), same_case, first)
    return first


def _first_of(keys: pd.DataFrame, n: int) -> Array:
    found = np.full(n, np.nan)
    if len(keys):
        numbers = pd.Series(keys.index.to_numpy(dtype=float), index=keys.index)
        earliest = numbers.groupby([keys[c] for c in keys], sort=False).transform("min")
        later = (earliest < numbers).to_numpy()
        found[keys.index.to_numpy()[later]] = earliest.to_numpy()[later]
    return found


def _flags(indices: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.DataFrame:
    variation = indices["irv"].dropna()
    lowest = float(np.quantile(variation, thresholds["irv"])) if len(variation) else np.nan
    flags = {
        "longstring": indices["longstring"] >= thresholds["longstring"],
        "irv": indices["irv"] <= lowest,
        "mahalanobis": indices["mahalanobis_p"] < thresholds["mahalanobis"],
        "even_odd": indices["even_odd"] > thresholds["even_odd"],
        "duplicate": indices["duplicate_of"].notna(),
        "share_missing": indices["share_missing"] > thresholds["share_missing"],
        "too_fast": indices["seconds_per_item"] < thresholds["too_fast"],
    }
    return pd.DataFrame(flags, index=indices.index)
