"""The ways to degrade: ours, and PyTorch's with either form of the blur.

A side is a function without arguments that works on tensors made beforehand, and
returns a result to be compared: see `CASES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdm_tf.benchmarks.learning_subject import DegradationSubject
from pdm_tf.benchmarks.machine import set_threads
from pdm_tf.benchmarks.torch_import import import_torch_side
from pdm_tf.benchmarks.train_sides import degradation_of, weights_of
from pdm_tf.cli.component import parse_args
from pdm_tf.cli.flags_benchmark_degrade import DegradeBenchmarkConfig
from pdm_tf.core.quiet import quiet_start

Run = Callable[[], np.ndarray]

# What is timed -> what a side returns.
CASES = {
    "blur": "[B, h, w, 3]",
    "blur, gradient": "[B, K*K], of the sum of the squared results",
    "degradation, gradient": "[K*K], the same for the bias of the kernel's logits",
}
_CALLS_ALONE = 2  # the second may need more than the first: buffers kept in between


@dataclass(frozen=True)
class DegradingSide:
    """One way.

    Attributes:
      case: of `CASES`.
      form: of PyTorch's blur; "" for ours.
      channels_last: memory layout of PyTorch's modules.
    """

    case: str
    form: str = ""
    channels_last: bool = False


def _sides() -> dict[str, DegradingSide]:
    sides = {}
    for case in CASES:
        sides[f"{case}: tensorflow"] = DegradingSide(case)
        for form in ("unfold", "grouped"):
            name = f"{case}: torch_{form}"
            sides[name] = DegradingSide(case, form)
            if case.startswith("degradation"):
                sides[f"{name}_channels_last"] = DegradingSide(case, form, True)
    return sides


SIDES = _sides()


@dataclass(frozen=True)
class Inputs:
    """What every side is given.

    Attributes:
      hr: [B, H, W, 3] float32 in [0, 1], with the margin that the blur eats.
      kernel: [B, K*K], or [B, h, w, K*K] for a form with one per pixel; sums to 1.
      z_k: [B, 1, 1, f_k], or [B, h, w, f_k] when `spatial`; None for netK(x).
      z_n: [B, h, w, f_n], or None without a noise module.
    """

    hr: np.ndarray
    kernel: np.ndarray
    z_k: np.ndarray | None
    z_n: np.ndarray | None


def random_inputs(
    subject: DegradationSubject, config: DegradeBenchmarkConfig
) -> Inputs:
    """Returns inputs that are a function of the seed."""
    generator = np.random.default_rng(config.seed)
    settings = subject.config["kernel"]
    batch, side = config.batch_size, settings["kernel_size"]
    margin = side // 2 if config.border == "valid" else 0
    size = config.lr_patch * config.scale + 2 * margin
    noise = subject.config["noise"]
    grid = (config.lr_patch, config.lr_patch)
    per_pixel = settings["spatial"] or settings["use_image"]
    places = (batch, *grid) if per_pixel else (batch,)
    kernel = generator.random((*places, side * side), np.float32)
    latent_places = grid if settings["spatial"] else (1, 1)
    draws_z_k = settings["latent"] == "normal" or not settings["use_image"]
    draws_z_n = noise is not None and noise["latent"] == "normal"
    return Inputs(
        hr=generator.random((batch, size, size, 3), np.float32),
        kernel=kernel / kernel.sum(-1, keepdims=True),
        z_k=generator.standard_normal(
            (batch, *latent_places, settings["latent_channels"]), np.float32
        )
        if draws_z_k
        else None,
        z_n=generator.standard_normal(
            (batch, *grid, noise["latent_channels"]), np.float32
        )
        if draws_z_n
        else None,
    )


def build_pdm(config: DegradeBenchmarkConfig) -> Any:
    """Returns the degradation model, weights a function of the seed.

    Raises:
      UserError: it has no such setting.
    """
    with quiet_start():
        import keras
        import tensorflow as tf

        from pdm_tf.degradations import (
            KernelModuleConfig,
            NoiseModuleConfig,
            PDMConfig,
        )
    keras.utils.set_random_seed(config.seed)
    kernel = parse_args(
        KernelModuleConfig, config.kernel_arg, KernelModuleConfig.paper()
    )
    noise = None
    if config.noise:
        noise = parse_args(
            NoiseModuleConfig, config.noise_arg, NoiseModuleConfig.paper()
        )
    with tf.device("/CPU:0"):
        return PDMConfig(
            scale=config.scale, kernel=kernel, noise=noise, border=config.border
        ).build(name="pdm")


def our_side(case: str, pdm: Any, inputs: Inputs) -> Run:
    """Makes our side of a case."""
    import tensorflow as tf

    from pdm_tf.ops.blur import blur_downsample

    settings = pdm.config
    geometry = {"grid": settings.grid, "border": settings.border}

    def blurred(hr: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        per_image = kernel.shape.rank == 2
        kernels = kernel[:, tf.newaxis, tf.newaxis, :] if per_image else kernel
        return blur_downsample(hr, kernels, settings.scale, **geometry)

    def gradient(hr: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            total = tf.reduce_sum(tf.square(blurred(hr, kernel)))
        return tape.gradient(total, kernel)

    module = pdm.kernel_module
    bias = (module.basis_module if settings.kernel.basis else module).to_logits.bias
    at = [variable is bias for variable in pdm.trainable_variables].index(True)

    def whole(hr: tf.Tensor, z_k: tf.Tensor, z_n: tf.Tensor | None) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            lr = pdm(hr, z_k, z_n, training=True).lr
            total = tf.reduce_sum(tf.square(lr))
        return tape.gradient(total, pdm.trainable_variables)

    functions = {
        "blur": (blurred, (inputs.hr, inputs.kernel), None),
        "blur, gradient": (gradient, (inputs.hr, inputs.kernel), None),
        "degradation, gradient": (whole, (inputs.hr, inputs.z_k, inputs.z_n), at),
    }
    function, arrays, index = functions[case]
    with tf.device("/CPU:0"):
        graph = tf.function(function, autograph=False)
        tensors = [None if array is None else tf.constant(array) for array in arrays]

    def run() -> np.ndarray:
        with tf.device("/CPU:0"):
            results = graph(*tensors)
        return (results if index is None else results[index]).numpy()

    return run


def torch_side(
    side: DegradingSide,
    subject: DegradationSubject,
    inputs: Inputs,
    weights: dict[str, np.ndarray] | None,
    threads: int,
) -> Run:
    """Makes a side of PyTorch; without `weights`, with random ones."""
    module = import_torch_side("torch_degrade", threads)
    if side.case.startswith("blur"):
        backward = "gradient" in side.case
        return module.blur(
            subject, side.form, inputs.hr, inputs.kernel, backward=backward
        )
    return module.degradation(
        subject,
        side.form,
        inputs.hr,
        weights,
        (inputs.z_k, inputs.z_n),
        channels_last=side.channels_last,
    )


def build(names: list[str], pdm: Any, config: DegradeBenchmarkConfig) -> dict[str, Run]:
    """Makes sides ready to run, all with the same weights and inputs.

    Raises:
      UserError: PyTorch's side lacks a setting of `pdm`.
    """
    subject = degradation_of(pdm.config)
    if config.compare == "torch":
        subject.require_torch()
    inputs = random_inputs(subject, config)
    weights = weights_of({"pdm": pdm})["pdm"]
    return {
        name: torch_side(SIDES[name], subject, inputs, weights, config.threads)
        if SIDES[name].form
        else our_side(SIDES[name].case, pdm, inputs)
        for name in names
    }


def run_alone(
    name: str, config: DegradeBenchmarkConfig, subject: DegradationSubject
) -> None:
    """Runs one side in a process that runs nothing else, to measure its memory."""
    side, inputs = SIDES[name], random_inputs(subject, config)
    if side.form:
        run = torch_side(side, subject, inputs, None, config.threads)
    else:
        set_threads(config.threads)
        run = our_side(side.case, build_pdm(config), inputs)
    for _ in range(_CALLS_ALONE):
        run()
