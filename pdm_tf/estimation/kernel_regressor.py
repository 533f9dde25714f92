"""Tells from an LR photograph how it was blurred, how noisy it is, and how compressed.

Features that a blur moves linearly (`spectral_features`) and an ensemble of small
networks (`mlp_ensemble`) that learns on the user's own HR photographs, degraded by
broad draws (`source_prior`). It says how sure it is: the kernel's shape comes with a
full covariance, which is scaled so that it holds on photographs that it never saw.

It takes content for blur to some degree (gravel reads sharp, shallow focus reads
blurred) and is drawn towards the middle of what it learned on. What a folder of
photographs says together, with that taken out, is `kernel_population`'s matter.
"""

import dataclasses
import functools
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.core.kernel_shapes import second_moments
from pdm_tf.core.seeds import stream_seed
from pdm_tf.core.source_estimate import axes_of, log_covariances
from pdm_tf.core.stored import parse_json, read_arrays
from pdm_tf.estimation import mlp_ensemble
from pdm_tf.estimation.mlp_ensemble import EnsembleSettings, Weights
from pdm_tf.estimation.source_prior import Draw, SourcePrior, degrade_crop, kernel_side
from pdm_tf.estimation.spectral_features import (
    FEATURES,
    LEAST_SIDE,
    SYMMETRIES,
    SYMMETRY_SIGNS,
    features,
)

NOISE_SIGNALS = (0.15, 0.7)
_ROUNDING = 1.0 / 255.0 / 12.0**0.5
_BLOCK = 3  # theta
_NOISE, _CORRELATION, _QUALITY, _HAS_JPEG = slice(3, 5), 5, 6, 7
_TARGETS = 8
_QUALITY_UNIT = 50.0
# Of photographs to learn on, LR pixels.
_SIDES = (48, 96)
# How photographs are varied, see `_developed`.
_AS_IT_IS = 0.3
_LOG_CONTRAST = (-1.2, 0.3)
_BRIGHTNESS = (50.0, 205.0)  # of 255
_UNKNOWN_SHARE = 0.5
# With fewer photographs to learn on, networks are held back; with fewer held out, they
# do not say when to stop, and hardly how sure the regressor may be.
_FEW_TO_LEARN_ON, _FEW_HELD_OUT = 30, 4
_USUAL_WIDENING = 1.2
_LARGEST_INPUT = 6.0
_LEAST_VARIANCE = 0.01  # of a direction of normalised inputs
_FORMAT = 1
# 90 % of the squares of a normal vector of three, divided by its covariance, are below.
_CHI2_90 = 6.251388631170325

Item = TypeVar("Item")
Result = TypeVar("Result")


class TrainingStopped(Exception):  # noqa: N818 - not an error
    """Raised by `train_regressor` when it is asked to stop."""


@dataclasses.dataclass(frozen=True)
class RegressorSettings:
    """Settings of the regressor's training.

    Attributes:
      samples: degraded crops to learn on.
      held_out_samples: of photographs that it does not learn on, to stop by.
      epochs: how often each is seen.
      batch: samples in a step.
      threads: that make the samples; the result does not depend on them.
      ensemble: of the networks.

    Raises:
      ValueError: numbers below 1.
    """

    samples: int = 10_000
    held_out_samples: int = 1_000
    epochs: int = 24
    batch: int = 64
    threads: int = 2
    ensemble: EnsembleSettings = EnsembleSettings()

    def __post_init__(self) -> None:
        counts = {
            name: getattr(self, name)
            for name in ("samples", "held_out_samples", "epochs", "batch", "threads")
        }
        if min(counts.values()) < 1:
            raise ValueError(f"All counts must be 1 or more. Received: {counts}.")


class Prediction(NamedTuple):
    """What photographs look like; one row for each.

    Attributes:
      mean: [N, 3] theta of the kernel, see `core.source_estimate`.
      covariance: [N, 3, 3] of its error.
      noise_log_std: [N, 2] log of the noise's standard deviation at the signals 0.15
        and 0.7, in units of [0, 1], the rounding to 8 bits with it.
      correlation_px: [N] of the noise, LR px; means nothing where there is none.
      quality: [N] of JPEG, 1..100; 0: it looks as if there was none.
    """

    mean: np.ndarray
    covariance: np.ndarray
    noise_log_std: np.ndarray
    correlation_px: np.ndarray
    quality: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Prediction":
        """Some rows, as an index or mask says."""
        return Prediction(*(values[chosen] for values in self))


@dataclasses.dataclass(frozen=True)
class KernelRegressor:
    """A trained regressor; make one with `train_regressor`.

    Attributes:
      scale: HR size / LR size that it is for.
      weights: of the networks.
      centre, spread: [inputs] of the inputs, to normalise them.
      widening: factor of the kernels' covariance, from held-out photographs.
      facts: how it was made and how well it does on held-out photographs, JSON.
    """

    scale: int
    weights: Weights
    centre: np.ndarray
    spread: np.ndarray
    widening: float
    facts: Mapping[str, Any]

    def predict(
        self,
        images_u8: Sequence[np.ndarray],
        qualities: Sequence[int] | None = None,
        *,
        threads: int = 2,
    ) -> Prediction:
        """Looks at LR photographs.

        Args:
          images_u8: each [h, w, 3] uint8, of any sizes from `LEAST_SIDE` on.
          qualities: of JPEG where it is known (0: known to be none); -1 where it is
            not; None: not known of any.
          threads: that compute the features.

        Raises:
          ValueError: a photograph that is too small or no RGB of 8 bits, or as many
            qualities as there are not photographs.
        """
        if qualities is not None and len(qualities) != len(images_u8):
            raise ValueError(
                "There must be one quality for each photograph. "
                f"Received: {len(qualities)} for {len(images_u8)}."
            )
        rows = list(_mapped(_inputs_of, images_u8, threads))
        known = [-1] * len(rows) if qualities is None else qualities
        return self._predict(np.reshape(rows, [-1, FEATURES + 1]), np.asarray(known))

    def _predict(self, rows: np.ndarray, qualities: np.ndarray) -> Prediction:
        """From `_inputs_of` [N, FEATURES + 1]; means over the four symmetries."""
        inputs = _normalised(_moved(rows), self.centre, self.spread)
        known = np.tile(_quality_inputs(qualities), (len(SYMMETRIES), 1))
        said = mlp_ensemble.forward(
            self.weights, np.concatenate([inputs, known], axis=1, dtype=np.float32)
        )
        found = mlp_ensemble.distribution(said, _TARGETS, _BLOCK)
        positions = (len(SYMMETRIES), len(rows))
        signs = SYMMETRY_SIGNS[:, None]
        means = found.mean.reshape(*positions, _TARGETS)
        theta = means[..., :_BLOCK] * signs
        within = found.covariance.reshape(*positions, _BLOCK, _BLOCK)
        within = within * signs[..., :, None] * signs[..., None, :]
        mean, others = theta.mean(0), means.mean(0)
        apart = theta - mean
        covariance = within.mean(0) + np.einsum("sni,snj->nij", apart, apart) / 4.0
        quality = (_QUALITY_UNIT * others[:, _QUALITY]).clip(1.0, 100.0)
        return Prediction(
            mean,
            self.widening * covariance,
            others[:, _NOISE],
            others[:, _CORRELATION].clip(0.0),
            np.where(others[:, _HAS_JPEG] > 0.5, quality, 0.0),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one .npz file."""
        about = {
            "format": _FORMAT,
            "features": FEATURES,
            "scale": self.scale,
            "widening": self.widening,
            "facts": dict(self.facts),
        }
        file = io.BytesIO()
        np.savez(
            file,
            about=np.array(json.dumps(about)),
            centre=self.centre,
            spread=self.spread,
            **{f"weights/{name}": value for name, value in self.weights.items()},
        )
        write_bytes_atomic(path, file.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "KernelRegressor":
        """Reads what `save` wrote.

        Raises:
          UserError: no such file, another one, or one of another version.
        """
        if not os.path.exists(path):
            raise UserError(f"There is no regressor {os.fspath(path)}.")
        try:
            arrays = read_arrays(path)
            about = parse_json(str(arrays.pop("about")))
            found = (about["format"], about["features"])
            weights = {
                name.removeprefix("weights/"): value
                for name, value in arrays.items()
                if name.startswith("weights/")
            }
            made = cls(
                about["scale"],
                weights,
                arrays["centre"],
                arrays["spread"],
                about["widening"],
                about["facts"],
            )
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"{os.fspath(path)} is not a regressor's file. Received: {error}."
            ) from error
        if found != (_FORMAT, FEATURES):
            raise UserError(
                f"{os.fspath(path)} was written by another version: format and "
                f"features must be {(_FORMAT, FEATURES)}. Received: {found}."
            )
        return made


def train_regressor(
    photographs: Sequence[np.ndarray],
    held_out: Sequence[np.ndarray],
    scale: int,
    *,
    qualities: Sequence[int] = (),
    jpeg_share: float = 0.35,
    settings: RegressorSettings | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> KernelRegressor:
    """Trains a regressor on HR photographs.

    The result is a function of photographs, settings and seed, whatever the number of
    threads.

    Args:
      photographs: [H, W, 3] uint8 to learn on. Those too small for a crop of
        `LEAST_SIDE` LR pixels and its margin are left out.
      held_out: others, to stop by and to see how well it does.
      scale: HR size / LR size.
      qualities: of JPEG that occur in the source; empty: any.
      jpeg_share: share of photographs with JPEG; 0 where the source has none.
      settings: None: the defaults.
      seed: of all that is random.
      on_progress: called with (done, total).
      stop: asked often; when it says yes, `TrainingStopped` is raised.

    Raises:
      ValueError: no photograph is large enough, on either side.
      TrainingStopped: see `stop`.
    """
    settings = settings or RegressorSettings()
    prior = SourcePrior(scale, jpeg_share=jpeg_share, qualities=tuple(qualities))
    sets = {"train": photographs, "held_out": held_out}
    counts = {"train": settings.samples, "held_out": settings.held_out_samples}
    usable = {name: _usable(images, scale, name) for name, images in sets.items()}
    # Half of the time goes into samples, half into learning from them.
    work = _Work(2 * sum(counts.values()), on_progress, stop)
    samples = {}
    for name, count in counts.items():
        make = functools.partial(_sample, usable[name], prior, seed, name)
        made = []
        for sample in _mapped(make, range(count), settings.threads):
            made.append(sample)
            work.advance(1)
        samples[name] = _Samples(*(np.stack(x) for x in zip(*made, strict=True)))
    if len(usable["train"]) < _FEW_TO_LEARN_ON:
        held_back = dataclasses.replace(
            settings.ensemble, dropout=0.4, weight_decay=1.0
        )
        settings = dataclasses.replace(settings, ensemble=held_back)
    facts = {
        "photographs": len(usable["train"]),
        "held_out": len(usable["held_out"]),
        "samples": settings.samples,
        "jpeg_share": jpeg_share,
        "qualities": list(qualities),
        "seed": seed,
    }
    share = sum(counts.values()) / settings.epochs
    return _learn(
        samples["train"],
        samples["held_out"],
        scale,
        settings,
        seed,
        facts,
        lambda: work.advance(share),
    )


class _Samples(NamedTuple):
    """Degraded photographs: inputs [N, FEATURES + 1], targets [N, 8], JPEG [N]."""

    inputs: np.ndarray
    targets: np.ndarray
    quality: np.ndarray


class _Work:
    """Counts what is done, says it, and asks whether to stop."""

    def __init__(
        self,
        total: int,
        on_progress: Callable[[int, int], None] | None,
        stop: Callable[[], bool] | None,
    ) -> None:
        self._done, self._total = 0.0, total
        self._on_progress, self._stop = on_progress, stop

    def advance(self, amount: float) -> None:
        self._done += amount
        if self._on_progress:
            self._on_progress(round(self._done), self._total)
        if self._stop and self._stop():
            raise TrainingStopped


def _usable(
    photographs: Sequence[np.ndarray], scale: int, name: str
) -> list[np.ndarray]:
    least = LEAST_SIDE * scale + kernel_side(scale) - 1
    usable = [x for x in photographs if min(x.shape[:2]) >= least]
    if not usable:
        sizes = sorted({x.shape[:2] for x in photographs})
        raise ValueError(
            f"At least one HR photograph ({name}) must have sides of {least} pixels or "
            f"more. Received: {sizes[-3:]} of {len(photographs)} photographs."
        )
    return usable


def _sample(
    photographs: Sequence[np.ndarray],
    prior: SourcePrior,
    seed: int,
    name: str,
    index: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """One degraded crop: its inputs, its targets, its JPEG quality."""
    random = np.random.default_rng((*stream_seed(seed, f"regressor/{name}"), index))
    photograph = photographs[index % len(photographs)]
    drawn = prior.draw(random)
    margin = drawn.kernel.shape[0] - 1
    sides = []
    for available in photograph.shape[:2]:
        most = min((available - margin) // prior.scale, _SIDES[1])
        sides.append(int(random.integers(min(_SIDES[0], most), most + 1)))
    crops = [side * prior.scale + margin for side in sides]
    top, left = (
        int(random.integers(0, available - crop + 1))
        for available, crop in zip(photograph.shape[:2], crops, strict=True)
    )
    crop = photograph[top : top + crops[0], left : left + crops[1]]
    if name == "train":
        crop = _developed(crop, random)
    lr = degrade_crop(
        crop,
        drawn.kernel,
        prior.scale,
        noise=drawn.noise,
        jpeg=drawn.jpeg,
        random=random,
    )
    return _inputs_of(lr), _targets_of(drawn), drawn.jpeg.quality


def _developed(crop_u8: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The scene in other light: contrast, brightness, a negative, colours swapped.

    All commute with a blur, so what is sharp stays sharp; but strength of detail alone
    tells no blur any more. With seven photographs this is worth ten times as many
    samples.
    """
    if random.uniform() < _AS_IT_IS:
        return crop_u8
    crop_u8 = crop_u8[..., random.permutation(3)]
    mean = crop_u8[::4, ::4].mean()
    gain, brightness = np.exp(random.uniform(*_LOG_CONTRAST)), mean
    if random.uniform() < 0.3:
        gain = -gain
    if gain < 0.0 or random.uniform() < 0.5:
        brightness = random.uniform(*_BRIGHTNESS)
    table = brightness + gain * (np.arange(256) - mean) + 0.5
    return np.clip(table, 0.0, 255.0).astype(np.uint8)[crop_u8]


def _inputs_of(lr_u8: np.ndarray) -> np.ndarray:
    """[FEATURES + 1]: the features, and how much of them there is to average over."""
    height, width = lr_u8.shape[:2]
    return np.append(features(lr_u8), np.float32(np.log(height * width)))


def _targets_of(drawn: Draw) -> np.ndarray:
    """[8] float32, NaN where there is nothing to be known."""
    targets = np.full(_TARGETS, np.nan, np.float32)
    targets[:_BLOCK] = log_covariances(second_moments(drawn.kernel[None]))[0]
    levels = [np.hypot(drawn.noise.std(y), _ROUNDING) for y in NOISE_SIGNALS]
    targets[_NOISE] = np.log(levels)
    if levels[0] > 3.0 * _ROUNDING:
        targets[_CORRELATION] = drawn.noise.correlation_px
    targets[_HAS_JPEG] = float(drawn.jpeg.quality > 0)
    if drawn.jpeg.quality:
        targets[_QUALITY] = drawn.jpeg.quality / _QUALITY_UNIT
    return targets


def _quality_inputs(qualities: np.ndarray) -> np.ndarray:
    """[N, 3]: known to be none, known quality, how strong; all 0 where not known."""
    qualities = np.asarray(qualities)
    strength = np.where(qualities > 0, (100.0 - qualities) / _QUALITY_UNIT, 0.0)
    return np.stack(
        [qualities == 0, qualities > 0, strength], axis=-1, dtype=np.float32
    )


def _normalised(rows: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return ((rows - centre) / spread).clip(-_LARGEST_INPUT, _LARGEST_INPUT)


def _learn(
    train: _Samples,
    held_out: _Samples,
    scale: int,
    settings: RegressorSettings,
    seed: int,
    facts: dict[str, Any],
    after_epoch: Callable[[], None],
) -> KernelRegressor:
    """Trains the networks and keeps those of the best epoch on held-out samples.

    The last epoch's, where there are few held-out photographs.
    """
    # Over all positions of the photographs, so that they commute with a reordering.
    moved = _moved(train.inputs)
    centre, spread = moved.mean(0), moved.std(0) + np.float32(1e-3)
    evening = _evening(_normalised(moved, centre, spread))
    del moved
    random = np.random.default_rng(stream_seed(seed, "regressor/networks"))
    weights = mlp_ensemble.first_weights(
        train.inputs.shape[1] + 3, _TARGETS, _BLOCK, settings.ensemble, random
    )
    inputs = _normalised(train.inputs, centre, spread) @ evening

    def epoch(
        random: np.random.Generator,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return _batches(inputs, train, settings, random)

    steps = max(1, len(inputs) // settings.batch)
    best, best_loss, losses = None, np.inf, []
    unknown = np.full(len(held_out.inputs), -1)
    for trained in mlp_ensemble.train_epochs(
        weights, _BLOCK, settings.ensemble, settings.epochs, epoch, steps, random
    ):
        kept = {name: value.copy() for name, value in trained.items()}
        kept["w0"][:, : len(evening)] = evening @ kept["w0"][:, : len(evening)]
        regressor = KernelRegressor(scale, kept, centre, spread, 1.0, facts)
        said = regressor._predict(held_out.inputs, unknown)
        losses.append(_kernel_loss(said, held_out.targets))
        can_tell = facts["held_out"] >= _FEW_HELD_OUT
        if np.isfinite(losses[-1]) and (losses[-1] < best_loss or not can_tell):
            best, best_loss = regressor, losses[-1]
        after_epoch()
    if best is None:
        raise ArithmeticError(f"The loss must stay finite. Received: {losses}.")
    said = best._predict(held_out.inputs, unknown)
    measured = np.quantile(_squares(said, held_out.targets), 0.9) / _CHI2_90
    trust = facts["held_out"] / (facts["held_out"] + _FEW_HELD_OUT)
    widening = float(measured**trust * _USUAL_WIDENING ** (1.0 - trust))
    facts = {**facts, "losses": losses, **errors_of(said, held_out.targets)}
    return dataclasses.replace(best, widening=widening, facts=facts)


def _moved(inputs: np.ndarray) -> np.ndarray:
    """[N, FEATURES + 1] -> [4 N, FEATURES + 1]: of the photographs' four positions."""
    rest = inputs[:, FEATURES:]
    return np.concatenate(
        [np.concatenate([inputs[:, order], rest], axis=1) for order in SYMMETRIES]
    )


def _evening(inputs: np.ndarray) -> np.ndarray:
    """[F, F] that takes half of the correlation out of normalised inputs.

    Neighbouring frequencies say almost the same, and what tells noise from detail is in
    small differences, which gradient descent finds late. The covariance's power -1/2
    would make all directions equal and amplify what is chance; -1/4 learns best.
    """
    values, vectors = np.linalg.eigh(np.cov(inputs.T, dtype=np.float64))
    gains = (values.clip(0.0) + _LEAST_VARIANCE) ** -0.25
    return ((vectors * gains) @ vectors.T).astype(np.float32)


def _batches(
    inputs: np.ndarray,
    samples: _Samples,
    settings: RegressorSettings,
    random: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One epoch: each member in an order of its own, each sample mirrored at random."""
    members, count = settings.ensemble.members, len(inputs)
    size = min(settings.batch, count)
    orders = np.stack([random.permutation(count) for _ in range(members)])
    for start in range(0, count - size + 1, size):
        chosen = orders[:, start : start + size]
        turned = random.integers(0, len(SYMMETRIES), chosen.shape)
        places = SYMMETRIES[turned]
        rows = np.take_along_axis(inputs[chosen][..., :FEATURES], places, axis=-1)
        quality = np.where(
            random.uniform(size=chosen.shape) < _UNKNOWN_SHARE,
            -1,
            samples.quality[chosen],
        )
        parts = [rows, inputs[chosen][..., FEATURES:], _quality_inputs(quality)]
        targets = samples.targets[chosen]
        targets[..., :_BLOCK] *= SYMMETRY_SIGNS[turned]
        yield np.concatenate(parts, axis=-1), targets


def _squares(said: Prediction, targets: np.ndarray) -> np.ndarray:
    """[N] squares of the kernels' errors in units of their covariance."""
    error = said.mean - targets[:, :_BLOCK]
    return np.einsum(
        "ni,ni->n", error, np.linalg.solve(said.covariance, error[..., None])[..., 0]
    )


def _kernel_loss(said: Prediction, targets: np.ndarray) -> float:
    """Mean negative log-likelihood of the kernels, less constants."""
    logs = np.linalg.slogdet(said.covariance)[1]
    return float(0.5 * np.mean(_squares(said, targets) + logs))


def errors_of(said: Prediction, targets: np.ndarray) -> dict[str, float]:
    """How well photographs of known kernels (theta, [N, 3] or more) are read.

    Returns:
      For "long" and "short": correlation "..._r", mean absolute error in HR px
      "..._mae_px" and median relative error "..._relative"; "angle_deg": median error
      where the axes differ by 1.4 or more; "mahalanobis": mean of error^2 / covariance,
      divided by 3, 1 where the covariance is right.
    """
    true, found = axes_of(targets[:, :_BLOCK]), axes_of(said.mean)
    errors = {"nll": _kernel_loss(said, targets)}
    for name in ("long", "short"):
        a, b = getattr(true, name), getattr(found, name)
        errors[f"{name}_r"] = float(np.corrcoef(a, b)[0, 1])
        errors[f"{name}_mae_px"] = float(np.abs(a - b).mean())
        errors[f"{name}_relative"] = float(np.median(np.abs(a - b) / a.clip(0.1)))
    turned = np.abs(true.angle_deg - found.angle_deg)
    turned = np.minimum(turned, 180.0 - turned)
    clear = true.long >= 1.4 * true.short.clip(1e-3)
    errors["angle_deg"] = float(np.median(turned[clear])) if clear.any() else 0.0
    errors["mahalanobis"] = float(_squares(said, targets).mean() / _BLOCK)
    return errors


def _mapped(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> Iterator[Result]:
    """In order, by threads: NumPy and SciPy give the lock away in what takes time."""
    if threads == 1:
        yield from map(function, items)
        return
    ahead = 8 * threads
    with ThreadPoolExecutor(threads) as pool:
        waiting = []
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
