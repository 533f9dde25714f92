"""What the numbers of a measurement depend on: threads, processor, versions."""

import contextlib
import os
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pdm_tf.core.quiet import quiet_start


def set_threads(threads: int) -> None:
    """Sets TensorFlow's threads, which is possible only before its first use."""
    if threads:
        with quiet_start():
            import tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def describe() -> dict[str, Any]:
    """Returns processor and versions."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.M)
    versions = {}
    for name in ("onnxruntime", "onnxruntime-gpu", "tensorflow", "torch", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "processor": model.group(1) if model else "",
        "processors": len(os.sched_getaffinity(0)),
        "versions": versions,
    }
