"""Learned and true blur kernels: a section of a page, and a picture by itself."""

from collections.abc import Sequence

import numpy as np

from pdm_tf.core import draw
from pdm_tf.core.kernel_shapes import KernelMoments, kernel_moments
from pdm_tf.reporting.charts import Chart, Scale, Series
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.rendering import Column, Sortable, Tile, render

SHOWN = 24

_LEAD = (
    "Each tile is one kernel drawn from the learned distribution: the weights with "
    "which HR pixels become one LR pixel, bright where they are large (the square "
    "root, so that faint tails show). A healthy gallery has many shapes and sizes, "
    "as the photographs have, each compact, smooth and centred on the cross. In a "
    "collapsed one all tiles look alike; in a failed one they are scattered dots, or "
    "mass piles up at the rim."
)


def kernel_section(
    learned: np.ndarray, true: np.ndarray | None, *, centre_px: float = 0.0
) -> Section:
    """Makes the section.

    Args:
      learned: [N, K, K], drawn from the learned distribution.
      true: [M, K, K] of the true one, or None.
      centre_px: offset of a centred kernel from its middle tap, HR pixels.
    """
    groups = [("learned", learned)] + ([("true", true)] if true is not None else [])
    moments = {name: kernel_moments(kernels) for name, kernels in groups}
    galleries = [
        _gallery(name, kernels, moments[name], centre_px) for name, kernels in groups
    ]
    charts = (
        Chart(
            "Widths",
            [
                Series(name, [tuple(s) for s in m.sigma[:256].tolist()], name, True)
                for name, m in reversed(moments.items())
            ],
            Scale("major width, HR px", zero=True),
            Scale("minor width, HR px", zero=True),
            note="One dot a kernel: standard deviation along its long and its short "
            "axis. Dots on the diagonal are round. A spread cloud is diversity; one "
            "spot is collapse.",
            same_unit=True,
        ),
        Chart(
            "Centres",
            [
                Series(
                    name,
                    [(dx, -dy) for dy, dx in (m.offset[:256] - centre_px).tolist()],
                    name,
                    True,
                )
                for name, m in reversed(moments.items())
            ],
            Scale("right of the centre, HR px", include=(-1.0, 1.0)),
            Scale("above the centre, HR px", include=(-1.0, 1.0)),
            note="Where the mass lies. A cloud away from 0, 0 displaces all SR images: "
            "unpaired training cannot see it.",
            same_unit=True,
        ),
    )
    statistics = _statistics(moments, centre_px)
    body = render("kernels", galleries=galleries, charts=charts, statistics=statistics)
    return Section("kernels", "Blur kernels", _LEAD, body, charts)


def without_kernels(reason: str) -> Section:
    """Makes the section of a network that has no kernels, which says so.

    Args:
      reason: why, beginning in lower case and without a full stop.
    """
    lead = f"None: {reason}. What follows judges its LR images instead."
    return Section("kernels", "Blur kernels", lead, "")


def _gallery(
    name: str, kernels: np.ndarray, moments: KernelMoments, centre_px: float
) -> tuple[str, list[Tile]]:
    """Draws a title, and the tiles below it."""
    shown = np.arange(min(SHOWN, len(kernels)))
    items = []
    for index in shown[np.argsort(moments.sigma[shown, 0], kind="stable")]:
        major, minor = moments.sigma[index]
        dy, dx = moments.offset[index] - centre_px
        alt = (
            f"{name} kernel, {major:.1f} by {minor:.1f} px wide, centre "
            f"{dx:+.1f} right and {dy:+.1f} below"
        )
        tile_u8 = draw.kernel_tile(kernels[index], side=kernels.shape[1])
        items.append(Tile(tile_u8, alt, f"{major:.1f} \u00d7 {minor:.1f}"))
    title = f"{name.capitalize()} kernels: {len(shown)} of {len(kernels)} drawn"
    return f"{title}, by width (major \u00d7 minor, HR px)", items


def _statistics(moments: dict[str, KernelMoments], centre_px: float) -> Sortable:
    rows: list[list[str | float]] = []
    for label, of in (
        ("major width, HR px", lambda m: m.sigma[:, 0]),
        ("minor width, HR px", lambda m: m.sigma[:, 1]),
        ("minor / major", lambda m: m.sigma[:, 1] / np.maximum(m.sigma[:, 0], 1e-9)),
        ("centre below, HR px", lambda m: m.offset[:, 0] - centre_px),
        ("centre right, HR px", lambda m: m.offset[:, 1] - centre_px),
    ):
        for name, group in moments.items():
            values = of(group)
            low, high = np.percentile(values, [5, 95])
            numbers = (values.mean(), values.std(), low, high)
            rows.append([label, name, *(float(v) for v in numbers)])
    columns = [
        Column("of each kernel"),
        Column("kernels"),
        Column("mean", 2),
        Column("standard deviation", 2),
        Column("5 %", 2),
        Column("95 %", 2),
    ]
    return Sortable("All drawn kernels", columns, rows)


def kernel_comparison(
    groups: Sequence[tuple[str, np.ndarray]],
    columns: int = 12,
    rows: int = 2,
    *,
    side: int = 84,
    cross_hair: bool = True,
) -> np.ndarray:
    """Draws groups of kernels below each other, each with its title and mean numbers.

    Args:
      groups: (title, kernels [N, K, K]), e.g. [("learned", ...), ("true", ...)].
      columns: kernels per row.
      rows: rows per group; further kernels are counted in the numbers, not drawn.
      side: about the size of one kernel in pixels.
      cross_hair: lines through the middle taps.

    Returns:
      [H, W, 3] uint8.

    Raises:
      ValueError: no group, or kernels that are not [N, K, K].
    """
    pictures = []
    for title, kernels in groups:
        shown = kernels[: columns * rows]
        moments = kernel_moments(kernels)
        dy, dx = moments.offset.mean(axis=0)
        long, short = moments.sigma.mean(axis=0)
        line = (
            f"{title}: {len(shown)} of {len(kernels)}; mean sigma {long:.2f} x "
            f"{short:.2f} px, mean centre {dy:+.2f}, {dx:+.2f} px (dy, dx)"
        )
        picture = draw.kernel_gallery(shown, columns, side=side, cross_hair=cross_hair)
        pictures.append(draw.with_title(picture, line))
    return draw.tile_grid([[picture] for picture in pictures], gap=12, margin=6)
