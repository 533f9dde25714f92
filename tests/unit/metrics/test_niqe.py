"""NIQE and its fitting against a second, slow implementation from the paper."""

import numpy as np
import pytest
from scipy.io import savemat

from pdm_tf.core.errors import UserError
from pdm_tf.metrics import niqe
from pdm_tf.metrics.niqe import (
    NiqeModel,
    fit_aggd,
    fit_model,
    gaussian_of,
    load_model,
    local_statistics,
    niqe_distance,
    niqe_features,
    read_published,
    save_model,
    sharp_blocks,
)
from tests.oracles import niqe_oracle
from tests.unit.evaluation.fakes import photo


@pytest.fixture(scope="module")
def picture():
    """Three blocks and some pixels more, which are cut off."""
    return photo(3, 99, 300)


@pytest.fixture(scope="module")
def slow(picture):
    return niqe_oracle.features(picture)


@pytest.fixture(scope="module")
def pristine():
    """Statistics of many blocks, so that their covariance has full rank."""
    features = [niqe_features(photo(seed, 480, 480))[0] for seed in range(3)]
    return gaussian_of(np.concatenate(features))


def test_features_equal_the_slow_implementation(picture, slow):
    """Catches a wrong window, neighbour, order of features or scale, the second too."""
    features, sharpness = niqe_features(picture)
    assert features.shape == (3, 36)
    np.testing.assert_allclose(sharpness, slow[1], rtol=1e-9)
    np.testing.assert_allclose(features, slow[0], rtol=1e-7, atol=1e-9)


def test_distance_equals_the_slow_implementation(picture, pristine):
    wanted = niqe_oracle.niqe(picture, *pristine)
    assert niqe_distance(picture, *pristine) == pytest.approx(wanted, rel=1e-6)
    assert wanted > 0.1


def test_fit_equals_the_slow_implementation():
    """Which blocks count as sharp, per photograph, and mean and covariance of them."""
    images = [photo(0, 96, 192), photo(1, 96, 288)]
    images[1][:, :96] = images[1][:, :96] // 8 + 60  # one block loses its contrast
    parts = [niqe_features(image) for image in images]
    kept = np.concatenate([sharp_blocks(*part) for part in parts])
    assert 2 <= len(kept) < 5
    for found, wanted in zip(gaussian_of(kept), niqe_oracle.fit(images), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-10)


def test_shape_of_known_distributions():
    """Gauss has shape 2, Laplace 1; a skewed one its two scales."""
    rng = np.random.default_rng(0)
    normal = rng.normal(0, 3, (1, 400_000))
    laplace = rng.laplace(0, 2, (1, 400_000))
    shape, left, right = fit_aggd(np.concatenate([normal, laplace]))
    np.testing.assert_allclose(shape, [2, 1], rtol=0.02)
    np.testing.assert_allclose(left, [3 * np.sqrt(2), 2], rtol=0.02)
    np.testing.assert_allclose(right, left, rtol=0.02)
    side = np.where(rng.random((1, 400_000)) < 0.25, -1.0, 3.0)
    _, left, right = fit_aggd(np.abs(normal) / 3 * side)
    np.testing.assert_allclose(right / left, 3, rtol=0.02)


def test_local_variance_of_white_noise():
    """Short of the noise's own by the sum of the squared weights of 7/6 px."""
    plane = np.random.default_rng(1).normal(128, 40, (300, 300))
    normal, sigma = local_statistics(plane)
    y, x = np.mgrid[-3:4, -3:4]
    weights = np.exp(-(x**2 + y**2) / (2 * (7 / 6) ** 2))
    weights /= weights.sum()
    wanted = 40**2 * (1 - np.sum(weights**2))
    assert np.mean(sigma[3:-3, 3:-3] ** 2) == pytest.approx(wanted, rel=0.01)
    assert abs(normal.mean()) < 0.01
    flat, none = local_statistics(np.full((20, 30), 77.0))
    np.testing.assert_allclose(flat, 0, atol=1e-9)
    np.testing.assert_allclose(none, 0, atol=1e-5)


def test_blocks_without_contrast_are_left_out(pristine):
    """A flat sky has no statistics: NaN, and not a worse score."""
    image = photo(4, 96, 288)
    image[:, :96] = 200
    features, _ = niqe_features(image)
    assert np.isnan(features[0]).any() and np.isfinite(features[2]).all()
    assert np.isfinite(niqe_distance(image, *pristine))
    with pytest.raises(UserError, match="two blocks.*contrast. Received: 0 of 2"):
        niqe_distance(np.full((96, 192, 3), 9, np.uint8), *pristine)


def test_colours_are_rgb_and_grey_images_work(pristine):
    """B26: the release gave BGR."""
    image = photo(5, 96, 192)
    assert niqe_distance(image[..., ::-1], *pristine) != niqe_distance(image, *pristine)
    grey = image[..., :1]
    assert niqe_distance(grey, *pristine) == niqe_distance(
        np.repeat(grey, 3, axis=-1), *pristine
    )


def test_too_few_blocks_make_no_set():
    features, _ = niqe_features(photo(6, 576, 576))
    with pytest.raises(UserError, match="more than 36 sharp blocks.*Received: 36"):
        fit_model("a", features)


def test_distorted_photographs_score_worse(shared_data):
    """Fitted on half of the real photographs, measured on others: it ranks."""
    from scipy import ndimage

    from pdm_tf.core.images import list_images, read_rgb_u8

    images = [read_rgb_u8(path) for path in list_images(shared_data / "hr")[:60]]
    model = fit_model(
        "half", np.concatenate([sharp_blocks(*niqe_features(x)) for x in images[::2]])
    )
    rng = np.random.default_rng(0)
    distorted = {
        "blur": lambda x: ndimage.gaussian_filter(x.astype(float), (2, 2, 0)),
        "noise": lambda x: x + rng.normal(0, 25, x.shape),
    }
    clean = np.array([model.measure(image) for image in images[1:20:2]])
    for name, distort in distorted.items():
        worse = [
            model.measure(np.clip(np.rint(distort(x)), 0, 255).astype(np.uint8))
            for x in images[1:20:2]
        ]
        print(f"pristine {clean.mean():.2f}, {name} {np.mean(worse):.2f}")
        assert np.mean(worse) > clean.mean() + 1, name
        assert np.sum(np.array(worse) > clean) >= 9, name


RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=36)
_ROOT = RNG.normal(size=(36, 36))
COVARIANCE = _ROOT @ _ROOT.T / 36


def test_round_trip_is_bit_equal(tmp_path):
    path = save_model(NiqeModel("mine", MEAN, COVARIANCE, 77), tmp_path / "a/niqe.npz")
    model = load_model(path)
    assert (model.name, model.blocks) == ("mine", 77)
    np.testing.assert_array_equal(model.mean, MEAN)
    np.testing.assert_array_equal(model.covariance, COVARIANCE)
    assert [p.name for p in path.parent.iterdir()] == ["niqe.npz"]


@pytest.mark.parametrize(
    "content",
    [
        {"mu_prisparam": MEAN[None], "cov_prisparam": COVARIANCE},  # the LIVE release
        {"Mean": MEAN, "Covariance": COVARIANCE, "BlockSize": [96, 96]},  # MATLAB's
        {"model": {"Mean": MEAN[:, None], "Covariance": COVARIANCE}},
    ],
    ids=["live", "matlab", "struct"],
)
def test_mat_files(tmp_path, content):
    """Reads the forms of MATLAB 5 files: rows, columns, structs."""
    savemat(tmp_path / "p.mat", content)
    model = read_published(tmp_path / "p.mat", "LIVE")
    assert model.name == "LIVE"
    np.testing.assert_array_equal(model.mean, MEAN)
    np.testing.assert_array_equal(model.covariance, COVARIANCE)


def test_basicsr_file(tmp_path):
    """Its file also holds the Gaussian's taps; the name of the file does not matter."""
    arrays = {"mu_pris_param": MEAN[None], "cov_pris_param": COVARIANCE}
    with open(tmp_path / "p.mat", "wb") as file:
        np.savez(file, **arrays, gaussian_window=np.ones([7, 7]))
    model = read_published(tmp_path / "p.mat", "LIVE")
    np.testing.assert_array_equal(model.mean, MEAN)
    np.testing.assert_array_equal(model.covariance, COVARIANCE)
    np.savez(tmp_path / "q.npz", mu_pris_param=MEAN)
    with pytest.raises(UserError, match="mu_pris_param and cov_.*with mu_pris_param"):
        read_published(tmp_path / "q.npz", "LIVE")
    np.savez(tmp_path / "r.npz", mu_pris_param=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="Arrays of numbers"):
        read_published(tmp_path / "r.npz", "LIVE")


def test_the_set_of_video_bliinds_is_refused(tmp_path):
    """It has the LIVE release's names and shapes; its numbers give it away."""
    mean = MEAN.copy()
    # Of frames_modelparameters.mat; the LIVE release's begin 2.6013, 0.9057, 0.8120.
    mean[:4] = 3.15379833, 0.92448003, 0.86261795, 0.09264577
    savemat(tmp_path / "p.mat", {"mu_prisparam": mean, "cov_prisparam": COVARIANCE})
    with pytest.raises(UserError, match="Received.*p.mat.*set of Video BLIINDS"):
        read_published(tmp_path / "p.mat", "LIVE")
    mean[0] = 2.6013
    savemat(tmp_path / "p.mat", {"mu_prisparam": mean, "cov_prisparam": COVARIANCE})
    assert read_published(tmp_path / "p.mat", "LIVE").mean[0] == 2.6013


def test_mat_files_of_something_else(tmp_path):
    savemat(tmp_path / "p.mat", {"niqe": 3.0})
    with pytest.raises(UserError, match="mu_prisparam.*with niqe.*m = niqeModel"):
        read_published(tmp_path / "p.mat", "x")
    (tmp_path / "q.mat").write_text("MATLAB")
    with pytest.raises(UserError, match="version 7.*q.mat"):
        read_published(tmp_path / "q.mat", "x")
    with pytest.raises(UserError, match="no file"):
        read_published(tmp_path / "r.mat", "x")


def test_a_damaged_mat_cannot_take_the_process_down(tmp_path, monkeypatch):
    """Nor one that ends SciPy's native reader by a signal, as some do."""
    savemat(tmp_path / "a.mat", {"Mean": MEAN, "Covariance": np.eye(36)})
    whole = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "b.mat").write_bytes(whole[:140])
    with pytest.raises(UserError, match=r"version 7.*b\.mat .SciPy ended with"):
        read_published(tmp_path / "b.mat", "x")
    monkeypatch.setattr(niqe, "_MAT_READER", "import os; os.abort()")
    with pytest.raises(UserError, match=r"a\.mat .SciPy ended by SIGABRT\)"):
        read_published(tmp_path / "a.mat", "x")


def test_files_that_are_no_set(tmp_path):
    """A pickled array is refused, not executed."""
    with pytest.raises(UserError, match="no file .*fit_niqe"):
        load_model(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError, match="is an .npz file.*text.npz"):
        load_model(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", mean=MEAN)
    with pytest.raises(UserError, match="without format, covariance, name, blocks"):
        load_model(tmp_path / "other.npz")
    np.savez(tmp_path / "pickle.npz", mean=np.array([print], object))
    with pytest.raises(UserError, match="pickle.npz"):
        load_model(tmp_path / "pickle.npz")
    np.save(tmp_path / "one.npy", MEAN)
    with pytest.raises(UserError, match="one.npy"):
        load_model(tmp_path / "one.npy")


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        (MEAN[:35], COVARIANCE, r"\[36\].*Received: \(35,\)"),
        (MEAN * np.nan, COVARIANCE, "finite"),
        (MEAN, COVARIANCE + np.triu(np.ones((36, 36)), 1), "symmetric"),
        (MEAN, -COVARIANCE, "negative eigenvalues"),
    ],
)
def test_parameters_that_are_no_gaussian(mean, covariance, message):
    with pytest.raises(UserError, match=message):
        NiqeModel("x", mean, covariance)
