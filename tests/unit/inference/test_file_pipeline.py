"""Many files at once: each fails alone, work overlaps, giving up leaves no halves."""

import os
import resource
import shutil
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from pdm_tf.core.errors import ImageError
from pdm_tf.inference import file_pipeline, outputs, stores
from pdm_tf.inference.file_pipeline import upscale_file, upscale_files
from pdm_tf.inference.files import RECORD_NAME, FileOptions, FileTask, Record
from pdm_tf.inference.pictures import read_picture
from pdm_tf.inference.result_files import encode
from tests.support.photographs import samples, write_odd_files, write_png
from tests.unit.inference.fakes import FakeEngine, repeated


def tasks_of(folder, out, count=5):
    """`count` images of different sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        write_png(folder / f"{i}.png", samples(5 + i, 9 - i, 3, seed=i))
    return [
        FileTask(path, out / path.relative_to(folder))
        for path in sorted(folder.rglob("*.*"))
    ]


def working_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("upscale-")]


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))


def test_bad_files_fail_alone_and_are_reported_in_order(tmp_path):
    reasons = write_odd_files(tmp_path / "in" / "odd")
    tasks = tasks_of(tmp_path / "in", tmp_path / "out")
    tasks = [FileTask(t.source, t.target.with_suffix(".png")) for t in tasks]
    told = []
    results = upscale_files(FakeEngine(), tasks, on_done=told.append)
    assert [result.source for result in results] == [task.source for task in tasks]
    assert sorted(map(id, told)) == sorted(map(id, results))
    for result in results:
        if result.source.name in reasons:
            assert result.status == "failed"
            # Without what libvips says: its threads share one buffer for texts.
            expected = reasons[result.source.name].partition(" (")[0]
            assert result.reason.startswith(expected)
        else:
            assert result.status == "done" and result.reason == ""
            np.testing.assert_array_equal(
                read_picture(result.target).pixels,
                read_picture(result.source).pixels.repeat(2, 0).repeat(2, 1),
            )
    assert names(tmp_path / "out") == [f"{i}.png" for i in range(5)]


def test_an_error_of_the_engine_fails_its_file_alone(tmp_path):
    def before(index):
        if index == 2:
            raise ValueError("out of memory on the device")

    tasks = tasks_of(tmp_path / "in", tmp_path / "out")
    results = upscale_files(FakeEngine(before=before), tasks)
    assert [r.status for r in results] == ["done", "done", "failed", "done", "done"]
    assert results[2].reason == "ValueError: out of memory on the device"
    assert names(tmp_path / "out") == ["0.png", "1.png", "3.png", "4.png"]
    assert os.listdir(tmp_path / "out").count(".2.png.0.tmp") == 0


def test_all_lr_pixels_are_counted_once(tmp_path):
    counts = []
    tasks = tasks_of(tmp_path / "in", tmp_path / "out")
    results = upscale_files(FakeEngine(scale=3), tasks, on_pixels=counts.append)
    assert sum(counts) == sum(h * w for h, w in (r.lr_size for r in results))


def test_reading_and_writing_overlap_the_network(tmp_path, monkeypatch):
    """The second image is read, and the first one saved, while the network works."""
    read, saving = threading.Event(), threading.Event()
    reads = []

    def read_picture_and_tell(path, **more):
        reads.append(path)
        if len(reads) == 2:
            read.set()
        return read_picture(path, **more)

    def save_and_tell(sink, before, save=outputs.PictureSink.save):
        saving.set()
        save(sink, before)

    def before(index):
        if index == 0:
            assert read.wait(20)
        if index == 1:
            assert saving.wait(20)

    monkeypatch.setattr(file_pipeline, "read_picture", read_picture_and_tell)
    monkeypatch.setattr(outputs.PictureSink, "save", save_and_tell)
    tasks = tasks_of(tmp_path / "in", tmp_path / "out", 3)
    results = upscale_files(FakeEngine(before=before), tasks)
    assert [result.status for result in results] == ["done"] * 3


def test_finished_files_are_kept_and_old_ones_made_again(tmp_path):
    tasks = tasks_of(tmp_path / "in", tmp_path / "out", 3)

    def statuses(settings, **more):
        options = FileOptions(record=Record(tmp_path / "out", settings), **more)
        return [r.status for r in upscale_files(FakeEngine(), tasks, options)]

    assert statuses({"a": 1}) == ["done"] * 3
    assert statuses({"a": 1}) == ["skipped"] * 3
    write_png(tasks[1].source, samples(4, 4, 3, seed=9))
    tasks[2].target.unlink()
    assert statuses({"a": 1}) == ["skipped", "done", "done"]
    assert statuses({"a": 2}) == ["done"] * 3
    tasks[0].target.write_bytes(b"precious")
    assert statuses({"a": 2}) == ["failed", "skipped", "skipped"]
    assert tasks[0].target.read_bytes() == b"precious"
    assert statuses({"a": 2}, overwrite=True) == ["done"] * 3


def test_without_a_record_nothing_is_replaced(tmp_path):
    [task] = tasks_of(tmp_path / "in", tmp_path / "out", 1)
    assert upscale_file(FakeEngine(), task.source, task.target).status == "done"
    result = upscale_file(FakeEngine(), task.source, task.target)
    assert result.status == "failed" and "--overwrite replaces it" in result.reason


def test_ctrl_c_leaves_whole_files_and_no_others(tmp_path):
    """And what was finished is in the record, the rest is made by a second start."""

    def before(index):
        if index == 3:
            raise KeyboardInterrupt

    tasks = tasks_of(tmp_path / "in", tmp_path / "out")
    told = []
    record = Record(tmp_path / "out", {})
    with pytest.raises(KeyboardInterrupt):
        upscale_files(
            FakeEngine(before=before), tasks, FileOptions(record=record), told.append
        )
    made = sorted(set(os.listdir(tmp_path / "out")) - {RECORD_NAME})
    assert set(made) >= {result.target.name for result in told}
    assert set(made) <= {"0.png", "1.png", "2.png"}
    assert not working_threads()
    options = FileOptions(record=Record(tmp_path / "out", {}))
    results = upscale_files(FakeEngine(), tasks, options)
    again = [r.target.name for r in results if r.status == "done"]
    assert sorted(again) == sorted({f"{i}.png" for i in range(5)} - set(made))


def test_giving_up_stops_an_encoder_in_the_middle(tmp_path, monkeypatch):
    started = threading.Event()
    ends = []

    def encode_and_tell(image, descriptor, target, metadata, quality, on_start):
        def tell(image):
            on_start(image)
            started.set()

        try:
            encode(image, descriptor, target, metadata, quality, tell)
            ends.append("finished")
        except ImageError as error:
            ends.append(str(error))
            raise

    def before(index):
        if index == 1:
            assert started.wait(20)
            raise KeyboardInterrupt

    def noisy(lr, scale):
        return np.random.default_rng(0).random(
            (1, lr.shape[1] * scale, lr.shape[2] * scale, 3), np.float32
        )

    monkeypatch.setattr(outputs, "encode", encode_and_tell)
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}.png", np.zeros((200, 200, 3), np.uint8))
    tasks = [FileTask(tmp_path / f"{n}.png", tmp_path / f"{n}-x.png") for n in "ab"]
    with pytest.raises(KeyboardInterrupt):
        upscale_files(FakeEngine(noisy, scale=16, before=before), tasks)
    assert len(ends) == 1 and "cannot be written" in ends[0]
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


def test_a_defect_in_a_thread_is_raised_and_nothing_hangs(tmp_path, monkeypatch):
    def broken(*args, **more):
        raise RuntimeError("a defect")

    tasks = tasks_of(tmp_path / "in", tmp_path / "out")
    monkeypatch.setattr(outputs.PictureSink, "save", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        upscale_files(FakeEngine(), tasks)
    monkeypatch.setattr(file_pipeline, "read_picture", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        upscale_files(FakeEngine(), tasks)
    assert not working_threads() and not names(tmp_path / "out")


def test_an_image_finished_after_a_defect_leaves_nothing(tmp_path, monkeypatch):
    """The saver dies of the first image while the second one is computed."""
    second_begun = threading.Event()

    def broken(*args, **more):
        assert second_begun.wait(20)
        raise RuntimeError("a defect")

    def before(index):
        if index == 1:
            second_begun.set()
            while "upscale-save" in working_threads():
                time.sleep(0.01)

    monkeypatch.setattr(outputs.PictureSink, "save", broken)
    tasks = tasks_of(tmp_path / "in", tmp_path / "out", 2)
    with pytest.raises(RuntimeError, match="a defect"):
        upscale_files(FakeEngine(before=before), tasks)
    assert not working_threads() and not names(tmp_path / "out")


def test_a_disk_without_space_is_found_before_the_work(tmp_path, monkeypatch):
    def unwanted(lr, scale):
        raise AssertionError("the network was asked")

    [task] = tasks_of(tmp_path / "in", tmp_path / "out", 1)
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(stores.shutil, "disk_usage", lambda path: usage)
    options = FileOptions(memory_mb=0)
    result = upscale_file(FakeEngine(unwanted), task.source, task.target, options)
    assert result.status == "failed"
    assert "must have 0.0 GB free for this image" in result.reason
    assert names(tmp_path / "out") == []


def test_a_disk_that_gets_full_fails_the_file_and_leaves_nothing(tmp_path, repository):
    """A limit on file sizes stands for the full disk: the same error of `write`."""
    write_png(tmp_path / "large.png", samples(300, 300, 3))
    write_png(tmp_path / "small.png", samples(10, 10, 3))
    program = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        from pdm_tf.inference.files import FileOptions, FileTask
        from pdm_tf.inference.file_pipeline import upscale_files
        from tests.unit.inference.fakes import FakeEngine

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        folder = Path(sys.argv[1])
        for suffix in (".png", ".jpg", ".webp", ".tif"):
            for memory_mb in (0, 100):
                tasks = [
                    FileTask(folder / name, folder / "out" / f"{name}{suffix}")
                    for name in ("large.png", "small.png")
                ]
                options = FileOptions(memory_mb=memory_mb, overwrite=True)
                for result in upscale_files(FakeEngine(), tasks, options):
                    print(result.status, result.reason)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=repository,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 16
    for large, small in zip(lines[::2], lines[1::2], strict=True):
        assert large.startswith("failed ") and "large.png" in large
        assert large.endswith("cannot be written (File too large)")
        assert small == "done "
    assert not [name for name in os.listdir(tmp_path / "out") if "large" in name]


def test_memory_of_all_images_in_work_stays_within_the_budget(tmp_path, monkeypatch):
    """Ten images of 1 MB each side pass through a budget of 3 MB, some by scratch."""
    used = []

    class Watched(stores.MemoryBudget):
        def __init__(self, size):
            super().__init__(size)
            self.size = size

        def reserve(self, size):
            ok = super().reserve(size)
            used.append(self.size - self._left)
            return ok

        def release(self, size):
            super().release(size)
            used.append(self.size - self._left)

    monkeypatch.setattr(file_pipeline, "MemoryBudget", Watched)
    for i in range(6):
        write_png(tmp_path / f"{i}.png", np.full((300, 300, 3), i, np.uint8))
    tasks = [FileTask(tmp_path / f"{i}.png", tmp_path / f"{i}.tif") for i in range(6)]
    results = upscale_files(FakeEngine(), tasks, FileOptions(memory_mb=3))
    assert [r.status for r in results] == ["done"] * 6
    assert 1e6 < max(used) <= 3e6
    assert used[-1] == 0  # all is given back


def test_open_files_do_not_grow_with_the_folder(tmp_path):
    tasks = tasks_of(tmp_path / "in", tmp_path / "out", 3)
    tasks = [
        FileTask(tasks[0].source, tmp_path / "out" / f"{i}.png") for i in range(150)
    ]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        results = upscale_files(FakeEngine(), tasks, FileOptions(memory_mb=0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [result.reason for result in results] == [""] * 150


def test_a_picture_that_needs_no_memory_is_the_same(tmp_path):
    [task] = tasks_of(tmp_path / "in", tmp_path / "out", 1)
    for memory_mb in (0, 1):
        options = FileOptions(memory_mb=memory_mb, overwrite=True)
        upscale_file(FakeEngine(repeated), task.source, task.target, options)
        np.testing.assert_array_equal(
            read_picture(task.target).pixels,
            read_picture(task.source).pixels.repeat(2, 0).repeat(2, 1),
        )
