"""Galleries of kernels."""

import numpy as np

from pdm_tf.evaluation.kernels import kernel_comparison


def _delta(row, column, side=41):
    kernel = np.zeros((side, side))
    kernel[row, column] = 1.0
    return kernel


def test_comparison_draws_every_group():
    """Two groups of different kernel sizes below each other."""
    picture = kernel_comparison(
        [
            ("learned", np.stack([_delta(3, 3, 7)] * 5)),
            ("true", np.stack([_delta(10, 10, 21)] * 30)),
        ],
        columns=4,
        rows=2,
    )
    alone = kernel_comparison(
        [("learned", np.stack([_delta(3, 3, 7)] * 5))], columns=4, rows=2
    )
    assert picture.dtype == np.uint8 and picture.shape[0] > alone.shape[0]
