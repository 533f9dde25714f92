"""The measurement as a stage of a run: its settings, its progress, and its signals."""

from pathlib import Path

from pdm_tf.build import method_of
from pdm_tf.cli.component import parse_args
from pdm_tf.core.progress import ProgressBar
from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.signals import GracefulStop


def measure(config: TrainConfig, folder: Path) -> SourceEstimate | None:
    """Measures the photographs of --lr_dir, or reads what was measured of them.

    Args:
      config: of the run.
      folder: for the results, which are resumed.

    Returns:
      None if a signal asked to stop; what was done is kept.

    Raises:
      UserError: a setting that the estimate does not have, or photographs that cannot
        be measured.
    """
    # Here, since it loads SciPy: not for a run that goes on with its SR network.
    from pdm_tf.estimation.kernel_regressor import TrainingStopped
    from pdm_tf.estimation.measure_source import SourceSettings, measure_source

    settings = parse_args(SourceSettings, config.estimate_arg)
    with (
        GracefulStop() as stop,
        ProgressBar(
            "measuring the source", "part", config.progress, line_every_s=15.0
        ) as bar,
    ):
        try:
            return measure_source(
                config.hr_dir,
                config.lr_dir,
                folder,
                scale=config.scale,
                grid=method_of(config)[1].grid,
                seed=config.seed,
                settings=settings,
                on_progress=bar.update,
                stop=lambda: bool(stop.received),
            )
        except TrainingStopped:
            return None
