"""The flags of `python -m pdm_tf.degrade`, and its own exit code."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_at_least, require_given

# Besides those of `program`: everything was done but for the files that were named.
SOME_LEFT_OUT = 1


@dataclass(frozen=True)
class DegradeConfig:
    """What `degrade` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    degradation: str = flag(
        "",
        "What to apply: a run folder of pdm_tf.train (its learned "
        "degradation), a bundle (a folder with bundle.json), or the name of a "
        "predefined one: `bicubic`, MATLAB's imresize; `awgn_blur`, a random "
        "anisotropic Gaussian blur and white noise for each image; `gaussian_jpeg`, "
        "the same and JPEG of a random quality. A name goes before a folder of that "
        "name. Required.",
        section="What",
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Of a run folder: the averaged weights (ema) or the last (raw)."
    )
    degradation_arg: tuple[str, ...] = flag(
        (),
        "A setting of a predefined degradation; of awgn_blur: "
        "kernel_size=21, sigma_min_px=0.6, sigma_max_px=4.0 (HR pixels), "
        "noise_min_255=0, noise_max_255=15 (levels of 8 bit), grid=pixel0 or "
        "half_pixel; of gaussian_jpeg the same (noise_max_255=0) and quality_min=30, "
        "quality_max=95, subsampling=420 or 444.",
    )
    scale: int = flag(
        0,
        "HR size / LR size; 0 takes that of the learned degradation, and 4 "
        "for a predefined one.",
    )
    input_dir: str = flag(
        "",
        "Folder of HR photographs (PNG, JPEG, WebP, TIFF, BMP, still GIF), searched "
        "recursively. Required.",
    )
    output_dir: str = flag("", "Folder for the results; made if missing. Required.")
    draws: int = flag(
        1,
        "LR images of each photograph. With more than one they are called "
        "NAME_d0.png, NAME_d1.png, ...",
        section="Randomness",
    )
    seed: int = flag(
        0,
        "What is drawn for an LR image is a function of this, of the "
        "photograph's path below --input_dir without its suffix, and of the draw: not "
        "of the other files, their order, --threads or --format.",
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
        "both sides. With several draws each has its own name in hr/: `link` makes the "
        "second and further ones hard links to the first (copies where the file system "
        "has no links; do not edit one in place), `copy` makes copies. `none` writes "
        "LR images alone. Shards hold each HR image once.",
    )
    shard_mb: int = flag(
        256, "Size of the photographs' files that go into one shard, about, in MB."
    )
    threads: int = flag(
        0,
        "Photographs worked on at once; 0 takes one per processor, at most "
        "8. Large ones are done in windows: one in work takes its 8-bit pixels, a "
        "quarter of them again for latents at x4, and a few hundred MB for a learned "
        "degradation.",
        section="How",
    )
    progress: Literal["auto", "on", "off"] = flag(
        "auto",
        "Progress bar with the time left on standard error; `auto`: when "
        "it is a terminal, and a line every half minute elsewhere.",
    )

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.degrade", "degradation", "input_dir", "output_dir")
        require_at_least(self, scale=0, draws=1, shard_mb=1, threads=0)


SPEC = ProgramSpec(
    module="pdm_tf.degrade",
    config=DegradeConfig,
    intro="Makes LR images of HR photographs with a learned or a predefined "
    "degradation, as training data for any super-resolution network. Writes 8-bit PNG, "
    "manifest.jsonl (one line for each LR image: files, sha256 of the source, draw, "
    "seed, sizes [height, width], crop [top, left, height, width], noise_std_255, "
    "JPEG quality, index of the kernel; null what does not apply) and kernels.npy "
    "([N, K, K] float32, correlated, centred on HR pixel scale * i (plus (scale-1)//2"
    " with grid=half_pixel); kernels that vary within an image are not stored, the "
    "seed makes them again). At its edges a photograph is mirrored, and nowhere else."
    " Photographs that cannot be used (not an image, truncated, animated, "
    "transparent, smaller than the kernel) are named and left out. Every file appears"
    " in full or not at all; stopped and started again with the same flags, it keeps "
    "what is finished, and the result is the same; other flags for the same "
    "--output_dir are an error. Exit code: 0 when all photographs were used, 1 when "
    "some were left out, 2 when nothing could be done, 75 when it was stopped by "
    "Ctrl-C or SIGTERM and can go on.",
    examples=(
        "python -m pdm_tf.degrade --degradation=runs/small --input_dir=photos/hr "
        "--output_dir=photos/learned --draws=2",
        "python -m pdm_tf.degrade --degradation=awgn_blur "
        "--degradation_arg=noise_max_255=5 --input_dir=photos/hr "
        "--output_dir=photos/gaussian --format=tfrecord",
    ),
)
