"""The devices that train together: one, several GPUs of a machine, or several machines.

TensorFlow's own strategies do the work. Several machines describe themselves to each
process by the environment variable TF_CONFIG, as cluster managers set it:

    {"cluster": {"worker": ["host0:2222", "host1:2222"]},
     "task": {"type": "worker", "index": 0}}

The global batch is --batch_size whatever the number of replicas; replica r of n gets
its rows r*B/n to (r+1)*B/n, in the same order that one device would see.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.core.stored import parse_json

_TF_CONFIG = "TF_CONFIG"
# Errors of a reduction when a peer is gone; which one depends on how it ended.
_PEER_ERRORS = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


class WorkerLostError(RuntimeError):
    """Another worker of the cluster has gone; everything saved is intact."""


class Replicas:
    """The devices of one run, as seen from one process.

    Attributes:
      count: replicas of all processes together.
      worker, workers: which process this is, of how many.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        """Reads from the strategy which process this is.

        Args:
          strategy: None for one device, without any machinery around it.
        """
        self._strategy = strategy
        self.count = 1 if strategy is None else strategy.num_replicas_in_sync
        self.worker, self.workers = 0, 1
        resolver = getattr(strategy, "cluster_resolver", None)
        if resolver is not None and resolver.cluster_spec().as_dict():
            self.worker = resolver.task_id
            self.workers = resolver.cluster_spec().num_tasks("worker")

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.worker == 0

    @property
    def device(self) -> str:
        """Device to which batches are copied in advance; "": they are not moved.

        A strategy copies them itself.
        """
        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        return "/GPU:0" if self._strategy is None and has_gpu else ""

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Opens the scope in which to make variables of networks and optimisers."""
        if self._strategy is None:
            return contextlib.nullcontext()
        return self._strategy.scope()

    def iterator(self, dataset: tf.data.Dataset, batch_size: int) -> Iterator[Any]:
        """Iterator over this worker's batches, for use in graphs.

        Args:
          dataset: of this worker's rows of each global batch.
          batch_size: of the global batch.
        """
        if self._strategy is None:
            return iter(dataset)
        if self.count > self.workers:  # a batch for each of this worker's replicas
            dataset = dataset.rebatch(batch_size // self.count, drop_remainder=True)
        # For data that might end, the strategy would forget the batch size.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        dataset = dataset.apply(endless)
        return iter(self._strategy.distribute_datasets_from_function(lambda _: dataset))

    def run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Calls a function on every replica; returns the first local one's result.

        The result is a tensor or a structure of them.
        """
        if self._strategy is None:
            return function(*args)
        results = self._strategy.run(function, args=args)
        local = self._strategy.experimental_local_results
        return tf.nest.map_structure(lambda result: local(result)[0], results)

    def index_in_graph(self) -> int | tf.Tensor:
        """Number of the replica whose graph is being built."""
        if self._strategy is None:
            return 0
        return tf.distribute.get_replica_context().replica_id_in_sync_group

    def from_chief(self, number: int) -> int:
        """Returns the chief's `number`; waits until every worker has asked."""
        if self.workers == 1:
            return number

        @tf.function(autograph=False)
        def run(number: tf.Tensor) -> tf.Tensor:
            def on_replica() -> tf.Tensor:
                context = tf.distribute.get_replica_context()
                is_first = tf.equal(self.index_in_graph(), 0)
                mine = tf.where(is_first, number, tf.zeros_like(number))
                return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

            return self.run(on_replica, ())

        with self.watching_peers():
            return int(run(tf.constant(number, tf.int64)).numpy())

    @contextlib.contextmanager
    def watching_peers(self) -> Iterator[None]:
        """Wraps calls that need the other workers.

        Raises:
          WorkerLostError: one of them is gone.
        """
        try:
            yield
        except _PEER_ERRORS as error:
            if self.workers == 1:
                raise
            reason = error.message.splitlines()[0]
            raise WorkerLostError(f"another worker is gone ({reason})") from error

    def uses_xla(self, choice: str) -> bool:
        """Whether to compile the method's step with XLA.

        Args:
          choice: "on", "off", or "auto": on GPUs, where many small kernels become few;
            XLA's convolutions for CPUs are slower than oneDNN's.
        """
        if choice == "auto":
            return self.count == 1 and bool(tf.config.list_physical_devices("GPU"))
        return choice == "on"


ONE_DEVICE = Replicas()


def cluster_from_environment(
    environment: Mapping[str, str] = os.environ,
) -> tuple[int, int]:
    """Reads TF_CONFIG.

    Returns:
      (index of this worker, number of workers); (0, 1) without TF_CONFIG.

    Raises:
      UserError: it is not what this program understands.
    """
    text = environment.get(_TF_CONFIG, "")
    if not text:
        return 0, 1
    form = (
        f'{_TF_CONFIG} must be like {{"cluster": {{"worker": ["host0:2222", '
        '"host1:2222"]}, "task": {"type": "worker", "index": 0}}. Received: '
    )
    try:
        content = parse_json(text)
        workers = content["cluster"]["worker"]
        task = content["task"]
        kinds, index = set(content["cluster"]), int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{form}{text}") from error
    if (
        kinds != {"worker"}
        or task.get("type") != "worker"
        or not isinstance(workers, list)
        or not all(isinstance(w, str) and ":" in w for w in workers)
        or not 0 <= index < len(workers)
    ):
        raise UserError(f"{form}{text}")
    return index, len(workers)


def find_replicas() -> Replicas:
    """Finds all devices that this process should use.

    With several workers in TF_CONFIG it waits until all of them are there.

    Raises:
      UserError: TF_CONFIG cannot be understood.
    """
    _, workers = cluster_from_environment()
    if workers > 1:
        return Replicas(tf.distribute.MultiWorkerMirroredStrategy())
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return Replicas(tf.distribute.MirroredStrategy())
    return ONE_DEVICE
