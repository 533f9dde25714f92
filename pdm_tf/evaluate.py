"""Scores an SR model, or its pictures, on a set: `python -m pdm_tf.evaluate --help`."""

from pathlib import Path

from pdm_tf.cli import program
from pdm_tf.cli.flags_evaluate import SPEC, EvaluateConfig
from pdm_tf.evaluation import report as reports
from pdm_tf.evaluation.runner import tell_left_out
from pdm_tf.reporting.evaluation_page import FILE
from pdm_tf.reporting.evaluation_run import run_evaluation


def main(config: EvaluateConfig) -> None:
    """Evaluates, writes the reports and pictures, prints the table."""
    done = run_evaluation(config, tell_left_out)
    print(reports.text(done.report))
    if done.panels:
        print(f"\n{len(done.panels)} pictures: {Path(config.output_dir) / 'panels'}")
    print(f"\npage: {done.path.with_name(FILE)}")
    print(f"report: {done.path}")


if __name__ == "__main__":
    program.run(SPEC, main)
