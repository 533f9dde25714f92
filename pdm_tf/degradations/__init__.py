"""Degradations with a call contract: HR images in, `Degraded` out.

A degradation has `margin` (HR pixels that it needs beyond each edge of the patch) and
is called as `degradation(hr, seed=seed)` -> `Degraded`. To add one: a file here and a
line in `DEGRADATIONS`, which maps a name to `make(scale)`.
"""

from pdm_tf.degradations.bicubic import BicubicDegradation

DEGRADATIONS = {"bicubic": BicubicDegradation}

__all__ = ["DEGRADATIONS", "BicubicDegradation"]
