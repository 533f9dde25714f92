"""A measured distribution of kernels that a kernel module starts at."""

import dataclasses
from typing import Any

import numpy as np

from pdm_tf.core.source_estimate import Matrix, Vector


@dataclasses.dataclass(frozen=True)
class GaussianStart:
    """Where the Gaussians of `KernelModule` start, and how well that is known.

    The coordinates (m, d1, d2) are the module's own: a kernel's covariance is
    exp(m I + d1 diag(1, -1) + d2 [[0, 1], [1, 0]]) plus a floor, in squared HR px of
    the scale that the module is for. `from_estimate.gaussian_start` makes one of what
    was measured.

    Attributes:
      mean: [3] of the coordinates.
      covariance: [3, 3] of the coordinates, positive definite.
      mean_error: [3, 3] covariance of the error of `mean`, positive definite: small
        where many photographs say the same, large where they say nothing.
      photographs: how many it comes from, above 0.

    Raises:
      ValueError: another shape, or matrices that are not positive definite.
    """

    mean: Vector
    covariance: Matrix
    mean_error: Matrix
    photographs: float

    def __post_init__(self) -> None:
        # What went through JSON or Keras comes as lists.
        object.__setattr__(self, "mean", _floats(self.mean))
        for name in ("covariance", "mean_error"):
            rows = tuple(_floats(row) for row in getattr(self, name))
            object.__setattr__(self, name, rows)
            if not _is_positive_definite(rows):
                raise ValueError(
                    f"`{name}` of GaussianStart must be 3 x 3, symmetric and positive "
                    f"definite. Received: {rows}."
                )
        if len(self.mean) != 3 or not np.all(np.isfinite(self.mean)):
            raise ValueError(
                "`mean` of GaussianStart must be three finite numbers. "
                f"Received: {self.mean}."
            )
        if not self.photographs > 0:
            raise ValueError(
                "`photographs` of GaussianStart must be above 0. "
                f"Received: {self.photographs}."
            )


def _floats(values: Any) -> Any:
    return tuple(float(x) for x in values)


def _is_positive_definite(rows: Any) -> bool:
    if [len(row) for row in rows] != [3, 3, 3]:
        return False
    matrix = np.asarray(rows)
    if not np.all(np.isfinite(matrix)) or not np.allclose(matrix, matrix.T):
        return False
    return bool(np.linalg.eigvalsh(matrix)[0] > 0)
