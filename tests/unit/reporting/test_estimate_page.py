import dataclasses
import re

import numpy as np
import pytest

from pdm_tf.reporting.estimate_page import check_page, estimate_page, verdict_on
from pdm_tf.reporting.folder_section import LISTED, findings_section
from pdm_tf.reporting.source_sections import (
    about_section,
    jpeg_section,
    kernels_section,
    noise_section,
    photographs_section,
)
from tests.support.html_check import check_html
from tests.unit.reporting.estimates import (
    check_by_hand,
    estimate_by_hand,
    finding,
    folder_by_hand,
)


def kernels(count=30):
    place = np.arange(21) - 10.0
    widths = np.linspace(1.0, 2.5, count)[:, None, None]
    made = np.exp(-(place[:, None] ** 2 + (place / 1.3) ** 2) / (2.0 * widths**2))
    return made / made.sum(axis=(1, 2), keepdims=True)


def words(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", str(html)))


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize("jpeg", [True, False])
def test_the_whole_page(noise, jpeg):
    estimate = estimate_by_hand(noise=noise, jpeg=jpeg)
    page = estimate_page(estimate, check_by_hand(), kernels(), "foot", "0:14:00 here.")
    assert check_html(page) == []
    text = words(page)
    assert "28 LR photographs of photos/lr, x4, measured against 7 sharp ones" in text
    assert "0:14:00 here." in text and "foot" in text
    assert ("None beyond the rounding" in text) == (not noise)
    assert ("No traces of JPEG were found" in text) == (not jpeg)


def test_names_from_outside_cannot_become_markup():
    hostile = '"><script>alert(1)</script>\udcff\u202e'
    estimate = estimate_by_hand(count=4)
    renamed = dataclasses.replace(estimate.photographs[0], name=hostile)
    estimate = dataclasses.replace(estimate, photographs=(renamed,))
    check = check_by_hand(finding("warning", hostile, [hostile]))
    check["lr"] = folder_by_hand(hostile, 3, 40)
    page = estimate_page(estimate, check, kernels(), hostile)
    assert check_html(page) == [] and "<script>alert" not in page


def test_a_check_alone():
    page = check_page(check_by_hand(), "foot")
    assert check_html(page) == []
    text = words(page)
    assert (
        "Healthy. 7 HR and 28 LR photographs can be used, and the folders fit" in text
    )
    assert "--steps=2000" in text and "Blur kernels" not in text


def test_a_check_of_folders_that_cannot_be_used():
    check = check_by_hand(finding("error", "At least 3 HR photographs are needed."))
    check["advice"] = None
    empty = {"location": "photos/hr", "files": 2, "usable": 0, "kinds": {}, "bits": {}}
    check["hr"] = {**empty, "cameras": {}, "grey": 0, "photographs": []}
    page = check_page(check, "foot")
    assert check_html(page) == []
    assert "Not usable. These folders cannot be used as they are." in words(page)
    assert "What fits" not in page


@pytest.mark.parametrize(
    ("estimate", "findings", "state", "point"),
    [
        ({}, (), "good", "JPEG: quality 30 to 39"),
        ({}, [finding("note")], "good", "Blur: long axis"),
        ({}, [finding("warning", "Two sources.")], "warning", "Two sources."),
        ({"gates": ("Elongation is unseen.",)}, (), "warning", "Elongation is unseen."),
        ({"count": 12}, (), "warning", "Only 12 photographs"),
    ],
)
def test_the_verdict(estimate, findings, state, point):
    found = verdict_on(estimate_by_hand(**estimate), check_by_hand(*findings))
    assert found.state == state
    assert any(point in text for text in found.points)
    assert re.match(
        r"Blur of \d\.\d ± \d\.\d by \d\.\d ± \d\.\d HR pixels .* noise, JPEG\.",
        found.headline,
    )


def test_few_photographs_are_told_once():
    few = finding("warning", "4 LR photographs say little.") | {"code": "few_lr"}
    points = verdict_on(estimate_by_hand(count=4), check_by_hand(few)).points
    assert "4 LR photographs say little." in points
    assert not any("Only 4" in text for text in points)


def test_kernels_have_their_numbers():
    estimate = estimate_by_hand()
    section = kernels_section(estimate, kernels())
    text = words(section.body)
    assert "24 kernels drawn" in text
    mean = estimate.kernels.intervals()["long"]["mean"]
    assert f"long axis, mean {mean[1]:.2f} {mean[0]:.2f} {mean[2]:.2f}" in text
    widths, directions = section.charts
    assert len(widths.series[1].points) == 28 == len(directions.series[1].points)
    assert all(1.0 <= ratio for _, ratio in directions.series[0].points)


def test_noise_curves_are_quantiles_of_the_population():
    estimate = estimate_by_hand()
    (chart,) = noise_section(estimate).charts
    curves = {s.name: dict(s.points) for s in chart.series if not s.dots}
    assert curves["median"][0.5] == pytest.approx(estimate.noise.std_255(0.5), rel=0.03)
    assert curves["5%"][0.5] < curves["median"][0.5] < curves["95%"][0.5]
    read, shot = np.exp(estimate.noise.log_mean)
    low = 255 * np.exp(estimate.noise.log_mean[0] - 1.645 * np.sqrt(0.1))
    assert curves["5%"][0.0] == pytest.approx(low, rel=0.05)
    assert len(chart.series[0].points) == 56


def test_qualities_are_counted():
    (chart,) = jpeg_section(estimate_by_hand()).charts
    assert chart.series[0].points[0] == (30.0, 3.0)
    assert sum(count for _, count in chart.series[0].points) == 28
    assert "the pixels (28)" in words(jpeg_section(estimate_by_hand()).body)


def test_every_photograph_has_a_row_and_a_reason():
    text = words(photographs_section(estimate_by_hand()).body)
    assert text.count("walk/") == 29
    assert re.search(r"walk/0003.png \d.\d\d ± \d.\d\d .* 0.20", text)
    assert re.search(r"walk/dark.png [– ]+ is all black", text)


def test_about_shows_slopes_gates_and_facts():
    text = words(about_section(estimate_by_hand(gates=("Nothing.",))).body)
    assert "seen of a change of size 92%" in text and "Nothing." in text
    assert "seconds, regressor 0:01:58" in text
    assert "regressor, long axis px 0.31" in text


def test_many_names_are_counted():
    names = [f"{n}.png" for n in range(LISTED + 5)]
    text = words(findings_section(check_by_hand(finding("note", "Some.", names))).body)
    assert f"{LISTED - 1}.png and 5 more)" in text and f"{LISTED}.png" not in text
    assert "amiss" in findings_section(check_by_hand()).lead
