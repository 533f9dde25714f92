"""The flags of `python -m pdm_tf.compare`."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_given
from pdm_tf.core.errors import UserError


@dataclass(frozen=True)
class CompareConfig:
    """What `compare` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a value is none that it takes.
    """

    model: tuple[str, ...] = flag(
        (),
        "NAME=PATH, once for each method, in the order of the rows: the "
        "folder of a finished pdm_tf.evaluate, or any model that it takes, "
        "which is evaluated first. Bicubic becomes the first row by itself. Required.",
        section="What",
    )
    against: str = flag(
        "best",
        "What differences are taken to: best (of each metric) or the name "
        "of a method, bicubic included.",
    )
    hr_dir: str = flag(
        "",
        "Folder of HR images.",
        section="For models that are not evaluated yet (as of pdm_tf.evaluate)",
    )
    lr_dir: str = flag("", "Folder of their LR images.")
    metrics: str = flag(
        "auto",
        "Which, separated by commas; auto is psnr,ssim,psnr_shift with HR "
        "images and niqe without.",
    )
    metric_arg: tuple[str, ...] = flag(
        (), "NAME=PATH: the weights or parameters of a metric."
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Of a run folder: the averaged weights (ema) or the last (raw)."
    )
    scale: int = flag(
        0, "HR size / LR size, where model and images do not tell; 0: they do."
    )
    crop_border: int = flag(
        -1, "Pixels left out on every side before scoring; -1: the scale."
    )
    max_images: int = flag(0, "Evaluate at most this many images; 0 takes all.")
    tile: int = flag(
        448,
        "LR images of more than TILE x TILE pixels are upscaled in tiles of "
        "that side; 0 never cuts.",
    )
    overlap: int = flag(
        48, "LR pixels around each tile that are computed and thrown away."
    )
    output_dir: str = flag(
        "",
        "Folder for comparison.json, .csv, .md and .html, and for "
        "evaluations/NAME/ of what was not evaluated yet. Required.",
        section="Output",
    )
    examples: int = flag(4, "Images whose crops to show, evenly by name.")
    images: str = flag("", "Or which ones: names without suffix, separated by commas.")

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.compare", "model", "output_dir")
        if not 0 <= self.examples < 2**31:
            raise UserError(
                f"--examples must be 0 or more, below 2**31. Received: {self.examples}."
            )
        names = list(self.methods)
        if len(names) < len(self.model):
            raise UserError(
                "--model must give every method a name of its own. "
                f"Received: {' '.join(self.model)}."
            )

    @property
    def methods(self) -> dict[str, str]:
        """Name -> path, in order.

        Raises:
          UserError: a --model that is not NAME=PATH.
        """
        found = {}
        for text in self.model:
            name, separator, path = text.partition("=")
            if not (separator and name.strip() and path.strip()):
                raise UserError(f"--model is written NAME=PATH. Received: {text!r}.")
            found[name.strip()] = path.strip()
        return found


SPEC = ProgramSpec(
    module="pdm_tf.compare",
    config=CompareConfig,
    intro="Compares several methods on one set: a table with methods as rows and "
    "metrics as columns, the best bold and the second underlined, the differences with "
    "their bootstrap intervals, and the same crops side by side. Takes finished "
    "evaluations, so that nothing is computed twice, and evaluates models that have "
    "none yet; started again, it goes on where it was.",
    examples=(
        "python -m pdm_tf.compare --model=ours=eval/ours --model=other=eval/other "
        "--output_dir=eval/comparison",
        "python -m pdm_tf.compare --model=PDM-SR=runs/a --model=ESRGAN=bundles/esrgan "
        "--model=paper=results/paper --hr_dir=val/hr --lr_dir=val/lr "
        "--output_dir=eval/comparison",
    ),
)
