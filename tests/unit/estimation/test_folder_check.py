import json
import subprocess
import sys

import numpy as np
import pytest
import pyvips
from scipy import stats

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import write_png
from pdm_tf.estimation.folder_check import (
    _student,
    blur_margin,
    check_folders,
    least_hr_side,
)
from tests.unit.estimation.folders import SIDE, blurred, noisy, sharp, write_folders


def good_lr(count=12):
    return [blurred(x, 1.0 + 0.1 * i, 4) for i, x in enumerate(sharp()[:count])]


def checked(root, hr=None, lr=None, scale=4):
    hr = sharp()[:6] if hr is None else hr
    return check_folders(
        *write_folders(root, hr, good_lr() if lr is None else lr), scale
    )


def codes(check, *levels):
    return {one.code for one in check.findings if not levels or one.level in levels}


def found(check, code):
    (one,) = (one for one in check.findings if one.code == code)
    return one


def test_good_folders_give_neither_error_nor_warning(tmp_path):
    done = []
    hr, lr = write_folders(tmp_path, sharp()[:6], good_lr())
    check = check_folders(hr, lr, 4, lambda n, total: done.append((n, total)))
    assert codes(check, "error", "warning") == set()
    assert done == [(n, 18) for n in range(1, 19)]
    stored = check.to_json()
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored
    assert stored["hr"]["usable"] == 6 and stored["lr"]["files"] == 12
    assert stored["lr"]["width"] == [44, 44.0, 44]
    assert stored["hr"]["reduced_detail_db"] - stored["lr"]["detail_db"] > 3.0
    assert stored["lr"]["reduced_detail_db"] is None


def test_it_loads_no_tensorflow():
    code = (
        "import sys, pdm_tf.estimation.folder_advice\n"
        "assert not {'tensorflow', 'keras', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_least_sides():
    assert [least_hr_side(scale) for scale in (1, 2, 3, 4, 8)] == [
        52,
        84,
        116,
        148,
        296,
    ]
    assert blur_margin(4) == 10


def test_one_folder_for_both_is_refused(tmp_path):
    hr, _ = write_folders(tmp_path, sharp()[:2], [])
    with pytest.raises(UserError, match="two different folders"):
        check_folders(hr, tmp_path / "hr" / "." / "", 4)


def test_hr_smaller_than_patch_and_margin(tmp_path):
    check = checked(tmp_path, hr=[x[:140] for x in sharp()[:5]])
    text = found(check, "few_hr").text
    assert "Received: 0 usable of 5" in text and "148 px to each side at x4" in text
    assert found(check, "left_out_hr").names == tuple(f"{i:02d}.png" for i in range(5))
    assert codes(check, "error") == {"few_hr"}


def test_all_black(tmp_path):
    check = checked(tmp_path, lr=[np.zeros([44, 44, 3], np.uint8)] * 3)
    assert codes(check, "error") == {"no_lr"}
    text = found(check, "left_out_lr").text
    assert text == "3 LR photographs are left out: all black."


def test_no_lr_photograph_of_the_least_size(tmp_path):
    check = checked(tmp_path, lr=[x[:31] for x in good_lr()])
    assert "none usable of 12" in found(check, "no_lr").text


@pytest.mark.parametrize(
    ("count", "level", "code"),
    [(1, "warning", "one_lr"), (4, "warning", "few_lr"), (9, "note", "some_lr")],
)
def test_few_photographs(tmp_path, count, level, code):
    assert found(checked(tmp_path, lr=good_lr(count)), code).level == level


def test_swapped_by_size_and_sharpness(tmp_path):
    check = checked(tmp_path, hr=good_lr(), lr=sharp()[:6])
    assert codes(check, "error") == {"swapped"}
    assert "larger" in found(check, "swapped").text


def test_swapped_by_names(tmp_path):
    for index, rgb_u8 in enumerate(sharp()[:4]):
        write_png(tmp_path / "lr" / f"{index}.png", rgb_u8)
        write_png(tmp_path / "hr" / f"{index}x4.png", blurred(rgb_u8, 1.5))
    check = check_folders(tmp_path / "hr", tmp_path / "lr", 4)
    assert "4 LR photographs are 4 times as large" in found(check, "swapped").text


def test_larger_lr_photographs_that_are_not_sharper_are_fine(tmp_path):
    """Whole photographs of a telephone, and HR ones of a small collection."""
    soft = [np.tile(blurred(x, 0.8, 1), (2, 2, 1)) for x in sharp()]
    assert "swapped" not in codes(checked(tmp_path, lr=soft))


def test_pairs_are_noted(tmp_path):
    for index, rgb_u8 in enumerate(sharp()[:4]):
        write_png(tmp_path / "hr" / f"{index}.png", rgb_u8)
        write_png(tmp_path / "lr" / f"{index}x4.png", blurred(rgb_u8, 1.5))
    one = found(check_folders(tmp_path / "hr", tmp_path / "lr", 4), "pairs")
    assert one.level == "note" and "pairs=real" in one.text
    write_png(tmp_path / "lr/0x4.png", blurred(sharp()[7], 1.5))  # another scene
    check = check_folders(tmp_path / "hr", tmp_path / "lr", 4)
    assert "pairs" not in codes(check)


def test_equal_and_shared_photographs(tmp_path):
    check = checked(tmp_path / "a", lr=sharp()[:6])
    assert "equal_folders" in codes(check, "error")
    check = checked(tmp_path / "b", lr=[*good_lr(), sharp()[2]])
    assert found(check, "shared").names == ("t12.png",)
    check = checked(tmp_path / "c", lr=[*good_lr(), good_lr()[3]])
    assert found(check, "repeated_lr").names == ("t12.png = t03.png",)


def test_hr_as_blurred_as_lr(tmp_path):
    soft = [blurred(x, 2.0, 1) for x in sharp()[:6]]
    check = checked(tmp_path, hr=soft, lr=[blurred(x, 2.0, 4) for x in sharp()])
    assert codes(check, "error") == {"hr_blurred"}
    assert "every 4th pixel" in found(check, "hr_blurred").text


def test_one_blurred_hr_photograph_is_named(tmp_path):
    check = checked(tmp_path, hr=[*sharp()[:6], blurred(sharp()[7], 2.0, 1)])
    assert found(check, "hr_soft").names == ("06.png",)
    assert codes(check, "error") == set()


def test_hr_blurred_less_than_lr(tmp_path):
    check = checked(
        tmp_path,
        hr=[blurred(x, 1.3, 1) for x in sharp()[:6]],
        lr=[blurred(x, 2.5, 4) for x in sharp()],
    )
    assert "hr_soft" in codes(check, "warning")
    assert codes(check, "error") == set()


def test_lr_without_blur_and_enlarged_lr(tmp_path):
    check = checked(tmp_path / "a", lr=[x[::4, ::4] for x in sharp()])
    assert "lr_sharp" in codes(check, "warning")
    check = checked(tmp_path / "b", lr=[blurred(x, 2.5, 1) for x in sharp()])
    assert "lr_enlarged" in codes(check, "warning")


def test_two_sources(tmp_path):
    lr = [blurred(x, 1.2, 4) for x in sharp()]
    check = checked(tmp_path / "a", lr=lr)
    assert "two_sources" not in codes(check)
    grey = [np.clip(x, 20, 235) for x in lr]
    calm = [np.concatenate([x, np.full_like(x, 100)]) for x in grey]
    mixed = [noisy(x, 12.0, i) if i % 3 == 0 else x for i, x in enumerate(calm)]
    one = found(checked(tmp_path / "b", lr=mixed), "two_sources")
    assert "noise" in one.text and "4 of them" not in one.text
    assert one.names == ("t00.png", "t03.png", "t06.png", "t09.png")


def test_colours(tmp_path):
    dark = [(x * 0.4).astype(np.uint8) for x in good_lr()]
    check = checked(tmp_path / "a", lr=dark)
    assert "LR photographs are darker" in found(check, "brightness").text
    grey = [np.repeat(x[..., :1], 3, axis=2) for x in good_lr()]
    check = checked(tmp_path / "b", lr=grey)
    assert "All LR photographs are grey" in found(check, "grey").text


@pytest.mark.parametrize(("count", "warned"), [(3, False), (12, True)])
def test_brightness_of_few_photographs_means_nothing(tmp_path, count, warned):
    ramp = np.linspace(20, 236, SIDE)[:, None, None] * np.ones([1, SIDE, 3])
    hr = [(ramp * x).astype(np.uint8) for x in np.linspace(0.4, 1.0, 12)]
    dark = [(ramp[::4, ::4] * x).astype(np.uint8) for x in (0.2, 0.35, 0.5) * 4]
    check = checked(tmp_path, hr=hr, lr=dark[:count])
    assert ("brightness" in codes(check)) == warned
    a, b = (getattr(check, x).numbers("mean_255").mean(axis=1) for x in ("hr", "lr"))
    # By standard errors alone all of them would have been enough.
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    assert a.mean() - b.mean() > 3.0 * error


@pytest.mark.parametrize("freedom", [1.0, 2.5, 6.0, 150.0])
def test_intervals_of_few_are_students(freedom):
    assert _student(0.997, freedom) == pytest.approx(stats.t.ppf(0.9985, freedom))


def test_outliers_are_named_with_what_is_unlike(tmp_path):
    lr = [blurred(noisy(sharp()[0], 9.0, seed), 1.5, 4) for seed in range(12)]
    odd = np.zeros([44, 44, 3], np.uint8)
    odd[20:24] = 40
    check = checked(tmp_path, lr=[*lr, odd])
    (name,) = (x for x in found(check, "outliers_lr").names if x.startswith("t12.png"))
    assert "low brightness" in name
    assert "t12.png" in found(check, "clipped_lr").names


def test_broken_files_are_left_out_by_reason(tmp_path):
    hr, lr = write_folders(tmp_path, sharp()[:4], good_lr())
    (lr / "bad.png").write_bytes(b"no image")
    check = check_folders(hr, lr, 4)
    one = found(check, "left_out_lr")
    assert one.names == ("bad.png",) and "PNG, JPEG" in one.text
    assert check.to_json()["lr"]["usable"] == 12


def test_sides_are_those_of_the_photographs():
    assert all(x.shape == (SIDE, SIDE, 3) for x in sharp())


def test_colours_that_are_converted_are_named(tmp_path):
    hr, lr = write_folders(tmp_path, sharp()[:4], good_lr())
    scene = pyvips.Image.new_from_array(sharp()[5]).copy(interpretation="srgb")
    for name, space in (("phone.png", "p3"), ("print.jpg", "cmyk")):
        stored = scene.icc_transform(space, input_profile="srgb")
        stored.write_to_file(str(hr / name))
    one = found(check_folders(hr, lr, 4), "colours_hr")
    assert one.level == "note" and one.names == ("phone.png", "print.jpg")
    assert "P3" in one.text and "1 CMYK" in one.text
