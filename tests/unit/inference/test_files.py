"""Results are planned from the names of their sources."""

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.inference.files import plan_files


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a.jpg", "b.PNG", "sub/c.tif", "sub/d.bmp", "sub/deep/e.gif"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    for name in ("notes.txt", ".hidden.png", ".thumbs/f.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def _targets(found, base):
    return [task.target.relative_to(base).as_posix() for task in found.tasks]


def test_the_tree_is_built_again_in_the_same_formats(photos, tmp_path):
    found = plan_files(photos, tmp_path / "out")
    assert _targets(found, tmp_path / "out") == [
        "a.jpg",
        "b.PNG",
        "sub/c.tif",
        "sub/d.png",
        "sub/deep/e.png",
    ]
    assert not found.problems and found.folder == tmp_path / "out"


def test_one_format_for_all(photos, tmp_path):
    found = plan_files(photos, tmp_path / "out", "png")
    assert _targets(found, tmp_path / "out") == [
        "a.png",
        "b.PNG",
        "sub/c.png",
        "sub/d.png",
        "sub/deep/e.png",
    ]
    assert plan_files(photos, tmp_path / "out", "jpeg").tasks[0].target.name == "a.jpg"


def test_an_output_inside_the_input_is_no_input(photos):
    (photos / "out").mkdir()
    (photos / "out" / "a.jpg").write_bytes(b"")
    (photos / "link").symlink_to(photos / "out", target_is_directory=True)
    found = plan_files(photos, photos / "out")
    assert len(found.tasks) == 5
    with pytest.raises(UserError, match="another folder"):
        plan_files(photos, photos / "sub" / "..")


def test_files_that_would_be_written_over_each_other_are_left_out(photos, tmp_path):
    for name in ("a.webp", "a.jpg"):
        (photos / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    found = plan_files(photos, tmp_path / "out", "png")
    assert "a.png" not in _targets(found, tmp_path / "out") and len(found.tasks) == 4
    assert [(p.source.name, p.status) for p in found.problems] == [
        ("a.jpg", "failed"),
        ("a.webp", "failed"),
    ]
    assert found.problems[0].reason == (
        "would be written to the same a.png as a.webp; rename one, or let them keep "
        "their formats (--format=same)"
    )
    assert not plan_files(photos, tmp_path / "out").problems


def test_files_that_are_not_read_are_in_nobodys_way(photos, tmp_path):
    """They fail by their own reason, and no other file for their name's sake."""
    for name in ("scan.tga", "scan.ppm", "g.jp2"):
        (photos / name).write_bytes(b"of another kind")
    (photos / "g.bmp").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = plan_files(photos, tmp_path / "out")
    assert not found.problems
    tasks = [task.source.name for task in found.tasks]
    assert {"scan.tga", "scan.ppm", "g.bmp"} <= set(tasks)


@pytest.mark.parametrize(
    "output, file_format, target",
    [
        ("x4.png", "same", "x4.png"),
        ("new/x4.tif", "tiff", "new/x4.tif"),
        ("folder", "same", "folder/a.jpg"),
        ("folder", "webp", "folder/a.webp"),
        ("v1.2", "png", "v1.2/a.png"),
        ("photos", "png", "photos/a.png"),  # exists, is a folder
    ],
)
def test_one_file(photos, tmp_path, output, file_format, target):
    found = plan_files(photos / "a.jpg", tmp_path / output, file_format)
    assert [task.target for task in found.tasks] == [tmp_path / target]
    assert found.folder is None


def test_refusals(photos, tmp_path):
    with pytest.raises(UserError, match="--input must exist"):
        plan_files(tmp_path / "none", tmp_path / "out")
    with pytest.raises(UserError, match="--output must be a folder when"):
        plan_files(photos, photos / "a.jpg")
    with pytest.raises(UserError, match="--output must be another file"):
        plan_files(photos / "a.jpg", photos / "a.jpg")
    with pytest.raises(UserError, match="--output must be another file"):
        plan_files(photos / "a.jpg", photos)  # into its own folder under its own name
    for name in ("x4.jp2", "x4.GIF", "x4.avif"):
        with pytest.raises(UserError, match=r"must end in one of \.png"):
            plan_files(photos / "a.jpg", tmp_path / name)
    with pytest.raises(UserError, match="--format must agree"):
        plan_files(photos / "a.jpg", tmp_path / "b.png", "jpeg")
    (tmp_path / "empty" / "out").mkdir(parents=True)
    with pytest.raises(UserError, match="holds none"):
        plan_files(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "out" / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="must hold images besides --output"):
        plan_files(tmp_path / "empty", tmp_path / "empty" / "out")
