"""Files that PyTorch itself has saved give the networks that saved them.

Random weights, real files (zip, legacy, safetensors), the program, and the outputs of
both sides. Needs PyTorch: pip install "pdm_tf[benchmark]".
"""

import itertools
import struct

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch",
    reason='needs PyTorch, which saves the files: pip install "pdm_tf[benchmark]"',
)
from pdm_tf.bundles.bundle import load_bundle  # noqa: E402
from pdm_tf.cli import program  # noqa: E402
from pdm_tf.import_weights import SPEC, main  # noqa: E402
from tests.unit.interop import torch_nets  # noqa: E402

IMAGE = np.random.default_rng(0).random((2, 12, 8, 3), np.float32)


def randomised(module, seed=0):
    """Every tensor random, BatchNorm's statistics too; in eval mode."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.startswith(("sub_mean", "add_mean")):
                continue
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.is_floating_point():
                tensor.add_(0.1 * torch.randn_like(tensor))
    return module.eval()


def save_safetensors(state, path):
    """The format by hand: header length, header, numbers."""
    header, data = {}, b""
    for name, tensor in state.items():
        raw = tensor.contiguous().numpy().tobytes()
        dtype = {torch.float32: "F32", torch.int64: "I64"}[tensor.dtype]
        offsets = [len(data), len(data) + len(raw)]
        shape = list(tensor.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += raw
    import json

    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def save(content, path, how="zip"):
    if how == "safetensors":
        save_safetensors(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    return path


def imported(tmp_path, content, *flags, how="zip"):
    """Through the program; returns the loaded bundle."""
    path = save(content, tmp_path / f"weights.{how}", how)
    argv = [f"--input={path}", f"--output={tmp_path / 'bundle'}", *flags]
    assert program.call(SPEC, main, argv) == 0
    return load_bundle(tmp_path / "bundle")


def to_torch(image):
    return torch.from_numpy(np.ascontiguousarray(image)).permute(0, 3, 1, 2)


def run_torch(module, *inputs):
    with torch.inference_mode():
        return module(*map(to_torch, inputs)).permute(0, 2, 3, 1).numpy()


def assert_same(found, wanted):
    largest = np.abs(wanted).max()
    assert largest > 0.05
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * max(largest, 1))


EDSRS = [
    *((scale, 8, 2, 1.0, how) for scale in (2, 3, 4) for how in ("zip", "legacy")),
    (4, 8, 3, 1.0, "safetensors"),
    (8, 4, 1, 1.0, "zip"),
]


@pytest.mark.parametrize(("scale", "filters", "blocks", "by", "how"), EDSRS)
def test_edsr(tmp_path, scale, filters, blocks, by, how):
    module = randomised(torch_nets.EDSR(scale, filters, blocks, by))
    bundle = imported(tmp_path, module.state_dict(), how=how)
    assert (bundle.role, bundle.scale) == ("sr", scale)
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))
    assert bundle.notes["layout"] == "edsr"
    assert bundle.config.rgb_mean == (0.4488, 0.4371, 0.4040)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_edsr_large_has_the_small_residual_scale(tmp_path, scale):
    """256 channels; two blocks of the 32, which have the same names and sums."""
    module = randomised(torch_nets.EDSR(scale, 256, 2, 0.1))
    bundle = imported(tmp_path, module.state_dict())
    assert (bundle.config.filters, bundle.config.residual_scale) == (256, 0.1)
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))


def test_edsr_residual_scale_may_be_said(tmp_path):
    module = randomised(torch_nets.EDSR(2, 8, 2, 0.5))
    flag = "--network_arg=residual_scale=0.5"
    bundle = imported(tmp_path, module.state_dict(), flag)
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))


@pytest.mark.parametrize("rgb_range", [1, 65535])
def test_edsr_of_other_inner_ranges(tmp_path, rgb_range):
    """The authors' option --rgb_range: the constants of the mean shift show it."""
    module = randomised(torch_nets.EDSR(2, 8, 2, 1.0))
    module.rgb_range = rgb_range
    with torch.no_grad():
        for shift in (module.sub_mean, module.add_mean):
            shift.bias.mul_(rgb_range / 255)
    bundle = imported(tmp_path, module.state_dict())
    assert bundle.config.rgb_range == pytest.approx(rgb_range)
    assert bundle.config.rgb_mean == (0.4488, 0.4371, 0.4040)
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))


def test_networks_behind_prefixes(tmp_path):
    """As torch.compile, averaged models, Lightning and OpenMMLab save them."""
    module = randomised(torch_nets.EDSR(2, 4, 1, 1.0))
    state = module.state_dict()
    raw = randomised(torch_nets.EDSR(2, 4, 1, 1.0)).state_dict()

    def behind(prefix, tensors=state):
        return {prefix + name: tensor for name, tensor in tensors.items()}

    critic = {"discriminator.conv0.weight": torch.zeros(8, 3, 3, 3)}
    wanted = run_torch(module, IMAGE)
    for content in (
        {"params": behind("_orig_mod.module.")},
        {"params_ema": {"n_averaged": torch.tensor(9), **behind("module.")}},
        {"state_dict": {**behind("netG."), **critic}},
        {"generator": state, "discriminator": critic},
        {"state_dict": {**behind("generator.", raw), **behind("generator_ema.")}},
    ):
        bundle = imported(tmp_path, content, "--overwrite")
        assert_same(bundle.network(IMAGE), wanted)
    both = {**behind("a.", raw), **behind("b.")}
    bundle = imported(tmp_path, both, "--prefix=b.", "--overwrite")
    assert_same(bundle.network(IMAGE), wanted)


def test_edsr_with_a_trained_mean_shift(tmp_path):
    """The PDM release trains it; the same function, to the border pixel."""
    module = randomised(torch_nets.EDSR(4, 8, 2, 1.0))
    with torch.no_grad():
        for shift in (module.sub_mean, module.add_mean):
            shift.weight.add_(0.05 * torch.randn_like(shift.weight))
            shift.bias.add_(5 * torch.randn_like(shift.bias))
    bundle = imported(tmp_path, module.state_dict())
    assert bundle.config.rgb_mean != (0.4488, 0.4371, 0.4040)
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))


def test_edsr_by_basicsrs_names(tmp_path):
    module = randomised(torch_nets.BasicEDSR(4, 8, 2))
    bundle = imported(tmp_path, {"params": module.state_dict()})
    assert bundle.notes["layout"] == "edsr_basicsr"
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))


@pytest.mark.parametrize(
    ("factors", "how", "flags"),
    [
        ((2, 2), "zip", ()),
        ((2, 2), "legacy", ()),
        ((2,), "zip", ()),
        ((3,), "zip", ("--scale=3",)),
        ((), "zip", ()),
        ((2, 2, 2), "zip", ()),
    ],
)
def test_esrgan_old_names(tmp_path, factors, how, flags):
    module = randomised(torch_nets.OldESRGAN(factors, 8, 4, 2))
    bundle = imported(tmp_path, module.state_dict(), *flags, how=how)
    assert bundle.scale == np.prod(factors, dtype=int)
    assert (bundle.config.growth, bundle.config.num_blocks) == (4, 2)
    assert bundle.notes["layout"] == "esrgan_old"
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))


@pytest.mark.parametrize("ups", [2, 1])
@pytest.mark.parametrize("how", ["zip", "legacy", "safetensors"])
def test_esrgan_new_names_and_bsrgan(tmp_path, ups, how):
    names = torch_nets.NEW_NAMES
    module = randomised(torch_nets.NamedRRDBNet(names, ups, 8, 4, 2))
    bundle = imported(tmp_path, module.state_dict(), how=how)
    assert (bundle.scale, bundle.notes["layout"]) == (2**ups, "esrgan")
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))


@pytest.mark.parametrize(("unshuffle", "scale"), [(1, 4), (2, 2), (4, 1)])
@pytest.mark.parametrize("key", ["params_ema", "params"])
def test_realesrgan(tmp_path, unshuffle, scale, key):
    names = torch_nets.BASIC_NAMES
    module = randomised(torch_nets.NamedRRDBNet(names, 2, 8, 4, 2, unshuffle))
    bundle = imported(tmp_path, {key: module.state_dict()})
    assert (bundle.scale, bundle.config.unshuffle) == (scale, unshuffle)
    assert (bundle.notes["layout"], bundle.notes["source_entry"]) == ("realesrgan", key)
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))


def test_averaged_weights_come_first_and_entry_chooses(tmp_path):
    names = torch_nets.BASIC_NAMES
    raw, averaged = (
        randomised(torch_nets.NamedRRDBNet(names, 2, 8, 4, 1), seed) for seed in (1, 2)
    )
    content = {"params": raw.state_dict(), "params_ema": averaged.state_dict()}
    bundle = imported(tmp_path, content)
    assert_same(bundle.network(IMAGE), run_torch(averaged, IMAGE))
    assert "--entry=params" in bundle.notes["ignored"]["params"]
    bundle = imported(tmp_path, content, "--entry=params", "--overwrite")
    assert_same(bundle.network(IMAGE), run_torch(raw, IMAGE))


def test_data_parallel_half_precision_and_parameters(tmp_path):
    """`module.` before every name, numbers of 16 and 64 bits, nn.Parameter."""
    module = randomised(torch_nets.EDSR(2, 8, 1, 1.0))
    state = {}
    types = itertools.cycle([torch.float16, torch.bfloat16, torch.float64])
    for name, parameter in module.state_dict().items():
        is_shift = name.startswith(("sub_mean", "add_mean"))
        dtype = torch.float32 if is_shift else next(types)
        parameter.copy_(parameter.to(dtype))
        state[f"module.{name}"] = torch.nn.Parameter(parameter.to(dtype))
    bundle = imported(tmp_path, {"state_dict": state, "epoch": 3})
    assert_same(bundle.network(IMAGE), run_torch(module, IMAGE))
    assert bundle.notes["ignored"]["epoch"] == "beside the weights"


KERNEL = {"inputs": 5, "filters": 8, "blocks": 2, "side": 1, "outputs": 49}
NOISE = {"inputs": 6, "filters": 8, "blocks": 2, "side": 3, "outputs": 3}


@pytest.mark.parametrize(
    ("noise", "use_image", "flags"),
    [
        (NOISE, True, ()),
        ({**NOISE, "outputs": 1}, True, ()),
        ({**NOISE, "inputs": 4}, False, ("--noise_image=no",)),
        ({**NOISE, "inputs": 7}, True, ("--noise_image=yes",)),
        ({**NOISE, "side": 1}, True, ("--noise_latent=per_pixel",)),
        (None, True, ()),
    ],
)
@pytest.mark.parametrize("scale", [4, 2])
def test_released_pdm(tmp_path, noise, use_image, flags, scale):
    module = randomised(torch_nets.ReleasedPDM(scale, KERNEL, noise, use_image))
    bundle = imported(tmp_path, module.state_dict(), f"--scale={scale}", *flags)
    assert (bundle.role, bundle.scale) == ("degradation", scale)
    rng = np.random.default_rng(1)
    hr = rng.random((2, 8 * scale, 6 * scale, 3), np.float32)
    z_k = rng.normal(size=(2, 1, 1, 5)).astype(np.float32)
    latents = [z_k]
    if noise:
        channels = noise["inputs"] - 3 * use_image
        latents.append(rng.normal(size=(2, 8, 6, channels)).astype(np.float32))
    found = bundle.network(hr, *latents)
    assert_same(found.lr, run_torch(module, hr, *latents))
    assert (found.noise is None) == (noise is None)
    kernel = bundle.network.kernel_module(z_k)[0, 0, 0].numpy()
    assert kernel.std() > 1e-4  # no flat kernels, which would all be the same


VGG16, VGG19 = (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)
FEATURES = {
    "vgg19": (lambda: torch_nets.vgg(VGG19, 4), "conv5_4", 35, 64),
    "vgg16": (lambda: torch_nets.vgg(VGG16, 4), "relu5_3", 30, 64),
    "alexnet": (lambda: torch_nets.alexnet(4), "relu5", 12, 67),
    "squeezenet": (lambda: torch_nets.squeezenet(8), "fire9", 13, 50),
}


def normalised(image):
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return (image - mean) / std


@pytest.mark.parametrize("net", FEATURES)
def test_feature_networks(tmp_path, net):
    """Down to the deepest tap; the classifier is named as ignored."""
    make, tap, depth, size = FEATURES[net]
    module = randomised(torch_nets.Features(make()))
    bundle = imported(tmp_path, module.state_dict())
    assert (bundle.role, bundle.notes["layout"]) == ("features", net)
    assert set(bundle.notes["ignored"]) == {"classifier.1.weight", "classifier.1.bias"}
    image = np.random.default_rng(2).random((1, size, size, 3), np.float32)
    wanted = run_torch(module.features[:depth], normalised(image))
    assert_same(bundle.network(image, taps=(tap,))[tap], wanted)


LPIPS = {
    "alex": ("alexnet", (4, 12, 24, 16, 16), (2, 5, 8, 10, 12)),
    "vgg": ("vgg16", (4, 8, 16, 32, 32), (4, 9, 16, 23, 30)),
    "squeeze": (
        "squeezenet",
        (8, 16, 32, 48, 48, 64, 64),
        (2, 5, 8, 10, 11, 12, 13),
    ),
}


def distance(features, heads, depths, first, second):
    """Zhang et al. 2018, Eq. 1."""
    total = 0.0
    for i, depth in enumerate(depths):
        parts = []
        for image in (first, second):
            x = features[:depth](to_torch(normalised(image)))
            parts.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        weight = getattr(heads, f"lin{i}").model[1].weight
        total = total + ((parts[0] - parts[1]).square() * weight).sum(1).mean([1, 2])
    return total.detach().numpy()


@pytest.mark.parametrize("net", LPIPS)
@pytest.mark.parametrize("whole", [False, True])
def test_lpips(tmp_path, net, whole):
    """Heads and torchvision's file; or one file of the whole metric."""
    backbone, widths, depths = LPIPS[net]
    features = randomised(torch_nets.Features(FEATURES[backbone][0]()))
    heads = torch_nets.Heads(widths)
    state, flags = heads.state_dict(), ()
    if whole:
        for name, tensor in features.features.state_dict().items():
            state[f"net.slice1.{name}"] = tensor
        state["scaling_layer.shift"] = torch.zeros(1, 3, 1, 1)
    else:
        path = save(features.state_dict(), tmp_path / "backbone.pth")
        flags = (f"--backbone={path}",)
    bundle = imported(tmp_path, state, *flags)
    assert (bundle.role, bundle.config.net) == ("lpips", net)
    rng = np.random.default_rng(3)
    pair = [rng.random((2, 67, 67, 3), np.float32) for _ in range(2)]
    wanted = distance(features.features, heads, depths, *pair)
    assert wanted.min() > 1e-3
    np.testing.assert_allclose(bundle.network(*pair), wanted, rtol=1e-5, atol=1e-6)
