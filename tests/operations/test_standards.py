from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.errors import OperationsError
from sqmodel.operations.compliance import Compliance, assess_standard
from sqmodel.operations.events import read_events
from sqmodel.operations.process import End, Hours, Process, load_process
from sqmodel.operations.standards import Rule, ServiceStandard, Urgent, load_standard
from sqmodel.operations.survival import kaplan_meier
from sqmodel.operations.working_time import working_calendar
from tests.operations.spans import FrameLog
from tests.oracles import shared

CHINA = working_calendar(Hours(), "Asia/Shanghai")
ANY_DAY = working_calendar(Hours(country="", weekend=(), hours=("00:00-24:00",)), "UTC")


def events(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """case, activity/lifecycle, local time in China."""
    table = pd.DataFrame(rows, columns=["case_id", "what", "at"])
    table[["activity", "lifecycle"]] = table["what"].str.split("/", expand=True)
    table["at"] = pd.to_datetime(table["at"] + "+08:00", utc=True)
    return table.drop(columns="what")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


SMALL = FrameLog(
    events(
        ("a", "review/schedule", "2026-03-02T10:00"), ("a", "review/complete", "2026-03-04T17:00"),  # 2 days: kept
        ("b", "review/schedule", "2026-03-02T10:00"), ("b", "review/complete", "2026-03-05T09:00"),  # 3: late
        ("c", "review/schedule", "2026-03-02T10:00"), ("c", "withdrawal/complete", "2026-03-03T09:00"),
        ("d", "review/schedule", "2026-03-02T10:00"), ("d", "withdrawal/complete", "2026-03-06T09:00"),  # after it
        ("e", "review/schedule", "2026-03-05T10:00"), ("f", "review/schedule", "2026-03-02T10:00"),
        ("g", "review/complete", "2026-03-01T10:00"), ("g", "review/schedule", "2026-03-02T10:00"),
        ("z", "other/complete", "2026-03-06T12:00"),
    ),
    ends=["withdrawal"],
    attributes=pd.DataFrame({"urgent": ["no", "yes", "no", "no", "No ", "no", "no", None]}, index=list("abcdefgz")),
)  # fmt: skip
TWO_DAYS = ServiceStandard(name="small", rules=(Rule(code="review", step="review", limit=2, share=0.5),))


def test_the_shipped_standard_fits_the_shipped_process() -> None:
    standard, process = load_standard("lending_standard"), load_process("lending_process")
    known = {s.code for s in process.steps} | {a for e in process.ends for a in e.activities}
    used = {n.partition("/")[0] for r in standard.rules for n in (r.step, r.begin, *r.finish) if n}
    assert used <= known
    assert {r.step for r in standard.rules if r.step and r.node} == {s.code for s in process.steps if s.node}
    assert standard.urgent is not None
    assert standard.urgent.attribute in process.attributes
    assert all(r.urgent is not None and r.urgent < r.limit for r in standard.rules)
    titles = [t for part in (standard.rules, standard.conduct, standard.training) for t in (p.title for p in part)]
    assert all(t is not None and t.zh and t.en for t in titles)
    assert standard.checklist("conduct")["points"].sum() == standard.checklist("training")["points"].sum() == 100
    assert standard.checklist("conduct", "en").loc["time_stated", "title"] == "The time limit of every step is stated"
    assert list(standard.checklist("training").columns) == ["title", "points", "share", "hours", "months"]


def test_each_case_stands_where_it_should() -> None:
    result = assess_standard(SMALL, TWO_DAYS, calendar=CHINA)
    row = result.rules.loc[0]
    counts = ["n", "met", "breached", "open", "ended", "backward"]
    assert row[counts].tolist() == [6, 1, 3, 1, 1, 1]
    assert result.as_of == "2026-03-06T12:00:00+08:00"
    table = result.breaches
    assert table[["case_id", "state", "took", "over"]].to_numpy().tolist() == [
        ["d", "ended", 4.0, 2.0], ["f", "open", 4.0, 2.0], ["b", "done late", 3.0, 1.0],
    ]  # fmt: skip
    open_case = result.at_risk.loc[0]
    assert open_case[["case_id", "age", "left", "due"]].tolist() == ["e", 1.0, 1.0, "2026-03-10T00:00:00+08:00"]
    assert open_case["probability"] + open_case["breach"] == pytest.approx(1)
    assert row["reason"] == "the median's upper bound is beyond what was seen; fewer than 10 cases"


def test_nothing_after_the_instant_looked_from_is_seen() -> None:
    result = assess_standard(SMALL, TWO_DAYS, calendar=CHINA, as_of="2026-03-04T12:00+08:00")
    assert result.rules.loc[0, ["n", "met", "breached", "open", "ended"]].tolist() == [5, 0, 0, 4, 1]
    assert set(result.at_risk["case_id"]) == {"a", "b", "d", "f"}
    assert result.at_risk["due"].unique().tolist() == ["2026-03-05T00:00:00+08:00"]


def test_a_case_open_on_its_last_day_may_still_make_it() -> None:
    log = FrameLog(
        events(
            *[(f"c{i}", "x/start", "2026-03-02T10:00") for i in range(12)],
            *[(f"c{i}", "x/complete", f"2026-03-0{d}T15:00") for i, d in enumerate([3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6])],
            ("q", "x/start", "2026-03-04T09:00"), ("q2", "y/complete", "2026-03-06T18:00"),
        )
    )  # fmt: skip
    standard = ServiceStandard(name="s", rules=(Rule(code="x", step="x", limit=2),))
    row = assess_standard(log, standard, calendar=CHINA).at_risk.set_index("case_id").loc["q"]
    # open on its second day: P(T <= 2 | T >= 2), of the nine others that came as far four are done on that day
    assert row["probability"] == pytest.approx(4 / 9)
    assert row["like"] == 9
    assert row["reason"] == "rests on fewer than 10 cases"


def test_bpi_2012_open_cases_count_and_cancellation_competes() -> None:
    table = pd.read_csv(shared("data", "bpic2012", "bpic2012_flat.csv.gz"))
    log = FrameLog(
        pd.DataFrame(
            {"case_id": table["case"].astype(str), "activity": table["act"], "lifecycle": table["lc"].str.lower(),
             "at": pd.to_datetime(table["time:timestamp"], utc=True, format="ISO8601")}
        ),
        ends=["A_APPROVED", "A_DECLINED", "A_CANCELLED"],
    )  # fmt: skip
    ends = tuple(log.ends)
    standard = ServiceStandard(
        name="bpi2012",
        rules=(
            Rule(code="decided", finish=ends, limit=15, unit="days", share=0.75),
            Rule(code="by_the_lender", finish=ends[:2], limit=15, unit="days", share=0.75),
        ),
    )
    known = json.loads(shared("oracles", "index_and_operations.json").read_text(encoding="utf-8"))["bpi2012"]
    dutch = working_calendar(Hours(country="NL"), "Europe/Amsterdam")
    result = assess_standard(log, standard, calendar=dutch)
    decided, own = result.rules.iloc[0], result.rules.iloc[1]
    assert decided["share"] == pytest.approx(known["decided_within_15d"]["KM"], abs=1e-5)
    assert decided["incidence"] == pytest.approx(decided["share"], abs=1e-9)
    assert decided["median"] == pytest.approx(known["KM_median_days_all"], abs=1e-6)
    assert decided["verdict"] == "not sure"  # 74.5 to 75.9 % against 75 %
    naive = decided["met"] / (decided["n"] - known["open_at_end"])
    assert naive == pytest.approx(known["decided_within_15d"]["naive_decided"], abs=1e-5)
    assert own["incidence"] < own["share"]
    assert own["verdict"] == "missed"


def simulated(seed: int, n: int = 400, cut: float = 60.0) -> tuple[FrameLog, pd.DataFrame]:
    """Urgent cases are twice as fast, and worth more; the larger the amount, the slower."""
    rng = np.random.default_rng(seed)
    urgent = rng.random(n) < 0.3
    amount = np.exp(rng.normal(0.5 * urgent, 0.5))
    begin = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.sort(rng.uniform(0, cut, n)), "D")
    took = rng.exponential(8 * amount**0.5 / np.where(urgent, 2, 1))
    end = begin + pd.to_timedelta(took, "D")
    names = [f"c{i}" for i in range(n)]
    rows = [pd.DataFrame({"case_id": names, "activity": "work", "lifecycle": word, "at": at})
            for word, at in (("start", begin), ("complete", end))]  # fmt: skip
    rows.append(pd.DataFrame({"case_id": [names[0]], "activity": "note", "lifecycle": "complete",
                              "at": [begin[0] + pd.Timedelta(days=300)]}))  # fmt: skip
    table = pd.DataFrame(
        {"urgent": np.where(urgent, "yes", "no"), "amount": amount, "bad": (rng.random(n) < 0.05).astype(int)},
        index=pd.Index(names, name="case_id"),
    )
    return FrameLog(pd.concat(rows), attributes=table), table


FASTER = ServiceStandard(
    name="s",
    rules=(Rule(code="work", step="work", limit=14, urgent=5, unit="days", share=0.8),),
    urgent=Urgent(attribute="urgent", margin=0.2),
)


def test_the_urgent_path_is_used_faster_and_not_riskier() -> None:
    log, table = simulated(4)
    result = assess_standard(
        log, FASTER, calendar=ANY_DAY, as_of="2026-03-02T00:00Z", risk="bad", covariates=["amount"]
    )
    assert result.rules["path"].tolist() == ["ordinary", "urgent"]
    assert result.rules["limit"].tolist() == [14, 5]
    assert result.rules["n"].sum() == len(table)
    assert (table["urgent"] == "yes").mean() == result.urgent_share.value  # type: ignore[union-attr]
    row = result.urgent.loc[0]
    assert row["verdict"] == "faster"
    assert row["adjusted_low"] < 2 < row["adjusted_high"]
    assert row["hazard_ratio"] < row["adjusted"]  # urgent cases are the larger ones
    assert row["median_urgent"] < row["median_ordinary"]
    assert result.risk.loc[0, "verdict"] == "not riskier"
    counted = table.groupby("urgent")["bad"].agg(["size", "sum"]).loc["yes"].tolist()
    assert result.risk.loc[0, ["n_urgent", "events_urgent"]].tolist() == counted


def test_without_a_path_or_an_outcome_there_is_nothing_to_compare() -> None:
    result = assess_standard(SMALL, TWO_DAYS, calendar=CHINA)
    assert (len(result.urgent), len(result.risk), result.urgent_share) == (0, 0, None)
    one_path = FrameLog(SMALL.events, SMALL.ends, SMALL.attributes.assign(urgent="no"))  # type: ignore[union-attr]
    standard = ServiceStandard(name="s", urgent=Urgent(attribute="urgent"),
                               rules=(Rule(code="review", step="review", limit=2, urgent=1),))  # fmt: skip
    result = assess_standard(one_path, standard, calendar=CHINA)
    assert result.rules["reason"].tolist()[1] == "no case has begun it"
    assert result.urgent.loc[0, "reason"] == "no case on one of the paths"
    assert result.settings["path_unknown"] == 0


def test_a_rule_holds_for_the_cases_it_applies_to() -> None:
    rule = Rule(code="review", step="review", limit=2, applies={"urgent": "NO"})  # type: ignore[dict-item]
    result = assess_standard(SMALL, ServiceStandard(name="s", rules=(rule,)), calendar=CHINA)
    assert result.rules.loc[0, "n"] == 5
    assert "b" not in set(result.breaches["case_id"])


def test_the_share_is_the_curve_at_the_limit() -> None:
    log, _ = simulated(7)
    as_of = pd.Timestamp("2026-03-02", tz="UTC")
    standard = ServiceStandard(name="s", rules=(Rule(code="work", step="work", limit=6, unit="days", share=0.5),))
    result = assess_standard(log, standard, calendar=ANY_DAY, as_of=as_of)
    spans = log.spans("work/start", "work/complete", as_of)
    time = (spans["finish"].fillna(as_of) - spans["begin"]).dt.total_seconds() / 86400
    curve = kaplan_meier(time, spans["finish"].notna())
    assert result.rules.loc[0, "share"] == pytest.approx(curve.reached(6).value, abs=1e-9)
    by_case = result.at_risk.set_index("case_id")
    for case, row in by_case.iterrows():
        expected = 1 - curve.survival(6).item() / curve.survival(row["age"]).item()
        assert row["probability"] == pytest.approx(expected, abs=1e-9), case
        assert row["low"] <= row["probability"] <= row["high"]
    assert by_case["probability"].is_monotonic_increasing
    assert len(by_case) == result.rules.loc[0, "open"]


def test_results_come_back_from_json() -> None:
    log, _ = simulated(1, n=60)
    result = assess_standard(log, FASTER, calendar=ANY_DAY, as_of="2026-03-02T00:00Z", risk="bad")
    back = Compliance.from_json(json.loads(json.dumps(result.to_json())))
    assert repr(back) == repr(result)
    for name, table in result.tables().items():
        pd.testing.assert_frame_equal(back.tables()[name], table, check_dtype=False, check_index_type=False)


def test_a_deadline_in_a_year_that_is_not_known_is_told_and_stops_nothing() -> None:
    log = FrameLog(events(("a", "x/start", "2026-12-30T10:00"), ("b", "y/start", "2026-12-31T10:00")))
    standard = ServiceStandard(name="s", rules=(Rule(code="x", step="x", limit=20),))
    row = assess_standard(log, standard, calendar=CHINA).at_risk.loc[0]
    assert (row["due"], row["reason"]) == (
        "",
        "no case was seen as long as the limit; due in a year whose holidays are not known; "
        "rests on fewer than 10 cases",
    )


def message(found: Any) -> str:
    return str(found.value)


def test_unknown_steps_and_attributes_name_the_nearest() -> None:
    standard = ServiceStandard(
        name="s",
        rules=(
            Rule(code="one", step="revew", limit=1),
            Rule(
                code="two", begin="paint/start", finish=("withdrawals/complete",), limit=1, applies={"colour": ("x",)}
            ),
        ),
    )
    with pytest.raises(OperationsError) as found:
        assess_standard(SMALL, standard, calendar=CHINA)
    assert message(found) == (
        "standard s: 4 problems\n"
        "  - rule one: expected a step of the log, found 'revew'; did you mean 'review'?\n"
        "  - rule two: expected a step of the log, found 'paint'; known are other, review, withdrawal\n"
        "  - rule two: expected a step of the log, found 'withdrawals'; did you mean 'withdrawal'?\n"
        "  - rule two: expected an attribute of the cases, found 'colour'; known are urgent\n"
        "  What to do: correct the standard, or the names in the process"
    )


def test_limits_of_zero_and_other_nonsense_are_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.yaml",
        "name: s\n"
        "rules:\n"
        "  - {code: a, step: x, limit: 0}\n"
        "  - {code: b, step: x, limit: -3, share: 90}\n"
        "  - {code: c, step: x, finish: y, limit: 1}\n"
        "  - {code: d, step: x, limit: 2.5}\n"
        "  - {code: e, step: x, limit: 2, unit: weeks, colour: red}\n"
        "training:\n"
        "  - {code: t, title: Course, hours: 0}\n",
    )
    with pytest.raises(OperationsError) as found:
        load_standard(path)
    assert message(found) == (
        f"{path}: 8 problems\n"
        "  - rules.0.limit: expected a limit above 0, found 0\n"
        "  - rules.1.limit: expected a limit above 0, found -3\n"
        "  - rules.1.share: expected a target share above 0 and at most 1, found 90\n"
        "  - rules.2: expected either a step, or a finish with its begin\n"
        "  - rules.3: expected whole working_days, found 2.5: use hours or working_hours\n"
        "  - rules.4.unit: Input should be 'hours', 'days', 'calendar_days', 'working_hours' or 'working_days', "
        "found 'weeks'\n"
        "  - rules.4.colour: unknown key\n"
        "  - training.0.hours: Input should be greater than 0, found 0\n"
        "  What to do: correct the standard file"
    )


def test_contradictions_between_rules(tmp_path: Path) -> None:
    rule = "{code: a, step: x, limit: 2, urgent: 1}"
    path = write(tmp_path / "s.yaml", f"name: s\nrules:\n  - {rule}\n  - {rule}\n")
    with pytest.raises(OperationsError) as found:
        load_standard(path)
    assert message(found) == (
        f"{path}: 2 problems\n"
        "  - expected every rule once, found 'a' 2 times\n"
        "  - expected an urgent path (the key urgent), found limits for it only: a, a\n"
        "  What to do: correct the standard file"
    )


def test_bad_outcomes_and_covariates() -> None:
    log, _ = simulated(1, n=30)
    with pytest.raises(OperationsError) as found:
        assess_standard(log, FASTER, calendar=ANY_DAY, risk="default")
    assert message(found) == (
        "risk: 1 problem\n  - expected an attribute of the cases (urgent, amount, bad), found 'default'"
    )
    with pytest.raises(OperationsError) as found:
        assess_standard(log, FASTER, calendar=ANY_DAY, risk=pd.Series({"c0": "maybe", "c1": "yes"}))
    assert message(found) == "risk: 1 problem\n  - expected 1, 0, yes, no or nothing, found maybe"
    with pytest.raises(OperationsError) as found:
        assess_standard(log, FASTER, calendar=ANY_DAY, covariates=["size"])
    assert message(found) == (
        "covariates: 1 problem\n  - expected attributes of the cases (urgent, amount, bad), found 'size'"
    )


def test_the_event_log_says_what_the_frame_says(tmp_path: Path) -> None:
    process = Process(name="small", ends=(End(code="withdrawn", activities=("withdrawal",), by="client"),),
                      attributes=("urgent",))  # fmt: skip
    table = SMALL.events.rename(columns={"at": "timestamp"}).assign(
        timestamp=lambda f: f["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        urgent=SMALL.events["case_id"].map(SMALL.attributes["urgent"]),  # type: ignore[index]
    )
    table.to_csv(tmp_path / "events.csv", index=False)
    with read_events(tmp_path / "events.csv", process=process) as log:
        for as_of in (None, "2026-03-04T12:00+08:00"):
            real = assess_standard(log, TWO_DAYS, calendar=CHINA, as_of=as_of)
            simple = assess_standard(SMALL, TWO_DAYS, calendar=CHINA, as_of=as_of)
            pd.testing.assert_frame_equal(real.rules, simple.rules)
            for name in ("breaches", "at_risk"):
                tables = (r.tables()[name].sort_values("case_id", ignore_index=True) for r in (real, simple))
                pd.testing.assert_frame_equal(*tables, check_dtype=False)
        with pytest.raises(OperationsError, match="rule r: expected a step of the log, found 'reviews'; did you mean"):
            assess_standard(
                log, ServiceStandard(name="s", rules=(Rule(code="r", step="reviews", limit=1),)), calendar=CHINA
            )
