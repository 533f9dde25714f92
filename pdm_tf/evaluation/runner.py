"""Makes the SR images of a set and scores them, as well as bicubic.

Images stream: one is in memory at a time. An image that can't be read or compared is
named, counted and left out; the others go on.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pdm_tf.core.checks import lookup
from pdm_tf.core.errors import UserError
from pdm_tf.core.geometry import ASSUMED_GRID
from pdm_tf.core.images import to_float, to_u8
from pdm_tf.core.progress import ProgressBar, say_above_bars
from pdm_tf.evaluation.baseline import baseline_grid, bicubic_upscaler
from pdm_tf.evaluation.results import (
    EvaluatedImage,
    EvaluationResult,
    ImageRow,
    Item,
    score_image,
)
from pdm_tf.inference.tiling import OVERLAP, TILE, upscale_in_tiles
from pdm_tf.metrics import METRICS, MetricSpec

if TYPE_CHECKING:
    import keras

Upscaler = Callable[[np.ndarray], np.ndarray]
PictureOf = Callable[[str, np.ndarray | None], np.ndarray]


def keras_upscaler(
    network: "keras.Model", scale: int, *, tile: int = TILE, overlap: int = OVERLAP
) -> Upscaler:
    """Compiles a network once, for images of any size.

    The function reads the network's variables at each call, so it may be kept while
    training goes on.

    Args:
      network: lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h * scale, w * scale, 3].
      scale: its factor.
      tile: images of more than tile * tile LR pixels are processed in tiles; 0: never.
      overlap: context around tiles in LR pixels (see `tiling.py` for when it is exact).

    Returns:
      lr_u8 [h, w, 3] uint8 -> sr_u8 [h * scale, w * scale, 3] uint8, clipped and
      rounded half up.
    """
    run = compiled_network(network)

    def whole(lr: np.ndarray) -> np.ndarray:
        return to_u8(run(lr))

    def upscale(lr_u8: np.ndarray) -> np.ndarray:
        return upscale_in_tiles(
            whole,
            to_float(lr_u8),
            scale,
            tile=tile,
            overlap=overlap,
            multiple=getattr(network, "multiple", 1),
        )

    return upscale


def compiled_network(network: "keras.Model") -> Upscaler:
    """Compiles a network: lr [h, w, 3] float32 in [0, 1] -> sr float32, not clipped."""
    import tensorflow as tf  # loaded already by anyone with a network

    # With free height and width it is traced once, not once per image size.
    spec = tf.TensorSpec([1, None, None, 3], tf.float32)

    @tf.function(input_signature=[spec], autograph=False)
    def run(lr: tf.Tensor) -> tf.Tensor:
        return tf.cast(network(lr, training=False), tf.float32)

    return lambda lr: run(tf.constant(lr[None])).numpy()[0]


def metric_specs(
    names: Iterable[str], files: Mapping[str, str] | None = None
) -> tuple[MetricSpec, ...]:
    """Returns the entries of METRICS, without repeats; those that need a file, opened.

    Args:
      names: in METRICS.
      files: metric -> path of its weights or parameters.

    Raises:
      UserError: an unknown name (the nearest right one is given), none at all, a metric
        without the file it needs, a file for a metric that is not requested, or a file
        that does not fit.
    """
    files = dict(files or {})
    specs = [lookup(METRICS, name, "--metrics") for name in dict.fromkeys(names)]
    if not specs:
        raise UserError(
            f"--metrics must name at least one of {', '.join(METRICS)}. Received none."
        )
    for name in files:
        lookup(METRICS, name, "--metric_arg")
        if name not in [spec.name for spec in specs]:
            raise UserError(
                f"--metric_arg must be for one of --metrics. Received: {name}="
                f"{files[name]}, with --metrics={','.join(s.name for s in specs)}."
            )
    for spec in specs:  # before any is opened, which may take seconds
        if spec.opener is not None and spec.name not in files:
            raise UserError(
                f"{spec.name} needs {spec.opener.what}: "
                f"--metric_arg={spec.name}=PATH. Received none."
            )
    return tuple(s.opened(files[s.name]) if s.name in files else s for s in specs)


def check_references(metrics: Sequence[MetricSpec], hr_dir: str) -> None:
    """Raises UserError if metrics compare with HR images and there are none."""
    needing = [spec.name for spec in metrics if spec.needs_reference]
    if needing and not hr_dir:
        raise UserError(
            f"--hr_dir is required for {', '.join(needing)}, which compare with HR "
            "images; without it, leave them out of --metrics (niqe needs none). "
            "Received no --hr_dir."
        )


def evaluate_image(
    picture_of: PictureOf,
    item: Item,
    *,
    metrics: Sequence[MetricSpec],
    crop_border: int,
    scale: int,
    baseline: bool = True,
    grid: str = ASSUMED_GRID,
) -> EvaluatedImage:
    """Makes the SR image of one item and scores it.

    Raises:
      UserError: it can't be read, its sizes do not fit `scale`, or it is too small.
    """
    hr_u8, lr_u8 = item.load()
    start = time.perf_counter()
    sr_u8 = picture_of(item.name, lr_u8)
    seconds = time.perf_counter() - start
    _check_sizes(sr_u8, hr_u8, lr_u8, scale)
    bicubic_u8 = None
    if baseline and lr_u8 is not None:
        bicubic_u8 = bicubic_upscaler(scale, grid)(lr_u8)
    row = ImageRow(
        name=item.name,
        scores=score_image(sr_u8, hr_u8, metrics, crop_border),
        baseline=None
        if bicubic_u8 is None
        else score_image(bicubic_u8, hr_u8, metrics, crop_border),
        seconds=seconds,
    )
    return EvaluatedImage(row, lr_u8, sr_u8, hr_u8, bicubic_u8)


def evaluate_images(
    picture_of: PictureOf,
    items: Sequence[Item],
    *,
    metrics: Sequence[str] | Sequence[MetricSpec],
    crop_border: int,
    scale: int,
    baseline: bool = True,
    grid: str | None = None,
    progress: bool = False,
    on_image: Callable[[EvaluatedImage], None] | None = None,
    on_problem: Callable[[str], None] | None = None,
) -> EvaluationResult:
    """Scores the SR images of a set.

    Args:
      picture_of: (name, lr_u8 [h, w, 3] or None) -> sr_u8 [h * scale, w * scale, 3],
        uint8 RGB.
      items: images of the set; loaded one at a time.
      metrics: names in METRICS, or their `metric_specs`; without HR images only those
        that need none.
      crop_border: pixels left out on every side, >= 0.
      scale: HR size / LR size.
      baseline: whether to score bicubic on the same images, where there is an LR image.
      grid: that bicubic puts LR pixels on; None: found by the items, see
        `baseline.baseline_grid`.
      progress: whether to show a bar on standard error, if that is a terminal.
      on_image: called with each scored image, in order (to draw it, say).
      on_problem: called at once for each image that is left out.

    Raises:
      UserError: an unknown metric, a negative crop, or nothing that can be scored.
    """
    named = all(isinstance(metric, str) for metric in metrics)
    specs = metric_specs(metrics) if named else tuple(metrics)
    if crop_border < 0:
        raise UserError(f"`crop_border` must be 0 or more. Received: {crop_border}.")
    if grid is None:
        grid = baseline_grid(items, scale) if baseline else ASSUMED_GRID
    rows, problems = [], []
    show = "auto" if progress else "off"
    with ProgressBar("evaluate", "image", show, total=len(items)) as bar:
        for done, item in enumerate(items, start=1):
            try:
                image = evaluate_image(
                    picture_of,
                    item,
                    metrics=specs,
                    crop_border=crop_border,
                    scale=scale,
                    baseline=baseline,
                    grid=grid,
                )
            except UserError as error:
                problems.append((item.name, str(error)))
                if on_problem is not None:
                    on_problem(f"{item.name}: {error}")
                bar.update(done)
                continue
            rows.append(image.row)
            bar.show_text(_short(specs[0], image.row))
            bar.update(done)
            if on_image is not None:
                on_image(image)
    if not rows:
        reason = f" The first: {': '.join(problems[0])}" if problems else ""
        raise UserError(f"None of {len(problems)} images could be evaluated.{reason}")
    return EvaluationResult(
        tuple(rows), tuple(problems), specs, crop_border, scale, grid
    )


def evaluate_pairs(
    upscale: Upscaler, pairs: Sequence[Item], **settings: Any
) -> EvaluationResult:
    """Scores an upscaler on pairs of HR and LR images, see `evaluate_images`."""
    return evaluate_images(_by_image(upscale), pairs, **settings)


def tell_left_out(message: str) -> None:
    """Prints on standard error which image is left out, above the progress bar."""
    say_above_bars(f"left out: {message}")


def _by_image(upscale: Upscaler) -> PictureOf:
    return lambda name, lr_u8: upscale(lr_u8)


def _check_sizes(
    sr_u8: np.ndarray, hr_u8: np.ndarray | None, lr_u8: np.ndarray | None, scale: int
) -> None:
    """Raises UserError unless the existing images' sizes fit each other."""
    sizes = [
        f"{name} {_size(image)}"
        for name, image in (("LR", lr_u8), ("SR", sr_u8), ("HR", hr_u8))
        if image is not None
    ]
    received = f"Received: {', '.join(sizes)} (width x height)."
    if lr_u8 is not None:
        height, width = lr_u8.shape[:2]
        wanted = (height * scale, width * scale)
        # HR first: against it SR is judged, and what made SR knew LR alone.
        for name, image in (("HR", hr_u8), ("SR", sr_u8)):
            if image is not None and image.shape[:2] != wanted:
                raise UserError(f"{name} must be {scale} times LR. {received}")
    if hr_u8 is not None and sr_u8.shape != hr_u8.shape:
        raise UserError(f"SR and HR must have one size. {received}")


def _short(spec: MetricSpec, row: ImageRow) -> str:
    return f"{row.name} {row.scores.values[spec.name]:.{spec.decimals}f} {spec.unit}"


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
