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


def patch_section(real_lr_u8: np.ndarray, fake_lr_u8: np.ndarray) -> Section:
    """The section.

    Args:
      real_lr_u8: [P, s, s, 3] uint8, observed.
      fake_lr_u8: [P, s, s, 3] uint8, synthesised.
    """
    groups = [
        tiles(
            f"{title}, {SHOWN if len(patches) > SHOWN else len(patches)} of "
            f"{len(patches)}",
            [
                figure(picture(patch, f"{kind} LR patch {number}"), None)
                for number, patch in enumerate(patches[:SHOWN], start=1)
            ],
            size="large",
        )
        for title, kind, patches in (
            ("Observed", "observed", real_lr_u8),
            ("Synthesised", "synthesised", fake_lr_u8),
        )
    ]
    spectra = chart(
        "Spectrum of the patches",
        [
            Series("observed", radial_spectrum(real_lr_u8 / 255.0), "true"),
            Series("synthesised", radial_spectrum(fake_lr_u8 / 255.0), "learned"),
        ],
        Scale("frequency, cycles per LR pixel", zero=True, tight=True),
        Scale("power", logarithmic=True),
        note="The two lines should fall alike. Synthesised above observed at the right "
        "end: too sharp or too noisy; below: too blurred or too clean.",
    )
    body = join(
        tag("div", groups, class_="pair"), tag("div", spectra, class_="grid half")
    )
    return Section("patches", "Observed and synthesised LR patches", _LEAD, body)
