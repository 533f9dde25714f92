"""Alternating measurements, and what is said about them.

Times on a shared machine swing by a factor of two within minutes. Sides that are
measured in turn, several rounds, see the same machine; medians are compared, and the
least and the most are shown so that nobody takes a ratio for steadier than it is.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

# Worker threads of OpenMP and onnxruntime wait busily for some milliseconds after a
# call; on few processors they would slow down whoever is measured next.
SETTLE_SECONDS = 0.05


@dataclass(frozen=True)
class Summary:
    """Of one side's measurements."""

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
      sides: name -> what is timed; a call returns when its work is finished, and all
        were warmed up before.
      rounds: measurements of each side.
      calls: calls that one measurement is the mean of.
      on_round: told the round's number from 0 and its seconds per call.
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
