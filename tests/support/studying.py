"""Studies in one process, which has TensorFlow already."""

import contextlib
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from unittest import mock

from pdm_tf import train
from pdm_tf.cli import program
from pdm_tf.studies import checking, running


class Process:
    """Stands in for a process that trains; takes its time in this one.

    Attributes:
      started: names of the runs that were started, in order.
      codes: run -> the exit code with which it ends at once, with an error.
    """

    started: list[str] = []
    codes: Mapping[str, int] = {}

    def __init__(self, command, *, stdout, **how):
        del how
        name = command[-1].rpartition("/")[2].removesuffix(".flags")
        self.started.append(name)
        self._code = self.codes.get(name)
        if self._code:
            stdout.write("error: it cannot\n")
            stdout.flush()
        else:
            self._code = program.call(train.SPEC, train.main, command[3:])

    def poll(self):
        return self._code

    wait = poll


@contextlib.contextmanager
def training_here() -> Iterator[type[Process]]:
    """Has `pdm_tf.study` check and train in this process; nothing was started yet."""
    Process.started, Process.codes = [], {}
    processes = SimpleNamespace(Popen=Process, DEVNULL=None, STDOUT=None)

    def start(asked, answer):
        checking.main(str(asked), str(answer))

    with (
        mock.patch.object(running, "subprocess", processes),
        mock.patch.object(running, "_POLL_S", 0.0),
        mock.patch.object(checking, "start", start),
    ):
        yield Process
