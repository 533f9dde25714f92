"""The document around the sections: title, verdict, contents, style and script.

Nothing is loaded from anywhere: the policy in the head forbids it, and lets no script
run but the one of this package, by its hash. So a text that got into the page as markup
would still have no effect.
"""

import base64
import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from markupsafe import Markup

from pdm_tf import __version__
from pdm_tf.reporting.charts import Chart
from pdm_tf.reporting.rendering import render

# State -> the word that is shown with its colour.
STATES = {"good": "Healthy", "warning": "Look closer", "bad": "Not usable", "plain": ""}


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in its contents.

    Attributes:
      anchor: id, unique in the page.
      title: heading.
      lead: its content, and what to look for.
      body: HTML of `rendering.render`, or plain text.
      charts: those in the body, for figures in files.
    """

    anchor: str
    title: str
    lead: str
    body: Markup | str
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The sentence that a reader in a hurry reads.

    Attributes:
      state: one of STATES; decides the colour and the word.
      headline: one sentence.
      points: its reasons, one sentence each.
      advice: what to do about the headline, where it is not good.
    """

    state: str
    headline: str
    points: tuple[str, ...] = ()
    advice: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(
                f"`state` must be one of {', '.join(STATES)}. Received: {self.state!r}."
            )
        if self.state in ("warning", "bad") and not self.advice:
            raise ValueError(
                "`advice` must say what to do about a verdict that is not good. "
                f"Received none for: {self.headline}"
            )

    @property
    def word(self) -> str:
        """The state's word on the page."""
        return STATES[self.state]


def render_page(
    title: str,
    subtitle: str,
    verdict: Verdict | None,
    sections: Sequence[Section],
    footer: str,
) -> str:
    """Makes the whole document.

    Raises:
      ValueError: two sections with one anchor.
    """
    anchors = [section.anchor for section in sections]
    if len(set(anchors)) != len(anchors):
        raise ValueError(f"Anchors must differ. Received: {', '.join(anchors)}.")
    script = asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest())
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest.decode('ascii')}'; base-uri 'none'; "
        "form-action 'none'"
    )
    page = render(
        "page",
        title=title,
        subtitle=subtitle,
        verdict=verdict,
        sections=sections,
        footer=footer,
        policy=policy,
        style=Markup(asset("page.css")),
        script=Markup(script),
    )
    return f"{page}\n"


def made_by(left_out: Sequence[str] = ()) -> str:
    """Makes a page's footer: version and time, and unusable inputs, with reasons."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    text = f"Made by pdm_tf {__version__} at {now}. This file needs no network."
    return f"{text} Left out: {'; '.join(left_out)}." if left_out else text


@cache
def asset(name: str) -> str:
    """Reads the text of a file in `assets/`."""
    folder = resources.files("pdm_tf.reporting") / "assets"
    return (folder / name).read_text(encoding="utf-8")
