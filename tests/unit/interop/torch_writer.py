"""Writes PyTorch's file formats by hand, opcode by opcode: no PyTorch needed."""

import io
import json
import struct
import zipfile

CLASSES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def many(*parts):
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def ordered_dict(*items):
    entries = b"".join(text(key) + value for key, value in items)
    return name("collections", "OrderedDict") + b")R(" + entries + b"u"


def plain_dict(*items):
    entries = b"".join(text(key) + value for key, value in items)
    return b"}(" + entries + b"u"


def tensor(key, cls, length, shape, strides, offset=0, extra=b""):
    storage = many(
        text("storage"),
        name("torch", cls),
        text(key),
        text("cpu"),
        number(length),
        extra,
    )
    return (
        name("torch._utils", "_rebuild_tensor_v2")
        + many(
            storage + b"Q",
            number(offset),
            many(*map(number, shape)),
            many(*map(number, strides)),
            b"\x89",
            ordered_dict(),
        )
        + b"R"
    )


def pickled(content):
    return b"\x80\x02" + content + b"."


def strides_of(array):
    return [stride // array.itemsize for stride in array.strides]


def array_tensor(key, array, extra=b""):
    cls = CLASSES[array.dtype.name]
    return tensor(key, cls, array.size, array.shape, strides_of(array), extra=extra)


def zip_bytes(data_pkl, storages, compression=zipfile.ZIP_STORED, more=()):
    """An archive as torch.save makes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        archive.writestr("archive/byteorder", "little")
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        for entry, data in more:
            archive.writestr(entry, data)
    return buffer.getvalue()


def legacy_bytes(data_pkl, storages, item_sizes):
    """Magic, protocol, machine, object, keys, then length and numbers of each."""
    parts = [
        pickled(b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")),
        pickled(number(1001)),
        pickled(plain_dict(("little_endian", b"\x88"))),
        data_pkl,
        pickled(b"](" + b"".join(map(text, storages)) + b"e"),
    ]
    for key, data in storages.items():
        parts += [struct.pack("<q", len(data) // item_sizes[key]), data]
    return b"".join(parts)


def state_bytes(arrays, how="zip", wrap=lambda state: state):
    """A whole file of named arrays; "zip", "legacy" or "safetensors"."""
    if how == "safetensors":
        return safetensors_bytes(arrays)
    extra = b"N" if how == "legacy" else b""
    state = ordered_dict(
        *(
            (n, array_tensor(str(i), a, extra))
            for i, (n, a) in enumerate(arrays.items())
        )
    )
    storages = {str(i): array.tobytes() for i, array in enumerate(arrays.values())}
    if how == "zip":
        return zip_bytes(pickled(wrap(state)), storages)
    sizes = {str(i): array.itemsize for i, array in enumerate(arrays.values())}
    return legacy_bytes(pickled(wrap(state)), storages, sizes)


def safetensors_bytes(arrays, **changes):
    """Header and numbers; `changes` are entries of the header to replace."""
    codes = {
        **{"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64"},
        **{"int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"},
    }
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for key, array in arrays.items():
        raw = array.tobytes()
        header[key] = {
            "dtype": codes[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    head = json.dumps({**header, **changes}).encode()
    return struct.pack("<Q", len(head)) + head + data
