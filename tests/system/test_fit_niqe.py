"""`python -m pdm_tf.fit_niqe`, from flags to the parameter file."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.io import savemat

from pdm_tf.cli import program
from pdm_tf.core.images import write_png
from pdm_tf.fit_niqe import SPEC, main
from pdm_tf.metrics.niqe import gaussian_of, load_model, niqe_features, sharp_blocks
from tests.unit.evaluation.fakes import photo


@pytest.fixture
def photos(tmp_path):
    """Three photographs in two folders, one too small, one that is no image."""
    pictures = [photo(seed, 480, 490) for seed in range(3)]
    for seed, picture in enumerate(pictures):
        write_png(tmp_path / "photos" / ("a" if seed else "b") / f"{seed}.png", picture)
    write_png(tmp_path / "photos" / "small.png", photo(9, 95, 300))
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG")
    return pictures


def test_as_a_user_runs_it(photos, tmp_path, repository):
    """In a process of its own; TensorFlow is not loaded for it."""
    done = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "-m", "pdm_tf.fit_niqe"),
            *("--images=photos", "--output=out/niqe.npz", "--sharpness=0.7"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == program.OK, done.stderr
    assert "fitted to 3 photographs" in done.stdout and "out/niqe.npz" in done.stdout
    assert "small.png: is 300x95" in done.stderr and "broken.png" in done.stderr
    assert "| tensorflow" not in done.stderr and "Traceback" not in done.stderr
    model = load_model(tmp_path / "out/niqe.npz")
    kept = [sharp_blocks(*niqe_features(picture), 0.7) for picture in photos]
    mean, covariance = gaussian_of(np.concatenate(kept))
    np.testing.assert_allclose(model.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(model.covariance, covariance, rtol=1e-9, atol=1e-12)
    assert (
        model.blocks == sum(map(len, kept)) and f"{model.blocks} sharp" in done.stdout
    )


def test_published_sets(tmp_path, capfd):
    mean = np.arange(36.0)
    savemat(tmp_path / "m.mat", {"mu_prisparam": mean, "cov_prisparam": np.eye(36)})
    flags = [f"--mat={tmp_path / 'm.mat'}", f"--output={tmp_path / 'live.npz'}"]
    assert program.call(SPEC, main, flags) == program.BAD_INPUT
    assert "--mat needs --name" in capfd.readouterr().err
    assert program.call(SPEC, main, [*flags, "--name=LIVE"]) == program.OK
    assert "LIVE, converted from" in capfd.readouterr().out
    np.testing.assert_array_equal(load_model(tmp_path / "live.npz").mean, mean)


def test_basicsr_set(tmp_path, capfd):
    mean = np.arange(36.0)
    np.savez(
        tmp_path / "niqe_pris_params.npz",
        mu_pris_param=mean[None],
        cov_pris_param=np.eye(36),
    )
    flags = [
        f"--mat={tmp_path / 'niqe_pris_params.npz'}",
        f"--output={tmp_path / 'live.npz'}",
        "--name=LIVE",
    ]
    assert program.call(SPEC, main, flags) == program.OK
    assert "LIVE, converted from" in capfd.readouterr().out
    np.testing.assert_array_equal(load_model(tmp_path / "live.npz").mean, mean)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output=a.npz"], "Either --images or --mat"),
        (["--images=a", "--mat=b", "--output=a.npz"], "Either --images or --mat"),
        (["--images=nowhere", "--output=a.npz"], "no folder nowhere"),
        (["--images=nowhere", "--output=a.mat"], "ends in .npz"),
        (["--images=nowhere", "--output=a.npz", "--sharpness=1"], "--sharpness must"),
    ],
)
def test_wrong_requests_say_why(flags, message, capfd):
    assert program.call(SPEC, main, flags) == program.BAD_INPUT
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors


def test_too_few_photographs(tmp_path, capfd):
    write_png(tmp_path / "photos" / "a.png", photo(0, 200, 200))
    flags = [f"--images={tmp_path / 'photos'}", f"--output={tmp_path / 'a.npz'}"]
    assert program.call(SPEC, main, flags) == program.BAD_INPUT
    assert "more than 36 sharp blocks" in capfd.readouterr().err
    assert not (tmp_path / "a.npz").exists()


def test_help_teaches(capfd):
    assert program.call(SPEC, main, ["--help"]) == program.OK
    text = capfd.readouterr().out
    assert "niqeModel" in text and "--name=LIVE" in text
