"""`python -m export` of tiny networks, from flags to files, as a user starts it.

One export of a run folder serves many tests; a second one into a copy of its folder is
killed once, then done. What the parts do alone is in tests/unit/export.
"""

import contextlib
import importlib.metadata
import io
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from export.__main__ import ExportConfig
from export.publish import sha256, size_bytes
from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.cli import program
from pdm_tf.core.images import decode_rgb_u8, encode_png, to_float, to_u8, write_png
from pdm_tf.core.stored import read_json
from pdm_tf.inference.ort import import_onnxruntime
from pdm_tf.inference.session import open_session
from tests.support.exporting import call, hidden, start, tree, visible
from tests.support.processes import children, ended, wait_for
from tests.support.tiny_nets import built, photo
from tests.support.tiny_runs import X1, run_folder

WRITTEN = {
    "model.onnx",
    "model_fp16.onnx",
    "certificate.json",
    *(f"saved_model/1/{n}" for n in ("saved_model.pb", "fingerprint.pb")),
    *(f"degradation/saved_model/1/{n}" for n in ("saved_model.pb", "fingerprint.pb")),
    "saved_model/1/assets.extra/tf_serving_warmup_requests",
    "degradation/degradation.onnx",
    *(f"{d}saved_model/1/variables/variables.index" for d in ("", "degradation/")),
    *(
        f"{d}saved_model/1/variables/variables.data-00000-of-00001"
        for d in ("", "degradation/")
    ),
    *(f"serving/{n}" for n in ("README.md", "models.config")),
    "serving/batching_parameters.txt",
    *(f"serving/triton/tiny/{n}" for n in ("config.pbtxt", "1/model.onnx")),
}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run folder, its networks, and all of it exported. Nobody changes `folder`."""
    place = tmp_path_factory.mktemp("export")
    networks = run_folder(place / "mine")
    write_png(place / "photo.png", photo(200, 260))
    folder = place / "exported"
    process = start(
        f"--model={place / 'mine'}",
        f"--output={folder}",
        f"--photo={place / 'photo.png'}",
        "--model_name=tiny",
        "--tile=16",
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == program.OK, err
    return SimpleNamespace(
        place=place,
        run=place / "mine",
        networks=networks,
        folder=folder,
        out=out,
        err=err,
    )


def test_everything_is_written_and_listed(first):
    assert set(tree(first.folder)) == WRITTEN
    assert first.err == ""
    *_, listed, folder, following = first.out.splitlines()
    assert folder == str(first.folder)
    assert following.startswith("next: ") and f"--model={folder}" in following
    for name in ("saved_model/1", "model_fp16.onnx", "degradation/degradation.onnx"):
        assert f" {name}," in listed
    assert sorted(first.out.splitlines()[i].partition(" ...")[0] for i in range(7)) == [
        "compare ONNX, float16",
        "compare ONNX, float32",
        "compare degradation, ONNX",
        "compare degradation, SavedModel",
        "compare saved_model",
        "write SavedModel and ONNX, run Keras",
        "write model_fp16.onnx",
    ]


@pytest.mark.parametrize("name", ["model.onnx", "model_fp16.onnx"])
def test_upscale_finds_the_grid_of_the_bundle(first, name):
    """So that an ensemble puts its parts where they belong."""
    info = open_session(first.folder / name, provider="cpu").info
    assert (info.grid, info.grid_remark) == ("pixel0", "")


def test_the_certificate_is_of_these_files(first):
    content = read_json(first.folder / "certificate.json")
    assert content["passed"] is True and content["broken"] == []
    assert content["version"] == 1 and content["cases_left_out"] == []
    defaults = ExportConfig(model="m", output="o")
    assert content["limits"] == {
        "max_abs_diff": defaults.max_abs_diff,
        "max_level_diffs": defaults.max_level_diffs,
        "min_fp16_psnr_db": defaults.min_fp16_psnr,
        "max_degradation_diff": defaults.max_degradation_diff,
    }
    rows = {(r["artefact"], r["signature"]): r for r in content["artefacts"]}
    assert set(rows) == {
        *(("saved_model/1", f"serving_{n}") for n in ("default", "uint8", "bytes")),
        ("model.onnx", None),
        ("model_fp16.onnx", None),
        ("degradation/saved_model/1", "serving_default"),
        ("degradation/degradation.onnx", None),
    }
    for (name, _), row in rows.items():
        path = first.folder / name
        assert (row["sha256"], row["bytes"]) == (sha256(path), size_bytes(path)), name
    assert {"1x1x1", "4x1x3", "3x17x23", "1x300x512", "1x512x300"} <= set(
        rows["model.onnx", None]["cases"]
    )
    assert 0 < rows["model.onnx", None]["worst"]["max_abs_diff"] < 1e-5
    assert 1e-5 < rows["model_fp16.onnx", None]["worst"]["max_abs_diff"] < 1e-2
    for role in ("sr", "pdm"):
        bundle = read_json(first.run / "bundles" / f"{role}_ema" / "bundle.json")
        part = content["networks" if role == "sr" else "degradation"]
        assert part["weights_sha256"] == bundle["sha256"]
        assert part["run"] == f"mine/{role}_ema"
        assert part["step"] == str(bundle["step"])
    assert content["networks"]["grid"] == "pixel0"
    assert content["photo"] == {
        "name": "photo.png",
        "sha256": sha256(first.place / "photo.png"),
    }
    for name in ("tensorflow", "keras", "onnx"):
        assert content["versions"][name] == importlib.metadata.version(name)
    peaks = content["peak_memory_bytes"]
    assert peaks["write alone"] <= peaks["write SavedModel and ONNX, run Keras"]
    # A step that loads onnxruntime alone is smaller than one with TensorFlow.
    assert 30e6 < peaks["compare degradation, ONNX"] < peaks["compare saved_model"]


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_onnx_files_say_what_they_are(first, precision):
    name = {"float32": "model.onnx", "float16": "model_fp16.onnx"}[precision]
    model = onnx.load(first.folder / name)
    said = {entry.key: entry.value for entry in model.metadata_props}
    bundle = read_json(first.run / "bundles" / "sr_ema" / "bundle.json")
    assert (
        said.items()
        >= {
            "kind": "sr",
            "scale": "2",
            "architecture": "EDSR",
            "layout": "NHWC",
            "precision": precision,
            "weights_sha256": bundle["sha256"],
            "run": "mine/sr_ema",
            "step": "7",
        }.items()
    )


def test_triton_and_the_plain_file_are_the_same(first):
    served = first.folder / "serving" / "triton" / "tiny" / "1" / "model.onnx"
    assert served.read_bytes() == (first.folder / "model.onnx").read_bytes()


LOAD_TEST = """
import sys

hidden = ("keras", "tf_keras", "pdm_tf", "export")
for name in hidden:
    sys.modules[name] = None  # importing it fails
import numpy as np
import tensorflow as tf

saved_model, given, result = sys.argv[1:]
given = np.load(given, allow_pickle=True)
signatures = tf.saved_model.load(saved_model).signatures
np.savez(
    result,
    default=signatures["serving_default"](image=tf.constant(given["image"]))["sr"],
    uint8=signatures["serving_uint8"](image=tf.constant(given["image_u8"]))["sr"],
    bytes=signatures["serving_bytes"](image_bytes=tf.constant(given["files"]))[
        "sr_bytes"
    ].numpy(),
)
assert all(sys.modules[name] is None for name in hidden)
"""


def test_a_load_test_without_keras_and_without_us(first, tmp_path):
    """What a server has: TensorFlow and the folder. As onnxruntime has it, too."""
    image_u8 = np.stack([photo(21, 34), photo(50, 40)[7:28, :34]])
    image = to_float(image_u8)
    files = np.array([encode_png(one) for one in image_u8], object)
    np.savez(tmp_path / "given.npz", image=image, image_u8=image_u8, files=files)
    (tmp_path / "load_test.py").write_text(LOAD_TEST)
    done = subprocess.run(
        [
            sys.executable,
            "load_test.py",
            first.folder / "saved_model" / "1",
            "given.npz",
            "result.npz",
        ],
        cwd=tmp_path,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = np.load(tmp_path / "result.npz", allow_pickle=True)
    sr = _onnx(first.folder / "model.onnx")(image)
    assert sr.shape == (2, 42, 68, 3) and np.ptp(sr) > 0.02
    np.testing.assert_allclose(result["default"], sr, atol=2e-6)
    off = result["uint8"] != to_u8(sr)
    assert (np.abs(sr[off] * 255.0 % 1.0 - 0.5) < 1e-3).all()  # rounding ties
    for data, levels in zip(result["bytes"], result["uint8"], strict=True):
        np.testing.assert_array_equal(decode_rgb_u8(data, "sr"), levels)


def _onnx(path):
    session = import_onnxruntime().InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    return lambda image: session.run(["sr"], {"image": image})[0]


@pytest.fixture(scope="module")
def again(first):
    """Two networks in a row into a copy of the folder: killed in the middle, then done.

    The first of them computed in mixed bfloat16 while it was trained.
    """
    folder = shutil.copytree(first.folder, first.place / "again")
    clean = built(X1, seed=5)
    mixed = X1.build("mixed_bfloat16")
    mixed.set_weights(clean.get_weights())
    save_bundle(mixed, first.place / "clean", step=3)
    flags = (
        f"--model={first.place / 'clean'},{first.run}",
        f"--output={folder}",
        "--layout=nchw",
        "--nofp16",
        "--model_name=tiny",
    )
    process = start(*flags)
    made = "saved_model/2/saved_model.pb"
    wait_for(lambda: list(folder.glob(f".export.*.tmp/{made}")), 120.0)
    steps = children(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: all(ended(step) for step in steps))
    killed = SimpleNamespace(
        steps=steps, visible=visible(folder), hidden=hidden(folder)
    )
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = call(*flags)
    assert code == program.OK, err.getvalue()
    return SimpleNamespace(
        folder=folder,
        clean=clean,
        mixed=mixed,
        killed=killed,
        out=out.getvalue(),
        err=err.getvalue(),
    )


def test_a_killed_export_is_not_seen(first, again):
    """kill -9 with a SavedModel half made: its steps end, and all is as before."""
    assert len(again.killed.steps) >= 1
    assert again.killed.hidden
    assert again.killed.visible == tree(first.folder)


def test_the_next_export_is_version_2_and_removes_the_leftovers(first, again):
    assert again.err == "" and again.out.splitlines()[-2] == str(again.folder)
    assert hidden(again.folder) == {}
    before, after = tree(first.folder), visible(again.folder)
    kept = {name for name in before if "saved_model/1/" in name}
    assert len(kept) == 9 and all(after[name] == before[name] for name in kept)
    assert {name for name in after if "saved_model/2/" in name} == {
        name.replace("/1/", "/2/") for name in kept if name.startswith("saved_model")
    }
    # Files of the first network would be taken for the new one's.
    assert not {"model_fp16.onnx", "degradation/degradation.onnx"} & set(after)
    content = read_json(again.folder / "certificate.json")
    assert content["passed"] and content["version"] == 2
    for row in content["artefacts"]:
        assert row["sha256"] == sha256(again.folder / row["artefact"])
    assert "versions: 2" in after["serving/models.config"].decode()
    assert after["serving/triton/tiny/2/model.onnx"] == after["model.onnx"]


def test_two_networks_in_a_row_in_float32_with_channels_first(first, again):
    image = to_float(photo(13, 22)[None])
    run = _onnx(again.folder / "model.onnx")
    sr = run(np.ascontiguousarray(image.transpose(0, 3, 1, 2))).transpose(0, 2, 3, 1)
    last = first.networks["sr_ema"]
    np.testing.assert_allclose(sr, last(again.clean(image)), atol=2e-6)
    # bfloat16 would have been seen.
    assert np.abs(np.asarray(last(again.mixed(image)), np.float32) - sr).max() > 1e-5
    model = onnx.load(again.folder / "model.onnx")
    said = {entry.key: entry.value for entry in model.metadata_props}
    hashes = [
        read_json(path / "bundle.json")["sha256"]
        for path in (first.place / "clean", first.run / "bundles" / "sr_ema")
    ]
    assert (
        said.items()
        >= {
            "layout": "NCHW",
            "scale": "2",
            "architecture": "EDSR+EDSR",
            "weights_sha256": "+".join(hashes),
            "run": "clean+mine/sr_ema",
            "step": "3+7",
            "precision": "float32",
        }.items()
    )
