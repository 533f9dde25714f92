"""The contract of every metric: one battery for all of METRICS.

A new line in the table is tested by itself.
"""

import functools
import json

import numpy as np
import pytest

from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.core.errors import UserError
from pdm_tf.metrics import METRICS
from pdm_tf.metrics.niqe import fit_model, niqe_features, save_model
from pdm_tf.models.features import LPIPSConfig
from tests.unit.evaluation.fakes import photo

# What the smallest image of each metric that has a limit of its own is.
TOO_SMALL = {
    "ssim": (10, 40),
    "ssim_y": (40, 10),
    "psnr_shift": (12, 40),
    "psnr_ntire2018": (159, 200),
    "ssim_ntire2018_release": (200, 159),
    "lpips_alex": (30, 40),
    "lpips_vgg": (40, 15),
    "lpips_squeeze": (16, 40),
    "niqe": (96, 191),
}


@pytest.fixture(scope="module")
def file_of(tmp_path_factory):
    """metric -> what its --metric_arg would name; made when it is asked for."""
    folder = tmp_path_factory.mktemp("files")

    @functools.cache
    def made(name):
        if name == "niqe":
            features = [niqe_features(photo(seed, 480, 480))[0] for seed in range(2)]
            model = fit_model("two pictures", np.concatenate(features))
            return str(save_model(model, folder / "niqe.npz"))
        network = LPIPSConfig(name.removeprefix("lpips_"), filters=8).build()
        return str(save_bundle(network, folder / name, step=0))

    return made


@pytest.fixture(scope="module")
def ready(file_of):
    """metric -> its entry, opened."""

    @functools.cache
    def opened(name):
        spec = METRICS[name]
        return spec.opened(file_of(name)) if spec.opener else spec

    return opened


@pytest.mark.parametrize("name", sorted(METRICS))
def test_entry(name, ready):
    """Named as listed; prefers the better image; details are JSON; both calls agree."""
    spec = ready(name)
    assert spec.name == name
    rng = np.random.default_rng(0)
    hr = photo(9, 192, 200)
    slight, heavy = (
        np.clip(hr + rng.normal(0, sigma, hr.shape), 0, 255).astype(np.uint8)
        for sigma in (4, 60)
    )
    kept = slight.copy(), hr.copy()
    better, worse = spec.fn(slight, hr), spec.fn(heavy, hr)
    assert (better > worse) == spec.higher_is_better
    value, details = spec.measure(slight, hr)
    assert value == better and type(value) is float
    json.dumps(details)
    assert (spec.fn(slight, slight) == better) == (not spec.needs_reference)
    np.testing.assert_array_equal(kept, (slight, hr))  # B27: inputs are not changed


@pytest.mark.parametrize("name", TOO_SMALL)
def test_too_small_is_refused_with_the_rule(name, ready):
    height, width = TOO_SMALL[name]
    image = photo(0, height, width)
    with pytest.raises(UserError, match=rf"{name}.*{width}x{height} \(width x height"):
        ready(name).measure(image, image)


@pytest.mark.parametrize(
    "name", [name for name, spec in METRICS.items() if spec.opener is not None]
)
def test_metrics_with_a_file_say_what_it_is_and_what_they_used(name, file_of, ready):
    image = photo(0, 192, 200)
    with pytest.raises(UserError, match=f"{name} needs .*(bundle|parameter set)"):
        METRICS[name].measure(image, image)
    assert len(ready(name).source) > 10
    other = "niqe" if name != "niqe" else "lpips_alex"
    with pytest.raises(UserError, match="Received|No bundle here"):
        METRICS[name].opened(file_of(other))


def test_metrics_without_a_file_take_none():
    with pytest.raises(UserError, match="psnr needs no file. Received: x.npz"):
        METRICS["psnr"].opened("x.npz")


def test_shift_is_reported():
    """The displacement travels with the score as [dy, dx]."""
    rng = np.random.default_rng(1)
    scene = rng.integers(0, 256, (50, 50, 3)).astype(np.uint8)
    _, details = METRICS["psnr_shift"].measure(scene[8:40, 7:39], scene[10:42, 4:36])
    assert details == {"shift": [2, -3]}


def test_names_fixed_by_scripts():
    """reports and flags rely on these names."""
    assert {"psnr", "ssim", "psnr_shift"} <= set(METRICS)
