"""Ready files for TF Serving and Triton, next to an exported model.

`OUT/serving/` gets `models.config` and `batching_parameters.txt` for TF Serving, a
model repository for Triton, and a README with the commands that use them. The texts are
the files in `export/templates/`, where `@NAME@` stands for a value.

Decisions: the Triton repository holds the ONNX file by a hard link (a copy where links
are not supported), not by a symbolic one, which would point out of the folder that gets
mounted into the container. The TF Serving config names the version instead of taking
the newest, so that rolling back is a change of one number; a new export writes it anew.
"""

import re
import shutil
from pathlib import Path

from export.signatures import check_name
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import atomic_file, link_atomic, write_text_atomic
from pdm_tf.core.geometry import reversal_shift

TEMPLATES = Path(__file__).with_name("templates")
_DIMS = {"NHWC": ("-1, -1, 3", "{0}, {0}, 3"), "NCHW": ("3, -1, -1", "3, {0}, {0}")}


def write_serving_files(
    output: Path,
    *,
    model_name: str,
    scale: int,
    version: int,
    tile: int,
    layout: str = "NHWC",
    tensorflow: str = "2.21",
) -> list[Path]:
    """Writes `output/serving/` for the models that lie in `output`.

    Args:
      output: folder with `model.onnx`; the README's commands are run in it.
      model_name: as clients ask for it: letters, digits, `_`, `-` and `.`.
      scale: SR size / LR size.
      version: the folder under `saved_model/` that is to be served; also Triton's.
      tile: side in LR pixels that clients are advised to send and Triton warms up with.
      layout: of the ONNX file's tensors, "NHWC" or "NCHW".
      tensorflow: version that wrote the SavedModel, for the README.

    Returns:
      The files written, all of them below `output`.

    Raises:
      UserError: an unusable name, or there is no `output/model.onnx`.
      ValueError: a number below 1, or an unknown layout.
    """
    check_name(model_name)
    for name, value in (("scale", scale), ("version", version), ("tile", tile)):
        if value < 1:
            raise ValueError(f"`{name}` must be 1 or more. Received: {value}.")
    if layout not in _DIMS:
        raise ValueError(f"`layout` must be NHWC or NCHW. Received: {layout!r}.")
    onnx_file = output / "model.onnx"
    if not onnx_file.is_file():
        raise UserError(f"The Triton repository needs {onnx_file}, which is not there.")
    dims, tile_dims = _DIMS[layout]
    values = {
        "MODEL_NAME": model_name,
        "SCALE": str(scale),
        "SHIFT": str(reversal_shift(scale, "pixel0")),
        "VERSION": str(version),
        "TILE": str(tile),
        "DIMS": dims,
        "TILE_DIMS": tile_dims.format(tile),
        "TENSORFLOW": ".".join(tensorflow.split(".")[:2]),
        "UINT8_MB": str(3 * scale**2),
        "FLOAT_MB": str(12 * scale**2),
    }
    serving = output / "serving"
    triton = serving / "triton" / model_name
    targets = {
        "models.config": serving / "models.config",
        "batching_parameters.txt": serving / "batching_parameters.txt",
        "README.md": serving / "README.md",
        "config.pbtxt": triton / "config.pbtxt",
    }
    for template, target in targets.items():
        write_text_atomic(target, _filled(template, values))
    linked = triton / str(version) / "model.onnx"
    if not link_atomic(onnx_file, linked):  # no hard links, or another disk
        with atomic_file(linked) as temporary:
            shutil.copyfile(onnx_file, temporary)
    return [*targets.values(), linked]


def _filled(template: str, values: dict[str, str]) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z0-9_]+)@", lambda found: values[found[1]], text)
