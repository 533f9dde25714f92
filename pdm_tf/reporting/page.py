"""The document around the sections: title, verdict, contents, style and script.

Nothing is loaded from anywhere: the policy in the head forbids it, and lets no script
run but the one of this package, by its hash. So a text that got into the page as markup
would still do nothing.
"""

import base64
import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pdm_tf import __version__
from pdm_tf.reporting.markup import Child, Markup, join, tag

STATES = ("good", "warning", "bad", "plain")


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in its contents.

    Attributes:
      anchor: id, unique in the page.
      title: heading.
      lead: what is to be seen, and what to look for.
      body: markup.
    """

    anchor: str
    title: str
    lead: Child
    body: Child


@dataclass(frozen=True)
class Verdict:
    """The sentence that a reader in a hurry reads.

    Attributes:
      state: one of STATES; decides the colour, and its word is shown too.
      headline: one sentence.
      points: what led to it, one sentence each.
    """

    state: str
    headline: str
    points: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(
                f"`state` must be one of {', '.join(STATES)}. Received: {self.state!r}."
            )


def render_page(
    title: str,
    subtitle: Child,
    verdict: Verdict | None,
    sections: Sequence[Section],
    footer: Child,
) -> str:
    """The whole document.

    Raises:
      ValueError: two sections with one anchor.
    """
    anchors = [section.anchor for section in sections]
    if len(set(anchors)) != len(anchors):
        raise ValueError(f"Anchors must differ. Received: {', '.join(anchors)}.")
    style, script = asset("page.css"), asset("page.js")
    body = tag(
        "body",
        tag("a", "Skip to the sections", href="#main", class_="skip"),
        tag(
            "header",
            tag("h1", title),
            tag("p", subtitle, class_="subtitle"),
            _verdict(verdict) if verdict else None,
            tag("nav", _contents(sections), aria_label="Contents"),
        ),
        tag("main", (_section(section) for section in sections), id="main"),
        tag("footer", footer),
        tag("script", Markup(script)),
    )
    document = tag("html", _head(title, style, script), body, lang="en")
    return f"<!doctype html>\n{document}\n"


def made_by(left_out: Sequence[str] = ()) -> str:
    """A page's footer: version and time, and what could not be used, with reasons."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    text = f"Made by pdm_tf {__version__} at {now}. This file needs no network."
    return f"{text} Left out: {'; '.join(left_out)}." if left_out else text


@cache
def asset(name: str) -> str:
    """The text of a file in `assets/`."""
    folder = resources.files("pdm_tf.reporting") / "assets"
    return (folder / name).read_text(encoding="utf-8")


def _head(title: str, style: str, script: str) -> Markup:
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest())
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest.decode('ascii')}'; base-uri 'none'; "
        "form-action 'none'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(style)),
    )


def _verdict(verdict: Verdict) -> Markup:
    words = {"good": "Healthy", "warning": "Look closer", "bad": "Not usable"}
    word = words.get(verdict.state)
    return tag(
        "div",
        tag(
            "p",
            tag("strong", f"{word}. ") if word else None,
            verdict.headline,
            class_="headline",
        ),
        tag("ul", (tag("li", point) for point in verdict.points))
        if verdict.points
        else None,
        class_=f"verdict {verdict.state}",
        id="verdict",
    )


def _contents(sections: Sequence[Section]) -> Markup:
    return tag(
        "ul", (tag("li", tag("a", s.title, href=f"#{s.anchor}")) for s in sections)
    )


def _section(section: Section) -> Markup:
    heading = f"{section.anchor}-heading"
    return tag(
        "section",
        tag("h2", section.title, id=heading),
        tag("p", section.lead, class_="lead") if section.lead else None,
        join(section.body),
        id=section.anchor,
        aria_labelledby=heading,
    )
