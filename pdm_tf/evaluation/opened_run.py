"""The networks of a run folder, or of one bundle, opened once.

A bundle that lies in a run folder brings the run with it: its settings, its curves.
Settings are read as they were written, not as this version's flags, so that runs of
older and newer versions can be reported on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start
from pdm_tf.run import (
    DEGRADATION,
    SHIPPED,
    Run,
    find_bundle,
    is_bundle,
    run_around,
)


@dataclass(frozen=True)
class OpenedRun:
    """The networks of a run, and the facts about it.

    Attributes:
      place: the folder that was opened.
      run: the run that it is, or lies in; None for a bundle on its own.
      pdm: `bundles.bundle.Bundle` of the degradation, or None.
      sr: likewise for the SR network, or None.
      bundles: their folders, by role.
    """

    place: Path
    run: Run | None
    pdm: Any
    sr: Any
    bundles: Mapping[str, Path]

    @property
    def step(self) -> int:
        """Training step of the weights."""
        return (self.pdm or self.sr).step

    @property
    def scale(self) -> int:
        """HR size / LR size."""
        return (self.pdm or self.sr).scale

    @property
    def records(self) -> Sequence[Mapping[str, Any]]:
        """metrics.jsonl of the run; empty without one."""
        return self.run.metrics if self.run else []

    def folder(self, setting: str) -> str:
        """A folder that a setting of the run names, if it is still there, else ""."""
        return self.run.folder(setting) if self.run else ""

    def to_json(self) -> dict[str, Any]:
        """Returns the facts for a page: JSON-ready but for values of settings.

        Returns:
          {"name", "run_dir" ("" for a bundle on its own), "step", "scale", "settings",
          "environment", "networks": {role: {"name", "parameters", "step", "bundle",
          "sha256", "config": {setting: value}}}}.
        """
        networks = {}
        for role, folder in self.bundles.items():
            bundle = getattr(self, role)
            config = vars(bundle.config).items()
            networks[role] = {
                "name": bundle.name,
                "parameters": bundle.network.count_params(),
                "step": bundle.step,
                "bundle": folder.name,
                "sha256": bundle.sha256,
                "config": {k: v for k, v in config if not k.startswith("_")},
            }
        return {
            "name": self.run.name if self.run else self.place.resolve().name,
            "run_dir": str(self.run.root) if self.run else "",
            "step": self.step,
            "scale": self.scale,
            "settings": self.run.settings if self.run else {},
            "environment": self.run.environment if self.run else {},
            "networks": networks,
        }


def open_run(location: str, weights: str = "ema") -> OpenedRun:
    """Loads the networks.

    Args:
      location: a run folder, or one bundle.
      weights: for a run folder: "ema" (averaged; the last ones if a network has no
        average) or "raw".

    Raises:
      UserError: nothing there, or nothing that can be reported on.
    """
    place = Path(location)
    # TensorFlow takes seconds to import: after the cheap checks.
    if not place.is_dir():
        raise UserError(f"--model must be a run folder or a bundle. Received: {place}.")
    with quiet_start():
        from pdm_tf.bundles.bundle import load_bundle

        if is_bundle(place):
            run = run_around(place)
            bundle = load_bundle(place)
            name = DEGRADATION if bundle.role == "degradation" else bundle.role
            found = {name: place}
            loaded = {name: bundle}
            wanted = (SHIPPED,) if run is not None and bundle.role != "sr" else ()
        else:
            run, found, loaded = Run(place), {}, {}
            wanted = (DEGRADATION, SHIPPED)
        places = {name: run.find(name, weights) for name in wanted}
        found |= {name: folder for name, folder in places.items() if folder}
        if not set(found) & {DEGRADATION, SHIPPED}:
            find_bundle(place, weights=weights)  # says what is there
            raise UserError(
                "--model must be a degradation or an SR network. "
                f"Received: {place}, {', '.join(found)}."
            )
        for role, folder in found.items():
            loaded.setdefault(role, load_bundle(folder))
    return OpenedRun(
        place=place,
        run=run if run is not None and run.settings else None,
        pdm=loaded.get(DEGRADATION),
        sr=loaded.get(SHIPPED),
        bundles=found,
    )
