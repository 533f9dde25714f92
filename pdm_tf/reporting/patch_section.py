"""Observed LR patches beside HR patches that the learned degradation made LR."""

import numpy as np

from pdm_tf.reporting.charts import Scale, Series, chart
from pdm_tf.reporting.markup import join, tag
from pdm_tf.reporting.page import Section
from pdm_tf.reporting.pictures import figure, picture, tiles
from pdm_tf.reporting.spectra import radial_spectrum

SHOWN = 12

_LEAD = (
    "Left, random patches of your LR photographs; right, random patches of other, "
    "sharp photographs that went through the learned degradation. They show different "
    "things and should have the same character: sharpness of edges, grain, colour of "
    "the noise. If you can tell at a glance which side a patch is from, so can the SR "
    "network. Pixels are enlarged, not smoothed."
)


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
        tiles(
            f"{title}, {len(patches[:SHOWN])} of {len(patches)}",
            [
                figure(picture(patch, f"{title} LR patch {number}"), None)
                for number, patch in enumerate(patches[:SHOWN], start=1)
            ],
            size="large",
        )
        for title, _, patches in pairs
    ]
    spectra = chart(
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
    body = join(
        tag("div", groups, class_="pair"), tag("div", spectra, class_="grid half")
    )
    if real_lr_u8 is None:
        lead = "Sharp photographs that went through the learned degradation, at random."
        return Section("patches", "Synthesised LR patches", lead, body)
    return Section("patches", "Observed and synthesised LR patches", _LEAD, body)
