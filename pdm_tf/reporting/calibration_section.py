"""Calibration: what was learned, what was measured of the photographs, what is true.

It is made from values: an estimate of the source (`core.source_estimate`), kernels
drawn from what was learned, and the numbers of a degradation report. Where the estimate
was refined, the test that decided between the two is told as well.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pdm_tf.core.kernel_shapes import kernel_moments
from pdm_tf.core.source_estimate import NoisePopulation, SourceEstimate
from pdm_tf.core.source_words import LEVELS, jpeg_words
from pdm_tf.core.text_table import number
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.rendering import render

HEADINGS = ("of the source", "measured (90 % interval)", "learned", "true")
_LEAD = (
    "The LR photographs were measured before training: their blur by a regressor that "
    "was trained on the HR photographs, their noise by its strength in flat areas, "
    "JPEG by the traces that it leaves. Measured and learned have to agree. The "
    "interval follows from the number of photographs and the error of each "
    "measurement; a source unlike all that the regressor knows may lie outside."
)
_QUANTILES = (0.05, 0.95)

Triple = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """One quantity in its versions; None where it is not known.

    Attributes:
      name: what it is, with the unit.
      measured: (low, middle, high).
      learned, true: numbers.
    """

    name: str
    measured: Triple
    learned: float | None = None
    true: float | None = None

    @property
    def short(self) -> str:
        """The name without its unit, for a sentence."""
        return self.name.rpartition(",")[0]

    def row(self, with_true: bool) -> tuple[str, ...]:
        """Cells of a table."""
        low, middle, high = (number(x) for x in self.measured)
        cells = (self.name, f"{middle} ({low} to {high})", _text(self.learned))
        return (*cells, _text(self.true)) if with_true else cells


def calibrated(
    estimate: SourceEstimate,
    kernels: np.ndarray | None,
    true_kernels: np.ndarray | None,
    noise: Mapping[str, Any] | None,
) -> list[Calibrated]:
    """Brings together what is known of the same quantities.

    Args:
      estimate: of the source.
      kernels: [N, K, K] drawn from what was learned, or None.
      true_kernels: [M, K, K], or None.
      noise: "noise" of `DegradationReport.to_json`: learned noise, or None.
    """
    known = estimate.kernels.intervals()
    found = []
    for axis, name in enumerate(("long", "short")):
        learned, true = (_widths(some, axis) for some in (kernels, true_kernels))
        for part, of in (("mean", np.mean), ("spread", np.std)):
            found.append(
                Calibrated(
                    f"{part} of the kernels' {name} axis, HR px",
                    known[name][part],
                    None if learned is None else float(of(learned)),
                    None if true is None else float(of(true)),
                )
            )
    if estimate.noise is not None:
        found += [
            Calibrated(
                f"noise at {level:.0%} of the range, 8-bit levels",
                _noise_interval(estimate.noise, level),
                None if noise is None else _noise_at(noise, level),
            )
            for level in LEVELS
        ]
    return found


def calibration_section(
    quantities: list[Calibrated],
    estimate: SourceEstimate,
    decision: Mapping[str, Any] | None,
) -> Section:
    """The section.

    Args:
      quantities: of `calibrated`.
      estimate: of the source.
      decision: refine/decision.json, or None.
    """
    with_true = any(one.true is not None for one in quantities)
    notes = [f"JPEG: {jpeg_words(estimate.jpeg)}.", *estimate.kernels.gates]
    if estimate.noise is None:
        notes.insert(0, "Noise: none beyond rounding.")
    if decision:
        kept = {
            "estimate": "The SR network was trained with the degradation as measured",
            "refined": "The SR network was trained with the refined degradation",
        }[decision["accepted"]]
        notes.append(f"{kept}: {decision['why']}")
    body = render(
        "table",
        caption="Measured, learned and true" if with_true else "Measured and learned",
        headings=HEADINGS if with_true else HEADINGS[:-1],
        rows=[one.row(with_true) for one in quantities],
        notes=notes,
    )
    return Section("calibration", "Calibration", _LEAD, body)


def _widths(kernels: np.ndarray | None, axis: int) -> np.ndarray | None:
    return None if kernels is None else kernel_moments(kernels).sigma[:, axis]


def _noise_interval(noise: NoisePopulation, level: float) -> Triple:
    """Median strength over photographs, and what 90 % of them have."""
    random = np.random.default_rng(0)
    values, vectors = np.linalg.eigh(np.asarray(noise.log_covariance))
    drawn = random.standard_normal([2048, 2]) * np.sqrt(values.clip(0.0))
    read, shot = np.exp(np.asarray(noise.log_mean) + drawn @ vectors.T).T
    strength = 255.0 * np.sqrt(read**2 + shot * level)
    low, high = np.quantile(strength, _QUANTILES)
    return float(low), noise.std_255(level), float(high)


def _noise_at(noise: Mapping[str, Any], level: float) -> float | None:
    """Learned strength at the nearest level that is known, 8-bit levels."""
    known = [
        (abs(at - level), std)
        for at, std in zip(noise["level"], noise["std_by_level"], strict=True)
        if std is not None
    ]
    return 255.0 * min(known)[1] if known else None


def _text(value: float | None) -> str:
    return "not known" if value is None else number(value)
