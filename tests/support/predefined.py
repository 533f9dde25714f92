"""Predefined degradations for tests, with the files or parts that some of them need."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from pdm_tf.build_parts import predefined
from pdm_tf.degradations import Degradation
from tests.oracles import gaussian_oracle


@functools.cache
def pool_files() -> tuple[str, str]:
    """Paths of three Gaussian kernels [3, 9, 9] and five patches of noise [5, 7, 7, 3].

    The kernels are centred and of 0.8, 1.1 and 1.4 px.
    """
    folder = Path(tempfile.mkdtemp(prefix="pool"))
    kernels = [
        gaussian_oracle.kernel(9, s**2 * np.eye(2), 0.0) for s in (0.8, 1.1, 1.4)
    ]
    np.save(folder / "kernels.npy", np.stack(kernels).astype(np.float32))
    noise = np.random.default_rng(5).normal(0, 0.02, (5, 7, 7, 3))
    noise -= noise.mean(axis=(1, 2), keepdims=True)
    np.save(folder / "noise.npy", noise.astype(np.float32))
    return str(folder / "kernels.npy"), str(folder / "noise.npy")


def settings_of(name: str) -> list[str]:
    """The `key=value` settings without which a degradation cannot be made."""
    kernels, noise = pool_files()
    return {
        "pool": [f"kernels={kernels}", f"noise={noise}"],
        "mixed": ["parts=awgn_blur,bicubic,gaussian_jpeg"],
    }.get(name, [])


def example(name: str, scale: int) -> Degradation:
    """The predefined degradation of a name, with its defaults where it has them."""
    return predefined(name, settings_of(name), scale)
