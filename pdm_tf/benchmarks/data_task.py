"""Compares the input pipeline with the training step: whether training waits for data.

With --compare=torch also against PyTorch's DataLoader on the same images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pdm_tf.benchmarks.measuring import (
    OUTPUT,
    SECTION,
    Summary,
    alternate,
    ratio,
    report,
    summary,
)
from pdm_tf.benchmarks.sides import import_torch_side
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, sections_of
from pdm_tf.core.checks import check_flags
from pdm_tf.core.quiet import quiet_start
from pdm_tf.train_config import TrainConfig

_DATA_FACTOR = 20  # batches of a pipeline round for each step of a training round
_VERBS = {"training": "consumes", "pipeline": "delivers", "torch": "delivers"}


@dataclass(frozen=True)
class DataBenchmarkConfig(TrainConfig):
    """A training configuration and how to measure it."""

    compare: Literal["none", "torch"] = flag(
        "none",
        "`torch`: also PyTorch's DataLoader, with the same images in memory and the "
        'same work; needs pip install "pdm_tf[benchmark]".',
        section=SECTION,
    )
    workers: int = flag(
        2,
        "Processes of PyTorch's DataLoader; 0 takes none besides the main one.",
        at_least=0,
    )
    rounds: int = flag(
        5,
        "Measurements of each side; medians and spreads are over these.",
        at_least=1,
    )
    round_steps: int = flag(
        10,
        "Training steps in one round; the pipeline's rounds take 20 times as many "
        "batches.",
        at_least=1,
    )
    output: str = flag("", OUTPUT)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flags(self, "pdm_tf.benchmark data")


SPEC = ProgramSpec(
    module="pdm_tf.benchmark data",
    config=DataBenchmarkConfig,
    intro="Measures how many patches the input pipeline delivers and how many the "
    "training step consumes, per second, taking turns in one run; with --compare=torch "
    "what PyTorch's DataLoader delivers too. Takes the flags of pdm_tf.train, which "
    "describe what is run; nothing is written to --run_dir. Folders may be TFRecord "
    "shards, and --cache_mb=0 has our pipeline decode every image each time.",
    examples=(
        "python -m pdm_tf.benchmark data --flagfile=configs/quickstart.flags",
        "python -m pdm_tf.benchmark data --flagfile=configs/quickstart.flags "
        "--compare=torch",
        "python -m pdm_tf.benchmark data --hr_dir=photos/hr --lr_dir=photos/lr "
        "--run_dir=unused --batch_size=8 --mixed_precision=bfloat16",
    ),
    # How it is measured comes first: the rest are the flags of pdm_tf.train.
    sections={
        SECTION: sections_of(DataBenchmarkConfig)[SECTION],
        **sections_of(TrainConfig),
    },
)


def main(config: DataBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    if config.compare == "torch":  # a missing package is reported before any work
        import_torch_side("torch_data")
    with quiet_start():
        import tensorflow as tf

        from pdm_tf import build
    setup = build.build_training(config)
    step = build.compiled_step(setup.method, config)
    # One and the same batch always, so that the pipeline does not take part.
    first = next(iter(setup.make_batches(0)))
    batch = iter(tf.data.Dataset.from_tensors(first).repeat())
    print("warming up", flush=True)
    step(batch, 0)
    step.fetch()
    delivered = _DATA_FACTOR * config.round_steps

    def train() -> None:
        for index in range(config.round_steps):
            step(batch, index)
        step.fetch()  # waits for the device

    runs = {"training": train, "pipeline": _taker(setup.make_batches(0), delivered)}
    if config.compare == "torch":
        runs["torch"] = _taker(_torch_batches(config, setup.method.patches), delivered)
    counts = {name: delivered for name in runs} | {"training": config.round_steps}
    patches = {name: count * config.batch_size for name, count in counts.items()}

    def on_round(index: int, seconds: Mapping[str, float]) -> None:
        rates = ", ".join(
            f"{name} {_VERBS[name]} {patches[name] / value:.1f}"
            for name, value in seconds.items()
        )
        print(f"round {index + 1}/{config.rounds}, patches/s: {rates}", flush=True)

    seconds = alternate(
        runs,
        rounds=config.rounds,
        on_round=on_round,
        settle=0.0,  # a pause would fill the pipeline's buffers
    )
    rates = {
        name: [patches[name] / value for value in values]
        for name, values in seconds.items()
    }
    result = {
        "task": "data",
        "batch_size": config.batch_size,
        "patches": dict(setup.method.patches),
        **figures(rates),
    }
    report(table(result), result, config.output)
    return program.OK


def figures(rates: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Summarises patches per second in each round, by side."""
    result: dict[str, Any] = {
        f"{name}_patches_per_second": summary(values).to_json()
        for name, values in rates.items()
    }
    result["ratio"] = ratio(rates["pipeline"], rates["training"]).median
    if "torch" in rates:
        result["ratio_to_torch"] = ratio(rates["pipeline"], rates["torch"]).to_json()
    return result


def table(result: Mapping[str, Any]) -> str:
    """Formats the lines for people."""
    lines = ["patches of each stream per second, median (least to most):"]
    for name, verb in _VERBS.items():
        rate = result.get(f"{name}_patches_per_second")
        if rate:
            lines.append(
                f"  {name} {verb}".ljust(21) + _format_summary(Summary(**rate))
            )
    lines.append("  ratio".ljust(21) + f"{result['ratio']:.1f}")
    if "ratio_to_torch" in result:
        to_torch = Summary(**result["ratio_to_torch"])
        lines.append("  ratio to torch".ljust(21) + _format_summary(to_torch, 2))
    return "\n".join(lines)


def _taker(batches: Any, count: int) -> Callable[[], None]:
    """Returns a function that takes `count` batches at each call."""
    iterator: Iterator[Mapping[str, Any]] = iter(batches)
    next(iterator)

    def take() -> None:
        for _ in range(count):
            for tensor in next(iterator).values():
                if not all(tensor.shape):
                    raise RuntimeError("A batch of the pipeline is empty.")

    return take


def _torch_batches(
    config: DataBenchmarkConfig, patches: Mapping[str, int]
) -> Iterator[Mapping[str, Any]]:
    torch_data = import_torch_side("torch_data")
    from pdm_tf.build import STREAMS
    from pdm_tf.data.sources import open_source

    streams = {}
    for name, patch in patches.items():
        source = open_source(
            getattr(config, STREAMS[name][0]), patch=patch, cache_mb=float("inf")
        )
        streams[name] = torch_data.Images(
            source.pixels, source.offsets, source.sizes, patch
        )
    return torch_data.batches(streams, config.batch_size, config.workers)


def _format_summary(values: Summary, digits: int = 0) -> str:
    low, high = f"{values.least:.{digits}f}", f"{values.most:.{digits}f}"
    return f"{values.median:.{digits}f} ({low} to {high})"
