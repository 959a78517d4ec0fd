"""The operations of the demonstration study: they agree with the answers, and the planted facts are in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.errors import InputError, OperationsError
from sqmodel.operations.demo_operations import own_parts, quarter_end, workdays
from sqmodel.operations.process import load_process
from sqmodel.operations.simulate import DEMO_TRUTH, OperationsTruth, demo_operations, demo_truth
from sqmodel.survey.demo_population import LINES
from sqmodel.survey.instrument import load_instrument
from sqmodel.survey.readers import read_responses
from sqmodel.survey.simulate import demo_study

Tables = dict[str, pd.DataFrame]
NAMES = ["events", "complaints", "exposures", "alerts", "advisers", "tests", "training", "inspections"]
END = pd.Timestamp("2026-09-30T17:30+08:00")
Z = 4.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("operations")
    demo_study(path)
    demo_operations(path)
    return path


@pytest.fixture(scope="module", params=LINES)
def line(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def truth(line: str) -> OperationsTruth:
    return DEMO_TRUTH[line]


@pytest.fixture(scope="module")
def tables(folder: Path, line: str) -> Tables:
    return {name: pd.read_csv(folder / f"{line}.{name}.csv") for name in NAMES}


@pytest.fixture(scope="module")
def events(tables: Tables) -> pd.DataFrame:
    frame = tables["events"]
    return frame.assign(at=pd.to_datetime(frame["timestamp"]), quarter=frame["case_id"].str[3:9])


@pytest.fixture(scope="module")
def answers(folder: Path, line: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{line}.csv")


def working_hours(begin: pd.Series, end: pd.Series) -> np.ndarray:
    """Working hours between two columns of instants, counted on the days of the study's calendar."""

    def position(column: pd.Series) -> np.ndarray:
        local = column.dt.tz_localize(None)
        clock = (local - local.dt.normalize()).dt.total_seconds().to_numpy() / 3600
        day = np.searchsorted(workdays(), local.dt.normalize().to_numpy().astype("datetime64[D]"))
        return np.asarray(7 * day + np.clip(clock - 9, 0, 3) + np.clip(clock - 13.5, 0, 4))

    return np.asarray(position(end) - position(begin))


def waits(events: pd.DataFrame, step: str) -> pd.DataFrame:
    """Working hours waited for the first execution of a step, by case."""
    own = events[events["activity"] == step]
    first = own.pivot_table(index="case_id", columns="lifecycle", values="at", aggfunc="min").dropna()
    first["hours"] = working_hours(first["schedule"], first["start"])
    return first.assign(quarter=first.index.str[3:9])


def binomial(hits: float, n: int, share: float) -> float:
    """Distance of a share from its truth, in standard errors."""
    return abs(hits / n - share) / float(np.sqrt(share * (1 - share) / n))


def test_same_seed_same_bytes_and_the_answers_are_not_touched(tmp_path: Path) -> None:
    before = {p.name: p.read_bytes() for p in demo_study(tmp_path)}
    first = {p.name: p.read_bytes() for p in demo_operations(tmp_path)}
    assert first == {p.name: p.read_bytes() for p in demo_operations(tmp_path)}
    assert first != {p.name: p.read_bytes() for p in demo_operations(tmp_path, rng=1)}
    assert sorted(first) == sorted(f"{line}.{name}.csv" for line in LINES for name in NAMES)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}
    assert sum(map(len, first.values())) < 6_500_000


def test_without_answers_there_are_no_operations(tmp_path: Path) -> None:
    with pytest.raises(OperationsError) as caught:
        demo_operations(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: 1 problem\n"
        "  - expected the answers of the demonstration study, found no file: project_finance.csv, "
        "corporate_lending.csv\n"
        "  What to do: write them with demo_study(directory) first"
    )


def test_other_lines_have_no_truth() -> None:
    with pytest.raises(InputError) as caught:
        demo_truth("leasing")
    assert str(caught.value) == (
        "demo_truth: 1 problem\n  - expected one of project_finance, corporate_lending, found 'leasing'"
    )


def test_calendar_is_that_of_the_state_council() -> None:
    calendar = pytest.importorskip("chinese_calendar")
    days = pd.date_range("2025-01-01", "2026-12-31")
    expected = [d for d in days if calendar.is_workday(d.date())]
    assert list(pd.DatetimeIndex(workdays())) == expected


def test_quarters_end_with_their_last_working_day() -> None:
    assert quarter_end("2025Q1") == 7 * (np.array(workdays()) <= np.datetime64("2025-03-31")).sum()


def test_events_lie_in_working_hours_and_before_the_end(events: pd.DataFrame) -> None:
    assert events["at"].max() <= END
    local = events["at"].dt.tz_localize(None)
    assert np.isin(local.dt.normalize().to_numpy().astype("datetime64[D]"), workdays()).all()
    hour = local.dt.hour + local.dt.minute / 60
    assert (((hour >= 9) & (hour < 12)) | ((hour >= 13.5) & (hour < 17.5))).all()
    assert events.groupby("case_id")["at"].is_monotonic_increasing.all()


def test_activities_are_those_of_the_process(events: pd.DataFrame) -> None:
    process = load_process("lending_process")
    known = {s.code for s in process.steps} | {a for e in process.ends for a in e.activities}
    assert set(events["activity"]) <= known
    assert set(events["lifecycle"]) == {"schedule", "start", "complete"}
    first = events.drop_duplicates("case_id")
    assert (first["activity"] == process.origin).all()
    assert set(first["urgent"]) == {"yes", "no"}
    assert (first["amount"] > 0).all()
    assert events.loc[events["activity"].isin(["application", "documents"]), "entry_minutes"].notna().any()


def test_course_agrees_with_the_stage_that_the_client_stated(events: pd.DataFrame, answers: pd.DataFrame) -> None:
    assert set(answers["case_id"]) < set(events["case_id"])
    ends = events["quarter"].map(lambda q: pd.Period(q, freq="Q").end_time.tz_localize("Asia/Shanghai"))
    done = events[(events["at"] <= ends) & (events["lifecycle"] == "complete")]
    by_case = done.groupby("case_id")["activity"].agg(set)
    stage = answers.set_index("case_id")["stage"]
    had = {a: by_case.map(lambda s, a=a: a in s).reindex(stage.index, fill_value=False) for a in set(done["activity"])}
    over = had["rejection"] | had["withdrawal"] | had["expiry"]
    assert had["rejection"][stage == "declined"].all()
    assert had["repayment_service"][stage == "repaying"].all()
    assert had["disbursement"][stage == "repaying"].all()
    assert had["credit_approval"][stage == "approved"].all()
    assert not (over & (stage != "declined")).any()
    assert not (had["repayment_service"] & (stage != "repaying")).any()
    assert not (had["credit_approval"] & (stage == "applied")).any()


def test_some_cases_are_open_at_the_end(events: pd.DataFrame) -> None:
    ends = {a for e in load_process("lending_process").ends for a in e.activities}
    over = events[events["activity"].isin(ends) & (events["lifecycle"] == "complete")]["case_id"]
    still = set(events["case_id"]) - set(over)
    assert 80 < len(still) < 250
    assert {c[3:9] for c in still} == {"2026Q3"}


def test_the_bottleneck_is_the_planted_step(events: pd.DataFrame, truth: OperationsTruth) -> None:
    total = {s: waits(events, s)["hours"].sum() for s in truth.steps if s != "documents"}
    assert max(total, key=lambda s: total[s]) == truth.bottleneck


def test_waits_have_the_planted_medians(events: pd.DataFrame, truth: OperationsTruth) -> None:
    for step in ("contract_signing", "disbursement", "credit_approval"):
        frame = waits(events, step)
        early = frame[frame["quarter"] < "2026Q2"]["hours"]
        log = np.log(early.clip(lower=0.05))
        assert abs(log.mean() - np.log(truth.steps[step].wait)) < Z * log.std() / np.sqrt(len(log))
        late = frame[frame["quarter"] == "2026Q3"]["hours"]
        # Cases of the last quarter are seen only if they came so far: a little shorter than planted.
        factor = np.median(late) / np.median(early)
        assert factor == pytest.approx(truth.faster.get(step, 1.0), abs=0.15)


def test_urgent_cases_wait_half_as_long(events: pd.DataFrame, truth: OperationsTruth) -> None:
    urgent = events.drop_duplicates("case_id").set_index("case_id")["urgent"] == "yes"
    assert binomial(urgent.sum(), len(urgent), truth.urgent_share) < Z
    for step, factor in (("credit_approval", 0.5), ("qualification_review", 0.5), ("contract_signing", 1.0)):
        frame = waits(events, step)
        hours = np.log(frame["hours"].clip(lower=0.05))
        own = urgent.reindex(frame.index).to_numpy()
        error = hours.std() * np.sqrt(1 / own.sum() + 1 / (~own).sum())
        assert abs(hours[own].mean() - hours[~own].mean() - np.log(factor)) < Z * error


def test_channels_have_their_minutes_and_errors(events: pd.DataFrame, truth: OperationsTruth) -> None:
    for channel, (minutes, errors) in truth.channels.items():
        own = events[events["channel"] == channel]
        assert abs(own["entry_minutes"].mean() - minutes) < Z * own["entry_minutes"].std() / np.sqrt(len(own))
        assert abs(own["errors"].mean() - errors) < Z * np.sqrt(errors / len(own))


def test_documents_are_asked_for_again_as_planted(events: pd.DataFrame, truth: OperationsTruth) -> None:
    asked = events[(events["activity"] == "documents") & (events["lifecycle"] == "schedule")].groupby("case_id").size()
    disbursed = events[events["activity"] == "repayment_service"]["case_id"]
    again = asked.reindex(disbursed.unique())
    assert binomial((again > 1).sum(), len(again), truth.rework[0]) < Z
    assert binomial((again > 2).sum(), len(again), truth.rework[1]) < Z


@pytest.mark.parametrize("step", ["credit_approval", "contract_signing", "disbursement"])
def test_wait_is_tied_to_answers_as_planted(
    step: str, folder: Path, line: str, events: pd.DataFrame, truth: OperationsTruth
) -> None:
    responses = read_responses(folder / f"{line}.csv", load_instrument("lending_service"))
    parts = own_parts(responses.dimension_scores(), responses.frame["quarter"])
    frame = waits(events, step).join(parts.set_axis(responses.frame["case_id"], axis=0), how="inner").dropna()
    log = np.log(frame["hours"].clip(lower=0.05))
    log = log - log.groupby(frame["quarter"]).transform("mean")
    for dimension in ("EXP", "EFF", "RSK", "COM"):
        r = float(np.corrcoef(log, frame[dimension])[0, 1])
        planted = truth.wait_effect[2] if (step, dimension) == truth.wait_effect[:2] else None
        if planted is not None:
            assert abs(r - planted) < Z / np.sqrt(len(log))
        elif truth.wait_effect[2] == 0 or step != "credit_approval":
            assert abs(r) < Z / np.sqrt(len(log))


def test_the_planted_cause_fell_and_the_others_did_not(
    tables: Tables, events: pd.DataFrame, truth: OperationsTruth
) -> None:
    complaints = tables["complaints"]
    cases = events.drop_duplicates("case_id")["quarter"].value_counts()
    late = complaints["case_id"].str[3:9] >= truth.fell[1]
    n = np.array([cases[cases.index < truth.fell[1]].sum(), cases[cases.index >= truth.fell[1]].sum()])
    for cause, rate in truth.causes.items():
        own = complaints["cause"] == cause
        found = np.array([(own & ~late).sum(), (own & late).sum()])
        expected = n * rate * np.array([1.0, truth.fell[2] if cause == truth.fell[0] else 1.0])
        assert (np.abs(found - expected) < Z * np.sqrt(expected)).all(), cause


def test_complaints_run_in_order(tables: Tables) -> None:
    frame = tables["complaints"]
    stamps = frame[["received", "first_response", "resolved", "closed"]].apply(pd.to_datetime)
    assert stamps["received"].is_monotonic_increasing
    assert stamps.max().max() <= END
    for first, second in (("received", "first_response"), ("first_response", "resolved"), ("resolved", "closed")):
        known = stamps[second].notna()
        assert (stamps[first][known] <= stamps[second][known]).all()
    assert not (frame["extended"].eq("yes") & frame["complex"].eq("no")).any()
    assert set(frame["case_id"]) <= set(tables["events"]["case_id"])


def test_defaults_come_as_often_as_planted(tables: Tables, events: pd.DataFrame, truth: OperationsTruth) -> None:
    loans = tables["exposures"].assign(
        granted=lambda f: pd.to_datetime(f["granted"]), until=lambda f: pd.to_datetime(f["observed_until"])
    )
    bad = loans["event"].notna()
    assert (pd.to_datetime(loans.loc[bad, "event"]) == loans.loc[bad, "until"]).all()
    ripe = loans[bad | ((loans["until"] - loans["granted"]).dt.days >= 365)]
    ripe = ripe[ripe["granted"] < "2025-09-01"]
    p = np.minimum(ripe["probability"] * truth.optimism, 0.95)
    assert abs(ripe["event"].notna().sum() - p.sum()) < Z * np.sqrt((p * (1 - p)).sum())
    urgent = events.drop_duplicates("case_id").set_index("case_id")["urgent"]
    own = loans.set_index("loan_id").join(urgent, how="inner")
    shares = own.assign(bad=own["event"].notna()).groupby("urgent")["bad"].agg(["mean", "size"])
    pooled = own["event"].notna().mean()
    assert abs(shares["mean"].diff().iloc[-1]) < Z * np.sqrt(pooled * (1 - pooled) * (1 / shares["size"]).sum())


def test_rules_warn_as_planted(tables: Tables, truth: OperationsTruth) -> None:
    loans = tables["exposures"].set_index("loan_id")
    alerts = tables["alerts"].join(loans, on="loan_id")
    lead = (pd.to_datetime(alerts["event"]) - pd.to_datetime(alerts["at"].str[:10])).dt.days
    assert (lead.dropna() >= 0).all()
    assert (alerts["at"].str[:10] <= alerts["observed_until"]).all()
    bad = loans["event"].notna()
    sound = ~bad & (loans["granted"] < "2025-09-01")
    for rule, planted in truth.rules.items():
        own = alerts["rule"] == rule
        assert binomial((own & lead.notna()).sum(), int(bad.sum()), planted.recall) < Z
        assert binomial((own & alerts["loan_id"].map(sound)).sum(), int(sound.sum()), planted.false) < Z
        if planted.lead:
            days = lead[own].dropna()
            assert days.mean() == pytest.approx(planted.lead, rel=0.15)


def test_training_raises_the_scores_of_the_trained(tables: Tables, truth: OperationsTruth) -> None:
    tests = tables["tests"]
    items = [f"i{k}" for k in range(1, 21)]
    score = tests.assign(score=tests[items].mean(axis=1)).pivot_table("score", "adviser", "session")
    trained = score.index.isin(tables["training"].query("course == 'product_knowledge'")["adviser"])
    for rows, gain in ((trained, truth.training_gain), (~trained, truth.untrained_gain)):
        rise = (score["after"] - score["before"])[rows]
        expected = truth.expected_score(gain) - truth.expected_score(0.0)
        assert abs(rise.mean() - expected) < Z * rise.std() / np.sqrt(len(rise))


def test_inspectors_agree_as_planted(tables: Tables, truth: OperationsTruth) -> None:
    seen = tables["inspections"].pivot_table("passed", ["visit", "check"], "inspector")
    agree = float((seen["I1"] == seen["I2"]).mean())
    first, second = float(seen["I1"].mean()), float(seen["I2"].mean())
    chance = first * second + (1 - first) * (1 - second)
    assert (agree - chance) / (1 - chance) == pytest.approx(truth.inspector_kappa, abs=0.15)


def test_advisers_effects_are_in_the_answers(folder: Path, line: str, tables: Tables, truth: OperationsTruth) -> None:
    responses = read_responses(folder / f"{line}.csv", load_instrument("lending_service"))
    parts = own_parts(responses.dimension_scores(), responses.frame["quarter"])["COM"]
    assert tables["advisers"]["case_id"].tolist() == sorted(responses.frame["case_id"])
    adviser = tables["advisers"].set_index("case_id")["adviser"].reindex(responses.frame["case_id"])
    found = parts.groupby(adviser.to_numpy()).agg(["mean", "size"])
    true = truth.adviser_effects[[int(a[-2:]) - 1 for a in found.index]]
    z: Any = (found["mean"] - true) / np.sqrt((1 - np.var(truth.adviser_effects)) / found["size"])
    assert np.corrcoef(found["mean"], true)[0, 1] > 0.7
    assert (z**2).mean() < 1 + Z * np.sqrt(2 / len(z))


def test_courses_and_checks_are_those_of_the_standard(tables: Tables) -> None:
    standards = pytest.importorskip("sqmodel.operations.standards")
    standard = standards.load_standard("lending_standard")
    assert set(tables["inspections"]["check"]) <= {c.code for c in standard.conduct}
    assert set(tables["training"]["course"]) <= {c.code for c in standard.training}


def test_the_example_of_the_readme_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    code = next(b for b in readme.split("```python\n")[1:] if "sq.read_events" in b).split("```")[0]
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "data").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    told = capsys.readouterr().out
    assert "bottleneck: credit_approval" in told
    assert "<Compliance n=2164: " in told
