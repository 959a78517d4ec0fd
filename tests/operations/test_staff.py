"""Staff: published figures, peers' numbers, laws, bad input told whole, and no ranking without what can't be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pingouin as pg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa

from sqmodel.errors import ComputationError, OperationsError
from sqmodel.numerics.agreement import agreement_columns, agreement_from_totals, cohen_from_totals, pair_columns
from sqmodel.numerics.random_intercepts import random_intercepts
from sqmodel.operations.checklists import one_way_icc
from sqmodel.operations.staff import (
    AdviserAssessment,
    ChecklistScores,
    TestAssessment,
    TrainingAssessment,
    assess_advisers,
    assess_tests,
    assess_training,
    read_advisers,
    read_inspections,
    read_tests,
    read_training,
    score_checklists,
)
from tests.benchmarks.truth.staff import ITEMS, answers, inspected
from tests.oracles import shared


def scores(n: int = 80, seed: int = 1) -> pd.DataFrame:
    frames = [
        pd.DataFrame(x, columns=ITEMS).assign(adviser=np.arange(n).astype(str), session=s)
        for s, x in zip(("before", "after"), answers(n, np.random.default_rng(seed)), strict=True)
    ]
    return pd.concat(frames, ignore_index=True)


def inspections(visits: int = 60, seed: int = 1) -> pd.DataFrame:
    rows = np.indices((visits, 8)).reshape(2, -1)
    frames = [
        pd.DataFrame({"adviser": (rows[0] // 2).astype(str), "inspector": who, "visit": rows[0].astype(str),
                      "check": np.char.add("c", rows[1].astype(str)), "passed": judged.ravel()})
        for who, judged in zip("xy", inspected(visits, np.random.default_rng(seed)), strict=True)
    ]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def cases(k: int = 20, between: float = 0.6, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(k), rng.integers(5, 15, k))
    mix = rng.standard_normal(len(code))
    outcome = 2 + mix + rng.normal(0, between, k)[code] + rng.standard_normal(len(code))
    return pd.DataFrame({"adviser": [f"A{c:02}" for c in code], "amount": mix, "score": outcome})


def test_kr20_is_pingouins_alpha_with_feldts_interval() -> None:
    frame = scores()
    row = assess_tests(frame).sessions.loc["before"]
    alpha, interval = pg.cronbach_alpha(frame.loc[frame["session"] == "before", ITEMS])
    assert row["kr20"] == pytest.approx(alpha)
    assert [row["kr20_low"], row["kr20_high"]] == pytest.approx(list(interval), abs=1e-3)
    assert row["sem"] == pytest.approx(row["sd"] * (1 - alpha) ** 0.5)


def test_kr20_by_its_own_formula() -> None:
    frame = scores()
    x = frame.loc[frame["session"] == "before", ITEMS].to_numpy()
    p = x.mean(axis=0)
    by_hand = 20 / 19 * (1 - (p * (1 - p)).sum() / x.sum(axis=1).var())
    assert assess_tests(frame).sessions.loc["before", "kr20"] == pytest.approx(by_hand)


def test_questions_have_difficulty_and_discrimination() -> None:
    frame = scores()
    frame["i3"] = 1 - frame["i3"]
    frame["i4"] = 1.0
    result = assess_tests(frame)
    items = result.items[result.items["session"] == "before"].set_index("item")
    own = frame[frame["session"] == "before"]
    rest = own[ITEMS].sum(axis=1) - own["i7"]
    assert items["discrimination"]["i7"] == pytest.approx(np.corrcoef(own["i7"], rest)[0, 1])
    assert items["difficulty"]["i7"] == pytest.approx(own["i7"].mean())
    assert items["verdict"]["i3"] == "keyed wrong?"
    assert items["verdict"]["i4"] == "all alike"


def test_change_is_the_paired_t_test() -> None:
    frame = scores()
    result = assess_tests(frame)
    wide = frame.assign(s=frame[ITEMS].mean(axis=1)).pivot_table(index="adviser", columns="session", values="s")
    peer = pg.ttest(wide["after"], wide["before"], paired=True)
    assert result.change is not None
    assert result.change.value == pytest.approx((wide["after"] - wide["before"]).mean())
    column = next(c for c in peer.columns if c.startswith("CI95"))
    assert [result.change.low, result.change.high] == pytest.approx(list(peer[column].iloc[0]), abs=5e-3)
    assert result.change.excludes_zero


def test_regression_to_the_mean_is_not_taken_for_a_change() -> None:
    """Nobody learns anything: the lowest third rises, the highest falls, and neither beyond what luck explains."""
    rng = np.random.default_rng(3)
    ability = rng.normal(0, 0.8, 900)[:, None]
    frames = [
        pd.DataFrame((rng.random((900, 20)) < 1 / (1 + np.exp(-ability))).astype(float), columns=ITEMS).assign(
            adviser=np.arange(900).astype(str), session=s
        )
        for s in ("before", "after")
    ]
    thirds = assess_tests(pd.concat(frames, ignore_index=True)).thirds
    assert thirds["low"]["lowest"] > 0
    assert thirds["high"]["highest"] < 0
    assert thirds["beyond_low"]["lowest"] < 0 < thirds["beyond_high"]["lowest"]
    assert thirds["beyond_low"]["highest"] < 0 < thirds["beyond_high"]["highest"]


def test_advisers_of_one_session_are_counted_and_blanks_are_said() -> None:
    frame = scores().drop(index=[0, 100])
    frame.loc[5, "i1"] = np.nan
    result = assess_tests(frame)
    assert result.left_out["n"].tolist() == [1, 1, 0]
    assert result.notes[0] == "1 questions without answer count as wrong"
    assert assess_tests(frame, blank="missing").left_out["n"].tolist() == [1, 2, 1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=6, max_size=80))
def test_agreement_of_two_judges_is_that_of_peers(pairs: list[tuple[bool, bool]]) -> None:
    a, b = np.array(pairs).T
    if a.all() or b.all() or not a.any() or not b.any():
        return
    kappa = cohen_from_totals(pair_columns(a, b).sum(axis=0))[0]
    assert kappa == pytest.approx(cohen_kappa_score(a, b))
    passed = a.astype(int) + b
    found = agreement_from_totals(agreement_columns(passed, np.full(len(a), 2)).sum(axis=0))
    assert found[0] == pytest.approx((a == b).mean())
    assert found[1] == pytest.approx(fleiss_kappa(np.column_stack([passed, 2 - passed])))


def test_gwets_and_krippendorffs_coefficients_by_hand() -> None:
    """Ten things, two judges: both pass 7, both fail 1, they differ on 2."""
    passed = np.array([2] * 7 + [0] + [1] * 2)
    _, _, gwet, alpha = agreement_from_totals(agreement_columns(passed, np.full(10, 2)).sum(axis=0))
    chance = 2 * 0.8 * 0.2
    assert gwet == pytest.approx((0.8 - chance) / (1 - chance))
    assert alpha == pytest.approx(1 - (4 / 20) / (2 * 16 * 4 / (20 * 19)))


def test_icc_of_shrout_and_fleiss_and_of_pingouin() -> None:
    oracle = json.loads(Path(shared("oracles", "index_and_operations.json")).read_text(encoding="utf-8"))
    table = np.array(oracle["inputs"]["shrout_fleiss_1979"]["subjects_by_judges"], float)
    target = np.repeat(np.arange(6), 4)
    value, low, high = one_way_icc(table.ravel(), target)
    assert value == pytest.approx(oracle["inputs"]["shrout_fleiss_1979"]["icc"]["ICC1"], abs=5e-5)
    long = pd.DataFrame({"t": target, "j": np.tile(np.arange(4), 6), "y": table.ravel()})
    peer = pg.intraclass_corr(long, targets="t", raters="j", ratings="y").iloc[0]
    column = next(c for c in peer.index if str(c).startswith("CI95"))
    assert [low, high] == pytest.approx(list(peer[column]), abs=5e-3)


def test_points_are_won_as_the_checklist_weighs_them() -> None:
    frame = pd.DataFrame({"adviser": list("aabb"), "inspector": "x", "visit": list("1122"), "check": ["p", "q"] * 2,
                          "passed": [True, False, True, True]})  # fmt: skip
    result = score_checklists(frame, points={"p": 3, "q": 1}, minimum_n=1)
    assert result.advisers["score"].tolist() == pytest.approx([0.75, 1.0])
    assert result.score.value == pytest.approx(0.875)
    assert result.checks["passed"].to_dict() == {"p": 1.0, "q": 0.5}
    assert result.notes == ("no agreement: no check of a visit was judged by two inspectors",)


def test_checklists_tell_how_far_inspectors_agree() -> None:
    result = score_checklists(inspections())
    rows = result.agreement[result.agreement["scope"] == "all checks"].set_index("statistic")
    assert set(rows.index) == {"agreement", "fleiss_kappa", "gwet_ac1", "krippendorff_alpha", "icc"}
    assert (rows["low"] < rows["estimate"]).all()
    assert (rows["estimate"] < rows["high"]).all()
    assert result.pairs[["first", "second", "visits"]].to_numpy().tolist() == [["x", "y", 60]]
    assert (result.advisers["reason"] == "fewer than 5 visits").all()
    assert result.advisers["score"].isna().all()


def test_training_counts_who_was_never_trained() -> None:
    done = pd.DataFrame({
        "adviser": ["a", "a", "b", "c", "a"], "course": ["codes", "risk", "codes", "codes", "codes"],
        "completed": ["2025-12-01", "2025-06-01", "2024-01-01", "2026-03-01", "2020-01-01"],
    })  # fmt: skip
    result = assess_training(done, advisers=list("abcd"), as_of="2026-02-01", within_months=12)
    assert result.courses.loc["codes", ["trained", "ever"]].tolist() == [1, 2]
    assert result.courses.loc["all courses", "trained"] == 1
    assert result.advisers["missing"].to_dict() == {"a": "", "b": "codes, risk", "c": "codes, risk", "d": "codes, risk"}
    assert result.left_out["n"].tolist() == [1, 0]
    assert np.isinf(result.courses.loc["risk", "months"])


def test_variances_are_those_of_mixedlm() -> None:
    import statsmodels.formula.api as smf

    data = cases()
    peer = smf.mixedlm("score ~ amount", data, groups=data["adviser"]).fit(reml=True, method="bfgs")
    result = assess_advisers(data, outcome="score", adjust=["amount"], draws=20_000)
    assert result.between.value == pytest.approx(float(peer.cov_re.iloc[0, 0]) ** 0.5, rel=1e-4)
    assert result.residual.value == pytest.approx(float(peer.scale) ** 0.5, rel=1e-4)
    assert result.case_mix["estimate"]["amount"] == pytest.approx(peer.params["amount"], abs=0.01)
    modes = pd.Series({k: float(v.iloc[0]) for k, v in peer.random_effects.items()})
    np.testing.assert_allclose(result.advisers["effect"], modes - modes.mean(), atol=0.06)


def test_effects_are_shrunken_towards_the_mean_the_more_the_fewer_cases() -> None:
    data = cases()
    table = assess_advisers(data, outcome="score", adjust=["amount"]).advisers
    few, many = table["n"].idxmin(), table["n"].idxmax()
    assert table["reliability"][few] < table["reliability"][many] < 1
    residual = data["score"] - data["amount"]
    raw = residual.groupby(data["adviser"]).mean()
    assert table["effect"].std() < raw.std()


def test_equal_advisers_are_not_ranked() -> None:
    result = assess_advisers(cases(30, 0.0, seed=4), outcome="score", adjust=["amount"])
    assert result.told_apart == 0
    assert result.not_told_apart == 435
    assert set(result.advisers["band"]) == {"not told from the mean"}
    assert (result.advisers["rank_high"] - result.advisers["rank_low"] > 15).all()
    assert (result.advisers["tied"] == 29).all()
    assert result.pvalue > 0.05


def test_the_order_of_rows_and_names_of_advisers_do_not_matter() -> None:
    data = cases()
    one = assess_advisers(data, outcome="score", adjust=["amount"], rng=1)
    other = assess_advisers(data.sample(frac=1, random_state=1), outcome="score", adjust=["amount"], rng=1)
    np.testing.assert_allclose(one.advisers["effect"], other.advisers["effect"], atol=1e-6)
    assert one.advisers.index.tolist() == sorted(data["adviser"].unique())


def test_case_mix_explains_what_is_not_the_advisers() -> None:
    """Advisers who handle large cases look worse until the size is in the model."""
    rng = np.random.default_rng(5)
    code = np.repeat(np.arange(30), 20)
    amount = rng.normal(0, 1, 30)[code] + 0.3 * rng.standard_normal(600)
    data = pd.DataFrame({"adviser": code.astype(str), "amount": amount, "kind": np.where(amount > 0, "large", "small"),
                         "score": amount + 0.5 * rng.standard_normal(600)})  # fmt: skip
    naive = assess_advisers(data, outcome="score").share
    fair = assess_advisers(data, outcome="score", adjust=["amount"]).share
    assert naive.low > 0.5
    assert fair.high < 0.15
    assert "kind: small" in assess_advisers(data, outcome="score", adjust=["kind"]).case_mix.index


def test_small_numbers_are_kept_in_the_model_but_not_shown() -> None:
    data = pd.concat([cases(), pd.DataFrame({"adviser": "Z", "amount": 0.0, "score": [9.0, 9.5]})], ignore_index=True)
    result = assess_advisers(data, outcome="score", adjust=["amount"])
    row = result.advisers.loc["Z"]
    assert row["reason"] == "fewer than 5 cases"
    assert np.isnan(row["effect"])
    assert result.not_told_apart + result.told_apart == 190


def test_a_column_that_repeats_another_is_left_out_and_named() -> None:
    data = cases().assign(twice=lambda d: 2 * d["amount"] + 1)
    result = assess_advisers(data, outcome="score", adjust=["amount", "twice"])
    assert result.notes == ("twice repeats other columns of the case mix and was left out",)
    assert result.case_mix.index.tolist() == ["mean", "amount"]


def test_one_variance_of_balanced_groups_is_that_of_anova() -> None:
    rng = np.random.default_rng(6)
    y = rng.standard_normal((12, 9)) + rng.standard_normal((12, 1))
    fit = random_intercepts(y.ravel(), np.ones((108, 1)), np.repeat(np.arange(12), 9), rng=1, draws=100)
    within = y.var(axis=1, ddof=1).mean()
    assert fit.residual == pytest.approx(within**0.5, rel=1e-6)
    assert fit.between == pytest.approx((y.mean(axis=1).var(ddof=1) - within / 9) ** 0.5, rel=1e-6)


def everything() -> list[Any]:
    done = pd.DataFrame({"adviser": ["a", "b"], "course": "codes", "completed": ["2025-12-01", "2025-06-01"]})
    trained = assess_training(done, advisers=["a", "b", "c"])
    effects = assess_advisers(cases(), outcome="score", draws=500)
    return [assess_tests(scores(40)), score_checklists(inspections(40), draws=100), trained, effects]


def test_results_come_back_from_json() -> None:
    kinds = (TestAssessment, ChecklistScores, TrainingAssessment, AdviserAssessment)
    for result, kind in zip(everything(), kinds, strict=True):
        again = kind.from_json(json.loads(json.dumps(result.to_json())))
        assert repr(again) == repr(result)
        for name, table in result.tables().items():
            assert again.tables()[name].shape == table.shape


def test_bad_tests_are_told_at_once() -> None:
    frame = pd.DataFrame({"adviser": list("aabc"), "session": ["before", "before", "later", "after"],
                          "i1": [1, 0, 2, 0.5], "i2": [1, 0, 1, 1]})  # fmt: skip
    with pytest.raises(OperationsError) as caught:
        assess_tests(frame)
    assert str(caught.value) == (
        "tests: 3 problems\n"
        "  - expected 0, 1 or nothing for question i1, found others: b (row 2), c (row 3)\n"
        "  - expected sessions before or after, found others: b (row 2)\n"
        "  - expected an adviser once a session, found again: a (row 1)\n"
        "  What to do: correct the tests"
    )


def test_bad_inspections_are_told_at_once() -> None:
    frame = pd.DataFrame({"adviser": list("abcc"), "inspector": list("xyzz"), "visit": list("1122"),
                          "check": ["p", "q", "p", "p"], "passed": [True, None, True, True]})  # fmt: skip
    with pytest.raises(OperationsError) as caught:
        score_checklists(frame, points={"p": 1, "r": 0})
    assert str(caught.value) == (
        "inspections: 5 problems\n"
        "  - expected checks that have points, found others: 1 (row 1)\n"
        "  - expected a judgement once, found it again: 2 (row 3)\n"
        "  - expected yes or no, found nothing: 1 (row 1)\n"
        "  - expected one adviser a visit, found several: 1 (row 0), 1 (row 1)\n"
        "  - expected points above 0 for check 'r', found 0\n"
        "  What to do: correct the inspections, or give points to every check"
    )


def test_bad_training_and_cases_are_told_at_once() -> None:
    done = pd.DataFrame({"adviser": ["a", "z"], "course": ["codes", None], "completed": ["2025-12-01", None]})
    with pytest.raises(OperationsError) as caught:
        assess_training(done, advisers=["a"])
    assert str(caught.value) == (
        "training: 3 problems\n"
        "  - expected advisers among those named, found others: z (row 1)\n"
        "  - expected a course, found none: z (row 1)\n"
        "  - expected the time of completion, found none: z (row 1)\n"
        "  What to do: correct the training records, or name all advisers"
    )
    data = pd.DataFrame({"adviser": list("abc"), "hours": [1.0, 0.0, -2.0]})
    with pytest.raises(OperationsError) as caught:
        assess_advisers(data, outcome="hours", adjust=["amount"], log=True)
    assert str(caught.value) == (
        "cases: 2 problems\n"
        "  - expected a column 'amount', found 'adviser', 'hours'\n"
        "  - expected positive numbers, whose logarithm can be taken, in 'hours', found others: row 1, row 2\n"
        "  What to do: correct the cases, or name other columns"
    )


def test_too_little_to_say_anything_is_said() -> None:
    data = pd.DataFrame({"adviser": list("aabb"), "score": [1.0, 2, 3, 4]})
    with pytest.raises(ComputationError, match="expected at least three advisers, one of them with two cases, found 2"):
        assess_advisers(data, outcome="score")
    with pytest.raises(ComputationError, match="expected at least three advisers in a session and two questions"):
        assess_tests(pd.DataFrame({"adviser": ["a"], "session": "before", "i1": [1], "i2": [0]}))


def test_files_are_read_with_their_faults(tmp_path: Path) -> None:
    scores(10).to_csv(tmp_path / "t.csv", index=False)
    inspections(6).to_csv(tmp_path / "i.csv", index=False)
    (tmp_path / "r.csv").write_text("adviser,course,completed\na,codes,2026-01-01\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text("case_id,adviser\n1,a\n2,b\n", encoding="utf-8")
    assert assess_tests(read_tests(tmp_path / "t.csv")).n == 10
    assert score_checklists(read_inspections(tmp_path / "i.csv"), draws=50).visits == 6
    assert assess_training(read_training(tmp_path / "r.csv"), advisers=["a"]).courses.loc["codes", "trained"] == 1
    assert read_advisers(tmp_path / "a.csv").frame["adviser"].tolist() == ["a", "b"]
    (tmp_path / "bad.csv").write_text("adviser,session,i1,i2\na,before,1,3\nb,before,0.5,1\n", encoding="utf-8")
    with pytest.raises(OperationsError, match="expected a number from 0 to 1"):
        read_tests(tmp_path / "bad.csv")
    (tmp_path / "none.csv").write_text("adviser,session\na,before\n", encoding="utf-8")
    with pytest.raises(OperationsError, match=r"expected questions i1, i2, \.\.\., found 'adviser', 'session'"):
        read_tests(tmp_path / "none.csv")


def test_courses_may_count_for_months_of_their_own() -> None:
    done = pd.DataFrame({"adviser": ["a", "a"], "course": ["codes", "law"], "completed": ["2025-10-01", "2020-10-01"]})
    own = assess_training(done, advisers=["a"], as_of="2026-02-01", within_months={"codes": 3, "law": 0})
    assert own.courses["trained"].tolist() == [0, 1, 0]
    assert "all courses within their months" in repr(own)
    assert type(own).from_json(own.to_json()).settings["within_months"] == {"codes": 3, "law": 0}
    with pytest.raises(ValueError, match="expected months of at least 0 for every course"):
        assess_training(done, advisers=["a"], within_months={"codes": 3})
