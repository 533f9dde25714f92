"""DSGAN-SR: frequencies apart, two domains, and a degrader that then rests."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.build import build_method
from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.core.errors import UserError
from pdm_tf.methods import DSGANSR, DSGANSRConfig
from pdm_tf.methods.base import FULL_BATCH, NotNeeded, Role
from pdm_tf.models.discriminators import PatchGAN
from pdm_tf.models.features import LPIPSConfig, VGGConfig
from pdm_tf.ops.resize import bicubic_downsample
from pdm_tf.train_config import TrainConfig
from tests.oracles import filter_oracle
from tests.unit.methods import tiny
from tests.unit.methods.tiny_degraders import LR_PATCH, NOUGHT, dsgan_sr, judge


def mean_of(images, side):
    """Means of side x side pixels of each image of a batch, edges mirrored."""
    box = np.full((side, side), 1.0 / side**2)
    return np.stack([filter_oracle.filtered(np.asarray(x), box) for x in images])


def in_8_bits(image):
    return np.floor(np.clip(image, 0, 1) * 255 + 0.5) / 255


class Watching(PatchGAN):
    """A discriminator that keeps what it is shown."""

    def call(self, image, training=False):
        self.__dict__.setdefault("seen", []).append(image)
        return super().call(image, training=training)


def watching(name):
    judged = judge(name)
    network = Watching(judged.config, name=name)
    network(np.zeros([1, 16, 16, 3], np.float32))
    network.set_weights(judged.get_weights())
    network.__dict__["seen"].clear()
    return network


def clean_lr(method, batch):
    """The bicubic reduction of whole crops, cut to what the degrader shows."""
    reduced = bicubic_downsample(batch["hr"], tiny.SCALE, method.config.grid)
    border = method.networks["degradation"].margin // tiny.SCALE
    return reduced[:, border:-border, border:-border]


def test_the_discriminator_sees_fine_detail_alone():
    """Of real images, and of fakes in the 8 bits that real ones have."""
    d = watching("discriminator")
    method = dsgan_sr({"discriminator": d})
    batch = tiny.batch_for(method)
    method.train_step_for(0)(batch, NOUGHT, FULL_BATCH)
    fake, real = d.__dict__["seen"]
    wanted = batch["real_lr"] - mean_of(batch["real_lr"], 5)
    np.testing.assert_allclose(real, wanted, atol=1e-5)
    g = method.networks["degradation"]
    image = in_8_bits(g.translate(clean_lr(method, batch)).numpy())
    np.testing.assert_allclose(fake, image - mean_of(image, 5), atol=2e-2)
    assert np.abs(fake - (image - mean_of(image, 5))).mean() < 1e-4
    method = dsgan_sr({"discriminator": d}, texture_window=0)
    d.__dict__["seen"].clear()
    method.train_step_for(0)(batch, NOUGHT, FULL_BATCH)
    np.testing.assert_array_equal(d.__dict__["seen"][1], batch["real_lr"])


def test_the_degraders_losses_are_the_papers():
    """Colour on coarse parts, LPIPS of one scene, and the non-saturating GAN loss."""
    weights = dict(lpips_weight=0.2, colour_weight=3.0, adversarial_weight=0.5)
    method = dsgan_sr(grid="pixel0", **weights)
    batch = tiny.batch_for(method)
    result = method.train_step_for(0)(batch, NOUGHT, FULL_BATCH)
    g, d = method.networks["degradation"], method.networks["discriminator"]
    clean = clean_lr(method, batch)
    fake = g.translate(clean)
    colour = np.abs(mean_of(fake, 5) - mean_of(clean, 5)).mean()
    assert float(result.scalars["loss/colour"]) == pytest.approx(colour, rel=1e-4)
    distance = float(tf.reduce_mean(method._lpips(fake, clean)))
    assert float(result.scalars["loss/lpips"]) == pytest.approx(distance, rel=1e-4)
    seen = in_8_bits(fake.numpy())
    logits = d((seen - mean_of(seen, 5)).astype(np.float32)).numpy().astype(np.float64)
    adversarial = np.mean(np.log1p(np.exp(-logits)))
    assert float(result.scalars["loss/g_adv"]) == pytest.approx(adversarial, rel=1e-3)
    # Weighted and summed: the gradient of each weight alone adds up to that of all.
    zero = dict(lpips_weight=0.0, colour_weight=0.0, adversarial_weight=0.0)
    total = [0.0 for _ in g.trainable_variables]
    for name, weight in weights.items():
        alone = dsgan_sr(
            {"lpips": method._lpips}, grid="pixel0", **{**zero, name: weight}
        )
        if name != "lpips_weight":
            alone._lpips = None
        found = alone.train_step_for(0)(batch, NOUGHT, FULL_BATCH).gradients
        total = [a + b for a, b in zip(total, found["degradation"], strict=True)]
    for one, other in zip(result.gradients["degradation"], total, strict=True):
        atol = 1e-5 * np.abs(other).max() + 1e-9
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=atol)


def test_the_comparisons_colours_are_a_gaussian_reduction_on_pixel0():
    method = dsgan_sr(parts="comparison", grid="pixel0", lpips_weight=0.0)
    assert method.grid == "pixel0"
    batch = tiny.batch_for(method)
    result = method.train_step_for(0)(batch, NOUGHT, FULL_BATCH)
    line = np.exp(-0.5 * ((np.arange(5) - 2) / (5 / 6)) ** 2)
    kernel = np.outer(line, line) / line.sum() ** 2
    margin = method.networks["degradation"].margin
    hr = batch["hr"][:, margin:-margin, margin:-margin].numpy()
    blurred = np.stack([filter_oracle.filtered(x, kernel) for x in hr])[:, ::2, ::2]
    fake = method.networks["degradation"](batch["hr"]).lr
    wanted = np.mean((fake - blurred) ** 2)
    assert float(result.scalars["loss/colour"]) == pytest.approx(wanted, rel=1e-4)


def test_the_second_stage_separates_frequencies_too():
    """The pixel loss compares means of 9 x 9, and D sees what they leave."""
    d = watching("hr_discriminator")
    method = dsgan_sr({"hr_discriminator": d})
    batch = tiny.batch_for(method)
    result = method.train_step_for(2)(batch, NOUGHT, FULL_BATCH)
    fake, real = d.__dict__["seen"]
    margin = method.networks["degradation"].margin
    hr = batch["hr"][:, margin:-margin, margin:-margin].numpy()
    np.testing.assert_allclose(real, hr - mean_of(hr, 9), atol=1e-5)
    pair = method._pair(batch, NOUGHT, FULL_BATCH, 2)
    sr = method.networks["sr"](pair.lr).numpy()
    seen = in_8_bits(sr)
    assert np.abs(fake - (seen - mean_of(seen, 9))).mean() < 1e-4
    l1 = np.abs(mean_of(sr, 9) - mean_of(hr, 9)).mean()
    assert float(result.scalars["loss/sr_l1"]) == pytest.approx(l1, rel=1e-4)
    assert set(result.gradients) == {"sr", "hr_discriminator"}


def test_what_the_first_stage_has_learned_rests_in_the_second():
    """Moving statistics of batch normalisation included; steps are as the loop's."""
    d = judge(normalization="batch")
    method = dsgan_sr({"discriminator": d}, lpips_weight=0.0)
    tiny.run(method, 2)
    resting = {name: method.networks[name] for name in ("degradation", "discriminator")}
    before = {name: tiny.snapshot(network) for name, network in resting.items()}
    sr = tiny.snapshot(method.networks["sr"])
    tiny.run(method, 2, start=2)
    assert not any(tiny.moved(net, before[name]) for name, net in resting.items())
    assert tiny.moved(method.networks["sr"], sr)
    statistics = {v.path for v in d.non_trainable_variables}
    moved = tiny.moved(d, tiny.snapshot(judge(normalization="batch")))
    assert statistics and statistics <= moved  # they did move in the first


@pytest.mark.parametrize(
    ("settings", "streams"),
    [
        ({}, ["hr", "source_hr", "real_lr"]),
        ({"first_from": "hr"}, ["hr", "real_lr"]),
        ({"training": "first"}, ["source_hr", "real_lr"]),
        ({"domain": "sdsr"}, ["source_hr", "real_lr"]),
        ({"domain": "sdsr", "first_from": "hr"}, ["source_hr", "real_lr"]),
        ({"training": "second"}, ["hr"]),
        ({"training": "second", "domain": "sdsr"}, ["source_hr"]),
    ],
)
def test_each_domain_reads_what_it_degrades(settings, streams):
    config = DSGANSRConfig(**settings)
    assert set(DSGANSR.streams(config)) == set(streams)
    method = dsgan_sr(**{"first_from": "source", **settings})
    side = LR_PATCH * tiny.SCALE + 2 * method.networks["degradation"].margin
    assert method.patches == {
        name: LR_PATCH if name == "real_lr" else side for name in streams
    }


def test_the_source_itself_is_the_hr_of_its_domain():
    """SDSR: pairs are made of the source's photographs, not of others."""
    method = dsgan_sr(domain="sdsr")
    batch = tiny.batch_for(method)
    pair = method._pair(batch, NOUGHT, FULL_BATCH, 2)
    margin = method.networks["degradation"].margin
    hr = batch["source_hr"][:, margin:-margin, margin:-margin]
    np.testing.assert_array_equal(pair.hr, hr)
    assert set(method.previews(batch, 0)) == {"patches"}


RUN = TrainConfig(
    method="dsgan_sr", hr_dir="hr", lr_dir="lr", run_dir="run", scale=2, lr_patch=16,
    batch_size=2, sr_arg=("filters=4", "num_blocks=1"),
    method_arg=("first_from=hr", "perceptual_weight=0"),
    net_arg=("degradation.filters=4", "degradation.num_blocks=1", "lpips.filters=2",
             "lpips.net=vgg"),
    discriminator_arg=("filters=4",), hr_discriminator_arg=("filters=4",),
    init=("lpips:random",),
)  # fmt: skip


def run_with(**changes):
    return dataclasses.replace(RUN, **changes)


def test_the_parts_are_the_papers_unless_flags_say_otherwise():
    remarks = []
    method = build_method(RUN, remarks.append)
    g, d = (method.networks[k].config for k in ("degradation", "discriminator"))
    assert (g.reduction, g.output, g.activation) == ("bicubic", "sigmoid", "prelu")
    assert (d.kernel_size, d.strides, d.normalization) == (5, (1, 1, 1, 1), "batch")
    assert "lpips" not in method.networks
    (line,) = remarks
    assert line.startswith("warning: --init=lpips:random: the LPIPS loss compares")
    assert method.optimizers["degradation"].beta_1 == 0.5
    paper = run_with(
        preset="paper", method_arg=(), init=(), net_arg=RUN.net_arg[:2],
        hr_discriminator_arg=(),
    )  # fmt: skip
    method = build_method(paper)
    g, d = (method.networks[k].config for k in ("degradation", "discriminator"))
    assert (g.reduction, g.output, g.grid) == ("conv", "residual", "pixel0")
    assert (d.kernel_size, d.strides, d.normalization) == (3, (1,) * 5, "instance")
    assert set(method.networks) == {"degradation", "discriminator", "sr"}


def test_lpips_comes_from_its_bundle(tmp_path):
    network = LPIPSConfig(net="vgg", filters=2).build()
    save_bundle(network, tmp_path / "lpips", step=0)
    save_bundle(VGGConfig(filters=2).build(), tmp_path / "vgg", step=0)
    here = ("degradation.filters=4", "degradation.num_blocks=1")
    given = run_with(init=(f"lpips:{tmp_path / 'lpips'}",), net_arg=here)
    found = build_method(given)._lpips
    for one, other in zip(found.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for changes, message in [
        (dict(init=()), "--init=lpips: is required for the LPIPS loss.*lpips_weight=0"),
        (dict(init=given.init), "--net_arg has no meaning with --init=lpips: from a b"),
        (dict(init=(f"lpips:{tmp_path / 'vgg'}",), net_arg=here), "which holds VGG"),
        (dict(lr_patch=12), "--lr_patch must be at least 16 for the LPIPS loss"),
        (
            dict(method_arg=(*RUN.method_arg, "lpips_weight=0")),
            "--net_arg must begin with one of degradation., ",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(run_with(**changes))


def test_a_second_stage_alone_starts_from_the_first(tmp_path):
    """And says so, instead of training on a degrader that has learned nothing."""
    first = build_method(run_with(method_arg=(*RUN.method_arg, "training=first"),
                                  sr_arg=(), hr_discriminator_arg=()))  # fmt: skip
    assert set(first.networks) == set(first.optimizers) | {"degradation"}
    assert set(first.deployable()) == {"degradation"}
    save_bundle(first.networks["degradation"], tmp_path / "degradation", step=3)
    alone = dict(
        method_arg=(*RUN.method_arg, "training=second"), discriminator_arg=(),
        net_arg=(), lr_dir="",
    )  # fmt: skip
    with pytest.raises(UserError, match="must come from --init=degradation:"):
        build_method(run_with(**alone, init=()))
    given = (f"degradation:{tmp_path / 'degradation'}",)
    second = build_method(run_with(**alone, init=given))
    assert set(second.optimizers) == {"sr", "hr_discriminator"}
    assert set(second.deployable()) == {"sr", "degradation"}
    for one, other in zip(
        second.networks["degradation"].get_weights(),
        first.networks["degradation"].get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    same = {**alone, "net_arg": ("degradation.filters=4",)}
    build_method(run_with(**same, init=given))
    other = {**alone, "net_arg": ("degradation.filters=8",)}
    with pytest.raises(UserError, match="--init=degradation: decides the settings"):
        build_method(run_with(**other, init=given))
    roles = DSGANSR.roles(DSGANSRConfig(training="second"))
    assert isinstance(roles["lpips"], NotNeeded)
    assert isinstance(roles["degradation"], Role) and roles["degradation"].frozen


def test_wrong_settings_are_named():
    for settings, message in [
        ({"domain": "target"}, "`domain` of DSGANSRConfig must be one of tdsr, sdsr"),
        ({"first_from": "lr"}, "`first_from` of DSGANSRConfig must be one of source"),
        ({"texture_window": 4}, "`texture_window` of DSGANSRConfig must be odd, or 0"),
        ({"frequency_window": 8}, "`frequency_window` of DSGANSRConfig must be odd"),
        ({"lpips_weight": -1.0}, "`lpips_weight` .* not be negative"),
        ({"parts": "comparison"}, "`grid` .* is pixel0 with parts=comparison"),
        ({"training": "joint"}, "one of both, first, second. Received: 'joint'"),
        ({"pixel": "l3"}, "`pixel` of DSGANSRConfig must be one of l1, l2"),
    ]:
        with pytest.raises(UserError, match=message):
            DSGANSRConfig(**settings)
