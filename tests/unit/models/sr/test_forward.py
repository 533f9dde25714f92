"""EDSR and RRDBNet against forward passes in NumPy, and their first values."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.bundles.networks import SR_NETS
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from pdm_tf.models.sr.edsr import DIV2K_MEAN, upsampling_stages
from pdm_tf.models.sr.rrdbnet import unshuffled
from tests.oracles import sr_oracle
from tests.support.weights import shake

STAGES = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


def weights_of(network):
    """name -> (kernel, bias), e.g. "block_0/first"."""
    table = {v.path.split("/", 1)[1]: v.numpy() for v in network.variables}
    return lambda name: (table[f"{name}/kernel"], table[f"{name}/bias"])


def lr_image(height=6, width=5):
    return np.random.default_rng(0).random((1, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("scale", STAGES)
def test_edsr_equals_numpy(scale):
    config = EDSRConfig(scale=scale, filters=4, num_blocks=2, residual_scale=0.3)
    network = config.build()
    shake(network, amount=0.15)
    lr = lr_image()
    wanted = sr_oracle.edsr(
        lr[0].astype(np.float64),
        weights_of(network),
        num_blocks=2,
        residual_scale=0.3,
        stages=STAGES[scale],
    )
    sr = network(lr)
    assert sr.shape == (1, 6 * scale, 5 * scale, 3)
    largest = np.abs(wanted).max()  # what float32's rounding goes by
    np.testing.assert_allclose(sr[0], wanted, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("scale", STAGES)
def test_rrdbnet_equals_numpy(scale):
    network = RRDBNetConfig(scale=scale, filters=4, growth=3, num_blocks=2).build()
    shake(network, amount=0.3)
    lr = lr_image()
    wanted = sr_oracle.rrdbnet(
        lr[0].astype(np.float64),
        weights_of(network),
        num_blocks=2,
        stages=STAGES[scale],
    )
    sr = network(lr)
    assert sr.shape == (1, 6 * scale, 5 * scale, 3)
    largest = np.abs(wanted).max()  # what float32's rounding goes by
    np.testing.assert_allclose(sr[0], wanted, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize(
    ("scale", "unshuffle", "size"),
    [(2, 2, (6, 8)), (2, 2, (7, 5)), (1, 4, (9, 6)), (4, 2, (4, 3)), (1, 3, (5, 4))],
)
def test_rrdbnet_on_unshuffled_pixels_equals_numpy(scale, unshuffle, size):
    """Real-ESRGAN's x2 and x1, sides that do not divide mirrored and cut."""
    network = RRDBNetConfig(
        scale=scale, filters=4, growth=3, num_blocks=1, unshuffle=unshuffle
    ).build()
    shake(network, amount=0.3)
    lr = lr_image(*size)
    wanted = sr_oracle.rrdbnet(
        sr_oracle.unshuffle(lr[0].astype(np.float64), unshuffle),
        weights_of(network),
        num_blocks=1,
        stages=STAGES[scale * unshuffle],
    )[: size[0] * scale, : size[1] * scale]
    sr = network(lr)
    assert sr.shape == (1, size[0] * scale, size[1] * scale, 3)
    largest = np.abs(wanted).max()
    np.testing.assert_allclose(sr[0], wanted, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 1)])
def test_unshuffling_takes_images_smaller_than_a_square(size):
    """Mirrored as far as there is something to mirror, then the first row repeats."""
    lr = lr_image(*size)
    found = unshuffled(lr, 4).numpy()
    rows, columns = ([max(n - 1 - abs(n - 1 - i), 0) for i in range(4)] for n in size)
    wanted = lr[0][np.ix_(rows, columns)].reshape(1, 1, 1, 48)
    np.testing.assert_array_equal(found, wanted)


def test_edsr_takes_off_and_adds_the_configured_mean():
    """Against the default mean: an input moved by the difference gives it moved."""
    mean = (0.1, 0.5, 0.7)
    shift = np.float32(mean) - np.float32(DIV2K_MEAN)
    usual = EDSRConfig(filters=4, num_blocks=1).build()
    other = EDSRConfig(filters=4, num_blocks=1, rgb_mean=mean).build()
    other.set_weights(usual.get_weights())
    np.testing.assert_allclose(
        other(lr_image() + shift), usual(lr_image()) + shift, atol=1e-5
    )
    with pytest.raises(ValueError, match="`rgb_mean` of EDSRConfig must be three"):
        EDSRConfig(rgb_mean=(0.5,))


def test_edsr_inner_range_does_not_change_the_function_at_matching_weights():
    """rgb_range only rescales: dividing every bias by 255 makes up for range 1."""
    wide = EDSRConfig(filters=4, num_blocks=1, rgb_range=255.0).build()
    narrow = EDSRConfig(filters=4, num_blocks=1, rgb_range=1.0).build()
    shake(wide, amount=0.2)
    for target, source in zip(narrow.variables, wide.variables, strict=True):
        target.assign(source / (255.0 if source.path.endswith("bias") else 1.0))
    np.testing.assert_allclose(narrow(lr_image()), wide(lr_image()), atol=1e-5)


def test_edsr_mean_shift_is_no_variable():
    network = EDSRConfig(filters=4, num_blocks=1).build()
    names = {v.path.rsplit("/", 2)[-2] for v in network.variables}
    assert names == {"head", "first", "second", "body_end", "tail"} | {
        f"upsample_{i}" for i in range(2)
    }
    for variable in network.variables:  # nothing but the shift is left
        variable.assign(tf.zeros_like(variable))
    np.testing.assert_allclose(
        network(lr_image()), np.broadcast_to(DIV2K_MEAN, (1, 24, 20, 3)), rtol=1e-6
    )


def test_default_sizes_are_the_published_ones():
    """Parameters counted from the papers' layer tables."""

    def conv(inputs, outputs):
        return 9 * inputs * outputs + outputs

    def edsr(f, blocks):
        body = blocks * 2 * conv(f, f) + conv(f, f)
        return conv(3, f) + body + 2 * conv(f, 4 * f) + conv(f, 3)

    assert SR_NETS["edsr"] == EDSRConfig()
    baseline = EDSRConfig().build()
    assert baseline.count_params() == edsr(64, 16) == 1_517_571
    large = SR_NETS["edsr_large"]
    assert (large.filters, large.num_blocks, large.residual_scale) == (256, 32, 0.1)
    rrdb = SR_NETS["rrdbnet"]
    assert (rrdb.filters, rrdb.growth, rrdb.num_blocks) == (64, 32, 23)


def test_rrdbnet_branches_start_at_a_tenth_of_he_normal():
    network = RRDBNetConfig(filters=32, growth=16, num_blocks=1).build()
    kernel = network.blocks[0][0].convs[0].kernel.numpy()
    assert kernel.std() == pytest.approx(0.1 * (2 / (9 * 32)) ** 0.5, rel=0.05)


def test_unknown_scale_is_refused():
    with pytest.raises(ValueError, match=r"\[1, 2, 3, 4, 8\]. Received: scale=5"):
        EDSRConfig(scale=5)
    with pytest.raises(ValueError, match="Received: scale=0"):
        RRDBNetConfig(scale=0)
    with pytest.raises(ValueError, match="times `unshuffle` .* unshuffle=3"):
        RRDBNetConfig(scale=2, unshuffle=3)
    assert {scale: upsampling_stages(scale) for scale in STAGES} == STAGES
    with pytest.raises(ValueError, match="`filters` of EDSRConfig .* Received: 0"):
        EDSRConfig(filters=0)
