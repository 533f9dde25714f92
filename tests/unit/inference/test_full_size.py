"""Networks in their usual sizes: cut as recommended, they equal the whole image.

Slow (two minutes of two cores). Weights are random, those of the residual branches
made stronger than they start, as training does; the more they weigh, the further a
network sees.
"""

import numpy as np
import pytest

from pdm_tf.core.images import read_rgb_u8, to_float, to_u8
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.session import open_session

HEIGHT, WIDTH = 120, 160


@pytest.fixture(scope="module")
def photo(repository):
    path = repository / "pdm_tf" / "samples" / "photos_for_lr" / "raccoon.jpg"
    return read_rgb_u8(path)[100 : 100 + HEIGHT, 80 : 80 + WIDTH]


def exported(config, strength, photo, path):
    """A session; the network's output on the photograph has a photograph's contrast."""
    import keras

    from export.onnx_graph import network_to_onnx

    keras.utils.set_random_seed(1)
    network = config.build()
    for variable in network.trainable_variables:
        if "/block_" in variable.path and "kernel" in variable.path:
            variable.assign(variable * strength)
    kernel, bias = network.tail.trainable_variables
    part = to_float(photo[None, ::2, ::2])
    kernel.assign(kernel * (0.2 / network(part).numpy().std((0, 1, 2))))
    bias.assign(bias + 0.5 - network(part).numpy().mean((0, 1, 2)))
    return open_session(network_to_onnx(network, path), provider="cpu")


def check(session, photo, overlap):
    """At most one level apart, anywhere, with the cutting that nobody chose."""
    cutting = Engine(session).cutting
    assert cutting.overlap == overlap
    tile = 2 * (cutting.overlap + cutting.blend) + 20  # several in each direction
    tiled = Engine(session, tile=tile, overlap=overlap, blend=cutting.blend)
    sr = session.run(to_float(photo)[None])[0]
    assert sr.std((0, 1)).min() > 0.1 and np.mean((sr > 0) & (sr < 1)) > 0.8
    difference = np.abs(tiled.upscale_array(photo).astype(int) - to_u8(sr))
    print(f"largest {difference.max()}, share {np.mean(difference > 0):.1e}")
    assert difference.max() <= 1
    return cutting.exact


@pytest.mark.slow
@pytest.mark.parametrize("strength", [1.0, 1.5])
def test_edsr(tmp_path, photo, strength):
    from pdm_tf.models.sr import EDSRConfig

    session = exported(EDSRConfig(), strength, photo, tmp_path / "model.onnx")
    assert check(session, photo, overlap=36)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [1.0, 5.0])
def test_rrdbnet(tmp_path, photo, strength):
    from pdm_tf.models.sr import RRDBNetConfig

    session = exported(RRDBNetConfig(), strength, photo, tmp_path / "model.onnx")
    assert not check(session, photo, overlap=24)


@pytest.mark.slow
def test_rrdbnet_without_overlap_is_another_image(tmp_path, photo):
    """The bound above is one that can be missed."""
    from pdm_tf.models.sr import RRDBNetConfig

    session = exported(RRDBNetConfig(), 5.0, photo, tmp_path / "model.onnx")
    tiled = Engine(session, tile=64, overlap=2, blend=0).upscale_array(photo)
    sr = session.run(to_float(photo)[None])[0]
    assert np.abs(tiled.astype(int) - to_u8(sr)).max() > 1
