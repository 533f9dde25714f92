"""Trains the runs of a study, each in a process of its own.

Nothing is trained twice: a finished run is taken as it is, one that was killed goes on
from its last checkpoint, and one that another process trains (a study on another
machine that shares the folder, or a process that outlived its study) is waited for. A
run that fails is left with its reason, and the others go on.

STUDY/runs/NAME/            the run folders
STUDY/logs/NAME.log         what the processes printed
STUDY/flags/NAME.flags      the flags they were started with
STUDY/states/NAME.json      how the last start ended, and the time of all
STUDY/states/NAME.lock      held by the study that is at it
"""

import contextlib
import dataclasses
import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from pdm_tf.cli import program
from pdm_tf.core.files import write_json_atomic, write_text_atomic
from pdm_tf.core.progress import ProgressBar, clock
from pdm_tf.core.stored import read_json
from pdm_tf.run import SETTINGS, Run
from pdm_tf.studies.plan import Fault, StudyRun
from pdm_tf.train_config import TrainConfig, changed_on_resume

_POLL_S = 0.2
_LOOK_S = 2.0  # between looks at the numbers of running runs
_LINE_S = 600.0  # between lines on what is done, where there is no bar
_SHOWN = 300  # characters of a reason

_CODES = {
    program.BAD_INPUT: "cannot work",
    program.NON_FINITE_LOSS: "diverged",
    program.INTERRUPTED: "was stopped by a signal, after saving",
}


class Outcome(NamedTuple):
    """How a run stands when the study is through with it.

    Attributes:
      state: "finished", "failed", or "open" (stopped, or left to somebody else).
      reason: why it is not finished, or "".
    """

    state: str
    reason: str = ""


def is_finished(run: StudyRun) -> bool:
    """Whether a run is at its last step, with its networks."""
    ending = Run(run.folder).ending
    return ending is not None and ending["step"] == run.config.steps


def step_of(run: StudyRun) -> int:
    """How many steps of a run are taken, as far as its numbers say."""
    records = Run(run.folder).metrics
    return min(records[-1]["step"], run.config.steps) if records else 0


def progress_of(
    runs: Sequence[StudyRun], show: Literal["auto", "on", "off"]
) -> ProgressBar:
    """A bar that counts the steps of all runs, those of earlier starts as done."""
    return ProgressBar(
        "study",
        "step",
        show,
        total=sum(run.config.steps for run in runs),
        done=sum(step_of(run) for run in runs),
        line_every_s=_LINE_S,
        scaled=True,
    )


def state_path(study: Path, name: str) -> Path:
    """Where it stands how a run's last start ended."""
    return study / "states" / f"{name}.json"


def last_state(study: Path, name: str) -> Mapping[str, Any]:
    """How a run's last start ended; empty where there was none."""
    path = state_path(study, name)
    return read_json(path) if path.is_file() else {}


def why_open(study: Path, run: StudyRun) -> str:
    """Why a run is not finished, in words."""
    if run.folder.is_dir() and Run(run.folder).is_locked:
        return f"being trained, at step {step_of(run)} of {run.config.steps}"
    if reason := last_state(study, run.name).get("reason"):
        return str(reason)
    step = step_of(run)
    return f"stopped at step {step} of {run.config.steps}" if step else "not started"


def faults_of_folder(
    run: StudyRun, read: Callable[[Mapping[str, Any]], TrainConfig]
) -> list[Fault]:
    """Whether what lies in a run's folder is that run.

    Args:
      run: planned.
      read: makes a config of the content of a config.json.
    """
    there = Run(run.folder)
    if not (run.folder / SETTINGS).is_file():
        return []
    changed = changed_on_resume(read(there.settings), run.config)
    faults = [
        Fault(
            run.name,
            f"{run.folder} holds a run with other settings: --{name} was "
            f"{_shown(old)}, the study says {_shown(new)}. Give the old value, or "
            "move the folder away.",
        )
        for name, (old, new) in changed.items()
        if there.checkpoint_steps or there.ending
    ]
    last = max([step_of_record(there), *there.checkpoint_steps])
    if last > run.config.steps:
        faults.append(
            Fault(
                run.name,
                f"{run.folder} holds a run of {last} steps, the study says "
                f"--steps={run.config.steps}.",
            )
        )
    return faults


def step_of_record(run: Run) -> int:
    """The step of the last record of a run's numbers, or 0."""
    records = run.metrics
    return records[-1]["step"] if records else 0


def _shown(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text or "not given"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process is at `path`, and holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _claim(path: Path) -> IO[str] | None:
    """An open file that is locked until it is closed; None if it is already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a")  # noqa: SIM115 - held
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@dataclasses.dataclass
class _Child:
    process: subprocess.Popen
    log: IO[str]
    claim: IO[str]
    began: float
    log_start: int

    def close(self) -> None:
        self.log.close()
        self.claim.close()


def train_command(run: StudyRun, study: Path) -> list[str]:
    """The command that trains a run or goes on with it; writes its flag file."""
    path = study / "flags" / f"{run.name}.flags"
    write_text_atomic(path, "\n".join([*run.flags, ""]))
    return [sys.executable, "-m", "pdm_tf.train", f"--flagfile={path}"]


class RunTrainer:
    """Trains what is missing, several runs at once, each after those it starts from."""

    def __init__(
        self,
        runs: Sequence[StudyRun],
        study: Path,
        *,
        jobs: int,
        bar: ProgressBar,
        received: Callable[[], str],
        command: Callable[[StudyRun, Path], list[str]] = train_command,
    ) -> None:
        """Nothing starts yet.

        Args:
          runs: each after those that it starts from.
          study: its folder.
          jobs: how many train at once.
          bar: of `progress_of`.
          received: the name of the signal that came to this process, or "".
          command: makes the command that trains a run.
        """
        self._runs = {run.name: run for run in runs}
        self._study, self._jobs, self._bar = study, jobs, bar
        self._received, self._command = received, command
        self._began = time.time()
        self._outcomes: dict[str, Outcome] = {}
        self._children: dict[str, _Child] = {}
        self._elsewhere: set[str] = set()
        self._steps: dict[str, int] = {}
        self._looked = 0.0

    def train(self) -> dict[str, Outcome]:
        """Returns how each run stands, once nothing is left to do or a signal came."""
        for run in self._runs.values():
            if is_finished(run):
                self._outcomes[run.name] = Outcome("finished")
        self._steps = {name: step_of(run) for name, run in self._runs.items()}
        try:
            while len(self._outcomes) < len(self._runs) and not self._received():
                self._collect()
                self._start_what_can()
                self._show()
                time.sleep(_POLL_S)
        finally:
            self._stop_children()
        for name in self._runs:
            self._outcomes.setdefault(name, Outcome("open", "stopped"))
        return self._outcomes

    def _start_what_can(self) -> None:
        for name, run in self._runs.items():
            if name in self._outcomes or name in self._children:
                continue
            before = [self._outcomes.get(other) for other in run.after]
            lost = [
                other
                for other, outcome in zip(run.after, before, strict=True)
                if outcome is not None and outcome.state != "finished"
            ]
            if lost:
                reason = f"starts from {lost[0]}, which has failed"
                self._end(run, Outcome("failed", reason))
            elif None not in before and len(self._children) < self._jobs:
                self._try_to_start(run)

    def _try_to_start(self, run: StudyRun) -> None:
        claim = _claim(self._study / "states" / f"{run.name}.lock")
        if claim is None or Run(run.folder).is_locked:
            if claim is not None:
                claim.close()
            if run.name not in self._elsewhere:
                self._elsewhere.add(run.name)
                self._bar.say(f"{run.name}: trained by another process; waiting for it")
            return
        elsewhere = run.name in self._elsewhere
        self._elsewhere.discard(run.name)
        state = last_state(self._study, run.name)
        if is_finished(run):  # meanwhile, by the other process
            claim.close()
            self._end(run, Outcome("finished"))
        elif elsewhere and state.get("ended", 0) > self._began and state.get("reason"):
            claim.close()
            self._end(run, Outcome("failed", state["reason"]))
        else:
            self._start(run, claim)

    def _start(self, run: StudyRun, claim: IO[str]) -> None:
        path = self._study / "logs" / f"{run.name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        log = open(path, "a", encoding="utf-8")  # noqa: SIM115 - held by the child
        begins = path.stat().st_size
        # A session of its own: Ctrl-C reaches it through us, once.
        process = subprocess.Popen(
            self._command(run, self._study),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._children[run.name] = _Child(process, log, claim, time.time(), begins)
        step = step_of(run)
        how = f"goes on from step {step}" if step else "starts"
        self._bar.say(f"{run.name}: {how}")

    def _collect(self) -> None:
        for name, child in list(self._children.items()):
            code = child.process.poll()
            if code is not None:
                self._conclude(self._runs[name], code)

    def _conclude(self, run: StudyRun, code: int) -> None:
        """Notes how a process ended."""
        child = self._children.pop(run.name)
        child.close()
        wall = time.time() - child.began
        finished = code == program.OK and is_finished(run)
        if code == program.BAD_INPUT and Run(run.folder).is_locked:
            return  # another process was quicker: it is waited for
        reason = "" if finished else self._reason(run, code, child.log_start)
        before = last_state(self._study, run.name)
        state = {
            "code": code,
            "reason": reason,
            "ended": time.time(),
            "wall_seconds": round(before.get("wall_seconds", 0.0) + wall, 1),
            "starts": before.get("starts", 0) + 1,
        }
        stopped = self._received() and code not in (
            program.BAD_INPUT,
            program.NON_FINITE_LOSS,
        )
        if stopped:
            state["reason"] = ""  # it only waits to go on
        write_json_atomic(state_path(self._study, run.name), state)
        if stopped and not finished:
            self._outcomes[run.name] = Outcome("open", "stopped")
            return
        self._end(run, Outcome("finished" if finished else "failed", reason), wall)

    def _end(self, run: StudyRun, outcome: Outcome, wall: float = 0.0) -> None:
        self._outcomes[run.name] = outcome
        done = len(self._outcomes)
        how = f"failed: {outcome.reason}" if outcome.reason else "finished"
        time_taken = f" after {clock(wall)}" if wall else ""
        self._bar.say(f"[{done}/{len(self._runs)}] {run.name}: {how}{time_taken}")

    def _reason(self, run: StudyRun, code: int, start: int) -> str:
        path = self._study / "logs" / f"{run.name}.log"
        with open(path, encoding="utf-8", errors="replace") as log:
            log.seek(start)
            lines = [line.strip() for line in log if line.strip()]
        errors = [line for line in lines if "error:" in line.lower()]
        last = (errors or lines or ["nothing was printed"])[-1]
        if code < 0:
            how = f"killed by {signal.Signals(-code).name}"
        elif code == program.OK:
            how = "ended before its last step"
        else:
            known = f", {_CODES[code]}" if code in _CODES else ""
            how = f"exit code {code}{known}"
        return f"{how}: {last.removeprefix('error: ')[:_SHOWN]}"

    def _stop_children(self) -> None:
        """Has them save and end, and waits for it."""
        for child in self._children.values():
            child.process.send_signal(signal.SIGTERM)
        try:
            for name, child in list(self._children.items()):
                self._conclude(self._runs[name], child.process.wait())
        except KeyboardInterrupt:  # asked twice: at once
            for child in self._children.values():
                child.process.kill()
                child.process.wait()
                child.close()
            self._children.clear()
            raise

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        for name, run in self._runs.items():
            outcome = self._outcomes.get(name)
            if outcome is not None and self._steps.get(name) != run.config.steps:
                self._steps[name] = run.config.steps  # or given up
            elif name in self._children or name in self._elsewhere:
                self._steps[name] = step_of(run)
        self._bar.update(sum(self._steps.values()))
        running = ", ".join(
            f"{name} {self._steps.get(name, 0)}/{self._runs[name].config.steps}"
            for name in self._children
        )
        done = len(self._outcomes)
        self._bar.show_text(f"{done} of {len(self._runs)} runs; {running}")
