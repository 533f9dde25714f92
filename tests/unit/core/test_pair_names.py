"""Names of pairs as the field's datasets and people's scripts write them."""

import pytest

from pdm_tf.core.pair_names import PairNames, PairRules, common_ending, stem_in

USUAL = {
    "div2k": ("0001", "0001x4"),
    "div2k_mild": ("0001", "0001x4m"),
    "div2k_wild": ("0001", "0001x4w2"),
    "div2k_folders": ("0001", "X4/0001x4"),
    "esrgan_matlab": ("0001", "0001_bicLRx4"),
    "rcan": ("baby_HR_x4", "baby_LRBI_x4"),
    "realsr": ("Canon_001_HR", "Canon_001_LR4"),
    "selfexsr": ("img_001_SRF_4_HR", "img_001_SRF_4_LR"),
    "both": ("0001_HR", "0001_LR"),
    "small": ("0001", "0001_lr"),
    "case": ("IMG_1", "img_1"),
    "spaces": ("a photo 1", "a photo 1 x4"),
    "bracket": ("p1", "p1(x4)"),
    "bracket_apart": ("p1", "p1 (x4)"),
    "deep": ("city/0001", "city/0001_x4"),
}


@pytest.mark.parametrize("kind", USUAL)
def test_usual_names(kind):
    hr, lr = USUAL[kind]
    names = PairNames([hr, "another", "another_HR2"], 4, draws=False)
    assert names.hr_of(lr) == hr


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("plate", "plate_x10"),
        ("house", "housex2"),
        ("house", "house20"),
        ("room", "room_d2"),
        ("0001", "X2/0001x2"),
        ("color", "colour"),
        ("so", "solr"),
        ("deep/a", "a"),
    ],
)
def test_names_of_other_scenes(hr, lr):
    assert PairNames([hr], 4, draws=False).hr_of(lr) is None


def test_draws_and_doubtful_names():
    names = PairNames(["a", "a_HR", "B", "b", "c_HR"], 4, draws=True)
    assert names.hr_of("c_HR_d12") == "c_HR" and names.hr_of("c_d0") == "c_HR"
    assert names.hr_of("a") == "a" and names.hr_of("B") == "B"
    # Both a and a_HR could be meant, and both B and b.
    assert names.hr_of("a_LR") is None and names.hr_of("b_x4") is None


@pytest.mark.parametrize(
    ("template", "name", "stem"),
    [
        ("{stem}_camera", "a_camera", "a"),
        ("lr/{stem}-f8", "lr/b-f8", "b"),
        ("", "c", "c"),
        ("{stem}_camera", "a", None),
        ("{stem}_camera", "_camera", None),
        ("lr/{stem}", "a", None),
        ("aa{stem}aa", "aaa", None),
    ],
)
def test_a_template_takes_its_own_names_alone(template, name, stem):
    assert stem_in(template, name) == stem


def test_names_of_another_template_are_no_pairs():
    names = PairNames(["a"], 4, draws=False, rules=PairRules(lr_name="{stem}_camera"))
    assert names.hr_of("a_camera") == "a" and names.hr_of("a") is None


@pytest.mark.parametrize(
    ("stems", "ending"),
    [
        (["chelsea_out", "coffee_out"], "_out"),
        (["cat_x4_bsrgan", "bat_x4_bsrgan"], "_x4_bsrgan"),
        (["cat_upscayl_4x_realesrgan-x4plus"] * 2, "_upscayl_4x_realesrgan-x4plus"),
        (["cat/cat_5000", "dog/dog_5000"], "_5000"),
        (["cat", "bat"], ""),
        (["cat_out"], ""),
        ([], ""),
    ],
)
def test_common_ending(stems, ending):
    assert common_ending(stems) == ending
