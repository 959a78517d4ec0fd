"""Fits against lavaan: the shared reference surveys, and models of every kind by tests/reference/sem.R."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import (
    ComputationError,
    ConvergenceWarning,
    IdentificationWarning,
    ImproperSolutionWarning,
    InputError,
    SqmodelWarning,
)
from sqmodel.measurement import invariance
from sqmodel.measurement.confirmatory import Confirmation, confirm
from sqmodel.measurement.invariance import Invariance, compare_groups
from sqmodel.measurement.moments import Moments
from sqmodel.measurement.nested import difference_test
from sqmodel.measurement.source import Source
from sqmodel.measurement.validity import assess_validity
from sqmodel.numerics.sem import curvature, sufficient
from sqmodel.numerics.sem.samples import Patterns
from tests import oracles
from tests.reference import surveys

SEM = oracles.converged("sem")
MODEL = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"
SECOND_ORDER = MODEL + "\ng =~ visual + textual + speed"
SYNTAX = """visual =~ NA*x1 + a*x2 + a*x3 + x9
textual =~ x4 + 1.1*x5 + start(0.9)*x6
speed =~ x7 + x8 + x9
visual ~~ 1*visual
x7 ~~ x8
visual ~~ 0*speed
x1 + x2 ~ 1
x3 ~ m*1
x4 ~ m*1"""
BY_GROUP = "visual =~ x1 + c(a,a)*x2 + c(b1,b2)*x3\ntextual =~ x4 + x5 + c(1,NA)*x6\nspeed =~ x7 + x8 + x9"
BIFACTOR = "g =~ x1+x2+x3+x4+x5+x6+x7+x8+x9\nt =~ x4+x5+x6\ns =~ x7+x8+x9"

HEYWOOD = BIFACTOR.replace("t =~", "v =~ x1+x2+x3\nt =~")

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mlm": ("complete", MODEL, {"estimator": "MLM"}),
    "ulsm": ("complete", MODEL, {"estimator": "ULSM"}),
    "ulsmv": ("ordinal", MODEL, {"estimator": "ULSMV", "ordered": True}),
    "dwls": ("ordinal", MODEL, {"estimator": "DWLS", "ordered": True}),
    "wlsmv": ("ordinal", MODEL, {"ordered": True}),
    "cluster": ("complete", MODEL, {"cluster": "cluster"}),
    "weights": ("complete", MODEL, {"weight": "ageyr"}),
    "fiml": ("missing", MODEL, {"missing": "fiml", "estimator": "ML"}),
    "fiml_mlr": ("missing", MODEL, {"missing": "fiml"}),
    "fiml_groups": ("missing", MODEL, {"missing": "fiml", "group": "school", "group_equal": ["loadings"]}),
    "second_order": ("complete", SECOND_ORDER, {"estimator": "ML"}),
    "second_order_restricted": ("complete", MODEL + "\ng =~ a*visual + a*textual + speed", {"estimator": "ML"}),
    "bifactor": ("complete", BIFACTOR, {"estimator": "ML", "orthogonal": True, "std_lv": True}),
    "bounded": (
        "complete",
        HEYWOOD,
        {"estimator": "ML", "orthogonal": True, "std_lv": True, "bounds": True},
    ),
    "syntax": ("complete", SYNTAX, {"estimator": "ML"}),
    "labels_by_group": ("complete", BY_GROUP, {"estimator": "ML", "group": "school"}),
    "three_groups": ("complete", MODEL, {"group": "third", "group_equal": ["loadings", "intercepts"]}),
}


@cache
def holzinger(kind: str = "complete") -> pd.DataFrame:
    if kind == "ordinal":
        data = pd.read_csv(oracles.shared("data", "holzinger_swineford_1939", "hs_ord5.csv"))
        return data.rename(columns=str.lower)
    data = pd.read_csv(oracles.shared("data", "holzinger_swineford_1939", "holzinger.csv"))
    data["cluster"] = data["school"] + "." + data["agemo"].astype(str)
    data["third"] = data["ageyr"].clip(12, 14)
    if kind == "missing":
        for column, start, step in (("x5", 3, 5), ("x9", 4, 7), ("x1", 6, 11)):
            data.loc[np.arange(start - 1, 301, step), column] = np.nan
    return data


@cache
def fitted(case: str) -> Confirmation:
    kind, model, options = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImproperSolutionWarning)
        return confirm(holzinger(kind), model, **options)


@pytest.mark.parametrize("case", [c for c in CASES if SEM["models"][c].get("fit")])
def test_fit_measures_equal_lavaan(case: str) -> None:
    found, expected = fitted(case).fit, SEM["models"][case]["fit"]
    missing = [k for k in expected if k not in found and expected[k] is not None]
    assert not [k for k in missing if case not in ("ulsm", "dwls") and k not in ("logl", "aic", "bic")]
    for name, value in expected.items():
        if value is None or name not in found or np.isnan(found[name]):
            continue
        assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("case", [c for c in CASES if SEM["models"][c].get("fit")])
def test_parameters_equal_lavaan(case: str) -> None:
    """Estimates and standardised loadings to 1e-4, standard errors to 1e-3 relative."""
    result = fitted(case)
    labels = list(dict.fromkeys(result.parameters["group"]))
    table = result.parameters.assign(number=[labels.index(g) + 1 for g in result.parameters["group"]])
    ours = {(r.lhs, r.op, r.rhs, r.number): r for r in table.itertuples()}
    compared = 0
    for row in SEM["models"][case]["parameters"]:
        group = row["group"]
        mine = ours.get((row["lhs"], row["op"], row["rhs"], group)) or ours.get(
            (row["rhs"], row["op"], row["lhs"], group)
        )
        if mine is None:
            continue  # lavaan also lists what its parametrisation fixes
        compared += 1
        assert mine.est == pytest.approx(row["est"], rel=1e-4, abs=2e-5), row
        if row["se"] and result.proper:
            assert mine.se == pytest.approx(row["se"], rel=1e-3), row
        if row["op"] == "=~":
            assert mine.std == pytest.approx(row["std.all"], abs=1e-4), row
            if row.get("std.se") and result.proper:
                assert mine.std_se == pytest.approx(row["std.se"], rel=1e-3), row
    assert compared >= result.fit["npar"] / 2


SURVEYS = list(surveys.FILES)
ESTIMATORS: dict[str, dict[str, Any]] = {
    "ML": {"estimator": "ML"},
    "MLR": {"estimator": "MLR"},
    "WLSMV": {"ordered": True},
    "MLR_FIML": {"estimator": "MLR", "missing": "fiml"},
}
IMPROPER = {"satisfaction_es_bank", "mobi_ecsi"}
LAVAAN_POLYCHORIC_STUCK = ("satisfaction_es_bank", "WLSMV")
"""lavaan's imag1-imag2 correlation is not at its maximum: tests/numerics/test_polychoric.py shows the likelihoods."""


@cache
def survey_fit(name: str, estimator: str) -> Confirmation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return confirm(surveys.survey(name), surveys.model(name), **ESTIMATORS[estimator])


def tolerance(name: str) -> dict[str, float]:
    """Relative 1e-4 for statistics, 1e-3 where scaled, 5e-4 absolute for indices."""
    if name.startswith(("cfi", "tli", "rmsea", "srmr")) or "pvalue" in name:
        return {"rel": 0.0, "abs": 5e-4}
    return {"rel": 1e-3 if "scal" in name else 1e-4}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", SURVEYS)
def test_reference_surveys(name: str, estimator: str) -> None:
    reference = surveys.reference(name, "cfa")
    if estimator not in reference:
        pytest.skip(f"the reference file has no {estimator}")
    found, expected = survey_fit(name, estimator), reference[estimator]
    assert found.converged
    assert found.proper == (name not in IMPROPER)
    if (name, estimator) == LAVAAN_POLYCHORIC_STUCK:
        assert found.fit["df"] == expected["fit"]["df"]
        return
    for key, value in expected["fit"].items():
        if value is not None:
            assert found.fit[key] == pytest.approx(value, **tolerance(key)), key
    rows = found.parameters.set_index(["lhs", "op", "rhs"])
    for row in expected["std"]:
        mine = rows.loc[(row["lhs"], row["op"], row["rhs"])]
        assert mine["std"] == pytest.approx(row["est.std"], abs=1e-4)
        if found.proper:
            assert mine["std_se"] == pytest.approx(row["se"], rel=1e-3)


def test_improper_solutions_are_named_in_the_headline_and_by_a_warning() -> None:
    with pytest.warns(ImproperSolutionWarning) as caught:
        result = confirm(surveys.survey("mobi_ecsi"), surveys.model("mobi_ecsi"), estimator="ML")
    assert repr(result).startswith("<Confirmation IMPROPER, 23 items, 6 factors, n=250: CFI .")
    assert "the covariance matrix of the factors is not positive definite" in [str(w.message) for w in caught]
    with pytest.warns(ImproperSolutionWarning, match=r"the variance of x1 is -1\.1412"):
        confirm(
            holzinger(), BIFACTOR.replace("t =~", "v =~ x1+x2+x3\nt =~"), estimator="ML", orthogonal=True, std_lv=True
        )


def test_modification_indices_equal_lavaan() -> None:
    for case, result in (
        ("ml", confirm(holzinger(), MODEL, estimator="ML")),
        ("mlr", confirm(holzinger(), MODEL)),
        ("wlsmv", fitted("wlsmv")),
    ):
        table = result.modification_indices.set_index(["lhs", "op", "rhs"])
        # For ordered items lavaan has a factor that nothing explains (see the docstring).
        quirk = 300 / 301 if case == "wlsmv" else 1.0
        for row in SEM["modification"][case]:
            mine = table.loc[(row["lhs"], row["op"], row["rhs"])]
            assert mine["mi"] * quirk == pytest.approx(row["mi"], rel=1e-4), (case, row)
            assert mine["epc"] * quirk == pytest.approx(row["epc"], rel=1e-4), (case, row)
            assert mine["epc_std"] * quirk == pytest.approx(row["sepc.all"], rel=1e-3), (case, row)


def test_score_tests_of_released_constraints_equal_lavaan() -> None:
    result = confirm(holzinger(), MODEL, group="school", group_equal=["loadings", "intercepts"])
    found = result.score_tests["mi"].head(6).to_list()
    assert found == pytest.approx([row["X2"] for row in SEM["score"]], rel=1e-4)


def test_models_of_many_parameters_are_checked_as_small_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit groups are eliminated one by one: same fit, same verdict, and what is not there is said."""
    options: dict[str, Any] = {"group": "third", "group_equal": ["loadings", "intercepts", "residuals"]}
    pair = "visual =~ x1 + x2 + x3\nspeed =~ x9"
    whole, robustly = (confirm(holzinger(), MODEL, estimator=e, **options) for e in ("ML", "MLR"))
    configural = confirm(holzinger(), MODEL, group="third")
    with pytest.warns(IdentificationWarning):
        unknown = confirm(holzinger(), pair, estimator="ML", group="third")
    monkeypatch.setattr(curvature, "DENSE", 50)
    # The baseline alone has more parameters than that.
    assert confirm(holzinger(), MODEL, **options).fit == pytest.approx(robustly.fit, rel=1e-9)
    large = confirm(holzinger(), MODEL, group="third")
    test = difference_test(robustly, large)
    assert (test.method, test.df) == ("chi-square difference", 42)
    assert test.chisq == pytest.approx(robustly.fit["chisq"] - configural.fit["chisq"])
    monkeypatch.setattr(curvature, "DENSE", 10)
    found = confirm(holzinger(), MODEL, estimator="ML", **options)
    assert found.fit == pytest.approx(whole.fit, rel=1e-7)
    assert found.identified
    singular = (f.internal.estimated.singular for f in (found, whole))
    assert next(singular) == pytest.approx(next(singular), rel=0.01)
    assert found.notes == ("more than 10 parameters: no standard errors of the standardised solution",)
    assert confirm(holzinger(), MODEL, **options).notes == (
        "more than 10 parameters: no standard errors of the standardised solution, "
        "standard errors and tests are those of normal data",
    )
    with pytest.warns(IdentificationWarning, match="the model is not identified"):
        same = confirm(holzinger(), pair, estimator="ML", group="third")
    assert repr(same) == repr(unknown)
    with pytest.raises(ComputationError) as caught:
        confirm(holzinger("ordinal"), MODEL, ordered=True)
    assert str(caught.value) == "expected at most 10 parameters for WLSMV, found 48; fit fewer groups at a time"


def test_several_relations_are_released_at_once_and_a_covariance_in_either_order() -> None:
    options: dict[str, Any] = {"estimator": "ML", "group": "school"}
    equal = ["loadings", "intercepts", "lv.covariances"]
    for one, other in (
        (["x3 + x7 ~ 1"], ["x3 ~ 1", "x7 ~ 1"]),
        (["textual ~~ visual"], ["visual ~~ textual"]),
    ):
        found, same = (confirm(holzinger(), MODEL, group_equal=equal, group_partial=p, **options) for p in (one, other))
        none = confirm(holzinger(), MODEL, group_equal=equal, **options)
        assert found.fit == same.fit
        assert found.fit["df"] == none.fit["df"] - len(other)


def test_score_tests_of_too_many_parameters_say_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    result = confirm(holzinger(), MODEL, estimator="ML", group="school", group_equal=["loadings"])
    monkeypatch.setattr(curvature, "DENSE", 100)
    with pytest.raises(ComputationError) as caught:
        _ = result.modification_indices
    assert str(caught.value) == (
        "expected at most 100 parameters for modification indices, with those they would add, found 162; "
        "fit fewer groups at a time"
    )
    monkeypatch.setattr(curvature, "DENSE", 50)
    with pytest.raises(ComputationError) as caught:
        _ = result.score_tests
    assert str(caught.value) == (
        "expected at most 50 parameters for score tests, with those they would add, found 60; "
        "fit fewer groups at a time"
    )


def test_scaled_difference_tests_equal_lavaan() -> None:
    metric, scalar = (
        confirm(holzinger(), MODEL, group="school", group_equal=equal)
        for equal in (["loadings"], ["loadings", "intercepts"])
    )
    expected = SEM["difference"]["mlr_2001"]
    test = difference_test(scalar, metric)
    assert test.method == "Satorra-Bentler 2001"
    assert (test.chisq, test.df) == pytest.approx((expected["Chisq diff"], expected["Df diff"]), rel=1e-4)
    assert test.pvalue == pytest.approx(expected["Pr(>Chisq)"], rel=1e-3)


def test_strictly_positive_scaling_of_2010_equals_lavaan() -> None:
    from sqmodel.measurement.nested import scaling_at

    metric, scalar = (
        confirm(holzinger(), MODEL, group="school", group_equal=equal)
        for equal in (["loadings"], ["loadings", "intercepts"])
    )
    df0, df1 = scalar.fit["df"], metric.fit["df"]
    factor = (df0 * scalar.fit["chisq.scaling.factor"] - df1 * scaling_at(metric.internal, scalar.internal)) / (
        df0 - df1
    )
    expected = SEM["difference"]["mlr_2010"]["Chisq diff"]
    assert (scalar.fit["chisq"] - metric.fit["chisq"]) / factor == pytest.approx(expected, rel=1e-3)


def test_a_difference_test_without_a_constraint_is_an_error() -> None:
    one = confirm(holzinger(), MODEL, estimator="ML")
    with pytest.raises(ComputationError) as caught:
        difference_test(one, one)
    assert str(caught.value) == (
        "expected more degrees of freedom in the constrained model, found 24 against 24: "
        "the constraints are not there, or the models are not nested"
    )


def test_moments_alone_give_the_same_fit() -> None:
    data = holzinger()
    items = [f"x{k}" for k in range(1, 10)]
    gathered = Source(data, items, group="school").collect()
    bare = Moments(gathered.items, gathered.groups)
    options: dict[str, Any] = {"estimator": "ML", "group_equal": ["loadings"]}
    here, there = confirm(bare, MODEL, **options), confirm(data, MODEL, group="school", **options)
    assert here.fit == pytest.approx(there.fit, rel=1e-9, nan_ok=True)
    order = ["x7", "x8", "x9", "x1", "x2", "x3", "x4", "x5", "x6"]
    again = confirm(bare.select(order), MODEL, **options)
    assert again.fit["chisq"] == pytest.approx(there.fit["chisq"], abs=1e-7)


def test_ordered_moments_can_be_selected_and_reordered() -> None:
    items = [f"x{k}" for k in range(1, 10)]
    gathered = Source(holzinger("ordinal"), items).collect(ordered=True)
    model = "speed =~ x7 + x8 + x9\ntextual =~ x6 + x5 + x4"
    here = confirm(gathered, model)
    there = confirm(holzinger("ordinal"), model, ordered=True)
    assert here.fit == pytest.approx(there.fit, rel=1e-7, nan_ok=True)


def test_a_result_survives_json_but_for_its_matrices() -> None:
    result = confirm(holzinger(), MODEL, estimator="ML")
    back = Confirmation.from_json(result.to_json())
    assert repr(back) == repr(result) == "<Confirmation 9 items, 3 factors, n=301: CFI .931, RMSEA .092 [.071, .114]>"
    pd.testing.assert_frame_equal(back.parameters, result.parameters)
    with pytest.raises(ComputationError, match="found one read back; call confirm"):
        _ = back.modification_indices


def test_bounds_keep_variances_from_being_negative() -> None:
    with pytest.warns(ImproperSolutionWarning, match="the variance of x1 is on its bound"):
        result = confirm(holzinger(), HEYWOOD, estimator="ML", orthogonal=True, std_lv=True, bounds=True)
    own = result.parameters
    variances = own.loc[(own["op"] == "~~") & (own["lhs"] == own["rhs"]), "est"]
    assert variances.min() >= 0
    assert result.fit["chisq"] > 34.88


@given(st.permutations(range(9)), st.lists(st.floats(0.1, 50), min_size=9, max_size=9))
@settings(max_examples=15, deadline=None)
def test_unscaled_chisq_does_not_change_with_item_order_or_rescaling(order: list[int], scale: list[float]) -> None:
    data = holzinger()[[f"x{k}" for k in range(1, 10)]]
    expected = fitted_ml().fit["chisq"]
    factors = {"visual": [0, 1, 2], "textual": [3, 4, 5], "speed": [6, 7, 8]}
    # Another order makes another item the reference.
    model = {f: [f"x{k + 1}" for k in order if k in own] for f, own in factors.items()}
    found = confirm(data * np.array(scale), model, estimator="ML")
    assert found.fit["chisq"] == pytest.approx(expected, rel=1e-7)
    assert found.fit["df"] == 24


@cache
def fitted_ml() -> Confirmation:
    return confirm(holzinger(), MODEL, estimator="ML")


@given(
    st.lists(st.sampled_from(["loadings", "intercepts", "residuals", "lv.variances", "lv.covariances"]), unique=True)
)
@settings(max_examples=20, deadline=None)
def test_chisq_does_not_fall_and_df_add_up_as_constraints_are_added(equal: list[str]) -> None:
    counts = {"loadings": 6, "intercepts": 9, "residuals": 9, "lv.variances": 3, "lv.covariances": 3}
    before, df = confirm(holzinger(), MODEL, estimator="ML", group="school").fit["chisq"], 48
    for k, name in enumerate(equal):
        fit = confirm(holzinger(), MODEL, estimator="ML", group="school", group_equal=equal[: k + 1]).fit
        # Equal intercepts free the factor means of the second group.
        df += counts[name] - (3 if name == "intercepts" else 0)
        assert fit["df"] == df
        assert fit["chisq"] >= before - 1e-8
        before = fit["chisq"]


class TestBadInput:
    def data(self, n: int = 60) -> pd.DataFrame:
        rng = np.random.default_rng(1)
        x = rng.normal(size=(n, 1)) + rng.normal(size=(n, 4))
        return pd.DataFrame(x, columns=list("abcd"))

    def test_a_constant_item(self) -> None:
        with pytest.raises(ComputationError) as caught:
            confirm(self.data().assign(b=3.0), "f =~ a + b + c + d")
        assert (
            str(caught.value) == "expected answers that differ, found one answer only for b; leave out items or groups"
        )

    def test_two_identical_items(self) -> None:
        data = self.data()
        with pytest.raises(ComputationError) as caught:
            confirm(data.assign(b=data["a"]), "f =~ a + b + c + d")
        assert str(caught.value) == (
            "expected a positive definite covariance matrix, found a singular one; the same answers to a and b; "
            "leave out the items that repeat others"
        )

    def test_fewer_respondents_than_items(self) -> None:
        with pytest.raises(ComputationError) as caught:
            confirm(self.data(4), "f =~ a + b + c + d")
        assert str(caught.value) == "expected more respondents than the 4 items, found 4; leave out items or groups"

    def test_a_category_empty_in_one_group(self) -> None:
        data = (self.data(200) > 0).astype(int) + (self.data(200) > 1).astype(int)
        data["g"] = np.repeat(["x", "y"], 100)
        data.loc[(data["g"] == "y") & (data["b"] == 2), "b"] = 1
        with pytest.raises(ComputationError) as caught:
            confirm(data, "f =~ a + b + c + d", ordered=True, group="g")
        assert str(caught.value) == (
            "expected every category of b in group y, found nobody in 2; "
            "merge these categories with their neighbours in all groups"
        )

    def test_a_factor_with_one_item(self) -> None:
        with pytest.raises(ComputationError) as caught:
            confirm(self.data()[["a", "b", "c"]], "f =~ a + b\ng =~ c", estimator="ML")
        assert str(caught.value) == (
            "expected no more parameters than the 6 moments of the data, found 7; fix or equate parameters, or use "
            "more items; g has one item: fix its residual variance (x ~~ 0*x)"
        )
        with pytest.warns(IdentificationWarning, match="the model is not identified"):
            result = confirm(self.data(), "f =~ a + b + c\ng =~ d", estimator="ML")
        assert not result.identified
        assert result.parameters.loc[result.parameters["free"], "se"].isna().all()
        assert repr(result).startswith("<Confirmation NOT identified, ")

    def test_unknown_variable_and_group(self) -> None:
        with pytest.raises(InputError) as caught:
            confirm(self.data(), "f =~ a + b + zz", group="region")
        assert str(caught.value) == (
            "data: 2 problems\n  - expected a column of the data, found 'zz' in the model\n"
            "  - expected a column for group, found no 'region'\n  What to do: the data have a, b, c, d"
        )

    def test_relations_with_strangers_and_wrong_numbers_of_modifiers(self) -> None:
        with pytest.raises(InputError) as caught:
            confirm(self.data(), "f =~ a + b + c(1,2,3)*c\nq ~~ a")
        assert str(caught.value) == (
            "model: 2 problems\n  - expected one modifier or one for each of 1 groups in 'f =~ c', found 3\n"
            "  - expected items or factors of the model in 'q ~~ a', found 'q'\n  What to do: correct the model's text"
        )

    def test_relations_that_no_cell_holds(self) -> None:
        with pytest.raises(InputError) as caught:
            confirm(
                self.data(),
                "f =~ a + b + c + d\na | t1\nf | t1\na ~*~ 1*a\nf ~~ 0.2*b\nq ~*~ q\na ~~ 0.5*a",
                group_equal=["slopes"],
            )
        assert str(caught.value) == (
            "model: 6 problems\n"
            "  - expected thresholds of ordered items, found 'a | t1' of a continuous item\n"
            "  - expected thresholds of ordered items, found 'f | t1' of a factor\n"
            "  - expected scale factors of ordered items, found 'a ~*~ a' of a continuous item\n"
            "  - expected covariances among items or among factors, found 'f ~~ b'\n"
            "  - expected items or factors of the model in 'q ~*~ q', found 'q'\n"
            "  - expected group_equal among loadings, intercepts, residuals, means, lv.variances, lv.covariances, "
            "thresholds, found 'slopes'\n"
            "  What to do: correct the model's text"
        )

    def test_relations_that_no_cell_of_ordered_items_holds(self) -> None:
        data = pd.DataFrame(np.searchsorted([-1, 0, 1], self.data(200)), columns=list("abcd"))
        model = "f =~ a + b + c + d"
        with pytest.raises(InputError) as caught:
            confirm(data, f"{model}\na | t3 + t9\nb ~~ 0.5*b\nc ~~ v*c\nd ~~ d", ordered=True)
        assert str(caught.value) == (
            "model: 3 problems\n"
            "  - expected thresholds t1 to t3 of a, which has 4 categories, found 't9'\n"
            "  - expected no value for the residual variance of the ordered item b, which follows from its scale "
            "factor (b ~*~ b), found 'b ~~ b' with one\n"
            "  - expected no value for the residual variance of the ordered item c, which follows from its scale "
            "factor (c ~*~ c), found 'c ~~ c' with one\n"
            "  What to do: correct the model's text"
        )
        named = confirm(data, f"{model}\na | t3\nd ~~ d", ordered=True)
        assert named.fit == confirm(data, model, ordered=True).fit

    def test_relations_to_release_that_the_model_does_not_have(self) -> None:
        data = self.data().assign(g=np.repeat(["x", "y"], 30))
        model, equal = "f =~ a + b\ng =~ c + d", ["loadings", "intercepts", "lv.covariances"]
        with pytest.raises(InputError) as caught:
            confirm(data, model, group="g", group_equal=equal, group_partial=["a + q ~ 1", "f =~ c", "f ~~ h"])
        assert str(caught.value) == (
            "model: 3 problems\n"
            "  - expected relations of the model in group_partial, found 'q ~ 1'\n"
            "  - expected relations of the model in group_partial, found 'f =~ c'\n"
            "  - expected relations of the model in group_partial, found 'f ~~ h'\n"
            "  What to do: correct the model's text"
        )

    def test_factors_that_load_on_themselves_through_others(self) -> None:
        with pytest.raises(InputError) as caught:
            confirm(self.data(), "f =~ a + b + g\ng =~ c + h\nh =~ d + f\nk =~ f + m\nm =~ a + k")
        assert str(caught.value) == (
            "model: 2 problems\n"
            "  - expected factors that do not load on themselves through others, found f =~ g =~ h =~ f\n"
            "  - expected factors that do not load on themselves through others, found k =~ m =~ k\n"
            "  What to do: correct the model's text"
        )

    def test_estimators_that_do_not_fit_the_answers(self) -> None:
        with pytest.raises(InputError) as caught:
            confirm(self.data(), "f =~ a + b + c", estimator="WLSMV", missing="pairwise")
        assert str(caught.value) == (
            "confirm: 2 problems\n"
            "  - expected an estimator for continuous answers (ML, MLR, MLM, ULSM), found 'WLSMV'\n"
            "  - expected missing='listwise' or 'fiml', found 'pairwise'"
        )

    def test_fiml_with_an_estimator_that_needs_complete_answers(self) -> None:
        for estimator in ("MLM", "ULSM"):
            with pytest.raises(InputError) as caught:
                confirm(self.data(), "f =~ a + b + c", estimator=estimator, missing="fiml")
            assert str(caught.value) == (
                "confirm: 1 problem\n"
                f"  - expected ML or MLR for incomplete answers (missing='fiml'), found '{estimator}'"
            )
        moments = Source(self.data(), list("abcd")).collect(missing="fiml")
        with pytest.raises(InputError, match="expected ML or MLR for incomplete answers"):
            confirm(moments, "f =~ a + b + c", estimator="MLM")

    def test_groups_clusters_and_weights_that_are_not_one_a_respondent(self) -> None:
        with pytest.raises(InputError) as caught:
            confirm(self.data(), "f =~ a + b + zz", group=["x"] * 59, cluster=[1] * 61, weight=np.ones(3))
        assert str(caught.value) == (
            "data: 4 problems\n"
            "  - expected a column of the data, found 'zz' in the model\n"
            "  - expected one group a respondent, 60 in all, found 59\n"
            "  - expected one cluster a respondent, 60 in all, found 61\n"
            "  - expected one weight a respondent, 60 in all, found 3\n"
            "  What to do: the data have a, b, c, d"
        )

    def test_weights_that_are_no_weights_and_respondents_without_a_cluster(self) -> None:
        weight = np.ones(60)
        weight[:3] = np.nan, np.inf, -2
        cluster = pd.Series(["x", "y", None] * 20)
        with pytest.raises(InputError) as caught:
            confirm(self.data(), "f =~ a + b + c", weight=weight, cluster=cluster)
        assert str(caught.value) == (
            "data: 2 problems\n"
            "  - expected a cluster of every respondent, found none for 20\n"
            "  - expected finite weights that are not negative, found nan, inf, -2.0 for 3 respondents"
        )
        for wrong, problem in (
            (["much"] * 60, "expected finite weights that are not negative, found much for 60 respondents"),
            (np.zeros(60), "expected weights with a positive sum, found only zeros"),
        ):
            with pytest.raises(InputError) as caught:
                confirm(self.data(), "f =~ a + b + c", weight=wrong)
            assert str(caught.value) == f"data: 1 problem\n  - {problem}"

    def test_one_cluster_in_a_group_and_weights_that_leave_nobody(self) -> None:
        data = self.data().assign(g=np.repeat(["x", "y"], 30), branch=np.repeat([1, 2, 3], [15, 15, 30]))
        with pytest.raises(ComputationError) as caught:
            confirm(data, "f =~ a + b + c", group="g", cluster="branch", weight=np.repeat([0.0, 1.0], 30))
        assert str(caught.value) == (
            "expected weights with a positive sum in group x, found only zeros; "
            "expected at least two clusters in group y, found 1; leave out items or groups"
        )

    def test_an_item_that_nobody_answered(self) -> None:
        data = self.data().assign(g=np.repeat(["x", "y"], 30))
        data.loc[data["g"] == "y", ["b", "d"]] = np.nan
        with pytest.raises(ComputationError) as caught:
            confirm(data, "f =~ a + b + c + d", group="g", missing="fiml")
        assert str(caught.value) == (
            "expected answers to every item in group y, found none to b, d; leave out items or groups"
        )
        with pytest.raises(ComputationError) as caught:
            confirm(data[data["g"] == "y"], "f =~ a + b + c + d", group="g")
        assert str(caught.value) == (
            "expected respondents with answers and a group, found none; leave out items or groups"
        )


@pytest.mark.parametrize("name", SURVEYS)
def test_validity_of_the_reference_surveys(name: str) -> None:
    expected = surveys.reference(name, "validity")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = assess_validity(surveys.survey(name), surveys.model(name), estimator="ML", draws=0)
    for key, column in (("AVE", "ave"), ("CR_omega", "composite_reliability")):
        assert found.factors[column].to_dict() == pytest.approx(expected[key], abs=1e-4)
    for key, column in (("htmt", "htmt"), ("htmt2", "htmt2"), ("latent_cor", "r")):
        values = pd.DataFrame(expected[key]["values"], expected[key]["rows"], expected[key]["cols"])
        for pair in found.pairs.itertuples():
            assert getattr(pair, column) == pytest.approx(values.loc[pair.first, pair.second], abs=1e-4)


def test_ordinal_reliability_equals_semtools() -> None:
    found = assess_validity(holzinger("ordinal"), MODEL, ordered=True, draws=0)
    assert found.factors["composite_reliability"].to_dict() == pytest.approx(SEM["ordinal_reliability"], abs=1e-5)


@pytest.mark.parametrize("name", ["holzinger_swineford_1939", "bfi", "corp_rep", "airline_600", "pisa_be_2003"])
def test_invariance_of_the_reference_surveys(name: str) -> None:
    for by, expected in surveys.reference(name, "invariance").items():
        for estimator in ("ML", "MLR"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ImproperSolutionWarning)
                found = compare_groups(
                    surveys.survey(name), surveys.model(name), by=by, estimator=estimator, partial=False
                )
            assert found.steps["model"].to_list() == ["configural", "metric", "scalar", "strict"]
            for step, row in zip(found.steps.itertuples(), expected[estimator]["lrt"], strict=True):
                fit = expected[estimator][step.model]["fit"]
                assert step.df == fit["df"]
                assert step.chisq == pytest.approx(fit.get("chisq.scaled", fit["chisq"]), rel=1e-3)
                suffix = ".robust" if estimator == "MLR" else ""
                assert step.cfi == pytest.approx(fit[f"cfi{suffix}"], abs=5e-4)
                assert step.rmsea == pytest.approx(fit[f"rmsea{suffix}"], abs=5e-4)
                assert step.srmr == pytest.approx(fit["srmr"], abs=5e-4)
                if row["Chisq diff"] is not None and row["Chisq diff"] > 0:
                    assert step.df_difference == row["Df diff"]
                    assert step.chisq_difference == pytest.approx(row["Chisq diff"], rel=1e-3)


def test_ordinal_invariance_of_wu_and_estabrook() -> None:
    expected = surveys.reference("bfi", "invariance", "gender", "WLSMV_WuEstabrook")
    found = compare_groups(surveys.survey("bfi"), surveys.model("bfi"), by="gender", ordered=True)
    for step in found.steps.itertuples():
        fit = expected[step.model]["fit"]
        assert step.df == fit["df"]
        assert step.chisq == pytest.approx(fit["chisq.scaled"], rel=1e-3)
        assert (step.cfi, step.rmsea) == pytest.approx((fit["cfi.scaled"], fit["rmsea.scaled"]), abs=5e-4)
    assert "Chen's limits were derived for ML; for WLSMV they are a convention only" in found.notes
    own = compare_groups(holzinger("ordinal"), MODEL, by="school", ordered=True).steps
    assert own["chisq"].to_list() == pytest.approx([115.841, 142.155, 131.819, 194.737], abs=5e-4)
    assert own["df"].to_list() == [48, 66, 72, 78]
    assert own["chisq_difference"].iloc[2] == pytest.approx(SEM["difference"]["wlsmv_2000"]["Chisq diff"], rel=1e-3)


def test_partial_invariance_is_found_and_its_means_equal_lavaan() -> None:
    found = compare_groups(holzinger(), MODEL, by="school", estimator="ML")
    assert found.level == "metric"
    assert found.released["lhs"].to_list()[0] == "x3"
    assert found.released["mi"].iloc[0] == pytest.approx(19.193, abs=5e-4)
    assert found.partial
    assert found.comparable
    both = confirm(holzinger(), MODEL, estimator="ML", group="school", group_equal=["loadings", "intercepts"],
                   group_partial=["x3 ~ 1", "x7 ~ 1"])  # fmt: skip
    assert (both.fit["chisq"], both.fit["df"]) == pytest.approx((129.422, 58), abs=5e-4)
    rows = both.parameters[(both.parameters["op"] == "~1") & (both.parameters["group"] == "Grant-White")]
    assert rows.set_index("lhs").loc["textual", ["est", "se"]].to_list() == pytest.approx([0.576, 0.117], abs=5e-4)


@pytest.mark.parametrize(
    ("step", "cfi", "rmsea", "srmr", "holds"),
    [
        ("scalar", -0.011, 0.014, 0.009, True),
        ("scalar", -0.011, 0.016, 0.000, False),
        ("scalar", -0.011, 0.000, 0.011, False),
        ("metric", -0.011, 0.000, 0.029, True),
        ("metric", -0.009, 0.020, 0.040, True),
        ("metric", -0.019, 0.000, 0.000, True),
        ("metric", -0.021, 0.000, 0.000, False),
    ],
)
def test_a_step_fails_by_chens_rules_or_by_twice_their_limit(
    step: str, cfi: float, rmsea: float, srmr: float, holds: bool
) -> None:
    assert invariance._holds(step, {"delta_cfi": cfi, "delta_rmsea": rmsea, "delta_srmr": srmr}) is holds


def test_compared_groups_keep_their_models_but_not_on_paper() -> None:
    found = compare_groups(holzinger(), MODEL, by="school", estimator="ML")
    assert list(found.confirmations) == ["configural", "metric", "scalar", "strict", "partial"]
    steps = found.steps.set_index("model")["chisq"]
    for name, chisq in steps.items():
        assert found.confirmations[str(name)].fit["chisq"] == chisq
    assert found.confirmations["partial"].settings["group_partial"] == [f"{x} ~ 1" for x in found.released["lhs"]]
    back = Invariance.from_json(found.to_json())
    assert repr(back) == repr(found)
    with pytest.raises(ComputationError) as caught:
        _ = back.confirmations
    assert str(caught.value) == (
        "expected groups compared in this session, found a result read back; call compare_groups() again"
    )


def test_free_moments_are_found_once_and_named_where_they_do_not_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    search = sufficient.free_moments

    def counted(sample: Patterns) -> Patterns:
        nonlocal calls
        calls += 1
        return search(sample)

    monkeypatch.setattr(sufficient, "free_moments", counted)
    confirm(holzinger("missing"), MODEL, missing="fiml", group="school")
    assert calls == 2
    monkeypatch.setattr(sufficient, "EM_STEPS", 3)
    with pytest.warns(ConvergenceWarning) as caught:
        result = confirm(holzinger("missing"), MODEL, missing="fiml", group="school", estimator="ML")
    expected = [
        f"the free means and covariances of group {school} of the incomplete answers still moved after 3 steps: "
        "chi-square and fit indices are approximate; leave out items that few answered"
        for school in ("Pasteur", "Grant-White")
    ]
    assert [str(w.message) for w in caught] == expected
    assert list(result.notes) == expected


def test_the_path_diagram_shows_every_loading_and_correlation() -> None:
    result = fitted_ml()
    svg = result.path_diagram().svg
    for row in result.loadings.itertuples():
        assert f">{row.loading:.2f}<".replace(">0", ">") in svg
    for row in result.factor_correlations.itertuples():
        assert f">{row.r:.2f}<".replace(">0", ">") in svg
    assert svg.count("<rect") == 9
    assert svg.count("<ellipse") == 3
    assert 'aria-label="9 items load on 3 factors: visual: x1 .77, x2 .42, x3 .58; textual: ' in svg
    outer = fitted("second_order").path_diagram()
    assert outer.svg.count("<ellipse") == 4
    assert outer._repr_html_() == outer.svg


def test_the_bifactor_heywood_case_of_holzinger_and_swineford() -> None:
    with pytest.warns(ImproperSolutionWarning):
        found = confirm(holzinger(), HEYWOOD, estimator="ML", orthogonal=True,
                        std_lv=True)  # fmt: skip
    assert (found.fit["chisq"], found.fit["df"]) == pytest.approx((34.880, 18), abs=5e-4)
    assert (found.fit["cfi"], found.fit["rmsea"]) == pytest.approx((0.981, 0.056), abs=5e-4)
    rows = found.parameters.set_index(["lhs", "op", "rhs"])["std"]
    assert rows[("v", "=~", "x1")] == pytest.approx(-0.999, abs=5e-4)
    assert not found.proper


def test_what_the_readme_says_of_confirmatory_models_runs() -> None:
    from pathlib import Path

    import sqmodel as sq

    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    code = next(block for block in readme.split("```python\n") if block.startswith("fit = sq.confirm")).split("```")[0]
    frame = holzinger().assign(country=holzinger()["school"])
    names = {"sq": sq, "frame": frame, "model": MODEL}
    quick = code.replace("loadings=0.7)", "loadings=0.7, replications=5)")
    quick = quick.replace("sq.dynamic_cutoffs(fit)", "sq.dynamic_cutoffs(fit, replications=20)")
    exec(compile(quick, "README", "exec"), names)
    assert repr(names["fit"]).startswith("<Confirmation 6 items, 2 factors, n=301: robust CFI ")
    for estimator in ("ML", "MLR", "MLM", "ULSM", "WLSMV", "ULSMV", "DWLS", "ULS", "FIML"):
        assert estimator in readme


def test_a_search_that_finds_no_minimum_is_named() -> None:
    """The loadings of f run away: x3 belongs to another pair, and its mean may not differ from that of x2."""
    rng = np.random.default_rng(1)
    scores = 0.6 * rng.normal(size=(200, 1)) + 0.8 * rng.normal(size=(200, 3))
    data = pd.DataFrame(
        scores[:, [0, 0, 1, 1, 2, 2]] + rng.normal(size=(200, 6)) + 3.0, columns=[f"x{k}" for k in range(1, 7)]
    )
    with pytest.warns(SqmodelWarning) as caught:
        found = confirm(data, "f =~ x1 + a*x2 + a*x3\ng =~ x3 + x4 + x5 + x6\nx1 + x2 ~ m*1", estimator="ML")
    kinds = {type(w.message): str(w.message) for w in caught}
    assert kinds[ConvergenceWarning].startswith("the search stopped after ")
    assert not found.converged
    assert "NOT converged" in repr(found)
