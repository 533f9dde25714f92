"""How long a step of training takes here: the processors or the GPU that it would use.

On random patches, since what they show does not matter; reading photographs is not
counted, which training does beside its steps.
"""

import dataclasses
import time

from pdm_tf.benchmarks.train_sides import random_images
from pdm_tf.core.quiet import quiet_start
from pdm_tf.train_config import TrainConfig

_TIMED = 3


def step_seconds(training: TrainConfig) -> float:
    """Seconds of one step, the least of a few; building and tracing are not counted.

    Args:
      training: of the run; its folders are not read.

    Raises:
      UserError: the flags describe no training.
    """
    with quiet_start():
        import tensorflow as tf

        from pdm_tf import build
        from pdm_tf.methods.base import FULL_BATCH

    folders = {name: "(made)" for name in build.folders_read(training)}
    method = build.build_method(dataclasses.replace(training, **folders))
    step = build.compiled_step(method, training)
    images = random_images(method.patches, training.batch_size, training.seed)
    batch = {name: tf.constant(values) for name, values in images.items()}
    if method.prepare_batch is not None:  # is the input pipeline's work
        batch = dict(method.prepare_batch(batch, tf.constant(0, tf.int64), FULL_BATCH))
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    seconds = []
    for index in range(1 + _TIMED):
        start = time.monotonic()
        step(batches, index)
        step.fetch()  # waits for the device
        seconds.append(time.monotonic() - start)
    return min(seconds[1:])
