"""Many images through one real session: equal to whole images, and each on its own."""

import threading
import tracemalloc

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.geometry import GRIDS
from pdm_tf.core.images import to_float
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.session import open_session
from tests.support.onnx_files import write_sr
from tests.support.onnx_resize import write_resize


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    overflow = {"gain": (2**15, 4), "convs": 3}  # beyond float16 from 0.5 on
    return {
        "full": write_sr(folder / "full.onnx", convs=3),
        "half": write_sr(folder / "half.onnx", convs=3, half=True),
        "overflow": write_sr(folder / "overflow.onnx", half=True, **overflow),
        "precise": write_sr(folder / "precise.onnx", **overflow),
        "batch of 3": write_sr(folder / "batch.onnx", convs=3, batch=3),
        "broken": write_sr(folder / "broken.onnx", convs=3, gain=(1e38, 100)),
    }


@pytest.fixture(scope="module")
def sessions(files):
    return {
        name: open_session(path, provider="cpu", threads=1, spinning=False)
        for name, path in files.items()
    }


class Source:
    """Values in memory; fails at a row of tiles on request."""

    def __init__(self, values, fail_at=None):
        self.values = values if values.ndim == 4 else values[None]
        self.layers, self.height, self.width, _ = self.values.shape
        self.fail_at, self.reads = fail_at, 0

    def read(self, top, bottom, left, right):
        self.reads += 1
        if self.reads == self.fail_at:
            raise OSError("the disk went away")
        return self.values[:, top:bottom, left:right]


class Sink:
    """Rows in memory, and all calls."""

    def __init__(self, fail_in=None):
        self.rows, self.told, self.fail_in, self.threads = [], [], fail_in, set()

    def _note(self, what):
        self.threads.add(threading.current_thread().name)
        self.told.append(what)
        if what == self.fail_in:
            raise OSError(f"no space in {what}")

    def write_rows(self, rows):
        self._note("rows")
        self.rows.append(rows.copy())

    def finish(self):
        self._note("finish")

    def restart(self):
        self.rows.clear()
        self._note("restart")

    def abort(self):
        self._note("abort")

    @property
    def sr(self):
        return np.concatenate(self.rows, axis=1)


def lr_of(height, width, layers=1, seed=0, high=1.0):
    rng = np.random.default_rng((height, width, seed))
    return rng.random((layers, height, width, 3), np.float32) * np.float32(high)


def run(engine, jobs):
    done = {}

    def on_done(index, error):
        assert index not in done
        assert threading.current_thread() is threading.main_thread()
        done[index] = error

    engine.upscale(jobs, on_done)
    assert sorted(done) == list(range(len(done)))
    return [done[index] for index in sorted(done)]


SIZES = [(1, 1), (1, 70), (70, 1), (33, 34), (16, 90), (61, 47)]


@pytest.mark.parametrize("options", [{}, {"tile": 16}, {"tile": 20, "blend": 4}])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_tiled_equals_whole(sessions, options, batch_size):
    """Borders included, with and without blending, whatever shares a batch."""
    engine = Engine(sessions["full"], batch_size=batch_size, **options)
    assert engine.cutting.exact
    sinks = [Sink() for _ in SIZES]
    jobs = [
        (Source(lr_of(*size)), sink) for size, sink in zip(SIZES, sinks, strict=True)
    ]
    assert run(engine, jobs) == [None] * len(SIZES)
    for size, sink in zip(SIZES, sinks, strict=True):
        whole = sessions["full"].run(lr_of(*size))
        assert sink.told[-1] == "finish"
        np.testing.assert_allclose(sink.sr, whole, atol=2e-6)


def test_too_little_overlap_is_not_called_exact_and_shows(sessions):
    """The test above can fail."""
    engine = Engine(sessions["full"], tile=16, overlap=1, blend=0)
    assert not engine.cutting.exact
    sink = Sink()
    run(engine, [(Source(lr_of(40, 40)), sink)])
    assert np.abs(sink.sr - sessions["full"].run(lr_of(40, 40))).max() > 1e-3


def test_blending_softens_seams_that_too_little_overlap_leaves(sessions):
    """Its purpose: the steps between neighbouring tiles become smaller."""
    whole = sessions["full"].run(lr_of(60, 60))
    steps = {}
    for blend in (0, 4):
        engine = Engine(sessions["full"], tile=24, overlap=0, blend=blend)
        sink = Sink()
        run(engine, [(Source(lr_of(60, 60)), sink)])
        steps[blend] = np.abs(np.diff(sink.sr - whole, axis=1)).max()
    assert steps[4] < 0.6 * steps[0]


def test_layers_come_out_as_layers(sessions):
    lr = lr_of(40, 50, layers=2)
    sink = Sink()
    run(Engine(sessions["full"], tile=20, batch_size=3), [(Source(lr), sink)])
    np.testing.assert_allclose(sink.sr, sessions["full"].run(lr), atol=2e-6)


def test_upscale_array_rounds_like_everything_else(sessions):
    rng = np.random.default_rng(0)
    lr_u8 = rng.integers(0, 256, (45, 30, 3)).astype(np.uint8)
    sr_u8 = Engine(sessions["full"], tile=20).upscale_array(lr_u8)
    whole = sessions["full"].run(to_float(lr_u8)[None])[0]
    exact = np.floor(np.clip(whole, 0, 1) * 255 + 0.5)
    assert sr_u8.dtype == np.uint8
    assert np.abs(sr_u8 - exact).max() <= 1
    assert np.mean(sr_u8 != exact) < 1e-3
    for bad in (lr_u8[..., 0], lr_u8.astype(np.float32), lr_u8[..., :2]):
        with pytest.raises(ValueError, match="lr_u8"):
            Engine(sessions["full"]).upscale_array(bad)


def _reversed_parts(session, lr):
    """Each of the eight results where it belongs, by "HR[m] = out[s(n - 1) - m]".

    [8, B, H, W, 3] on the grid pixel0; nan where a part shows nothing.
    """
    scale, parts = session.info.scale, []
    _, height, width, _ = lr.shape
    for transpose, down, right in _symmetries():
        turned = lr[:, ::-1] if down else lr
        turned = turned[:, :, ::-1] if right else turned
        turned = turned.transpose(0, 2, 1, 3) if transpose else turned
        out = session.run(turned)
        out = out.transpose(0, 2, 1, 3) if transpose else out
        part = np.full(out.shape, np.nan)
        rows, columns = (np.arange(scale * n) for n in (height, width))
        to_rows = scale * (height - 1) - rows if down else rows
        to_columns = scale * (width - 1) - columns if right else columns
        y, x = to_rows >= 0, to_columns >= 0
        part[:, np.ix_(y, x)[0], np.ix_(y, x)[1]] = out[
            :, to_rows[y][:, None], to_columns[x]
        ]
        parts.append(part)
    return np.stack(parts)


def _symmetries():
    """The square's eight, as index arithmetic: (transpose?, flip rows?, columns?)."""
    flags = (False, True)
    return [(t, r, c) for t in flags for r in flags for c in flags]


def _oriented(image, symmetry):
    transpose, rows, columns = symmetry
    image = image.transpose(0, 2, 1, 3) if transpose else image
    image = image[:, ::-1] if rows else image
    return image[:, :, ::-1] if columns else image


def _oriented_back(image, symmetry):
    transpose, rows, columns = symmetry
    image = image[:, :, ::-1] if columns else image
    image = image[:, ::-1] if rows else image
    return image.transpose(0, 2, 1, 3) if transpose else image


@pytest.mark.parametrize("size", [(30, 30), (25, 60), (1, 9)])
def test_ensemble_is_the_mean_of_eight_orientations(sessions, size):
    """Of the whole image, although it is computed tile by tile."""
    lr = lr_of(*size)
    session = sessions["full"]
    expected = np.mean(
        [
            _oriented_back(session.run(_oriented(lr, symmetry)), symmetry)
            for symmetry in _symmetries()
        ],
        axis=0,
        dtype=np.float64,
    )
    sink = Sink()
    run(Engine(session, tile=20, ensemble=True), [(Source(lr), sink)])
    np.testing.assert_allclose(sink.sr, expected, atol=3e-6)
    assert np.abs(sink.sr - session.run(lr)).max() > 1e-3


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("tile", [0, 7])
def test_ensemble_of_a_network_that_is_exact_on_its_grid_changes_nothing(
    tmp_path, scale, grid, tile
):
    """All eight parts agree where they have pixels: whole, tiled, at the border."""
    path = write_resize(
        tmp_path / "m.onnx", scale=scale, mode="linear", grid=grid, said=grid
    )
    session, lr = open_session(path, provider="cpu"), lr_of(11, 18)
    sink = Sink()
    run(Engine(session, tile=tile, ensemble=True), [(Source(lr), sink)])
    np.testing.assert_allclose(sink.sr, session.run(lr), atol=1e-5)


@pytest.mark.parametrize("said", [None, "half_pixel"])
def test_ensemble_of_a_pixel0_network_that_is_not_known_as_one_is_displaced(
    tmp_path, said
):
    """As before there were grids; the tests above can fail."""
    settings = dict(scale=4, mode="linear", grid="pixel0")
    path = write_resize(tmp_path / "m.onnx", said=said, **settings)
    session, lr = open_session(path, provider="cpu"), lr_of(11, 18)
    sink = Sink()
    run(Engine(session, ensemble=True), [(Source(lr), sink)])
    assert np.abs(sink.sr - session.run(lr)).max() > 0.1
    remark = session.info.grid_remark
    assert ("half_pixel is taken" in remark) == (said is None)


@pytest.mark.parametrize("size", [(30, 30), (25, 60), (1, 9), (2, 1)])
@pytest.mark.parametrize("scale", [2, 3])
def test_ensemble_on_pixel0_is_the_mean_of_the_parts_that_show_a_pixel(
    tmp_path, size, scale
):
    """Tiled as whole, with an overlap of one more than the network's radius."""
    path = write_sr(tmp_path / "m.onnx", scale=scale, convs=3, more={"grid": "pixel0"})
    session, lr = open_session(path, provider="cpu"), lr_of(*size)
    parts = _reversed_parts(session, lr)
    shown = 8 - np.isnan(parts).sum(axis=0)[0, ..., 0]
    assert shown[0, 0] == 8 and shown[-1, 0] == shown[0, -1] == 4
    assert shown[-1, -1] == 2 and shown[-scale, -scale] == 8
    engine = Engine(session, tile=20, ensemble=True)
    assert engine.cutting.exact and engine.cutting.overlap == 4
    sink = Sink()
    run(engine, [(Source(lr), sink)])
    np.testing.assert_allclose(sink.sr, np.nanmean(parts, axis=0), atol=3e-6)
    assert not Engine(session, tile=20, overlap=3, ensemble=True).cutting.exact
    assert Engine(session, tile=20, overlap=3).cutting.exact


def test_float16_that_is_redone_is_redone_on_the_grid(tmp_path):
    """The float32 network gives the whole image, with its parts where they belong."""
    settings = dict(gain=(2**15, 4), convs=3, more={"grid": "pixel0"})
    half = open_session(write_sr(tmp_path / "h.onnx", half=True, **settings))
    full = open_session(write_sr(tmp_path / "f.onnx", **settings))
    bright = np.ones((1, 30, 25, 3), np.float32)
    sink = Sink()
    engine = Engine(half, tile=16, ensemble=True, fallback=full)
    assert run(engine, [(Source(bright), sink)]) == [None]
    assert "restart" in sink.told
    expected = np.nanmean(_reversed_parts(full, bright), axis=0)
    np.testing.assert_allclose(sink.sr, expected, atol=3e-6)


def _count_runs(session, monkeypatch):
    shapes = []
    original = session.run

    def counted(lr):
        shapes.append(lr.shape)
        return original(lr)

    monkeypatch.setattr(session, "run", counted)
    return shapes


def test_batches_mix_images_of_one_shape(sessions, monkeypatch):
    """Six tiles of three images make two batches of three, none of them smaller."""
    shapes = _count_runs(sessions["full"], monkeypatch)
    sinks = [Sink() for _ in range(3)]
    engine = Engine(sessions["full"], tile=20, overlap=3, batch_size=3)
    run(engine, [(Source(lr_of(20, 30, seed=i)), sinks[i]) for i in range(3)])
    assert len(shapes) == 2
    assert {shape[0] for shape in shapes} == {3}
    for i, sink in enumerate(sinks):
        expected = sessions["full"].run(lr_of(20, 30, seed=i))
        np.testing.assert_allclose(sink.sr, expected, atol=2e-6)


def test_a_graph_of_one_batch_size_gets_it(sessions, monkeypatch):
    """The last batch is filled up, and what was filled up is not seen."""
    shapes = _count_runs(sessions["batch of 3"], monkeypatch)
    engine = Engine(sessions["batch of 3"], tile=20)
    sink = Sink()
    run(engine, [(Source(lr_of(20, 50)), sink)])
    assert {shape[0] for shape in shapes} == {3}
    np.testing.assert_allclose(sink.sr, sessions["full"].run(lr_of(20, 50)), atol=2e-6)


def test_one_failing_image_leaves_the_others_alone(sessions):
    """A source at its first and later rows, a sink at each call, a source that lies."""
    engine = Engine(sessions["full"], tile=16, batch_size=2)
    lying = Source(lr_of(40, 40))
    lying.height = 44
    empty = Source(lr_of(40, 40))
    empty.width = 0
    jobs = [
        (Source(lr_of(40, 40)), Sink()),
        (Source(lr_of(40, 40), fail_at=1), Sink()),
        (Source(lr_of(40, 40), fail_at=3), Sink()),
        (Source(lr_of(40, 40)), Sink(fail_in="rows")),
        (Source(lr_of(40, 40)), Sink(fail_in="finish")),
        (lying, Sink()),
        (empty, Sink()),
        (Source(lr_of(40, 40), fail_at=2), Sink(fail_in="abort")),
        (Source(lr_of(40, 40)), Sink()),
    ]
    errors = run(engine, jobs)
    words = [None, "disk", "disk", "rows", "finish", "must return", "pixel", "disk"]
    for error, word in zip(errors, [*words, None], strict=True):
        assert (error is None) == (word is None)
        assert word is None or word in str(error)
    assert "no space in abort" in errors[7].__notes__[0]
    whole = sessions["full"].run(lr_of(40, 40))
    for (_, sink), error in zip(jobs, errors, strict=True):
        assert (sink.told[-1] == "abort") == (error is not None)
        assert sink.told.count("abort") <= 1
        if error is None:
            np.testing.assert_allclose(sink.sr, whole, atol=2e-6)


def test_float16_overflow_is_redone_in_float32(sessions):
    """The bright image only; the fallback is opened at its first use, and only then."""
    opened = []

    def fallback():
        opened.append(1)
        return sessions["precise"]

    dark, bright = lr_of(50, 40, high=0.3), lr_of(50, 40, high=0.3)
    bright[:, 40:, 30:] = 1.0  # in the last tiles: rows have been written by then
    sinks = [Sink() for _ in range(4)]
    images = [dark, bright, dark, bright]
    engine = Engine(sessions["overflow"], tile=16, batch_size=2, fallback=fallback)
    run(engine, [(Source(dark), Sink())])
    assert not opened
    jobs = [(Source(x), sink) for x, sink in zip(images, sinks, strict=True)]
    assert run(engine, jobs) == [None] * 4
    assert opened == [1]
    assert not np.isfinite(sessions["overflow"].run(bright)).all()
    for image, sink in zip(images, sinks, strict=True):
        redone = image is bright
        assert sink.told.count("restart") == int(redone)
        session = sessions["precise" if redone else "overflow"]
        np.testing.assert_allclose(sink.sr, session.run(image), atol=2e-3)
        if redone:  # all of it, not only the tiles that overflowed
            np.testing.assert_allclose(sink.sr, session.run(image), atol=2e-6)
            assert "rows" in sink.told[: sink.told.index("restart")]


def test_float16_overflow_without_fallback_fails_that_image(sessions):
    bright = np.ones((1, 30, 30, 3), np.float32)
    engine = Engine(sessions["overflow"], tile=16)
    errors = run(
        engine, [(Source(bright), Sink()), (Source(lr_of(30, 30, high=0.3)), Sink())]
    )
    assert "float16 overflows" in str(errors[0])
    assert errors[1] is None


def test_float32_that_is_not_finite_fails_and_ends(sessions):
    """No second try where there is none; nor endless ones with a fallback like it."""
    bright = np.full((1, 30, 30, 3), 100, np.float32)
    for engine in (
        Engine(sessions["broken"], tile=16),
        Engine(sessions["overflow"], tile=16, fallback=sessions["broken"]),
    ):
        (error,) = run(engine, [(Source(bright), Sink())])
        assert isinstance(error, UserError)
        assert "not finite on this image" in str(error)


def test_a_broken_source_during_the_second_try(sessions):
    bright = np.ones((1, 40, 40, 3), np.float32)
    source = Source(bright, fail_at=5)
    engine = Engine(sessions["overflow"], tile=16, fallback=sessions["precise"])
    assert engine.plan(source).rows[3:]  # so the first try reads at least 4 times
    (error,) = run(engine, [(source, Sink())])
    assert isinstance(error, OSError)


class Endless:
    """An image of any height that is never in memory."""

    layers = 1

    def __init__(self, height, width):
        self.height, self.width = height, width

    def read(self, top, bottom, left, right):
        rows = np.arange(top, bottom, dtype=np.float32)[None, :, None, None]
        return np.broadcast_to(np.sin(rows) / 2 + 0.5, (1, *self._size(rows, right), 3))

    def _size(self, rows, right):
        return rows.shape[1], right


class Counter(Sink):
    def write_rows(self, rows):
        self.count = getattr(self, "count", 0) + rows.shape[1]


def test_memory_does_not_grow_with_the_height(sessions):
    """A strip of 12,000 rows: 28 MB of output values, of which few may be there."""
    engine = Engine(sessions["full"], tile=64)
    engine.upscale([(Endless(200, 48), Counter())])  # threads, caches
    peaks = {}
    for height in (600, 12_000):
        sink = Counter()
        tracemalloc.start()
        engine.upscale([(Endless(height, 48), sink)])
        peaks[height] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sink.count == 2 * height
    assert peaks[12_000] < 1.5 * peaks[600]
    assert peaks[12_000] < 12_000 * 2 * 96 * 3 * 4 / 20


def engine_threads():
    names = {"tiles in", "rows out"}
    return [thread for thread in threading.enumerate() if thread.name in names]


@pytest.mark.parametrize("where", ["on_done", "jobs", "run"])
def test_ctrl_c_and_defects_end_everything(sessions, monkeypatch, where):
    """Raised in the caller's thread, no thread left, sinks in work given up."""
    sinks = [Sink() for _ in range(4)]
    raised = KeyboardInterrupt if where != "jobs" else ZeroDivisionError

    def jobs():
        for index, sink in enumerate(sinks):
            if where == "jobs" and index == 2:
                raise ZeroDivisionError
            yield Source(lr_of(400, 40)), sink

    def on_done(index, error):
        if where == "on_done":
            raise KeyboardInterrupt

    if where == "run":
        original, calls = sessions["full"].run, []

        def interrupted(lr):
            calls.append(1)
            if len(calls) == 5:
                raise KeyboardInterrupt
            return original(lr)

        monkeypatch.setattr(sessions["full"], "run", interrupted)
    with pytest.raises(raised):
        Engine(sessions["full"], tile=16).upscale(jobs(), on_done)
    assert not engine_threads()
    for sink in sinks:
        assert not sink.told or sink.told[-1] in ("finish", "abort")
    assert any(sink.told[-1:] == ["abort"] for sink in sinks)


def test_jobs_that_wait_for_others_do_not_hang(sessions):
    """The next image may depend on the last one's end: no batch may wait for it."""
    finished = threading.Event()
    count = 0

    def jobs():
        nonlocal count
        for index in range(3):
            if index:
                assert finished.wait(20)
                finished.clear()
            count += 1
            yield Source(lr_of(20, 20)), Sink()

    engine = Engine(sessions["full"], tile=64, batch_size=8)
    engine.upscale(jobs(), lambda index, error: finished.set())
    assert count == 3


def test_no_jobs_and_many_small_ones(sessions):
    engine = Engine(sessions["full"], batch_size=4)
    assert run(engine, []) == []
    sizes = [(3 + i % 5, 4 + i % 3) for i in range(40)]
    sinks = [Sink() for _ in sizes]
    errors = run(
        engine,
        [(Source(lr_of(*s)), sink) for s, sink in zip(sizes, sinks, strict=True)],
    )
    assert errors == [None] * 40
    for size, sink in zip(sizes, sinks, strict=True):
        np.testing.assert_allclose(
            sink.sr, sessions["full"].run(lr_of(*size)), atol=2e-6
        )


def test_each_source_and_sink_has_one_thread_at_a_time(sessions):
    sink = Sink()
    run(Engine(sessions["full"], tile=16), [(Source(lr_of(60, 20)), sink)])
    assert len(sink.threads) == 1
    assert threading.main_thread().name not in sink.threads


def test_the_description_is_json_and_complete(sessions):
    import json

    facts = Engine(sessions["full"], tile=32, ensemble=True).describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["overlap"] == facts["receptive_radius"] == 3
    assert (facts["tile"], facts["exact"], facts["provider"]) == (32, True, "cpu")


def test_a_fallback_must_have_the_same_scale(sessions, tmp_path):
    other = open_session(write_sr(tmp_path / "x3.onnx", scale=3), provider="cpu")
    bright = np.ones((1, 20, 20, 3), np.float32)
    engine = Engine(sessions["overflow"], fallback=other)
    (error,) = run(engine, [(Source(bright), Sink())])
    assert "x2. Received: x3" in str(error)
