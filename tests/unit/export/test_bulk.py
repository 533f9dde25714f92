"""The bulk pipeline in this process: what it takes, keeps, refuses, and remote places.

`tests/system/test_bulk.py` has the program with real folders.
"""

# ruff: noqa: E402 - what Apache Beam brings is imported where it is there
import io
import json
import pickle
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

pytest.importorskip(
    "apache_beam", reason="needs apache_beam: pip install 'pdm_tf[bulk]'"
)
from apache_beam.io.filesystem import FileMetadata

from export.bulk import __main__ as bulk
from export.bulk import pipeline, storage
from export.bulk.__main__ import BulkConfig
from export.bulk.storage import Facts, ResultRecord
from pdm_tf.core.checks import sha256_of
from pdm_tf.core.errors import UserError
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.files import FileTask
from pdm_tf.inference.session import open_session
from tests.support.tiny_nets import EDSR_TINY, photo
from tests.unit.export import box_storage

pytestmark = pytest.mark.beam


@pytest.fixture(scope="module")
def model(sr_onnx):
    return sr_onnx(EDSR_TINY)[1]


@pytest.fixture
def box(tmp_path):
    """An empty remote store."""
    box_storage.BoxFileSystem.folder = tmp_path / "box"
    box_storage.BoxFileSystem.folder.mkdir()
    return box_storage


def png(height, width):
    file = io.BytesIO()
    Image.fromarray(photo(height, width)).save(file, "PNG")
    return file.getvalue()


def rows(manifest_lines):
    return {row["source"]: row for row in map(json.loads, manifest_lines.splitlines())}


def run(tmp_path, name="manifest", **flags):
    """Runs a job; returns the exit code and its rows by source."""
    manifest = tmp_path / name
    code = bulk.main(BulkConfig(manifest=str(manifest), **flags))
    text = "".join(p.read_text() for p in tmp_path.glob(f"{name}-*.jsonl"))
    return code, rows(text)


def work(**changes):
    values = {
        "output": "/out",
        "model": "/m.onnx",
        "fallback_model": "",
        "sha256": "",
        "settings": "s",
        "outscale": None,
        "quality": 95,
        "ensemble": False,
        "overwrite": False,
        "provider": "cpu",
        "strict": False,
        "threads": 1,
        "tile": 0,
        "memory_mb": 64,
    }
    return pipeline.Work(**{**values, **changes})


@pytest.mark.parametrize(
    ("path", "file_format", "expected"),
    [
        ("/in/a.png", "same", "a.png"),
        ("/in/sub/a.JPG", "same", "sub/a.JPG"),
        ("/in/a.gif", "same", "a.png"),
        ("/in/a.jpeg", "jpeg", "a.jpeg"),
        ("/in/a.b.webp", "tiff", "a.b.tif"),
        ("/in/.hidden/a.png", "same", None),
        ("/in/sub/.a.png.part", "same", None),
        ("/in/.a.png", "same", None),
        ("/in/notes.txt", "same", None),
        ("/in/x4/a.png", "same", None),  # results of this job
        ("/in/x4b/a.png", "same", "x4b/a.png"),
        ("/inn/a.png", "same", None),  # matched by a ? that stands for something else
    ],
)
def test_which_files_are_taken_and_what_their_results_are_called(
    path, file_format, expected
):
    found = list(
        pipeline.named("/in", "/in/x4", file_format, FileMetadata(path, 5, 2.0))
    )
    assert found == ([] if expected is None else [(expected, (path, 5, 2.0))])


def test_where_to_look(tmp_path, box):
    (tmp_path / "a[1]" / "sub").mkdir(parents=True)
    file = tmp_path / "a[1]" / "sub" / "x.png"
    file.write_bytes(b"x")
    (tmp_path / "a11").mkdir()
    (tmp_path / "a11" / "wrong.png").write_bytes(b"x")
    for source in (tmp_path / "a[1]", file):
        where = storage.search(str(source))
        found = pipeline.FileSystems.match([where.pattern])[0].metadata_list
        taken = [
            name
            for entry in found
            for name, _ in pipeline.named(where.root, "/o", "same", entry)
        ]
        expected = "sub/x.png" if source != file else "x.png"
        assert taken == [expected]
    assert storage.search("/p/a*/b/**.jpg").root == "/p"
    assert storage.search("box://b/p/**").root == "box://b/p"
    assert storage.search("box://b/p") == storage.Search("box://b/p/**", "box://b/p")
    with pytest.raises(UserError, match="must exist"):
        storage.search(str(tmp_path / "none"))
    with pytest.raises(UserError, match="Apache Beam must be able"):
        storage.absolute("nowhere://a")


def test_a_remote_job(tmp_path, box, model):
    """Nothing of it has a local path: model, photographs, results, records."""
    box.put("box://m/model.onnx", model.read_bytes())
    box.put("box://in/a.png", png(13, 9))
    box.put("box://in/sub/b.png", png(8, 11))
    box.put("box://in/sub/bad.png", png(8, 11)[:-40])
    flags = {
        "input": "box://in",
        "output": "box://out",
        "model": "box://m/model.onnx",
        "provider": "cpu",
    }
    code, found = run(tmp_path, **flags)
    assert code == 1
    assert {row["status"] for row in found.values()} == {"done", "failed"}
    assert found["box://in/sub/bad.png"]["status"] == "failed"
    assert "truncated" in found["box://in/sub/bad.png"]["reason"]
    engine = Engine(open_session(model, provider="cpu"))
    for url, size in (("a.png", (13, 9)), ("sub/b.png", (8, 11))):
        sr_u8 = np.asarray(Image.open(io.BytesIO(box.get(f"box://out/{url}"))))
        assert np.array_equal(sr_u8, engine.upscale_array(photo(*size)))
        assert found[f"box://in/{url}"]["sr_size"] == [size[0] * 4, size[1] * 4]
    written = [name for name in box.names() if name.startswith("box://out/")]
    assert not [name for name in written if name.endswith(".part")]
    assert len(written) == 4  # two results, two records

    box.touch("box://in/a.png")
    code, found = run(tmp_path, "second", **flags)
    assert found["box://in/a.png"]["status"] == "done"  # another version of the source
    assert found["box://in/sub/b.png"]["status"] == "skipped"
    code, found = run(tmp_path, "third", **{**flags, "outscale": 2.0})
    assert found["box://in/sub/b.png"]["status"] == "done"  # other settings
    assert found["box://in/sub/b.png"]["sr_size"] == [16, 22]


def test_foreign_files_are_kept(tmp_path, model):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    output.mkdir()
    (source / "a.png").write_bytes(png(8, 8))
    (output / "a.png").write_bytes(b"mine")
    flags = {"input": str(source), "output": str(output), "model": str(model)}
    code, found = run(tmp_path, **flags)
    assert code == 1
    assert "was not made by this program" in found[str(source / "a.png")]["reason"]
    assert (output / "a.png").read_bytes() == b"mine"
    code, found = run(tmp_path, "second", **flags, overwrite=True)
    assert code == 0
    assert Image.open(output / "a.png").size == (32, 32)


def test_sources_of_one_result_are_refused_and_counted(tmp_path, model):
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.png").write_bytes(png(8, 8))
    Image.fromarray(photo(8, 8)).save(source / "a.jpg")
    Image.fromarray(photo(8, 8)).save(source / "b.jpg")
    code, found = run(
        tmp_path,
        input=str(source),
        output=str(tmp_path / "out"),
        model=str(model),
        format="png",
    )
    assert code == 1
    statuses = {Path(name).name: row["status"] for name, row in found.items()}
    assert statuses == {"a.png": "failed", "a.jpg": "failed", "b.jpg": "done"}
    assert "a.jpg; use --format=same" in found[str(source / "a.png")]["reason"]
    assert not (tmp_path / "out" / "a.png").exists()


def test_no_photographs_is_an_error(tmp_path, model):
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="must hold photographs"):
        run(
            tmp_path,
            input=str(tmp_path / "in"),
            output=str(tmp_path / "out"),
            model=str(model),
        )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"runner": "NoRunner"}, "--runner must be one that Apache Beam has"),
        ({"runner": "DataflowRunner"}, "DataflowRunner needs other flags"),
        ({"model": "none.onnx"}, "none.onnx"),
        ({"sha256": "0" * 64}, "must have the --sha256 0000"),
        ({"output": "in"}, "another folder than --input"),
    ],
)
def test_jobs_that_cannot_start(tmp_path, monkeypatch, model, flags, message):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.png").write_bytes(png(8, 8))
    given = {"input": "in", "output": "out", "model": str(model), **flags}
    with pytest.raises(UserError, match=message):
        bulk.main(BulkConfig(**given))
    assert not Path("out").exists()


def test_the_network_is_opened_once_in_a_process_and_never_travels(model, monkeypatch):
    opened = []

    def counting(path, **options):
        opened.append(path)
        return open_session(path, **options)

    monkeypatch.setattr(pipeline, "open_session", counting)
    sent = pickle.dumps(pipeline.UpscaleFn(work(model=str(model))))
    assert len(sent) < 5000 < model.stat().st_size
    copies = [pickle.loads(sent) for _ in range(3)]
    for copy in copies:
        copy.setup()
    assert opened == [str(model)]
    assert len({id(copy._engine) for copy in copies}) == 3
    assert len({id(copy._engine.session) for copy in copies}) == 1


def test_workers_take_the_file_that_was_looked_at(tmp_path, model):
    """Results name its hash; another one put in its place since would not be it."""
    copy = tmp_path / "m.onnx"
    copy.write_bytes(model.read_bytes())
    config = BulkConfig(input=str(tmp_path), output="/out", model=str(copy))
    settings = bulk._work(config, "/out")
    known = sha256_of(model)
    assert settings.sha256 == known
    copy.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(UserError, match=f"m.onnx must have the --sha256 {known}"):
        pipeline.UpscaleFn(settings).setup()


def test_the_record_vouches_only_for_what_it_saw(tmp_path):
    source = Facts("/in/a.png", 10, 5.0)
    record = ResultRecord(str(tmp_path), "sub/a.png", source, "settings")
    assert record.of(99) == "foreign"
    record.begin(FileTask(Path("x"), Path("y")), 99)
    assert record.of(99) == "finished"
    assert record.of(98) == "foreign"  # changed since
    for other in (
        ResultRecord(
            str(tmp_path), "sub/a.png", Facts("/in/a.png", 11, 5.0), "settings"
        ),
        ResultRecord(
            str(tmp_path), "sub/a.png", Facts("/in/a.png", 10, 6.0), "settings"
        ),
        ResultRecord(str(tmp_path), "sub/a.png", source, "others"),
    ):
        assert other.of(99) == "old"
    for damaged in ("{", "[]", "{}", "7"):
        Path(record.path).write_text(damaged)
        assert record.of(99) == "foreign"


def test_records_of_the_first_version_are_read(tmp_path):
    """Written as version 0.1 wrote them: results made then are not made again."""
    record = ResultRecord(str(tmp_path), "a.png", Facts("/in/a.png", 10, 5.0), "s")
    Path(record.path).parent.mkdir()
    Path(record.path).write_text(
        '{"bytes": 99, "source": "/in/a.png", "source_bytes": 10, '
        '"source_updated": 5.0, "settings": "s"}'
    )
    assert record.of(99) == "finished"


def test_a_file_appears_in_full_or_not_at_all(tmp_path):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        storage._write(Broken(b"x"), str(tmp_path / "a" / "b.png"))
    assert list((tmp_path / "a").iterdir()) == []


def test_flags_of_beam_come_after_the_lone_dashes():
    assert bulk.split(["--model=m", "--", "--project=p", "--", "x"]) == (
        ["--model=m"],
        ["--project=p", "--", "x"],
    )
    assert bulk.split(["--model=m"]) == (["--model=m"], [])


def test_names_of_results_are_those_of_upscale():
    """So that a folder made by one program can be compared with the other's."""
    from pdm_tf.inference import files

    for name in ("a.png", "b.JPG", "c.gif", "d.bmp", "e.tiff", "f.webp", "x/g.jpe"):
        for file_format in ("same", "png", "jpeg", "webp", "tiff"):
            assert pipeline.result_name(PurePosixPath(name), file_format) == str(
                files._named(Path(name), file_format)
            )
