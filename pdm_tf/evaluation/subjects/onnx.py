"""An ONNX file, run by onnxruntime: no TensorFlow."""

from pathlib import Path

from pdm_tf.evaluation.subjects.base import SubjectRequest, UpscalingSubject

FILE = "model.onnx"  # as `python -m export` names it
# Larger than any image, since `Engine` chooses a tile itself if it is 0.
_NEVER_CUT = 1 << 20


def matches(location: str) -> bool:
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
        facts={
            "kind": "onnx",
            "network": info.architecture,
            "file": path.name,
            "precision": info.precision,
            "provider": engine.session.provider.active,
            "sha256": info.sha256,
        },
    )
