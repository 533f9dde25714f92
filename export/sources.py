"""The networks to export: one SR network or several in a row, perhaps a degradation.

Methods with a translator ship a chain (`bundles/chain.py`) as one bundle; several
bundles that are named by hand become one in the order given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from pdm_tf.bundles.bundle import Bundle, load_bundle
from pdm_tf.bundles.chain import chained
from pdm_tf.core.errors import UserError
from pdm_tf.core.geometry import grid_of_chain
from pdm_tf.degradations import PDM
from pdm_tf.models.network import SRNetwork
from pdm_tf.run import (
    DEGRADATION,
    SHIPPED,
    Run,
    find_bundle,
    is_bundle,
    source_name,
)


@dataclass(frozen=True)
class ExportSources:
    """Networks with their weights, in float32.

    Attributes:
      network: the SR network; of several bundles, the chain of them; None without any.
      bundles: of the SR networks in the order in which they work; may be empty.
      degradation: the PDM, if there is one.
      sources: for each of `bundles`, the run's and the bundle's name.
      degradation_source: the same for the PDM.
      left_out: why the degradation of the run is not among them, for people, or "".
    """

    network: SRNetwork | None
    bundles: tuple[Bundle, ...]
    degradation: Bundle | None
    sources: tuple[str, ...]
    degradation_source: str
    left_out: str = ""

    @property
    def provenance(self) -> dict[str, str]:
        """Origin of the SR weights, as texts for the metadata."""
        return _provenance(self.bundles, self.sources)

    @property
    def grid(self) -> str | None:
        """Where LR pixels lie for the network, see `core.geometry`; None: unknown."""
        return grid_of_chain((bundle.scale, bundle.grid) for bundle in self.bundles)

    @property
    def degradation_provenance(self) -> dict[str, str]:
        """Origin of the degradation's weights, likewise."""
        bundles = () if self.degradation is None else (self.degradation,)
        return _provenance(bundles, (self.degradation_source,))

    def __call__(self, image: tf.Tensor) -> tf.Tensor:
        """image [B, h, w, 3] float32 in [0, 1] -> sr, not clipped."""
        return tf.cast(self.network(image, training=False), tf.float32)


def open_sources(
    locations: Sequence[str], weights: str = "ema", degradation: bool = True
) -> ExportSources:
    """Loads the networks of --model.

    Args:
      locations: run folders or bundles.
      weights: "ema" or "raw", for a run folder.
      degradation: whether to look for a PDM: in a run folder if it is the only
        location, or a PDM's bundle itself.

    Raises:
      UserError: something is missing, damaged, or no network to export.
    """
    may_degrade = degradation and len(locations) == 1
    if may_degrade:
        paths = _bundles_of(Path(locations[0]), weights)
    else:
        paths = [find_bundle(location, weights=weights) for location in locations]
    bundles: list[Bundle] = []
    sources: list[str] = []
    pdm, pdm_source, left_out = None, "", ""
    for path in paths:
        bundle = load_bundle(path)
        if may_degrade and bundle.role == "degradation":
            why_not = _why_without_format(bundle)
            if not why_not:
                pdm, pdm_source = bundle, source_name(path)
            elif bundles:
                left_out = f"{source_name(path)}: {why_not}; {_FOR_DEGRADE}"
            else:
                raise UserError(
                    "A degradation is exported by itself if a format can hold it, but "
                    f"{why_not}. Received: {path}; {_FOR_DEGRADE}."
                )
        else:
            bundles.append(_checked(bundle, path))
            sources.append(source_name(path))
    networks = [bundle.network for bundle in bundles]
    return ExportSources(
        network=chained(networks) if len(networks) > 1 else next(iter(networks), None),
        bundles=tuple(bundles),
        degradation=pdm,
        sources=tuple(sources),
        degradation_source=pdm_source,
        left_out=left_out,
    )


_FOR_DEGRADE = "pdm_tf.degrade applies it"


def _why_without_format(bundle: Bundle) -> str:
    """Says why the formats cannot hold a degradation, or ""."""
    if not isinstance(bundle.network, PDM):
        return f"the formats are for PDMs, and this is a {bundle.name}"
    if bundle.config.jpeg is not None:
        # Its roundings turn differences of 1e-7 between runtimes into whole levels,
        # which no certificate could distinguish from a fault.
        return "a JPEG module cannot be compared between runtimes"
    return ""


def _bundles_of(location: Path, weights: str) -> list[Path]:
    """A bundle itself; of a run the SR network, the degradation, or both."""
    run = Run(location)
    if is_bundle(location) or run.find(DEGRADATION) is None:
        return [find_bundle(location, weights=weights)]
    pdm = run.bundle(DEGRADATION, weights)
    return [run.bundle(weights=weights), pdm] if run.find(SHIPPED) else [pdm]


def _checked(bundle: Bundle, path: Path) -> Bundle:
    advice = {
        "degradation": "Give it alone, without --nodegradation.",
        "discriminator": "Give the run folder, or its bundle sr_ema or sr.",
        "features": "It serves losses and metrics.",
        "lpips": "It serves --metrics of pdm_tf.evaluate.",
    }
    if bundle.role in advice:
        raise UserError(
            "--model must name networks from image to image. Received: "
            f"{path}, which has the role {bundle.role!r}. {advice[bundle.role]}"
        )
    return bundle


def _provenance(bundles: Sequence[Bundle], sources: Sequence[str]) -> dict[str, str]:
    return {
        "weights_sha256": "+".join(bundle.sha256 for bundle in bundles),
        "run": "+".join(sources),
        "step": "+".join(str(bundle.step) for bundle in bundles),
    }
