"""PyTorch's DataLoader on images in memory: the other side of the pipeline's ratio.

The same work as the streams of `pdm_tf.data`: a drawn crop of a drawn image, flipped
and turned, in float32. Written for speed as a PyTorch user would: the pixels are in
shared memory, workers cut with NumPy and collate bytes, and the batch as a whole
becomes float, which is faster than sending four times the bytes between processes.
Images are HWC in memory and batches are NCHW, PyTorch's layout.

Workers are spawned, not forked: this process has TensorFlow's threads.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

_LENGTH = 1 << 40  # samples; the same images are drawn for ever


@dataclass(frozen=True)
class Images:
    """The images of one stream.

    Attributes:
      pixels: all of them behind one another, flat uint8, rows of RGB pixels.
      offsets: [count], where in `pixels` each starts.
      sizes: [count, 2] (height, width).
      patch: side of the crops.
    """

    pixels: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    patch: int


class Patches(Dataset):
    """Random patches of several streams, whatever the index."""

    def __init__(self, streams: Mapping[str, Images]) -> None:
        self._streams = streams
        self._shared = {
            name: torch.from_numpy(images.pixels.copy()).share_memory_()
            for name, images in streams.items()
        }

    def __len__(self) -> int:
        return _LENGTH

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: self._patch(name) for name in self._streams}

    def __getstate__(self) -> dict[str, object]:
        # The pixels go to the workers once, as shared memory.
        empty = np.zeros(0, np.uint8)
        streams = {
            name: Images(empty, images.offsets, images.sizes, images.patch)
            for name, images in self._streams.items()
        }
        return {"_streams": streams, "_shared": self._shared}

    def _patch(self, name: str) -> torch.Tensor:
        images = self._streams[name]
        side = images.patch
        place = random.randrange(len(images.offsets))
        height, width = images.sizes[place]
        start = images.offsets[place]
        flat = self._shared[name].numpy()[start : start + height * width * 3]
        top = random.randrange(height - side + 1)
        left = random.randrange(width - side + 1)
        image = flat.reshape(height, width, 3)
        patch = image[top : top + side, left : left + side]
        if random.random() < 0.5:
            patch = patch[:, ::-1]
        patch = np.rot90(patch, random.randrange(4)).transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(patch)).float().div_(255)


def batches(
    streams: Mapping[str, Images], batch_size: int, workers: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Returns batches {name: [batch_size, 3, patch, patch] float32 in [0, 1]}.

    Args:
      streams: name -> its images.
      batch_size: patches of each stream in a batch.
      workers: processes that cut.
    """
    return iter(
        DataLoader(
            Patches(streams),
            batch_size=batch_size,
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,
        )
    )
