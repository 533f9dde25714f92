"""The metrics' table has words for the main ones and contains all measurements."""

import numpy as np

from pdm_tf.core.images import to_u8
from pdm_tf.degradations import KernelModuleConfig, NoiseModuleConfig, PDMConfig
from pdm_tf.evaluation.degradation import measure_degradation
from pdm_tf.reporting.measured_section import measured_section
from pdm_tf.samples.blur_track import gaussian_kernel


def test_all_numbers_of_a_real_report_are_there():
    config = PDMConfig(
        kernel=KernelModuleConfig(kernel_size=9, filters=4),
        noise=NoiseModuleConfig(num_blocks=1, filters=4),
    )
    draw = np.random.default_rng(0)
    photographs = [to_u8(draw.random((140, 140, 3))) for _ in range(10)]
    observed = [to_u8(draw.random((40, 40, 3))) for _ in range(10)]
    true = np.stack([gaussian_kernel(s, 0.8, s, 9) for s in np.linspace(0.6, 2, 24)])
    report = measure_degradation(
        config.build(), photographs, true_kernels=true, real_lr=observed
    ).to_json()
    body = measured_section(report).body
    share = report["true_kernels"]["learned"]["coverage"]
    assert f"<td>{100 * share:.0f} %</td>" in body
    accuracy = report["real_lr"]["synthesised"]["classifier"]["accuracy"]
    assert f"<td>{100 * accuracy:.0f} % of cases (95 % interval" in body
    for name in ("kernels.entropy", "noise.spectrum", "true_kernels.radius"):
        assert f'<th scope="row">{name}</th>' in body


def test_missing_parts_are_named_with_their_reason():
    body = measured_section({}, "too few <photographs>").body
    assert "Not measured: too few &lt;photographs&gt;" in body and "<table" not in body
