"""What this machine can reach: the rate of plain matrix products.

A convolution is a matrix product with extra memory traffic, so no network runs faster
than the best product of its precision. Every library that takes part brings its own, is
measured in the same rounds as the networks, and the best median is the peak.
"""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from pdm_tf.benchmarks.rounds import Summary, summary
from pdm_tf.benchmarks.torch_import import import_torch_side


def products(
    size: int,
    *,
    bfloat16: bool,
    with_torch: bool,
    numpy_too: bool,
) -> dict[str, Callable[[], object]]:
    """Returns what to time: "gemm LIBRARY PRECISION" -> one product.

    Args:
      size: side of the square matrices.
      bfloat16: also in that precision.
      with_torch: PyTorch's too.
      numpy_too: False when a number of threads was asked for, which NumPy's library
        would not know.
    """
    import tensorflow

    torch = import_torch_side("torch_networks").torch if with_torch else None
    left = np.random.default_rng(0).standard_normal((size, size), np.float32)
    right = np.ascontiguousarray(left.T)
    sides = {"gemm numpy float32": lambda: left @ right} if numpy_too else {}
    for precision in ("float32", "bfloat16") if bfloat16 else ("float32",):
        product = _tensorflow(tensorflow, left, right, precision)
        sides[f"gemm tensorflow {precision}"] = product
        if torch is not None:
            sides[f"gemm torch {precision}"] = _torch(torch, left, right, precision)
    return sides


def rates(seconds: Mapping[str, Sequence[float]], size: int) -> dict[str, Summary]:
    """Returns GFLOP/s of each product; one takes 2 * size**3 operations."""
    work = 2e-9 * size**3
    return {
        name: summary([work / value for value in values])
        for name, values in seconds.items()
    }


def peaks(gflops: Mapping[str, Summary]) -> dict[str, float]:
    """Returns the best median of each precision, in GFLOP/s."""
    best: dict[str, float] = {}
    for name, rate in gflops.items():
        precision = name.rpartition(" ")[2]
        best[precision] = max(best.get(precision, 0.0), rate.median)
    return best


def to_json(gflops: Mapping[str, Summary], size: int) -> dict[str, Any]:
    """Returns what a report says about the products."""
    return {
        "size": size,
        "gflops": {name: rate.to_json() for name, rate in gflops.items()},
        "peak_gflops": peaks(gflops),
    }


def _tensorflow(
    tf: ModuleType, left: np.ndarray, right: np.ndarray, precision: str
) -> Callable[[], object]:
    with tf.device("/CPU:0"):
        a, b = (tf.cast(tf.constant(m), precision) for m in (left, right))

    def run() -> object:
        with tf.device("/CPU:0"):
            return tf.matmul(a, b)[0, 0].numpy()  # waits for the result

    return run


def _torch(
    torch: ModuleType, left: np.ndarray, right: np.ndarray, precision: str
) -> Callable[[], object]:
    dtype = getattr(torch, precision)
    a, b = (torch.from_numpy(m).to(dtype) for m in (left, right))
    return lambda: a @ b
