"""`python -m pdm_tf.train` as two processes with TF_CONFIG, on loopback."""

import numpy as np
import pytest

from pdm_tf.bundles.bundle import load_bundle
from tests.conformance.smoke import arguments, write_photographs
from tests.support.workers import run_workers

FLAGS = "smoke/pdm_sr_noise.flags"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.mark.slow  # half a minute; docs/guide/scaling.md's two workers run by default
def test_two_workers_learn_the_degradation_and_the_network_that_one_does(
    photographs, tmp_path
):
    weights = {}
    for workers in (1, 2):
        run_dir = tmp_path / f"{workers}"
        more = ("--progress=off", "--batch_size=4", "--steps_per_call=2")
        given = arguments(FLAGS, photographs, run_dir, *more)
        ended = run_workers("pdm_tf.train", given, workers)
        assert [code for code, _, _ in ended] == [0] * workers, ended
        # Nothing but our own lines, on any worker.
        assert [errors for _, _, errors in ended] == [""] * workers
        assert "finished at step" in ended[0][1]
        if workers == 2:
            assert ended[1][1].splitlines() == ["worker 1 of 2: waiting for all"]
        weights[workers] = {
            f"{name} {index} {v.path.rpartition('/')[2]}": v.numpy()
            for name in ("sr", "pdm")
            for index, v in enumerate(
                load_bundle(run_dir / "bundles" / name).network.variables
            )
        }
    assert weights[1].keys() == weights[2].keys()
    apart = {
        name: np.abs(weights[2][name] - value).max()
        for name, value in weights[1].items()
        # What a norm cancels moves by rounding alone, as far as Adam lets it.
        if not name.endswith(("bias", "moving_mean", "moving_variance"))
    }
    # A weight moves 2e-4 in each step, wherever it goes.
    assert max(apart.values()) < 1e-4, apart
