"""Degrades with blur kernels and noise from a pool, as they were found in photographs.

The degradation of Ji et al. 2020 (CVPRW, "Real-World Super-Resolution via Kernel
Estimation and Noise Injection"): y = (x conv k) downsampled by s, plus n, with k one of
the kernels that KernelGAN found in the LR photographs, and n a window of a flat piece
of one of them. An empirical pool is a distribution like any other, and where the true
kernels of a source are known, it is the one to compare learned ones with.

Noise of known physics can be had instead of patches: variance read^2 + shot * signal,
which is that of a camera's sensor (Foi et al. 2008).
"""

import dataclasses

import tensorflow as tf

from pdm_tf.core.checks import require_one_of
from pdm_tf.core.errors import UserError
from pdm_tf.degradations.base import Degradation, Degraded, Latents
from pdm_tf.degradations.bicubic import BicubicDegradation
from pdm_tf.degradations.draws import folded
from pdm_tf.degradations.pool_files import read_kernels, read_noise
from pdm_tf.ops.blur import GRIDS, blur_downsample, grid_geometry


@dataclasses.dataclass(frozen=True)
class PoolConfig:
    """Settings of `PoolDegradation`; at least one of the first four must be given.

    Attributes:
      kernels: .npy file of kernels [N, K, K], one draw for each image; none: bicubic
        downsampling.
      noise: .npy file of patches [N, P, P, 3], or a folder of pictures of flat
        surfaces; none: no noise from patches.
      read_max: upper end of the interval from which the standard deviation of the
        noise in the dark is drawn for each image, in units of the range [0, 1].
      shot_max: upper end of that of the noise's variance for each unit of signal.
      read_min, shot_min: the lower ends.
      grid: of the kernels, see `ops.blur`; bicubic has "half_pixel".

    Raises:
      UserError: nothing is given, an empty or negative interval, noise of both kinds,
        or a grid for bicubic.
    """

    kernels: str = ""
    noise: str = ""
    read_max: float = 0.0
    shot_max: float = 0.0
    read_min: float = 0.0
    shot_min: float = 0.0
    grid: str = "pixel0"

    def __post_init__(self) -> None:
        require_one_of(self, grid=GRIDS)
        for name in ("read", "shot"):
            low, high = (getattr(self, f"{name}_{end}") for end in ("min", "max"))
            if not 0 <= low <= high:
                raise UserError(
                    f"`{name}_min` of pool must be 0 or more and not above "
                    f"`{name}_max`. Received: {low} and {high}."
                )
        if self.noise and self.has_sensor_noise:
            raise UserError(
                "Noise of pool must come from `noise` or from `read_max` and "
                "`shot_max`, not from both. "
                f"Received: {self.noise}, {self.read_max} and {self.shot_max}."
            )

    @property
    def has_sensor_noise(self) -> bool:
        """Whether there is noise of variance read^2 + shot * signal."""
        return self.read_max > 0 or self.shot_max > 0


class PoolDegradation(Degradation):
    """hr with a margin -> Degraded; latents are what the settings ask for.

    The files are read when it is made.

    Raises:
      UserError: the settings ask for nothing, or a file cannot be used.
    """

    config_class = PoolConfig

    def __init__(self, scale: int, config: PoolConfig | None = None) -> None:
        self.scale, self.config = scale, config or PoolConfig()
        self._bicubic: BicubicDegradation | None = None
        self._kernels: tf.Tensor | None = None
        self._noise: tf.Tensor | None = None
        config = self.config
        if not (config.kernels or config.noise or config.has_sensor_noise):
            raise UserError(
                "pool needs `kernels` or noise (`noise`, `read_max`, `shot_max`). "
                "Received neither: say --degradation_arg=kernels=FILE.npy."
            )
        pools = []
        if config.kernels:
            _, centre_px = grid_geometry(scale, config.grid)
            pools.append(read_kernels(config.kernels, centre_px))
            kernels = pools[-1].values
            self.margin, self.grid = kernels.shape[1] // 2, config.grid
            # Tensors that exist outside of any graph are passed to it, not copied in.
            self._kernels = tf.constant(kernels.reshape(len(kernels), 1, 1, -1))
        else:
            self._bicubic = BicubicDegradation(scale)
            self.margin, self.edge = self._bicubic.margin, self._bicubic.edge
            self.grid = self._bicubic.grid
            if config.grid != PoolConfig.grid:
                raise UserError(
                    "`grid` of pool is for kernels; without them it is bicubic's. "
                    f"Received: grid={config.grid}."
                )
        if config.noise:
            pools.append(read_noise(config.noise))
            self._noise = tf.constant(pools[-1].values)
        self.content = tuple(pool.content for pool in pools)
        self.remarks = tuple(line for pool in pools for line in pool.remarks)

    @property
    def least_size(self) -> int:
        """Shortest side, in HR pixels, of a photograph that can be degraded."""
        return super().least_size if self._bicubic is None else self._bicubic.least_size

    def draw(
        self, batch: int | tf.Tensor, height: int, width: int, seed: tf.Tensor
    ) -> Latents:
        """(kernel, noise, read, shot), each None where the settings do not ask for it.

        kernel: [B, 1, 1, K*K]. noise: [B, height, width, 3], in units of the range
        [0, 1] from patches, of variance 1 for the sensor's. read, shot: [B, 1].
        """
        config = self.config
        kernel = noise = read = shot = None
        if self._kernels is not None:
            kernel = tf.gather(self._kernels, _index(batch, self._kernels, seed, 0))
        if self._noise is not None:
            noise = mosaic(self._noise, batch, height, width, seed)
        elif config.has_sensor_noise:
            shape = [batch, height, width, 3]
            noise = tf.random.stateless_normal(shape, folded(seed, 4))
            read = _uniform(batch, seed, 5, config.read_min, config.read_max)
            shot = _uniform(batch, seed, 6, config.shot_min, config.shot_max)
        return kernel, noise, read, shot

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Blurs, keeps every scale-th pixel, adds the noise."""
        kernel, noise, read, shot = latents
        if self._bicubic is not None:
            clean_lr = tf.cast(self._bicubic.apply(hr).lr, tf.float32)
        else:
            clean_lr = blur_downsample(
                tf.cast(hr, tf.float32),
                kernel,
                self.scale,
                grid=self.config.grid,
                border="valid",
            )
        if noise is None:
            return Degraded(clean_lr, clean_lr, kernel)
        if read is not None and shot is not None:
            signal = tf.clip_by_value(clean_lr, 0.0, 1.0)
            read, shot = (part[:, :, None, None] for part in (read, shot))
            noise *= tf.sqrt(tf.square(read) + shot * signal)
        return Degraded(clean_lr + noise, clean_lr, kernel, noise)


def mosaic(
    patches: tf.Tensor,
    batch: int | tf.Tensor,
    height: int | tf.Tensor,
    width: int | tf.Tensor,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Covers images with patches, drawn anew for each place.

    An image that fits into a patch is a window of one, at a random place. A larger one
    is laid with as many as it takes, which begin at a random place too.

    Args:
      patches: [N, P, P, C].
      batch: number of images.
      height, width: of the images.
      seed: [2] integers.

    Returns:
      [batch, height, width, C].
    """
    side, channels = patches.shape[1], patches.shape[3]
    rows, columns = -(-height // side), -(-width // side)
    tiles = tf.gather(
        patches, _index(batch * rows * columns, patches, seed, 1), name="tiles"
    )
    tiles = tf.reshape(tiles, [batch, rows, columns, side, side, channels])
    tiles = tf.transpose(tiles, [0, 1, 3, 2, 4, 5])
    field = tf.reshape(tiles, [batch, rows * side, columns * side, channels])
    top = _offset(batch, seed, 2, rows * side - height)
    left = _offset(batch, seed, 3, columns * side - width)
    field = tf.gather(field, top[:, None] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(field, left[:, None] + tf.range(width), axis=2, batch_dims=1)


def _index(
    count: int | tf.Tensor, pool: tf.Tensor, seed: tf.Tensor, stream: int
) -> tf.Tensor:
    return tf.random.stateless_uniform(
        [count], folded(seed, stream), 0, pool.shape[0], tf.int32
    )


def _offset(
    batch: int | tf.Tensor, seed: tf.Tensor, stream: int, largest: int | tf.Tensor
) -> tf.Tensor:
    """[batch] int32, uniform in 0..largest."""
    return tf.random.stateless_uniform(
        [batch], folded(seed, stream), 0, largest + 1, tf.int32
    )


def _uniform(
    batch: int | tf.Tensor, seed: tf.Tensor, stream: int, low: float, high: float
) -> tf.Tensor:
    unit = tf.random.stateless_uniform([batch, 1], folded(seed, stream))
    return low + (high - low) * unit
