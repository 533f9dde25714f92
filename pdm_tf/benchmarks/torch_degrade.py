"""What the degrading benchmark times of PyTorch: calls on tensors made beforehand."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from pdm_tf.benchmarks import torch_weights
from pdm_tf.benchmarks.learning_subject import DegradationSubject
from pdm_tf.benchmarks.torch_degradation import PDM, Blur

Run = Callable[[], np.ndarray]
_FORMATS = {True: torch.channels_last, False: torch.contiguous_format}


def blur(
    subject: DegradationSubject,
    form: str,
    hr: np.ndarray,
    kernel: np.ndarray | None = None,
    *,
    backward: bool,
) -> Run:
    """Returns how to blur and downsample.

    Args:
      subject: of which the geometry counts.
      form: of `torch_degradation.BLURS`.
      hr: [B, H, W, 3].
      kernel: [B, K*K]; None takes box kernels.
      backward: also for the gradient of the kernels.

    Returns:
      A function that returns [B, h, w, 3]; with `backward` the gradient [B, K*K] of the
      sum of the squared results.
    """
    if kernel is None:
        taps = subject.config["kernel"]["kernel_size"] ** 2
        kernel = np.full((len(hr), taps), 1.0 / taps, np.float32)
    operator, image = Blur(subject, form), _planes(hr)
    kernels = torch.from_numpy(kernel).requires_grad_(backward)

    def forward() -> np.ndarray:
        with torch.inference_mode():
            return operator(image, kernels).permute(0, 2, 3, 1).numpy()

    def both() -> np.ndarray:
        kernels.grad = None
        torch.sum(operator(image, kernels) ** 2).backward()
        return kernels.grad.numpy()

    return both if backward else forward


def degradation(
    subject: DegradationSubject,
    form: str,
    hr: np.ndarray,
    weights: Mapping[str, np.ndarray] | None,
    latents: tuple[np.ndarray, np.ndarray | None],
    *,
    channels_last: bool,
) -> Run:
    """Returns how to degrade, forward and backward.

    Args:
      subject: settings of the degradation model.
      form: of its blur.
      hr: [B, H, W, 3].
      weights: of the Keras network; None takes random ones.
      latents: z_k and z_n, NHWC.
      channels_last: layout of the modules and latents.

    Returns:
      A function that returns the gradient, for the bias of the kernel's logits, of the
      sum of the squared results; gradients of all variables are computed.
    """
    layout = _FORMATS[channels_last]
    network = PDM(subject, form)
    if weights is not None:
        torch_weights.load(network, weights)
    network.to(memory_format=layout)
    z_k, z_n = (
        None if z is None else _planes(z).contiguous(memory_format=layout)
        for z in latents
    )
    image = _planes(hr)
    bias = network.kernel_module.to_logits.bias

    def run() -> np.ndarray:
        network.zero_grad()
        lr, _, _ = network(image, z_k, z_n)
        torch.sum(lr**2).backward()
        return bias.grad.numpy()

    return run


def _planes(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
