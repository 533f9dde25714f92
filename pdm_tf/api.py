"""`pdm_tf` from Python, on NumPy arrays.

    from pdm_tf import api

    api.train(hr_dir="photos/hr", lr_dir="photos/lr", run_dir="runs/mine", steps=500)
    sr = api.load("runs/mine").upscale(photograph)  # uint8 in, uint8 out
    lr = api.load_degradation("runs/mine").degrade(sharp, seed=1).lr

Three functions run a program, whose flags are their keywords: `train`, `estimate`,
`export`. They print and write what the program does, and go on where one was stopped.
The others work on arrays in memory. Pictures are RGB, [H, W, 3]: uint8 (0 to 255),
uint16 (0 to 65535) or floating point (0 to 1); anything else is refused, never guessed.
Importing this module loads no TensorFlow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pdm_tf.cli.flag_set import ProgramSpec, as_text, parse
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_u8
from pdm_tf.core.quiet import quiet_start
from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.core.stored import read_json
from pdm_tf.run import Run, find_bundle

if TYPE_CHECKING:
    import keras

    from pdm_tf.degradations.base import Degradation
    from pdm_tf.evaluation.results import EvaluationResult

__all__ = [
    "DegradedPicture",
    "Degrader",
    "ProgramFailed",
    "Upscaler",
    "UserError",
    "estimate",
    "evaluate",
    "export",
    "load",
    "load_degradation",
    "score",
    "train",
]

PathLike = str | Path
_DEFAULT_METRICS = ("psnr", "ssim", "psnr_shift")
_LARGEST = {"uint8": 255.0, "uint16": 65535.0}
_ROUNDING = 1e-6  # beyond [0, 1], of a picture that was computed in float32


class ProgramFailed(RuntimeError):  # noqa: N818 - it names what happened
    """A program ended with another exit code than 0.

    Attributes:
      code: the exit code, e.g. 75 for a run that was stopped and can go on.
    """

    def __init__(self, program: str, code: int) -> None:
        super().__init__(
            f"{program} ended with exit code {code}; "
            "docs/guide/run-folder-and-exit-codes.md says what it means."
        )
        self.code = code


def train(run_dir: PathLike, **flags: Any) -> Run:
    """Trains as `python -m pdm_tf.train` does; resumes where a run was stopped.

    Args:
      run_dir: folder of the run.
      **flags: of the program, e.g. hr_dir="photos/hr", steps=500, noise=False,
        flagfile="camera", sr_arg={"filters": 24}.

    Returns:
      The run, whose folder `load`, `load_degradation` and `export` take.

    Raises:
      UserError: flags or photographs that cannot be used.
      ProgramFailed: it was stopped, or losses were not finite.
    """
    from pdm_tf.train import SPEC, main

    _run_program(SPEC, main, {"run_dir": run_dir, **flags})
    return Run(run_dir)


def estimate(output: PathLike, **flags: Any) -> SourceEstimate:
    """Measures a source's blur, noise and JPEG, as `python -m pdm_tf.estimate` does.

    Args:
      output: folder for the results; `load_degradation` takes its `bundle`.
      **flags: of the program: hr_dir and lr_dir, and any other.

    Raises:
      UserError: flags or photographs that cannot be used; check_only, after which
        there is nothing to return.
      ProgramFailed: it was stopped.
    """
    from pdm_tf.estimate import SPEC, main
    from pdm_tf.estimation.measure_source import ESTIMATE

    if flags.get("check_only"):
        raise UserError(
            "`estimate` returns what was measured, so check_only must be False. "
            "Received: True."
        )
    # Code 1: photographs were left out by name, and the others measured.
    _run_program(SPEC, main, {"output": output, **flags}, also_good=(1,))
    return read_json(Path(output) / ESTIMATE, make=SourceEstimate.from_json)


def export(model: PathLike, output: PathLike, **flags: Any) -> Path:
    """Writes SavedModel and ONNX files as `python -m export` does; needs its packages.

    Args:
      model: a run folder or a bundle.
      output: folder for the files.
      **flags: of the program, e.g. fp16=False.

    Returns:
      `output`.

    Raises:
      UserError: nothing to export there, or packages that are missing.
      ProgramFailed: the exported model differs from the network; nothing was published.
    """
    from export.__main__ import SPEC, main

    _run_program(SPEC, main, {"model": model, "output": output, **flags})
    return Path(output)


class Upscaler:
    """A super-resolution network, for pictures in memory.

    Attributes:
      network: the Keras model: lr [B, h, w, 3] floating point in [0, 1] -> sr
        [B, h * scale, w * scale, 3] float32, not clipped. `predict`, `summary`,
        `save("sr.keras")` and the other habits of Keras hold.
      scale: HR size / LR size.
      grid: where LR pixels lie in HR images, "pixel0" or "half_pixel"; None: unknown.
      step: training step of the weights.
    """

    def __init__(
        self, network: "keras.Model", scale: int, grid: str | None = None, step: int = 0
    ) -> None:
        from pdm_tf.evaluation.runner import compiled_network

        self.network, self.scale, self.grid, self.step = network, scale, grid, step
        self._run = compiled_network(network)

    def upscale(self, picture: np.ndarray) -> np.ndarray:
        """Upscales one picture; large ones in tiles, without seams.

        Args:
          picture: [h, w, 3] uint8, uint16, or floating point in [0, 1].

        Returns:
          [h * scale, w * scale, 3]: clipped and rounded half up to the type of
          `picture`; float32 in [0, 1] for floating point.

        Raises:
          UserError: another shape, type or range.
        """
        lr = _as_float(picture, "picture").astype(np.float32)
        sr = np.clip(self._upscaled(lr), 0.0, 1.0)
        if picture.dtype.name not in _LARGEST:
            return sr
        largest = _LARGEST[picture.dtype.name]
        return np.floor(sr * largest + 0.5).astype(picture.dtype)

    def _upscaled(self, lr: np.ndarray) -> np.ndarray:
        from pdm_tf.inference.tiling import OVERLAP, upscale_in_tiles

        overlap = max(OVERLAP, getattr(self.network, "overlap", 0))
        multiple = getattr(self.network, "multiple", 1)
        return upscale_in_tiles(
            self._run, lr, self.scale, overlap=overlap, multiple=multiple
        )


def load(model: PathLike, weights: str = "ema") -> Upscaler:
    """Loads the network of a run folder, or of a bundle.

    Args:
      model: the folder.
      weights: of a run: "ema" (averaged; the last ones where there is no average) or
        "raw" (the last).

    Raises:
      UserError: nothing there, or no super-resolution network.
    """
    with quiet_start():
        from pdm_tf.bundles.bundle import load_bundle

        path = find_bundle(model, weights=weights)
        bundle = load_bundle(path)
    if bundle.role != "sr":
        raise UserError(
            f"`model` must be a super-resolution network. Received: {path}, which has "
            f"the role {bundle.role!r}; `load_degradation` loads a degradation."
        )
    return Upscaler(bundle.network, bundle.scale, bundle.grid, bundle.step)


class DegradedPicture(NamedTuple):
    """An LR picture, and how it was made.

    Attributes:
      lr: [h, w, 3] uint8.
      hr: [h * scale, w * scale, 3] uint8, what a network should make of it: the
        picture, cropped at the bottom and right to whole LR pixels; sharpened where the
        degradation says so.
      kernel: [K, K] float32; None without a single blur.
      noise_std_255: standard deviation of the noise in levels of 8 bit, or None.
      jpeg_quality: or None.
    """

    lr: np.ndarray
    hr: np.ndarray
    kernel: np.ndarray | None
    noise_std_255: float | None
    jpeg_quality: float | None


@dataclass(frozen=True)
class Degrader:
    """A degradation, learned or predefined, for pictures in memory.

    Attributes:
      degradation: maps HR tensors to LR ones, for training loops of your own.
    """

    degradation: "Degradation"

    @property
    def scale(self) -> int:
        """HR size / LR size."""
        return self.degradation.scale

    def degrade(self, picture: np.ndarray, seed: int = 0) -> DegradedPicture:
        """Makes an LR picture; another seed gives other blur and noise.

        Args:
          picture: [H, W, 3] uint8, uint16, or floating point in [0, 1], used with 8
            bits.
          seed: decides all that is random, 0 to 2**31 - 1.

        Raises:
          UserError: another shape, type or range, or a picture that is too small.
        """
        from pdm_tf.degradations.whole_image import degrade_image

        hr = to_u8(_as_float(picture, "picture"))
        height, width = (side // self.scale * self.scale for side in hr.shape[:2])
        if min(height, width) < (least := self.degradation.least_size):
            raise UserError(
                f"`picture` must have sides of at least {least} pixels for this "
                f"degradation. Received the shape {picture.shape}."
            )
        if not 0 <= seed < 2**31:
            raise UserError(f"`seed` must be 0 to 2**31 - 1. Received: {seed}.")
        hr = np.ascontiguousarray(hr[:height, :width])
        made = degrade_image(self.degradation, hr, (seed, 0))
        target = hr if made.target_u8 is None else made.target_u8
        return DegradedPicture(
            made.lr_u8, target, made.kernel, made.noise_std_255, made.quality
        )

    def sample_kernels(self, count: int, seed: int = 0) -> np.ndarray:
        """Draws blur kernels [count, K, K] float32 on the HR grid, each of sum 1.

        Raises:
          UserError: it has no kernels.
        """
        if self.degradation.kernel_facts is None:
            raise UserError(
                "Only a degradation with kernels can draw some. Received one without: "
                f"{self.degradation.untold['kernels']}."
            )
        return self.degradation.sample_kernels(count, seed=seed)


def load_degradation(
    source: PathLike,
    *,
    settings: Mapping[str, Any] | None = None,
    scale: int = 0,
    weights: str = "ema",
) -> Degrader:
    """Loads a learned degradation, or makes a predefined one.

    Args:
      source: a run folder, a bundle, or a name such as "bsrgan".
      settings: of a predefined one, e.g. {"noise_max_255": 5}.
      scale: HR size / LR size; 0: that of the learned one, 4 for a predefined one.
      weights: of a run folder, "ema" or "raw".

    Raises:
      UserError: nothing there, or settings that do not exist.
    """
    with quiet_start():
        from pdm_tf.build import build_degradation

        degradation, _ = build_degradation(
            str(source), args=_pairs(settings or {}), scale=scale, weights=weights
        )
    return Degrader(degradation)


def score(
    sr: np.ndarray,
    hr: np.ndarray,
    metrics: Sequence[str] = _DEFAULT_METRICS,
    crop_border: int = 0,
) -> dict[str, float]:
    """Compares two pictures, in 8 bits.

    Args:
      sr: [H, W, 3], as `Upscaler.upscale` takes and returns them.
      hr: the same shape.
      metrics: names of `python -m pdm_tf.evaluate`'s --metrics.
      crop_border: pixels left out on every side.

    Raises:
      UserError: an unknown metric, or pictures that cannot be compared.
    """
    from pdm_tf.evaluation.results import score_image
    from pdm_tf.evaluation.runner import metric_specs

    sides = {
        name: to_u8(_as_float(x, name)) for name, x in {"sr": sr, "hr": hr}.items()
    }
    scored = score_image(sides["sr"], sides["hr"], metric_specs(metrics), crop_border)
    return dict(scored.values)


def evaluate(
    model: Upscaler,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    metrics: Sequence[str] = _DEFAULT_METRICS,
    crop_border: int | None = None,
) -> "EvaluationResult":
    """Upscales LR pictures and compares the results, and bicubic's, with HR.

    Args:
      model: of `load`.
      pairs: (hr, lr), hr `model.scale` times as large as lr.
      metrics: names of `python -m pdm_tf.evaluate`'s --metrics.
      crop_border: pixels left out on every side; None: the scale.

    Returns:
      The scores: `mean` and `baseline_mean` by metric, `rows` by picture, named "0",
      "1", ... .

    Raises:
      UserError: pictures that are none or do not fit, or an unknown metric.
    """
    from pdm_tf.evaluation.runner import evaluate_pairs

    items = [_Pair(str(number), *pair) for number, pair in enumerate(pairs)]
    if not items:
        raise UserError("`pairs` must hold at least one pair. Received none.")
    return evaluate_pairs(
        model.upscale,
        items,
        metrics=metrics,
        crop_border=model.scale if crop_border is None else crop_border,
        scale=model.scale,
    )


@dataclass(frozen=True)
class _Pair:
    """An `evaluation.runner.Item` in memory."""

    name: str
    hr: np.ndarray
    lr: np.ndarray

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """Both pictures as uint8."""
        return to_u8(_as_float(self.hr, "hr")), to_u8(_as_float(self.lr, "lr"))


def _as_float(picture: np.ndarray, name: str) -> np.ndarray:
    """The picture in [0, 1], float64; checks shape, type and range."""
    rule = (
        f"`{name}` must be a picture [H, W, 3] of uint8, uint16, or floating point "
        "from 0 to 1."
    )
    if not isinstance(picture, np.ndarray):
        raise UserError(f"{rule} Received: {type(picture).__name__}.")
    kind, shape = picture.dtype, picture.shape
    if picture.ndim != 3 or shape[2] != 3 or not picture.size:
        raise UserError(f"{rule} Received the shape {shape}.")
    if kind.name in _LARGEST:
        return picture / _LARGEST[kind.name]
    if not np.issubdtype(kind, np.floating):
        raise UserError(f"{rule} Received the type {kind}.")
    low, high = float(picture.min()), float(picture.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # nan too
        raise UserError(
            f"{rule} Received {kind} from {low:g} to {high:g}; divide by the largest "
            "value, or clip."
        )
    return picture.astype(np.float64)


def _run_program(
    spec: ProgramSpec,
    main: Callable[[Any], int | None],
    given: Mapping[str, Any],
    also_good: Sequence[int] = (),
) -> None:
    """Runs a program with these flags, as its command line would."""
    code = main(parse(spec, _arguments(given))) or 0
    if code and code not in also_good:
        raise ProgramFailed(spec.module, code)


def _arguments(given: Mapping[str, Any]) -> list[str]:
    """Flags as on a command line; flag files first, so that keywords win."""
    ordered = sorted(given.items(), key=lambda item: item[0] != "flagfile")
    arguments: list[str] = []
    for name, value in ordered:
        if isinstance(value, Mapping):
            arguments += [f"--{name}={text}" for text in _pairs(value)]
        elif isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no{name}")
        elif isinstance(value, list | tuple) and name.endswith("_arg"):
            arguments += [f"--{name}={text}" for text in value]
        else:
            value = tuple(value) if isinstance(value, list) else value
            arguments.append(f"--{name}={as_text(value)}")
    return arguments


def _pairs(settings: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key}={as_text(value)}" for key, value in settings.items())
