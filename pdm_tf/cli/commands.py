"""The sub-commands of `pdm_tf`, the one front door, and how a program is called.

Each is a program that `python -m` starts too. The names and lines here are all that
`pdm_tf --help` needs, so that it loads nothing else.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

DOOR = "pdm_tf"


class Command(NamedTuple):
    """One sub-command: the module that `python -m` starts, and what it is for."""

    module: str
    summary: str


# What a user wants -> name -> command.
GROUPS: Mapping[str, Mapping[str, Command]] = {
    "See it work": {
        "demo": Command(
            "pdm_tf.quickstart", "train on bundled photographs, show the result"
        ),
    },
    "Train on your photographs": {
        "estimate": Command(
            "pdm_tf.estimate", "check two folders; measure blur, noise and JPEG"
        ),
        "train": Command("pdm_tf.train", "train a network for these photographs"),
        "report": Command("pdm_tf.report", "a page on what a run has learned"),
        "prepare": Command("pdm_tf.prepare", "folders to shards; HR to bicubic LR"),
    },
    "Use a trained network": {
        "upscale": Command("pdm_tf.upscale", "upscale photographs"),
        "export": Command("export", "SavedModel, ONNX and files for servers"),
        "serve": Command("export.kserve_server", "serve an exported network"),
        "client": Command("export.client", "send photographs to a server"),
        "bulk": Command("export.bulk", "upscale very many photographs (Apache Beam)"),
        "interpolate": Command("pdm_tf.interpolate", "blend two networks' weights"),
    },
    "Make LR photographs": {
        "degrade": Command("pdm_tf.degrade", "apply a learned or named degradation"),
        "kernelgan": Command("pdm_tf.kernelgan", "estimate kernels with KernelGAN"),
        "noise_pool": Command("pdm_tf.noise_pool", "cut noise from photographs"),
    },
    "Measure": {
        "evaluate": Command("pdm_tf.evaluate", "score a network on pairs"),
        "compare": Command("pdm_tf.compare", "several networks in one table"),
        "study": Command("pdm_tf.study", "train and compare several methods"),
        "benchmark": Command("pdm_tf.benchmark", "speed on this machine"),
        "fit_niqe": Command("pdm_tf.fit_niqe", "parameters of NIQE"),
    },
    "Get data and weights": {
        "datasets": Command("pdm_tf.datasets", "unpack the paper's datasets"),
        "fetch_weights": Command("pdm_tf.fetch_weights", "fetch published networks"),
        "import_weights": Command("pdm_tf.import_weights", "convert PyTorch weights"),
    },
}
COMMANDS: Mapping[str, Command] = {
    name: command for group in GROUPS.values() for name, command in group.items()
}


_door: list[str] = []  # how the front door was opened, while a program runs behind it


@contextlib.contextmanager
def opened(words: str) -> Iterator[None]:
    """While open, programs are said to be started by `words`, e.g. "pdm_tf"."""
    _door.append(words)
    try:
        yield
    finally:
        _door.pop()


def how_to_start(module: str) -> str:
    """The words that start a program, in the way in which this one was started.

    "pdm_tf train" from the front door, otherwise "python -m pdm_tf.train".
    """
    names = (name for name, command in COMMANDS.items() if command.module == module)
    name = next(names, None)
    if not _door or name is None:
        return f"python -m {module}"
    return f"{_door[-1]} {name}"
