"""The train program: wiring and exit codes; the toy method stands in for build.py."""

import errno
import json
import os
import signal
import sys
import types

import numpy as np
import pytest
import pyvips

import pdm_tf
from pdm_tf import train
from pdm_tf.build import compiled_step
from pdm_tf.cli import program
from pdm_tf.core.images import write_png
from tests.unit.training.toy import ToyMethod, call_before, make_batches


@pytest.fixture
def build(monkeypatch):
    """A stand-in for `pdm_tf.build`; tests change what it hands out."""
    fake = types.SimpleNamespace(
        method=ToyMethod(), make_batches=make_batches, skipped=[], built=0, saved=[]
    )

    def build_training(config, replicas):
        assert replicas.count == 1
        fake.built += 1
        return types.SimpleNamespace(
            method=fake.method,
            make_batches=fake.make_batches,
            validate=lambda network: {"psnr": 30.0},
            skipped=fake.skipped,
            show_photographs=None,
            remarks=["warning: of the tests"],
            grid=None,
        )

    def bundle_saver(config, folder, grid):
        return lambda networks, step: fake.saved.extend(
            (folder / name, step) for name in networks
        )

    fake.build_training, fake.bundle_saver = build_training, bundle_saver
    fake.compiled_step = compiled_step
    fake.folders_read = lambda config: {"hr_dir"} if config.hr_dir != "unused" else ()
    monkeypatch.setitem(sys.modules, "pdm_tf.build", fake)
    monkeypatch.setattr(pdm_tf, "build", fake, raising=False)
    return fake


def call(run_dir, *flags):
    argv = [f"--run_dir={run_dir}", "--hr_dir=unused", "--steps=3", "--save_every=2"]
    argv += ["--progress=off", "--estimate=off"]
    return program.call(train.SPEC, train.main, [*argv, *flags])


def test_converted_colours_are_named_with_any_setting(tmp_path, build, capsys):
    scene = pyvips.Image.black(20, 20, bands=3).copy(interpretation="srgb") + 90
    stored = scene.icc_transform("p3", input_profile="srgb")
    (tmp_path / "hr").mkdir()
    stored.write_to_file(str(tmp_path / "hr/a.png"))
    assert call(tmp_path / "run", f"--hr_dir={tmp_path / 'hr'}") == program.OK
    told = "note: 1 of 1 photographs of --hr_dir are not in sRGB"
    assert told in capsys.readouterr().out
    assert told in (tmp_path / "run/log.txt").read_text()


def test_a_folder_that_is_not_there_is_named_with_its_flag(tmp_path, build, capsys):
    given = [f"--hr_dir={tmp_path}/none"]
    assert call(tmp_path / "run", *given) == program.BAD_INPUT
    assert f"--hr_dir must exist. Received: {tmp_path}/none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_finished_is_0_and_known_without_building_again(tmp_path, build, capsys):
    assert call(tmp_path / "run") == 0
    assert (tmp_path / "run/bundles/sr_ema", 3) in build.saved
    assert "step 3  validation: psnr 30" in capsys.readouterr().out
    assert call(tmp_path / "run") == 0
    assert build.built == 1
    assert "is finished at step 3; to train on, raise --steps=3" in (
        capsys.readouterr().out
    )


def test_non_finite_loss_is_3_with_advice(tmp_path, build, capsys):
    build.method = ToyMethod(nan_at=2)
    assert call(tmp_path / "run") == 3
    message = capsys.readouterr().err
    assert "error: loss/critic is not finite (nan or infinite) at step 3" in message
    assert "the last good checkpoint is that of step 2" in message
    assert "--init_sr" in message
    assert "Traceback" not in message
    assert message.strip() in (tmp_path / "run/log.txt").read_text()


def test_a_full_disk_is_75_in_one_line(tmp_path, build, capsys):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device", "state.data")

    build.method = call_before(ToyMethod(), 2, full)
    assert call(tmp_path / "run") == 75
    (line,) = capsys.readouterr().err.splitlines()
    assert "the disk is full" in line and "goes on from the last one" in line
    build.method = ToyMethod()
    assert call(tmp_path / "run") == 0


def test_signal_is_75(tmp_path, build):
    interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    build.method = call_before(ToyMethod(), 2, interrupt)
    assert call(tmp_path / "run") == 75
    build.method = ToyMethod()
    assert call(tmp_path / "run") == 0


def test_changed_settings_are_2(tmp_path, build, capsys):
    assert call(tmp_path / "run") == 0
    assert call(tmp_path / "run", "--batch_size=3") == 2
    assert "--batch_size: it was 32, now 3" in capsys.readouterr().err


def test_skipped_images_are_named_a_few_on_screen_all_in_the_log(
    tmp_path, build, capsys
):
    build.skipped = [(f"photo{i}.png", "truncated") for i in range(8)]
    call(tmp_path / "run")
    shown, log = capsys.readouterr().out, (tmp_path / "run/log.txt").read_text()
    assert "skipped photo4.png: truncated" in shown
    assert "photo5.png" not in shown
    assert "skipped 8 files in all" in shown
    assert "skipped photo7.png: truncated" in log


def test_config_of_the_run_is_recorded(tmp_path, build):
    call(tmp_path / "run", "--seed=9", "--sr_arg=num_blocks=2")
    stored = json.loads((tmp_path / "run/config.json").read_text())
    assert (stored["seed"], stored["sr_arg"]) == (9, ["num_blocks=2"])


def test_other_photographs_than_at_the_start_are_2(tmp_path, build, capsys):
    hr = tmp_path / "hr"
    for name in ("a", "b"):
        write_png(hr / f"{name}.png", np.zeros([3, 3, 3], np.uint8))
    steps = (f"--hr_dir={hr}", "--steps=4")
    assert call(tmp_path / "run", f"--hr_dir={hr}") == 0
    assert call(tmp_path / "run", *steps) == 0  # the same ones
    (hr / "a.png").unlink()
    write_png(hr / "b.png", np.ones([3, 3, 3], np.uint8))
    steps = (f"--hr_dir={hr}", "--steps=6")
    assert call(tmp_path / "run", *steps) == 2
    told = "--hr_dir: 1 missing (a.png), 1 changed (b.png)"
    assert told in capsys.readouterr().err
    assert call(tmp_path / "run", *steps, "--accept_folders") == 0
    assert f"warning: changed since: {told}" in capsys.readouterr().out
    assert told in (tmp_path / "run/log.txt").read_text()
    # What was accepted is what the run holds from here on.
    assert call(tmp_path / "run", f"--hr_dir={hr}", "--steps=7") == 0
