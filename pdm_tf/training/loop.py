"""The training loop: batches in, scalars out, safe resuming.

It knows no method: what a step does, which networks there are and what they are worth
come in as objects and callables. Steps are indexed from 0 where they decide randomness
and schedules; everything a person reads says "step n" for the state after n steps.

Order within a step: train, log, save, preview, validate (`recorder.py`). A validation
that is missing at the restored step is made up for at the next start. Several steps may
be one call, but never across one of these.

With several workers every one runs this loop; only the chief records, and the others
wait for it in the next step's reduction. They stop together: whether anybody was asked
to is part of what each step reduces.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

from pdm_tf.run import read_metrics
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.checkpoint import CheckpointStore, collect_state
from pdm_tf.training.ema import EMA
from pdm_tf.training.health import LossMonitor
from pdm_tf.training.recorder import Recorder, SaveBundles, Validate
from pdm_tf.training.replicas import ONE_DEVICE, Replicas
from pdm_tf.training.run_folder import RunFolder
from pdm_tf.training.signals import GracefulStop, StopRequested
from pdm_tf.training.step_function import StepFunction

if TYPE_CHECKING:
    from pdm_tf.methods.base import Method

MakeBatches = Callable[[int], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a call of `run_training` ended.

    Attributes:
      step: steps taken so far, all saved.
      interrupted: name of the signal that stopped it, or "" when the run is finished.
    """

    step: int
    interrupted: str = ""


def run_training(
    method: "Method",
    make_batches: MakeBatches,
    *,
    config: TrainConfig,
    run: RunFolder,
    validate: Validate | None = None,
    save_bundles: SaveBundles | None = None,
    replicas: Replicas = ONE_DEVICE,
) -> Outcome:
    """Trains `method` until `config.steps`, from the newest checkpoint if there is one.

    Args:
      method: networks, optimizers and the step; see `pdm_tf.methods.base`.
      make_batches: index of the first step -> this worker's batches from there on,
        stream name -> [B, P, P, 3] float32 in [0, 1]. Must depend on nothing but the
        index.
      config: lengths, intervals, schedule.
      run: the open run folder.
      validate: scores the network "sr" of `method.deployable()`: name -> number, those
        of a baseline as "bicubic/psnr". None: no validation.
      save_bundles: writes networks for use: folder name -> network, and the step.
      replicas: the devices; `method` was built within their scope.

    Returns:
      Where it ended.

    Raises:
      NonFiniteLossError: training diverged; older checkpoints are intact.
      UserError: the checkpoints in the folder cannot be used.
      WorkerLostError: another worker died or left.
      RuntimeError: `make_batches` ran out.
    """
    with GracefulStop() as stop:
        session = _Session(
            method, make_batches, config, run, validate, save_bundles, stop, replicas
        )
        try:
            return session.train()
        finally:
            session.close()


def is_finished(run: RunFolder, steps: int) -> bool:
    """Whether the run in `run` has nothing left to do for `steps` steps."""
    if run.start_step < steps:
        return False
    records = read_metrics(run.metrics_path)
    return any(r["step"] == run.start_step and r.get("finished") for r in records)


class _Session:
    """One process's part of a run."""

    def __init__(
        self,
        method: "Method",
        make_batches: MakeBatches,
        config: TrainConfig,
        run: RunFolder,
        validate: Validate | None,
        save_bundles: SaveBundles | None,
        stop: GracefulStop,
        replicas: Replicas,
    ) -> None:
        self._method, self._make_batches = method, make_batches
        self._config, self._run, self._stop = config, run, stop
        self._replicas = replicas
        ema = EMA(method.ema_networks(), config.ema_decay, method.unaveraged())
        self._monitor = LossMonitor()
        self._step_function = StepFunction(method, ema, self._monitor, config, replicas)
        state = collect_state(method, ema)
        self._store = CheckpointStore(
            *(run.checkpoints, state, config.keep_checkpoints),
            is_owner=replicas.is_chief,
        )
        self._start, damaged = self._restore()
        self._step = self._start
        self._recorder: Recorder | None = None
        if replicas.is_chief:
            self._recorder = Recorder(
                *(method, config, run, self._start),
                step_function=self._step_function,
                store=self._store,
                ema=ema,
                monitor=self._monitor,
                # The others would wait in vain for a step that the chief has given up.
                stop=stop if replicas.workers == 1 else None,
                preview_batch=lambda: next(iter(make_batches(0))),
                validate=validate,
                save_bundles=save_bundles,
            )
        for line in damaged:
            self._say(f"warning: {line}")

    def train(self) -> Outcome:
        """Takes the steps that are left."""
        steps = self._config.steps
        self._say(f"{self._run.root}: {self._opening()}")
        cut_short = False
        try:
            if self._recorder is not None:
                self._recorder.make_up(self._step)
            if self._step < steps:
                self._train_until(steps)
        except StopRequested:
            cut_short = True
        if self._step < steps or cut_short:
            return self._leave()
        if self._recorder is not None:
            self._recorder.finish(self._step)
        # A worker that leaves takes the others with it; the chief may still be saving.
        self._replicas.from_chief(0)
        return Outcome(self._step)

    def close(self) -> None:
        """Closes what was opened."""
        if self._recorder is not None:
            self._recorder.close()

    def _restore(self) -> tuple[int, list[str]]:
        """The chief chooses a checkpoint, since it may set a damaged one aside."""
        if self._replicas.is_chief:
            start, damaged = self._store.restore_latest()
            self._replicas.from_chief(start)
            return start, damaged
        start = self._replicas.from_chief(0)
        if start:
            self._store.restore(start)
        return start, []

    def _opening(self) -> str:
        steps = self._config.steps
        weights = ", ".join(
            f"{name} {network.count_params():,}"
            for name, network in self._method.networks.items()
        )
        begins = f"goes on from step {self._start}" if self._start else "starts"
        if self._start < steps:
            return f"{begins}, until step {steps}; weights: {weights}"
        return f"is at step {self._start} already; to train on, raise --steps={steps}"

    def _train_until(self, steps: int) -> None:
        dataset = self._make_batches(self._step)
        batches = self._replicas.iterator(dataset, self._config.batch_size)
        while self._step < steps and not self._is_stopping():
            count = self._steps_to_take()
            self._call(batches, count)
            self._step += count
            if self._recorder is not None:
                self._recorder.after_step(self._step)
            elif self._step % self._config.log_every == 0:
                self._monitor.check()

    def _call(self, batches: object, count: int) -> None:
        try:
            with self._replicas.watching_peers():
                asked = bool(self._stop.received)
                self._step_function(batches, self._step, count, stop=asked)
        except tf.errors.OutOfRangeError as error:
            raise RuntimeError(
                f"`make_batches` must yield batches until step {self._config.steps}. "
                f"Received: none after step {self._step}."
            ) from error

    def _is_stopping(self) -> bool:
        """Whether to leave now; all workers answer alike."""
        if self._replicas.workers == 1:
            return bool(self._stop.received)
        with self._replicas.watching_peers():
            return self._step_function.stopping()

    def _steps_to_take(self) -> int:
        """Up to `steps_per_call`, all of one phase and up to what is due next."""
        config, step = self._config, self._step
        every = (
            *(config.log_every, config.save_every),
            *(config.preview_every, config.validate_every),
        )
        count = min(
            config.steps_per_call,
            config.steps - step,
            *(interval - step % interval for interval in every if interval),
            *([1] if step == 0 else []),  # the first step is logged
        )
        phase = self._method.train_step_for
        while phase(step + count - 1) != phase(step):
            count -= 1
        return count

    def _leave(self) -> Outcome:
        """Saves after a signal."""
        if self._recorder is not None and self._step > self._start:
            self._recorder.save(self._step)
        received = self._stop.received or "another worker's signal"
        self._say(
            f"{received}: stopped at step {self._step}, all saved; "
            "the same command goes on from there."
        )
        self._replicas.from_chief(0)
        return Outcome(self._step, received)

    def _say(self, line: str) -> None:
        if self._recorder is not None:
            self._recorder.say(line)
        else:
            self._run.log(line)
