"""What every degradation keeps: the predefined ones, and those that are networks."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.degradations import DEGRADATIONS, BatchShard
from tests.unit.degradations.networks import tiny_pdm

SEED = tf.constant([3, 4])
MAKERS = {
    **{name: lambda make=make: make(2) for name, make in DEGRADATIONS.items()},
    "pdm": tiny_pdm,
    "mirroring pdm": lambda: tiny_pdm(border="reflect"),
    "spatial pdm": lambda: tiny_pdm(spatial=True),
}


def crops(degradation, count, lr_side=12):
    side = degradation.hr_side(lr_side)
    rng = np.random.default_rng(1)
    return tf.constant(rng.random((count, side, side, 3)), tf.float32)


@pytest.fixture(params=MAKERS)
def degradation(request):
    return MAKERS[request.param]()


def test_synthesised_crops_have_the_side_asked_for(degradation):
    hr = crops(degradation, 2)
    assert degradation.lr_shape(hr) == (2, 12, 12)
    degraded = degradation.synthesise(hr, SEED)
    assert degraded.lr.shape == degraded.clean_lr.shape == (2, 12, 12, 3)
    assert degraded.lr.dtype == tf.float32


def test_shards_of_a_batch_are_its_rows(degradation):
    """So that several devices degrade as one does."""
    hr = crops(degradation, 4)
    whole = degradation.synthesise(hr, SEED).lr
    for index in range(2):
        rows = slice(2 * index, 2 * index + 2)
        part = degradation.synthesise(hr[rows], SEED, BatchShard(index, 2)).lr
        np.testing.assert_allclose(part, whole[rows], atol=2e-6)


def test_a_graph_for_any_batch_gives_the_same(degradation):
    side = degradation.hr_side(12)
    signature = [
        tf.TensorSpec([None, side, side, 3], tf.float32),
        tf.TensorSpec([2], tf.int32),
    ]
    synthesise = tf.function(
        lambda hr, seed: degradation.synthesise(hr, seed).lr, input_signature=signature
    )
    hr = crops(degradation, 2)
    wanted = degradation.synthesise(hr, SEED).lr
    np.testing.assert_allclose(synthesise(hr, SEED), wanted, atol=1e-5)


def test_crops_without_margin_are_mirrored_as_the_network_mirrors():
    """A network trained with border="reflect" makes the same of crops bit for bit."""
    pdm = tiny_pdm(border="reflect")
    hr = crops(pdm, 3)
    assert (pdm.margin, pdm.crop_margin, hr.shape[1]) == (2, 0, 24)
    wanted = pdm(hr, *pdm.draw(3, 12, 12, SEED), training=False)
    np.testing.assert_array_equal(pdm.synthesise(hr, SEED).lr, wanted.lr)
