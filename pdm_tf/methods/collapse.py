"""Detects collapse of a degradation model on a few fixed samples.

The thresholds are in `core/degradation_limits.py`, each with its reason. A source
with one constant degradation is legitimate: the findings say what is seen and what it
means if the photographs do vary, and nothing stops the run. With
`--kernel_arg=latent=zero` kernels are alike by request, and no finding; nor is noise
that repeats with `--noise_arg=latent=zero`.

A network without kernels, which maps HR to LR images directly, fails in other ways:
`degrader_health` compares its images with the reduced photographs and two draws with
each other. `degradation_health` asks the right questions of either.

One look is 64 latents through the kernel module and two draws of noise on four patches:
0.02 to 0.6 s without, 1.6 to 2.8 s with the full noise module (two busy cores).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from pdm_tf.core import degradation_limits as limits
from pdm_tf.core.kernel_shapes import covariance_roots, second_moments
from pdm_tf.core.lr_fidelity import lr_fidelity
from pdm_tf.degradations import PDM, Degradation
from pdm_tf.methods.base import Finding, Health
from pdm_tf.methods.steps import crop_margin
from pdm_tf.ops.blur import kernel_side

LATENTS = 64
IMAGES = 4
_SEED = (20_220_310, 0)
_INVISIBLE = limits.INVISIBLE_NOISE_255 / 255.0  # images are in [0, 1] here


class _Cause(NamedTuple):
    """When a number is a finding, what is then seen, and what to do."""

    threshold: float
    side: Literal["above", "below"]
    what: str
    advice: str

    def holds_for(self, value: float) -> bool:
        if self.side == "below":
            return value < self.threshold
        return value > self.threshold


_CAUSES: Mapping[str, _Cause] = {
    "kernels_alike": _Cause(
        limits.ALIKE_SPREAD,
        "below",
        "the kernels of different latents are alike (spread of their widths over the "
        "mean width)",
        "If the photographs do vary in blur, start again with "
        "--kernel_arg=initial=gaussians or a larger initial_diversity; if they do not, "
        "--kernel_arg=latent=zero says so.",
    ),
    "kernels_delta": _Cause(
        limits.DELTA_MASS,
        "above",
        "the kernels are single taps (mean mass of the heaviest tap)",
        "Nothing is blurred any more and softmax hardly recovers: start again with "
        "--kernel_arg=initial=gaussians, or a lower --method_arg=noise_weight if noise "
        "is being imitated by aliasing.",
    ),
    "kernels_at_border": _Cause(
        limits.BORDER_MASS,
        "above",
        "the kernels lean on the border of their window (mean mass of its outermost "
        "ring)",
        "Raise --kernel_arg=kernel_size if blur is that wide, or "
        "--method_arg=centroid_weight if the kernels have drifted.",
    ),
    "noise_vanished": _Cause(
        _INVISIBLE,
        "below",
        "the noise has vanished below what 8 bits show (standard deviation)",
        "If the photographs are noisy, lower --method_arg=noise_weight; if they are "
        "not, train with --nonoise.",
    ),
    "noise_cast": _Cause(
        limits.CAST_ENERGY,
        "above",
        "the noise is a colour cast (share of its energy that is constant over an "
        "image)",
        "Raise --method_arg=noise_weight, or match the colours of --hr_dir to those of "
        "--lr_dir.",
    ),
    "noise_repeats": _Cause(
        limits.REPEATED_VARIANCE,
        "above",
        "the noise redraws the image (share of its variance that is the same for any "
        "latent)",
        "It does the kernel's work: raise --method_arg=noise_weight, or keep the image "
        "from it with --noise_arg=use_image=false.",
    ),
    "noise_swallows": _Cause(
        limits.SWALLOWED_CONTRAST,
        "above",
        "the noise swallows the content (its standard deviation over that of the clean "
        "images)",
        "Raise --method_arg=noise_weight, or lower --learning_rate.",
    ),
    # Of networks that map HR to LR images directly; the same for every method.
    "lr_cast": _Cause(
        limits.LR_CAST_255 / 255.0,
        "above",
        "the LR images are tinted (largest mean difference of a channel from the "
        "reduced photographs)",
        "If --lr_dir has the colours of --hr_dir, give the loss that ties LR images to "
        "the photographs (colour, identity or cycle) more weight; or match the colours "
        "of the two folders.",
    ),
    "content_lost": _Cause(
        limits.LR_CORRELATION,
        "below",
        "the LR images no longer show the photographs (correlation with the reduced "
        "ones)",
        "Pairs of such images teach nothing: start again with more weight on the loss "
        "that ties the LR images to the photographs (colour, identity or cycle), or a "
        "lower --learning_rate.",
    ),
    "lr_copied": _Cause(
        _INVISIBLE,
        "below",
        "the LR images are the reduced photographs (root mean square difference from "
        "them)",
        "Nothing has been learned that 8 bits show. If the photographs of --lr_dir are "
        "blurred or noisy, give the adversarial loss more weight.",
    ),
    "draws_alike": _Cause(
        _INVISIBLE,
        "below",
        "two draws give the same LR image (standard deviation of what differs)",
        "The network ignores its latent. If the photographs are noisy, give the "
        "adversarial loss more weight.",
    ),
}


def degradation_health(degradation: Degradation, hr: tf.Tensor) -> Health:
    """Looks at what a learned degradation does to fixed patches.

    Args:
      degradation: in any state of training; nothing in it changes.
      hr: [B, H, W, 3] HR patches with its margin; up to `IMAGES` are used.

    Returns:
      The numbers "alarm/<cause>" behind every cause that applies, and the findings.
    """
    if isinstance(degradation, PDM):
        return _pdm_health(degradation, hr)
    return degrader_health(degradation, hr)


def degrader_health(degrader: Degradation, hr: tf.Tensor) -> Health:
    """Looks at the LR images of a network without kernels; see `degradation_health`."""
    scale, around = degrader.scale, 2 * degrader.crop_margin
    height, width = (  # what of the crops whole LR pixels cover
        (side - around) // scale * scale + around for side in hr.shape[1:3]
    )
    hr = hr[:IMAGES, :height, :width]
    observed = degrader.observe(hr, tf.constant([_SEED[0], 1]))
    inner = crop_margin(hr, degrader.crop_margin).numpy()
    found = lr_fidelity(observed.lr.numpy(), inner, scale, degrader.grid)
    numbers = {
        "lr_cast": found.cast,
        "content_lost": found.correlation,
        "lr_copied": found.change,
    }
    if observed.noise is not None:
        numbers["draws_alike"] = float(observed.noise.numpy().std())
    return health_from(numbers)


def _pdm_health(pdm: PDM, hr: tf.Tensor) -> Health:
    """Looks at the kernels of fixed latents and at the noise on fixed patches."""
    numbers = kernel_numbers(_kernels(pdm, hr))
    if pdm.config.kernel.latent == "zero":
        del numbers["kernels_alike"]
    if pdm.noise_module is not None:
        hr = hr[:IMAGES]
        draws = [pdm.synthesise(hr, tf.constant([_SEED[0], draw])) for draw in (1, 2)]
        clean = draws[0].clean_lr.numpy()
        numbers |= noise_numbers(clean, *(x.noise.numpy() for x in draws))
        if pdm.config.noise.latent == "zero":
            del numbers["noise_repeats"]
    return health_from(numbers)


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
        "noise_swallows": float(np.sqrt(variance) / max(contrast, _INVISIBLE)),
    }


def health_from(numbers: Mapping[str, float]) -> Health:
    """Names the causes whose numbers are beyond their thresholds.

    Noise too weak to be seen has no other fault.
    """
    findings = []
    for cause, value in numbers.items():
        rule = _CAUSES[cause]
        if rule.holds_for(value):
            findings.append(
                Finding(cause, value, rule.threshold, rule.what, rule.advice)
            )
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
