"""The certificate: each limit is judged, and what breaks it is said."""

import importlib.metadata
import json
import os
import platform

import numpy as np
import pytest

from export.certificate import Built, Limits, broken_limits, make_certificate, table
from export.comparing import Record
from export.parity import DEFAULT_PHOTO, LATENCY_CASE, compare
from export.publish import sha256, size_bytes
from pdm_tf import __version__
from pdm_tf.core.images import write_png
from tests.support.tiny_nets import photo

LIMITS = {
    "max_abs_diff": 1e-4,
    "max_level_diffs": 2,
    "min_fp16_psnr_db": 60.0,
    "max_degradation_diff": 1e-3,
}


def limits(**changes):
    return Limits(**(LIMITS | changes))


def image(*off):
    """Grey of level 100 exactly; `off` are added to its first values, in levels."""
    keras = np.full([1, 40, 30, 3], 100.0 / 255.0, np.float32)
    output = keras.copy()
    output.flat[: len(off)] += np.float32(off) / np.float32(255.0)
    return compare(output, keras, 0.0)


GOOD, SLIGHT = image(), image(0.01)


def record(name="model.onnx", precision="float32", signature="", **cases):
    return Record(
        artefact=name,
        signature=signature,
        precision=precision,
        cases=cases or {"1x40x30": SLIGHT, "1x1x1": GOOD},
        load_seconds=0.25,
        latency_ms=None if precision == "degradation" else 12.5,
        bytes=2_500_000,
        sha256="ab" * 32,
    )


EVERY = (
    record("saved_model/1", signature="serving_default"),
    record("saved_model/1", "levels", "serving_uint8"),
    record(),
    record("model_fp16.onnx", "float16"),
    record("degradation/degradation.onnx", "degradation"),
)


def test_values_within_the_limits_pass():
    assert broken_limits(limits(), EVERY) == []


@pytest.mark.parametrize(
    ("record", "said"),
    [
        pytest.param(
            record("saved_model/1", signature="serving_default", a=image(0.1), b=GOOD),
            "saved_model/1 serving_default: largest difference 3.92e-04, at most "
            "1.00e-04 allowed",
            id="float32",
        ),
        pytest.param(
            record("saved_model/1", "levels", "serving_uint8", a=image(1, 1, 1)),
            "8-bit values differ beyond rounding ties, at most 2 allowed",
            id="levels",
        ),
        pytest.param(
            record("model_fp16.onnx", "float16", a=image(*[9.0] * 300)),
            "model_fp16.onnx: PSNR 39.8 dB, at least 60 wanted",
            id="float16",
        ),
        pytest.param(
            record("degradation/saved_model/1", "degradation", a=image(0.6)),
            "degradation/saved_model/1: largest difference 2.35e-03, at most 1.00e-03 "
            "allowed",
            id="degradation",
        ),
        *(
            pytest.param(
                record("m", precision, a=image(np.nan), b=GOOD),
                "m: not all outputs are finite",
                id=f"not finite, {precision}",
            )
            for precision in ("float32", "levels", "float16", "degradation")
        ),
    ],
)
def test_each_limit_when_broken(record, said):
    """One artefact breaks it, and the others are not blamed."""
    broken = broken_limits(limits(), [*EVERY, record])
    assert any(said in line for line in broken)
    assert all(line.startswith(record.artefact) for line in broken)


def test_a_limit_is_still_allowed():
    """At most, at least: the number itself passes, the next one does not."""
    worst = record(a=image(0.2))
    exact = worst.worst.max_abs
    assert broken_limits(limits(max_abs_diff=exact), [worst]) == []
    assert broken_limits(limits(max_abs_diff=np.nextafter(exact, 0)), [worst])
    levels = record(precision="levels", a=image(1, 1))
    assert broken_limits(limits(max_abs_diff=1.0), [levels]) == []
    assert broken_limits(limits(max_abs_diff=1.0, max_level_diffs=1), [levels])
    half = record("model_fp16.onnx", "float16", a=image(1))
    psnr = half.worst.psnr_db
    assert broken_limits(limits(min_fp16_psnr_db=psnr), [half]) == []
    assert broken_limits(limits(min_fp16_psnr_db=psnr + 1e-9), [half])


def test_float16_is_checked_by_psnr_alone():
    """Its values differ by more than float32 may, in many levels."""
    half = record("model_fp16.onnx", "float16", a=image(*[1.0] * 10))
    assert half.worst.max_abs > LIMITS["max_abs_diff"]
    assert half.worst.beyond_ties > LIMITS["max_level_diffs"]
    assert broken_limits(limits(), [half]) == []
    # Equal images have no PSNR in numbers, which no limit may turn into a failure.
    assert (
        broken_limits(limits(min_fp16_psnr_db=500), [record("h", "float16", a=GOOD)])
        == []
    )


def test_a_degradation_is_checked_by_its_values_alone():
    """Its outputs are kernels too, whose levels mean nothing."""
    levels = record("d", "degradation", a=image(*[1.0] * 5))
    assert broken_limits(limits(max_degradation_diff=0.01), [levels]) == []


def test_all_that_is_broken_is_said():
    both = record(a=image(1, 1, 1))
    half = record("model_fp16.onnx", "float16", a=image(np.inf))
    first, second, third = broken_limits(limits(), [both, half])
    assert "largest difference" in first and "3 8-bit values" in second
    assert third == "model_fp16.onnx: not all outputs are finite"


def built(**changes):
    facts = {
        "networks": {"scale": 2},
        "degradation": {},
        "cases": (),
        "left_out": ("2x128x96",),
        "latency_ms": 30.4,
        "write_peak_bytes": 5,
    }
    return Built(**(facts | changes))


def test_the_certificate_tells_all_of_it(tmp_path):
    write_png(tmp_path / "a.png", photo(8, 9))
    content = make_certificate(
        built(),
        EVERY,
        limits=limits(),
        photo=str(tmp_path / "a.png"),
        peaks={"write": 7},
        version=3,
    )
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["passed"] is True and content["broken"] == []
    assert content["limits"] == LIMITS
    assert (content["version"], content["pdm_tf"]) == (3, __version__)
    assert content["networks"] == {"scale": 2}
    assert content["cases_left_out"] == ["2x128x96"]
    assert content["latency_case"] == LATENCY_CASE.label
    assert content["keras_latency_ms"] == 30.4
    assert content["peak_memory_bytes"] == {"write": 7}
    assert content["photo"]["name"] == "a.png"
    assert content["photo"]["sha256"] == sha256(tmp_path / "a.png")
    assert content["machine"]["cpus"] == len(os.sched_getaffinity(0))
    versions = content["versions"]
    assert versions["python"] == platform.python_version()
    for name in ("tensorflow", "keras", "tf2onnx", "onnx", "numpy"):
        assert versions[name] == importlib.metadata.version(name)
    assert {"onnxruntime", "onnxruntime-gpu"} & versions.keys()
    first = content["artefacts"][0]
    assert (first["artefact"], first["signature"]) == (
        "saved_model/1",
        "serving_default",
    )
    assert first["cases"]["1x1x1"]["psnr_db"] == "identical"
    assert first["worst"]["max_abs_diff"] == SLIGHT.max_abs
    assert first["worst"]["values"] == SLIGHT.values + GOOD.values
    assert content["artefacts"][2]["signature"] is None


def test_a_failed_certificate_can_be_written_too():
    """With the photograph that comes along, and numbers that JSON does not have."""
    bad = [record(a=image(np.nan)), record("model_fp16.onnx", "float16", a=image(9e9))]
    content = make_certificate(
        built(latency_ms=None), bad, limits=limits(), photo="", peaks={}, version=1
    )
    json.dumps(content, allow_nan=False)
    assert content["passed"] is False and len(content["broken"]) == 2
    assert content["photo"]["name"] == DEFAULT_PHOTO.name


def test_the_table_has_a_row_for_each_artefact():
    head, keras, *rows = table(built(), EVERY).splitlines()
    assert head.split("  ")[0] == "artefact" and len(rows) == len(EVERY)
    assert keras.split() == ["Keras", "30"]
    assert rows[2].split() == [
        "model.onnx",
        "2.5",
        "0.25",
        "12",
        f"{SLIGHT.max_abs:.1e}",
        f"{EVERY[2].worst.psnr_db:.1f}",
        "0",
        "0",
    ]
    same = table(built(latency_ms=None), [record(a=GOOD)])
    assert "identical" in same and "None" not in same and "Keras" not in same


def test_a_folders_hash_is_of_names_and_contents(tmp_path):
    def made(name, files):
        for file, text in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(text)
        return tmp_path / name

    files = {"a": "1", "b/c": "2"}
    base = made("base", files)
    assert sha256(base) == sha256(made("same", dict(reversed(files.items()))))
    others = [{"a": "1", "b/c": "3"}, {"a": "1", "b/d": "2"}, {"a": "12", "b/c": ""}]
    for index, other in enumerate(others):
        assert sha256(made(f"other{index}", other)) != sha256(base)
    assert size_bytes(base) == 2 and size_bytes(base / "b" / "c") == 1
