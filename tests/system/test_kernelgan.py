"""`python -m pdm_tf.kernelgan` and `pdm_tf.noise_pool`, from flags to the pool."""

import os
import signal

import numpy as np
import pytest

from pdm_tf import kernelgan, noise_pool
from pdm_tf.cli import program
from pdm_tf.core.images import write_png
from pdm_tf.estimation import kernel_pool
from tests.support.programs import run_apart
from tests.unit.estimation.fake_gans import FakeGANs
from tests.unit.estimation.test_noise_patches import noisy
from tests.unit.evaluation.fakes import photo


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_pool, "KernelGANs", FakeGANs)
    for name in ("a", "b"):
        write_png(tmp_path / "in" / f"{name}.png", photo(0, 64, 70))
    return tmp_path


def call(folder, *flags):
    argv = [f"--input={folder / 'in'}", f"--output={folder / 'pool'}", *flags]
    return program.call(kernelgan.SPEC, kernelgan.main, argv)


def test_as_a_user_runs_it(tmp_path):
    """Two steps train nothing, and the program says so: quiet, with a bar."""
    write_png(tmp_path / "in/a.png", photo(0, 40, 44))
    flags = ("--input=in", "--output=pool", "--steps=2", "--crop_size=32")
    done = run_apart(
        "pdm_tf.kernelgan",
        *flags,
        "--seeds=1",
        "--progress=on",
        cwd=tmp_path,
        code=program.BAD_INPUT,
        # XLA takes ten seconds to compile well what runs twice here.
        more_environment=[("XLA_FLAGS", "--xla_backend_optimization_level=0")],
    )
    printed = done.stdout + done.stderr
    assert "left out: a.png: gave a kernel of sum " in printed
    assert "100%" in printed and "cuda" not in printed.lower()
    assert "Traceback" not in printed and "XLA" not in printed
    assert (tmp_path / "pool/estimates/a.png.npz").is_file()


def test_exit_codes_and_lines(folder, capsys):
    assert call(folder) == program.OK
    told = capsys.readouterr()
    assert "a.png: " in told.out and " px, seeds 0.00 apart" in told.out
    assert f"2 photographs estimated; 2 kernels: {folder / 'pool'}" in told.out
    write_png(folder / "in/bad.png", photo(0, 64, 70))
    assert call(folder, "--scale=2") == program.SOME_LEFT_OUT
    told = capsys.readouterr()
    assert "left out: bad.png: gave kernels that differ" in told.err
    assert "1 photographs estimated, 2 kept from before, 1 left out" in told.out
    assert np.load(folder / "pool/kernels.npy").shape == (2, 13, 13)
    for name in ("a", "b"):
        (folder / "in" / f"{name}.png").unlink()
    assert call(folder) == program.BAD_INPUT
    assert "kernel can be estimated. Received: 1" in capsys.readouterr().err


def test_a_signal_stops_it_and_it_goes_on(folder, capsys, monkeypatch):
    def train(self, photographs, seeds, names, on_step):
        on_step()
        if names[0].startswith("b"):
            os.kill(os.getpid(), signal.SIGTERM)
            on_step()
        return whole(self, photographs, seeds, names, lambda: None)

    whole = FakeGANs.train
    monkeypatch.setattr(FakeGANs, "train", train)
    assert call(folder, "--at_once=1") == program.INTERRUPTED
    assert "start it again with the same flags" in capsys.readouterr().out
    monkeypatch.setattr(FakeGANs, "train", whole)
    assert call(folder, "--at_once=1") == program.OK
    assert (
        "1 photographs estimated, 1 kept from before; 2 ker" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--scale=3",), "--scale must be 2 or 4. Received: 3."),
        (("--crop_size=66",), "--crop_size must be a multiple of 4"),
        (("--crop_size=28",), "--crop_size must be 32 or more"),
        (("--seeds=0",), "--seeds must be 1 or more"),
        (("--seed=2147483648",), "--seed must be below"),
        (("--output=in/pool",), "must lie outside --input"),
    ],
)
def test_bad_flags(folder, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(folder)
    assert call(folder, *flags) == program.BAD_INPUT
    assert message in capsys.readouterr().err


def test_other_settings_need_another_folder(folder, capsys):
    assert call(folder) == program.OK
    assert call(folder, "--steps=10") == program.BAD_INPUT
    assert "was made with" in capsys.readouterr().err


def collect(folder, *flags):
    argv = [f"--input={folder / 'in'}", f"--output={folder / 'pool'}", *flags]
    return program.call(noise_pool.SPEC, noise_pool.main, argv)


def test_noise_pool(tmp_path, capsys):
    write_png(tmp_path / "in/noisy.png", noisy(0))
    assert collect(tmp_path) == program.OK
    told = capsys.readouterr()
    assert "patches of 24x24 from 1 photographs, standard deviation" in told.out
    assert "warning" not in told.err
    assert np.load(tmp_path / "pool/noise.npy").shape[1:] == (24, 24, 3)
    write_png(tmp_path / "in/white.png", np.full((64, 64, 3), 255, np.uint8))
    assert collect(tmp_path) == program.SOME_LEFT_OUT
    assert "left out: white.png: has no unclipped place" in capsys.readouterr().err
    # Shading without noise is no noise, and the program warns of it.
    shaded = (60 + np.add.outer(np.arange(160), np.arange(160)) // 3).astype(np.uint8)
    write_png(tmp_path / "in/noisy.png", np.repeat(shaded[..., None], 3, 2))
    assert collect(tmp_path) == program.SOME_LEFT_OUT
    assert "look like pictures more than noise" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--patch_size=4",), "--patch_size must be 0, or 8 or more"),
        (("--structure_percentile=0",), "--structure_percentile must be above 0"),
        (("--per_photograph=0",), "--per_photograph must be 1 or more"),
        (("--output=in",), "must lie outside --input"),
        (("--patch_size=64",), "unclipped place of 64x64"),
    ],
)
def test_noise_pool_refusals(tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    write_png(tmp_path / "in/a.png", noisy(0, 40, 40))
    assert collect(tmp_path, *flags) == program.BAD_INPUT
    assert message in capsys.readouterr().err
