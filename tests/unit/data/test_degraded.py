"""Pairs by any degradation: bytes, names, manifest, resume, what is left out."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import read_rgb_u8, to_u8, write_png
from pdm_tf.data import degraded_pairs
from pdm_tf.data import shards as image_shards
from pdm_tf.data.degraded_pairs import (
    LEDGER_NAME,
    make_degraded_pairs,
    make_degraded_shards,
)
from pdm_tf.data.degrading import Request, Stopped, image_seed
from pdm_tf.data.pairs import load_pairs
from pdm_tf.degradations import BicubicDegradation
from tests.oracles import blur_oracle, imresize_oracle
from tests.unit.data.folders import SIZES, add_bad_files, fill, noise
from tests.unit.degradations.networks import tiny_pdm

SCALE = 2
SETTINGS = {"degradation": "tiny", "seed": 3}


@pytest.fixture(scope="module")
def learned():
    return tiny_pdm()


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "in")
    write_png(tmp_path / "in" / "deep" / "er.png", noise(27, 31, 50))
    return tmp_path


def pairs(folder, degradation, out="out", *, draws=1, settings=None, **how):
    request = Request(degradation, 3, draws, how.pop("should_stop", lambda: False))
    settings = settings or {**SETTINGS, "draws": draws}
    return make_degraded_pairs(
        folder / "in", folder / out, request, settings, threads=2, **how
    )


def shards(folder, degradation, out="out", *, draws=1, **how):
    request = Request(degradation, 3, draws)
    settings = {**SETTINGS, "draws": draws}
    return make_degraded_shards(
        folder / "in", folder / out, request, settings, threads=2, **how
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Path -> bytes of all files but the ledger, whose order is that of the threads."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (LEDGER_NAME, image_shards.LEDGER_NAME)
    }


def manifest(folder: Path) -> list[dict]:
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_each_line_of_the_manifest_makes_its_lr_image_again(folder, learned):
    """From the seed alone, by the PDM on a photograph mirrored here."""
    outcome = pairs(folder, learned, draws=2)
    assert (outcome.written, outcome.kept, outcome.problems) == (6, 0, ())
    out, rows = folder / "out", manifest(folder / "out")
    kernels = np.load(out / "kernels.npy")
    assert kernels.shape == (12, 5, 5) and kernels.dtype == np.float32
    assert [row["kernel"] for row in rows] == list(range(12))
    assert [row["lr"] for row in rows[:2]] == ["lr/0000_d0.png", "lr/0000_d1.png"]
    assert rows[-1]["source"] == "deep/er.png" and rows[-1]["lr"] == "lr/deep/er_d1.png"
    for row in rows:
        data = (folder / "in" / row["source"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        _, _, height, width = row["crop"]
        source = read_rgb_u8(folder / "in" / row["source"])
        assert source.shape[0] - height in (0, 1) and height % SCALE == 0
        hr_u8 = source[:height, :width]
        np.testing.assert_array_equal(read_rgb_u8(out / row["hr"]), hr_u8)
        padded = np.pad(hr_u8, [(2, 2), (2, 2), (0, 0)], mode="reflect")
        h, w = row["lr_size"]
        latents = learned.draw(1, h, w, tf.constant(row["seed"]))
        wanted = learned(tf.constant(padded[None] / 255.0, tf.float32), *latents)
        lr_u8 = read_rgb_u8(out / row["lr"])
        np.testing.assert_array_equal(lr_u8, to_u8(wanted.lr.numpy()[0]))
        kernel = wanted.kernel.numpy().reshape(5, 5)
        np.testing.assert_array_equal(kernels[row["kernel"]], kernel)
        std = 255 * np.std(wanted.noise)
        assert row["noise_std_255"] == pytest.approx(std, rel=1e-3)
        assert row["hr_size"] == [height, width] and row["quality"] is None


def test_stored_kernels_explain_the_lr_images(folder):
    """By a blur that shares no code with the product; a wrong index would show."""
    pairs(folder, tiny_pdm(noise_blocks=None))
    out = folder / "out"
    kernels = np.load(out / "kernels.npy").astype(np.float64)
    for row in manifest(out):
        hr = read_rgb_u8(out / row["hr"]) / 255.0
        wanted = blur_oracle.blur(
            hr, kernels[row["kernel"]], SCALE, "pixel0", "reflect"
        )
        lr_u8 = read_rgb_u8(out / row["lr"])
        np.testing.assert_allclose(lr_u8, wanted * 255, rtol=0, atol=0.5 + 1e-3)
        assert row["noise_std_255"] is None


def test_bicubic_is_matlabs_of_the_cropped_photograph(folder):
    write_png(folder / "in" / "tiny.png", noise(3, 5, 60))
    write_png(folder / "in" / "thin.png", noise(SCALE - 1, 40, 0))
    outcome = pairs(folder, BicubicDegradation(SCALE))
    assert [Path(path).name for path, _ in outcome.problems] == ["thin.png"]
    found = load_pairs(folder / "out/hr", folder / "out/lr", SCALE)
    assert len(found.pairs) == 7
    for pair in found.pairs:
        hr_u8, lr_u8 = pair.load()
        source = read_rgb_u8(folder / "in" / f"{pair.name}.png")
        height, width = (side - side % SCALE for side in source.shape[:2])
        np.testing.assert_array_equal(hr_u8, source[:height, :width])
        exact = 255 * imresize_oracle.imresize(hr_u8 / 255.0, 1 / SCALE)
        wanted = np.floor(np.clip(exact, 0, 255) + 0.5).astype(np.uint8)
        np.testing.assert_array_equal(lr_u8, wanted)
    assert not (folder / "out/kernels.npy").exists()
    assert {row["kernel"] for row in manifest(folder / "out")} == {None}


def test_a_full_disk_is_the_users(folder, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(degraded_pairs, "write_bytes_atomic", full)
    with pytest.raises(UserError, match="cannot be written: No space left"):
        pairs(folder, BicubicDegradation(SCALE))


def test_other_files_threads_and_draws_change_no_image(folder, learned):
    pairs(folder, learned, draws=2)
    whole = contents(folder / "out")
    (folder / "in" / "0000.png").unlink()
    write_png(folder / "in" / "00000.png", noise(30, 30, 51))
    request = Request(learned, 3, 3)
    make_degraded_pairs(folder / "in", folder / "b", request, {}, threads=1)
    part = contents(folder / "b")
    same = [name for name in whole if name.endswith(".png") and "0000_" not in name]
    assert len(same) == 20 and all(part[name] == whole[name] for name in same)
    assert part["lr/0001_d0.png"] != part["lr/0001_d1.png"]
    assert image_seed(3, "0001", 0) != image_seed(4, "0001", 0)


def test_hr_files_of_further_draws(folder, learned):
    pairs(folder, learned, draws=3)
    pairs(folder, learned, "copies", draws=3, hr_files="copy")
    pairs(folder, learned, "lr_alone", draws=3, hr_files="none")
    first, second = (folder / f"out/hr/0001_d{draw}.png" for draw in (0, 2))
    assert os.path.samefile(first, second)
    second = folder / "copies/hr/0001_d2.png"
    assert second.read_bytes() == first.read_bytes() and second.stat().st_nlink == 1
    assert not (folder / "lr_alone/hr").exists()
    assert {row["hr"] for row in manifest(folder / "lr_alone")} == {None}
    for out in ("out", "copies"):
        found = load_pairs(folder / out / "hr", folder / out / "lr", SCALE)
        assert len(found.pairs) == 18 and not found.problems


def test_a_file_system_without_links_gets_copies(folder, learned, monkeypatch):
    def refuse(*paths):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    pairs(folder, learned, draws=2)
    assert len(list((folder / "out/hr").glob("**/[!.]*.png"))) == 12


def test_a_second_start_keeps_complete_files(folder, learned):
    pairs(folder, learned, draws=2)
    before = contents(folder / "out")
    times = {p: p.stat().st_mtime_ns for p in (folder / "out").rglob("*.png")}
    (folder / "out/lr/0002_d1.png").unlink()
    (folder / "out/hr/0003_d0.png").write_bytes(b"cut")
    (folder / "out/manifest.jsonl").unlink()
    ledger = folder / "out" / LEDGER_NAME
    ledger.write_text(ledger.read_text() + '\n{"key": "0001", "inputs": "')
    outcome = pairs(folder, learned, draws=2)
    assert (outcome.written, outcome.kept) == (2, 4)
    assert contents(folder / "out") == before
    kept = [p for p in times if p.stat().st_mtime_ns == times[p]]
    assert len(kept) == 16


def test_a_changed_photograph_is_made_again_and_a_lost_one_reported(folder, learned):
    pairs(folder, learned)
    write_png(folder / "in" / "0001.png", noise(22, 24, 70))
    (folder / "in" / "0004.png").unlink()
    outcome = pairs(folder, learned)
    assert (outcome.written, outcome.kept, outcome.stale) == (1, 4, ("0004",))
    assert (folder / "out/lr/0004.png").exists()
    rows = manifest(folder / "out")
    assert [row["lr"] for row in rows if "0004" in row["lr"]] == []
    assert rows[1]["lr_size"] == [11, 12]


def test_stopped_and_started_again_is_the_same(folder, learned):
    pairs(folder, learned, "straight")
    asked = []
    with pytest.raises(Stopped):
        pairs(folder, learned, should_stop=lambda: asked.append(1) or len(asked) > 3)
    assert not (folder / "out/manifest.jsonl").exists()
    outcome = pairs(folder, learned)
    assert outcome.kept >= 1 and outcome.kept + outcome.written == 6
    assert contents(folder / "out") == contents(folder / "straight")


def test_other_settings_and_foreign_folders_are_refused(folder, learned):
    pairs(folder, learned)
    with pytest.raises(UserError, match="was made with --degradation=tiny --seed=3"):
        pairs(folder, learned, settings={**SETTINGS, "draws": 2})
    (folder / "mine/lr").mkdir(parents=True)
    with pytest.raises(UserError, match="must be new, or one that pdm_tf.degrade"):
        pairs(folder, learned, "mine")
    with pytest.raises(UserError, match="must lie outside --input"):
        pairs(folder, learned, "in/out")


def test_names_that_would_collide_are_refused(folder, learned):
    write_png(folder / "in" / "0000_d1.png", noise(20, 20, 1))
    pairs(folder, learned)
    with pytest.raises(UserError, match="both to become 0000_d1.png"):
        make_degraded_pairs(
            folder / "in", folder / "two", Request(learned, 3, 2), {}, threads=1
        )
    (folder / "in" / "0000.bmp").write_bytes((folder / "in/0000.png").read_bytes())
    with pytest.raises(UserError, match="both to become 0000.png"):
        pairs(folder, learned, "three")


@pytest.mark.parametrize("form", [pairs, shards])
def test_bad_files_are_named_and_left_out(folder, learned, form):
    reasons = add_bad_files(folder / "in")
    write_png(folder / "in" / "bad-small.png", noise(40, 4, 90))
    reasons["bad-small.png"] = r"smaller than 5 px, what is blurred (4x40 px)"
    for written in (6, 0):
        outcome = form(folder, learned)
        assert (outcome.written, outcome.written + outcome.kept) == (written, 6)
        found = {Path(path).name: reason for path, reason in outcome.problems}
        assert found.keys() == reasons.keys()
        assert all(reasons[name] in found[name] for name in reasons), found
    assert len(manifest(folder / "out")) == 6


def test_none_usable(tmp_path, learned):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_text("text")
    with pytest.raises(UserError, match="none usable; .*a.png is not a PNG"):
        pairs(tmp_path, learned)


@pytest.mark.parametrize("draws", [1, 2])
def test_shards_hold_what_the_folders_hold(folder, learned, draws):
    pairs(folder, learned, draws=draws)
    outcome = shards(folder, learned, "shards", draws=draws, shard_mb=0.004)
    assert outcome.written == 6
    assert len(list((folder / "shards/lr").glob("*.tfrecord"))) > 2
    of_folders = load_pairs(folder / "out/hr", folder / "out/lr", SCALE)
    of_shards = load_pairs(folder / "shards/hr", folder / "shards/lr", SCALE)
    assert not of_shards.problems
    assert len(of_shards.pairs) == len(of_folders.pairs) == 6 * draws
    for one, other in zip(of_folders.pairs, of_shards.pairs, strict=True):
        assert one.name == other.name
        for wanted, found in zip(one.load(), other.load(), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert (folder / "shards/kernels.npy").read_bytes() == (
        folder / "out/kernels.npy"
    ).read_bytes()
    for one, other in zip(
        manifest(folder / "out"), manifest(folder / "shards"), strict=True
    ):
        name = one.pop("lr").removeprefix("lr/")
        assert other.pop("lr").endswith(f".tfrecord[{name}]")
        name = other.pop("hr").partition("[")[2]
        assert name == f"{Path(one['source']).with_suffix('')}.png]"
        one.pop("hr")
        assert one == other


def test_shards_resume_and_lose_none(folder, learned):
    shards(folder, learned, "straight", shard_mb=0.004)
    shards(folder, learned, shard_mb=0.004)
    before = contents(folder / "straight")
    assert contents(folder / "out") == before
    (folder / "out/hr/images-00001.tfrecord").unlink()
    outcome = shards(folder, learned, shard_mb=0.004)
    assert outcome.written >= 1 and outcome.kept >= 3
    assert contents(folder / "out") == before


def test_shards_without_hr(folder, learned):
    shards(folder, learned, with_hr=False)
    assert not (folder / "out/hr").exists()
    assert {row["hr"] for row in manifest(folder / "out")} == {None}
    assert len(SIZES) + 1 == len(manifest(folder / "out"))
