"""Metrics of a run's learned degradation for an evaluation: those of the report."""

from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf import samples
from pdm_tf.config.flags_evaluate import EvaluateConfig
from pdm_tf.config.quiet import quiet_start
from pdm_tf.core.errors import UserError
from pdm_tf.reporting.opening import open_subject


def degradation_numbers(
    config: EvaluateConfig, true_kernels: np.ndarray | None
) -> dict[str, Any]:
    """Measures the degradation as `python -m pdm_tf.report` does.

    It is judged on the HR photographs of its run; where they are gone on those of the
    evaluation, and without any on the project's sample photographs.

    Args:
      config: with `true_kernels`, `real_lr` or both.
      true_kernels: [N, K, K], or None.

    Returns:
      {"degradation": `DegradationReport.to_json`, "degradation_settings": ...}.

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
    with quiet_start():
        from pdm_tf.evaluation.degradation import measure_degradation
        from pdm_tf.reporting.sampling import read_photographs
    place = subject.folder("hr_dir") or config.hr_dir
    hr = read_photographs(place or samples.PHOTOS_FOR_HR)
    real = read_photographs(config.real_lr).images_u8 if config.real_lr else ()
    found = measure_degradation(
        subject.pdm.network,
        hr.images_u8,
        true_kernels=true_kernels,
        real_lr=real,
        seed=config.seed,
    )
    return {
        "degradation": found.to_json(),
        "degradation_settings": {
            "sha256": subject.pdm.sha256,
            "step": subject.pdm.step,
            "photographs": place or "the project's sample photographs",
            "true_kernels": config.true_kernels,
            "real_lr": config.real_lr,
            "seed": config.seed,
        },
    }


def _without(config: EvaluateConfig) -> UserError:
    return UserError(
        "--true_kernels and --real_lr need a run folder with a learned degradation "
        f"(bundles/pdm). Received: {config.model}, which has none."
    )
