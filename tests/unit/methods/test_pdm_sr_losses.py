"""PDM-SR: which loss reaches which network, and what one joint step amounts to."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.methods.steps import step_seed
from tests.unit.methods import tiny


@pytest.mark.parametrize("normalization", ["none", "spectral"])
def test_one_joint_step_moves_every_trainable_variable(normalization):
    networks = {"discriminator": tiny.discriminator(normalization=normalization)}
    method = tiny.pdm_sr(networks)
    assert set(method.networks) == set(method.optimizers) == {
        "pdm", "discriminator", "sr",
    }  # fmt: skip
    before = {k: tiny.snapshot(v) for k, v in method.networks.items()}
    (scalars,) = tiny.run(method, 1)
    assert all(np.isfinite(value) for value in scalars.values())
    for name, network in method.networks.items():
        stays = tiny.trainable(network) - tiny.moved(network, before[name])
        assert not stays, f"{name} keeps {stays}"


ZERO = dict(adversarial_weight=0.0, centroid_weight=0.0, noise_weight=0.0)


@pytest.mark.parametrize(
    ("weights", "moving"),
    [
        ({"noise_weight": 1.0}, {"pdm/noise_module"}),
        ({"centroid_weight": 1.0}, {"pdm/kernel_module"}),
        (
            {"adversarial_weight": 1.0},
            {"pdm/noise_module", "pdm/kernel_module", "discriminator"},
        ),
        ({}, set()),
    ],
    ids=["noise_energy", "centroid", "adversarial", "sr_l1"],
)
def test_each_loss_moves_its_networks_and_no_other(weights, moving):
    """And the SR network follows its own loss, the only one that is left in `{}`."""
    method = tiny.pdm_sr(**{**ZERO, **weights})
    before = {k: tiny.snapshot(v) for k, v in method.networks.items()}
    tiny.run(method, 1)
    changed = {
        part
        for name, network in method.networks.items()
        for path in tiny.moved(network, before[name])
        for part in ("pdm/noise_module", "pdm/kernel_module", "discriminator", "sr")
        if path.startswith(part)
    }
    assert changed == moving | {"sr"}
    sr = method.networks["sr"]
    assert tiny.moved(sr, before["sr"]) == tiny.trainable(sr)


def test_adversarial_loss_reaches_all_of_the_degradation_and_only_through_the_fakes():
    """Finite and not zero, for kernel and noise; from the generator's loss alone."""
    method = tiny.pdm_sr(**{**ZERO, "adversarial_weight": 1.0})
    tiny.run(method, 1)
    pdm = method.networks["pdm"]
    gradients = tiny.first_gradients(method.optimizers["pdm"], pdm)
    for variable, gradient in zip(pdm.trainable_variables, gradients, strict=True):
        assert np.all(np.isfinite(gradient)) and np.abs(gradient).max() > 0, (
            variable.path
        )


def straightforward_step(method, batch, config):
    """One joint step's losses and gradients, in two passes of D and with four tapes.

    Steps as numbered in the release: netDeg, then D on the same fakes detached, then SR
    on the fakes from before. Quantisation is x + (rounded - x) without gradient, with
    the clamp's own derivative. Returns {network: (gradients, loss)}.
    """
    pdm, discriminator, sr = (
        method.networks[name] for name in ("pdm", "discriminator", "sr")
    )
    size = tiny.LR_PATCH
    seed = step_seed(0, "latents", tf.constant(0, tf.int64))
    latents = pdm.draw(tiny.BATCH, size, size, seed)

    def quantised(x):
        clamped = tf.clip_by_value(x, 0.0, 1.0)
        rounded = tf.floor(clamped * 255.0 + 0.5) / 255.0
        return clamped + tf.stop_gradient(rounded - clamped)

    with tf.GradientTape() as tape:
        degraded = pdm(batch["hr"], *latents, training=True)
        logits = discriminator(quantised(degraded.lr))
        taps = np.arange(5) - 2.0
        mass = tf.reshape(degraded.kernel, [-1, 5, 5])
        down = tf.einsum("bij,i->b", mass, taps.astype(np.float32))
        right = tf.einsum("bij,j->b", mass, taps.astype(np.float32))
        pdm_loss = (
            config["adversarial_weight"] * tf.reduce_mean((logits - 1.0) ** 2)
            + config["noise_weight"] * tf.reduce_mean(degraded.noise**2)
            + config["centroid_weight"] * tf.reduce_mean(down**2 + right**2)
        )
    result = {"pdm": (tape.gradient(pdm_loss, pdm.trainable_variables), pdm_loss)}
    fakes = tf.constant(quantised(degraded.lr).numpy())  # nothing flows back
    with tf.GradientTape() as tape:
        real_half = tf.reduce_mean((discriminator(batch["real_lr"]) - 1.0) ** 2)
        d_loss = 0.5 * (real_half + tf.reduce_mean(discriminator(fakes) ** 2))
        weighted = config["adversarial_weight"] * d_loss
    variables = discriminator.trainable_variables
    result["discriminator"] = (tape.gradient(weighted, variables), d_loss)
    margin = pdm.config.margin
    hr = batch["hr"][:, margin:-margin, margin:-margin]
    with tf.GradientTape() as tape:
        sr_loss = tf.reduce_mean(tf.abs(sr(fakes) - hr))
    result["sr"] = (tape.gradient(sr_loss, sr.trainable_variables), sr_loss)
    return result


def adam_after_one_step(value, gradient, learning_rate, beta_1):
    """Kingma & Ba 2015, with epsilon 1e-8 beside the uncorrected second moment."""
    m, v = (1 - beta_1) * gradient, (1 - 0.999) * gradient**2
    rate = learning_rate * np.sqrt(1 - 0.999) / (1 - beta_1)
    return value - rate * m / (np.sqrt(v) + 1e-8)


@pytest.mark.parametrize("normalization", ["none", "instance"])
def test_a_joint_step_equals_the_plain_algorithm(normalization):
    """The fakes' logits are computed once for both losses; the result is that of two
    passes, and all three networks use the fakes from before the first update."""
    weights = dict(adversarial_weight=0.7, noise_weight=10.0, centroid_weight=2.0)
    networks = {"discriminator": tiny.discriminator(normalization=normalization)}
    method = tiny.pdm_sr(networks, adversarial_beta_1=0.5, **weights)
    before = {
        name: [v.numpy() for v in network.trainable_variables]
        for name, network in method.networks.items()
    }
    wanted = straightforward_step(method, tiny.batch_for(method, 0), weights)
    (scalars,) = tiny.run(method, 1)
    assert scalars["loss/d_lr"] == pytest.approx(float(wanted["discriminator"][1]))
    assert scalars["loss/sr_l1"] == pytest.approx(float(wanted["sr"][1]))
    total = (
        0.7 * scalars["loss/g_adv"]
        + 10.0 * scalars["loss/noise_energy"]
        + 2.0 * scalars["loss/centroid"]
    )
    assert total == pytest.approx(float(wanted["pdm"][1]), rel=1e-5)
    for name, network in method.networks.items():
        optimizer = method.optimizers[name]
        beta_1 = 0.9 if name == "sr" else 0.5
        gradients = [np.asarray(g) for g in wanted[name][0]]
        largest = max(np.abs(g).max() for g in gradients)
        norm = tiny.norm_of(gradients)
        assert scalars[f"stat/grad_norm_{name}"] == pytest.approx(norm, rel=1e-4)
        found = tiny.first_gradients(optimizer, network)
        for variable, start, gradient, seen in zip(
            network.trainable_variables, before[name], gradients, found, strict=True
        ):
            np.testing.assert_allclose(
                seen, gradient, rtol=1e-4, atol=1e-6 * largest, err_msg=variable.path
            )
            # Adam's first step is nearly the gradient's sign, so rounding of tiny
            # gradients shows; against the plain formula on the gradient that it saw.
            stepped = adam_after_one_step(start, seen, 1e-3, beta_1)
            np.testing.assert_allclose(variable, stepped, rtol=0, atol=2e-6)


def test_gradients_are_clipped_by_the_norm_of_each_network():
    free = tiny.pdm_sr()
    (scalars,) = tiny.run(free, 1)
    limit = 0.5 * min(scalars[f"stat/grad_norm_{name}"] for name in free.networks)
    clipped = tiny.pdm_sr(clip_norm=limit)
    (again,) = tiny.run(clipped, 1)
    for name, network in clipped.networks.items():
        # The norm that is reported is the one before clipping.
        before = scalars[f"stat/grad_norm_{name}"]
        assert again[f"stat/grad_norm_{name}"] == pytest.approx(before, rel=1e-5)
        seen = tiny.first_gradients(clipped.optimizers[name], network)
        assert tiny.norm_of(seen) == pytest.approx(limit, rel=1e-4)
        unclipped = tiny.first_gradients(free.optimizers[name], free.networks[name])
        for short, full in zip(seen, unclipped, strict=True):
            np.testing.assert_allclose(
                short, full * limit / before, rtol=1e-3, atol=1e-9
            )


def test_huge_gradients_do_not_move_weights_further_than_adam_allows():
    method = tiny.pdm_sr(noise_weight=1e9, clip_norm=1.0)
    before = tiny.snapshot(method.networks["pdm"])
    (scalars,) = tiny.run(method, 1)
    assert scalars["stat/grad_norm_pdm"] > 1e3
    for path, value in tiny.snapshot(method.networks["pdm"]).items():
        assert np.abs(value - before[path]).max() < 1.01e-3


def test_float16_scales_each_loss_and_reports_true_norms():
    policy = "mixed_float16"
    half = {
        "pdm": tiny.pdm(policy=policy),
        "discriminator": tiny.discriminator(policy),
        "sr": tiny.sr(policy),
    }
    reference = tiny.pdm_sr()
    for name, network in half.items():
        network.set_weights(reference.networks[name].get_weights())
    method = tiny.pdm_sr(half)
    before = {k: tiny.snapshot(v) for k, v in half.items()}
    (scalars,), (wanted,) = tiny.run(method, 1), tiny.run(reference, 1)
    for name, value in wanted.items():
        assert scalars[name] == pytest.approx(value, rel=0.1, abs=2e-3), name
    for name, network in half.items():
        assert method.optimizers[name].dynamic_scale > 1
        assert {v.dtype for v in network.variables} == {"float32"}
        assert tiny.moved(network, before[name]), name
        for value in tiny.snapshot(network).values():
            assert np.all(np.isfinite(value))


def test_bfloat16_needs_no_loss_scale():
    networks = {
        "pdm": tiny.pdm(policy="mixed_bfloat16"),
        "discriminator": tiny.discriminator("mixed_bfloat16"),
        "sr": tiny.sr("mixed_bfloat16"),
    }
    method = tiny.pdm_sr(networks)
    assert all(not hasattr(o, "dynamic_scale") for o in method.optimizers.values())
    (scalars,) = tiny.run(method, 1)
    assert all(np.isfinite(value) for value in scalars.values())
