"""A bundle of a degradation that is what was measured of a source."""

import dataclasses
from pathlib import Path

import keras

from pdm_tf.bundles.bundle import Bundle, load_bundle, save_bundle
from pdm_tf.core.ledger import digest
from pdm_tf.core.seeds import stream_seed
from pdm_tf.degradations import PDMConfig
from pdm_tf.run import is_bundle


def save_estimated(config: PDMConfig, folder: str | Path, seed: int) -> Bundle:
    """Writes the bundle, unless it is there already.

    Args:
      config: that an estimate was made into, see `degradations.from_estimate`.
      folder: of the bundle.
      seed: of the weights that the estimate does not decide, those of what is learned
        tap by tap.

    Returns:
      The bundle, opened.
    """
    notes = {"settings": digest(dataclasses.asdict(config)), "seed": seed}
    if not is_bundle(folder) or load_bundle(folder).notes != notes:
        keras.utils.set_random_seed(stream_seed(seed, "initial weights")[0])
        save_bundle(config.build(name="pdm"), folder, step=0, notes=notes)
    return load_bundle(folder)
