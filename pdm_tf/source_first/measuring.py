"""The measurement as a stage of a run: its settings, its progress, and its signals."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_tf.build import method_of
from pdm_tf.cli.component import parse_args
from pdm_tf.core.errors import UserError
from pdm_tf.core.progress import ProgressBar
from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.signals import GracefulStop

if TYPE_CHECKING:
    from pdm_tf.estimation.folder_check import FolderCheck

_LINE_EVERY_S = 15.0
_NAMED = 3  # photographs that a warning names


class NotMeasurable(UserError):  # noqa: N818 - as `UserError` itself
    """The folders cannot be measured: an estimate would be invented."""


def measure(
    config: TrainConfig, folder: Path, say: Callable[[str], None]
) -> SourceEstimate | None:
    """Measures the photographs of --lr_dir, or reads what was measured of them.

    Args:
      config: of the run.
      folder: for the results, which are resumed.
      say: takes lines for the person who started the run.

    Returns:
      None if a signal asked to stop; what was done is kept.

    Raises:
      NotMeasurable: the folders, or one of them, cannot be measured.
      UserError: a setting that the estimate does not have.
    """
    # Here, since it loads SciPy: not for a run that goes on with its SR network.
    from pdm_tf.estimation.folder_check import check_folders
    from pdm_tf.estimation.kernel_regressor import TrainingStopped
    from pdm_tf.estimation.measure_source import SourceSettings, measure_source

    settings = parse_args(SourceSettings, config.estimate_arg)
    bar = ProgressBar(
        "measuring the source", "part", config.progress, line_every_s=_LINE_EVERY_S
    )
    with GracefulStop() as stop, bar:

        def go_on(done: int, total: int) -> None:
            del done, total
            if stop.received:
                raise TrainingStopped

        try:
            check = check_folders(config.hr_dir, config.lr_dir, config.scale, go_on)
            _tell(check, say)
            return measure_source(
                config.hr_dir,
                config.lr_dir,
                folder,
                scale=config.scale,
                grid=method_of(config)[1].grid,
                seed=config.seed,
                settings=settings,
                check=check,
                on_progress=bar.update,
                stop=lambda: bool(stop.received),
            )
        except TrainingStopped:
            say(f"{stop.received}: stopped; the same command goes on from there.")
            return None


def _tell(check: "FolderCheck", say: Callable[[str], None]) -> None:
    """Says what is odd about the folders.

    Raises:
      NotMeasurable: something that forbids a measurement.
    """
    if check.errors:
        raise NotMeasurable(" ".join(one.text for one in check.errors))
    for one in check.findings:
        if one.level == "warning":
            names = f" ({', '.join(one.names[:_NAMED])})" if one.names else ""
            say(f"{one.level}: {one.text}{names}")
