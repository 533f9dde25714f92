"""metrics.jsonl: every logged number of a run, one JSON object per line.

A record is {"step": n, "time": ..., name: number, ...}, n counting the steps taken. A
number that is not finite is written as null, since JSON has no word for it. When a run
is resumed, what a killed predecessor wrote past the restored step is cut off, so that
no step appears twice.
"""

import datetime
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pdm_tf.core.files import write_text_atomic


class MetricsFile:
    """Appends records; each is on disk when `write` returns, as far as we can tell."""

    def __init__(self, path: Path, last_step: int) -> None:
        """Opens `path`, dropping records of steps beyond `last_step` and torn lines."""
        if path.exists():
            kept = [
                line for line, record in _lines(path) if record["step"] <= last_step
            ]
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


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the records of a metrics.jsonl; empty when there is no file."""
    return [record for _, record in _lines(path)] if path.exists() else []


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # torn by a kill; the steps are done again
                continue
            if line.endswith("\n") and isinstance(record, dict) and "step" in record:
                yield line, record


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
