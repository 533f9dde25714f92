"""Shared fixtures of the room: networks converted to ONNX, once each."""

import pytest

from export.onnx_graph import network_to_onnx
from tests.support.tiny_nets import built

NOTES = {"run": "r", "step": "9"}


@pytest.fixture(scope="session")
def sr_onnx(tmp_path_factory):
    """(config, layout) -> (network, its ONNX file). Nobody changes them."""
    made = {}

    def of(config, layout="NHWC"):
        if (config, layout) not in made:
            network = built(config)
            path = tmp_path_factory.mktemp("onnx") / "m.onnx"
            network_to_onnx(network, path, layout=layout, metadata=NOTES)
            made[config, layout] = network, path
        return made[config, layout]

    return of
