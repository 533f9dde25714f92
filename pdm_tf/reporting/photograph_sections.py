"""The networks' results on photographs: noise, LR patches, upscaled ones, scores.

The noise and the patches of a learned degradation come with their spectrum: power
against frequency, averaged over directions. The SR network is shown at work on real
photographs, with its scores on pairs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pdm_tf.core.images import to_u8
from pdm_tf.reporting.charts import Chart, Scale, Series
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.rendering import Column, Sortable, Tile, minus, render

BINS = 24  # of a spectrum
NOISE_SHOWN = 8
PATCHES_SHOWN = 12
LEVELS = 16  # bins of brightness
_FEWEST = 64  # pixels for a bin to count
_LARGEST = 64  # amplification

_NOISE_LEAD = (
    "The learned degradation adds this noise after blur and downsampling. Healthy "
    "noise has "
    "no picture in it, no colour of its own, and a strength that grows with brightness "
    "as a sensor's does. Noise that shows the edges of the photograph imitates "
    "sharpness; flat grey tiles mean that it has vanished; a tint is a colour cast."
)

_DRAWN_LEAD = (
    "The network adds no noise that could be looked at by itself. This is what differs "
    "between two of its LR images of one photograph, over the square root of two: what "
    "it draws. Grain that it makes of the photograph alone is the same in both and not "
    "in here. Healthy noise has no picture in it, no colour of its own, and a strength "
    "that grows with brightness as a sensor's does; flat grey tiles mean that the "
    "network ignores what it draws."
)

_PATCH_LEAD = (
    "Left, random patches of your LR photographs; right, random patches of other, "
    "sharp photographs that went through the learned degradation. They show different "
    "things and should have the same character: sharpness of edges, grain, colour of "
    "the noise. If you can tell at a glance which side a patch is from, so can the SR "
    "network. Pixels are enlarged, not smoothed."
)
# A region of one photograph in two ways: its name; (top, left, height, width) in LR
# pixels; bicubic's and the network's picture, [height * scale, width * scale, 3] uint8.
# An `evaluation.run_findings.Comparison` is one.
Comparison = tuple[str, tuple[int, int, int, int], np.ndarray, np.ndarray]
_LEAD = (
    "Left of the line bicubic upsampling, right of it the network's result. Drag the "
    "line with the mouse or a finger, or focus a picture and use the arrow keys. Look "
    "for edges that become sharp without ringing and surfaces that stay calm. Grain "
    "that becomes a pattern means that the learned noise is too weak; wax-like "
    "surfaces, that it is too strong."
)


def noise_section(
    clean_lr: np.ndarray, noise: np.ndarray, *, adds: bool = True
) -> Section:
    """The section.

    Args:
      clean_lr: [P, s, s, 3] float in [0, 1], before noise.
      noise: [P, s, s, 1 or 3] float, added to them.
      adds: whether the degradation adds it, or two draws were compared.
    """
    factor = amplification(noise)
    charts = (
        Chart(
            "Strength against brightness",
            [Series("learned noise", strength_curve(clean_lr, noise), "learned")],
            Scale("brightness before noise, 0 to 255", zero=True),
            Scale("standard deviation, 8-bit levels", zero=True),
            note="A sensor's line rises like a square root; a flat one is plain "
            "Gaussian noise.",
        ),
        Chart(
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
    )
    body = render(
        "noise",
        factor=factor,
        samples=_noise_tiles(clean_lr, noise, factor),
        charts=charts,
        facts=_noise_facts(clean_lr, noise),
    )
    lead = _NOISE_LEAD if adds else _DRAWN_LEAD
    return Section("noise", "Noise", lead, body, charts)


def patch_section(real_lr_u8: np.ndarray | None, fake_lr_u8: np.ndarray) -> Section:
    """The section.

    Args:
      real_lr_u8: [P, s, s, 3] uint8, observed, or None where none are at hand.
      fake_lr_u8: [P, s, s, 3] uint8, synthesised.
    """
    pairs = [("Synthesised", "learned", fake_lr_u8)]
    if real_lr_u8 is not None:
        pairs.insert(0, ("Observed", "true", real_lr_u8))
    groups = [
        (
            f"{title}, {len(patches[:PATCHES_SHOWN])} of {len(patches)}",
            [
                Tile(patch, f"{title} LR patch {number}")
                for number, patch in enumerate(patches[:PATCHES_SHOWN], start=1)
            ],
        )
        for title, _, patches in pairs
    ]
    spectra = Chart(
        "Spectrum of the patches",
        [
            Series(title.lower(), radial_spectrum(patches / 255.0), role)
            for title, role, patches in pairs
        ],
        Scale("frequency, cycles per LR pixel", zero=True, tight=True),
        Scale("power", logarithmic=True),
        note="The two lines should fall alike. Synthesised above observed at the right "
        "end: too sharp or too noisy; below: too blurred or too clean.",
    )
    body = render("patches", groups=groups, chart=spectra)
    title, lead = "Observed and synthesised LR patches", _PATCH_LEAD
    if real_lr_u8 is None:
        title = "Synthesised LR patches"
        lead = "Sharp photographs that went through the learned degradation, at random."
    return Section("patches", title, lead, body, (spectra,))


def amplification(noise: np.ndarray) -> int:
    """Returns a whole factor by which three standard deviations fill the greys."""
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


def _noise_tiles(clean_lr: np.ndarray, noise: np.ndarray, factor: int) -> list[Tile]:
    items = []
    for number, sample in enumerate(noise[:NOISE_SHOWN], start=1):
        shown = np.broadcast_to(0.5 + factor * sample, clean_lr.shape[1:])
        alt = f"noise sample {number}, amplified {factor} times"
        spread = f"std {sample.std() * 255:.1f} levels"
        items.append(Tile(to_u8(shown), alt, spread))
    return items


def _white(noise: np.ndarray) -> list[tuple[float, float]]:
    curve = radial_spectrum(noise * 255.0)
    variance = float((noise.mean(axis=-1) * 255.0).var(axis=(1, 2)).mean())
    return [(frequency, variance) for frequency, _ in curve]


def _noise_facts(clean_lr: np.ndarray, noise: np.ndarray) -> list[tuple[str, str]]:
    channels = noise.mean(axis=(0, 1, 2)) * 255
    within = noise - noise.mean(axis=(1, 2), keepdims=True)
    of_patches = within.std(axis=(1, 2, 3)) * 255
    return [
        ("standard deviation", f"{noise.std() * 255:.2f} levels of 255"),
        ("within a patch", f"{of_patches.min():.2f} to {of_patches.max():.2f} levels"),
        (
            "tint of a patch (root mean square)",
            f"{colour_cast(noise) * 255:.2f} levels",
        ),
        (
            "mean of red, green, blue" if noise.shape[-1] == 3 else "mean",
            minus(", ".join(f"{mean:+.2f}" for mean in channels)) + " levels",
        ),
        (
            "correlation with the picture's detail",
            minus(f"{content_correlation(clean_lr, noise):+.2f}"),
        ),
    ]


def radial_spectrum(patches: np.ndarray) -> list[tuple[float, float]]:
    """Power spectral density of the grey values of square patches.

    Each patch loses its mean and is faded out at its rim (Hann window, its energy
    divided out), so that white noise of variance v has density v at every frequency.

    Args:
      patches: [P, s, s, C], any range.

    Returns:
      (cycles per pixel, power) at the middles of BINS equal rings up to 0.5; rings that
      hold no frequency of so small a patch are left out.
    """
    grey = np.asarray(patches, np.float64).mean(axis=-1)
    side = grey.shape[1]
    grey = grey - grey.mean(axis=(1, 2), keepdims=True)
    window = np.hanning(side + 2)[1:-1]
    window = window[:, None] * window[None]
    window /= np.sqrt(np.mean(window**2))
    power = np.abs(np.fft.fft2(grey * window)) ** 2 / side**2
    along = np.fft.fftfreq(side)
    radius = np.hypot(along[:, None], along[None])
    ring = np.floor(radius / 0.5 * BINS).astype(int)
    mean = power.mean(axis=0)
    out = []
    for index in range(BINS):
        inside = (ring == index) & (radius > 0)
        if inside.any():
            out.append(((index + 0.5) * 0.5 / BINS, float(mean[inside].mean())))
    return out


def sr_section(comparisons: Sequence[Comparison], note: str = "") -> Section:
    """Before/after sliders.

    Args:
      comparisons: one slider each.
      note: a line on how the pictures were chosen.

    Raises:
      ValueError: two pictures of one region that differ in size.
    """
    for name, _, bicubic_u8, sr_u8 in comparisons:
        if bicubic_u8.shape != sr_u8.shape:
            raise ValueError(
                "The pictures must have one size. "
                f"Received: {bicubic_u8.shape} and {sr_u8.shape} of {name}."
            )
    body = render("sr", comparisons=comparisons, note=note)
    return Section("sr", "Super-resolution of real photographs", _LEAD, body)


def scores_section(report: Mapping[str, Any], note: str = "") -> Section:
    """Makes the table of scores on pairs, with the cost of displacement.

    Args:
      report: `EvaluationResult.to_report`, with psnr, ssim, psnr_shift and bicubic.
      note: which pairs.
    """
    mean, bicubic = report["mean"], report["baseline"]["bicubic"]
    rows = [
        (
            who,
            _number(scores["psnr"], 2),
            _number(scores["psnr_shift"], 2),
            _gap(scores),
            _number(scores["ssim"], 4),
        )
        for who, scores in (("bicubic", bicubic), ("network", mean))
    ]
    headings = ("mean", "PSNR, dB", "best-shift PSNR, dB", "gap, dB", "SSIM")
    columns = [
        Column("image"),
        Column("PSNR, dB", 2),
        Column("over bicubic, dB", 2, signed=True),
        Column("best-shift PSNR, dB", 2),
        Column("gap, dB", 2, signed=True),
        Column("shift down, px", 0, signed=True),
        Column("shift right, px", 0, signed=True),
        Column("SSIM", 4),
    ]
    images = [_row(image) for image in report["images"]]
    body = render(
        "scores",
        means_title=f"Means over {report['count']} images",
        headings=headings,
        means=rows,
        images=Sortable("Each image; headings sort", columns, images),
        note=note,
    )
    return Section(
        "scores",
        "Scores on pairs, and alignment",
        "On photographs whose sharp original is known. Best-shift PSNR is the best "
        "over displacements of up to 6 pixels: its gain over plain PSNR comes from "
        "misalignment, not blur. For an aligned network the gap is 0.",
        body,
    )


def _row(image: Mapping[str, Any]) -> list[str | float | None]:
    psnr, other = image["psnr"], image["bicubic"]["psnr"]
    gain = psnr - other if psnr is not None and other is not None else None
    shift = image["psnr_shift"]
    gap = shift - psnr if psnr is not None and shift is not None else None
    dy, dx = image["shift"]
    return [image["name"], psnr, gain, shift, gap, dy, dx, image["ssim"]]


def _gap(scores: Mapping[str, float | None]) -> str:
    if scores["psnr"] is None or scores["psnr_shift"] is None:
        return "\u2013"
    return f"{scores['psnr_shift'] - scores['psnr']:+.2f}".replace("-", "\u2212")


def _number(value: float | None, decimals: int) -> str:
    return "infinite" if value is None else f"{value:.{decimals}f}"
