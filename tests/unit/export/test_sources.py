"""The meanings of --model: bundles, run folders, chains; refused networks."""

import numpy as np
import pytest

from export import sources as sources_module
from export.__main__ import ExportConfig
from export.sources import open_sources
from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_float
from pdm_tf.core.stored import read_json
from pdm_tf.degradations import JPEGModuleConfig
from pdm_tf.run import source_name
from tests.support.tiny_nets import built, photo, sr_bundle, tiny_pdm
from tests.support.tiny_runs import X1, X2, pdm_bundle, run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder as `pdm_sr` writes it, and its networks by the bundles' names."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    return folder, run_folder(folder)


def same_weights(one, other):
    pairs = zip(one.variables, other.variables, strict=True)
    return all(np.array_equal(a.value, b.value) for a, b in pairs)


@pytest.mark.parametrize(("weights", "suffix"), [("ema", "_ema"), ("raw", "")])
def test_a_run_folder_gives_both_networks_of_one_kind(run, weights, suffix):
    """Averaged and last weights are never mixed."""
    folder, networks = run
    found = open_sources([str(folder)], weights)
    network = found.network
    assert same_weights(network, networks[f"sr{suffix}"])
    assert same_weights(found.degradation.network, networks[f"pdm{suffix}"])
    assert found.network.scale == 2
    index = read_json(folder / "bundles" / f"sr{suffix}" / "bundle.json")
    assert found.provenance == {
        "weights_sha256": index["sha256"],
        "run": f"mine/sr{suffix}",
        "step": "7",
    }
    assert found.degradation_provenance["run"] == f"mine/pdm{suffix}"
    assert found.degradation_provenance["step"] == "11"


def test_without_the_degradation(run):
    folder, networks = run
    found = open_sources([str(folder)], degradation=False)
    assert found.degradation is None and found.degradation_provenance["run"] == ""
    assert same_weights(found.network, networks["sr_ema"])


def test_a_bundle_is_taken_whatever_weights_are_asked_for(run):
    folder, networks = run
    found = open_sources([str(folder / "bundles" / "sr")], "ema")
    assert same_weights(found.network, networks["sr"])
    assert found.degradation is None and found.sources == ("mine/sr",)


def test_a_pdms_bundle_alone(run):
    folder, networks = run
    found = open_sources([str(folder / "bundles" / "pdm")])
    assert found.network is None and found.provenance["run"] == ""
    assert same_weights(found.degradation.network, networks["pdm"])
    assert found.degradation_source == "mine/pdm"


def test_a_run_folder_with_only_a_pdm(tmp_path):
    pdm = pdm_bundle(tmp_path / "bundles" / "pdm_ema")
    found = open_sources([str(tmp_path)])
    assert found.network is None
    assert same_weights(found.degradation.network, pdm)
    with pytest.raises(UserError) as refused:
        open_sources([str(tmp_path)], degradation=False)
    message = str(refused.value)
    assert (
        "bundles/sr_ema/bundle.json" in message and "has the bundles pdm_ema" in message
    )
    with pytest.raises(
        UserError, match="bundles/pdm/bundle.json.*has the bundles pdm_"
    ):
        open_sources([str(tmp_path)], "raw")


def test_a_run_folder_with_only_an_sr_network(tmp_path):
    """Writes a bundle as `supervised` does."""
    network = sr_bundle(tmp_path / "bundles" / "sr_ema", X2)
    found = open_sources([str(tmp_path)])
    assert found.degradation is None and same_weights(found.network, network)


def test_several_in_a_row(run, tmp_path):
    """In the order given, each on what the one before gives, unclipped."""
    folder, networks = run
    clean = built(X1, seed=5)
    clean.variables[-1].assign(clean.variables[-1] + 255.0)  # far beyond white
    save_bundle(clean, tmp_path / "clean", step=7)
    found = open_sources([str(tmp_path / "clean"), str(folder)])
    assert found.degradation is None and found.network.scale == 2
    assert found.sources == ("clean", "mine/sr_ema")
    assert found.provenance["step"] == "7+7"
    image = to_float(photo(9, 12))[None]
    expected = networks["sr_ema"](clean(image)).numpy()
    np.testing.assert_allclose(found(image), expected, atol=1e-6)
    other = networks["sr_ema"](np.clip(clean(image), 0.0, 1.0)).numpy()
    assert np.abs(found(image) - other).max() > 1e-4


def test_the_grid_of_one_and_of_several_in_a_row(run, tmp_path):
    folder, _ = run
    assert open_sources([str(folder)]).grid == "pixel0"
    save_bundle(built(X1), tmp_path / "x1", step=1)
    save_bundle(built(X2), tmp_path / "half", step=1, grid="half_pixel")
    clean, half, mine = str(tmp_path / "x1"), str(tmp_path / "half"), str(folder)
    assert open_sources([clean, mine]).grid == "pixel0"
    assert open_sources([half, clean, half]).grid == "half_pixel"
    assert open_sources([half, mine]).grid is None
    assert open_sources([clean]).grid is None


@pytest.mark.parametrize(
    ("places", "flags", "reason"),
    [
        (["discriminator"], {}, "role 'discriminator'. Give the run folder, or"),
        (["sr", "discriminator"], {}, "role 'discriminator'. Give the run folder, or"),
        (["pdm"], {"degradation": False}, "role 'degradation'. Give it alone, without"),
        (["sr", "pdm_ema"], {}, "role 'degradation'. Give it alone, without"),
    ],
)
def test_roles_that_make_no_image_of_an_image_are_refused(run, places, flags, reason):
    paths = [str(run[0] / "bundles" / name) for name in places]
    with pytest.raises(UserError) as refused:
        open_sources(paths, **flags)
    message = str(refused.value)
    assert message.startswith("--model must name networks from image to image.")
    assert f"Received: {paths[-1]}, which has the {reason}" in message


@pytest.mark.parametrize("degradation", [True, False])
def test_folders_without_a_bundle_are_refused(tmp_path, degradation):
    with pytest.raises(
        UserError, match="or be a bundle itself. Received: .* no bundles"
    ):
        open_sources([str(tmp_path)], degradation=degradation)
    (tmp_path / "bundles").mkdir()
    with pytest.raises(
        UserError, match="or be a bundle itself. Received: .* no bundles"
    ):
        open_sources([str(tmp_path)], degradation=degradation)


def test_damaged_weights_are_refused(tmp_path):
    sr_bundle(tmp_path, X2)
    (weights,) = tmp_path.glob("*.keras")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged .*keras"):
        open_sources([str(tmp_path)])


def test_a_single_bundle_is_loaded_once(tmp_path, monkeypatch):
    """Twice took twice the memory of a large network."""
    sr_bundle(tmp_path, X2)
    loads = []
    load = sources_module.load_bundle
    monkeypatch.setattr(
        sources_module, "load_bundle", lambda path: loads.append(path) or load(path)
    )
    open_sources([str(tmp_path)])
    assert loads == [tmp_path]


def test_names_say_which_run_and_no_more_of_the_path(tmp_path, monkeypatch):
    assert source_name(tmp_path / "big" / "bundles" / "sr") == "big/sr"
    assert source_name(tmp_path / "elsewhere" / "copied") == "copied"
    (tmp_path / "bundles" / "sr").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "bundles" / "sr")
    assert source_name(tmp_path.joinpath(".")) == tmp_path.name


@pytest.mark.parametrize("model", [",", " , "])
def test_commas_alone_name_nothing(model):
    """They used to publish an export of nothing, which removed the files there."""
    with pytest.raises(UserError, match="--model must name a run .* Received: ' ?, ?'"):
        ExportConfig(model=model, output="out")


def test_a_degradation_with_jpeg_is_left_out_of_its_run_and_refused_alone(tmp_path):
    pdm = tiny_pdm(jpeg=JPEGModuleConfig(filters=0))
    for name in ("pdm", "pdm_ema"):
        folder = tmp_path / "bundles" / name
        save_bundle(pdm, folder, step=1)
    for name in ("sr", "sr_ema"):
        sr_bundle(tmp_path / "bundles" / name)
    opened = open_sources([str(tmp_path)])
    assert opened.degradation is None and opened.network is not None
    assert "pdm_ema: a JPEG module cannot be compared" in opened.left_out
    assert opened.left_out.endswith("pdm_tf.degrade applies it")
    with pytest.raises(UserError, match="JPEG module .* pdm_tf.degrade applies it"):
        open_sources([str(tmp_path / "bundles" / "pdm")])
    assert open_sources([str(tmp_path)], degradation=False).degradation is None
