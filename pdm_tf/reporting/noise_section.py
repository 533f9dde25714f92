"""Learned noise: pictures, strength against brightness, spectrum, colour."""

import numpy as np

from pdm_tf.core.images import to_u8
from pdm_tf.reporting.charts import Scale, Series, chart
from pdm_tf.reporting.markup import Markup, join, tag
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.pictures import figure, picture, tiles
from pdm_tf.reporting.spectra import radial_spectrum
from pdm_tf.reporting.tables import facts_table

SHOWN = 8
LEVELS = 16  # bins of brightness
_FEWEST = 64  # pixels for a bin to count
_LARGEST = 64  # amplification

_LEAD = (
    "What the learned degradation adds after blur and downsampling. Healthy noise has "
    "no picture in it, no colour of its own, and a strength that grows with brightness "
    "as a sensor's does. Noise that shows the edges of the photograph imitates "
    "sharpness; flat grey tiles mean that it has vanished; a tint is a colour cast."
)


def noise_section(clean_lr: np.ndarray, noise: np.ndarray) -> Section:
    """The section.

    Args:
      clean_lr: [P, s, s, 3] float in [0, 1], before noise.
      noise: [P, s, s, 1 or 3] float, what was added.
    """
    factor = amplification(noise)
    charts = [
        chart(
            "Strength against brightness",
            [Series("learned noise", strength_curve(clean_lr, noise), "learned")],
            Scale("brightness before noise, 0 to 255", zero=True),
            Scale("standard deviation, 8-bit levels", zero=True),
            note="A sensor's line rises like a square root; a flat one is plain "
            "Gaussian noise.",
        ),
        chart(
            "Spectrum of the noise",
            [
                Series("learned noise", radial_spectrum(noise * 255.0), "learned"),
                Series("white noise of that strength", _white(noise), "baseline"),
            ],
            Scale("frequency, cycles per LR pixel", zero=True, tight=True),
            Scale("power, 8-bit levels squared", logarithmic=True),
            note="Falling to the right: grain larger than a pixel, as after JPEG or "
            "denoising. Rising at the left end: it carries picture content.",
        ),
    ]
    body = join(
        _pictures(clean_lr, noise, factor),
        tag("div", charts, class_="grid"),
        _facts(clean_lr, noise),
    )
    return Section("noise", "Noise", _LEAD, body)


def amplification(noise: np.ndarray) -> int:
    """A whole number that makes three standard deviations fill the range of greys."""
    spread = float(noise.std())
    return int(np.clip(np.floor(0.5 / max(3 * spread, 1e-9)), 1, _LARGEST))


def strength_curve(
    clean_lr: np.ndarray, noise: np.ndarray
) -> list[tuple[float, float]]:
    """Standard deviation of the noise by the brightness it was added to.

    Returns:
      (middle of the bin, standard deviation), both in 8-bit levels, for the bins of
      equal width that hold enough pixels. The mean within a bin is taken out.
    """
    level = np.broadcast_to(clean_lr, clean_lr.shape)
    added = np.broadcast_to(noise, clean_lr.shape)
    index = np.clip((level * LEVELS).astype(int), 0, LEVELS - 1)
    out = []
    for number in range(LEVELS):
        values = added[index == number]
        if len(values) >= _FEWEST:
            middle = (number + 0.5) / LEVELS * 255.0
            out.append((middle, float(values.std()) * 255.0))
    return out


def colour_cast(noise: np.ndarray) -> float:
    """Root mean square, over patches and channels, of the mean noise in a patch."""
    return float(np.sqrt(np.mean(noise.mean(axis=(1, 2)) ** 2)))


def content_correlation(clean_lr: np.ndarray, noise: np.ndarray) -> float:
    """Correlation of the noise with the picture's own detail; 0 for real noise.

    Detail: each grey value minus the mean of its four neighbours, a high-pass that sees
    edges and texture.
    """
    return float(np.corrcoef(_detail(clean_lr), _detail(noise))[0, 1])


def _detail(images: np.ndarray) -> np.ndarray:
    grey = images.mean(axis=-1)
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
    around = around + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return (grey[:, 1:-1, 1:-1] - around / 4).ravel()


def _pictures(clean_lr: np.ndarray, noise: np.ndarray, factor: int) -> Markup:
    figures = []
    for index in range(min(SHOWN, len(noise))):
        shown = to_u8(
            np.broadcast_to(0.5 + factor * noise[index], (*clean_lr[0].shape,))
        )
        spread = noise[index].std() * 255
        figures.append(
            figure(
                picture(shown, f"noise sample {index + 1}, amplified {factor} times"),
                f"std {spread:.1f} levels",
            )
        )
    return tiles(
        f"Samples, amplified {factor} times around grey", figures, size="large"
    )


def _white(noise: np.ndarray) -> list[tuple[float, float]]:
    curve = radial_spectrum(noise * 255.0)
    variance = float((noise.mean(axis=-1) * 255.0).var(axis=(1, 2)).mean())
    return [(frequency, variance) for frequency, _ in curve]


def _facts(clean_lr: np.ndarray, noise: np.ndarray) -> Markup:
    channels = noise.mean(axis=(0, 1, 2)) * 255
    within = noise - noise.mean(axis=(1, 2), keepdims=True)
    of_patches = within.std(axis=(1, 2, 3)) * 255
    facts = [
        ("standard deviation", f"{noise.std() * 255:.2f} levels of 255"),
        ("within a patch", f"{of_patches.min():.2f} to {of_patches.max():.2f} levels"),
        (
            "tint of a patch (root mean square)",
            f"{colour_cast(noise) * 255:.2f} levels",
        ),
        (
            "mean of red, green, blue" if noise.shape[-1] == 3 else "mean",
            ", ".join(f"{mean:+.2f}" for mean in channels) + " levels",
        ),
        (
            "correlation with the picture's detail",
            f"{content_correlation(clean_lr, noise):+.2f}",
        ),
    ]
    return facts_table("Numbers of the noise", facts)
