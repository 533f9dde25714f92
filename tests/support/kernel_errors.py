"""How far estimated kernels are from the true ones, beside simple guesses.

    python -m tests.support.kernel_errors POOL TRUE_KERNELS HR_DIR

POOL is the folder of `pdm_tf.kernelgan` (x4) for the LR images of HR_DIR's photographs,
in the order of names; TRUE_KERNELS their kernels [N, K, K]. All are centred first. Two
errors:

- *levels*: root mean square difference of the LR images that the two kernels make of
  the photograph, in levels of 8 bit (`metrics.degradation.coverage`);
- *mass*: half the sum of differences, 0 for equal kernels and 1 for disjoint ones.

Guesses that know the truth: the Gaussian with the least mean error over all, and over
each (round, standard deviations in steps of 0.05 px), and the mean of the true kernels.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.core.kernel_shapes import kernel_moments
from pdm_tf.core.stored import read_json
from pdm_tf.estimation.kernel_forms import mass_distance, placed
from pdm_tf.estimation.kernel_judgement import judged
from pdm_tf.estimation.kernel_pool import read_estimates
from pdm_tf.metrics.degradation.coverage import kernel_distances, window_products

_SIDE = 37
_SIGMAS = np.arange(0.5, 6.0, 0.05)


def gaussian(sigma: float) -> np.ndarray:
    """[37, 37] round Gaussian of sum 1."""
    place = np.arange(_SIDE) - _SIDE // 2
    row = np.exp(-(place**2) / (2 * sigma**2))
    return np.outer(row, row) / row.sum() ** 2


def table(pool: Path, true_kernels: Path, hr_dir: Path) -> str:
    """Returns the comparison as a Markdown table, and a row for each photograph."""
    true = np.stack([placed(kernel, _SIDE) for kernel in np.load(true_kernels)])
    photographs = [read_rgb_u8(path) / 255.0 for path in list_images(hr_dir)]
    products = [window_products([image], _SIDE, 4) for image in photographs]

    def levels(kernel: np.ndarray, i: int) -> float:
        pair = kernel[None], true[i][None]
        return 255 * float(kernel_distances(*pair, products[i])[0, 0])

    count = range(len(true))
    grid = [[levels(gaussian(sigma), i) for i in count] for sigma in _SIGMAS]
    errors = np.array(grid)
    one = _SIGMAS[errors.mean(axis=1).argmin()]
    own = _SIGMAS[errors.argmin(axis=0)]
    delta = np.zeros([_SIDE, _SIDE])
    delta[_SIDE // 2, _SIDE // 2] = 1
    guesses: dict[str, Callable[[int], np.ndarray]] = {
        "delta": lambda i: delta,
        f"best single Gaussian ({one:.2f} px)": lambda i: gaussian(one),
        "mean of the true kernels": lambda i: true.mean(axis=0),
        "best Gaussian for each": lambda i: gaussian(own[i]),
    }
    rows = read_json(pool / "kernels.json")["photographs"]
    found = [read_estimates(pool / f"estimates/{row['name']}.npz") for row in rows]
    seeds = range(len(found[0]))
    for seed in seeds:
        kernels = [
            placed(judged([one[seed]], 4, "pixel0").kernel, _SIDE) for one in found
        ]
        guesses[f"KernelGAN, seed {seed}"] = lambda i, kernels=kernels: kernels[i]
    kept = [i for i in count if "left_out" not in rows[i]]
    lines = [
        f"| kernel | levels, all {len(true)} | mass, all "
        f"| levels, the {len(kept)} kept | mass, kept |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, kernel_of in guesses.items():
        level = np.array([levels(kernel_of(i), i) for i in count])
        mass = np.array([mass_distance(kernel_of(i), true[i]) for i in count])
        lines.append(
            f"| {name} | {level.mean():.2f} | {mass.mean():.2f} "
            f"| {level[kept].mean():.2f} | {mass[kept].mean():.2f} |"
        )
    widths = kernel_moments(true).sigma
    lines += ["", "| photograph | true width | found | seeds apart | levels | |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    first = guesses["KernelGAN, seed 0"]
    for i, row in enumerate(rows):
        long, short = row["width_px"]
        lines.append(
            f"| {row['name']} | {widths[i][0]:.1f} x {widths[i][1]:.1f} "
            f"| {long:.1f} x {short:.1f} | {row['seeds_apart']} "
            f"| {levels(first(i), i):.1f} | {row.get('left_out', 'kept')} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(*map(Path, sys.argv[1:4])))
