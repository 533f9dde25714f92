"""Running a program as several workers that find each other by TF_CONFIG."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import forking
from tests.support.serving import free_ports

ROOT = Path(__file__).resolve().parents[2]


def run_workers(
    module: str,
    arguments: Sequence[str],
    workers: int,
    environments: Sequence[Mapping[str, str]] = (),
) -> list[tuple[int, str, str]]:
    """Runs `python -m module` on each worker to its end, on loopback.

    Args:
      module: the program.
      arguments: of every worker.
      workers: how many; 1 has no TF_CONFIG.
      environments: what each has besides; none if empty.

    Returns:
      Exit code, standard output and standard error of each.
    """
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(workers)]}
    processes = []
    for index in range(workers):
        task = {"type": "worker", "index": index}
        described = json.dumps({"cluster": cluster, "task": task})
        processes.append(
            forking.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env={
                    **os.environ,
                    "TF_CONFIG": described if workers > 1 else "",
                    **(environments[index] if environments else {}),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        ended = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *text) for p, text in zip(processes, ended, strict=True)]
