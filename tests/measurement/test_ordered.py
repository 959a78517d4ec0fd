import numpy as np
import pandas as pd
import pytest

import sqmodel as sq
from sqmodel.errors import ComputationError, PositiveDefiniteWarning
from tests.oracles import frame, reference


def test_correlations_and_thresholds_are_lavaans():
    expected = reference("bfi")["polychoric_lavaan"]["rho"]
    found = sq.correlate_ordered(frame("bfi"), items=expected["rows"])
    np.testing.assert_allclose(found.correlations, np.array(expected["values"], dtype=float), atol=1e-6)
    first = found.thresholds.iloc[0]
    assert (first["item"], first["number"]) == ("A1", 1)
    assert first["value"] == pytest.approx(reference("bfi")["thresholds_lavaan"]["A1|t1"], abs=1e-7)
    assert first["proportion"] == pytest.approx((frame("bfi")["A1"] == 1).mean())
    assert not found.smoothed
    assert repr(found).startswith("<OrderedCorrelations 25 items, n=2436, ")


def test_correlations_that_do_not_go_together_are_smoothed_with_a_warning():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(40, 1)) + 0.25 * rng.normal(size=(40, 9))
    data = pd.DataFrame(np.searchsorted([0.0, 1.5], z), columns=[f"x{k}" for k in range(9)])
    with pytest.warns(PositiveDefiniteWarning, match="eigenvalues were raised to 0.0001"):
        found = sq.correlate_ordered(data)
    assert found.smoothed
    assert np.linalg.eigvalsh(found.correlations)[0] > 0
    np.testing.assert_allclose(np.diag(found.correlations), 1)
    assert repr(found).endswith(", smoothed>")


def test_a_constant_item_is_named():
    with pytest.raises(ComputationError) as caught:
        sq.correlate_ordered(pd.DataFrame({"a": [1, 2, 1, 2], "b": 3}))
    assert str(caught.value) == "expected answers that differ, found one answer only for b; leave out items or groups"
