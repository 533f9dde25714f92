"""estimate.html: what was measured of a source, with what it is uncertain about.

Made from values and JSON alone. The same page, without what was measured, shows a check
of two folders.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.core.source_words import jpeg_words, kernel_words, noise_words
from pdm_tf.reporting.folder_section import (
    advice_section,
    files_section,
    findings_section,
    folders_section,
)
from pdm_tf.reporting.page import Section, Verdict, render_page
from pdm_tf.reporting.source_sections import (
    about_section,
    jpeg_section,
    kernels_section,
    noise_section,
    photographs_section,
)

FILE, CHECK_FILE = "estimate.html", "check.html"
_FEW = 20


def estimate_page(
    estimate: SourceEstimate,
    check: Mapping[str, Any],
    kernels: np.ndarray,
    footer: str,
    timing: str = "",
) -> str:
    """Makes the whole document.

    Args:
      estimate: what was measured.
      check: content of check.json.
      kernels: [N, K, K], drawn from the bundle that was made of the estimate.
      footer: program and time.
      timing: a sentence on how long training takes; "" where it was not measured.
    """
    sections = [kernels_section(estimate, kernels)]
    sections.append(noise_section(estimate))
    sections.append(jpeg_section(estimate))
    sections.append(photographs_section(estimate))
    sections += _check_sections(check, timing)
    sections.append(about_section(estimate))
    used = sum(not one.left_out for one in estimate.photographs)
    return render_page(
        "What was measured of the source",
        f"{used} LR photographs of {check['lr']['location']}, x{estimate.scale}, "
        f"measured against {check['hr']['usable']} sharp ones.",
        verdict_on(estimate, check),
        sections,
        footer,
    )


def check_page(check: Mapping[str, Any], footer: str) -> str:
    """Makes the document of a check alone.

    Args:
      check: content of check.json.
      footer: program and time.
    """
    return render_page(
        "Two folders of photographs",
        f"{check['hr']['location']} and {check['lr']['location']}, x{check['scale']}.",
        _check_verdict(check),
        _check_sections(check, ""),
        footer,
    )


_MORE = (
    "Training can go on with it. More LR photographs of the same source narrow the "
    "intervals; what is named below says which numbers to trust least."
)
_MEND = (
    "Take out or replace the photographs that are named below, or go on if they are as "
    "you want them."
)


def verdict_on(estimate: SourceEstimate, check: Mapping[str, Any]) -> Verdict:
    """Says in a sentence what was measured, and what weakens it."""
    used = sum(not one.left_out for one in estimate.photographs)
    found = estimate.kernels.intervals()
    sides = [
        f"{found[name]['mean'][1]:.1f} ± {found[name]['spread'][1]:.1f}"
        for name in ("long", "short")
    ]
    noise = "no noise" if estimate.noise is None else "noise"
    jpeg = "no traces of JPEG" if estimate.jpeg is None else "JPEG"
    headline = (
        f"Blur of {sides[0]} by {sides[1]} HR pixels (standard deviations along both "
        f"axes, ± over photographs), {noise}, {jpeg}."
    )
    points = [
        f"Blur: {kernel_words(estimate.kernels).replace('+-', '±')}.",
        f"Noise: {noise_words(estimate.noise)}.",
        f"JPEG: {jpeg_words(estimate.jpeg)}.",
    ]
    weak = []
    # Of fewer still the check says it.
    told = {"one_lr", "few_lr"} & {one["code"] for one in check["findings"]}
    if used < _FEW and not told:
        weak.append(
            f"Only {used} photographs: the spread is partly assumed, and wider "
            "intervals say so."
        )
    weak += estimate.kernels.gates
    weak += [
        one["text"] for one in check["findings"] if one["level"] in ("warning", "error")
    ]
    points += weak
    return Verdict(
        "warning" if weak else "good", headline, tuple(points), _MORE if weak else ""
    )


def _check_verdict(check: Mapping[str, Any]) -> Verdict:
    texts = {
        level: tuple(x["text"] for x in check["findings"] if x["level"] == level)
        for level in ("error", "warning")
    }
    if texts["error"]:
        points = texts["error"] + texts["warning"]
        headline = "These folders cannot be used as they are."
        return Verdict("bad", headline, points, _MEND)
    counts = f"{check['hr']['usable']} HR and {check['lr']['usable']} LR photographs"
    if texts["warning"]:
        headline = f"{counts} can be used; something is worth a look."
        return Verdict("warning", headline, texts["warning"], _MEND)
    return Verdict("good", f"{counts} can be used, and the folders fit each other.")


def _check_sections(check: Mapping[str, Any], timing: str) -> list[Section]:
    sections = [findings_section(check), folders_section(check)]
    if check["advice"]:
        sections.append(advice_section(check["advice"], timing))
    return [*sections, files_section(check)]
