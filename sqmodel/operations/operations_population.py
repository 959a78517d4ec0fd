"""What the records of the demonstration study hold by design: the facts that every analysis of them should find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtri

from sqmodel.errors import InputError
from sqmodel.survey.demo_population import LINES

Array = npt.NDArray[np.float64]

ADVISERS = 60
ADVISER_SPREAD = 0.35
TRAINED = 45
ITEM_DIFFICULTY = np.linspace(-1.5, 1.5, 20)
DISCRIMINATION = 1.2
ABILITY = (0.3, 0.8)
COURSES = {"product_knowledge": TRAINED, "complaint_handling": 36, "anti_money_laundering": 57}
CHECKS = {
    "identity_checked": 0.95, "fees_explained": 0.78, "risks_disclosed": 0.82, "documents_listed": 0.88,
    "time_stated": 0.70, "data_protected": 0.92, "questions_answered": 0.85, "signature_witnessed": 0.94,
}  # fmt: skip
INSPECTORS = {"I1": 0.95, "I2": 0.92}


@dataclass(frozen=True)
class StepTime:
    """Waiting and working time of a step in working hours: medians, and the spread of the logarithm of the wait."""

    wait: float
    spread: float
    work: float = 0.0


@dataclass(frozen=True)
class Rule:
    """An early-warning rule: share of defaults it announces, share of sound loans it troubles, mean lead in days.

    A rule with `lead` 0 knows nothing: it speaks of sound and bad loans alike, at any time.
    """

    recall: float
    false: float
    lead: float


@dataclass(frozen=True)
class OperationsTruth:
    """Planted facts of one business line.

    Attributes
    ----------
    line : str
    steps : mapping step -> StepTime
        Waits are lognormal; those of urgent cases are included in the spread of `credit_approval`.
    bottleneck : str
        The step whose wait takes most of the lender's time.
    faster : mapping step -> factor
        On its waits in 2026Q3 (and for the cases still applied at the end of 2026Q2, who are decided then).
    wait_effect : tuple (step, dimension, r)
        Partial correlation of the logarithm of the step's wait with the dimension's score, the other dimensions held,
        within a quarter; the wait is unrelated to the other dimensions. r = 0: nothing drives anything.
    rework_effect : tuple (dimension, r)
        The same for the latent tendency behind documents asked for again.
    rework : tuple of float
        Shares of cases whose documents were asked for again, at least once and twice.
    urgent_share, urgent_factor : float
        Share of urgent cases, and the factor on the medians of their waits for qualification review and credit
        approval. Urgent cases default neither more nor less.
    channels : mapping channel -> (mean minutes of entry, mean errors of an entry)
    channel_shares : mapping channel -> (share in the first quarter, share in the last)
    causes : mapping cause -> complaints per case
    fell : tuple (cause, quarter, factor)
        The cause that fell, from which quarter on, and by what factor.
    complex_share, resolve_days, resolve_complex_days, resolve_spread
        Complaints: share that is complex, median calendar days until resolved, spread of their logarithm.
    default_probability : tuple of float
        Stated by the grades 1 to 7, within 12 months.
    optimism : float
        The true probability over the stated one: 1 is calibrated.
    rules : mapping rule -> Rule
    useless : str
        The rule that is independent of default.
    training_gain, untrained_gain : float
        In the logit of an answer to the adviser's test.
    complaints_rate : property
        Complaints per case before the fall.
    """

    line: str
    steps: Mapping[str, StepTime]
    bottleneck: str
    faster: Mapping[str, float]
    wait_effect: tuple[str, str, float]
    rework_effect: tuple[str, float]
    rework: tuple[float, float]
    urgent_share: float
    urgent_factor: float
    channels: Mapping[str, tuple[float, float]]
    channel_shares: Mapping[str, tuple[float, float]]
    causes: Mapping[str, float]
    fell: tuple[str, str, float]
    complex_share: float
    resolve_days: float
    resolve_complex_days: float
    resolve_spread: float
    default_probability: tuple[float, ...]
    grade_shares: tuple[float, ...]
    optimism: float
    rules: Mapping[str, Rule]
    useless: str
    training_gain: float
    untrained_gain: float
    amount: tuple[float, float]
    declined_at_review: float = 0.2
    null_step: str = "contract_signing"

    @property
    def adviser_effects(self) -> Array:
        """True effect of each adviser on COM, in standard deviations of its part that the other dimensions leave."""
        order = np.random.default_rng(7).permutation(ADVISERS)
        return np.asarray(ADVISER_SPREAD * ndtri((order + 0.5) / ADVISERS), dtype=float)

    @property
    def complaints_rate(self) -> float:
        """Complaints per case before the fall."""
        return sum(self.causes.values())

    def expected_score(self, gain: float) -> float:
        """Mean share of right answers in the advisers' test after a gain in logits."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(61)
        ability = ABILITY[0] + ABILITY[1] * nodes + gain
        right = expit(DISCRIMINATION * (ability[:, None] - ITEM_DIFFICULTY)).mean(axis=1)
        return float(weights @ right / weights.sum())

    @property
    def inspector_kappa(self) -> float:
        """Cohen's kappa of the two inspectors, all checks together."""
        true = np.array(list(CHECKS.values()))
        a, b = INSPECTORS.values()
        both = (true * a * b + (1 - true) * (1 - a) * (1 - b)).mean()
        neither = (true * (1 - a) * (1 - b) + (1 - true) * a * b).mean()
        first, second = ((true * r + (1 - true) * (1 - r)).mean() for r in (a, b))
        chance = first * second + (1 - first) * (1 - second)
        return float((both + neither - chance) / (1 - chance))


_CHANNELS = {"manual": (24.0, 0.30), "recognition": (9.0, 0.12), "voice": (15.0, 0.20)}
_MIX = {"manual": (0.70, 0.40), "recognition": (0.20, 0.45), "voice": (0.10, 0.15)}
_CAUSES = {
    "slow_approval": 0.026, "repeated_documents": 0.032, "unclear_fees": 0.012, "staff_manner": 0.010,
    "system_failure": 0.014,
}  # fmt: skip
_RULES = {
    "overdue_interest": Rule(0.60, 0.02, 35.0),
    "covenant_breach": Rule(0.45, 0.05, 90.0),
    "cash_flow_drop": Rule(0.55, 0.10, 120.0),
    "news_mention": Rule(0.12, 0.12, 0.0),
}


@lru_cache(maxsize=4)
def demo_truth(line: str) -> OperationsTruth:
    """The planted facts of a business line of the demonstration study.

    Parameters
    ----------
    line : {"project_finance", "corporate_lending"}

    Raises
    ------
    InputError
        There is no such business line.

    Examples
    --------
    >>> demo_truth("project_finance").bottleneck, demo_truth("project_finance").useless
    ('credit_approval', 'news_mention')
    """
    if line not in LINES:
        raise InputError("demo_truth", [f"expected one of {', '.join(LINES)}, found {line!r}"])
    project = line == "project_finance"
    return OperationsTruth(
        line=line,
        steps=_PROJECT_STEPS if project else _CORPORATE_STEPS,
        bottleneck="credit_approval" if project else "qualification_review",
        faster={"credit_approval": 0.6} if project else {},
        wait_effect=("credit_approval", "EFF", -0.40 if project else 0.0),
        rework_effect=("EXP", -0.30 if project else 0.0),
        rework=(0.30, 0.08) if project else (0.22, 0.05),
        urgent_share=0.18,
        urgent_factor=0.5,
        channels=_CHANNELS,
        channel_shares=_MIX,
        causes=_CAUSES,
        fell=("repeated_documents", "2026Q2", 0.3) if project else ("repeated_documents", "2026Q2", 1.0),
        complex_share=0.18,
        resolve_days=7.0,
        resolve_complex_days=20.0,
        resolve_spread=0.5,
        default_probability=(0.005, 0.010, 0.020, 0.040, 0.080, 0.160, 0.320),
        grade_shares=(0.06, 0.16, 0.26, 0.25, 0.15, 0.08, 0.04),
        optimism=1.0 if project else 1.5,
        rules=_RULES,
        useless="news_mention",
        training_gain=0.8,
        untrained_gain=0.1,
        amount=(12_000.0, 0.8) if project else (800.0, 0.7),
    )


_PROJECT_STEPS = {
    "documents": StepTime(24.0, 0.7),
    "qualification_review": StepTime(14.0, 0.6, 3.0),
    "credit_approval": StepTime(63.0, 0.6, 4.0),
    "contract_signing": StepTime(21.0, 0.7, 1.5),
    "disbursement": StepTime(10.0, 0.6, 0.7),
}
_CORPORATE_STEPS = {
    "documents": StepTime(10.0, 0.7),
    "qualification_review": StepTime(12.0, 0.6, 1.5),
    "credit_approval": StepTime(6.0, 0.6, 1.5),
    "contract_signing": StepTime(5.0, 0.7, 0.7),
    "disbursement": StepTime(3.0, 0.6, 0.4),
}
