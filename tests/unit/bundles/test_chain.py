"""A chain is its networks in a row: values, scale, radius, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest

from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.bundles.chain import ChainConfig, Stage, chained
from pdm_tf.models.discriminators import PatchGANConfig
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from tests.support.weights import shake

TRANSLATOR = EDSRConfig(num_blocks=1, filters=3, scale=1)
X2 = EDSRConfig(num_blocks=1, filters=3, scale=2)
X3 = RRDBNetConfig(num_blocks=1, filters=3, growth=2, scale=3)


def built(config, seed=0):
    network = config.build()
    shake(network, seed=seed)
    return network


def test_each_stage_gets_the_previous_stages_output():
    """Not clipped: values leave [0, 1] between the stages."""
    first, second = built(X2, 1), built(X3, 2)
    chain = chained([first, second])
    image = np.random.default_rng(0).random((2, 5, 7, 3), np.float32) * 3.0 - 1.0
    np.testing.assert_array_equal(chain(image), second(first(image)))
    assert chain.scale == 6 and chain.architecture == "EDSR+RRDBNet"
    assert chain.block_names == (*X2.block_names, *X3.block_names)


def test_it_shares_the_variables_of_its_networks():
    first, second = built(TRANSLATOR, 1), built(X2, 2)
    chain = chained([first, second])
    assert [id(v) for v in chain.variables] == [
        id(v) for network in (first, second) for v in network.variables
    ]


@pytest.mark.parametrize("scales", [(2, 2), (1, 4), (4, 1)])
def test_its_radius_covers_what_it_sees(scales):
    """No pixel further away than the radius changes the middle; a near one does."""
    chain = chained(
        [
            built(EDSRConfig(num_blocks=1, filters=2, scale=s), i)
            for i, s in enumerate(scales)
        ]
    )
    radius = chain.receptive_radius
    side = 2 * radius + 5
    middle = side // 2
    image = np.full([1, 1, side, 3], 0.5, np.float32)

    def outputs_of_middle(lr):
        sr = chain(lr).numpy()
        return sr[0, :, middle * chain.scale : (middle + 1) * chain.scale]

    still = outputs_of_middle(image)
    seen = 0
    for distance in range(middle + 1):
        changed = image.copy()
        changed[0, 0, middle + distance] = 5.0
        if np.any(outputs_of_middle(changed) != still):
            seen = distance
    assert radius - 2 <= seen <= radius


def test_overlaps_add_up_on_the_inputs_grid():
    deep = RRDBNetConfig(scale=4)
    translator = EDSRConfig(num_blocks=1, scale=1)
    chain = ChainConfig((Stage("EDSR", translator), Stage("RRDBNet", deep)))
    assert chain.overlap == translator.overlap + 24
    assert chain.receptive_radius == translator.receptive_radius + 349
    # Behind an enlargement by 4, 24 pixels are 6 of the input's.
    chain = ChainConfig((Stage("EDSR", EDSRConfig(scale=4)), Stage("RRDBNet", deep)))
    assert chain.overlap == 36 + 6


def test_its_tiles_hold_whole_squares_of_every_stage():
    squares = RRDBNetConfig(scale=1, unshuffle=4)

    def multiple(*configs):
        return ChainConfig(tuple(Stage("RRDBNet", c) for c in configs)).multiple

    assert multiple(RRDBNetConfig(scale=2), RRDBNetConfig(scale=2)) == 1
    # Behind an enlargement by 2, 4 pixels are 2 of the input's; by 4, one.
    assert multiple(RRDBNetConfig(scale=2), squares) == 2
    assert multiple(RRDBNetConfig(scale=4), squares) == 1
    assert multiple(RRDBNetConfig(scale=3), squares) == 4
    assert multiple(RRDBNetConfig(scale=1, unshuffle=3), squares) == 12


def test_its_bundle_lists_its_stages(tmp_path):
    chain = chained([built(TRANSLATOR, 1), built(X2, 2)])
    save_bundle(chain, tmp_path, step=3)
    index = json.loads((tmp_path / "bundle.json").read_text())
    assert (index["network"], index["role"], index["scale"]) == ("Chain", "sr", 2)
    assert [s["network"] for s in index["config"]["stages"]] == ["EDSR", "EDSR"]
    bundle = load_bundle(tmp_path)
    assert bundle.name == "EDSR+EDSR" and bundle.scale == 2
    for found, wanted in zip(bundle.network.variables, chain.variables, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_it_is_made_of_sr_networks_alone():
    with pytest.raises(ValueError, match="must not be empty"):
        ChainConfig(())
    with pytest.raises(ValueError, match="of EDSR, .*RRDBNet.*Received: PatchGAN"):
        ChainConfig((Stage("PatchGAN", PatchGANConfig()),))
    with pytest.raises(ValueError, match="Received: VDSR"):
        ChainConfig(({"network": "VDSR", "config": {}},))
    stored = dataclasses.asdict(chained([built(X2)]).config)
    assert ChainConfig(**stored) == ChainConfig((Stage("EDSR", X2),))
