"""Divided starts (tests/support/forking.py) are like starts, and outlive nobody."""

import importlib
import os
import signal
import subprocess
import sys

import pytest

from tests.support import forking
from tests.support.processes import children, ended, wait_for

SELF = "tests.unit.test_forking"
ASKS = """
import sys, time
from tests.support import forking
command = [sys.executable, "-m", {module!r}, "sleep"]
process = forking.Popen(command, cwd=forking.ROOT)
print(process.pid, forking._servers[0]._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def told(tmp_path):
    """Starts this file as a program; what it printed, by line."""

    def start(*words, by=forking.run, code=0, **given):
        command = [sys.executable, "-m", SELF, *words]
        done = by(command, cwd=tmp_path, **given)
        assert done.returncode == code, done.stderr
        return done.stdout.splitlines()

    return start


def by_subprocess(command, **given):
    more = {"env": {**os.environ, "PYTHONPATH": str(forking.ROOT)}, **given}
    return subprocess.run(command, capture_output=True, text=True, **more)


def test_arguments_folder_and_streams_are_those_of_a_start(told):
    given = ("tell", "a b", "\udcff", "ü")
    assert told(*given) == told(*given, by=by_subprocess)


def test_it_has_loaded_tensorflow_where_a_start_has_not(told):
    importlib.import_module("pdm_tf.build")  # sets variables that are no difference
    assert told("loaded") == ["True"]
    assert told("loaded", by=by_subprocess) == ["False"]


@pytest.mark.parametrize("code", [0, 3, -signal.SIGKILL, -signal.SIGTERM])
def test_exit_codes_and_signals_arrive(told, code):
    told("end", str(code), code=code)


def test_ctrl_c_reaches_it():
    command = [sys.executable, "-m", SELF, "sleep"]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with forking.Popen(command, **pipe, start_new_session=True) as process:
        assert process.stdout.readline() == "asleep\n"
        assert os.getsid(process.pid) == process.pid
        assert process.pid in children(os.getpid())
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert process.returncode == -signal.SIGINT


def test_variables_that_libraries_read_have_it_started(told):
    given = {**os.environ, "PYTHONPATH": str(forking.ROOT)}
    assert told("loaded", env={**given, "TF_ENABLE_ONEDNN_OPTS": "0"}) == ["False"]
    assert told("loaded", env={**given, "TF_CONFIG": "{}"}) == ["True"]


def test_none_outlives_a_killed_test(tmp_path):
    code = ASKS.format(module=SELF)
    pipe = {"stdout": subprocess.PIPE, "text": True, "cwd": forking.ROOT}
    with subprocess.Popen([sys.executable, "-c", code], **pipe) as asks:
        numbers = [int(word) for word in asks.stdout.readline().split()]
        assert len(numbers) == 2 and not any(map(ended, numbers))
        asks.kill()
    wait_for(lambda: all(map(ended, numbers)))


def main(what, *words):
    if what == "tell":
        print(sys.argv, sys.orig_argv, os.getcwd(), sys.path[0], __name__, words)
        print([(x.isatty(), x.encoding) for x in (sys.stdin, sys.stdout, sys.stderr)])
        print(__spec__.name, sys.modules["__main__"].__file__)
    if what == "loaded":
        print("tensorflow" in sys.modules)
    if what == "end":
        code = int(words[0])
        if code < 0:
            os.kill(os.getpid(), -code)
        sys.exit(code)
    if what == "sleep":
        print("asleep", flush=True)
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
