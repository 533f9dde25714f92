"""Measured, learned and true numbers of the same quantities."""

import numpy as np
import pytest

from pdm_tf.core.source_estimate import (
    JpegPopulation,
    KernelPopulation,
    NoisePopulation,
    SourceEstimate,
    log_covariances,
)
from pdm_tf.reporting.calibration_section import calibrated, calibration_section
from pdm_tf.samples.blur_track import gaussian_kernel


def estimate(**parts):
    """Round kernels of 2 px, and what else is given."""
    mean = log_covariances(4.0 * np.eye(2)[None])[0]
    kernels = KernelPopulation(
        mean=tuple(mean.tolist()),
        covariance=tuple(map(tuple, (0.04 * np.eye(3)).tolist())),
        mean_error=tuple(map(tuple, (0.001 * np.eye(3)).tolist())),
        photographs=40.0,
        gates=("Elongation is hardly seen.",),
    )
    return SourceEstimate(scale=4, grid="pixel0", kernels=kernels, **parts)


def round_kernels(*sigmas_px):
    return np.stack([gaussian_kernel(s, s, 0.0) for s in sigmas_px])


def test_widths_are_brought_together():
    learned, true = round_kernels(1.5, 2.5), round_kernels(2.0, 2.2, 1.8)
    found = calibrated(estimate(), learned, true, None)
    names = [one.short for one in found]
    assert names == [
        "mean of the kernels' long axis",
        "spread of the kernels' long axis",
        "mean of the kernels' short axis",
        "spread of the kernels' short axis",
    ]
    mean, spread = found[:2]
    assert mean.measured[0] < mean.measured[1] < mean.measured[2]
    assert mean.measured[1] == pytest.approx(2.3, abs=0.2)
    assert (mean.learned, mean.true) == pytest.approx((2.0, 2.0), abs=0.01)
    assert spread.learned == pytest.approx(0.5, abs=0.01)


def test_noise_is_compared_at_the_nearest_level_that_is_known():
    noise = NoisePopulation(
        log_mean=(np.log(0.01), np.log(0.001)), log_covariance=((0.1, 0.0), (0.0, 0.1))
    )
    learned = {"level": [0.1, 0.6, 0.75], "std_by_level": [0.02, 0.03, None]}
    dark, bright = calibrated(estimate(noise=noise), None, None, learned)[-2:]
    expected = 255 * np.sqrt(0.01**2 + 0.001 * 0.15)
    assert dark.measured[1] == pytest.approx(expected)
    assert dark.measured[0] < expected < dark.measured[2]
    assert dark.learned == pytest.approx(255 * 0.02)
    assert bright.learned == pytest.approx(255 * 0.03)


def test_the_section_tells_what_is_not_known_and_what_was_decided():
    jpeg = JpegPopulation((40, 60, 0), "420")
    source = estimate(jpeg=jpeg)
    decision = {"accepted": "refined", "why": "it was closer."}
    found = calibrated(source, round_kernels(2.0, 2.1), None, None)
    body = str(calibration_section(found, source, decision).body)
    assert "not known" not in body and ">true<" not in body
    assert "quality 40 to 60, mean 50.0, chroma 420, no traces in 1 photographs" in body
    assert "Elongation is hardly seen." in body
    assert "trained with the refined degradation: it was closer." in body
    true = calibrated(source, None, round_kernels(2.0, 2.1), None)
    body = str(calibration_section(true, source, None).body)
    assert "not known" in body and ">true<" in body
