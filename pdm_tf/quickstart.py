"""`python -m pdm_tf.quickstart`: the whole of PDM-SR on the bundled photographs.

Makes a small data set with an unknown blur (`samples/blur_track.py`), trains on its
two unpaired folders with `pdm_tf.train`, which measures the blur first, scores the
result on held-out pairs with `pdm_tf.evaluate`, exports it with `export`, upscales the
held-out photographs from the ONNX file with `pdm_tf.upscale`, and draws one picture: a
photograph before and after, and the learned kernels next to the true ones;
`report.html` shows more. How many steps are trained depends on the machine, whose speed
is measured before. The programs run as a user would start them, as processes of their
own. Started again, training goes on where it stopped; when it is finished, the rest
takes seconds. Ctrl-C and SIGTERM reach the running program, which saves; its exit code
becomes that of the quickstart.
"""

import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import CONFIGS, ProgramSpec, flag
from pdm_tf.cli.flag_set import parse as parse_flags
from pdm_tf.core import draw
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.core.quiet import quiet_start
from pdm_tf.core.stored import read_arrays, read_json
from pdm_tf.reporting.kernel_section import kernel_comparison
from pdm_tf.run import DEGRADATION, Run
from pdm_tf.samples.blur_track import SCALE, Track, make_track
from pdm_tf.train_config import TrainConfig

# The held-out photograph that the picture shows: it has hair, edges and calm areas.
SHOWN = "chelsea"
KERNELS_DRAWN = 64
PLACE = Path(__file__).resolve().parents[1]  # holds pdm_tf/ and export/
FLAGFILE = CONFIGS / "quickstart.flags"
PARTS = 7
# The training is as long as fits into this; from the least on the network is clearly
# better than bicubic, and beyond those of the flag file it gains little.
TRAIN_S, LEAST_STEPS = 240.0, 500
# Seconds of a step in training over those of a step by itself: batches, averages, logs.
_OVERHEAD = 1.2
# Packages for exporting and upscaling, beyond those for training.
_NEEDED = ("tf2onnx", "onnx", "onnxruntime", "tensorflow_serving", "pyvips")


@dataclasses.dataclass(frozen=True)
class QuickstartConfig:
    """Settings of the quickstart; see `SPEC` for their meaning."""

    output: str = flag(
        "quickstart",
        "Folder for everything: data/, run/ (the training run), "
        "report.html, report.json, report.md, panels/, export/ (SavedModel, ONNX, "
        "files for servers), upscaled/, quickstart.png.",
        section="Quickstart",
    )
    steps: int = flag(
        0,
        "Training steps; 0 measures this machine, and takes as many as fit into four "
        "minutes, 500 at least and those of --train_flagfile at most.",
    )
    mixed_precision: Literal["auto", "float32", "bfloat16", "float16"] = flag(
        "auto",
        "As in pdm_tf.train; auto takes bfloat16 where the CPU "
        "multiplies in it (AMX, AVX-512 BF16), else float32.",
    )
    train_flagfile: str = flag(
        "",
        "Flag file of the training; when empty the one that comes with the project, "
        "`quickstart`.",
    )
    train_flag: tuple[str, ...] = flag(
        (), "A further flag for pdm_tf.train, e.g. --train_flag=--batch_size=4."
    )

    def __post_init__(self) -> None:
        if not self.output:
            raise UserError("--output is required. Received nothing.")
        if self.steps < 0:
            raise UserError(f"--steps must not be negative. Received: {self.steps}.")
        for text in self.train_flag:
            if not text.startswith("--"):
                raise UserError(
                    "--train_flag takes a flag of pdm_tf.train, "
                    f"--train_flag=--name=value. Received: {text!r}."
                )


SPEC = ProgramSpec(
    module="pdm_tf.quickstart",
    config=QuickstartConfig,
    intro="Measures an unknown blur of the photographs that come with the project, "
    "trains a super-resolution network to undo it, exports that, and shows the result: "
    "about ten minutes on two CPU cores. Prints the PSNR of bicubic upsampling and of "
    "the network on held-out photographs, and as its last line the path of a picture "
    "to look at. Ctrl-C saves; the same command goes on from there.",
    examples=(
        "python -m pdm_tf.quickstart --output=quickstart",
        "python -m pdm_tf.quickstart --output=quick_look --steps=200",
    ),
)


def main(config: QuickstartConfig) -> int:
    """Runs the parts; returns an exit code."""
    started = time.monotonic()
    flagfile = Path(config.train_flagfile or FLAGFILE)
    if not flagfile.is_file():
        raise UserError(f"--train_flagfile must be a flag file. Received: {flagfile}.")
    check_extras()
    output = Path(config.output)
    _say(1, f"making a data set with an unknown blur in {output / 'data'}")
    track = make_track(output / "data")
    precision, reason = _precision(config.mixed_precision)
    _say(
        2,
        "measuring the blur of its LR photographs, and training on its two unpaired "
        f"folders ({precision}: {reason})",
    )
    steps = config.steps or _steps_for(output, flagfile, precision)
    print(f"{steps} steps", flush=True)
    code = _run_program(
        "pdm_tf.train", *_train_flags(config, track, flagfile, precision, steps)
    )
    if code == program.OK:
        _say(3, "scoring the network on held-out photographs")
        code = _run_program(
            "pdm_tf.evaluate",
            f"--model={output / 'run'}",
            f"--hr_dir={track.val_hr}",
            f"--lr_dir={track.val_lr}",
            f"--output={output}",
            "--metrics=psnr,ssim,psnr_shift",
            "--panels=-1",
        )
    if code == program.OK:
        code = _export(output)
    if code == program.OK:
        _say(5, "upscaling the held-out LR photographs from the ONNX file")
        code = _run_program(
            "pdm_tf.upscale",
            f"--model={output / 'export'}",
            f"--input={track.val_lr}",
            f"--output={output / 'upscaled'}",
            "--format=png",
        )
    if code != program.OK:
        hint = "; the same command goes on" if code == program.INTERRUPTED else ""
        print(f"the quickstart stops here (exit code {code}{hint}).", file=sys.stderr)
        return code
    _say(6, "drawing what was learned")
    verdict = _report(output, track)
    report = read_json(output / "report.json")
    _say(PARTS, f"done after {(time.monotonic() - started) / 60:.1f} minutes")
    picture = _picture(output, track, report)
    print("\n".join(summary(report)))
    print(f"verdict: {verdict}")
    print(f"exported network: {output / 'export'}")
    print(f"what it learned, a page to look at: {output / 'report.html'}")
    print(picture)
    return program.OK


def check_extras() -> None:
    """Finds out before minutes of training whether its result can be exported.

    Raises:
      UserError: a package is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Exporting and upscaling need {', '.join(_NEEDED)}. Missing: "
            f"{', '.join(missing)}. Install them: pip install 'pdm_tf[export,upscale]'."
        )


def _export(output: Path) -> int:
    """Exports the run, unless these weights are exported already."""
    _say(4, "exporting it as SavedModel and ONNX, compared with Keras")
    bundle = Run(output / "run").index("sr_ema")
    certificate = output / "export" / "certificate.json"
    if certificate.is_file():
        stored = read_json(certificate, {"networks": {"weights_sha256": str}})
        if stored["networks"]["weights_sha256"] == bundle["sha256"]:
            print(f"{certificate} is of these weights; nothing to do")
            return program.OK
    return _run_program(
        "export", f"--model={output / 'run'}", f"--output={output / 'export'}"
    )


def summary(report: dict[str, Any]) -> list[str]:
    """Formats the scores of a report of pdm_tf.evaluate in three lines."""
    mean, bicubic = report["mean"], report["baseline"]["bicubic"]
    lines = [
        f"{'mean of ' + str(len(report['images'])):12s}  PSNR      best-shift PSNR"
    ]
    for name, scores in (("bicubic", bicubic), ("PDM-SR", mean)):
        lines.append(
            f"{name:12s}  {scores['psnr']:5.2f} dB  {scores['psnr_shift']:5.2f} dB"
        )
    return lines


def _train_flags(
    config: QuickstartConfig, track: Track, flagfile: Path, precision: str, steps: int
) -> tuple[str, ...]:
    return (
        f"--flagfile={flagfile}",
        f"--hr_dir={track.hr}",
        f"--lr_dir={track.lr}",
        f"--val_hr_dir={track.val_hr}",
        f"--val_lr_dir={track.val_lr}",
        f"--run_dir={Path(config.output) / 'run'}",
        f"--mixed_precision={precision}",
        "--report=off",  # made here, where the true kernels are known
        f"--steps={steps}",
        *config.train_flag,
    )


_ENDED_BY_SIGNAL = 128  # exit codes from here on, of programs that a signal ended


def _steps_for(output: Path, flagfile: Path, precision: str) -> int:
    """Returns the steps of the training: as begun, or as fits this machine.

    The speed is that of a step of the same SR network on blurred photographs.
    """
    begun = Run(output / "run")
    if begun.is_started and "steps" in begun.settings:
        return begun.settings["steps"]
    training = ProgramSpec("pdm_tf.train", TrainConfig, intro="", examples=())
    wanted = parse_flags(training, [f"--flagfile={flagfile}"])
    place = output / "speed.json"
    print(
        "timing a training step on this machine: as many are taken as fit into "
        f"{TRAIN_S / 60:.0f} minutes",
        flush=True,
    )
    code = _run_program(
        "pdm_tf.benchmark",
        "train",
        "--method=supervised",
        "--method_arg=degradation=awgn_blur",
        f"--sr_net={wanted.sr_net}",
        *(f"--sr_arg={text}" for text in wanted.sr_arg),
        f"--batch_size={wanted.batch_size}",
        f"--lr_patch={wanted.lr_patch}",
        *(["--bfloat16"] if precision == "bfloat16" else []),
        "--rounds=3",
        "--gemm_size=256",
        f"--output={place}",
        quiet=True,
    )
    if code >= _ENDED_BY_SIGNAL:
        raise KeyboardInterrupt
    if code != program.OK:
        print(
            f"the timing failed (exit code {code}): {wanted.steps} steps are taken, "
            "however long they last here",
            file=sys.stderr,
        )
        return wanted.steps
    return read_json(place, make=lambda speed: fitting_steps(speed, wanted.steps))


def fitting_steps(speed: dict[str, Any], most: int) -> int:
    """Returns the steps that fit into TRAIN_S, in hundreds.

    Args:
      speed: what `pdm_tf.benchmark train` wrote; its fastest side counts.
      most: steps at most.
    """
    of_each = (side["ms"]["least"] for side in speed["sides"].values())
    seconds = min(of_each) / 1000 * _OVERHEAD
    fitting = int(TRAIN_S / seconds) // 100 * 100
    return min(most, max(LEAST_STEPS, fitting))


def _precision(wanted: str) -> tuple[str, str]:
    """Returns (--mixed_precision for training, why)."""
    if wanted != "auto":
        return wanted, "as --mixed_precision says"
    return precision_for(Path("/proc/cpuinfo"))


def precision_for(cpuinfo: Path) -> tuple[str, str]:
    """Returns the meaning of --mixed_precision=auto on a CPU, and why.

    bfloat16 where the CPU multiplies in it (AMX, or the AVX-512 dot products), which
    takes two thirds of the time of float32 or less; elsewhere it is emulated and slow.
    """
    flags: set[str] = set()
    if cpuinfo.exists():
        flags = set(cpuinfo.read_text(errors="replace").split())
    units = sorted(flags & {"amx_bf16", "avx512_bf16"})
    if units:
        return "bfloat16", f"this CPU has units for it, {units[0]}"
    return "float32", "this CPU has no bfloat16 units"


def _run_program(module: str, *flags: str, quiet: bool = False) -> int:
    """Runs a program of the project in its own session; returns its exit code.

    Only its standard error is shown where it is to be `quiet`.

    In a session of its own it gets a Ctrl-C once, from here, and not a second time from
    the terminal, which it would take for "stop without saving".
    """
    # A folder `pdm_tf` in the working directory must not be taken for the package.
    paths = [str(PLACE), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *flags],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL if quiet else None,
        start_new_session=True,
    )
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {
        number: signal.signal(number, lambda n, _: process.send_signal(n))
        for number in signals
    }
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # A process that a signal ended has a negative code; shells show 128 + signal.
    return code if code >= 0 else 128 - code


def _picture(output: Path, track: Track, report: dict[str, Any]) -> Path:
    """Draws the one picture; returns its path."""
    # TensorFlow is loaded here and not above: --help stays instant, and while training
    # runs there is one TensorFlow in memory, not two.
    with quiet_start():
        from pdm_tf.bundles.bundle import load_bundle
        from pdm_tf.evaluation.baseline import bicubic_upscaler

    pdm = load_bundle(Run(output / "run").bundle(DEGRADATION, "raw")).network
    learned = np.asarray(pdm.sample_kernels(KERNELS_DRAWN, seed=0))
    true = read_arrays(track.true_kernels)[""]
    gallery = kernel_comparison(
        [("learned kernels", learned), ("true kernels, unknown to training", true)]
    )
    image = next(one for one in report["images"] if one["name"] == SHOWN)
    lr_u8 = read_rgb_u8(track.val_lr / f"{SHOWN}.png")
    pictures = before_and_after(
        bicubic_upscaler(SCALE, report["baseline_grid"])(lr_u8),
        read_rgb_u8(output / "upscaled" / f"{SHOWN}.png"),
        read_rgb_u8(track.val_hr / f"{SHOWN}.png"),
        (image["bicubic"]["psnr"], image["psnr"]),
    )
    path = output / "quickstart.png"
    write_png(path, draw.tile_grid([[pictures], [gallery]], gap=16, margin=12))
    return path


def before_and_after(
    before_u8: np.ndarray,
    after_u8: np.ndarray,
    hr_u8: np.ndarray,
    psnrs: tuple[float, float],
) -> np.ndarray:
    """Draws a photograph before and after, large, and a detail of it with the truth.

    Args:
      before_u8, after_u8, hr_u8: [H, W, 3] uint8 each: bicubic, the network, the
        original.
      psnrs: of the first two, dB.
    """
    from pdm_tf.evaluation.panels import textured_region  # loads SciPy

    top, left = textured_region(hr_u8, 96, 148, SCALE)
    words = (
        (before_u8, "before", f"bicubic, {psnrs[0]:.2f} dB"),
        (after_u8, "after", f"the network trained here, {psnrs[1]:.2f} dB"),
        (hr_u8, "the original", "which the network has never seen"),
    )
    whole = [
        draw.with_label(draw.enlarge(picture, 2), [title, text], size=24)
        for picture, title, text in words[:2]
    ]
    detail = [
        draw.with_label(
            draw.enlarge(picture[top : top + 96, left : left + 148], 4),
            [title],
            size=20,
        )
        for picture, title, _ in words
    ]
    return draw.tile_grid(
        [[draw.tile_grid([whole], gap=12)], [draw.tile_grid([detail], gap=12)]], gap=16
    )


def _report(output: Path, track: Track) -> str:
    """Writes report.html: the learned degradation next to the true one.

    Returns:
      Its verdict, in words.
    """
    from pdm_tf.report import ReportConfig, write_report

    written = write_report(
        ReportConfig(
            model=str(output / "run"),
            real_lr=str(track.lr),
            hr_dir=str(track.hr),
            true_kernels=str(track.true_kernels),
            val_hr_dir=str(track.val_hr),
            val_lr_dir=str(track.val_lr),
            output=str(output / "report.html"),
        )
    )
    return written.headline


def _say(part: int, text: str) -> None:
    print(f"\n[{part}/{PARTS}] {text}", flush=True)


if __name__ == "__main__":
    program.run(SPEC, main)
