"""The steps of the export that load the written models and compare them with Keras.

Each runs in a process of its own, which never imports Keras: `compare_saved_model` with
TensorFlow, `compare_onnx` and `write_half` with onnxruntime. They return one `Record`
for each signature or file.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from export import parity
from export.parity import (
    DEGRADATION_CASES,
    DEGRADATION_OUTPUTS,
    LATENCY_CASE,
    Case,
    Difference,
    crops,
    load_reference,
    read_photo,
)
from export.publish import (
    DEGRADATION_ONNX,
    DEGRADATION_SAVED_MODEL,
    MODEL,
    MODEL_FP16,
    SAVED_MODEL,
    sha256,
    size_bytes,
)
from export.stages import best_ms
from pdm_tf.core.images import decode_rgb_u8, encode_png, to_float
from pdm_tf.core.quiet import quiet_start

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Record:
    """The comparison of one signature or file with Keras.

    Attributes:
      artefact: path below the output folder.
      signature: of a SavedModel; "" for ONNX.
      precision: "float32", "float16", or "levels" where outputs are 8-bit.
      cases: label -> difference.
      load_seconds: until it was ready.
      latency_ms: best time on `LATENCY_CASE`; None where it is not taken.
      bytes: on disk.
      sha256: of the file or folder.
    """

    artefact: str
    signature: str
    precision: str
    cases: dict[str, Difference] = field(repr=False)
    load_seconds: float
    latency_ms: float | None
    bytes: int
    sha256: str

    @property
    def worst(self) -> Difference:
        """The difference over all cases together."""
        return parity.worst(self.cases.values())


def compare_saved_model(
    folder: Path, version: int, photo: str, cases: Sequence[Case], tolerance: float
) -> list[Record]:
    """The three signatures of the SR SavedModel."""
    path = folder / SAVED_MODEL / str(version)
    loaded, seconds = _load_saved_model(path)
    import tensorflow as tf

    photo_u8 = read_photo(photo)
    signatures = loaded.signatures

    def float32(image_u8: np.ndarray) -> np.ndarray:
        image = tf.constant(to_float(image_u8))
        return signatures["serving_default"](image=image)["sr"].numpy()

    def uint8(image_u8: np.ndarray) -> np.ndarray:
        return signatures["serving_uint8"](image=tf.constant(image_u8))["sr"].numpy()

    def encoded(images_u8: Sequence[np.ndarray]) -> list[np.ndarray]:
        data = tf.constant([encode_png(image) for image in images_u8])
        reply = signatures["serving_bytes"](image_bytes=data)["sr_bytes"].numpy()
        return [decode_rgb_u8(item, "sr_bytes") for item in reply]

    facts = _facts(folder, path, seconds)
    keras = {case.label: load_reference(folder, case.label) for case in cases}
    inputs = {case.label: crops(photo_u8, case) for case in cases}
    small = [case.label for case in cases if case.is_small]
    answers = encoded([inputs[label][0] for label in small])
    return [
        Record(
            signature="serving_default",
            precision="float32",
            cases={
                label: parity.compare(float32(image), keras[label], tolerance)
                for label, image in inputs.items()
            },
            latency_ms=_latency(float32, photo_u8),
            **facts,
        ),
        Record(
            signature="serving_uint8",
            precision="levels",
            cases={
                label: parity.compare_levels(uint8(image), keras[label], tolerance)
                for label, image in inputs.items()
            },
            latency_ms=_latency(uint8, photo_u8),
            **facts,
        ),
        Record(
            signature="serving_bytes",
            precision="levels",
            cases={
                f"mixed sizes, one request of {len(small)}": parity.worst(
                    parity.compare_levels(sr, keras[label][0], tolerance)
                    for sr, label in zip(answers, small, strict=True)
                )
            },
            latency_ms=_latency(lambda image: encoded([image[0]]), photo_u8),
            **facts,
        ),
    ]


def compare_onnx(
    folder: Path,
    precision: str,
    layout: str,
    photo: str,
    cases: Sequence[Case],
    tolerance: float,
) -> list[Record]:
    """model.onnx ("float32") or model_fp16.onnx ("float16") under onnxruntime's CPU."""
    path = folder / (MODEL if precision == "float32" else MODEL_FP16)
    session, seconds = _open_onnx(path)
    photo_u8 = read_photo(photo)

    def run(image_u8: np.ndarray) -> np.ndarray:
        image = to_float(image_u8)
        if layout == "NHWC":
            return session.run(["sr"], {"image": image})[0]
        image = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
        return session.run(["sr"], {"image": image})[0].transpose(0, 2, 3, 1)

    differences = {}
    for case in cases:
        keras = load_reference(folder, case.label)
        output = run(crops(photo_u8, case))
        differences[case.label] = parity.compare(output, keras, tolerance)
    return [
        Record(
            signature="",
            precision=precision,
            cases=differences,
            latency_ms=_latency(run, photo_u8),
            **_facts(folder, path, seconds),
        )
    ]


def write_half(folder: Path) -> None:
    """Makes model_fp16.onnx of model.onnx."""
    from export.onnx_rewrite import write_fp16

    write_fp16(folder / MODEL, folder / MODEL_FP16)


def compare_degradation(
    folder: Path, version: int, inputs: Sequence[str], tolerance: float
) -> list[Record]:
    """The degradation's SavedModel, on the latents that Keras had."""
    path = folder / DEGRADATION_SAVED_MODEL / str(version)
    loaded, seconds = _load_saved_model(path)
    import tensorflow as tf

    def run(values: Arrays) -> Arrays:
        tensors = {name: tf.constant(value) for name, value in values.items()}
        outputs = loaded.signatures["serving_default"](**tensors)
        return {name: outputs[name].numpy() for name in DEGRADATION_OUTPUTS}

    return [
        Record(
            signature="serving_default",
            precision="degradation",
            cases=_degradation_differences(folder, inputs, run, tolerance),
            latency_ms=None,
            **_facts(folder, path, seconds),
        )
    ]


def compare_degradation_onnx(
    folder: Path, inputs: Sequence[str], tolerance: float
) -> list[Record]:
    """The degradation's ONNX file, on the latents that Keras had."""
    path = folder / DEGRADATION_ONNX
    session, seconds = _open_onnx(path)

    def run(values: Arrays) -> Arrays:
        outputs = session.run(list(DEGRADATION_OUTPUTS), values)
        return dict(zip(DEGRADATION_OUTPUTS, outputs, strict=True))

    return [
        Record(
            signature="",
            precision="degradation",
            cases=_degradation_differences(folder, inputs, run, tolerance),
            latency_ms=None,
            **_facts(folder, path, seconds),
        )
    ]


def _degradation_differences(
    folder: Path,
    inputs: Sequence[str],
    run: Callable[[Arrays], Arrays],
    tolerance: float,
) -> dict[str, Difference]:
    differences = {}
    for case in DEGRADATION_CASES:
        stem = f"degradation_{case.label}"
        values = {name: load_reference(folder, f"{stem}_{name}") for name in inputs}
        differences[case.label] = parity.worst(
            parity.compare(output, load_reference(folder, f"{stem}_{name}"), tolerance)
            for name, output in run(values).items()
        )
    return differences


def _facts(folder: Path, path: Path, load_seconds: float) -> dict[str, Any]:
    """The facts of a `Record` on the file or folder alone."""
    return {
        "artefact": path.relative_to(folder).as_posix(),
        "load_seconds": load_seconds,
        "bytes": size_bytes(path),
        "sha256": sha256(path),
    }


def _latency(call: Callable[[np.ndarray], object], photo_u8: np.ndarray) -> float:
    image = crops(photo_u8, LATENCY_CASE)
    return best_ms(lambda: call(image))


def _load_saved_model(path: Path) -> tuple[object, float]:
    with quiet_start():
        import tensorflow as tf

        start = time.perf_counter()
        loaded = tf.saved_model.load(str(path))
    return loaded, round(time.perf_counter() - start, 3)


def _open_onnx(path: Path) -> tuple[object, float]:
    from pdm_tf.inference.ort import import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False  # sizes vary
    options.enable_cpu_mem_arena = False  # nor is memory of the largest kept
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    return session, round(time.perf_counter() - start, 3)
