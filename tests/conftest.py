"""Shared by all tests: quiet TensorFlow, the shared photographs, the device check.

Markers (declared in pyproject.toml): `slow` for minutes rather than seconds, left out
of `make test`; `gpu` for tests that need a CUDA device, `beam` and `kserve` for tests
that need these packages, all three skipped here where there is none. Both packages hold
others at older versions and are tested in an environment of their own: `make
test-services`.
"""

import importlib.util
import os
from pathlib import Path

import hypothesis
import pytest

# A busy machine must not fail a property that holds.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# Before anything imports TensorFlow: no start-up lines, and GPU memory as it is needed.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


# marker -> package, extra
SERVICES = {"beam": ("apache_beam", "bulk"), "kserve": ("kserve", "serve")}


def pytest_collection_modifyitems(items):
    """Skips what lacks a package, and `gpu` tests where there is no GPU."""
    for marker, (package, extra) in SERVICES.items():
        if importlib.util.find_spec(package) is None:
            reason = f"needs {package}: pip install -e '.[{extra}]'"
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=reason))
    # TensorFlow is loaded only if there are such tests.
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        skip = pytest.mark.skip(reason="needs a CUDA device; TensorFlow sees none")
        for item in marked:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root: what commands of the README are run from."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs next to the checkout; tests skip without them."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip(
            "needs the real photographs of ../shared/data beside the checkout; there "
            f"is no {os.path.relpath(SHARED_DATA, REPOSITORY)}/README.md"
        )
    return SHARED_DATA
