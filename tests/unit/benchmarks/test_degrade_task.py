"""Blur and degradation: PyTorch does the same work, and what is said of the times."""

import dataclasses

import numpy as np
import pytest

from pdm_tf.benchmarks import degrade_task
from pdm_tf.benchmarks.degrade_task import DegradeBenchmarkConfig
from pdm_tf.benchmarks.sides import DEGRADING
from pdm_tf.benchmarks.timed import TimedDegradation
from pdm_tf.core.errors import UserError
from pdm_tf.degradations import KernelModuleConfig, PDMConfig
from tests.oracles.blur_oracle import blur

TINY = DegradeBenchmarkConfig(
    batch_size=3,
    lr_patch=4,
    scale=2,
    kernel_arg=(
        "filters=4",
        "num_blocks=2",
        "kernel_size=5",
        "latent_channels=3",
        "initial_std=0.3",  # kernels that depend on the latents, and so on the trunk
    ),
    noise=True,
    noise_arg=("filters=4", "num_blocks=1", "initial_std=0.05"),
    compare="torch",
)


def needs_torch():
    pytest.importorskip(
        "torch", reason='needs PyTorch, the other side: pip install "pdm_tf[benchmark]"'
    )


@pytest.mark.parametrize("form", ["unfold", "grouped"])
@pytest.mark.parametrize(
    ("grid", "border"),
    [("pixel0", "reflect"), ("pixel0", "valid"), ("half_pixel", "valid")],
)
def test_both_forms_of_the_blur_and_their_gradients(form, grid, border):
    needs_torch()
    from pdm_tf.benchmarks import torch_degradation

    generator = np.random.default_rng(2)
    settings = PDMConfig(
        scale=3, kernel=KernelModuleConfig(kernel_size=5), grid=grid, border=border
    )
    timed = TimedDegradation.of(settings)
    size = (9 if border == "reflect" else 13, 12 if border == "reflect" else 16)
    hr = generator.random((2, *size, 3), np.float32)
    kernel = generator.random((2, 25), np.float32)

    def expected(kernels):
        pairs = zip(hr, kernels.reshape(-1, 5, 5), strict=True)
        return np.stack([blur(x, k, 3, grid, border) for x, k in pairs])

    found = torch_degradation.timed_blur(timed, form, hr, kernel, backward=False)()
    np.testing.assert_allclose(found, expected(kernel), rtol=1e-5)
    gradient = torch_degradation.timed_blur(timed, form, hr, kernel, backward=True)()
    for tap in (0, 13, 24):  # of a quadratic function central differences are exact
        step = np.zeros_like(kernel)
        step[:, tap] = 0.5
        ends = [np.sum(expected(kernel + s * step) ** 2, (1, 2, 3)) for s in (1, -1)]
        np.testing.assert_allclose(gradient[:, tap], ends[0] - ends[1], rtol=1e-4)


@pytest.mark.parametrize("border", ["reflect", "valid"])
def test_all_sides_of_a_case_agree(border):
    needs_torch()
    config = dataclasses.replace(TINY, border=border)
    pdm = degrade_task.build_pdm(config)
    runs = degrade_task.build_sides(list(DEGRADING), pdm, config)
    outputs = {name: run() for name, run in runs.items()}
    for name, difference in degrade_task.differences(outputs).items():
        assert difference < 1e-5, name
    assert outputs["blur: tensorflow"].shape == (3, 4, 4, 3)
    assert outputs["blur, gradient: torch_unfold"].shape == (3, 25)
    assert outputs["degradation, gradient: torch_grouped"].shape == (25,)


def test_our_blur_is_the_one_that_is_timed():
    pdm = degrade_task.build_pdm(dataclasses.replace(TINY, compare="none"))
    timed = TimedDegradation.of(pdm.config)
    inputs = degrade_task.random_inputs(timed, TINY)
    found = degrade_task.our_side("blur", pdm, inputs)()
    kernels = inputs.kernel.reshape(-1, 5, 5)
    for image, hr, kernel in zip(found, inputs.hr, kernels, strict=True):
        expected = blur(hr, kernel, 2, "pixel0", "reflect")
        np.testing.assert_allclose(image, expected, rtol=1e-5)


def test_figures_by_hand():
    case = "degradation, gradient"
    seconds = {
        f"{case}: tensorflow": [0.2, 0.3, 0.1],
        f"{case}: torch_unfold": [1.0, 1.0, 1.0],
        f"{case}: torch_unfold_channels_last": [0.8, 0.8, 0.8],
        f"{case}: torch_grouped": [0.4, 0.5, 0.4],
        f"{case}: torch_grouped_channels_last": [0.5, 0.6, 0.5],
    }
    result = degrade_task.figures(
        seconds, dict.fromkeys(seconds, 0.0), {f"{case}: tensorflow": 700.0}
    )
    assert result["references"] == {
        case: {
            "unfold": f"{case}: torch_unfold_channels_last",
            "grouped": f"{case}: torch_grouped",
        }
    }
    ours = result["sides"][f"{case}: tensorflow"]
    assert ours["ratios"]["unfold"]["median"] == pytest.approx(0.25)
    assert ours["ratios"]["grouped"] == pytest.approx(
        {"median": 0.5, "least": 0.25, "most": 0.6}
    )
    text = degrade_task.table(
        {
            **result,
            "kernel_size": 21,
            "config": {"batch_size": 8, "lr_patch": 32, "scale": 4, "rounds": 3},
        }
    )
    assert "8 patches of 128 x 128 HR pixels, by 4, kernels of 21 x 21" in text
    row = next(line for line in text.splitlines() if "tensorflow" in line)
    assert row.split(": tensorflow")[1].split() == [
        "200",
        "(100-300)",
        "0.25",
        "(0.12-0.37)",
        "0.50",
        "(0.25-0.60)",
        "0.0e+00",
        "700",
    ]


def test_other_results_are_not_timed_as_the_same_work():
    ones = np.ones([2, 3])
    names = [f"blur: {side}" for side in ("tensorflow", "torch_unfold")]
    found = degrade_task.differences(
        dict(zip(names, (2 * ones, 2.0002 * ones), strict=True))
    )
    assert found[names[1]] == pytest.approx(1e-4)
    for wrong in (2.1 * ones, np.nan * ones):
        with pytest.raises(RuntimeError, match="does not compute the same as ours"):
            degrade_task.differences(dict(zip(names, (2 * ones, wrong), strict=True)))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"noise_arg": ("filters=4",)}, "no meaning with --nonoise"),
        ({"compare": "torch", "batch_size": 1}, "at least 2 with --compare=torch"),
        ({"lr_patch": 0}, "--lr_patch must be 1 or more"),
    ],
)
def test_flags_that_cannot_be(flags, message):
    with pytest.raises(UserError, match=message):
        DegradeBenchmarkConfig(**flags)
