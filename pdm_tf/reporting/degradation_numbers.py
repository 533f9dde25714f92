"""A run's learned degradation for an evaluation: metrics, and its kernels drawn."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pdm_tf import samples
from pdm_tf.cli.flags_evaluate import EvaluateConfig
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_float
from pdm_tf.core.quiet import quiet_start
from pdm_tf.data.pairs import load_pairs
from pdm_tf.evaluation.kernels import kernel_comparison, kernel_moments
from pdm_tf.metrics.degradation import noise_of_pair
from pdm_tf.reporting.opening import Subject, open_subject

_SHOWN = 24  # kernels in the picture


class MeasuredDegradation(NamedTuple):
    """What an evaluation shows of a learned degradation.

    Attributes:
      numbers: "degradation", which is `DegradationReport.to_json`, and
        "degradation_settings".
      kernels: [H, W, 3] uint8, learned kernels and, if known, true ones below.
    """

    numbers: dict[str, Any]
    kernels: np.ndarray


def degradation_numbers(
    config: EvaluateConfig,
    true_kernels: np.ndarray | None = None,
    pair_kernels: np.ndarray | None = None,
) -> MeasuredDegradation:
    """Measures the degradation as `python -m pdm_tf.report` does.

    It is judged on the HR photographs of its run; where they are gone on those of the
    evaluation, and without any on the project's sample photographs.

    Args:
      config: with `true_kernels`, `pair_kernels` or `real_lr`.
      true_kernels: [N, K, K], or None.
      pair_kernels: [P, K, K], that of each pair of the evaluation; or None.

    Raises:
      UserError: the model has no learned degradation, or there is too little to
        compare.
    """
    if config.real_lr and not Path(config.real_lr).exists():
        raise UserError(f"--real_lr must exist. Received: {config.real_lr}.")
    if not Path(config.model).is_dir():
        raise _without(config)
    subject = open_subject(config.model, config.weights)
    if subject.pdm is None:
        raise _without(config)
    noise = () if pair_kernels is None else _true_noise(config, subject, pair_kernels)
    with quiet_start():
        from pdm_tf.evaluation.degradation import learned_kernels, measure_degradation
        from pdm_tf.reporting.sampling import read_photographs
    place = subject.folder("hr_dir") or config.hr_dir
    hr = read_photographs(place or samples.PHOTOS_FOR_HR)
    real = read_photographs(config.real_lr).images_u8 if config.real_lr else ()
    found = measure_degradation(
        subject.pdm.network,
        hr.images_u8,
        true_kernels=true_kernels,
        true_noise=noise,
        real_lr=real,
        seed=config.seed,
    )
    count = _SHOWN if true_kernels is None else len(true_kernels)
    learned = learned_kernels(subject.pdm.network, hr.images_u8, count, config.seed)
    groups = [("learned", learned)]
    if true_kernels is not None:
        groups.append(("true", true_kernels))
    numbers = {
        "degradation": found.to_json(),
        "degradation_settings": {
            "sha256": subject.pdm.sha256,
            "step": subject.pdm.step,
            "photographs": place or "the project's sample photographs",
            "true_kernels": config.true_kernels,
            "pair_kernels": config.pair_kernels,
            "real_lr": config.real_lr,
            "seed": config.seed,
        },
    }
    return MeasuredDegradation(numbers, _picture(groups))


def _picture(groups: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Some kernels of each group, from narrow to wide; the numbers are of all."""
    ordered = []
    for title, kernels in groups:
        width = kernel_moments(kernels).sigma[:, 0]
        shown = np.argsort(width[:_SHOWN], kind="stable")
        ordered.append((title, np.concatenate([kernels[shown], kernels[_SHOWN:]])))
    return kernel_comparison(ordered)


def _true_noise(
    config: EvaluateConfig, subject: Subject, kernels: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(clean, noise) of each pair."""
    if subject.pdm.config.noise is None:
        raise UserError(
            "--pair_kernels are for degradations with a noise module. "
            f"Received: {config.model}, which learned blur alone."
        )
    if not (config.hr_dir and config.lr_dir):
        raise UserError(
            "--pair_kernels are those of the pairs in --hr_dir and --lr_dir. "
            f"Received: {config.hr_dir!r} and {config.lr_dir!r}."
        )
    scale = subject.pdm.scale
    pairs = load_pairs(config.hr_dir, config.lr_dir, scale).pairs
    if len(pairs) != len(kernels):
        raise UserError(
            "--pair_kernels must hold one kernel for each pair. "
            f"Received: {len(kernels)} kernels, {len(pairs)} pairs."
        )
    found = []
    for pair, kernel in zip(pairs, kernels, strict=True):
        hr, lr = (to_float(image) for image in pair.load())
        found.append(noise_of_pair(hr, lr, kernel, scale))
    return found


def _without(config: EvaluateConfig) -> UserError:
    return UserError(
        "--true_kernels, --pair_kernels and --real_lr need a run folder with a learned "
        f"degradation (bundles/pdm). Received: {config.model}, which has none."
    )
