"""The ONNX file of a run, made within seconds and kept in the run folder.

For `pdm_tf.upscale --model=RUN`. `python -m export` makes the same file, and float16, a
SavedModel, the degradation and a certificate, which take most of its time; here the
file is compared with Keras on two crops, and is not kept if it differs.
"""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from export import stages
from export.certificate import Limits
from export.parity import Case, compare, crops, read_photo
from pdm_tf import __version__
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import read_json
from pdm_tf.core.images import to_float
from pdm_tf.run import BUNDLE_INDEX, SHIPPED, Run

_NEEDED = ("tensorflow", "tf2onnx", "onnx", "onnxruntime")
# One whose sides are odd and one that a network sees into from no side.
_CASES = (Case(3, 17, 23), Case(1, 64, 64))


def exported_run(run: Run, say: Callable[[str], None]) -> Path:
    """The ONNX file of what a run ships, made if there is none of these weights.

    Args:
      run: with a bundle of an SR network; averaged weights are taken where there are.
      say: takes lines for the person who waits.

    Raises:
      UserError: no bundle yet, a package is missing, the folder cannot be written, or
        the file differs from the Keras network.
    """
    bundle = run.find(SHIPPED) or run.bundle()
    weights = read_json(bundle / BUNDLE_INDEX)["sha256"][:12]
    path = run.exported / f"model_{weights}_{__version__}.onnx"
    if path.is_file():
        return path
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Upscaling from a run folder needs {', '.join(missing)} to export the "
            "network. Run pip install 'pdm_tf[export]', or give the folder of "
            f"python -m export. Received: --model={run.root}."
        )
    say(f"exporting {bundle} to {run.exported}, once for these weights ...")
    made = path.with_name(f".{os.getpid()}_{path.name}")
    try:
        run.exported.mkdir(exist_ok=True)
        stage = stages.run_stage("export.quick:write_compared", bundle, made)
        os.replace(made, path)
    except OSError as error:
        raise UserError(
            "a run folder must be writable, to export its network into it. Received: "
            f"{run.exported} ({error.strerror}). python -m export writes elsewhere."
        ) from error
    finally:
        made.unlink(missing_ok=True)
    for older in run.exported.glob("model_*.onnx"):
        if older != path:
            older.unlink(missing_ok=True)
    say(f"exported in {stage.seconds:.1f} s; differs from Keras by {stage.result:.1e}")
    return path


def write_compared(bundle: Path, path: Path) -> float:
    """Writes the ONNX file, compared with Keras; a step of its own, see `stages`.

    Args:
      bundle: of the SR network.
      path: the file.

    Returns:
      The largest difference, where white is 1.

    Raises:
      UserError: the bundle cannot be used, or the file differs by more than
        `Limits` allow.
    """
    from pdm_tf.core.quiet import quiet_start

    with quiet_start():
        from export.onnx_graph import network_to_onnx
        from export.sources import open_sources
        from pdm_tf.inference.session import open_session
    sources = open_sources([str(bundle)], degradation=False)
    grid = {"grid": sources.grid} if sources.grid else {}
    network_to_onnx(sources.network, path, metadata=sources.provenance | grid)
    session, photo_u8 = open_session(path, provider="cpu"), read_photo("")
    limit = Limits().max_abs_diff
    largest = 0.0
    for case in _CASES:
        image = to_float(crops(photo_u8, case))
        found = compare(session.run(image), sources(image).numpy(), limit)
        if not found.finite or found.max_abs > limit or found.beyond_ties:
            raise UserError(
                "An exported network must equal the Keras network within "
                f"{limit:.0e}. Received: {bundle}, which differs by "
                f"{found.max_abs:.1e}. python -m export says more."
            )
        largest = max(largest, found.max_abs)
    return largest
