"""Measures a source of LR photographs: `python -m pdm_tf.estimate --help`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pdm_tf.cli import program
from pdm_tf.cli.component import parse_args
from pdm_tf.cli.flag_set import ProgramSpec, flag, parse, progress_flag
from pdm_tf.core.checks import check_flags, check_seed
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_json_atomic, write_text_atomic
from pdm_tf.core.progress import ProgressBar, Show, clock
from pdm_tf.core.quiet import quiet_start
from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.core.source_words import short_form
from pdm_tf.core.stored import read_json
from pdm_tf.data.preparation import check_outside, written
from pdm_tf.estimation.folder_advice import advice_on
from pdm_tf.estimation.folder_check import Folder, FolderCheck, check_folders
from pdm_tf.reporting.estimate_page import CHECK_FILE, FILE, check_page, estimate_page
from pdm_tf.reporting.page import made_by
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.signals import GracefulStop

if TYPE_CHECKING:
    pass

CHECK, BUNDLE = "check.json", "bundle"
_NAMED = 3
_DRAWN = 96
_LINE_EVERY_S = 15.0
_TRAINING = ProgramSpec(
    module="pdm_tf.train", config=TrainConfig, intro="Trains.", examples=()
)


@dataclass(frozen=True)
class EstimateConfig:
    """The request to `estimate`; the fields are the flags.

    Raises:
      UserError: a required flag is missing, a number is out of range, or flags
        contradict each other.
    """

    hr_dir: str = flag(
        "",
        "Folder of sharp photographs (PNG, JPEG, WebP, TIFF, BMP, still GIF), searched "
        "recursively; other scenes than those of --lr_dir will do. Required.",
        section="What",
        required=True,
    )
    lr_dir: str = flag(
        "",
        "Folder of LR photographs of one source, whose degradation is to be measured. "
        "Required.",
        required=True,
    )
    output: str = flag(
        "", "Folder for the results; made if missing. Required.", required=True
    )
    scale: int = flag(4, "HR size / LR size.", at_least=1)
    grid: Literal["pixel0", "half_pixel"] = flag(
        "pixel0",
        "Where LR pixel i is to lie, which cannot be measured: on HR pixel scale * i, "
        "or (scale - 1) / 2 HR pixels further.",
    )
    check_only: bool = flag(
        False, "Look at the folders and end: seconds, nothing is measured."
    )
    regressor: str = flag(
        "",
        "Results of an earlier estimate whose regressor is to be used, for other LR "
        "photographs: most of the time is saved. HR photographs, scale, settings and "
        "JPEG qualities must be the same.",
        section="How",
    )
    estimate_arg: tuple[str, ...] = flag(
        (),
        "A setting of the measurement, e.g. samples=5000, epochs=12, rounds=2, "
        "draws=200.",
    )
    time_step: bool = flag(
        True, "Time a step of training, to say how long training takes here."
    )
    train_flag: tuple[str, ...] = flag(
        (),
        "A flag of pdm_tf.train for that step, e.g. --train_flag=--batch_size=4 or "
        "--train_flag=--flagfile=configs/quickstart.flags; else the defaults, with "
        "--batch_size=8.",
    )
    seed: int = flag(0, "Decides all that is random.", at_least=0)
    progress: Show = progress_flag("Elsewhere a line every quarter of a minute.")

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.estimate")
        check_seed(self.seed)
        for text in self.train_flag:
            if not text.startswith("--"):
                raise UserError(
                    "--train_flag takes a flag of pdm_tf.train, "
                    f"--train_flag=--name=value. Received: {text!r}."
                )

    def training(self) -> TrainConfig:
        """The training whose step is timed.

        Raises:
          UserError: a flag of it is unknown.
        """
        own = ("--batch_size=8", *self.train_flag)
        given = (
            f"--hr_dir={self.hr_dir}",
            f"--lr_dir={self.lr_dir}",
            f"--run_dir={self.output}",
            f"--scale={self.scale}",
            "--val_hr_dir=",
            "--val_lr_dir=",
        )
        return parse(_TRAINING, (*own, *given))


SPEC = ProgramSpec(
    module="pdm_tf.estimate",
    config=EstimateConfig,
    intro="Measures how a source's LR photographs were degraded: JPEG by headers and "
    "by the traces in the pixels, noise as variance against brightness, blur by a "
    "regressor that learns on the HR photographs in about two minutes; and from all "
    "photographs together the distribution of kernels. Before that it looks whether "
    "the folders can be used and fit each other. Writes estimate.html (look at it), "
    "estimate.json, check.json, and bundle/, a degradation that training can start "
    "from (--init_degradation) and pdm_tf.degrade can use. Stopped and started again "
    "with the same flags, it goes on. Exit code: 0 when all photographs were used, 1 "
    "when some were left out, 2 when the folders cannot be used, 75 when it was "
    "stopped by Ctrl-C or SIGTERM and can go on.",
    examples=(
        "python -m pdm_tf.estimate --hr_dir=photos/hr --lr_dir=photos/lr "
        "--output=results/source --check_only",
        "python -m pdm_tf.estimate --hr_dir=photos/hr --lr_dir=photos/lr "
        "--output=results/source",
    ),
)


def main(config: EstimateConfig) -> int:
    """Checks the folders and measures the source; returns the exit code."""
    output = Path(config.output)
    for name in ("hr_dir", "lr_dir"):
        check_outside(getattr(config, name), output, f"--{name}")
    training = config.training()
    with ProgressBar("check", "photograph", config.progress, delay=0.5) as bar:
        check = check_folders(config.hr_dir, config.lr_dir, config.scale, bar.update)
    stored = check.to_json() | {"advice": None}
    if not check.errors:
        advice = advice_on(check, batch=training.batch_size)
        stored["advice"] = advice.to_json()
    _write_json(output / CHECK, stored)
    print("\n".join(check_lines(check)))
    _print_findings(stored["findings"])
    if config.check_only or check.errors:
        page = output / CHECK_FILE
        _write_text(page, check_page(stored, made_by()))
        if check.errors:
            return program.BAD_INPUT
        print("\n".join([*advice_lines(stored["advice"]), str(page)]))
        return _code(check)
    estimate = _measured(config, check)
    if estimate is None:
        print("stopped; start it again with the same flags to go on.")
        return program.INTERRUPTED
    print("\n".join(short_form(estimate)))
    for text in estimate.kernels.gates:
        print(f"note: {text}")
    with quiet_start():
        from pdm_tf.bundles.estimated_bundle import save_estimated
        from pdm_tf.degradations.from_estimate import pdm_config_of

    bundle = save_estimated(pdm_config_of(estimate), output / BUNDLE, config.seed)
    kernels = bundle.network.sample_kernels(_DRAWN, seed=config.seed)
    before, stored = stored, read_json(output / CHECK)
    _print_findings([x for x in stored["findings"] if x not in before["findings"]])
    stored["advice"] = advice_on(check, estimate, training.batch_size).to_json()
    timing = _timing(training, stored["advice"]["steps"]) if config.time_step else ""
    _write_json(output / CHECK, stored | {"timing": timing})
    page = output / FILE
    _write_text(page, estimate_page(estimate, stored, kernels, made_by(), timing))
    print("\n".join(advice_lines(stored["advice"])))
    if timing:
        print(timing)
    print(f"a degradation to start from: {output / BUNDLE}")
    print(page)
    return _code(check)


def check_lines(check: FolderCheck) -> list[str]:
    """A line for each folder: how many photographs, their sizes, their kinds."""
    return [_folder_line("HR", check.hr), _folder_line("LR", check.lr)]


def advice_lines(advice: dict[str, Any]) -> list[str]:
    """What fits, for a terminal."""
    flags = [f"  {flags}: {why}" for flags, why in advice["flags"]]
    return [*advice["lines"], "flags for pdm_tf.train that fit:", *flags]


def _measured(config: EstimateConfig, check: FolderCheck) -> SourceEstimate | None:
    """Runs the stages; None: a signal asked to stop."""
    with quiet_start():
        from pdm_tf.estimation.kernel_regressor import TrainingStopped
        from pdm_tf.estimation.measure_source import SourceSettings, measure_source

    given = (f"regressor={config.regressor}",) if config.regressor else ()
    settings: SourceSettings = parse_args(
        SourceSettings, (*config.estimate_arg, *given)
    )
    bar = ProgressBar(
        "measuring", "part", config.progress, line_every_s=_LINE_EVERY_S, leave=False
    )
    with GracefulStop() as stop, bar:
        try:
            return measure_source(
                config.hr_dir,
                config.lr_dir,
                config.output,
                scale=config.scale,
                grid=config.grid,
                seed=config.seed,
                settings=settings,
                check=check,
                on_progress=bar.update,
                stop=lambda: bool(stop.received),
            )
        except TrainingStopped:
            return None


def _timing(training: TrainConfig, steps: int) -> str:
    """A sentence on how long training takes here."""
    from pdm_tf.benchmarks.step_seconds import step_seconds

    seconds = step_seconds(training)
    return (
        f"A step of --method={training.method} --batch_size={training.batch_size} "
        f"takes {seconds:.2g} s here: {steps} steps take {clock(steps * seconds)}."
    )


def _folder_line(role: str, folder: Folder) -> str:
    facts = folder.to_json()
    line = f"{role}: {facts['usable']} of {facts['files']} photographs can be used"
    if not facts["usable"]:
        return line
    sides = [
        f"{facts[name][1]:.0f}"
        if facts[name][0] == facts[name][2]
        else f"{facts[name][0]}..{facts[name][2]}"
        for name in ("width", "height")
    ]
    kinds = ", ".join(f"{count} {kind}" for kind, count in facts["kinds"].items())
    red, green, blue = facts["mean_255"]
    detail = facts["detail_db"]
    return (
        f"{line}: {' x '.join(sides)} px; {kinds}; mean colour {red:.0f}, {green:.0f}, "
        f"{blue:.0f}" + (f"; detail {detail:.1f} dB" if detail is not None else "")
    )


def _print_findings(findings: Sequence[dict[str, Any]]) -> None:
    for one in findings:
        names = ", ".join(one["names"][:_NAMED])
        more = len(one["names"]) - _NAMED
        names += f" and {more} more" if more > 0 else ""
        line = f"{one['level']}: {one['text']}" + (f" ({names})" if names else "")
        print(line, file=sys.stdout if one["level"] == "note" else sys.stderr)


def _code(check: FolderCheck) -> int:
    left_out = check.hr.left_out or check.lr.left_out
    return program.SOME_LEFT_OUT if left_out else program.OK


def _write_json(path: Path, stored: Any) -> None:
    written(path, lambda: write_json_atomic(path, stored))


def _write_text(path: Path, text: str) -> None:
    written(path, lambda: write_text_atomic(path, text))


if __name__ == "__main__":
    program.run(SPEC, main)
