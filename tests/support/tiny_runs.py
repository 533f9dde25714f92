"""Run folders as training leaves them, of tiny networks."""

from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.models.discriminators import PatchGANConfig
from pdm_tf.models.sr import EDSRConfig
from tests.support.tiny_nets import sr_bundle, tiny_pdm

X1 = EDSRConfig(num_blocks=1, filters=3, scale=1)
X2 = EDSRConfig(num_blocks=1, filters=4, scale=2)


def pdm_bundle(folder, seed=0):
    """A bundle of `tiny_pdm(seed)`; returns the PDM."""
    pdm = tiny_pdm(seed)
    save_bundle(pdm, folder, step=11)
    return pdm


def run_folder(folder):
    """A run of `pdm_sr`; returns its networks by the bundles' names."""
    bundles = folder / "bundles"
    discriminator = PatchGANConfig(filters=4, strides=(1, 1)).build()
    save_bundle(discriminator, bundles / "discriminator", step=7)
    return {
        "sr": sr_bundle(bundles / "sr", X2, seed=1, grid="pixel0"),
        "sr_ema": sr_bundle(bundles / "sr_ema", X2, seed=2, grid="pixel0"),
        "pdm": pdm_bundle(bundles / "pdm", seed=3),
        "pdm_ema": pdm_bundle(bundles / "pdm_ema", seed=4),
        "discriminator": discriminator,
    }
