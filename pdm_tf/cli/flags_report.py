"""The flags of `python -m pdm_tf.report`."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_given
from pdm_tf.core.errors import UserError


@dataclass(frozen=True)
class ReportConfig:
    """What `report` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    model: str = flag(
        "",
        "A run folder of pdm_tf.train, or one bundle (a folder with "
        "bundle.json). Required.",
        section="What",
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Of a run folder: the averaged weights (ema) or the last (raw)."
    )
    real_lr: str = flag(
        "",
        "Photographs with the real degradation: a folder, or shards of "
        "pdm_tf.prepare. Empty: the run's --lr_dir.",
    )
    hr_dir: str = flag(
        "",
        "High-resolution photographs to put through the learned degradation. "
        "Empty: the run's --hr_dir, or else the project's sample photographs.",
    )
    true_kernels: str = flag(
        "",
        "If the true blur is known: its kernels [N, K, K] in a .npy "
        "file, shown and measured beside the learned ones.",
    )
    val_hr_dir: str = flag(
        "",
        "Pairs to score the SR network on, high resolution. Empty: the "
        "run's, if it has some.",
    )
    val_lr_dir: str = flag("", "Their low-resolution partners, matched by file name.")
    output: str = flag(
        "",
        "The HTML file. Empty: report.html in the run folder, or in the "
        "current folder for a bundle on its own.",
        section="Output",
    )
    sliders: int = flag(
        4, "Photographs to show before and after, evenly by name; 0 for none."
    )
    seed: int = flag(0, "Of the kernels, noise and patches that are drawn.")

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.report", "model")
        if bool(self.val_hr_dir) != bool(self.val_lr_dir):
            raise UserError(
                "--val_hr_dir and --val_lr_dir go together (paired photographs). "
                f"Received: {self.val_hr_dir!r}, {self.val_lr_dir!r}."
            )
        for name in ("sliders", "seed"):
            value = getattr(self, name)
            if not 0 <= value < 2**31:
                raise UserError(
                    f"--{name} must be 0 or more, below 2**31. Received: {value}."
                )


SPEC = ProgramSpec(
    module="pdm_tf.report",
    config=ReportConfig,
    intro="Shows what a run has learned, in one HTML file that needs nothing else: "
    "sampled kernels and noise, observed and synthesised LR patches, measurements, "
    "training curves, and the SR network before and after on real photographs. A line "
    "at the top says whether the degradation is healthy. pdm_tf.train writes the same "
    "report when it has finished.",
    examples=(
        "python -m pdm_tf.report --model=runs/a",
        "python -m pdm_tf.report --model=runs/a/bundles/pdm_ema --real_lr=photos/lr "
        "--true_kernels=true_kernels.npy --output=report.html",
    ),
)
