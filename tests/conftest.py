"""What all tests share: quiet TensorFlow, the shared photographs, the device check.

Markers (declared in pyproject.toml): `slow` for minutes rather than seconds, left out
of `make test`; `gpu` for tests that need a CUDA device, skipped here where none is.
"""

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


def pytest_collection_modifyitems(items):
    """Skips `gpu` tests without a GPU; loads TensorFlow only if there are such."""
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
    """Real photographs beside the checkout; what needs them is skipped without."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip(
            "needs the real photographs of ../shared/data beside the checkout; there "
            f"is no {os.path.relpath(SHARED_DATA, REPOSITORY)}/README.md"
        )
    return SHARED_DATA
