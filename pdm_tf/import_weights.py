"""Converts published weights to a bundle: `python -m pdm_tf.import_weights --help`."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pdm_tf import __version__
from pdm_tf.cli import program
from pdm_tf.cli.component import parse_args
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag, sha256_flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.core.geometry import ASSUMED_GRID
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.core.quiet import quiet_start
from pdm_tf.interop.weight_file import WeightFile, open_weights
from pdm_tf.run import check_bundle_output


@dataclass(frozen=True)
class ImportConfig:
    """The request to `import_weights`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    input: str = flag(
        "",
        "File of weights: PyTorch's .pth or .pt (both formats), .safetensors, or "
        "ncnn's NAME.param with NAME.bin next to it (RRDBNet; pdm_tf.fetch_weights "
        "gets some). PyTorch is not needed and nothing in the file is executed. "
        "Or keras:vgg19 or keras:vgg16: ImageNet weights that Keras downloads. "
        "Required.",
        section="What",
        required=True,
    )
    sha256: str = sha256_flag("--input (for ncnn, of NAME.param and then NAME.bin)")
    output: str = flag(
        "", "Folder of the bundle to write; made if missing. Required.", required=True
    )
    overwrite: bool = flag(False, "Replace the bundle that is in --output.")
    origin: str = flag(
        "",
        "Origin of the file, e.g. an address and a version; kept in the "
        "bundle's notes.",
    )
    layout: str = flag(
        "auto",
        "How the file names its tensors; `auto` detects it. edsr (authors' and PDM "
        "release's), edsr_basicsr, esrgan_old (model.0), esrgan (RRDB_trunk; BSRGAN), "
        "realesrgan (body.N.rdb1; BasicSR, Real-ESRGAN, ncnn), pdm (the release's "
        "degradation network), vgg19, vgg16, alexnet, squeezenet (torchvision's), "
        "lpips (heads).",
        section="How the file is read",
    )
    entry: str = flag(
        "",
        "Key of the weights in the checkpoint. Without it "
        "params_ema, params, state_dict, model_state_dict, model, generator and others "
        "are tried.",
    )
    prefix: str = flag(
        "",
        "What stands before the names of the network's tensors, e.g. net.sr.; empty "
        "finds it, averaged weights first.",
    )
    backbone: str = flag(
        "", "For layout lpips: torchvision's file of the network that the heads sit on."
    )
    scale: int = flag(
        0,
        "HR size / LR size. 0 takes it from the weights, or 4 for layout pdm. "
        "An RRDBNet with one upsampling is taken for x2; --scale=3 makes it x3.",
        section="Not in the weights",
        at_least=0,
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
        "(`mix`); auto works for 6 inputs.",
    )
    grid: Literal["auto", "pixel0", "half_pixel"] = flag(
        "auto",
        "For SR networks: where LR pixel i lies in the HR image, on HR pixel scale * i "
        "(pixel0, as the PDM release trains) or in the middle of its pixels "
        "(half_pixel, as bicubic has it); upscale --ensemble needs it. auto takes "
        "half_pixel, as nearly all published networks have it.",
    )
    progress: Show = progress_flag()

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.import_weights")


SPEC = ProgramSpec(
    module="pdm_tf.import_weights",
    config=ImportConfig,
    intro="Makes a bundle from a file of published weights, for evaluate, export, "
    "--init_sr and --init_degradation. The sizes of the network follow from the "
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

_BACKBONE = "backbone:"


def main(config: ImportConfig) -> None:
    """Reads, plans, fills, saves, and lists the use of every tensor."""
    output = check_bundle_output(config.output, config.overwrite)
    with _stages(config.progress) as begin:
        begin("reading the file")
        file = _opened(config)
        tensors, ignored = dict(file.tensors), dict(file.ignored)
        if config.backbone:
            second = open_weights(config.backbone)
            tensors |= {f"{_BACKBONE}{n}": t for n, t in second.tensors.items()}
            ignored |= {f"{_BACKBONE}{n}": why for n, why in second.ignored.items()}
        begin("loading TensorFlow")  # it takes seconds: only after the file was read
        with quiet_start():
            from pdm_tf.bundles.bundle import save_bundle
            from pdm_tf.interop.layouts import LAYOUTS, behind_prefix, find_layout
            from pdm_tf.interop.wiring import Options, fill

        tensors, prefix, outside = behind_prefix(tensors, config.prefix)
        ignored |= outside
        layout = find_layout(tensors, config.layout)
        if config.backbone and layout != "lpips":
            raise UserError(
                f"--backbone is for layout lpips. Received: a file of layout {layout}."
            )
        options = Options(config.scale, config.noise_latent, config.noise_image)
        plan = LAYOUTS[layout].plan(tensors, options)
        if config.scale not in (0, plan.scale):
            raise UserError(
                f"--scale must be that of the weights, {plan.scale}, or be left out. "
                f"Received: {config.scale}."
            )
        settings = _overridden(plan.config, config.network_arg, LAYOUTS[layout].free)
        given = {arg.partition("=")[0].strip() for arg in config.network_arg}
        remarks = [x for x in plan.remarks if x.partition("=")[0] not in given]
        if prefix:
            remarks.insert(0, f"the network is what lies behind the prefix {prefix}")
        plan = replace(plan, config=settings, remarks=tuple(remarks))
        begin("making the network")
        with quiet_start():
            network = settings.build()
        if config.grid != "auto" and network.role != "sr":
            raise UserError(
                "--grid is for SR networks. "
                f"Received: --grid={config.grid} and a file of layout {layout}."
            )
        begin(f"reading {len(tensors)} tensors")
        fill(network, plan, tensors)
        ignored |= plan.ignored
        begin("writing the bundle")
        save_bundle(
            network,
            output,
            step=0,
            grid=ASSUMED_GRID if config.grid == "auto" else config.grid,
            notes=_notes(config, file, layout, ignored),
        )
    _print(file, layout, plan.remarks, network, ignored)
    print(f"bundle: {output}")


_STAGES = 5


@contextlib.contextmanager
def _stages(show: Show) -> Iterator[Callable[[str], None]]:
    """Yields a function that shows which stage begins, and how many are over."""
    begun = 0
    with ProgressBar("import", "stage", show, total=_STAGES, leave=False) as bar:

        def begin(what: str) -> None:
            nonlocal begun
            bar.update(begun, _STAGES)
            bar.show_text(what, now=True)
            begun += 1

        yield begin


def _opened(config: ImportConfig) -> WeightFile:
    """Opens a file, or one of Keras's models."""
    if not config.input.startswith("keras:"):
        return open_weights(config.input, config.entry, config.sha256)
    for name in ("entry", "sha256"):
        if value := getattr(config, name):
            raise UserError(
                f"--{name} is for files; Keras's models have none. "
                f"Received: --input={config.input}, --{name}={value}."
            )
    with quiet_start():
        from pdm_tf.interop.keras_applications import PREFIX, open_keras_weights

    return open_keras_weights(config.input.removeprefix(PREFIX))


def _overridden(settings: Any, args: tuple[str, ...], free: tuple[str, ...]) -> Any:
    for arg in args:
        key = arg.partition("=")[0].strip()
        if key not in free:
            raise UserError(
                "--network_arg is for settings that the weights do not show"
                f" ({', '.join(free) or 'none in this layout'}). Received: {key!r}."
            )
    return parse_args(type(settings), args, settings)


def _notes(
    config: ImportConfig, file: WeightFile, layout: str, ignored: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "imported_from": file.path.name,
        "origin": config.origin,
        "source_sha256": file.sha256,
        "source_format": file.file_format,
        "source_entry": file.entry,
        "layout": layout,
        "ignored": dict(ignored),
        "pdm_tf": __version__,
    }


def _print(
    file: WeightFile,
    layout: str,
    remarks: tuple[str, ...],
    network: Any,
    ignored: Mapping[str, str],
) -> None:
    entry = f", entry {file.entry}" if file.entry else ""
    print(f"file: {file.path} ({file.file_format}{entry}), sha256 {file.sha256[:12]}")
    print(f"layout: {layout}")
    print(f"network: {network.config}, {network.count_params():,} numbers")
    for remark in remarks:
        print(f"note: {remark}")
    by_reason: dict[str, list[str]] = {}
    for name, reason in ignored.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        print(f"ignored ({reason}): {', '.join(names)}")


if __name__ == "__main__":
    program.run(SPEC, main)
