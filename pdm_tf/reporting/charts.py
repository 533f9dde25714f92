"""Line and dot charts, drawn by matplotlib: SVG within a page, files for papers.

The size is that of a phone's column, so that letters stay readable there; wide windows
show several charts side by side. A series has a role ("learned", "true", ...), and a
role looks the same in every chart of a page. matplotlib writes the colours of the light
page; within a page they become the variables of its style sheet, so that charts are
dark where the page is. The same chart gives the same bytes.
"""

import hashlib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from pdm_tf.core.text_table import number
from pdm_tf.reporting.rendering import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Variables of page.css -> their values in light.
COLOURS = {
    "learned": "#c2410c",
    "true": "#1d5fa8",
    "baseline": "#7c7770",
    "other": "#0f766e",
    "soft": "#5f5c57",
    "rule": "#dedad3",
}
ROLES = ("learned", "true", "baseline", "other")
FORMATS = ("svg", "pdf")

_WIDTH, _HEIGHT = 400, 250  # px of the page; in files, points
_DRAWN = 240  # points of a line; more would not be seen at this width
_LISTED = 12  # rows of the table below
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": COLOURS["rule"],
    "axes.grid": True,
    "axes.labelcolor": COLOURS["soft"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 12,
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 1,
    "lines.solid_joinstyle": "round",
    "pdf.fonttype": 42,  # letters that can be searched, and edited
    "svg.fonttype": "none",
    "text.color": COLOURS["soft"],
    "text.parse_math": False,  # names are shown unchanged, $ and all
    "xtick.color": COLOURS["soft"],
    "xtick.major.pad": 6,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": COLOURS["soft"],
    "ytick.major.pad": 6,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line or cloud of dots.

    Attributes:
      name: for the legend.
      points: (x, y); non-finite values break the line.
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
    """The rules for an axis.

    Attributes:
      label: with the unit.
      zero: whether 0 must be on it (linear axes).
      logarithmic: whether equal factors are equal lengths; shows positive values alone.
      tight: whether it ends at the values rather than at round numbers.
      include: values that must be on it for any data.
    """

    label: str
    zero: bool = False
    logarithmic: bool = False
    tight: bool = False
    include: tuple[float, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart with title, legend and axes; its numbers can be opened below.

    Attributes:
      title: the chart's content, as a sentence or a noun.
      series: drawn in order, the first lowest.
      x, y: the axes.
      note: a line below: what to look for.
      same_unit: whether both axes get one range (of two widths, say).
    """

    title: str
    series: Sequence[Series]
    x: Scale
    y: Scale
    note: str = ""
    same_unit: bool = False

    def svg(self) -> Markup:
        """Draws the chart for a page."""
        import matplotlib

        # Names that parts of a drawing refer to must differ between charts of a page.
        salt = hashlib.sha256(repr(self).encode("utf-8", "replace")).hexdigest()
        with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
            text = _svg_text(_figure(self))
        label = f"{self.title}: {self.y.label} against {self.x.label}"
        label = escape(clean(label))
        opening = (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label="{label}; numbers below"><title>{label}</title>'
        )
        return Markup(opening + _for_page(text))

    def save(self, stem: Path) -> list[Path]:
        """Writes the chart as `stem`.svg and `stem`.pdf, with its legend."""
        import matplotlib

        written = [stem.with_name(f"{stem.name}.{ending}") for ending in FORMATS]
        stem.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({**_STYLE, "svg.hashsalt": self.title}):
            figure = _figure(self)
            if len(self.series) > 1:
                figure.axes[0].legend(frameon=False, fontsize=10)
            for path in written:
                date = "Date" if path.suffix == ".svg" else "CreationDate"
                figure.savefig(path, metadata={date: None})
        return written

    def rows(self) -> list[tuple[str, str, str]]:
        """Some of the points as (series, x, y), for readers of text."""
        rows = []
        for s in self.series:
            points = list(s.points)
            chosen = points[:: max(1, -(-len(points) // _LISTED))]
            if points and chosen[-1] != points[-1]:
                chosen.append(points[-1])
            rows += [(s.name, number(a, 4), number(b, 4)) for a, b in chosen]
        return rows


def limits(values: Sequence[float], scale: Scale) -> tuple[float, float]:
    """(low, high) of the axis that finite `values` fill, low < high."""
    from matplotlib.ticker import MaxNLocator

    finite = [v for v in (*values, *scale.include) if math.isfinite(v)]
    if scale.logarithmic:
        positive = [v for v in finite if v > 0] or [0.1, 1.0]
        low = math.floor(math.log10(min(positive)) + 1e-9)
        high = math.ceil(math.log10(max(positive)) - 1e-9)
        return (
            (10.0**low, 10.0**high) if low < high else (10.0 ** (low - 1), 10.0**high)
        )
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if scale.zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-12):
        pad = abs(low) * 0.05 or 0.5
        low, high = (0.0 if scale.zero and low == 0 else low - pad), high + pad
    if scale.tight:
        return low, high
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
    return float(ticks[0]), float(ticks[-1])


def _figure(chart: Chart) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH / 72, _HEIGHT / 72), dpi=72, layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot(facecolor="none")
    drawn = [_thinned(s) for s in chart.series]
    for series in drawn:
        _draw(axes, series)
    xs = [p[0] for s in drawn for p in s.points]
    ys = [p[1] for s in drawn for p in s.points]
    if chart.same_unit:
        xs = ys = xs + ys
    x, y = chart.x, chart.y
    axes.set(
        xlabel=clean(x.label),
        ylabel=clean(y.label),
        xscale="log" if x.logarithmic else "linear",
        yscale="log" if y.logarithmic else "linear",
    )
    axes.set(xlim=limits(xs, x), ylim=limits(ys, y))
    _set_ticks(axes.xaxis, x)
    _set_ticks(axes.yaxis, y)
    return figure


def _draw(axes: "Axes", series: Series) -> None:
    gap = (math.nan, math.nan)
    points = [p if all(map(math.isfinite, p)) else gap for p in series.points]
    xs, ys = zip(*points, strict=True) if points else ((), ())
    # Not clipped: a line along an edge would lose half of its width.
    look: dict[str, Any] = {"color": COLOURS[series.role], "clip_on": False}
    name = clean(series.name)
    if series.dots:
        look |= {"markersize": 6, "markeredgewidth": 0, "alpha": 0.6}
        axes.plot(xs, ys, "o", label=name, **look)
        return
    dashes = {"dashes": (2.5, 2)} if series.role == "baseline" else {}
    axes.plot(xs, ys, linewidth=2, solid_capstyle="round", label=name, **dashes, **look)
    gaps = [True, *(math.isnan(x) for x in xs), True]
    alone = [i for i in range(len(xs)) if gaps[i] and not gaps[i + 1] and gaps[i + 2]]
    if alone:  # a line of one point would not be seen
        lone = [xs[i] for i in alone], [ys[i] for i in alone]
        axes.plot(*lone, "o", markersize=2, markeredgewidth=0, **look)


def _set_ticks(axis: "Axis", scale: Scale) -> None:
    from matplotlib import ticker

    low, high = axis.get_view_interval()
    if not scale.logarithmic:
        # Few, where long numbers stand side by side.
        crowded = axis.axis_name == "x" and len(number(high)) > 5
        axis.set_major_locator(
            ticker.MaxNLocator(4 if crowded else 5, steps=[1, 2, 5, 10])
        )
    elif math.log10(high / low) <= 1.5:
        axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(ticker.NullLocator())


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


def _svg_text(figure: "Figure") -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()


def _for_page(svg: str) -> str:
    """Extracts matplotlib's <svg> content, adapted to stand with others in one page.

    It drops the style that would hold for the whole page and unused names, takes the
    page's colours and letters, rounds to tenths of pixels, and gives the look of a
    cloud's dots once.
    """
    body = svg[svg.index("<g ") :]
    used = set(re.findall(r"#([\w.-]+)", body))
    # A cloud's dots have one look, which moves from them to their group.
    look = r'( style="[^"]*")'
    body = re.sub(rf"<g([^>]*)>(?=\s*<use [^>]*{look})", r"<g\1\2>", body)
    body = re.sub(rf"(<use [^>]*){look}", r"\1", body)

    def tidy(found: re.Match[str]) -> str:
        """Rewrites a tag; the text between tags stays unchanged."""
        tag = re.sub(r' id="([^"]*)"', lambda m: m[0] * (m[1] in used), found[0])
        tag = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", tag)
        tag = re.sub(r" ?font-family: [^;\"]*;?", "", tag).replace("xlink:href", "href")
        tag = re.sub(r"\d+\.\d\d+", lambda m: f"{float(m[0]):.1f}", tag)
        for name, colour in COLOURS.items():
            tag = tag.replace(colour, f"var(--{name})")
        return re.sub(r"\s+", " ", tag)

    return re.sub(r"\n\s*", " ", re.sub(r"<[^>]*>", tidy, body)).strip()
