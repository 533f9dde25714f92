"""`evaluate` and `compare`: their files, and their pages in a real browser."""

import csv
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from pdm_tf import compare, evaluate
from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.evaluation.runner import bicubic_upscaler
from tests.oracles import psnr_oracle
from tests.support.html_check import check_html
from tests.support.onnx_files import write_sr
from tests.unit.evaluation.fakes import bicubic_pair

HOSTILE = "\"><img src=x onerror=alert(1)>&amp;'"
SIZES = [(96, 128), (128, 96), (88, 200), (120, 120), (96, 96)]


def evaluated(*flags):
    return program.call(evaluate.SPEC, evaluate.main, list(flags))


def compared(*flags):
    return program.call(compare.SPEC, compare.main, list(flags))


def write_set(folder):
    """Five pairs x2, one with a hostile name; pictures of two kinds; an ONNX file."""
    for index, (height, width) in enumerate(SIZES):
        pair = bicubic_pair(index, height, width, scale=2)
        name = HOSTILE if index == 3 else f"p{index}"
        write_png(folder / "hr" / f"{name}.png", pair.hr_u8)
        write_png(folder / "lr" / f"{name}x2.png", pair.lr_u8)
        cubic = bicubic_upscaler(2)(pair.lr_u8)
        mixed = (pair.hr_u8 * 0.5 + cubic * 0.5).astype(np.uint8)
        write_png(folder / "good" / f"{name}.png", mixed)
        blocky = pair.lr_u8.repeat(2, 0).repeat(2, 1)
        write_png(folder / "blocky" / f"{name}x2.png", blocky)
    write_sr(folder / "net.onnx", scale=2, convs=2)


def pairs_of(folder):
    return (f"--hr_dir={folder / 'hr'}", f"--lr_dir={folder / 'lr'}")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A set; the good pictures evaluated; a comparison with two more methods."""
    folder = tmp_path_factory.mktemp("set")
    write_set(folder)
    flags = (f"--model={folder / 'good'}", f"--output={folder / 'eval'}")
    assert evaluated(*flags, *pairs_of(folder), "--panels=0") == program.OK
    methods = {"good": "eval", "blocky": "blocky", "net": "net.onnx"}
    models = [f"--model={name}={folder / path}" for name, path in methods.items()]
    output = f"--output={folder / 'cmp'}"
    assert compared(*models, *pairs_of(folder), output) == program.OK
    return folder


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


PAGES = {"eval/report.html": 4 * 2 * 5, "cmp/comparison.html": 6 * 4}


@pytest.mark.parametrize(("page", "pictures"), PAGES.items())
@pytest.mark.parametrize(("width", "phone"), [(1280, False), (390, True)])
def test_pages_open_in_a_real_browser(browser, place, page, pictures, width, phone):
    """No console error, no request, nothing too wide; every picture is decoded."""
    assert check_html((place / page).read_text(encoding="utf-8")) == []
    browser.open(place / page, width, 900, phone=phone)
    assert browser.problems == [] and browser.requested == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate("document.images.length") == pictures
    broken = "Array.from(document.images).filter(i => !i.naturalWidth).length"
    assert browser.evaluate(broken) == 0
    narrow = "Math.min(...Array.from(document.images, i => i.clientWidth))"
    assert browser.evaluate(narrow) >= 140  # also with many columns on a phone
    shot = Image.open(io.BytesIO(browser.page.screenshot(full_page=True))).convert("L")
    grey = np.asarray(shot, float)
    assert shot.width == width and grey.shape[0] > 1500
    for top in range(0, grey.shape[0] - 450, 450):
        assert grey[top : top + 450].std() > 3, top


ROWS = (
    "Array.from(document.querySelector('{} table.sort').tBodies[0].rows,"
    "row => row.cells[{}].textContent)"
)


@pytest.mark.parametrize(
    ("page", "section"),
    [("eval/report.html", "#images"), ("cmp/comparison.html", "#table")],
)
def test_tables_sort_by_mouse_and_by_keyboard(browser, place, page, section):
    """A real click on the heading; then Enter and the space bar on the focused one."""
    page_open = browser.open(place / page, 1280, 900)
    button = f"document.querySelectorAll('{section} table.sort thead button')[1]"
    values = ROWS.format(section, 1)

    def numbers():
        return [float(v.replace("\u2212", "-")) for v in browser.evaluate(values)]

    before = numbers()
    assert before != sorted(before) and before != sorted(before, reverse=True)
    page_open.locator(f"{section} table.sort thead button").nth(1).click()
    assert numbers() == sorted(before, reverse=True)
    state = f"{button}.closest('th').ariaSort"
    assert browser.evaluate(state) == "descending"
    for key, wanted in (
        ("Enter", sorted(before)),
        (" ", sorted(before, reverse=True)),
    ):
        page_open.keyboard.press(key)
        assert numbers() == wanted
    # The heading before it is one Shift+Tab away: the names.
    browser.evaluate(f"{button}.closest('tr').querySelector('button').focus()")
    page_open.keyboard.press("Enter")
    names = browser.evaluate(ROWS.format(section, 0))
    assert names == sorted(names, key=str.lower)


def test_the_best_is_bold_and_the_second_underlined(browser, place):
    browser.open(place / "cmp" / "comparison.html", 1280, 900)
    marked = (
        "Array.from(document.querySelector('#table table').tBodies[0].rows, r => {"
        "const s = getComputedStyle(r.cells[1]); return [r.cells[0].textContent,"
        "s.fontWeight, s.textDecorationLine]; })"
    )
    assert browser.evaluate(marked) == [
        ["bicubic", "400", "underline"],
        ["good", "700", "none"],
        ["blocky", "400", "none"],
        ["net", "400", "none"],
    ]


def test_crops_stand_two_by_two_on_a_phone_and_in_a_row_elsewhere(browser, place):
    row = "document.querySelector('#crops .columns')"
    lefts = (
        f"new Set(Array.from({row}.querySelectorAll('figure'))"
        ".map(f => f.getBoundingClientRect().left)).size"
    )
    browser.open(place / "cmp" / "comparison.html", 390, 844, phone=True)
    assert browser.evaluate(lefts) == 2
    assert browser.evaluate(f"{row}.getBoundingClientRect().right <= 390")
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    browser.open(place / "cmp" / "comparison.html", 1280, 900)
    figures = browser.evaluate(f"{row}.querySelectorAll('figure').length")
    assert browser.evaluate(lefts) == figures > 2


def test_crops_are_the_pictures_pixels(browser, place):
    """The column of a method holds its own picture, at the region that is named."""
    browser.open(place / "cmp" / "comparison.html", 1280, 900)
    row = (
        "Array.from(document.querySelectorAll('#crops .exhibit'))"
        ".find(x => x.querySelector('h3').textContent == 'p0')"
    )
    label = browser.evaluate(f"{row}.querySelector('.scroll').ariaLabel")
    pattern = r"p0: region (\d+) x (\d+) at (\d+), (\d+)"
    width, height, left, top = map(int, re.fullmatch(pattern, label).groups())
    for column, folder, name in ((2, "good", "p0"), (3, "blocky", "p0x2")):
        found = browser.evaluate(
            f"(() => {{ const i = {row}.querySelectorAll('img')[{column}];"
            "const c = document.createElement('canvas');"
            "c.width = i.naturalWidth; c.height = i.naturalHeight;"
            "const x = c.getContext('2d'); x.drawImage(i, 0, 0);"
            "return Array.from(x.getImageData(0, 0, c.width, c.height).data); })()"
        )
        picture = read_rgb_u8(place / folder / f"{name}.png")
        wanted = picture[top : top + height, left : left + width]
        got = np.array(found, np.uint8).reshape(height, width, 4)[..., :3]
        np.testing.assert_array_equal(got, wanted)


def test_hostile_name_is_shown_verbatim(browser, place):
    for page in PAGES:
        browser.open(place / page, 1000, 900)
        assert HOSTILE in browser.evaluate(ROWS.format("#images", 0))
        assert browser.problems == []


def test_report_of_pictures_is_that_of_the_oracle(place):
    """PSNR by the slow formula; CSV, Markdown and JSON agree; the worst comes first."""
    report = report_of(place / "eval")
    assert report["model"] == "pictures in good" and report["scale"] == 2
    for image in report["images"]:
        sr, hr = (
            read_rgb_u8(place / side / f"{image['name']}.png")[2:-2, 2:-2]
            for side in ("good", "hr")
        )
        assert image["psnr"] == pytest.approx(psnr_oracle.psnr(sr, hr))
    text = (place / "eval" / "report.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    for row, image in zip(rows, report["images"], strict=True):
        assert row["image"] == image["name"]
        assert float(row["psnr"]) == image["psnr"]
        assert float(row["bicubic_ssim"]) == image["bicubic"]["ssim"]
        assert [int(row["shift_dy"]), int(row["shift_dx"])] == image["shift"]
    page = (place / "eval" / "report.html").read_text(encoding="utf-8")
    worst = min(report["images"], key=lambda image: image["psnr"])
    assert page.index(f"<h3>{worst['name']}</h3>") == page.index("<h3>")
    low, high = report["interval"]["mean"]["psnr"]
    assert f"{low:.2f} to {high:.2f}" in page


def test_comparison_says_what_the_evaluations_say(place):
    comparison = json.loads((place / "cmp" / "comparison.json").read_text())
    methods = {m["name"]: m for m in comparison["methods"]}
    assert list(methods) == ["bicubic", "good", "blocky", "net"]
    folders = {"good": place / "eval", "net": place / "cmp/evaluations/net"}
    for name, folder in folders.items():
        assert methods[name]["mean"] == pytest.approx(report_of(folder)["mean"])
    assert methods["good"]["rank"]["psnr"] == 1
    low, high = methods["blocky"]["difference"]["psnr"]["interval"]
    assert methods["blocky"]["difference"]["psnr"]["to"] == "good"
    assert low <= methods["blocky"]["difference"]["psnr"]["mean"] <= high < 0


def test_nothing_is_computed_twice(place, tmp_path, capfd):
    """The same command again takes what is there; another border does not."""
    flags = (f"--model=net={place / 'net.onnx'}", f"--output={tmp_path}")
    told = "is of the same model and settings"
    assert compared(*flags, *pairs_of(place)) == program.OK
    assert told not in capfd.readouterr().err
    first = (tmp_path / "evaluations/net/report.json").stat().st_mtime_ns
    assert compared(*flags, *pairs_of(place)) == program.OK
    assert told in capfd.readouterr().err
    assert (tmp_path / "evaluations/net/report.json").stat().st_mtime_ns == first
    assert compared(*flags, *pairs_of(place), "--crop_border=8") == program.OK
    assert told not in capfd.readouterr().err
    assert report_of(tmp_path / "evaluations/net")["crop_border"] == 8


def test_finished_evaluations_need_no_images(place, tmp_path, capfd):
    flags = (
        f"--model=a={place / 'eval'}",
        f"--model=b={place / 'cmp/evaluations/net'}",
    )
    output = f"--output={tmp_path / 'out'}"
    assert compared(*flags, output, "--images=p1,p2", "--against=b") == program.OK
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == f"comparison: {tmp_path / 'out' / 'comparison.json'}"
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert [page.count(f"<h3>p{i}</h3>") for i in range(3)] == [0, 1, 1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        f"comparison.{ending}" for ending in ("csv", "html", "json", "md")
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--model is required"),
        (["--model=eval"], "NAME=PATH. Received: 'eval'"),
        (["--model=a=eval", "--model=a=cmp"], "a name of its own"),
        (["--model=a=net.onnx"], "--hr_dir and --lr_dir are required"),
        (["--model=a=eval", "--images=p9"], "p0, p1, p2, p4. Received: 'p9'"),
        (["--model=a=eval", "--against=b"], "--against must be best or one of"),
        (["--model=a=eval", "--modl=x"], "Did you mean --model"),
        (["--model=bicubic=eval"], "other than bicubic"),
        (["--model=a=odd"], "without model, scale"),
    ],
)
def test_wrong_comparisons_say_why(place, monkeypatch, capfd, flags, message):
    monkeypatch.chdir(place)
    (place / "odd").mkdir(exist_ok=True)
    (place / "odd" / "report.json").write_text("{}")
    assert compared(*flags, "--output=no") == program.BAD_INPUT
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors
    assert not (place / "no").exists()
