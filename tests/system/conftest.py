"""Shared by system tests: the browser, started once a module."""

from collections.abc import Iterator

import pytest

from tests.support.browser import Watched, running_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Watched]:
    """A real browser, one page at a time."""
    with running_browser() as running:
        yield running
