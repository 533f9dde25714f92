"""The ways to run one joint training step: ours as the loop runs it, and PyTorch's.

A side is a function without arguments that trains one step on a batch in memory, waits
until it is done, and returns its losses under the names that training logs.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from pdm_tf.benchmarks.figures import Side
from pdm_tf.benchmarks.learning_subject import (
    DegradationSubject,
    TrainingSubject,
    Weights,
)
from pdm_tf.benchmarks.machine import set_threads
from pdm_tf.benchmarks.rounds import alternate
from pdm_tf.benchmarks.torch_import import import_torch_side
from pdm_tf.cli.flags_benchmark_train import TrainBenchmarkConfig
from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start

Step = Callable[[], Mapping[str, float]]

SIDES = {
    "tensorflow": Side("tensorflow"),
    "tensorflow_bfloat16": Side("tensorflow", "bfloat16"),
    "torch": Side("torch"),
    "torch_channels_last": Side("torch", channels_last=True),
    "torch_bfloat16": Side("torch", "bfloat16"),
    "torch_channels_last_bfloat16": Side("torch", "bfloat16", channels_last=True),
}
LOSSES = ("loss/g_adv", "loss/d_lr", "loss/sr_l1")
_STEPS_ALONE = 2  # the second may need more than the first: buffers kept in between


def build_method(config: TrainBenchmarkConfig, precision: str) -> Any:
    """Returns the method, with its networks, as training builds it.

    Raises:
      UserError: the flags describe none, or one without a joint step.
    """
    with quiet_start():
        import tensorflow as tf

        from pdm_tf import build
    with tf.device("/CPU:0"):
        method = build.build_method(config.training(bfloat16=precision == "bfloat16"))
    if method.config.training != "joint":
        raise UserError(
            "The joint step is measured, --method_arg=training=joint. "
            f"Received: {method.config.training}."
        )
    return method


def our_step(
    method: Any, config: TrainBenchmarkConfig, precision: str, images: Any
) -> Step:
    """Makes our side; `images` as `random_images` makes them."""
    import tensorflow as tf

    from pdm_tf import build

    with tf.device("/CPU:0"):
        training = config.training(bfloat16=precision == "bfloat16")
        step = build.compiled_step(method, training)
        batches = iter(tf.data.Dataset.from_tensors(dict(images)).repeat())
    return functools.partial(_call, step, batches, itertools.count())


def _call(
    step: Any, batches: Iterator[Any], indices: Iterator[int]
) -> Mapping[str, float]:
    """The one place that knows how a compiled step is called."""
    import tensorflow as tf

    with tf.device("/CPU:0"):
        step(batches, next(indices))
        scalars = step.fetch()  # waits for the device
    return {name: scalars[name] for name in LOSSES}


def torch_step(
    name: str,
    subject: TrainingSubject,
    weights: Weights | None,
    images: Mapping[str, np.ndarray],
    *,
    blur: str,
    threads: int,
) -> Step:
    """Makes a side of PyTorch.

    Args:
      name: of `SIDES`.
      subject: what is trained.
      weights: to start from; None takes random ones.
      images: as `random_images` makes them.
      blur: form of the blur.
      threads: 0 leaves it to PyTorch.
    """
    module = import_torch_side("torch_training", threads)
    side = SIDES[name]
    step = module.JointStep(
        subject,
        weights,
        channels_last=side.channels_last,
        bfloat16=side.precision == "bfloat16",
        blur=blur,
    )
    return functools.partial(step, *step.on(images["hr"], images["real_lr"]))


def faster_blur(subject: TrainingSubject, hr: np.ndarray, threads: int) -> str:
    """Returns the form of PyTorch's blur that is faster here, forward and backward."""
    work = import_torch_side("torch_degrade", threads)
    forms = {
        form: work.blur(subject.degradation, form, hr, backward=True)
        for form in import_torch_side("torch_degradation").BLURS
    }
    for run in forms.values():
        run()
    seconds = alternate(forms, rounds=5)
    return min(forms, key=lambda form: min(seconds[form]))


def subject_of(method: Any, config: TrainBenchmarkConfig) -> TrainingSubject:
    """Describes what a method trains."""
    networks = method.networks
    return TrainingSubject(
        batch_size=config.batch_size,
        lr_patch=config.lr_patch,
        hr_patch=method.patches["hr"],
        degradation=degradation_of(networks["pdm"].config),
        discriminator=dataclasses.asdict(networks["discriminator"].config),
        architecture=type(networks["sr"]).__name__,
        sr=dataclasses.asdict(networks["sr"].config),
        method=dataclasses.asdict(method.config),
        learning_rate=config.training(bfloat16=False).learning_rate,
        clip_norm=config.training(bfloat16=False).clip_norm,
        torch_maps=config.torch_maps,
    )


def degradation_of(config: Any) -> DegradationSubject:
    """Describes the degradation model of a `PDMConfig`."""
    from pdm_tf.ops.blur import grid_geometry

    return DegradationSubject(
        dataclasses.asdict(config), *grid_geometry(config.scale, config.grid)
    )


def weights_of(networks: Mapping[str, Any]) -> Weights:
    """Returns a copy of the variables of Keras networks, by their path below each."""
    return {
        name: {
            variable.path.partition("/")[2]: np.array(variable.value)
            for variable in network.variables
        }
        for name, network in networks.items()
    }


def random_images(subject: TrainingSubject, seed: int) -> dict[str, np.ndarray]:
    """Returns "hr" and "real_lr", NHWC float32, on the grid of 8 bits."""
    generator = np.random.default_rng(seed)

    def patches(size: int) -> np.ndarray:
        shape = (subject.batch_size, size, size, 3)
        return (generator.integers(0, 256, shape) / 255.0).astype(np.float32)

    return {"hr": patches(subject.hr_patch), "real_lr": patches(subject.lr_patch)}


def operations(method: Any, subject: TrainingSubject) -> int:
    """Returns the floating-point operations that our step needs."""
    import tensorflow as tf

    from pdm_tf.benchmarks import graph_flops
    from pdm_tf.methods.base import FULL_BATCH

    streams = {"hr": subject.hr_patch, "real_lr": subject.lr_patch}
    specs = {
        name: tf.TensorSpec([subject.batch_size, size, size, 3])
        for name, size in streams.items()
    }
    train_step = method.train_step_for(0)

    @tf.function(autograph=False)
    def step(batch: Any, index: tf.Tensor) -> Any:
        return train_step(batch, index, FULL_BATCH)

    index = tf.TensorSpec([], tf.int64)
    return graph_flops.count(step.get_concrete_function(specs, index))


def run_alone(
    name: str,
    config: TrainBenchmarkConfig,
    subject: TrainingSubject | None = None,
    blur: str = "",
) -> None:
    """Runs one side in a process that runs nothing else, to measure its memory.

    `subject` and `blur` are for PyTorch's sides.
    """
    if SIDES[name].library == "torch":
        images = random_images(subject, config.seed)
        threads = config.threads
        step = torch_step(name, subject, None, images, blur=blur, threads=threads)
    else:
        set_threads(config.threads)
        method = build_method(config, SIDES[name].precision)
        images = random_images(subject_of(method, config), config.seed)
        step = our_step(method, config, SIDES[name].precision, images)
    for _ in range(_STEPS_ALONE):
        step()
