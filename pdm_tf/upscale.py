"""Upscales photographs with an ONNX file: `python -m pdm_tf.upscale --help`.

No TensorFlow is loaded, and for `--help` only the flags are.
"""

import errno
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from pdm_tf import __version__
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag, sha256_flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.run import Run

# In addition to those of `program`: all was done but for the named files.
SOME_FAILED = 1
MAX_OUTSCALE = 64.0


@dataclass(frozen=True)
class UpscaleConfig:
    """The request to `upscale`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    model: str = flag(
        "",
        "A run folder of training, whose network is exported into it first (seconds, "
        "once for its weights); an ONNX file of a super-resolution network, or the "
        "folder that `python -m export` wrote, with model.onnx in it. Required.",
        section="What",
        required=True,
    )
    sha256: str = sha256_flag("the ONNX file that runs")
    input: str = flag(
        "",
        "A photograph (PNG, JPEG, WebP, TIFF, BMP, still GIF, by content), or "
        "a folder of them, searched recursively; hidden files are left out. Required.",
        required=True,
    )
    output: str = flag(
        "",
        "Where the result goes. For one photograph a file name, whose suffix "
        "gives the format, or a folder; for a folder a folder, in which its tree is "
        "built again. Made if missing. Required.",
        required=True,
    )
    format: Literal["same", "png", "jpeg", "webp", "tiff"] = flag(
        "same",
        "Format of the files in the output folder. `same`: as the source (PNG for "
        "BMP and GIF). PNG and TIFF keep 16 bits; JPEG ends at 65500 pixels a side and "
        "has no transparency; WebP ends at 16383.",
        section="Result",
    )
    quality: int = flag(95, "Quality of JPEG and WebP, 1 to 100.", at_least=1)
    outscale: float = flag(
        0.0,
        "Size of the result / size of the photograph, such as 2.5: the "
        "network's result is resized (lanczos3 if made smaller, else bicubic). 0 takes "
        "the network's scale.",
    )
    ensemble: bool = flag(
        False,
        "Average the network over the eight flips and quarter turns: a "
        "little better, eight times slower.",
    )
    overwrite: bool = flag(
        False,
        "Make everything again and replace files that exist. Without it "
        "finished results are kept, those of another source or other settings are made "
        "again, and files that this program did not make are never replaced.",
    )
    report: str = flag("", "JSON file for the outcome of every file.")
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = flag(
        "auto",
        "Where the network runs. `auto`: on an NVIDIA GPU if that really "
        "works, else on the CPU; the choice and its reason are printed.",
        section="Device",
    )
    strict: bool = flag(
        False,
        "Stop if the requested provider is not available, or runs only part of the "
        "network, instead of going on elsewhere.",
    )
    device: int = flag(0, "Number of the GPU.", at_least=0)
    threads: int = flag(
        0,
        "Threads of the network on the CPU; 0 takes one per physical core.",
        at_least=0,
    )
    fp16: bool = flag(
        False,
        "Use the model_fp16.onnx next to the model: half the memory and faster on "
        "GPUs, slower on most CPUs. An image for which it overflows is made again with "
        "the model itself.",
    )
    tile: int = flag(
        0,
        "Side of the LR tiles that the network sees, in pixels; memory grows "
        "with its square. 0 chooses one that suits the network.",
        section="Memory and speed",
        at_least=0,
    )
    overlap: int = flag(
        -1,
        "LR pixels of real surroundings that each tile gets. -1 takes as "
        "many as the network sees, so that tiles equal the whole image, or, if it sees "
        "too far for that, as many as were measured to be enough.",
        at_least=-1,
    )
    blend: int = flag(
        -1,
        "LR pixels over which neighbouring tiles fade into each other. -1: "
        "none where tiles equal the whole image, else 8.",
        at_least=-1,
    )
    batch_size: int = flag(
        0, "Tiles at once; 0: 1 on a CPU, on a GPU as many as fill it.", at_least=0
    )
    memory_mb: int = flag(
        256,
        "MB of pixels, photographs and results together, that may wait in "
        "memory; the rest waits in scratch files in the output folder.",
        at_least=0,
    )
    progress: Show = progress_flag("Otherwise a line for each file.")

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.upscale")
        if self.quality > 100:
            raise UserError(f"--quality must be 1 to 100. Received: {self.quality}.")
        if not 0 <= self.outscale <= MAX_OUTSCALE:
            raise UserError(
                f"--outscale must be above 0 and at most {MAX_OUTSCALE:g}, or 0 for "
                f"the network's scale. Received: {self.outscale:g}."
            )


SPEC = ProgramSpec(
    module="pdm_tf.upscale",
    config=UpscaleConfig,
    intro="Upscales photographs with a trained network; an exported one needs no "
    "TensorFlow. Depth "
    "(8 or 16 bits), grey, transparency, ICC profile, EXIF and XMP are kept, and EXIF "
    "orientation is applied. Every file appears in full or not at all. Started again "
    "with the same flags after a stop, a folder goes on where it was. A file that "
    "cannot be used (damaged, an animation, not an image) is named, and the others are "
    "done. Exit code: 0 when all files were done, 1 when some failed, 2 when nothing "
    "could be done, 75 when a folder was stopped by Ctrl-C or SIGTERM (start it again "
    "to go on), 130 when one file was.",
    examples=(
        "python -m pdm_tf.upscale --model=runs/mine --input=photos --output=photos_x4",
        "python -m pdm_tf.upscale --model=exported --input=photo.jpg "
        "--output=photo_x4.png",
        "python -m pdm_tf.upscale --model=exported/model.onnx --input=photos "
        "--output=photos_x4 --format=png --report=photos_x4.json",
        "python -m pdm_tf.upscale --model=exported --input=photos --output=photos_x2 "
        "--outscale=2 --provider=cuda --strict --fp16",
    ),
)

if TYPE_CHECKING:
    from pdm_tf.inference.engine import Engine
    from pdm_tf.inference.files import FilePlan, FileResult, FileTask


def main(config: UpscaleConfig) -> int:
    """Upscales, prints the outcome of each file, returns the exit code."""
    from pdm_tf.inference.engine import open_engine
    from pdm_tf.inference.files import plan_files

    work = plan_files(Path(config.input), Path(config.output), config.format)
    display = Display(config.progress, len(work.tasks) + len(work.problems))
    for result in work.problems:
        display.result(result)
    engine = open_engine(
        _model_file(Path(config.model), display.say),
        fp16=config.fp16,
        provider=config.provider,
        strict=config.strict,
        device_id=config.device,
        threads=config.threads,
        sha256=config.sha256,
        tile=config.tile,
        overlap=config.overlap if config.overlap >= 0 else None,
        blend=config.blend if config.blend >= 0 else None,
        batch_size=config.batch_size,
        ensemble=config.ensemble,
    )
    display.say(engine_line(engine))
    if engine.session.info.habits_remark:
        display.say(engine.session.info.habits_remark)
    if config.ensemble and engine.session.info.grid_remark:
        display.say(engine.session.info.grid_remark)
    start, stopped = time.monotonic(), False
    _write_report(config, engine, display, finished=False)  # fails here if at all
    try:
        with display, stopped_by_sigterm():
            _upscale(config, work, engine, display)
    except KeyboardInterrupt:
        stopped = True
    counts = display.counts()
    seconds = round(time.monotonic() - start, 3)
    _write_report(config, engine, display, finished=not stopped, seconds=seconds)
    if speed := _speed(display.lr_pixels(), seconds):
        print(f"{seconds:.1f} s, {speed:.3g} LR megapixels/s")
    print(_summary(counts, config.output))
    if stopped:
        return _stopped(work)
    if not counts["failed"]:
        return program.OK
    return SOME_FAILED if counts["done"] + counts["skipped"] else program.BAD_INPUT


def _model_file(model: Path, say: Callable[[str], None]) -> Path:
    """The model to open: of a run, its exported network."""
    run = Run(model)
    if not run.is_started or (model / "model.onnx").exists():
        if not (model.is_file() or (model / "model.onnx").exists()):
            inner = [one for one in sorted(model.glob("*/")) if Run(one).is_started]
            hint = f" Did you mean {inner[0]}?" if inner else ""
            raise UserError(
                "--model must be a run folder of pdm_tf.train, an ONNX file, or a "
                f"folder that `python -m export` wrote. Received: {model}.{hint}"
            )
        return model
    # Where ONNX files are made: not installed everywhere, and not needed for others.
    from export.quick import exported_run

    return exported_run(run, say)


def engine_line(engine: "Engine") -> str:
    """Describes in one line which network runs, where, and why there."""
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
    """Makes SIGTERM act like Ctrl-C while it is open."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Display:
    """The display: a bar at a terminal, a line for each file elsewhere.

    Attributes:
      results: of all files so far.
    """

    def __init__(self, show: Show, files: int) -> None:
        self.results: list[FileResult] = []
        self._files, self._sizes = files, {}
        self._lines = show == "auto" and not sys.stderr.isatty()
        self._bar = ProgressBar("", "px", show, scaled=True)
        self._total = self._done = 0
        self._start = self._printed = time.monotonic()

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.close()

    def expect(self, sizes: dict[Path, int]) -> None:
        """Estimates the LR pixels of the remaining files, for the time left."""
        self._sizes, self._total = sizes, sum(sizes.values())
        self._bar.restart(self._total)
        self._start = self._printed = time.monotonic()

    def pixels(self, count: int) -> None:
        """Counts `count` more LR pixels as done."""
        self._done += count
        self._bar.update(self._done, max(self._total, 0))
        if self._lines and time.monotonic() - self._printed > 30:
            self._printed = time.monotonic()
            print(f"all pixels: {self._share()}", file=sys.stderr)

    def result(self, result: "FileResult") -> None:
        """Notes that one file is done, skipped or failed."""
        self.results.append(result)
        place = f"[{len(self.results)}/{self._files}]"
        if result.status != "done":  # nothing to wait for
            self._total -= self._sizes.get(result.source, 0)
            self._bar.update(self._done, max(self._total, 0))
        if result.status == "failed":
            self.say(f"failed: {result.source}: {result.reason}", sys.stderr)
            return
        notes = f" ({'; '.join(result.notes)})" if result.notes else ""
        if result.status == "done" and self._lines:
            (lr_height, lr_width), (height, width) = result.lr_size, result.sr_size
            self.say(
                f"{place} {result.target}: {lr_width} x {lr_height} -> {width} x "
                f"{height}{notes}; {self._share()}"
            )
        elif notes:
            self.say(f"{result.target}:{notes}")

    def say(self, line: str, stream: Any = None) -> None:
        """Prints a line, above the bar if there is one."""
        self._bar.say(line, stream or sys.stdout)

    def counts(self) -> dict[str, int]:
        """Returns how many files were done, skipped and failed."""
        statuses = [result.status for result in self.results]
        return {name: statuses.count(name) for name in ("done", "skipped", "failed")}

    def lr_pixels(self) -> int:
        """Returns the pixels of the files that were done."""
        done = (result for result in self.results if result.status == "done")
        return sum(result.lr_size[0] * result.lr_size[1] for result in done)

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
    from pdm_tf.inference.files import FileOptions, Record

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
        "lr_megapixels_per_second": _speed(display.lr_pixels(), seconds),
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
    from pdm_tf.core.photographs import read_size

    try:
        height, width = read_size(task.source)
    except ImageError:
        return 0  # reported when its turn comes
    return height * width


def _row(result: "FileResult") -> dict[str, Any]:
    row = asdict(result) | {"source": str(result.source), "target": str(result.target)}
    return row | {"seconds": round(result.seconds, 3), "notes": list(result.notes)}


def _speed(lr_pixels: int, seconds: float) -> float | None:
    """LR megapixels per second over all files, which are worked on side by side."""
    return round(lr_pixels / 1e6 / seconds, 4) if seconds and lr_pixels else None


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
