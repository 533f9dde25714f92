"""Publishing: what others wrote stays, what is unfinished is never seen."""

import os

import pytest

from export.publish import choose_version, publish, relative, workspace
from pdm_tf.core.errors import UserError


def write(folder, *names, text="new"):
    """Files with their own name and `text` as content."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text} {name}")


def tree(folder):
    """Relative name -> content of every file, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_workspace_is_hidden_inside_the_output_and_goes_away(tmp_path):
    output = tmp_path / "a" / "b"
    with workspace(output) as folder:
        assert folder.parent == output and folder.name.startswith(".")
        write(folder, "saved_model/1/saved_model.pb")
        assert list(output.iterdir()) == [folder]
    assert not (tmp_path / "a").exists()  # it was new, and nothing was published


def test_an_output_folder_that_was_there_stays(tmp_path):
    with workspace(tmp_path):
        pass
    assert tmp_path.is_dir() and not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [UserError, RuntimeError, KeyboardInterrupt])
def test_workspace_goes_away_after_a_failure(tmp_path, error):
    with pytest.raises(error):
        with workspace(tmp_path) as folder:
            write(folder, "model.onnx")
            raise error("in the middle")
    assert not list(tmp_path.iterdir())


def test_leftovers_of_killed_exporters_go_and_those_in_use_stay(tmp_path):
    write(tmp_path, ".export.1.tmp/file", ".export-notes/file", "saved_model/file")
    with workspace(tmp_path) as folder:
        kept = {".export-notes", "saved_model"}
        assert {entry.name for entry in tmp_path.iterdir()} == {*kept, folder.name}
        with workspace(tmp_path / "other"):
            assert folder.is_dir()
    assert {entry.name for entry in tmp_path.iterdir()} == kept


def test_output_that_is_no_folder_is_refused(tmp_path):
    write(tmp_path, "out")
    with pytest.raises(UserError, match=r"--output must be .* Received: .*/out \("):
        with workspace(tmp_path / "out"):
            pytest.fail("the work must not begin")
    assert (tmp_path / "out").read_text() == "new out"


def test_next_version_is_above_both_kinds_of_saved_model(tmp_path):
    """One number for both, also where only one of them has it; as numbers, 10 > 9."""
    assert choose_version(tmp_path, 0) == 1
    write(tmp_path, "saved_model/2/f", "saved_model/notes", "saved_model/.3/f")
    assert choose_version(tmp_path, 0) == 3
    write(tmp_path, "degradation/saved_model/9/f")
    assert choose_version(tmp_path, 0) == 10
    write(tmp_path, "saved_model/10/f", "serving/triton/sr/99/f")
    assert choose_version(tmp_path, 0) == 11


def test_a_version_that_is_taken_is_refused(tmp_path):
    write(tmp_path, "saved_model/10/f", "degradation/saved_model/9/f")
    assert choose_version(tmp_path, 3) == 3
    for taken in (9, 10):
        with pytest.raises(UserError) as refused:
            choose_version(tmp_path, taken)
        assert f"Received: {taken}; {tmp_path} has 9, 10. 0 takes" in str(refused.value)


def test_everything_made_appears_under_its_name(tmp_path):
    folder, output = tmp_path / ".work", tmp_path
    names = [
        "saved_model/4/saved_model.pb",
        "saved_model/4/variables/variables.index",
        "degradation/saved_model/4/saved_model.pb",
        "degradation/degradation.onnx",
        "model.onnx",
        "model_fp16.onnx",
    ]
    write(folder, *names, ".reference/1x1x1.npy")
    made = os.stat(folder / "saved_model" / "4").st_ino
    written = publish(folder, output, 4)
    assert relative(written, output) == [
        "saved_model/4",
        "degradation/saved_model/4",
        "model.onnx",
        "model_fp16.onnx",
        "degradation/degradation.onnx",
    ]
    # What is compared with stays behind.
    assert tree(tmp_path) == {
        ".work/.reference/1x1x1.npy": "new .reference/1x1x1.npy",
        **{name: f"new {name}" for name in names},
    }
    # Renamed as it was, not copied file by file under the eyes of a server.
    assert os.stat(output / "saved_model" / "4").st_ino == made


def test_an_earlier_export_keeps_its_versions_and_loses_its_files(tmp_path):
    """A float16 file of other weights must not lie next to the new float32 one."""
    folder, output = tmp_path / "work", tmp_path / "out"
    versions = ("saved_model/1/saved_model.pb", "degradation/saved_model/1/f")
    write(output, *versions, "serving/README.md", text="old")
    write(output, "model.onnx", "model_fp16.onnx", "certificate.failed.json")
    write(output, "degradation/degradation.onnx", text="old")
    write(folder, "saved_model/2/saved_model.pb", "model.onnx")
    written = publish(folder, output, 2)
    assert relative(written, output) == ["saved_model/2", "model.onnx"]
    assert tree(output) == {
        **{name: f"old {name}" for name in (*versions, "serving/README.md")},
        **{f: f"new {f}" for f in ("saved_model/2/saved_model.pb", "model.onnx")},
    }


def test_a_version_that_appeared_meanwhile_is_not_replaced(tmp_path):
    """Two exporters chose the same number: the second publishes nothing at all."""
    folder, output = tmp_path / "work", tmp_path / "out"
    write(folder, "saved_model/1/saved_model.pb", "model.onnx")
    write(output, "saved_model/1/saved_model.pb", "model.onnx", text="other")
    write(output, "model_fp16.onnx", text="other")
    before = tree(output)
    with pytest.raises(UserError, match="Version 1 must not be there yet") as refused:
        publish(folder, output, 1)
    assert str(output / "saved_model" / "1") in str(refused.value)
    assert tree(output) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_output_that_may_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        with workspace(tmp_path / "out"):
            pytest.fail("the work must not begin")
