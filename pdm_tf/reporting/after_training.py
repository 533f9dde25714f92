"""The report that training leaves behind; whatever happens to it, the run is done."""

from collections.abc import Callable
from pathlib import Path

from pdm_tf.core.errors import UserError
from pdm_tf.reporting.degradation_report import ReportRequest, write_degradation_report


def report_on_run(run_dir: Path | str, say: Callable[[str], None]) -> Path | None:
    """Writes report.html into a run folder, or says why not and how to try again.

    Raises nothing: the networks are trained and saved, and a picture book about them is
    no reason for a script to think that they are not. Ctrl-C skips the report.

    Args:
      run_dir: of a run with bundles.
      say: gets a line, for the screen and the log.

    Returns:
      The page, or None.
    """
    again = f"python -m pdm_tf.report --model={run_dir}"
    try:
        written = write_degradation_report(ReportRequest(model=str(run_dir)))
    except UserError as error:
        say(f"no report: {error} To try again: {again}")
    except KeyboardInterrupt:
        say(f"no report: interrupted. To make it: {again}")
    except Exception as error:  # noqa: BLE001 - see above; named, with its type
        say(f"no report: {type(error).__name__}: {error}. To try again: {again}")
    else:
        say(f"report: {written.path}: {written.headline}")
        return written.path
    return None
