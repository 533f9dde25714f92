"""Networks as subjects: a bundle of ours, an ONNX file, a SavedModel.

A bundle is one of a run folder, or one alone. An ONNX file is run by onnxruntime,
without TensorFlow. A SavedModel is one that the exporter wrote, or any with such a
signature: it runs `serving_default`, one image [B, H, W, 3] float32 in [0, 1] in, one
out; a folder of numbered versions, as for servers, means its newest.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_float, to_u8
from pdm_tf.core.quiet import quiet_start
from pdm_tf.evaluation.subjects.base import SubjectRequest, UpscalingSubject
from pdm_tf.inference.tiling import upscale_in_tiles
from pdm_tf.run import Run, find_bundle, is_bundle

FILE = "model.onnx"  # as `python -m export` names it
# Larger than any image, since `Engine` chooses a tile itself if it is 0.
_NEVER_CUT = 1 << 20
_GRAPH = "saved_model.pb"
_SIGNATURE = "serving_default"
# It does not say which squares of pixels its network sees as one; 2, 3, 4 and 8 divide
# this.
_MULTIPLE = 24
_PROBE = 8  # side of the image that finds the scale


def is_ours(location: str) -> bool:
    """Whether this is a bundle, or a run folder with or without bundles yet."""
    return is_bundle(location) or Run(location).is_started


def open_bundle(request: SubjectRequest) -> UpscalingSubject:
    """Loads the SR network.

    Raises:
      UserError: no bundle in the run yet, or one that is not an SR network.
    """
    # TensorFlow takes seconds to import: not before cheaper checks have passed, and
    # not at all for kinds that do not need it.
    with quiet_start():
        from pdm_tf.bundles.bundle import load_bundle
        from pdm_tf.evaluation.runner import keras_upscaler

        path = find_bundle(request.location, weights=request.weights)
        bundle = load_bundle(path)
    if bundle.role != "sr":
        raise UserError(
            f"--model must be a super-resolution network. Received: {path}, which has "
            f"the role {bundle.role!r}."
        )
    upscale = keras_upscaler(
        bundle.network, bundle.scale, tile=request.tile, overlap=request.overlap
    )
    return UpscalingSubject(
        name=f"{bundle.name} ({path.name}, step {bundle.step})",
        label=bundle.name,
        scale=bundle.scale,
        upscale=upscale,
        grid=bundle.grid,
        facts={
            "kind": "bundle",
            "network": bundle.name,
            "bundle": path.name,
            "step": bundle.step,
            "sha256": bundle.sha256,
        },
    )


def is_onnx(location: str) -> bool:
    """Whether this is an ONNX file, or a folder as the exporter leaves it."""
    path = Path(location)
    return (path.is_file() and path.suffix.lower() == ".onnx") or (
        path / FILE
    ).is_file()


def open_onnx(request: SubjectRequest) -> UpscalingSubject:
    """Opens the file; tiles as for the other networks.

    Raises:
      UserError: onnxruntime is missing, or it is not an SR network.
    """
    from pdm_tf.inference.engine import Engine
    from pdm_tf.inference.session import open_session

    path = Path(request.location)
    path = path / FILE if path.is_dir() else path
    engine = Engine(
        open_session(path), tile=request.tile or _NEVER_CUT, overlap=request.overlap
    )
    info = engine.session.info
    return UpscalingSubject(
        name=f"{info.architecture or 'network'} ({path.name}, {info.precision})",
        label=info.architecture or path.stem,
        scale=info.scale,
        upscale=engine.upscale_array,
        grid=info.grid or None,
        facts={
            "kind": "onnx",
            "network": info.architecture,
            "file": path.name,
            "precision": info.precision,
            "provider": engine.session.provider.active,
            "sha256": info.sha256,
        },
    )


def is_saved_model(location: str) -> bool:
    """Whether there is a SavedModel here, or a folder of its versions."""
    return _found(Path(location)) is not None


def open_saved_model(request: SubjectRequest) -> UpscalingSubject:
    """Loads it.

    Raises:
      UserError: it cannot be loaded, or is not an SR network.
    """
    folder = _found(Path(request.location))
    run = _function(folder)
    probe = run(np.full((_PROBE, _PROBE, 3), 0.5, np.float32))
    scale, rest = divmod(probe.shape[0], _PROBE)
    if rest or not scale or probe.shape != (_PROBE * scale, _PROBE * scale, 3):
        raise UserError(
            f"{folder} must give an image of whole multiples of its input's sides. "
            f"Received: {list(probe.shape)} for {[_PROBE, _PROBE, 3]}."
        )

    def upscale(lr_u8: np.ndarray) -> np.ndarray:
        return upscale_in_tiles(
            lambda lr: to_u8(run(lr)),
            to_float(lr_u8),
            scale,
            tile=request.tile,
            overlap=request.overlap,
            multiple=_MULTIPLE,
        )

    return UpscalingSubject(
        name=f"SavedModel ({folder.parent.name}/{folder.name})",
        label="SavedModel",
        scale=scale,
        upscale=upscale,
        facts={"kind": "saved_model", "folder": folder.name, "sha256": _hash(folder)},
    )


def _found(location: Path) -> Path | None:
    """The folder with the graph: this, its newest version, or that of an export."""
    if (location / _GRAPH).is_file():
        return location
    for folder in (location, location / "saved_model"):
        versions = [path.parent for path in folder.glob(f"*/{_GRAPH}")]
        numbered = [path for path in versions if path.name.isdecimal()]
        if numbered:
            return max(numbered, key=lambda path: int(path.name))
    return None


def _function(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """lr [h, w, 3] float32 -> sr [H, W, 3] float32, by the one signature."""
    with quiet_start():
        import tensorflow as tf

        try:
            model = tf.saved_model.load(str(folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(
                f"--model must be a SavedModel that TensorFlow {tf.__version__} can "
                f"load. Received: {folder} ({first})."
            ) from error
    signature = model.signatures.get(_SIGNATURE)
    inputs = signature.structured_input_signature[1] if signature else {}
    outputs = signature.structured_outputs if signature else {}
    fits = (
        len(inputs) == len(outputs) == 1
        and next(iter(inputs.values())).dtype == tf.float32
        and next(iter(inputs.values())).shape.rank == 4
        and next(iter(outputs.values())).shape.rank in (None, 4)
    )
    if not fits:
        raise UserError(
            f"--model must have the signature {_SIGNATURE}: one float32 image "
            f"[B, H, W, 3] in, one out. Received: {folder} with "
            f"{', '.join(model.signatures) or 'no signatures'}; inputs "
            f"{', '.join(map(str, inputs.values())) or 'none'}."
        )
    name_in, name_out = next(iter(inputs)), next(iter(outputs))

    def run(lr: np.ndarray) -> np.ndarray:
        # Holds the model, whose variables live only as long as it does.
        infer = model.signatures[_SIGNATURE]
        sr = infer(**{name_in: tf.constant(lr[None])})[name_out]
        return np.asarray(sr, np.float32)[0]

    return run


def _hash(folder: Path) -> str:
    """sha256 over the graph and the weights."""
    digest = hashlib.sha256((folder / _GRAPH).read_bytes())
    for path in sorted((folder / "variables").glob("variables.*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
