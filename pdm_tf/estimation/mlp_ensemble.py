"""Small networks side by side, from a vector to normal distributions; NumPy alone.

An ensemble of multilayer perceptrons (two hidden layers) is trained in one go: its
weights have a leading axis for the members. Members differ in their first weights, in
the order of examples and in their dropout. What they say is mixed to one distribution:
its covariance holds what each member says and how far they part (Lakshminarayanan et
al. 2017, arXiv:1612.01474).

NumPy, because the networks are so small that TensorFlow's start would take longer than
their use, and because a folder's check should run without it.

*Outputs.* The first `block` targets have a common normal distribution with a full
precision matrix P = L L^T, L lower triangular; the others have one each. Targets that
are NaN do not count. The loss is the negative log-likelihood, less constants.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np

_BOUND = 3.5  # of the logarithms of precisions' roots, softly: sd of 0.03
_MOMENTS = (0.9, 0.999)
_TINY = 1e-8
_LARGEST_GRADIENT = 5.0

Weights = dict[str, np.ndarray]
# random -> batches (inputs [members, B, F], targets [members, B, T]) of one epoch.
Epoch = Callable[[np.random.Generator], Iterator[tuple[np.ndarray, np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class EnsembleSettings:
    """Settings of the networks and their training.

    Attributes:
      members: how many networks.
      hidden: widths of the two hidden layers.
      dropout: share of hidden units that is left out, anew for each batch.
      rate: of AdamW at the start; it falls to 0 along half a cosine.
      weight_decay: of AdamW.
    """

    members: int = 4
    hidden: tuple[int, int] = (256, 128)
    dropout: float = 0.15
    rate: float = 4e-3
    weight_decay: float = 0.5


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Normal distributions of one batch.

    Attributes:
      mean: [N, T].
      covariance: [N, block, block] of the first `block` targets.
      variance: [N, T - block] of the others.
    """

    mean: np.ndarray
    covariance: np.ndarray
    variance: np.ndarray


def first_weights(
    inputs: int,
    targets: int,
    block: int,
    settings: EnsembleSettings,
    random: np.random.Generator,
) -> Weights:
    """He's normal initialisation; the last layer begins near 0."""
    widths = (inputs, *settings.hidden, targets + _precisions(targets, block))
    weights = {}
    for layer, (rows, columns) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        gain = 0.1 if layer == 2 else 1.0
        scale = np.float32(gain * np.sqrt(2.0 / rows))
        shape = (settings.members, rows, columns)
        weights[f"w{layer}"] = scale * random.standard_normal(shape, np.float32)
        weights[f"b{layer}"] = np.zeros((settings.members, 1, columns), np.float32)
    return weights


def train_epochs(
    weights: Weights,
    block: int,
    settings: EnsembleSettings,
    epochs: int,
    epoch: Epoch,
    steps: int,
    random: np.random.Generator,
) -> Iterator[Weights]:
    """Trains in place by AdamW and yields the weights after each epoch.

    Args:
      weights: from `first_weights`.
      block: see the head of this file.
      settings: of the networks.
      epochs: how many.
      epoch: makes the batches of one epoch.
      steps: batches in an epoch, for the rate.
      random: draws order and dropout.
    """
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    step = 0
    for _ in range(epochs):
        for inputs, targets in epoch(random):
            step += 1
            share = min(step / (epochs * steps), 1.0)
            rate = settings.rate * 0.5 * (1.0 + np.cos(np.pi * share))
            gradients = loss_and_gradients(
                weights, inputs, targets, block, settings.dropout, random
            )[1]
            _clip(gradients)
            for name, gradient in gradients.items():
                for moment, beta, value in (
                    (first[name], _MOMENTS[0], gradient),
                    (second[name], _MOMENTS[1], np.square(gradient)),
                ):
                    moment *= np.float32(beta)
                    moment += np.float32(1.0 - beta) * value
                size = np.sqrt(second[name] / np.float32(1.0 - _MOMENTS[1] ** step))
                move = first[name] / np.float32(1.0 - _MOMENTS[0] ** step)
                move /= size + np.float32(_TINY)
                if name.startswith("w"):
                    move += np.float32(settings.weight_decay) * weights[name]
                weights[name] -= np.float32(rate) * move
        yield weights


def loss_and_gradients(
    weights: Weights,
    inputs: np.ndarray,
    targets: np.ndarray,
    block: int,
    dropout: float,
    random: np.random.Generator | None,
) -> tuple[np.ndarray, Weights]:
    """Mean loss of each member, and its gradients.

    Args:
      weights: of E members.
      inputs: [E, B, F]; targets: [E, B, T].
      block: targets with a common distribution.
      dropout: share of hidden units left out.
      random: draws them; None: nothing is left out.

    Returns:
      ([E], gradients by name).
    """
    layers, masks = [inputs], []
    for layer in (0, 1):
        x = layers[-1] @ weights[f"w{layer}"] + weights[f"b{layer}"]
        mask = (x > 0).astype(np.float32)
        if random is not None and dropout:
            kept = random.random(x.shape, np.float32) >= dropout
            mask *= kept / np.float32(1.0 - dropout)
        masks.append(mask)
        layers.append(x * mask)
    out = layers[-1] @ weights["w2"] + weights["b2"]
    losses, back = nll(out, targets, block)
    back /= np.float32(inputs.shape[1])
    gradients = {}
    for layer in (2, 1, 0):
        gradients[f"w{layer}"] = np.swapaxes(layers[layer], 1, 2) @ back
        gradients[f"b{layer}"] = back.sum(1, keepdims=True)
        if layer:
            back = (back @ np.swapaxes(weights[f"w{layer}"], 1, 2)) * masks[layer - 1]
    return losses.mean(1), gradients


def forward(weights: Weights, inputs: np.ndarray) -> np.ndarray:
    """What the members say: [N, F] -> [E, N, outputs]."""
    x = inputs[None]
    for layer in (0, 1):
        x = np.maximum(x @ weights[f"w{layer}"] + weights[f"b{layer}"], 0.0)
    return x @ weights["w2"] + weights["b2"]


def nll(
    out: np.ndarray, targets: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray]:
    """Negative log-likelihood [...] less constants, and its gradient like `out`.

    Args:
      out: [..., O] raw outputs: means, the block's L (logs of its diagonal, then what
        is below it, row by row), the others' logs of 1 / sd.
      targets: [..., T], NaN where nothing is known (in the block: all or none).
      block: targets with a common distribution.
    """
    count = targets.shape[-1]
    known = np.isfinite(targets)
    error = np.where(known, out[..., :count] - targets, 0.0).astype(out.dtype)
    logs, slopes, root = _roots(out, count, block)
    back = np.zeros_like(out)
    moved = np.einsum("...ij,...i->...j", root, error[..., :block])  # L^T e
    in_block = known[..., :block].all(-1)
    loss = 0.5 * np.square(moved).sum(-1) - in_block * logs[..., :block].sum(-1)
    back[..., :block] = np.einsum("...ij,...j->...i", root, moved)
    outer = error[..., :block, None] * moved[..., None, :]
    diagonal = np.arange(block)
    place = count
    on_diagonal = outer[..., diagonal, diagonal] * root[..., diagonal, diagonal]
    back[..., place : place + block] = (on_diagonal - in_block[..., None]) * slopes[
        ..., :block
    ]
    place += block
    rows, columns = np.tril_indices(block, -1)
    back[..., place : place + len(rows)] = outer[..., rows, columns]
    place += len(rows)
    precision = np.exp(2.0 * logs[..., block:])
    rest, rest_known = error[..., block:], known[..., block:]
    loss = loss + np.sum(
        0.5 * precision * np.square(rest) - rest_known * logs[..., block:], axis=-1
    )
    back[..., block:count] = precision * rest
    back[..., place:] = (precision * np.square(rest) - rest_known) * slopes[..., block:]
    return loss, back


def distribution(out: np.ndarray, targets: int, block: int) -> Outputs:
    """Mixes what members say: [E, N, outputs] -> one normal distribution each."""
    means = out[..., :targets].astype(np.float64)
    logs, _, root = _roots(out.astype(np.float64), targets, block)
    inverse = np.linalg.inv(root)
    covariance = np.einsum("...ki,...kj->...ij", inverse, inverse).mean(0)
    return Outputs(
        means.mean(0),
        covariance + _between(means[..., :block]),
        np.exp(-2.0 * logs[..., block:]).mean(0) + means[..., block:].var(0),
    )


def _between(means: np.ndarray) -> np.ndarray:
    """[E, N, k] -> [N, k, k]: the covariance of what is said."""
    apart = means - means.mean(0)
    return np.einsum("eni,enj->nij", apart, apart) / len(means)


def _roots(
    out: np.ndarray, count: int, block: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(logs [..., T] of precisions' roots, their slopes, L [..., block, block])."""
    below = block * (block - 1) // 2
    raw = np.concatenate(
        [out[..., count : count + block], out[..., count + block + below :]], axis=-1
    )
    bent = np.tanh(raw / _BOUND)
    logs, slopes = _BOUND * bent, 1.0 - np.square(bent)
    root = np.zeros((*out.shape[:-1], block, block), out.dtype)
    diagonal = np.arange(block)
    root[..., diagonal, diagonal] = np.exp(logs[..., :block])
    rows, columns = np.tril_indices(block, -1)
    root[..., rows, columns] = out[..., count + block : count + block + below]
    return logs, slopes, root


def _precisions(targets: int, block: int) -> int:
    return targets + block * (block - 1) // 2


def _clip(gradients: Mapping[str, np.ndarray]) -> None:
    """Limits each member's gradient, as one vector."""
    squares = sum(np.square(g).sum((1, 2)) for g in gradients.values())
    factor = np.minimum(1.0, _LARGEST_GRADIENT / np.sqrt(squares + _TINY))
    for gradient in gradients.values():
        gradient *= factor[:, None, None].astype(np.float32)
