"""`python -m pdm_tf.train` with the real methods: a restart loses nothing."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf import train
from pdm_tf.cli import program
from tests.conformance.smoke import arguments, write_photographs


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"))


def state(run_dir, step):
    """Every variable of a checkpoint: networks, optimisers, averages."""
    reader = tf.train.load_checkpoint(
        str(run_dir / "checkpoints" / f"step_{step:08d}" / "state")
    )
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE")
    }


@pytest.mark.parametrize(
    "flags",
    [
        ("smoke/pdm_sr_noise.flags",),
        pytest.param(
            (
                "smoke/pdm_sr_separate.flags",
                "--method_arg=degradation_steps=2",
                "--mixed_precision=bfloat16",
            ),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["joint", "separate_bfloat16"],
)
def test_four_steps_equal_two_and_two_to_the_last_bit(flags, photographs, tmp_path):
    """Moving statistics, power iterations, both moments of Adam, data and latents; the
    phases of separate training meet at the restart."""
    path, *more = flags

    def run(run_dir, steps):
        command = arguments(path, photographs, run_dir, *more, f"--steps={steps}")
        off = ("--validate_every=0", "--preview_every=0", "--progress=off")
        off = (*off, "--save_every=2", "--report=off")
        assert program.call(train.SPEC, train.main, [*command, *off]) == program.OK

    run(tmp_path / "whole", 4)
    # The other run is the same until a kill after its first checkpoint.
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts/checkpoints/step_00000004")
    run(tmp_path / "parts", 4)
    assert "goes on from step 2" in (tmp_path / "parts/log.txt").read_text()
    whole, parts = state(tmp_path / "whole", 4), state(tmp_path / "parts", 4)
    assert whole.keys() == parts.keys() and len(whole) > 50
    different = [name for name in whole if not np.array_equal(whole[name], parts[name])]
    assert not different
    # The test can tell: two steps less are another state.
    early = state(tmp_path / "parts", 2)
    moved = [name for name in whole if not np.array_equal(whole[name], early[name])]
    assert len(moved) > len(whole) / 4
