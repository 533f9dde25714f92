"""What is evaluated on what: from names and folders to an upscaler and pairs.

Everything that can be wrong with a user's request is found here, before any image is
upscaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pdm_tf.config.quiet import quiet_start
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import list_images
from pdm_tf.data.pairs import PairSet, load_pairs
from pdm_tf.evaluation.runner import BASELINE, Upscaler, bicubic_upscaler
from pdm_tf.inference.tiles import OVERLAP, TILE

# Tried when the scale must come from the images, the usual ones first.
SCALES = (4, 2, 3, 8, 1, 6, 5, 7, 16)


@dataclass(frozen=True)
class Subject:
    """Something that upscales.

    Attributes:
      name: as a person would call it, e.g. "edsr, ema weights, step 4000".
      label: short, for pictures.
      scale: its factor.
      upscale: lr_u8 -> sr_u8.
      facts: JSON-ready particulars for the report.
    """

    name: str
    label: str
    scale: int
    upscale: Upscaler
    facts: dict[str, Any]


def open_bicubic(scale: int) -> Subject:
    """The baseline as the subject itself."""
    return Subject(BASELINE, BASELINE, scale, bicubic_upscaler(scale), {})


def open_model(
    location: str, *, weights: str = "ema", tile: int = TILE, overlap: int = OVERLAP
) -> Subject:
    """Loads a trained SR network.

    Args:
      location: a run folder or a bundle.
      weights: of a run folder: "ema" or "raw".
      tile, overlap: for large images, see `tiles.py`.

    Raises:
      UserError: no such folder, no bundle in it yet, or one that is not an SR network.
    """
    # TensorFlow takes seconds to import: not before cheaper checks have passed, and
    # not at all for bicubic.
    with quiet_start():
        from pdm_tf.evaluation.upscale import keras_upscaler
        from pdm_tf.models.bundle import find_bundle, load_bundle

        path = find_bundle(location, role="sr", weights=weights)
        bundle = load_bundle(path)
    if bundle.role != "sr":
        raise UserError(
            f"--model must be a super-resolution network. Received: {path}, which has "
            f"the role {bundle.role!r}."
        )
    return Subject(
        name=f"{bundle.name} ({path.name}, step {bundle.step})",
        label=bundle.name,
        scale=bundle.scale,
        upscale=keras_upscaler(
            bundle.network, bundle.scale, tile=tile, overlap=overlap
        ),
        facts={
            "network": bundle.name,
            "bundle": path.name,
            "step": bundle.step,
            "sha256": bundle.sha256,
        },
    )


def check_folders(folders: Sequence[str]) -> None:
    """Raises unless each folder exists and holds images.

    Raises:
      UserError: naming the first that does not.
    """
    for folder in folders:
        list_images(folder)


def open_pairs(hr_dir: str, lr_dir: str, scale: int, max_images: int = 0) -> PairSet:
    """Pairs for a known scale.

    Raises:
      UserError: none match; if they match at another scale, that is said.
    """
    try:
        return load_pairs(hr_dir, lr_dir, scale, max_images)
    except UserError as error:
        other = _scale_of(hr_dir, lr_dir, [s for s in SCALES if s != scale])
        if other is None:
            raise
        raise UserError(
            f"The images must fit the scale of the model, x{scale}. Received: pairs of "
            f"x{other} in {hr_dir} and {lr_dir}."
        ) from error


def find_scale(hr_dir: str, lr_dir: str) -> int:
    """The scale at which the images of two folders make pairs.

    Raises:
      UserError: they make none at any usual scale.
    """
    scale = _scale_of(hr_dir, lr_dir, SCALES)
    if scale is None:
        # Says what keeps them apart (names or sizes) for the usual scale.
        load_pairs(hr_dir, lr_dir, SCALES[0], 1)
        raise UserError(f"{hr_dir} and {lr_dir} hold no pairs of any usual scale.")
    return scale


def _scale_of(hr_dir: str, lr_dir: str, scales: Sequence[int]) -> int | None:
    for scale in scales:
        try:
            load_pairs(hr_dir, lr_dir, scale, 0)
        except UserError:
            continue  # not at this scale; the caller says so if at none
        return scale
    return None
