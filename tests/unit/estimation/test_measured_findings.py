import dataclasses
import re

import numpy as np
import pytest

from pdm_tf.core.source_estimate import JpegMeasure
from pdm_tf.estimation.measured_findings import measured_findings
from tests.unit.reporting.estimates import estimate_by_hand


def changed(estimate, change, every=3):
    """`change` in each third photograph."""
    rows = [
        dataclasses.replace(one, **change(one))
        if index % every == 0 and not one.left_out
        else one
        for index, one in enumerate(estimate.photographs)
    ]
    return dataclasses.replace(estimate, photographs=tuple(rows))


def found(estimate):
    return {one.code: one for one in measured_findings(estimate)}


def test_one_source_has_but_its_odd_photograph():
    (only,) = measured_findings(estimate_by_hand())
    assert (only.code, only.level, only.names) == ("unlike", "note", ("walk/0003.png",))
    assert "1 LR photograph is blurred unlike" in only.text


def test_traces_of_jpeg_in_some():
    mixed = changed(estimate_by_hand(), lambda one: {"jpeg": JpegMeasure()})
    text = found(mixed)["some_jpeg"].text
    assert text.startswith("18 LR photographs have traces of JPEG, 10 have none")
    alone = changed(estimate_by_hand(), lambda one: {"jpeg": JpegMeasure()}, every=14)
    assert "some_jpeg" not in found(alone)


def test_two_strengths_of_noise():
    louder = changed(
        estimate_by_hand(),
        lambda one: {"noise_255": tuple(6.0 * x for x in one.noise_255)},
    )
    one = found(louder)["two_sources_noise"]
    assert "in 18 of them" in one.text and len(one.names) == 10
    assert "two_sources_blur" not in found(louder)
    assert "two_sources_noise" not in found(estimate_by_hand(noise=False))


def test_two_widths_of_blur():
    def wider(one):
        kernel = one.kernel
        mean = (kernel.mean[0] + 2.0 * np.log(6.0), *kernel.mean[1:])
        return {"kernel": dataclasses.replace(kernel, mean=mean)}

    one = found(changed(estimate_by_hand(), wider))["two_sources_blur"]
    low, high = (float(x) for x in re.findall(r"(\d+\.\d) HR px", one.text))
    assert high / low == pytest.approx(6.0, rel=0.25)
    assert one.names[0] == "walk/0000.png"
