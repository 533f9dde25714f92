"""The parts of a report that need the networks: sampled, upscaled, scored.

Each returns its sections, and the facts for the verdict that it found.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.data.pairs import ImagePair, load_pairs
from pdm_tf.evaluation.degradation import DegradationReport, measure_degradation
from pdm_tf.evaluation.kernels import kernel_moments
from pdm_tf.evaluation.runner import bicubic_upscaler, evaluate_pairs
from pdm_tf.models.bundle import Bundle
from pdm_tf.reporting.kernel_section import kernel_section
from pdm_tf.reporting.measured_section import measured_section
from pdm_tf.reporting.noise_section import (
    colour_cast,
    content_correlation,
    noise_section,
)
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.patch_section import patch_section
from pdm_tf.reporting.sampling import Photographs, sample_degradation
from pdm_tf.reporting.sr_section import compare, scores_section, sr_section

METRICS = ("psnr", "ssim", "psnr_shift")
# HR pixels scored at most (16 images of 481x321): a report takes seconds.
PAIR_PIXELS = 2_500_000

Upscaler = Callable[[np.ndarray], np.ndarray]


class Parts(NamedTuple):
    """Some sections.

    Attributes:
      sections: in order.
      facts: fields of `verdict.Facts`.
      left_out: what could not be used, with the reason.
    """

    sections: list[Section]
    facts: Mapping[str, Any]
    left_out: Sequence[str] = ()


def degradation_parts(
    bundle: Bundle,
    hr: Photographs,
    real_lr: Photographs | None,
    true_kernels: np.ndarray | None,
    seed: int,
) -> Parts:
    """Kernels, noise and patches of a learned degradation.

    Args:
      bundle: of a PDM.
      hr: photographs to degrade.
      real_lr: photographs it was learned from, if at hand.
      true_kernels: [N, K, K], or None.
      seed: of what is drawn.
    """
    drawn = sample_degradation(bundle, hr, real_lr, seed=seed)
    centre = bundle.network.centre_px
    moments = kernel_moments(drawn.kernels)
    facts: dict[str, Any] = {
        "width_std_px": float(moments.sigma[:, 0].std()),
        "one_kernel": bundle.config.kernel.latent == "zero",
        "centre_px": float(np.hypot(*(moments.offset.mean(axis=0) - centre))),
    }
    if true_kernels is not None:
        true_widths = kernel_moments(true_kernels).sigma[:, 0]
        facts["true_width_std_px"] = float(true_widths.std())
    sections = [kernel_section(drawn.kernels, true_kernels, centre_px=centre)]
    if drawn.noise is not None:
        facts |= {
            "noise_std": float(drawn.noise.std()) * 255,
            "noise_cast": colour_cast(drawn.noise) * 255,
            "noise_content": content_correlation(drawn.clean_lr, drawn.noise),
        }
        sections.append(noise_section(drawn.clean_lr, drawn.noise))
    sections.append(patch_section(drawn.real_lr_u8, drawn.fake_lr_u8))
    report, missing = _measured(bundle, hr, real_lr, true_kernels, seed)
    sections.append(measured_section(report.to_json() if report else {}, missing))
    if report and report.real_lr:
        classifier = report.real_lr.synthesised.classifier
        facts |= {
            "told_apart": classifier.accuracy,
            "told_apart_low": classifier.low,
        }
    return Parts(sections, facts)


def _measured(
    bundle: Bundle,
    hr: Photographs,
    real_lr: Photographs | None,
    true_kernels: np.ndarray | None,
    seed: int,
) -> tuple[DegradationReport | None, str]:
    """All metrics, or those without comparisons, and why some are missing."""
    network, photographs = bundle.network, hr.images_u8
    try:
        report = measure_degradation(
            network,
            photographs,
            true_kernels=true_kernels,
            real_lr=real_lr.images_u8 if real_lr else (),
            seed=seed,
        )
        return report, ""
    except UserError as error:
        missing = str(error)
    try:
        return measure_degradation(network, photographs, seed=seed), missing
    except UserError as error:
        return None, str(error)


def slider_parts(
    upscale: Upscaler, scale: int, real_lr: Photographs, count: int, grid: str
) -> Parts:
    """Before and after on photographs, evenly chosen by name.

    Args:
      upscale: of the network.
      scale: its factor.
      real_lr: LR photographs.
      count: how many to show.
      grid: sampling grid of the degradation, for a note; "" if unknown.
    """
    available = len(real_lr.names)
    chosen = np.linspace(0, available - 1, min(count, available)).round().astype(int)
    bicubic = bicubic_upscaler(scale)
    comparisons = [
        compare(real_lr.names[i], real_lr.images_u8[i], scale, upscale, bicubic)
        for i in chosen
    ]
    note = (
        f"{len(chosen)} of {real_lr.count} photographs of {real_lr.place}, evenly by "
        "name, not by looks; of each the most textured region."
    )
    if grid == "pixel0" and scale > 1:
        note += (
            f" The network puts LR pixel i on HR pixel {scale}i, where it was sampled; "
            "bicubic takes pixels for areas, so its picture lies "
            f"{(scale - 1) / 2:g} pixels further down and right."
        )
    return Parts([sr_section(comparisons, note)], {})


def score_parts(upscale: Upscaler, scale: int, hr_dir: str, lr_dir: str) -> Parts:
    """Scores on pairs, the first by name up to PAIR_PIXELS.

    Args:
      upscale: of the network.
      scale: its factor.
      hr_dir, lr_dir: folders of pairs.

    Raises:
      UserError: no pairs.
    """
    found = load_pairs(hr_dir, lr_dir, scale)
    pairs = _first_pixels(found.pairs)
    result = evaluate_pairs(
        upscale, pairs, metrics=METRICS, crop_border=scale, scale=scale
    )
    report = result.to_report()
    note = (
        f"The first {len(pairs)} of {len(found.pairs)} pairs of {hr_dir} and {lr_dir}, "
        f"RGB, {scale} pixels cropped off every side; a shift is where the network's "
        "content lies against the original."
    )
    mean, bicubic = report["mean"], report["baseline"]["bicubic"]
    facts = {
        "psnr": mean["psnr"],
        "psnr_shift": mean["psnr_shift"],
        "bicubic_psnr": bicubic["psnr"],
    }
    problems = [*found.problems, *result.problems]
    left_out = [f"{name}: {reason}" for name, reason in problems]
    return Parts([scores_section(report, note)], facts, left_out)


def _first_pixels(pairs: Sequence[ImagePair]) -> Sequence[ImagePair]:
    """As many as PAIR_PIXELS allow, one at least."""
    total = 0
    for number, pair in enumerate(pairs):
        height, width = pair.hr.size()
        total += height * width
        if number and total > PAIR_PIXELS:
            return pairs[:number]
    return pairs
