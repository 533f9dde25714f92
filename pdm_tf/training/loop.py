"""The training loop: batches in, scalars out, periodic actions, safe resuming.

It knows no method: what a step does, which networks there are and what they are worth
come in as objects and callables. Steps are indexed from 0 where they decide randomness
and schedules; everything a person reads says "step n" for the state after n steps.

Order within a step: train, log, save, preview, validate. Saving comes before the slow
actions so that a signal may cut them short; a validation that is missing at the
restored step is made up for at the next start.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from pdm_tf.config.train_config import TrainConfig
from pdm_tf.core.images import write_png
from pdm_tf.training.checkpoint import CheckpointStore, collect_state
from pdm_tf.training.ema import EMA
from pdm_tf.training.events import EventWriter
from pdm_tf.training.health import LossMonitor, check_weights
from pdm_tf.training.metrics_file import MetricsFile, read_metrics
from pdm_tf.training.progress import Progress
from pdm_tf.training.run_folder import RunFolder
from pdm_tf.training.signals import GracefulStop, StopRequested
from pdm_tf.training.step_function import StepFunction

if TYPE_CHECKING:
    from pdm_tf.methods.base import Method

MakeBatches = Callable[[int], Iterable[Mapping[str, tf.Tensor]]]
Validate = Callable[[keras.Model], Mapping[str, float]]
SaveBundles = Callable[[Mapping[str, keras.Model], int], None]

_SR = "sr"  # the deployable network that is validated
_REFRESH_S = 1.0  # between looks at the losses for the bar and the loss monitor


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
) -> Outcome:
    """Trains `method` until `config.steps`, from the newest checkpoint if there is one.

    Args:
      method: networks, optimizers and the step; see `pdm_tf.methods.base`.
      make_batches: index of the first step -> batches from there on, stream name ->
        [B, P, P, 3] float32 in [0, 1]. Must depend on nothing but the index.
      config: lengths, intervals, schedule.
      run: the open run folder.
      validate: scores the network "sr" of `method.deployable()`: name -> number, those
        of a baseline as "bicubic/psnr". None: no validation.
      save_bundles: writes networks for use: folder name -> network, and the step.

    Returns:
      Where it ended.

    Raises:
      NonFiniteLossError: training diverged; older checkpoints are intact.
      UserError: the checkpoints in the folder cannot be used.
      RuntimeError: `make_batches` ran out.
    """
    with GracefulStop() as stop:
        session = _Session(
            method, make_batches, config, run, validate, save_bundles, stop
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
    ) -> None:
        self._method, self._make_batches = method, make_batches
        self._config, self._run, self._stop = config, run, stop
        self._validate, self._save_bundles = validate, save_bundles
        self._ema = EMA(method.ema_networks(), config.ema_decay)
        self._monitor = LossMonitor()
        self._step_function = StepFunction(method, self._ema, self._monitor, config)
        state = collect_state(method, self._ema)
        self._store = CheckpointStore(run.checkpoints, state, config.keep_checkpoints)
        self._start, damaged = self._store.restore_latest()
        self._metrics = MetricsFile(run.metrics_path, self._start)
        self._events = EventWriter(run.tensorboard, self._start)  # makes no file yet
        self._progress = Progress(config.progress, self._start, config.steps)
        self._preview_batch: Mapping[str, tf.Tensor] | None = None
        self._looked_at = time.monotonic()
        self._step = self._start
        for line in damaged:
            self._say(f"warning: {line}")

    def train(self) -> Outcome:
        """Takes the steps that are left."""
        steps = self._config.steps
        weights = ", ".join(
            f"{name} {network.count_params():,}"
            for name, network in self._method.networks.items()
        )
        begins = f"goes on from step {self._start}" if self._start else "starts"
        if self._start < steps:
            line = f"{begins}, until step {steps}; weights: {weights}"
        else:
            line = (
                f"is at step {self._start} already; to train on, raise --steps={steps}"
            )
        self._say(f"{self._run.root}: {line}")
        cut_short = False
        try:
            self._make_up()
            if self._step < steps:
                self._train_until(steps)
        except StopRequested:
            cut_short = True
        if self._step < steps or cut_short:
            return self._leave()
        if not self._has_record("finished"):
            self._metrics.write(self._step, {"finished": True})
        self._say(f"finished at step {self._step}; networks in {self._run.bundles}")
        return Outcome(self._step)

    def close(self) -> None:
        """Closes what was opened."""
        self._progress.close()
        self._metrics.close()
        self._events.close()

    def _train_until(self, steps: int) -> None:
        for batch in self._make_batches(self._step):
            if self._stop.received:
                return
            self._step_function(batch, self._step)
            self._step += 1
            self._progress.advance(self._step)
            self._after_step(self._step, is_last=self._step == steps)
            if self._step == steps:
                return
        raise RuntimeError(
            f"`make_batches` must yield batches until step {steps}. "
            f"Received: none after step {self._step}."
        )

    def _after_step(self, step: int, is_last: bool) -> None:
        config = self._config
        validates = self._validate is not None and _due(
            step, config.validate_every, is_last
        )
        if step == 1 or _due(step, config.log_every, is_last):
            self._log(step)
        elif time.monotonic() - self._looked_at > _REFRESH_S:
            self._look()
        if validates or _due(step, config.save_every, is_last):
            self._save(step)
        if _due(step, config.preview_every, is_last):
            self._preview(step)
        if validates:
            self._run_validation(step)

    def _look(self) -> dict[str, float]:
        self._monitor.check()
        scalars = self._step_function.fetch() if self._progress.has_bar else {}
        self._progress.refresh(scalars)
        self._looked_at = time.monotonic()
        return scalars

    def _log(self, step: int) -> None:
        scalars = self._step_function.fetch()
        self._monitor.check()
        self._progress.refresh(scalars)
        self._looked_at = time.monotonic()
        speed = self._progress.measure()
        timed = {} if speed is None else {"perf/steps_per_second": speed}
        self._metrics.write(step, {**scalars, **timed})
        self._events.scalars(step, {**scalars, **timed})
        line = self._progress.status(step, scalars)
        self._run.log(line)
        if not self._progress.has_bar:
            self._progress.say(line)

    def _save(self, step: int) -> None:
        self._monitor.check()
        check_weights(self._method.networks, step)
        self._store.save(step)
        self._write_bundles(step)
        self._progress.pause_over()

    def _write_bundles(self, step: int) -> None:
        if self._save_bundles is None:
            return
        networks = self._method.deployable()
        self._save_bundles(networks, step)
        averaged = {
            f"{name}_ema": network
            for name, network in networks.items()
            if name in self._ema.networks
        }
        if averaged:
            with self._ema.applied():
                self._save_bundles(averaged, step)

    def _preview(self, step: int) -> None:
        if self._preview_batch is None:  # the same one always, to compare steps by eye
            self._preview_batch = next(iter(self._make_batches(0)))
        pictures = self._method.previews(self._preview_batch, step)
        for name, picture in pictures.items():
            file = f"step_{step:08d}_{name.replace('/', '_')}.png"
            write_png(self._run.previews / file, picture)
        self._events.pictures(step, pictures)
        self._progress.pause_over()

    def _run_validation(self, step: int) -> None:
        network = self._method.deployable().get(_SR)
        if network is None:
            return
        with self._stop.interruptible():
            raw = self._validate(network)
            averaged: Mapping[str, float] = {}
            if _SR in self._ema.networks:
                with self._ema.applied():
                    averaged = self._validate(network)
        values = {f"val/{name}": value for name, value in raw.items()}
        values |= {f"val_ema/{k}": v for k, v in averaged.items() if "/" not in k}
        self._metrics.write(step, values)
        self._events.scalars(step, values)
        self._say(f"step {step}  validation: {_comparison(raw, averaged)}")
        self._progress.pause_over()

    def _make_up(self) -> None:
        """Does what an earlier process could not do after its last checkpoint."""
        step, config = self._step, self._config
        if step == 0:
            return
        is_last = step >= config.steps
        if is_last and not self._has_record("finished"):
            self._write_bundles(step)
        if (
            self._validate is not None
            and _due(step, config.validate_every, is_last)
            and not self._has_record("val/")
        ):
            self._run_validation(step)

    def _leave(self) -> Outcome:
        """Saves after a signal."""
        if self._step > self._start:
            self._save(self._step)
        self._say(
            f"{self._stop.received}: stopped at step {self._step}, all saved; "
            "the same command goes on from there."
        )
        return Outcome(self._step, self._stop.received)

    def _has_record(self, prefix: str) -> bool:
        """Whether a number with this prefix was logged at the restored step."""
        return any(
            name.startswith(prefix)
            for record in read_metrics(self._run.metrics_path)
            if record["step"] == self._step
            for name in record
        )

    def _say(self, line: str) -> None:
        self._run.log(line)
        self._progress.say(line)


def _due(step: int, every: int, is_last: bool) -> bool:
    """Whether something done `every` so many steps (0: never), and last, is due."""
    return every > 0 and (step % every == 0 or is_last)


def _comparison(raw: Mapping[str, float], averaged: Mapping[str, float]) -> str:
    """Returns "psnr 26.310 (ema 26.452, bicubic 25.120)  ssim ..."."""
    parts = []
    for name in (name for name in raw if "/" not in name):
        others = [("ema", averaged[name])] if name in averaged else []
        others += [
            (key.removesuffix(f"/{name}"), value)
            for key, value in raw.items()
            if key.endswith(f"/{name}")
        ]
        beside = ", ".join(f"{other} {value:.4g}" for other, value in others)
        parts.append(f"{name} {raw[name]:.4g}" + (f" ({beside})" if beside else ""))
    return "  ".join(parts)
