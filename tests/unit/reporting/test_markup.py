"""Escaping: what comes from outside stays text."""

import html
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_tf.reporting.markup import Markup, escape, join, tag


class Seen(HTMLParser):
    """What a parser finds: tags with attributes, and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append((name, attributes))

    def handle_data(self, data):
        self.text += data


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"])))
def test_any_text_comes_back_from_content_and_attribute(text):
    seen = Seen(tag("p", text, title=text))
    assert seen.tags == [("p", [("title", text)])]
    assert seen.text == text


@given(st.text())
def test_any_text_makes_one_element_that_can_be_written(text):
    """Lone surrogates and control characters too."""
    made = tag("p", text)
    made.encode("utf-8")
    assert [name for name, _ in Seen(made).tags] == ["p"]


def test_unfit_characters_are_replaced():
    assert escape("a\x00b\x1bc\u202ed\u2066e") == "a\ufffdb\ufffdc\ufffdd\ufffde"
    assert escape("\udcff") == "?"
    assert escape("tab\tline\n") == "tab\tline\n"


def test_markup_passes_and_is_not_escaped_twice():
    once = tag("b", "a & b")
    assert tag("p", once) == "<p><b>a &amp; b</b></p>"
    assert html.unescape(once) == "<b>a & b</b>"
    assert isinstance(join("a", [once, None, 3]), Markup)
    assert join("<", [once, None, 3]) == "&lt;<b>a &amp; b</b>3"


def test_attributes():
    made = tag("input", class_="a", data_value=3, checked=True, alt=None, hidden=False)
    assert made == '<input class="a" data-value="3" checked>'
    assert tag("svg", viewBox="0 0 1 1") == '<svg viewBox="0 0 1 1"></svg>'


@pytest.mark.parametrize("name", ["", "a b", "p>", "1a"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ValueError, match="must name an element"):
        tag(name)
    with pytest.raises(ValueError, match="plain name"):
        tag("p", **{name: 1})


def test_void_elements_take_nothing():
    with pytest.raises(ValueError, match="takes no content"):
        tag("img", "text")
