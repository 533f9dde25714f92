"""Published networks in PyTorch, no more than their tensors' names need.

Written from the names and the papers; imported only by tests that have PyTorch.
"""

import torch
from torch import nn
from torch.nn import functional


def conv(inputs, outputs, side=3):
    return nn.Conv2d(inputs, outputs, side, padding=side // 2)


class Shift(nn.Conv2d):
    """1x1 convolution that takes DIV2K's mean off or adds it."""

    def __init__(self, sign, mean=(0.4488, 0.4371, 0.4040)):
        super().__init__(3, 3, 1)
        with torch.no_grad():
            self.weight.copy_(torch.eye(3).reshape(3, 3, 1, 1))
            self.bias.copy_(sign * 255 * torch.tensor(mean))


class Block(nn.Module):
    def __init__(self, filters, residual_scale):
        super().__init__()
        self.body = nn.Sequential(
            conv(filters, filters), nn.ReLU(), conv(filters, filters)
        )
        self.residual_scale = residual_scale

    def forward(self, x):
        return x + self.body(x) * self.residual_scale


def shuffles(filters, scale):
    factors = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}[scale]
    layers = []
    for factor in factors:
        layers += [conv(filters, filters * factor**2), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers)


class EDSR(nn.Module):
    """The authors' names; takes and gives 0..255 inside, or what is said after."""

    def __init__(self, scale, filters, blocks, residual_scale):
        super().__init__()
        self.rgb_range = 255
        self.sub_mean, self.add_mean = Shift(-1), Shift(1)
        self.head = nn.Sequential(conv(3, filters))
        body = [Block(filters, residual_scale) for _ in range(blocks)]
        self.body = nn.Sequential(*body, conv(filters, filters))
        self.tail = nn.Sequential(shuffles(filters, scale), conv(filters, 3))

    def forward(self, x):
        x = self.head(self.sub_mean(x * self.rgb_range))
        return self.add_mean(self.tail(self.body(x) + x)) / self.rgb_range


class BasicBlock(nn.Module):
    def __init__(self, filters):
        super().__init__()
        self.conv1, self.conv2 = conv(filters, filters), conv(filters, filters)

    def forward(self, x):
        return x + self.conv2(functional.relu(self.conv1(x)))


class BasicEDSR(nn.Module):
    """BasicSR's names; the mean is no tensor."""

    def __init__(self, scale, filters, blocks):
        super().__init__()
        self.conv_first = conv(3, filters)
        self.body = nn.Sequential(*[BasicBlock(filters) for _ in range(blocks)])
        self.conv_after_body = conv(filters, filters)
        self.upsample = shuffles(filters, scale)
        self.conv_last = conv(filters, 3)

    def forward(self, x):
        mean = torch.tensor([0.4488, 0.4371, 0.4040]).reshape(1, 3, 1, 1)
        x = self.conv_first((x - mean) * 255)
        x = self.conv_after_body(self.body(x)) + x
        return self.conv_last(self.upsample(x)) / 255 + mean


class Dense(nn.Module):
    def __init__(self, filters, growth, in_sequential):
        super().__init__()
        for k in range(5):
            layer = conv(filters + k * growth, growth if k < 4 else filters)
            layer = nn.Sequential(layer) if in_sequential else layer
            self.add_module(f"conv{k + 1}", layer)

    def forward(self, x):
        features = [x]
        for k in range(1, 5):
            new = getattr(self, f"conv{k}")(torch.cat(features, 1))
            features.append(functional.leaky_relu(new, 0.2))
        return x + 0.2 * self.conv5(torch.cat(features, 1))


class RRDB(nn.Module):
    def __init__(self, filters, growth, stem, in_sequential=False):
        super().__init__()
        for j in "123":
            self.add_module(f"{stem}{j}", Dense(filters, growth, in_sequential))

    def forward(self, x):
        inner = x
        for dense in self.children():
            inner = dense(inner)
        return x + 0.2 * inner


class Skip(nn.Module):
    def __init__(self, sub):
        super().__init__()
        self.sub = sub

    def forward(self, x):
        return x + self.sub(x)


class OldESRGAN(nn.Module):
    """One Sequential, model.<i>."""

    def __init__(self, factors, filters, growth, blocks):
        super().__init__()
        body = [RRDB(filters, growth, "RDB", True) for _ in range(blocks)]
        layers = [conv(3, filters), Skip(nn.Sequential(*body, conv(filters, filters)))]
        for factor in factors:
            layers += [nn.Upsample(scale_factor=factor, mode="nearest")]
            layers += [conv(filters, filters), nn.LeakyReLU(0.2)]
        layers += [conv(filters, filters), nn.LeakyReLU(0.2), conv(filters, 3)]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class NamedRRDBNet(nn.Module):
    """ESRGAN's later names, or BasicSR's; `unshuffle` as in Real-ESRGAN."""

    def __init__(self, names, ups, filters, growth, blocks, unshuffle=1):
        super().__init__()
        trunk, stem, end, up, refine = names
        self.names, self.ups, self.unshuffle = names, ups, unshuffle
        self.conv_first = conv(3 * unshuffle**2, filters)
        body = [RRDB(filters, growth, stem) for _ in range(blocks)]
        self.add_module(trunk, nn.Sequential(*body))
        self.add_module(end, conv(filters, filters))
        for i in range(ups):
            self.add_module(f"{up}{i + 1}", conv(filters, filters))
        self.add_module(refine, conv(filters, filters))
        self.conv_last = conv(filters, 3)

    def forward(self, x):
        trunk, _, end, up, refine = self.names
        if self.unshuffle > 1:
            x = functional.pixel_unshuffle(x, self.unshuffle)
        x = self.conv_first(x)
        x = x + getattr(self, end)(getattr(self, trunk)(x))
        for i in range(self.ups):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = functional.leaky_relu(getattr(self, f"{up}{i + 1}")(x), 0.2)
        return self.conv_last(functional.leaky_relu(getattr(self, refine)(x), 0.2))


NEW_NAMES = ("RRDB_trunk", "RDB", "trunk_conv", "upconv", "HRconv")
BASIC_NAMES = ("body", "rdb", "conv_body", "conv_up", "conv_hr")


class NormBlock(nn.Module):
    def __init__(self, filters, side):
        super().__init__()
        self.body = nn.Sequential(
            conv(filters, filters, side),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            conv(filters, filters, side),
        )

    def forward(self, x):
        return x + self.body(x)


def trunk(inputs, filters, blocks, side, outputs):
    return nn.Sequential(
        conv(inputs, filters, side),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
        *[NormBlock(filters, side) for _ in range(blocks)],
        conv(filters, outputs, 1),
    )


class Part(nn.Module):
    def __init__(self, name, layers):
        super().__init__()
        self.add_module(name, layers)


class ReleasedPDM(nn.Module):
    """The PDM release's degradation network; latents come in instead of being drawn."""

    def __init__(self, scale, kernel, noise, use_image=True):
        super().__init__()
        self.scale, self.use_image = scale, use_image
        self.deg_kernel = Part("deg_kernel", trunk(**kernel))
        self.deg_noise = Part("deg_noise", trunk(**noise)) if noise else None

    def forward(self, hr, z_k, z_n=None):
        kernel = torch.softmax(self.deg_kernel.deg_kernel(z_k), 1).flatten(1)
        side = round(kernel.shape[1] ** 0.5)
        batch, colours, height, width = hr.shape
        padded = functional.pad(hr, [side // 2] * 4, mode="reflect")
        patches = functional.unfold(padded, side, stride=self.scale)
        patches = patches.reshape(batch, colours, side**2, -1)
        lr = (patches * kernel[:, None, :, None]).sum(2)
        lr = lr.reshape(batch, colours, height // self.scale, width // self.scale)
        if self.deg_noise is None:
            return lr
        x = torch.cat([lr, z_n], 1) if self.use_image else z_n
        return lr + self.deg_noise.deg_noise(x)


def vgg(counts, width):
    """torchvision's `features` of VGG16 or 19, `width` for 64."""
    layers, inputs = [], 3
    for count, units in zip(counts, (1, 2, 4, 8, 8), strict=True):
        for _ in range(count):
            layers += [conv(inputs, units * width), nn.ReLU()]
            inputs = units * width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def alexnet(width):
    """torchvision's `features` of AlexNet."""
    return nn.Sequential(
        nn.Conv2d(3, width, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        conv(width, 3 * width, 5),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        conv(3 * width, 6 * width),
        nn.ReLU(),
        conv(6 * width, 4 * width),
        nn.ReLU(),
        conv(4 * width, 4 * width),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )


class Fire(nn.Module):
    def __init__(self, inputs, filters):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, filters // 4, 1)
        self.expand1x1 = nn.Conv2d(filters // 4, filters, 1)
        self.expand3x3 = conv(filters // 4, filters)

    def forward(self, x):
        x = functional.relu(self.squeeze(x))
        return functional.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


def squeezenet(width):
    """torchvision's `features` of SqueezeNet 1.1."""

    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    def fire(inputs, units):
        return Fire(inputs * width, units * width)

    return nn.Sequential(
        *(nn.Conv2d(3, width, 3, stride=2), nn.ReLU(), pool()),
        *(fire(1, 1), fire(2, 1), pool(), fire(2, 2), fire(4, 2), pool()),
        *(fire(4, 3), fire(6, 3), fire(6, 4), fire(8, 4)),
    )


class Features(nn.Module):
    """A network of torchvision: features and a classifier."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(8, 4))


class Head(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))


class Heads(nn.Module):
    """What the lpips package ships: one non-negative weight per channel and tap."""

    def __init__(self, widths):
        super().__init__()
        for i, channels in enumerate(widths):
            self.add_module(f"lin{i}", Head(channels))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.abs_()
