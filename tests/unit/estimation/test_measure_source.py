"""The stages in order, on small folders with a regressor that has hardly learned.

What the parts find is tested with each of them; here it counts that they get the right
things, that nothing is done twice, and that a stop loses one stage at most.
"""

import dataclasses
import json

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import write_png
from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.estimation import measure_source as module
from pdm_tf.estimation.folder_check import check_folders
from pdm_tf.estimation.kernel_regressor import TrainingStopped
from pdm_tf.estimation.measure_source import SourceSettings, measure_source
from tests.unit.estimation.folders import blurred, noisy, sharp, write_folders

SMALL = SourceSettings(samples=48, epochs=1, rounds=1, draws=24)


def lr_photographs(count=12):
    return [noisy(blurred(x, 1.5, 4), 4.0, i) for i, x in enumerate(sharp()[:count])]


def measured(root, settings=SMALL, folder="out", **more):
    given = {"scale": 4, "grid": "pixel0", "settings": settings, **more}
    return measure_source(root / "hr", root / "lr", root / folder, **given)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folders that were measured once."""
    root = tmp_path_factory.mktemp("source")
    write_folders(root, sharp()[:6], lr_photographs())
    (root / "lr/broken.png").write_bytes(b"no image")
    return root, measured(root)


def test_the_estimate_is_whole_and_stored(place):
    root, estimate = place
    stored = json.loads((root / "out/estimate.json").read_text())
    assert SourceEstimate.from_json(stored) == estimate
    names = [one.name for one in estimate.photographs]
    assert names == sorted(names) and len(names) == 13
    left_out = [one for one in estimate.photographs if one.left_out]
    assert [one.name for one in left_out] == ["broken.png"]
    assert left_out[0].kernel is None
    assert all(one.kernel for one in estimate.photographs if not one.left_out)
    assert (estimate.scale, estimate.grid, estimate.jpeg) == (4, "pixel0", None)
    assert set(estimate.facts["seconds"]) == {
        "check",
        "jpeg",
        "noise",
        "regressor",
        "kernels",
        "population",
    }
    check = json.loads((root / "out/check.json").read_text())
    assert check["lr"]["usable"] == 12 and check["advice"]["steps"] == 2000


def test_noise_reaches_the_estimate(place):
    noise = place[1].noise
    assert noise is not None
    assert noise.std_255(0.5) == pytest.approx(4.0, rel=0.3)


def test_nothing_is_done_twice(place, monkeypatch):
    root, estimate = place
    for name in ("measure_jpeg", "measure_noise", "train_regressor", "fit_population"):
        monkeypatch.setattr(module, name, None)  # would fail if it were called
    again = measured(root)
    assert dataclasses.replace(again, facts={}) == dataclasses.replace(
        estimate, facts={}
    )
    took, first = (x.facts["seconds"] for x in (again, estimate))
    for stage in set(first) - {"check"}:  # which is always done
        assert 0.0 < took[stage] == pytest.approx(first[stage], abs=0.05)


def test_a_check_that_is_given_counts_with_its_seconds(place):
    root, _ = place
    check = dataclasses.replace(check_folders(root / "hr", root / "lr", 4), seconds=7.5)
    assert measured(root, check=check).facts["seconds"]["check"] == 7.5


def test_other_settings_are_measured_anew_but_no_more_than_needed(place, monkeypatch):
    root, _ = place
    for name in ("measure_jpeg", "measure_noise", "train_regressor"):
        monkeypatch.setattr(module, name, None)
    called = []
    real = module.fit_population
    monkeypatch.setattr(
        module, "fit_population", lambda *a, **k: called.append(1) or real(*a, **k)
    )
    measured(root, dataclasses.replace(SMALL, draws=25))
    assert called == [1]


class After:
    """Says stop when it was asked so often."""

    def __init__(self, times):
        self.left = times

    def __call__(self):
        self.left -= 1
        return self.left < 0


def test_a_stop_is_heard_in_every_stage_and_loses_one_at_most(tmp_path):
    write_folders(tmp_path, sharp()[:4], lr_photographs(4))
    stops, estimate = 0, None
    while estimate is None:
        try:
            estimate = measured(tmp_path, stop=After(45 * stops))
        except TrainingStopped:
            stops += 1
    assert stops >= 2  # in several stages
    write_folders(tmp_path / "whole", sharp()[:4], lr_photographs(4))
    whole = measured(tmp_path / "whole")
    assert whole.kernels == estimate.kernels and whole.noise == estimate.noise


def test_progress_never_goes_back(place):
    root, _ = place
    seen = []
    measured(root, on_progress=lambda done, total: seen.append((done, total)))
    done = [x for x, _ in seen]
    assert done == sorted(done) and done[0] == 0
    assert seen[-1][0] == seen[-1][1]


def test_the_regressor_serves_other_photographs(place, monkeypatch):
    root, _ = place
    given = dataclasses.replace(SMALL, regressor=str(root / "out"))
    monkeypatch.setattr(module, "train_regressor", None)
    other = [noisy(blurred(x, 2.0, 4), 4.0, i) for i, x in enumerate(sharp())]
    for index, rgb_u8 in enumerate(other):
        write_png(root / "other" / f"{index}.png", rgb_u8)
    estimate = measure_source(
        root / "hr", root / "other", root / "o", scale=4, grid="pixel0", settings=given
    )
    assert len(estimate.photographs) == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": 49}, "other samples"),
        ({"regressor": "nowhere"}, "must be one of pdm_tf.estimate"),
    ],
)
def test_a_regressor_of_something_else_is_refused(place, change, words):
    root, _ = place
    given = {"regressor": str(root / "out"), **change}
    with pytest.raises(UserError, match=words):
        measured(root, dataclasses.replace(SMALL, **given), folder="refused")


def test_hr_photographs_count_by_content_and_not_by_time(place, monkeypatch):
    root, _ = place
    monkeypatch.setattr(module, "train_regressor", None)
    path = root / "hr/00.png"
    write_png(path, sharp()[0])  # the same pixels, a new file
    measured(root)
    write_png(path, sharp()[9])
    with pytest.raises(TypeError):  # it would learn anew
        measured(root)
    write_png(path, sharp()[0])


@pytest.mark.parametrize(
    ("hr", "lr", "words"),
    [
        ([x[:100] for x in sharp()[:4]], None, "At least 3 HR photographs"),
        (None, [np.zeros([44, 44, 3], np.uint8)], "At least one LR photograph"),
        ([blurred(x, 2.0, 1) for x in sharp()], None, "as blurred as the LR ones"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, hr, lr, words):
    blurry = [blurred(x, 2.0, 4) for x in sharp()]
    write_folders(tmp_path, hr or sharp()[:6], lr or blurry)
    with pytest.raises(UserError, match=words):
        measured(tmp_path)
    stored = json.loads((tmp_path / "out/check.json").read_text())
    assert any(one["level"] == "error" for one in stored["findings"])
    assert not (tmp_path / "out/estimate.json").exists()


def test_one_photograph_has_an_estimate_that_says_what_it_is(tmp_path):
    write_folders(tmp_path, sharp()[:6], lr_photographs(1))
    estimate = measured(tmp_path)
    assert len(estimate.photographs) == 1
    assert np.linalg.eigvalsh(np.array(estimate.kernels.covariance)).min() > 0
    stored = json.loads((tmp_path / "out/check.json").read_text())
    assert "one_lr" in {one["code"] for one in stored["findings"]}


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`draws` of SourceSettings"):
        SourceSettings(draws=7)  # too few to fit the map from kernels to outputs
