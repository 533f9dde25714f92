"""Mixes two SR networks: `python -m pdm_tf.interpolate --help`.

Wang et al. 2018 (ESRGAN, arXiv:1809.00219), Eq. (4): every parameter of the result is
(1 - alpha) of the PSNR network's and alpha of the GAN network's. It works for networks
if one was fine-tuned from the other: they lie in one valley of the loss.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pdm_tf import __version__
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start
from pdm_tf.run import check_bundle_output, find_bundle, is_bundle

if TYPE_CHECKING:
    from pdm_tf.bundles.bundle import Bundle
    from pdm_tf.models.network import Network


@dataclass(frozen=True)
class InterpolateConfig:
    """The request to `interpolate`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or an alpha is out of range.
    """

    model_a: str = flag(
        "",
        "A run folder of pdm_tf.train or a bundle: the network at alpha 0, "
        "usually the one trained for PSNR. Required.",
        section="What",
        required=True,
    )
    model_b: str = flag(
        "",
        "The network at alpha 1, usually the one trained on from it with a "
        "GAN. Required.",
        required=True,
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Weights of run folders: the averaged (ema) or the last (raw)."
    )
    alpha: tuple[float, ...] = flag(
        (0.5,), "Share of --model_b, in [0, 1]; several with commas between."
    )
    output: str = flag(
        "",
        "Folder of the bundle to write; for several alphas, a folder with one bundle "
        "for each, alpha_0.5 and so on. Required.",
        section="Output",
        required=True,
    )
    overwrite: bool = flag(False, "Replace existing bundles.")

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.interpolate")
        fine = [math.isfinite(a) and 0 <= a <= 1 for a in self.alpha]
        if not self.alpha or not all(fine) or len(set(self.alpha)) < len(self.alpha):
            raise UserError(
                "--alpha must be one or several different numbers in [0, 1]. "
                f"Received: {','.join(map(str, self.alpha)) or 'nothing'}."
            )


SPEC = ProgramSpec(
    module="pdm_tf.interpolate",
    config=InterpolateConfig,
    intro="Mixes two trained SR networks of one architecture, weight by weight "
    "(network interpolation of ESRGAN): a choice between the sharpness of a GAN and "
    "the fidelity of a PSNR network, without training. The result is a bundle, which "
    "evaluate, export and --init_sr take. Exit code: 0, or 2 when the networks do not "
    "fit.",
    examples=(
        "python -m pdm_tf.interpolate --model_a=runs/psnr --model_b=runs/gan "
        "--alpha=0.8 --output=bundles/mixed",
        "python -m pdm_tf.interpolate --model_a=runs/psnr --model_b=runs/gan "
        "--alpha=0.2,0.5,0.8 --output=bundles/mixed",
    ),
)


def main(config: InterpolateConfig) -> None:
    """Loads both, checks that they fit, writes a bundle for each alpha."""
    folders = {
        alpha: check_bundle_output(folder, config.overwrite)
        for alpha, folder in _folders(config).items()
    }
    with quiet_start():
        from pdm_tf.bundles.bundle import save_bundle

        a, b = (_opened(config, name) for name in ("model_a", "model_b"))
    require_same_architecture(a.network, b.network)
    for alpha, folder in folders.items():
        save_bundle(
            interpolated(a.network, b.network, alpha),
            folder,
            step=0,  # as for imported weights: none of our training
            grid=a.grid if a.grid == b.grid else None,
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
    from pdm_tf.bundles.bundle import load_bundle

    location = getattr(config, flag)
    bundle = load_bundle(find_bundle(location, weights=config.weights))
    if bundle.role != "sr":
        raise UserError(
            f"--{flag} must be an SR network. Received: {location}, role {bundle.role}."
        )
    return bundle


def _origin(bundle: "Bundle") -> dict[str, Any]:
    return {"sha256": bundle.sha256, "step": bundle.step, "notes": dict(bundle.notes)}


def require_same_architecture(a: "Network", b: "Network") -> None:
    """Checks that the networks differ in the values of their variables alone.

    Raises:
      UserError: they differ otherwise; the first such variable is named, or the setting
        if all variables agree.
    """
    ours, theirs = _shapes(a), _shapes(b)
    for (name, shape), (other, other_shape) in zip(ours, theirs, strict=False):
        if (name, shape) != (other, other_shape):
            raise UserError(
                "Networks to interpolate must have the same variables. Received: "
                f"{name} {shape} in {type(a).__name__} of --model_a, {other} "
                f"{other_shape} in {type(b).__name__} of --model_b."
            )
    if len(ours) != len(theirs):
        longer = "--model_a" if len(ours) > len(theirs) else "--model_b"
        name, shape = max(ours, theirs, key=len)[min(len(ours), len(theirs))]
        raise UserError(
            "Networks to interpolate must have the same variables. Received: "
            f"{name} {shape} in {longer} alone."
        )
    if type(a) is not type(b) or a.config != b.config:
        raise UserError(
            "Networks to interpolate must have the same settings. Received: "
            f"{_different_setting(a, b)}."
        )


def interpolated(a: "Network", b: "Network", alpha: float) -> "Network":
    """Makes a network with (1 - alpha) a + alpha b.

    Args:
      a, b: alike, see `require_same_architecture`.
      alpha: in [0, 1]; at 0 and 1 the weights are bit for bit those of `a` and `b`.

    Returns:
      A new network in float32; the sums are rounded once, from float64.
    """
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    network = a.config.build()
    network.set_weights([_between(x, y, alpha) for x, y in pairs])
    return network


def _between(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    if alpha in (0.0, 1.0):  # a product with 0 loses the sign of zeros
        return y if alpha else x
    wide = (1.0 - alpha) * x.astype(np.float64) + alpha * y.astype(np.float64)
    return wide.astype(x.dtype)


def _shapes(network: "Network") -> list[tuple[str, tuple[int, ...]]]:
    """Names below the network's own, which depends on what was built before."""
    return [(v.path.partition("/")[2], tuple(v.shape)) for v in network.variables]


def _different_setting(a: "Network", b: "Network") -> str:
    if type(a) is not type(b):
        return f"{type(a).__name__} and {type(b).__name__}"
    for field in dataclasses.fields(a.config):
        values = getattr(a.config, field.name), getattr(b.config, field.name)
        if values[0] != values[1]:
            return f"{field.name}={values[0]} and {field.name}={values[1]}"
    raise AssertionError("equal configs have no different setting")


if __name__ == "__main__":
    program.run(SPEC, main)
