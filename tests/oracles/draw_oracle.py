"""The draws of a data stream, one sample at a time, in NumPy.

The bits are Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3"), keyed as TensorFlow documents for its stateless generators: one application
to the seed gives the key and the counter of the next. The order of the images within
an epoch is TensorFlow's `index_shuffle`, called for one index.
"""

import numpy as np
import tensorflow as tf

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_INCREMENTS = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Ten rounds on four 32-bit words."""
    counter, key = list(counter), list(key)
    for _ in range(10):
        first = _MULTIPLIERS[0] * counter[0]
        second = _MULTIPLIERS[1] * counter[2]
        counter = [
            (second >> 32) ^ counter[1] ^ key[0],
            second & _WORD,
            (first >> 32) ^ counter[3] ^ key[1],
            first & _WORD,
        ]
        key = [
            (word + step) & _WORD for word, step in zip(key, _INCREMENTS, strict=True)
        ]
    return counter


def stateless_bits(seed: tuple[int, int]) -> list[int]:
    """The first four words of `tf.random.stateless_uniform` of uint32 for a seed."""
    words = [half for value in seed for half in (value & _WORD, value >> 32 & _WORD)]
    mixed = philox(words, [0x3EC8F720, 0x02461E29])
    return philox([0, 0, mixed[2], mixed[3]], mixed[:2])


def draw(
    index: int, sizes: np.ndarray, patch: int, keys: tuple[int, int]
) -> tuple[int, int, int, int]:
    """(image, top, left, symmetry) of sample `index`.

    Args:
      index: of the sample.
      sizes: [count, 2] (height, width).
      patch: side of the crop.
      keys: of the stream's images and of its crops.
    """
    count = len(sizes)
    epoch, place = divmod(index, count)
    shuffled = tf.random.experimental.index_shuffle(
        tf.constant(place, tf.int64),
        tf.constant([keys[0], epoch], tf.int64),
        tf.constant(count - 1, tf.int64),
    )
    image = (int(shuffled) + stateless_bits((keys[0], epoch))[0]) % count
    down, right, symmetry, _ = stateless_bits((keys[1], index))
    height, width = sizes[image]
    top, left = down % (height - patch + 1), right % (width - patch + 1)
    return image, int(top), int(left), symmetry % 8
