"""Axes and charts: values lie where the ticks say."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_tf.reporting.axes import axis_for, number, round_step
from pdm_tf.reporting.charts import Scale, Series, chart

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@given(VALUES, st.booleans(), st.booleans())
def test_all_values_and_ticks_lie_on_the_axis(values, zero, tight):
    axis = axis_for(values, zero=zero, tight=tight)
    for value in [*values, *axis.ticks, *([0.0] if zero else [])]:
        assert -1e-6 <= axis.place(value) <= 1 + 1e-6
    assert len(axis.ticks) <= 9
    assert list(axis.ticks) == sorted(set(axis.ticks))


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=20))
def test_logarithmic_axis_holds_all_values(values):
    axis = axis_for(values, logarithmic=True)
    assert all(-1e-9 <= axis.place(value) <= 1 + 1e-9 for value in values)
    assert axis.place(math.sqrt(axis.low * axis.high)) == pytest.approx(0.5)
    assert 2 <= len(axis.ticks) <= 8


def test_round_steps():
    steps = [round_step(s) for s in (0.011, 0.02, 0.3, 1, 7, 60)]
    assert steps == pytest.approx([0.02, 0.02, 0.5, 1, 10, 100])


def test_what_is_not_finite_is_left_out():
    axis = axis_for([math.nan, 1.0, math.inf, 3.0])
    assert (axis.low, axis.high) == (1.0, 3.0)


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


def places(made):
    """(x, y) of the points of the first line of a chart."""
    path = re.search(r'<path d="([^"]*)"', made).group(1)
    return [
        tuple(map(float, place.split(","))) for place in re.split("[ML]", path) if place
    ]


def test_line_lies_on_its_ticks():
    """The first value at the tick of its number, both ways; up is more."""
    made = chart("t", [Series("a", [(0, 0), (5, 5), (10, 10)])], Scale("x"), Scale("y"))
    (x0, y0), (x1, y1), (x2, y2) = places(made)
    assert x0 < x1 < x2 and y0 > y1 > y2
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    ticks = dict(
        (text, float(y))
        for y, text in re.findall(r'y="([\d.]+)" dy="0.35em"[^>]*>([^<]*)<', made)
    )
    assert ticks["0"] == pytest.approx(y0, abs=0.11)
    assert ticks["10"] == pytest.approx(y2, abs=0.11)


def test_a_gap_breaks_the_line_and_a_lone_point_is_drawn():
    points = [(0, 1), (1, 2), (2, math.nan), (3, 4)]
    made = chart("t", [Series("a", points)], Scale("x"), Scale("y"))
    path = re.search(r'<path d="([^"]*)"', made).group(1)
    assert path.count("M") == 2 and path.count("L") == 2


def test_long_curves_are_thinned_to_means():
    points = [(float(i), float(i % 2)) for i in range(100_000)]
    scale = Scale("y", include=(0.0, 1.0))
    made = chart("t", [Series("a", points)], Scale("x"), scale)
    assert len(places(made)) <= 240 and len(made) < 20_000
    heights = {y for _, y in places(made)}
    assert max(heights) - min(heights) < 2  # all near one half


def test_numbers_stand_below_for_readers_of_text():
    made = chart("t", [Series("a", [(1, 2.5)])], Scale("x, px"), Scale("y, dB"))
    assert "<summary>Numbers</summary>" in made
    assert "<td>2.5</td>" in made and 'scope="col">x, px<' in made
    assert 'role="img"' in made and "<title>t: y, dB against x, px</title>" in made


def test_unknown_role_is_refused():
    with pytest.raises(ValueError, match="`role` must be one of"):
        Series("a", [], "pink")
