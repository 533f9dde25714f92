"""The ways to run one training step: ours as the loop runs it, and PyTorch's.

A side is a function without arguments that trains one step on a batch in memory, waits
until it is done, and returns its losses under the names that training logs.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from pdm_tf.benchmarks import arithmetic
from pdm_tf.benchmarks.measuring import alternate, set_threads
from pdm_tf.benchmarks.sides import TRAINING, import_torch_side
from pdm_tf.benchmarks.timed import TimedDegradation, TimedStep, Weights
from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start
from pdm_tf.train_config import TrainConfig

Step = Callable[[], Mapping[str, float]]

LOSSES = ("loss/g_adv", "loss/d_lr", "loss/sr_l1")
_STEPS_ALONE = 2  # the second may need more than the first: buffers kept in between


def build_method(training: TrainConfig) -> Any:
    """Returns the method, with its networks, as training builds it.

    Raises:
      UserError: the flags describe none.
    """
    with quiet_start():
        import tensorflow as tf

        from pdm_tf import build
    folders = {name: "(made)" for name in build.folders_read(training)}
    with tf.device("/CPU:0"):
        return build.build_method(dataclasses.replace(training, **folders))


def our_step(method: Any, training: TrainConfig, images: Any, first: int = 0) -> Step:
    """Makes our side.

    Args:
      method: as `build_method` returns it.
      training: of the run.
      images: as `random_images` makes them.
      first: index of the first step, which decides the phase.
    """
    import tensorflow as tf

    from pdm_tf import build
    from pdm_tf.methods.base import FULL_BATCH

    with tf.device("/CPU:0"):
        step = build.compiled_step(method, training)
        batch = {name: tf.constant(values) for name, values in images.items()}
        if method.prepare_batch is not None:  # is the input pipeline's work
            index = tf.constant(first, tf.int64)
            batch = dict(method.prepare_batch(batch, index, FULL_BATCH))
        batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    return functools.partial(_call, step, batches, itertools.count(first))


def _call(
    step: Any, batches: Iterator[Any], indices: Iterator[int]
) -> Mapping[str, float]:
    """Calls a compiled step, the one place that knows how."""
    import tensorflow as tf

    with tf.device("/CPU:0"):
        step(batches, next(indices))
        scalars = step.fetch()  # waits for the device
    return {name: x for name, x in scalars.items() if name.startswith("loss/")}


def torch_step(
    name: str,
    timed: TimedStep,
    weights: Weights | None,
    images: Mapping[str, np.ndarray],
    *,
    blur: str,
    threads: int,
) -> Step:
    """Makes a side of PyTorch.

    Args:
      name: of `sides.TRAINING`.
      timed: the networks to train.
      weights: to start from; None takes random ones.
      images: as `random_images` makes them.
      blur: form of the blur.
      threads: 0 leaves it to PyTorch.
    """
    module = import_torch_side("torch_training", threads)
    side = TRAINING[name]
    step = module.JointStep(
        timed,
        weights,
        channels_last=side.channels_last,
        bfloat16=side.precision == "bfloat16",
        blur=blur,
    )
    return functools.partial(step, *step.on(images["hr"], images["real_lr"]))


def faster_blur(timed: TimedStep, hr: np.ndarray, threads: int) -> str:
    """Returns the form of PyTorch's blur that is faster here, forward and backward."""
    torch_degradation = import_torch_side("torch_degradation", threads)
    forms = {
        form: torch_degradation.timed_blur(timed.degradation, form, hr, backward=True)
        for form in torch_degradation.BLURS
    }
    for run in forms.values():
        run()
    seconds = alternate(forms, rounds=5)
    return min(forms, key=lambda form: min(seconds[form]))


def timed_step(method: Any, training: TrainConfig, torch_maps: int = 1) -> TimedStep:
    """Describes PDM-SR's joint step and its networks.

    Raises:
      UserError: it is another step.
    """
    if training.method != "pdm_sr" or method.config.training != "joint":
        raise UserError(
            "--compare=torch has the joint step of PDM-SR, --method=pdm_sr "
            f"--method_arg=training=joint. Received: {training.method}, "
            f"{', '.join(training.method_arg)}."
        )
    networks = method.networks
    return TimedStep(
        batch_size=training.batch_size,
        lr_patch=training.lr_patch,
        hr_patch=method.patches["hr"],
        degradation=TimedDegradation.of(networks["pdm"].config),
        discriminator=dataclasses.asdict(networks["discriminator"].config),
        architecture=type(networks["sr"]).__name__,
        sr=dataclasses.asdict(networks["sr"].config),
        method=dataclasses.asdict(method.config),
        learning_rate=training.learning_rate,
        clip_norm=training.clip_norm,
        torch_maps=torch_maps,
    )


def random_images(
    patches: Mapping[str, int], batch_size: int, seed: int
) -> dict[str, np.ndarray]:
    """Returns a batch of each stream, NHWC float32, on the grid of 8 bits.

    Args:
      patches: stream name -> side of its patches, as of `Method.patches`.
      batch_size: images of each.
      seed: decides the values.
    """
    generator = np.random.default_rng(seed)

    def made(size: int) -> np.ndarray:
        shape = (batch_size, size, size, 3)
        return (generator.integers(0, 256, shape) / 255.0).astype(np.float32)

    return {name: made(size) for name, size in patches.items()}


def operations(method: Any, batch_size: int, first: int = 0) -> int:
    """Returns the floating-point operations that our step needs.

    Args:
      method: as `build_method` returns it.
      batch_size: images of each stream.
      first: index of the step, which decides the phase.
    """
    import tensorflow as tf

    from pdm_tf.methods.base import FULL_BATCH

    images = random_images(method.patches, batch_size, 0)
    if method.prepare_batch is not None:
        index = tf.constant(first, tf.int64)
        images = method.prepare_batch(
            {name: tf.constant(x) for name, x in images.items()}, index, FULL_BATCH
        )
    specs = {name: tf.TensorSpec(x.shape) for name, x in images.items()}
    train_step = method.train_step_for(first)

    @tf.function(autograph=False)
    def step(batch: Any, index: tf.Tensor) -> Any:
        return train_step(batch, index, FULL_BATCH)

    index = tf.TensorSpec([], tf.int64)
    return arithmetic.count_traced(step.get_concrete_function(specs, index))


def run_alone(
    name: str,
    training: TrainConfig,
    threads: int,
    timed: TimedStep | None = None,
    blur: str = "",
    first: int = 0,
) -> None:
    """Runs one side in a process that runs nothing else, to measure its memory.

    `timed` and `blur` are for PyTorch's sides, `first` for ours.
    """
    if TRAINING[name].library == "torch":
        images = random_images(timed.patches, timed.batch_size, training.seed)
        step = torch_step(name, timed, None, images, blur=blur, threads=threads)
    else:
        set_threads(threads)
        method = build_method(training)
        images = random_images(method.patches, training.batch_size, training.seed)
        step = our_step(method, training, images, first)
    for _ in range(_STEPS_ALONE):
        step()
