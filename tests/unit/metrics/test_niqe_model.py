"""NIQE's parameter sets: our file, the LIVE release's, MATLAB's; what is refused."""

import numpy as np
import pytest
from scipy.io import savemat

from pdm_tf.core.errors import UserError
from pdm_tf.metrics.niqe_model import NiqeModel, load_model, read_mat, save_model

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
    """As saved by MATLAB 5 files: rows, columns, structs."""
    savemat(tmp_path / "p.mat", content)
    model = read_mat(tmp_path / "p.mat", "LIVE")
    assert model.name == "LIVE"
    np.testing.assert_array_equal(model.mean, MEAN)
    np.testing.assert_array_equal(model.covariance, COVARIANCE)


def test_mat_files_of_something_else(tmp_path):
    savemat(tmp_path / "p.mat", {"niqe": 3.0})
    with pytest.raises(UserError, match="mu_prisparam.*with niqe.*m = niqeModel"):
        read_mat(tmp_path / "p.mat", "x")
    (tmp_path / "q.mat").write_text("MATLAB")
    with pytest.raises(UserError, match="version 7.*q.mat"):
        read_mat(tmp_path / "q.mat", "x")
    with pytest.raises(UserError, match="no file"):
        read_mat(tmp_path / "r.mat", "x")


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
