"""The long runs in short: their figures, and a few seconds of the server's."""

import pytest

from tests.soak.__main__ import are_stable, growth, serve


def test_growth_is_the_slope_after_the_start():
    rows = [
        {"rss_mib": 100 + 50 * (n < 2) + 0.002 * n * 100, "requests": n * 100.0}
        for n in range(11)
    ]
    assert growth(rows, "rss_mib", "requests", 10_000) == pytest.approx(20)


def test_three_windows_within_a_tenth_are_stable():
    assert are_stable([50.0, 9.2, 10.0, 10.8])
    assert not are_stable([10.0, 10.0, 10.0, 12.0])
    assert not are_stable([10.0, 10.0])


@pytest.mark.kserve
def test_some_seconds_of_mixed_load(tmp_path):
    figures = serve(tmp_path, seconds=12, window_s=3)
    assert figures["right"] >= 12 and figures["refused"] >= 2
    assert not {"wrong", "failed", "not refused"} & figures.keys()
    assert figures["server_ended"] is None
