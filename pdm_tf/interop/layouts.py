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


_EDSR_FREE = ("residual_scale", "rgb_range")
LAYOUTS = {
    "edsr": Layout(layout_edsr.is_edsr, layout_edsr.edsr, _EDSR_FREE[:1]),
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
        f"{len(tensors)} tensors, {some}{', ...' if len(tensors) > 6 else ''}."
    )
