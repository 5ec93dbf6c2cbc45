"""Models with products of observed variables."""

from __future__ import annotations

import numpy as np
import pandas as pd

import fosa_sem as fs


def frame_with_product() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    x, z = rng.normal(size=(2, 400))
    frame = pd.DataFrame({"x": x, "z": z, "y": x + 0.5 * z + 0.8 * x * z + rng.normal(size=400)})
    return frame.mask(rng.random(frame.shape) < 0.1)


def test_a_product_is_the_same_model_as_a_column_of_products() -> None:
    data = frame_with_product()
    ours = fs.sem("y ~ x + z + x:z", data, fixed_x=False)
    by_hand = fs.sem("y ~ x + z + xz", data.assign(xz=data["x"] * data["z"]), fixed_x=False)
    assert abs(ours.loglik - by_hand.loglik) < 1e-8
    np.testing.assert_allclose(ours.params, by_hand.params)


def test_completed_tables_have_no_new_column_and_evaluation_hides_the_parts() -> None:
    data = frame_with_product()
    imputer = fs.FosaImputer("y ~ x + z + x:z", refiner=None)
    completed = imputer.fit_transform(data)
    assert list(completed.columns) == ["x", "z", "y"]
    assert not completed.isna().any().any()
    assert set(imputer.evaluate()["variable"]) == {"x", "z", "y", "overall"}
