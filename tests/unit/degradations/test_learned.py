"""A PDM as a degradation: the training's own values, and how far its parts see."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf import build, build_parts
from pdm_tf.build_parts import learned
from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_u8
from pdm_tf.degradations import (
    Degradation,
    Degraded,
    JPEGModuleConfig,
    KernelModuleConfig,
    NoiseModuleConfig,
    ParametricNoiseConfig,
    PDMConfig,
)
from pdm_tf.degradations.whole_image import degrade_image
from pdm_tf.models.network import Network
from tests.unit.data.folders import noise
from tests.unit.degradations.networks import tiny_pdm
from tests.unit.methods import tiny


def test_the_call_is_the_pdm_at_the_latents_of_the_seed():
    pdm = tiny_pdm()
    degradation = pdm
    hr = np.random.default_rng(0).random((3, 24, 20, 3)).astype(np.float32)
    seed = tf.constant([3, 4])
    degraded = degradation.synthesise(hr, seed)
    wanted = pdm(hr, *pdm.draw(3, 10, 8, seed), training=False)
    assert degradation.margin == 2 and degraded.lr.shape == (3, 10, 8, 3)
    np.testing.assert_array_equal(degraded.lr, wanted.lr)
    np.testing.assert_array_equal(degraded.kernel, wanted.kernel)
    assert np.ptp(degraded.noise) > 0.01


def test_a_photograph_equals_what_training_makes_of_it():
    """As the SR step of PDM-SR degrades a batch, at the same latents."""
    method = tiny.pdm_sr({"pdm": (pdm := tiny_pdm())})
    hr_u8 = noise(44, 44, 1)
    margin = pdm.config.margin
    padded = np.pad(hr_u8, [(margin, margin)] * 2 + [(0, 0)], mode="reflect")
    latents = pdm.draw(1, 22, 22, tf.constant([5, 6]))
    method._pdm.draw = lambda *arguments: latents
    degraded, _ = method._pairs.degrade(
        tf.constant(padded[None] / 255.0, tf.float32),
        tf.constant(0, tf.int64),
        tiny.FULL_BATCH,
        training=False,
    )
    del method._pdm.draw
    image = degrade_image(pdm, hr_u8, (5, 6))
    np.testing.assert_array_equal(image.lr_u8, to_u8(degraded.lr.numpy()[0]))


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_receptive_radius_is_what_a_single_latent_reaches(blocks):
    if blocks == 0:
        assert tiny_pdm(noise_blocks=None).context == 0
        return
    pdm = tiny_pdm(noise_blocks=blocks)
    radius = pdm.context
    side = 2 * radius + 9
    hr = np.full([1, 2 * side + 4, 2 * side + 4, 3], 0.5, np.float32)
    z_k, z_n, *_ = pdm.draw(1, side, side, tf.constant([0, 1]))
    middle = np.zeros(z_n.shape, np.float32)
    middle[0, side // 2, side // 2] = 3.0
    changed = np.abs(pdm(hr, z_k, z_n + middle).lr - pdm(hr, z_k, z_n).lr)
    rows = np.flatnonzero(changed[0].max(axis=(1, 2)) > 0)
    assert (rows[0], rows[-1]) == (side // 2 - radius, side // 2 + radius)


@pytest.mark.parametrize(
    "config_class, known",
    [
        (PDMConfig, "scale kernel noise grid border jpeg"),
        (
            JPEGModuleConfig,
            "subsampling latent_channels latent filters initial_median initial_spread "
            "qualities",
        ),
        (
            KernelModuleConfig,
            "kernel_size latent_channels latent use_image filters num_blocks spatial "
            "conv_size normalization initial initial_centre initial_sigma_px "
            "initial_diversity initial_std smoothing_px basis start",
        ),
        (
            NoiseModuleConfig,
            "latent_channels filters num_blocks conv_size channels latent use_image "
            "normalization initial_std output_scale zero_mean",
        ),
        (
            ParametricNoiseConfig,
            "log_mean log_covariance correlation_px colour learned",
        ),
    ],
)
def test_every_setting_is_known_to_the_receptive_radius(config_class, known):
    """A new one may let a PDM see further: look there, then enter it here."""
    names = [field.name for field in dataclasses.fields(config_class)]
    assert names == known.split()


def test_a_pdm_that_mirrors_gives_the_same_photograph():
    """Its own mirroring of the whole image is what the degradation does at edges."""
    pdm = tiny_pdm(border="reflect")
    hr_u8 = noise(30, 44, 2)
    hr = tf.constant(hr_u8[None] / 255.0, tf.float32)
    wanted = pdm(hr, *pdm.draw(1, 15, 22, tf.constant([7, 8])))
    degradation = pdm
    assert degradation.margin == 2
    image = degrade_image(degradation, hr_u8, (7, 8))
    np.testing.assert_array_equal(image.lr_u8, to_u8(wanted.lr.numpy()[0]))


def test_opens_bundles_of_its_kind_only(tmp_path):
    pdm = tiny_pdm()
    save_bundle(pdm, tmp_path / "bundles/pdm_ema", step=7)
    save_bundle(tiny.sr(), tmp_path / "sr", step=7)
    degradation, bundle = learned(str(tmp_path), "pdm", "--degradation")
    assert (degradation.scale, bundle.step) == (2, 7)
    for variable, before in zip(degradation.variables, pdm.variables, strict=True):
        np.testing.assert_array_equal(variable, before)
    with pytest.raises(UserError, match="role 'degradation'. Received: .*role 'sr'"):
        learned(str(tmp_path / "sr"), "pdm", "--degradation")


@dataclasses.dataclass(frozen=True)
class AverageConfig:
    """Settings of a network that is a degradation, and no PDM."""

    scale: int = 2

    def build(self, dtype="float32", name=None):
        return Average(self, dtype=dtype, name=name)


class Average(Network, Degradation):
    """Mean of each block of pixels: no kernel, no grid, no latents."""

    config_class = AverageConfig
    role = "degradation"
    margin = 0

    def call(self, hr, training=False):
        lr = tf.nn.avg_pool2d(hr, self.scale, self.scale, "VALID")
        return Degraded(lr, lr)

    def draw(self, batch, height, width, seed):
        return ()

    def apply(self, hr, *latents, training=False):
        return self(tf.cast(hr, tf.float32), training=training)


def test_a_network_without_kernels_degrades_and_trains_as_others_do(
    tmp_path, monkeypatch
):
    """A learned degrader from HR to LR, as Bulat et al. (2018) train one."""
    network = AverageConfig().build(name="average")
    hr_u8 = noise(20, 24, 3)
    network(hr_u8[None] / np.float32(255.0))
    monkeypatch.setattr(
        build_parts, "load_bundle", lambda path, policy: SimpleNamespace(
            network=network, role="degradation", name="Average", sha256="0" * 64
        )
    )  # fmt: skip
    (tmp_path / "bundle.json").write_text("{}")
    degradation, facts = build.build_degradation(str(tmp_path))
    assert facts == {"degradation": "average-" + 16 * "0", "scale": 2}
    wanted = hr_u8.reshape(10, 2, 12, 2, 3).mean(axis=(1, 3)) / 255.0
    image = degrade_image(degradation, hr_u8, (1, 2))
    np.testing.assert_array_equal(image.lr_u8, to_u8(wanted.astype(np.float32)))
    method = tiny.pdm_sr({"pdm": network}, training="sr")
    assert set(method.networks) == {"pdm", "sr"} and method.patches == {"hr": 16}
    scalars = tiny.run(method, 1)[0]
    assert np.isfinite(scalars["loss/sr_l1"])
    assert set(method.previews(tiny.batch_for(method), 0)) == {"patches"}
