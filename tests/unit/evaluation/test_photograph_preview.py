"""The same real photographs at every step: as they are, by bicubic, by the network."""

import keras
import numpy as np

from pdm_tf.core.images import write_png
from pdm_tf.evaluation.baseline import bicubic_upscaler
from pdm_tf.evaluation.photograph_preview import SHOWN, PhotographPreview
from tests.unit.evaluation.fakes import photo


class Repeat(keras.Model):
    """Pixels enlarged, times a factor."""

    def __init__(self):
        super().__init__()
        self.factor = self.add_weight(shape=(), initializer="ones", name="factor")
        self.grow = keras.layers.UpSampling2D(4)

    def call(self, x):
        return self.grow(x) * self.factor


def contains(picture, part):
    """Whether a picture has another one in it, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, part.shape)
    first = np.argwhere((windows[..., 0, 0, :] == part[0, 0]).all(axis=-1))
    return any(np.array_equal(windows[tuple(at)], part) for at in first)


def test_rows_of_real_bicubic_and_network(tmp_path):
    """Follows the weights; unreadable files and empty places are left out."""
    for index in range(SHOWN + 2):
        write_png(tmp_path / f"{index}.png", photo(index, 24, 32))
    (tmp_path / "0.png").write_bytes(b"broken")
    shows, network = PhotographPreview(str(tmp_path), 4, "pixel0"), Repeat()
    first = shows(network, 100)
    assert first.dtype == np.uint8 and first.ndim == 3
    shown = photo(1, 24, 32)
    bicubic = bicubic_upscaler(4, "pixel0")(shown)
    part = np.s_[40:44, 40:80]  # enough to be found by
    assert contains(first, bicubic[part])
    assert contains(first, shown.repeat(4, 0).repeat(4, 1)[part])
    network.factor.assign(0.5)
    darker = shows(network, 200)
    assert darker.shape == first.shape and darker.mean() < first.mean() - 5
    empty = tmp_path / "empty"
    empty.mkdir()
    assert PhotographPreview(str(empty), 4, "pixel0")(network, 1) is None
