"""Result files: in full or not at all; what they keep, and what they cannot hold."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.inference.file_pipeline import upscale_file, upscale_files
from pdm_tf.inference.files import FileOptions, FileTask
from pdm_tf.inference.pictures import read_picture
from pdm_tf.inference.result_files import FORMATS, TargetFile, format_of
from tests.support.photographs import (
    MAKE,
    ORIENTATION,
    XMP,
    icc_profile,
    samples,
    write_photo,
    write_png,
)
from tests.unit.inference.fakes import FakeEngine


def test_the_name_appears_at_commit_alone(tmp_path):
    path = tmp_path / "new" / "a.png"
    seen = []
    with TargetFile(path) as target:
        os.write(target.descriptor, b"content")
        assert not path.exists()
        target.commit(lambda facts: seen.append((facts.st_size, path.exists())))
    assert path.read_bytes() == b"content"
    assert seen == [(7, False)]
    assert os.listdir(path.parent) == ["a.png"]


def test_without_commit_nothing_remains_and_the_old_file_stays(tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    with TargetFile(tmp_path / "a.png") as target:
        os.write(target.descriptor, b"new")
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_leftovers_of_a_killed_program_are_overwritten(tmp_path):
    (tmp_path / ".a.png.0.tmp").write_bytes(b"half of a longer file")
    with TargetFile(tmp_path / "a.png") as target:
        os.write(target.descriptor, b"whole")
        target.commit()
    assert (tmp_path / "a.png").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.png"]


def test_two_programs_do_not_write_the_same_file(tmp_path):
    holder = (
        "import sys, pathlib; from pdm_tf.inference.result_files import TargetFile\n"
        "target = TargetFile(pathlib.Path(sys.argv[1]))\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "a.png")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(ImageError, match="is being written by another program"):
        TargetFile(tmp_path / "a.png")
    process.kill()
    process.communicate()
    TargetFile(tmp_path / "a.png").discard()  # the killed one's is free
    assert os.listdir(tmp_path) == []


def test_a_result_renamed_meanwhile_is_not_touched(tmp_path, monkeypatch):
    """Opened, renamed by its writer, then locked: it is a result now."""
    import fcntl

    path = tmp_path / "a.png"
    other = TargetFile(path)
    os.write(other.descriptor, b"other's result")
    calls = []

    def flock(descriptor, operation, real=fcntl.flock):
        calls.append(operation)
        if len(calls) == 1:
            other.commit()
        real(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", flock)
    target = TargetFile(path)
    assert path.read_bytes() == b"other's result"
    target.discard()
    assert path.read_bytes() == b"other's result" and len(calls) == 2


def test_unwritable_targets_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="cannot be written"):
        TargetFile(tmp_path / "file" / "a.png")
    with pytest.raises(ImageError, match="cannot be written .*too long"):
        TargetFile(tmp_path / ("a" * 255 + ".png"))


SUFFIXES = (".png", ".jpg", ".webp", ".tif")


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", [".jpg", ".png", ".webp"])
def test_profile_exif_and_xmp_arrive(tmp_path, source, target):
    """Read back by Pillow, not by what wrote it."""
    icc = icc_profile()
    path = tmp_path / f"a{source}"
    write_photo(path, samples(12, 16, 3), orientation=6, icc=icc, xmp=XMP)
    result = upscale_file(FakeEngine(), path, tmp_path / f"b{target}")
    assert result.status == "done" and result.sr_size == (32, 24)
    with Image.open(tmp_path / f"b{target}") as image:
        assert image.size == (24, 32)
        assert image.info["icc_profile"] == icc
        exif = image.getexif()
        assert exif.get(ORIENTATION, 1) == 1
        assert MAKE in exif or target == ".tif"
        xmp = str(image.info.get("xmp", image.info.get("XML:com.adobe.xmp", "")))
    if source != ".png":  # Pillow's PNGs have no XMP
        assert "Hill" in xmp and 'Orientation="1"' in xmp
    lost = ["EXIF was left out, which is not written to TIFF"]
    assert list(result.notes) == (lost if target == ".tif" else [])


def test_a_file_without_metadata_gets_none(tmp_path):
    """An EXIF block of libvips' defaults would be an invention."""
    path = write_png(tmp_path / "a.png", samples(4, 5, 3))
    upscale_file(FakeEngine(), path, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert "icc_profile" not in image.info
        assert not [tag for tag in (MAKE, ORIENTATION) if tag in image.getexif()]


@pytest.mark.parametrize("name", ["b.jpg", "b.webp"])
def test_16_bits_are_rounded_with_a_note(tmp_path, name):
    values = np.full((8, 8, 3), 32896 + 127, np.uint16)  # 128.49 of 255
    path = write_png(tmp_path / "a.png", values)
    result = upscale_file(FakeEngine(), path, tmp_path / name)
    label = FORMATS[format_of(tmp_path / name)].label
    assert result.notes == (f"16 bits were rounded to 8 for {label}",)
    picture = read_picture(tmp_path / name)
    assert picture.bits == 8
    assert np.abs(picture.pixels.astype(int) - 128).max() <= 1


def test_quality_tells(tmp_path):
    path = write_photo(tmp_path / "a.png", samples(64, 64, 3))
    for suffix in (".jpg", ".webp"):
        sizes = []
        for quality in (30, 95):
            target = tmp_path / f"{quality}{suffix}"
            upscale_file(FakeEngine(), path, target, FileOptions(quality=quality))
            sizes.append(target.stat().st_size)
        assert sizes[0] < 0.6 * sizes[1]


def test_formats_refuse_what_they_cannot_hold_before_the_work(tmp_path):
    """The network never runs, and the next file is done."""

    def unwanted(lr, scale):
        raise AssertionError("the network was asked")

    wide = write_png(tmp_path / "wide.png", np.zeros((1, 33_000, 1), np.uint8))
    clear = write_png(tmp_path / "clear.png", samples(4, 4, 4))
    tasks = [
        FileTask(wide, tmp_path / "wide.jpg"),
        FileTask(wide, tmp_path / "wide.webp"),
        FileTask(clear, tmp_path / "clear.jpg"),
    ]
    results = upscale_files(FakeEngine(unwanted), tasks)
    assert [result.status for result in results] == ["failed"] * 3
    assert [result.reason for result in results] == [
        "would become 66000 x 2 pixels, and JPEG ends at 65500 a side; choose PNG or "
        "TIFF",
        "would become 66000 x 2 pixels, and WebP ends at 16383 a side; choose PNG or "
        "TIFF",
        "has transparent pixels, which JPEG cannot hold; choose PNG, WebP or TIFF",
    ]
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".png"]


@pytest.mark.parametrize("name, side", [("a.jpg", 65_500), ("a.webp", 16_382)])
def test_the_longest_side_is_written(tmp_path, name, side):
    """The limits in the table are the encoders' own, to the pixel (scale 2)."""
    path = write_png(tmp_path / "a.png", np.zeros((1, side // 2, 1), np.uint8))
    result = upscale_file(FakeEngine(), path, tmp_path / name)
    assert result.status == "done", result.reason
    assert result.sr_size == (2, side)


def test_names_of_formats():
    from pathlib import Path

    assert format_of(Path("a/b.JPG")) == "jpeg"
    assert format_of(Path("a.TIFF")) == "tiff"
    with pytest.raises(UserError, match=r"must end in one of .png, .*'a.gif'"):
        format_of(Path("a.gif"))


def test_a_tiff_of_more_than_4_gb_is_a_bigtiff(tmp_path, monkeypatch):
    from pdm_tf.inference import result_files

    path = write_png(tmp_path / "a.png", samples(16, 16, 3))
    starts = []
    for limit in (32 * 32 * 3, 32 * 32 * 3 - 1):
        monkeypatch.setattr(result_files, "_BIGTIFF", limit)
        target = tmp_path / f"{limit}.tif"
        upscale_file(FakeEngine(), path, target)
        starts.append(target.read_bytes()[:4])
        np.testing.assert_array_equal(
            read_picture(target).pixels,
            read_picture(path).pixels.repeat(2, 0).repeat(2, 1),
        )
    assert starts == [b"II*\0", b"II+\0"]
