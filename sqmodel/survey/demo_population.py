"""Two business lines with planted facts: what the demonstration study should find, and what it should not."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import ndtri

from sqmodel.errors import InputError
from sqmodel.survey.instrument import load_instrument
from sqmodel.survey.population import OutcomeModel, Population
from sqmodel.survey.truth import FloatArray

BusinessLine = Literal["project_finance", "corporate_lending"]
LINES: tuple[BusinessLine, ...] = ("project_finance", "corporate_lending")
QUARTERS = ("2025Q3", "2025Q4", "2026Q1", "2026Q2", "2026Q3")

# Shares of the answers 1..7 where nothing shifts them: most clients are content, few are delighted.
RATING = (0.012, 0.030, 0.070, 0.155, 0.298, 0.330, 0.105)
CSAT = (0.015, 0.030, 0.065, 0.130, 0.270, 0.345, 0.145)
EFFORT = (0.090, 0.220, 0.260, 0.200, 0.130, 0.070, 0.030)
NPS = (0.008, 0.006, 0.010, 0.013, 0.022, 0.050, 0.066, 0.175, 0.270, 0.205, 0.175)
TENFOLD = (0.008, 0.012, 0.025, 0.045, 0.080, 0.130, 0.220, 0.260, 0.150, 0.070)

# Code: loading on the dimension, how much easier than average it is to agree, spread of the answers.
ITEMS = {
    "exp1": (0.79, 0.10, 1.00), "exp2": (0.69, -0.15, 1.12), "exp3": (0.75, 0.02, 1.00),
    "exp4": (0.68, -0.22, 1.08), "exp5": (0.77, 0.12, 0.96), "exp6": (0.81, -0.05, 1.02),
    "exp7": (0.74, -0.10, 1.06),
    "eff1": (0.78, 0.00, 1.04), "eff2": (0.83, -0.06, 1.02), "eff3": (0.81, 0.05, 0.98),
    "eff4": (0.76, 0.04, 1.00), "eff5": (0.71, -0.08, 1.06), "eff6": (0.74, -0.10, 1.05),
    "eff7": (0.75, 0.12, 0.97),
    "rsk1": (0.79, 0.08, 0.98), "rsk2": (0.73, 0.18, 0.95), "rsk3": (0.78, -0.05, 1.02),
    "rsk4": (0.82, -0.02, 1.03), "rsk5": (0.80, 0.02, 1.00), "rsk6": (0.70, -0.20, 1.12),
    "com1": (0.85, 0.16, 0.94), "com2": (0.82, 0.08, 0.98), "com3": (0.79, -0.02, 1.00),
    "com4": (0.78, 0.05, 1.00), "com5": (0.74, -0.05, 1.04), "com6": (0.81, -0.02, 1.02),
}  # fmt: skip
GENERAL = {"EXP": 0.78, "EFF": 0.735, "RSK": 0.77, "COM": 0.755}
EXPECTATION = 0.80

# Efficiency drives every outcome most; effort is the one that falls when service improves.
SLOPES = {"EXP": 0.18, "EFF": 0.38, "RSK": 0.12, "COM": 0.16}
OUTCOMES = {
    "csat": (CSAT, 1.0, 0.6), "nps": (NPS, 0.9, 0.5), "effort": (EFFORT, -0.8, -0.3),
    "retention": (CSAT, 0.85, 0.5), "acsi_satisfaction": (TENFOLD, 1.0, 0.75),
    "acsi_expectancy": (TENFOLD, 0.95, 0.65), "acsi_ideal": (TENFOLD, 0.95, 0.65),
}  # fmt: skip

SHARES = {
    "institution": {"inst_a": 0.55, "inst_b": 0.45},
    "region": {"east": 0.32, "south": 0.20, "north": 0.20, "central": 0.15, "west": 0.13},
    "tenure": {"under_1": 0.16, "1_3": 0.28, "3_5": 0.26, "over_5": 0.30},
    "stage": {"applied": 0.20, "approved": 0.25, "declined": 0.11, "repaying": 0.44},
}
# Size shifts nothing: 1.5 % of about 400 clients is a group of six, too small to be shown.
LINE_SHARES = {
    "project_finance": {
        "size": {"large": 0.470, "medium": 0.345, "small": 0.170, "micro": 0.015},
        "sector": {
            "energy": 0.34, "infrastructure": 0.30, "manufacturing": 0.20, "trade": 0.05, "technology": 0.11,
        },
    },
    "corporate_lending": {
        "size": {"large": 0.150, "medium": 0.415, "small": 0.420, "micro": 0.015},
        "sector": {
            "energy": 0.08, "infrastructure": 0.10, "manufacturing": 0.38, "trade": 0.28, "technology": 0.16,
        },
    },
}  # fmt: skip
EFFECTS = {
    "institution": {"inst_a": {"EXP": 0.04, "EFF": 0.12, "COM": 0.04}, "inst_b": {"EFF": -0.12, "RSK": 0.04}},
    "stage": {
        "approved": {"EXP": 0.08, "EFF": 0.10, "RSK": 0.05, "COM": 0.06},
        "declined": {"EXP": -0.30, "EFF": -0.32, "RSK": -0.40, "COM": -0.22},
        "repaying": {"EXP": 0.05, "RSK": 0.06, "COM": 0.05},
    },
}
MEANS = {
    "project_finance": {"EXP": 0.02, "EFF": -0.40, "RSK": 0.00, "COM": 0.12},
    "corporate_lending": {"EXP": 0.05, "EFF": 0.02, "RSK": -0.06, "COM": 0.00},
}
# Reviews in project finance take longer than clients were told; the last quarter brings some relief.
HARDER = {"project_finance": {"eff1": -0.42, "eff2": -0.55}, "corporate_lending": {}}
RISE = {"project_finance": {"2026Q3": {"EFF": 0.34}}, "corporate_lending": {}}
IMPORTANCE = {
    "project_finance": {"EXP": 0.22, "EFF": 0.34, "RSK": 0.20, "COM": 0.24},
    "corporate_lending": {"EXP": 0.27, "EFF": 0.29, "RSK": 0.23, "COM": 0.21},
}
SIZES = {
    "project_finance": (388, 402, 395, 411, 407),
    "corporate_lending": (421, 409, 428, 416, 424),
}
CODES = {"project_finance": "PF", "corporate_lending": "CL"}
# Voice entry, the urgent path, complaints: some clients never needed them.
SELDOM = (("exp4",), ("eff5", "eff6"), ("rsk4", "rsk5"))

COMMENTS = {
    "EXP": (
        "同样的审计报告交了三遍，每个部门都要一份。",
        "拍照上传总把注册资本识别错，最后还是手工填的。",
        "希望能在手机上看到审批到了哪一步，现在只能打电话问。",
        "电子签章用不了，法人专程跑了一趟网点。",
        "We uploaded the licence twice and were still asked for a paper copy.",
    ),
    "EFF": (
        "说好十个工作日，等了将近一个月，项目进度受了影响。",
        "审批多久没有人能说清楚，我们没法安排资金。",
        "补件通知来得太晚，离到期只剩两天。",
        "加急申请交上去，看不出和普通流程有什么区别。",
        "Nobody could tell us when the credit committee would decide.",
        "The answer came a week after the equipment supplier's deadline.",
    ),
    "RSK": (
        "为什么要追加担保，一直没有讲明白。",
        "去年提的建议到现在没有任何回复。",
        "投诉电话打通了，但换了三个人，每次都要重讲。",
        "The covenants changed late in the process and we were not told why.",
    ),
    "COM": (
        "客户经理对我们行业不太熟，方案改了好几轮。",
        "新规出来以后，问了几个人说法都不一样。",
        "The proposal looked like a standard loan; our cash flow is seasonal.",
    ),
    "praise": (
        "客户经理很专业，方案设计得合理，省了我们不少事。",
        "这次比上次快多了，希望保持。",
        "整体满意，材料清单写得很清楚。",
        "放款准时，没有耽误我们付工程款。",
        "Professional team, clear about what they needed from us.",
        "Quick and helpful whenever we called.",
    ),
}


def demo_population(line: str) -> Population:
    """One of the two business lines of the demonstration study.

    Project finance: efficiency is weakest, its review times furthest below expectation, and better in 2026Q3.
    Corporate lending: nothing changes. In both, efficiency drives satisfaction most.

    Parameters
    ----------
    line : {"project_finance", "corporate_lending"}

    Returns
    -------
    Population

    Raises
    ------
    InputError
        There is no such business line.
    """
    if line not in LINES:
        raise InputError("demo_population", [f"expected one of {', '.join(LINES)}, found {line!r}"])
    harder, rise = HARDER[line], RISE[line]
    return Population(
        instrument=load_instrument("lending_service"),
        code=CODES[line],
        loadings={c: loading for c, (loading, _, _) in ITEMS.items()},
        thresholds={c: _cuts(RATING, s, e + harder.get(c, 0.0)) for c, (_, e, s) in ITEMS.items()},
        general=GENERAL,
        # Clients expect most where the item is easy anyway, and of review times in any case.
        expected={
            c: _cuts(RATING, 1.0, EXPECTATION + e / 2 - harder.get(c, 0.0) / 4) for c, (_, e, _) in ITEMS.items()
        },
        importance=IMPORTANCE[line],
        outcomes={c: _outcome(*settings) for c, settings in OUTCOMES.items()},
        shares={**SHARES, **LINE_SHARES[line]},
        effects=EFFECTS,
        quarters={q: {d: m + rise.get(q, {}).get(d, 0.0) for d, m in MEANS[line].items()} for q in QUARTERS},
        sizes=dict(zip(QUARTERS, SIZES[line], strict=True)),
        comments=COMMENTS,
        seldom=SELDOM,
    )


def _cuts(shares: tuple[float, ...], spread: float, easier: float) -> FloatArray:
    """Thresholds that give these shares of answers; more spread and higher answers where told."""
    cuts = ndtri(np.cumsum(shares)[:-1])
    centre = cuts.mean()
    return np.asarray(centre + (cuts - centre) / spread - easier, dtype=float)


def _outcome(shares: tuple[float, ...], strength: float, halo: float) -> OutcomeModel:
    slopes = {d: strength * s for d, s in SLOPES.items()}
    return OutcomeModel(thresholds=_cuts(shares, 1.0, 0.0), slopes=slopes, halo=halo)
