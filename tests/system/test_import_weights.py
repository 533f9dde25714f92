"""`python -m pdm_tf.import_weights`, and that its bundles go through the programs.

Files are made by hand, so this needs no PyTorch; values are compared with NumPy's
forward passes of the same tensors. Parity with PyTorch: tests/unit/interop.
"""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.core.stored import read_json
from pdm_tf.import_weights import SPEC, main
from tests.oracles import sr_oracle
from tests.support import ncnn_writer
from tests.unit.evaluation.fakes import bicubic_pair
from tests.unit.interop import torch_writer
from tests.unit.interop.published import BLOCKS, FILTERS, edsr_arrays, vgg19_arrays


def edsr_wanted(lr, arrays):
    """The oracle on those tensors, in PyTorch's order of sub-pixel channels."""
    theirs = {"head": "head.0", "body_end": f"body.{BLOCKS}", "tail": "tail.1"}
    for i in range(BLOCKS):
        theirs[f"block_{i}/first"] = f"body.{i}.body.0"
        theirs[f"block_{i}/second"] = f"body.{i}.body.2"
    theirs |= {"upsample_0": "tail.0.0", "upsample_1": "tail.0.2"}

    def weights(name):
        kernel = arrays[f"{theirs[name]}.weight"].transpose(2, 3, 1, 0)
        bias = arrays[f"{theirs[name]}.bias"]
        if name.startswith("upsample"):
            # PyTorch: channel c*4 + (i*2 + j); the oracle: (i*2 + j)*C + c.
            order = [c * 4 + k for k in range(4) for c in range(FILTERS)]
            kernel, bias = kernel[..., order], bias[order]
        return kernel, bias

    return sr_oracle.edsr(
        lr.astype(np.float64),
        weights,
        num_blocks=BLOCKS,
        residual_scale=1.0,
        stages=(2, 2),
    )


def write(path, arrays, how="zip"):
    path.write_bytes(torch_writer.state_bytes(arrays, how))
    return path


def call(*flags):
    return program.call(SPEC, main, list(flags))


def run(place, repository, *words):
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an imported EDSR x4 as `bundle` and a pair of images."""
    folder = tmp_path_factory.mktemp("import")
    path = write(folder / "edsr.pth", edsr_arrays())
    flags = (f"--input={path}", f"--output={folder / 'bundle'}", "--origin=a site")
    assert call(*flags) == 0
    pair = bicubic_pair(0, 64, 80)
    write_png(folder / "hr" / "a.png", pair.hr_u8)
    write_png(folder / "lr" / "a.png", pair.lr_u8)
    return folder


@pytest.mark.parametrize("how", ["zip", "legacy", "safetensors"])
def test_the_bundle_computes_what_the_tensors_say(tmp_path, capsys, how):
    arrays = edsr_arrays(seed=1)
    path = write(tmp_path / "edsr.bin", arrays, how)
    assert call(f"--input={path}", f"--output={tmp_path / 'bundle'}") == 0
    bundle = load_bundle(tmp_path / "bundle")
    lr = np.random.default_rng(2).random((5, 6, 3), np.float32)
    wanted = edsr_wanted(lr, arrays)
    found = bundle.network(lr[None])[0]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    out = capsys.readouterr().out
    assert "layout: edsr\n" in out and "filters=4, num_blocks=2" in out
    assert "ignored (the constant mean shift" in out and "sub_mean.weight" in out


def test_an_ncnn_network_computes_what_its_files_say(tmp_path, capsys):
    arrays = ncnn_writer.rrdbnet_arrays(filters=6, growth=3, blocks=2)
    path = ncnn_writer.write_rrdbnet(tmp_path, "net", arrays)
    flags = (f"--input={path}", f"--output={tmp_path / 'bundle'}", "--grid=pixel0")
    assert call(*flags) == 0
    out = capsys.readouterr().out
    assert "net.param (ncnn), sha256" in out and "layout: realesrgan\n" in out
    assert "filters=6, growth=3, num_blocks=2, unshuffle=1" in out
    theirs = {"head": "conv_first", "body_end": "conv_body"}
    theirs |= {"refine": "conv_hr", "tail": "conv_last"}
    theirs |= {f"upsample_{i}": f"conv_up{i + 1}" for i in range(2)}
    for i, j, k in itertools.product(range(2), range(3), range(5)):
        theirs[f"block_{i}_{j}/conv_{k}"] = f"body.{i}.rdb{j + 1}.conv{k + 1}"

    def weights(name):
        stored = arrays[f"{theirs[name]}.weight"].astype(np.float16)
        bias = arrays[f"{theirs[name]}.bias"]
        return stored.transpose(2, 3, 1, 0).astype(np.float64), bias

    lr = np.random.default_rng(2).random((5, 6, 3), np.float32)
    wanted = sr_oracle.rrdbnet(lr, weights, num_blocks=2, stages=(2, 2))
    bundle = load_bundle(tmp_path / "bundle")
    assert (bundle.grid, bundle.scale) == ("pixel0", 4)
    found = bundle.network(lr[None])[0]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_progress_names_the_stages(place, tmp_path, capfd):
    flags = (f"--input={place / 'edsr.pth'}", f"--output={tmp_path / 'b'}")
    assert call(*flags, "--progress=on") == 0
    shown = capfd.readouterr().err
    for stage in ("reading the file", "loading TensorFlow", "writing the bundle"):
        assert stage in shown
    assert call(*flags, "--overwrite") == 0  # auto, and no terminal
    assert capfd.readouterr().err == ""


def test_notes_say_where_it_is_from(place):
    index = read_json(place / "bundle" / "bundle.json")
    notes = index["notes"]
    assert (index["role"], index["scale"], index["step"]) == ("sr", 4, 0)
    assert (notes["layout"], notes["origin"]) == ("edsr", "a site")
    assert len(notes["source_sha256"]) == 64 and len(notes["ignored"]) == 4


def test_the_grid_is_what_most_published_networks_have_unless_it_is_said(
    place, tmp_path, capsys
):
    assert load_bundle(place / "bundle").grid == "half_pixel"
    flags = (f"--input={place / 'edsr.pth'}", f"--output={tmp_path / 'b'}")
    assert call(*flags, "--grid=pixel0") == 0
    assert load_bundle(tmp_path / "b").grid == "pixel0"
    vgg = write(tmp_path / "vgg.pth", vgg19_arrays())
    flags = (f"--input={vgg}", f"--output={tmp_path / 'v'}", "--grid=pixel0")
    assert "--grid is for SR networks. " in refused(capsys, *flags)


def test_evaluate_takes_the_bundle(place, repository):
    run(
        place, repository, "pdm_tf.evaluate", "--model=bundle", "--hr_dir=hr",
        "--lr_dir=lr", "--output=eval",
    )  # fmt: skip
    report = read_json(place / "eval" / "report.json")
    assert report["model_facts"]["network"] == "EDSR"
    assert np.isfinite(report["mean"]["psnr"])


@pytest.mark.slow
def test_export_and_upscale_take_the_bundle(place, repository):
    run(
        place, repository, "export", "--model=bundle", "--output=exported",
        "--nofp16", "--tile=16",
    )  # fmt: skip
    run(
        place, repository, "pdm_tf.upscale", "--model=exported", "--input=lr/a.png",
        "--output=sr.png",
    )  # fmt: skip
    lr = read_rgb_u8(place / "lr" / "a.png").astype(np.float32) / 255
    network = load_bundle(place / "bundle").network
    wanted = np.clip(np.round(network(lr[None])[0].numpy() * 255), 0, 255)
    found = read_rgb_u8(place / "sr.png")
    assert found.shape == (64, 80, 3) and wanted.std() > 5
    assert np.abs(found - wanted).max() <= 1


@pytest.mark.slow  # 8 s; test_docs_commands.py does
def test_training_starts_from_the_bundle(place, repository):
    """With steps of size zero it ends where the file began."""
    run(
        place, repository, "pdm_tf.train", "--method=supervised", "--hr_dir=hr",
        "--run_dir=run", "--init_sr=bundle", "--scale=4", "--sr_arg=filters=4",
        "--sr_arg=num_blocks=2", "--lr_patch=8", "--batch_size=1", "--steps=1",
        "--log_every=1", "--learning_rate=1e-12",
    )  # fmt: skip
    trained = load_bundle(place / "run" / "bundles" / "sr").network
    imported = load_bundle(place / "bundle").network
    for found, wanted in zip(trained.weights, imported.weights, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


def refused(capsys, *flags):
    assert call(*flags) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("body.1.body.0.bias"), "missing in the file: body.1.body.0.b"),
        (lambda a: a.update(extra=np.zeros(2, np.float32)), "without a use: extra"),
        (
            lambda a: a.update({"body.0.body.2.bias": np.zeros(5, np.float32)}),
            "body.0.body.2.bias [5] must fit block_0/second/bias, [4]",
        ),
        (
            lambda a: a.update({"tail.1.bias": np.float32([0, np.nan, 0])}),
            "tail.1.bias [3] must hold finite numbers",
        ),
        (
            lambda a: a.update({"tail.1.bias": np.zeros(3, np.int64)}),
            "'tail.1.bias' must hold floating-point numbers. Received: int64",
        ),
        (lambda a: a.pop("head.0.weight"), "must have one of the layouts edsr"),
    ],
)
def test_misfits_are_named(tmp_path, capsys, change, message):
    arrays = edsr_arrays()
    change(arrays)
    path = write(tmp_path / "x.pth", arrays)
    error = refused(capsys, f"--input={path}", f"--output={tmp_path / 'bundle'}")
    assert message in error
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--scale=2",), "--scale must be that of the weights, 4"),
        (("--network_arg=filters=8",), "Received: 'filters'"),
        (("--layout=esrgn",), "Did you mean 'esrgan'"),
        (("--layout=esrgan",), "error: "),
        (("--entry=params",), "--entry must name weights"),
        (("--output=hr",), "holds other files"),
        (("--output=bundle",), "--overwrite replaces it"),
        (("--output=edsr.pth",), "must be a folder"),
        (("--input=none.pth",), "There is no file"),
        (("--input=",), "--input is required"),
        (("--backbone=edsr.pth",), "--backbone is for layout lpips"),
    ],
)
def test_wrong_requests_are_refused(place, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(place)
    before = read_json(place / "bundle" / "bundle.json")
    assert message in refused(capsys, "--input=edsr.pth", "--output=other", *flags)
    assert read_json(place / "bundle" / "bundle.json") == before
    assert not (place / "other").exists()
