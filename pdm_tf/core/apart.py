"""Runs native readers of foreign files in a process of its own, which they may end.

A library that stops at an assertion, or reads beyond its memory, ends the process that
it runs in, and nothing in that process can catch it. Here it is a short one.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass

from pdm_tf.core.errors import UserError

# The same modules are found as here; the process of a damaged file leaves no core file.
_FIRST = """
import resource, sys
sys.path[:] = {path!r}
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
"""
_WORDS = 160
_LIMIT = "resource.setrlimit(resource.RLIMIT_AS, ({0}, {0}))\n"


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
      code: what it exited with; negative: the signal that ended it; None: it took too
        long and was ended.
      output: what it wrote to standard output.
      words: the end of what it wrote to standard error, a line at most.
      seconds: how long it might take.
    """

    code: int | None
    output: bytes
    words: str = ""
    seconds: float | None = None

    @property
    def was_ended(self) -> bool:
        """Whether it did not end by itself."""
        return self.code is None or self.code < 0

    @property
    def why(self) -> str:
        """How it ended, after "it": "ended by SIGABRT. ..."."""
        if self.code is None:
            return f"does not come to an end in {self.seconds:g} s"
        try:
            how = f"by {signal.Signals(-self.code).name}"
        except ValueError:
            how = f"with code {self.code}"
        return f"ended {how}. {self.words}".rstrip(". ")


def run_apart(
    code: str,
    *arguments: str | os.PathLike[str],
    seconds: float | None = None,
    memory_bytes: int | None = None,
) -> Ended:
    """Runs Python code in a new process.

    Args:
      code: a script, which imports what it needs.
      *arguments: its `sys.argv[1:]`.
      seconds: how long it may take; None: as long as it likes.
      memory_bytes: address space that it may take; None: any.

    Raises:
      UserError: no process can be started.
    """
    first = _FIRST.format(path=sys.path)
    if memory_bytes:
        first += _LIMIT.format(memory_bytes)
    # Threads of a linear algebra library reserve memory that the limit counts.
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", first + code, *map(os.fspath, arguments)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return Ended(None, b"", seconds=seconds)
    except OSError as error:
        raise UserError(
            "Files of others are tried in a process of its own, which must be allowed "
            f"to start. Received: {error.strerror} ({sys.executable})."
        ) from error
    said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return Ended(done.returncode, done.stdout, said.strip()[-_WORDS:])
