"""The step of the export that needs Keras: writes the models and Keras's own outputs.

Runs in a process of its own (`stages.py`). Keras's outputs on the certificate's crops
go to files, which the later steps compare the exported models with; so those never load
Keras, and they measure the times that a user of the files would see.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.certificate import Built
from export.parity import (
    DEGRADATION_CASES,
    DEGRADATION_OUTPUTS,
    LATENCY_CASE,
    Case,
    choose,
    crops,
    read_photo,
    save_reference,
)
from export.publish import (
    DEGRADATION,
    DEGRADATION_ONNX,
    DEGRADATION_SAVED_MODEL,
    MODEL,
    SAVED_MODEL,
)
from export.stages import best_ms
from pdm_tf.core.images import to_float
from pdm_tf.core.memory import peak_bytes
from pdm_tf.core.quiet import quiet_start

with quiet_start():
    import tensorflow as tf

    from export.degradation import (
        call_by_name,
        describe,
        input_specs,
        write_degradation_onnx,
        write_degradation_saved_model,
    )
    from export.onnx_graph import network_to_onnx
    from export.saved_model import write_saved_model
    from export.sources import ExportSources, open_sources
    from pdm_tf.degradations import PDM


def write_models(
    folder: Path,
    version: int,
    *,
    locations: Sequence[str],
    weights: str,
    degradation: bool,
    layout: str,
    model_name: str,
    tile: int,
    photo: str,
    parity: str,
) -> Built:
    """Writes the models below `folder`, and Keras's outputs.

    Args:
      folder: of this export, temporary.
      version: of the SavedModels.
      locations, weights, degradation: what to export, see `sources.open_sources`.
      layout: of the ONNX file, "NHWC" or "NCHW".
      model_name: the model in warm-up requests.
      tile: side of the image in them, LR pixels.
      photo: photograph to run Keras on; "" for one of the samples.
      parity: which crops of it, see `parity.choose`.

    Raises:
      UserError: the networks or the photograph cannot be used.
    """
    photo_u8 = read_photo(photo)
    sources = open_sources(locations, weights, degradation)
    sr: dict[str, object] = {}
    pdm: dict[str, object] = {}
    if sources.network is not None:
        grid = sources.grid
        write_saved_model(
            sources,
            folder / SAVED_MODEL / str(version),
            model_name=model_name,
            tile_u8=crops(photo_u8, Case(1, tile, tile))[0],
        )
        network_to_onnx(
            sources.network,
            folder / MODEL,
            layout=layout,
            metadata=sources.provenance | ({"grid": grid} if grid else {}),
        )
        sr = _facts(sources)
    if sources.degradation is not None:
        pdm = _write_degradation(sources, folder, version)
    write_peak = peak_bytes()
    cases: list[Case] = []
    left_out: list[Case] = []
    latency = None
    if sources.network is not None:
        cases, left_out = choose(sr["parameters"], parity)
        for case in cases:
            image = to_float(crops(photo_u8, case))
            save_reference(folder, case.label, sources(image).numpy())
        image = to_float(crops(photo_u8, LATENCY_CASE))
        latency = best_ms(lambda: sources(image).numpy())
    if sources.degradation is not None:
        _run_degradation(sources.degradation.network, folder, photo_u8)
    return Built(
        networks=sr,
        degradation=pdm,
        cases=tuple(cases),
        left_out=tuple(case.label for case in left_out),
        latency_ms=latency,
        write_peak_bytes=write_peak,
        degradation_left_out=sources.left_out,
    )


def _facts(sources: ExportSources) -> dict[str, object]:
    """Facts on the SR networks for the certificate."""
    return {
        "architecture": sources.network.architecture,
        "scale": sources.network.scale,
        "receptive_radius": sources.network.receptive_radius,
        "grid": sources.grid or "unknown",
        "parameters": sources.network.count_params(),
        **sources.provenance,
    }


def _write_degradation(
    sources: ExportSources, folder: Path, version: int
) -> dict[str, object]:
    pdm = sources.degradation.network
    provenance = sources.degradation_provenance
    (folder / DEGRADATION).mkdir(parents=True, exist_ok=True)
    write_degradation_saved_model(pdm, folder / DEGRADATION_SAVED_MODEL / str(version))
    write_degradation_onnx(pdm, folder / DEGRADATION_ONNX, provenance)
    return {**describe(pdm), **provenance, "parameters": pdm.count_params()}


def _run_degradation(pdm: PDM, folder: Path, photo_u8: np.ndarray) -> None:
    """Keeps Keras's outputs, and the inputs, which are random in part."""
    names = [spec.name for spec in input_specs(pdm)]
    for index, case in enumerate(DEGRADATION_CASES):
        hr = to_float(crops(photo_u8, _hr_case(case, pdm)))
        _, height, width = pdm.lr_shape(hr)
        latents = pdm.draw(case.batch, height, width, tf.constant([index, 1]))
        inputs = [hr, *(z.numpy() for z in latents if z is not None)]
        values = dict(zip(names, inputs, strict=True))
        degraded = call_by_name(pdm, values)
        values |= {
            name: getattr(degraded, name).numpy() for name in DEGRADATION_OUTPUTS
        }
        for name, value in values.items():
            save_reference(folder, f"degradation_{case.label}_{name}", value)


def _hr_case(case: Case, pdm: PDM) -> Case:
    """Returns the HR size of an LR case; mirroring needs more pixels than K//2."""
    least = 1
    if pdm.config.border == "reflect":
        least = -(-pdm.config.kernel.kernel_size // pdm.scale)
    sides = (pdm.hr_side(max(side, least)) for side in (case.height, case.width))
    return Case(case.batch, *sides)
