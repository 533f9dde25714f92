"""Bad and odd pictures through every program that reads some: done right, or named.

`python -m pytest -m slow tests/system/test_odd_pictures.py -s` takes 520 files and
prints the table of docs/measurements/robustness.md.
"""

import re
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from pdm_tf.core.errors import ImageError
from pdm_tf.core.images import decode_rgb_u8, read_rgb_u8
from pdm_tf.core.stored import read_json
from pdm_tf.data.sources import list_entries, open_source
from tests.support import odd_pictures
from tests.support.onnx_resize import write_resize
from tests.support.programs import run_here
from tests.support.serving import (
    call_client,
    free_ports,
    server_command,
    server_process,
)

SOME_LEFT_OUT = 1
# Whole files that some programs refuse by rule: not one still picture of 8 or 16 bits,
# transparent, or smaller than the border that a score leaves out.
BY_RULE = ("moving.png", "moving.webp", "moving.gif", "pages.tif", "float.tif")
BY_RULE += ("glass.png", "glass_palette.png", "glass.webp", "pixel.png")


def upscale(source, output):
    """By a network that repeats each pixel: what it read can be seen in the result."""
    write_resize(output / "nearest.onnx", scale=2, mode="nearest")
    run_here(
        "pdm_tf.upscale",
        f"--model={output / 'nearest.onnx'}",
        f"--input={source}",
        f"--output={output / 'made'}",
        f"--report={output / 'report.json'}",
        "--format=png",
        code=SOME_LEFT_OUT,
    )
    rows = read_json(output / "report.json")["files"]
    names = {row["source"].rpartition("/")[2]: row for row in rows}
    return {
        name: np.asarray(Image.open(row["target"]))[::2, ::2]
        if row["status"] == "done"
        else row["reason"]
        for name, row in names.items()
    }


def degrade(source, output):
    printed = run_here(
        "pdm_tf.degrade",
        "--degradation=bicubic",
        "--scale=1",
        f"--input={source}",
        f"--output={output}",
        code=SOME_LEFT_OUT,
    )
    made = {path.stem: path for path in (output / "hr").iterdir()}
    return left_out(printed) | {
        path.name: read_rgb_u8(made[path.stem])
        for path in source.iterdir()
        if path.stem in made
    }


def prepare(source, output):
    printed = run_here(
        "pdm_tf.prepare",
        "--task=tfrecord",
        f"--input={source}",
        f"--output={output}",
        code=SOME_LEFT_OUT,
    )
    made = {entry.name: entry.read() for entry in list_entries(output)}
    return left_out(printed) | made


def left_out(printed):
    found = re.findall(r"^left out: \S*/([^/\s]+): (.+)$", printed, re.M)
    return dict(found)


def evaluate(source, output):
    run_here(
        "pdm_tf.evaluate",
        "--model=bicubic",
        "--scale=1",
        "--panels=0",
        f"--hr_dir={source}",
        f"--lr_dir={source}",
        f"--output={output}",
    )
    report = read_json(output / "report.json")
    stems = {path.stem: path for path in source.iterdir()}
    read = {
        stems[row["name"]].name: read_rgb_u8(stems[row["name"]])
        for row in report["images"]
        # A picture against itself: the same twice.
        if row["infinite"]
    }
    refused = {}
    for row in report["problems"]:  # of a file, or of a picture without its suffix
        name = row["name"].rpartition("/")[2]
        refused[stems[name].name if name in stems else name] = row["reason"]
    return refused | read


def estimate(source, output):
    run_here(
        "pdm_tf.estimate",
        "--check_only",
        f"--hr_dir={source}",
        f"--lr_dir={write_again(source, output / 'lr')}",
        f"--output={output / 'made'}",
        code=2,  # the pictures are too small to be learned from
    )
    rows = read_json(output / "made" / "check.json")["hr"]["photographs"]
    return {
        row["name"]: read_rgb_u8(source / row["name"])
        if row["left_out"].startswith(("is smaller", "has transparent"))
        and row.get("width")
        else row["left_out"] or read_rgb_u8(source / row["name"])
        for row in rows
    }


def write_again(source, folder):
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / f"{source.name}.png")
    return folder


def train(source, output):
    """What a run opens before its first step, in memory and on demand."""
    del output
    kept, on_demand = (open_source(source, patch=1, cache_mb=mb) for mb in (99, 0))
    assert kept.names == on_demand.names
    read = {name: kept.image(index) for index, name in enumerate(kept.names)}
    return {path.rpartition("/")[2]: why for path, why in kept.skipped} | read


def noise_pool(source, output):
    """Its patches are the pictures' pixels less their mean."""
    run_here(
        "pdm_tf.noise_pool",
        "--patch_size=8",
        "--variance_percentile=100",
        "--structure_percentile=100",
        f"--input={source}",
        f"--output={output}",
        code=SOME_LEFT_OUT,
    )
    about = read_json(output / "noise.json")
    refused = {
        name: why
        for name, why in about["left_out"].items()
        if not why.startswith("has no unclipped place")
    }
    names = [path.name for path in source.iterdir() if path.name not in refused]
    read = {name: read_rgb_u8(source / name) for name in names}
    patches = np.load(output / "noise.npy")
    for row, found in zip(about["patches"], patches, strict=True):
        top, left = row["top"], row["left"]
        wanted = read[row["photograph"]][top : top + 8, left : left + 8] / 255
        wanted -= wanted.mean(axis=(0, 1))
        np.testing.assert_allclose(found, wanted, atol=1e-5, err_msg=row["photograph"])
    assert len({row["photograph"] for row in about["patches"]}) > len(names) / 2
    return refused | read


def kernelgan(source, output):
    """By one step, after which no kernel is worth keeping; which were read is told."""
    run_here(
        "pdm_tf.kernelgan",
        "--steps=1",
        "--seeds=1",
        "--crop_size=32",
        "--at_once=16",
        f"--input={source}",
        f"--output={output}",
        code=2,
    )
    rows = read_json(output / "kernels.json")["photographs"]
    results = {row["name"]: row["left_out"] for row in rows}
    for name, why in results.items():
        estimated = (output / "estimates" / f"{name}.npz").exists()
        if estimated or "crops of 32x32 are needed" in why:
            try:
                results[name] = read_rgb_u8(source / name)
            except ImageError:  # too small by its header, and not read at all
                assert not estimated, name
    return results


def serving_bytes(source, output):
    """The signature of a SavedModel that repeats each pixel, one file at a time."""
    import tensorflow as tf

    from export.saved_model import ServingModule, save_quietly

    def twice(image):
        return tf.repeat(tf.repeat(image, 2, axis=1), 2, axis=2)

    module = ServingModule(twice, [])
    save_quietly(module, output / "1", {"serving_bytes": module.encoded})
    call = tf.saved_model.load(str(output / "1")).signatures["serving_bytes"]
    results = {}
    for path in source.iterdir():
        try:
            reply = call(image_bytes=tf.constant([path.read_bytes()]))
        except tf.errors.InvalidArgumentError as error:
            results[path.name] = error.message
            continue
        results[path.name] = decode_rgb_u8(reply["sr_bytes"].numpy()[0], "sr")[::2, ::2]
    return results


def kserve(source, output):
    """The client sends what it read to a server whose network repeats each pixel."""
    model = write_resize(output / "nearest.onnx", scale=2, mode="nearest")
    http, rpc = free_ports(2)
    command = server_command(model, http, rpc, "--dtype=uint8")
    ready = f"http://127.0.0.1:{http}/v2/health/ready"
    with server_process(command, output / "log", ready_url=ready):
        done = call_client(
            f"--server=localhost:{http}",
            "--protocol=kserve_rest",
            f"--input={source}",
            f"--output={output / 'made'}",
        )
    assert done.returncode == SOME_LEFT_OUT, done.stderr
    made = {path.stem: path for path in (output / "made").iterdir()}
    return left_out(done.stderr) | {
        path.name: read_rgb_u8(made[path.stem])[::2, ::2]
        for path in source.iterdir()
        if path.stem in made
    }


def judged(data, result, within=0, upright=True):
    """ "right", "refused", or what is wrong.

    Args:
      within: levels by which pixels may be apart.
      upright: whether pictures are turned as their EXIF says.
    """
    if isinstance(result, str):
        return "refused" if result.strip() else "refused without a reason"
    clear = None
    if result.ndim == 3 and result.shape[2] in (2, 4):  # of clear pixels no colour
        clear = result[..., -1:] < np.iinfo(result.dtype).max
    found = odd_pictures.rgb_u8(result)
    seen = odd_pictures.seen(data)
    for wanted in seen if upright else [*seen, *map(np.rot90, seen)]:
        if wanted.shape == found.shape:
            apart = np.abs(wanted.astype(int) - found) > within
            if not (apart if clear is None else np.where(clear, 0, apart)).any():
                return "right"
    return "read as no independent reader does"


COUNTS = pytest.mark.parametrize(
    "count", [64, pytest.param(520, marks=pytest.mark.slow)], ids=["some", "all"]
)


@COUNTS
def test_every_odd_picture_is_done_right_or_named(tmp_path, count):
    programs = (upscale, degrade, prepare, evaluate, estimate, train)
    check(tmp_path, count, *programs, noise_pool, kernelgan)


@COUNTS
@pytest.mark.kserve
def test_every_odd_picture_reaches_a_server_right_or_is_named(tmp_path, count):
    check(tmp_path, count, kserve)


@COUNTS
def test_a_saved_model_decodes_every_odd_picture_right_or_refuses_it(tmp_path, count):
    """TensorFlow decodes, without turning, and JPEG by a quicker and rougher way."""
    unread = (".tif", "grey.bmp", "bits.bmp", "moving.webp", "glass.webp")
    # Damaged files that TensorFlow fills up in its own way, or reads at all.
    otherwise = {
        "0084_bytes_moving.gif",
        "0239_bytes_says_png.png",
        "0378_head_rgb.bmp",
        "0409_head_says_png.png",
    }
    how = {"within": 6, "upright": False}
    check(tmp_path, count, serving_bytes, by_rule=unread, otherwise=otherwise, **how)


def check(folder, count, *programs, by_rule=BY_RULE, otherwise=frozenset(), **judging):
    """Sends odd pictures through programs and prints a row of the table for each."""
    source = folder / "odd"
    files = dict(odd_pictures.corpus(count))
    assert odd_pictures.write(source, count) == list(files)
    for program in programs:
        output = folder / program.__name__
        output.mkdir()
        results = program(source, output)
        assert results.keys() == files.keys(), program.__name__
        outcomes = {
            name: judged(files[name], results[name], **judging) for name in files
        }
        counts = Counter(
            (name.rpartition(".")[2], outcome) for name, outcome in outcomes.items()
        )
        wrong = {
            name: outcome
            for name, outcome in outcomes.items()
            if outcome not in ("right", "refused")
        }
        assert wrong.keys() == otherwise & files.keys(), (program.__name__, wrong)
        for name, result in results.items():
            whole = name.partition("_")[2] in odd_pictures.whole_files()
            if whole and not name.endswith(by_rule):
                assert not isinstance(result, str), (program.__name__, name, result)
        kinds = sorted({kind for kind, _ in counts})
        cells = [f"{counts[k, 'right']} / {counts[k, 'refused']}" for k in kinds]
        print(f"| {program.__name__} | {' | '.join(cells)} |", kinds)


def test_lies_are_refused_by_the_header_within_moments(tmp_path):
    """But for a canvas of GIF that its picture does not fill, and more rows than come.

    Decoders leave these empty, as viewers show them.
    """
    for name, data in odd_pictures.lies().items():
        (tmp_path / name).write_bytes(data)
        if not name.endswith(".gif") and not name.startswith("tall"):
            begin = time.perf_counter()
            with pytest.raises(ImageError, match=name):
                read_rgb_u8(tmp_path / name)
            assert time.perf_counter() - begin < 1, name
