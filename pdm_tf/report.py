"""Shows what a run has learned, in one HTML file: `python -m pdm_tf.report --help`."""

import dataclasses
import sys

from pdm_tf.cli import program
from pdm_tf.cli.flags_report import SPEC, ReportConfig
from pdm_tf.reporting.degradation_report import ReportRequest, write_degradation_report


def main(config: ReportConfig) -> None:
    """Makes the report; prints the verdict and, last, where the page is."""
    request = ReportRequest(**dataclasses.asdict(config))
    written = write_degradation_report(
        request, say=lambda line: print(line, file=sys.stderr)
    )
    for line in written.left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(written.headline)
    print(f"report: {written.path}")


if __name__ == "__main__":
    program.run(SPEC, main)
