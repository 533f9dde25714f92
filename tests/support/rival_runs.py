"""Run folders as the methods leave them that ship a composition and a degrader."""

import dataclasses

import numpy as np

from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.bundles.chain import chained
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.images import write_png
from pdm_tf.degradations import DegraderConfig
from pdm_tf.models.sr import EDSRConfig, TranslatorConfig
from tests.support.tiny_nets import built, photo
from tests.support.weights import shake

SCALE = 2
TRANSLATOR = TranslatorConfig(filters=3, num_blocks=1, head=(5, 3), tail=(3, 5))
SR = EDSRConfig(num_blocks=1, filters=4, scale=SCALE)
DEGRADER = DegraderConfig(scale=SCALE, filters=4, num_blocks=1, noise_channels=2)


def tiny_degrader(seed=0, amount=0.02, **changes):
    """A `Degrader` whose every variable is random; `changes` replace settings."""
    network = dataclasses.replace(DEGRADER, **changes).build()
    shake(network, seed=seed, amount=amount)
    return network


def tiny_composition(seed=0):
    """Translator and SR network in a row."""
    return chained([built(TRANSLATOR, seed), built(SR, seed + 1)])


def rival_run(folder, **settings):
    """Makes the run; returns its networks by the bundles' names.

    `settings` go into config.json. photos/hr and photos/lr beside the run folder hold a
    few photographs, which the run names as its own.
    """
    networks = {
        "sr": tiny_composition(1),
        "sr_ema": tiny_composition(3),
        "degradation": tiny_degrader(5),
        "degradation_ema": tiny_degrader(6),
    }
    for name, network in networks.items():
        grid = "half_pixel" if network.role == "sr" else None
        save_bundle(network, folder / "bundles" / name, step=9, grid=grid)
    photos = folder.parent / "photos"
    for index in range(8):
        image = np.ascontiguousarray(np.roll(photo(160, 160), 17 * index, axis=1))
        write_png(photos / "hr" / f"{index}.png", image)
        write_png(photos / "lr" / f"{index}.png", image[::2, ::2])
    places = {f"{side}_dir": str(photos / side) for side in ("hr", "lr")}
    write_json_atomic(
        folder / "config.json", {"method": "cincgan", **places, **settings}
    )
    return networks
