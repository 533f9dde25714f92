"""Escaping: what comes from outside stays text, in content and in attributes."""

from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from pdm_tf.reporting.rendering import Tile, clean, minus, render


class Seen(HTMLParser):
    """Collects tags with attributes, and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def facts(text):
    return Seen(render("facts", caption=text, facts=[(text, text)]))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), min_size=1))
def test_any_text_comes_back_from_content_and_attribute(text):
    seen = facts(text)
    names = [name for name, _ in seen.tags]
    assert names == ["div", "table", "caption", "tbody", "tr", "th", "td"]
    assert seen.tags[0][1]["aria-label"] == text
    assert seen.text.count(text) >= 3


@given(st.text())
def test_any_text_makes_the_same_elements_and_can_be_written(text):
    """Control characters too."""
    render("facts", caption=text, facts=[(text, text)]).encode("utf-8")
    assert len(facts(text).tags) == 7


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), min_size=1))
def test_texts_that_templates_join_are_escaped_once(text):
    """Lines, labels and captions that a template composes of several texts."""
    picture = np.zeros((4, 6, 3), np.uint8)
    shown = [(text, (0, 0, 4, 6), [(picture, picture, [text, text])])]
    seen = Seen(render("exhibits", exhibits=shown))
    alts = [attributes["alt"] for name, attributes in seen.tags if name == "img"]
    assert alts == [f"{text}, {text}, whole", f"{text}, {text}, enlarged"]
    labels = [found["aria-label"] for _, found in seen.tags if "aria-label" in found]
    assert labels == [f"{text}: whole pictures", f"{text}: region 6 x 4 at 0, 0"]
    seen = Seen(
        render("sr", comparisons=[(text, (1, 2, 4, 6), picture, picture)], note="")
    )
    assert f"{text}: 6 \u00d7 4 LR pixels at 2, 1" in "".join(seen.text)
    alts = [attributes["alt"] for name, attributes in seen.tags if name == "img"]
    assert alts == [f"{text}, network", f"{text}, bicubic"]


def test_unfit_characters_are_replaced():
    assert clean("a\x00b\x1bc\u202ed\u2066e") == "a\ufffdb\ufffdc\ufffdd\ufffde"
    assert clean("\udcff") == "?"
    assert clean("tab\tline\n") == "tab\tline\n"
    assert clean(None) == "" and clean(0) == "0"
    page = render("facts", caption="\udcff", facts=[("a\u202eb", "\x00")])
    assert "a\ufffdb" in page and ">?<" in page and "\x00" not in page


def test_a_value_that_a_template_needs_must_be_given():
    with pytest.raises(UndefinedError, match="facts"):
        render("facts", caption="x")


def test_pixels_come_through_as_they_are():
    """A tile's PNG, decoded, is the array; its size stands in the element."""
    import base64
    import io

    from PIL import Image

    rgb_u8 = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    groups = [("g", [Tile(rgb_u8, "alt", "")])]
    from pdm_tf.reporting.charts import Chart, Scale

    chart = Chart("t", [], Scale("x"), Scale("y"))
    seen = Seen(render("patches", groups=groups, chart=chart))
    (found,) = (attributes for name, attributes in seen.tags if name == "img")
    assert (found["width"], found["height"], found["alt"]) == ("7", "5", "alt")
    data = base64.b64decode(found["src"].removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), rgb_u8)


def test_hyphens_before_numbers_become_minus_signs():
    assert minus("-0.5 (-1 to -0.2)") == "\u22120.5 (\u22121 to \u22120.2)"
    assert minus("psnr_y - x2-net") == "psnr_y - x2-net"
