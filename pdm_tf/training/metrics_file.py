"""metrics.jsonl: every logged number of a run, one JSON object per line.

A record is {"step": n, "time": ..., name: number, ...}, n counting the steps taken. A
number that is not finite is written as null, since JSON has no word for it. When a run
is resumed, what a killed predecessor wrote past the restored step is cut off, so that
no step appears twice.
"""

import datetime
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdm_tf.core.files import write_text_atomic
from pdm_tf.run import metric_lines


class MetricsFile:
    """Appends records; each is on disk when `write` returns, as far as we can tell."""

    def __init__(self, path: Path, last_step: int) -> None:
        """Opens `path`, dropping records of steps beyond `last_step` and torn lines."""
        if path.exists():
            lines = metric_lines(path)
            kept = [line for line, record in lines if record["step"] <= last_step]
            write_text_atomic(path, "".join(kept))
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - held

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Appends one record; `values` are numbers, texts or booleans."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        record = {"step": step, "time": now}
        record.update({name: _plain(value) for name, value in values.items()})
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
