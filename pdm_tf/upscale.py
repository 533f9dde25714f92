"""Upscales photographs with an ONNX file: `python -m pdm_tf.upscale --help`.

No TensorFlow is loaded, and for `--help` nothing but the flags is.
"""

import errno
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pdm_tf import __version__
from pdm_tf.cli import program
from pdm_tf.cli.flags_upscale import SOME_FAILED, SPEC, UpscaleConfig
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import write_json_atomic

if TYPE_CHECKING:
    from pdm_tf.inference.engine import Engine
    from pdm_tf.inference.files import FilePlan, FileResult, FileTask
    from pdm_tf.inference.session import SrSession


def main(config: UpscaleConfig) -> int:
    """Upscales, prints what became of it, returns the exit code."""
    from pdm_tf.inference.files import plan_files

    work = plan_files(Path(config.input), Path(config.output), config.format)
    display = Display(config.progress, len(work.tasks) + len(work.problems))
    for result in work.problems:
        display.result(result)
    engine = open_engine(config)
    display.say(engine_line(engine))
    start, stopped = time.monotonic(), False
    _write_report(config, engine, display, finished=False)  # fails now, if it does
    try:
        with display, stopped_by_sigterm():
            _upscale(config, work, engine, display)
    except KeyboardInterrupt:
        stopped = True
    counts = display.counts()
    seconds = round(time.monotonic() - start, 3)
    _write_report(config, engine, display, finished=not stopped, seconds=seconds)
    print(_summary(counts, config.output))
    if stopped:
        return _stopped(work)
    if not counts["failed"]:
        return program.OK
    return SOME_FAILED if counts["done"] + counts["skipped"] else program.BAD_INPUT


def open_engine(config: UpscaleConfig) -> "Engine":
    """Returns the engine with the network.

    Raises:
      UserError: no such model, or it cannot run as asked.
    """
    from pdm_tf.inference.engine import Engine
    from pdm_tf.inference.session import open_session

    path, fallback = model_files(Path(config.model), config.fp16)

    def opened(file: Path) -> "SrSession":
        return open_session(
            file,
            provider=config.provider,
            strict=config.strict,
            device_id=config.device,
            threads=config.threads,
        )

    session = opened(path)
    return Engine(
        session,
        tile=config.tile,
        overlap=config.overlap if config.overlap >= 0 else None,
        blend=config.blend if config.blend >= 0 else None,
        batch_size=config.batch_size,
        ensemble=config.ensemble,
        fallback=None if fallback is None else lambda: opened(fallback),
    )


def model_files(model: Path, fp16: bool) -> tuple[Path, Path | None]:
    """Returns the model file to run, and the one to fall back to.

    Raises:
      UserError: one of them is missing.
    """
    path = model / "model.onnx" if model.is_dir() else model
    if not path.is_file():
        raise UserError(
            "--model must be an ONNX file, or a folder with model.onnx as "
            f"`python -m export` writes it. Received: {model}."
        )
    if not fp16:
        return path, None
    half = path.with_name(f"{path.stem}_fp16{path.suffix}")
    if not half.is_file():
        raise UserError(
            f"--fp16 needs {half.name} beside {path.name}; `python -m export` writes "
            f"it. Received: {path.parent}, which has none."
        )
    return half, path


def engine_line(engine: "Engine") -> str:
    """Returns which network runs, and where it does and why, in one line."""
    info, provider = engine.session.info, engine.session.provider
    nodes = f"{provider.nodes_on_active} of {provider.nodes_total} nodes"
    facts = [f"asked for: {provider.requested}", nodes]
    facts += [provider.reason] if provider.reason else []
    return (
        f"{info.path.name}: {info.architecture or 'network'} x{info.scale}, "
        f"{info.precision}, on {provider.active} ({'; '.join(facts)})"
    )


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Within it SIGTERM is as good as Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Display:
    """What a person sees: a bar at a terminal, a line for each file elsewhere.

    Attributes:
      results: of all files so far.
    """

    def __init__(self, mode: str, files: int) -> None:
        from tqdm import tqdm

        self.results: list[FileResult] = []
        self._files, self._sizes = files, {}
        hidden = {"on": False, "off": True, "auto": None}[mode]
        self._lines = mode == "auto" and not sys.stderr.isatty()
        self._bar = tqdm(
            total=0,
            unit="px",
            unit_scale=True,
            disable=hidden,
            dynamic_ncols=True,
            smoothing=0.05,
        )
        self._total = self._done = 0
        self._start = self._told = time.monotonic()

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.close()

    def expect(self, sizes: dict[Path, int]) -> None:
        """LR pixels of the files to come, for the time left."""
        self._sizes, self._total = sizes, sum(sizes.values())
        self._bar.reset(total=self._total)
        self._start = self._told = time.monotonic()

    def pixels(self, count: int) -> None:
        """So many LR pixels more are done."""
        self._done += count
        self._bar.update(count)
        if self._lines and time.monotonic() - self._told > 30:
            self._told = time.monotonic()
            print(f"all pixels: {self._share()}", file=sys.stderr)

    def result(self, result: "FileResult") -> None:
        """One file came to its end."""
        self.results.append(result)
        place = f"[{len(self.results)}/{self._files}]"
        if result.status != "done":  # nothing to wait for
            self._total -= self._sizes.get(result.source, 0)
            self._bar.total = max(self._total, 0)
        if result.status == "failed":
            self.say(f"failed: {result.source}: {result.reason}", sys.stderr)
            return
        notes = f" ({'; '.join(result.notes)})" if result.notes else ""
        if result.status == "done" and self._lines:
            (lr_height, lr_width), (height, width) = result.lr_size, result.sr_size
            self.say(
                f"{place} {result.target}: {lr_width} x {lr_height} -> {width} x "
                f"{height}, {result.seconds:.1f} s{notes}; {self._share()}"
            )
        elif notes:
            self.say(f"{result.target}:{notes}")

    def say(self, line: str, stream: Any = None) -> None:
        """Prints a line, above the bar if there is one."""
        self._bar.write(line, file=stream or sys.stdout)

    def counts(self) -> dict[str, int]:
        """Returns how many files were done, skipped and failed."""
        statuses = [result.status for result in self.results]
        return {name: statuses.count(name) for name in ("done", "skipped", "failed")}

    def _share(self) -> str:
        share = self._done / self._total if self._total > 0 else 1.0
        left = (time.monotonic() - self._start) * (1 - share) / max(share, 1e-9)
        minutes, seconds = divmod(round(left), 60)
        clock = f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
        return f"{share:.0%}, eta {clock}"


def _upscale(
    config: UpscaleConfig,
    work: "FilePlan",
    engine: "Engine",
    display: Display,
) -> None:
    from pdm_tf.inference.file_pipeline import upscale_files
    from pdm_tf.inference.files import FileOptions
    from pdm_tf.inference.records import Record

    settings = {
        "model": engine.session.info.sha256,
        **{
            name: getattr(config, name)
            for name in ("outscale", "ensemble", "quality", "overlap")
        },
    }
    options = FileOptions(
        outscale=config.outscale or None,
        quality=config.quality,
        overwrite=config.overwrite,
        record=None if work.folder is None else Record(work.folder, settings),
        memory_mb=config.memory_mb,
    )
    display.expect({task.source: _pixels(task) for task in work.tasks})
    upscale_files(engine, work.tasks, options, display.result, display.pixels)


def _write_report(
    config: UpscaleConfig,
    engine: "Engine",
    display: Display,
    *,
    finished: bool,
    seconds: float = 0.0,
) -> None:
    if not config.report:
        return
    report = {
        "pdm_tf": __version__,
        "engine": engine.describe(),
        "settings": asdict(config),
        "finished": finished,
        "seconds": seconds,
        "counts": display.counts(),
        "files": [_row(result) for result in display.results],
    }
    try:
        if Path(config.report).is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        write_json_atomic(config.report, report)
    except OSError as error:
        raise UserError(
            "--report must be a file that can be written. Received: "
            f"{config.report} ({error.strerror})."
        ) from error


def _pixels(task: "FileTask") -> int:
    from pdm_tf.inference.headers import read_size

    try:
        height, width = read_size(task.source)
    except ImageError:
        return 0  # it will be told when its turn comes
    return height * width


def _row(result: "FileResult") -> dict[str, Any]:
    row = asdict(result) | {"source": str(result.source), "target": str(result.target)}
    return row | {"seconds": round(result.seconds, 3), "notes": list(result.notes)}


def _summary(counts: dict[str, int], output: str) -> str:
    text = f"{counts['done']} image{'' if counts['done'] == 1 else 's'} made"
    if counts["skipped"]:
        text += f", {counts['skipped']} kept from before"
    if counts["failed"]:
        text += f", {counts['failed']} failed"
    return f"{text}: {output}"


def _stopped(work: "FilePlan") -> int:
    if work.folder is None:
        print("stopped; nothing was written.", file=sys.stderr)
        return program.ABORTED
    print("stopped; start it again with the same flags to go on.", file=sys.stderr)
    return program.INTERRUPTED


if __name__ == "__main__":
    program.run(SPEC, main)
