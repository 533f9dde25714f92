"""Makes LR images of HR photographs: `python -m pdm_tf.degrade --help`."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tqdm import tqdm

from pdm_tf.cli import program
from pdm_tf.cli.flags_degrade import SOME_LEFT_OUT, SPEC, DegradeConfig
from pdm_tf.core.images import list_images
from pdm_tf.core.quiet import quiet_start
from pdm_tf.training.signals import GracefulStop, StopRequested

if TYPE_CHECKING:
    from pdm_tf.data.degrading import DegradeOutcome

_LINE_EVERY_S = 30.0


def main(config: DegradeConfig) -> int:
    """Does it; returns the exit code."""
    list_images(config.input_dir)  # fails now, not after seconds of imports
    with GracefulStop() as stop, Display(config.progress) as display:
        try:
            outcome = _degrade(config, lambda: bool(stop.received), display.progress)
        except StopRequested:
            display.close()
            done = f"{display.done} of {display.total} photographs done"
            print(f"{done}; start it again with the same flags to go on.")
            return program.INTERRUPTED
    for path, reason in outcome.problems:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    if outcome.stale:
        print(
            f"{len(outcome.stale)} photographs of earlier starts are gone or unusable "
            f"now ({outcome.stale[0]}, ...); their files were kept, the manifest is "
            "without them.",
            file=sys.stderr,
        )
    made = f"{outcome.written} photographs degraded"
    if config.draws > 1:
        made += f", {config.draws} LR images each"
    if outcome.kept:
        made += f", {outcome.kept} kept from before"
    if outcome.problems:
        made += f", {len(outcome.problems)} files left out"
    print(f"{made}: {config.output_dir}")
    return SOME_LEFT_OUT if outcome.problems else program.OK


class Display:
    """A bar at a terminal, a line now and then elsewhere.

    Attributes:
      done, total: photographs.
    """

    def __init__(self, mode: str) -> None:
        hidden = {"on": False, "off": True, "auto": None}[mode]
        self._bar = tqdm(unit="photo", disable=hidden, dynamic_ncols=True, delay=0.5)
        self._lines = mode == "auto" and not sys.stderr.isatty()
        self._start = self._told = time.monotonic()
        self.done = self.total = 0

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def progress(self, done: int, total: int) -> None:
        """So many photographs are done."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        self.done, self.total = done, total
        now = time.monotonic()
        if self._lines and now - self._told > _LINE_EVERY_S:
            self._told, spent = now, now - self._start
            minutes, seconds = divmod(round(spent / done * (total - done)), 60)
            clock = f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
            rate = f"{done / spent:.3g} photographs/s"
            print(f"[{done}/{total}] {rate}, eta {clock}", file=sys.stderr)

    def close(self) -> None:
        """Leaves the bar as it is."""
        self._bar.close()


def _degrade(
    config: DegradeConfig,
    should_stop: Callable[[], bool],
    on_progress: Callable[[int, int], None],
) -> "DegradeOutcome":
    with quiet_start():  # TensorFlow takes seconds to import
        from pdm_tf.build import build_degradation
        from pdm_tf.data.degraded_pairs import make_degraded_pairs
        from pdm_tf.data.degraded_shards import make_degraded_shards
        from pdm_tf.data.degrading import Request, Stopped

        degradation, facts = build_degradation(
            config.degradation,
            args=config.degradation_arg,
            scale=config.scale,
            weights=config.weights,
        )
    request = Request(degradation, config.seed, config.draws, should_stop)
    settings = {
        **facts,
        **{name: getattr(config, name) for name in ("seed", "draws", "format")},
        "hr_files": config.hr_files,
    }
    common = {"threads": config.threads, "on_progress": on_progress}
    try:
        if config.format == "pairs":
            return make_degraded_pairs(
                config.input_dir,
                config.output_dir,
                request,
                settings,
                hr_files=config.hr_files,
                **common,
            )
        return make_degraded_shards(
            config.input_dir,
            config.output_dir,
            request,
            settings | {"shard_mb": config.shard_mb},
            shard_mb=config.shard_mb,
            with_hr=config.hr_files != "none",
            **common,
        )
    except Stopped as error:
        raise StopRequested from error


if __name__ == "__main__":
    program.run(SPEC, main)
