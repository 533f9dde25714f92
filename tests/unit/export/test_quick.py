"""The ONNX file that upscaling from a run folder makes, in one process here."""

import numpy as np
import pytest

from export import quick, stages
from export.__main__ import SPEC, main
from export.certificate import Limits
from pdm_tf import upscale
from pdm_tf.cli import program
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import read_rgb_u8, to_float, to_u8, write_png
from pdm_tf.inference.session import open_session
from pdm_tf.run import Run
from tests.support.exporting import stages_here
from tests.support.tiny_nets import sr_bundle
from tests.support.tiny_runs import X2, run_folder


@pytest.fixture
def steps(monkeypatch):
    """Steps run in this process; the fixture is the list of those that ran."""
    ran = []
    with stages_here():
        here = stages.run_stage

        def counted(target, *args, **given):
            ran.append(target)
            return here(target, *args, **given)

        monkeypatch.setattr(stages, "run_stage", counted)
        yield ran


def test_a_run_folder_becomes_pictures_in_one_command(tmp_path, steps, capsys):
    networks = run_folder(tmp_path / "run")
    draw = np.random.default_rng(0)
    write_png(tmp_path / "lr/a.png", draw.integers(0, 256, (20, 24, 3), np.uint8))
    flags = [
        f"--model={tmp_path / 'run'}",
        f"--input={tmp_path / 'lr'}",
        f"--output={tmp_path / 'sr'}",
    ]
    assert program.call(upscale.SPEC, upscale.main, flags) == program.OK
    said = capsys.readouterr().out
    assert f"exporting {tmp_path / 'run/bundles/sr_ema'}" in said
    lr = to_float(read_rgb_u8(tmp_path / "lr/a.png"))[None]
    wanted = to_u8(networks["sr_ema"](lr).numpy()[0])
    found = read_rgb_u8(tmp_path / "sr/a.png")
    assert np.abs(found.astype(int) - wanted).max() <= 1
    assert (found == wanted).mean() > 0.99

    # Kept for the next time, and made again when there are other weights.
    (kept,) = (tmp_path / "run/exported").iterdir()
    run = Run(tmp_path / "run")
    assert quick.exported_run(run, print) == kept
    assert steps == ["export.quick:write_compared"]
    sr_bundle(tmp_path / "run/bundles/sr_ema", X2, seed=9)
    newer = quick.exported_run(run, print)
    assert newer != kept
    assert list((tmp_path / "run/exported").iterdir()) == [newer]
    assert len(steps) == 2


def test_a_file_that_differs_from_keras_is_not_kept(tmp_path, steps, monkeypatch):
    run_folder(tmp_path)
    monkeypatch.setattr(quick, "Limits", lambda: Limits(max_abs_diff=0.0))
    with pytest.raises(UserError, match="must equal the Keras network"):
        quick.exported_run(Run(tmp_path), print)
    assert list((tmp_path / "exported").iterdir()) == []


def test_a_quick_export_is_the_model_alone(tmp_path, steps, capsys):
    networks = run_folder(tmp_path / "run")
    flags = [f"--model={tmp_path / 'run'}", f"--output={tmp_path / 'out'}", "--quick"]
    assert program.call(SPEC, main, [*flags, "--layout=nchw"]) == program.OK
    assert steps == ["export.quick:write_compared"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.onnx"]
    said = capsys.readouterr().out
    assert "without --quick" in said and "differs from Keras by" in said
    assert said.splitlines()[-1].startswith("next: ")
    session = open_session(tmp_path / "out/model.onnx", provider="cpu")
    image = np.full([1, 9, 7, 3], 0.3, np.float32)
    wanted = networks["sr_ema"](image).numpy()
    np.testing.assert_allclose(session.run(image), wanted, atol=1e-5)
    (tmp_path / "out/certificate.json").write_text("{}")
    assert program.call(SPEC, main, flags) == program.BAD_INPUT
    assert "must not replace part of a whole export" in capsys.readouterr().err


def test_a_run_without_a_network_is_told_so(tmp_path, steps):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="no bundles yet"):
        quick.exported_run(Run(tmp_path), print)
    assert not (tmp_path / "exported").exists()
