"""Runs the smoke flag files: photographs for them and their command lines."""

from pathlib import Path

import numpy as np

from pdm_tf.cli import flag_set
from pdm_tf.core.images import write_png
from pdm_tf.train import SPEC
from pdm_tf.train_config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
SMOKE = sorted(
    path.relative_to(CONFIGS) for path in (CONFIGS / "smoke").rglob("*.flags")
)
# What is trained by the slow tests, since its steps are tested elsewhere: the forms of
# the model, noise and the JPEG module, chains of many operations in the input pipeline,
# large networks, and second settings of methods.
_LONG = (
    "bulat_paper",
    "cincgan_paper",
    "cyclesr_paper",
    "dsgan_sr_paper",
    "dsgan_sr_sdsr",
    "maeda_paper",
    "pdm_sr_degradation",
    "pdm_sr_jpeg",
    "pdm_sr_noise",
    "supervised_awgn_blur",
    "supervised_bsrgan",
    "supervised_gan_real_esrgan",
    "supervised_rrdbnet",
)
LONG = [path for path in SMOKE if "forms" in path.parts or path.stem in _LONG]


def parse(path: Path | str, *more: str) -> TrainConfig:
    """The config of a flag file below configs/ (or anywhere, by its full path)."""
    return flag_set.parse(SPEC, [f"--flagfile={CONFIGS / path}", *more])


def write_photographs(folder: Path) -> Path:
    """hr, their lr partners ("pairs"), other lr, and a source large enough to be HR.

    Eight random images each.
    """
    draw = np.random.default_rng(7)
    for index in range(8):
        coarse = draw.integers(0, 256, (24, 24, 3)).astype(np.float64)
        hr = coarse.repeat(4, 0).repeat(4, 1)
        hr = (hr + np.roll(hr, 3, 0) + np.roll(hr, 3, 1)) / 3
        write_png(folder / "hr" / f"{index}.png", hr.astype(np.uint8))
        write_png(folder / "pairs" / f"{index}.png", hr[::4, ::4].astype(np.uint8))
        other = draw.integers(0, 256, (24, 24, 3)).astype(np.uint8)
        write_png(folder / "lr" / f"{index}.png", other)
    for index in range(8):  # after all others, whose numbers stay
        other = draw.integers(0, 256, (96, 96, 3)).astype(np.uint8)
        write_png(folder / "source" / f"{index}.png", other)
    return folder


def arguments(
    path: Path | str, photographs: Path, run_dir: Path, *more: str
) -> list[str]:
    """The command line of a flag file on these photographs."""
    config = parse(path)
    folders = {
        "hr_dir": photographs / "hr",
        "run_dir": run_dir,
        "val_hr_dir": photographs / "hr",
        "val_lr_dir": photographs / "pairs",
    }
    if config.lr_dir:
        partners = "pairs=real" in config.method_arg
        name = "pairs" if partners else Path(config.lr_dir).name
        folders["lr_dir"] = photographs / name
    return [
        f"--flagfile={CONFIGS / path}",
        *(f"--{name}={folder}" for name, folder in folders.items()),
        "--val_max_images=2",
        *more,
    ]
