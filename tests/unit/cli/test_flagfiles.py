"""Flag files: the traps of absl's own reader do not exist here."""

import pytest

from pdm_tf.cli.flagfiles import expand
from pdm_tf.core.errors import UserError


def texts(argv):
    return [argument.text for argument in expand(argv)]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_lines_replace_the_flag_in_place(tmp_path):
    path = write(tmp_path / "a.flags", "--steps=1\n--seed=2")
    assert texts(["--scale=3", f"--flagfile={path}", "--seed=4"]) == [
        "--scale=3",
        "--steps=1",
        "--seed=2",
        "--seed=4",
    ]


def test_comments_and_blank_lines_are_skipped_wherever_they_stand(tmp_path):
    path = write(
        tmp_path / "a.flags",
        "# a comment\n\n   \n  # indented: absl takes this for an argument\n"
        "// another\n  --steps=1  \n\t\n--hr_dir=a # b\n",
    )
    assert texts([f"--flagfile={path}"]) == ["--steps=1", "--hr_dir=a # b"]


def test_included_paths_are_relative_to_the_including_file(tmp_path, monkeypatch):
    write(tmp_path / "configs/parts/net.flags", "--flagfile=deep/x.flags\n--seed=2")
    write(tmp_path / "configs/parts/deep/x.flags", "--steps=1")
    outer = write(tmp_path / "configs/a.flags", "--flagfile=parts/net.flags\n--scale=3")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert texts(["--flagfile", str(outer)]) == ["--steps=1", "--seed=2", "--scale=3"]


def test_included_path_falls_back_to_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path / "parts/net.flags", "--seed=2")
    outer = write(tmp_path / "configs/a.flags", "--flagfile=parts/net.flags")
    monkeypatch.chdir(tmp_path)
    assert texts([f"--flagfile={outer}"]) == ["--seed=2"]


def test_origin_names_file_and_line(tmp_path):
    path = write(tmp_path / "a.flags", "# one\n--steps=1")
    assert expand([f"--flagfile={path}"])[0].origin == f"{path}:2"
    assert expand(["--steps=1"])[0].origin == ""


@pytest.mark.parametrize("content", ["steps=1", "--steps 1", "just words"])
def test_a_line_that_is_no_flag_is_an_error(tmp_path, content):
    path = write(tmp_path / "a.flags", f"--seed=1\n{content}\n")
    with pytest.raises(UserError, match=r"--name=value.*a.flags:2"):
        expand([f"--flagfile={path}"])


def test_missing_file_says_who_includes_it(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        expand([f"--flagfile={tmp_path / 'none.flags'}"])
    outer = write(tmp_path / "a.flags", "--seed=1\n--flagfile=none.flags")
    with pytest.raises(UserError, match=r"none.flags does not exist.*a.flags:2"):
        expand([f"--flagfile={outer}"])
    with pytest.raises(UserError, match="is a folder"):
        expand([f"--flagfile={tmp_path}"])


def test_circle_is_an_error_but_including_twice_is_not(tmp_path):
    write(tmp_path / "b.flags", "--seed=1")
    twice = write(tmp_path / "t.flags", "--flagfile=b.flags\n--flagfile=b.flags")
    assert texts([f"--flagfile={twice}"]) == ["--seed=1", "--seed=1"]
    circle = write(tmp_path / "c.flags", "--flagfile=d.flags")
    write(tmp_path / "d.flags", "--flagfile=c.flags")
    with pytest.raises(UserError, match="includes itself"):
        expand([f"--flagfile={circle}"])
