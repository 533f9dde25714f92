"""`python -m pdm_tf.report`, and the report that training leaves, in a real browser."""

import html
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from pdm_tf import report, samples, train
from pdm_tf.cli import program
from pdm_tf.core.images import list_images, read_rgb_u8, write_png
from pdm_tf.samples.blur_track import blur_and_subsample, gaussian_kernel
from tests.support.html_check import check_html
from tests.support.programs import run_apart
from tests.unit.data.folders import write_scenes

HOSTILE = '"><img src=x onerror=alert(1)>&amp;.png'
TINY = (
    "--sr_arg=num_blocks=1",
    "--sr_arg=filters=4",
    "--steps=3",
    "--batch_size=2",
    "--log_every=1",
    "--validate_every=2",
    "--preview_every=0",
    "--progress=off",
)
TINY_PDM = (
    "--kernel_arg=num_blocks=1",
    "--kernel_arg=filters=4",
    "--noise_arg=num_blocks=1",
    "--noise_arg=filters=4",
    "--discriminator_arg=filters=4",
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """hr, lr (blurred otherwise, one with a hostile name), val/hr and val/lr."""
    folder = tmp_path_factory.mktemp("photos")
    for path in list_images(samples.PHOTOS_FOR_HR)[:5]:
        write_png(folder / "hr" / f"{path.stem}.png", read_rgb_u8(path)[:260, :260])
    kernel = gaussian_kernel(2.0, 1.0, 0.3)
    for index, path in enumerate(list_images(samples.PHOTOS_FOR_LR)[:6]):
        lr_u8 = blur_and_subsample(read_rgb_u8(path)[:200, :256], kernel, 4)
        write_png(folder / "lr" / (f"{index}.png" if index else HOSTILE), lr_u8)
    for path in list_images(samples.PHOTOS_FOR_VALIDATION)[:2]:
        hr_u8 = read_rgb_u8(path)[:128, :160]
        write_png(folder / "val" / "hr" / f"{path.stem}.png", hr_u8)
        lr_u8 = blur_and_subsample(hr_u8, kernel, 4)
        write_png(folder / "val" / "lr" / f"{path.stem}.png", lr_u8)
    widths = np.linspace(0.8, 3.0, 24)
    true = np.stack([gaussian_kernel(wide, 0.8, wide) for wide in widths])
    np.save(folder / "true.npy", true)
    return folder


def trained(photos, run_dir, *flags, lr=True, val=True):
    """Trains a tiny network in this process; returns the exit code."""
    folders = [f"--hr_dir={photos / 'hr'}", f"--run_dir={run_dir}"]
    folders += [f"--lr_dir={photos / 'lr'}"] if lr else []
    if val:
        folders += [f"--val_{x}_dir={photos / 'val' / x}" for x in ("hr", "lr")]
    return program.call(train.SPEC, train.main, [*folders, *TINY, *flags])


@pytest.fixture(scope="module")
def run_dir(photos, tmp_path_factory):
    """A finished run, with the report that training wrote."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    assert trained(photos, folder, *TINY_PDM) == program.OK
    return folder


def reported(*flags):
    """Runs the program in this process; returns the exit code."""
    return program.call(report.SPEC, report.main, list(flags))


def sections(path):
    """The ids of a page's sections, in order."""
    return re.findall(r'<section id="(\w+)"', path.read_text(encoding="utf-8"))


ALL = ["kernels", "noise", "patches", "sr", "scores", "training", "about"]


def test_training_leaves_a_report(run_dir):
    path = run_dir / "report.html"
    assert [name for name in sections(path) if name != "measured"] == ALL
    assert check_html(path.read_text(encoding="utf-8")) == []
    assert f"report: {path}: " in (run_dir / "log.txt").read_text()
    assert path.stat().st_size < 5_000_000


@pytest.mark.parametrize(("width", "phone"), [(1280, False), (390, True)])
def test_it_opens_in_a_real_browser(browser, run_dir, tmp_path, width, phone):
    """No console error, no request, nothing too wide; every picture is decoded."""
    browser.open(run_dir / "report.html", width, 900, phone=phone)
    assert browser.problems == [] and browser.requested == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    broken = "Array.from(document.images).filter(i => !i.naturalWidth).length"
    assert browser.evaluate(broken) == 0
    assert browser.evaluate("document.images.length") >= 24 + 8 + 24 + 8
    shot = Image.open(io.BytesIO(browser.page.screenshot(full_page=True))).convert(
        "RGB"
    )
    assert shot.width == width and shot.height > 3000
    # Every screenful shows something.
    grey = np.asarray(shot.convert("L"), float)
    for top in range(0, grey.shape[0] - 450, 450):
        assert grey[top : top + 450].std() > 3, top


def test_a_slider_of_the_report_moves(browser, run_dir):
    browser.open(run_dir / "report.html", 1000, 900)
    box = browser.evaluate(
        "(() => { const f = document.querySelector('.frame');"
        "f.scrollIntoView({ behavior: 'instant', block: 'center' });"
        "const b = f.getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height]; })()"
    )
    x, y = box[0] + 0.25 * box[2], box[1] + 0.5 * box[3]
    browser.page.mouse.click(x, y)
    split = "document.querySelector('.frame').style.getPropertyValue('--split')"
    assert float(browser.evaluate(split).rstrip("%")) == pytest.approx(25, abs=0.5)
    assert browser.evaluate("document.querySelectorAll('.frame').length") == 4


def test_hostile_file_name_is_shown_verbatim(browser, run_dir):
    browser.open(run_dir / "report.html", 1000, 900)
    captions = browser.evaluate(
        "Array.from(document.querySelectorAll('.slider figcaption'), x => x.innerText)"
    )
    assert any(caption.startswith(HOSTILE) for caption in captions)


def test_numbers_are_those_of_the_run(run_dir):
    """The validation scores of the page are evaluate's, the curves metrics.jsonl's."""
    from pdm_tf.run import read_metrics

    text = html.unescape((run_dir / "report.html").read_text(encoding="utf-8"))
    records = read_metrics(run_dir / "metrics.jsonl")
    value = next(r["val_ema/psnr"] for r in reversed(records) if "val_ema/psnr" in r)
    assert re.search(f"PSNR {value:.2f} dB on \\d+ validation pairs", text)
    assert f"{value:.2f}</td>" in text
    assert "step 3" in text and "pdm_ema" in text


def test_program_as_a_user_runs_it(run_dir, photos, tmp_path):
    """A bundle on its own, with true kernels, from another folder."""
    done = run_apart(
        "pdm_tf.report",
        f"--model={run_dir / 'bundles' / 'pdm'}",
        f"--real_lr={photos / 'lr'}",
        f"--true_kernels={photos / 'true.npy'}",
        "--output=out/page.html",
        cwd=tmp_path,
    )
    assert done.stdout.splitlines()[-1] == "report: out/page.html"
    assert "Traceback" not in done.stderr and "WARNING" not in done.stderr
    text = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert check_html(text) == []
    assert "True kernels: 24 of 24 drawn" in text
    assert "times that of the true kernels" in text
    assert "A classifier tells synthesised from real LR patches" in text


def drawn(path):
    """The pictures of a page that are shown pixel by pixel."""
    return re.findall(r'src="data:image/png[^"]*"', path.read_text(encoding="utf-8"))


def test_the_verdict_knows_of_the_alarm_and_the_same_seed_draws_the_same(
    run_dir, tmp_path
):
    run = tmp_path / "alarmed"
    shutil.copytree(run_dir, run)
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as metrics:
        metrics.write('{"step": 3, "alarm/active": "kernels_delta"}\n')
    page = tmp_path / "page.html"
    assert reported(f"--model={run}", f"--output={page}") == program.OK
    text = page.read_text(encoding="utf-8")
    assert "alarm was on at the end of training: kernels delta" in text
    assert drawn(page) == drawn(run_dir / "report.html")


@pytest.mark.slow  # 8 s
def test_another_seed_draws_others_and_figures_go_to_files(run_dir, tmp_path):
    page, figures = tmp_path / "page.html", tmp_path / "figures"
    flags = ("--seed=2", f"--figures={figures}", "--sliders=0")
    assert reported(f"--model={run_dir}", f"--output={page}", *flags) == program.OK
    others = drawn(run_dir / "report.html")
    assert len(drawn(page)) == len(others) and drawn(page) != others
    charts = page.read_text(encoding="utf-8").count('<figure class="chart">')
    for ending in ("svg", "pdf"):
        assert len(list(figures.glob(f"*.{ending}"))) == charts > 5


def test_supervised_run_gets_the_sections_that_apply(photos, tmp_path):
    """Without photographs of its own: samples, reduced as it was trained to undo."""
    run = tmp_path / "plain"
    code = trained(photos, run, "--method=supervised", lr=False, val=False)
    assert code == program.OK
    found = ["sr", "scores", "training", "missing", "about"]
    assert sections(run / "report.html") == found
    text = (run / "report.html").read_text(encoding="utf-8")
    assert check_html(text) == []
    assert "the project&#39;s sample photographs, reduced by bicubic" in text
    assert "--method=supervised learns none" in text


@pytest.mark.slow
def test_degradation_alone_without_noise(photos, tmp_path):
    run = tmp_path / "alone"
    flags = ("--nonoise", "--method_arg=training=degradation", "--validate_every=0")
    tiny = [flag for flag in TINY_PDM if "noise" not in flag]
    folders = [f"--hr_dir={photos / 'hr'}", f"--lr_dir={photos / 'lr'}"]
    small = [flag for flag in TINY if not flag.startswith("--sr_arg")]
    command = [*folders, f"--run_dir={run}", *small, *tiny, *flags]
    assert program.call(train.SPEC, train.main, command) == program.OK
    found = [name for name in sections(run / "report.html") if name != "measured"]
    assert found == ["kernels", "patches", "training", "missing", "about"]


def test_displaced_pairs_head_the_page(tmp_path):
    """Those of training and of validation, with what to do."""
    for folder in ("pairs", "val"):
        write_scenes(tmp_path / folder, shift=(3, 2))
    places = {"hr_dir": "pairs/hr", "lr_dir": "pairs/lr"}
    places |= {"val_hr_dir": "val/hr", "val_lr_dir": "val/lr"}
    flags = [f"--{name}={tmp_path / place}" for name, place in places.items()]
    flags += [
        "--method=supervised",
        "--method_arg=pairs=real",
        "--lr_patch=6",
        "--scale=3",
    ]
    flags += [f"--run_dir={tmp_path / 'run'}", *TINY]
    assert program.call(train.SPEC, train.main, flags) == program.OK
    page = (tmp_path / "run/report.html").read_text()
    assert "The LR images of the pairs of training lie +" in page
    assert "The LR images of the validation pairs lie +" in page
    assert "Register each LR image to its HR image in another program" in page


def test_a_failing_report_does_not_fail_the_run(run_dir, photos, tmp_path, capfd):
    """It can be had later, from the finished run, unless it is not wanted."""
    run = tmp_path / "blocked"
    shutil.copytree(run_dir, run)
    (run / "report.html").unlink()
    (run / "report.html").mkdir()  # cannot be replaced by a file
    told = []
    assert report.report_on_run(run, told.append) is None
    assert told[0].startswith("no report: IsADirectoryError")
    assert f"python -m pdm_tf.report --model={run}" in told[0]

    (run / "report.html").rmdir()
    assert trained(photos, run, *TINY_PDM, "--report=off") == program.OK
    assert not (run / "report.html").exists()
    assert trained(photos, run, *TINY_PDM) == program.OK
    assert "is finished at step 3" in capfd.readouterr().out
    assert (run / "report.html").is_file()
    assert f"report: {run / 'report.html'}: " in (run / "log.txt").read_text()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "--model is required"),
        (("--model=nowhere",), "--model must be a run folder or a bundle"),
        (("--model=.", "--real_lr=nowhere"), "--real_lr must exist"),
        (("--model=.",), "bundles"),
        (("--model=.", "--val_hr_dir=."), "go together"),
        (("--model=.", "--true_kernels=nowhere.npy"), "must be a .npy file"),
        (("--model=.", "--sliders=-1"), "--sliders must be 0 or more"),
    ],
)
def test_unusable_inputs_are_reported(flags, told, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert reported(*flags) == program.BAD_INPUT
    errors = capfd.readouterr().err
    assert told in errors and "Traceback" not in errors
    assert not (tmp_path / "report.html").exists()


def test_kernels_that_are_none_are_refused(run_dir, tmp_path, capfd):
    np.save(tmp_path / "even.npy", np.ones([3, 4, 4]))
    flags = (f"--model={run_dir}", f"--true_kernels={tmp_path / 'even.npy'}")
    assert reported(*flags, f"--output={tmp_path / 'x.html'}") == program.BAD_INPUT
    assert "of odd K" in capfd.readouterr().err


def test_help_teaches(capfd):
    assert reported("--help") == program.OK
    text = capfd.readouterr().out
    for flag in ("model", "real_lr", "true_kernels", "output", "sliders"):
        assert f"--{flag}" in text
