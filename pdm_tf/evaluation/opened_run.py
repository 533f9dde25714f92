"""The networks of a run folder, or of one bundle, opened once, and measured.

A bundle that lies in a run folder brings the run with it: its settings, its curves.
Settings are read as they were written, not as this version's flags, so that runs of
older and newer versions can be reported on. `measure_run` measures the learned
degradation together with the SR network trained on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pdm_tf import samples
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_float
from pdm_tf.core.kernel_shapes import kernel_moments
from pdm_tf.core.pair_names import USUAL, PairRules
from pdm_tf.core.quiet import quiet_start
from pdm_tf.core.stored import read_arrays
from pdm_tf.data.pairs import load_pairs
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
      degradation: `bundles.bundle.Bundle` of the learned degradation, or None.
      sr: likewise for the SR network, or None.
      bundles: their folders, by role.
    """

    place: Path
    run: Run | None
    degradation: Any
    sr: Any
    bundles: Mapping[str, Path]

    @property
    def step(self) -> int:
        """Training step of the weights."""
        return (self.degradation or self.sr).step

    @property
    def scale(self) -> int:
        """HR size / LR size."""
        return (self.degradation or self.sr).scale

    @property
    def records(self) -> Sequence[Mapping[str, Any]]:
        """metrics.jsonl of the run; empty without one."""
        return self.run.metrics if self.run else []

    def folder(self, setting: str) -> str:
        """A folder that a setting of the run names, if it is still there, else ""."""
        return self.run.folder(setting) if self.run else ""

    @property
    def max_pairs(self) -> int:
        """How many pairs the run validates on at most; 0: all."""
        return int((self.run.settings if self.run else {}).get("val_max_images", 0))

    @property
    def pair_rules(self) -> PairRules:
        """What the person who started the run said of its pairs."""
        names = [field.name for field in fields(PairRules)]
        said = self.run.settings if self.run else {}
        return PairRules(**{name: said[name] for name in names if name in said})

    def to_json(self) -> dict[str, Any]:
        """Returns the facts for a page: JSON-ready but for values of settings.

        Returns:
          {"name", "run_dir" ("" for a bundle on its own), "step", "scale", "settings",
          "environment", "networks": {role: {"name", "parameters", "stages" ([(name,
          parameters)] of the SR networks in a row), "step", "bundle", "sha256",
          "config": {setting: value}}}}.
        """
        networks = {}
        for role, folder in self.bundles.items():
            bundle = getattr(self, role)
            config = vars(bundle.config).items()
            in_a_row = bundle.network.in_a_row() if bundle.role == "sr" else ()
            networks[role] = {
                "name": bundle.name,
                "parameters": bundle.network.count_params(),
                "stages": [
                    (stage.architecture, stage.count_params()) for stage in in_a_row
                ],
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
        degradation=loaded.get(DEGRADATION),
        sr=loaded.get(SHIPPED),
        bundles=found,
    )


SHOWN = 24  # kernels of a group that a picture shows


class MeasuredDegradation(NamedTuple):
    """The findings of an evaluation on a learned degradation.

    Attributes:
      numbers: `DegradationReport.to_json`.
      sha256, step: of the bundle that was measured.
      photographs: the photographs used, in words.
      kernels: (title, [N, K, K]) of learned and, if known, true kernels, for a picture:
        the first SHOWN from narrow to wide. Empty for a network without kernels.
    """

    numbers: dict[str, Any]
    sha256: str
    step: int
    photographs: str
    kernels: list[tuple[str, np.ndarray]]


def measure_run(
    model: str,
    weights: str = "ema",
    *,
    hr_dir: str = "",
    lr_dir: str = "",
    true_kernels: np.ndarray | None = None,
    pair_kernels: np.ndarray | None = None,
    real_lr: str = "",
    seed: int = 0,
    rules: PairRules = USUAL,
) -> MeasuredDegradation:
    """Measures a run's degradation as `python -m pdm_tf.report` does.

    It uses the HR photographs of the run; if they are gone those of the evaluation, and
    without any the project's sample photographs.

    Args:
      model: a run folder or a bundle.
      weights: "ema" or "raw", for a run folder.
      hr_dir, lr_dir: the pairs of the evaluation, or "".
      true_kernels: [N, K, K], or None.
      pair_kernels: [P, K, K], one for each pair of the evaluation; or None.
      real_lr: folder or shards of observed LR photographs, or "".
      seed: of everything drawn.
      rules: what the person says of the pairs.

    Raises:
      UserError: the model has no learned degradation, or there is too little to
        compare.
    """
    if real_lr and not Path(real_lr).exists():
        raise UserError(f"--real_lr must exist. Received: {real_lr}.")
    if not Path(model).is_dir():
        raise _without_degradation(model)
    run = open_run(model, weights)
    if run.degradation is None:
        raise _without_degradation(model)
    noise = ()
    if pair_kernels is not None:
        noise = _true_noise(run, model, (hr_dir, lr_dir), rules, pair_kernels)
    with quiet_start():
        from pdm_tf.evaluation.degradation import learned_kernels, measure_degradation
        from pdm_tf.evaluation.run_findings import read_photographs
    place = run.folder("hr_dir") or hr_dir
    hr = read_photographs(place or samples.PHOTOS_FOR_HR)
    found = measure_degradation(
        run.degradation.network,
        hr.images_u8,
        true_kernels=true_kernels,
        true_noise=noise,
        real_lr=read_photographs(real_lr).images_u8 if real_lr else (),
        seed=seed,
    )
    count = SHOWN if true_kernels is None else len(true_kernels)
    learned = learned_kernels(run.degradation.network, hr.images_u8, count, seed)
    groups = [] if learned is None else [("learned", _by_width(learned))]
    if groups and true_kernels is not None:
        groups.append(("true", _by_width(true_kernels)))
    return MeasuredDegradation(
        found.to_json(),
        run.degradation.sha256,
        run.degradation.step,
        place or "the project's sample photographs",
        groups,
    )


def read_kernels(path: str, flag: str = "true_kernels") -> np.ndarray:
    """[N, K, K] float64 from a .npy file that `flag` names.

    Raises:
      UserError: no such file, or not kernels.
    """
    try:
        kernels = read_arrays(path).get("")
    except UserError as error:
        raise UserError(f"--{flag} must be a .npy file. {error}") from error
    good = (
        kernels is not None
        and kernels.ndim == 3
        and len(kernels) > 0
        and kernels.shape[1] == kernels.shape[2]
        and kernels.shape[1] % 2 == 1
        and np.issubdtype(kernels.dtype, np.number)
        and np.all(np.isfinite(kernels))
        and np.all(kernels.sum(axis=(1, 2)) > 0)
    )
    if not good:
        shape = getattr(kernels, "shape", "several arrays")
        raise UserError(
            f"--{flag} must hold kernels [N, K, K] of odd K, finite and of "
            f"positive sums. Received: {path}, {shape}."
        )
    return np.asarray(kernels, np.float64)


def _by_width(kernels: np.ndarray) -> np.ndarray:
    """The kernels, the first SHOWN of them from narrow to wide."""
    width = kernel_moments(kernels).sigma[:, 0]
    shown = np.argsort(width[:SHOWN], kind="stable")
    return np.concatenate([kernels[shown], kernels[SHOWN:]])


def _true_noise(
    run: OpenedRun,
    model: str,
    folders: tuple[str, str],
    rules: PairRules,
    kernels: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(clean, noise) of each pair."""
    # Here, since it loads SciPy: not for --help.
    from pdm_tf.metrics.degradation.noise import noise_of_pair

    network = run.degradation.network
    if network.kernel_facts is not None and "noise" in network.untold:
        raise UserError(
            "--pair_kernels are for degradations with a noise module. "
            f"Received: {model}, which learned blur alone."
        )
    if not all(folders):
        raise UserError(
            "--pair_kernels are those of the pairs in --hr_dir and --lr_dir. "
            f"Received: {folders[0]!r} and {folders[1]!r}."
        )
    scale = run.degradation.scale
    pairs = load_pairs(*folders, scale, rules=rules).pairs
    if len(pairs) != len(kernels):
        raise UserError(
            "--pair_kernels must hold one kernel for each pair. "
            f"Received: {len(kernels)} kernels, {len(pairs)} pairs."
        )
    found = []
    for pair, kernel in zip(pairs, kernels, strict=True):
        hr, lr = (to_float(image) for image in pair.load())
        found.append(noise_of_pair(hr, lr, kernel, scale))
    return found


def _without_degradation(model: str) -> UserError:
    return UserError(
        "--true_kernels, --pair_kernels and --real_lr need a run folder with a learned "
        "degradation (bundles/degradation or bundles/pdm). "
        f"Received: {model}, which has none."
    )
