"""Files are read exactly, and whatever is damaged or malicious is refused, unexecuted.

The files are made by hand (`torch_writer`); that PyTorch's own have the same form is
what `test_torch_parity` holds.
"""

import hashlib
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.interop.weight_file import open_weights
from tests.support.ncnn_writer import rrdbnet_arrays, write_rrdbnet
from tests.unit.interop import torch_writer as w

FORMATS = ("zip", "legacy", "safetensors")
RNG = np.random.default_rng(0)
ARRAYS = {
    "a.weight": RNG.normal(size=(3, 2, 1, 2)).astype(np.float32),
    "half": RNG.normal(size=(5,)).astype(np.float16),
    "double": RNG.normal(size=(2, 3)),
    "scalar": np.array(7, np.int64),
    **{t: np.arange(4).astype(t) for t in ("int32", "int16", "int8", "uint8", "bool")},
    "empty": np.zeros((0, 3), np.float32),
}


def write(path, data):
    path.write_bytes(data)
    return path


def state_file(path, content, storages=None):
    """A zip file with this pickle."""
    return write(path, w.zip_bytes(w.pickled(content), storages or {}))


def loaded(path, **kwargs):
    file = open_weights(path, **kwargs)
    return {name: tensor.load() for name, tensor in file.tensors.items()}


@pytest.mark.parametrize("how", FORMATS)
def test_every_type_comes_back_bit_equal(tmp_path, how):
    found = loaded(write(tmp_path / "x.pth", w.state_bytes(ARRAYS, how)))
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    data = struct.pack("<4H", 0x3F80, 0xC020, 0x0000, 0x7F80)
    wanted = np.float32([1.0, -2.5, 0.0, np.inf])
    state = w.ordered_dict(("x", w.tensor("0", "BFloat16Storage", 4, [4], [1])))
    found = loaded(state_file(tmp_path / "x.pth", state, {"0": data}))
    np.testing.assert_array_equal(found["x"], wanted)
    entry = {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}
    path = write(tmp_path / "x.safetensors", w.safetensors_bytes({}, x=entry) + data)
    np.testing.assert_array_equal(loaded(path)["x"], wanted)


def test_views_share_a_storage_with_offset_and_strides(tmp_path):
    row = np.arange(12, dtype=np.float32)
    state = w.ordered_dict(
        ("turned", w.tensor("0", "FloatStorage", 12, [2, 3], [1, 2], offset=4)),
        ("whole", w.tensor("0", "FloatStorage", 12, [3, 4], [4, 1])),
    )
    found = loaded(state_file(tmp_path / "x.pth", state, {"0": row.tobytes()}))
    np.testing.assert_array_equal(found["turned"], row[4:10].reshape(3, 2).T)
    np.testing.assert_array_equal(found["whole"], row.reshape(3, 4))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (w.tensor("0", "FloatStorage", 4, [5], [1]), "within its storage"),
        (w.tensor("0", "FloatStorage", 4, [4], [1], offset=1), "within its storage"),
        (w.tensor("0", "FloatStorage", 4, [2, 2], [3, 2]), "within its storage"),
        (w.tensor("0", "FloatStorage", 4, [2**40], [0]), "within its storage"),
        (w.tensor("0", "FloatStorage", 4, [2], [-1]), "whole numbers >= 0"),
        (w.tensor("0", "FloatStorage", 4, [-2], [1]), "whole numbers >= 0"),
        (w.tensor("0", "FloatStorage", 4, [2], [1], offset=-1), "whole numbers >= 0"),
        (w.tensor("0", "FloatStorage", 4, [2, 2], [1]), "a stride per size"),
        (w.tensor("0", "FloatStorage", 4, [1] * 9, [1] * 9), "at most 8"),
        (w.tensor("0", "FloatStorage", 5, [5], [1]), "must hold 5 numbers.*16 bytes"),
        (w.tensor("7", "FloatStorage", 4, [4], [1]), "storage '7' are missing"),
        (w.tensor("0", "ComplexFloatStorage", 2, [2], [1]), "ComplexFloatStorage"),
    ],
)
def test_tensors_stay_within_their_storage(tmp_path, tensor, message):
    path = state_file(
        tmp_path / "x.pth", w.ordered_dict(("x", tensor)), {"0": bytes(16)}
    )
    with pytest.raises(UserError, match=message):
        open_weights(path)


@pytest.mark.parametrize("how", FORMATS)
def test_a_truncated_file_is_an_error_wherever_it_ends(tmp_path, how):
    whole = w.state_bytes({"a": ARRAYS["a.weight"], "b": ARRAYS["double"]}, how)
    for length in range(0, len(whole), 7):
        with pytest.raises(UserError):
            loaded(write(tmp_path / "x.pth", whole[:length]))
    assert len(loaded(write(tmp_path / "x.pth", whole))) == 2


def test_changed_bytes_in_a_zip_are_noticed(tmp_path):
    whole = w.state_bytes({"a": ARRAYS["a.weight"]})
    at = whole.index(ARRAYS["a.weight"].tobytes())
    damaged = whole[:at] + b"\xff" + whole[at + 1 :]
    with pytest.raises(UserError, match="damaged.*CRC"):
        loaded(write(tmp_path / "x.pth", damaged))


class Evil:
    """What attackers pickle: a call that leaves a trace."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["zip", "legacy", "legacy head", "beside a tensor"])
def test_a_malicious_pickle_is_refused_and_did_not_run(tmp_path, place, protocol):
    marker = tmp_path / "pwned"
    data = pickle.dumps(Evil(marker), protocol)
    pickle.loads(data)  # the control: Python's own machine does run it
    assert marker.is_dir()
    marker.rmdir()
    if place == "zip":
        content = w.zip_bytes(data, {})
    elif place == "legacy head":
        content = data if data[:1] == b"\x80" else b"\x80\x02" + data
    elif place == "legacy":
        content = w.legacy_bytes(data, {}, {})
    else:
        inner = data[2:-1] if data[:1] == b"\x80" else data[:-1]
        good = w.array_tensor("0", ARRAYS["double"])
        state = w.plain_dict(("good", good), ("bad", inner))
        content = w.zip_bytes(w.pickled(state), {"0": ARRAYS["double"].tobytes()})
    with pytest.raises(UserError, match="Refused: .*mkdir"):
        open_weights(write(tmp_path / "x.pth", content))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (w.name("builtins", "eval") + w.many(w.text("1")) + b"R", "builtins.eval"),
        (w.name("os", "system") + w.many(w.text("true")) + b"R", "os.system"),
        (w.text("os") + w.text("system") + b"\x93", "os.system"),
        (b"(" + w.text("true") + b"ios\nsystem\n", "instruction INST"),
        (b"(" + w.name("collections", "OrderedDict") + b"o", "instruction OBJ"),
        (w.name("collections", "OrderedDict") + b")\x81", "instruction NEWOBJ"),
        (b"\x82\x01", "instruction EXT1"),
        (w.name("torch", "FloatStorage") + b")R", "call of torch.FloatStorage"),
        (w.name("torch", "load") + b")R", "torch.load"),
        (w.name("torch.nn.modules.conv", "Conv2d"), "torch.nn.modules.conv.Conv2d"),
        (w.name("torch", "Size") + b"}b", "of a Name"),
        (w.text("x") + b")R", "call of a? ?str"),
    ],
)
def test_all_else_is_refused_by_name(tmp_path, content, named):
    path = state_file(tmp_path / "x.pth", content)
    with pytest.raises(UserError, match=f"Refused: .*{named}"):
        open_weights(path)


def test_a_zip_bomb_is_refused_before_it_is_opened(tmp_path):
    bomb = w.zip_bytes(
        w.pickled(w.ordered_dict()), {"0": bytes(10**7)}, zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 20_000
    with pytest.raises(UserError, match="must not be compressed"):
        open_weights(write(tmp_path / "x.pth", bomb))


def test_lengths_that_no_memory_holds_are_damage(tmp_path):
    claims = b"\x8d" + struct.pack("<Q", 2**62) + b"x"
    with pytest.raises(UserError, match="damaged"):
        open_weights(state_file(tmp_path / "x.pth", claims))


@pytest.mark.parametrize(
    "changes",
    [
        {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}},
        {"b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "F8", "shape": [8], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]}},
        {"a": [1, 2]},
    ],
    ids=["short", "gap", "overlap", "type", "size", "rest", "beyond", "entry"],
)
def test_safetensors_rules(tmp_path, changes):
    data = w.safetensors_bytes({"a": np.zeros(2, np.float32)}, **changes)
    path = write(tmp_path / "x.safetensors", data)
    with pytest.raises(UserError, match="x.safetensors must be a whole safetensors"):
        open_weights(path)


def test_numbers_that_no_network_of_ours_has_are_named(tmp_path):
    entry = {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}
    data = w.safetensors_bytes({}, eight_bits=entry) + bytes(8)
    with pytest.raises(UserError, match="'eight_bits' must be of one of.*'F8_E4M3'"):
        open_weights(write(tmp_path / "x.safetensors", data))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n", "must be a PyTorch or safetensors file"),
        (b"", "must be a PyTorch or safetensors file"),
    ],
)
def test_other_files_are_distinguished(tmp_path, head, message):
    with pytest.raises(UserError, match=message):
        open_weights(write(tmp_path / "x.pth", head))
    with pytest.raises(UserError, match="no file"):
        open_weights(tmp_path / "missing.pth")


def test_nesting_prefix_and_other_entries(tmp_path):
    """params_ema before params; `module.` off; the rest named."""
    one = {"0": np.float32([1.0]).tobytes(), "1": np.float32([2.0]).tobytes()}
    raw, averaged = (
        w.ordered_dict(("module.a", w.tensor(key, "FloatStorage", 1, [1], [1])))
        for key in "01"
    )
    content = w.plain_dict(
        ("params", raw), ("params_ema", averaged), ("step", w.number(5))
    )
    path = state_file(tmp_path / "x.pth", content, one)
    file = open_weights(path)
    assert file.entry == "params_ema" and file.tensors["a"].load() == [2.0]
    assert file.ignored == {
        "params": "not chosen; --entry=params takes it",
        "step": "beside the weights",
    }
    assert loaded(path, entry="params")["a"] == [1.0]
    with pytest.raises(UserError, match="--entry must name.*Did you mean 'params'"):
        open_weights(path, entry="parms")


def test_the_directory_of_an_archive_is_read_once_for_all_tensors(
    tmp_path, monkeypatch
):
    """Not once for each: that took half the time of importing 700 tensors."""
    arrays = {f"t{i}": np.full(3, i, np.float32) for i in range(20)}
    file = open_weights(write(tmp_path / "x.pth", w.state_bytes(arrays, "zip")))
    opened = []
    original = zipfile.ZipFile.__init__

    def counted(self, *args, **kwargs):
        opened.append(args)
        original(self, *args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "__init__", counted)
    for name, array in arrays.items():
        np.testing.assert_array_equal(file.tensors[name].load(), array)
    assert len(opened) == 1


def test_a_file_of_another_hash_is_not_read(tmp_path):
    """A pickle that is no pickle: the hash is compared first."""
    path = write(tmp_path / "x.pth", b"\x80\x02no pickle")
    with pytest.raises(UserError, match="must have the --sha256 0{64}"):
        open_weights(path, sha256="0" * 64)
    known = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(UserError, match="damaged"):
        open_weights(path, sha256=known)
    pair = write_rrdbnet(
        tmp_path, "n", rrdbnet_arrays(filters=2, growth=1, blocks=1, doublings=1)
    )
    both = pair.read_bytes() + pair.with_suffix(".bin").read_bytes()
    known = hashlib.sha256(both).hexdigest()
    assert open_weights(pair, sha256=known).sha256 == known
    with pytest.raises(UserError, match="n.param and .*n.bin must have"):
        open_weights(pair, sha256=hashlib.sha256(pair.read_bytes()).hexdigest())
