"""A picture of the same few real photographs as the network gets better at them.

One row for each photograph: its most textured region as it is, by bicubic, and by the
network. They are the user's own LR photographs, so that what a run is worth can be seen
without any pairs.
"""

from collections.abc import Callable

import keras
import numpy as np

from pdm_tf.core import draw
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.data.sources import list_entries
from pdm_tf.evaluation.baseline import bicubic_upscaler
from pdm_tf.evaluation.image_set import evenly
from pdm_tf.evaluation.regions import compare_region
from pdm_tf.evaluation.runner import Upscaler, keras_upscaler

SHOWN = 4
_WIDTH = 96  # LR pixels of a region: a row of three is 1152 px wide at x4


class PhotographPreview:
    """Maps a network to a picture of what it makes of a few photographs.

    The photographs are read at the first call and kept.
    """

    def __init__(self, location: str, scale: int, grid: str) -> None:
        """Notes what to show.

        Args:
          location: folder or shards of LR photographs.
          scale: of the networks.
          grid: where they put LR pixels; bicubic does likewise.
        """
        self._location, self._scale = location, scale
        self._bicubic = bicubic_upscaler(scale, grid)
        self._photographs: list[tuple[str, np.ndarray]] | None = None
        # The network is kept with its function, so that an id is never used again.
        self._compiled: dict[int, tuple[keras.Model, Upscaler]] = {}

    def __call__(self, network: keras.Model, step: int) -> np.ndarray | None:
        """[H, W, 3] uint8: rows of real LR, bicubic, network; None without any."""
        if self._photographs is None:
            self._photographs = _read(self._location)
        if not self._photographs:
            return None
        if id(network) not in self._compiled:
            upscale = keras_upscaler(network, self._scale)
            self._compiled[id(network)] = (network, upscale)
        upscale = self._compiled[id(network)][1]
        rows = [self._row(name, lr_u8, upscale) for name, lr_u8 in self._photographs]
        title = f"the same real photographs after {step:,} steps"
        return draw.with_title(draw.tile_grid(rows, gap=8), title)

    def _row(
        self, name: str, lr_u8: np.ndarray, upscale: Callable[[np.ndarray], np.ndarray]
    ) -> list[np.ndarray]:
        found = compare_region(
            name, lr_u8, self._scale, upscale, self._bicubic, width=_WIDTH
        )
        top, left, height, width = found.place
        part = lr_u8[top : top + height, left : left + width]
        pictures = (
            (draw.enlarge(part, self._scale), [name, "real LR, pixels enlarged"]),
            (found.bicubic_u8, ["bicubic"]),
            (found.sr_u8, ["network"]),
        )
        return [draw.with_label(picture, lines) for picture, lines in pictures]


def _read(location: str) -> list[tuple[str, np.ndarray]]:
    """Reads SHOWN photographs, evenly by name; unreadable ones are left out."""
    found = []
    try:
        entries = evenly(list_entries(location), SHOWN)
    except UserError:
        return []  # said when the folder was opened for training
    for entry in entries:
        try:
            found.append((entry.name, entry.read()))
        except ImageError:
            continue
    return found
