"""The line at the top: each failure is named, and a healthy one is not slandered."""

import dataclasses

import pytest

from pdm_tf.reporting.page import Verdict
from pdm_tf.reporting.verdict import Facts, verdict_on

HEALTHY = Facts(
    width_std_px=0.6,
    true_width_std_px=0.7,
    centre_px=0.05,
    noise_std=4.0,
    noise_cast=0.3,
    noise_content=0.02,
    told_apart=0.55,
    told_apart_low=0.5,
    psnr=24.1,
    bicubic_psnr=22.2,
    psnr_shift=24.1,
    ssim=0.61,
    bicubic_ssim=0.56,
)


FAULTS = [
    ({"width_std_px": 0.05, "true_width_std_px": None}, "bad", "collapsed"),
    ({"width_std_px": 0.05}, "bad", "collapsed"),
    ({"width_std_px": 0.2, "true_width_std_px": None}, "warning", "vary little"),
    ({"width_std_px": 0.3}, "warning", "vary too little"),
    ({"width_std_px": 1.4}, "warning", "vary too much"),
    ({"centre_px": 0.4}, "warning", "0.40 HR px off"),
    ({"centre_px": 1.2}, "bad", "1.20 HR px off"),
    ({"noise_std": 0.1}, "warning", "vanished"),
    ({"noise_cast": 2.6}, "warning", "colour cast"),
    ({"noise_content": -0.5}, "warning", "edges"),
    ({"told_apart": 0.84, "told_apart_low": 0.79}, "warning", "in 84% of cases"),
    ({"alarm": "kernels_delta,noise_cast"}, "warning", "kernels delta, noise cast"),
    (
        {"psnr": 22.0, "psnr_shift": 22.0, "ssim": 0.5},
        "bad",
        "\u22120.20 dB over bicubic",
    ),
    ({"displaced": ("the LR images lie +2.0",)}, "warning", "The LR images lie +2.0."),
    ({"psnr_shift": 24.4}, "warning", "costs 0.30 dB"),
    ({"psnr_shift": 25.0}, "bad", "costs 0.90 dB"),
]


def test_healthy():
    verdict = verdict_on(HEALTHY)
    assert verdict.state == "good"
    assert "none of the usual failures" in verdict.headline
    assert any("+1.90 dB over bicubic" in point for point in verdict.points)


def test_displaced_pairs_explain_displaced_results():
    beside = {"displaced": ("the LR images lie +2.0",), "psnr_shift": 25.0}
    verdict = verdict_on(dataclasses.replace(HEALTHY, **beside))
    assert verdict.state == "warning" and "Register each LR image" in verdict.advice
    assert "costs 0.90 dB of PSNR. So are the pairs" in verdict.points[0]
    assert not any("grid" in point for point in verdict.points)


@pytest.mark.parametrize(("changed", "state", "told"), FAULTS)
def test_each_failure_is_the_headline(changed, state, told):
    verdict = verdict_on(dataclasses.replace(HEALTHY, **changed))
    assert verdict.state == state
    assert told in verdict.headline


def test_every_warning_says_what_to_do():
    """Whatever the fault: as the headline, and as one of several points."""
    for changed, _, _ in FAULTS:
        assert verdict_on(dataclasses.replace(HEALTHY, **changed)).advice
    together = dataclasses.replace(HEALTHY, centre_px=1.2, noise_std=0.1)
    vanished = [p for p in verdict_on(together).points if "vanished" in p]
    assert vanished and "--nonoise" in vanished[0]
    with pytest.raises(ValueError, match="what to do"):
        Verdict("warning", "Something is odd.")


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"ssim": 0.55}, "warning"),  # PSNR up, SSIM down
        ({"ssim": 0.5595}, "good"),  # not by much
        ({"psnr": 22.0, "psnr_shift": 22.0}, "warning"),  # PSNR down, SSIM up
        ({"psnr": 22.0, "psnr_shift": 22.0, "ssim": 0.5}, "bad"),  # both down
    ],
)
def test_ssim_that_disagrees_is_told(changed, state):
    verdict = verdict_on(dataclasses.replace(HEALTHY, **changed))
    assert verdict.state == state
    assert ("SSIM says the opposite" in verdict.headline) == (state == "warning")


def test_a_wide_interval_is_no_evidence():
    facts = dataclasses.replace(HEALTHY, told_apart=0.84, told_apart_low=0.6)
    assert verdict_on(facts).state == "good"


def test_the_worst_comes_first():
    facts = dataclasses.replace(HEALTHY, centre_px=0.4, width_std_px=0.01)
    verdict = verdict_on(facts)
    assert "collapsed" in verdict.headline and "off" in verdict.points[0]


def test_one_kernel_by_wish_is_no_collapse():
    facts = dataclasses.replace(HEALTHY, width_std_px=0.0, one_kernel=True)
    assert verdict_on(facts).state == "good"


def test_without_facts_it_does_not_pretend():
    assert verdict_on(Facts()).state == "plain"
    only_sr = Facts(psnr=24.0, bicubic_psnr=23.0, psnr_shift=24.0)
    assert "network does what it should" in verdict_on(only_sr).headline


MEASURED = {
    "mean of the kernels' long axis": ((2.2, 2.4, 2.6), 2.5),
    "spread of the kernels' long axis": ((0.4, 0.6, 0.9), 0.7),
}


def test_kernels_that_agree_with_the_photographs_are_good():
    verdict = verdict_on(dataclasses.replace(HEALTHY, measured=MEASURED))
    assert verdict.state == "good"
    assert any("as wide as the photographs say" in point for point in verdict.points)


@pytest.mark.parametrize(
    ("name", "learned", "told"),
    [
        ("mean of the kernels' long axis", 3.7, "is 3.70 HR px, the photographs say"),
        ("mean of the kernels' long axis", 1.8, "say 2.40 (2.20 to 2.60)"),
        ("spread of the kernels' long axis", 1.5, "spread of the kernels' long axis"),
    ],
)
def test_kernels_that_the_photographs_contradict_are_told(name, learned, told):
    measured = MEASURED | {name: (MEASURED[name][0], learned)}
    verdict = verdict_on(dataclasses.replace(HEALTHY, measured=measured))
    assert verdict.state == "warning"
    assert "Learned and measured kernels disagree" in verdict.headline
    assert told in verdict.headline


def test_nothing_is_healthy_after_two_steps():
    """Also where the kernels moved, or cannot be compared with their start."""
    for moved in (None, 0.4):
        facts = dataclasses.replace(HEALTHY, degrades=True, moved=moved, step=2)
        verdict = verdict_on(facts)
        assert verdict.state == "plain"
        assert verdict.headline.startswith("Too early to tell: the degradation was ")
        for later in ({"step": 100}, {"measured": MEASURED}, {"degrades": False}):
            assert verdict_on(dataclasses.replace(facts, **later)).state == "good"


def test_it_is_too_early_while_nothing_has_moved():
    early = dataclasses.replace(HEALTHY, moved=0.01, step=40, psnr=20.0)
    verdict = verdict_on(early)
    assert verdict.state == "plain"
    assert verdict.headline.startswith("Too early to tell")
    assert any("over bicubic" in point for point in verdict.points)
    moved = dataclasses.replace(early, moved=0.2)
    for behind in (moved, dataclasses.replace(early, measured=MEASURED)):
        assert "not learned to enlarge yet" in verdict_on(behind).headline
        ahead = dataclasses.replace(behind, psnr=24.1)
        assert verdict_on(ahead).state == "good"
    later = dataclasses.replace(early, step=5_000, ssim=0.5)
    assert verdict_on(later).state == "bad"
