"""Blur and degradation in TensorFlow and PyTorch, taking turns.

A side is a function without arguments that works on tensors made beforehand, and
returns a result to be compared: see `sides.CASES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pdm_tf.benchmarks.measuring import (
    CALLS,
    ROUNDS,
    SECTION,
    Measuring,
    alternate,
    check_batch_for_torch,
    describe_machine,
    peak_mb,
    ratio,
    report,
    set_threads,
    summary,
    task_sections,
)
from pdm_tf.benchmarks.sides import (
    CASES,
    DEGRADING,
    Side,
    aligned_table,
    fastest,
    format_ms,
    format_range,
    format_value,
    import_torch_side,
)
from pdm_tf.benchmarks.timed import TimedDegradation, weights_of
from pdm_tf.cli import program
from pdm_tf.cli.component import parse_args, to_json_dict
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start

Run = Callable[[], np.ndarray]

_WARM_UP = 2  # calls of each side before the first round
# Of the largest value; float32 sums over a whole patch in another order differ by some
# 1e-6, other work by more than this.
_SAME_WORK = 1e-3
_CALLS_ALONE = 2  # the second may need more than the first: buffers kept in between


@dataclass(frozen=True)
class DegradeBenchmarkConfig(Measuring):
    """The degradation to run, the sides to compare, and the number of rounds.

    Raises:
      UserError: flags contradict each other, or a number is out of range.
    """

    batch_size: int = flag(
        8, "HR patches in one call.", section="Degradation", at_least=1
    )
    lr_patch: int = flag(32, "Side of the results in LR pixels.", at_least=1)
    scale: int = flag(4, "How many times larger HR patches are, per side.", at_least=1)
    border: Literal["reflect", "valid"] = flag(
        "reflect",
        "`reflect` mirrors patches at their edges, as the published code does; `valid` "
        "takes larger ones.",
    )
    kernel_arg: tuple[str, ...] = flag(
        (),
        "A setting of the kernel module, e.g. kernel_size=21; the defaults are the "
        "paper's.",
    )
    noise: bool = flag(False, "Whether the degradation has a noise module.")
    noise_arg: tuple[str, ...] = flag(
        (), "A setting of the noise module, e.g. num_blocks=8."
    )
    seed: int = flag(0, "Decides weights, latents and patches.")
    compare: Literal["none", "torch"] = flag(
        "none",
        "`torch`: also PyTorch, eager, with the blur as `unfold`, which the published "
        "code does, and as grouped convolution; needs "
        'pip install "pdm_tf[benchmark]". Results are compared, so that equal work is '
        "timed.",
        section="Work",
    )
    rounds: int = flag(15, ROUNDS, section=SECTION, at_least=1)
    calls: int = flag(5, CALLS, at_least=1)

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.benchmark degrade")
        if self.noise_arg and not self.noise:
            raise UserError(
                "--noise_arg has no meaning with --nonoise. "
                f"Received: {', '.join(self.noise_arg)}."
            )
        check_batch_for_torch(self.compare, self.batch_size)


SPEC = ProgramSpec(
    module="pdm_tf.benchmark degrade",
    config=DegradeBenchmarkConfig,
    intro="Measures blur and downsampling with one kernel per image, forward and with "
    "the gradient of the kernels, and the whole degradation model, forward and "
    "backward, on the CPU; with --compare=torch also in PyTorch. Prints milliseconds, "
    "ratios to both of PyTorch's forms, and peak memory.",
    examples=(
        "python -m pdm_tf.benchmark degrade --compare=torch",
        "python -m pdm_tf.benchmark degrade --batch_size=32 --lr_patch=48 "
        "--output=speed.json",
    ),
    sections=task_sections(DegradeBenchmarkConfig),
)


def main(config: DegradeBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    set_threads(config.threads)
    if config.compare == "torch":  # missing packages are reported before any work
        import_torch_side("torch_degradation")
    result = measure(config)
    report(table(result), result, config.output)
    return program.OK


def measure(config: DegradeBenchmarkConfig) -> dict[str, Any]:
    """Measures the requested sides; returns the content of the JSON file.

    Raises:
      UserError: a setting does not exist, or PyTorch's side lacks it.
      RuntimeError: the sides of a case do not compute the same.
    """
    with_torch = config.compare == "torch"
    names = [name for name, side in DEGRADING.items() if with_torch or not side.blur]
    print("warming up", flush=True)
    pdm = build_pdm(config)
    runs = build_sides(names, pdm, config)
    for _ in range(_WARM_UP):
        outputs = {name: run() for name, run in runs.items()}
    seconds = alternate(
        runs,
        rounds=config.rounds,
        calls=config.calls,
        on_round=lambda index, _: print(f"round {index + 1}/{config.rounds}"),
    )
    megabytes = {}
    if config.memory:
        print("measuring memory", flush=True)
        timed = TimedDegradation.of(pdm.config)
        for name in names:
            megabytes[name] = peak_mb(run_alone, name, config, timed)
    return {
        "task": "degrade",
        "config": to_json_dict(config),
        "kernel_size": pdm.config.kernel.kernel_size,
        "machine": describe_machine(),
        **figures(seconds, differences(outputs), megabytes),
    }


def figures(
    seconds: Mapping[str, Sequence[float]],
    difference: Mapping[str, float],
    peak_mb: Mapping[str, float],
) -> dict[str, Any]:
    """Summarises the measurements.

    Args:
      seconds: side -> seconds of a call in each round.
      difference: side -> see `differences`.
      peak_mb: side -> peak memory; empty: not measured.

    Returns:
      "references" (case -> form -> its faster layout) and "sides", each with a ratio to
      both forms.
    """
    references: dict[str, dict[str, str]] = {}
    for case in CASES:
        for form in ("unfold", "grouped"):
            names = [
                name
                for name in seconds
                if (DEGRADING[name].case, DEGRADING[name].blur) == (case, form)
            ]
            if names:
                references.setdefault(case, {})[form] = fastest(names, seconds)
    entries = {}
    for name, values in seconds.items():
        compared = references.get(DEGRADING[name].case, {})
        entries[name] = {
            "ms": summary([1e3 * value for value in values]).to_json(),
            "ratios": {
                form: ratio(values, seconds[other]).to_json()
                for form, other in compared.items()
            },
            "relative_difference": difference[name],
            "peak_mb": peak_mb.get(name),
        }
    return {"references": references, "sides": entries}


def differences(outputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns side -> largest difference from ours, of the largest value.

    Raises:
      RuntimeError: it is too large for the same work.
    """
    result = {}
    for name, output in outputs.items():
        expected = outputs[f"{DEGRADING[name].case}: tensorflow"]
        largest = float(np.max(np.abs(expected)))
        result[name] = float(np.max(np.abs(output - expected))) / largest
        if not result[name] <= _SAME_WORK:
            raise RuntimeError(
                f"{name} does not compute the same as ours: the results differ by "
                f"{result[name]:.3g} of the largest. Times would not be comparable."
            )
    return result


def table(result: Mapping[str, Any]) -> str:
    """Returns the table, with a line above it that describes the run."""
    config, side = result["config"], result["kernel_size"]
    size = config["lr_patch"] * config["scale"]
    heads = ("", "ms", "time / unfold", "time / grouped", "differs by", "peak MB")
    rows = [
        (
            name,
            format_ms(entry["ms"]),
            format_range(entry["ratios"].get("unfold")),
            format_range(entry["ratios"].get("grouped")),
            f"{entry['relative_difference']:.1e}",
            format_value(entry["peak_mb"]),
        )
        for name, entry in result["sides"].items()
    ]
    lines = [
        f"{config['batch_size']} patches of {size} x {size} HR pixels, by "
        f"{config['scale']}, kernels of {side} x {side}; medians of "
        f"{config['rounds']} rounds (least to most)",
        *aligned_table([heads, *rows]),
    ]
    if result["references"]:
        lines.append(
            "time / unfold, time / grouped: over that of PyTorch with that form of the "
            "blur, in its faster layout; below 1 is faster. differs by: from ours, of "
            "the largest value"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class Inputs:
    """The inputs of every side.

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


def random_inputs(timed: TimedDegradation, config: DegradeBenchmarkConfig) -> Inputs:
    """Returns inputs that are a function of the seed."""
    generator = np.random.default_rng(config.seed)
    settings = timed.config["kernel"]
    batch, side = config.batch_size, settings["kernel_size"]
    margin = side // 2 if config.border == "valid" else 0
    size = config.lr_patch * config.scale + 2 * margin
    noise = timed.config["noise"]
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
    side: Side,
    timed: TimedDegradation,
    inputs: Inputs,
    weights: dict[str, np.ndarray] | None,
    threads: int,
) -> Run:
    """Makes a side of PyTorch; without `weights`, with random ones."""
    module = import_torch_side("torch_degradation", threads)
    if side.case.startswith("blur"):
        backward = "gradient" in side.case
        return module.timed_blur(
            timed, side.blur, inputs.hr, inputs.kernel, backward=backward
        )
    return module.timed_degradation(
        timed,
        side.blur,
        inputs.hr,
        weights,
        (inputs.z_k, inputs.z_n),
        channels_last=side.channels_last,
    )


def build_sides(
    names: list[str], pdm: Any, config: DegradeBenchmarkConfig
) -> dict[str, Run]:
    """Makes sides ready to run, all with the same weights and inputs.

    Raises:
      UserError: PyTorch's side lacks a setting of `pdm`.
    """
    timed = TimedDegradation.of(pdm.config)
    if config.compare == "torch":
        timed.require_torch()
    inputs = random_inputs(timed, config)
    weights = weights_of({"pdm": pdm})["pdm"]
    return {
        name: torch_side(DEGRADING[name], timed, inputs, weights, config.threads)
        if DEGRADING[name].blur
        else our_side(DEGRADING[name].case, pdm, inputs)
        for name in names
    }


def run_alone(
    name: str, config: DegradeBenchmarkConfig, timed: TimedDegradation
) -> None:
    """Runs one side in a process that runs nothing else, to measure its memory."""
    side, inputs = DEGRADING[name], random_inputs(timed, config)
    if side.blur:
        run = torch_side(side, timed, inputs, None, config.threads)
    else:
        set_threads(config.threads)
        run = our_side(side.case, build_pdm(config), inputs)
    for _ in range(_CALLS_ALONE):
        run()
