"""PyTorch trains the same step: losses and first gradients, weights copied.

What differs on purpose: PyTorch judges the fakes a second time for the discriminator
(the same values, as nothing has changed in between), and its discriminator may have 64
output maps, whose mean is that of ours when they are copies of one.
"""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.benchmarks import train_sides
from pdm_tf.benchmarks.timed import TimedDegradation, weights_of
from pdm_tf.benchmarks.train_task import TrainBenchmarkConfig
from pdm_tf.core.errors import UserError
from pdm_tf.methods.base import FULL_BATCH
from pdm_tf.methods.steps import step_seed

pytest.importorskip(
    "torch", reason='needs PyTorch, the other side: pip install "pdm_tf[benchmark]"'
)
from pdm_tf.benchmarks import torch_training  # noqa: E402
from pdm_tf.benchmarks.torch_networks import load_variables  # noqa: E402

TINY = (
    "filters=4",
    "num_blocks=2",
    "kernel_size=5",
    "latent_channels=6",
    "initial_std=0.3",  # kernels that depend on the latents, and so on the trunk
)
LR_PATCH, BATCH, SEED = 6, 3, 7


def tiny(**changes):
    return TrainBenchmarkConfig(
        **{
            "seed": SEED,
            "preset": "paper",
            "batch_size": BATCH,
            "lr_patch": LR_PATCH,
            "kernel_arg": TINY,
            "noise_arg": ("filters=4", "num_blocks=1", "initial_std=0.05")
            if changes.get("noise")
            else (),
            "discriminator_arg": ("filters=4",),
            "sr_arg": ("filters=4", "num_blocks=1"),
            **changes,
        }
    )


def biased(networks):
    """New biases are 0, and would hide a mistake."""
    generator = np.random.default_rng(SEED)
    for network in networks.values():
        for variable in network.trainable_variables:
            if variable.name == "bias":
                noise = generator.normal(0.0, 0.02, variable.shape)
                variable.assign(np.array(variable.value) + noise)


def our_first_step(method, images):
    """Losses and gradients, by network and path."""
    batch = {name: tf.constant(image) for name, image in images.items()}
    step = method.train_step_for(0)
    learned = step(batch, tf.constant(0, tf.int64), FULL_BATCH)
    gradients = {
        name: {
            variable.path.partition("/")[2]: np.array(gradient)
            for gradient, variable in zip(
                learned.gradients[name], network.trainable_variables, strict=True
            )
        }
        for name, network in method.networks.items()
    }
    losses = {name: float(learned.scalars[name]) for name in train_sides.LOSSES}
    return losses, gradients


def both(config, channels_last=False, blur="grouped"):
    training = config.training()
    method = train_sides.build_method(training)
    biased(method.networks)
    timed = train_sides.timed_step(method, training, config.torch_maps)
    images = train_sides.random_images(method.patches, BATCH, 1)
    weights = weights_of(method.networks)
    ours = our_first_step(method, images)
    seed = step_seed(SEED, "latents", tf.constant(0, tf.int64))
    pdm = method.networks["pdm"]
    latents = [
        None
        if z is None
        else torch_training.torch.tensor(z.numpy()).permute(0, 3, 1, 2)
        for z in pdm.draw(BATCH, LR_PATCH, LR_PATCH, seed)[:2]
    ]
    step = torch_training.JointStep(
        timed, weights, channels_last=channels_last, blur=blur
    )
    losses = step(*step.on(images["hr"], images["real_lr"]), latents)
    return ours, losses, step


def gradients_of(network):
    """Path in the Keras network -> gradient, [kh, kw, in, out] or [in, out]."""
    found = {}
    for name, parameter in network.named_parameters():
        *parts, last = name.split(".")
        if "norm" in parts[-1]:
            last = {"weight": "gamma", "bias": "beta"}[last]
        value = parameter.grad.numpy()
        if last == "weight":
            axes = (2, 3, 1, 0) if value.ndim == 4 else (1, 0)
            last, value = "kernel", value.transpose(axes)
        found["/".join([*parts, last])] = value
    return found


def convolution_gradients(network):
    """Of an SR network, as Keras lists them: kernels [kh, kw, in, out] and biases."""
    found = []
    for layer in network.in_order():
        kernel, bias = layer.weight.grad.numpy(), layer.bias.grad.numpy()
        factor = getattr(layer, "sub_pixel", 1) ** 2
        order = np.arange(len(bias)).reshape(-1, factor).T.reshape(-1)
        found += [kernel[order].transpose(2, 3, 1, 0), bias[order]]
    return found


def assert_same(ours, theirs, tolerance=1e-5):
    """Relative to the largest gradient of a network or of a module of PDM."""
    assert ours
    largest = {}
    for path, value in ours.items():
        part = path.partition("/")[0] if "module" in path else ""
        largest[part] = max(largest.get(part, 0.0), np.abs(value).max())
    assert min(largest.values()) > 1e-6
    for path, expected in ours.items():
        part = path.partition("/")[0] if "module" in path else ""
        actual = np.reshape(theirs[path], expected.shape)
        np.testing.assert_allclose(
            actual, expected, rtol=0, atol=tolerance * largest[part], err_msg=path
        )


@pytest.mark.parametrize(
    ("changes", "options", "pdm_tolerance"),
    [
        # Without noise the fakes pass sines of up to 5 * 2 pi * 255, in which 1e-7 of
        # a difference in the fakes is 1e-3 of a radian.
        ({}, {}, 2e-3),
        ({}, {"channels_last": True, "blur": "unfold"}, 2e-3),
        ({"noise": True}, {}, 1e-5),
        ({"torch_maps": 64, "noise": True}, {}, 1e-5),
    ],
)
def test_losses_and_first_gradients(changes, options, pdm_tolerance):
    (losses, gradients), theirs, step = both(tiny(**changes), **options)
    for name in train_sides.LOSSES:
        assert theirs[name] == pytest.approx(losses[name], rel=1e-5), name
    networks = step.networks
    assert_same(gradients["pdm"], gradients_of(networks["pdm"]), pdm_tolerance)
    found = gradients_of(networks["discriminator"])
    maps = changes.get("torch_maps", 1)
    last = f"conv_{len(networks['discriminator'].names) - 1}"
    for path in (f"{last}/kernel", f"{last}/bias"):
        found[path] = maps * found[path][..., :1]  # each map has its share of one
    assert_same(gradients["discriminator"], found)
    found = convolution_gradients(networks["sr"])
    assert len(found) == len(gradients["sr"])
    paths = gradients["sr"].keys()
    assert_same(gradients["sr"], dict(zip(paths, found, strict=True)))


def test_the_default_preset_is_the_same_work():
    """Margins, masked quantisation, Gaussian kernels, centroids, spectral norms.

    The discriminator's power iteration runs once for each pass, so that with another
    pass its weights are divided by another estimate.
    """
    changes = {"preset": "default", "noise": True}
    (losses, gradients), theirs, step = both(tiny(**changes))
    for name, tolerance in zip(train_sides.LOSSES, (1e-5, 0.05, 1e-5), strict=True):
        assert theirs[name] == pytest.approx(losses[name], rel=tolerance), name
    found = gradients_of(step.networks["pdm"])
    assert_same(gradients["pdm"], found)


def test_half_pixel_grid():
    (losses, _), theirs, _ = both(tiny(method_arg=("grid=half_pixel",), noise=True))
    assert theirs["loss/sr_l1"] == pytest.approx(losses["loss/sr_l1"], rel=1e-5)
    assert theirs["loss/g_adv"] == pytest.approx(losses["loss/g_adv"], rel=1e-5)


def test_bfloat16_is_near_and_not_the_same():
    config = tiny(noise=True)
    training = config.training()
    method = train_sides.build_method(training)
    biased(method.networks)
    timed = train_sides.timed_step(method, training, config.torch_maps)
    images = train_sides.random_images(method.patches, BATCH, 1)
    weights = weights_of(method.networks)

    def loss(name):
        torch_training.torch.manual_seed(SEED)  # the latents
        step = train_sides.torch_step(
            name, timed, weights, images, blur="grouped", threads=0
        )
        return step()["loss/g_adv"]

    difference = loss("torch_channels_last_bfloat16") - loss("torch_channels_last")
    assert 1e-6 < abs(difference) < 0.05


def test_weights_that_do_not_fit():
    training = tiny().training()
    method = train_sides.build_method(training)
    weights = dict(weights_of(method.networks)["discriminator"])
    timed = train_sides.timed_step(method, training)

    def load(changed):
        network = torch_training.PatchGAN(timed.discriminator, 1)
        load_variables(network, changed)

    load(weights)
    with pytest.raises(ValueError, match="no place for"):
        load({**weights, "conv_9/kernel": weights["conv_0/kernel"]})
    with pytest.raises(ValueError, match="must hold conv_0.weight"):
        load({k: v for k, v in weights.items() if k != "conv_0/kernel"})
    with pytest.raises(ValueError, match="must have the shape"):
        load({**weights, "conv_0/kernel": weights["conv_1/kernel"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_arg": (*TINY, "spatial=true")}, "one kernel per image"),
        ({"kernel_arg": (*TINY, "normalization=layer")}, "no layer normalisation"),
        ({"preset": "default", "torch_maps": 64}, "--torch_maps must be 1"),
    ],
)
def test_features_that_pytorchs_side_lacks_are_refused(changes, message):
    config = tiny(**changes)
    training = config.training()
    method = train_sides.build_method(training)
    timed = train_sides.timed_step(method, training, config.torch_maps)
    assert isinstance(timed.degradation, TimedDegradation)
    with pytest.raises(UserError, match=message):
        timed.require_torch()
