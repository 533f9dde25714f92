"""Work on many files in threads: results in order, few of them in memory.

Written here because joblib's `Parallel(return_as="generator")` (1.6) does not hold back
for a slow consumer: with 1,000 quick tasks 991 results waited, where 4 do here. Its
error comes before the results of earlier tasks, too. Python 3.14's `Executor.map` with
`buffersize` will do.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pdm_tf.core.memory import allowed_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")
OnProgress = Callable[[int, int], None]


def default_threads() -> int:
    """Returns one thread per processor, at most 8."""
    return min(8, len(allowed_cpus()))


def in_threads(
    task: Callable[[Item], Result], items: Sequence[Item], threads: int = 0
) -> Iterator[Result]:
    """Yields task(item) for each item, in their order.

    At most two results per thread exist that were not taken yet, so memory does not
    grow with the number of items. An exception of a task comes out in its place and,
    like Ctrl-C, cancels what has not begun.

    Args:
      task: to be run in a thread; image decoding and zlib let threads run side by side.
      items: what to run it on.
      threads: how many; 0 takes one per processor, at most 8.
    """
    threads = threads or default_threads()
    pool = ThreadPoolExecutor(threads)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(task, item))
            if len(pending) >= 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def counted(
    results: Iterable[Result], total: int, on_progress: OnProgress | None
) -> Iterator[Result]:
    """Yields `results`, calling `on_progress` with (how many so far, `total`)."""
    for done, result in enumerate(results, start=1):
        yield result
        if on_progress is not None:
            on_progress(done, total)
