"""From two folders of photographs to what is known of the source: all in order.

The check of the folders, then JPEG, which is measured; noise, from all photographs
together; a regressor for kernels, learned on the HR photographs; what it says of each
LR photograph; and the distribution of kernels that explains it.

In the folder of results:

    check.json       what the folders are
    regressor.npz    what was learned; can serve other LR photographs
    estimate.json    the result
    stages/          what each stage found, and of which inputs

A stage is not done again while its inputs are the same: the photographs' pixels, the
settings, and what came before. So a start after a stop goes on at the stage that was in
work.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.ledger import digest
from pdm_tf.core.seeds import stream_seed
from pdm_tf.core.source_estimate import (
    JpegMeasure,
    JpegPopulation,
    KernelEstimate,
    KernelPopulation,
    NoisePopulation,
    PhotographEstimate,
    SourceEstimate,
)
from pdm_tf.core.stored import read_json
from pdm_tf.estimation.folder_advice import advice_on
from pdm_tf.estimation.folder_check import (
    LEAST_LR_SIDE,
    FolderCheck,
    check_folders,
    in_order,
    least_hr_side,
)
from pdm_tf.estimation.hr_split import held_out_names
from pdm_tf.estimation.jpeg_traces import jpeg_population, measure_jpeg
from pdm_tf.estimation.kernel_population import fit_population
from pdm_tf.estimation.kernel_regressor import (
    KernelRegressor,
    Prediction,
    RegressorSettings,
    TrainingStopped,
    train_regressor,
)
from pdm_tf.estimation.measured_findings import measured_findings
from pdm_tf.estimation.noise_population import measure_noise
from pdm_tf.estimation.photograph_cuts import Cut, read_cuts
from pdm_tf.estimation.scene_groups import scene_groups
from pdm_tf.estimation.simulation import Simulated, Simulation

CHECK, ESTIMATE, REGRESSOR, STAGES = (
    "check.json",
    "estimate.json",
    "regressor.npz",
    "stages",
)
# All photographs together in memory, pixels: 190 MB of HR and 60 MB of LR ones.
_HR_PIXELS, _LR_PIXELS = 64_000_000, 20_000_000
# Traces that nobody found may have been there: resizing destroys them.
_STAGE = {"inputs": str, "found": (dict, list, float, str, None), "seconds?": float}
_UNSEEN_JPEG = 0.1
# Seconds on two cores for 160 HR and 100 LR photographs, for the time left.
_WEIGHTS = {
    "check": 6,
    "jpeg": 6,
    "noise": 15,
    "regressor": 110,
    "kernels": 6,
    "population": 20,
}

OnProgress = Callable[[int, int], None]
Stop = Callable[[], bool]
Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class SourceSettings:
    """Settings of the measurement.

    Attributes:
      samples: degraded crops that the regressor learns on.
      epochs: how often it sees each.
      rounds: of simulating a folder with the guess so far.
      draws: photographs simulated in each, 8 or more.
      regressor: folder of an earlier estimate whose regressor is taken; "": learn one.

    Raises:
      ValueError: numbers that are too small.
    """

    samples: int = 10_000
    epochs: int = 12
    rounds: int = 2
    draws: int = 200
    regressor: str = ""

    def __post_init__(self) -> None:
        least = {"samples": 1, "epochs": 1, "rounds": 1, "draws": 8}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise ValueError(
                    f"`{name}` of SourceSettings must be {number} or more. "
                    f"Received: {getattr(self, name)}."
                )

    def of_regressor(self) -> RegressorSettings:
        """What the regressor's training needs of them."""
        held_out = max(1, self.samples // 10)
        return RegressorSettings(
            samples=self.samples, held_out_samples=held_out, epochs=self.epochs
        )


def measure_source(
    hr_dir: str | Path,
    lr_dir: str | Path,
    folder: str | Path,
    *,
    scale: int,
    grid: str,
    seed: int = 0,
    settings: SourceSettings | None = None,
    check: FolderCheck | None = None,
    on_progress: OnProgress = lambda done, total: None,
    stop: Stop = lambda: False,
) -> SourceEstimate:
    """Measures the degradation of a folder of LR photographs.

    Args:
      hr_dir: sharp photographs, of whatever scenes.
      lr_dir: the photographs to be measured.
      folder: for the results; what it holds of these photographs is kept.
      scale: HR size / LR size.
      grid: where LR pixels lie, of `core.geometry.GRIDS`: it cannot be seen.
      seed: of everything random.
      settings: None: the defaults.
      check: of these folders, where they were looked at already.
      on_progress: called with (done, total), about in seconds.
      stop: asked often; when it says yes, `TrainingStopped` is raised, and a later call
        goes on.

    Raises:
      UserError: the folders cannot be used (check.json says why), or a regressor of
        other photographs was given.
      TrainingStopped: see `stop`.
    """
    work = _Measuring(
        Path(hr_dir),
        Path(lr_dir),
        Path(folder),
        scale,
        grid,
        seed,
        settings or SourceSettings(),
        _Clock(on_progress, stop),
    )
    return work.run(check)


class _Clock:
    """Progress over all stages, and the question whether to stop.

    Attributes:
      seconds: what each stage took when it was done, now or by an earlier start.
    """

    def __init__(self, on_progress: OnProgress, stop: Stop) -> None:
        self._on_progress, self.stop = on_progress, stop
        self._done, self._start = 0.0, 0.0
        self._before: float | None = None
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[OnProgress]:
        """Yields what takes the progress within the stage."""
        weight = _WEIGHTS[name]

        def advance(done: int, total: int) -> None:
            if self.stop():
                raise TrainingStopped
            part = self._done + weight * done / max(total, 1)
            self._on_progress(round(part), sum(_WEIGHTS.values()))

        self._start, self._before = time.monotonic(), None
        advance(0, 1)
        yield advance
        advance(1, 1)
        self._done += weight
        self.seconds[name] = self.so_far() if self._before is None else self._before

    def so_far(self) -> float:
        """Seconds of the stage in work."""
        return time.monotonic() - self._start

    def took(self, seconds: float) -> None:
        """Says what the stage in work took when it was done, which was before."""
        self._before = seconds


class _Learned(NamedTuple):
    """A regressor, and the digest of what it came from."""

    regressor: KernelRegressor
    inputs: str


@dataclasses.dataclass
class _Measuring:
    """One measurement in work; the fields are the arguments of `measure_source`."""

    hr_dir: Path
    lr_dir: Path
    folder: Path
    scale: int
    grid: str
    seed: int
    settings: SourceSettings
    clock: _Clock

    def run(self, check: FolderCheck | None) -> SourceEstimate:
        """All stages."""
        check = self._checked(check)
        lr = self._cuts(check, "lr", _LR_PIXELS, LEAST_LR_SIDE)
        pixels = _content(check, "lr")
        jpeg = self._jpeg(lr, pixels)
        qualities = jpeg_population(jpeg)
        noise, levels_255 = self._noise(lr, jpeg, pixels)
        learned, held_out = self._regressor(check, qualities)
        said = self._predict(learned, lr, jpeg, pixels)
        population, weights = self._population(learned, held_out, lr, said, jpeg, noise)
        photographs = _photographs(check, lr, said, weights, levels_255, jpeg)
        estimate = SourceEstimate(
            scale=self.scale,
            grid=self.grid,
            kernels=population,
            noise=noise,
            jpeg=qualities,
            photographs=photographs,
            facts={
                "seconds": self.clock.seconds,
                "settings": dataclasses.asdict(self.settings),
                "seed": self.seed,
                "regressor": dict(learned.regressor.facts),
            },
        )
        _write(self.folder / ESTIMATE, estimate.to_json())
        check = dataclasses.replace(
            check, findings=in_order((*check.findings, *measured_findings(estimate)))
        )
        advice = advice_on(check, estimate)
        _write(self.folder / CHECK, {**check.to_json(), "advice": advice.to_json()})
        return estimate

    def _checked(self, check: FolderCheck | None) -> FolderCheck:
        with self.clock.stage("check") as advance:
            if check is None:
                check = check_folders(self.hr_dir, self.lr_dir, self.scale, advance)
                _write(self.folder / CHECK, {**check.to_json(), "advice": None})
            self.clock.took(check.seconds)
        if check.errors:
            raise UserError("\n  ".join(one.text for one in check.errors))
        return check

    def _cuts(
        self, check: FolderCheck, role: str, pixels: int, least: int
    ) -> list[Cut]:
        folder = getattr(check, role)
        names = [one.name for one in folder.usable]
        return read_cuts(folder.location, names, pixels, least)

    def _jpeg(self, lr: Sequence[Cut], pixels: str) -> list[JpegMeasure]:
        def measure(advance: OnProgress) -> list[dict[str, Any]]:
            found = []
            for index, cut in enumerate(lr):
                one = measure_jpeg(self.lr_dir / cut.name, cut.rgb_u8)
                found.append(dataclasses.asdict(one))
                advance(index + 1, len(lr))
            return found

        rows = self._stage("jpeg", {"lr": pixels}, measure)
        return [JpegMeasure(**{**x, "offset": tuple(x["offset"])}) for x in rows]

    def _noise(
        self, lr: Sequence[Cut], jpeg: Sequence[JpegMeasure], pixels: str
    ) -> tuple[NoisePopulation | None, np.ndarray]:
        def measure(advance: OnProgress) -> dict[str, Any]:
            found = measure_noise([cut.rgb_u8 for cut in lr], jpeg, self.seed)
            population = found.population
            return {
                "population": population and dataclasses.asdict(population),
                # nan is not JSON
                "levels_255": [
                    row.tolist() if np.isfinite(row).all() else None
                    for row in found.levels_255
                ],
            }

        asked = {"lr": pixels, "jpeg": _plain(jpeg), "seed": self.seed}
        stored = self._stage("noise", asked, measure)
        rows = [x or [np.nan, np.nan] for x in stored["levels_255"]]
        population = stored["population"]
        if population is not None:
            population = NoisePopulation(**_tuples(population))
        return population, np.array(rows)

    def _regressor(
        self, check: FolderCheck, jpeg: JpegPopulation | None
    ) -> tuple[_Learned, list[Cut]]:
        """Learns one, or takes the one that is there; and the photographs held out."""
        hr = self._cuts(check, "hr", _HR_PIXELS, least_hr_side(self.scale))
        apart = held_out_names([cut.name for cut in hr])
        learn = [cut.rgb_u8 for cut in hr if cut.name not in apart]
        held_out = [cut for cut in hr if cut.name in apart]
        found = jpeg.qualities if jpeg else ()
        qualities = sorted({quality for quality in found if quality})
        share = max(float(np.mean([q > 0 for q in found or (0,)])), _UNSEEN_JPEG)
        asked = {
            "HR photographs": _content(check, "hr"),
            "scale": self.scale,
            "JPEG qualities": qualities,
            "share of JPEG": round(share, 3),
            "samples": self.settings.samples,
            "epochs": self.settings.epochs,
            "seed": self.seed,
        }
        inputs = digest(asked)
        with self.clock.stage("regressor") as advance:
            given = self._given(asked)
            if given is not None:
                return _Learned(given, inputs), held_out
            made = train_regressor(
                learn,
                [cut.rgb_u8 for cut in held_out],
                self.scale,
                qualities=qualities,
                jpeg_share=share,
                settings=self.settings.of_regressor(),
                seed=self.seed,
                on_progress=advance,
                stop=self.clock.stop,
            )
            made.save(self.folder / REGRESSOR)
            self._keep("regressor", asked, None)
        return _Learned(made, inputs), held_out

    def _given(self, asked: dict[str, Any]) -> KernelRegressor | None:
        """The regressor that is there for what is asked; None: there is none yet."""
        folder = Path(self.settings.regressor or self.folder)
        path = folder / STAGES / "regressor.json"
        if not path.is_file():
            if self.settings.regressor:
                raise UserError(
                    "The regressor must be one of pdm_tf.estimate. Received: "
                    f"{folder}, which has none."
                )
            return None
        form = {"asked": dict, "seconds?": float}
        before = read_json(path, form, remedy="Remove it to have it made again.")
        other = [x for x in asked if before["asked"].get(x) != asked[x]]
        if not other:
            self.clock.took(before.get("seconds", 0.0))
            return KernelRegressor.load(folder / REGRESSOR)
        if self.settings.regressor:
            raise UserError(
                "The regressor must have been learned with the same photographs and "
                f"settings. Received: {folder}, with other {', '.join(other)}."
            )
        return None

    def _predict(
        self,
        learned: _Learned,
        lr: Sequence[Cut],
        jpeg: Sequence[JpegMeasure],
        pixels: str,
    ) -> Prediction:
        def predict(advance: OnProgress) -> dict[str, Any]:
            said = learned.regressor.predict(
                [cut.rgb_u8 for cut in lr], [one.quality for one in jpeg]
            )
            return {name: value.tolist() for name, value in said._asdict().items()}

        asked = {"lr": pixels, "jpeg": _plain(jpeg), "regressor": learned.inputs}
        stored = self._stage("kernels", asked, predict)
        return Prediction(**{name: np.array(value) for name, value in stored.items()})

    def _population(
        self,
        learned: _Learned,
        held_out: Sequence[Cut],
        lr: Sequence[Cut],
        said: Prediction,
        jpeg: Sequence[JpegMeasure],
        noise: NoisePopulation | None,
    ) -> tuple[KernelPopulation, np.ndarray]:
        simulation = Simulation(
            learned.regressor,
            [cut.rgb_u8 for cut in held_out],
            [cut.rgb_u8.shape[:2] for cut in lr],
            jpeg,
            noise,
        )
        seed = stream_seed(self.seed, "population")[0]
        total = self.settings.rounds
        scenes = scene_groups([cut.rgb_u8 for cut in lr])

        def fit(advance: OnProgress) -> dict[str, Any]:
            done = 0

            def simulate(theta: np.ndarray, seed: int) -> Simulated:
                nonlocal done
                made = simulation(theta, seed, self.clock.stop)
                done += 1
                advance(min(done, total), total)
                return made

            population, weights = fit_population(
                said,
                simulate,
                scenes=len(held_out),
                groups=scenes,
                rounds=self.settings.rounds,
                draws=self.settings.draws,
                seed=seed,
            )
            return {
                "population": dataclasses.asdict(population),
                "weights": np.asarray(weights).tolist(),
            }

        asked = {
            "kernels": digest({k: v.tolist() for k, v in said._asdict().items()}),
            "scenes": scenes.tolist(),
            "regressor": learned.inputs,
            "jpeg": _plain(jpeg),
            "noise": noise and dataclasses.asdict(noise),
            "rounds": self.settings.rounds,
            "draws": self.settings.draws,
            "fit": 4,  # its version; 1 simulated Gaussians alone
            "seed": self.seed,
        }
        stored = self._stage("population", asked, fit)
        population = KernelPopulation(**_tuples(stored["population"]))
        return population, np.array(stored["weights"])

    def _stage(
        self, name: str, asked: dict[str, Any], make: Callable[[OnProgress], Any]
    ) -> Any:
        """What an earlier start found for the same `asked`, or make(on_progress)."""
        with self.clock.stage(name) as advance:
            path = self.folder / STAGES / f"{name}.json"
            if path.is_file():
                before = read_json(path, _STAGE, remedy="Remove it to go on.")
                if before["inputs"] == digest(asked):
                    # Not there in results of earlier versions.
                    self.clock.took(before.get("seconds", 0.0))
                    return before["found"]
            found = make(advance)
            self._keep(name, asked, found)
        return found

    def _keep(self, name: str, asked: dict[str, Any], found: Any) -> None:
        stored = {"inputs": digest(asked), "asked": asked, "found": found}
        stored["seconds"] = self.clock.so_far()
        _write(self.folder / STAGES / f"{name}.json", stored)


def _photographs(
    check: FolderCheck,
    lr: Sequence[Cut],
    said: Prediction,
    weights: np.ndarray,
    levels_255: np.ndarray,
    jpeg: Sequence[JpegMeasure],
) -> tuple[PhotographEstimate, ...]:
    place = {cut.name: index for index, cut in enumerate(lr)}
    rows = []
    for one in check.lr.photographs:
        index = place.get(one.name)
        if index is None:
            reason = one.left_out or "is one of more photographs than are looked at"
            rows.append(PhotographEstimate(one.name, reason))
            continue
        levels = levels_255[index]
        rows.append(
            PhotographEstimate(
                name=one.name,
                kernel=KernelEstimate(
                    _tuples(said.mean[index].tolist()),
                    _tuples(said.covariance[index].tolist()),
                ),
                weight=float(weights[index]),
                noise_255=_tuples(levels.tolist())
                if np.isfinite(levels).all()
                else None,
                jpeg=jpeg[index],
            )
        )
    return tuple(rows)


def _content(check: FolderCheck, role: str) -> str:
    """Digest of the usable photographs' names and pixels."""
    return digest([[one.name, one.sha256] for one in getattr(check, role).usable])


def _plain(jpeg: Sequence[JpegMeasure]) -> str:
    return digest([dataclasses.asdict(one) for one in jpeg])


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(x) for name, x in value.items()}
    return tuple(_tuples(x) for x in value) if isinstance(value, list) else value


def _write(path: Path, stored: Any) -> None:
    try:
        write_json_atomic(path, json.loads(json.dumps(stored)))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
