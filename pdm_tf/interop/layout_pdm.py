"""The degradation network of the PDM release (Luo et al. 2022, arXiv:2203.04962).

Names: deg_kernel.deg_kernel.0 (convolution), .1 (BatchNorm), .3 on (blocks with body.0,
body.1, body.3), the last number a 1x1 convolution to K*K taps; deg_noise.deg_noise the
same, to 1 or 3 channels. Ours computes the same function from these weights in the
release's eval mode: box start, without the Gaussians that ours would add, BatchNorm,
grid "pixel0", mirrored borders. Our kernel trunk's Dense layers are its 1x1
convolutions.

These things are not in the weights, and are refused rather than guessed:
- scale (4 unless given);
- whether the noise sees the image: the first convolution has f_n or 3 + f_n inputs. 6
  is taken for image and 3, any other number must be said;
- whether noise latents are per pixel. 3x3 windows mean that they are; with 1x1 windows
  the release's meaning has changed over time, so it must be said. Ours are per pixel;
- one kernel per pixel (windows over 1x1): the release's own blur cannot take it.

Without a noise module the release rounds softly to 8 bits; ours leaves that to the
training.
"""

import dataclasses
import re

from pdm_tf.core.errors import UserError
from pdm_tf.degradations import KernelModuleConfig, NoiseModuleConfig, PDMConfig
from pdm_tf.interop.wiring import Options, Plan, Tensors, Wires, counters, shape_of

_KERNEL, _NOISE = "deg_kernel.deg_kernel", "deg_noise.deg_noise"
_FIRST_BLOCK = 3  # after convolution, BatchNorm and ReLU
_USUAL_SCALE = 4


def is_pdm(names: set[str]) -> bool:
    """Either module."""
    return f"{_KERNEL}.0.weight" in names or f"{_NOISE}.0.weight" in names


def pdm(tensors: Tensors, options: Options) -> Plan:
    """The plan.

    Raises:
      UserError: something that ours cannot do or that must be given, see above.
    """
    if f"{_KERNEL}.0.weight" not in tensors:
        raise UserError(
            "A PDM must have a kernel module. Received: a noise module alone, whose "
            "release downsamples by PyTorch's bicubic."
        )
    wires = Wires()
    kernel, noise, remarks = _kernel_config(tensors), None, []
    _wire(wires, tensors, _KERNEL, "kernel_module", "to_logits", 1)
    if f"{_NOISE}.0.weight" in tensors:
        noise = _noise_config(tensors, options)
        _wire(wires, tensors, _NOISE, "noise_module", "to_noise", noise.conv_size)
        remarks.append(
            "noise module: latents per pixel, "
            + ("sees the image" if noise.use_image else "does not see the image")
        )
    else:
        remarks.append("no noise module: the release's soft 8-bit rounding is left out")
    scale = options.scale or _USUAL_SCALE
    if not options.scale:
        remarks.append(f"scale {scale} assumed: it is not in the weights (--scale)")
    config = PDMConfig(
        scale=scale, kernel=kernel, noise=noise, grid="pixel0", border="reflect"
    )
    ignored = counters(tensors)
    return Plan(config, wires.done(), ignored, tuple(remarks))


def _kernel_config(tensors: Tensors) -> KernelModuleConfig:
    filters, latent_channels, side, _ = shape_of(tensors, f"{_KERNEL}.0.weight")
    blocks = _num_blocks(tensors, _KERNEL)
    body = shape_of(tensors, f"{_KERNEL}.{_FIRST_BLOCK}.body.0.weight")[2]
    if side != 1 or body != 1:
        raise UserError(
            "The kernel module must be the spatially invariant one, with 1x1 windows. "
            f"Received: {side}x{side} and {body}x{body}, one kernel per HR pixel, "
            "which the release's own blur cannot take."
        )
    taps = shape_of(tensors, f"{_KERNEL}.{_FIRST_BLOCK + blocks}.weight")[0]
    size = round(taps**0.5)
    if size * size != taps or size % 2 == 0:
        raise UserError(
            f"A kernel must have K*K taps with K odd. Received: {taps} taps."
        )
    return KernelModuleConfig(
        kernel_size=size,
        latent_channels=latent_channels,
        filters=filters,
        num_blocks=blocks,
        initial="box",
        initial_std=0.0,
        smoothing_px=0.0,
    )


def _noise_config(tensors: Tensors, options: Options) -> NoiseModuleConfig:
    filters, inputs, side, _ = shape_of(tensors, f"{_NOISE}.0.weight")
    blocks = _num_blocks(tensors, _NOISE)
    body = shape_of(tensors, f"{_NOISE}.{_FIRST_BLOCK}.body.0.weight")[2]
    if side != body or side % 2 == 0:
        raise UserError(
            "The noise module must have one odd window throughout. "
            f"Received: {side}x{side} and {body}x{body}."
        )
    if side == 1 and options.noise_latent != "per_pixel":
        raise UserError(
            "A noise module with 1x1 windows may have latents per pixel or per image; "
            "its weights do not say which. If its config says `spatial: true` (or it "
            "is from before the flag was turned round), give --noise_latent=per_pixel; "
            "latents per image are one colour per image, which ours has no form for."
        )
    use_image = {"yes": True, "no": False}.get(options.noise_image)
    if use_image is None:
        if inputs != 6:
            raise UserError(
                "Whether the noise module sees the image is not in its weights. "
                f"Received: {inputs} inputs. Give --noise_image=yes if its config says "
                f"`mix: true` ({inputs - 3} latent channels), else no."
            )
        use_image = True
    latent_channels = inputs - 3 if use_image else inputs
    if latent_channels < 1:
        raise UserError(
            "The noise module must have a latent. "
            f"Received: {inputs} inputs with --noise_image=yes."
        )
    return dataclasses.replace(
        NoiseModuleConfig.paper(),
        latent_channels=latent_channels,
        filters=filters,
        num_blocks=blocks,
        conv_size=side,
        channels=shape_of(tensors, f"{_NOISE}.{_FIRST_BLOCK + blocks}.weight")[0],
        use_image=use_image,
    )


def _num_blocks(tensors: Tensors, prefix: str) -> int:
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d+)\.body\.0\.weight")
    found = [int(m.group(1)) for m in map(pattern.fullmatch, tensors) if m]
    if not found:
        raise UserError(f"{prefix} must have residual blocks. Received: none.")
    return max(found) + 1 - _FIRST_BLOCK


def _wire(
    wires: Wires, tensors: Tensors, prefix: str, module: str, last: str, side: int
) -> None:
    """Wires one module: trunk and last layer."""
    layer = wires.pointwise if side == 1 else wires.conv
    trunk = f"{module}/trunk"
    layer(f"{trunk}/head", f"{prefix}.0")
    wires.batch_norm(f"{trunk}/head_norm", f"{prefix}.1")
    blocks = _num_blocks(tensors, prefix)
    for i in range(blocks):
        body = f"{prefix}.{_FIRST_BLOCK + i}.body"
        layer(f"{trunk}/first_{i}", f"{body}.0")
        wires.batch_norm(f"{trunk}/norm_{i}", f"{body}.1")
        layer(f"{trunk}/second_{i}", f"{body}.3")
    wires.pointwise(f"{module}/{last}", f"{prefix}.{_FIRST_BLOCK + blocks}")
