"""Feature networks and LPIPS against torchvision's and the package `lpips` themselves.

Random backbones with the same weights on both sides; the heads are the real ones of
version 0.1, which the package ships. Skipped where torch, torchvision or lpips are not
installed. A torchvision built for CUDA beside a torch for CPU cannot load its compiled
operators and then fails at import, because two of them are not declared; they are
declared here. None of them is used by these networks.
"""

import numpy as np
import pytest

from pdm_tf.bundles.networks import NETWORKS
from pdm_tf.models.features import LPIPSConfig

torch = pytest.importorskip("torch", reason="needs PyTorch")

SIZES = [(64, 64), (97, 130), (75, 66)]


@pytest.fixture(scope="module")
def torchvision():
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        try:
            library.define(f"{name}(Tensor a, Tensor b, float c) -> Tensor")
        except RuntimeError:
            pass  # declared by torchvision's own library
    yield pytest.importorskip("torchvision", reason="needs torchvision")


@pytest.fixture(scope="module")
def lpips(torchvision):
    return pytest.importorskip("lpips", reason="needs the package lpips")


def convolutions(module):
    """(name, convolution) of a torch network in order."""
    found = module.named_modules()
    return [(name, m) for name, m in found if isinstance(m, torch.nn.Conv2d)]


def copy_backbone(source, network):
    """Every convolution of torch into ours, in the order both have them."""
    variables = iter(network.variables)
    for _, module in convolutions(source):
        next(variables).assign(module.weight.detach().numpy().transpose(2, 3, 1, 0))
        next(variables).assign(module.bias.detach().numpy())
    assert next(variables, None) is None


def randomise(module, seed):
    """He-normal weights, biases that matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, conv in convolutions(module):
            fan_in = conv.weight[0].numel()
            conv.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            conv.bias.normal_(0, 0.1, generator=generator)


def images(size, seed):
    return np.random.default_rng(seed).random((2, 2, *size, 3)).astype(np.float32)


def to_torch(image):
    return torch.from_numpy(image.transpose(0, 3, 1, 2).copy())


MODELS = {
    "vgg19": "vgg19",
    "vgg16": "vgg16",
    "alexnet": "alexnet",
    "squeezenet": "squeezenet1_1",
}


@pytest.mark.parametrize("name", MODELS)
def test_every_stage_equals_torchvision(torchvision, name):
    """All activations of torchvision's `features`, index by index."""
    source = getattr(torchvision.models, MODELS[name])(weights=None).features.eval()
    randomise(source, 1)
    for module in source.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False  # so that what was before it stays
    network = NETWORKS[name].config.build()
    copy_backbone(source, network)
    for size in SIZES:
        image = images(size, 0)[0]
        found = network(image)
        x = (to_torch(image) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / (
            torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        )
        with torch.no_grad():
            # AlexNet and VGG end with a pooling that nothing of ours is after.
            for module, tap in zip(source, found, strict=False):
                x = module(x)
                wanted = x.numpy().transpose(0, 2, 3, 1)
                atol = 1e-5 * np.abs(wanted).max()
                np.testing.assert_allclose(found[tap], wanted, rtol=0, atol=atol)
        assert len(source) - len(found) in (0, 1)


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_distance_equals_the_package(lpips, net):
    """The package's LPIPS v0.1 with its own heads, forward and gradient."""
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    randomise(theirs.net, 2)
    ours = LPIPSConfig(net).build()
    copy_backbone(theirs.net, ours.backbone)
    for head, line in zip(ours.heads, theirs.lins, strict=True):
        weight = line.model[-1].weight.detach().numpy()
        assert weight.min() >= 0 and weight.max() > 0.1  # the real ones
        head.kernel.assign(weight.transpose(2, 3, 1, 0))
    for size in SIZES:
        a, b = images(size, 3)
        with torch.no_grad():
            wanted = theirs(to_torch(a), to_torch(b), normalize=True).numpy().ravel()
        found = ours(a, b).numpy()
        print(f"{net} {size}: {wanted} ours - theirs {found - wanted}")
        assert np.all(wanted > 0.01)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
