"""Tools to measure: flags, alternating rounds, peak memory, machine, and the report.

*Rounds.* Times on a shared machine swing by a factor of two within minutes. Sides that
are measured in turn, several rounds, see the same machine; medians are compared, and
the least and the most are shown so that a ratio does not look steadier than it is.

*Memory* is that of one side, in a process that runs nothing else.
"""

import concurrent.futures
import contextlib
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pdm_tf.cli.flag_set import flag, sections_of
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.memory import allowed_cpus, peak_bytes
from pdm_tf.core.quiet import quiet_start

SECTION = "Measuring"
ROUNDS = "Every side is measured once in each; medians and spreads are over these."
CALLS = "Calls that one measurement is the mean of; more for tiny networks."
OUTPUT = "File for the numbers as JSON; empty: only the table is printed."
GEMM_SIZE = (
    "Side of the square matrices whose product, in the same rounds, says what this "
    "machine can reach."
)


@dataclass(frozen=True)
class Measuring:
    """The flags that tasks share: rounds, threads, and further measurements."""

    rounds: int = flag(7, ROUNDS, section=SECTION, at_least=1)
    calls: int = flag(1, CALLS, at_least=1)
    threads: int = flag(
        0,
        "Threads of each side; 0 leaves every library its own choice, as its users get "
        "it.",
        at_least=0,
    )
    memory: bool = flag(
        True,
        "Also measure the peak memory of each side, each in a process of its own.",
    )
    output: str = flag("", OUTPUT)


def task_sections(config: type) -> dict[str, dict[str, str]]:
    """Returns a task's sections of flags, those of `Measuring` last."""
    sections = sections_of(config)
    last = sections.pop(SECTION)
    return {**sections, SECTION: last}


def check_batch_for_torch(compare: str, batch_size: int) -> None:
    """Checks the batch that a training step is to be compared on.

    Raises:
      UserError: PyTorch cannot train on it.
    """
    if compare == "torch" and batch_size < 2:
        raise UserError(
            "--batch_size must be at least 2 with --compare=torch, whose batch "
            f"normalisation refuses a single value. Received: {batch_size}."
        )


# Worker threads of OpenMP and onnxruntime wait busily for some milliseconds after a
# call; on few processors they would slow down the side that is measured next.
SETTLE_SECONDS = 0.05


@dataclass(frozen=True)
class Summary:
    """Median and range of one side's measurements."""

    median: float
    least: float
    most: float

    def to_json(self) -> dict[str, float]:
        """Returns the three numbers."""
        return asdict(self)


def summary(values: Sequence[float]) -> Summary:
    """Returns median and range of at least one value."""
    return Summary(statistics.median(values), min(values), max(values))


def alternate(
    sides: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    calls: int = 1,
    on_round: Callable[[int, Mapping[str, float]], None] = lambda index, seconds: None,
    clock: Callable[[], float] = time.perf_counter,
    settle: float = SETTLE_SECONDS,
    before: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Measures every side once in each round; who begins moves on from round to round.

    Args:
      sides: name -> timed function; a call returns when its work is finished, and all
        were warmed up before.
      rounds: measurements of each side.
      calls: calls that one measurement is the mean of.
      on_round: called with the round's number from 0 and its seconds per call.
      clock: seconds.
      settle: pause in seconds before each measurement.
      before: called before each measurement, not timed.

    Returns:
      Name -> seconds per call, one for each round.
    """
    names = list(sides)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            before()
            time.sleep(settle)
            begin = clock()
            for _ in range(calls):
                sides[name]()
            seconds[name].append((clock() - begin) / calls)
        on_round(index, {name: values[-1] for name, values in seconds.items()})
    return seconds


def ratio(values: Sequence[float], reference: Sequence[float]) -> Summary:
    """Returns how many times `reference` the values are.

    The median is that of the medians; the range is that of the rounds' own ratios.
    """
    pairs = [value / other for value, other in zip(values, reference, strict=True)]
    medians = statistics.median(values) / statistics.median(reference)
    return Summary(medians, min(pairs), max(pairs))


def peak_mb(work: Callable[..., object], *args: Any) -> float:
    """Returns the most resident memory that `work(*args)` takes, in MB (10**6 bytes).

    Libraries that it imports are included. It runs in a new process and so has to be a
    function of a module, and its arguments plain values.

    Raises:
      concurrent.futures.process.BrokenProcessPool: its process was killed.
    """
    fresh = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(_measured, work, args).result()


def _measured(work: Callable[..., object], args: tuple[Any, ...]) -> float:
    work(*args)
    return peak_bytes() / 1e6


def set_threads(threads: int) -> None:
    """Sets TensorFlow's threads, which is possible only before its first use."""
    if threads:
        with quiet_start():
            import tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def describe_machine() -> dict[str, Any]:
    """Returns processor and versions."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.M)
    versions = {}
    for name in ("onnxruntime", "onnxruntime-gpu", "tensorflow", "torch", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "processor": model.group(1) if model else "",
        "processors": len(allowed_cpus()),
        "versions": versions,
    }


def report(table: str, result: Mapping[str, Any], output: str) -> None:
    """Prints the table; writes `result` as JSON to the file `output`, unless empty."""
    print(table)
    if output:
        write_json_atomic(Path(output), result)
        print(f"written to {output}")
