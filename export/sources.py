"""What is exported: one SR network or several in a row, and perhaps a degradation.

Methods with a translator ship a chain (`models/chain.py`) as one bundle; several
bundles that are named by hand become one in the order given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.models.bundle import Bundle, load_bundle
from pdm_tf.models.chain import chained
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
    """

    network: SRNetwork | None
    bundles: tuple[Bundle, ...]
    degradation: Bundle | None
    sources: tuple[str, ...]
    degradation_source: str

    @property
    def provenance(self) -> dict[str, str]:
        """Where the SR weights are from, as texts for the metadata."""
        return _provenance(self.bundles, self.sources)

    @property
    def degradation_provenance(self) -> dict[str, str]:
        """The same for the degradation."""
        bundles = () if self.degradation is None else (self.degradation,)
        return _provenance(bundles, (self.degradation_source,))

    def __call__(self, image: tf.Tensor) -> tf.Tensor:
        """image [B, h, w, 3] float32 in [0, 1] -> sr, not clipped."""
        return tf.cast(self.network(image, training=False), tf.float32)


def open_sources(
    locations: Sequence[str], weights: str = "ema", degradation: bool = True
) -> ExportSources:
    """Loads what --model names.

    Args:
      locations: run folders or bundles.
      weights: of a run folder: "ema" or "raw".
      degradation: whether to look for a PDM: in a run folder if it is the only
        location, or a PDM's bundle itself.

    Raises:
      UserError: something is missing, damaged, or no network to export.
    """
    if len(locations) == 1 and degradation:
        return _open_run(Path(locations[0]), weights)
    paths = [find_bundle(location, weights=weights) for location in locations]
    return _sources(paths, None)


def _open_run(location: Path, weights: str) -> ExportSources:
    """One location: a bundle of either kind, or a run with one or both."""
    run = Run(location)
    if is_bundle(location) or run.find(DEGRADATION) is None:
        path = find_bundle(location, weights=weights)
        bundle = load_bundle(path)
        if bundle.role == "degradation":
            return ExportSources(None, (), bundle, (), source_name(path))
        return _of_bundles([bundle], [path], None)
    pdm = run.bundle(DEGRADATION, weights)
    return _sources([run.bundle(weights=weights)] if run.find(SHIPPED) else [], pdm)


def _exportable(bundle: Bundle, path: Path) -> Bundle:
    """A degradation that both formats can hold.

    JPEG's roundings turn differences of 1e-7 between runtimes into whole levels, which
    no certificate could tell from a fault.
    """
    if getattr(bundle.config, "jpeg", None) is not None:
        raise UserError(
            "A degradation with a JPEG module cannot be exported; pdm_tf.degrade "
            "applies it, and --nodegradation exports the SR network alone. "
            f"Received: {path}."
        )
    return bundle


def _sources(paths: Sequence[Path], pdm: Path | None) -> ExportSources:
    return _of_bundles([load_bundle(path) for path in paths], paths, pdm)


def _of_bundles(
    bundles: Sequence[Bundle], paths: Sequence[Path], pdm: Path | None
) -> ExportSources:
    networks = [
        _checked(bundle, path).network
        for bundle, path in zip(bundles, paths, strict=True)
    ]
    network = chained(networks) if len(networks) > 1 else next(iter(networks), None)
    return ExportSources(
        network=network,
        bundles=tuple(bundles),
        degradation=None if pdm is None else _exportable(load_bundle(pdm), pdm),
        sources=tuple(source_name(path) for path in paths),
        degradation_source="" if pdm is None else source_name(pdm),
    )


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
