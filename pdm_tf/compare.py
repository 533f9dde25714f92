"""Sets several methods side by side on one set: `python -m pdm_tf.compare --help`."""

import sys

from pdm_tf.cli import program
from pdm_tf.cli.flags_compare import SPEC, CompareConfig
from pdm_tf.evaluation.comparison_report import text
from pdm_tf.evaluation.runner import tell_left_out
from pdm_tf.reporting.comparison_page import FILE
from pdm_tf.reporting.comparison_run import run_comparison


def main(config: CompareConfig) -> None:
    """Compares; prints the table and, last, where the files are."""
    comparison, path = run_comparison(
        config, say=lambda line: print(line, file=sys.stderr), warn=tell_left_out
    )
    print(text(comparison))
    print(f"\npage: {path.with_name(FILE)}")
    print(f"comparison: {path}")


if __name__ == "__main__":
    program.run(SPEC, main)
