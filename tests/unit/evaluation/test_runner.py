"""The runner: right numbers on the right pixels, broken pairs, infinite values."""

import json
import math

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_u8
from pdm_tf.core.imresize import imresize
from pdm_tf.evaluation.baseline import bicubic_upscaler
from pdm_tf.evaluation.runner import evaluate_pairs, metric_specs
from tests.oracles import psnr_oracle, shift_oracle, ssim_oracle
from tests.unit.evaluation.fakes import BrokenPair, MemoryPair, bicubic_pair

ALL = ("psnr", "ssim", "psnr_shift")


def _nearest(lr_u8):
    return lr_u8.repeat(4, axis=0).repeat(4, axis=1)


def test_scores_are_those_of_the_oracles_on_the_cropped_images():
    """Catches a forgotten crop, swapped images, baseline and model mixed up."""
    pairs = [bicubic_pair(0), bicubic_pair(1, 52, 44)]
    result = evaluate_pairs(_nearest, pairs, metrics=ALL, crop_border=4, scale=4)
    report = result.to_report("nearest")
    for pair, image in zip(pairs, report["images"], strict=True):
        bicubic = to_u8(imresize(pair.lr_u8 / 255.0, 4))
        hr = pair.hr_u8[4:-4, 4:-4]
        for sr, found in ((_nearest(pair.lr_u8), image), (bicubic, image["bicubic"])):
            sr = sr[4:-4, 4:-4]
            assert found["psnr"] == pytest.approx(psnr_oracle.psnr(sr, hr))
            assert found["ssim"] == pytest.approx(ssim_oracle.ssim(sr, hr))
            value, shift = shift_oracle.best(sr, hr, 6)
            assert found["psnr_shift"] == pytest.approx(value)
            assert found["shift"] == list(shift)
    for name in ALL:
        values = [image[name] for image in report["images"]]
        assert report["mean"][name] == pytest.approx(np.mean(values))
        bicubic_values = [image["bicubic"][name] for image in report["images"]]
        expected = np.mean(bicubic_values)
        assert report["baseline"]["bicubic"][name] == pytest.approx(expected)
        assert report["gain"]["bicubic"][name] == pytest.approx(
            np.mean(values) - expected
        )
    gap = report["mean"]["psnr_shift"] - report["mean"]["psnr"]
    assert report["shift_gap"] == pytest.approx(gap)


def test_crop_zero_is_allowed_and_border_errors_count_then():
    """An error in the border alone: seen with crop 0, not with crop 4."""
    pair = bicubic_pair(2)

    def upscale(lr_u8):
        sr_u8 = pair.hr_u8.copy()
        sr_u8[:4] //= 2
        return sr_u8

    whole, inner = (
        evaluate_pairs(upscale, [pair], metrics=["psnr"], crop_border=c, scale=4)
        for c in (0, 4)
    )
    assert whole.mean["psnr"] < 40
    assert inner.mean["psnr"] == math.inf


def test_broken_and_misfitting_pairs_are_named_and_the_others_go_on():
    """Unreadable, of another scale, and too small for a metric."""
    good = bicubic_pair(3)
    other_scale = MemoryPair("half", good.hr_u8, good.hr_u8[::2, ::2])
    small = bicubic_pair(4, 16, 16)
    told = []
    result = evaluate_pairs(
        bicubic_upscaler(4),
        [BrokenPair(), other_scale, good, small],
        metrics=ALL,
        crop_border=4,
        scale=4,
        on_problem=told.append,
    )
    assert [row.name for row in result.rows] == [good.name]
    reasons = dict(result.problems)
    assert "truncated" in reasons["broken"]
    assert "HR 64x48" in reasons["half"] and "SR 128x96" in reasons["half"]
    assert "11x11" in reasons["image4"]
    assert len(told) == 3 and told[0].startswith("broken:")
    report = result.to_report()
    assert report["count"] == 1
    assert [p["name"] for p in report["problems"]] == ["broken", "half", "image4"]


def test_a_defect_of_the_upscaler_is_not_hidden():
    """Only what a user can mend is left out; our own errors stop."""

    def upscale(lr_u8):
        raise TypeError("a defect")

    with pytest.raises(TypeError, match="a defect"):
        evaluate_pairs(
            upscale, [bicubic_pair(5)], metrics=["psnr"], crop_border=4, scale=4
        )


def test_nothing_left_is_an_error_with_the_first_reason():
    with pytest.raises(UserError, match="None of 1 images.*broken.*truncated"):
        evaluate_pairs(
            _nearest, [BrokenPair()], metrics=["psnr"], crop_border=4, scale=4
        )


def test_infinite_values_leave_the_json_valid_and_the_mean_finite():
    """Infinite values are null and named per image, and counted with the mean."""
    exact, other = bicubic_pair(6), bicubic_pair(7)

    def upscale(lr_u8):
        return exact.hr_u8 if lr_u8 is exact.lr_u8 else _nearest(lr_u8)

    result = evaluate_pairs(
        upscale, [exact, other], metrics=ALL, crop_border=4, scale=4
    )
    report = json.loads(json.dumps(result.to_report(), allow_nan=False))
    first, second = report["images"]
    assert first["psnr"] is None and first["psnr_shift"] is None
    assert first["infinite"] == ["psnr", "psnr_shift"]
    assert "infinite" not in second and first["ssim"] == pytest.approx(1.0)
    assert report["mean"]["psnr"] == pytest.approx(second["psnr"])
    assert report["infinite"]["model"] == {"psnr": 1, "psnr_shift": 1}

    alone = evaluate_pairs(upscale, [exact], metrics=ALL, crop_border=4, scale=4)
    report = json.loads(json.dumps(alone.to_report(), allow_nan=False))
    assert report["mean"]["psnr"] is None and report["gain"]["bicubic"]["psnr"] is None
    assert "shift_gap" not in report


def test_constant_images_are_handled():
    """Grey pictures: bicubic is exact, nothing is NaN."""
    grey = np.full((48, 48, 3), 77, np.uint8)
    pair = MemoryPair("grey", grey, grey[::4, ::4])
    result = evaluate_pairs(_nearest, [pair], metrics=ALL, crop_border=4, scale=4)
    assert result.mean == {
        "psnr": math.inf,
        "ssim": pytest.approx(1.0),
        "psnr_shift": math.inf,
    }
    assert result.to_report()["mean_shift"] == [0.0, 0.0]


def test_images_stream_to_on_image_in_order():
    """Whoever draws gets the very arrays that were scored."""
    pairs = [bicubic_pair(8), bicubic_pair(9)]
    seen = []
    evaluate_pairs(
        _nearest,
        pairs,
        metrics=["psnr"],
        crop_border=4,
        scale=4,
        baseline=False,
        on_image=seen.append,
    )
    assert [image.row.name for image in seen] == ["image8", "image9"]
    np.testing.assert_array_equal(seen[1].sr_u8, _nearest(pairs[1].lr_u8))
    assert seen[0].bicubic_u8 is None and seen[0].row.baseline is None


def test_metric_names():
    """Order kept, repeats dropped, the nearest right name for a wrong one."""
    assert [s.name for s in metric_specs(["ssim", "psnr", "ssim"])] == ["ssim", "psnr"]
    with pytest.raises(UserError, match="psrn.*Did you mean 'psnr'"):
        metric_specs(["psrn"])
    with pytest.raises(UserError, match="at least one"):
        metric_specs([])


def test_metrics_that_need_files():
    """Missing, superfluous and misspelt ones are found before any is opened."""
    with pytest.raises(UserError, match="niqe needs a parameter set.*niqe=PATH"):
        metric_specs(["lpips_alex", "niqe"], {"lpips_alex": "nowhere"})
    with pytest.raises(UserError, match="Received: niqe=a, with --metrics=psnr"):
        metric_specs(["psnr"], {"niqe": "a"})
    with pytest.raises(UserError, match="Did you mean 'lpips_alex'"):
        metric_specs(["psnr"], {"lpips_alx": "a"})
    with pytest.raises(UserError, match="No bundle here: nowhere"):
        metric_specs(["lpips_alex"], {"lpips_alex": "nowhere"})
