"""Complaints: the CFPB's facts, limits to the minute, open ones censored, stages in order, bad input in full."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import OperationsError
from sqmodel.operations.complaint_figures import cause_table, difference, rate_ratio, share
from sqmodel.operations.complaints import (
    ComplaintAssessment,
    ComplaintRules,
    Complaints,
    assess_complaints,
    complaint_rates,
    load_complaint_rules,
    read_complaints,
)
from sqmodel.operations.process import Hours
from sqmodel.operations.working_time import working_calendar
from tests.oracles import shared

CFPB = ComplaintRules(
    name="cfpb",
    columns={
        "received": "Date received",
        "first_response": "Date sent to company",
        "timely": "Timely response?",
        "disputed": "Consumer disputed?",
        "cause": "Issue",
        "channel": "Submitted via",
        "product": "Product",
    },
    form="%m/%d/%Y",
    time_zone="America/New_York",
    first_response_days=5,
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths, so that whole messages can be compared."""
    monkeypatch.chdir(tmp_path)


def records(*rows: dict[str, str]) -> Complaints:
    return read_complaints(pd.DataFrame(rows).fillna(""))


def assessed(*rows: dict[str, str], **options: Any) -> ComplaintAssessment:
    return assess_complaints(records(*rows), **{"draws": 20, **options})


def timely(found: ComplaintAssessment, stage: str = "resolved", scope: str = "all") -> Any:
    return found.timely.set_index(["stage", "scope"]).loc[(stage, scope)]


def test_the_facts_of_the_cfpb() -> None:
    path = shared("data", "cfpb_sample", "cfpb_2013_2016_sample.csv")
    known = json.loads(shared("data", "cfpb_sample", "reference.json").read_text(encoding="utf-8"))
    complaints = read_complaints(path, rules=CFPB, groups=("product",))
    found = assess_complaints(complaints, rules=CFPB, draws=50)
    assert found.n == known["rows"] == 3186
    assert found.facts.loc["exact_duplicates", "count"] == known["duplicates"] == 11
    assert found.facts.loc["duplicates_dropped", "count"] == 0
    assert found.facts.loc["first_response_before_received", "count"] == known["negative_lag"] == 6
    assert found.facts.loc["first_response_before_received", "rows"] == "126, 215, 225, 277, 278"
    assert found.order.loc["out of order", "count"] == 6
    assert (
        found.violations[["earlier", "later", "hours"]].to_numpy().tolist()
        == [["received", "first_response", -24.0]] * 6
    )
    assert found.handled.loc["timely", ["n", "count"]].tolist() == [3186, 3093]
    assert found.handled.loc["disputed", ["n", "count"]].tolist() == [3129, 595]
    assert found.timely["reason"].tolist() == ["", "no column resolved"]
    lag = pd.read_csv(path)[["Date received", "Date sent to company"]].apply(pd.to_datetime, format="%m/%d/%Y")
    days = (lag.iloc[:, 1] - lag.iloc[:, 0]).dt.days
    row = timely(found, "first_response")
    assert (row["n"], row["in_time"], row["late"], row["undecided"]) == (3180, days.between(0, 5).sum(),
                                                                        (days > 5).sum(), 0)  # fmt: skip
    products = found.groups[found.groups["group"] == "product"].set_index("value")["n"]
    early = pd.read_csv(path)[days >= 0]["Product"].value_counts()
    assert products.to_dict() == early.to_dict()
    quarters = found.rates["complaints"].drop("all")
    assert quarters[quarters > 0].to_dict() == known["received_by_quarter"]
    assert found.quarterly is not None
    assert found.quarterly.n == len(quarters)


def test_complaints_of_the_state_banks() -> None:
    oracle = json.loads(shared("oracles", "index_and_operations.json").read_text(encoding="utf-8"))
    published = oracle["cbirc_2020Q2_state_banks"]
    counts = pd.Series(published["complaints"])
    assert (counts.sum(), counts.median()) == (published["total"], published["median"])
    per = pd.Series(oracle["cbirc_2022Q1_per_1000_outlets"]).drop("median")
    # The outlets that the published rates imply, had the counts been those of 2020Q2.
    rates = complaint_rates(counts[per.index], 1000 * counts[per.index] / per)
    np.testing.assert_allclose(rates["rate"], per)
    assert round(rates["rate"].median(), 1) == oracle["cbirc_2022Q1_per_1000_outlets"]["median"]
    assert ((rates["low"] < rates["rate"]) & (rates["rate"] < rates["high"])).all()


def test_exact_poisson_bounds() -> None:
    """Garwood's table: of a count of 10, 4.795 to 18.390; of none, 0 to 3.689."""
    found = complaint_rates(pd.Series({"a": 10, "b": 0, "c": 3}), pd.Series({"a": 1000.0, "b": 1000.0}))
    assert found.loc["a", ["low", "high"]].tolist() == pytest.approx([4.7954, 18.3904], abs=1e-4)
    assert found.loc["b", ["low", "high"]].tolist() == pytest.approx([0, 3.6889], abs=1e-4)
    assert np.isnan(found.loc["c", "rate"])
    assert found["reason"].tolist() == ["", "", "no number of cases"]


def test_ratio_of_rates_agrees_with_statsmodels() -> None:
    from statsmodels.stats.rates import confint_poisson_2indep

    found = rate_ratio(20, 1000, 10, 900, 0.95)
    assert (found.low, found.high) == pytest.approx(confint_poisson_2indep(20, 1000, 10, 900, "score"), rel=1e-6)
    assert found.value == pytest.approx(1.8)
    turned = rate_ratio(10, 900, 20, 1000, 0.95)
    assert (1 / turned.high, 1 / turned.low) == pytest.approx((found.low, found.high))
    none, first = rate_ratio(0, 10, 7, 10, 0.95), rate_ratio(7, 10, 0, 10, 0.95)
    assert (none.value, none.low) == (0, 0)
    assert none.high < 1 < first.low
    assert np.isnan([first.value, first.high]).all()
    assert rate_ratio(0, 10, 0, 10, 0.95).method == "not defined"


def test_difference_of_shares_by_newcombe() -> None:
    """Newcombe (1998), table II, case (a), method 10: 56/70 against 48/80 gives .0524 to .3339."""
    found = difference(share(56, 70, 0.95), share(48, 80, 0.95))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_limits_hold_until_midnight_of_the_last_day() -> None:
    """Received on 1 July: the day does not count, 16 July is the fifteenth day and counts to its end."""
    day = {"received": "2026-07-01T23:30"}
    for at, inside in (("2026-07-16T23:59:59", 1), ("2026-07-17T00:00", 0), ("2026-07-01T23:45", 1)):
        row = timely(assessed({**day, "resolved": at}))
        assert (row["in_time"], row["late"], row["limit"]) == (inside, 1 - inside, 15)


def test_complex_and_extended_complaints_have_longer_limits() -> None:
    flags = {"simple": ("no", "no"), "complex": ("yes", "no"), "extended": ("yes", "yes"), "odd": ("", "yes")}
    days = {"simple": 15, "complex": 30, "extended": 60, "odd": 45}
    for kind, (hard, longer) in flags.items():
        for late in (0, 1):
            end = pd.Timestamp("2026-03-02") + pd.Timedelta(days=days[kind] + late)
            found = assessed({"received": "2026-03-02", "resolved": str(end), "complex": hard, "extended": longer})
            assert (timely(found)["late"], timely(found)["limit"]) == (late, days[kind])
            assert found.facts.loc["extended_not_complex", "count"] == (kind == "odd")


def test_working_days_need_a_calendar_that_knows_the_holidays() -> None:
    rules = ComplaintRules(resolve_days=2, complex_days=2, resolve_unit="working_days")
    # 1 May to 5 May 2026 are holidays, Saturday 9 May is worked.
    given = records(
        {"received": "2026-04-30T10:00", "resolved": "2026-05-07T17:00"},
        {"received": "2026-04-30T10:00", "resolved": "2026-05-08T09:00"},
        {"received": "2026-05-08T10:00", "resolved": "2026-05-11T20:00"},
    )
    calendar = working_calendar(Hours(), "Asia/Shanghai")
    row = timely(assess_complaints(given, rules=rules, calendar=calendar, draws=20))
    assert (row["in_time"], row["late"], row["unit"]) == (2, 1, "working_days")
    with pytest.raises(OperationsError) as caught:
        assess_complaints(given, rules=rules)
    assert str(caught.value) == (
        "complaints: 1 problem\n"
        "  - expected a calendar, for a limit is in working days, found none\n"
        "  What to do: pass calendar=working_calendar(...), or count in days"
    )


def test_rest_days_extend_a_limit_that_ends_on_one() -> None:
    """Fifteen days after 16 April 2026 is 1 May: a holiday until the 5th, so that the 6th is the last day."""
    ends = {"2026-05-01": 1, "2026-05-03": 1, "2026-05-06T23:59": 1, "2026-05-07T00:00": 0}
    calendar = working_calendar(Hours(), "Asia/Shanghai")
    rules = ComplaintRules(rest_days_extend=True)
    for end, inside in ends.items():
        given = records({"received": "2026-04-16T09:00", "resolved": end})
        assert timely(assess_complaints(given, rules=rules, calendar=calendar, draws=20))["in_time"] == inside
        assert timely(assess_complaints(given, draws=20))["in_time"] == (end == "2026-05-01")
    # A limit that ends on a working day is not extended by the rest days after it.
    given = records({"received": "2026-04-15T09:00", "resolved": "2026-05-01T09:00"})
    assert timely(assess_complaints(given, rules=rules, calendar=calendar, draws=20))["late"] == 1
    with pytest.raises(OperationsError, match="expected a calendar, for rest days extend a limit, found none"):
        assess_complaints(given, rules=rules)


def test_open_complaints_are_censored_not_dropped() -> None:
    rows = [{"received": "2026-06-01", "resolved": f"2026-06-{2 + i:02d}"} for i in range(20)]
    rows += [{"received": "2026-06-01", "resolved": ""}] * 5 + [{"received": "2026-06-20", "resolved": ""}] * 10
    found = assessed(*rows, as_of="2026-06-25")
    row = timely(found)
    assert (row["n"], row["in_time"], row["late"], row["undecided"]) == (35, 15, 10, 10)
    # Those open for five days tell that they took longer; after that only the others count.
    assert 15 / 35 < row["share"] < 15 / 25 + 0.1
    from sqmodel.operations.survival import kaplan_meier

    time = [float(i) for i in range(20)] + [23.0] * 5 + [4.0] * 10
    expected = kaplan_meier(time, [True] * 20 + [False] * 15).reached(14.0)
    assert (row["share"], row["low"], row["high"]) == pytest.approx((expected.value, expected.low, expected.high))
    assert row["method"] == "log-log"
    assert found.times.loc["resolved", "reached"] == 20


def test_nothing_is_known_before_it_happens() -> None:
    rows = [{"received": f"2026-06-{d:02d}", "resolved": f"2026-06-{d + 8:02d}"} for d in range(1, 21)]
    found = assessed(*rows, as_of="2026-06-15T12:00+08:00")
    assert found.n == 15
    assert found.facts.loc["received_after_as_of", "count"] == 5
    assert found.facts.loc["stage_after_as_of", "count"] == 8
    assert timely(found)["in_time"] == 7
    early = assessed(*rows[:3], as_of="2026-06-05")
    assert np.isnan(timely(early)["share"])
    assert timely(early)["reason"] == "nobody was observed until the limit"
    assert early.times.loc["resolved", "reason"] == "fewer than half have reached it"


def test_stages_out_of_order_and_skipped_are_listed() -> None:
    found = assessed(
        {"complaint_id": "A", "received": "2026-06-01T09:00", "first_response": "2026-06-02T09:00",
         "resolved": "2026-06-01T15:00", "closed": "2026-06-03T09:00"},
        {"complaint_id": "B", "received": "2026-06-01T09:00", "closed": "2026-06-05T10:00"},
        {"complaint_id": "C", "received": "2026-06-02T09:00", "first_response": "2026-06-02T08:00",
         "resolved": "2026-06-04T09:00", "closed": "2026-06-05T09:00"},
        {"complaint_id": "D", "received": "2026-06-02T09:00"},
    )  # fmt: skip
    columns = ["complaint_id", "kind", "earlier", "later"]
    assert found.violations[columns].to_numpy().tolist() == [
        ["A", "out of order", "first_response", "resolved"],
        ["B", "skipped", "first_response", "closed"],
        ["B", "skipped", "resolved", "closed"],
        ["C", "out of order", "received", "first_response"],
    ]
    assert found.violations["hours"].tolist()[0] == -18
    assert found.order["count"].to_dict() == {"out of order": 2, "skipped": 1, "any": 3}
    assert found.facts.loc["skipped_stage", ["count", "rows"]].tolist() == [1, "2"]
    # B was answered and resolved with its closing; C's answer has no time.
    assert timely(found, "first_response")["n"] == 3
    assert found.times.loc["resolved", ["n", "reached"]].tolist() == [4, 3]


def test_a_date_of_the_day_of_receipt_is_not_before_it() -> None:
    found = assessed({"received": "2026-06-01T09:00", "first_response": "2026-06-01", "resolved": "2026-06-04"})
    assert found.violations.empty
    assert timely(found, "first_response")["in_time"] == 1
    assert found.times.loc["first_response", "median"] == 0


def test_reopened_counts_among_those_resolved() -> None:
    rows = [
        {"received": "2026-06-01", "resolved": "2026-06-05", "reopened": "yes" if i < 3 else "no"} for i in range(12)
    ]
    found = assessed(*rows, {"received": "2026-06-06", "resolved": "", "reopened": "no"})
    assert found.handled.loc["reopened", ["n", "count", "share"]].tolist() == [12, 3, 0.25]


def test_duplicates_with_an_id_are_dropped_and_counted() -> None:
    row = {"complaint_id": "A", "received": "2026-06-01", "resolved": "2026-06-02"}
    found = assessed(row, {**row, "complaint_id": "B"}, row)
    assert found.n == 2
    assert found.facts["count"].iloc[:2].tolist() == [1, 1]
    without = {"received": "2026-06-01", "resolved": "2026-06-02"}
    assert assessed(without, without).facts["count"].iloc[:2].tolist() == [1, 0]


def test_cases_by_month_make_rates_quarters_and_changes() -> None:
    rng = np.random.default_rng(1)
    days = pd.date_range("2026-01-01", "2026-06-30")
    received = days.repeat(rng.poisson(np.where(days.month <= 3, 3.0, 1.0)))
    frame = pd.DataFrame({"received": received, "resolved": received + pd.Timedelta(days=6), "cause": "fees"}).astype(
        str
    )
    months = {f"2026-{m:02d}": 1000.0 for m in range(1, 7)}
    found = assess_complaints(read_complaints(frame), cases=months, as_of="2026-06-30T23:59", draws=50)
    before, now = (int((received.quarter == q).sum()) for q in (1, 2))
    assert found.rates["complaints"].to_dict() == {"all": before + now, "2026Q1": before, "2026Q2": now}
    assert found.rates["rate"].to_dict() == pytest.approx(
        {"all": (before + now) / 6, "2026Q1": before / 3, "2026Q2": now / 3}
    )
    assert (found.period, found.previous) == ("2026Q2", "2026Q1")
    row = found.changes.loc["complaints"]
    assert (row["change"], row["verdict"]) == (pytest.approx(now / before), "better")
    assert found.changes.loc["resolved in time", "verdict"] == "no clear change"
    assert found.monthly is not None
    assert found.monthly.points["size"].tolist() == [1000.0] * 6
    quarters = assess_complaints(read_complaints(frame), cases={"2026Q2": 2000}, as_of="2026-06-30T23:59", draws=50)
    assert quarters.rates.loc["all", ["complaints", "units"]].tolist() == [now, 2000]
    assert quarters.facts.loc["outside_cases", "count"] == before
    assert quarters.changes.loc["complaints", "reason"] == "no complaints or no cases"
    one = assess_complaints(read_complaints(frame), cases=9000, as_of="2026-06-30T23:59", draws=50)
    assert one.rates.loc["all", ["rate", "per", "unit"]].tolist() == [(before + now) / 9, 1000, "cases"]
    assert one.rates.loc["2026Q1", "unit"] == "days"


def test_a_month_without_complaints_is_a_point() -> None:
    found = assessed({"received": "2026-01-10", "resolved": "2026-01-12"}, {"received": "2026-04-10"})
    assert found.monthly is not None
    assert found.monthly.points["count"].tolist() == [1, 0, 0, 1]
    assert found.late_monthly is not None
    assert found.late_monthly.points["value"].isna().tolist() == [False, True, True, True]


def test_few_in_a_group_have_a_reason() -> None:
    rows = [{"received": "2026-06-01", "resolved": "2026-06-05", "channel": "web" if i else "post"} for i in range(12)]
    groups = assessed(*rows).groups.set_index("value")
    assert groups.loc["post", ["n", "reason"]].tolist() == [1, "fewer than 10 complaints"]
    assert np.isnan(groups.loc["post", "share"])
    assert groups.loc["web", ["n", "share", "reason"]].tolist() == [11, 1.0, ""]


def test_causes_hold_together_and_leave_ranks_open() -> None:
    table = cause_table(pd.Series(["fees"] * 60 + ["speed"] * 30 + ["tone"] * 10 + [None] * 5), 0.95)
    assert table["count"].to_dict() == {"fees": 60, "speed": 30, "tone": 10}
    assert table["cumulative"].tolist() == pytest.approx([0.6, 0.9, 1.0])
    assert table[["rank_low", "rank_high"]].to_numpy().tolist() == [[1, 1], [2, 2], [3, 3]]
    from statsmodels.stats.proportion import multinomial_proportions_confint

    goodman = multinomial_proportions_confint([60, 30, 10], alpha=0.05, method="goodman")
    np.testing.assert_allclose(table[["low", "high"]], goodman, atol=1e-12)
    close = cause_table(pd.Series(["a"] * 11 + ["b"] * 10), 0.95)
    assert close[["rank_low", "rank_high"]].to_numpy().tolist() == [[1, 2], [1, 2]]
    assert cause_table(pd.Series([], dtype=object), 0.95).empty


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(30)))
def test_order_of_records_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(3)
    received = pd.Timestamp("2026-04-01") + pd.to_timedelta(rng.integers(0, 90, 30), unit="D")
    resolved = received + pd.to_timedelta(rng.integers(0, 25, 30), unit="D")
    frame = pd.DataFrame({"received": received, "resolved": resolved,
                          "cause": rng.choice(["a", "b"], 30)}).astype(str)  # fmt: skip
    one, other = (assess_complaints(read_complaints(f), draws=20) for f in (frame, frame.iloc[order]))
    for name in ("timely", "times", "causes", "rates", "groups"):
        pd.testing.assert_frame_equal(one.tables()[name], other.tables()[name])


def test_an_assessment_survives_json() -> None:
    rows = [
        {"received": f"2026-0{1 + i % 6}-1{i % 9}", "resolved": "2026-06-25", "cause": "ab"[i % 2]} for i in range(60)
    ]
    found = assessed(*rows)
    again = ComplaintAssessment.from_json(json.loads(json.dumps(found.to_json())))
    for name, table in found.tables().items():
        pd.testing.assert_frame_equal(again.tables()[name], table, check_dtype=False, check_index_type=False)
    assert repr(again) == repr(found)
    assert repr(again.monthly) == repr(found.monthly)


def test_no_complaints_are_no_error() -> None:
    none = read_complaints(pd.DataFrame({"received": ["2026-07-01"], "resolved": [""], "cause": ["fees"]}))
    found = assess_complaints(none, as_of="2026-06-30T23:00", cases={"2026Q2": 4000.0}, draws=20)
    assert (found.n, found.facts.loc["received_after_as_of", "count"]) == (0, 1)
    assert found.rates.loc["2026Q2", ["complaints", "rate"]].tolist() == [0, 0]
    assert found.rates.loc["2026Q2", "high"] == pytest.approx(3.6889 / 4, abs=1e-4)
    assert timely(found)["reason"] == "no complaints"
    assert found.causes.empty


def refused(source: Any, **options: Any) -> str:
    with pytest.raises(OperationsError) as caught:
        assess_complaints(read_complaints(source), **options)
    return str(caught.value)


def test_all_unreadable_cells_in_one_message() -> None:
    rules = ComplaintRules(causes=("fees", "speed"))
    Path("c.csv").write_text(
        "complaint_id,received,resolved,reopened,cause\n"
        "A,2026-06-31,2026-07-01,no,fees\nB,,soon,perhaps,weather\nC,2026-06-01,2026-06-02,no,speed\n",
        encoding="utf-8",
    )
    with pytest.raises(OperationsError) as caught:
        read_complaints("c.csv", rules=rules)
    assert str(caught.value) == (
        "c.csv: 4 problems\n"
        "  - expected a date and time such as 2026-07-01T09:30+08:00: "
        "row 2, column received ('2026-06-31'), row 3, column resolved ('soon')\n"
        "  - expected a date and time such as 2026-07-01T09:30+08:00, found an empty cell: "
        "row 3, column received ('')\n"
        "  - expected yes or no: row 3, column reopened ('perhaps')\n"
        "  - expected one of fees, speed: row 3, column cause ('weather')\n"
        "  What to do: correct the complaints, or name their columns"
    )


def test_ids_that_repeat_with_other_content() -> None:
    frame = pd.DataFrame({"complaint_id": ["A", "B", "A"], "received": ["2026-06-01", "2026-06-02", "2026-06-03"]})
    assert refused(frame) == (
        "data frame: 1 problem\n"
        "  - expected complaint_id once, or the same in every cell, found 'A' in: record 1, record 3\n"
        "  What to do: give every complaint its own id, or keep its last record only"
    )


def test_columns_and_groups_that_are_not_there() -> None:
    frame = pd.DataFrame({"date": ["2026-06-01"]})
    assert refused(frame) == (
        "data frame: 1 problem\n  - expected a column 'received', found 'date'\n"
        "  What to do: correct the complaints, or name their columns"
    )
    with pytest.raises(OperationsError) as caught:
        read_complaints(frame, groups=["reopened"])
    assert str(caught.value) == "complaints: 1 problem\n  - expected groups that are texts, found: reopened"
    given = pd.DataFrame({"received": ["2026-06-01"], "channel": ["web"]})
    assert refused(given, groups=["branch"]) == (
        "complaints: 1 problem\n  - expected groups among channel, found: branch\n"
        "  What to do: read them with read_complaints(..., groups=...)"
    )


def test_options_that_cannot_be() -> None:
    frame = pd.DataFrame({"received": ["2026-06-01", "2026-06-20"]})
    assert refused(frame, as_of="tomorrow") == (
        "complaints: 1 problem\n  - expected as_of as a date or an instant, found 'tomorrow'"
    )
    assert refused(frame, period="2025Q1") == (
        "complaints: 1 problem\n  - expected a period among the quarters observed (2026Q2 to 2026Q2), found '2025Q1'"
    )
    assert refused(frame, begin="2026-06-10") == (
        "complaints: 1 problem\n"
        "  - expected begin before every complaint and as_of, found 2026-06-10 with 1 complaints before it\n"
        "  What to do: pass an earlier begin"
    )
    assert refused(frame, cases={"June": 10, "2026-06": 0}) == (
        "cases: 2 problems\n"
        "  - expected cases by month (2026-07) or quarter (2026Q3), found: June\n"
        "  - expected numbers of cases above 0, found: 2026-06: 0\n"
        "  What to do: give the cases served in each period, and leave out those without"
    )
    with pytest.raises(OperationsError) as caught:
        complaint_rates(pd.Series({"a": 1.5, "b": 2}), pd.Series({"a": 1.0, "b": -1.0}))
    assert str(caught.value) == (
        "complaint rates: 2 problems\n"
        "  - expected whole numbers of complaints, 0 or more, found others for: a\n"
        "  - expected units of 0 or more, found negative ones for: b\n"
        "  What to do: correct the counts or what they are counted in"
    )


def test_rules_that_contradict_themselves() -> None:
    Path("rules.yaml").write_text(
        "resolve_days: 0\ntime_zone: Mars/Olympus\nspeed: high\n", encoding="utf-8"
    )  # fmt: skip
    with pytest.raises(OperationsError) as caught:
        load_complaint_rules("rules.yaml")
    assert str(caught.value) == (
        "rules.yaml: 3 problems\n"
        "  - resolve_days: Input should be greater than 0, found 0\n"
        "  - time_zone: expected a time zone such as Asia/Shanghai, found 'Mars/Olympus'\n"
        "  - speed: unknown key\n"
        "  What to do: correct the complaint rule file"
    )
    Path("rules.yaml").write_text("resolve_days: 20\ncomplex_days: 10\n", encoding="utf-8")
    with pytest.raises(OperationsError, match=r"expected complex_days of at least resolve_days \(20\), found 10"):
        load_complaint_rules("rules.yaml")
    Path("rules.yaml").write_text("name: own\nresolve_days: 10\nfirst_response_days: null\n", encoding="utf-8")
    own = load_complaint_rules("rules.yaml")
    row = timely(assess_complaints(records({"received": "2026-06-01", "first_response": "2026-06-02"}), rules=own,
                                   draws=20), "first_response")  # fmt: skip
    assert row["reason"] == "the rules set no limit"
