"""The flags of `python -m export`."""

import re
from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_given
from pdm_tf.core.errors import UserError

# Besides the codes of pdm_tf.cli.program: an artefact differs too much from Keras.
LIMIT_BROKEN = 4

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ExportConfig:
    """What `export` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a value is out of range.
    """

    model: str = flag(
        "",
        "A run folder of pdm_tf.train or one bundle (a folder with "
        "bundle.json); several with commas between become one model, each working on "
        "the output of the one before. Required.",
        section="What",
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Of a run folder: the averaged weights (ema) or the last (raw)."
    )
    fp16: bool = flag(True, "Write model_fp16.onnx too, half the size, for GPUs.")
    degradation: bool = flag(
        True, "Write the learned degradation of a run folder too, if it has one."
    )
    layout: Literal["nhwc", "nchw"] = flag(
        "nhwc",
        "Axes of the ONNX files' input and output; nchw saves two "
        "transpositions and suits TensorRT. pdm_tf.upscale takes either.",
    )
    output_dir: str = flag(
        "",
        "Folder for saved_model/VERSION/, model.onnx, model_fp16.onnx, "
        "degradation/, certificate.json and serving/; made if missing. Required.",
        section="Output",
    )
    version: int = flag(
        0,
        "Number of the SavedModel, which servers take the largest of; 0 "
        "takes the next free one.",
    )
    model_name: str = flag("sr", "Name of the model in the files for servers.")
    tile: int = flag(
        128,
        "Side in LR pixels of the warm-up requests, and of what the serving "
        "files advise clients to send.",
    )
    photo: str = flag(
        "",
        "Photograph on which the exported models are compared with Keras; "
        "without it one of pdm_tf/samples.",
        section="Certificate",
    )
    parity: Literal["standard", "full"] = flag(
        "standard",
        "standard leaves out sizes that would take minutes for a large "
        "network and names them in the certificate; full compares on all, up to "
        "512 x 300 pixels.",
    )
    max_abs_diff: float = flag(
        1e-4, "Largest difference from Keras of a float32 model, where white is 1."
    )
    max_level_diffs: int = flag(
        0,
        "How many 8-bit values of a float32 model may differ from "
        "Keras's for another reason than that Keras's lies within max_abs_diff of the "
        "border between two levels.",
    )
    min_fp16_psnr: float = flag(
        60.0, "Least PSNR of the float16 model against Keras, dB."
    )
    max_degradation_diff: float = flag(
        1e-4,
        "Largest difference from Keras of the exported "
        "degradation; its kernels are a softmax, which makes more of rounding than a "
        "convolution does.",
    )

    def __post_init__(self) -> None:
        require_given(self, "export", "model", "output_dir")
        if not self.locations:
            raise UserError(
                "--model must name a run folder or a bundle, or several with commas "
                f"between. Received: {self.model!r}."
            )
        if self.version < 0 or self.max_level_diffs < 0 or self.tile < 1:
            raise UserError(
                "--version and --max_level_diffs must be 0 or more, --tile 1 or more. "
                f"Received: {self.version}, {self.max_level_diffs}, {self.tile}."
            )
        if min(self.max_abs_diff, self.max_degradation_diff) < 0:
            raise UserError(
                "--max_abs_diff and --max_degradation_diff must be 0 or more. "
                f"Received: {self.max_abs_diff}, {self.max_degradation_diff}."
            )
        if not _NAME.fullmatch(self.model_name):
            raise UserError(
                "--model_name must be letters, digits, `_`, `-` and `.`, because it "
                f"stands in URLs and folder names. Received: {self.model_name!r}."
            )

    @property
    def locations(self) -> tuple[str, ...]:
        """The run folders or bundles named by --model, in order."""
        return tuple(part.strip() for part in self.model.split(",") if part.strip())


SPEC = ProgramSpec(
    module="export",
    config=ExportConfig,
    intro="Writes a trained network as a TensorFlow SavedModel and as ONNX files, with "
    "files for TF Serving and Triton. Each is compared with the Keras network on a "
    "photograph first; certificate.json holds the numbers. If one breaks a limit, "
    f"nothing is published, and the exit code is {LIMIT_BROKEN}. A new version appears "
    "as a whole or not at all.",
    examples=(
        "python -m export --model=runs/bicubic --output_dir=exported",
        "python -m export --model=runs/bicubic/bundles/sr --output_dir=exported "
        "--layout=nchw --nofp16",
        "python -m export --model=runs/translate/bundles/clean,runs/bicubic "
        "--output_dir=exported",
    ),
)
