"""Detects that training has diverged, and at which step, without a fetch per step.

Fetching a loss from an accelerator after every step would stall it. So the step's graph
itself notes, in two variables, the first step whose loss was not finite and which loss
it was; the loop reads them now and then, and always before it writes a checkpoint.
What shows over many steps, gradients that explode and a discriminator that has won, is
seen in the logged numbers (`Trends`).
"""

import io
import os
import statistics
from collections import defaultdict, deque
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.degradation_limits import EXPLODED_GRADIENT, WON_GAME_LOSS
from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.methods.base import Batch, Finding, Health


class DivergedError(RuntimeError):
    """Training went wrong, and the policy is not to go on.

    Attributes:
      name: what of: a scalar ("loss/g_adv"), the network of a weight ("weights of sr"),
        or the cause of an alarm ("kernels_alike").
      step: the first step (counted from 1) where it was seen.
    """

    def __init__(self, message: str, name: str, step: int) -> None:
        super().__init__(message)
        self.name = name
        self.step = step


class NonFiniteLossError(DivergedError):
    """A loss or a weight became nan or infinite; see `DivergedError`."""

    def __init__(self, name: str, step: int) -> None:
        message = f"{name} is not finite (nan or infinite) at step {step}."
        super().__init__(message, name, step)


class LossMonitor:
    """Remembers, on the device, the first non-finite loss."""

    def __init__(self) -> None:
        self._names: list[str] = []  # of all phases; filled while tracing
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._index = tf.Variable(0, dtype=tf.int64, trainable=False)

    def watch(self, losses: Mapping[str, tf.Tensor], step: tf.Tensor) -> None:
        """Records the first non-finite one of `losses`. Call it in the step's graph.

        Args:
          losses: name -> scalar of any float type.
          step: int64 scalar, index of the step counted from 0.
        """
        if not losses:
            return
        offset = len(self._names)
        self._names.extend(losses)
        bad = tf.stack([~tf.math.is_finite(loss) for loss in losses.values()])
        is_first = tf.reduce_any(bad) & (self._step == 0)
        index = offset + tf.argmax(tf.cast(bad, tf.int32))
        self._index.assign(tf.where(is_first, index, self._index))
        self._step.assign(tf.where(is_first, step + 1, self._step))

    def check(self) -> None:
        """Checks the record.

        Raises:
          NonFiniteLossError: a loss was not finite at some step since the start.
        """
        step = int(self._step)
        if step:
            raise NonFiniteLossError(self._names[int(self._index)], step)

    def reset(self) -> None:
        """Forgets what was seen."""
        self._step.assign(0)


def _all_finite(values: list[tf.Tensor]) -> bool:
    # Not one graph for all: relaxed over networks that differ, it failed in its All
    # node with InvalidArgumentError.
    return all(bool(tf.reduce_all(tf.math.is_finite(value))) for value in values)


def check_weights(networks: Mapping[str, keras.Model], step: int) -> None:
    """Checks every weight; a bad gradient spoils them while the loss is still fine.

    Args:
      networks: name -> network.
      step: steps taken, for the message.

    Raises:
      NonFiniteLossError: a weight is not finite; `name` names its network.
    """
    for name, network in networks.items():
        values = [
            v.value for v in network.variables if tf.as_dtype(v.dtype).is_floating
        ]
        if not _all_finite(values):
            raise NonFiniteLossError(f"weights of {name}", step)


class Trends:
    """Looks at the logged numbers for what one step does not show.

    A gradient has exploded when it is `EXPLODED_GRADIENT` times as long as usual, which
    is the median of the last logged ones. A discriminator has won when its loss was
    below `WON_GAME_LOSS` at `_IN_A_ROW` logs in a row.
    """

    _USUAL, _IN_A_ROW = 20, 5

    def __init__(self) -> None:
        self._norms: dict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=self._USUAL)
        )
        self._won: dict[str, int] = defaultdict(int)

    def update(self, scalars: Mapping[str, float]) -> Health:
        """Takes the scalars of a log; returns what is wrong with them."""
        findings = []
        for name, value in scalars.items():
            what = name.rpartition("/")[2]
            if name.startswith("stat/grad_norm_"):
                findings += self._explosion(what.removeprefix("grad_norm_"), value)
            elif what.startswith("d_") and name.startswith("loss/"):
                self._won[what] = self._won[what] + 1 if value < WON_GAME_LOSS else 0
                if self._won[what] >= self._IN_A_ROW:
                    findings.append(_won(what, value))
        return Health({}, tuple(findings))

    def _explosion(self, network: str, norm: float) -> list[Finding]:
        before = self._norms[network]
        usual = statistics.median(before) if len(before) >= self._IN_A_ROW else None
        if usual is not None and not norm < EXPLODED_GRADIENT * max(usual, 1e-12):
            return [_exploded(network, norm / max(usual, 1e-12))]
        before.append(norm)
        return []


def _exploded(network: str, times: float) -> Finding:
    return Finding(
        f"gradients_explode_{network}",
        times,
        EXPLODED_GRADIENT,
        f"the gradient of {network} has exploded (its length over the usual one)",
        "Lower --clip_norm or --learning_rate.",
    )


def _won(name: str, loss: float) -> Finding:
    return Finding(
        f"{name}_has_won",
        loss,
        WON_GAME_LOSS,
        f"the discriminator of loss/{name} has won, and the generator learns nothing "
        "from it (its loss)",
        "Make it weaker (--discriminator_arg=filters=32), lower --learning_rate, or "
        "look whether the two folders differ in what no degradation can make equal: "
        "colours, borders, JPEG.",
    )


def save_batch(folder: Path, batch: Batch, error: DivergedError) -> Path:
    """Writes the batch of the step that went wrong, for `load_batch`.

    Args:
      folder: gets step_<step>.npz.
      batch: stream name -> tensor.
      error: says which step.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.asarray(value) for name, value in batch.items()})
    path = folder / f"step_{error.step:08d}.npz"
    write_bytes_atomic(path, buffer.getvalue())
    return path


def load_batch(path: str | os.PathLike[str]) -> dict[str, tf.Tensor]:
    """Returns stream name -> [B, P, P, 3] float32 of a file of `save_batch`."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: tf.constant(stored[name]) for name in stored.files}
