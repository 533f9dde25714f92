"""The pages of evaluations and comparisons, drawn from JSON."""

import html
import re

import numpy as np
import pytest

from pdm_tf.reporting.comparison_page import CropRow, comparison_page
from pdm_tf.reporting.evaluation_page import evaluation_page, headline
from tests.support.html_check import check_html

HOSTILE = '"><img src=x onerror=alert(1)>&amp;'
PSNR = {"unit": "dB", "higher_is_better": True, "decimals": 2}
LPIPS = {"unit": "", "higher_is_better": False, "decimals": 4, "source": "LPIPS v0.1"}
PICTURE = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)


def report(low=0.5, high=1.5, **others):
    """Of two images; the gain in PSNR is 1 dB with the interval given."""
    gain = {"psnr": 1.0, "lpips": -0.1}
    found = {
        "model": "EDSR (sr, step 7)",
        "scale": 4,
        "crop_border": 4,
        "count": 2,
        "metrics": {"psnr": PSNR, "lpips": LPIPS},
        "mean": {"psnr": 27.0, "lpips": 0.2},
        "baseline": {"bicubic": {"psnr": 26.0, "lpips": 0.3}},
        "gain": {"bicubic": gain},
        "interval": {
            "level": 0.95,
            "mean": {"psnr": [26.1, 27.9], "lpips": [0.1, 0.3]},
            "baseline": {"bicubic": {"psnr": [25.0, 27.0], "lpips": [0.2, 0.4]}},
            "gain": {"bicubic": {"psnr": [low, high], "lpips": [-0.2, -0.05]}},
        },
        "images": [
            {
                "name": name,
                "psnr": psnr,
                "lpips": 0.2,
                "bicubic": {"psnr": 26.0, "lpips": 0.3},
                "seconds": 0.5,
            }
            for name, psnr in ((HOSTILE, 28.0), ("b", None))
        ],
        "problems": [],
        "model_facts": {"step": 7},
        "set": {"hr": "val/hr", "lr": "val/lr"},
    }
    return found | others


EXHIBIT = (HOSTILE, (4, 8, 12, 16), [(PICTURE, PICTURE[:12, :16], ["LR", "10x8"])] * 3)


def test_an_evaluation():
    problems = [{"name": "broken", "reason": "is truncated"}]
    text = evaluation_page(report(problems=problems), [EXHIBIT], [EXHIBIT], "made now")
    assert check_html(text) == [] and "<img src=x" not in text
    anchors = re.findall(r'<section id="(\w+)"', text)
    assert anchors == ["mean", "worst", "best", "images", "left_out", "about"]
    assert text.count("<img ") == 2 * 3 * 2
    shown = html.unescape(text)
    for words in (
        "Evaluation of EDSR (sr, step 7)",
        "2 images, 1 left out, x4, RGB, 4 px cropped",
        f"{HOSTILE}: region 16 x 12 at 8, 4",
        "psnr (dB) \u2191",
        "lpips \u2193",
    ):
        assert words in shown, words
    # A value without a number is a dash, and has nothing to sort by.
    assert '<td class="number">\u2013</td>' in text
    assert 'data-value="2.0">+2.00</td>' in text
    assert "\u22120.2000 to \u22120.0500" in text


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.5, 1.5, "against bicubic: better (95% interval +0.50 dB to +1.50 dB)."),
        (-0.5, 1.5, "better, but that may be chance (95% interval \u22120.50 dB to"),
    ],
)
def test_the_headline_says_what_is_gained_and_how_sure_that_is(low, high, told):
    assert "psnr 27.00 dB on average, +1.00 dB" in headline(report(low, high))
    assert told in headline(report(low, high))


def comparison():
    """Two methods; `ours` is the best in PSNR."""
    methods = [
        {
            "name": name,
            "model": f"the model {name}",
            "mean": {"psnr": mean},
            "interval": {"psnr": [mean - 1, mean + 1]},
            "rank": {"psnr": rank},
            "difference": {"psnr": difference},
        }
        for name, mean, rank, difference in (
            ("bicubic", 26.0, 2, {"to": "ours", "mean": -1.0, "interval": [-2.0, 0.5]}),
            ("ours", 27.0, 1, None),
        )
    ]
    scores = {"bicubic": {"psnr": 26.0}, "ours": {"psnr": 27.0}}
    return {
        "scale": 2,
        "crop_border": 2,
        "count": 1,
        "against": "best",
        "level": 0.95,
        "metrics": {"psnr": PSNR},
        "methods": methods,
        "images": [{"name": HOSTILE, **scores}],
        "left_out": [{"method": "ours", "name": "c"}],
    }


def test_a_comparison():
    cells = [("LR", PICTURE, ""), ("bicubic", None, ""), ("ours", PICTURE, "27.00 dB")]
    crops = [CropRow(HOSTILE, (4, 8, 12, 16), cells)]
    text = comparison_page(comparison(), crops, "made now")
    assert check_html(text) == [] and "<img src=x" not in text
    anchors = re.findall(r'<section id="(\w+)"', text)
    assert anchors == ["table", "differences", "crops", "images", "about"]
    assert text.count("<img ") == 2 and "no crop was kept" in text
    shown = html.unescape(text)
    assert 'class="number best" data-value="27.0">27.00</td>' in text
    assert 'class="number second" data-value="26.0">26.00</td>' in text
    assert "~ \u22121.00 (\u22122.00 to +0.50)" in shown
    assert "of ours c." in shown and "2 methods on one set" in shown
    assert f"{HOSTILE}: region 16 x 12 at 8, 4" in shown


def test_one_method_alone_has_no_differences():
    alone = comparison() | {"methods": comparison()["methods"][1:]}
    text = comparison_page(alone, [], "made now")
    anchors = re.findall(r'<section id="(\w+)"', text)
    assert anchors == ["table", "images", "about"] and "1 method on one set" in text
