"""The page of a run, drawn from arrays and JSON: no network, no TensorFlow."""

import html
import re

import numpy as np
import pytest

from pdm_tf.reporting.run_page import RunPage
from pdm_tf.samples.blur_track import gaussian_kernel
from tests.support.html_check import check_html

DRAW = np.random.default_rng(0)
HOSTILE = '"><img src=x onerror=alert(1)>&amp;'


def network(name, bundle):
    return {
        "name": name,
        "parameters": 1234567,
        "step": 4000,
        "bundle": bundle,
        "sha256": "0123456789abcdef",
        "config": {"filters": 64, "widths": (1, 2), "name": ""},
    }


def run(**networks):
    return {
        "name": "mine",
        "run_dir": "runs/mine",
        "step": 4000,
        "scale": 4,
        "settings": {"method": "pdm_sr", "steps": 5000, "seed": 3},
        "environment": {
            "versions": {"numpy": "2.4"},
            "device": {"cpus": 2, "gpus": []},
            "started": "today",
            "commit": None,
        },
        "networks": networks,
    }


BOTH = run(degradation=network("PDM", "pdm_ema"), sr=network("EDSR", "sr"))


def degradation(**others):
    """Returns samples of a healthy degradation."""
    widths = np.linspace(0.8, 3.0, 30)
    clean = DRAW.random((16, 24, 24, 3)).astype(np.float32)
    patches = DRAW.integers(0, 256, (16, 24, 24, 3)).astype(np.uint8)
    found = {
        "kernels": np.stack([gaussian_kernel(w, 0.8, w) for w in widths]),
        "true_kernels": None,
        "centre_px": 0.0,
        "one_kernel": False,
        "clean_lr": clean,
        "noise": DRAW.standard_normal(clean.shape) * 0.02,
        "fake_lr_u8": patches,
        "real_lr_u8": None,
        "measured": {},
        "missing": "too few photographs",
        "untold": {},
    }
    return found | others


def told_apart(accuracy, low):
    """Returns the parts of DegradationReport.to_json for the verdict and the table."""
    classifier = {"accuracy": accuracy, "low": low, "high": accuracy + 0.02}
    distance = {"mmd2": 0.1, "p_value": 0.01}
    found = {"classifier": classifier, "kernel_distance": distance}
    return {"real_lr": {"synthesised": found, "real": None}}


def scored(psnr, bicubic, shift):
    image = {"name": HOSTILE, "psnr": psnr, "psnr_shift": psnr + shift, "ssim": 0.8}
    image |= {"shift": [1, -2], "bicubic": {"psnr": bicubic, "psnr_shift": bicubic}}
    mean = {"psnr": psnr, "psnr_shift": psnr + shift, "ssim": 0.8}
    mean["ssim"] = 0.8 if psnr > bicubic else 0.6
    other = {"psnr": bicubic, "psnr_shift": bicubic, "ssim": 0.7}
    return {
        "count": 1,
        "crop_border": 4,
        "scale": 4,
        "baseline_grid": "pixel0",
        "mean": mean,
        "baseline": {"bicubic": other},
        "images": [image],
    }


def sections(page):
    return re.findall(r'<section id="(\w+)"', page)


def everything():
    page = RunPage(
        BOTH, [{"step": 1, "loss/g_adv": 0.5}, {"step": 2, "loss/d_lr": 0.2}]
    )
    page.add_degradation(**degradation())
    picture = DRAW.integers(0, 256, (96, 128, 3)).astype(np.uint8)
    compared = [(HOSTILE, (3, 5, 24, 32), picture, 255 - picture)]
    settings = {"scale": 4, "place": "photos", "available": 7, "grid": "pixel0"}
    page.add_comparisons(compared, **settings)
    page.add_scores(scored(27.0, 25.0, 0.05), available=9, place="a and b")
    page.sources.append(("LR photographs", "photos, 1 of 7"))
    page.left_out.append("broken.png: is truncated")
    page.missing.append(("Something else", "was not asked for"))
    return page


def test_a_page_of_everything():
    """Well-formed; what was added, then curves and settings; hostile names as text."""
    text, verdict = everything().render()
    assert check_html(text) == []
    order = "kernels noise patches measured sr scores training missing about"
    assert sections(text) == order.split()
    shown = html.unescape(text)
    for words in (
        "What \u201cmine\u201d has learned",
        "the SR network trained with it: x4, step 4,000.",
        "1 of 7 photographs of photos, evenly by name",
        "LR pixel i on HR pixel 4i",
        "1.5 pixels further down and right",
        "1 of the pairs of a and b",
        f"{HOSTILE}: 32 \u00d7 24 LR pixels at 5, 3",
        "Not measured: too few photographs",
        "Left out: broken.png: is truncated.",
        "Not on this page",
        "was not asked for",
        "1,234,567 parameters, averaged weights of step 4,000, bundle pdm_ema",
        "4,000 of 5,000",
    ):
        assert words in shown, words
    assert "<img src=x" not in text
    assert verdict.state == "good" and verdict.headline in shown


def test_the_verdict_is_on_what_is_shown():
    """Scores measured for the page count, not those of the log."""
    records = [{"step": 1, "val/psnr": 30.0, "val/bicubic/psnr": 25.0}]
    page = RunPage(BOTH, records)
    page.add_scores(scored(24.0, 25.0, 0.0), available=1, place="x")
    verdict = page.render()[1]
    assert verdict.state == "bad"
    assert "24.00 dB on 1 validation pairs, \u22121.00 dB over" in verdict.headline
    assert RunPage(BOTH, records).render()[1].state == "good"


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"kernels": np.stack([gaussian_kernel(2.0, 1.0, 0.0)] * 9)}, "collapsed"),
        ({"centre_px": 1.0}, "off their centre"),
        ({"noise": np.zeros((16, 24, 24, 3))}, "noise has vanished"),
        ({"noise": np.full((16, 24, 24, 1), 0.05)}, "colour cast"),
        ({"measured": told_apart(0.95, 0.93)}, "in 95% of cases"),
    ],
)
def test_faults_of_a_degradation_are_reported(others, told):
    page = RunPage(BOTH, [])
    if "noise" in others:  # a constant has no correlation with anything
        others["noise"] = others["noise"] + 1e-6 * DRAW.standard_normal((16, 24, 24, 1))
    page.add_degradation(**degradation(**others))
    text, verdict = page.render()
    assert verdict.state in ("bad", "warning") and check_html(text) == []
    assert any(told in point for point in (verdict.headline, *verdict.points))


def test_true_kernels_appear_next_to_the_learned_ones():
    true = np.stack([gaussian_kernel(w, 1.0, 0.0) for w in (1.0, 2.0)])
    page = RunPage(BOTH, [])
    page.add_degradation(**degradation(true_kernels=true, real_lr_u8=None))
    text, verdict = page.render()
    assert "Learned kernels: 24 of 30 drawn" in text
    assert "True kernels: 2 of 2 drawn" in text and "times that of the true" in text
    assert text.count('class="pair"') == 2  # kernels, and patches by themselves


def without_kernels(**others):
    """Samples of a network that has no kernels, with a reason that could be markup."""
    untold = {"kernels": f"it maps {HOSTILE} directly"}
    return degradation(kernels=None, untold=untold, **others)


def fidelity(cast, correlation):
    return {"measured": {"fidelity": {"cast": cast / 255, "correlation": correlation}}}


def test_a_network_without_kernels_says_so():
    page = RunPage(BOTH, [])
    page.add_degradation(**without_kernels(**fidelity(1.0, 0.9)))
    text, verdict = page.render()
    assert check_html(text) == [] and verdict.state == "good"
    assert "none of the usual failures" in verdict.headline
    assert sections(text)[:4] == ["kernels", "noise", "patches", "measured"]
    shown = html.unescape(text)
    assert f"None: it maps {HOSTILE} directly." in shown
    assert "differs between two of its LR images" in shown
    assert "correlation of LR images with reduced photographs" in shown


@pytest.mark.parametrize(
    ("numbers", "state", "told"),
    [((1.0, 0.2), "bad", "do not show"), ((9.0, 0.9), "warning", "tinted, by 9.0 of")],
)
def test_lr_images_that_lost_something(numbers, state, told):
    page = RunPage(BOTH, [])
    page.add_degradation(**without_kernels(noise=None, **fidelity(*numbers)))
    verdict = page.render()[1]
    assert verdict.state == state and told in verdict.headline


def test_a_bundle_on_its_own():
    alone = run(sr=network("EDSR", "sr")) | {"run_dir": "", "settings": {}}
    text, verdict = RunPage(alone | {"environment": {}}, []).render()
    assert sections(text) == ["about"] and verdict.state == "plain"
    assert "none: a bundle on its own" in text and "An SR network: x4" in text


def test_pictures_of_two_sizes_are_refused():
    picture = np.zeros((8, 8, 3), np.uint8)
    page = RunPage(BOTH, [])
    with pytest.raises(ValueError, match="must have one size"):
        page.add_comparisons(
            [("x", (0, 0, 2, 2), picture, picture[:4])], scale=4, place="", available=1
        )


def test_figures_for_papers_are_the_charts_of_the_page(tmp_path):
    page = everything()
    written = page.save_figures(tmp_path / "figures")
    names = sorted(path.name for path in written)
    text, _ = page.render()
    assert len(names) == 2 * text.count('<figure class="chart">') == len(set(names))
    assert "kernels_widths.svg" in names and "noise_spectrum_of_the_noise.pdf" in names
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
