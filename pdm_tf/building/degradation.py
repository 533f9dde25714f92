"""A degradation by name or from a run, for the programs that only degrade."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pdm_tf.cli.component import parse_args, to_json_dict
from pdm_tf.core.checks import suggest
from pdm_tf.core.errors import UserError
from pdm_tf.degradations import DEGRADATIONS, Degradation
from pdm_tf.models.bundle import Bundle, load_bundle
from pdm_tf.run import find_bundle


def build_degradation(
    name: str, *, args: Sequence[str] = (), scale: int = 0, weights: str = "ema"
) -> tuple[Degradation, dict[str, Any]]:
    """Makes a degradation, and says in JSON all that decides what it does.

    Args:
      name: an entry of DEGRADATIONS, else a run folder or a bundle.
      args: `key=value` settings of a predefined one.
      scale: 0 takes that of the learned one, and 4 for a predefined one.
      weights: of a run folder: "ema" or "raw".

    Raises:
      UserError: no such degradation, or settings that it does not have.
    """
    if name in DEGRADATIONS:
        make = DEGRADATIONS[name]
        settings = parse_args(make.config_class, args)
        facts = {"degradation": name, "scale": scale or 4}
        values = to_json_dict(settings).items()
        facts["degradation_arg"] = ",".join(f"{key}={value}" for key, value in values)
        return make(facts["scale"], settings), facts
    if not Path(name).exists():
        raise UserError(
            "--degradation must be a run folder, a bundle, or one of "
            f"{', '.join(DEGRADATIONS)}. Received: {name!r}, which does not exist."
            f"{suggest(name, DEGRADATIONS)}"
        )
    if args:
        raise UserError(
            "--degradation_arg is for predefined degradations; a learned one brings "
            f"its settings. Received: {', '.join(args)}."
        )
    degradation, bundle = open_learned(name, weights)
    if scale not in (0, degradation.scale):
        raise UserError(
            f"--scale must be that of the degradation, {degradation.scale}, or be left "
            f"out. Received: {scale}."
        )
    # Weights are known by what they hold, wherever they lie.
    told = f"{bundle.name.lower()}-{bundle.sha256[:16]}"
    # The grid is what a reader of the kernels needs besides.
    facts = {"degradation": told, "scale": degradation.scale}
    return degradation, facts | {"grid": degradation.config.grid}


def open_learned(location: str, weights: str = "ema") -> tuple[Degradation, Bundle]:
    """Loads the degradation of a run folder or a bundle.

    Args:
      location: either.
      weights: of a run folder: "ema" or "raw".

    Raises:
      UserError: there is none, or the bundle is another kind of network.
    """
    path = find_bundle(location, name="pdm", weights=weights)
    bundle = load_bundle(path)
    if bundle.role != "degradation":
        raise UserError(
            "A learned degradation must be a bundle of the role 'degradation'. "
            f"Received: {path}, which has the role {bundle.role!r}."
        )
    return bundle.network, bundle
