"""How good a learned degradation is, in NumPy and SciPy, with ground truth or without.

With truth:
- `moments.py`: second moments of kernels, `moment_distance` (2-Wasserstein, HR px) and
  `spread_ratio` between two sets.
- `coverage.py`: distances between kernels judged on blurred photographs, coverage and
  density of the true ones.
- `noise.py`: standard deviation against signal level, spectrum, channel correlation.
Without:
- `features.py`, `two_sample.py`: whether real and synthesised LR patches differ.
- `moments.py`: `kernel_statistics`, what a set of kernels says about itself.

`evaluation/degradation.py` measures all of them on a trained degradation model.
"""

from pdm_tf.metrics.degradation.moments import KernelMoments, kernel_moments

__all__ = ["KernelMoments", "kernel_moments"]
