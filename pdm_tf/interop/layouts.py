"""The table of layouts, and the search for a file's layout."""

import dataclasses
import functools
from collections.abc import Callable

from pdm_tf.core.checks import lookup
from pdm_tf.core.errors import UserError
from pdm_tf.interop import layout_edsr, layout_features, layout_pdm, layout_rrdbnet
from pdm_tf.interop.wiring import Options, Plan, Tensors


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way of naming a network's tensors.

    Attributes:
      matches: names in a file -> whether it has this layout.
      plan: tensors, options -> the `Plan`.
      free: config settings that weights do not show and users may set.
    """

    matches: Callable[[set[str]], bool]
    plan: Callable[[Tensors, Options], Plan]
    free: tuple[str, ...] = ()


_DEEPEST_PREFIX = 4
_EDSR_FREE = ("residual_scale", "rgb_range")
LAYOUTS = {
    "edsr": Layout(layout_edsr.is_edsr, layout_edsr.edsr, _EDSR_FREE),
    "edsr_basicsr": Layout(
        layout_edsr.is_edsr_basicsr, layout_edsr.edsr_basicsr, _EDSR_FREE
    ),
    "esrgan_old": Layout(layout_rrdbnet.is_esrgan_old, layout_rrdbnet.esrgan_old),
    "esrgan": Layout(layout_rrdbnet.is_esrgan, layout_rrdbnet.esrgan),
    "realesrgan": Layout(layout_rrdbnet.is_realesrgan, layout_rrdbnet.realesrgan),
    "pdm": Layout(layout_pdm.is_pdm, layout_pdm.pdm),
    **{
        net: Layout(
            functools.partial(layout_features.is_features, net),
            functools.partial(layout_features.features, net),
        )
        for net in layout_features.MODULES
    },
    "lpips": Layout(layout_features.is_lpips, layout_features.lpips),
}


def behind_prefix(
    tensors: Tensors, prefix: str = ""
) -> tuple[Tensors, str, dict[str, str]]:
    """Takes off what programs put before the names of a network's tensors.

    torch.compile, averaged models, Lightning and OpenMMLab keep several networks, or
    one behind an attribute. Averaged weights come before raw ones.

    Args:
      tensors: of the file.
      prefix: the one to take; "" finds it, where the names as they are have no layout.

    Returns:
      (the tensors without it, the prefix, name -> why it is not among them).

    Raises:
      UserError: no name has the given prefix.
    """
    if not prefix:
        prefix = _prefix_of(tensors)
    elif not any(name.startswith(prefix) for name in tensors):
        raise UserError(
            "--prefix must be what the names of a network's tensors begin with. "
            f"Received: {prefix!r}; the file has {', '.join(list(tensors)[:4])}, ..."
        )
    if not prefix:
        return tensors, "", {}
    found = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    reason = f"not behind the prefix {prefix!r}"
    outside = {name: reason for name in tensors if not name.startswith(prefix)}
    return found, prefix, outside


def _prefix_of(tensors: Tensors) -> str:
    names = list(tensors)
    if any(layout.matches(set(names)) for layout in LAYOUTS.values()):
        return ""
    prefixes: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        for count in range(1, min(len(parts), _DEEPEST_PREFIX + 1)):
            prefixes[".".join(parts[:count]) + "."] = None
    fitting = []
    for place, layout in enumerate(LAYOUTS.values()):
        for prefix in prefixes:
            inner = {n.removeprefix(prefix) for n in names if n.startswith(prefix)}
            if layout.matches(inner):
                raw = not any("ema" in part for part in prefix.split("."))
                fitting.append((place, raw and "_ema" not in prefix, prefix))
    # Of the layouts those of SR networks come first.
    return min(fitting)[2] if fitting else ""


def find_layout(tensors: Tensors, name: str = "auto") -> str:
    """Finds the name of a file's layout.

    Args:
      tensors: of the file.
      name: of `LAYOUTS`, to force that one; or "auto".

    Raises:
      UserError: no such layout, or the tensors have none.
    """
    if name != "auto":
        lookup(LAYOUTS, name, "--layout")
        return name
    names = set(tensors)
    found = [key for key, layout in LAYOUTS.items() if layout.matches(names)]
    if len(found) == 1:
        return found[0]
    some = ", ".join(list(tensors)[:6])
    raise UserError(
        f"The tensors must have one of the layouts {', '.join(LAYOUTS)}. Received: "
        f"{len(tensors)} tensors, {some}{', ...' if len(tensors) > 6 else ''}. If "
        "other words stand before the names of the network, --prefix takes them off "
        "(module., _orig_mod., generator. and the like are found alone)."
    )
