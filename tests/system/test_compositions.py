"""Programs take the run of a method with a translator and a degrader as PDM-SR's.

One run folder of tiny networks, exported once. The composition is one network to every
program; the degrader is a degradation without kernels.
"""

import contextlib
import html
import io
import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import tensorflow as tf

from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, to_float, to_u8, write_png
from pdm_tf.core.stored import read_json
from pdm_tf.degradations.whole_image import degrade_image
from pdm_tf.inference.ort import import_onnxruntime
from tests.oracles.kernel_oracle import gaussians
from tests.support.exporting import call
from tests.support.html_check import check_html
from tests.support.programs import run_here
from tests.support.rival_runs import SCALE, SR, TRANSLATOR, rival_run
from tests.support.tiny_nets import photo


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The run, its networks and photographs, true kernels, and the export."""
    place = tmp_path_factory.mktemp("rival")
    networks = rival_run(place / "run")
    np.save(place / "true.npy", gaussians(24, 0, side=7))
    np.save(place / "pairs.npy", gaussians(8, 1, side=7))
    exported = place / "exported"
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        code = call(f"--model={place / 'run'}", f"--output={exported}", "--tile=16")
    return SimpleNamespace(
        place=place,
        run=place / "run",
        photos=place / "photos",
        networks=networks,
        exported=exported,
        code=code,
        told=told.getvalue(),
    )


def test_a_composition_is_exported_as_one_certified_file(made):
    """The picture of onnxruntime, SavedModel and Keras is one."""
    assert made.code == program.OK
    content = read_json(made.exported / "certificate.json")
    assert content["passed"] and content["networks"]["architecture"] == (
        "Translator+EDSR"
    )
    radius = TRANSLATOR.receptive_radius + SR.receptive_radius
    assert content["networks"]["receptive_radius"] == radius
    assert content["networks"]["grid"] == "half_pixel"
    count = made.networks["sr_ema"].count_params()
    assert content["networks"]["parameters"] == count
    said = {
        entry.key: entry.value
        for entry in onnx.load(made.exported / "model.onnx").metadata_props
    }
    assert said["architecture"] == "Translator+EDSR" and said["run"] == "run/sr_ema"
    assert not (made.exported / "degradation").exists()
    image_u8 = np.stack([photo(21, 34), photo(50, 40)[7:28, :34]])
    expected = made.networks["sr_ema"](to_float(image_u8)).numpy()
    session = import_onnxruntime().InferenceSession(
        str(made.exported / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["sr"], {"image": to_float(image_u8)})
    np.testing.assert_allclose(found, expected, atol=5e-6)
    saved = tf.saved_model.load(made.exported / "saved_model" / "1").signatures
    served = saved["serving_default"](image=tf.constant(to_float(image_u8)))["sr"]
    np.testing.assert_allclose(served, expected, atol=5e-6)
    other = made.networks["sr"](to_float(image_u8)).numpy()
    assert np.abs(other - expected).max() > 1e-3  # not the last weights


def test_the_degrader_that_is_not_exported_is_named(made, tmp_path, capsys):
    bundle = made.run / "bundles" / "degradation_ema"
    assert call(f"--model={bundle}", f"--output={tmp_path / 'x'}") == program.BAD_INPUT
    assert "the formats are for PDMs, and this is a Degrader" in capsys.readouterr().err
    assert "not exported: run/degradation_ema: the formats are for PDMs" in made.told


def test_tiles_of_the_exported_composition_are_the_whole_picture(made, tmp_path):
    """Upscaled in small tiles by onnxruntime, as Keras makes the whole."""
    lr_u8 = photo(90, 120)
    write_png(tmp_path / "lr.png", lr_u8)
    overlap = made.networks["sr_ema"].overlap
    run_here(
        "pdm_tf.upscale",
        f"--model={made.exported}",
        f"--input={tmp_path / 'lr.png'}",
        f"--output={tmp_path / 'sr.png'}",
        f"--tile={2 * overlap + 24}",
        "--provider=cpu",
    )
    whole = to_u8(made.networks["sr_ema"](to_float(lr_u8)[None]).numpy()[0])
    found = read_rgb_u8(tmp_path / "sr.png").astype(int)
    assert found.shape == (90 * SCALE, 120 * SCALE, 3)
    assert np.abs(found - whole).max() <= 1  # a tie of rounding
    assert (found != whole).mean() < 1e-3


def test_an_evaluation_says_what_can_be_said(made, tmp_path):
    """Coverage and classifier have one place each: null with a reason, a number."""
    run_here(
        "pdm_tf.evaluate",
        f"--model={made.run}",
        f"--hr_dir={made.photos / 'hr'}",
        f"--lr_dir={made.photos / 'lr'}",
        f"--true_kernels={made.place / 'true.npy'}",
        f"--pair_kernels={made.place / 'pairs.npy'}",
        f"--real_lr={made.photos / 'lr'}",
        f"--output={tmp_path}",
        "--panels=1",
    )
    report = read_json(tmp_path / "report.json")
    assert report["model_facts"]["network"] == "Translator+EDSR"
    found = report["degradation"]
    assert found["kernels"] is None and found["true_kernels"] is None
    assert "no kernel" in found["reasons"]["true_kernels"]
    assert found["true_noise"]["ratio"] > 0
    assert 0 <= found["real_lr"]["synthesised"]["classifier"]["accuracy"] <= 1
    index = read_json(made.run / "bundles" / "degradation_ema" / "bundle.json")
    assert report["degradation_settings"]["sha256"] == index["sha256"]
    assert not (tmp_path / "kernels.png").exists()
    for name in ("report.html", "report.md"):
        text = html.unescape((tmp_path / name).read_text(encoding="utf-8"))
        assert "it has no kernel that could be shown or compared" in text
    session = load_bundle(made.run / "bundles" / "sr_ema").network
    lr = to_float(read_rgb_u8(made.photos / "lr" / "0.png"))
    sr = to_u8(session(lr[None]).numpy()[0]).astype(float)
    hr = read_rgb_u8(made.photos / "hr" / "0.png").astype(float)
    inner = (slice(SCALE, -SCALE), slice(SCALE, -SCALE))
    psnr = 10 * np.log10(255**2 / np.square(sr - hr)[inner].mean())
    assert report["images"][0]["psnr"] == pytest.approx(psnr, abs=1e-3)


def test_the_report_of_the_run(made, tmp_path):
    page = tmp_path / "page.html"
    run_here("pdm_tf.report", f"--model={made.run}", f"--output={page}", "--sliders=1")
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert check_html(page.read_text(encoding="utf-8")) == []
    count = made.networks["sr_ema"].count_params()
    stages = [stage.count_params() for stage in made.networks["sr_ema"].stages]
    for words in (
        "None: this network maps HR photographs to LR images directly; it has no "
        "kernel that could be shown or compared.",
        "what differs between two of its LR images",
        f"Translator+EDSR, {count:,} parameters (Translator {stages[0]:,}, EDSR "
        f"{stages[1]:,})",
        "Degrader, ",
        "A classifier tells synthesised from real LR patches",
    ):
        assert words in text, words


def test_degrade_makes_what_the_network_makes(made, tmp_path):
    run_here(
        "pdm_tf.degrade",
        f"--degradation={made.run}",
        f"--input={made.photos / 'hr'}",
        f"--output={tmp_path}",
        "--seed=3",
    )
    facts = read_json(tmp_path / "degrade.json")
    assert facts["grid"] == "half_pixel" and facts["scale"] == SCALE
    lr = read_rgb_u8(tmp_path / "lr" / "0.png")
    assert lr.shape == (80, 80, 3)
    line = json.loads((tmp_path / "manifest.jsonl").read_text().splitlines()[0])
    network = made.networks["degradation_ema"]
    hr_u8 = read_rgb_u8(made.photos / "hr" / "0.png")
    whole = degrade_image(network, hr_u8, tuple(line["seed"]))
    np.testing.assert_array_equal(lr, whole.lr_u8)
    assert line["noise_std_255"] is None and line["kernel"] is None
    assert not (tmp_path / "kernels.npy").exists()


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--method=supervised", "--method_arg=degradation=RUN"], 0),
        (["--method_arg=training=sr", "--init_degradation=RUN"], 0),
        (["--init_degradation=RUN", "--lr_dir=LR"], program.BAD_INPUT),
    ],
)
def test_other_methods_train_on_its_images(made, tmp_path, flags, code):
    """Frozen it may be anything; PDM-SR itself goes on training PDMs alone."""
    places = {"RUN": made.run, "LR": made.photos / "lr"}
    for name, place in places.items():
        flags = [flag.replace(name, str(place)) for flag in flags]
    told = run_here(
        "pdm_tf.train",
        *flags,
        f"--hr_dir={made.photos / 'hr'}",
        f"--run_dir={tmp_path / 'run'}",
        f"--scale={SCALE}",
        *("--sr_arg=num_blocks=1", "--sr_arg=filters=4", "--lr_patch=16"),
        *("--steps=1", "--batch_size=2", "--report=off", "--progress=off"),
        code=code,
    )
    if code:
        assert "must be a PDM, which pdm_sr trains" in told and "Degrader" in told


def test_two_of_one_kind_are_interpolated(made, tmp_path):
    bundles = made.run / "bundles"
    run_here(
        "pdm_tf.interpolate",
        f"--model_a={bundles / 'sr'}",
        f"--model_b={bundles / 'sr_ema'}",
        f"--output={tmp_path / 'mixed'}",
    )
    mixed = load_bundle(tmp_path / "mixed")
    assert mixed.name == "Translator+EDSR" and mixed.grid == "half_pixel"
    parts = (made.networks[name].get_weights() for name in ("sr", "sr_ema"))
    for found, a, b in zip(mixed.network.get_weights(), *parts, strict=True):
        np.testing.assert_allclose(found, (a + b) / 2, atol=1e-6)
