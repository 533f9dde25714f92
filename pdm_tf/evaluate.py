"""Scores a trained network on paired images: `python -m pdm_tf.evaluate --help`."""

import sys
from pathlib import Path

from tqdm import tqdm

from pdm_tf import __version__
from pdm_tf.config import program
from pdm_tf.config.flags_evaluate import BICUBIC, SPEC, EvaluateConfig
from pdm_tf.config.quiet import quiet_start
from pdm_tf.core.errors import UserError
from pdm_tf.evaluation import report as reports
from pdm_tf.evaluation.panels import PanelWriter
from pdm_tf.evaluation.runner import evaluate_pairs, metric_specs
from pdm_tf.evaluation.subject import (
    Subject,
    check_folders,
    find_scale,
    open_bicubic,
    open_model,
    open_pairs,
)


def main(config: EvaluateConfig) -> None:
    """Evaluates, writes the reports and pictures, prints the table."""
    check_folders((config.hr_dir, config.lr_dir))
    with quiet_start():  # LPIPS loads TensorFlow
        metrics = metric_specs(config.metric_names, config.metric_files)
    output = _made(Path(config.output_dir))
    subject = _subject(config)
    pairs = open_pairs(config.hr_dir, config.lr_dir, subject.scale, config.max_images)
    for name, reason in pairs.problems:
        _warn(f"{name}: {reason}")

    panels = PanelWriter(output / "panels", config.panels, label=subject.label)
    border = subject.scale if config.crop_border < 0 else config.crop_border
    result = evaluate_pairs(
        subject.upscale,
        pairs.pairs,
        metrics=metrics,
        crop_border=border,
        scale=subject.scale,
        baseline=config.model != BICUBIC,
        progress=True,
        on_image=panels,
        on_problem=_warn,
    )
    report = result.to_report(subject.name)
    if config.model == BICUBIC:
        report["baseline"] = {BICUBIC: report["mean"]}
        report["interval"]["baseline"] = {BICUBIC: report["interval"]["mean"]}
    report["problems"] = [
        *({"name": name, "reason": reason} for name, reason in pairs.problems),
        *report["problems"],
    ]
    report |= {"model_facts": subject.facts, "pdm_tf": __version__}
    path = reports.write_report(report, output)

    print(reports.text(report))
    if panels.written:
        print(f"\n{len(panels.written)} pictures: {output / 'panels'}")
    print(f"\nreport: {path}")


def _subject(config: EvaluateConfig) -> Subject:
    if config.model == BICUBIC:
        return open_bicubic(config.scale or find_scale(config.hr_dir, config.lr_dir))
    subject = open_model(
        config.model,
        weights=config.weights,
        tile=config.tile,
        overlap=config.overlap,
    )
    if config.scale not in (0, subject.scale):
        raise UserError(
            f"--scale must be that of the model, {subject.scale}, or be left out. "
            f"Received: {config.scale}."
        )
    return subject


def _made(folder: Path) -> Path:
    """Makes the output folder now: not after minutes of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output_dir must be a folder that can be written. Received: {folder} "
            f"({error.strerror})."
        ) from error
    return folder


def _warn(message: str) -> None:
    tqdm.write(f"left out: {message}", file=sys.stderr)


if __name__ == "__main__":
    program.run(SPEC, main)
