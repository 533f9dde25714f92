"""VGG16 and VGG19 with Keras's ImageNet weights, as if they came from a file.

Keras downloads and keeps them (`KERAS_HOME`, ~/.keras); nothing is fetched unless
somebody asks for `keras:vgg19`. They are Oxford's originals for Caffe: B, G, R in 0 to
255 minus a mean, while our feature networks take R, G, B as torchvision's weights do.
The first convolution takes the difference in: at the image's border, where the window
reaches into zeros, that is right to half a level of 255.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from pdm_tf.core.checks import suggest
from pdm_tf.core.errors import UserError
from pdm_tf.interop.layout_features import MODULES
from pdm_tf.interop.tensors import Storage, Tensor
from pdm_tf.interop.weight_file import WeightFile
from pdm_tf.models.features.feature_net import MEAN, STD

PREFIX = "keras:"
# The mean that Keras's preprocess_input (mode "caffe") subtracts, in B, G, R.
_CAFFE_MEAN = np.array([103.939, 116.779, 123.68])
_MODELS: dict[str, Callable[..., keras.Model]] = {
    "vgg16": keras.applications.VGG16,
    "vgg19": keras.applications.VGG19,
}


def open_keras_weights(name: str, weights: str | None = "imagenet") -> WeightFile:
    """Reads one of Keras's models; downloads its weights the first time.

    Args:
      name: "vgg16" or "vgg19".
      weights: as keras.applications takes it; None for random ones.

    Raises:
      UserError: no such model, or its weights cannot be downloaded.
    """
    if name not in _MODELS:
        raise UserError(
            f"--input={PREFIX}NAME must name one of {', '.join(_MODELS)}. "
            f"Received: {name!r}.{suggest(name, _MODELS)}"
        )
    try:
        model = _MODELS[name](include_top=False, weights=weights)
    except Exception as error:  # Keras raises it when a download fails
        if "fetch" not in str(error):
            raise
        raise UserError(
            f"Keras could not download the weights of {name}: {error}. Connect this "
            "machine, or give torchvision's file as --input."
        ) from error
    arrays = as_torchvision(model, name)
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(array.tobytes())
    return WeightFile(
        Path(f"{PREFIX}{name}"),
        "keras.applications",
        digest.hexdigest(),
        "",
        {key: _tensor(array) for key, array in arrays.items()},
        {},
    )


def as_torchvision(model: keras.Model, name: str) -> dict[str, np.ndarray]:
    """Returns its convolutions by torchvision's names, float32 [out, in, kh, kw].

    The first one takes normalised R, G, B. With n = (x - MEAN) / STD for an image x in
    [0, 1], Caffe's input is 255 x - CAFFE_MEAN = 255 STD n + (255 MEAN - CAFFE_MEAN).
    """
    arrays = {}
    for ours, number in MODULES[name]:
        kernel, bias = model.get_layer(_keras_name(ours)).get_weights()
        if number == "0":
            rgb = kernel.astype(np.float64)[:, :, ::-1]
            offset = 255.0 * MEAN - _CAFFE_MEAN[::-1]
            bias = bias + np.einsum("hwio,i->o", rgb, offset)
            kernel = rgb * (255.0 * STD)[:, None]
        weight = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32)
        arrays[f"features.{number}.weight"] = weight
        arrays[f"features.{number}.bias"] = np.asarray(bias, np.float32)
    return arrays


def _keras_name(ours: str) -> str:
    """conv3_4 -> block3_conv4."""
    block, index = ours.removeprefix("conv").split("_")
    return f"block{block}_conv{index}"


def _tensor(array: np.ndarray) -> Tensor:
    strides = tuple(step // array.itemsize for step in array.strides)
    storage = Storage("float32", array.size, array.astype("<f4").tobytes)
    return Tensor(storage, 0, array.shape, strides)
