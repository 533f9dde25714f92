"""Peak memory of a real EDSR-baseline at the width of a 24-megapixel photograph.

Slow (minutes). What is held depends on the tile and on the width; that it does not
depend on the height is tested in seconds elsewhere. So 400 rows stand for 4000.
"""

import subprocess
import sys

import pytest

_CODE = """
import sys
import numpy as np
from pdm_tf.core.images import to_u8
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.session import open_session

photo = np.random.default_rng(0).integers(0, 256, (4000, 6000, 3), dtype=np.uint8)

class Source:
    height, width, layers = int(sys.argv[2]), 6000, 1
    def read(self, top, bottom, left, right):
        return photo[None, top:bottom, left:right].astype(np.float32) / 255

class Sink:
    count = 0
    def write_rows(self, rows):
        self.count += to_u8(rows).shape[1]
    def finish(self): pass
    def restart(self): pass
    def abort(self): pass

sink = Sink()
engine = Engine(open_session(sys.argv[1], provider="cpu"))
assert engine.cutting.exact
assert len(engine.plan(Source()).rows) >= 3
errors = []
engine.upscale([(Source(), sink)], lambda index, error: errors.append(error))
assert errors == [None] and sink.count == 4 * Source.height
# VmHWM, not ru_maxrss: the latter begins at what the parent had when it forked.
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.slow
def test_a_photograph_of_24_megapixels_stays_under_a_gigabyte_and_a_half(
    tmp_path, repository
):
    from export.onnx_graph import network_to_onnx
    from pdm_tf.models.sr.edsr import EDSRConfig

    model = network_to_onnx(EDSRConfig().build(), tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-c", _CODE, str(model), "400"],
        capture_output=True,
        text=True,
        cwd=repository,
    )
    assert done.returncode == 0, done.stderr
    megabytes = int(done.stdout)
    print(f"peak resident memory: {megabytes} MB")
    assert megabytes < 1536
