"""An estimate of a source in a few lines of text, for a terminal and a log."""

import numpy as np

from pdm_tf.core.source_estimate import (
    JpegPopulation,
    KernelPopulation,
    NoisePopulation,
    SourceEstimate,
)

# Signal levels at which the noise's strength is told: dark and bright.
LEVELS = (0.15, 0.7)


def short_form(estimate: SourceEstimate) -> list[str]:
    """Lines for people: what the photographs are, then kernels, noise and JPEG."""
    used = sum(not one.left_out for one in estimate.photographs)
    left_out = len(estimate.photographs) - used
    some = f", {left_out} left out" if left_out else ""
    return [
        f"measured {used} LR photographs{some}",
        f"  blur: {kernel_words(estimate.kernels)}",
        f"  noise: {noise_words(estimate.noise)}",
        f"  JPEG: {jpeg_words(estimate.jpeg)}",
    ]


def kernel_words(kernels: KernelPopulation) -> str:
    """Mean and spread of both axes, each mean with its 90 % interval."""
    found = kernels.intervals()
    parts = []
    for name in ("long", "short"):
        low, mean, high = found[name]["mean"]
        spread = found[name]["spread"][1]
        parts.append(
            f"{name} axis {mean:.2f} +- {spread:.2f} HR px (mean within {low:.2f} to "
            f"{high:.2f})"
        )
    return ", ".join(parts)


def noise_words(noise: NoisePopulation | None) -> str:
    """Strength in the dark and in the bright, and whether it is smoothed."""
    if noise is None:
        return "none beyond rounding"
    dark, bright = (noise.std_255(level) for level in LEVELS)
    smoothed = (
        f"smoothed by {noise.correlation_px:.2f} LR px"
        if noise.correlation_px
        else "white"
    )
    return (
        f"{dark:.1f} of 255 levels in the dark, {bright:.1f} in the bright, {smoothed}"
    )


def jpeg_words(jpeg: JpegPopulation | None) -> str:
    """Range and mean of the qualities, and how many photographs have none."""
    if jpeg is None:
        return "no traces"
    qualities = np.asarray([q for q in jpeg.qualities if q])
    none = len(jpeg.qualities) - len(qualities)
    without = f", no traces in {none} photographs" if none else ""
    if not len(qualities):
        return "no traces"
    return (
        f"quality {qualities.min()} to {qualities.max()}, mean {qualities.mean():.1f}, "
        f"chroma {jpeg.subsampling}{without}"
    )
