"""The reports for people, as text and as pages, say what report.json says."""

import html
import json
import re

import numpy as np
import pytest

from pdm_tf.evaluation.runner import evaluate_pairs
from pdm_tf.reporting import evaluation as texts
from pdm_tf.reporting.comparison import CropRow, comparison_page
from pdm_tf.reporting.evaluation import evaluation_page, headline
from tests.support.html_check import check_html
from tests.unit.evaluation.fakes import BrokenPair, MemoryPair, bicubic_pair


def _report(metrics=("psnr", "ssim", "psnr_shift"), baseline=True):
    pairs = [bicubic_pair(0), BrokenPair(), bicubic_pair(1)]
    pairs[0].name = "a|b"
    result = evaluate_pairs(
        lambda lr: lr.repeat(4, axis=0).repeat(4, axis=1),
        pairs,
        metrics=metrics,
        crop_border=4,
        scale=4,
        baseline=baseline,
    )
    return result.to_report("a model")


def test_files(tmp_path):
    """report.json has the layout that scripts rely on; nothing else is left behind."""
    path = texts.write_report(_report(), tmp_path)
    assert path == tmp_path / "report.json"
    names = ["report.csv", "report.json", "report.md"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    report = json.loads(path.read_text())
    assert set(report["mean"]) == {"psnr", "ssim", "psnr_shift"}
    assert set(report["baseline"]["bicubic"]) == {"psnr", "ssim", "psnr_shift"}
    assert [image["name"] for image in report["images"]] == ["a|b", "image1"]


def test_the_json_by_which_an_evaluation_is_finished_is_written_last(
    tmp_path, monkeypatch
):
    def killed(path, obj):
        raise KeyboardInterrupt

    monkeypatch.setattr(texts, "write_json_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        texts.write_report(_report(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"report.csv", "report.md"}


def test_markdown_tables_are_well_formed_and_hold_the_numbers():
    """Every row of a table has the same number of cells; a | in a name is escaped."""
    report = _report()
    text = texts.markdown(report)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    cells = [line.replace("\\|", "").count("|") for line in tables]
    assert len(set(cells[:7])) == 1 and len(set(cells[7:])) == 1
    for value in report["mean"].values():
        assert f"{value:.2f}" in text
    assert "a\\|b" in text and "broken: broken.png: is truncated." in text
    assert "2 images, 1 left out, x4" in text and "a model" in text
    for table in (report["interval"]["mean"], report["interval"]["gain"]["bicubic"]):
        assert all(f"{v:.2f}" in text for v in table["psnr"])
    assert text.count("95% interval") == 2 and "BCa" in text
    dy, dx = report["images"][0]["shift"]
    assert f"| {dy:+d},{dx:+d} |" in text


def test_terminal_table_is_aligned():
    lines = texts.terminal_text(_report()).splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
    assert any(line.startswith("gain over bicubic") for line in lines)


def test_what_is_odd_about_the_photographs_is_told():
    odd = {"displaced": "they lie beside", "converted": ["2 of 3 are not in sRGB"]}
    notes = texts.notes_of(_report() | odd)
    assert notes[:2] == ["Warning: they lie beside.", "2 of 3 are not in sRGB."]


def test_infinite_is_written_out():
    pair = bicubic_pair(2)
    result = evaluate_pairs(
        lambda lr: pair.hr_u8,
        [MemoryPair("same", pair.hr_u8, pair.lr_u8)],
        metrics=["psnr"],
        crop_border=4,
        scale=4,
    )
    text = texts.markdown(result.to_report("copy"))
    assert "| same | inf |" in text and "identical to its reference" in text


@pytest.mark.parametrize("metrics", [["ssim"], ["psnr_shift"], ["psnr", "ssim"]])
def test_any_choice_of_metrics_and_no_baseline(metrics):
    report = _report(metrics, baseline=False)
    assert "bicubic" not in texts.markdown(report)
    assert metrics[0] in texts.terminal_text(report)


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


def test_the_headline_says_when_another_metric_disagrees():
    """LPIPS is better lower: a rise beside a gain in PSNR is told, a fall is not."""
    other = report()
    assert "opposite" not in headline(other)
    other["gain"]["bicubic"]["lpips"] = 0.1
    assert headline(other).endswith("; lpips says the opposite, +0.1000.")
    other["gain"]["bicubic"]["lpips"] = 0.00001  # nothing that is printed
    assert "opposite" not in headline(other)


def comparison():
    """Two methods; `ours` is the best in PSNR."""
    methods = [
        {
            "name": name,
            "model": f"the model {name}",
            "mean": {"psnr": mean},
            "runs": 1,
            "spread": {"psnr": None},
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
        "ties": {},
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
