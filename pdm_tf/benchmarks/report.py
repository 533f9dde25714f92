"""How every task ends: a table on the screen, and a file of numbers if asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdm_tf.core.files import write_json_atomic


def report(table: str, result: Mapping[str, Any], output: str) -> None:
    """Prints the table; writes `result` as JSON to the file `output`, unless empty."""
    print(table)
    if output:
        write_json_atomic(Path(output), result)
        print(f"written to {output}")
