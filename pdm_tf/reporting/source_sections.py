"""Kernels, noise, JPEG and photographs of an estimate, as sections of a page."""

import collections
from typing import Any

import numpy as np

from pdm_tf.core import draw
from pdm_tf.core.kernel_shapes import kernel_moments
from pdm_tf.core.progress import clock
from pdm_tf.core.source_estimate import (
    COORDINATES,
    Axes,
    KernelPopulation,
    NoisePopulation,
    SourceEstimate,
    axes_of,
)
from pdm_tf.core.source_words import LEVELS, jpeg_words, noise_words
from pdm_tf.reporting.charts import Chart, Scale, Series
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.rendering import Column, Sortable, Spread, Tile, render

SHOWN = 24
_DOTS = 256
_DRAWS = 2_048
_CURVE = np.linspace(0.0, 1.0, 33)

_KERNELS = (
    "Each tile is one kernel drawn from the estimated distribution, which is what "
    "training starts from: the weights with which HR pixels become one LR pixel. All "
    "are Gaussians; shapes such as motion are not measured. The chart has "
    "each photograph's own estimate, which scatters more than the truth, beside the "
    "distribution that remains when that scatter is taken out."
)
_NOISE = (
    "How strong noise is, against how bright the picture is. Sensors have noise that "
    "grows with brightness; the line is that of the median photograph, the dashed ones "
    "hold nine of ten photographs."
)
_JPEG = (
    "What JPEG left in the LR photographs: quality 1 to 100 of the tables that they "
    "were last stored with, by the file's header or by the comb that rounding leaves "
    "in the coefficients. Training draws from these qualities."
)
_PHOTOGRAPHS = (
    "Every photograph by itself, with half of its 90 % interval after the ±. A weight "
    "below 1 belongs to a photograph unlike the others (sharp texture and shallow "
    "focus mislead the estimate), which counts less. Look at the ends: a heading sorts."
)
_ABOUT = "What the numbers rest on, and what could not be seen."


def kernels_section(estimate: SourceEstimate, kernels: np.ndarray) -> Section:
    """Makes the section of the blur.

    Args:
      estimate: what was measured.
      kernels: [N, K, K], drawn from it.
    """
    moments = kernel_moments(kernels)
    shown = np.arange(min(SHOWN, len(kernels)))
    tiles = []
    for index in shown[np.argsort(moments.sigma[shown, 0], kind="stable")]:
        long, short = moments.sigma[index]
        alt = f"estimated kernel, {long:.1f} by {short:.1f} px wide"
        tile_u8 = draw.kernel_tile(kernels[index], side=kernels.shape[1])
        tiles.append(Tile(tile_u8, alt, f"{long:.1f} \u00d7 {short:.1f}"))
    title = f"{len(shown)} kernels drawn, by width (long \u00d7 short, HR px)"
    drawn = axes_of(estimate.kernels.draw(_DOTS))
    own = _own_axes(estimate)
    charts = (
        Chart(
            "Widths",
            [
                Series(
                    "estimated distribution", _pairs(drawn.long, drawn.short), dots=True
                ),
                Series(
                    "single photographs", _pairs(own.long, own.short), "other", True
                ),
            ],
            Scale("long axis, HR px", zero=True),
            Scale("short axis, HR px", zero=True),
            note="Standard deviations along both axes. Dots on the diagonal are round.",
            same_unit=True,
        ),
        Chart(
            "Directions",
            [
                Series("estimated distribution", _directions(drawn), dots=True),
                Series("single photographs", _directions(own), "other", True),
            ],
            Scale("direction of the long axis, °", include=(0.0, 180.0)),
            Scale("long axis / short axis", include=(1.0,)),
            note="0° lies along the rows, 90° along the columns. Heaps at one "
            "direction mean a camera that shakes one way, or photographs that all have "
            "lines in that direction.",
        ),
    )
    body = render(
        "kernels",
        galleries=[(title, tiles)],
        charts=charts,
        statistics=_statistics(estimate.kernels, own),
    )
    return Section("kernels", "Blur kernels", _KERNELS, body, charts)


def noise_section(estimate: SourceEstimate) -> Section:
    """Makes the section of the noise."""
    noise = estimate.noise
    own = [
        (level, std)
        for one in estimate.photographs
        if one.noise_255 is not None and not one.left_out
        for level, std in zip(LEVELS, one.noise_255, strict=True)
    ]
    if noise is None:
        return Section(
            "noise",
            "Noise",
            "None beyond the rounding to 8 bits was found, so none is added.",
            "",
        )
    charts = (
        Chart(
            "Strength of the noise",
            [
                *([Series("single photographs", own, "other", True)] if own else []),
                *(
                    Series(f"{q:.0%}", _curve(noise, q), "baseline")
                    for q in (0.05, 0.95)
                ),
                Series("median", _curve(noise, 0.5)),
            ],
            Scale("signal, 0 black to 1 white", tight=True),
            Scale("standard deviation, levels of 255", zero=True),
        ),
    )
    read, shot = np.exp(noise.log_mean)
    spread = np.sqrt(np.diag(np.asarray(noise.log_covariance)))
    facts = [
        ("in words", noise_words(noise)),
        (
            "constant part (read)",
            f"{255 * read:.2f} levels, \u00d7/÷ {np.exp(spread[0]):.2f}",
        ),
        ("part that grows (shot)", f"{shot:.5f}, \u00d7/÷ {np.exp(spread[1]):.2f}"),
        ("smoothed by", f"{noise.correlation_px:.2f} LR px"),
        (
            "correlation of R and G, G and B, R and B",
            ", ".join(f"{noise.colour[i][j]:.2f}" for i, j in ((0, 1), (1, 2), (0, 2))),
        ),
        ("photographs that gave a level", noise.photographs),
    ]
    body = render("charts", charts=charts) + render(
        "facts", caption="The noise", facts=facts
    )
    return Section("noise", "Noise", _NOISE, body, charts)


def jpeg_section(estimate: SourceEstimate) -> Section:
    """Makes the section of JPEG."""
    jpeg = estimate.jpeg
    if jpeg is None:
        return Section(
            "jpeg",
            "JPEG",
            "No traces of JPEG were found, neither in headers nor in the pixels. In "
            "photographs that were resized after JPEG none could be found.",
            "",
        )
    counts = sorted(collections.Counter(jpeg.qualities).items())
    found = [(float(quality), float(count)) for quality, count in counts if quality]
    charts = (
        Chart(
            "Qualities",
            [Series("photographs", found, dots=True)],
            Scale("JPEG quality", include=(0.0, 100.0)),
            Scale("photographs", zero=True),
        ),
    )
    sources = collections.Counter(
        one.jpeg.source for one in estimate.photographs if one.jpeg.source
    )
    known = {"header": "the files' headers", "comb": "the pixels", "learned": "a guess"}
    facts = [
        ("in words", jpeg_words(jpeg)),
        (
            "known from",
            ", ".join(f"{known[name]} ({n})" for name, n in sources.most_common())
            or known[jpeg.source],
        ),
        ("without traces", sum(not quality for quality in jpeg.qualities)),
        ("resolution of chroma", "full" if jpeg.subsampling == "444" else "half"),
    ]
    body = render("charts", charts=charts) + render(
        "facts", caption="JPEG", facts=facts
    )
    return Section("jpeg", "JPEG", _JPEG, body, charts)


def photographs_section(estimate: SourceEstimate) -> Section:
    """Makes the section with a row for each LR photograph."""
    columns = [
        Column("photograph"),
        Column("long axis, HR px", 2),
        Column("short axis, HR px", 2),
        Column("direction, °", 0),
        Column("dark noise, levels", 1),
        Column("bright noise, levels", 1),
        Column("JPEG quality", 0),
        Column("weight", 2),
        Column("left out"),
    ]
    rows: list[list[Any]] = []
    for one in estimate.photographs:
        if one.kernel is None:
            quality = one.jpeg.quality or None
            rows.append([one.name, *[None] * 5, quality, None, one.left_out])
            continue
        found = one.kernel.intervals()
        widths = [
            Spread(middle, (high - low) / 2.0)
            for low, middle, high in (found["long"], found["short"])
        ]
        angle = float(axes_of(np.asarray([one.kernel.mean])).angle_deg[0])
        rows.append(
            [
                one.name,
                *widths,
                angle,
                *(one.noise_255 or (None, None)),
                one.jpeg.quality or None,
                one.weight,
                one.left_out,
            ]
        )
    table = Sortable("Estimates of single photographs", columns, rows)
    body = render("sortable", table=table)
    return Section("photographs", "Every LR photograph", _PHOTOGRAPHS, body)


def about_section(estimate: SourceEstimate) -> Section:
    """Makes the section of gates, slopes, errors and times."""
    kernels = estimate.kernels
    facts: list[tuple[str, Any]] = [
        ("photographs, as a sum of weights", f"{kernels.photographs:.1f}"),
        (
            "direction of blur",
            "none is preferred" if kernels.isotropic else "some are preferred",
        ),
        ("grid of LR pixels", f"{estimate.grid} (assumed: it cannot be seen)"),
    ]
    for name, slope in zip(COORDINATES, kernels.slopes, strict=True):
        facts.append((f"seen of a change of {name}", f"{slope:.0%}"))
    facts += [("could not be seen", text) for text in kernels.gates]
    facts += _flat(estimate.facts)
    body = render("facts", caption="About the estimate", facts=facts)
    return Section("about", "About the estimate", _ABOUT, body)


def _flat(facts: Any, name: str = "") -> list[tuple[str, Any]]:
    """Nested JSON as rows; seconds as times, nothing as a dash."""
    if not isinstance(facts, dict):
        if isinstance(facts, float):
            in_seconds = name.startswith("seconds")
            return [(name, clock(facts) if in_seconds else f"{facts:.3g}")]
        if isinstance(facts, list | tuple):
            return [
                (
                    name,
                    ", ".join(
                        f"{x:.3g}" if isinstance(x, float) else str(x) for x in facts
                    ),
                )
            ]
        return [(name, facts)]
    rows = []
    for key, value in facts.items():
        rows += _flat(value, f"{name}, {key}" if name else str(key))
    return [
        (name.replace("_", " "), "–" if value == "" else value) for name, value in rows
    ]


def _own_axes(estimate: SourceEstimate) -> Axes:
    """Those of the single photographs that were used."""
    means = [one.kernel.mean for one in estimate.photographs if one.kernel is not None]
    return axes_of(np.reshape(means, [-1, 3]))


def _directions(axes: Axes) -> list[tuple[float, float]]:
    return _pairs(axes.angle_deg, axes.long / np.maximum(axes.short, 1e-3))


def _pairs(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _statistics(kernels: KernelPopulation, own: Axes) -> Sortable:
    found = kernels.intervals()
    rows: list[list[Any]] = []
    for name in ("long", "short"):
        single = getattr(own, name)
        for what, of in (("mean", np.mean), ("spread", np.std)):
            low, middle, high = found[name][what]
            raw = float(of(single)) if len(single) else None
            rows.append([f"{name} axis, {what}", middle, low, high, raw])
    columns = [
        Column("HR px"),
        Column("estimate", 2),
        Column("5 %", 2),
        Column("95 %", 2),
        Column("of the single estimates", 2),
    ]
    return Sortable("The distribution of widths", columns, rows)


def _curve(noise: NoisePopulation, quantile: float) -> list[tuple[float, float]]:
    """Standard deviation against signal that this share of photographs is below."""
    random = np.random.default_rng(0)
    drawn = random.multivariate_normal(noise.log_mean, noise.log_covariance, _DRAWS)
    read, shot = np.exp(drawn.T)
    std = 255.0 * np.sqrt(read[:, None] ** 2 + shot[:, None] * _CURVE)
    values = np.quantile(std, quantile, axis=0)
    return list(zip(_CURVE.tolist(), values.tolist(), strict=True))
