"""Makes LR images from HR photographs: `python -m pdm_tf.degrade --help`."""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core import predefined
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import ImageError
from pdm_tf.core.images import image_size, list_images
from pdm_tf.core.memory import free_mb
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.core.quiet import quiet_start
from pdm_tf.data.parallel import default_threads
from pdm_tf.training.signals import GracefulStop, StopRequested

if TYPE_CHECKING:
    from pdm_tf.data.degrading import DegradeOutcome


_LINE_EVERY_S = 30.0


@dataclass(frozen=True)
class DegradeConfig:
    """The request to `degrade`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    degradation: str = flag(
        "",
        "Degradation to apply: a run folder of pdm_tf.train (its learned "
        "degradation), a bundle (a folder with bundle.json), or the name of a "
        f"predefined one: {predefined.named()}. A name takes precedence over a folder "
        "of that name. Required.",
        section="What",
        required=True,
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Weights of a run folder: the averaged (ema) or the last (raw)."
    )
    degradation_arg: tuple[str, ...] = flag(
        (),
        "A setting of a predefined degradation; of awgn_blur: "
        "kernel_size=21, sigma_min_px=0.6, sigma_max_px=4.0 (HR pixels), "
        "noise_min_255=0, noise_max_255=15 (levels of 8 bit), grid=pixel0 or "
        "half_pixel; of gaussian_jpeg the same (noise_max_255=0) and quality_min=30, "
        "quality_max=95, subsampling=420 or 444; of all of them: "
        "docs/guide/degrade.md. A name that does not exist is answered by those that "
        "do.",
    )
    scale: int = flag(
        0,
        "HR size / LR size; 0 takes that of the learned degradation, and 4 "
        "for a predefined one.",
        at_least=0,
    )
    input: str = flag(
        "",
        "Folder of HR photographs (PNG, JPEG, WebP, TIFF, BMP, still GIF), searched "
        "recursively. Required.",
        required=True,
    )
    output: str = flag(
        "", "Folder for the results; made if missing. Required.", required=True
    )
    draws: int = flag(
        1,
        "LR images of each photograph. With more than one they are called "
        "NAME_d0.png, NAME_d1.png, ...",
        section="Randomness",
        at_least=1,
    )
    seed: int = flag(
        0,
        "Seed of all random numbers. Those of an LR image depend on it, on the "
        "photograph's path below --input without its suffix, and on the draw: not "
        "on the other files, their order, --threads or --format.",
    )
    format: Literal["pairs", "tfrecord"] = flag(
        "pairs",
        "`pairs`: folders lr/ and hr/ whose files have the same names. "
        "`tfrecord`: the same as shards, which --hr_dir and --lr_dir of pdm_tf.train "
        "take like folders.",
        section="Output",
    )
    hr_files: Literal["link", "copy", "none"] = flag(
        "link",
        "HR files, cropped at the bottom and right until the scale divides "
        "both sides; sharpened where the degradation's target is, because they are "
        "what a network should make of lr/. With several draws each has its own name "
        "in hr/: `link` makes the second and further ones hard links to the first "
        "(copies where the file system has no links; do not edit one in place), "
        "`copy` makes copies. `none` writes LR images alone. Shards hold each HR image "
        "once.",
    )
    shard_mb: int = flag(
        256,
        "Size of the photographs' files that go into one shard, about, in MB.",
        at_least=1,
    )
    threads: int = flag(
        0,
        "Photographs worked on at once; 0 takes one per processor, at most "
        "8. Large ones are done in windows: one in work takes its 8-bit pixels, a "
        "quarter of them again for latents at x4, and a few hundred MB for a learned "
        "degradation. Chains that resize on the way (real_esrgan, bsrgan) have no "
        "windows: a photograph takes 150 to 300 MB for each megapixel; how much is "
        "said at the start, and 0 takes no more at once than half the free memory "
        "holds.",
        section="How",
        at_least=0,
    )
    progress: Show = flag(
        "auto",
        "Progress bar with the time left on standard error; `auto`: when "
        "it is a terminal, and a line every half minute elsewhere.",
    )

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.degrade")


SPEC = ProgramSpec(
    module="pdm_tf.degrade",
    config=DegradeConfig,
    intro="Makes LR images from HR photographs with a learned or a predefined "
    "degradation, as training data for any super-resolution network. Writes 8-bit PNG, "
    "manifest.jsonl (one line for each LR image: files, sha256 of the source, draw, "
    "seed, sizes [height, width], crop [top, left, height, width], hr_is_target: "
    "whether hr/ holds a sharpened target instead of the photograph, noise_std_255, "
    "JPEG quality, index of the kernel; null where one does not apply) and kernels.npy "
    "([N, K, K] float32, correlated, centred on HR pixel scale * i (plus (scale-1)//2"
    " with grid=half_pixel); kernels that vary within an image are not stored, the "
    "seed makes them again). At its edges a photograph is mirrored, and nowhere else."
    " Photographs that cannot be used (not an image, truncated, animated, "
    "transparent, smaller than the kernel) are named and left out. Every file appears"
    " in full or not at all; stopped and started again with the same flags, it keeps "
    "finished files, and the result is the same; other flags for the same "
    "--output are an error. Exit code: 0 when all photographs were used, 1 when "
    "some were left out, 2 when nothing could be done, 75 when it was stopped by "
    "Ctrl-C or SIGTERM and can go on.",
    examples=(
        "python -m pdm_tf.degrade --degradation=runs/small --input=photos/hr "
        "--output=photos/learned --draws=2",
        "python -m pdm_tf.degrade --degradation=awgn_blur "
        "--degradation_arg=noise_max_255=5 --input=photos/hr "
        "--output=photos/gaussian --format=tfrecord",
    ),
)

if TYPE_CHECKING:
    from pdm_tf.data.degrading import DegradeOutcome


def main(config: DegradeConfig) -> int:
    """Degrades all photographs; returns the exit code."""
    list_images(config.input)  # fails now, not after seconds of imports
    bar = ProgressBar(
        "", "photograph", config.progress, delay=0.5, line_every_s=_LINE_EVERY_S
    )
    with GracefulStop() as stop, bar:
        try:
            outcome = _degrade(config, lambda: bool(stop.received), bar.update)
        except StopRequested:
            bar.close()
            done = f"{bar.done} of {bar.total} photographs done"
            print(f"{done}; start it again with the same flags to go on.")
            return program.INTERRUPTED
    for path, reason in outcome.problems:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    if outcome.stale:
        print(
            f"{len(outcome.stale)} photographs of earlier starts are gone or unusable "
            f"now ({outcome.stale[0]}, ...); their files were kept, the manifest is "
            "without them.",
            file=sys.stderr,
        )
    made = f"{outcome.written} photographs degraded"
    if config.draws > 1:
        made += f", {config.draws} LR images each"
    if outcome.kept:
        made += f", {outcome.kept} kept from before"
    if outcome.problems:
        made += f", {len(outcome.problems)} files left out"
    print(f"{made}: {config.output}")
    return program.SOME_LEFT_OUT if outcome.problems else program.OK


def _degrade(
    config: DegradeConfig,
    should_stop: Callable[[], bool],
    on_progress: Callable[[int, int], None],
) -> "DegradeOutcome":
    with quiet_start():  # TensorFlow takes seconds to import
        from pdm_tf.build import build_degradation
        from pdm_tf.data.degraded_pairs import make_degraded_pairs, make_degraded_shards
        from pdm_tf.data.degrading import Request, Stopped

        degradation, facts = build_degradation(
            config.degradation,
            args=config.degradation_arg,
            scale=config.scale,
            weights=config.weights,
        )
    request = Request(degradation, config.seed, config.draws, should_stop)
    settings = {
        **facts,
        **{name: getattr(config, name) for name in ("seed", "draws", "format")},
        "hr_files": config.hr_files,
    }
    threads = config.threads
    if degradation.context is None:
        threads = _threads_for_whole(config, degradation.mb_per_megapixel)
    common = {"threads": threads, "on_progress": on_progress}
    try:
        if config.format == "pairs":
            return make_degraded_pairs(
                config.input,
                config.output,
                request,
                settings,
                hr_files=config.hr_files,
                **common,
            )
        return make_degraded_shards(
            config.input,
            config.output,
            request,
            settings | {"shard_mb": config.shard_mb},
            shard_mb=config.shard_mb,
            with_hr=config.hr_files != "none",
            **common,
        )
    except Stopped as error:
        raise StopRequested from error


def _threads_for_whole(config: DegradeConfig, mb_per_megapixel: int) -> int:
    """Says what memory whole photographs take; returns how many to work on at once."""
    megapixels = []
    for path in list_images(config.input):
        with contextlib.suppress(ImageError):  # named when it is its turn
            height, width = image_size(path)
            megapixels.append(height * width / 1e6)
    largest = max(megapixels, default=0.0)
    each_mb = max(largest * mb_per_megapixel, 1.0)
    threads = config.threads or min(
        default_threads(), max(1, int(free_mb() / 2 / each_mb))
    )
    print(
        f"{config.degradation} works on whole photographs: the largest, of "
        f"{largest:.1f} megapixels, takes about {each_mb:,.0f} MB, besides 1 GB for "
        f"the program; at once: {threads}.",
        file=sys.stderr,
    )
    return threads


if __name__ == "__main__":
    program.run(SPEC, main)
