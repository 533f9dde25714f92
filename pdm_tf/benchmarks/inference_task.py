"""One network on one tile in onnxruntime, TensorFlow and PyTorch, taking turns.

Every side takes an LR image as a NumPy array and returns the SR image as one, because
programs have images there; the copies to and from a library's own tensors count as part
of its time. A library is loaded when its first side is built.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pdm_tf.benchmarks import arithmetic
from pdm_tf.benchmarks.measuring import (
    GEMM_SIZE,
    SECTION,
    Measuring,
    alternate,
    describe_machine,
    peak_mb,
    report,
    set_threads,
    task_sections,
)
from pdm_tf.benchmarks.sides import (
    INFERENCE,
    Side,
    asked_for,
    figures,
    gemm_line,
    import_torch_side,
    reference_line,
    side_lines,
)
from pdm_tf.benchmarks.timed import Convolutions, TimedNetwork
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start

# lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h*s, w*s, 3] float32.
Run = Callable[[np.ndarray], np.ndarray]

_WARM_UP = 2  # calls of each side before the first round
# Differences of float32 sums in another order grow with the depth of the network; 1e-3
# of the output's range is far above them and far below any real mistake.
_SAME_WORK = 1e-3
_CALLS_ALONE = 2  # the second may need more than the first: buffers kept in between


@dataclass(frozen=True)
class InferenceBenchmarkConfig(Measuring):
    """The network and image to run, the sides to compare, and the number of rounds.

    Raises:
      UserError: no network or two, or a number is out of range.
    """

    model: str = flag(
        "",
        "The network to run: an ONNX file, a bundle, or a run folder. An ONNX file "
        "without the entries that `python -m export` writes is measured in onnxruntime "
        "alone.",
        section="Network",
    )
    sr_net: str = flag(
        "",
        "Instead of --model: an SR network by name, e.g. edsr, rrdbnet, with random "
        "weights; speed does not depend on them.",
    )
    sr_arg: tuple[str, ...] = flag((), "A setting of --sr_net, e.g. num_blocks=16.")
    seed: int = flag(0, "Decides the random weights and the image.")
    tile: int = flag(
        128, "Side of the LR image, in pixels.", section="Work", at_least=1
    )
    batch_size: int = flag(1, "Images in one call.", at_least=1)
    compare: Literal["none", "torch"] = flag(
        "none",
        "`torch`: also the same network in PyTorch, eager, in its default layout and "
        "in channels_last, with the same weights; needs "
        'pip install "pdm_tf[benchmark]". Ratios are to the faster of the two.',
    )
    bfloat16: bool = flag(
        False,
        "Also TensorFlow in mixed_bfloat16, and PyTorch under bfloat16 autocast; fast "
        "on processors with AMX or AVX-512 BF16 units only.",
    )
    gemm_size: int = flag(2048, GEMM_SIZE, section=SECTION, at_least=1)

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.benchmark inference")
        if bool(self.model) == bool(self.sr_net):
            raise UserError(
                "Either --model or --sr_net must be given. Received: "
                f"--model={self.model!r}, --sr_net={self.sr_net!r}."
            )
        if self.sr_arg and not self.sr_net:
            raise UserError(
                "--sr_arg belongs to --sr_net; a --model has its settings in its file. "
                f"Received: {', '.join(self.sr_arg)}."
            )


SPEC = ProgramSpec(
    module="pdm_tf.benchmark inference",
    config=InferenceBenchmarkConfig,
    intro="Measures one network on one LR image, on the CPU: in onnxruntime, in "
    "TensorFlow, and with --compare=torch in PyTorch, all with the same weights; their "
    "outputs are compared, so that equal work is timed. Prints milliseconds, GFLOP/s, "
    "the share of what matrix products reach, ratios to PyTorch, and peak memory.",
    examples=(
        "python -m pdm_tf.benchmark inference --sr_net=edsr --compare=torch",
        "python -m pdm_tf.benchmark inference --model=out/model.onnx --compare=torch "
        "--output=speed.json",
    ),
    sections=task_sections(InferenceBenchmarkConfig),
)


def main(config: InferenceBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    set_threads(config.threads)
    if config.compare == "torch":  # missing packages are reported before any work
        import_torch_side("torch_networks")
    with quiet_start():
        from pdm_tf.benchmarks import networks
    with tempfile.TemporaryDirectory() as folder:
        if config.model:
            network = networks.open_network(config.model, Path(folder))
        else:
            network = networks.random_network(
                config.sr_net, config.sr_arg, config.seed, Path(folder)
            )
        names = wanted(config, network)
        convolutions = None
        if network.architecture:
            convolutions = networks.read_convolutions(network)
        result = measure(config, network, names, convolutions)
    report(table(result), result, config.output)
    return program.OK


def measure(
    config: InferenceBenchmarkConfig,
    network: TimedNetwork,
    names: Sequence[str],
    convolutions: Convolutions | None,
) -> dict[str, Any]:
    """Measures the sides `names`; returns the content of the JSON file.

    Raises:
      RuntimeError: their outputs are not those of the same network.
    """
    lr_shape = (config.batch_size, config.tile, config.tile, 3)
    lr = np.random.default_rng(config.seed).random(lr_shape, np.float32)
    print("warming up", flush=True)
    runs = {
        name: build_side(
            name, network, convolutions, lr_shape=lr_shape, threads=config.threads
        )
        for name in names
    }
    outputs = {name: _warmed(run, lr) for name, run in runs.items()}
    products = arithmetic.matrix_products(
        config.gemm_size,
        bfloat16=config.bfloat16,
        with_torch=config.compare == "torch",
        numpy_too=not config.threads,
    )
    for product in products.values():
        product()

    def on_round(index: int, seconds: Mapping[str, float]) -> None:
        times = ", ".join(f"{name} {seconds[name] * 1e3:.0f}" for name in names)
        print(f"round {index + 1}/{config.rounds}, ms: {times}", flush=True)

    seconds = alternate(
        {**{name: partial(run, lr) for name, run in runs.items()}, **products},
        rounds=config.rounds,
        calls=config.calls,
        on_round=on_round,
    )
    rates = arithmetic.matmul_rates(
        {name: seconds[name] for name in products}, config.gemm_size
    )
    found = figures(
        INFERENCE,
        {name: seconds[name] for name in names},
        arithmetic.count_onnx(network.path, lr_shape),
        arithmetic.peak_rates(rates),
        _memory(config, network, names, lr_shape),
    )
    for name, difference in differences(outputs).items():
        found["sides"][name]["max_difference"] = difference
    return {
        "task": "inference",
        "network": network.name,
        "architecture": network.architecture,
        "config": dict(network.config),
        "lr_shape": list(lr_shape),
        "sr_shape": list(outputs["onnxruntime"].shape),
        "rounds": config.rounds,
        "calls": config.calls,
        "threads": config.threads,
        "machine": describe_machine(),
        "gemm": arithmetic.rates_to_json(rates, config.gemm_size),
        **found,
    }


def differences(outputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns side -> largest difference from onnxruntime's output.

    Raises:
      RuntimeError: in float32 it is too large for the same network.
    """
    expected = outputs["onnxruntime"]
    result = {}
    for name, output in outputs.items():
        result[name] = float(np.max(np.abs(output - expected)))
        limit = _SAME_WORK * max(1.0, float(np.max(np.abs(expected))))
        if INFERENCE[name].precision == "float32" and not result[name] <= limit:
            raise RuntimeError(
                f"{name} does not compute the same as onnxruntime: the outputs differ "
                f"by {result[name]:.3g}. The times would not be comparable."
            )
    return result


def _warmed(run: Run, lr: np.ndarray) -> np.ndarray:
    for _ in range(_WARM_UP):
        output = run(lr)
    return output


def _memory(
    config: InferenceBenchmarkConfig,
    network: TimedNetwork,
    names: Sequence[str],
    lr_shape: tuple[int, ...],
) -> dict[str, float]:
    if not config.memory:
        return {}
    print("measuring memory", flush=True)
    return {
        name: peak_mb(run_alone, name, network, lr_shape, config.threads)
        for name in names
    }


def wanted(config: InferenceBenchmarkConfig, network: TimedNetwork) -> list[str]:
    """Returns the names of the requested sides.

    Raises:
      UserError: PyTorch is to run a network that only onnxruntime can.
    """
    if not network.architecture:
        if config.compare != "none" or config.bfloat16:
            raise UserError(
                "--compare and --bfloat16 need an ONNX file of one EDSR or RRDBNet "
                "with the entries that python -m export writes, to build the network "
                f"elsewhere. Received: {network.name}."
            )
        return ["onnxruntime"]
    return asked_for(
        INFERENCE, torch=config.compare == "torch", bfloat16=config.bfloat16
    )


def build_side(
    name: str,
    network: TimedNetwork,
    convolutions: Convolutions | None,
    *,
    lr_shape: tuple[int, ...],
    threads: int,
) -> Run:
    """Makes one side ready to run.

    Args:
      name: of `sides.INFERENCE`.
      network: the network to run.
      convolutions: its weights; None takes random ones where the file is not run.
      lr_shape: of the images to come.
      threads: 0 leaves it to the library. TensorFlow's are set by
        `measuring.set_threads`.
    """
    side = INFERENCE[name]
    if side.library == "onnxruntime":
        from pdm_tf.inference.session import open_session

        return open_session(network.path, provider="cpu", threads=threads).run
    if side.library == "torch":
        return import_torch_side("torch_networks").runner(
            network.architecture,
            network.config,
            convolutions,
            channels_last=side.channels_last,
            bfloat16=side.precision == "bfloat16",
            threads=threads,
        )
    return _tensorflow(side, network, convolutions, lr_shape)


def run_alone(
    name: str, network: TimedNetwork, lr_shape: tuple[int, ...], threads: int
) -> None:
    """Runs one side in a process that runs nothing else, to measure its memory.

    Weights are random, of the right size.
    """
    if name.startswith("tensorflow"):
        set_threads(threads)
    run = build_side(name, network, None, lr_shape=lr_shape, threads=threads)
    lr = np.full(lr_shape, 0.5, np.float32)
    for _ in range(_CALLS_ALONE):
        run(lr)


def _tensorflow(
    side: Side,
    network: TimedNetwork,
    convolutions: Convolutions | None,
    lr_shape: tuple[int, ...],
) -> Run:
    with quiet_start():
        import tensorflow as tf

        from pdm_tf.benchmarks.networks import keras_network
    policy = "mixed_bfloat16" if side.precision == "bfloat16" else "float32"
    with tf.device("/CPU:0"):
        keras = keras_network(network, policy, convolutions)

    @tf.function(input_signature=[tf.TensorSpec(lr_shape, tf.float32)], autograph=False)
    def graph(lr: tf.Tensor) -> tf.Tensor:
        return keras(lr, training=False)

    def run(lr: np.ndarray) -> np.ndarray:
        with tf.device("/CPU:0"):
            return graph(tf.constant(lr)).numpy()

    return run


def table(result: Mapping[str, Any]) -> str:
    """Returns the table, with a line above it that describes the run."""
    work = "" if result["gflop"] is None else f", {result['gflop']:.4g} GFLOP"
    sizes = " -> ".join(
        "x".join(str(size) for size in result[key]) for key in ("lr_shape", "sr_shape")
    )
    lines = [
        f"{result['network']}: {sizes}{work}; medians of {result['rounds']} rounds "
        "(least to most)",
        *side_lines(result["sides"]),
        gemm_line(result["gemm"]),
    ]
    if result["references"]:
        lines.append(reference_line(result["references"]))
    lines.append("differs by: largest difference from onnxruntime's output")
    return "\n".join(lines)
