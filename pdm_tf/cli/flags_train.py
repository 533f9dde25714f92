"""What `python -m pdm_tf.train` says of itself; its flags are in `train_config.py`."""

from pdm_tf.cli.flag_set import ProgramSpec
from pdm_tf.cli.train_config import TrainConfig

SPEC = ProgramSpec(
    module="pdm_tf.train",
    config=TrainConfig,
    intro="Trains a super-resolution network from two folders of photographs that need "
    "not belong together: HR photographs, and LR photographs as they come from the "
    "camera. It learns how the LR photographs were degraded and trains the network to "
    "undo exactly that. Everything is written to --run_dir: the networks to use "
    "(bundles), checkpoints, scores, preview pictures. Ctrl-C or SIGTERM saves and "
    "stops (exit code 75); the same command goes on from there.",
    examples=(
        "python -m pdm_tf.train --flagfile=configs/quickstart.flags",
        "python -m pdm_tf.train --hr_dir=photos/hr --lr_dir=photos/lr --run_dir=runs/a",
    ),
)
