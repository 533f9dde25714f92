"""Pictures inside the page: pixels as data URIs, figures, rows and grids of figures."""

import base64
from collections.abc import Sequence

import numpy as np

from pdm_tf.core.images import encode_jpeg, encode_png
from pdm_tf.reporting.markup import Child, Markup, tag

JPEG_QUALITY = 92  # of photographs shown at their own size; no chroma subsampling


def png_uri(rgb_u8: np.ndarray) -> str:
    """[H, W, 3] uint8 as a data URI, pixel by pixel."""
    return _uri("image/png", encode_png(rgb_u8))


def jpeg_uri(rgb_u8: np.ndarray) -> str:
    """[H, W, 3] uint8 as a data URI, smaller and a little changed."""
    return _uri("image/jpeg", encode_jpeg(rgb_u8, JPEG_QUALITY))


def picture(rgb_u8: np.ndarray, alt: str, *, exact: bool = True) -> Markup:
    """One image.

    Args:
      rgb_u8: [H, W, 3] uint8.
      alt: what is to be seen, for whoever does not see it.
      exact: PNG, and enlarged as squares; otherwise JPEG, enlarged smoothly.
    """
    height, width = rgb_u8.shape[:2]
    return tag(
        "img",
        src=png_uri(rgb_u8) if exact else jpeg_uri(rgb_u8),
        alt=alt,
        width=width,
        height=height,
        class_="pixels" if exact else None,
    )


def figure(image: Markup, caption: Child, *, class_: str = "tile") -> Markup:
    """An image with the words below it."""
    return tag(
        "figure", image, tag("figcaption", caption) if caption else None, class_=class_
    )


def tiles(title: str, figures: Sequence[Markup], *, size: str = "small") -> Markup:
    """Figures of one size that fill the width, under a title.

    Args:
      title: of the group.
      figures: from `figure`.
      size: "small" (kernels) or "large" (patches).
    """
    return tag(
        "div",
        tag("h3", title),
        tag("div", figures, class_=f"tiles {size}"),
        class_="group",
    )


def columns(figures: Sequence[Markup], label: str) -> Markup:
    """Figures in one row, which scrolls by itself where the window is too narrow."""
    return tag(
        "div",
        tag("div", figures, class_="columns"),
        class_="scroll",
        role="region",
        aria_label=label,
        tabindex=0,
    )


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
