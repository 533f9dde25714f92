"""The input pipeline against the training step: does training ever wait for data?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pdm_tf.benchmarks.rounds import Summary, alternate, summary
from pdm_tf.config import exit_codes
from pdm_tf.config.flags_benchmark_data import DataBenchmarkConfig
from pdm_tf.config.quiet import quiet_start
from pdm_tf.core.files import write_json_atomic

_DATA_FACTOR = 20  # batches of a pipeline round for each step of a training round


def main(config: DataBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    with quiet_start():
        from pdm_tf import build
    setup = build.build_training(config)
    step = build.compiled_step(setup.method, config)
    # One and the same batch always, so that the pipeline does not take part.
    batch = iter(setup.make_batches(0).take(1).cache().repeat())
    print("warming up", flush=True)
    step(batch, 0)
    step.fetch()
    batches = iter(setup.make_batches(0))
    next(batches)
    delivered = _DATA_FACTOR * config.round_steps

    def train() -> None:
        for index in range(config.round_steps):
            step(batch, index)
        step.fetch()  # waits for the device

    def deliver() -> None:
        for _ in range(delivered):
            _touch(batches)

    counts = {"training": config.round_steps, "pipeline": delivered}
    patches = {name: count * config.batch_size for name, count in counts.items()}

    def on_round(index: int, seconds: Mapping[str, float]) -> None:
        rates = {name: patches[name] / value for name, value in seconds.items()}
        print(
            f"round {index + 1}/{config.rounds}: training consumes "
            f"{rates['training']:.1f} patches/s, pipeline delivers "
            f"{rates['pipeline']:.0f}",
            flush=True,
        )

    seconds = alternate(
        {"training": train, "pipeline": deliver},
        rounds=config.rounds,
        on_round=on_round,
        settle=0.0,  # a pause would fill the pipeline's buffers
    )
    rates = {
        name: summary([patches[name] / value for value in values])
        for name, values in seconds.items()
    }
    result = {
        "task": "data",
        "batch_size": config.batch_size,
        "patches": dict(setup.method.patches),
        "training_patches_per_second": rates["training"].to_json(),
        "pipeline_patches_per_second": rates["pipeline"].to_json(),
        "ratio": rates["pipeline"].median / rates["training"].median,
    }
    print(
        "patches of each stream per second, median (least to most):\n"
        f"  training consumes  {_shown(rates['training'])}\n"
        f"  pipeline delivers  {_shown(rates['pipeline'])}\n"
        f"  ratio              {result['ratio']:.1f}"
    )
    if config.output:
        write_json_atomic(Path(config.output), result)
        print(f"written to {config.output}")
    return exit_codes.OK


def _touch(batches: Iterator[Any]) -> None:
    for tensor in next(batches).values():
        tensor.shape.assert_is_fully_defined()


def _shown(rate: Summary) -> str:
    return f"{rate.median:.0f} ({rate.least:.0f} to {rate.most:.0f})"
