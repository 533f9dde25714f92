"""Measures a source of LR photographs: `python -m pdm_tf.estimate --help`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.files import write_json_atomic, write_text_atomic
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.data.preparation import check_outside, written
from pdm_tf.estimation.folder_advice import Advice, advice_on
from pdm_tf.estimation.folder_check import Finding, Folder, FolderCheck, check_folders
from pdm_tf.reporting.estimate_page import CHECK_FILE, check_page
from pdm_tf.reporting.page import made_by

CHECK = "check.json"
_NAMED = 3


@dataclass(frozen=True)
class EstimateConfig:
    """The request to `estimate`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
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
    output_dir: str = flag(
        "", "Folder for the results; made if missing. Required.", required=True
    )
    scale: int = flag(4, "HR size / LR size.", at_least=1)
    check_only: bool = flag(
        False, "Look at the folders and end: seconds, nothing is measured."
    )
    progress: Show = progress_flag("Elsewhere a line every half minute.")

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.estimate")


SPEC = ProgramSpec(
    module="pdm_tf.estimate",
    config=EstimateConfig,
    intro="Looks whether two folders of photographs can be used and fit each other: "
    "what is left out and why, how the folders differ in size, brightness, colour and "
    "detail, photographs unlike the others, folders that look swapped, and which flags "
    "and how many steps fit. Writes check.json and check.html. Exit code: 0 when all "
    "photographs can be used, 1 when some are left out, 2 when the folders cannot be "
    "used.",
    examples=(
        "python -m pdm_tf.estimate --hr_dir=photos/hr --lr_dir=photos/lr "
        "--output_dir=results/source --check_only",
    ),
)


def main(config: EstimateConfig) -> int:
    """Checks the folders; returns the exit code."""
    output = Path(config.output_dir)
    for name in ("hr_dir", "lr_dir"):
        check_outside(getattr(config, name), output, f"--{name}")
    with ProgressBar("check", "photograph", config.progress, delay=0.5) as bar:
        check = check_folders(config.hr_dir, config.lr_dir, config.scale, bar.update)
    advice = None if check.errors else advice_on(check)
    stored = {
        **check.to_json(),
        "advice": advice.to_json() if advice else None,
    }
    path = output / CHECK
    written(path, lambda: write_json_atomic(path, stored))
    page = output / CHECK_FILE
    text = check_page(stored, made_by())
    written(page, lambda: write_text_atomic(page, text))
    for line in check_lines(check):
        print(line)
    _print_findings(check.findings)
    if check.errors:
        return program.BAD_INPUT
    print("\n".join(advice_lines(advice)))
    print(page)
    left_out = check.hr.left_out or check.lr.left_out
    return program.SOME_LEFT_OUT if left_out else program.OK


def check_lines(check: FolderCheck) -> list[str]:
    """A line for each folder: how many photographs, their sizes, their kinds."""
    return [_folder_line("HR", check.hr), _folder_line("LR", check.lr)]


def advice_lines(advice: Advice) -> list[str]:
    """What fits, for a terminal."""
    flags = [f"  {flags}: {why}" for flags, why in advice.flags]
    return [*advice.lines, "flags for pdm_tf.train that fit:", *flags]


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


def _print_findings(findings: Sequence[Finding]) -> None:
    for one in findings:
        names = ", ".join(one.names[:_NAMED])
        more = len(one.names) - _NAMED
        names += f" and {more} more" if more > 0 else ""
        line = f"{one.level}: {one.text}" + (f" ({names})" if names else "")
        print(line, file=sys.stdout if one.level == "note" else sys.stderr)


if __name__ == "__main__":
    program.run(SPEC, main)
