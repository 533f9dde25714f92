"""The METRICS table: one battery for every entry."""

import json

import numpy as np
import pytest

from pdm_tf.metrics import METRICS


@pytest.mark.parametrize("name", sorted(METRICS))
def test_entry(name):
    """Named as listed; prefers the better image; details are JSON; both calls agree."""
    spec = METRICS[name]
    assert spec.name == name
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (32, 40, 3)).astype(np.uint8)
    slight, heavy = (
        np.clip(hr + rng.normal(0, sigma, hr.shape), 0, 255).astype(np.uint8)
        for sigma in (4, 60)
    )
    better, worse = spec.fn(slight, hr), spec.fn(heavy, hr)
    assert (better > worse) == spec.higher_is_better
    value, details = spec.measure(slight, hr)
    assert value == better
    json.dumps(details)


def test_shift_is_reported():
    """The displacement travels with the score as [dy, dx]."""
    rng = np.random.default_rng(1)
    scene = rng.integers(0, 256, (50, 50, 3)).astype(np.uint8)
    _, details = METRICS["psnr_shift"].measure(scene[8:40, 7:39], scene[10:42, 4:36])
    assert details == {"shift": [2, -3]}


def test_names_fixed_by_scripts():
    """reports and flags rely on these names."""
    assert {"psnr", "ssim", "psnr_shift"} <= set(METRICS)
