"""Letting optimisers move networks by gradients that were summed over replicas."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

if TYPE_CHECKING:
    from pdm_tf.methods.base import Gradients, Scalars


def mean_over_replicas(
    scalars: "Scalars", gradients: "Gradients"
) -> tuple["Scalars", "Gradients"]:
    """Returns both, averaged over all replicas; call it in a replica's graph.

    Every replica has the same number of rows, and every loss is a mean over rows, so
    these are the loss and the gradients of the global batch. (Standard deviations among
    the statistics are means of the replicas' own.)
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return scalars, gradients
    names = list(scalars)
    values = tf.stack([tf.cast(scalars[name], tf.float32) for name in names])
    present = [g for group in gradients.values() for g in group if g is not None]
    # One call for all: TensorFlow packs them into few messages.
    values, *present = context.all_reduce(
        tf.distribute.ReduceOp.MEAN, [values, *map(tf.convert_to_tensor, present)]
    )
    reduced = iter(present)
    return (
        dict(zip(names, tf.unstack(values), strict=True)),
        {
            name: [None if g is None else next(reduced) for g in group]
            for name, group in gradients.items()
        },
    )


def update_networks(
    networks: Mapping[str, keras.Model],
    optimizers: Mapping[str, keras.optimizers.Optimizer],
    gradients: "Gradients",
) -> "Scalars":
    """One optimiser step on each network that has gradients, and on no other.

    Args:
      networks: name -> network.
      optimizers: name -> optimiser, built for the trainable variables of that network.
      gradients: of losses after `optimizer.scale_loss`, of the global batch.

    Returns:
      "stat/grad_norm_<network>": global norm of its gradients before clipping.
    """
    norms = {}
    for name, group in gradients.items():
        optimizer = optimizers[name]
        norm = tf.linalg.global_norm(group)
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # Read before `apply`, which may change it.
            norm /= tf.convert_to_tensor(optimizer.dynamic_scale)
        optimizer.apply(group, networks[name].trainable_variables)
        norms[f"stat/grad_norm_{name}"] = norm
    return norms
