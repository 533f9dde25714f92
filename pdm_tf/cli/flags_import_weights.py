"""The flags of `python -m pdm_tf.import_weights`."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_at_least, require_given


@dataclass(frozen=True)
class ImportConfig:
    """What `import_weights` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    input: str = flag(
        "",
        "File of weights: PyTorch's .pth or .pt (both formats) or "
        ".safetensors. PyTorch is not needed and nothing in the file is executed. "
        "Or keras:vgg19 or keras:vgg16: ImageNet weights that Keras downloads. "
        "Required.",
        section="What",
    )
    output: str = flag("", "Folder of the bundle to write; made if missing. Required.")
    overwrite: bool = flag(False, "Replace the bundle that is in --output.")
    origin: str = flag(
        "",
        "Where the file is from, e.g. an address and a version; kept in the "
        "bundle's notes.",
    )
    layout: str = flag(
        "auto",
        "How it names its tensors; `auto` finds out. edsr (authors' and PDM "
        "release's), edsr_basicsr, esrgan_old (model.0), esrgan (RRDB_trunk; BSRGAN), "
        "realesrgan (body.N.rdb1; BasicSR, Real-ESRGAN), pdm (the release's "
        "degradation network), vgg19, vgg16, alexnet, squeezenet (torchvision's), "
        "lpips (heads).",
        section="How the file is read",
    )
    entry: str = flag(
        "",
        "Key of the checkpoint under which the weights are. Without it "
        "params_ema, params, state_dict, model_state_dict and model are tried, in "
        "this order.",
    )
    backbone: str = flag(
        "", "For layout lpips: torchvision's file of the network that the heads sit on."
    )
    scale: int = flag(
        0,
        "HR size / LR size. 0 takes it from the weights, or 4 for layout pdm. "
        "An RRDBNet with one upsampling is taken for x2; --scale=3 makes it x3.",
        section="What weights do not say",
    )
    network_arg: tuple[str, ...] = flag(
        (),
        "KEY=VALUE for a setting that is not in the weights: "
        "residual_scale of an EDSR (1, and 0.1 from 256 channels on). May be repeated.",
    )
    noise_latent: Literal["auto", "per_pixel"] = flag(
        "auto",
        "For layout pdm, when the noise module's windows are 1x1: "
        "per_pixel if its config had one latent per pixel.",
    )
    noise_image: Literal["auto", "yes", "no"] = flag(
        "auto",
        "For layout pdm: whether the noise module sees the image "
        "(`mix`); auto knows it for 6 inputs.",
    )

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.import_weights", "input", "output")
        require_at_least(self, scale=0)


SPEC = ProgramSpec(
    module="pdm_tf.import_weights",
    config=ImportConfig,
    intro="Makes a bundle of a file of published weights: what evaluate, export, "
    "--init_sr and --init_degradation take. The sizes of the network follow from the "
    "tensors. Every tensor is used or named as ignored with the reason, and every "
    "variable is filled; anything else is an error that lists the names. Exit code: 0, "
    "or 2 when the file cannot be used.",
    examples=(
        "python -m pdm_tf.import_weights --input=RealESRGAN_x4plus.pth "
        "--output=bundles/realesrgan_x4",
        "python -m pdm_tf.import_weights --input=alex.pth --backbone=alexnet.pth "
        "--output=bundles/lpips_alex",
    ),
)
