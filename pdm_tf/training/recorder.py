"""Writes the results of a run: logs, checkpoints, bundles, pictures, scores.

One process of a run does it, the chief: after each step it decides what is due. Saving
comes before the slow actions so that a signal may cut them short.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from pdm_tf.core.degradation_limits import EARLY_STEPS
from pdm_tf.core.images import write_png
from pdm_tf.core.log_words import glossary
from pdm_tf.core.memory import peak_bytes
from pdm_tf.core.progress import ProgressBar, Rate, Show, clock
from pdm_tf.methods.base import Batch, Finding, Health
from pdm_tf.run import read_metrics
from pdm_tf.training.checkpoint import CheckpointStore
from pdm_tf.training.nan_monitor import DivergedError, Trends, check_weights
from pdm_tf.training.outlook import AFTER_STEPS, outlook
from pdm_tf.training.run_folder import EventWriter, MetricsFile, RunFolder
from pdm_tf.training.signals import GracefulStop
from pdm_tf.training.step_function import StepFunction

_SR = "sr"  # the deployable network that is validated
_REFRESH_S = 1.0  # between looks at the losses for the bar and the loss monitor

# Before this step networks are still close to their initial values, where kernels may
# be alike on purpose, and the moving statistics of inference have not settled.
GRACE_STEPS = 200
_ACTIVE = "alarm/active"
ROLLBACKS = "stat/rollbacks"
_SECONDS, _MEMORY = "perf/train_seconds", "perf/peak_memory_mb"


@dataclasses.dataclass(frozen=True)
class Intervals:
    """The last step of a run, and the intervals of its periodic actions.

    Attributes:
      steps: of the whole run.
      log_every, save_every: at least 1.
      preview_every, validate_every: 0: never.
    """

    steps: int
    log_every: int
    save_every: int
    preview_every: int = 0
    validate_every: int = 0

    def is_due(self, step: int, every: int) -> bool:
        """Whether something done `every` so many steps, and last, is due at `step`."""
        return every > 0 and (step % every == 0 or step >= self.steps)

    def until_next(self, step: int) -> int:
        """Returns how many steps after `step` something is due, at least 1."""
        if step == 0:  # the first step is logged
            return 1
        intervals = (
            self.log_every,
            self.save_every,
            self.preview_every,
            self.validate_every,
        )
        waits = [every - step % every for every in intervals if every]
        return min(self.steps - step, *waits)


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The results of a run besides its checkpoints and numbers.

    Attributes:
      validate: scores the network "sr" of `method.deployable()`: name -> number, those
        of a baseline as "bicubic/psnr". None: no validation.
      save_bundles: writes networks for use: folder name -> network, and the step. None:
        no bundles.
      show_photographs: pictures the network "sr", and the step, at work on real
        photographs: [H, W, 3] uint8, or None if there are none. None: no pictures.
      collapse_alarm: whether to look for collapse, and for what `Trends` sees.
      stop_on_alarm: whether a new finding ends training.
      progress: whether a bar is shown.
    """

    validate: Callable[[keras.Model], Mapping[str, float]] | None = None
    save_bundles: Callable[[Mapping[str, keras.Model], int], None] | None = None
    show_photographs: Callable[[keras.Model, int], np.ndarray | None] | None = None
    collapse_alarm: bool = True
    stop_on_alarm: bool = False
    progress: Show = "auto"


class Recorder:
    """Does the chief's part of a run besides training; a context manager."""

    def __init__(
        self,
        step_function: StepFunction,
        store: CheckpointStore,
        run: RunFolder,
        start: int,
        intervals: Intervals,
        outputs: Outputs,
        *,
        stop: GracefulStop | None,
        preview_batch: Callable[[], Batch],
    ) -> None:
        """Opens the files.

        Args:
          step_function: gives the method, whose networks are saved, validated and
            pictured, their averages, and the scalars of the last step.
          store: the checkpoints.
          run: the open run folder.
          start: steps taken before this start.
          intervals: what is due when.
          outputs: the other results.
          stop: lets a signal end a validation; None: it cannot be ended.
          preview_batch: returns the batch that pictures are made of, always the same.
        """
        self._step_function, self._method = step_function, step_function.method
        self._ema, self._monitor = step_function.ema, step_function.monitor
        self._store, self._run, self._stop = store, run, stop
        self._intervals, self._outputs = intervals, outputs
        self._fixed_batch = functools.cache(preview_batch)
        self._metrics = MetricsFile(run.metrics_path, start)
        if lost := self._metrics.damaged:
            told = f"warning: {lost} damaged lines of {run.metrics_path} are left out"
            run.log(told)
            print(told, flush=True)
        self._alarm: CollapseAlarm | None = None
        if outputs.collapse_alarm:
            self._alarm = CollapseAlarm(read_metrics(run.metrics_path))
        self._trends = Trends()
        self._events = EventWriter(run.tensorboard, start)  # makes no file yet
        self._rate = Rate(start)
        self._bar = ProgressBar(
            "",
            "step",
            outputs.progress,
            total=intervals.steps,
            done=start,
        )
        self._looked_at = time.monotonic()
        self._told_time = self._explained = False
        self._start = start
        self._cost = _Cost(read_metrics(run.metrics_path))

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.close()
        self._metrics.close()
        self._events.close()

    def after_step(self, step: int) -> None:
        """Carries out the actions that are due after `step` steps."""
        due, is_due = self._intervals, self._intervals.is_due
        self._rate.advance(step)
        self._bar.update(step)
        if not self._told_time and step - self._start >= AFTER_STEPS:
            self._tell_time(step)
        validates = self._validates(step)
        if step == 1 or is_due(step, due.log_every):
            self._log(step)
        elif time.monotonic() - self._looked_at > _REFRESH_S:
            self._look()
        # Pictures come before the checkpoint: a run that is killed between the two goes
        # on from the checkpoint, and would never make those of its step.
        previews = is_due(step, due.preview_every)
        if previews or validates:
            self._monitor.check()
        if previews:
            self._preview(step)
        if previews or validates:
            self._show_photographs(step)
        if validates or is_due(step, due.save_every):
            self.save(step)
        if validates:
            self._run_validation(step)

    def catch_up(self, step: int) -> None:
        """Makes the last bundles and the validation of `step` if they are missing."""
        if step == 0:
            return
        if step >= self._intervals.steps and not self._has_record(step, "finished"):
            self._write_bundles(step)
        if self._validates(step) and not self._has_record(step, "val/"):
            self._run_validation(step)

    def finish(self, step: int) -> None:
        """Logs that the run is finished."""
        if not self._has_record(step, "finished"):
            self._metrics.write(step, {"finished": True, **self._cost.so_far()})
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
        self._rate.pause_over()

    def rolled_back(self, step: int, count: int) -> None:
        """Notes that training went back to `step`, the `count`-th time."""
        self._metrics.write(step, {ROLLBACKS: count})

    def say(self, line: str) -> None:
        """Prints a line, and adds it to the log."""
        self._run.log(line)
        self._bar.say(line)

    def _tell_time(self, step: int) -> None:
        """Says once how long the run will take, if that is worth saying."""
        steps = self._intervals.steps
        left = self._rate.seconds_left(steps - step)
        if left is None:
            return
        self._told_time = True
        if line := outlook(step, steps, left):
            self.say(line)

    def _look(self) -> None:
        self._monitor.check()
        scalars = self._step_function.fetch() if self._bar.is_shown else {}
        self._bar.show_text(short_losses(scalars))
        self._looked_at = time.monotonic()

    def _log(self, step: int) -> None:
        scalars = self._step_function.fetch()
        self._monitor.check()
        self._bar.show_text(short_losses(scalars))
        self._looked_at = time.monotonic()
        speed = self._rate.per_second()
        timed = {} if speed is None else {"perf/steps_per_second": speed}
        timed |= self._cost.so_far()
        health, warnings = self._look_for_collapse(step, scalars)
        self._metrics.write(step, {**scalars, **timed, **health})
        numbers = {k: v for k, v in health.items() if not isinstance(v, str)}
        self._events.scalars(step, {**scalars, **timed, **numbers})
        if not self._explained:
            shown = glossary([*scalars, *timed, *numbers, "val/psnr", "val_ema/psnr"])
            self._events.text(step, "what the numbers mean", shown)
            self._explained = True
        line = self._status(step, speed, scalars)
        self._run.log(line)
        if not self._bar.is_shown:
            self._bar.say(line)
        for warning in warnings:
            self.say(warning)
        if warnings and self._outputs.stop_on_alarm and health[_ACTIVE]:
            raise DivergedError(warnings[0], health[_ACTIVE].partition(",")[0], step)

    def _status(
        self, step: int, speed: float | None, scalars: Mapping[str, float]
    ) -> str:
        """Returns the plain line: step, speed, time left, losses."""
        steps = self._intervals.steps
        fast = "" if speed is None else f"{speed:.3g} it/s  "
        left = self._rate.seconds_left(steps - step)
        eta = "" if left is None else f"eta {clock(left)}  "
        return f"step {step}/{steps}  {fast}{eta}{short_losses(scalars)}"

    def _look_for_collapse(
        self, step: int, scalars: Mapping[str, float]
    ) -> tuple[dict[str, Any], list[str]]:
        """Returns numbers to write, and lines to print, of the collapse alarm."""
        if self._alarm is None:
            return {}, []
        trends = self._trends.update(scalars)
        own = self._method.health(self._fixed_batch)
        if own is None and not trends.findings and not self._alarm.is_active:
            return {}, []
        own = own or Health({}, ())
        self._rate.pause_over()
        findings = own.findings + trends.findings
        return self._alarm.update(step, Health(own.numbers, findings))

    def _write_bundles(self, step: int) -> None:
        if self._outputs.save_bundles is None:
            return
        networks = self._method.deployable()
        self._outputs.save_bundles(networks, step)
        averaged = {
            f"{name}_ema": network
            for name, network in networks.items()
            if name in self._ema.networks
        }
        if averaged:
            with self._ema.applied():
                self._outputs.save_bundles(averaged, step)

    def _preview(self, step: int) -> None:
        self._show(step, self._method.previews(self._fixed_batch(), step))

    def _show_photographs(self, step: int) -> None:
        """Shows the SR network, with averaged weights, on real photographs."""
        network = self._method.deployable().get(_SR)
        if network is None or self._outputs.show_photographs is None:
            return
        is_averaged = _SR in self._ema.networks
        with self._ema.applied() if is_averaged else contextlib.nullcontext():
            picture = self._outputs.show_photographs(network, step)
        if picture is not None:
            self._show(step, {"photographs": picture})

    def _show(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        for name, picture in pictures.items():
            file = f"step_{step:08d}_{name.replace('/', '_')}.png"
            write_png(self._run.previews / file, picture)
        self._events.pictures(step, pictures)
        self._rate.pause_over()

    def _run_validation(self, step: int) -> None:
        network = self._method.deployable().get(_SR)
        if network is None:
            return
        with self._stop.interruptible() if self._stop else contextlib.nullcontext():
            raw = self._outputs.validate(network)
            averaged: Mapping[str, float] = {}
            if _SR in self._ema.networks:
                with self._ema.applied():
                    averaged = self._outputs.validate(network)
        values = {f"val/{name}": value for name, value in raw.items()}
        values |= {f"val_ema/{k}": v for k, v in averaged.items() if "/" not in k}
        self._metrics.write(step, values)
        self._events.scalars(step, values)
        judged = min(EARLY_STEPS, self._intervals.steps // 2)
        early = f"  (before step {judged:,} it is too early to judge)"
        early = "" if step >= judged else early
        self.say(f"step {step}  validation: {_comparison(raw, averaged)}{early}")
        self._rate.pause_over()

    def _validates(self, step: int) -> bool:
        """Whether a validation is due at `step`."""
        if self._outputs.validate is None:
            return False
        return self._intervals.is_due(step, self._intervals.validate_every)

    def _has_record(self, step: int, prefix: str) -> bool:
        """Whether a number with this prefix was logged at this step."""
        return any(
            name.startswith(prefix)
            for record in read_metrics(self._run.metrics_path)
            if record["step"] == step
            for name in record
        )


class _Cost:
    """What a run has taken so far, over all its starts.

    Args:
      records: of metrics.jsonl, up to the step from which this start goes on.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        self._seconds = self._memory = 0.0
        for record in records:
            self._seconds = record.get(_SECONDS, self._seconds)
            self._memory = max(self._memory, record.get(_MEMORY, 0.0))
        self._began = time.monotonic()

    def so_far(self) -> dict[str, float]:
        """Returns wall-clock seconds of training, tracing, saving and validating, and
        the largest resident memory of the process, in MB (10**6 bytes).
        """
        seconds = self._seconds + time.monotonic() - self._began
        memory = max(self._memory, peak_bytes() / 1e6)
        return {_SECONDS: round(seconds, 1), _MEMORY: round(memory, 1)}


class CollapseAlarm:
    """Reports a collapse once, and once that it has cleared.

    The method knows what can collapse, how it shows and what helps (`Method.health`);
    this class only decides when to report it.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        """Reads which causes have been reported.

        Args:
          records: of metrics.jsonl so far, so that a resumed run does not
            repeat itself.
        """
        active = ""
        for record in records:
            active = record.get(_ACTIVE, active)
        self._active = {cause for cause in active.split(",") if cause}

    @property
    def is_active(self) -> bool:
        """Whether there was a finding at the last look."""
        return bool(self._active)

    def update(self, step: int, health: Health) -> tuple[dict[str, Any], list[str]]:
        """Takes the method's findings after `step` steps.

        Returns:
          (values for metrics.jsonl: the numbers, and "alarm/active", the causes by
          name with commas; lines to print).
        """
        findings = {f.cause: f for f in health.findings if step >= GRACE_STEPS}
        lines = [
            _announced(step, finding)
            for cause, finding in findings.items()
            if cause not in self._active
        ]
        lines += [
            f"step {step}  collapse alarm: {cause} has cleared."
            for cause in sorted(self._active - findings.keys())
        ]
        self._active = set(findings)
        return {**health.numbers, _ACTIVE: ",".join(sorted(findings))}, lines


def _announced(step: int, finding: Finding) -> str:
    return (
        f"step {step}  collapse alarm: {finding.cause}: {finding.what} is "
        f"{finding.value:.3g}, threshold {finding.threshold:.3g}. {finding.advice}"
    )


def short_losses(scalars: Mapping[str, float]) -> str:
    """Returns "g_adv 0.25  d_lr 0.31" for the scalars whose names begin with loss/."""
    return "  ".join(
        f"{name.removeprefix('loss/')} {value:.4g}"
        for name, value in scalars.items()
        if name.startswith("loss/")
    )


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
