"""Charts: values lie where the ticks say, look alike everywhere, and repeat."""

import math
import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_tf.core.text_table import number
from pdm_tf.reporting.charts import COLOURS, Chart, Scale, Series, limits

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@given(VALUES, st.booleans(), st.booleans())
def test_all_values_lie_on_the_axis(values, zero, tight):
    low, high = limits(values, Scale("x", zero=zero, tight=tight, include=(3.0,)))
    room = 1e-6 * (high - low)
    assert low < high
    for value in [*values, 3.0, *([0.0] if zero else [])]:
        assert low - room <= value <= high + room


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=20))
def test_logarithmic_axis_holds_all_values(values):
    low, high = limits(values, Scale("x", logarithmic=True))
    assert 0 < low < high
    assert all(low * 0.999 <= value <= high * 1.001 for value in values)


def test_non_finite_values_are_left_out():
    assert limits([math.nan, 1.0, math.inf, 3.0], Scale("x")) == (1.0, 3.0)
    assert limits([-1.0, 2.0, 30.0], Scale("x", logarithmic=True)) == (1.0, 100.0)
    assert limits([], Scale("x")) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (4000.0, "4,000"),
        (0.25, "0.25"),
        (-1.5, "\u22121.5"),
        (0.00001, "1e\u22125"),
        (math.nan, "none"),
    ],
)
def test_numbers_for_people(value, text):
    assert number(value) == text


def made(series, x=None, y=None, **settings):
    return Chart("t", series, x or Scale("x"), y or Scale("y"), **settings)


def places(svg, role="learned"):
    """(x, y) of the points of the line of a role."""
    path = re.search(rf'<path d="([^"]*)"[^>]*stroke: var\(--{role}\)', svg)[1]
    return [
        tuple(map(float, place)) for place in re.findall(r"([\d.]+) ([\d.]+)", path)
    ]


def ticks(svg):
    """Text of a tick of the y axis -> its height."""
    found = re.findall(
        r'<text [^>]*text-anchor: end[^>]* y="([\d.]+)"[^>]*>([^<]*)<', svg
    )
    return {text: float(y) for y, text in found}


def test_line_lies_on_its_ticks():
    """The first value at the tick of its number, both ways; up is more."""
    svg = made([Series("a", [(0, 0), (5, 5), (10, 10)])]).svg()
    (x0, y0), (x1, y1), (x2, y2) = places(svg)
    assert x0 < x1 < x2 and y0 > y1 > y2
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    at = ticks(svg)
    drop = at["0"] - y0  # letters stand on a line that lies below their middle
    assert 0 < drop < 8
    assert at["10"] - y2 == pytest.approx(drop, abs=0.21)


def test_a_logarithmic_axis_has_equal_factors_equally_far():
    points = [(0, 0.01), (1, 0.1), (2, 1.0)]
    svg = made([Series("a", points)], y=Scale("y", logarithmic=True)).svg()
    heights = [y for _, y in places(svg)]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.21)
    assert {"0.01", "0.1", "1"} <= set(ticks(svg))


def test_a_gap_breaks_the_line_and_a_lone_point_is_drawn():
    points = [(0, 1), (1, 2), (2, math.nan), (3, 4)]
    svg = made([Series("a", points)]).svg()
    path = re.search(r'<path d="([^"]*)"[^>]*stroke: var\(--learned\)', svg)[1]
    assert path.count("L") == 1  # from the first to the second alone
    assert svg.count("<use ") == 1


def test_dots_have_the_colour_and_the_places_of_their_values():
    """Their look is said once, where they stand together."""
    series = [Series("a", [(0, 0), (10, 10), (5, 5)], "true", dots=True)]
    svg = made(series).svg()
    group = re.search(r"<g [^>]*var\(--true\)[^>]*>((?:\s*<use [^>]*/>){3})", svg)
    xs = [float(x) for x in re.findall(r'<use [^>]*x="([\d.]+)"', group[1])]
    assert xs[2] == pytest.approx((xs[0] + xs[1]) / 2, abs=0.11) and xs[0] < xs[1]


def test_long_curves_are_thinned_to_means():
    points = [(float(i), float(i % 2)) for i in range(100_000)]
    svg = made([Series("a", points)], y=Scale("y", include=(0.0, 1.0))).svg()
    assert len(places(svg)) <= 242 and len(svg) < 20_000
    heights = {y for _, y in places(svg)}
    assert max(heights) - min(heights) < 2  # all near one half


def test_numbers_stand_below_for_readers_of_text():
    chart = made([Series("a", [(1, 2.5)])], Scale("x, px"), Scale("y, dB"))
    assert chart.rows() == [("a", "1", "2.5")]
    assert 'role="img"' in chart.svg()
    assert "<title>t: y, dB against x, px</title>" in chart.svg()
    many = made([Series("a", [(i, i) for i in range(1000)])]).rows()
    assert len(many) <= 14 and many[-1] == ("a", "999", "999")


def test_every_colour_is_a_variable_of_the_page_in_light():
    """So that a chart in a page is dark where the page is."""
    folder = resources.files("pdm_tf.reporting") / "assets"
    light = (folder / "page.css").read_text(encoding="utf-8").split("@media")[0]
    for name, colour in COLOURS.items():
        assert f"--{name}: {colour};" in light
    series = [Series(r, [(0, 1), (1, 2)], r) for r in ("true", "baseline", "other")]
    svg = made(series).svg()
    assert "#" not in re.sub(r'(url\(|href=")#', "", svg)  # no colour by number


def test_the_same_chart_is_the_same_bytes(tmp_path):
    chart = made([Series("a", [(0, 1), (1, 2)]), Series("b", [(0, 2)], "true", True)])
    assert chart.svg() == chart.svg()
    first = [path.read_bytes() for path in chart.save(tmp_path / "a" / "fig")]
    again = [path.read_bytes() for path in chart.save(tmp_path / "b" / "fig")]
    assert first == again and len(first) == 2


def test_names_within_two_charts_of_a_page_differ():
    one, two = (made([Series("a", [(0, 1), (1, n)], dots=True)]).svg() for n in (2, 3))
    names = [set(re.findall(r' id="([^"]*)"', svg)) for svg in (one, two)]
    assert names[0] and names[1] and not names[0] & names[1]


def test_files_for_papers_stand_alone(tmp_path):
    """With a legend, and in colours, which a page's variables would not be there."""
    chart = made([Series("net $x$", [(0, 1)]), Series("b", [(0, 2)], "true")])
    svg, pdf = chart.save(tmp_path / "fig")
    text = svg.read_text(encoding="utf-8")
    assert "net $x$" in text and COLOURS["true"] in text and "var(" not in text
    assert pdf.read_bytes().startswith(b"%PDF")


def test_hostile_labels_stay_text():
    evil = f"</svg><script>alert(1)</script>\u202e{COLOURS['true']} 1.2345"
    svg = Chart(evil, [Series(evil, [(0, 1)])], Scale(evil), Scale(evil)).svg()
    assert "<script" not in svg and "\u202e" not in svg and "&lt;script" in svg
    assert svg.count(f"{COLOURS['true']} 1.2345") == 8  # and nothing in them is tidied


def test_unknown_role_is_refused():
    with pytest.raises(ValueError, match="`role` must be one of"):
        Series("a", [], "pink")
