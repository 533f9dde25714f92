"""How good a learned degradation is, in NumPy and SciPy, with ground truth or without.

With truth:
- `moments.py`: second moments of kernels, `moment_distance` (2-Wasserstein, HR px) and
  `spread_ratio` between two sets.
- `coverage.py`: distances between kernels judged on blurred photographs, coverage and
  density of the true ones.
- `yardsticks.py`: the same of a fixed kernel and of fresh true kernels, beside them.
- `noise.py`: standard deviation against signal level, spectrum, channel correlation.
Without:
- `features.py`, `two_sample.py`: whether real and synthesised LR patches differ.
- `moments.py`: `kernel_statistics`, what a set of kernels says about itself.

`evaluation/degradation.py` measures all of them on a trained degradation model.
"""

from pdm_tf.metrics.degradation.coverage import (
    NEIGHBOURS,
    Coverage,
    best_single,
    centred,
    coverage,
    kernel_distances,
    neighbour_radii,
    resized,
    window_products,
)
from pdm_tf.metrics.degradation.features import PATCH, cut_patches, patch_features
from pdm_tf.metrics.degradation.moments import (
    KernelStatistics,
    MomentSpread,
    assignment_distance,
    bures_distances,
    kernel_statistics,
    moment_distance,
    moment_spread,
    spread_ratio,
)
from pdm_tf.metrics.degradation.noise import (
    NoiseLevels,
    channel_correlation,
    level_ratios,
    noise_levels,
    noise_of_pair,
    noise_spectrum,
)
from pdm_tf.metrics.degradation.two_sample import (
    Accuracy,
    KernelDistance,
    classifier_accuracy,
    kernel_distance,
    wilson_interval,
)
from pdm_tf.metrics.degradation.yardsticks import KernelComparison, compare_kernels

__all__ = [
    "NEIGHBOURS",
    "PATCH",
    "Accuracy",
    "Coverage",
    "KernelComparison",
    "KernelDistance",
    "KernelStatistics",
    "MomentSpread",
    "NoiseLevels",
    "assignment_distance",
    "best_single",
    "bures_distances",
    "centred",
    "channel_correlation",
    "classifier_accuracy",
    "compare_kernels",
    "coverage",
    "cut_patches",
    "kernel_distance",
    "kernel_distances",
    "kernel_statistics",
    "level_ratios",
    "moment_distance",
    "moment_spread",
    "neighbour_radii",
    "noise_levels",
    "noise_of_pair",
    "noise_spectrum",
    "patch_features",
    "resized",
    "spread_ratio",
    "wilson_interval",
    "window_products",
]
