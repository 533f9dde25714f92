"""The data task's summary of its measurements, and the flags it refuses."""

import pytest

from pdm_tf.benchmarks.data_task import DataBenchmarkConfig, figures, table
from pdm_tf.core.errors import UserError

RATES = {"training": [10.0, 20.0, 30.0], "pipeline": [900.0, 800.0, 1000.0]}


def test_ratios_are_those_of_the_medians():
    assert "ratio_to_torch" not in figures(RATES)
    result = figures({**RATES, "torch": [300.0, 400.0, 250.0]})
    assert result["training_patches_per_second"] == {
        "median": 20.0,
        "least": 10.0,
        "most": 30.0,
    }
    assert result["ratio"] == 45.0
    # The range is that of the rounds: 900/300, 800/400, 1000/250.
    assert result["ratio_to_torch"] == {"median": 3.0, "least": 2.0, "most": 4.0}


def test_table_shows_the_sides_that_were_measured():
    assert "torch" not in table(figures(RATES))
    lines = table(figures({**RATES, "torch": [300.0, 400.0, 250.0]})).splitlines()
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "training consumes 20 (10 to 30)",
        "pipeline delivers 900 (800 to 1000)",
        "torch delivers 300 (250 to 400)",
        "ratio 45.0",
        "ratio to torch 3.00 (2.00 to 4.00)",
    ]


def test_refuses_a_negative_number_of_workers():
    with pytest.raises(UserError, match="--workers must be 0 or more. Received: -1"):
        DataBenchmarkConfig(hr_dir="a", lr_dir="b", run_dir="c", workers=-1)
