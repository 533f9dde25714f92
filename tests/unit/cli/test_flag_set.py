"""Flags <-> config: round trip, misspelt names, wrong values, help."""

import dataclasses
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_tf.cli.flag_set import (
    CONFIGS,
    HelpRequested,
    ProgramSpec,
    expand,
    flag,
    help_text,
    parse,
    to_flags_text,
)
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.photographs import check_claim, set_limits
from pdm_tf.train import SPEC
from pdm_tf.train_config import TrainConfig

REQUIRED = ["--hr_dir=hr", "--run_dir=run"]


def test_defaults_are_those_of_the_dataclass():
    assert parse(SPEC, REQUIRED) == TrainConfig(hr_dir="hr", run_dir="run")


def test_every_field_stands_in_exactly_one_section():
    named = [name for table in SPEC.sections.values() for name in table]
    assert sorted(named) == sorted(f.name for f in dataclasses.fields(TrainConfig))


def test_every_kind_of_flag():
    config = parse(
        SPEC,
        [
            *REQUIRED,
            "--steps=5",
            "--learning_rate=1e-3",
            "--lr_milestones=10,20",
            "--nonoise",
            "--mixed_precision=bfloat16",
            "--sr_arg=num_blocks=4",
            "--sr_arg=res_scale=0.1",
            "--sr_net",
            "rrdbnet",
        ],
    )
    assert config.steps == 5
    assert config.learning_rate == 1e-3
    assert config.lr_milestones == (10, 20)
    assert config.noise is False
    assert config.mixed_precision == "bfloat16"
    assert config.sr_arg == ("num_blocks=4", "res_scale=0.1")
    assert config.sr_net == "rrdbnet"


def test_later_wins_and_args_add_up_over_the_flag_file(tmp_path):
    path = tmp_path / "a.flags"
    path.write_text("--hr_dir=a\n--run_dir=b\n--steps=9\n--sr_arg=x=1\n")
    config = parse(SPEC, [f"--flagfile={path}", "--steps=3", "--sr_arg=x=2"])
    assert config.steps == 3
    assert config.sr_arg == ("x=1", "x=2")


texts = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@given(
    st.builds(
        TrainConfig,
        hr_dir=texts,
        run_dir=texts,
        lr_dir=texts | st.just(""),
        steps=st.integers(1, 10**9),
        seed=st.integers(0, 2**62),
        learning_rate=st.floats(1e-12, 1e3),
        noise=st.booleans(),
        lr_milestones=(
            st.sets(st.integers(1, 10**6))
            | st.sets(st.floats(1e-9, 1, exclude_max=True))
        ).map(lambda s: tuple(sorted(s))),
        sr_arg=st.lists(texts.map(lambda t: f"{t}=1,2 3")).map(tuple),
        preset=st.sampled_from(["default", "paper"]),
    )
)
def test_flags_text_round_trip(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("flags") / "flags.txt"
    path.write_text(to_flags_text(SPEC, config))
    assert parse(SPEC, [f"--flagfile={path}"]) == config


@pytest.mark.parametrize(
    ("flag", "right"),
    [
        ("--lr_pathc=32", "--lr_patch"),
        ("--hrdir=x", "--hr_dir"),
        ("--nonoize", "--noise"),
        ("--step=3", "--steps"),
        ("--batchsize=3", "--batch_size"),
    ],
)
def test_misspelt_flag_names_the_nearest(tmp_path, flag, right):
    name = flag.partition("=")[0]
    with pytest.raises(UserError, match=f"unknown flag {name}. Did you mean {right}?"):
        parse(SPEC, [*REQUIRED, flag])
    path = tmp_path / "a.flags"
    path.write_text(f"# x\n{flag}\n")
    with pytest.raises(UserError, match=rf"{name} \(.*a.flags:2\). Did you .* {right}"):
        parse(SPEC, [*REQUIRED, f"--flagfile={path}"])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--steps=abc"], "--steps=abc: .*an integer"),
        (["--lr_milestones=1,b"], "list of numbers"),
        (["--progress=maybe"], "one of auto, on, off"),
        (["--noise=perhaps"], "noise"),
        (["--steps"], "Missing value"),
        (["extra"], "--name=value"),
        (["extra", "--steps=3"], "--name=value"),
        (["--zzzzzz=1"], "See python -m pdm_tf.train --help"),
        (["--steps=0"], "--steps must be 1 or more"),
    ],
)
def test_wrong_use_is_refused(argv, words):
    with pytest.raises(UserError, match=words):
        parse(SPEC, [*REQUIRED, *argv])


def test_wrong_value_in_a_file_names_file_and_line(tmp_path):
    path = tmp_path / "a.flags"
    path.write_text("--steps=abc\n")
    with pytest.raises(UserError, match="a.flags:1"):
        parse(SPEC, [*REQUIRED, f"--flagfile={path}"])


def test_help_teaches_every_flag_with_its_default():
    with pytest.raises(HelpRequested) as request:
        parse(SPEC, ["--help"])
    text = str(request.value)
    assert text == help_text(SPEC)
    for name in typing.get_type_hints(TrainConfig):
        assert f"--{name}" in text or f"--[no]{name}" in text
    assert text.count("python -m pdm_tf.train") >= 3  # usage and two examples
    assert "Default: 200000." in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_value_called_help_is_not_a_request_for_help():
    assert parse(SPEC, ["--hr_dir", "help", "--run_dir=h"]).hr_dir == "help"


def test_a_flag_is_one_entry_and_begins_a_section_where_it_names_one():
    @dataclasses.dataclass(frozen=True)
    class Config:
        size: int = flag(3, "Pixels.", section="What", at_least=1)
        name: str = flag("", "Of the result.", required=True)
        fast: bool = flag(False, "Less careful.", section="How")

    spec = ProgramSpec("pdm_tf.example", Config, "An example.", ())
    assert spec.sections == {
        "What": {"size": "Pixels.", "name": "Of the result."},
        "How": {"fast": "Less careful."},
    }
    check_flags(Config(name="x"), spec.module)
    with pytest.raises(UserError, match="--name is required.*pdm_tf.example --help"):
        check_flags(Config(), spec.module)
    with pytest.raises(UserError, match=r"--size must be 1 or more. Received: 0\."):
        check_flags(Config(name="x", size=0), spec.module)


@pytest.mark.parametrize(
    "entry", [3, flag(3, "", section="What"), flag(3, "No section yet.")]
)
def test_a_field_without_help_or_section_is_a_defect(entry):
    config = dataclasses.make_dataclass("Config", [("size", int, entry)], frozen=True)
    with pytest.raises(TypeError, match="Config.size"):
        ProgramSpec("pdm_tf.example", config, "An example.", ())


def expanded(argv):
    return [argument.text for argument in expand(argv)]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_lines_replace_the_flag_in_place(tmp_path):
    path = write(tmp_path / "a.flags", "--steps=1\n--seed=2")
    assert expanded(["--scale=3", f"--flagfile={path}", "--seed=4"]) == [
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
    assert expanded([f"--flagfile={path}"]) == ["--steps=1", "--hr_dir=a # b"]


def test_included_paths_are_relative_to_the_including_file(tmp_path, monkeypatch):
    write(tmp_path / "configs/parts/net.flags", "--flagfile=deep/x.flags\n--seed=2")
    write(tmp_path / "configs/parts/deep/x.flags", "--steps=1")
    outer = write(tmp_path / "configs/a.flags", "--flagfile=parts/net.flags\n--scale=3")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert expanded(["--flagfile", str(outer)]) == [
        "--steps=1",
        "--seed=2",
        "--scale=3",
    ]


def test_included_path_falls_back_to_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path / "parts/net.flags", "--seed=2")
    outer = write(tmp_path / "configs/a.flags", "--flagfile=parts/net.flags")
    monkeypatch.chdir(tmp_path)
    assert expanded([f"--flagfile={outer}"]) == ["--seed=2"]


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
    assert expanded([f"--flagfile={twice}"]) == ["--seed=1", "--seed=1"]
    circle = write(tmp_path / "c.flags", "--flagfile=d.flags")
    write(tmp_path / "d.flags", "--flagfile=c.flags")
    with pytest.raises(UserError, match="includes itself"):
        expand([f"--flagfile={circle}"])


def test_gaps_of_a_flag_file_are_filled_before_it_is_read(tmp_path):
    """Also in the name of a file that it includes; messages name the place."""
    (tmp_path / "blur.flags").write_text("--steps={steps}\n# {this} is a comment\n")
    (tmp_path / "a.flags").write_text("--flagfile={set}.flags\n--hr_dir={hr}/x\n")
    seen = []

    def fill(text, where):
        seen.append((text, where.rpartition("/")[2]))
        values = {"set": "blur", "steps": "3", "hr": "photos"}
        return text.format_map(values)

    found = expand([f"--flagfile={tmp_path / 'a.flags'}", "--run_dir={as it is}"], fill)
    assert [arg.text for arg in found] == [
        *("--steps=3", "--hr_dir=photos/x", "--run_dir={as it is}")
    ]
    assert seen == [
        ("--flagfile={set}.flags", "a.flags:1"),
        ("--steps={steps}", "blur.flags:1"),
        ("--hr_dir={hr}/x", "a.flags:2"),
    ]


@dataclasses.dataclass(frozen=True)
class Rows:
    """A config with a flag that names flag files."""

    row: tuple[str, ...] = flag((), "NAME=FLAGFILE.", section="All", beside=True)
    other: tuple[str, ...] = flag((), "NAME=PATH.")


def test_a_flag_file_may_name_others_beside_it(tmp_path, monkeypatch):
    """As with --flagfile; on the command line paths are relative to where one is."""
    spec = ProgramSpec("rows", Rows, intro="", examples=())
    (tmp_path / "studies/rows").mkdir(parents=True)
    (tmp_path / "studies/rows/a.flags").touch()
    (tmp_path / "here.flags").touch()
    path = tmp_path / "studies/all.flags"
    lines = ["--row=a=rows/a.flags", "--row=b=here.flags", "--row=c=rows/{x}.flags"]
    path.write_text("\n".join([*lines, "--row=bare", "--other=a=rows/a.flags"]))
    monkeypatch.chdir(tmp_path)
    config = parse(spec, ["--flagfile=studies/all.flags", "--row=d=rows/a.flags"])
    assert config.row == (
        *("a=studies/rows/a.flags", "b=here.flags", "c=studies/rows/{x}.flags"),
        *("bare", "d=rows/a.flags"),
    )
    assert config.other == ("a=rows/a.flags",)


def test_a_flag_file_of_the_package_is_known_by_name_from_anywhere(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    wanted = [
        arg.text for arg in expand([f"--flagfile={CONFIGS}/pdm_sr/blur_x4.flags"])
    ]
    assert "--method=pdm_sr" in wanted
    for name in ("pdm_sr/blur_x4", "pdm_sr/blur_x4.flags", "configs/pdm_sr/blur_x4"):
        assert [arg.text for arg in expand([f"--flagfile={name}"])] == wanted
    (tmp_path / "pdm_sr").mkdir()
    write(tmp_path / "mine.flags", "--flagfile=pdm_sr/blur_x4\n--steps=7")
    assert [arg.text for arg in expand(["--flagfile=mine.flags"])] == [
        *wanted,
        "--steps=7",
    ]
    write(tmp_path / "pdm_sr" / "blur_x4", "--steps=3")  # a file that exists wins
    assert [arg.text for arg in expand(["--flagfile=pdm_sr/blur_x4"])] == ["--steps=3"]


def test_a_folder_does_not_hide_a_name_and_a_near_name_is_suggested(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert expand(["--flagfile=quickstart"])
    with pytest.raises(
        UserError, match=r"quikstart does not exist. Did you mean quick"
    ):
        expand(["--flagfile=quikstart"])
    with pytest.raises(UserError, match="phone does not exist.*: blur, camera, quick"):
        expand(["--flagfile=phone"])
    with pytest.raises(UserError, match=r"\.\./quickstart does not exist"):
        expand(["--flagfile=../quickstart"])


def test_a_flag_of_an_earlier_name_is_taken_with_one_remark(tmp_path, capsys):
    """Also in a flag file and before a space; where it stands later, it wins."""
    from pdm_tf.prepare import SPEC as PREPARE

    path = tmp_path / "old.flags"
    path.write_text("--task=tfrecord\n--input_dir=in\n--output_dir=a\n")
    config = parse(PREPARE, [f"--flagfile={path}", "--output=b", "--output_dir", "c"])
    assert (config.input, config.output) == ("in", "c")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"remark: --input_dir is now called --input ({path}:2);")
    assert second.startswith("remark: --output_dir is now called --output; ")
    with pytest.raises(UserError, match="unknown flag --input_dir"):
        parse(SPEC, [*REQUIRED, "--input_dir=in"])  # it never had this flag
    assert capsys.readouterr().err == ""


def test_every_program_takes_limits_on_pictures():
    try:
        parse(SPEC, [*REQUIRED, "--max_pixels=7", "--max_file_mb=0.5"])
        with pytest.raises(ImageError, match="more than 7 pixels"):
            check_claim("a.png", "png", 2, 4, 10_000)
        check_claim("a.png", "png", 1, 7, 10_000)
        # A program that reads the flags of another one keeps its own limits.
        parse(SPEC, REQUIRED)
        with pytest.raises(ImageError, match="--max_pixels"):
            check_claim("a.png", "png", 2, 4, 10_000)
    finally:
        set_limits()
    with pytest.raises(UserError, match="max_pixels"):
        parse(SPEC, [*REQUIRED, "--max_pixels=-1"])


@pytest.mark.parametrize("value", ["true", "false", ""])
def test_a_value_of_a_no_flag_is_refused_and_what_is_meant_is_said(value):
    with pytest.raises(UserError, match="write --noise=false, or --noise=true"):
        parse(SPEC, [*REQUIRED, f"--nonoise={value}"])
