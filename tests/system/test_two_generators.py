"""What leaves training is what is validated, evaluated, reported and exported.

Proved with a method of two generators, `tests/support/two_generators.py`, which needs
nothing but its file and a line in METHODS: it trains, resumes, validates, and ships the
chain of its translator and its SR network.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from pdm_tf import evaluate, train
from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, to_float
from pdm_tf.core.stored import read_json
from pdm_tf.methods import METHODS
from pdm_tf.run import Run
from tests.support.two_generators import TwoGenerators

PHOTOS = Path(__file__).resolve().parents[1] / "data" / "stored"


def trained(run_dir, steps):
    flags = (
        "--method=two_generators",
        f"--hr_dir={PHOTOS / 'hr'}",
        f"--lr_dir={PHOTOS / 'lr'}",
        f"--val_hr_dir={PHOTOS / 'hr'}",
        f"--val_lr_dir={PHOTOS / 'val_lr'}",
        f"--run_dir={run_dir}",
        f"--steps={steps}",
        "--batch_size=2",
        "--lr_patch=12",
        "--scale=2",
        "--sr_arg=num_blocks=1",
        "--sr_arg=filters=4",
        "--net_arg=translator.num_blocks=1",
        "--net_arg=translator.filters=4",
        "--discriminator_arg=filters=4",
        "--discriminator_arg=strides=1,1",
        "--log_every=1",
        "--save_every=2",
        "--validate_every=4",
        "--preview_every=0",
        "--report=off",
        "--accept_folders",  # noise is like nothing, its own LR neither
    )
    assert program.call(train.SPEC, train.main, flags) == program.OK
    return Run(run_dir)


@pytest.fixture(scope="module", autouse=True)
def known():
    """The one line."""
    METHODS["two_generators"] = TwoGenerators
    yield
    del METHODS["two_generators"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was stopped after two of its four steps."""
    run_dir = tmp_path_factory.mktemp("two") / "run"
    assert trained(run_dir, 2).checkpoint_steps == [2]
    return trained(run_dir, 4)


@pytest.mark.slow  # 12 s; each method: conformance
def test_going_on_is_as_if_it_had_not_been_stopped(run, tmp_path):
    whole = trained(tmp_path / "whole", 4)
    for name in run.bundles:
        assert whole.index(name)["sha256"] == run.index(name)["sha256"], name


def test_bundles_say_what_their_networks_are(run):
    assert run.bundles == ("sr", "sr_ema", "translator")
    for name in ("sr", "sr_ema"):
        index = run.index(name)
        assert (index["network"], index["role"], index["scale"]) == ("Chain", "sr", 2)
        scales = [stage["config"]["scale"] for stage in index["config"]["stages"]]
        assert scales == [1, 2]
    translator = run.index("translator")
    assert (translator["network"], translator["scale"]) == ("EDSR", 1)


def test_the_chain_is_validated_and_evaluated(run, tmp_path):
    *_, validated = (r["val/psnr"] for r in run.metrics if "val/psnr" in r)
    flags = (
        f"--model={run.root}",
        "--weights=raw",
        f"--hr_dir={PHOTOS / 'hr'}",
        f"--lr_dir={PHOTOS / 'val_lr'}",
        f"--output={tmp_path}",
        "--metrics=psnr",
        "--panels=0",
        "--accept_folders",
    )
    assert program.call(evaluate.SPEC, evaluate.main, flags) == program.OK
    report = read_json(tmp_path / "report.json")
    assert report["mean"]["psnr"] == pytest.approx(validated, abs=1e-3)
    assert "EDSR+EDSR" in json.dumps(report)


def test_the_chain_is_reported(run, tmp_path):
    from pdm_tf import report

    page = tmp_path / "report.html"
    flags = (f"--model={run.root}", f"--output={page}")
    assert program.call(report.SPEC, report.main, flags) == program.OK
    assert "EDSR+EDSR" in page.read_text(encoding="utf-8")


def test_the_chain_is_exported_and_compared_with_keras(run, tmp_path):
    from pdm_tf.bundles.bundle import load_bundle
    from pdm_tf.inference.engine import Engine
    from pdm_tf.inference.session import open_session
    from tests.support import exporting

    flags = (
        f"--model={run.root}",
        f"--output={tmp_path / 'out'}",
        "--tile=16",
        "--nofp16",
    )
    assert exporting.call(*flags) == program.OK
    networks = read_json(tmp_path / "out" / "certificate.json")["networks"]
    assert (networks["architecture"], networks["scale"]) == ("EDSR+EDSR", 2)
    chain = load_bundle(run.bundle())
    assert networks["weights_sha256"] == chain.sha256
    assert networks["parameters"] == chain.network.count_params()
    # Not the SR network alone: the translator changes the picture.
    lr_u8 = read_rgb_u8(PHOTOS / "val_lr" / "0.png")
    lr = to_float(lr_u8)[None]
    alone = chain.network.stages[1](lr).numpy()
    wanted = chain.network(lr).numpy()
    assert np.abs(alone - wanted).max() > 0.02
    session = open_session(tmp_path / "out" / "model.onnx", provider="cpu")
    np.testing.assert_allclose(session.run(lr), wanted, atol=1e-5)
    assert session.info.overlap == chain.network.overlap
    assert Engine(session).upscale_array(lr_u8).shape == (96, 96, 3)
