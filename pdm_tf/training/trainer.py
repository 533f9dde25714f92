"""The training loop: batches in, scalars out, safe resuming.

It knows no method: steps, networks and scores come in as objects and callables. Steps
are indexed from 0 where they decide randomness and schedules; everything a person reads
says "step n" for the state after n steps.

Order within a step: train, log, save, preview, validate (`recorder.py`). A validation
that is missing at the restored step is run at the next start. Several steps may be one
call, but never across one of these.

With several workers every one runs this loop; only the chief records, and the others
wait for it in the next step's reduction. They stop together: whether any of them was
asked to is part of what each step reduces.
"""

import contextlib
import dataclasses
from collections.abc import Callable

import tensorflow as tf

from pdm_tf.run import DIVERGED, read_metrics
from pdm_tf.training.checkpoint import CheckpointStore, collect_state, complete_steps
from pdm_tf.training.nan_monitor import DivergedError, save_batch
from pdm_tf.training.recorder import ROLLBACKS, Intervals, Outputs, Recorder
from pdm_tf.training.run_folder import RunFolder
from pdm_tf.training.signals import GracefulStop, StopRequested
from pdm_tf.training.step_function import StepFunction


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The state in which training ended.

    Attributes:
      step: steps taken so far, all saved.
      interrupted: name of the signal that stopped it, or "" when the run is finished.
    """

    step: int
    interrupted: str = ""


@dataclasses.dataclass(frozen=True)
class Recovery:
    """What is done when training goes wrong.

    Attributes:
      rollbacks: how often to go back to the newest checkpoint and on from there with a
        lower learning rate; 0: never, the error is raised.
      rate_factor: of the learning rate, each time.
    """

    rollbacks: int = 0
    rate_factor: float = 0.5


class Trainer:
    """Does one process's part of a run: takes the remaining steps, and records them."""

    def __init__(
        self,
        step_function: StepFunction,
        make_batches: Callable[[int], tf.data.Dataset],
        run: RunFolder,
        stop: GracefulStop,
        *,
        intervals: Intervals,
        batch_size: int,
        keep_checkpoints: int = 3,
        outputs: Outputs | None = None,
        recovery: Recovery = Recovery(),
    ) -> None:
        """Restores the newest checkpoint if there is one.

        Args:
          step_function: takes the steps of a method, on its replicas; the method was
            built within their scope.
          make_batches: index of the first step -> this worker's batches from there on,
            stream name -> [B, P, P, 3] float32 in [0, 1]. Must depend on nothing but
            the index.
          run: the open run folder.
          stop: the signals that end training early.
          intervals: the last step, and when periodic actions are due.
          batch_size: of the global batch.
          keep_checkpoints: number of the newest ones to keep.
          outputs: the other results; None: none.
          recovery: what is done when training goes wrong, with one worker.

        Raises:
          UserError: the checkpoints in the folder cannot be used.
          WorkerLostError: another worker died or left.
        """
        method, replicas = step_function.method, step_function.replicas
        self._step_function, self._make_batches = step_function, make_batches
        self._run, self._stop, self._replicas = run, stop, replicas
        self._intervals, self._batch_size = intervals, batch_size
        self._outputs, self._recovery = outputs or Outputs(), recovery
        self._store = CheckpointStore(
            run.checkpoints,
            collect_state(method, step_function.ema),
            keep_checkpoints,
            is_owner=replicas.is_chief,
        )
        self._start, damaged = self._restore()
        self._step = self._start
        self._recorder = self._new_recorder()
        self._rollbacks = 0
        for record in read_metrics(run.metrics_path):
            self._rollbacks = record.get(ROLLBACKS, self._rollbacks)
        self._lower_rate()
        for line in damaged:
            self._say(f"warning: {line}")

    def _new_recorder(self) -> Recorder | None:
        """Opens the files of a start, or of going on after a rollback."""
        if not self._replicas.is_chief:
            return None
        return Recorder(
            self._step_function,
            self._store,
            self._run,
            self._start,
            self._intervals,
            self._outputs,
            # The other workers would wait in vain for a step that the chief has given
            # up.
            stop=self._stop if self._replicas.workers == 1 else None,
            preview_batch=lambda: next(iter(self._make_batches(0))),
        )

    def run(self) -> Outcome:
        """Trains until the last step or a signal; returns where it ended.

        Raises:
          DivergedError: training went wrong, and there are no rollbacks left; older
            checkpoints are intact, and the batch of that step is in `diverged/`.
          WorkerLostError: another worker died or left.
          RuntimeError: `make_batches` ran out.
        """
        if self._recovery.rollbacks and not self._start and self._recorder is not None:
            self._store.save(0)  # to go back to
        steps = self._intervals.steps
        while True:
            cut_short, diverged = False, None
            with self._recorder or contextlib.nullcontext() as recorder:
                self._say(f"{self._run.root}: {self._opening()}")
                try:
                    if recorder is not None:
                        recorder.catch_up(self._step)
                    if self._step < steps:
                        dataset = self._make_batches(self._step)
                        batches = self._replicas.iterator(dataset, self._batch_size)
                        while self._step < steps and not self._is_stopping():
                            self._advance(batches)
                except StopRequested:
                    cut_short = True
                except DivergedError as error:
                    diverged = error
                if diverged is None and (self._step < steps or cut_short):
                    return self._leave()
                if diverged is None:
                    if recorder is not None:
                        recorder.finish(self._step)
                    # A worker that leaves takes the others with it; the chief may still
                    # be saving.
                    self._replicas.from_chief(0)
                    return Outcome(self._step)
            self._keep_batch(diverged)
            if not self._roll_back(diverged):
                raise diverged

    def _keep_batch(self, error: DivergedError) -> None:
        """Saves the batch of the step that went wrong; it follows from the step."""
        if self._recorder is None:
            return
        batch = next(iter(self._make_batches(max(error.step - 1, 0))))
        path = save_batch(self._run.root / DIVERGED, batch, error)
        self._run.log(f"{error} Its batch: {path}.")

    def _roll_back(self, error: DivergedError) -> bool:
        """Goes back to the newest checkpoint, if there are rollbacks left."""
        left = self._recovery.rollbacks - self._rollbacks
        steps = complete_steps(self._run.checkpoints)
        if left < 1 or not steps or self._replicas.workers > 1:
            return False
        self._step = self._start = self._store.restore_latest()[0]
        self._step_function.monitor.reset()
        self._rollbacks += 1
        self._lower_rate()
        self._recorder = self._new_recorder()
        self._recorder.rolled_back(self._start, self._rollbacks)
        rate = float(self._step_function.rate_scale)
        self._say(
            f"warning: {error} Back to step {self._start}, with the learning rate "
            f"times {rate:g} from here on; this can be done {left - 1} more times."
        )
        return True

    def _lower_rate(self) -> None:
        scale = self._recovery.rate_factor**self._rollbacks
        self._step_function.rate_scale.assign(scale)

    def _advance(self, batches: object) -> None:
        """Makes one call of the step function, then what is due after it."""
        count = self._steps_to_take()
        try:
            with self._replicas.watching_peers():
                asked = bool(self._stop.received)
                self._step_function(batches, self._step, count, stop=asked)
        except tf.errors.OutOfRangeError as error:
            raise RuntimeError(
                "`make_batches` must yield batches until step "
                f"{self._intervals.steps}. Received: none after step {self._step}."
            ) from error
        self._step += count
        if self._recorder is not None:
            self._recorder.after_step(self._step)
        elif self._step % self._intervals.log_every == 0:
            self._step_function.monitor.check()

    def _steps_to_take(self) -> int:
        """Counts a call's steps: up to `steps_per_call`, in a phase and interval."""
        count = min(
            self._step_function.settings.steps_per_call,
            self._intervals.until_next(self._step),
        )
        phase = self._step_function.method.train_step_for
        while phase(self._step + count - 1) != phase(self._step):
            count -= 1
        return count

    def _is_stopping(self) -> bool:
        """Whether to leave now; all workers give the same answer."""
        if self._replicas.workers == 1:
            return bool(self._stop.received)
        with self._replicas.watching_peers():
            return self._step_function.stopping()

    def _restore(self) -> tuple[int, list[str]]:
        """Restores the checkpoint that the chief chooses, which may skip damaged ones.

        Returns:
          The steps taken, and a line for each damaged checkpoint.
        """
        if self._replicas.is_chief:
            start, damaged = self._store.restore_latest()
            self._replicas.from_chief(start)
            return start, damaged
        start = self._replicas.from_chief(0)
        if start:
            self._store.restore(start)
        return start, []

    def _opening(self) -> str:
        steps = self._intervals.steps
        weights = ", ".join(
            f"{name} {network.count_params():,}"
            for name, network in self._step_function.method.networks.items()
        )
        begins = f"goes on from step {self._start}" if self._start else "starts"
        if self._start < steps:
            return f"{begins}, until step {steps}; weights: {weights}"
        return f"is at step {self._start} already; to train on, raise --steps={steps}"

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
