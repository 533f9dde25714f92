"""Two pictures over one another with a line between them that can be moved.

The line follows the mouse and the finger anywhere on the picture (pointer events, by
the page's script) and the arrow keys (an invisible range input, which is also what a
screen reader meets). A finger that moves up or down scrolls the page as usual.
"""

import numpy as np

from pdm_tf.reporting.markup import Child, Markup, tag
from pdm_tf.reporting.pictures import jpeg_uri


def slider(
    before_u8: np.ndarray,
    after_u8: np.ndarray,
    *,
    labels: tuple[str, str],
    alt: str,
    caption: Child,
) -> Markup:
    """A before/after comparison.

    Args:
      before_u8: [H, W, 3] uint8, shown left of the line.
      after_u8: the same shape, shown right of it.
      labels: of both, two or three words.
      alt: what the pictures show.
      caption: below.

    Raises:
      ValueError: pictures of two sizes.
    """
    if before_u8.shape != after_u8.shape:
        raise ValueError(
            "The pictures must have one size. "
            f"Received: {before_u8.shape} and {after_u8.shape}."
        )
    height, width = after_u8.shape[:2]
    size = {"width": width, "height": height, "draggable": "false"}
    frame = tag(
        "div",
        tag("img", src=jpeg_uri(after_u8), alt=f"{alt}, {labels[1]}", **size),
        tag(
            "img",
            src=jpeg_uri(before_u8),
            alt=f"{alt}, {labels[0]}",
            class_="before",
            **size,
        ),
        tag("span", labels[0], class_="label left", aria_hidden="true"),
        tag("span", labels[1], class_="label right", aria_hidden="true"),
        tag("span", class_="handle", aria_hidden="true"),
        tag(
            "input",
            type="range",
            min=0,
            max=100,
            value=50,
            aria_label=f"How much of {labels[0]} to show over {labels[1]}: {alt}",
        ),
        class_="frame",
        style=f"--ratio: {width} / {height}",
    )
    return tag("figure", frame, tag("figcaption", caption), class_="slider")
