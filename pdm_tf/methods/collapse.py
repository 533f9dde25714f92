"""What has collapsed in a degradation model, seen on a few fixed samples.

Without ground truth only the samples themselves can be judged, so every threshold is a
statement about them that holds for any data; each is argued where it stands. A source
with one constant degradation is legitimate: the findings say what is seen and what it
means if the photographs do vary, and nothing stops the run. With
`--kernel_arg=latent=zero` kernels are alike by request, and no finding; nor is noise
that repeats with `--noise_arg=latent=zero`.

One look is 64 latents through the kernel module and two draws of noise on four patches:
0.02 to 0.6 s without, 1.6 to 2.8 s with the full noise module (two busy cores).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pdm_tf.core.kernel_shapes import covariance_roots, second_moments
from pdm_tf.degradations import PDM
from pdm_tf.methods.base import Finding, Health
from pdm_tf.ops.blur import kernel_side

LATENTS = 64
IMAGES = 4
_SEED = (20_220_310, 0)

# Widths that vary by less than a twentieth: the mildest real spread measured here
# (Gaussians of 0.6 to 2.2 px) is a third, paper mode's kernels are at 0.16 to 0.34. A
# source with one blur is below it rightly; the advice says so.
ALIKE = 0.05
# Nine tenths of the mass in one tap: what is left over changes an image by less than
# a tenth of what a pixel differs from its neighbours. No LR photograph is that sharp.
DELTA = 0.9
# The outermost ring of a box blur over 21 x 21 taps has 0.18 of the mass; more means
# that the window is too small or that kernels are pushed against it.
BORDER = 0.2
# Standard deviation of the error of rounding to 8 bits: weaker noise cannot be seen.
VANISHED = 1.0 / 255.0 / np.sqrt(12.0)
# More than half of the noise's energy: it is rather a cast than noise. White noise has
# 1 / pixels of its energy there.
CAST = 0.5
# More than half of what is left is the same for any z_n: the module redraws the image.
REPEATED = 0.5
# Noise stronger than the contrast of the images that it is added to.
SWALLOWED = 1.0

_CAUSES: Mapping[str, tuple[Callable[[float, float], bool], float, str, str]] = {
    "kernels_alike": (
        float.__lt__,
        ALIKE,
        "the kernels of different latents are alike (spread of their widths over the "
        "mean width)",
        "If the photographs do vary in blur, start again with "
        "--kernel_arg=initial=gaussians or a larger initial_diversity; if they do not, "
        "--kernel_arg=latent=zero says so.",
    ),
    "kernels_delta": (
        float.__gt__,
        DELTA,
        "the kernels are single taps (mean mass of the heaviest tap)",
        "Nothing is blurred any more and softmax hardly leads back: start again with "
        "--kernel_arg=initial=gaussians, or a lower --method_arg=noise_weight if noise "
        "is being imitated by aliasing.",
    ),
    "kernels_at_border": (
        float.__gt__,
        BORDER,
        "the kernels lean on the border of their window (mean mass of its outermost "
        "ring)",
        "Raise --kernel_arg=kernel_size if blur is that wide, or "
        "--method_arg=centroid_weight if the kernels have drifted.",
    ),
    "noise_vanished": (
        float.__lt__,
        VANISHED,
        "the noise has vanished below what 8 bits show (standard deviation)",
        "If the photographs are noisy, lower --method_arg=noise_weight; if they are "
        "not, train with --nonoise.",
    ),
    "noise_cast": (
        float.__gt__,
        CAST,
        "the noise is a colour cast (share of its energy that is constant over an "
        "image)",
        "Raise --method_arg=noise_weight, or match the colours of --hr_dir to those of "
        "--lr_dir.",
    ),
    "noise_repeats": (
        float.__gt__,
        REPEATED,
        "the noise redraws the image (share of its variance that is the same for any "
        "latent)",
        "It does the kernel's work: raise --method_arg=noise_weight, or keep the image "
        "from it with --noise_arg=use_image=false.",
    ),
    "noise_swallows": (
        float.__gt__,
        SWALLOWED,
        "the noise swallows the content (its standard deviation over that of the clean "
        "images)",
        "Raise --method_arg=noise_weight, or lower --learning_rate.",
    ),
}


def degradation_health(pdm: PDM, hr: tf.Tensor) -> Health:
    """Looks at the kernels of fixed latents and at the noise on fixed patches.

    Args:
      pdm: in any state of training; nothing in it changes.
      hr: [B, H, W, 3] HR patches with the model's margin; up to `IMAGES` are used.

    Returns:
      The numbers "alarm/<cause>" behind every cause that applies, and the findings.
    """
    numbers = kernel_numbers(_kernels(pdm, hr))
    if pdm.config.kernel.latent == "zero":
        del numbers["kernels_alike"]
    if pdm.noise_module is not None:
        hr = hr[:IMAGES]
        draws = [_degraded(pdm, hr, draw) for draw in (1, 2)]
        clean = draws[0].clean_lr.numpy()
        numbers |= noise_numbers(clean, *(x.noise.numpy() for x in draws))
        if pdm.config.noise.latent == "zero":
            del numbers["noise_repeats"]
    return judged(numbers)


def kernel_numbers(kernels: np.ndarray) -> dict[str, float]:
    """Cause -> number, of kernels [N, K*K] that sum to 1."""
    side = kernel_side(kernels.shape[-1])
    kernels = np.reshape(np.asarray(kernels, np.float64), [-1, side, side])
    roots = covariance_roots(second_moments(kernels))
    scatter = np.square(roots - roots.mean(axis=0)).sum(axis=(1, 2)).mean()
    size = np.square(roots).sum(axis=(1, 2)).mean()
    inner = kernels[:, 1:-1, 1:-1].sum(axis=(1, 2))
    return {
        "kernels_alike": float(np.sqrt(scatter / max(size, 1e-12))),
        "kernels_delta": float(kernels.max(axis=(1, 2)).mean()),
        "kernels_at_border": float(np.mean(1.0 - inner)),
    }


def noise_numbers(
    clean: np.ndarray, first: np.ndarray, second: np.ndarray
) -> dict[str, float]:
    """Cause -> number, of two independent draws of noise on the same clean images.

    Args:
      clean: [B, h, w, 3].
      first, second: [B, h, w, C] noise.
    """
    both = np.stack([first, second]).astype(np.float64)
    cast = both.mean(axis=(2, 3), keepdims=True)
    own = both - cast
    energy, variance = np.square(both).mean(), np.square(own).mean()
    contrast = (clean - clean.mean(axis=(1, 2), keepdims=True)).std()
    return {
        "noise_vanished": float(np.sqrt(energy)),
        "noise_cast": float(np.square(cast).mean() / max(energy, 1e-20)),
        # Independent draws have products of mean zero; what is left repeats.
        "noise_repeats": float((own[0] * own[1]).mean() / max(variance, 1e-20)),
        "noise_swallows": float(np.sqrt(variance) / max(contrast, VANISHED)),
    }


def judged(numbers: Mapping[str, float]) -> Health:
    """Names the causes whose numbers are beyond their thresholds.

    Noise too weak to be seen has no other fault.
    """
    findings = []
    for cause, value in numbers.items():
        is_beyond, threshold, what, advice = _CAUSES[cause]
        if is_beyond(value, float(threshold)):
            findings.append(Finding(cause, value, float(threshold), what, advice))
    if any(finding.cause == "noise_vanished" for finding in findings):
        findings = [
            finding
            for finding in findings
            if not finding.cause.startswith("noise_")
            or finding.cause == "noise_vanished"
        ]
    return Health({f"alarm/{k}": v for k, v in numbers.items()}, tuple(findings))


def _kernels(pdm: PDM, hr: tf.Tensor) -> np.ndarray:
    kernels = pdm.sample_kernels(LATENTS, _SEED[0], hr=hr)
    return kernels.reshape(len(kernels), -1)


def _degraded(pdm: PDM, hr: tf.Tensor, draw: int) -> Any:
    size = (hr.shape[1] - 2 * pdm.config.margin) // pdm.config.scale
    latents = pdm.draw_latents(len(hr), size, size, tf.constant([_SEED[0], draw]))
    return pdm(hr, *latents, training=False)
