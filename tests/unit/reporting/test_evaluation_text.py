"""The report for people says what report.json says."""

import json

import pytest

from pdm_tf.evaluation.runner import evaluate_pairs
from pdm_tf.reporting import evaluation_text as texts
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
    lines = texts.text(_report()).splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
    assert any(line.startswith("gain over bicubic") for line in lines)


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
    assert metrics[0] in texts.text(report)
