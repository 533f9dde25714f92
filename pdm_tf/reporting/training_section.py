"""Training curves: all numbers of metrics.jsonl, sorted into few charts.

Names that this file does not know ("loss/..." of a method yet to come) get a chart of
their own, so that nothing logged is hidden.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdm_tf.reporting.charts import Chart, Point, Scale, Series
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.rendering import render

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Curves:
    """A chart of some of the logged numbers.

    Attributes:
      title: of the chart.
      label: of its upper axis, with the unit.
      lines: (logged name, name in the legend, role).
      note: what to look for.
      logarithmic: of the values.
      include: values that must be in sight, to judge the others by.
    """

    title: str
    label: str
    lines: tuple[tuple[str, str, str], ...]
    note: str = ""
    logarithmic: bool = False
    include: tuple[float, ...] = ()


_CHARTS = (
    Curves(
        "Validation: PSNR",
        "dB",
        (
            ("val_ema/psnr", "averaged weights", "learned"),
            ("val/psnr", "last weights", "other"),
            ("val_ema/psnr_shift", "averaged, best shift", "true"),
            ("val/bicubic/psnr", "bicubic", "baseline"),
        ),
        "Best shift forgives a displaced result: a gap to plain PSNR is misalignment.",
    ),
    Curves(
        "Validation: SSIM",
        "SSIM",
        (
            ("val_ema/ssim", "averaged weights", "learned"),
            ("val/ssim", "last weights", "other"),
            ("val/bicubic/ssim", "bicubic", "baseline"),
        ),
    ),
    Curves(
        "SR loss",
        "mean absolute error",
        (("loss/sr_l1", "L1", "learned"),),
        "Of one batch at each point, so it jumps.",
    ),
    Curves(
        "SR loss: features",
        "mean absolute error",
        (("loss/sr_perceptual", "perceptual", "learned"),),
        "Distance between activations of the feature network, of one batch.",
    ),
    Curves(
        "SR against HR discriminator",
        "loss",
        (
            ("loss/sr_adv", "SR network", "learned"),
            ("loss/d_hr", "HR discriminator", "true"),
        ),
        "A discriminator near 0 has won: nothing is learned from it any more.",
    ),
    Curves(
        "Answers of the HR discriminator",
        "mean output",
        (
            ("stat/d_hr_real", "of HR", "true"),
            ("stat/d_hr_fake", "of results", "learned"),
        ),
        "The nearer the lines, the less it can distinguish them.",
    ),
    Curves(
        "Degradation against discriminator",
        "loss",
        (
            ("loss/g_adv", "degradation", "learned"),
            ("loss/d_lr", "discriminator", "true"),
        ),
        "With least-squares losses both settle at 0.25 when neither wins. A "
        "discriminator near 0 has won: nothing is learned from it any more.",
    ),
    Curves(
        "Answers of the discriminator",
        "mean output",
        (
            ("stat/d_real", "of observed LR", "true"),
            ("stat/d_fake", "of synthesised LR", "learned"),
        ),
        "Together near 0.5: it cannot distinguish them.",
    ),
    Curves(
        "Width of the kernels",
        "HR px",
        (
            ("stat/kernel_spread", "mean in a batch", "learned"),
            ("stat/kernel_spread_std", "standard deviation", "other"),
        ),
        "The lower line is diversity: at 0 all kernels of a batch are as wide.",
        include=(0.0,),
    ),
    Curves(
        "Centre of the kernels",
        "HR px off",
        (("stat/kernel_offset", "offset", "learned"),),
        "Should stay far below half a pixel.",
        include=(0.0, 0.5),
    ),
    Curves(
        "Strength of the noise",
        "of the range 0 to 1",
        (
            ("stat/noise_std", "standard deviation", "learned"),
            ("stat/noise_mean", "mean", "other"),
        ),
        "0.004 is one 8-bit level. A mean away from 0 is a colour or brightness cast.",
    ),
)
# Shown elsewhere, or of use to developers only.
_LEFT_OUT = ("perf/", "val/", "val_ema/", "stat/grad_norm", "stat/learning_rate")


def training_section(records: Records) -> Section | None:
    """Makes the section; None for a run that logged nothing."""
    drawn = (_chart(curves, records) for curves in _all_charts(records))
    charts = tuple(chart for chart in drawn if chart is not None)
    if not charts:
        return None
    return Section(
        "training",
        "Training",
        "Curves of the run. Adversarial training has no loss that falls steadily: "
        "healthy curves settle and go on trembling; a curve that drifts away for good "
        "has failed.",
        render("charts", charts=charts),
        charts,
    )


def curve(records: Records, name: str) -> list[Point]:
    """(step, value) of a logged number, in the order of the steps."""
    return [
        (float(record["step"]), float(record[name]))
        for record in records
        if isinstance(record.get(name), int | float)
        and not isinstance(record[name], bool)
    ]


def last_value(records: Records, name: str) -> float | None:
    """The newest finite value of a logged number."""
    values = [value for _, value in curve(records, name) if math.isfinite(value)]
    return values[-1] if values else None


def last_text(records: Records, name: str) -> str:
    """The newest logged text of that name; "" if there is none."""
    texts = [str(record[name]) for record in records if name in record]
    return texts[-1] if texts else ""


def _all_charts(records: Records) -> list[Curves]:
    known = {name for curves in _CHARTS for name, _, _ in curves.lines}
    names = dict.fromkeys(
        name
        for record in records
        for name, value in record.items()
        if "/" in name and isinstance(value, int | float)
    )
    others = [n for n in names if n not in known and not n.startswith(_LEFT_OUT)]
    return [
        *_CHARTS,
        *(Curves(_title(name), name, ((name, name, "learned"),)) for name in others),
    ]


def _title(name: str) -> str:
    """ "loss/noise_energy" -> "Noise energy"."""
    return name.partition("/")[2].replace("_", " ").capitalize()


def _chart(curves: Curves, records: Records) -> Chart | None:
    series = [
        Series(legend, points, role)
        for name, legend, role in curves.lines
        if len(points := curve(records, name)) > 0
    ]
    if not series:
        return None
    return Chart(
        curves.title,
        series,
        Scale("step", zero=True, tight=True),
        Scale(curves.label, logarithmic=curves.logarithmic, include=curves.include),
        note=curves.note,
    )
