"""A run folder that an earlier version wrote opens, evaluates, resumes and exports.

What lies in tests/data/stored is said in its README. Nothing here may need a change of
those files: whoever has such a run has them as they are.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, to_float
from pdm_tf.core.stored import read_json
from tests.support import golden
from tests.support.signatures import signatures_of

STORED = Path(__file__).resolve().parents[1] / "data" / "stored"
BUNDLES = {"sr": "EDSR", "sr_ema": "EDSR", "pdm": "PDM", "pdm_ema": "PDM"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy, to be read only."""
    return shutil.copytree(STORED, tmp_path_factory.mktemp("stored") / "place")


@pytest.mark.parametrize("name", BUNDLES)
def test_its_bundles_load(place, name):
    from pdm_tf.bundles.bundle import load_bundle

    bundle = load_bundle(place / "run" / "bundles" / name)
    assert (bundle.name, bundle.scale, bundle.step) == (BUNDLES[name], 2, 2)
    assert bundle.role == ("sr" if name.startswith("sr") else "degradation")
    assert bundle.notes == {"method": "pdm_sr", "seed": 3}
    if bundle.role == "sr":
        lr = to_float(read_rgb_u8(place / "val_lr" / "0.png"))[None]
        assert bundle.network(lr).shape == (1, 96, 96, 3)
    else:
        kernels = np.asarray(bundle.network.sample_kernels(3, seed=0))
        np.testing.assert_allclose(kernels.sum((-1, -2)), 1.0, atol=1e-5)


def test_it_evaluates_as_it_was_validated(place, tmp_path):
    from pdm_tf import evaluate

    flags = (
        f"--model={place / 'run'}",
        f"--hr_dir={place / 'hr'}",
        f"--lr_dir={place / 'val_lr'}",
        f"--output={tmp_path}",
        "--metrics=psnr",
        "--panels=0",
        "--accept_folders",  # noise is like nothing, its own LR neither
    )
    assert program.call(evaluate.SPEC, evaluate.main, flags) == program.OK
    records = [json.loads(line) for line in open(place / "run" / "metrics.jsonl")]
    validated = next(r["val_ema/psnr"] for r in records if "val_ema/psnr" in r)
    found = read_json(tmp_path / "report.json")["mean"]["psnr"]
    assert found == pytest.approx(validated, abs=1e-3)


def test_it_resumes_with_the_losses_of_the_code_that_wrote_it(tmp_path, monkeypatch):
    """The flags are those that it noted itself; its folders are relative."""
    from pdm_tf import train

    place = shutil.copytree(STORED, tmp_path / "place")
    monkeypatch.chdir(place)
    flags = ("--flagfile=run/flags.txt", "--steps=4", "--accept_folders")
    assert program.call(train.SPEC, train.main, flags) == program.OK
    found: dict[str, dict[str, float]] = {}
    for line in open("run/metrics.jsonl"):
        record = json.loads(line)
        found.setdefault(str(record["step"]), {}).update(record)
    for step, wanted in read_json(Path("resumed.json")).items():
        for name, value in wanted.items():
            # Sums over pixels are ordered by the number of threads.
            assert found[step][name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
    index = read_json(Path("run/bundles/sr_ema/bundle.json"))
    assert (index["step"], index["scale"], index["role"]) == (4, 2, "sr")


@pytest.mark.slow  # 7 s; that it loads is tested by the others
def test_it_exports(place, tmp_path):
    """With the signatures that the earlier version exported."""
    from tests.support import exporting

    flags = (
        f"--model={place / 'run'}",
        f"--output={tmp_path / 'out'}",
        "--tile=16",
        "--nofp16",
    )
    assert exporting.call(*flags) == program.OK
    content = read_json(tmp_path / "out" / "certificate.json")
    assert content["passed"] is True
    assert content["networks"]["architecture"] == "EDSR"
    assert content["networks"]["scale"] == 2
    assert content["degradation"]["run"] == "run/pdm_ema"
    recorded = golden.read("signatures.json")
    found = signatures_of(tmp_path / "out")
    for name, model in recorded["onnx"].items():  # metadata may have grown
        known = set(model["metadata"])
        metadata = found["onnx"][name]["metadata"]
        found["onnx"][name]["metadata"] = sorted(known & set(metadata))
    assert found == recorded
