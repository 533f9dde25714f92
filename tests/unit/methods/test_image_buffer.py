"""The history buffer against a list in Python; its state; replicas."""

import subprocess
import sys

import numpy as np
import tensorflow as tf

from pdm_tf.methods.image_buffer import ImageBuffer

SHAPE = (2, 2, 3)
SEED = tf.constant([3, 4])


def batch(*values):
    return tf.constant(np.stack([np.full(SHAPE, v, np.float32) for v in values]))


def shown(buffer, *values, seed=SEED):
    return [float(x[0, 0, 0]) for x in buffer.exchange(batch(*values), seed)]


def test_size_zero_shows_everything():
    buffer = ImageBuffer(0, SHAPE)
    assert shown(buffer, 1, 2, 3) == [1, 2, 3] and buffer.variables == []


def test_it_fills_first():
    buffer = ImageBuffer(3, SHAPE)
    assert shown(buffer, 1, 2) == [1, 2] and shown(buffer, 3) == [3]
    assert sorted(buffer.variables[0].numpy()[:, 0, 0, 0]) == [1, 2, 3]


def test_afterwards_an_image_is_shown_or_exchanged_with_even_odds():
    """Nothing is lost, nothing is doubled; the odds within 4 standard errors."""
    buffer = ImageBuffer(4, SHAPE)
    shown(buffer, 1, 2, 3, 4)
    held, new_shown, places = {1, 2, 3, 4}, 0, np.zeros(4)
    for first in range(5, 805, 4):
        coming = list(range(first, first + 4))
        before = buffer.variables[0].numpy()[:, 0, 0, 0]
        seen = shown(buffer, *coming)
        after = buffer.variables[0].numpy()[:, 0, 0, 0]
        assert len(set(seen)) == 4
        assert held | set(coming) == set(seen) | set(after)
        held = set(after)
        new_shown += sum(x in coming for x in seen)
        places += before != after
    # An image stored in a batch may be shown later in the same one.
    assert 0.45 < new_shown / 800 < 0.62
    assert places.min() > 0.6 * places.max()


def test_state_and_seed_decide_everything():
    whole, first, second = (ImageBuffer(3, SHAPE) for _ in range(3))
    values = [list(range(i, i + 4)) for i in range(0, 40, 4)]
    expected = [shown(whole, *v) for v in values]
    assert [shown(first, *v) for v in values[:5]] == expected[:5]
    for there, here in zip(first.variables, second.variables, strict=True):
        here.assign(there)
    assert [shown(second, *v) for v in values[5:]] == expected[5:]
    other = ImageBuffer(3, SHAPE)
    found = [shown(other, *v, seed=tf.constant([3, 5])) for v in values]
    assert found[0][:3] == expected[0][:3] and found != expected


def test_no_gradient_goes_through():
    buffer, image = ImageBuffer(2, SHAPE), batch(1)
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_sum(buffer.exchange(image, SEED))
    assert tape.gradient(loss, image) is None


def test_in_a_graph():
    eager, compiled = ImageBuffer(3, SHAPE), ImageBuffer(3, SHAPE)
    graph = tf.function(compiled.exchange, autograph=False)
    for first in range(0, 12, 4):
        images = batch(*range(first, first + 4))
        found = graph(images, SEED).numpy()
        np.testing.assert_array_equal(found, eager.exchange(images, SEED))


def test_compiled_by_xla():
    """Whose random numbers are others."""
    buffer = ImageBuffer(3, SHAPE)
    graph = tf.function(buffer.exchange, jit_compile=True, autograph=False)
    graph(batch(0, 1, 2, 3), SEED)
    seen = graph(batch(4, 5, 6, 7), SEED).numpy()[:, 0, 0, 0]
    held = buffer.variables[0].numpy()[:, 0, 0, 0]
    assert len(set(seen)) == 4 and len(set(held)) == 3
    assert set(seen) | set(held) <= set(range(8)) and int(buffer.variables[1]) == 3


_REPLICAS = """
import numpy as np
import tensorflow as tf
from pdm_tf.methods.image_buffer import ImageBuffer

two = [tf.config.LogicalDeviceConfiguration()] * 2
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
alone = ImageBuffer(3, (2, 2, 3))
with strategy.scope():
    shared = ImageBuffer(3, (2, 2, 3))
seed = tf.constant([3, 4])

@tf.function(autograph=False)
def step(images):
    def part():
        index = tf.distribute.get_replica_context().replica_id_in_sync_group
        return shared.exchange(tf.reshape(images, [2, 2, 2, 2, 3])[index], seed)
    return strategy.run(part)

for first in range(0, 20, 4):
    values = tf.reshape(tf.range(first, first + 4, dtype=tf.float32), [4, 1, 1, 1])
    images = values * tf.ones([1, 2, 2, 3])
    halves = [x.numpy() for x in strategy.experimental_local_results(step(images))]
    np.testing.assert_array_equal(np.concatenate(halves), alone.exchange(images, seed))
    for variable in shared.variables:
        first_copy, second_copy = strategy.experimental_local_results(variable)
        np.testing.assert_array_equal(first_copy, second_copy)
"""


def test_replicas_share_one_history():
    """Two devices with half a batch each equal one device with the whole."""
    subprocess.run([sys.executable, "-c", _REPLICAS], check=True)
