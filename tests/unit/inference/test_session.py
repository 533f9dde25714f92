"""Opening files: what they say of themselves, what is refused, where it computes."""

import hashlib
import mmap
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.onnx_rewrite import write_checked
from pdm_tf.core.apart import run_apart
from pdm_tf.core.errors import UserError
from pdm_tf.inference import providers
from pdm_tf.inference import session as session_module
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.session import SrSession, open_session
from tests.support.onnx_files import write_sr


def _image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def test_says_what_the_file_says(tmp_path):
    session = open_session(write_sr(tmp_path / "a.onnx", scale=3), provider="cpu")
    info = session.info
    assert (info.scale, info.architecture, info.layout) == (3, "Tiny", "NHWC")
    assert (info.precision, info.receptive_radius, info.batch) == ("float32", 2, None)
    assert len(info.sha256) == 64
    assert session.run(_image(2, 5, 7, 3)).shape == (2, 15, 21, 3)
    assert session.provider.active == "cpu"
    assert session.provider.reason == ""
    assert 0 < session.provider.nodes_on_active == session.provider.nodes_total


def test_layouts_agree(tmp_path):
    """NCHW files take and give NHWC arrays through `run`, contiguous or not."""
    nhwc = open_session(write_sr(tmp_path / "a.onnx"), provider="cpu")
    nchw = open_session(write_sr(tmp_path / "b.onnx", layout="NCHW"), provider="cpu")
    assert nchw.info.layout == "NCHW"
    lr = _image(2, 6, 9, 3)[:, ::-1]
    np.testing.assert_allclose(nchw.run(lr), nhwc.run(lr.copy()), atol=1e-6)


def test_somebody_elses_file_is_tried_for_its_scale(tmp_path):
    for layout in ("NHWC", "NCHW"):
        path = write_sr(tmp_path / "a.onnx", scale=3, layout=layout, metadata={})
        info = open_session(path, provider="cpu").info
        assert (info.scale, info.layout, info.receptive_radius) == (3, layout, None)


def test_the_overlap_is_what_the_file_advises(tmp_path):
    """Files of before it was written advise what was measured for their network."""
    common = {"scale": "2", "receptive_radius": "349"}
    for more, overlap in (
        ({"architecture": "RRDBNet", "overlap": "40"}, 40),
        ({"architecture": "RRDBNet"}, 24),
        ({"architecture": "EDSR"}, None),
        ({}, None),
    ):
        path = write_sr(tmp_path / "a.onnx", metadata={**common, **more})
        assert open_session(path, provider="cpu").info.overlap == overlap


def test_the_grid_is_what_the_file_says(tmp_path):
    """Files of before it was written, and other people's, say none."""
    for more, grid in (({"grid": "pixel0"}, "pixel0"), ({}, None)):
        path = write_sr(tmp_path / "a.onnx", metadata={"scale": "2", **more})
        info = open_session(path, provider="cpu").info
        assert info.grid == grid
        assert ("half_pixel is taken" in info.grid_remark) == (grid is None)
    same_size = write_sr(tmp_path / "a.onnx", scale=1, metadata={})
    assert open_session(same_size, provider="cpu").info.grid_remark == ""
    path = write_sr(tmp_path / "a.onnx", metadata={"scale": "2", "grid": "pixel1"})
    with pytest.raises(UserError, match="`grid` as one of pixel0, .*'pixel1'"):
        open_session(path, provider="cpu")


def test_float16_ends_are_fed_and_read(tmp_path):
    half = write_sr(tmp_path / "a.onnx", io=TensorProto.FLOAT16, metadata={})
    session = open_session(half, provider="cpu")
    assert session.info.precision == "float16"
    sr = session.run(_image(1, 8, 8, 3))
    assert sr.dtype == np.float32
    full = open_session(write_sr(tmp_path / "b.onnx"), provider="cpu")
    np.testing.assert_allclose(sr, full.run(_image(1, 8, 8, 3)), atol=5e-3)


def test_a_fixed_batch_is_reported(tmp_path):
    path = write_sr(tmp_path / "a.onnx", batch=2, metadata={})
    assert open_session(path, provider="cpu").info.batch == 2


def test_bound_outputs_are_the_same(tmp_path):
    """The way a GPU session runs, on this machine's only device."""
    plain = open_session(write_sr(tmp_path / "a.onnx"), provider="cpu")
    bound = SrSession(
        plain._session, plain.info.path, plain.provider, bound_to=("cpu", 0)
    )
    for shape in ((1, 8, 8, 3), (2, 5, 9, 3), (1, 8, 8, 3)):
        np.testing.assert_array_equal(
            bound.run(_image(*shape)), plain.run(_image(*shape))
        )


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "must be an ONNX file"),
        (b"not a model at all", "must be an ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "must be an ONNX file"),
    ],
)
def test_refuses_files_that_are_not_models(tmp_path, capfd, content, words):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        open_session(path, provider="cpu")
    assert str(path) in str(error.value)
    assert "[ONNXRuntimeError]" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_refuses_truncated_files(tmp_path, capfd):
    whole = write_sr(tmp_path / "a.onnx").read_bytes()
    for keep in (len(whole) // 2, len(whole) - 1):
        path = tmp_path / "b.onnx"
        path.write_bytes(whole[:keep])
        with pytest.raises(UserError, match="must be an ONNX file"):
            open_session(path, provider="cpu")
    assert capfd.readouterr().err == ""


def test_refuses_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match="There is no model file"):
        open_session(tmp_path / "none.onnx")
    write_sr(tmp_path / "model.onnx")
    with pytest.raises(UserError, match="Did you mean .*model.onnx"):
        open_session(tmp_path)


def test_refuses_the_degradation(tmp_path):
    path = write_sr(tmp_path / "a.onnx", metadata={"kind": "degradation"})
    with pytest.raises(UserError, match="kind 'degradation'"):
        open_session(path, provider="cpu")


@pytest.mark.parametrize(
    "shape, words",
    [
        ([1, 64, 64, 3], "any height and width"),
        (["b", "h", "w", 4], "3 colours"),
        (["b", "h", "w"], r"must take one image"),
    ],
)
def test_refuses_other_tensors(tmp_path, shape, words):
    """As many axes as an image has, three colours, free sizes."""
    out = helper.make_tensor_value_info("sr", TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["sr"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [out],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(UserError, match=words):
        open_session(tmp_path / "a.onnx", provider="cpu")


def test_refuses_metadata_that_cannot_be(tmp_path):
    for metadata, words in (
        ({"scale": "four"}, "`scale`"),
        ({"scale": "2", "receptive_radius": "-3"}, "`receptive_radius`"),
        ({"scale": "2", "layout": "NCHW"}, "layout"),
    ):
        path = write_sr(tmp_path / "a.onnx", metadata=metadata)
        with pytest.raises(UserError, match=words):
            open_session(path, provider="cpu")


def test_refuses_outputs_that_are_no_upscaled_image(tmp_path):
    """Half the size, as a degradation without metadata would give."""
    nodes = [
        helper.make_node(
            "Slice", ["image", "from", "to", "axes", "steps"], ["sr"], name="n"
        )
    ]
    weights = [
        onnx.numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in (
            ("from", [0, 0]),
            ("to", [10**9, 10**9]),
            ("axes", [1, 2]),
            ("steps", [2, 2]),
        )
    ]
    image = helper.make_tensor_value_info(
        "image", TensorProto.FLOAT, ["b", "h", "w", 3]
    )
    sr = helper.make_tensor_value_info("sr", TensorProto.FLOAT, ["b", "H", "W", 3])
    graph = helper.make_graph(nodes, "g", [image], [sr], weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(UserError, match="whole multiples"):
        open_session(tmp_path / "a.onnx", provider="cpu")


def _foreign(path, nodes, weights):
    """A file without metadata, NCHW, whose last node gives "output"."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 3, *sides])
        for name, sides in (("input", "hw"), ("output", "HW"))
    ]
    made = [
        onnx.numpy_helper.from_array(np.array(value), name)
        for name, value in weights.items()
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], made)
    sets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=8), path)
    return open_session(path, provider="cpu")


def _twice(taken, given):
    how = {"mode": "nearest", "nearest_mode": "floor"}
    how["coordinate_transformation_mode"] = "asymmetric"
    return helper.make_node("Resize", [taken, "", "sides"], [given], **how)


SIDES = {"sides": np.float32([1, 1, 2, 2])}


@pytest.mark.parametrize(
    ("gain", "offset", "words"),
    [
        (1.0, 0.0, ""),
        (2.0, -1.0, "takes values of 0 to 1 and gives -1 to 1"),
        (255.0, 0.0, "takes values of 0 to 1 and gives 0 to 255"),
    ],
)
def test_ranges_of_others_are_found(tmp_path, gain, offset, words):
    """Grey comes out as grey, whatever the file calls black and white."""
    nodes = [
        _twice("input", "a"),
        helper.make_node("Mul", ["a", "gain"], ["b"]),
        helper.make_node("Add", ["b", "offset"], ["output"]),
    ]
    numbers = {"gain": np.float32(gain), "offset": np.float32(offset)}
    session = _foreign(tmp_path / "a.onnx", nodes, SIDES | numbers)
    lr = _image(1, 5, 7, 3)
    assert words in session.info.habits_remark
    assert bool(session.info.habits_remark) == bool(words)
    wanted = lr.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(session.run(lr), wanted, atol=1e-6)


def test_a_file_that_takes_bytes_gets_them(tmp_path):
    """It keeps to the video range inside: of 0 to 1 it would make a grey of 16."""
    nodes = [
        helper.make_node("Clip", ["input", "low", "high"], ["a"]),
        _twice("a", "output"),
    ]
    limits = {"low": np.float32(16), "high": np.float32(235)}
    session = _foreign(tmp_path / "a.onnx", nodes, SIDES | limits)
    assert "takes values of 0 to 255 and gives 0 to 255" in session.info.habits_remark
    lr = _image(1, 4, 4, 3) * 0.8 + 0.1
    wanted = lr.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(session.run(lr), wanted, atol=1e-6)


def test_a_file_that_makes_no_grey_of_grey_is_refused(tmp_path):
    nodes = [
        _twice("input", "a"),
        helper.make_node("Mul", ["a", "gain"], ["output"]),
    ]
    weights = SIDES | {"gain": np.float32(9.0)}
    with pytest.raises(UserError, match=r"Received 2\.7, 4\.5, 6\.3 for 0\.3, 0\.5"):
        _foreign(tmp_path / "a.onnx", nodes, weights)


@pytest.mark.parametrize("multiple", [2, 4, 7, 12])
def test_files_that_take_certain_sides_only(tmp_path, multiple):
    """As those that move pixels into channels first; any image comes out right."""
    nodes = [
        helper.make_node("SpaceToDepth", ["input"], ["a"], blocksize=multiple),
        helper.make_node("DepthToSpace", ["a"], ["b"], blocksize=multiple, mode="DCR"),
        _twice("b", "output"),
    ]
    session = _foreign(tmp_path / "a.onnx", nodes, SIDES)
    assert session.info.habits.multiple == multiple
    assert f"multiples of {multiple}" in session.info.habits_remark
    for height, width in ((8, 12), (9, 12), (8, 13), (5, 7), (1, 1)):
        lr = _image(2, height, width, 3)
        wanted = lr.repeat(2, axis=1).repeat(2, axis=2)
        np.testing.assert_array_equal(session.run(lr), wanted)


@pytest.mark.parametrize("chosen", [{"tile": 65}, {"tile": 9, "ensemble": True}])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_tiles_of_such_files_are_cut_between_their_squares(
    tmp_path, chosen, batch_size
):
    """It gives each square of 2x2 pixels its first one: odd tiles show others."""
    first = np.zeros((3, 12, 1, 1), np.float32)
    first[range(3), range(3)] = 1
    nodes = [
        helper.make_node("SpaceToDepth", ["input"], ["a"], blocksize=2),
        helper.make_node("Conv", ["a", "first"], ["b"]),
        _twice("b", "c"),
        _twice("c", "output"),
    ]
    session = _foreign(tmp_path / "a.onnx", nodes, SIDES | {"first": first})
    engine = Engine(session, batch_size=batch_size, **chosen)
    whole = Engine(session, tile=512, ensemble=engine.ensemble)
    for height, width in ((36, 49), (112, 181), (131, 131), (1, 70)):
        lr = np.floor(_image(height, width, 3) * 255.99).astype(np.uint8)
        wanted = whole.upscale_array(lr)
        np.testing.assert_array_equal(engine.upscale_array(lr), wanted)
        if not engine.ensemble:
            squares = lr[::2, ::2].repeat(4, 0).repeat(4, 1)
            np.testing.assert_array_equal(wanted, squares[: 2 * height, : 2 * width])


def _has_driver():
    return providers._driver_problem(0) == ""


needs_no_gpu = pytest.mark.skipif(_has_driver(), reason="this machine has a GPU")


@needs_no_gpu
@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "auto"])
def test_a_missing_gpu_is_reported_with_the_reason(tmp_path, capfd, provider):
    """And nothing of it reaches the terminal behind our back."""
    session = open_session(write_sr(tmp_path / "a.onnx"), provider=provider)
    report = session.provider
    assert (report.requested, report.active) == (provider, "cpu")
    assert "libcuda.so.1" in report.reason
    assert "libcuda.so.1" in str(report)
    assert report.nodes_on_active == report.nodes_total
    assert capfd.readouterr() == ("", "")


@needs_no_gpu
def test_strict_selection_fails_instead(tmp_path):
    path = write_sr(tmp_path / "a.onnx")
    with pytest.raises(UserError, match="must not fall back.*libcuda"):
        open_session(path, provider="cuda", strict=True)
    open_session(path, provider="cpu", strict=True)
    open_session(path, provider="auto", strict=True)


def test_a_provider_that_only_seems_to_work_is_found_out(tmp_path, monkeypatch, capfd):
    """With a driver but without CUDA's libraries onnxruntime falls back in silence.

    The driver's answer is the only thing put in place here: the rest is onnxruntime,
    which is really asked for CUDA, and its own words for why not.
    """
    if _has_driver():
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(providers, "_driver_problem", lambda device_id: "")
    session = open_session(write_sr(tmp_path / "a.onnx"), provider="cuda")
    assert session.provider.active == "cpu"
    assert "cannot open shared object file" in session.provider.reason
    assert session.run(_image(1, 4, 4, 3)).shape == (1, 8, 8, 3)
    assert capfd.readouterr() == ("", "")


class GpuSession:
    """onnxruntime's report on a session on a GPU, which this machine lacks."""

    def __init__(self, **nodes):
        self._nodes = nodes

    def get_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def get_provider_graph_assignment_info(self):
        return [
            SimpleNamespace(
                ep_name=f"{name.upper()}ExecutionProvider",
                get_nodes=lambda kinds=kinds: [
                    SimpleNamespace(op_type=k) for k in kinds
                ],
            )
            for name, kinds in self._nodes.items()
        ]


@pytest.mark.parametrize("requested", ["cuda", "auto"])
def test_a_gpu_that_computes_is_reported_without_excuses(requested):
    session = GpuSession(cuda=["Conv", "Conv", "Relu"], cpu=["Shape"])
    report = providers.report_on(session, requested, "")
    assert (report.active, report.reason, report.on_gpu) == ("cuda", "", True)
    assert (report.nodes_on_active, report.nodes_total) == (3, 4)
    providers.check_strict(report, "a.onnx")


def test_a_gpu_that_got_no_convolution_does_not_count():
    """The session names CUDA first, but the work is done elsewhere."""
    session = GpuSession(cuda=["Relu"], cpu=["Conv", "Conv"])
    report = providers.report_on(session, "cuda", "")
    assert report.active == "cpu"
    assert "convolutions went to cpu" in report.reason
    with pytest.raises(UserError, match="convolutions went to cpu"):
        providers.check_strict(report, "a.onnx")


def test_falling_back_from_tensorrt_to_cuda_is_reported():
    session = GpuSession(cuda=["Conv"])
    report = providers.report_on(session, "tensorrt", "tensorrt: no libnvinfer")
    assert (report.active, report.reason) == ("cuda", "tensorrt: no libnvinfer")
    with pytest.raises(UserError, match="no libnvinfer"):
        providers.check_strict(report, "a.onnx")


def test_refuses_unknown_providers(tmp_path):
    with pytest.raises(UserError, match="auto, cpu, cuda, tensorrt.*'gpu'"):
        open_session(write_sr(tmp_path / "a.onnx"), provider="gpu")


def test_impossible_computations_are_user_errors(tmp_path, capfd):
    """The same class for all that onnxruntime raises; here, an image of 2 colours."""
    session = open_session(write_sr(tmp_path / "a.onnx"), provider="cpu")
    with pytest.raises(UserError, match="5x4 pixels.*smaller tile"):
        session.run(_image(1, 4, 5, 2))
    assert capfd.readouterr().err == ""


def test_reasons_in_a_native_log():
    log = (
        "\x1b[0;93m2026 [W:onnxruntime:, x.cc:1 F] something else\x1b[m\n"
        "\x1b[1;31m2026 [E:onnxruntime:Default, provider_bridge_ort.cc:2369 Try] "
        "/src/x.cc:1962 Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library "
        "/lib/libonnxruntime_providers_cuda.so with error: libcublasLt.so.12: cannot "
        "open shared object file: No such file or directory\n\x1b[m"
    )
    assert providers.reason_in_log(log) == (
        "libcublasLt.so.12: cannot open shared object file: No such file or directory"
    )
    driver = "CUDA failure 35: CUDA driver version is insufficient ; GPU=0 ; expr=x"
    assert providers.reason_in_log(driver).startswith("CUDA failure 35: CUDA driver")
    assert providers.reason_in_log("nothing of note") == ""


def test_cuda_options_are_known_to_this_onnxruntime():
    """A misspelt option would be found out only on a GPU: look it up in the library."""
    from pdm_tf.inference.ort import import_onnxruntime

    folder = Path(import_onnxruntime().__file__).parent / "capi"
    if not (folder / "libonnxruntime_providers_cuda.so").exists():
        pytest.skip("this onnxruntime was built without CUDA")
    options = providers.cuda_options(0, tf32=False)
    for name in (*options, "HEURISTIC", "kSameAsRequested"):
        assert any(_holds(path, name) for path in folder.glob("*.so*")), name


def _holds(path, name):
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return data.find(name.encode()) >= 0


def test_one_arena_serves_sessions_of_a_process(tmp_path):
    """A second session, and one by somebody else, work after it was registered."""
    code = (
        "import sys, onnxruntime as ort\n"
        "from pdm_tf.inference.session import open_session\n"
        "import numpy as np\n"
        "memory = ort.OrtMemoryInfo('Cpu', ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, "
        "0, ort.OrtMemType.DEFAULT)\n"
        "ort.create_and_register_allocator(memory, None)\n"
        "for _ in range(2):\n"
        "    s = open_session(sys.argv[1], provider='cpu')\n"
        "    print(s.run(np.zeros((1, 3, 3, 3), np.float32)).shape)\n"
    )
    path = write_sr(tmp_path / "a.onnx")
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(1, 6, 6, 3)") == 2
    assert done.stderr == ""


def test_a_file_of_another_hash_is_not_opened(tmp_path):
    """It may be anything: what it holds is not looked at."""
    path = write_sr(tmp_path / "a.onnx")
    known = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert open_session(path, provider="cpu", sha256=known.upper()).info.scale == 2
    Path(path).write_bytes(b"no ONNX")
    with pytest.raises(UserError, match=f"--sha256 {known}"):
        open_session(path, provider="cpu", sha256=known)
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        open_session(path, provider="cpu", sha256=known[1:])


def _ends_onnxruntime(path):
    """A file that ends onnxruntime 1.26: it turns three axes of four."""
    model = onnx.load(write_sr(path, convs=1))
    del model.graph.node[0].attribute[0].ints[3]
    onnx.save(model, path)
    return path


def test_a_file_that_ends_onnxruntime_is_refused(tmp_path):
    path = _ends_onnxruntime(tmp_path / "a.onnx")
    command = [sys.executable, "-m", "pdm_tf.upscale", f"--model={path}"]
    command += ["--input=tests/data/stored/hr", f"--output={tmp_path / 'made'}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert re.search(r"a\.onnx must be an ONNX file that onnxruntime", done.stderr)


def test_files_of_others_alone_are_tried_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "_TRIAL", "import os; os.abort()")
    other = write_sr(tmp_path / "a.onnx")
    with pytest.raises(UserError, match=r"a\.onnx must.*tried it ended by SIGABRT"):
        open_session(other, provider="cpu")
    known = hashlib.sha256(other.read_bytes()).hexdigest()
    assert open_session(other, provider="cpu", sha256=known).info.scale == 2
    own = write_checked(onnx.load(other), tmp_path / "b.onnx")
    assert open_session(own, provider="cpu").info.scale == 2
    whole = own.read_bytes()
    for at in (100, len(whole) - 1):  # in the file, in its seal
        own.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(UserError, match="ended by SIGABRT"):
            open_session(own, provider="cpu")
    own.write_bytes(whole[-70:])  # shorter than a seal
    with pytest.raises(UserError, match="ended by SIGABRT"):
        open_session(own, provider="cpu")


def test_a_trial_without_onnxruntime_is_no_trial(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "_TRIAL", "import no_such_module")
    with pytest.raises(UserError, match="must find onnxruntime.*no_such_module"):
        open_session(write_sr(tmp_path / "a.onnx"), provider="cpu")


def test_a_trial_comes_as_far_as_running(tmp_path):
    for settings in ({}, {"layout": "NCHW"}, {"batch": 2}, {"io": TensorProto.FLOAT16}):
        path = write_sr(tmp_path / "a.onnx", **settings)
        ended = run_apart(session_module._TRIAL + "print('ran')", path)
        assert ended.output == b"loaded\nran\n", ended.why
