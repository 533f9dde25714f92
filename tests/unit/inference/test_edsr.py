"""Exported networks through the engine: tiles equal the whole image, and Keras."""

import numpy as np
import pytest

from pdm_tf.core.images import read_rgb_u8, to_float, to_u8
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.session import open_session


@pytest.fixture(scope="module")
def network():
    import keras

    from pdm_tf.models.sr.edsr import EDSRConfig

    keras.utils.set_random_seed(3)
    return EDSRConfig(scale=4, num_blocks=2, filters=8).build()


@pytest.fixture(scope="module")
def session(network, tmp_path_factory):
    from export.onnx_graph import network_to_onnx

    path = tmp_path_factory.mktemp("edsr") / "model.onnx"
    return open_session(network_to_onnx(network, path), provider="cpu", threads=1)


@pytest.fixture(scope="module")
def photo(repository):
    path = repository / "pdm_tf" / "samples" / "photos_for_lr" / "raccoon.jpg"
    return read_rgb_u8(path)[:90, :131]


def test_the_file_is_enough_to_cut_exactly(session, network):
    engine = Engine(session)
    assert engine.scale == network.config.scale
    assert engine.cutting.overlap == network.config.receptive_radius
    assert engine.cutting.exact


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("size", [(90, 131), (1, 131), (90, 1)])
def test_tiled_equals_whole_to_one_level(session, photo, size, ensemble):
    """Anywhere, borders included; rounding ties are the only reason to differ."""
    photo = photo[: size[0], : size[1]]
    tiled = Engine(session, tile=36, ensemble=ensemble).upscale_array(photo)
    whole = Engine(session, tile=256, ensemble=ensemble)
    assert len(whole.plan(_Size(photo)).rows) == 1
    difference = np.abs(tiled.astype(int) - whole.upscale_array(photo))
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 1e-4


def test_one_pixel_less_than_the_radius_may_show_and_is_not_called_exact(session):
    """The radius in the file is the network's: not a pixel more than it needs.

    Seen in the numbers before rounding, where the outermost influence is small.
    """
    rng = np.random.default_rng(0)
    lr = rng.random((1, 40, 60, 3), np.float32)
    radius = session.info.receptive_radius
    whole = session.run(lr)[:, :, : 30 * 4]
    for missing, same in ((0, True), (2, False)):
        part = session.run(lr[:, :, : 30 + radius - missing])[:, :, : 30 * 4]
        assert (np.abs(part - whole).max() < 1e-6) == same, missing


def test_equals_keras(session, network, photo):
    sr_u8 = Engine(session, tile=36).upscale_array(photo)
    keras_sr = network(to_float(photo)[None]).numpy()[0]
    difference = np.abs(sr_u8.astype(int) - to_u8(keras_sr))
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 1e-3


class _Size:
    layers = 1

    def __init__(self, image):
        self.height, self.width = image.shape[:2]
