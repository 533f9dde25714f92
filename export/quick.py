"""The ONNX file of a network within seconds, compared with Keras on two crops.

For `python -m export --quick`, and for `pdm_tf.upscale --model=RUN`, which keeps the
file in the run folder. The whole export makes the same file, and float16, a SavedModel,
the degradation and a certificate, which take most of its time.
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from export import stages
from export.certificate import Limits
from export.parity import Case, compare, crops, read_photo
from pdm_tf import __version__
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import move_whole, working_folder
from pdm_tf.core.images import to_float
from pdm_tf.core.stored import read_json
from pdm_tf.run import BUNDLE_INDEX, SHIPPED, Run

NEEDED = ("tensorflow", "tf2onnx", "onnx", "onnxruntime")
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
    weights = read_json(bundle / BUNDLE_INDEX, {"sha256": str})["sha256"][:12]
    path = run.exported / f"model_{weights}_{__version__}.onnx"
    if path.is_file():
        return path
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Upscaling from a run folder needs {', '.join(missing)} to export the "
            "network. Run pip install 'pdm_tf[export]', or give the folder of "
            f"python -m export. Received: --model={run.root}."
        )
    say(f"exporting {bundle} to {run.exported}, once for these weights ...")
    try:
        run.exported.mkdir(exist_ok=True)
        stage = write_quickly([bundle], path, limit=Limits().max_abs_diff)
    except OSError as error:
        raise UserError(
            "a run folder must be writable, to export its network into it. Received: "
            f"{run.exported} ({error.strerror}). python -m export writes elsewhere."
        ) from error
    for older in run.exported.glob("model_*.onnx"):
        if older != path:
            older.unlink(missing_ok=True)
    say(told(stage))
    return path


def told(stage: stages.Stage) -> str:
    """What `write_quickly` did, in a line."""
    return (
        f"exported in {stage.seconds:.1f} s; differs from Keras by {stage.result:.1e}"
    )


def write_quickly(
    locations: Sequence[str | Path], path: Path, **settings: Any
) -> stages.Stage:
    """Makes the file in a process of its own; it appears whole and compared, or never.

    Args:
      locations: run folders or bundles, see `sources.open_sources`.
      path: the file, replaced.
      **settings: of `write_compared`.

    Raises:
      UserError: see `write_compared`.
    """
    places = [str(place) for place in locations]
    with working_folder(path) as folder:
        made = folder / path.name
        stage = stages.run_stage(
            "export.quick:write_compared", places, made, **settings
        )
        move_whole(made, path)
    return stage


def write_compared(
    locations: Sequence[str],
    path: Path,
    *,
    limit: float,
    weights: str = "ema",
    layout: str = "NHWC",
    photo: str = "",
) -> float:
    """Writes the ONNX file, compared with Keras; a step of its own, see `stages`.

    Args:
      locations, weights: what to export, see `sources.open_sources`.
      path: the file.
      limit: largest difference from Keras, where white is 1.
      layout: "NHWC" or "NCHW".
      photo: photograph to compare on; "" for one of the samples.

    Returns:
      The largest difference.

    Raises:
      UserError: the networks cannot be used, or the file differs by more.
    """
    from pdm_tf.core.quiet import quiet_start

    with quiet_start():
        from export.onnx_graph import network_to_onnx
        from export.sources import open_sources
        from pdm_tf.inference.session import open_session
    sources = open_sources(locations, weights, degradation=False)
    grid = {"grid": sources.grid} if sources.grid else {}
    network_to_onnx(
        sources.network, path, layout=layout, metadata=sources.provenance | grid
    )
    session, photo_u8 = open_session(path, provider="cpu"), read_photo(photo)
    largest = 0.0
    for case in _CASES:
        image = to_float(crops(photo_u8, case))
        found = compare(session.run(image), sources(image).numpy(), limit)
        if not found.finite or found.max_abs > limit or found.beyond_ties:
            raise UserError(
                "An exported network must equal the Keras network within "
                f"{limit:.0e}. Received: {', '.join(locations)}, which "
                f"differs by {found.max_abs:.1e}. python -m export says more."
            )
        largest = max(largest, found.max_abs)
    return largest
