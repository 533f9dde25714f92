"""Metrics of a learned degradation, in NumPy and SciPy, with or without ground truth.

With truth:
- `coverage.py`: distances between kernels measured on blurred photographs, coverage and
  density of the true ones, with those of a fixed kernel and of fresh true kernels.
- `moments.py`: 2-Wasserstein distance (HR px) of the second moments of kernels, and the
  ratio of the spreads of two sets.
- `noise.py`: standard deviation against signal level, spectrum, channel correlation.
Without:
- `two_sample.py`: whether real and synthesised LR patches differ.
- `moments.py`: `kernel_statistics`, statistics of a single set of kernels.

`evaluation/degradation.py` measures all of them on a trained degradation model.
"""
