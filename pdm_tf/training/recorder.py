"""What a run leaves behind: logs, checkpoints, bundles, pictures, scores.

One process of a run does it, the chief; it is told when a step has been taken and
decides what is due. Saving comes before the slow actions so that a signal may cut them
short.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from pdm_tf.core.images import write_png
from pdm_tf.run import read_metrics
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.alarm import CollapseAlarm
from pdm_tf.training.checkpoint import CheckpointStore
from pdm_tf.training.ema import EMA
from pdm_tf.training.events import EventWriter
from pdm_tf.training.health import LossMonitor, check_weights
from pdm_tf.training.metrics_file import MetricsFile
from pdm_tf.training.progress import Progress
from pdm_tf.training.run_folder import RunFolder
from pdm_tf.training.signals import GracefulStop
from pdm_tf.training.step_function import StepFunction

if TYPE_CHECKING:
    from pdm_tf.methods.base import Method

Validate = Callable[[keras.Model], Mapping[str, float]]
SaveBundles = Callable[[Mapping[str, keras.Model], int], None]

_SR = "sr"  # the deployable network that is validated
_REFRESH_S = 1.0  # between looks at the losses for the bar and the loss monitor


class Recorder:
    """The chief's part of a run besides training itself.

    Args:
      method: whose networks are saved, validated and pictured.
      config: intervals.
      run: the open run folder.
      start: steps taken by earlier starts.
      step_function: gives the scalars of the last step.
      store: the checkpoints.
      ema: averages; saved and validated beside the last weights.
      monitor: of losses.
      stop: lets a signal end a validation; None: nothing does.
      preview_batch: returns the batch that pictures are made of.
      validate: scores an SR network, or None.
      save_bundles: writes networks for use, or None.
    """

    def __init__(
        self,
        method: "Method",
        config: TrainConfig,
        run: RunFolder,
        start: int,
        *,
        step_function: StepFunction,
        store: CheckpointStore,
        ema: EMA,
        monitor: LossMonitor,
        stop: GracefulStop | None,
        preview_batch: Callable[[], Mapping[str, tf.Tensor]],
        validate: Validate | None,
        save_bundles: SaveBundles | None,
    ) -> None:
        self._method, self._config, self._run = method, config, run
        self._step_function, self._store = step_function, store
        self._ema, self._monitor, self._stop = ema, monitor, stop
        self._make_preview_batch = preview_batch
        self._preview_batch: Mapping[str, tf.Tensor] | None = None
        self._validate, self._save_bundles = validate, save_bundles
        self._metrics = MetricsFile(run.metrics_path, start)
        self._alarm: CollapseAlarm | None = None
        if config.collapse_alarm:
            self._alarm = CollapseAlarm(read_metrics(run.metrics_path))
        self._events = EventWriter(run.tensorboard, start)  # makes no file yet
        self._progress = Progress(config.progress, start, config.steps)
        self._looked_at = time.monotonic()

    def after_step(self, step: int) -> None:
        """Does what is due when `step` steps are taken."""
        config = self._config
        self._progress.advance(step)
        is_last = step == config.steps
        validates = self._validate is not None and is_due(
            step, config.validate_every, is_last
        )
        if step == 1 or is_due(step, config.log_every, is_last):
            self._log(step)
        elif time.monotonic() - self._looked_at > _REFRESH_S:
            self._look()
        if validates or is_due(step, config.save_every, is_last):
            self.save(step)
        if is_due(step, config.preview_every, is_last):
            self._preview(step)
        if validates:
            self._run_validation(step)

    def make_up(self, step: int) -> None:
        """Does what an earlier process could not do after its checkpoint of `step`."""
        config = self._config
        if step == 0:
            return
        is_last = step >= config.steps
        if is_last and not self._has_record(step, "finished"):
            self._write_bundles(step)
        if (
            self._validate is not None
            and is_due(step, config.validate_every, is_last)
            and not self._has_record(step, "val/")
        ):
            self._run_validation(step)

    def finish(self, step: int) -> None:
        """Notes that nothing is left to do."""
        if not self._has_record(step, "finished"):
            self._metrics.write(step, {"finished": True})
        self.say(f"finished at step {step}; networks in {self._run.bundles}")

    def save(self, step: int) -> None:
        """Writes a checkpoint and the bundles.

        Raises:
          NonFiniteLossError: a loss or a weight is not finite; nothing is written.
        """
        self._monitor.check()
        check_weights(self._method.networks, step)
        self._store.save(step)
        self._write_bundles(step)
        self._progress.pause_over()

    def say(self, line: str) -> None:
        """Prints a line, and adds it to the log."""
        self._run.log(line)
        self._progress.say(line)

    def close(self) -> None:
        """Closes what was opened."""
        self._progress.close()
        self._metrics.close()
        self._events.close()

    def _look(self) -> None:
        self._monitor.check()
        scalars = self._step_function.fetch() if self._progress.has_bar else {}
        self._progress.refresh(scalars)
        self._looked_at = time.monotonic()

    def _log(self, step: int) -> None:
        scalars = self._step_function.fetch()
        self._monitor.check()
        self._progress.refresh(scalars)
        self._looked_at = time.monotonic()
        speed = self._progress.measure()
        timed = {} if speed is None else {"perf/steps_per_second": speed}
        health, warnings = self._listen(step)
        self._metrics.write(step, {**scalars, **timed, **health})
        numbers = {k: v for k, v in health.items() if not isinstance(v, str)}
        self._events.scalars(step, {**scalars, **timed, **numbers})
        line = self._progress.status(step, scalars)
        self._run.log(line)
        if not self._progress.has_bar:
            self._progress.say(line)
        for warning in warnings:
            self.say(warning)

    def _listen(self, step: int) -> tuple[dict[str, Any], list[str]]:
        """What the collapse alarm has to write and to say."""
        if self._alarm is None:
            return {}, []
        health = self._method.health(self._fixed_batch)
        if health is None:
            self._alarm = None
            return {}, []
        self._progress.pause_over()
        return self._alarm.hear(step, health)

    def _fixed_batch(self) -> Mapping[str, tf.Tensor]:
        """The same one always, to compare steps."""
        if self._preview_batch is None:
            self._preview_batch = self._make_preview_batch()
        return self._preview_batch

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
        pictures = self._method.previews(self._fixed_batch(), step)
        for name, picture in pictures.items():
            file = f"step_{step:08d}_{name.replace('/', '_')}.png"
            write_png(self._run.previews / file, picture)
        self._events.pictures(step, pictures)
        self._progress.pause_over()

    def _run_validation(self, step: int) -> None:
        network = self._method.deployable().get(_SR)
        if network is None:
            return
        with self._stop.interruptible() if self._stop else contextlib.nullcontext():
            raw = self._validate(network)
            averaged: Mapping[str, float] = {}
            if _SR in self._ema.networks:
                with self._ema.applied():
                    averaged = self._validate(network)
        values = {f"val/{name}": value for name, value in raw.items()}
        values |= {f"val_ema/{k}": v for k, v in averaged.items() if "/" not in k}
        self._metrics.write(step, values)
        self._events.scalars(step, values)
        self.say(f"step {step}  validation: {_comparison(raw, averaged)}")
        self._progress.pause_over()

    def _has_record(self, step: int, prefix: str) -> bool:
        """Whether a number with this prefix was logged at this step."""
        return any(
            name.startswith(prefix)
            for record in read_metrics(self._run.metrics_path)
            if record["step"] == step
            for name in record
        )


def is_due(step: int, every: int, is_last: bool) -> bool:
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
