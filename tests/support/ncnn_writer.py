"""Writes RRDBNet as ncnn's two files, as onnx2ncnn and ncnnoptimize leave it.

Made from the format's description and from published files looked at by hand; nothing
of the product is used. Weights go by BasicSR's names.
"""

import struct
from collections import Counter

import numpy as np

FP16 = 0x01306B47
LEAKY = "9=2 -23310=1,2.000000e-01"
AROUND = "0=1 -23301=2,2.000000e-01,1.000000e+00"
DOUBLE = "0=1 1=2.000000e+00 2=2.000000e+00"


def rrdbnet_arrays(*, filters, growth, blocks, doublings=2, seed=0):
    """Random tensors [out, in, 3, 3] and [out] by BasicSR's names, in order."""
    rng = np.random.default_rng(seed)
    arrays = {}

    def conv(name, inputs, outputs):
        weight = rng.normal(size=(outputs, inputs, 3, 3)) / (9 * inputs) ** 0.5
        arrays[f"{name}.weight"] = weight.astype(np.float32)
        arrays[f"{name}.bias"] = (0.1 * rng.normal(size=outputs)).astype(np.float32)

    conv("conv_first", 3, filters)
    for i in range(blocks):
        for j in range(1, 4):
            for k in range(1, 6):
                outputs = filters if k == 5 else growth
                conv(f"body.{i}.rdb{j}.conv{k}", filters + (k - 1) * growth, outputs)
    conv("conv_body", filters, filters)
    for i in range(1, doublings + 1):
        conv(f"conv_up{i}", filters, filters)
    conv("conv_hr", filters, filters)
    conv("conv_last", filters, 3)
    return arrays


def graph_text(arrays):
    """The content of the .param file."""
    return with_splits(_operations(arrays))


def _operations(arrays):
    """[(kind, inputs, output, settings)] in the order of the computation."""
    found = [("Input", [], "data", "")]

    def add(kind, inputs, settings, output=""):
        output = output or str(100 + len(found))
        found.append((kind, inputs, output, settings))
        return output

    def conv(name, x, leaky=False):
        weight = arrays[f"{name}.weight"]
        sizes = f"0={weight.shape[0]} 1=3 4=1 5=1 6={weight.size}"
        last = "output" if name == "conv_last" else ""
        return add("Convolution", [x], f"{sizes} {LEAKY}" if leaky else sizes, last)

    head = x = conv("conv_first", "data")
    blocks = sum(name.endswith("rdb1.conv1.bias") for name in arrays)
    for i in range(blocks):
        start = x
        for j in range(1, 4):
            parts = [x]
            for k in range(1, 6):
                joined = add("Concat", list(parts), "") if k > 1 else x
                parts.append(conv(f"body.{i}.rdb{j}.conv{k}", joined, leaky=k < 5))
            x = add("Eltwise", [parts[-1], x], AROUND)
        x = add("Eltwise", [x, start], AROUND)
    x = add("BinaryOp", [head, conv("conv_body", x)], "")
    for name in sorted(n[:-5] for n in arrays if n.startswith("conv_up") and ".b" in n):
        x = conv(name, add("Interp", [x], DOUBLE), leaky=True)
    conv("conv_last", conv("conv_hr", x, leaky=True))
    return found


def with_splits(operations):
    """Writes the lines; a blob that is used n times is split into n, last one first."""
    uses = Counter(name for _, inputs, _, _ in operations for name in inputs)
    left = dict(uses)
    lines, blobs = [], 0
    for number, (kind, inputs, output, settings) in enumerate(operations):
        names = []
        for name in inputs:
            left[name] -= 1
            names.append(f"{name}_s{left[name]}" if uses[name] > 1 else name)
        words = [kind, f"{kind}_{number}", str(len(names)), "1", *names, output]
        lines.append(" ".join([*words, settings]).strip())
        blobs += 1
        if uses[output] > 1:
            copies = [f"{output}_s{i}" for i in range(uses[output])]
            words = ["Split", f"split_{number}", "1", str(len(copies)), output, *copies]
            lines.append(" ".join(words))
            blobs += len(copies)
    return "\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""])


def weight_bytes(arrays, *, tag=FP16):
    """The content of the .bin file; tag 0 stores float32."""
    parts = []
    for name, array in arrays.items():
        if name.endswith(".bias"):
            parts.append(array.astype("<f4").tobytes())
            continue
        data = array.astype("<f2" if tag == FP16 else "<f4").tobytes()
        parts.append(struct.pack("<I", tag) + data + b"\0" * (-len(data) % 4))
    return b"".join(parts)


def write_rrdbnet(folder, name, arrays, *, tag=FP16):
    """Writes NAME.param and NAME.bin; returns the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bin").write_bytes(weight_bytes(arrays, tag=tag))
    path = folder / f"{name}.param"
    path.write_text(graph_text(arrays))
    return path
