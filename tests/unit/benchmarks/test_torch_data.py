"""The DataLoader's side does the same work: crops of the images, all turns, float32."""

import numpy as np
import pytest

from tests.oracles.d4_oracle import d4

pytest.importorskip(
    "torch", reason='needs PyTorch, the other side: pip install "pdm_tf[benchmark]"'
)
from pdm_tf.benchmarks import torch_data  # noqa: E402

SIZES = np.array([(5, 7), (6, 4)])


def stream(patch, seed):
    lengths = SIZES.prod(axis=1) * 3
    pixels = np.random.default_rng(seed).integers(0, 256, lengths.sum(), np.uint8)
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return torch_data.Images(pixels, offsets, SIZES, patch)


def windows(images):
    """Every patch that may be drawn."""
    side, found = images.patch, set()
    for start, (height, width) in zip(images.offsets, images.sizes, strict=True):
        flat = images.pixels[start : start + height * width * 3]
        picture = flat.reshape(height, width, 3)
        for top in range(height - side + 1):
            for left in range(width - side + 1):
                crop = picture[top : top + side, left : left + side]
                found |= {d4(crop, symmetry).tobytes() for symmetry in range(8)}
    return found


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_hold_drawn_patches(workers):
    streams = {"hr": stream(4, 1), "real_lr": stream(3, 2)}
    known = {name: windows(images) for name, images in streams.items()}
    seen = {name: set() for name in streams}
    batches = torch_data.batches(streams, 16, workers)
    for _ in range(40):
        for name, patches in next(batches).items():
            side = streams[name].patch
            assert patches.shape == (16, 3, side, side)
            u8 = np.rint(patches.numpy() * 255).astype(np.uint8)
            np.testing.assert_array_equal(patches, u8.astype(np.float32) / 255)
            seen[name] |= {patch.transpose(1, 2, 0).tobytes() for patch in u8}
    for name in streams:
        assert seen[name] <= known[name]
        # 640 draws of 56 or 184 patches: hardly any is left out.
        assert len(seen[name]) > 0.9 * len(known[name])
