"""LPIPS as a metric: 8-bit RGB in, the network's distance out; wrong bundles refused.

The network itself: tests/unit/models/features.
"""

import numpy as np
import pytest

from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.core.errors import UserError
from pdm_tf.metrics.lpips import open_lpips
from pdm_tf.models.features import LPIPSConfig, VGGConfig
from tests.unit.evaluation.fakes import photo


@pytest.fixture
def network():
    return LPIPSConfig("alex", filters=8).build()


def saved(network, folder):
    return str(save_bundle(network, folder, step=0))


def test_is_the_distance_of_the_images_in_0_to_1(network, tmp_path):
    """Catches 0..255 given to the network, and a wrong order of channels (B26)."""
    lpips, source = open_lpips("alex", saved(network, tmp_path))
    hr = photo(0, 40, 52)
    sr = np.clip(hr + np.random.default_rng(0).normal(0, 9, hr.shape), 0, 255)
    sr = sr.astype(np.uint8)
    images = [(x / 255.0).astype(np.float32)[None] for x in (sr, hr)]
    wanted = float(network(*images)[0])
    assert lpips(sr, hr) == pytest.approx(wanted, rel=1e-5) and wanted > 1e-3
    assert lpips(sr[..., ::-1], hr[..., ::-1]) != pytest.approx(wanted, rel=1e-3)
    assert lpips(hr, hr) == 0
    assert "AlexNet" in source


def test_other_networks_and_negative_heads_are_refused(network, tmp_path):
    path = saved(network, tmp_path / "alex")
    with pytest.raises(UserError, match="lpips_vgg needs .*VGG16.*holds LPIPS alex"):
        open_lpips("vgg", path)
    features = VGGConfig(depth=16, filters=2).build()
    save_bundle(features, tmp_path / "vgg", step=0)
    with pytest.raises(UserError, match="holds VGG"):
        open_lpips("vgg", str(tmp_path / "vgg"))
    kernel = network.heads[2].kernel
    kernel.assign(kernel - 1.5)
    with pytest.raises(UserError, match="not be negative.*head 2 with -0.5"):
        open_lpips("alex", saved(network, tmp_path / "negative"))
    with pytest.raises(UserError, match="No bundle here"):
        open_lpips("alex", str(tmp_path / "nothing"))
