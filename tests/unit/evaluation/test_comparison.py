"""Ranks, differences and refusals, on reports written by hand."""

import copy
import csv
import io
import json

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.evaluation.bootstrap import paired_interval
from pdm_tf.evaluation.comparison import Row, compare
from pdm_tf.reporting import comparison as texts

SPECS = {
    "psnr": {"unit": "dB", "higher_is_better": True, "decimals": 2},
    "lpips_alex": {
        "unit": "",
        "higher_is_better": False,
        "decimals": 4,
        "source": "heads A",
    },
}
BICUBIC = {"psnr": [20.0, 22.0, 24.0], "lpips_alex": [0.5, 0.6, 0.7]}


def report(psnr, lpips, model="EDSR", bicubic=BICUBIC, names="abc"):
    """Content of a report.json as far as comparing needs it."""
    images = []
    for i, name in enumerate(names):
        image = {"name": name, "psnr": psnr[i], "lpips_alex": lpips[i]}
        if bicubic:
            image["bicubic"] = {metric: v[i] for metric, v in bicubic.items()}
        images.append(image)
    return {
        "model": model,
        "scale": 4,
        "crop_border": 4,
        "metrics": copy.deepcopy(SPECS),
        "images": images,
    }


def two():
    return [
        Row("A", (report([21.0, 24.0, 25.5], [0.3, 0.35, 0.4]),)),
        Row("B", (report([21.5, 23.0, 24.5], [0.2, 0.25, 0.5]),)),
    ]


def table(comparison, key):
    return {m["name"]: m[key] for m in comparison["methods"]}


def test_layout_means_and_ranks():
    """Bicubic first; lower is better where it is so."""
    comparison = compare(two())
    assert list(table(comparison, "mean")) == ["bicubic", "A", "B"]
    assert table(comparison, "mean")["A"]["psnr"] == pytest.approx(23.5)
    assert table(comparison, "rank") == {
        "bicubic": {"psnr": 3, "lpips_alex": 3},
        "A": {"psnr": 1, "lpips_alex": 2},
        "B": {"psnr": 2, "lpips_alex": 1},
    }
    json.dumps(comparison, allow_nan=False)


def test_differences_are_paired_and_to_the_best_of_each_metric():
    comparison = compare(two())
    found = table(comparison, "difference")
    assert found["A"]["psnr"] is None and found["B"]["lpips_alex"] is None
    b = found["B"]["psnr"]
    assert b["to"] == "A" and b["mean"] == pytest.approx(np.mean([0.5, -1.0, -1.0]))
    wanted = paired_interval([21.5, 23.0, 24.5], [21.0, 24.0, 25.5])
    assert b["interval"] == pytest.approx(list(wanted))
    first = compare(two(), against="bicubic")
    assert table(first, "difference")["bicubic"]["psnr"] is None
    assert table(first, "difference")["A"]["psnr"]["mean"] == pytest.approx(1.5)
    with pytest.raises(UserError, match="best or one of bicubic, A, B"):
        compare(two(), against="C")


def test_shares_of_the_gain_of_an_oracle():
    """0 for the floor, 1 for the oracle; lower is better where it is so."""
    assert "share" not in compare(two())["methods"][0]
    comparison = compare(two(), oracle="A")
    found = table(comparison, "share")
    assert found["bicubic"]["psnr"]["value"] == 0
    assert found["A"]["psnr"] == {"value": 1, "interval": [1, 1]}
    # Means 22, 23.5 and 23; 0.6, 0.35 and 0.31667.
    assert found["B"]["psnr"]["value"] == pytest.approx(2 / 3)
    assert found["B"]["lpips_alex"]["value"] == pytest.approx(0.85 / 0.75)
    none = table(compare(two(), oracle="bicubic", floor="A"), "share")
    assert none["B"] == {"psnr": None, "lpips_alex": None}
    for rows, message in [
        ({"oracle": "C"}, "--oracle must be one of bicubic, A, B. Received: 'C'"),
        ({"oracle": "A", "floor": "C"}, "--floor must be one of"),
        ({"oracle": "A", "floor": "A"}, "different rows. Received: A"),
    ]:
        with pytest.raises(UserError, match=message):
            compare(two(), **rows)


def test_infinite_scores_count_for_no_share():
    methods = two()
    methods[0].report["images"][2]["psnr"] = None
    found = table(compare(methods, oracle="A"), "share")["B"]["psnr"]
    assert found["value"] == pytest.approx((1.5 + 1.0) / (1.0 + 2.0))


def test_equal_printed_values_rank_equally():
    """23.501 and 23.499 are both 23.50: both the best, and the next is the second."""
    methods = two()
    for image in methods[1].report["images"]:
        image["psnr"] = {"a": 21.004, "b": 24.0, "c": 25.499}[image["name"]]
    ranks = table(compare(methods), "rank")
    assert [ranks[w]["psnr"] for w in ("A", "B", "bicubic")] == [1, 1, 2]


def test_only_common_images_and_metrics_count_and_the_others_are_named():
    methods = two()
    methods[1].report["images"].pop()
    methods[0].report["metrics"]["ssim"] = SPECS["psnr"]
    comparison = compare(methods)
    assert comparison["count"] == 2
    assert table(comparison, "mean")["A"]["psnr"] == pytest.approx(22.5)
    assert comparison["left_out"] == [
        {"method": "A", "name": "c"},
        {"method": "A", "name": "ssim"},
    ]
    assert "left out: of A c, ssim." in texts.markdown(comparison)


def several():
    """A has three runs and B two, on the images of `two`."""
    a = [report([p, 24.0, 25.5], [0.3, 0.35, 0.4]) for p in (20.4, 21.0, 21.6)]
    b = [report([21.5, 23.0, q], [0.2, 0.25, 0.5]) for q in (24.2, 24.8)]
    return [Row("A", tuple(a)), Row("B", tuple(b))]


def test_a_row_of_several_runs_is_their_mean_image_by_image():
    """Differences and intervals are those of the means; the spread stands beside."""
    comparison, plain = compare(several()), compare(two())
    for key in ("mean", "interval", "rank", "difference"):
        ours, theirs = table(comparison, key), table(plain, key)
        assert ours["bicubic"] == theirs["bicubic"]
        if key == "mean":
            assert ours["A"] == pytest.approx(theirs["A"])
            assert ours["B"] == pytest.approx(theirs["B"])
    found = table(comparison, "difference")["B"]["psnr"]
    wanted = table(plain, "difference")["B"]["psnr"]
    assert found["mean"] == pytest.approx(wanted["mean"])
    assert found["interval"] == pytest.approx(wanted["interval"])
    assert table(comparison, "runs") == {"bicubic": 1, "A": 3, "B": 2}
    spread = table(comparison, "spread")
    # Of the means 23.3, 23.5, 23.7, and of 22.9, 23.1.
    assert spread["A"]["psnr"] == pytest.approx(0.2)
    assert spread["B"]["psnr"] == pytest.approx(0.1 * 2**0.5)
    assert spread["A"]["lpips_alex"] == pytest.approx(0)
    assert spread["bicubic"] == {"psnr": None, "lpips_alex": None}
    assert "| A | **23.50 ± 0.20** |" in texts.markdown(comparison)
    json.dumps(comparison, allow_nan=False)


def test_a_difference_below_the_spread_is_none_and_that_is_said():
    """A and B are 0.5 dB apart, with spreads of 0.2 and 0.14; then of 0.6."""
    assert compare(several())["ties"] == {}
    assert compare(two())["ties"] == {}
    methods = several()
    for image_set, psnr in zip(methods[0].reports, (19.2, 21.0, 22.8), strict=True):
        image_set["images"][0]["psnr"] = psnr
    comparison = compare(methods)
    tie = comparison["ties"]["psnr"]
    assert (tie["best"], tie["second"]) == ("A", "B")
    assert tie["difference"] == pytest.approx(0.5)
    assert tie["spread"] == pytest.approx(0.6)
    told = "psnr: A and B differ by 0.50, which is not more than the spread over runs"
    assert told in texts.markdown(comparison) and told in texts.terminal_text(
        comparison
    )


def test_every_run_of_a_row_is_checked():
    """Scale, images and weights of metrics; images that one run lacks count nowhere."""
    methods = several()
    methods[0].reports[2]["scale"] = 2
    with pytest.raises(UserError, match="one scale"):
        compare(methods)
    methods = several()
    methods[1].reports[1]["metrics"]["lpips_alex"]["source"] = "heads B"
    with pytest.raises(UserError, match="one file to be compared"):
        compare(methods)
    methods = several()
    methods[1].reports[1]["images"][0]["bicubic"]["psnr"] = 20.1
    with pytest.raises(UserError, match="same images.*evaluation of B"):
        compare(methods)
    methods = several()
    methods[0].reports[1]["images"].pop()
    comparison = compare(methods)
    assert comparison["count"] == 2
    assert comparison["left_out"] == [
        {"method": "A", "name": "c"},
        {"method": "B", "name": "c"},
    ]


def test_columns_of_runs_and_rows_without_any():
    """Ranked ones stand beside the scores, the others in a table of their own."""
    comparison = compare(several())
    comparison["columns"] = {
        "coverage": {"unit": "%", "decimals": 0, "higher_is_better": True},
        "training": {"unit": "min", "decimals": 1, "higher_is_better": None},
    }
    none = {"mean": None, "spread": None}
    for method in comparison["methods"]:
        method["columns"] = {"coverage": none, "training": none}
    comparison["methods"][1]["columns"] = {
        "coverage": {"mean": 51.2, "spread": 3.1},
        "training": {"mean": 12.34, "spread": None},
    }
    comparison["absent"] = ["C"]
    comparison["missing"] = [
        {"method": "C", "run": f"C@s{i}", "reason": "why"} for i in "01"
    ]
    text = texts.markdown(comparison)
    assert "| method | psnr (dB) ↑ | lpips_alex ↓ | coverage (%) ↑ |" in text
    assert "| A | **23.50 ± 0.20** | <u>0.3500 ± 0.0000</u> | 51 ± 3 |" in text
    assert "| C | - | - | - |" in text
    assert "| method | training (min) |\n| --- | ---: |\n| A | 12.3 |\n\n" in text
    assert "Missing: C@s0, C@s1: why." in text
    rows = list(csv.DictReader(io.StringIO(texts.csv_text(comparison))))
    found = {(row["method"], row["metric"]): row for row in rows}
    assert found["A", "coverage"]["mean"] == "51.2"
    assert found["A", "coverage"]["spread"] == "3.1"
    assert found["A", "psnr"]["runs"] == "3"
    assert ("C", "missing: why") in found
    page = texts.comparison_page(comparison, [], "")
    assert "51 ± 3" in page and "23.50 ± 0.20" in page


def _broken(change):
    methods = two()
    change(methods)
    return methods


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m[1].report.update(scale=2), "one scale.*A 4, B 2"),
        (lambda m: m[1].report.update(crop_border=0), "one crop_border"),
        (
            lambda m: m[1].report["metrics"]["lpips_alex"].update(source="heads B"),
            "one file to be compared.*heads A.*heads B",
        ),
        (
            lambda m: m[1].report["images"][1]["bicubic"].update(psnr=22.1),
            "of the same images.*22.1000 on b.*B.*22.0000",
        ),
        (lambda m: m[1].report.update(metrics={"x": {}}), "a metric in common"),
        (
            lambda m: [i.update(name=i["name"] * 2) for i in m[1].report["images"]],
            "images in common",
        ),
        (lambda m: m.append(m[0]), "different names"),
    ],
)
def test_incomparable_evaluations_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        compare(_broken(change))


def test_bicubic_as_a_method_is_one_row():
    plain = report(*BICUBIC.values(), model="bicubic", bicubic=None)
    comparison = compare([Row("cubic", (plain,)), *two()])
    assert list(table(comparison, "mean")) == ["bicubic", "A", "B"]


def test_without_bicubic_anywhere():
    methods = [
        Row(m.name, (report([1, 2, 3], [1, 2, 3], bicubic=None),)) for m in two()
    ]
    assert list(table(compare(methods), "mean")) == ["A", "B"]


def test_infinite_scores():
    """null in an image; out of the mean and of the differences."""
    methods = two()
    methods[0].report["images"][0]["psnr"] = None
    comparison = compare(methods)
    json.dumps(comparison, allow_nan=False)
    assert comparison["images"][0]["A"]["psnr"] is None
    assert table(comparison, "mean")["A"]["psnr"] == pytest.approx(24.75)
    difference = table(comparison, "difference")["B"]["psnr"]
    assert difference["mean"] == pytest.approx(-1.0)


def test_files_say_the_same(tmp_path):
    comparison = compare(two())
    path = texts.write_comparison(comparison, tmp_path)
    assert json.loads(path.read_text()) == json.loads(json.dumps(comparison))
    markdown = (tmp_path / "comparison.md").read_text()
    assert "| A | **23.50** | <u>0.3500</u> |" in markdown
    assert "| bicubic | 22.00 | 0.6000 |" in markdown
    rows = list(csv.DictReader(io.StringIO((tmp_path / "comparison.csv").read_text())))
    assert len(rows) == 6
    row = next(r for r in rows if (r["method"], r["metric"]) == ("B", "psnr"))
    assert float(row["mean"]) == pytest.approx(23.0) and row["rank"] == "2"
    assert row["compared_with"] == "A" and float(row["difference"]) < 0
    text = texts.terminal_text(comparison)
    assert "23.50*" in text and "0.3500+" in text
    lines = text.splitlines()
    assert len({len(line) for line in lines[:2]}) == 1


def test_files_show_the_shares():
    comparison = compare(two(), oracle="A")
    title = "Share of the gain of A over bicubic, with its 95% interval"
    assert f"## {title}" in texts.markdown(comparison)
    assert title in texts.terminal_text(comparison)
    rows = list(csv.DictReader(io.StringIO(texts.csv_text(comparison))))
    row = next(r for r in rows if (r["method"], r["metric"]) == ("B", "psnr"))
    assert float(row["share"]) == pytest.approx(2 / 3)
    assert "Share of the oracle" in texts.comparison_page(comparison, [], "now")
    assert "Share" not in texts.comparison_page(compare(two()), [], "now")
    assert texts.share_cell({"value": 0.806, "interval": [0.74, 0.86]}) == (
        "81 % (74 to 86)"
    )
    assert texts.share_cell(None) == "no gain to share"


def test_a_difference_that_may_be_chance_is_marked():
    spec = SPECS["psnr"]
    found = {"to": "A", "mean": -0.5, "interval": [-1.0, 0.2]}
    assert texts.difference_cell(spec, found) == "~ -0.50 (-1.00 to +0.20)"
    found["interval"] = [-1.0, -0.2]
    assert texts.difference_cell(spec, found) == "-0.50 (-1.00 to -0.20)"
