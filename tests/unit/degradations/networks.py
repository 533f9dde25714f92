"""A PDM small enough for tests of seconds, with nothing at its neutral start."""

from pdm_tf.degradations import (
    PDM,
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from tests.support.weights import shake

SCALE = 2


def tiny_pdm(
    *,
    scale: int = SCALE,
    spatial: bool = False,
    basis: int = 0,
    noise_blocks: int | None = 1,
    noise_window: int = 3,
    border: str = "valid",
    grid: str = "pixel0",
) -> PDM:
    """Kernels of 5 px; `noise_blocks=None` leaves the noise module out."""
    kernel = KernelModuleConfig(
        kernel_size=5,
        latent_channels=4,
        filters=8,
        num_blocks=1,
        spatial=spatial,
        basis=basis,
    )
    noise = None
    if noise_blocks is not None:
        noise = NoiseModuleConfig(
            filters=4, num_blocks=noise_blocks, conv_size=noise_window
        )
    pdm = PDMConfig(
        scale=scale, kernel=kernel, noise=noise, border=border, grid=grid
    ).build(name="pdm")
    shake(pdm, amount=0.2)
    return pdm
