"""Recomputed blocks: the same gradients, fewer activations kept."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.models.network import recomputed
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig

NETS = [
    EDSRConfig(scale=2, filters=8, num_blocks=3),
    RRDBNetConfig(scale=2, filters=8, growth=4, num_blocks=2),
]


def gradients(config, layer_names, lr):
    keras.utils.set_random_seed(0)
    with recomputed(layer_names):
        network = config.build()
    variables = network.trainable_variables

    @tf.function(autograph=False)
    def run(lr):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network(lr, training=True)))
        return tape.gradient(loss, variables)

    graph = run.get_concrete_function(lr).graph
    convolutions = sum(op.type == "Conv2D" for op in graph.get_operations())
    for function in graph._functions.values():
        convolutions += sum(
            n.op == "Conv2D" for n in function.cached_definition.node_def
        )
    return run(lr), network, convolutions


@pytest.mark.parametrize("config", NETS, ids=lambda c: type(c).__name__)
def test_the_same_gradients_with_the_blocks_computed_twice(config):
    lr = np.random.default_rng(0).random((2, 6, 6, 3), np.float32)
    plain, network, once = gradients(config, [], lr)
    again, other, twice = gradients(config, config.block_names, lr)
    for a, b, v in zip(plain, again, network.trainable_variables, strict=True):
        scale = np.abs(a).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * scale, err_msg=v.path)
    per_block = {"EDSRConfig": 2, "RRDBNetConfig": 5}[type(config).__name__]
    assert twice - once == per_block * len(config.block_names)
    for one, two in zip(network.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    assert dataclasses.asdict(other.config) == dataclasses.asdict(config)
