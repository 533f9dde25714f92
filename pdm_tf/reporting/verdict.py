"""The line at the top: whether this degradation, and this network, are good.

It follows plain rules on a few numbers, worst first. The limits
(`core/degradation_limits.py`) catch plain faults; between them a person has to look.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

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
      ssim, bicubic_ssim: likewise.
      pairs: how many pairs they are means of; None if only the log says them.
      measured: name of a width -> (low, middle, high) as measured of the photographs
        before training, and the learned value, HR px; "refined" degradations, which a
        test preferred to the measured one, have none.
      displaced: on pairs whose LR images lie beside their grid, a sentence each, as
        `data.pair_check.displaced` says it.
      moved: largest change of the kernels' mean widths and spreads since the start of
        training, in parts of the mean width; None if it did not start at a guess.
      step: of the weights; 0 if unknown.
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
    ssim: float | None = None
    bicubic_ssim: float | None = None
    pairs: int | None = None
    measured: Mapping[str, tuple[tuple[float, float, float], float]] = (
        dataclasses.field(default_factory=dict)
    )
    displaced: tuple[str, ...] = ()
    moved: float | None = None
    step: int = 0


class Finding(NamedTuple):
    """One judgement.

    Attributes:
      state: one of `page.STATES`.
      text: what was found, in a sentence.
      advice: what to do about it, for those that are not good.
    """

    state: str
    text: str
    advice: str = ""


_RANK = {"good": 0, "plain": 0, "warning": 1, "bad": 2}


def verdict_on(facts: Facts) -> Verdict:
    """Judges the facts; the worst finding is the headline."""
    findings = [finding for judge in _JUDGES for finding in judge(facts)]
    if not findings:
        return Verdict("plain", "Nothing could be measured that would show it.")
    findings = [f._replace(text=f.text.replace(" -", " \u2212")) for f in findings]
    findings.sort(key=lambda finding: -_RANK[finding.state])
    worst = findings[0]
    if early := _too_early(facts):
        points = tuple(finding.text for finding in findings)
        return Verdict("plain", f"Too early to tell: {early}.", points)
    points = tuple(f"{one.text} {one.advice}".strip() for one in findings)
    if worst.state in ("good", "plain"):
        return Verdict("good", _all_good(facts), points)
    return Verdict(worst.state, worst.text, points[1:], worst.advice)


def _too_early(facts: Facts) -> str:
    """Why nothing can be judged yet, for a sentence; "" if it can."""
    if not 0 < facts.step < limits.EARLY_STEPS:
        return ""
    after = f"(after {facts.step:,} steps)"
    if facts.moved is not None and not facts.measured and facts.moved < limits.MOVED:
        return f"the kernels are still where they started {after}"
    if facts.psnr is not None and facts.bicubic_psnr is not None:
        if facts.psnr <= facts.bicubic_psnr:
            return f"the network has not learned to enlarge yet {after}"
    if facts.degrades and not facts.measured and facts.step < limits.FEWEST_STEPS:
        return f"the degradation was hardly trained {after}"
    return ""


def _all_good(facts: Facts) -> str:
    if not facts.degrades and facts.width_std_px is None:
        return "The network does what it should on the measured pairs."
    return "The learned degradation shows none of the usual failures."


_ON_MEASURED = "Train with --estimate=on, which starts at what the photographs say."


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
            advice = (
                "Give it more LR photographs of the same source: the spread is what "
                "few of them know least. The scores on pairs say whether it matters."
            )
            return [Finding("warning", f"The kernels vary {word}: {found}.", advice)]
    if facts.one_kernel:
        return [Finding("plain", "One kernel for all images, as the settings say.")]
    if spread < limits.COLLAPSED_WIDTHS_PX:
        text = f"The kernels have collapsed into one: {found}."
        return [Finding("bad", text, _ON_MEASURED)]
    if spread < limits.NARROW_WIDTHS_PX:
        advice = (
            "Right for one camera at one distance; else put photographs of all the "
            "kinds that are to be enlarged into --lr_dir."
        )
        return [Finding("warning", f"The kernels vary little: {found}.", advice)]
    return [Finding("good", f"The kernels vary: {found}.")]


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
        text = f"Learned and measured kernels disagree: {off[0]}."
        advice = (
            "Train again in another folder with --refine_steps=0, which keeps what was "
            "measured, and compare both on photographs."
        )
        return [Finding("warning", text, advice)]
    if facts.measured:
        return [Finding("good", "The kernels are as wide as the photographs say.")]
    return []


def _centre(facts: Facts) -> list[Finding]:
    offset = facts.centre_px
    if offset is None:
        return []
    if offset < limits.OFF_CENTRE_PX:
        return [
            Finding("good", f"They are centred: {offset:.2f} HR px off on average.")
        ]
    state = "bad" if offset >= limits.FAR_OFF_CENTRE_PX else "warning"
    text = (
        f"The kernels lie {offset:.2f} HR px off their centre on average, and "
        "displace all SR images by as much."
    )
    advice = (
        "Train again with a larger --method_arg=centroid_weight=..., or with "
        "--estimate=on; a displacement alone does no harm to pictures."
    )
    return [Finding(state, text, advice)]


def _noise(facts: Facts) -> list[Finding]:
    if facts.noise_std is None:
        return []
    found = []
    if facts.noise_std < limits.INVISIBLE_NOISE_255:
        text = (
            f"The noise has vanished: {facts.noise_std:.2f} of 255 levels. That is "
            "right only for noise-free photographs."
        )
        advice = (
            "If yours show grain, look at what was measured of it (estimate.html), and "
            "lower --method_arg=noise_weight=...; if not, --nonoise saves time."
        )
        found.append(Finding("warning", text, advice))
    else:
        text = f"There is noise, of {facts.noise_std:.1f} of 255 levels."
        found.append(Finding("good", text))
    cast = facts.noise_cast
    if cast is not None and cast > max(
        limits.PATCH_CAST_255, limits.PATCH_CAST_PART * facts.noise_std
    ):
        text = f"The noise tints whole patches, by {cast:.1f} levels: a colour cast."
        advice = (
            "Compare the colours of --hr_dir and --lr_dir: what they differ by is "
            "learned as noise. Photographs of like scenes and light help."
        )
        found.append(Finding("warning", text, advice))
    if (
        facts.noise_content is not None
        and abs(facts.noise_content) > limits.CONTENT_CORRELATION
    ):
        text = (
            "The noise carries the picture's edges (correlation "
            f"{facts.noise_content:+.2f}): it imitates sharpness or blur."
        )
        advice = (
            "Train with --noise_arg=form=parametric, which cannot, or with "
            "--estimate=on, which brings that form."
        )
        found.append(Finding("warning", text, advice))
    return found


def _content(facts: Facts) -> list[Finding]:
    """Judges what the LR images keep of the photographs: to be seen where it fails."""
    found = []
    if facts.lr_correlation is not None and facts.lr_correlation < (
        limits.LR_CORRELATION
    ):
        text = (
            "The synthesised LR images do not show the photographs any more: their "
            f"correlation with the reduced ones is {facts.lr_correlation:.2f}."
        )
        advice = "Train again, with --estimate=on or a lower --learning_rate."
        found.append(Finding("bad", text, advice))
    if facts.lr_cast is not None and facts.lr_cast > limits.LR_CAST_255:
        text = (
            f"The synthesised LR images are tinted, by {facts.lr_cast:.1f} of 255 "
            "levels: right only if the observed ones have other colours than the "
            "HR photographs."
        )
        advice = (
            "If they have not, train again with HR photographs of like scenes and "
            "light."
        )
        found.append(Finding("warning", text, advice))
    return found


def _patches(facts: Facts) -> list[Finding]:
    if facts.told_apart is None or facts.told_apart_low is None:
        return []
    text = (
        f"A classifier tells synthesised from real LR patches in "
        f"{facts.told_apart:.0%} of cases; 50% is chance."
    )
    if facts.told_apart_low <= limits.TOLD_APART_ACCURACY:
        return [Finding("good", text)]
    advice = (
        "See whether the patches differ in sharpness and grain, or only in what they "
        "show: HR and LR photographs of like scenes make this number mean the former. "
        "JPEG files need --jpeg, or --estimate=on, which finds it."
    )
    return [Finding("warning", text, advice)]


def _alarm(facts: Facts) -> list[Finding]:
    if not facts.alarm:
        return []
    causes = facts.alarm.replace("_", " ").replace(",", ", ")
    text = f"The collapse alarm was on at the end of training: {causes}."
    return [Finding("warning", text, "log.txt says for each what helps.")]


def _scores(facts: Facts) -> list[Finding]:
    """Judges PSNR against bicubic's, and SSIM where it says the opposite."""
    if facts.psnr is None or facts.bicubic_psnr is None:
        return []
    gain = facts.psnr - facts.bicubic_psnr
    if not math.isfinite(gain):
        return []
    pairs = (
        "validation pairs" if facts.pairs is None else f"{facts.pairs} validation pairs"
    )
    text = f"PSNR {facts.psnr:.2f} dB on {pairs}, {gain:+.2f} dB over bicubic."
    ssim_gain = _ssim_gain(facts)
    disagrees = ssim_gain is not None and (
        abs(ssim_gain) > limits.SSIM_DIFFERS and (ssim_gain > 0) != (gain > 0)
    )
    if disagrees:
        text += (
            f" SSIM says the opposite: {facts.ssim:.4f}, {ssim_gain:+.4f} against "
            "bicubic."
        )
    if gain > 0 and not disagrees:
        if ssim_gain is not None:
            text += f" SSIM {facts.ssim:.4f}, {ssim_gain:+.4f}."
        return [Finding("good", text)]
    if gain > 0 or disagrees:
        advice = (
            "Look at the pictures before and after: such a difference often means that "
            "the network smooths (PSNR up, SSIM down) or is displaced or too dark "
            "(PSNR down, SSIM up). More steps or more HR photographs help the former."
        )
        return [Finding("warning", text, advice)]
    advice = (
        "Train for more steps; then see whether the validation pairs have the "
        "degradation of --lr_dir, without which no gain can be expected."
    )
    return [Finding("bad", text, advice)]


def _ssim_gain(facts: Facts) -> float | None:
    if facts.ssim is None or facts.bicubic_ssim is None:
        return None
    return facts.ssim - facts.bicubic_ssim


def _pairs(facts: Facts) -> list[Finding]:
    advice = (
        "Register each LR image to its HR image in another program, and cut both to "
        "what they share; or train with --method=pdm_sr, which needs no pairs."
    )
    return [
        Finding("warning", f"{beside[0].upper()}{beside[1:]}.", advice)
        for beside in facts.displaced
    ]


def _alignment(facts: Facts) -> list[Finding]:
    if facts.psnr is None or facts.psnr_shift is None:
        return []
    gap = facts.psnr_shift - facts.psnr
    if not math.isfinite(gap):
        return []
    if gap <= limits.SHIFT_GAP_DB:
        text = f"It is aligned: best-shift PSNR differs by {gap:+.2f} dB."
        return [Finding("good", text)]
    state = "bad" if gap > limits.LARGE_SHIFT_GAP_DB else "warning"
    text = f"SR images are displaced: that costs {gap:.2f} dB of PSNR."
    if facts.displaced:
        return [Finding("warning", text, "So are the pairs, which is why.")]
    advice = (
        "Where LR pixels lie cannot be learned from unpaired photographs: train with "
        "the other --method_arg=grid=..., pixel0 or half_pixel, if it is about "
        "(scale - 1) / 2 pixels. It does no harm to pictures."
    )
    return [Finding(state, text, advice)]


_JUDGES = (
    *(_kernels, _calibration, _centre, _noise, _content, _patches),
    *(_alarm, _pairs, _scores, _alignment),
)
