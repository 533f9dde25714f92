"""Which of KernelGAN's kernels to trust, and their form in a pool.

What several GANs of one photograph found is compared. The limits below come from
photographs whose kernels are known: GANs that failed did not agree, while those that
agreed were about as good as the method gets. What the
discriminator still sees and the distance from bicubic are written down for each kernel,
and decide nothing: they were the same for good and for bad kernels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdm_tf.core.degradation_limits import BORDER_MASS
from pdm_tf.core.kernel_shapes import kernel_moments
from pdm_tf.estimation.kernel_forms import (
    bicubic_kernel,
    mass_distance,
    placed,
    significant,
    twice,
    width_distance,
)
from pdm_tf.estimation.kernelgan import Estimate
from pdm_tf.ops.blur import grid_geometry

# Side of the pool's kernels: what the authors' code crops to.
SIDES = {2: 13, 4: 25}

# Half the sum of differences between the kernels of two seeds, centred.
SEEDS_APART = 0.3
# |sum - 1| of what the generator does; its loss holds it below a hundredth.
SUM_OFF = 0.1


@dataclass(frozen=True)
class JudgedKernel:
    """A kernel as it goes into a pool, or why it does not.

    Attributes:
      kernel: [K, K] float64, not negative, of sum 1; a delta where there is none.
      reason: why it is left out, in words that follow the photograph's name; "" for one
        that is kept.
      row: the numbers, for the pool's JSON.
    """

    kernel: np.ndarray
    reason: str
    row: dict[str, Any]

    @property
    def caption(self) -> str:
        """Its widths in a few letters."""
        long, short = self.row["width_px"]
        return f"{long:.1f} x {short:.1f} px"

    @property
    def summary(self) -> str:
        """What a line on the screen says of it."""
        if self.reason:
            return f"left out: {self.reason}"
        apart = self.row["seeds_apart"]
        agreement = "" if apart is None else f", seeds {apart:.2f} apart"
        return f"{self.caption}{agreement}"


def judged(estimates: Sequence[Estimate], scale: int, grid: str) -> JudgedKernel:
    """Makes a pool's kernel of the first estimate, and holds the others against it.

    A kernel is left out when

    - training did not converge: taps are not finite, none is positive, or its sum is
      more than `SUM_OFF` from 1;
    - it is spread over its window: more than `BORDER_MASS` lies in the outermost ring;
    - another seed's differs from it by more than `SEEDS_APART`.

    Args:
      estimates: of one photograph, one for each seed.
      scale: HR size / LR size, 2 or 4.
      grid: where LR pixels lie, of GRIDS: it decides the kernel's centre of mass.
    """
    first = estimates[0]
    row: dict[str, Any] = {
        "separation": _rounded(first.separation),
        "bicubic_loss": _rounded(first.bicubic_loss),
    }
    try:
        halving = [significant(one.kernel) for one in estimates]
    except ValueError:
        return _left_out("gave a kernel of numbers that are not finite", row, scale)
    # A window with room for what centring moves.
    side = 2 * len(halving[0]) + 1
    centred = [placed(kernel, side) for kernel in halving]
    bicubic = placed(bicubic_kernel(len(halving[0])).clip(0.0), side)
    others = [mass_distance(centred[0], other) for other in centred[1:]]
    widths = [width_distance(centred[0], other) for other in centred[1:]]
    kernel = halving[0] if scale == 2 else twice(halving[0])
    kernel = placed(kernel, SIDES[scale], kernel_offset(scale, grid))
    border = 1.0 - halving[0][1:-1, 1:-1].sum()
    moments = kernel_moments(kernel[None])
    row |= {
        "bicubic_apart": _rounded(mass_distance(centred[0], bicubic)),
        "seeds_apart": _rounded(max(others)) if others else None,
        "seeds_apart_px": _rounded(max(widths)) if widths else None,
        "sum": _rounded(float(first.kernel.sum())),
        "border_mass": _rounded(border),
        "width_px": [_rounded(float(value)) for value in moments.sigma[0]],
    }
    reasons = {
        f"gave a kernel of sum {row['sum']}": abs(row["sum"] - 1.0) > SUM_OFF,
        f"gave a kernel spread over its window ({border:.0%} at its border)": border
        > BORDER_MASS,
        f"gave kernels that differ from seed to seed ({row['seeds_apart']} of the mass)"
        "": bool(others) and max(others) > SEEDS_APART,
    }
    reason = next((text for text, holds in reasons.items() if holds), "")
    return JudgedKernel(kernel, reason, _with_reason(row, reason))


def kernel_offset(scale: int, grid: str) -> float:
    """Where a kernel's centre of mass lies right of and below its middle tap."""
    return grid_geometry(scale, grid)[1]


def _left_out(reason: str, row: dict[str, Any], scale: int) -> JudgedKernel:
    delta = np.zeros([SIDES[scale]] * 2)
    delta[SIDES[scale] // 2, SIDES[scale] // 2] = 1.0
    row |= {"seeds_apart": None, "width_px": [0.0, 0.0]}
    return JudgedKernel(delta, reason, _with_reason(row, reason))


def _with_reason(row: dict[str, Any], reason: str) -> dict[str, Any]:
    return row | ({"left_out": reason} if reason else {})


def _rounded(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
