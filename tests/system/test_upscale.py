"""`python -m pdm_tf.upscale`, from flags to files, with real onnxruntime sessions."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import typing

import numpy as np
import pytest
from PIL import Image

from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, to_float, to_u8
from pdm_tf.inference.files import RECORD_NAME
from pdm_tf.inference.pictures import read_picture
from pdm_tf.inference.result_files import FORMATS
from pdm_tf.upscale import SOME_FAILED, SPEC, UpscaleConfig, main
from tests.support.onnx_files import write_sr
from tests.support.onnx_resize import write_resize
from tests.support.photographs import (
    icc_profile,
    samples,
    write_odd_files,
    write_photo,
    write_png,
)

# Starts the program where importing TensorFlow, Keras or Pillow's users fails.
WITHOUT_TENSORFLOW = (
    "import runpy, sys; sys.modules['tensorflow'] = sys.modules['keras'] = None; "
    "sys.argv[0] = 'upscale'; runpy.run_module('pdm_tf.upscale', run_name='__main__')"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """nearest.onnx, cubic.onnx (x4), tiny.onnx (x2, convolutions)."""
    folder = tmp_path_factory.mktemp("models")
    for mode in ("nearest", "cubic"):
        write_resize(folder / f"{mode}.onnx", mode=mode)
    write_sr(folder / "tiny.onnx")
    return folder


def call(model, source, target, *flags):
    """Runs the program in this process; returns its exit code."""
    argv = [f"--model={model}", f"--input={source}", f"--output={target}", *flags]
    return program.call(SPEC, main, [*argv, "--progress=off"])


def start(repository, *flags):
    """Runs the program in a process of its own, which Ctrl-C reaches.

    A shell's background jobs, and what they start, ignore SIGINT.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "pdm_tf.upscale", *flags],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def content(folder):
    """File name -> bytes, the record left out; hidden leftovers are seen."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD_NAME
    }


def test_as_a_user_runs_it_with_an_exported_network(tmp_path, repository):
    """A trained kind of network, against Keras; no TensorFlow where it runs."""
    from export.onnx_graph import network_to_onnx
    from tests.support.tiny_nets import EDSR_TINY, built

    network = built(EDSR_TINY)
    network_to_onnx(network, tmp_path / "model.onnx")
    lr_u8 = read_rgb_u8(write_photo(tmp_path / "a.jpg", photo(50, 70)))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT_TENSORFLOW,
            f"--model={tmp_path}",
            f"--input={tmp_path / 'a.jpg'}",
            f"--output={tmp_path / 'b.png'}",
            "--tile=40",
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == program.OK, done.stderr
    first, row, speed, last = done.stdout.splitlines()
    assert first.startswith("model.onnx: EDSR x4, float32, on ")
    assert "(asked for: auto; " in first
    assert "70 x 50 -> 280 x 200; " in row and row.startswith("[1/1] ")
    assert re.fullmatch(r"[\d.]+ s, [\d.e+-]+ LR megapixels/s", speed)
    assert last == f"1 image made: {tmp_path / 'b.png'}"
    assert done.stderr == ""
    expected = to_u8(np.asarray(network(to_float(lr_u8)[None])))[0].astype(int)
    difference = np.abs(read_rgb_u8(tmp_path / "b.png") - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


def photo(height, width):
    """Smooth colours with some texture, [H, W, 3] uint8."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = [0.5 + 0.4 * np.sin(7 * x + 3 * y * c) for c in (1, 2, 3)]
    noise = samples(height, width, 3) / 255 * 0.1
    return to_u8(np.stack(planes, -1) * 0.9 + noise)


def test_help_needs_nothing_but_the_flags(repository):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pdm_tf.upscale", "--help"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "python -m pdm_tf.upscale --model=exported --input=photo.jpg" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = ("tensorflow", "keras", "onnxruntime", "pyvips", "tqdm")
    assert "absl.flags" in loaded and not loaded & set(heavy)


def test_odd_files_are_named_and_nothing_else_is_lost(models, tmp_path, capsys):
    source, target = tmp_path / "in", tmp_path / "out"
    reasons = write_odd_files(source / "odd")
    write_png(source / "good" / "dot.png", mkdir(samples(1, 1, 3), source / "good"))
    write_png(source / "strip.png", samples(2, 30_000, 3))
    inks = Image.fromarray(samples(20, 20, 4), mode="CMYK")
    inks.save(source / "cmyk.jpg", quality=95)
    report = tmp_path / "report.json"
    flags = ("--format=png", f"--report={report}")
    assert call(models / "nearest.onnx", source, target, *flags) == SOME_FAILED
    told = capsys.readouterr()
    for name, reason in reasons.items():
        told_reason = reason.partition(" (")[0]
        assert f"failed: {source / 'odd' / name}: {told_reason}" in told.err
    assert f"3 images made, {len(reasons)} failed: {target}" in told.out
    assert "cmyk.png: (converted from CMYK to sRGB" in told.out
    assert set(content(target)) == {"good/dot.png", "strip.png", "cmyk.png"}
    for name in ("good/dot.png", "strip.png"):
        np.testing.assert_array_equal(
            read_picture(target / name).pixels,
            read_picture(source / name).pixels.repeat(4, 0).repeat(4, 1),
        )
    found = json.loads(report.read_text())
    assert found["counts"] == {"done": 3, "skipped": 0, "failed": len(reasons)}
    assert found["finished"] is True and found["engine"]["provider_requested"] == "auto"
    rows = {os.path.basename(row["source"]): row for row in found["files"]}
    assert rows["strip.png"]["lr_size"] == [2, 30_000]
    assert rows["strip.png"]["sr_size"] == [8, 120_000]
    assert {name for name in rows if rows[name]["status"] == "failed"} == set(reasons)
    # The second start keeps them, and tells of the others again.
    before = content(target)
    assert call(models / "nearest.onnx", source, target, *flags) == SOME_FAILED
    assert "0 images made, 3 kept from before, " in capsys.readouterr().out
    assert content(target) == before


def mkdir(values, folder):
    folder.mkdir(parents=True, exist_ok=True)
    return values


def test_a_wide_strip_through_convolutions(models, tmp_path):
    """In tiles the same as in one piece, over 30,000 pixels."""
    write_png(tmp_path / "a.png", samples(3, 30_000, 3))
    assert call(models / "tiny.onnx", tmp_path / "a.png", tmp_path / "b.png") == 0
    one = ("--tile=30000", "--overlap=4")
    assert call(models / "tiny.onnx", tmp_path / "a.png", tmp_path / "c.png", *one) == 0
    tiled, whole = (read_picture(tmp_path / f"{n}.png").pixels for n in "bc")
    assert tiled.shape == (6, 60_000, 3)
    difference = np.abs(tiled.astype(int) - whole)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("bits", [8, 16])
def test_one_colour_stays_that_colour_under_any_alpha(models, tmp_path, bits):
    """Bicubic by onnxruntime, in tiles; alpha of noise, clear and opaque parts."""
    alpha = samples(60, 90, 1, bits=bits)
    alpha[5:25, 10:40] = 0
    alpha[30:55, 20:80] = 2**bits - 1
    colour = np.array([200, 30, 90], alpha.dtype) * (1 if bits == 8 else 257)
    values = np.concatenate([np.broadcast_to(colour, (60, 90, 3)), alpha], -1)
    values[alpha[..., 0] == 0, :3] = (0, 2**bits - 1, 0)
    write_png(tmp_path / "a.png", values)
    flags = ("--tile=32", "--blend=4")
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    assert call(models / "cubic.onnx", source, target, *flags) == 0
    picture = read_picture(target)
    assert (picture.bits, picture.layers) == (bits, 2)
    seen = picture.pixels[picture.alpha > 0].astype(int)
    assert np.abs(seen - colour).max() <= (0 if bits == 8 else 16)
    # Two LR pixels, bicubic's reach, inside the clear and the opaque part.
    assert (picture.alpha[28:92, 48:152] == 0).all()
    assert (picture.alpha[128:212, 88:312] == 2**bits - 1).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_to_the_last_one(models, tmp_path, suffix):
    """Against the definition of bicubic in float64, not against our own reading."""
    values = samples(12, 15, 3, bits=16)
    write_png(tmp_path / "a.png", values)
    target = tmp_path / f"b.{suffix}"
    assert call(models / "cubic.onnx", tmp_path / "a.png", target) == 0
    picture = read_picture(target)
    assert picture.bits == 16
    expected = values.astype(np.float64)
    for axis in (0, 1):
        weights = bicubic_weights(values.shape[axis], 4)
        expected = np.moveaxis(np.tensordot(weights, expected, (1, axis)), 0, axis)
    difference = np.abs(picture.pixels - np.clip(expected, 0, 65535))
    assert difference.max() <= 0.5 + 0.05  # rounding, and what float32 loses


def bicubic_weights(size, scale):
    """[size * scale, size]: Keys' kernel with A = -0.5, renormalised at the border."""
    centres = (np.arange(size * scale) + 0.5) / scale - 0.5
    t = np.abs(centres[:, None] - np.arange(size))
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t <= 1, near, np.where(t < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_profile_and_network_together(models, tmp_path, orientation):
    icc = icc_profile()
    path = tmp_path / "a.jpg"
    write_photo(path, photo(24, 40), orientation=orientation, icc=icc)
    assert call(models / "nearest.onnx", path, tmp_path / "b.png") == 0
    expected = read_rgb_u8(path).repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(read_rgb_u8(tmp_path / "b.png"), expected)
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == icc
        assert image.getexif().get(0x0112, 1) == 1


def test_memory_and_scratch_files_give_equal_files(models, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for channels in (1, 2, 3, 4):
        for bits in (8, 16):
            path = source / f"{channels}-{bits}.png"
            write_png(path, samples(50, 40, channels, bits=bits))
    for more in ((), ("--outscale=2.7",)):
        found = []
        for memory_mb in (0, 1000):
            target = tmp_path / f"{memory_mb}{more}"
            flags = (f"--memory_mb={memory_mb}", "--tile=32", *more)
            assert call(models / "tiny.onnx", source, target, *flags) == 0
            found.append(content(target))
        assert len(found[0]) == 8 and found[0] == found[1]


def many(folder, count, side):
    folder.mkdir()
    for index in range(count):
        write_png(folder / f"{index:03}.png", samples(side, side, 3, seed=index))
    return folder


def wait_for(target, process, count):
    """Until `count` results are there; the program must still be running."""
    end = time.monotonic() + 60
    while len(list(target.glob("*.png"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    assert process.poll() is None


def test_killed_and_started_again_it_ends_with_the_same_bytes(
    models, tmp_path, repository
):
    source = many(tmp_path / "in", 60, 96)
    target, reference = tmp_path / "out", tmp_path / "reference"
    flags = [f"--model={models / 'tiny.onnx'}", f"--input={source}"]
    assert call(models / "tiny.onnx", source, reference) == 0
    whole = content(reference)
    assert len(whole) == 60
    for count in (3, 10):
        process = start(repository, *flags, f"--output={target}")
        wait_for(target, process, count)
        process.kill()
        process.communicate()
        made = content(target)
        visible = {n: data for n, data in made.items() if not n.startswith(".")}
        assert count <= len(visible) < 60
        assert visible == {name: whole[name] for name in visible}
    assert call(models / "tiny.onnx", source, target) == 0
    assert content(target) == whole  # no leftovers either


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_folder_has_whole_files_and_goes_on(
    models, tmp_path, repository, number
):
    source = many(tmp_path / "in", 60, 96)
    target, report = tmp_path / "out", tmp_path / "report.json"
    process = start(
        repository,
        f"--model={models / 'tiny.onnx'}",
        f"--input={source}",
        f"--output={target}",
        f"--report={report}",
    )
    wait_for(target, process, 3)
    begin = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == program.INTERRUPTED, errors
    assert time.monotonic() - begin < 4
    assert "start it again with the same flags to go on" in errors
    assert "Traceback" not in errors
    made = content(target)
    assert 3 <= len(made) < 60 and not [name for name in made if name[0] == "."]
    found = json.loads(report.read_text())
    assert found["finished"] is False and found["counts"]["done"] == len(made)
    assert f"{len(made)} images made: {target}" in output
    assert call(models / "tiny.onnx", source, target) == 0
    again = content(target)
    assert len(again) == 60 and made.items() <= again.items()


def test_one_file_that_is_stopped_leaves_nothing(models, tmp_path, repository):
    path = write_png(tmp_path / "a.png", np.zeros((3000, 3000, 3), np.uint8))
    target = tmp_path / "b.png"
    process = start(
        repository,
        f"--model={models / 'tiny.onnx'}",
        f"--input={path}",
        f"--output={target}",
        "--tile=64",
        "--memory_mb=0",
    )
    end = time.monotonic() + 60
    while not (tmp_path / ".b.png.0.tmp").exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == program.ABORTED, errors
    assert "stopped; nothing was written." in errors
    assert os.listdir(tmp_path) == ["a.png"]


def test_existing_files_are_replaced_on_request_alone(models, tmp_path, capsys):
    write_png(tmp_path / "a.png", samples(4, 5, 3))
    args = (models / "nearest.onnx", tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "b.png").write_bytes(b"precious")
    assert call(*args) == program.BAD_INPUT
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert (tmp_path / "b.png").read_bytes() == b"precious"
    assert call(*args, "--overwrite") == program.OK
    assert read_picture(tmp_path / "b.png").width == 20


def test_another_network_makes_a_folder_again(models, tmp_path, capsys):
    source, target = many(tmp_path / "in", 2, 8), tmp_path / "out"
    for model, more, made in (
        ("nearest", (), 2),
        ("nearest", (), 0),
        ("nearest", ("--tile=64", "--progress=on"), 0),  # changes no pixel
        ("cubic", (), 2),
        ("cubic", ("--outscale=2",), 2),
        ("cubic", ("--outscale=2",), 0),
    ):
        assert call(models / f"{model}.onnx", source, target, *more) == 0
        assert f"{made} images made" in capsys.readouterr().out
    assert read_picture(target / "000.png").width == 16


def test_fp16_with_the_model_itself_for_what_overflows(tmp_path, capsys):
    """Images that overflow in float16 get the float32 model's result, bit for bit."""
    gain = (300.0, 300.0)  # 90,000 where the image is white; float16 ends at 65,504
    write_sr(tmp_path / "model.onnx", gain=gain)
    source = tmp_path / "in"
    source.mkdir()
    write_png(source / "bright.png", np.full((20, 30, 3), 255, np.uint8))
    assert call(tmp_path, source, tmp_path / "out", "--fp16") == program.BAD_INPUT
    message = capsys.readouterr().err
    assert "--fp16 needs model_fp16.onnx next to model.onnx" in message
    write_sr(tmp_path / "model_fp16.onnx", gain=gain, half=True)
    assert call(tmp_path, source, tmp_path / "half", "--fp16") == 0
    assert "model_fp16.onnx: Tiny x2, float16, on cpu" in capsys.readouterr().out
    assert call(tmp_path, source, tmp_path / "full") == 0
    assert content(tmp_path / "half") == content(tmp_path / "full")


def test_ensemble_changes_the_result(models, tmp_path):
    write_png(tmp_path / "a.png", samples(20, 30, 3))
    for name, flags in (("b", ()), ("c", ("--ensemble",))):
        target = tmp_path / f"{name}.png"
        assert call(models / "tiny.onnx", tmp_path / "a.png", target, *flags) == 0
    assert (tmp_path / "b.png").read_bytes() != (tmp_path / "c.png").read_bytes()


def test_ensemble_says_what_it_takes_a_network_for_that_does_not_say_its_grid(
    models, tmp_path, capsys
):
    write_png(tmp_path / "a.png", samples(9, 7, 3))
    told = "note: the model does not say where LR pixels lie; half_pixel is taken"
    write_sr(tmp_path / "known.onnx", more={"grid": "pixel0"})
    for model, flags, times in (
        (models / "tiny.onnx", ["--ensemble"], 1),
        (models / "tiny.onnx", [], 0),
        (tmp_path / "known.onnx", ["--ensemble"], 0),
    ):
        target = tmp_path / "b.png"
        assert call(model, tmp_path / "a.png", target, "--overwrite", *flags) == 0
        assert capsys.readouterr().out.count(told) == times


def test_strict_does_not_go_elsewhere(models, tmp_path, capsys):
    """On a machine with CUDA there is nothing to refuse."""
    write_png(tmp_path / "a.png", samples(4, 5, 3))
    args = (models / "tiny.onnx", tmp_path / "a.png", tmp_path / "b.png")
    assert call(*args, "--provider=cuda") == program.OK
    told = capsys.readouterr().out
    assert "(asked for: cuda; " in told
    if "on cpu" not in told:
        pytest.skip("CUDA works here")
    strict = ("--provider=cuda", "--strict", "--overwrite")
    assert call(*args, *strict) == program.BAD_INPUT


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--model="], "--model is required"),
        (["--model=none.onnx"], "--model must be a run folder of pdm_tf.train, an"),
        (["--input=none"], "--input must exist. Received: none"),
        (["--outscale=-1"], "--outscale must be above 0 and at most 64"),
        (["--outscale=65"], "--outscale must be above 0 and at most 64"),
        (["--quality=101"], "--quality must be 1 to 100"),
        (["--memory_mb=-1"], "--memory_mb must be 0 or more"),
        (["--format=bmp"], "format"),
        (["--overlaps=3"], "Did you mean --overlap?"),
        (["--tile=10", "--overlap=20"], "tile"),
        (["--report=."], "--report must be a file that can be written. Received: ."),
        (["--report=/proc/none/r.json"], "--report must be a file that can be written"),
    ],
)
def test_wrong_flags(models, tmp_path, capsys, flags, words):
    write_png(tmp_path / "a.png", samples(4, 5, 3))
    args = (models / "tiny.onnx", tmp_path / "a.png", tmp_path / "b.png")
    assert call(*args, *flags) == program.BAD_INPUT
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_run_inside_the_given_folder_is_pointed_at(tmp_path, capsys):
    """As that of the demo is."""
    write_png(tmp_path / "a.png", samples(4, 5, 3))
    (tmp_path / "demo/run/bundles").mkdir(parents=True)
    (tmp_path / "demo/data").mkdir()
    place = tmp_path / "demo"
    assert call(place, tmp_path / "a.png", tmp_path / "b.png") == program.BAD_INPUT
    assert f"{place}. Did you mean {place}/run?" in capsys.readouterr().err


def test_nothing_that_could_be_done(models, tmp_path, capsys):
    source = tmp_path / "in"
    source.mkdir()
    (source / "text.png").write_text("text")
    args = (models / "tiny.onnx", source, tmp_path / "out")
    assert call(*args) == program.BAD_INPUT
    assert "0 images made, 1 failed" in capsys.readouterr().out


def test_the_flag_offers_the_formats_there_are():
    offered = typing.get_args(typing.get_type_hints(UpscaleConfig)["format"])
    assert offered == ("same", *FORMATS)


# VmHWM, not ru_maxrss: the latter begins at what this process had when it forked.
MEASURED = (
    "import runpy, sys; sys.argv[0] = 'upscale'\n"
    "try: runpy.run_module('pdm_tf.upscale', run_name='__main__')\n"
    "finally: print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
)


@pytest.mark.slow
@pytest.mark.parametrize("suffix, bound_mb", [("png", 250), ("tif", 250), ("jpg", 250)])
def test_memory_does_not_grow_with_the_height(
    models, tmp_path, repository, suffix, bound_mb
):
    """Peak resident memory of the whole program, 3000 pixels wide, x4."""
    peaks = []
    for height in (500, 3000):
        rows = samples(height, 3000, 3)
        rows[:, :, 1:] = 100  # compresses faster
        path = write_png(tmp_path / f"{height}.png", rows)
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                MEASURED,
                f"--model={models / 'nearest.onnx'}",
                f"--input={path}",
                f"--output={tmp_path / f'{height}-x4.{suffix}'}",
                "--memory_mb=0",
                "--provider=cpu",
            ],
            cwd=repository,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.splitlines()[-1]) / 1024)
        path.unlink()
    print(f"{suffix}: peak {peaks[0]:.0f} MB at 500 rows, {peaks[1]:.0f} MB at 3000")
    assert peaks[1] < bound_mb
    assert peaks[1] - peaks[0] < 30  # the result has 360 MB more
