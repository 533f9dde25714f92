"""What a run says first: the machine it is on, and soon how long it will take."""

import tensorflow as tf

from pdm_tf.core.memory import allowed_cpus
from pdm_tf.core.progress import about

# Steps until the first word on time, and seconds of work below which none is needed.
AFTER_STEPS = 10
_SHORT_S = 60.0
# A result on the same day: beyond the first a shorter run is proposed, of the second.
_TODAY_S, _PROPOSED_S = 8 * 3600.0, 3 * 3600.0
_FEWEST = 500  # steps that a proposal must have
_SMALL = "a small network, --sr_arg=num_blocks=8 --sr_arg=filters=32"


def gpu_names() -> list[str]:
    """Returns the names of the GPUs that TensorFlow sees."""
    details = tf.config.experimental.get_device_details
    return [
        details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]


def machine_line() -> str:
    """Says what computes, e.g. "computing on 2 CPU cores; no GPU was found"."""
    count = len(allowed_cpus())
    cores = "1 CPU core" if count == 1 else f"{count} CPU cores"
    if gpus := gpu_names():
        return f"computing on {', '.join(gpus)}; {cores} prepare the batches"
    return f"computing on {cores}; no GPU was found"


def outlook(step: int, steps: int, seconds_left: float) -> str:
    """Says how long a run will take; "" if it is short.

    Args:
      step: steps taken.
      steps: of the whole run.
      seconds_left: at the speed of now, without validation.
    """
    if seconds_left < _SHORT_S:
        return ""
    where = "this GPU" if gpu_names() else "this CPU"
    line = f"{about(seconds_left)} to step {steps:,} on {where}"
    if seconds_left < _TODAY_S:
        return line
    affordable = step + _PROPOSED_S / seconds_left * (steps - step)
    if affordable < _FEWEST:
        return f"{line}; for a first result today take {_SMALL}"
    fewer = _rounded_down(int(affordable))
    time = about(_PROPOSED_S * fewer / affordable)
    return (
        f"{line}; for a first result today take --steps={fewer} ({time}), or {_SMALL}"
    )


def _rounded_down(number: int) -> int:
    """To one digit and noughts."""
    unit = 10 ** (len(str(number)) - 1)
    return number // unit * unit
