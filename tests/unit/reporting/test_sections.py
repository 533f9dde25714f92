"""Kernels, curves and crops reach the page in the right place."""

import re

import numpy as np
import pytest

from pdm_tf.reporting.kernel_section import kernel_comparison, kernel_section
from pdm_tf.reporting.page import Section, render_page
from pdm_tf.reporting.rendering import Column, Sortable, render
from pdm_tf.reporting.training_section import (
    curve,
    last_text,
    last_value,
    training_section,
)
from pdm_tf.samples.blur_track import gaussian_kernel


def test_kernels_are_shown_by_width_with_their_numbers():
    kernels = np.stack([gaussian_kernel(s, 1.0, 0.0) for s in (3.0, 1.5, 2.0)])
    body = kernel_section(kernels, None).body
    widths = re.findall(r"<figcaption>([\d.]+) \u00d7 ([\d.]+)</figcaption>", body)
    assert widths == [("1.5", "1.0"), ("2.0", "1.0"), ("3.0", "1.0")]
    assert "Learned kernels: 3 of 3 drawn" in body and "True kernels" not in body


def test_kernels_are_measured_from_the_grids_centre():
    """On the half-pixel grid a centred kernel lies 1.5 px off its middle tap."""
    kernel = np.zeros([2, 9, 9])
    kernel[:, 5, 5] = kernel[:, 5, 6] = kernel[:, 6, 5] = kernel[:, 6, 6] = 0.25
    body = kernel_section(kernel, None, centre_px=1.5).body
    assert "centre +0.0 right and +0.0 below" in body


def test_curves_known_and_unknown():
    records = [
        {"step": 1, "loss/g_adv": 0.9, "loss/brand_new": 3.0, "perf/x": 1.0},
        {"step": 2, "loss/g_adv": 0.3, "loss/brand_new": None, "finished": True},
        {"step": 2, "val/psnr": 21.5},
    ]
    body = training_section(records).body
    assert "Degradation against discriminator" in body and "Brand new" in body
    assert "Validation: PSNR" in body and "Validation: SSIM" not in body
    assert "perf" not in body and "finished" not in body.lower()
    assert curve(records, "loss/brand_new") == [(1.0, 3.0)]
    assert last_value(records, "loss/g_adv") == 0.3
    assert last_value(records, "nothing") is None
    assert training_section([]) is None
    looks = [{"alarm/active": "noise_cast"}, {"alarm/active": ""}, {"step": 3}]
    assert last_text(looks[:1], "alarm/active") == "noise_cast"
    assert last_text(looks, "alarm/active") == "" == last_text([], "alarm/active")


def test_table_numbers():
    made = render(
        "sortable",
        table=Sortable("t", [Column("n"), Column("x", 2, True)], [("a", -0.001)]),
    )
    assert ">0.00<" in made and 'data-value="-0.001"' in made
    with pytest.raises(ValueError, match="must have 2 values"):
        Sortable("t", [Column("n"), Column("x", 2)], [("a",)])


def test_two_sections_with_one_anchor_are_refused():
    twice = [Section("a", "A", "", ""), Section("a", "B", "", "")]
    with pytest.raises(ValueError, match="Anchors must differ"):
        render_page("t", "", None, twice, "")


def _delta(row, column, side=41):
    kernel = np.zeros((side, side))
    kernel[row, column] = 1.0
    return kernel


def test_kernel_comparison_draws_every_group():
    """Two groups of different kernel sizes below each other."""
    picture = kernel_comparison(
        [
            ("learned", np.stack([_delta(3, 3, 7)] * 5)),
            ("true", np.stack([_delta(10, 10, 21)] * 30)),
        ],
        columns=4,
        rows=2,
    )
    alone = kernel_comparison(
        [("learned", np.stack([_delta(3, 3, 7)] * 5))], columns=4, rows=2
    )
    assert picture.dtype == np.uint8 and picture.shape[0] > alone.shape[0]
