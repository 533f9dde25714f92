"""Blur and degradation in TensorFlow and PyTorch, taking turns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pdm_tf.benchmarks import degrade_sides, machine, memory
from pdm_tf.benchmarks.degrade_sides import SIDES
from pdm_tf.benchmarks.figures import fastest
from pdm_tf.benchmarks.report import report
from pdm_tf.benchmarks.rounds import alternate, ratio, summary
from pdm_tf.benchmarks.table import aligned, milliseconds, ranged, shown
from pdm_tf.benchmarks.torch_import import import_torch_side
from pdm_tf.benchmarks.train_sides import degradation_of
from pdm_tf.cli import program
from pdm_tf.cli.component import to_json_dict
from pdm_tf.cli.flags_benchmark_degrade import DegradeBenchmarkConfig

_WARM_UP = 2  # calls of each side before the first round
# Of the largest value; float32 sums over a whole patch in another order differ by some
# 1e-6, other work by more than this.
_SAME_WORK = 1e-3


def main(config: DegradeBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    machine.set_threads(config.threads)
    if config.compare == "torch":  # missing packages are told before any work
        import_torch_side("torch_degrade")
    result = measure(config)
    report(table(result), result, config.output)
    return program.OK


def measure(config: DegradeBenchmarkConfig) -> dict[str, Any]:
    """Measures the sides that the flags ask for; returns what is written as JSON.

    Raises:
      UserError: a setting does not exist, or PyTorch's side lacks it.
      RuntimeError: the sides of a case do not compute the same.
    """
    with_torch = config.compare == "torch"
    names = [name for name, side in SIDES.items() if with_torch or not side.form]
    print("warming up", flush=True)
    pdm = degrade_sides.build_pdm(config)
    runs = degrade_sides.build(names, pdm, config)
    for _ in range(_WARM_UP):
        outputs = {name: run() for name, run in runs.items()}
    seconds = alternate(
        runs,
        rounds=config.rounds,
        calls=config.calls,
        on_round=lambda index, _: print(f"round {index + 1}/{config.rounds}"),
    )
    peak_mb = {}
    if config.memory:
        print("measuring memory", flush=True)
        subject = degradation_of(pdm.config)
        for name in names:
            work = degrade_sides.run_alone
            peak_mb[name] = memory.peak_mb(work, name, config, subject)
    return {
        "task": "degrade",
        "config": to_json_dict(config),
        "kernel_size": pdm.config.kernel.kernel_size,
        "machine": machine.describe(),
        **figures(seconds, differences(outputs), peak_mb),
    }


def figures(
    seconds: Mapping[str, Sequence[float]],
    difference: Mapping[str, float],
    peak_mb: Mapping[str, float],
) -> dict[str, Any]:
    """Turns measurements into what is said about them.

    Args:
      seconds: side -> seconds of a call in each round.
      difference: side -> see `differences`.
      peak_mb: side -> peak memory; empty: not measured.

    Returns:
      "references" (case -> form -> its faster layout) and "sides", each with a ratio to
      both forms.
    """
    references: dict[str, dict[str, str]] = {}
    for case in degrade_sides.CASES:
        for form in ("unfold", "grouped"):
            names = [
                name
                for name in seconds
                if (SIDES[name].case, SIDES[name].form) == (case, form)
            ]
            if names:
                references.setdefault(case, {})[form] = fastest(names, seconds)
    entries = {}
    for name, values in seconds.items():
        compared = references.get(SIDES[name].case, {})
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
        expected = outputs[f"{SIDES[name].case}: tensorflow"]
        largest = float(np.max(np.abs(expected)))
        result[name] = float(np.max(np.abs(output - expected))) / largest
        if not result[name] <= _SAME_WORK:
            raise RuntimeError(
                f"{name} does not compute the same as ours: the results differ by "
                f"{result[name]:.3g} of the largest. Times would not be comparable."
            )
    return result


def table(result: Mapping[str, Any]) -> str:
    """Returns the table, with a line above it that says what was run."""
    config, side = result["config"], result["kernel_size"]
    size = config["lr_patch"] * config["scale"]
    heads = ("", "ms", "x unfold", "x grouped", "differs by", "peak MB")
    rows = [
        (
            name,
            milliseconds(entry["ms"]),
            ranged(entry["ratios"].get("unfold")),
            ranged(entry["ratios"].get("grouped")),
            f"{entry['relative_difference']:.1e}",
            shown(entry["peak_mb"]),
        )
        for name, entry in result["sides"].items()
    ]
    lines = [
        f"{config['batch_size']} patches of {size} x {size} HR pixels, by "
        f"{config['scale']}, kernels of {side} x {side}; medians of "
        f"{config['rounds']} rounds (least to most)",
        *aligned([heads, *rows]),
    ]
    if result["references"]:
        lines.append(
            "x unfold, x grouped: times PyTorch's with that blur, the faster layout; "
            "smaller is faster. differs by: from ours, of the largest value"
        )
    return "\n".join(lines)
