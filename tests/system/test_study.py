"""`python -m pdm_tf.study`: from flags to the page, failures, and starting again.

Training runs in this process, which has TensorFlow already, two steps each; that runs
are processes of their own, and may be killed, is shown with a fake training in
tests/unit/studies/test_running.py and for real in the slow test here.
"""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from pdm_tf import study
from pdm_tf.cli import program
from pdm_tf.core.stored import read_json
from tests.conformance.smoke import CONFIGS, write_photographs
from tests.support.html_check import check_html
from tests.support.processes import children, ended, wait_for
from tests.support.programs import ROOT
from tests.support.studying import training_here

SMOKE = f"--flagfile={CONFIGS / 'studies/smoke.flags'}"
RUNS = ["edsr@s0", "pdm_sr@small@s0"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"))


def flags(photographs, folder, *more):
    values = {
        "hr_dir": photographs / "hr",
        "lr_dir": photographs / "lr",
        "val_hr_dir": photographs / "hr",
        "val_lr_dir": photographs / "pairs",
    }
    data = [f"--dataset=small.{key}={value}" for key, value in values.items()]
    return [SMOKE, *data, f"--output={folder}", *more]


@pytest.fixture
def processes():
    """Everything in this process; which runs were started, and codes to end with."""
    with training_here() as found:
        yield found


def call(*arguments):
    return program.call(study.SPEC, study.main, list(arguments))


def table(folder):
    content = read_json(folder / "tables/small/comparison.json")
    return {method["name"]: method for method in content["methods"]}, content


def test_the_whole_of_it_and_nothing_twice(photographs, tmp_path, processes, capfd):
    arguments = flags(photographs, tmp_path)
    assert call(*arguments) == program.OK
    assert processes.started == RUNS
    rows, content = table(tmp_path)
    assert list(rows) == ["bicubic", "edsr", "pdm_sr"]
    assert content["missing"] == content["absent"] == []
    assert set(content["columns"]) == {
        *("classifier", "training", "memory", "SR weights", "trained weights")
    }
    weights = {name: row["columns"]["SR weights"]["mean"] for name, row in rows.items()}
    assert weights["bicubic"] is None and weights["edsr"] == weights["pdm_sr"] > 0
    assert rows["edsr"]["columns"]["classifier"]["mean"] is None
    assert 0 <= rows["pdm_sr"]["columns"]["classifier"]["mean"] <= 100
    assert "No classifier of edsr: it learns no degradation." in content["column_notes"]
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    assert check_html(page) == [] and "small: scores" in page
    facts = read_json(tmp_path / "study.json")
    assert set(facts["seconds"]) == {
        *("training", "starting", "checking", "evaluating", "comparing")
    }
    assert facts["overhead"] > 0
    assert [run["state"] for run in facts["runs"].values()] == ["finished"] * 2
    capfd.readouterr()

    before = (tmp_path / "tables/small/comparison.json").read_bytes()
    assert call(*arguments) == program.OK
    assert processes.started == RUNS
    assert (tmp_path / "tables/small/comparison.json").read_bytes() == before
    assert capfd.readouterr().out.splitlines()[-1] == f"page: {tmp_path}/study.html"
    assert call(*arguments, "--list") == program.OK
    assert [line.split() for line in capfd.readouterr().out.splitlines()] == [
        [name, "finished"] for name in RUNS
    ]


@pytest.mark.slow  # 13 s; studies/test_running.py has it
def test_a_failed_run_is_a_row_with_its_reason(photographs, tmp_path, processes, capfd):
    processes.codes = {"pdm_sr@small@s0": 3}
    arguments = flags(photographs, tmp_path, "--oracle=pdm_sr")
    assert call(*arguments) == program.SOME_LEFT_OUT
    reason = "exit code 3, diverged: it cannot"
    assert f"failed: pdm_sr@small@s0: {reason}" in capfd.readouterr().err
    rows, content = table(tmp_path)
    assert list(rows) == ["bicubic", "edsr"] and content["absent"] == ["pdm_sr"]
    assert content["missing"] == [
        {"method": "pdm_sr", "run": "pdm_sr@small@s0", "reason": reason}
    ]
    for name in ("study.html", "tables/small/comparison.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "pdm_sr@small@s0" in text and "diverged" in text
    assert "| pdm_sr | - |" in (tmp_path / "tables/small/comparison.md").read_text()
    # A part of it, later, and only what is there.
    processes.codes = {}
    assert call(*arguments, "--only=edsr*") == program.OK
    assert call(*arguments, "--notrain") == program.OK
    assert table(tmp_path)[1]["missing"][0]["reason"] == reason
    assert processes.started == RUNS
    assert call(*arguments, "--only=pdm_sr@*") == program.OK
    rows, content = table(tmp_path)
    assert "pdm_sr" in rows and content["missing"] == [] and "share" in rows["edsr"]


def test_nothing_starts_before_all_faults_are_known(
    photographs, tmp_path, processes, capfd
):
    """Also of what lies in the folders already."""
    arguments = flags(photographs, tmp_path)
    assert call(*arguments, "--only=edsr@s0") == program.OK
    capfd.readouterr()
    (tmp_path / "bad.flags").write_text("--hr_dir={hr_dr}")
    assert call(*arguments, f"--method=bad={tmp_path}/bad.flags") == program.BAD_INPUT
    assert "bad on small: {KEY} must be a key" in capfd.readouterr().err
    lost = ("--dataset=small.hr_dir=nowhere", "--dataset=small.val_lr_dir=never")
    assert call(*arguments, *lost) == program.BAD_INPUT
    errors = capfd.readouterr().err
    assert "The study cannot start, 4 faults:" in errors
    assert "edsr@s0: " in errors and "it was" not in errors
    assert "--hr_dir was" in errors and "pdm_sr@small@s0: " in errors
    assert "small.val_lr_dir: " in errors
    assert call(*arguments, "--steps=1") == program.BAD_INPUT
    assert "holds a run of 2 steps, the study says --steps=1" in capfd.readouterr().err
    assert processes.started == ["edsr@s0"]


def test_a_signal_ends_it_at_any_time(
    photographs, tmp_path, processes, capfd, monkeypatch
):
    """While evaluating too, with the code that has a cluster start it again."""

    def evaluate(request, warn, reuse):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr("pdm_tf.evaluate.run_evaluation", evaluate)
    arguments = flags(photographs, tmp_path, "--only=edsr@*")
    assert call(*arguments) == program.INTERRUPTED
    told = "SIGTERM: stopped, all saved; the same command goes on."
    assert told in capfd.readouterr().err
    assert processes.started == ["edsr@s0"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seeds="], "--seeds must be different numbers"),
        (["--seeds=1,1"], "--seeds must be different numbers.*1,1"),
        (["--method=edsr=x.flags"], "a name of its own. Received: edsr="),
        (["--method=bicubic=x.flags"], "a row that comes by itself"),
        (["--oracle=pdmsr"], "Did you mean 'pdm_sr'"),
        (["--dataset=new.hr_dir=x"], "--dataset=new.val_lr_dir=FOLDER is required"),
        (["--only=ours*"], "--only must match names of runs"),
        (["--jobs=0"], "--jobs must be 1 or more"),
        (["--output="], "--output is required"),
    ],
)
def test_wrong_flags_say_why(photographs, tmp_path, processes, capfd, more, message):
    assert call(*flags(photographs, tmp_path, *more)) == program.BAD_INPUT
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    assert re.search(message, errors), errors
    assert processes.started == []


def test_help_and_list_load_no_tensorflow(photographs, tmp_path):
    arguments = flags(photographs, tmp_path, "--list")
    code = (
        "import sys\nfrom pdm_tf import study\nfrom pdm_tf.cli import program\n"
        f"program.call(study.SPEC, study.main, {arguments!r})\n"
        "program.call(study.SPEC, study.main, ['--help'])\n"
        "assert not {'tensorflow', 'keras', 'scipy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_killed_and_started_again_the_table_is_the_same(photographs, tmp_path):
    """kill -9 of the study, then of a training: nothing is trained twice."""
    folder, whole = tmp_path / "cut", tmp_path / "whole"
    edsr, pdm = (folder / "runs" / name for name in RUNS)
    long = ("--steps=30", "--progress=off")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def begin():
        command = [sys.executable, "-m", "pdm_tf.study"]
        command += flags(photographs, folder, *long)
        return subprocess.Popen(command, env=environment)

    with begin() as first:
        wait_for((edsr / "metrics.jsonl").is_file, 300)
        (training,) = children(first.pid)
        first.kill()
    assert not ended(training)  # it outlives its study, and is waited for
    with begin() as second:
        wait_for(lambda: list(pdm.glob("checkpoints/step_*")), 300)
        (training,) = children(second.pid)
        os.kill(training, signal.SIGKILL)
        assert second.wait() == program.SOME_LEFT_OUT
    with begin() as last:
        assert last.wait() == program.OK
    starts = [len(read_json(run / "env.json")["earlier"]) for run in (edsr, pdm)]
    assert starts == [0, 1]
    assert read_json(pdm / "env.json")["start_step"] >= 10
    with training_here():
        assert call(*flags(photographs, whole, *long)) == program.OK
    contents = [table(place)[1] for place in (folder, whole)]
    for content in contents:
        for method in content["methods"]:
            del method["columns"], method["model"]
    assert contents[0] == contents[1]
