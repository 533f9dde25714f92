"""HTML and SVG from Python calls, everything escaped that is not markup already.

    tag("p", "a < b & c")                      <p>a &lt; b &amp; c</p>
    tag("td", 3, class_="number", data_value=3)

File names, settings and messages come from outside; a text becomes part of a page only
through `escape`, so none of them can open a tag, end an attribute, or turn the text
around. Only values of the type `Markup` pass as they are.
"""

import html
import re
from collections.abc import Iterable
from typing import Any

# Elements without content; HTML forbids their end tag.
_VOID = ("br", "col", "hr", "img", "input", "link", "meta")
# What HTML cannot hold, and the marks that turn the direction of the text around them.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")

Child = Any  # Markup, text, number, None, or an iterable of them


class Markup(str):
    """Text that is HTML: made by this module, or written by hand in the code."""

    __slots__ = ()


def escape(value: object) -> Markup:
    """A text as HTML, fit for content and for quoted attributes.

    Lone surrogates (file names that are not UTF-8), control characters and
    bidirectional overrides become replacement characters.
    """
    if isinstance(value, Markup):
        return value
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return Markup(html.escape(_UNFIT.sub("\ufffd", text), quote=True))


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """One element.

    Args:
      name: of the element.
      children: content; texts are escaped, iterables taken apart, None left out.
      attributes: `class_` is class and `data_value` data-value. None and False leave an
        attribute out, True writes it without a value.

    Raises:
      ValueError: a name that is none, or content in an element that takes none.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"`name` must name an element. Received: {name!r}.")
    opening = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        if children:
            raise ValueError(f"<{name}> takes no content. Received: {children!r}.")
        return Markup(f"<{name}{opening}>")
    return Markup(f"<{name}{opening}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """The children one after the other, escaped as in `tag`."""
    return Markup("".join(_pieces(children)))


def _pieces(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str) or not isinstance(child, Iterable):
            yield escape(child)
        else:
            yield from _pieces(child)


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if not _NAME.fullmatch(name):
        raise ValueError(f"An attribute must have a plain name. Received: {key!r}.")
    if value is None or value is False:
        return ""
    # viewBox, preserveAspectRatio: SVG's names keep their capitals.
    return f" {name}" if value is True else f' {name}="{escape(value)}"'
