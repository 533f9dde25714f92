"""Mixes two SR networks: `python -m pdm_tf.interpolate --help`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_tf import __version__
from pdm_tf.cli import program
from pdm_tf.cli.flags_interpolate import SPEC, InterpolateConfig
from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start
from pdm_tf.run import check_bundle_output, find_bundle, is_bundle

if TYPE_CHECKING:
    from pdm_tf.models.bundle import Bundle


def main(config: InterpolateConfig) -> None:
    """Loads both, checks that they fit, writes a bundle for each alpha."""
    folders = {
        alpha: check_bundle_output(folder, config.overwrite)
        for alpha, folder in _folders(config).items()
    }
    with quiet_start():
        from pdm_tf.models.bundle import save_bundle
        from pdm_tf.models.interpolation import interpolated, require_alike

        a, b = (_opened(config, name) for name in ("model_a", "model_b"))
    require_alike(a.network, b.network)
    for alpha, folder in folders.items():
        save_bundle(
            interpolated(a.network, b.network, alpha),
            folder,
            step=0,  # as of imported weights: none of our training
            notes={
                "interpolated": {"alpha": alpha, "a": _origin(a), "b": _origin(b)},
                "pdm_tf": __version__,
            },
        )
        print(f"alpha {alpha:g}: {folder}")


def _folders(config: InterpolateConfig) -> dict[float, Path]:
    output = Path(config.output)
    if len(config.alpha) == 1:
        return {config.alpha[0]: output}
    if is_bundle(output):
        raise UserError(
            "--output must be a folder for several bundles, one for each --alpha. "
            f"Received: {output}, which is a bundle."
        )
    return {alpha: output / f"alpha_{alpha}" for alpha in config.alpha}


def _opened(config: InterpolateConfig, flag: str) -> "Bundle":
    from pdm_tf.models.bundle import load_bundle

    location = getattr(config, flag)
    bundle = load_bundle(find_bundle(location, weights=config.weights))
    if bundle.role != "sr":
        raise UserError(
            f"--{flag} must be an SR network. Received: {location}, role {bundle.role}."
        )
    return bundle


def _origin(bundle: "Bundle") -> dict[str, Any]:
    return {"sha256": bundle.sha256, "step": bundle.step, "notes": dict(bundle.notes)}


if __name__ == "__main__":
    program.run(SPEC, main)
