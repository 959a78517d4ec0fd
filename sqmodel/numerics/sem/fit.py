"""Fit statistics from a test of the model and one of its baseline, by lavaan's definitions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

NAN = float("nan")


class Test(NamedTuple):
    """A chi-square statistic.

    Attributes
    ----------
    chisq : float
    df : int
    scaled : float
        Corrected for non-normality; NaN where there is no correction.
    factor : float
        `chisq` (or, scaled and shifted, `chisq` - shift') is divided by this.
    shift : float
        Added after the division (Asparouhov & Muthen 2010); 0 elsewhere.
    trace : float
        tr(U Gamma).
    """

    chisq: float
    df: int
    scaled: float = NAN
    factor: float = NAN
    shift: float = 0.0
    trace: float = NAN

    @property
    def c_hat(self) -> float:
        """The expected value of `chisq` / df under the model."""
        return self.factor * (self.df - self.shift) / self.df if self.df else NAN


class Robust(NamedTuple):
    """What the robust indices of ordered or incomplete data rest on instead: the statistic and its expected value."""

    chisq: float
    c_hat: float
    null_chisq: float
    null_c_hat: float


def mean_adjusted(chisq: float, df: int, trace: float) -> Test:
    """Divided by tr(U Gamma) / df (Satorra & Bentler 1994; Yuan & Bentler 2000)."""
    if df == 0:
        return Test(chisq, df)
    factor = trace / df
    return Test(chisq, df, chisq / factor, factor, 0.0, trace)


def scaled_shifted(chisq: float, df: int, first: float, second: float) -> Test:
    """With mean and variance of a chi-square of df degrees (Asparouhov & Muthen 2010)."""
    if df == 0:
        return Test(chisq, df)
    slope = np.sqrt(df / second)
    shift = df - slope * first
    return Test(chisq, df, float(slope * chisq + shift), float(1 / slope), float(shift), first)


def indices(
    model: Test, null: Test, n: float, groups: int, *, robust: Robust | None = None, level: float = 0.90
) -> dict[str, float]:
    """CFI, TLI and RMSEA: naive, scaled and robust.

    Robust ones by Brosseau-Liard & Savalei (2014) and Savalei (2018), for ordered answers by Savalei (2021), for
    incomplete ones by Zhang & Savalei (2023).

    Parameters
    ----------
    model, null : Test
    n : float
        Respondents of all groups.
    groups : int
        RMSEA is multiplied by its root (Steiger 1998).
    robust : Robust, optional
        For ordered or incomplete answers.
    level : float
        Confidence level of the RMSEA interval.
    """
    out = {"chisq": model.chisq, "df": float(model.df), "pvalue": pvalue(model.chisq, model.df)}
    out |= {"baseline.chisq": null.chisq, "baseline.df": float(null.df)}
    out |= {
        "cfi": cfi(model.chisq, model.df, null.chisq, null.df),
        "tli": tli(model.chisq, model.df, null.chisq, null.df),
    }
    out |= _rmsea("", model.chisq, model.chisq, model.df, n, groups, level)
    scaled = np.isfinite(model.scaled)
    if scaled:
        out |= {"chisq.scaled": model.scaled, "df.scaled": float(model.df), "chisq.scaling.factor": model.factor}
        out |= {"pvalue.scaled": pvalue(model.scaled, model.df), "chisq.shift": model.shift}
        out |= {"baseline.chisq.scaled": null.scaled, "baseline.df.scaled": float(null.df)}
        out |= {"baseline.chisq.scaling.factor": null.factor}
        out["cfi.scaled"] = cfi(model.scaled, model.df, null.scaled, null.df)
        out["tli.scaled"] = tli(model.scaled, model.df, null.scaled, null.df)
        shifted = model.shift != 0
        statistic, degrees = (model.scaled, float(model.df)) if shifted else (model.chisq, model.trace)
        out |= _rmsea(".scaled", statistic, statistic, degrees, n, groups, level)
    base = robust
    if base is None and scaled:
        base = Robust(model.chisq, model.c_hat, null.chisq, null.c_hat)
    if base is not None:
        out |= _robust(base, model.df, null.df, n, groups, level)
    return out


def _robust(base: Robust, df: int, null_df: int, n: float, groups: int, level: float) -> dict[str, float]:
    excess, null_excess = base.chisq - base.c_hat * df, base.null_chisq - base.null_c_hat * null_df
    out = {"cfi.robust": _cfi(excess, null_excess)}
    out["tli.robust"] = 1 - (excess * null_df) / (null_excess * df) if df and null_excess else 1.0
    scaled = base.chisq / base.c_hat if base.c_hat else NAN
    return out | _rmsea(".robust", base.chisq, scaled, df, n, groups, level, base.c_hat)


def pvalue(chisq: float, df: int) -> float:
    """Upper tail; NaN without degrees of freedom."""
    return float(stats.chi2.sf(chisq, df)) if df else NAN


def cfi(chisq: float, df: float, null_chisq: float, null_df: float) -> float:
    """Bentler's (1990) comparative fit index."""
    return _cfi(chisq - df, null_chisq - null_df)


def _cfi(excess: float, null_excess: float) -> float:
    top, bottom = max(excess, 0.0), max(excess, null_excess, 0.0)
    return 1.0 - top / bottom if bottom else 1.0


def tli(chisq: float, df: float, null_chisq: float, null_df: float) -> float:
    """Tucker & Lewis' (1973) index."""
    bottom = (null_chisq - null_df) * df
    return 1.0 - (chisq - df) * null_df / bottom if df and bottom else 1.0


def _rmsea(
    suffix: str, chisq: float, tested: float, df: float, n: float, groups: int, level: float, c_hat: float = 1.0
) -> dict[str, float]:
    """Point from `chisq`, interval and test of close fit from `tested` (the same but for robust indices)."""
    names = ("rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue")
    if df <= 0:
        values = (0.0, 0.0, 0.0, NAN)
    else:
        unit = groups * c_hat / (n * df)
        point = np.sqrt(max(chisq / (n * df) - c_hat / n, 0.0) * groups)
        centre = 0.05**2 / unit
        values = (
            float(point), float(np.sqrt(unit * noncentrality(tested, df, (1 + level) / 2))),
            float(np.sqrt(unit * noncentrality(tested, df, (1 - level) / 2))),
            _at_least(tested, df, centre),
        )  # fmt: skip
    return {name + suffix: value for name, value in zip(names, values, strict=True)}


def noncentrality(chisq: float, df: float, probability: float) -> float:
    """For which noncentrality is `chisq` the quantile of this probability? 0 where none is."""
    if not np.isfinite(chisq) or stats.chi2.cdf(chisq, df) <= probability:
        return 0.0
    high = max(chisq, 1.0)
    while stats.ncx2.cdf(chisq, df, high) > probability:
        high *= 2
    return float(optimize.brentq(lambda c: stats.ncx2.cdf(chisq, df, c) - probability, 0, high, xtol=1e-9))


def _at_least(chisq: float, df: float, centre: float) -> float:
    """Upper tail of the noncentral chi-square; scipy overflows at moments that fit exactly, where it is 1."""
    return 1.0 if chisq <= 1e-8 and centre > 100 else float(stats.ncx2.sf(chisq, df, centre))
