"""Bundles: what is written, what is refused, which one is found."""

import json
import subprocess
import sys

import numpy as np
import pytest

from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.core.errors import UserError
from pdm_tf.models.discriminators import PatchGANConfig
from pdm_tf.models.sr import EDSRConfig
from tests.support.weights import shake

CONFIG = EDSRConfig(scale=2, filters=4, num_blocks=1)


@pytest.fixture(scope="module")
def network():
    network = CONFIG.build()
    shake(network)
    return network


def save(network, folder, step=5):
    return save_bundle(network, folder, step=step, notes={"a": 1})


def edit_index(folder, **changes):
    path = folder / "bundle.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, **changes}))


def test_saving_again_replaces_the_bundle_and_leaves_nothing_behind(network, tmp_path):
    assert save(network, tmp_path / "new" / "sr") == tmp_path / "new" / "sr"
    folder = save(network, tmp_path / "sr", step=5)
    first = load_bundle(folder)
    other = CONFIG.build()
    shake(other, seed=1)
    save(other, folder, step=6)
    second = load_bundle(folder)
    assert (first.step, second.step) == (5, 6) and first.sha256 != second.sha256
    for found, wanted in zip(second.network.weights, other.weights, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert len(list(folder.iterdir())) == 2


def test_a_save_that_dies_before_the_index_leaves_the_old_bundle(
    network, tmp_path, monkeypatch
):
    folder = save(network, tmp_path, step=5)
    other = CONFIG.build()

    def power_cut(*args):
        raise OSError("no space left")

    monkeypatch.setattr("pdm_tf.bundles.bundle.write_json_atomic", power_cut)
    with pytest.raises(OSError, match="no space left"):
        save(other, folder, step=6)
    bundle = load_bundle(folder)
    assert bundle.step == 5
    np.testing.assert_array_equal(bundle.network.weights[0], network.weights[0])


def test_bundles_from_before_a_setting_have_its_default(network, tmp_path):
    """EDSR's `rgb_mean` came later; a tuple comes back as one."""
    folder = save(network, tmp_path)
    index = json.loads((folder / "bundle.json").read_text())
    assert load_bundle(folder).config == CONFIG
    older = {k: v for k, v in index["config"].items() if k != "rgb_mean"}
    assert len(older) == len(index["config"]) - 1
    edit_index(folder, config=older)
    assert load_bundle(folder).config == CONFIG


def test_loading_in_another_type_keeps_the_weights(network, tmp_path):
    folder = save(network, tmp_path)
    loaded = load_bundle(folder, "mixed_bfloat16").network
    assert loaded.head.compute_dtype == "bfloat16"
    for found, wanted in zip(loaded.weights, network.weights, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_same_weights_have_the_same_hash(network, tmp_path):
    """Whatever the time of day, which a .keras file holds too."""
    one, two = save(network, tmp_path / "one"), save(network, tmp_path / "two", step=9)
    assert load_bundle(one).sha256 == load_bundle(two).sha256
    assert [p.name for p in one.glob("*.keras")] == [
        p.name for p in two.glob("*.keras")
    ]


def test_a_networks_name_is_not_in_the_hash(network, tmp_path):
    """Keras numbers networks without one by what the process has made before."""
    renamed = CONFIG.build(name="another")
    renamed.set_weights(network.get_weights())
    one, two = save(network, tmp_path / "one"), save(renamed, tmp_path / "two")
    assert load_bundle(one).sha256 == load_bundle(two).sha256
    again = save(load_bundle(one).network, tmp_path / "three")
    assert load_bundle(again).sha256 == load_bundle(one).sha256


def test_role_and_scale_are_the_networks(tmp_path):
    """A translator of scale 1 in a x4 run left with scale 4, until format 1."""
    folder = save(EDSRConfig(scale=1, filters=4, num_blocks=1).build(), tmp_path)
    index = json.loads((folder / "bundle.json").read_text())
    assert (index["role"], index["scale"]) == ("sr", 1)
    edit_index(folder, format=1, scale=4, role="clean")
    bundle = load_bundle(folder)
    assert (bundle.role, bundle.scale) == ("sr", 1)


def test_the_grid_is_the_sr_networks(network, tmp_path):
    for grid in ("pixel0", "half_pixel", None):
        save_bundle(network, tmp_path / "sr", step=1, grid=grid)
        assert load_bundle(tmp_path / "sr").grid == grid
    edit_index(tmp_path / "sr", grid="pixel1")
    with pytest.raises(UserError, match="pixel0, half_pixel, or null. .*'pixel1'"):
        load_bundle(tmp_path / "sr")
    judge = PatchGANConfig(filters=4, strides=(1, 1)).build()
    folder = save_bundle(judge, tmp_path / "d", step=1, grid="pixel0")
    assert load_bundle(folder).grid is None


@pytest.mark.parametrize(
    ("notes", "grid"),
    [
        ({"method": "pdm_sr"}, "pixel0"),
        ({"method": "pdm_srgan"}, "pixel0"),
        ({"method": "supervised"}, None),
        ({"imported_from": "edsr.pth"}, None),
        ({}, None),
    ],
)
def test_the_grid_of_bundles_from_before_it_was_written(network, tmp_path, notes, grid):
    """That of their method, which is said by their notes alone."""
    folder = save_bundle(network, tmp_path, step=1, notes=notes, grid=None)
    assert load_bundle(folder).grid is None
    index = json.loads((folder / "bundle.json").read_text())
    del index["grid"]
    (folder / "bundle.json").write_text(json.dumps(index))
    assert load_bundle(folder).grid == grid


def test_a_network_that_could_not_be_loaded_again_is_not_saved(tmp_path):
    from pdm_tf.degradations import NoiseModuleConfig

    with pytest.raises(ValueError, match="one of EDSR.*Received: NoiseModule"):
        save(NoiseModuleConfig(filters=4, num_blocks=1).build(), tmp_path)


KERAS_PROGRAM = """
import sys
import keras
import pdm_tf.bundles.bundle
network = keras.saving.load_model(sys.argv[1])
print(type(network).__name__, network.scale, network.count_params())
"""


def test_a_program_that_knows_only_keras_opens_the_file(network, tmp_path):
    """With the lines that the module's docstring and the documents give."""
    (file,) = save(network, tmp_path).glob("*.keras")
    done = subprocess.run(
        [sys.executable, "-c", KERAS_PROGRAM, str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["EDSR", "2", str(network.count_params())]


def cut_weights(folder):
    (weights,) = folder.glob("*.keras")
    weights.write_bytes(weights.read_bytes()[:-100])


def flip_a_bit(folder):
    (weights,) = folder.glob("*.keras")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(bytes(data))


def remove_weights(folder):
    (weights,) = folder.glob("*.keras")
    weights.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_weights, "damaged .File is not a zip.*.: .*keras"),
        (flip_a_bit, "damaged .Bad CRC.*: .*keras"),
        (remove_weights, "weights file is missing: .*keras"),
        (lambda f: (f / "bundle.json").unlink(), "No bundle here: .*bundle.json"),
        (lambda f: (f / "bundle.json").write_text("{"), "bundle.json must be JSON"),
        (lambda f: (f / "bundle.json").write_bytes(b"\xff\xfe"), "must be JSON"),
        (lambda f: (f / "bundle.json").write_text("[]"), "must be an object"),
        (
            lambda f: (f / "bundle.json").write_text('{"format": 1}'),
            "it lacks network, con",
        ),
        (
            lambda f: (f / "bundle.json").write_text("[" * 100_000),
            "nested too deeply.*Restore it from a copy",
        ),
        (lambda f: edit_index(f, step="7"), "it.step must be a whole number.*'7'"),
        (lambda f: edit_index(f, network=[]), "it.network must be a text"),
        (lambda f: edit_index(f, config={"filters": "a"}), "does not fit EDSRConfig"),
        (
            lambda f: edit_index(f, format=99),
            "1 to 2. Received: .*format 99",
        ),
        (lambda f: edit_index(f, network="VDSR"), "must be one of EDSR.*VDSR"),
        (
            lambda f: edit_index(f, config={"depth": 3}),
            "does not fit EDSRConfig.*depth",
        ),
        (lambda f: edit_index(f, config={"scale": 7}), "does not fit EDSRConfig.*=7"),
        (lambda f: edit_index(f, config={"filters": 8}), "those of its config"),
    ],
)
def test_damaged_or_missing_files_are_clear_errors(network, tmp_path, damage, message):
    folder = save(network, tmp_path / "b")
    damage(folder)
    with pytest.raises(UserError, match=message):
        load_bundle(folder)
