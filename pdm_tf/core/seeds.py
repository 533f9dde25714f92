"""Seeds of named random streams: a function of (seed, stream), nothing else.

All randomness here is stateless: a draw depends on the run's seed, the name of what is
drawn, and a global index. This file makes the first two into a TensorFlow stateless
seed. A hash, because nearby seeds must give unrelated streams, and because a stream
added later must not shift the others.
"""

import hashlib


def stream_seed(seed: int, stream: str) -> tuple[int, int]:
    """Returns two integers in [0, 2**31) for `tf.random.stateless_*`.

    Args:
      seed: the run's seed, any integer.
      stream: what is drawn, e.g. "hr/crop"; different names are independent.
    """
    # Streams may be named after files, whose names need not be UTF-8.
    text = f"{int(seed)}/{stream}".encode("utf-8", "surrogateescape")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    first = int.from_bytes(digest[:4], "little") & 0x7FFFFFFF
    second = int.from_bytes(digest[4:], "little") & 0x7FFFFFFF
    return first, second
