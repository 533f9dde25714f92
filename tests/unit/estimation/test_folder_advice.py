import numpy as np
import pytest

from pdm_tf.core.source_estimate import (
    JpegPopulation,
    KernelPopulation,
    NoisePopulation,
    SourceEstimate,
)
from pdm_tf.estimation.folder_advice import advice_on, advised_steps
from pdm_tf.estimation.folder_check import Folder, FolderCheck
from pdm_tf.estimation.photograph_facts import PhotographFacts


def folder(count, width, height, **more):
    one = PhotographFacts("a", width=width, height=height, **more)
    return Folder("photos", (one,) * count)


def folders(hr=20, lr=20, scale=4, side=500, **more):
    return FolderCheck(scale, folder(hr, side, side), folder(lr, 100, 100, **more), ())


def estimate(**more):
    eye = tuple(map(tuple, np.eye(3).tolist()))
    return SourceEstimate(4, "pixel0", KernelPopulation((1, 0, 0), eye, eye, 9), **more)


def flags(*args):
    return dict(advice_on(*args).flags)


def test_steps_by_hand():
    """The paper has 200,000 steps on 800 photographs of 2.8 megapixels."""
    paper = FolderCheck(4, folder(800, 2000, 1400), folder(9, 100, 100), ())
    passes = 200_000 * 32 * 128**2 / (800 * 2000 * 1400)
    assert passes == pytest.approx(46.8, abs=0.1)
    assert advised_steps(paper) == 200_000
    assert advised_steps(paper, batch=64) == 110_000
    assert advised_steps(folders()) == 2_000
    # 50 * 200 * 500 * 500 / (32 * 128 * 128) is 4,768.
    assert advised_steps(folders(200)) == 4_800


def test_flags_without_an_estimate():
    quiet = flags(folders(floor_255=0.3, kind="png"))
    assert "--nonoise" in quiet and not any("jpeg" in name for name in quiet)
    loud = flags(folders(floor_255=2.0, kind="jpeg"))
    assert "--nonoise" not in loud and "20 LR photographs" in loud["--jpeg"]
    assert "--scale=2" in flags(folders(scale=2))
    assert "--noise_arg=channels=1" in flags(folders(is_grey=True))
    assert "--cache_mb=17500" in flags(folders(side=17_466))
    assert "--steps=2000 --lr_milestones=0.6,0.8" in quiet


def test_flags_of_an_estimate():
    """What was measured counts, not what the files look like."""
    check = folders(floor_255=0.3, kind="jpeg")
    noise = NoisePopulation((-5.0, -7.0), ((0.1, 0.0), (0.0, 0.1)))
    found = flags(check, estimate(noise=noise))
    assert "--nonoise" not in found and "--jpeg" not in found
    jpeg = JpegPopulation((30, 40), subsampling="444")
    found = flags(check, estimate(jpeg=jpeg))
    assert "--nonoise" in found and "--jpeg --jpeg_arg=subsampling=444" in found


@pytest.mark.parametrize(
    ("hr", "lr", "words"),
    [
        (7, 3, "3 LR photographs: take 20 or more"),
        (7, 28, "28 LR photographs are enough for an estimate; 50 or"),
        (160, 100, "100 LR photographs are enough to estimate the source."),
        (7, 28, "7 HR photographs work; more scenes"),
        (160, 100, "160 HR photographs are enough."),
    ],
)
def test_numbers_of_photographs(hr, lr, words):
    assert any(words in line for line in advice_on(folders(hr, lr)).lines)


def test_json_has_lists_alone():
    stored = advice_on(folders()).to_json()
    assert isinstance(stored["flags"][0], list) and isinstance(stored["lines"], list)
