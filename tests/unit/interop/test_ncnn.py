"""ncnn's files are read exactly, and every graph but RRDBNet's is refused by name.

The files are written by hand (`tests.support.ncnn_writer`); that published ones have
the same form is what the slow test of tests/system/test_fetch_weights.py holds.
"""

import hashlib
import re
import struct

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.interop.weight_file import open_weights
from tests.support import ncnn_writer as w

# 5 channels: 135 numbers of 2 bytes, so the first kernel is filled up to 4 bytes.
ARRAYS = w.rrdbnet_arrays(filters=5, growth=3, blocks=2)
GRAPH = w.graph_text(ARRAYS)


@pytest.fixture
def graph(tmp_path):
    return w.write_rrdbnet(tmp_path, "net", ARRAYS)


@pytest.mark.parametrize("suffix", [".param", ".bin"])
@pytest.mark.parametrize(("tag", "stored"), [(w.FP16, "float16"), (0, "float32")])
def test_every_number_comes_back_by_name(tmp_path, tag, stored, suffix):
    path = w.write_rrdbnet(tmp_path, "net", ARRAYS, tag=tag)
    file = open_weights(path.with_suffix(suffix))
    assert file.file_format == "ncnn" and file.ignored == {}
    assert list(file.tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        dtype = "float32" if name.endswith(".bias") else stored
        found = file.tensors[name].load()
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, array.astype(dtype))
    both = path.read_bytes() + path.with_suffix(".bin").read_bytes()
    assert file.sha256 == hashlib.sha256(both).hexdigest()


def test_doublings_and_blocks_follow_from_the_graph(tmp_path):
    arrays = w.rrdbnet_arrays(filters=4, growth=2, blocks=1, doublings=1)
    path = w.write_rrdbnet(tmp_path, "x2", arrays)
    assert list(open_weights(path).tensors) == list(arrays)


def test_sums_may_name_their_inputs_in_either_order(tmp_path, graph):
    lines = GRAPH.splitlines()
    for index, line in enumerate(lines):
        words = line.split()
        if words[0] == "Eltwise":
            words[4:6] = words[5], words[4]
            words[-1] = "-23301=2,1.000000e+00,2.000000e-01"
            lines[index] = " ".join(words)
    graph.write_text("\n".join(lines))
    assert list(open_weights(graph).tensors) == list(ARRAYS)


@pytest.mark.parametrize(
    ("pattern", "instead", "message"),
    [
        (r"2\.000000e-01\n", "1.000000e-01\n", r"conv1.*setting 10 must be \(0.2\)"),
        (
            r" 9=2 -23310=1,2.000000e-01",
            " 9=1",
            "body.0.rdb1.conv1, 5 channels.*: setting 9 must be 2",
        ),
        (r"2,2\.0+e-01,1", "2,3.000000e-01,1", r"Eltwise .*setting 1 must be \(0.2, 1"),
        (r" 1=3 ", " 1=5 ", "as conv_first, 3 channels to 5: setting 1 must be 3"),
        (r" 4=1 ", " 4=0 ", "setting 4 must be 1"),
        (r" 5=1 ", " ", "setting 5 must be 1"),
        (r" 4=1 ", " 4=1 3=2 ", "setting 3 must be 1"),
        (r" 4=1 ", " 4=1 17=2 ", "setting 17 must not be given"),
        (r" 6=135", " 6=136", "setting 6 must be 135"),
        (r"0=1 1=2.0+e\+00", "0=2 1=2.000000e+00", "Interp.*setting 0 must be 1"),
        (r"0=1 1=2.0+e\+00", "0=1 1=3.000000e+00", "Interp.*setting 1 must be 2"),
        (r"(Concat \S+ 2 1) (\S+) (\S+)", r"\1 \3 \2", "where Concat of 1.* belongs"),
        (r"Input (\S+ 0 1 data)", r"Input \1 0=8 1=8 2=1", "where an RGB image comes"),
        (r"Eltwise (.*) 0=1 ", r"Eltwise \1 0=0 ", "setting 0 must be 1"),
        (r"BinaryOp (.*)\n", "BinaryOp \\1 0=2\n", "setting 0 must be 0"),
    ],
)
def test_another_graph_is_refused_where_it_differs(graph, pattern, instead, message):
    changed, count = re.subn(pattern, instead, GRAPH, count=1)
    assert count == 1
    graph.write_text(changed)
    with pytest.raises(UserError, match="must be an RRDBNet") as error:
        open_weights(graph)
    assert re.search(message, str(error.value)), error.value


def without(lines, first, last, blobs):
    """The graph without some lines, its counts put right."""
    kept = lines[:first] + lines[last:]
    layers, names = map(int, kept[1].split())
    kept[1] = f"{layers - (last - first)} {names - blobs}"
    return "\n".join(kept)


def test_a_graph_that_ends_early_or_goes_on(graph):
    lines = GRAPH.splitlines()
    graph.write_text(without(lines, len(lines) - 1, len(lines), 1))
    with pytest.raises(UserError, match="its end where Convolution belongs"):
        open_weights(graph)
    lines[1] = " ".join(str(int(n) + 1) for n in lines[1].split())
    more = "Interp up 1 1 output larger 0=1 1=2.0 2=2.0"
    graph.write_text("\n".join([*lines, more]))
    with pytest.raises(UserError, match="Interp up of output .* where the network end"):
        open_weights(graph)


def test_a_network_for_videos_is_named(tmp_path):
    layers = [
        ("Input", [], "data", ""),
        ("Convolution", ["data"], "1", "0=64 1=3 4=1 5=1 6=1728"),
        ("PReLU", ["1"], "2", "0=64"),
        ("Convolution", ["2"], "3", "0=48 1=3 4=1 5=1 6=27648"),
        ("PixelShuffle", ["3"], "4", "0=4"),
        ("Interp", ["data"], "5", "0=1 1=4.0 2=4.0"),
        ("BinaryOp", ["4", "5"], "output", ""),
    ]
    path = tmp_path / "video.param"
    path.write_text(w.with_splits(layers))
    path.with_suffix(".bin").write_bytes(b"\0" * 8)
    with pytest.raises(UserError, match="1 PReLU.*1 PixelShuffle.*SRVGGNetCompact"):
        open_weights(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("\n", "\n9", 1), "must have the 9"),
        (lambda text: text.replace("\n", "\nmany ", 1), "line 2, must give how many"),
        (lambda text: "\n".join(text.splitlines()[:40]), "must have the .* layers"),
        (lambda text: text.replace(" 1 1 data", " 1 x data"), "line 4, must be a lay"),
        (lambda text: text.replace(" 1 1 data", " 1 3 data"), "line 4, must name 1 in"),
        (lambda text: text.replace("1 1 data", "1 1 date"), "line 4, must use blobs"),
        (lambda text: text.replace(" 101 ", " data ", 1), "line 4, must use blobs"),
        (lambda text: text.replace("0=5", "0=five", 1), "settings of numbers"),
        (lambda text: text.replace("0=5", "0=1e99", 1), "settings of numbers"),
        (lambda text: text.replace("0=5", "0=5,5", 1), "their length first"),
        (lambda text: text.replace("=1,2.0", "=2,2.0", 1), "their length first"),
        (lambda text: text.replace("0=5", "0=5 0=5", 1), "a setting once"),
        (lambda text: text.replace("0=5", "-23300=1,5", 1), "RRDBNet"),
        (lambda text: text + "\udcff", "as text"),
    ],
)
def test_a_damaged_graph_is_refused(graph, change, message):
    graph.write_bytes(change(GRAPH).encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=message):
        open_weights(graph)


PADDING = 4 + 2 * 135  # of the first kernel


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:-1], r"which end within conv_last\."),
        (lambda b: b[:700], "which end within"),
        (lambda b: b"", "a file that ends before it"),
        (lambda b: b + b"\0", "of which the graph explains"),
        (lambda b: b[:PADDING] + b"\1" + b[PADDING + 1 :], "2 bytes that fill up conv"),
        (lambda b: struct.pack("<I", 0x000D4B38) + b[4:], "8-bit integers"),
        (lambda b: struct.pack("<I", 0x0002C056) + b[4:], "extra scaling"),
        (lambda b: struct.pack("<I", 7) + b[4:], "0x00000007 .unknown"),
    ],
)
def test_every_byte_of_the_weights_is_accounted_for(graph, change, message):
    weights = graph.with_suffix(".bin")
    weights.write_bytes(change(weights.read_bytes()))
    with pytest.raises(UserError, match=message):
        open_weights(graph)


def test_one_file_of_the_two_is_not_enough(tmp_path, graph):
    weights = graph.with_suffix(".bin")
    weights.rename(tmp_path / "away.bin")
    with pytest.raises(UserError, match=r"two files.*without net\.bin"):
        open_weights(graph)
    with pytest.raises(UserError, match=r"graph.*without away\.param"):
        open_weights(tmp_path / "away.bin")
