"""Who is started when, and what becomes of failures, kills and other processes."""

import fcntl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.stored import read_json
from pdm_tf.run import Run
from pdm_tf.studies import running
from pdm_tf.studies.plan import make_plan
from pdm_tf.studies.running import Outcome, RunTrainer, is_finished, why_open
from tests.support.processes import wait_for
from tests.unit.studies import fake_training
from tests.unit.studies.studies import request

FAKE = fake_training.__file__
DONE = Outcome("finished")


class Study:
    """The runs of two data sets with one seed; a fake training."""

    def __init__(self, folder, capsys):
        self.plan = make_plan(request(folder, seeds=[0]))
        self.folder, self.capsys = self.plan.request.folder, capsys
        self.behaviours = {}

    def command(self, run, study):
        assert study == self.folder
        more = self.behaviours.get(run.name, ())
        return [sys.executable, FAKE, str(run.folder), str(run.config.steps), *more]

    def train(self, received=lambda: "", jobs=1, patterns=()):
        runs = self.plan.chosen(patterns)
        with running.progress_of(runs, "off") as bar:
            trainer = RunTrainer(
                runs,
                self.folder,
                jobs=jobs,
                bar=bar,
                received=received,
                command=self.command,
            )
            outcomes = trainer.train()
            trainer._looked = 0.0
            trainer._show()
            self.steps = bar.done, bar.total
        return outcomes

    def starts(self, name):
        path = self.plan.by_name[name].folder / "starts"
        return path.read_text().split() if path.exists() else []

    def state(self, name):
        return read_json(self.folder / "states" / f"{name}.json")


@pytest.fixture
def study(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(running, "_POLL_S", 0.01)
    return Study(tmp_path, capsys)


NAMES = ["edsr@s0", "ours@blur@s0", "ours@noise@s0"]


def test_each_is_trained_once_and_after_what_it_starts_from(study):
    assert study.train() == dict.fromkeys(NAMES, DONE)
    told = study.capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in told[::2]] == NAMES
    assert study.train() == dict.fromkeys(NAMES, DONE)
    assert [study.starts(name) for name in NAMES] == [["0"]] * 3
    state = study.state("edsr@s0")
    assert (state["code"], state["starts"], state["reason"]) == (0, 1, "")
    assert 0.1 < state["wall_seconds"] < 5
    assert study.steps == (30, 30)


def test_what_others_start_from_is_finished_first_however_many_train(study):
    study.train(jobs=3)
    told = study.capsys.readouterr().out.splitlines()
    assert [line.rpartition(" after ")[0] or line for line in told[:4]] == [
        "edsr@s0: starts",
        "[1/3] edsr@s0: finished",
        "ours@blur@s0: starts",
        "ours@noise@s0: starts",
    ]


def test_several_train_at_once(study):
    for name in NAMES[1:]:
        study.behaviours[name] = ["5=wait"]
    at_once = []

    def received():
        at_once.append(all(is_locked(study, name) for name in NAMES[1:]))
        return "SIGTERM" if any(at_once) else ""

    outcomes = study.train(received, jobs=2)
    assert outcomes == {NAMES[0]: DONE} | dict.fromkeys(
        NAMES[1:], Outcome("open", "stopped")
    )
    assert any(at_once)


def is_locked(study, name):
    return Run(study.plan.by_name[name].folder).is_locked


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("5=3", "exit code 3, diverged: it went wrong at 5"),
        ("5=2", "exit code 2, cannot work: it went wrong at 5"),
        ("5=1", "exit code 1: it went wrong at 5"),
        ("5=kill", "killed by SIGKILL: nothing was printed"),
        ("5=silent", "ended before its last step: nothing was printed"),
    ],
)
def test_a_failed_run_has_its_reason_and_the_others_go_on(study, what, reason):
    study.behaviours["ours@blur@s0"] = [what]
    assert study.train() == {
        "edsr@s0": DONE,
        "ours@blur@s0": Outcome("failed", reason),
        "ours@noise@s0": DONE,
    }
    run = study.plan.by_name["ours@blur@s0"]
    assert why_open(study.folder, run) == reason
    study.behaviours.clear()
    assert study.train() == dict.fromkeys(NAMES, DONE)
    assert study.starts("ours@blur@s0") == ["0", "5"]
    assert study.state("ours@blur@s0")["starts"] == 2


def test_what_starts_from_a_failed_run_is_not_started(study):
    study.behaviours["edsr@s0"] = ["2=3"]
    outcomes = study.train()
    assert outcomes["ours@blur@s0"].reason == "starts from edsr@s0, which has failed"
    assert study.starts("ours@blur@s0") == []


def test_a_signal_stops_all_and_the_next_start_goes_on(study):
    study.behaviours["edsr@s0"] = ["5=wait"]
    run = study.plan.by_name["edsr@s0"]

    def received():
        return "SIGINT" if running.step_of(run) == 5 else ""

    assert set(study.train(received).values()) == {Outcome("open", "stopped")}
    assert study.state("edsr@s0")["reason"] == ""
    assert why_open(study.folder, run) == "stopped at step 5 of 10"
    study.behaviours.clear()
    assert study.train() == dict.fromkeys(NAMES, DONE)
    assert study.starts("edsr@s0") == ["0", "5"]


def test_a_run_that_another_process_trains_is_waited_for(study):
    """As one that outlived its study, which kill -9 has ended."""
    run = study.plan.by_name["edsr@s0"]
    command = [*study.command(run, study.folder), "5=wait"]
    with subprocess.Popen(command) as orphan:
        wait_for(lambda: running.step_of(run) == 5)
        threading.Timer(0.3, orphan.kill).start()
        assert study.train() == dict.fromkeys(NAMES, DONE)
    assert "edsr@s0: trained by another process" in study.capsys.readouterr().out
    assert study.starts("edsr@s0") == ["0", "5"]


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_of_another_study_is_left_to_it(study, ended):
    """Whether it succeeds or fails there: it is not done twice."""
    run = study.plan.by_name["edsr@s0"]
    path = study.folder / "states" / "edsr@s0.lock"
    path.parent.mkdir(parents=True)

    def train_there():
        with open(path, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held.set()
            time.sleep(0.3)
            if ended:
                subprocess.run(study.command(run, study.folder), check=True)
                return
            state = {"code": 3, "reason": "exit code 3", "ended": time.time()}
            write_json_atomic(path.with_suffix(".json"), state)

    held = threading.Event()
    other = threading.Thread(target=train_there)
    other.start()
    held.wait()
    outcomes = study.train()
    other.join()
    assert outcomes["edsr@s0"] == (DONE if ended else Outcome("failed", "exit code 3"))
    assert study.starts("edsr@s0") == (["0"] if ended else [])


def test_only_some(study):
    assert set(study.train(patterns=["*noise*"])) == {"edsr@s0", "ours@noise@s0"}
    assert not Path(study.plan.by_name["ours@blur@s0"].folder).exists()


def test_a_finished_run_of_other_steps_is_none(study):
    run = study.plan.by_name["edsr@s0"]
    subprocess.run([sys.executable, FAKE, str(run.folder), "4"], check=True)
    assert not is_finished(run)
    subprocess.run([sys.executable, FAKE, str(run.folder), "10"], check=True)
    assert is_finished(run)
