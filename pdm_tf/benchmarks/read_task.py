"""Measures how fast stored images are read, compared with reading the files plainly.

Training that decodes on demand asks for images in a scattered order. TFRecord shards
with an index should serve that at the speed of the disk; what remains is decoding,
which is why it is a side of its own.
"""

import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_tf.benchmarks.measuring import (
    OUTPUT,
    SECTION,
    Summary,
    alternate,
    ratio,
    report,
    summary,
)
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.quiet import quiet_start

if TYPE_CHECKING:
    from pdm_tf.data.sources import Entry

_MB = 1e6
_BLOCK_BYTES = 1 << 20
_SIDES = {
    "plain": "front to back",
    "ordered": "images in order",
    "scattered": "images scattered",
    "decoded": "scattered, decoded",
}


@dataclass(frozen=True)
class ReadBenchmarkConfig:
    """The images to read, and the number of rounds.

    Raises:
      UserError: nothing to read, or a number is out of range.
    """

    input: str = flag(
        "",
        "TFRecord shards made by pdm_tf.prepare (their folder, or one of them), or a "
        "folder of images. Required.",
        section="Images",
        required=True,
    )
    cold: bool = flag(
        True,
        "Ask the system to forget the files before each measurement, so that they come "
        "from the disk and not from memory. (Disks of virtual machines may still "
        "remember them.)",
        section=SECTION,
    )
    seed: int = flag(0, "Decides the scattered order.")
    threads: int = flag(
        0,
        "Threads that decode; 0 takes one per processor, at most 8.",
        at_least=0,
    )
    rounds: int = flag(
        5,
        "Measurements of each side; medians and spreads are over these.",
        at_least=1,
    )
    output: str = flag("", OUTPUT)

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.benchmark read")


SPEC = ProgramSpec(
    module="pdm_tf.benchmark read",
    config=ReadBenchmarkConfig,
    intro="Measures how fast stored images are read, in MB of the files per second: "
    "plainly from front to back, as images in their order with their checksums, in the "
    "scattered order of training, and decoded to pixels.",
    examples=(
        "python -m pdm_tf.benchmark read --input=shards",
        "python -m pdm_tf.benchmark read --input=photos/hr --nocold",
    ),
)


def main(config: ReadBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    with quiet_start():
        from pdm_tf.data.parallel import in_threads
        from pdm_tf.data.sources import list_entries
    entries = list_entries(config.input)
    files = stored_files(entries)
    total = sum(len(entry.data()) for entry in entries)  # and one look at each image
    # For shards the plain side also reads the few bytes around the images.
    amounts = dict.fromkeys(_SIDES, total) | {
        "plain": sum(file.stat().st_size for file in files)
    }
    scattered = random.Random(config.seed).sample(entries, len(entries))
    sides: dict[str, Callable[[], object]] = {
        "plain": lambda: _read_plainly(files),
        "ordered": lambda: _exhaust(entry.data() for entry in entries),
        "scattered": lambda: _exhaust(entry.data() for entry in scattered),
        "decoded": lambda: _exhaust(
            in_threads(lambda entry: entry.read(), scattered, config.threads)
        ),
    }
    seconds = alternate(
        sides,
        rounds=config.rounds,
        on_round=lambda index, _: print(
            f"round {index + 1}/{config.rounds}", flush=True
        ),
        before=(lambda: forget(files)) if config.cold else (lambda: None),
    )
    result = {
        "task": "read",
        "input": config.input,
        "images": len(entries),
        "files": len(files),
        "mb": total / _MB,
        "cold": config.cold,
        **figures(seconds, amounts),
    }
    report(table(result), result, config.output)
    return program.OK


def stored_files(entries: Iterable["Entry"]) -> list[Path]:
    """Lists the files that hold the images, each once, sorted."""
    from pdm_tf.data.tfrecord import RecordEntry

    return sorted(
        {
            entry.shard if isinstance(entry, RecordEntry) else entry.path
            for entry in entries
        }
    )


def forget(files: Iterable[Path]) -> None:
    """Asks the system to drop its copies of the files in memory.

    Raises:
      OSError: a file is gone.
    """
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)  # data that is not written yet can't be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def figures(
    seconds: Mapping[str, Sequence[float]], amounts: Mapping[str, int]
) -> dict[str, Any]:
    """Turns seconds in each round and bytes, by side, into MB/s and ratios."""
    rates = {
        name: [amounts[name] / _MB / value for value in values]
        for name, values in seconds.items()
    }
    return {
        "mb_per_second": {name: summary(r).to_json() for name, r in rates.items()},
        "ratio_to_plain": {
            name: ratio(r, rates["plain"]).to_json()
            for name, r in rates.items()
            if name != "plain"
        },
    }


def table(result: Mapping[str, Any]) -> str:
    """Formats the lines for people."""
    state = "from the disk" if result["cold"] else "as the system has them"
    lines = [
        f"{result['images']} images, {result['mb']:.0f} MB in {result['files']} files, "
        f"{state}; MB/s, median (least to most):"
    ]
    for name, words in _SIDES.items():
        rate = Summary(**result["mb_per_second"][name])
        shown = f"{rate.median:.0f} ({rate.least:.0f} to {rate.most:.0f})"
        line = f"  {words:<20}{shown:<24}"
        if name in result["ratio_to_plain"]:
            line += f"{result['ratio_to_plain'][name]['median']:.2f} of plain"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _read_plainly(files: Iterable[Path]) -> None:
    for path in files:
        with open(path, "rb", buffering=0) as file:
            while file.read(_BLOCK_BYTES):
                pass


def _exhaust(items: Iterable[object]) -> None:
    for _ in items:
        pass
