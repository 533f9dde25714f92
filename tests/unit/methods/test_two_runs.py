"""Stage two in a run of its own: from what a run of stage one left, or not at all."""

import dataclasses

import numpy as np
import pytest

from pdm_tf import build
from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.core.errors import UserError
from tests.conformance.smoke import parse
from tests.support.weights import shake


@pytest.mark.parametrize("name", ["cincgan", "cyclesr"])
def test_stage_two_goes_on_from_the_bundles_of_stage_one(name, tmp_path):
    """As in a run folder, with averaged weights; without one of them it refuses."""
    path = f"smoke/{name}.flags"
    config = parse(path, "--method_arg=training=first")
    of_first = tuple(arg for arg in config.net_arg if not arg.startswith("hr_"))
    config = dataclasses.replace(
        config, sr_arg=(), hr_discriminator_arg=(), net_arg=of_first
    )
    first = build.build_method(config)
    for number, (part, network) in enumerate(first.deployable().items()):
        shake(network, seed=number, amount=0.1)
        save_bundle(network, tmp_path / "bundles" / f"{part}_ema", step=3)
    given = [f"--init={part}:{tmp_path}" for part in first.deployable()]
    flags = [path, "--method_arg=training=second"]
    second = build.build_method(parse(*flags, *given))
    assert second.train_step_for(0) == second.train_step_for(10**6)
    assert "sr" in second.networks
    for part, network in first.deployable().items():
        pairs = zip(
            network.get_weights(), second.networks[part].get_weights(), strict=True
        )
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)
    for missing in given:
        part = missing.removeprefix("--init=").partition(":")[0]
        rest = [flag for flag in given if flag != missing]
        with pytest.raises(UserError, match=f"training=second goes on .* {part}"):
            build.build_method(parse(*flags, *rest))
