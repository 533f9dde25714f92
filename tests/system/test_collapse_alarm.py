"""The collapse alarm through `python -m pdm_tf.train`, on runs of 210 tiny steps."""

import pytest

from pdm_tf import train
from pdm_tf.cli import program
from pdm_tf.run import read_metrics
from tests.conformance.smoke import arguments, write_photographs


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"))


def _train(photographs, run_dir, *more):
    """Returns (what log.txt says of the alarm, the last step's numbers)."""
    command = arguments("smoke/pdm_sr_degradation.flags", photographs, run_dir, *more)
    off = ("--validate_every=0", "--preview_every=0", "--progress=off")
    often = ("--steps=210", "--log_every=70", "--save_every=1000")
    noise = ("--noise", "--noise_arg=num_blocks=1", "--noise_arg=filters=8")
    slow = "--learning_rate=1e-5"
    code = program.call(train.SPEC, train.main, [*command, *off, *often, *noise, slow])
    assert code == program.OK
    lines = (run_dir / "log.txt").read_text().splitlines()
    records = [r for r in read_metrics(run_dir / "metrics.jsonl") if r["step"] == 210]
    return [x for x in lines if "collapse alarm" in x], records[0]


HEALTHY = ("--kernel_arg=initial=gaussians", "--noise_arg=initial_std=0.02")


@pytest.mark.slow
def test_fires_on_a_collapsed_run_and_is_silent_on_a_healthy_one(photographs, tmp_path):
    """A start at one delta stays there at this learning rate, and noise of that weight
    vanishes; kernels that start as a distribution, with noise, stay too."""
    collapsed = (
        "--kernel_arg=initial=delta",
        "--kernel_arg=initial_centre=0.99",
        "--kernel_arg=initial_std=0",
        "--noise_arg=initial_std=0.000001",
        "--method_arg=noise_weight=1000000",
    )
    lines, numbers = _train(photographs, tmp_path / "collapsed", *collapsed)
    causes = {"kernels_alike", "kernels_delta", "noise_vanished"}
    assert set(numbers["alarm/active"].split(",")) == causes
    for cause in causes:
        (line,) = [x for x in lines if f"alarm: {cause}:" in x]
        assert "step 210" in line and "threshold" in line
        assert numbers[f"alarm/{cause}"] is not None
    lines, numbers = _train(photographs, tmp_path / "healthy", *HEALTHY)
    assert lines == [] and numbers["alarm/active"] == ""
    assert numbers["alarm/kernels_alike"] > 0.1
    lines, numbers = _train(
        photographs, tmp_path / "off", *collapsed, "--nocollapse_alarm"
    )
    assert lines == [] and not any(name.startswith("alarm/") for name in numbers)
