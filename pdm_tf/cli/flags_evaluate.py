"""The flags of `python -m pdm_tf.evaluate`."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_given
from pdm_tf.core.errors import UserError

BICUBIC = "bicubic"
# What `--metrics=auto` takes.
WITH_REFERENCE = ("psnr", "ssim", "psnr_shift")
WITHOUT_REFERENCE = ("niqe",)


@dataclass(frozen=True)
class EvaluateConfig:
    """What `evaluate` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    model: str = flag(
        "",
        "A run folder of pdm_tf.train; a bundle (a folder with bundle.json); "
        "an ONNX file, or the folder that python -m export wrote; a SavedModel (of "
        "numbered versions the newest counts); a folder of finished SR pictures, named "
        "as the images; or the word bicubic for the baseline alone. Required.",
        section="What",
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Of a run folder: the averaged weights (ema) or the last (raw)."
    )
    hr_dir: str = flag(
        "",
        "Folder of HR images, searched recursively, or shards. Empty: only "
        "metrics that need no reference (niqe).",
    )
    lr_dir: str = flag(
        "",
        "Folder of LR images, matched to the HR images by file name; an LR "
        "name may end in x4, x4m or the like. Finished pictures do without, but then "
        "there is no bicubic beside them.",
    )
    scale: int = flag(
        0,
        "HR size / LR size, for bicubic and for pictures; 0 takes it from the "
        "model or from the images.",
    )
    max_images: int = flag(0, "Evaluate at most this many images; 0 takes all.")
    metrics: str = flag(
        "auto",
        "Which, separated by commas; auto is psnr,ssim,psnr_shift with HR "
        "images and niqe without. psnr (dB, RGB together), ssim; "
        "psnr_shift (best psnr over displacements of up to 6 px, which forgives a "
        "misaligned result); psnr_y, ssim_y (the Y channel alone); psnr_ntire2018, "
        "ssim_ntire2018 (that challenge's shift search, images of 160 px or more) and "
        "the same with _release (as the PDM release computes them, mistake included); "
        "lpips_alex, lpips_vgg, lpips_squeeze (learned, lower is better); niqe (no "
        "reference, lower is better). The last four need a --metric_arg.",
        section="Scores",
    )
    metric_arg: tuple[str, ...] = flag(
        (),
        "NAME=PATH: the weights or parameters of a metric. Of "
        "lpips_alex, lpips_vgg, lpips_squeeze: a bundle with backbone and heads. Of "
        "niqe: the .npz file that pdm_tf.fit_niqe makes.",
    )
    crop_border: int = flag(
        -1,
        "Pixels left out on every side of the HR and SR images before "
        "scoring; -1 takes the scale, the custom of the field.",
    )
    true_kernels: str = flag(
        "",
        "The true blur kernels [N, K, K] in a .npy file, to compare "
        "the learned ones with.",
        section="Learned degradation (of a run with one; measured as pdm_tf.report "
        "does)",
    )
    pair_kernels: str = flag(
        "",
        "The true kernel of each pair of --hr_dir and --lr_dir, by the "
        "order of their names, likewise: what an LR image has beyond its blurred HR "
        "image is the true noise, to compare the learned one with.",
    )
    real_lr: str = flag(
        "",
        "Photographs with the real degradation (a folder or shards), to "
        "compare synthesised ones with.",
    )
    seed: int = flag(0, "Of the kernels and patches that are drawn for these.")
    output_dir: str = flag(
        "",
        "Folder for report.json, report.csv, report.md, report.html, "
        "panels/*.png, crops/*.png and, with a learned degradation, kernels.png; made "
        "if missing, its files of those names replaced. Required.",
        section="Output",
    )
    panels: int = flag(
        4, "How many side-by-side pictures to draw, of the first images; -1 draws all."
    )
    examples: int = flag(
        3,
        "How many images to show in report.html of the best and of the "
        "worst by the first metric, each.",
    )
    crops: int = flag(
        -1,
        "Of how many images, the first ones, to keep a small crop for "
        "pdm_tf.compare; -1 keeps all.",
    )
    tile: int = flag(
        448,
        "LR images of more than TILE x TILE pixels are upscaled in tiles of "
        "that side; 0 never cuts.",
        section="Memory",
    )
    overlap: int = flag(
        48,
        "LR pixels around each tile that are computed and thrown away; "
        "exact when the network sees no further (36 for the default EDSR).",
    )

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.evaluate", "model", "output_dir")
        for least, names in (
            (0, ("scale", "max_images", "examples", "seed")),
            (-1, ("panels", "crops")),
        ):
            for name in names:
                if not least <= getattr(self, name) < 2**31:
                    raise UserError(
                        f"--{name} must be {least} or more, below 2**31. "
                        f"Received: {getattr(self, name)}."
                    )
        if self.crop_border < -1:
            raise UserError(
                "--crop_border must be 0 or more, or -1 for the scale. "
                f"Received: {self.crop_border}."
            )
        if self.tile and (self.overlap < 0 or self.tile <= 2 * self.overlap):
            raise UserError(
                "--tile must be 0 or larger than twice --overlap, which is 0 or more. "
                f"Received: --tile={self.tile}, --overlap={self.overlap}."
            )
        _ = self.metric_files  # refuses what is not NAME=PATH

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics asked for, in order."""
        if self.metrics.strip() == "auto":
            return WITH_REFERENCE if self.hr_dir else WITHOUT_REFERENCE
        return tuple(name.strip() for name in self.metrics.split(",") if name.strip())

    @property
    def metric_files(self) -> dict[str, str]:
        """Metric -> path of its weights or parameters; the later of two counts.

        Raises:
          UserError: a --metric_arg that is not NAME=PATH.
        """
        files = {}
        for arg in self.metric_arg:
            name, separator, path = arg.partition("=")
            if not (separator and name.strip() and path.strip()):
                raise UserError(
                    f"--metric_arg is written NAME=PATH. Received: {arg!r}."
                )
            files[name.strip()] = path.strip()
        return files


SPEC = ProgramSpec(
    module="pdm_tf.evaluate",
    config=EvaluateConfig,
    intro="Scores a trained network, an exported model or finished pictures on pairs "
    "of LR and HR images, and bicubic on the same images; or, without HR images, by "
    "metrics that need none. Writes report.json (for scripts), report.csv, report.md "
    "and report.html (for people) and side-by-side pictures, and prints the table. "
    "Images that cannot be paired, read or compared are named and left out. "
    "pdm_tf.compare sets several results side by side.",
    examples=(
        "python -m pdm_tf.evaluate --model=runs/a --hr_dir=val/hr --lr_dir=val/lr "
        "--output_dir=runs/a/eval/val",
        "python -m pdm_tf.evaluate --model=bicubic --hr_dir=val/hr --lr_dir=val/lr "
        "--output_dir=eval/bicubic --metrics=psnr,ssim",
        "python -m pdm_tf.evaluate --model=results/other --hr_dir=val/hr "
        "--lr_dir=val/lr --output_dir=eval/other",
        "python -m pdm_tf.evaluate --model=exported/model.onnx --lr_dir=photos/lr "
        "--output_dir=eval/photos --metrics=niqe --metric_arg=niqe=niqe.npz",
        "python -m pdm_tf.evaluate --model=runs/a --hr_dir=val/hr --lr_dir=val/lr "
        "--output_dir=runs/a/eval/val --metrics=psnr,lpips_alex,niqe "
        "--metric_arg=lpips_alex=bundles/lpips_alex --metric_arg=niqe=niqe.npz",
    ),
)
