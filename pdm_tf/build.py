"""The composition root: names and settings become objects, here and nowhere else.

Everything that can be wrong with a request (a setting that no component has, a folder
that is missing, two networks that do not fit) is found here, before the first step.
What is said here in few words is done in `building/`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras

from pdm_tf.building.batches import (
    Batches,
    build_validation,
    paired_batches,
    unpaired_batches,
)
from pdm_tf.building.degradation import build_degradation
from pdm_tf.building.methods import (
    build_pdm_sr,
    build_pdm_srgan,
    build_supervised,
)
from pdm_tf.building.requests import Remark
from pdm_tf.core.checks import lookup
from pdm_tf.core.errors import UserError
from pdm_tf.core.seeds import stream_seed
from pdm_tf.methods import METHODS, Supervised
from pdm_tf.methods.base import Method
from pdm_tf.models.bundle import save_bundle
from pdm_tf.models.network import Network
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.replicas import ONE_DEVICE, Replicas
from pdm_tf.training.step_function import StepFunction, StepSettings

__all__ = [
    "TrainingSetup",
    "build_degradation",
    "build_method",
    "build_training",
    "bundle_saver",
    "compiled_step",
]


@dataclasses.dataclass(frozen=True)
class TrainingSetup:
    """Everything a training run needs besides the loop.

    Attributes:
      method: networks, optimisers and the step.
      make_batches: index of the first step -> batches from there on.
      validate: network -> scores, or None without validation folders.
      skipped: (path, reason) of images that cannot be used.
      remarks: lines that whoever started the run should read.
    """

    method: Method
    make_batches: Callable[[int], Batches]
    validate: Callable[[keras.Model], Mapping[str, float]] | None
    skipped: Sequence[tuple[str, str]]
    remarks: Sequence[str] = ()


def build_training(
    config: TrainConfig, replicas: Replicas = ONE_DEVICE
) -> TrainingSetup:
    """Makes the objects of a run.

    Args:
      config: of the run.
      replicas: the devices that train; the batches are this worker's.

    Raises:
      UserError: a setting, a folder or a combination of them cannot work.
    """
    _check_replicas(config, replicas)
    validate = build_validation(config) if replicas.is_chief else None
    remarks: list[str] = []
    with replicas.scope():
        method = build_method(config, remarks.append)
    if isinstance(method, Supervised) and "lr" in method.patches:
        batches, skipped = paired_batches(config, replicas, method.grid, remarks.append)
    else:
        batches, skipped = unpaired_batches(config, method, replicas)
    return TrainingSetup(method, batches, validate, skipped, remarks)


def build_method(config: TrainConfig, remark: Remark = lambda line: None) -> Method:
    """Makes the method with its networks; reads no images.

    Args:
      config: of the run.
      remark: takes lines that whoever started the run should read.

    Raises:
      UserError: a name or setting is unknown, or given networks do not fit.
    """
    lookup(METHODS, config.method, "--method")
    # Initial weights are a function of the seed like everything else.
    keras.utils.set_random_seed(stream_seed(config.seed, "initial weights")[0])
    if config.method == "pdm_srgan":
        return build_pdm_srgan(config, remark)
    return {"pdm_sr": build_pdm_sr, "supervised": build_supervised}[config.method](
        config
    )


def _check_replicas(config: TrainConfig, replicas: Replicas) -> None:
    parts = replicas.count * config.accumulate
    if config.batch_size % parts:
        raise UserError(
            "--batch_size must be a multiple of the number of devices times "
            f"--accumulate, {replicas.count} * {config.accumulate}. "
            f"Received: {config.batch_size}."
        )
    if config.xla == "on" and replicas.count > 1:
        raise UserError(
            f"--xla=on works with one device. Received: {replicas.count} of them."
        )


def compiled_step(
    method: Method, config: TrainConfig, replicas: Replicas = ONE_DEVICE
) -> StepFunction:
    """The step of `method`, with its averages, as a run takes it."""
    settings = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(StepSettings)
    }
    return StepFunction(method, StepSettings(**settings), replicas)


def bundle_saver(
    config: TrainConfig, folder: Path
) -> Callable[[Mapping[str, Network], int], None]:
    """Returns save(networks, step), which writes `folder`/<name>/ for each."""

    def save(networks: Mapping[str, Network], step: int) -> None:
        for name, network in networks.items():
            save_bundle(
                network,
                folder / name,
                step=step,
                notes={
                    "method": config.method,
                    "seed": config.seed,
                    # So that nobody takes a network trained on random features for
                    # more than it is.
                    **({"features": config.features} if config.features else {}),
                },
            )

    return save
