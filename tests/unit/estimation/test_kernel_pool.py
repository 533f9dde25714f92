"""The pool of a folder: what is kept, left out, remembered and written."""

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.core.stored import read_json
from pdm_tf.estimation import kernel_pool
from pdm_tf.estimation.kernel_pool import PoolRequest, make_kernel_pool
from pdm_tf.estimation.kernelgan import KernelGANSettings
from tests.unit.estimation.fake_gans import FakeGANs
from tests.unit.evaluation.fakes import photo

SETTINGS = KernelGANSettings(steps=3)
REQUEST = PoolRequest(4, "pixel0", SETTINGS, at_once=2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three photographs that work, one whose seeds differ, one small, one broken."""
    monkeypatch.setattr(kernel_pool, "KernelGANs", FakeGANs)
    monkeypatch.setattr(FakeGANs, "trained", [])
    monkeypatch.setattr(FakeGANs, "bombs", 0)
    for name in ("a", "sub/b", "bad", "c"):
        write_png(tmp_path / "in" / f"{name}.png", photo(0, 64, 70))
    write_png(tmp_path / "in/small.png", photo(0, 63, 70))
    (tmp_path / "in/text.png").write_text("text")
    return tmp_path


def make(folder, request=REQUEST, **kwargs):
    return make_kernel_pool(folder / "in", folder / "pool", request, **kwargs)


def test_kernels_rows_and_picture(folder):
    moves, lines = [], []
    outcome = make(
        folder, on_progress=lambda *x: moves.append(x), on_kernel=lines.append
    )
    assert (outcome.estimated, outcome.kept, outcome.kernels) == (4, 0, 3)
    reasons = dict(outcome.left_out)
    assert list(reasons) == ["bad.png", "small.png", "text.png"]
    assert "differ from seed to seed" in reasons["bad.png"]
    assert "is 70x63; crops of 64x64" in reasons["small.png"]
    assert "not a PNG" in reasons["text.png"]
    kernels = np.load(folder / "pool/kernels.npy")
    assert kernels.dtype == np.float32 and kernels.shape == (3, 25, 25)
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), 1, rtol=1e-6)
    about = read_json(folder / "pool/kernels.json")
    rows = {row["name"]: row for row in about["photographs"]}
    assert [rows[f"{n}.png"]["kernel"] for n in ("a", "bad", "c")] == [0, None, 1]
    assert rows["sub/b.png"]["kernel"] == 2 and rows["a.png"]["seeds_apart"] == 0
    assert {name: rows[name]["left_out"] for name in reasons} == reasons
    assert about["scale"] == 4 and about["centre_of_mass"] == 0
    assert read_rgb_u8(folder / "pool/kernels.png").shape[1] > 200
    assert moves[-1][:2] == (12, 12) and moves[0][:2] == (2, 12)
    assert len(lines) == 4 and any("left out" in line for line in lines)


def test_finished_photographs_survive_a_stop(folder):
    write_png(folder / "in/d_bomb.png", photo(0, 64, 64))
    with pytest.raises(KeyboardInterrupt):
        make(folder)
    before = {name.rpartition("/")[0] for name in FakeGANs.trained}
    assert before == {"a.png", "bad.png"}  # two at once, in order
    FakeGANs.trained.clear()
    outcome = make(folder)
    again = {name.rpartition("/")[0] for name in FakeGANs.trained}
    assert again == {"c.png", "d_bomb.png", "sub/b.png"}
    assert (outcome.estimated, outcome.kept, outcome.kernels) == (3, 2, 4)
    resumed = (folder / "pool/kernels.npy").read_bytes()
    fresh = make_kernel_pool(folder / "in", folder / "fresh", REQUEST)
    assert fresh.estimated == 5
    assert (folder / "fresh/kernels.npy").read_bytes() == resumed


def test_another_scale_or_grid_is_made_of_the_same_estimates(folder):
    make(folder)
    FakeGANs.trained.clear()
    outcome = make(folder, PoolRequest(2, "half_pixel", SETTINGS))
    assert not FakeGANs.trained and outcome.kept == 4 and outcome.estimated == 0
    assert np.load(folder / "pool/kernels.npy").shape == (3, 13, 13)
    assert read_json(folder / "pool/kernels.json")["centre_of_mass"] == 0.5


def test_a_changed_photograph_or_file_is_done_again(folder):
    make(folder)
    FakeGANs.trained.clear()
    write_png(folder / "in/a.png", photo(1, 65, 70))
    (folder / "pool/estimates/c.png.npz").unlink()
    assert make(folder).estimated == 2
    assert {name[0] for name in FakeGANs.trained} == {"a", "c"}


def test_nothing_usable(folder):
    for name in ("a", "c", "sub/b"):
        (folder / "in" / f"{name}.png").unlink()
    (folder / "pool").mkdir()
    (folder / "pool/kernels.npy").write_bytes(b"of an earlier start")
    outcome = make(folder)
    assert outcome.kernels == 0 and not (folder / "pool/kernels.npy").exists()
    with pytest.raises(UserError, match="no folder"):
        make_kernel_pool(folder / "none", folder / "pool", REQUEST)
