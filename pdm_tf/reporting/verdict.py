"""The line at the top: whether this degradation, and this network, are good.

It follows plain rules on a few numbers, worst first. The limits
(`core/degradation_limits.py`) catch plain faults; between them a person has to look.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from pdm_tf.core import degradation_limits as limits
from pdm_tf.reporting.page import Verdict


@dataclass(frozen=True)
class Facts:
    """The facts for the verdict; None if not measured.

    Attributes:
      degrades: whether there is a learned degradation at all.
      width_std_px: standard deviation of the major width over drawn kernels.
      true_width_std_px: likewise for true kernels.
      one_kernel: whether the settings ask for a single kernel.
      centre_px: length of the mean centre of mass.
      noise_std: in 8-bit levels.
      noise_cast: root mean square of the noise's mean in a patch, 8-bit levels.
      noise_content: correlation of the noise with the picture's detail.
      lr_cast: largest mean difference of a channel of the LR images from the reduced
        photographs, 8-bit levels.
      lr_correlation: of the LR images with the reduced photographs.
      told_apart: accuracy of a classifier of synthesised and real LR patches.
      told_apart_low: the lower end of its 95 % interval.
      alarm: causes that the collapse alarm named at the run's last look, with commas.
      psnr, bicubic_psnr, psnr_shift: means on validation pairs, dB.
      measured: name of a width -> (low, middle, high) as measured of the photographs
        before training, and the learned value, HR px; "refined" degradations, which a
        test preferred to the measured one, have none.
      moved: largest change of the kernels' mean widths and spreads since the start of
        training, in parts of the mean width; None if it did not start at a guess.
      step: of the weights.
    """

    degrades: bool = False
    width_std_px: float | None = None
    true_width_std_px: float | None = None
    one_kernel: bool = False
    centre_px: float | None = None
    noise_std: float | None = None
    noise_cast: float | None = None
    noise_content: float | None = None
    lr_cast: float | None = None
    lr_correlation: float | None = None
    told_apart: float | None = None
    told_apart_low: float | None = None
    alarm: str = ""
    psnr: float | None = None
    bicubic_psnr: float | None = None
    psnr_shift: float | None = None
    measured: Mapping[str, tuple[tuple[float, float, float], float]] = (
        dataclasses.field(default_factory=dict)
    )
    moved: float | None = None
    step: int = 0


_RANK = {"good": 0, "plain": 0, "warning": 1, "bad": 2}
Finding = tuple[str, str]  # (state, sentence)


def verdict_on(facts: Facts) -> Verdict:
    """Judges the facts; the worst finding is the headline."""
    findings = [finding for judge in _JUDGES for finding in judge(facts)]
    if not findings:
        return Verdict("plain", "Nothing could be measured that would show it.")
    findings = [(state, text.replace(" -", " \u2212")) for state, text in findings]
    findings.sort(key=lambda finding: -_RANK[finding[0]])
    state, headline = findings[0]
    if _too_early(facts):
        headline = (
            "Too early to tell: the kernels are still where they started "
            f"(after {facts.step:,} steps)."
        )
        return Verdict("plain", headline, tuple(text for _, text in findings))
    if state in ("good", "plain"):
        headline = _all_good(facts)
        return Verdict("good", headline, tuple(text for _, text in findings))
    return Verdict(state, headline, tuple(text for _, text in findings[1:]))


def _too_early(facts: Facts) -> bool:
    """Whether nothing has been learned yet that could be judged."""
    return (
        facts.moved is not None
        and not facts.measured
        and facts.moved < limits.MOVED
        and facts.step < limits.EARLY_STEPS
    )


def _all_good(facts: Facts) -> str:
    if not facts.degrades and facts.width_std_px is None:
        return "The network does what it should on the measured pairs."
    return "The learned degradation shows none of the usual failures."


def _kernels(facts: Facts) -> list[Finding]:
    spread = facts.width_std_px
    if spread is None:
        return []
    found = f"the standard deviation of their width is {spread:.2f} HR px"
    if facts.true_width_std_px:
        ratio = spread / facts.true_width_std_px
        found += f", {ratio:.2f} times that of the true kernels"
        if (
            not facts.one_kernel
            and spread >= limits.COLLAPSED_WIDTHS_PX
            and not 0.5 <= ratio <= 1.5
        ):
            word = "too little" if ratio < 0.5 else "too much"
            return [("warning", f"The kernels vary {word}: {found}.")]
    if facts.one_kernel:
        return [("plain", "One kernel for all images, as the settings say.")]
    if spread < limits.COLLAPSED_WIDTHS_PX:
        return [("bad", f"The kernels have collapsed into one: {found}.")]
    if spread < limits.NARROW_WIDTHS_PX:
        return [("warning", f"The kernels vary little: {found}.")]
    return [("good", f"The kernels vary: {found}.")]


def _calibration(facts: Facts) -> list[Finding]:
    """Judges what was learned by what was measured of the photographs."""
    off = []
    for name, ((low, middle, high), learned) in facts.measured.items():
        factor = limits.SPREAD_OFF if "spread" in name else limits.WIDTH_OFF
        if not low / factor <= learned <= high * factor:
            off.append(
                f"{name} is {learned:.2f} HR px, the photographs say {middle:.2f} "
                f"({low:.2f} to {high:.2f})"
            )
    if off:
        return [("warning", f"Learned and measured kernels disagree: {off[0]}.")]
    if facts.measured:
        return [("good", "The kernels are as wide as the photographs say.")]
    return []


def _centre(facts: Facts) -> list[Finding]:
    offset = facts.centre_px
    if offset is None:
        return []
    if offset < limits.OFF_CENTRE_PX:
        return [("good", f"They are centred: {offset:.2f} HR px off on average.")]
    state = "bad" if offset >= limits.FAR_OFF_CENTRE_PX else "warning"
    return [
        (
            state,
            f"The kernels lie {offset:.2f} HR px off their centre on average, and "
            "displace all SR images by as much.",
        )
    ]


def _noise(facts: Facts) -> list[Finding]:
    if facts.noise_std is None:
        return []
    found = []
    if facts.noise_std < limits.INVISIBLE_NOISE_255:
        found.append(
            (
                "warning",
                f"The noise has vanished: {facts.noise_std:.2f} of 255 levels. That is "
                "right only for noise-free photographs.",
            )
        )
    else:
        found.append(
            ("good", f"There is noise, of {facts.noise_std:.1f} of 255 levels.")
        )
    cast = facts.noise_cast
    if cast is not None and cast > max(
        limits.PATCH_CAST_255, limits.PATCH_CAST_PART * facts.noise_std
    ):
        found.append(
            (
                "warning",
                f"The noise tints whole patches, by {cast:.1f} levels: a colour cast.",
            )
        )
    if (
        facts.noise_content is not None
        and abs(facts.noise_content) > limits.CONTENT_CORRELATION
    ):
        found.append(
            (
                "warning",
                "The noise carries the picture's edges (correlation "
                f"{facts.noise_content:+.2f}): it imitates sharpness or blur.",
            )
        )
    return found


def _content(facts: Facts) -> list[Finding]:
    """Judges what the LR images keep of the photographs: to be seen where it fails."""
    found = []
    if facts.lr_correlation is not None and facts.lr_correlation < (
        limits.LR_CORRELATION
    ):
        found.append(
            (
                "bad",
                "The synthesised LR images do not show the photographs any more: their "
                f"correlation with the reduced ones is {facts.lr_correlation:.2f}.",
            )
        )
    if facts.lr_cast is not None and facts.lr_cast > limits.LR_CAST_255:
        found.append(
            (
                "warning",
                f"The synthesised LR images are tinted, by {facts.lr_cast:.1f} of 255 "
                "levels: right only if the observed ones have other colours than the "
                "HR photographs.",
            )
        )
    return found


def _patches(facts: Facts) -> list[Finding]:
    if facts.told_apart is None or facts.told_apart_low is None:
        return []
    text = (
        f"A classifier tells synthesised from real LR patches in "
        f"{facts.told_apart:.0%} of cases; 50% is chance."
    )
    return [
        (
            "warning" if facts.told_apart_low > limits.TOLD_APART_ACCURACY else "good",
            text,
        )
    ]


def _alarm(facts: Facts) -> list[Finding]:
    if not facts.alarm:
        return []
    causes = facts.alarm.replace("_", " ").replace(",", ", ")
    return [
        (
            "warning",
            f"The collapse alarm was on at the end of training: {causes} (log.txt says "
            "what to do).",
        )
    ]


def _scores(facts: Facts) -> list[Finding]:
    if facts.psnr is None or facts.bicubic_psnr is None:
        return []
    gain = facts.psnr - facts.bicubic_psnr
    if not math.isfinite(gain):
        return []
    text = f"PSNR {facts.psnr:.2f} dB on validation pairs, {gain:+.2f} dB over bicubic."
    return [("good" if gain > 0 else "bad", text)]


def _alignment(facts: Facts) -> list[Finding]:
    if facts.psnr is None or facts.psnr_shift is None:
        return []
    gap = facts.psnr_shift - facts.psnr
    if not math.isfinite(gap):
        return []
    if gap <= limits.SHIFT_GAP_DB:
        return [("good", f"It is aligned: best-shift PSNR differs by {gap:+.2f} dB.")]
    state = "bad" if gap > limits.LARGE_SHIFT_GAP_DB else "warning"
    return [(state, f"SR images are displaced: that costs {gap:.2f} dB of PSNR.")]


_JUDGES = (
    *(_kernels, _calibration, _centre, _noise, _content, _patches),
    *(_alarm, _scores, _alignment),
)
