"""Line and dot charts as inline SVG, with the numbers below for whoever cannot see.

The size is that of a phone's column, so that letters stay readable there; wide windows
show several charts side by side. Colours are classes of the style sheet: a series has a
role ("learned", "true", ...), and a role looks the same in every chart of a page.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pdm_tf.reporting.axes import Axis, axis_for, number
from pdm_tf.reporting.markup import Markup, join, tag
from pdm_tf.reporting.tables import plain_table

ROLES = ("learned", "true", "baseline", "other")

_WIDTH, _HEIGHT = 400, 250
_RIGHT, _TOP, _BOTTOM = 18, 10, 42
_GLYPH = 7.2  # width of a digit at the style sheet's 12 px, with a little room
_DRAWN = 240  # points of a line; more would not be seen at this width
_LISTED = 12  # rows of the table below

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line or cloud of dots.

    Attributes:
      name: for the legend.
      points: (x, y); what is not finite breaks the line.
      role: one of ROLES, decides the look.
      dots: dots instead of a line.
    """

    name: str
    points: Sequence[Point]
    role: str = "learned"
    dots: bool = False

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(
                f"`role` must be one of {', '.join(ROLES)}. Received: {self.role!r}."
            )


@dataclass(frozen=True)
class Scale:
    """How an axis is chosen; see `axes.axis_for`.

    Attributes:
      label: with the unit.
      zero, logarithmic, tight: as there.
      include: values that must be on it, whatever the data are.
    """

    label: str
    zero: bool = False
    logarithmic: bool = False
    tight: bool = False
    include: tuple[float, ...] = ()

    def axis(self, values: Sequence[float]) -> Axis:
        """The axis for the values of a chart."""
        return axis_for(
            [*values, *self.include],
            zero=self.zero,
            logarithmic=self.logarithmic,
            tight=self.tight,
        )


def chart(
    title: str,
    series: Sequence[Series],
    x: Scale,
    y: Scale,
    *,
    note: str = "",
    same_unit: bool = False,
) -> Markup:
    """A chart with title, legend, axes, and its numbers to be opened below.

    Args:
      title: what is to be seen, as a sentence or a noun.
      series: drawn in order, the first lowest.
      x, y: the axes.
      note: a line below: what to look for.
      same_unit: whether both axes get one range (of two widths, say).
    """
    drawn = [_thinned(s) for s in series]
    xs = [p[0] for s in drawn for p in s.points]
    ys = [p[1] for s in drawn for p in s.points]
    if same_unit:
        xs = ys = xs + ys
    frame = _Frame(x.axis(xs), y.axis(ys))
    legend = tag(
        "ul",
        (tag("li", tag("span", class_=f"swatch {s.role}"), s.name) for s in series),
        class_="legend",
    )
    return tag(
        "figure",
        tag("figcaption", tag("h3", title)),
        legend,
        _svg(title, drawn, frame, x.label, y.label),
        tag("p", note, class_="note") if note else None,
        _numbers(title, series, x.label, y.label),
        class_="chart",
    )


class _Frame:
    """Where values lie inside the SVG; the left margin fits the labels."""

    def __init__(self, x: Axis, y: Axis) -> None:
        self.x, self.y = x, y
        widest = max((len(number(value)) for value in y.ticks), default=1)
        self.left = 28 + _GLYPH * widest
        self.right, self.bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def at_x(self, value: float) -> float:
        """Pixels from the left."""
        return self.left + self.x.place(value) * (self.right - self.left)

    def at_y(self, value: float) -> float:
        """Pixels from the top."""
        return self.bottom - self.y.place(value) * (self.bottom - _TOP)

    def holds(self, point: Point) -> bool:
        """Whether a point can be drawn on these axes."""
        return all(
            math.isfinite(value) and (value > 0 or not axis.logarithmic)
            for value, axis in zip(point, (self.x, self.y), strict=True)
        )

    def spaced_x(self) -> Sequence[float]:
        """Ticks of the lower side that leave room for their labels."""
        widest = max((len(number(value)) for value in self.x.ticks), default=1)
        room = self.right - self.left
        fits = max(2, int(room / (_GLYPH * widest + 14)))
        return self.x.ticks[:: -(-len(self.x.ticks) // fits)]


def _svg(
    title: str, series: Sequence[Series], frame: _Frame, x_label: str, y_label: str
) -> Markup:
    label = f"{title}: {y_label} against {x_label}"
    return tag(
        "svg",
        tag("title", label),
        _grid(frame, x_label, y_label),
        [(_dots if s.dots else _line)(s, frame) for s in series],
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{label}; numbers below",
    )


def _grid(frame: _Frame, x_label: str, y_label: str) -> Markup:
    left, right, bottom = f"{frame.left:.1f}", frame.right, frame.bottom
    parts = []
    for value in frame.y.ticks:
        at = f"{frame.at_y(value):.1f}"
        parts.append(tag("line", x1=left, x2=right, y1=at, y2=at, class_="grid"))
        before = f"{frame.left - 6:.1f}"
        parts.append(
            tag("text", number(value), x=before, y=at, dy="0.35em", class_="tick y")
        )
    for value in frame.spaced_x():
        at = f"{frame.at_x(value):.1f}"
        parts.append(tag("line", x1=at, x2=at, y1=_TOP, y2=bottom, class_="grid"))
        parts.append(tag("text", number(value), x=at, y=bottom + 15, class_="tick x"))
    across, along = (frame.left + right) / 2, (_TOP + bottom) / 2
    turn = f"rotate(-90 11 {along:g})"
    parts.append(tag("text", x_label, x=f"{across:.1f}", y=_HEIGHT - 6, class_="axis"))
    parts.append(tag("text", y_label, x=11, y=along, transform=turn, class_="axis"))
    return join(parts)


def _line(series: Series, frame: _Frame) -> Markup:
    parts = []
    for fits, run in itertools.groupby(series.points, key=frame.holds):
        if fits:
            places = [f"{frame.at_x(a):.1f},{frame.at_y(b):.1f}" for a, b in run]
            # A lone point is a line of no length; round caps show it.
            parts.append("M" + "L".join(places if len(places) > 1 else places * 2))
    return tag("path", d="".join(parts), class_=f"line {series.role}")


def _dots(series: Series, frame: _Frame) -> Markup:
    return tag(
        "g",
        (
            tag("circle", cx=f"{frame.at_x(a):.1f}", cy=f"{frame.at_y(b):.1f}", r=3)
            for a, b in series.points
            if frame.holds((a, b))
        ),
        class_=f"dots {series.role}",
    )


def _thinned(series: Series) -> Series:
    """At most _DRAWN points: means of neighbours, which a line this wide shows."""
    points = list(series.points)
    if series.dots or len(points) <= _DRAWN:
        return series
    size = -(-len(points) // _DRAWN)
    means = []
    for start in range(0, len(points), size):
        group = points[start : start + size]
        means.append(tuple(sum(axis) / len(group) for axis in zip(*group, strict=True)))
    return Series(series.name, means, series.role)


def _numbers(title: str, series: Sequence[Series], x: str, y: str) -> Markup:
    """The chart as a table, some of its points."""
    rows = []
    for s in series:
        points = list(s.points)
        step = max(1, -(-len(points) // _LISTED))
        chosen = points[::step]
        if points and chosen[-1] != points[-1]:
            chosen.append(points[-1])
        rows += [(s.name, number(a, 4), number(b, 4)) for a, b in chosen]
    return tag(
        "details",
        tag("summary", "Numbers"),
        plain_table(f"{title}, some of the points", ("series", x, y), rows),
    )
