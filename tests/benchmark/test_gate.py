"""The comparison gate: who may be compared, and whom the items' meaning would put elsewhere."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from sqmodel.benchmark.comparison import Gate
from sqmodel.benchmark.content import Ordinal
from sqmodel.benchmark.pooling_gate import assess_gate
from sqmodel.benchmark.profile import load_profile
from sqmodel.benchmark.simulate import Simulation, simulate_association
from sqmodel.survey.instrument import load_instrument

PROFILE = load_profile("lending_association")
INSTRUMENT = load_instrument("lending_service")
SCALES = {
    c: (float(INSTRUMENT.scale_of(c).minimum), float(INSTRUMENT.scale_of(c).maximum)) for c in INSTRUMENT.item_codes
}


def assessed(given: Simulation, **options: object) -> Gate:
    structure = {d: list(own) for d, own in INSTRUMENT.structure().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return assess_gate(given.submissions, structure, PROFILE, scales=SCALES, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("institutions", "method"), [(4, "ladder"), (20, "alignment")])
def test_institutions_that_understand_the_items_alike_are_comparable(institutions: int, method: str) -> None:
    found = assessed(simulate_association(institutions, respondents=500, rng=3))
    assert (found.method, found.verdict, found.institutions) == (method, "comparable", institutions)
    assert not found.biased["withheld"].any()
    assert found.n == 500 * institutions


def test_who_understands_items_in_another_way_is_named_with_the_points() -> None:
    # Three of seven items of one of four dimensions, two scale points each: about 100 / 6 * 2 * 3 / 7 / 4 = 3.6 points.
    given = simulate_association(20, respondents=600, noninvariant=1, shift=2.0, rng=5)
    found = assessed(given)
    biased = found.biased.set_index("institution")
    worst = biased["bias"].abs().idxmax()
    rest = biased.drop(index=worst)["bias"].abs().max()
    assert abs(biased.loc[worst, "bias"]) > 1.0
    assert abs(biased.loc[worst, "bias"]) > 3 * rest
    np.testing.assert_allclose(biased["observed"], biased["bias"] + biased["fair"], atol=1e-9)


def test_one_institution_is_not_assessed() -> None:
    found = assessed(simulate_association(1, respondents=300, rng=1))
    assert (found.verdict, found.method) == ("not assessed", "none")
    assert found.reason


def test_who_has_too_few_complete_answers_is_left_out_with_the_reason() -> None:
    given = simulate_association(4, respondents=[300, 300, 300, 60], rng=2)
    found = assessed(given)
    assert found.institutions == 3
    small = given.submissions[3].institution
    assert found.left_out.set_index("institution").loc[small, "reason"] == "60 complete answers, fewer than 100"


def test_ordinal_statistics_are_held_one_at_a_time() -> None:
    given = simulate_association(3, respondents=400, ordinal=True, rng=4)
    references: list[weakref.ref[Ordinal]] = []
    alive: list[int] = []

    def streamed() -> Iterator[tuple[str, Ordinal]]:
        for s in given.submissions:
            assert s.ordinal is not None
            pair = (s.institution, replace(s.ordinal))
            references.append(weakref.ref(pair[1]))
            yield pair
            # When the next one is asked for, at most this one may still be held.
            del pair
            gc.collect()
            alive.append(sum(r() is not None for r in references))

    found = assessed(given, ordinals=streamed())
    assert len(references) == 3
    assert max(alive) <= 1
    told = found.ordinal
    assert told is not None
    assert len(told) > 0
