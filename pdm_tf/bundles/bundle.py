"""Bundles: one network saved for use, with everything needed to rebuild it.

A bundle is a folder with `bundle.json` (class, config, scale, step, hash) and
one `.keras` file named after the hash of its weights. The JSON is replaced last and
atomically, so a bundle that is being rewritten is always the old one or the new one. A
checkpoint, by contrast, holds everything needed to go on training
(`training/checkpoint.py`).

Our programs read the weights alone from the `.keras` file and make the network from the
class and config that the index names, so nothing in it is executed. Any Keras program
can open it without our help:

    import keras
    import pdm_tf.bundles.bundle  # registers the classes with Keras

    network = keras.saving.load_model("runs/mine/bundles/sr_ema/0123456789ab.keras")

Bundles of format 1 have a `.weights.h5` file instead; they load as before.
"""

import dataclasses
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdm_tf.bundles.chain import Chain
from pdm_tf.bundles.networks import CLASSES
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import move_whole, working_folder, write_json_atomic
from pdm_tf.core.geometry import GRIDS
from pdm_tf.core.stored import FileName, read_json, why_not
from pdm_tf.models.network import Network
from pdm_tf.run import BUNDLE_INDEX

FORMAT = 2
_FORMATS = (1, 2)
_WEIGHTS = "model.weights.h5"  # what Keras calls the weights in a .keras file
_INDEX = {  # what bundle.json must hold, see `core.stored.why_not`
    "format": int,
    "network": str,
    "config": dict,
    "step": int,
    "weights": FileName,
    "sha256": str,
    "notes": dict,
}

_CLASSES: Mapping[str, type[Network]] = {**CLASSES, Chain.__name__: Chain}


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Attributes:
      network: built, with its weights, computing in float32 unless asked otherwise.
      role: "sr", "degradation", "discriminator", "features" or "lpips", as the class
        of the network says.
      name: the architecture: the class of the network, e.g. "EDSR", or those of a
        chain's stages, "EDSR+RRDBNet".
      config: the network's frozen dataclass.
      scale: super-resolution or downsampling factor; 1 where there is none.
      step: training step that the weights are from.
      sha256: hash of the weights alone.
      notes: whatever the writer wanted to keep (run, method, seed).
      grid: where LR pixels lie in HR images for an SR network, see `core.geometry`;
        None: unknown, or another role.
    """

    network: Network
    role: str
    name: str
    config: Any
    scale: int
    step: int
    sha256: str
    notes: Mapping[str, Any]
    grid: str | None = None


def save_bundle(
    network: Network,
    folder: Path | str,
    *,
    step: int,
    notes: Mapping[str, Any] | None = None,
    grid: str | None = None,
) -> Path:
    """Writes or replaces a bundle; its role and scale are the network's.

    Args:
      network: built, of a class that this module knows.
      folder: the bundle's folder, made if missing.
      step: training step of the weights.
      notes: JSON-able extras.
      grid: of the LR images that an SR network is for, see `core.geometry`; None:
        unknown. Other networks have none, whatever it is.

    Returns:
      The folder.

    Raises:
      ValueError: the network could not be loaded again.
    """
    name = type(network).__name__
    if _CLASSES.get(name) is not type(network):
        raise ValueError(
            f"A bundle's network must be one of {', '.join(_CLASSES)}. "
            f"Received: {name}."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = _weights_digest(network)
    weights = f"{digest[:12]}.keras"
    with working_folder(folder / weights) as place:
        network.save(place / weights)
        move_whole(place / weights, folder / weights)
    index = {
        "format": FORMAT,
        "role": network.role,
        "network": name,
        "config": dataclasses.asdict(network.config),
        "scale": network.scale,
        "step": step,
        "weights": weights,
        "sha256": digest,
        "notes": dict(notes or {}),
    }
    if network.role == "sr":
        index["grid"] = grid
    write_json_atomic(folder / BUNDLE_INDEX, index)
    for pattern in ("*.keras", "*.weights.h5"):
        for stale in folder.glob(pattern):
            if stale.name != weights:
                stale.unlink()
    return folder


def load_bundle(folder: Path | str, dtype: str = "float32") -> Bundle:
    """Rebuilds the network of a bundle.

    Args:
      folder: the bundle's folder.
      dtype: Keras policy to compute in; weights are float32 whatever it is.

    Raises:
      UserError: no bundle, one of a newer format or of an unknown network, or a weights
        file that is missing or damaged.
    """
    folder = Path(folder)
    index = _read_index(folder)
    if index["network"] not in _CLASSES:
        raise UserError(
            f"A bundle's network must be one of {', '.join(_CLASSES)}. "
            f"Received: {folder}, {index['network']}."
        )
    weights = folder / index["weights"]
    if not weights.is_file():
        raise UserError(f"The bundle's weights file is missing: {weights}.")
    _check_file(weights, index["sha256"])
    config = _config_from(index)
    network = config.build(dtype)
    try:
        network.load_weights(weights)
    except Exception as error:  # noqa: BLE001 - h5py and Keras raise nearly anything
        raise UserError(
            f"The bundle's weights must be those of its config. Received: {weights}, "
            f"{type(error).__name__}: {error}"
        ) from error
    if weights.suffix == ".keras" and _weights_digest(network) != index["sha256"]:
        raise _damaged("its hash differs", weights)
    # Role and scale are the network's: format 1 could say otherwise of a translator.
    return Bundle(
        network=network,
        role=network.role,
        name=getattr(network, "architecture", index["network"]),
        config=config,
        scale=network.scale,
        step=index["step"],
        sha256=index["sha256"],
        notes=index["notes"],
        grid=_grid_of(index, folder) if network.role == "sr" else None,
    )


def _grid_of(index: Mapping[str, Any], folder: Path) -> str | None:
    """Returns the index's grid; for an older index, the default of its method."""
    if "grid" not in index:
        of_pdm = index["notes"].get("method") in ("pdm_sr", "pdm_srgan")
        return "pixel0" if of_pdm else None  # the default of these methods
    grid = index["grid"]
    if grid is not None and grid not in GRIDS:
        raise UserError(
            f"The grid in {folder / BUNDLE_INDEX} must be one of {', '.join(GRIDS)}, "
            f"or null. Received: {grid!r}."
        )
    return grid


def _check_file(path: Path, digest: str) -> None:
    """Refuses a damaged weights file before Keras opens it.

    The hash of a `.weights.h5` file (format 1) is the file's own; a `.keras` file is a
    zip with checksums, and its weights are compared once they are loaded.
    """
    if path.suffix != ".keras":
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise _damaged("its hash differs", path)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            archive.read(_WEIGHTS)
    except Exception as error:  # noqa: BLE001 - of odd features of zip, anything
        raise _damaged(error, path) from error


def _damaged(why: object, path: Path) -> UserError:
    return UserError(f"The bundle's weights file is damaged ({why}): {path}.")


def _weights_digest(network: Network) -> str:
    """SHA-256 of the values, in the network's order of its variables.

    The file would not do: it holds the time of day, and names that depend on which
    networks the process has made before.
    """
    digest = hashlib.sha256()
    for values in network.get_weights():
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _read_index(folder: Path) -> dict[str, Any]:
    if not (folder / BUNDLE_INDEX).is_file():
        raise UserError(f"No bundle here: {folder / BUNDLE_INDEX} is missing.")
    index = read_json(folder / BUNDLE_INDEX)
    if index.get("format", FORMAT) not in _FORMATS:
        raise UserError(
            f"This version reads bundles of formats {_FORMATS[0]} to {FORMAT}. "
            f"Received: {folder}, format {index['format']}."
        )
    if reason := why_not(index, _INDEX):
        raise UserError(
            f"{folder / BUNDLE_INDEX} must be the index of a bundle. Received: a file "
            f"of which {reason}. Restore it from a copy, or save the network again."
        )
    return index


def _config_from(index: Mapping[str, Any]) -> Any:
    config_class = _CLASSES[index["network"]].config_class
    fields = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in index["config"].items()
    }
    try:
        return config_class(**fields)
    except Exception as error:  # noqa: BLE001 - of wrong types, nearly anything
        raise UserError(
            f"The bundle's config does not fit {config_class.__name__}: {error}."
        ) from error
