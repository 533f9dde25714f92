"""What the SR network makes of real photographs, and how it scores on pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pdm_tf.reporting.page import Section
from pdm_tf.reporting.rendering import render
from pdm_tf.reporting.tables import Column, Sortable

# A region of one photograph in two ways: its name; (top, left, height, width) in LR
# pixels; bicubic's and the network's picture, [height * scale, width * scale, 3] uint8.
# What `evaluation.run_findings.Comparison` is.
Comparison = tuple[str, tuple[int, int, int, int], np.ndarray, np.ndarray]

_LEAD = (
    "Left of the line bicubic upsampling, right of it the network's result. Drag the "
    "line with the mouse or a finger, or focus a picture and use the arrow keys. Look "
    "for edges that become sharp without ringing and surfaces that stay calm. Grain "
    "that becomes a pattern means that the learned noise is too weak; wax-like "
    "surfaces, that it is too strong."
)


def sr_section(comparisons: Sequence[Comparison], note: str = "") -> Section:
    """Before/after sliders.

    Args:
      comparisons: one slider each.
      note: a line on how the pictures were chosen.

    Raises:
      ValueError: two pictures of one region that differ in size.
    """
    for name, _, bicubic_u8, sr_u8 in comparisons:
        if bicubic_u8.shape != sr_u8.shape:
            raise ValueError(
                "The pictures must have one size. "
                f"Received: {bicubic_u8.shape} and {sr_u8.shape} of {name}."
            )
    body = render("sr", comparisons=comparisons, note=note)
    return Section("sr", "Super-resolution of real photographs", _LEAD, body)


def scores_section(report: Mapping[str, Any], note: str = "") -> Section:
    """Scores on pairs, with what displacement costs.

    Args:
      report: `EvaluationResult.to_report`, with psnr, ssim, psnr_shift and bicubic.
      note: which pairs.
    """
    mean, bicubic = report["mean"], report["baseline"]["bicubic"]
    rows = [
        (
            who,
            _number(scores["psnr"], 2),
            _number(scores["psnr_shift"], 2),
            _gap(scores),
            _number(scores["ssim"], 4),
        )
        for who, scores in (("bicubic", bicubic), ("network", mean))
    ]
    headings = ("mean", "PSNR, dB", "best-shift PSNR, dB", "gap, dB", "SSIM")
    columns = [
        Column("image"),
        Column("PSNR, dB", 2),
        Column("over bicubic, dB", 2, signed=True),
        Column("best-shift PSNR, dB", 2),
        Column("gap, dB", 2, signed=True),
        Column("shift down, px", 0, signed=True),
        Column("shift right, px", 0, signed=True),
        Column("SSIM", 4),
    ]
    images = [_row(image) for image in report["images"]]
    body = render(
        "scores",
        means_title=f"Means over {report['count']} images",
        headings=headings,
        means=rows,
        images=Sortable("Each image; headings sort", columns, images),
        note=note,
    )
    return Section(
        "scores",
        "Scores on pairs, and alignment",
        "On photographs whose sharp original is known. Best-shift PSNR is the best "
        "over displacements of up to 6 pixels: what it gains over plain PSNR was "
        "misalignment, not blur. For an aligned network the gap is near 0 or below "
        "(the shifted images are compared on a smaller interior).",
        body,
    )


def _row(image: Mapping[str, Any]) -> list[str | float | None]:
    psnr, other = image["psnr"], image["bicubic"]["psnr"]
    gain = psnr - other if psnr is not None and other is not None else None
    shift = image["psnr_shift"]
    gap = shift - psnr if psnr is not None and shift is not None else None
    dy, dx = image["shift"]
    return [image["name"], psnr, gain, shift, gap, dy, dx, image["ssim"]]


def _gap(scores: Mapping[str, float | None]) -> str:
    if scores["psnr"] is None or scores["psnr_shift"] is None:
        return "\u2013"
    return f"{scores['psnr_shift'] - scores['psnr']:+.2f}".replace("-", "\u2212")


def _number(value: float | None, decimals: int) -> str:
    return "infinite" if value is None else f"{value:.{decimals}f}"
