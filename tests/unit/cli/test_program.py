"""Exit codes and messages of a program, whatever its work does."""

import dataclasses
import errno
import subprocess
import sys
import threading

import pytest

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec
from pdm_tf.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    size: int = 3


SPEC = ProgramSpec(
    module="pdm_tf.example",
    config=Config,
    intro="An example.",
    examples=("python -m pdm_tf.example",),
    sections={"All": {"size": "Size in pixels."}},
)


def failing(error):
    def main(config):
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "argv", "code"),
    [
        (lambda config: None, [], 0),
        (lambda config: config.size, ["--size=75"], 75),
        (lambda config: 0, ["--sise=3"], 2),
        (lambda config: 5, ["--help"], 0),
        (failing(UserError("no such folder")), [], 2),
        (failing(KeyboardInterrupt()), [], 130),
        (failing(RuntimeError("ours")), [], 1),
        (failing(ValueError("ours too")), [], 1),
    ],
)
def test_exit_code(main, argv, code):
    assert program.call(SPEC, main, argv) == code


def test_bad_input_is_one_line_without_traceback(capsys):
    program.call(SPEC, failing(UserError("no such folder")), [])
    assert capsys.readouterr().err == "error: no such folder\n"
    program.call(SPEC, failing(UserError("x")), ["--sise=3"])
    assert (
        capsys.readouterr().err == "error: unknown flag --sise. Did you mean --size?\n"
    )


def test_a_full_disk_is_one_line_and_2(capsys):
    error = OSError(errno.ENOSPC, "No space left on device", "run/a.png")
    assert program.call(SPEC, failing(error), []) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "disk is full" in line and "run/a.png" in line and "same command" in line


def test_a_defect_keeps_its_traceback(capsys):
    program.call(SPEC, failing(RuntimeError("ours")), [])
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_within_pythons_locks_is_an_interrupt(capsys):
    def main(config):
        condition = threading.Condition()
        with condition:
            condition.release()  # where Ctrl-C comes before it is taken again
            raise KeyboardInterrupt

    assert program.call(SPEC, main, []) == 130
    assert capsys.readouterr().err == "interrupted.\n"


def test_run_exits_with_the_code():
    with pytest.raises(SystemExit) as exit_:
        program.run(SPEC, lambda config: 3, [])
    assert exit_.value.code == 3


def test_help_into_a_closed_pipe_is_silent():
    code = (
        "import tests.unit.cli.test_program as t\n"
        "from pdm_tf.cli import program\n"
        "def main(config):\n"
        "    for _ in range(100000): print('x' * 100)\n"
        "program.run(t.SPEC, main, [])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


def test_the_train_program_needs_no_tensorflow_to_refuse_a_flag():
    code = (
        "import sys\n"
        "from pdm_tf import train\n"
        "from pdm_tf.cli import program\n"
        "assert program.call(train.SPEC, train.main, ['--stepz=3']) == 2\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "Did you mean --steps" in result.stderr
