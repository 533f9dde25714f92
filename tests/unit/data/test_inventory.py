"""Whether the photographs of a run are those that it began with; their colours."""

import numpy as np
import pyvips

from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.images import write_png
from pdm_tf.core.stored import read_json
from pdm_tf.data.inventory import changes, converted, inventory
from pdm_tf.data.shards import make_shards
from tests.unit.data.folders import fill, noise


def test_what_changed_is_said(tmp_path):
    fill(tmp_path / "in")
    before = inventory(tmp_path / "in")
    assert len(before) == len(list((tmp_path / "in").iterdir()))
    assert changes(before, inventory(tmp_path / "in")) == ""
    files = sorted((tmp_path / "in").iterdir())
    size = files[0].stat().st_size
    data = bytearray(files[0].read_bytes())
    data[-20] ^= 1  # of the same size
    files[0].write_bytes(bytes(data))
    assert files[0].stat().st_size == size
    files[1].unlink()
    write_png(tmp_path / "in/deep/new.png", noise(5, 5, 1))
    assert changes(before, inventory(tmp_path / "in")) == (
        f"1 missing ({files[1].name}), 1 new (deep/new.png), "
        f"1 changed ({files[0].name})"
    )


def test_many_names_are_cut_short_and_odd_ones_shown(tmp_path):
    old = {f"{n}.png": "1:a" for n in range(5)}
    assert changes(old, {}) == "5 missing (0.png, 1.png, 2.png, ...)"
    write_png(tmp_path / "a.png", np.zeros([2, 2, 3], np.uint8))
    (tmp_path / "a.png").rename(tmp_path / "gr\udcfcn.png")
    held = inventory(tmp_path)
    assert list(held) == ["gr\udcfcn.png"]
    write_json_atomic(tmp_path / "data.json", held)
    assert read_json(tmp_path / "data.json") == held
    assert b"gr\\udcfcn.png" in (tmp_path / "data.json").read_bytes()


def test_shards_go_by_their_index(tmp_path):
    fill(tmp_path / "in")
    make_shards(tmp_path / "in", tmp_path / "shards")
    before = inventory(tmp_path / "shards")
    assert set(before) == {"index.json", "images-00000.tfrecord"}
    write_png(tmp_path / "in/more.png", noise(9, 9, 1))
    make_shards(tmp_path / "in", tmp_path / "shards")
    assert "changed (" in changes(before, inventory(tmp_path / "shards"))


def test_other_colours_are_named(tmp_path):
    """By the headers alone; what cannot be read is for those who read it."""
    fill(tmp_path / "hr")
    count = len(list((tmp_path / "hr").iterdir()))
    assert converted({"--hr_dir": str(tmp_path / "hr")}) == []
    scene = pyvips.Image.new_from_array(noise(20, 20, 1)).copy(interpretation="srgb")
    for name, space in (("a-phone.png", "p3"), ("b-print.jpg", "cmyk")):
        stored = scene.icc_transform(space, input_profile="srgb")
        stored.write_to_file(str(tmp_path / "hr" / name))
    (line,) = converted({"--hr_dir": str(tmp_path / "hr")})
    assert line.startswith(f"2 of {count + 2} photographs of --hr_dir are not in")
    assert "P3" in line and "1 CMYK" in line and "a-phone.png, b-print.jpg" in line
    write_png(tmp_path / "lr/a.png", noise(5, 5, 1))
    make_shards(tmp_path / "lr", tmp_path / "shards")
    assert converted({"--lr_dir": str(tmp_path / "shards")}) == []
