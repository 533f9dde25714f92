"""The learned degradation as SavedModel and ONNX, latents as explicit inputs.

Signature and graph: `hr` [B, H, W, 3], `z_k`, `z_n` where there is a noise module, and
`z_l` where it is parametric -> `lr` (not clipped, not quantised), `clean_lr` (before
the noise), `kernel`. The caller draws the latents: standard normal, in the shapes that
the metadata name, or zeros for z_k where `kernel_latent` is "zero". The SavedModel also
has `sample`, which draws them from a seed.

In training the blur is one depthwise convolution with the images of the batch as its
channels. ONNX fixes the number of groups of a convolution in the file, hence the batch;
so there the blur is a loop over the K*K taps that adds up shifted, strided copies
weighted by the kernel. Any batch and size, one or many kernels per image, and no
K*K-fold copy of the pixels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import tensorflow as tf

from export import onnx_rewrite
from export.onnx_graph import from_function, tidy
from export.parity import DEGRADATION_LATENTS, DEGRADATION_OUTPUTS
from export.saved_model import save_quietly
from pdm_tf import __version__
from pdm_tf.degradations import PDM, Degraded
from pdm_tf.ops.blur import grid_geometry, kernel_side


class DegradationModule(tf.Module):
    """The content of the SavedModel: raw variables, once, and two signatures."""

    def __init__(self, pdm: PDM) -> None:
        super().__init__(name="degradation")
        self.weights = [variable.value for variable in pdm.variables]

        names = [spec.name for spec in input_specs(pdm)]

        def degrade(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return _outputs(call_by_name(pdm, dict(zip(names, inputs, strict=True))))

        def sample(hr: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
            return _outputs(pdm.synthesise(hr, seed))

        self.degrade = tf.function(
            degrade, input_signature=input_specs(pdm), autograph=False
        )
        self.sample = tf.function(
            sample,
            input_signature=[
                tf.TensorSpec([None, None, None, 3], tf.float32, "hr"),
                tf.TensorSpec([2], tf.int32, "seed"),
            ],
            autograph=False,
        )


def write_degradation_saved_model(pdm: PDM, folder: Path) -> Path:
    """Writes the SavedModel with the signatures `serving_default` and `sample`."""
    module = DegradationModule(pdm)
    functions = {"serving_default": module.degrade, "sample": module.sample}
    save_quietly(module, folder, functions)
    return folder


def write_degradation_onnx(
    pdm: PDM, path: Path, provenance: dict[str, str] | None = None
) -> Path:
    """Writes the ONNX file, checked.

    Args:
      pdm: built, in float32.
      path: the file, replaced atomically.
      provenance: more metadata, e.g. the weights' hash.
    """

    def degrade(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        named = dict(zip([spec.name for spec in specs], inputs, strict=True))
        hr, z_k, z_n, z_l = (named.get(name) for name in ("hr", *DEGRADATION_LATENTS))
        kernel = pdm.kernels(z_k, hr)
        clean_lr = blur_by_taps(
            hr, kernel, pdm.config.scale, pdm.config.grid, pdm.config.border
        )
        if pdm.noise_module is None:
            lr = tf.identity(clean_lr)
        else:
            lr = clean_lr + pdm.noise_module(z_n, clean_lr, z_l, training=False)
        return {"lr": lr, "clean_lr": clean_lr, "kernel": kernel}

    specs = input_specs(pdm)
    model = from_function(degrade, specs)
    tidy(model.graph)
    axes = {**_input_axes(pdm), **_output_axes(pdm)}
    onnx_rewrite.name_axes(model.graph.input, axes)
    onnx_rewrite.name_axes(model.graph.output, axes)
    model.graph.name = "PDM"
    onnx.helper.set_model_props(model, describe(pdm) | (provenance or {}))
    return onnx_rewrite.write_checked(model, path)


def blur_by_taps(
    hr: tf.Tensor, kernel: tf.Tensor, scale: int, grid: str, border: str
) -> tf.Tensor:
    """`ops.blur.blur_downsample` as a loop over taps; same arguments and result.

    The sum runs in the order of the taps, so it differs from the convolution's by
    rounding alone.
    """
    side = kernel_side(kernel.shape[-1])
    radius = side // 2
    if border == "reflect":
        pad = [radius, radius]
        hr = tf.pad(hr, [[0, 0], pad, pad, [0, 0]], mode="REFLECT")
    window, _ = grid_geometry(scale, grid)
    size = tf.shape(hr)
    height = (size[1] - 2 * radius) // scale
    width = (size[2] - 2 * radius) // scale
    rows, columns = scale * (height - 1) + 1, scale * (width - 1) + 1

    def add_tap(tap: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        top, left = window + tap // side, window + tap % side
        pixels = hr[:, top : top + rows : scale, left : left + columns : scale]
        return tap + 1, total + pixels * kernel[..., tap : tap + 1]

    channels = hr.shape[-1]
    start = (tf.constant(0), tf.zeros([size[0], height, width, channels]))
    _, total = tf.while_loop(
        lambda tap, total: tap < side * side,
        add_tap,
        start,
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None, None, None, channels]),
        ),
    )
    return total


def describe(pdm: PDM) -> dict[str, str]:
    """The metadata, all texts; shapes with `height` and `width` of the LR image."""
    config = pdm.config
    return {
        "kind": "degradation",
        "architecture": type(pdm).__name__,
        "scale": str(config.scale),
        "margin": str(config.margin),
        "border": config.border,
        "grid": config.grid,
        "kernel_size": str(config.kernel.kernel_size),
        "kernel_latent": config.kernel.latent,
        **{name: _text(_input_axes(pdm).get(name, ())) for name in DEGRADATION_LATENTS},
        "layout": "NHWC",
        "range": "0..1",
        "colour_order": "RGB",
        "precision": "float32",
        "pdm_tf_version": __version__,
    }


def input_specs(pdm: PDM) -> list[tf.TensorSpec]:
    """Names hr, and those of `DEGRADATION_LATENTS` that the form takes."""
    return [
        tf.TensorSpec(
            [None if isinstance(axis, str) else axis for axis in axes], tf.float32, name
        )
        for name, axes in _input_axes(pdm).items()
    ]


def call_by_name(pdm: PDM, inputs: Mapping[str, tf.Tensor]) -> Degraded:
    """Degrades inputs named as in `input_specs`, for inference."""
    hr, *latents = (inputs.get(name) for name in ("hr", "z_k", "z_n", "z_q", "z_l"))
    return pdm(hr, *latents, training=False)


def _outputs(degraded: Degraded) -> dict[str, tf.Tensor]:
    return {name: tf.identity(getattr(degraded, name)) for name in DEGRADATION_OUTPUTS}


def _input_axes(pdm: PDM) -> dict[str, tuple[str | int, ...]]:
    kernel, noise = pdm.config.kernel, pdm.config.noise
    axes: dict[str, tuple[str | int, ...]] = {
        "hr": ("batch", "height_hr", "width_hr", 3)
    }
    if kernel.takes_latent:
        sides = ("height", "width") if kernel.spatial else (1, 1)
        axes["z_k"] = ("batch", *sides, kernel.latent_channels)
    if noise is not None and noise.latent == "normal":
        axes["z_n"] = ("batch", "height", "width", noise.latent_channels)
    if noise is not None and noise.level_channels:
        axes["z_l"] = ("batch", noise.level_channels)
    return axes


def _output_axes(pdm: PDM) -> dict[str, tuple[str | int, ...]]:
    image = ("batch", "height", "width", 3)
    kernel = pdm.config.kernel
    sides = image[1:3] if kernel.per_pixel else (1, 1)
    taps = kernel.num_taps
    return {"lr": image, "clean_lr": image, "kernel": ("batch", *sides, taps)}


def _text(axes: Sequence[str | int]) -> str:
    return ",".join(str(axis) for axis in axes)
