"""Item screening: the model behind it, item bias against R's polr, planted bias, purification, notes and errors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.definitions import Text
from sqmodel.errors import ComputationError, ConvergenceWarning, InputError
from sqmodel.measurement import item_bias
from sqmodel.measurement.item_bias import adjusted
from sqmodel.measurement.items import ItemScreening, screen_items
from sqmodel.numerics.irt import curves, graded
from sqmodel.survey.instrument import Group
from sqmodel.survey.responses import Responses
from sqmodel.survey.simple_population import simple_population
from tests import oracles

SLOPES = np.array([1.0, 2.2, 1.4, 1.6, 1.8, 1.2, 1.5])
CUTS = np.linspace(-0.5, 0.5, 7)[[3, 0, 5, 2, 6, 1, 4], None] + np.linspace(-1.5, 1.5, 4)


def survey(seed: int = 0, sizes: tuple[int, ...] = (400, 400), impact: float = 0.5, **bias: Any) -> pd.DataFrame:
    """Answers 1 to 5 to items a to g; in the last group an item's thresholds move and its slope is multiplied."""
    rng, blocks = np.random.default_rng(seed), []
    for g, size in enumerate(sizes):
        a, b = SLOPES.copy(), CUTS.copy()
        for item, (shift, factor) in bias.items() if g == len(sizes) - 1 else ():
            b["abcdefg".index(item)] += shift
            a["abcdefg".index(item)] *= factor
        latent = a * rng.normal(-impact * g, 1, size=(size, 1)) + rng.logistic(size=(size, 7))
        blocks.append(1 + (latent[:, :, None] > a[:, None] * b).sum(axis=2))
    frame = pd.DataFrame(np.vstack(blocks).astype(float), columns=list("abcdefg"))
    return frame.assign(group=np.repeat(["one", "two", "three"][: len(sizes)], sizes))


def bfi(items: list[str]) -> pd.DataFrame:
    data = pd.read_csv(oracles.shared("data", "bfi", "bfi.csv.gz"))
    frame = data[[*items, "gender"]].astype(float)
    turned = [c for c in items if c in oracles._REVERSED["bfi"]]
    frame[turned] = 7 - frame[turned]
    return frame


@pytest.fixture(scope="module")
def plain() -> ItemScreening:
    return screen_items(survey().drop(columns="group"))


@pytest.fixture(scope="module")
def biased() -> ItemScreening:
    return screen_items(survey(4, d=(1.1, 1)), by="group")


def test_tables_show_the_fitted_model(plain):
    x = survey().drop(columns="group")
    fit = graded.graded_response(x)
    slopes = plain.parameters[plain.parameters["parameter"] == "slope"]
    np.testing.assert_array_equal(slopes["value"], fit.slopes)
    np.testing.assert_array_equal(slopes["se"], fit.slope_errors)
    np.testing.assert_allclose(slopes["high"] - slopes["low"], 2 * 1.959963984540054 * fit.slope_errors)
    of_b = plain.parameters.query("item == 'b' and parameter == 'threshold'")
    np.testing.assert_array_equal(of_b["value"], fit.thresholds[1])
    assert of_b["answer"].tolist() == [2, 3, 4, 5]
    row = plain.scales.loc["total"]
    assert (row["k"], row["n"], row["converged"]) == (7, 800, True)
    assert row["marginal_reliability"] == curves.marginal_reliability(fit.slopes, fit.thresholds)
    assert row["gradient_norm"] < 1e-8
    assert plain.dif.empty
    assert plain.shifts.empty
    assert (plain.by, plain.flagged) == ("", ())


def test_information_adds_up_and_peaks(plain):
    np.testing.assert_allclose(plain.information.sum(axis=1), plain.scale_information["total"])
    assert plain.information.index[[0, -1]].tolist() == [-4, 4]
    assert plain.items["share"].sum() == pytest.approx(1)
    for item in "abcdefg":
        row, curve = plain.items.loc[item], plain.information[item]
        assert row["peak_information"] >= curve.max() - 1e-12
        assert abs(row["peak_theta"] - curve.idxmax()) < 0.06
    assert plain.items["peak_information"].idxmax() == "b"
    assert (plain.items["answers"] == 5).all()


def test_one_line_tells_the_outcome(plain, biased):
    slopes = plain.items["slope"]
    assert repr(plain) == f"<ItemScreening 7 items, n=800: slopes {slopes.min():.2f} to {slopes.max():.2f}>"
    assert repr(biased).endswith("; by group: 1 of 7 items differ, 1 flagged (d)>")


def test_json_keeps_it(biased):
    back = ItemScreening.from_json(json.loads(json.dumps(biased.to_json())))
    assert repr(back) == repr(biased)
    pd.testing.assert_frame_equal(back.dif, biased.dif, check_dtype=False)
    pd.testing.assert_frame_equal(back.information, biased.information)
    assert "<table" in biased._repr_html_()


def test_bias_equals_polr():
    """R: m1 <- polr(y ~ t), m2 <- polr(y ~ t + g, Hess=TRUE), m3 <- polr(y ~ t + g + t:g), and polr(y ~ t) by group.

    t is the mean of the five items, g the second gender, on the 2709 complete rows of psych::bfi; the four log
    likelihoods give 2 * diff(l) and the differences of (1 - exp(2 * (l0 - l) / n)) / (1 - exp(2 * l0 / n)).
    """
    frame = bfi(["A1", "A2", "A3", "A4", "A5"]).dropna()
    found = screen_items(frame, by="gender", matching="total", purify=False)
    expected = {
        "A1": ([12.454213021, 9.808131988, 3.177958611], [0.0031125378252, 0.0024411811386, 0.0007890795593]),
        "A5": ([10.569521295, 1.451233721, 4.022652138], [0.0021864213534, 0.0002995381041, 0.0008294466441]),
    }
    for item, (chisq, gain) in expected.items():
        row = found.dif.loc[item]
        np.testing.assert_allclose(row[["chisq_uniform", "chisq_nonuniform", "chisq_spread"]].astype(float), chisq,
                                   atol=2e-5)  # fmt: skip
        np.testing.assert_allclose(row[["r2_uniform", "r2_nonuniform", "r2_spread"]].astype(float), gain, atol=1e-8)
        assert row["chisq_total"] == pytest.approx(sum(chisq[:2]), abs=2e-5)
        assert row[["df_uniform", "df_nonuniform", "df_total", "df_spread", "n"]].tolist() == [1, 1, 2, 4, 2709]
    shift = found.shifts.set_index("item")
    np.testing.assert_allclose(shift.loc["A1", ["log_odds", "se"]].astype(float), [0.27022117402, 0.07648419172],
                               atol=1e-5)  # fmt: skip
    np.testing.assert_allclose(shift.loc["A5", ["log_odds", "se"]].astype(float), [-0.25500764673, 0.07861663558],
                               atol=1e-5)  # fmt: skip


def test_adjusted_equals_r():
    """R: p.adjust(c(.001, .04, .03, .2, .01), "holm") and "BH"."""
    p = np.array([0.001, 0.04, 0.03, 0.2, 0.01])
    np.testing.assert_allclose(adjusted(p, "holm"), [0.005, 0.09, 0.09, 0.2, 0.04])
    np.testing.assert_allclose(adjusted(p, "bh"), [0.005, 0.05, 0.05, 0.2, 0.025])
    np.testing.assert_array_equal(adjusted(p, "none"), p)


def test_uniform_bias_is_found_with_its_direction(biased):
    row = biased.dif.loc["d"]
    assert (row["flagged"], row["kind"], row["effect"]) == (True, "uniform", "moderate")
    assert biased.flagged == ("d",)
    assert (biased.dif.drop(index="d")["effect"] == "negligible").all()
    shift = biased.shifts.set_index("item").loc["d"]
    # "one" comes before "two": the second group needs 1.1 more, at a slope of 1.6 logits a standard deviation.
    assert (shift["group"], biased.groups["reference"].tolist()) == ("two", [True, False])
    assert shift["low"] < shift["log_odds"] < shift["high"] < 0
    assert -0.9 < shift["points"] < -0.3
    assert biased.groups["n"].tolist() == [400, 400]
    assert bool(biased.scales.loc["total", "settled"])
    assert biased.scales.loc["total", "rounds"] == 2


def test_a_weaker_item_is_found_by_its_spread_only():
    frame = survey(2, d=(0, 0.4))
    found = screen_items(frame, by="group", criterion="significance")
    assert found.dif.loc["d", "kind"] == "spread"
    assert found.flagged == ("d",)
    without = screen_items(frame, by="group", criterion="significance", spread=False)
    assert without.dif["pvalue_spread"].isna().all()
    assert "d" not in without.flagged
    np.testing.assert_array_equal(without.dif["pvalue"], without.dif["pvalue_total"])


def test_a_crossing_item_is_not_uniform():
    frame = survey(3, impact=0)
    rng = np.random.default_rng(4)
    trait = frame[["a", "b", "c", "d", "f", "g"]].mean(axis=1).to_numpy() - 3
    slope = np.where(frame["group"] == "one", 3.0, 0.5)
    frame["e"] = 1.0 + (slope * trait + rng.logistic(size=800) > np.linspace(-1.5, 1.5, 4)[:, None]).sum(axis=0)
    row = screen_items(frame, by="group").dif.loc["e"]
    assert (row["kind"], row["effect"]) == ("non-uniform", "large")


def test_purification_frees_the_standing_of_biased_items():
    frame = survey(5, sizes=(1000, 1000), b=(0.8, 1), e=(0.8, 1))
    options = {"by": "group", "criterion": "significance"}
    spoiled, pure = screen_items(frame, purify=False, **options), screen_items(frame, **options)
    assert len(spoiled.flagged) > 2
    assert pure.flagged == ("b", "e")
    assert pure.scales.loc["total", "rounds"] > 1
    assert spoiled.scales.loc["total", "rounds"] == 1
    for matching in ("total", "rest"):
        other = screen_items(frame, matching=matching, **options)
        assert {"b", "e"} <= set(other.flagged)


def test_groups_of_other_standing_alone_are_no_bias():
    alarms = [
        screen_items(survey(10 + r, impact=1.0), by="group", criterion="significance", adjust="none").dif["flagged"]
        for r in range(12)
    ]
    assert np.mean(alarms) < 0.12


def test_purification_that_does_not_settle_is_admitted(monkeypatch):
    monkeypatch.setattr(item_bias, "MOST_ROUNDS", 1)
    found = screen_items(survey(4, d=(1.1, 1)), by="group")
    assert not found.scales.loc["total", "settled"]
    assert found.notes == (
        "total: purification stopped after round 1 because the flags do not settle; doubt borderline items",
    )
    monkeypatch.setattr(item_bias, "FEWEST_ANCHORS", 7)
    found = screen_items(survey(4, d=(1.1, 1)), by="group")
    assert found.notes == (
        "total: purification stopped after round 1 because it would leave fewer than 7 items; doubt borderline items",
    )


def test_swapping_groups_turns_the_shifts():
    frame = survey(6, b=(0.9, 1))
    found = screen_items(frame, by="group")
    swapped = screen_items(frame.assign(group=frame["group"].map({"one": "z", "two": "a"})), by="group")
    np.testing.assert_allclose(swapped.dif["chisq_total"], found.dif["chisq_total"], rtol=1e-6)
    np.testing.assert_allclose(swapped.shifts["log_odds"], -found.shifts["log_odds"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(swapped.shifts["points"], -found.shifts["points"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("matching", ["theta", "total", "rest"])
def test_three_groups(matching):
    found = screen_items(survey(7, (300, 300, 300), b=(0.9, 1)), by="group", matching=matching, purify=False)
    assert found.dif[["df_uniform", "df_nonuniform", "df_total", "df_spread"]].drop_duplicates().values.tolist() == [
        [2, 2, 4, 6]
    ]
    # The groups in order: one, three, two; the last to answer is "three".
    assert found.shifts.query("item == 'b'")["group"].tolist() == ["three", "two"]
    assert abs(found.shifts.query("item == 'b'")["points"].iloc[0]) > 0.25


def test_groups_by_name_or_by_values_with_gaps():
    frame = survey(8)
    named = screen_items(frame, by="group")
    given = screen_items(frame.drop(columns="group"), by=pd.Series(frame["group"].to_numpy(), name="group"))
    pd.testing.assert_frame_equal(named.dif, given.dif)
    assert named.by == given.by == "group"
    anonymous = screen_items(frame.drop(columns="group"), by=frame["group"].tolist())
    assert anonymous.by == "groups"
    gaps = frame["group"].where(np.arange(800) % 4 > 0, None)
    gaps[:30] = "few"
    part = screen_items(frame.assign(group=gaps), by="group")
    assert part.left_out == ("few",)
    assert part.groups.index.tolist() == ["one", "two"]
    assert part.groups["n"].sum() == (gaps.isin(["one", "two"])).sum()
    assert part.n == 800


def test_groups_keep_the_order_of_a_categorical():
    frame = survey(8)
    frame["group"] = pd.Categorical(frame["group"], ["two", "one"], ordered=True)
    assert screen_items(frame, by="group").groups.index.tolist() == ["two", "one"]


def test_items_of_two_answers_have_no_spread():
    frame = survey(9)
    frame[list("abcdefg")] = (frame[list("abcdefg")] > 3).astype(float)
    found = screen_items(frame, by="group")
    assert found.dif["pvalue_spread"].isna().all()
    assert (found.dif["df_spread"] == 0).all()
    np.testing.assert_array_equal(found.dif["pvalue"], found.dif["pvalue_total"])
    assert len(found.parameters) == 14


def test_missing_answers_are_left_out_item_by_item():
    frame = survey(10, b=(0.9, 1))
    holes = np.random.default_rng(1).random((800, 7)) < 0.2
    frame[list("abcdefg")] = frame[list("abcdefg")].mask(holes)
    frame.loc[:3, list("abcdefg")] = np.nan
    found = screen_items(frame, by="group")
    assert found.n == 800
    assert found.scales.loc["total", "n"] == frame[list("abcdefg")].notna().any(axis=1).sum()
    np.testing.assert_array_equal(found.dif["n"], frame[list("abcdefg")].notna().sum())
    assert "b" in found.flagged
    assert found.groups["n"].sum() == found.scales.loc["total", "n"]


def test_responses_have_scales_weights_and_groups():
    population = simple_population(4, dimensions=2, loadings=(0.8, 0.7, 0.6, 0.7), thresholds=(-1.5, -0.5, 0.5, 1.5))
    frame = pd.DataFrame(
        population.sample(1, 500, rng=np.random.default_rng(1))[0], columns=population.instrument.item_codes
    )
    frame.insert(0, "respondent", [f"{k}" for k in range(500)])
    frame["branch"] = np.where(np.arange(500) % 2, "north", "south")
    instrument = population.instrument.model_copy(update={"groups": (Group(code="branch", title=Text(en="Branch")),)})
    plain = screen_items(Responses(instrument, frame), by="branch")
    assert plain.scales.index.tolist() == instrument.dimension_codes
    assert plain.scales["k"].tolist() == [4, 4]
    assert plain.items["scale"].tolist() == ["D1"] * 4 + ["D2"] * 4
    assert not plain.settings["weighted"]
    assert plain.flagged == ()
    frame["sample_weight"] = np.where(np.arange(500) % 3, 1.0, 3.0)
    heavy = screen_items(Responses(instrument, frame), by="branch")
    assert heavy.settings["weighted"]
    pd.testing.assert_frame_equal(heavy.dif, plain.dif)
    own = graded.graded_response(frame[instrument.item_codes[:4]], weight=frame["sample_weight"])
    np.testing.assert_allclose(heavy.items["slope"].iloc[:4], own.slopes)
    assert (heavy.parameters["se"] > 1.05 * plain.parameters["se"]).mean() > 0.5
    chosen = screen_items(Responses(instrument, frame), items=instrument.item_codes[:5])
    assert chosen.notes == ("D2: not screened, a trait needs three items or more, it has 1",)
    assert len(chosen.items) == 4


def test_the_big_five_by_gender():
    """A smoke test on real answers: five scales, thousands of respondents, gaps."""
    codes = oracles.reference("bfi")["efa_minres_oblimin"]["loadings"]["rows"]
    scales = {k: [c for c in codes if c[0] == k] for k in "ACENO"}
    found = screen_items(bfi(codes), structure=scales, by="gender")
    assert found.scales["converged"].all()
    assert found.scales["settled"].all()
    assert found.notes == ()
    assert found.groups.index.tolist() == ["1.0", "2.0"]
    assert found.dif["r2_total"].idxmax() == "N5"
    assert (found.dif["effect"] == "negligible").all()
    shift = found.shifts.set_index("item").loc["N5"]
    assert 0.5 < shift["log_odds"] < 1.2
    sure = screen_items(bfi(codes), structure=scales, by="gender", criterion="significance")
    assert "N5" in sure.flagged
    assert sure.items["slope"].min() > 0


def test_doubtful_items_are_named():
    frame = survey(11).drop(columns="group")
    frame["c"] = 6 - frame["c"]
    frame["d"] = frame["d"].where(frame["d"] != 3, 4)
    frame["f"] = frame["e"]
    found = screen_items(frame)
    assert found.notes[0] == "d: nobody answered 3, which therefore has no threshold of its own"
    assert found.notes[1] == "c: its slope is negative; is it worded in reverse?"
    assert {note.partition(":")[0] for note in found.notes[2:]} <= {"e", "f"}
    assert all("has no bound in these answers; it repeats another item" in note for note in found.notes[2:])
    assert found.items.loc["d", "answers"] == 4


def test_a_model_that_was_not_found_warns(monkeypatch):
    def short(*args: Any, **options: Any) -> graded.GradedResponse:
        return whole(*args, **options, max_iter=2)

    whole = graded.graded_response
    monkeypatch.setattr(graded, "graded_response", short)
    with pytest.warns(ConvergenceWarning) as caught:
        found = screen_items(survey(12).drop(columns="group"))
    assert str(caught[0].message) == found.notes[0]
    assert found.notes[0].startswith("total: the model did not converge (derivative ")
    assert not found.scales.loc["total", "converged"]


def test_groups_that_answer_without_variation_are_named():
    frame = survey(13)
    frame["a"] = (frame["a"] > 3).astype(float).where(frame["group"] == "one", 1.0)
    found = screen_items(frame, by="group", purify=False)
    assert found.notes == ("total: some group answers a without variation, doubt their sizes of effect",)
    assert found.dif.loc["a", "flagged"]


FRAME = survey(14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"criterion": "r2", "matching": "sum", "adjust": "fdr", "level": 95, "by": "branch"},
            "screen_items: 5 problems\n"
            "  - criterion: expected one of nagelkerke, significance, found 'r2'\n"
            "  - matching: expected one of theta, total, rest, found 'sum'\n"
            "  - adjust: expected one of holm, bh, none, found 'fdr'\n"
            "  - level: expected a number between 0.5 and 1, found 95\n"
            "  - by: expected one of a, b, c, d, e and 3 more, found 'branch'\n"
            "  What to do: correct the arguments",
        ),
        (
            {"by": [1, 2]},
            "screen_items: 1 problem\n"
            "  - by: expected a name or 800 groups, one a respondent, found shape (2,)\n"
            "  What to do: correct the arguments",
        ),
        ({"items": ["a", "z"], "by": "group"}, "items: 1 problem\n  - expected items of the answers, found 'z'"),
        (
            {"structure": {"x": ["a", "b", "c"], "y": ["c", "d", "e"]}, "by": "group"},
            "structure: 1 problem\n  - expected every item in one scale, found c in several",
        ),
    ],
)
def test_bad_arguments_are_refused(options, message):
    frame = FRAME if isinstance(options["by"], str) and options["by"] == "group" else FRAME.drop(columns="group")
    if options["by"] == "branch":
        frame = FRAME.assign(group=1.0)
    with pytest.raises(InputError) as caught:
        screen_items(frame, **options)
    assert str(caught.value) == message


def test_text_is_refused():
    with pytest.raises(InputError) as caught:
        screen_items(FRAME)
    assert str(caught.value) == (
        "screen_items: 1 problem\n"
        "  - data: expected columns of numbers, found other content in group\n"
        "  What to do: correct the arguments"
    )


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            {},
            {"items": ["a", "b"]},
            "expected a scale of at least 3 items, found 2 in the largest; add items or join scales",
        ),
        (
            {"c": 4.0},
            {},
            "expected at least 2 different answers to c, found 1; leave this item out",
        ),
        (
            {"c": np.nan},
            {},
            "expected at least 2 different answers to c, found 0; leave this item out",
        ),
        (
            {"c": np.arange(800.0)},
            {},
            "expected ratings with at most 20 different answers, found 800 for c; join neighbouring answers",
        ),
        (
            {},
            {"minimum_n": 401},
            "by group: expected at least 2 groups of 401 respondents, found 0; join groups or lower `minimum_n`",
        ),
        (
            {"c": np.where(np.arange(800) < 100, np.arange(800) % 2, 1.0),
             "group": np.where(np.arange(800) < 100, None, FRAME["group"])},
            {},
            "expected at least 2 different answers to c among the compared groups, found 1; leave this item out",
        ),
        (
            {"c": np.where(FRAME["group"] == "one", FRAME["c"], np.nan)},
            {},
            "expected different answers to c in every group from respondents of different standing, found none; "
            "leave this item out",
        ),
    ],
)  # fmt: skip
def test_answers_that_tell_nothing_are_refused(change, options, message):
    with pytest.raises(ComputationError) as caught:
        screen_items(FRAME.assign(**change), by="group", **options)
    assert str(caught.value) == message
