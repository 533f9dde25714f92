"""Published weights to a bundle: `python -m pdm_tf.import_weights --help`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pdm_tf import __version__
from pdm_tf.cli import program
from pdm_tf.cli.component import parse_args
from pdm_tf.cli.flags_import_weights import SPEC, ImportConfig
from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start
from pdm_tf.interop.weight_file import WeightFile, open_weights
from pdm_tf.run import check_bundle_output

_BACKBONE = "backbone:"


def main(config: ImportConfig) -> None:
    """Reads, plans, fills, saves, and prints what became of every tensor."""
    output = check_bundle_output(config.output, config.overwrite)
    file = _opened(config)
    tensors, ignored = dict(file.tensors), dict(file.ignored)
    if config.backbone:
        second = open_weights(config.backbone)
        tensors |= {f"{_BACKBONE}{n}": t for n, t in second.tensors.items()}
        ignored |= {f"{_BACKBONE}{n}": why for n, why in second.ignored.items()}
    with quiet_start():  # TensorFlow takes seconds: not before the file was read
        from pdm_tf.interop.filling import fill
        from pdm_tf.interop.layouts import LAYOUTS, find_layout
        from pdm_tf.interop.wiring import Options
        from pdm_tf.models.bundle import save_bundle

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
    plan = dataclasses.replace(plan, config=settings, ignored=plan.ignored)
    with quiet_start():
        network = settings.build()
    fill(network, plan, tensors)
    ignored |= plan.ignored
    save_bundle(
        network,
        output,
        step=0,
        notes=_notes(config, file, layout, ignored),
    )
    _print(file, layout, plan.remarks, network, ignored)
    print(f"bundle: {output}")


def _opened(config: ImportConfig) -> WeightFile:
    """A file, or one of Keras's models."""
    if not config.input.startswith("keras:"):
        return open_weights(config.input, config.entry)
    if config.entry:
        raise UserError(
            "--entry is for files; Keras's models have none. "
            f"Received: --input={config.input}, --entry={config.entry}."
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
