"""Puts a file's tensors into a network: all used or named, every variable once."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.interop.tensors import Tensor
from pdm_tf.interop.wiring import Plan, Wire
from pdm_tf.models.network import Network

_SHOWN = 12
_IS_PARAMETER = ("float16", "bfloat16", "float32", "float64")


def fill(network: Network, plan: Plan, tensors: Mapping[str, Tensor]) -> None:
    """Assigns every variable of a network.

    Args:
      network: built from the plan's config.
      plan: what goes where.
      tensors: of the file.

    Raises:
      UserError: tensors missing or left over, variables unfilled or filled twice, a
        shape that does not fit (both are named), or numbers that are not finite. Then
        no variable has changed.
    """
    # Parts that were built before their network do not have its name in their paths.
    root = f"{network.name}/"
    variables = {v.path.removeprefix(root): v for v in network.variables}
    _check_complete(plan, tensors, variables)
    values = [(variables[w.target], _value(w, tensors, variables)) for w in plan.wires]
    for variable, value in values:
        variable.assign(value)


def _check_complete(
    plan: Plan, tensors: Mapping[str, Tensor], variables: Mapping[str, Any]
) -> None:
    sources = {name for wire in plan.wires for name in wire.sources}
    targets = [wire.target for wire in plan.wires]
    problems = {
        "missing in the file": sources - set(tensors),
        "in the file without a use": set(tensors) - sources - set(plan.ignored),
        "of the network without a value": set(variables) - set(targets),
        "of the layout without a variable": set(targets) - set(variables),
        "of the network filled twice": {t for t in targets if targets.count(t) > 1}
        if len(set(targets)) < len(targets)
        else set(),
    }
    lines = [f"{what}: {_listed(names)}" for what, names in problems.items() if names]
    if lines:
        raise UserError(
            "Every tensor must have one place and every place one tensor. Received: "
            + "; ".join(lines)
            + "."
        )


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _value(
    wire: Wire, tensors: Mapping[str, Tensor], variables: Mapping[str, Any]
) -> np.ndarray:
    arrays = []
    for name in wire.sources:
        if tensors[name].dtype not in _IS_PARAMETER:
            raise UserError(
                f"{name!r} must hold floating-point numbers. "
                f"Received: {tensors[name].dtype}."
            )
        arrays.append(tensors[name].load().astype(np.float64))
    shapes = " and ".join(f"{n} {list(tensors[n].shape)}" for n in wire.sources)
    wanted = tuple(variables[wire.target].shape)
    rule = f"{shapes} must fit {wire.target}, {list(wanted)} in Keras's order of axes."
    try:
        value = wire.convert(*arrays)
    except (ValueError, IndexError) as error:
        raise UserError(f"{rule} Received: {error}") from error
    if value.shape != wanted:
        raise UserError(f"{rule} Received: {list(value.shape)} in that order.")
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise UserError(
            f"{shapes} must hold finite numbers. Received: some that are not."
        )
    return value
