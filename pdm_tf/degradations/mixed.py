"""One of several degradations for each image, by their probabilities.

AnimeSR (Wu et al. 2022, arXiv:2206.07038) trains on its learned operators and on
hand-made ones in turn. A share of a wide, predefined degradation beside a learned one
keeps an SR network usable on photographs from elsewhere.

Parts whose LR pixels lie elsewhere are brought to one grid: their HR image is moved by
a fraction of an LR pixel, by cubic interpolation, before they degrade it. What that
takes away of the finest HR detail is far above what an LR image can show.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pdm_tf.core.checks import require_one_of, require_probabilities
from pdm_tf.core.errors import UserError
from pdm_tf.core.imresize import cubic
from pdm_tf.degradations.base import Degradation, Degraded, Latents, OpenPart
from pdm_tf.degradations.draws import folded
from pdm_tf.ops.blur import GRIDS


@dataclasses.dataclass(frozen=True)
class MixedConfig:
    """Settings of `MixedDegradation`.

    Attributes:
      parts: names of degradations: predefined ones, run folders or bundles.
      probabilities: of the parts, for each image; they sum to 1. None: equal ones.
      settings: of predefined parts, each `part.key=value`.
      grid: where LR pixels lie, see `ops.blur`; "auto": where the first part has them.

    Raises:
      UserError: fewer than two parts, one of them twice, as many probabilities as
        there are parts missing, negative ones or a sum other than 1, or a setting that
        names no part.
    """

    parts: tuple[str, ...] = ()
    probabilities: tuple[float, ...] | None = None
    settings: tuple[str, ...] = ()
    grid: str = "auto"

    def __post_init__(self) -> None:
        require_one_of(self, grid=("auto", *GRIDS))
        if self.probabilities is not None:
            require_probabilities(self, "probabilities", len(self.parts))
        self._whole_settings()

    def settings_of(self, part: str) -> list[str]:
        """Returns the `key=value` settings that belong to a part."""
        return [setting for owner, setting in self._whole_settings() if owner == part]

    def _whole_settings(self) -> list[tuple[str, str]]:
        """Lists (part, key=value); values that are lists come in several texts."""
        found: list[tuple[str, str]] = []
        for text in self.settings:
            # Names of folders may hold dots: the longest part that fits is meant.
            fitting = [part for part in self.parts if text.startswith(f"{part}.")]
            if fitting and "=" in text:
                part = max(fitting, key=len)
                found.append((part, text[len(part) + 1 :]))
            elif found and "=" not in text:
                part, setting = found.pop()
                found.append((part, f"{setting},{text}"))
            else:
                raise UserError(
                    "`settings` of mixed must be written part.key=value, with a part "
                    f"of {', '.join(self.parts) or '`parts`'}. Received: {text!r}."
                )
        return found


class MixedDegradation(Degradation):
    """hr with the margin of the widest part -> Degraded by one part for each image.

    Latents are the part of each image and the latents of all parts. Kernels, noise and
    qualities are not returned, since parts differ in what they have. The target is the
    HR image for all of them.

    Args:
      scale: downsampling factor.
      config: settings.
      parts: one for each of the settings, of this scale.

    Raises:
      UserError: fewer than two parts, or parts of another scale.
    """

    config_class = MixedConfig
    # How many images a part gets is drawn: XLA compiles no sizes that it does not know.
    on_host = True

    def __init__(
        self, scale: int, config: MixedConfig, parts: Sequence[Degradation]
    ) -> None:
        if len(parts) < 2 or len(set(config.parts)) < len(parts):
            raise UserError(
                "mixed needs two or more different `parts`: say --degradation_arg="
                "parts=bsrgan,runs/mine --degradation_arg=probabilities=0.3,0.7. "
                f"Received: {', '.join(config.parts) or 'none'}."
            )
        for name, part in zip(config.parts, parts, strict=True):
            if part.scale != scale:
                raise UserError(
                    f"`parts` of mixed must be for one scale, {scale}. "
                    f"Received: {name}, which is for {part.scale}."
                )
        sharpening = [
            n for n, p in zip(config.parts, parts, strict=True) if p.has_target
        ]
        parts = [part.without_target() for part in parts]
        self.scale, self.config, self._parts = scale, config, tuple(parts)
        grids = {part.grid for part in parts}
        self.grid = parts[0].grid if config.grid == "auto" else config.grid
        if None in grids:
            if len(grids) > 1 or config.grid != "auto":
                unknown = config.parts[[part.grid for part in parts].index(None)]
                raise UserError(
                    "`parts` of mixed must have a known grid to be brought to one. "
                    f"Received: {unknown}, which does not say where its pixels lie."
                )
        moves = [_move_px(part.grid, self.grid, scale) for part in parts]
        margins = [
            part.margin + _reach(move) for part, move in zip(parts, moves, strict=True)
        ]
        self.margin = max(margins)
        self._insets = [
            _Inset(self.margin - margin, move)
            for margin, move in zip(margins, moves, strict=True)
        ]
        seed = tf.zeros([2], tf.int32)
        self._counts = [len(part.draw(1, 8, 8, seed)) for part in parts]
        contexts = [part.context for part in parts]
        self.context = None if None in contexts else max(contexts)
        self.grid_period = math.lcm(*(part.grid_period or 1 for part in parts))
        if not any(part.grid_period for part in parts):
            self.grid_period = 0
        self.content = tuple(text for part in parts for text in part.content)
        self.remarks = tuple(line for part in parts for line in part.remarks)
        if sharpening:
            line = (
                f"mixed: HR images are the target of {', '.join(sharpening)} too, not "
                "sharpened ones: parts must not aim at different things"
            )
            self.remarks = (*self.remarks, line)
        if len(grids) > 1:
            others = [n for n, m in zip(config.parts, moves, strict=True) if m]
            line = f"mixed: {', '.join(others)} is brought to grid={self.grid}"
            self.remarks = (*self.remarks, line)

    @classmethod
    def make(
        cls, scale: int, config: MixedConfig, open_part: OpenPart
    ) -> "MixedDegradation":
        """Makes the parts by their names.

        Raises:
          UserError: a part that cannot be made, or that does not fit the others.
        """
        parts = [open_part(name, config.settings_of(name)) for name in config.parts]
        return cls(scale, config, parts)

    @property
    def least_size(self) -> int:
        """Shortest side, in HR pixels, of a photograph that can be degraded."""
        return max(super().least_size, *(part.least_size for part in self._parts))

    def draw(
        self, batch: int | tf.Tensor, height: int, width: int, seed: tf.Tensor
    ) -> Latents:
        """(index of the part [B], then the latents of every part)."""
        seed = tf.cast(seed, tf.int32)
        shares = self.config.probabilities or [1.0] * len(self._parts)
        edges = np.cumsum(shares) / np.sum(shares)
        unit = tf.random.stateless_uniform([batch], folded(seed, 0))
        inner = tf.constant(edges[:-1], tf.float32)
        choice = tf.reduce_sum(tf.cast(unit[:, None] >= inner, tf.int32), axis=1)
        latents = (
            part.draw(batch, height, width, folded(seed, 1 + index))
            for index, part in enumerate(self._parts)
        )
        return choice, *(latent for some in latents for latent in some)

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Degrades each image with the part that was drawn for it."""
        choice, *rest = latents
        rows, results = [], []
        for index, (part, count) in enumerate(
            zip(self._parts, self._counts, strict=True)
        ):
            own, rest = rest[:count], rest[count:]
            chosen = tf.where(choice == index)[:, 0]
            rows.append(tf.cast(chosen, tf.int32))
            results.append(
                tf.cond(
                    tf.size(chosen) > 0,
                    _Chosen(part, hr, own, chosen, self._insets[index], training),
                    _Nothing(hr, self.margin, self.scale),
                )
            )
        merged = (
            tf.dynamic_stitch(rows, images) for images in zip(*results, strict=True)
        )
        lr, clean_lr = (
            tf.ensure_shape(images, [hr.shape[0], *images.shape[1:]])
            for images in merged
        )
        return Degraded(lr, clean_lr)


class _Inset(NamedTuple):
    """How a part's HR image lies in the one that all share.

    Attributes:
      margin: HR pixels to take off each side.
      move_px: how far to move what is left, see `moved`.
    """

    margin: int
    move_px: float


class _Chosen(NamedTuple):
    """Degrades the chosen images of a batch by one part; a branch of `tf.cond`."""

    part: Degradation
    hr: tf.Tensor
    latents: Sequence[tf.Tensor | None]
    rows: tf.Tensor
    inset: _Inset
    training: bool

    def __call__(self) -> tuple[tf.Tensor, tf.Tensor]:
        part, (margin, move_px) = self.part, self.inset
        hr = tf.gather(self.hr, self.rows)
        latents = (
            None if latent is None else tf.gather(latent, self.rows)
            for latent in self.latents
        )
        own = moved(_inner(hr, margin), move_px)
        degraded = part.apply(own, *latents, training=self.training)
        images = (degraded.lr, degraded.clean_lr)
        return tuple(tf.cast(image, tf.float32) for image in images)


class _Nothing(NamedTuple):
    """The other branch: no images."""

    hr: tf.Tensor
    margin: int
    scale: int

    def __call__(self) -> tuple[tf.Tensor, tf.Tensor]:
        height, width = (
            side - 2 * self.margin for side in tf.unstack(tf.shape(self.hr))[1:3]
        )
        lr = tf.zeros([0, height // self.scale, width // self.scale, 3])
        return lr, lr


def moved(hr: tf.Tensor, shift_px: float) -> tf.Tensor:
    """Moves images up and to the left, by cubic interpolation (Keys, a = -0.5).

    Args:
      hr: [B, H, W, C].
      shift_px: pixel x of the result is what lay at x + `shift_px`, in both directions.

    Returns:
      [B, H - 2 r, W - 2 r, C], the inner part, r being `_reach(shift_px)`.
    """
    reach = _reach(shift_px)
    if not reach:
        return hr
    weights = cubic(np.arange(-reach, reach + 1) - shift_px)
    for axis in (1, 2):
        length = tf.shape(hr)[axis] - 2 * reach
        hr = tf.add_n(
            [
                tf.cast(weight, hr.dtype)
                * tf.gather(hr, tf.range(length) + start, axis=axis)
                for start, weight in enumerate(weights)
                if weight
            ]
        )
    return hr


def _reach(shift_px: float) -> int:
    return math.ceil(abs(shift_px)) + 1 if shift_px else 0


def _move_px(part_grid: str | None, grid: str | None, scale: int) -> float:
    """How far HR images are moved for a part, so that its LR pixels lie on `grid`."""
    if part_grid is None or grid is None:
        return 0.0
    places = {"pixel0": 0.0, "half_pixel": (scale - 1) / 2}
    return places[grid] - places[part_grid]


def _inner(images: tf.Tensor, margin: int) -> tf.Tensor:
    return images[:, margin:-margin, margin:-margin] if margin else images
