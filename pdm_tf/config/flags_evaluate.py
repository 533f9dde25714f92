"""The flags of `python -m pdm_tf.evaluate`."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.config.flag_set import ProgramSpec
from pdm_tf.core.errors import UserError

BICUBIC = "bicubic"


@dataclass(frozen=True)
class EvaluateConfig:
    """What `evaluate` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    model: str = ""
    hr_dir: str = ""
    lr_dir: str = ""
    output_dir: str = ""
    metrics: str = "psnr,ssim,psnr_shift"
    metric_arg: tuple[str, ...] = ()
    weights: Literal["ema", "raw"] = "ema"
    scale: int = 0
    crop_border: int = -1
    max_images: int = 0
    panels: int = 4
    tile: int = 448
    overlap: int = 48

    def __post_init__(self) -> None:
        for name in ("model", "hr_dir", "lr_dir", "output_dir"):
            if not getattr(self, name):
                raise UserError(
                    f"--{name} is required. Received nothing. "
                    "See python -m pdm_tf.evaluate --help."
                )
        if self.scale < 0 or self.max_images < 0 or self.panels < -1:
            raise UserError(
                "--scale and --max_images must be 0 or more, --panels -1 or more. "
                f"Received: {self.scale}, {self.max_images}, {self.panels}."
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


_SECTIONS = {
    "What": {
        "model": "A run folder of pdm_tf.train, one bundle (a folder with bundle.json) "
        "or the word bicubic for the baseline alone. Required.",
        "weights": "Of a run folder: the averaged weights (ema) or the last (raw).",
        "hr_dir": "Folder of HR images, searched recursively. Required.",
        "lr_dir": "Folder of their LR images, matched by file name; an LR name may end "
        "in x4, x4m or the like. Required.",
        "scale": "HR size / LR size, for --model=bicubic; 0 takes it from the model or "
        "from the images.",
        "max_images": "Evaluate at most this many pairs; 0 takes all.",
    },
    "Scores": {
        "metrics": "Which, separated by commas: psnr (dB, RGB together), ssim; "
        "psnr_shift (best psnr over displacements of up to 6 px, which forgives a "
        "misaligned result); psnr_y, ssim_y (the Y channel alone); psnr_ntire2018, "
        "ssim_ntire2018 (that challenge's shift search, images of 160 px or more) and "
        "the same with _release (as the PDM release computes them, mistake included); "
        "lpips_alex, lpips_vgg, lpips_squeeze (learned, lower is better); niqe (no "
        "reference, lower is better). The last four need a --metric_arg.",
        "metric_arg": "NAME=PATH: the weights or parameters of a metric. Of "
        "lpips_alex, lpips_vgg, lpips_squeeze: a bundle with backbone and heads. Of "
        "niqe: the .npz file that pdm_tf.fit_niqe makes.",
        "crop_border": "Pixels left out on every side of the HR and SR images before "
        "scoring; -1 takes the scale, the custom of the field.",
    },
    "Output": {
        "output_dir": "Folder for report.json, report.md and panels/*.png; made if "
        "missing, its files of those names replaced. Required.",
        "panels": "How many side-by-side pictures to draw, of the first images; -1 "
        "draws all.",
    },
    "Memory": {
        "tile": "LR images of more than TILE x TILE pixels are upscaled in tiles of "
        "that side; 0 never cuts.",
        "overlap": "LR pixels around each tile that are computed and thrown away; "
        "exact when the network sees no further (36 for the default EDSR).",
    },
}

SPEC = ProgramSpec(
    module="pdm_tf.evaluate",
    config=EvaluateConfig,
    intro="Scores a trained network on pairs of LR and HR images, and bicubic on the "
    "same images. Writes report.json (for scripts), report.md (for people) and "
    "side-by-side pictures, and prints the table. Images that cannot be paired, read "
    "or compared are named and left out.",
    examples=(
        "python -m pdm_tf.evaluate --model=runs/a --hr_dir=val/hr --lr_dir=val/lr "
        "--output_dir=runs/a/eval/val",
        "python -m pdm_tf.evaluate --model=bicubic --hr_dir=val/hr --lr_dir=val/lr "
        "--output_dir=eval/bicubic --metrics=psnr,ssim",
        "python -m pdm_tf.evaluate --model=runs/a --hr_dir=val/hr --lr_dir=val/lr "
        "--output_dir=runs/a/eval/val --metrics=psnr,lpips_alex,niqe "
        "--metric_arg=lpips_alex=bundles/lpips_alex --metric_arg=niqe=niqe.npz",
    ),
    sections=_SECTIONS,
)
