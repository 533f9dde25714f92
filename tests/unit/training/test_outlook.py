"""A run says how long it takes, and what to do where that is too long."""

import pytest

from pdm_tf.core.memory import allowed_cpus
from pdm_tf.training.outlook import machine_line, outlook

DAY = 86_400.0


@pytest.mark.parametrize(
    ("step", "steps", "seconds", "told"),
    [
        (10, 20, 5.0, ""),
        (10, 1500, 360.0, "about 6 minutes to step 1,500 on this CPU"),
        (10, 200_000, 14 * DAY, "about 14 days to step 200,000 on this CPU; for a "),
    ],
)
def test_what_is_told(step, steps, seconds, told):
    assert outlook(step, steps, seconds).startswith(told)


def test_the_proposed_run_fits_into_a_few_hours():
    """200,000 steps in 14 days are 1,700 in three hours: --steps=1000, 2 hours."""
    line = outlook(10, 200_000, 14 * DAY)
    assert "--steps=1000 (about 2 hours), or a small network" in line
    slow = outlook(10, 200_000, 200 * DAY)
    assert "--steps" not in slow and "take a small network" in slow


def test_the_machine_is_named():
    assert f"{len(allowed_cpus())} CPU core" in machine_line()
