"""Trains the tiny PDM-SR or PDM-SRGAN on N virtual devices and writes its weights.

    python -m tests.unit.training.replica_program OUT.npz N ACCUMULATE PRECISION NORM \
        [METHOD]

NORM is that of the discriminator; "spectral" brings batch normalisation to the others.

TensorFlow settles its devices once per process, so each number needs its own.
"""

import dataclasses
import sys

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.training.replicas import ONE_DEVICE, Replicas
from tests.unit.methods import tiny
from tests.unit.training.toy import toy_step

STEPS = 3
BATCH = 4


def main(
    path: str,
    count: int,
    accumulate: int,
    precision: str,
    norm: str,
    name: str = "pdm_sr",
) -> None:
    """Trains; writes weights as "network.path" and scalars as "scalar.name"."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    virtual = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(cpu, virtual)
    replicas = ONE_DEVICE
    if count > 1:
        names = [f"CPU:{i}" for i in range(count)]
        replicas = Replicas(tf.distribute.MirroredStrategy(names))
    policy = {"float32": "float32", "float16": "mixed_float16"}[precision]
    keras.utils.set_random_seed(0)
    # What couples the rows of a batch, where the parts are meant to be coupled.
    inner = "batch" if norm == "spectral" else "layer"
    kernel = dataclasses.replace(tiny.KERNEL, normalization=inner)
    noise = dataclasses.replace(tiny.NOISE, normalization=inner)
    with replicas.scope():
        networks = {
            "pdm": tiny.pdm(kernel, noise, policy),
            "discriminator": tiny.discriminator(policy, normalization=norm),
            "sr": tiny.sr(policy),
        }
        method = {"pdm_sr": tiny.pdm_sr, "pdm_srgan": tiny.pdm_srgan}[name](networks)
    rng = np.random.default_rng(0)
    images = {
        name: rng.integers(0, 256, (STEPS * BATCH, patch, patch, 3)) / 255
        for name, patch in method.patches.items()
    }
    whole = {name: np.float32(value) for name, value in images.items()}
    dataset = tf.data.Dataset.from_tensor_slices(whole).repeat()
    batches = replicas.iterator(dataset.batch(BATCH, drop_remainder=True), BATCH)
    step_function = toy_step(method, replicas, accumulate=accumulate)
    for step in range(STEPS):
        step_function(batches, step)
    values = {f"scalar.{k}": v for k, v in step_function.fetch().items()}
    for name, network in method.networks.items():
        values |= {f"{name}.{v.path}": v.numpy() for v in network.variables}
    for name, variables in step_function.ema.variables.items():
        values |= {f"ema.{name}.{i}": v.numpy() for i, v in enumerate(variables)}
    np.savez(path, traces=step_function.traces, **values)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
