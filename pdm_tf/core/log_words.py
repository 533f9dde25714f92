"""What the logged numbers mean, in a sentence each.

TensorBoard shows them beside the curves, and docs/guide/losses.md is this table.
"""

from collections.abc import Iterable

_GAN = (
    "Neither side's number falls for good: they should settle and go on trembling. A "
    "discriminator near 0 has won, and nothing is learned from it any more."
)
# Name, or its beginning with a star -> meaning.
WORDS = {
    "loss/sr_l1": "Mean absolute difference of the SR image from its HR image, of the "
    "range 0 to 1, in one batch. It should fall, and jumps from batch to batch.",
    "loss/sr_l2": "Mean squared difference of the SR image from its HR image.",
    "loss/sr_*": "Difference of the SR image from its HR image, by the pixel loss that "
    "the method is set to.",
    "loss/sr_perceptual": "Difference of SR and HR image as the feature network sees "
    "them. It should fall; its size means nothing by itself.",
    "loss/sr_adv": "How well the SR network deceives the HR discriminator. " + _GAN,
    "loss/sr_cycle": "Difference of an LR image from the SR image reduced again.",
    "loss/sr_tv": "Roughness of the SR image (total variation).",
    "loss/d_hr": "How badly the HR discriminator tells SR images from HR ones. " + _GAN,
    "loss/g_adv": "How well the degradation deceives the LR discriminator; with "
    "least-squares losses 0.25 where neither wins. " + _GAN,
    "loss/d_lr": "How badly the LR discriminator tells synthesised LR patches from "
    "observed ones; with least-squares losses 0.25 where neither wins. " + _GAN,
    "loss/clean_adv": "How well the translator's clean LR images deceive their "
    "discriminator. " + _GAN,
    "loss/d_clean": "How badly the discriminator of clean LR images tells translated "
    "ones. " + _GAN,
    "loss/centroid": "Squared distance of the mean kernel's centre from the middle, HR "
    "px. It should be far below 0.1: off-centre kernels displace all results.",
    "loss/noise_energy": "Mean square of the learned noise, of the range 0 to 1. "
    "1e-4 is noise of 2.5 of 255 levels.",
    "loss/anchor": "How far the kernels have left what was measured of photographs; "
    "about 0 where they agree.",
    "loss/taps": "Mean square of what kernels learned tap by tap, beyond Gaussians.",
    "loss/colour": "Difference of the colours of an LR image from the photograph's.",
    "loss/lpips": "Perceptual distance of the LR image from the reduced photograph.",
    "loss/cycle": "Difference of a clean LR image from itself after there and back.",
    "loss/real_cycle": "Difference of an observed LR image after there and back.",
    "loss/identity": "Change that a network makes to an image that needs none.",
    "loss/clean_identity": "Change that the translator makes to a clean LR image.",
    "loss/geometric": "Difference between a turned result and the result of a turned "
    "image.",
    "loss/tv": "Roughness of the cleaned LR image (total variation).",
    "val/*": "Score of the last weights on all validation pairs. The rows of bicubic "
    "are the same at every step: what needs no network.",
    "val_ema/*": "Score of the averaged weights, which are shipped, on all validation "
    "pairs. The number to judge a run by.",
    "stat/d_real": "Mean answer of the LR discriminator to observed patches.",
    "stat/d_fake": "Mean answer of the LR discriminator to synthesised patches. The "
    "nearer to that for observed ones, the less it can tell them apart.",
    "stat/d_hr_real": "Mean answer of the HR discriminator to HR patches.",
    "stat/d_hr_fake": "Mean answer of the HR discriminator to SR patches.",
    "stat/kernel_offset": "Distance of the kernels' mean centre off the middle, HR px.",
    "stat/kernel_spread": "Mean width of the kernels of a batch, HR px.",
    "stat/kernel_spread_std": "Standard deviation of their widths, HR px: diversity. "
    "At 0 all kernels of a batch are as wide.",
    "stat/noise_mean": "Mean of the learned noise, of the range 0 to 1; away from 0 it "
    "is a cast of colour or brightness.",
    "stat/noise_std": "Standard deviation of the learned noise, of the range 0 to 1; "
    "0.004 is one 8-bit level.",
    "stat/quality_mean": "Mean JPEG quality that the degradation draws, 1 to 100.",
    "stat/quality_std": "Standard deviation of that quality.",
    "stat/learning_rate": "Step size of the optimisers; it falls at the milestones.",
    "stat/grad_norm_*": "Length of a network's gradient before it is clipped "
    "(--clip_norm). Jumps by orders of magnitude come before divergence.",
    "stat/rollbacks": "How often training went back to a checkpoint "
    "(--on_divergence=rollback); each time the learning rate was halved for good.",
    "perf/steps_per_second": "Speed, without pauses for saving and validation.",
    "perf/train_seconds": "Seconds of all starts of the run so far.",
    "perf/peak_memory_mb": "Largest memory of the process so far, MB.",
    "alarm/*": "What the collapse alarm looks at; log.txt says when it is beyond its "
    "threshold, and what helps.",
}


def meaning(name: str) -> str:
    """Returns what a logged number means; "" if nothing is known of it."""
    if name in WORDS:
        return WORDS[name]
    stars = [key for key in WORDS if key.endswith("*") and name.startswith(key[:-1])]
    return WORDS[max(stars, key=len)] if stars else ""


def glossary(names: Iterable[str]) -> str:
    """Returns a Markdown table of names and meanings, for TensorBoard."""
    rows = [f"| {name} | {meaning(name) or 'of this method alone'} |" for name in names]
    return "\n".join(["| name | meaning |", "| --- | --- |", *rows])
