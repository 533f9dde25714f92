"""`python -m export.bulk` on Beam's local runner, as a user starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.onnx_graph import network_to_onnx
from pdm_tf.cli import program
from pdm_tf.core.images import write_png
from pdm_tf.upscale import SPEC
from pdm_tf.upscale import main as upscale
from tests.support.tiny_nets import EDSR_TINY, built, photo

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """model.onnx, and in/ with four photographs, a truncated one and a text."""
    folder = tmp_path_factory.mktemp("bulk")
    network_to_onnx(built(EDSR_TINY), folder / "model.onnx")
    write_png(folder / "in" / "a.png", photo(40, 33))
    write_png(folder / "in" / "sub" / "b.png", photo(21, 40))
    Image.fromarray(photo(30, 30)).save(folder / "in" / "c.jpg")
    sixteen = photo(20, 20)[..., 0].astype(np.uint16) * 257
    Image.fromarray(sixteen).save(folder / "in" / "sub" / "d.tif")
    whole = (folder / "in" / "a.png").read_bytes()
    (folder / "in" / "e.png").write_bytes(whole[: len(whole) // 2])
    (folder / "in" / "readme.txt").write_text("not a photograph")
    return folder


def run(place, *flags):
    return subprocess.run(
        [sys.executable, "-m", "export.bulk", *flags],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.beam
def test_a_folder_twice(place):
    flags = ("--input=in", "--output=out", "--model=model.onnx", "--provider=cpu")
    done = run(place, *flags, "--manifest=first", "--", "--direct_num_workers=1")
    assert done.returncode == 1, done.stderr
    assert "4 done, 0 skipped, 1 failed" in done.stdout
    # And not a word of Beam, which warns of every cloud library that is not there.
    (line,) = done.stderr.splitlines()
    assert line.startswith("failed: ") and "e.png: is truncated" in line

    (manifest,) = place.glob("first-*.jsonl")
    rows = {row["source"]: row for row in map(json.loads, manifest.open())}
    assert set(rows) == {
        str(place / "in" / name)
        for name in ("a.png", "sub/b.png", "c.jpg", "sub/d.tif", "e.png")
    }
    row = rows[str(place / "in/sub/b.png")]
    assert row["target"] == str(place / "out/sub/b.png")
    assert row["status"] == "done" and row["reason"] == ""
    assert (row["lr_size"], row["sr_size"]) == ([21, 40], [84, 160])
    assert row["provider"] == "cpu" and row["seconds"] > 0

    arguments = [f"--{f}={place / v}" for f, v in (("input", "in"), ("output", "same"))]
    arguments += [f"--model={place / 'model.onnx'}", "--provider=cpu"]
    assert program.call(SPEC, upscale, arguments) == 1
    results = {
        path.relative_to(place / "same").as_posix(): path.read_bytes()
        for path in (place / "same").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    assert set(results) == {"a.png", "sub/b.png", "c.jpg", "sub/d.tif"}
    for name, content in results.items():
        assert (place / "out" / name).read_bytes() == content, name

    before = {p: p.stat().st_mtime_ns for p in (place / "out").rglob("*.*")}
    again = run(place, *flags, "--manifest=second")
    assert again.returncode == 1
    assert "0 done, 4 skipped, 1 failed" in again.stdout
    assert {p: p.stat().st_mtime_ns for p in (place / "out").rglob("*.*")} == before


def test_without_beam_the_extra_is_named(place):
    """In an interpreter in which Apache Beam cannot be imported."""
    (place / "hidden" / "apache_beam").mkdir(parents=True)
    (place / "hidden" / "apache_beam" / "__init__.py").write_text(
        "raise ModuleNotFoundError('no Beam', name='apache_beam')"
    )
    done = subprocess.run(
        [sys.executable, "-m", "export.bulk", "--input=a", "--output=b", "--model=c"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": f"{place / 'hidden'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert (
        'pip install "pdm_tf[bulk]"' in done.stderr and "Traceback" not in done.stderr
    )


def test_help_needs_no_beam(place):
    done = run(place, "--help")
    assert done.returncode == 0
    assert "--runner" in done.stdout and "a lone --" in done.stdout
