"""`python -m pdm_tf.evaluate`, from flags to files."""

import json

import numpy as np
import pytest
import pyvips

from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, to_float, to_u8, write_png
from pdm_tf.evaluate import SPEC, main
from pdm_tf.evaluation.runner import bicubic_upscaler
from pdm_tf.fit_niqe import SPEC as FIT_SPEC
from pdm_tf.fit_niqe import main as fit_main
from pdm_tf.metrics.degradation.noise import noise_of_pair
from pdm_tf.models.features import LPIPSConfig
from tests.oracles import psnr_oracle
from tests.support.html_check import check_html
from tests.support.programs import run_apart
from tests.unit.data.folders import write_scenes
from tests.unit.evaluation.fakes import bicubic_pair, photo


@pytest.fixture
def folders(tmp_path):
    """Two folders with three pairs x4 of different sizes, one in a sub-folder."""
    for index, (height, width) in enumerate([(48, 64), (64, 52), (96, 120)]):
        pair = bicubic_pair(index, height, width)
        name = f"city/p{index}.png" if index == 2 else f"p{index}.png"
        write_png(tmp_path / "hr" / name, pair.hr_u8)
        write_png(tmp_path / "lr" / name.replace(".png", "x4.png"), pair.lr_u8)
    return tmp_path


def _call(folder, *flags: str, model="bicubic"):
    """Runs the program in this process; returns its exit code."""
    argv = [
        f"--model={model}",
        f"--hr_dir={folder / 'hr'}",
        f"--lr_dir={folder / 'lr'}",
        f"--output={folder / 'out'}",
        *flags,
    ]
    return program.call(SPEC, main, argv)


def _report(folder):
    return json.loads((folder / "out" / "report.json").read_text())


def test_as_a_user_runs_it(folders):
    """In a process of its own: table, pictures, and the report's path last."""
    done = run_apart(
        "pdm_tf.evaluate",
        "--model=bicubic",
        "--hr_dir=hr",
        "--lr_dir=lr",
        "--output=out",
        "--panels=2",
        cwd=folders,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "report: out/report.json"
    report = _report(folders)
    assert set(report["mean"]) == {"psnr", "ssim", "psnr_shift"}
    assert report["baseline"]["bicubic"] == report["mean"]
    assert len(report["images"]) == 3 and report["problems"] == []
    assert done.stdout.count("bicubic") == 1  # not beside itself
    assert report["crop_border"] == report["scale"] == 4
    for image in report["images"]:
        assert image["name"] in done.stdout
        assert f"{image['psnr']:.2f}" in done.stdout
    panels = sorted((folders / "out" / "panels").glob("*.png"))
    assert len(panels) == 2
    assert all(read_rgb_u8(path).shape[1] > 900 for path in panels)
    assert (folders / "out" / "report.md").read_text().count("\n| --- |") == 2
    assert "Traceback" not in done.stderr and "WARNING" not in done.stderr


def test_saved_images_score_as_the_model_does(folders, capfd):
    """Whole pictures under the set's names, sub-folders too; a model in their turn."""
    assert _call(folders, "--save_images", "--crop_border=0") == program.OK
    assert f"3 SR images: {folders / 'out' / 'images'}" in capfd.readouterr().out
    saved = folders / "out" / "images"
    names = sorted(path.relative_to(saved).as_posix() for path in saved.rglob("*.*"))
    assert names == ["city/p2.png", "p0.png", "p1.png"]
    lr_u8 = read_rgb_u8(folders / "lr" / "p0x4.png")
    np.testing.assert_array_equal(
        read_rgb_u8(saved / "p0.png"), bicubic_upscaler(4)(lr_u8)
    )
    first = _report(folders)["images"]
    kept = folders / "kept"
    saved.rename(kept)
    assert _call(folders, "--crop_border=0", model=str(kept)) == program.OK
    assert not saved.exists()  # not without the flag
    second = _report(folders)["images"]
    assert [i["psnr"] for i in second] == [i["psnr"] for i in first]
    capfd.readouterr()
    folder = folders / "out" / "images"
    assert _call(folders, "--save_images", model=str(folder)) == program.BAD_INPUT
    assert "must not write into the folder of --model" in capfd.readouterr().err


@pytest.fixture
def run_dir(tmp_path):
    """A run folder with a small EDSR as bundles `sr` and `sr_ema`, which differ."""
    from pdm_tf.bundles.bundle import save_bundle

    for name, seed in (("sr", 1), ("sr_ema", 2)):
        network = _network(seed)
        folder = tmp_path / "run" / "bundles" / name
        save_bundle(network, folder, step=seed * 10)
    return tmp_path / "run"


def _network(seed):
    import keras

    from pdm_tf.bundles.networks import SR_NETS  # noqa: F401 - the table must import
    from pdm_tf.models.sr.edsr import EDSRConfig

    keras.utils.set_random_seed(seed)
    network = EDSRConfig(num_blocks=1, filters=8, scale=4).build()
    network(np.zeros((1, 8, 8, 3), np.float32))
    return network


@pytest.mark.parametrize(("weights", "seed"), [("ema", 2), ("raw", 1)])
def test_scores_the_network_of_a_run_folder(folders, run_dir, weights, seed):
    """The report's PSNR is that of the network called directly, weights as asked."""
    code = _call(folders, f"--weights={weights}", "--panels=0", model=run_dir)
    assert code == program.OK
    report = _report(folders)
    network = _network(seed)
    for image in report["images"]:
        name = image["name"]
        hr_u8 = read_rgb_u8(folders / "hr" / f"{name}.png")
        lr_u8 = read_rgb_u8(folders / "lr" / f"{name}x4.png")
        sr = network(to_float(lr_u8)[None], training=False)[0].numpy()
        expected = psnr_oracle.psnr(to_u8(sr)[4:-4, 4:-4], hr_u8[4:-4, 4:-4])
        assert image["psnr"] == pytest.approx(expected, abs=0.02)
    assert report["mean"]["psnr"] < report["baseline"]["bicubic"]["psnr"]
    assert report["model_facts"]["step"] == seed * 10
    assert not (folders / "out" / "panels").exists()


def test_a_single_bundle_and_tiles(folders, run_dir):
    """A bundle folder itself as --model; cut into tiles, the same scores."""
    bundle = run_dir / "bundles" / "sr"
    assert _call(folders, model=bundle) == program.OK
    whole = _report(folders)["mean"]
    assert _call(folders, "--tile=20", "--overlap=8", model=bundle) == program.OK
    assert _report(folders)["mean"] == pytest.approx(whole, abs=1e-3)


def test_problems_are_named_and_the_rest_goes_on(folders, capfd):
    """Unmatched, damaged, of another size: in the report and on standard error."""
    write_png(folders / "hr" / "alone.png", bicubic_pair(5).hr_u8)
    (folders / "lr" / "p0x4.png").write_bytes(
        (folders / "lr" / "p0x4.png").read_bytes()[:-200]
    )
    write_png(folders / "lr" / "p1x4.png", bicubic_pair(1, 40, 40).lr_u8)
    assert _call(folders) == program.OK
    report = _report(folders)
    assert [image["name"] for image in report["images"]] == ["city/p2"]
    text = json.dumps(report["problems"])
    errors = capfd.readouterr().err
    for name in ("alone", "p0", "p1"):
        assert name in text and name in errors
    assert len(report["problems"]) == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--metrics=psnr,sim"], "Did you mean 'ssim'"),
        (["--metrics="], "at least one of psnr"),
        (["--hr_dir=nowhere"], "no folder nowhere"),
        (["--lr_dir="], "--lr_dir is required"),
        (["--crop_border=-2"], "--crop_border must be 0 or more"),
        (["--crop_border=200"], "crop_border=200"),
        (["--crop_bordr=4"], "Did you mean --crop_border"),
        (["--weights=best"], "weights"),
        (["--model=nowhere"], "nowhere"),
        (["--scale=2"], "x4"),
        (["--tile=64", "--overlap=32"], "--tile=64, --overlap=32"),
        (["--metrics=niqe"], "--metric_arg=niqe=PATH"),
        (["--metrics=lpips_alex"], "--metric_arg=lpips_alex=PATH"),
        (["--metric_arg=niqe"], "NAME=PATH. Received: 'niqe'"),
        (["--metric_arg=niqe=x.npz"], "for one of --metrics. Received: niqe=x.npz"),
        (["--metric_arg=nique=x.npz"], "Did you mean 'niqe'"),
        (["--metric_arg=psnr=x"], "psnr needs no file"),
        (["--metrics=niqe", "--metric_arg=niqe=x.npz"], "There is no file x.npz"),
        (["--metrics=lpips_vgg", "--metric_arg=lpips_vgg=x"], "No bundle here: x"),
        (["--metrics=psnr_ntire2018"], "at least 160x160 pixels"),
    ],
)
def test_wrong_requests_end_early_and_say_why(folders, capfd, flags, message):
    """Exit code 2, one line, no traceback, no report."""
    assert _call(folders, *flags) == program.BAD_INPUT
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors
    assert not (folders / "out" / "report.json").exists()


def test_a_run_without_bundles_yet(folders, capfd):
    (folders / "run" / "checkpoints").mkdir(parents=True)
    assert _call(folders, model=folders / "run") == program.BAD_INPUT
    errors = capfd.readouterr().err
    assert "bundle" in errors and "Traceback" not in errors


def test_model_of_another_scale_than_the_pairs(folders, run_dir, capfd):
    """x4 network, x2 pairs: both scales are named."""
    for path in (folders / "hr").rglob("*.png"):
        write_png(path, read_rgb_u8(path)[::2, ::2])
    for path in (folders / "lr").rglob("*.png"):
        path.rename(path.with_name(path.name.replace("x4", "x2")))
    assert _call(folders, model=run_dir) == program.BAD_INPUT
    errors = capfd.readouterr().err
    assert "scale of the model, x4" in errors and "x2" in errors


def test_no_pairs_match(folders, capfd):
    for index, path in enumerate(sorted((folders / "lr").rglob("*.png"))):
        path.rename(path.with_name(f"other{index}.png"))
    assert _call(folders) == program.BAD_INPUT
    assert "other0" in capfd.readouterr().err


def test_output_dir_that_is_a_file(folders, capfd):
    (folders / "out").write_text("in the way")
    assert _call(folders) == program.BAD_INPUT
    assert "--output" in capfd.readouterr().err


def test_metrics_with_weights_and_parameters(tmp_path, capfd):
    """LPIPS and NIQE by path, named in the reports; intervals beside the means."""
    for index in range(3):
        pair = bicubic_pair(index, 200, 208)
        write_png(tmp_path / "hr" / f"p{index}.png", pair.hr_u8)
        write_png(tmp_path / "lr" / f"p{index}.png", pair.lr_u8)
    for index in range(3):
        write_png(tmp_path / "clean" / f"{index}.png", photo(index, 480, 480))
    fit = [f"--images={tmp_path / 'clean'}", f"--output={tmp_path / 'niqe.npz'}"]
    assert program.call(FIT_SPEC, fit_main, [*fit, "--sharpness=0"]) == program.OK
    network = LPIPSConfig("squeeze", filters=8).build()
    save_bundle(network, tmp_path / "lpips", step=0)
    code = _call(
        tmp_path,
        "--metrics=psnr_y,lpips_squeeze,niqe,psnr_ntire2018",
        f"--metric_arg=lpips_squeeze={tmp_path / 'lpips'}",
        f"--metric_arg=niqe={tmp_path / 'niqe.npz'}",
        "--panels=1",
    )
    assert code == program.OK
    report, (out, _) = _report(tmp_path), capfd.readouterr()
    names = ["psnr_y", "lpips_squeeze", "niqe", "psnr_ntire2018"]
    assert list(report["mean"]) == list(report["interval"]["mean"]) == names
    assert report["interval"]["baseline"]["bicubic"] == report["interval"]["mean"]
    for name in names:
        values = [image[name] for image in report["images"]]
        low, high = report["interval"]["mean"][name]
        assert min(values) <= low <= report["mean"][name] <= high <= max(values)
    assert report["metrics"]["niqe"]["source"] == (
        "parameters: fitted to 3 photographs"
    )
    markdown = (tmp_path / "out" / "report.md").read_text()
    for text in (out, markdown):
        assert "fitted to 3 photographs" in text.replace("\n", " ")
        assert "LPIPS v0.1 on SqueezeNet 1.1" in text.replace("\n", " ")
        assert "95% interval" in text


@pytest.fixture
def niqe(tmp_path):
    """The flags of niqe, with parameters fitted to three pictures."""
    for index in range(3):
        write_png(tmp_path / "clean" / f"{index}.png", photo(index, 480, 480))
    path = tmp_path / "niqe.npz"
    fit = [f"--images={tmp_path / 'clean'}", f"--output={path}", "--sharpness=0"]
    assert program.call(FIT_SPEC, fit_main, fit) == program.OK
    return f"--metric_arg=niqe={path}"


def test_without_hr_images(tmp_path, niqe, capfd):
    """NIQE of the model's pictures and of bicubic's; no HR column, no shift."""
    from pdm_tf.metrics.niqe import load_model

    for index in range(2):
        write_png(tmp_path / "lr" / f"p{index}.png", photo(index, 70, 80))
    flags = ("--hr_dir=", "--scale=4", niqe)
    assert _call(tmp_path, *flags) == program.OK
    report = _report(tmp_path)
    assert list(report["mean"]) == ["niqe"] and "mean_shift" not in report
    measure = load_model(tmp_path / "niqe.npz").measure
    for image in report["images"]:
        lr_u8 = read_rgb_u8(tmp_path / "lr" / f"{image['name']}.png")
        sr_u8 = bicubic_upscaler(4)(lr_u8)[4:-4, 4:-4]
        assert image["niqe"] == pytest.approx(measure(sr_u8))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert check_html(page) == [] and ", HR, " not in page
    assert "without HR images" in page
    capfd.readouterr()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hr_dir=", "--metrics=psnr,niqe"], "--hr_dir is required for psnr"),
        (["--hr_dir=", "--metrics=auto"], "--metric_arg=niqe=PATH"),
        (["--hr_dir="], "needs --scale"),
        (["--true_kernels=x.npy"], "--true_kernels must be a .npy file"),
        (["--pair_kernels=x.npy"], "--pair_kernels must be a .npy file"),
        (["--real_lr=lr"], "need a run folder with a learned degradation"),
        (["--examples=-1"], "--examples must be 0 or more"),
    ],
)
def test_wrong_requests_around_the_set(
    folders, niqe, monkeypatch, capfd, flags, message
):
    monkeypatch.chdir(folders)
    with_niqe = flags[0] == "--hr_dir=" and "auto" not in flags[-1]
    if with_niqe and len(flags) == 1 or "--metrics=psnr,niqe" in flags:
        flags = [*flags, niqe]
    assert _call(folders, *flags) == program.BAD_INPUT
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors
    assert not (folders / "out" / "report.json").exists()


def test_pictures_with_hr_alone_and_with_nothing(folders, niqe, capfd):
    """Finished pictures need no LR; without originals only NIQE is left."""
    hr = folders / "hr"
    code = _call(folders, "--lr_dir=", "--scale=4", "--metrics=psnr", model=hr)
    assert code == program.OK
    report = _report(folders)
    assert report["baseline"] == {} and report["mean"]["psnr"] is None  # identical
    assert len(report["images"]) == 3
    pictures = folders / "clean"
    code = _call(folders, "--lr_dir=", "--hr_dir=", "--scale=4", niqe, model=pictures)
    assert code == program.OK
    assert [i["name"] for i in _report(folders)["images"]] == ["0", "1", "2"]
    capfd.readouterr()


def test_pictures_that_are_missing_or_too_many_are_named(folders, capfd):
    for name in ("p0", "p1", "extra"):
        pair = bicubic_pair(
            0 if name == "p0" else 1, *((48, 64), (64, 52))[name != "p0"]
        )
        write_png(folders / "sr" / f"{name}.png", pair.hr_u8)
    assert _call(folders, model=folders / "sr") == program.OK
    report = _report(folders)
    assert [image["name"] for image in report["images"]] == ["p0", "p1"]
    assert {p["name"] for p in report["problems"]} == {"extra.png", "city/p2"}
    assert "extra.png: belongs to no image" in capfd.readouterr().err


def test_photographs_in_other_colours_are_named(tmp_path, capfd):
    write_scenes(tmp_path)
    scene = pyvips.Image.new_from_file(str(tmp_path / "hr/0.png"))
    stored = scene.icc_transform("p3", input_profile="srgb")
    stored.write_to_file(str(tmp_path / "hr/0.jpg"))
    (tmp_path / "hr/0.png").unlink()
    assert _call(tmp_path) == program.OK
    (line,) = _report(tmp_path)["converted"]
    assert line.startswith("1 of 3 photographs of --hr_dir are not in sRGB")
    assert "1 of 3 photographs of --hr_dir" in capfd.readouterr().out


def test_what_a_person_says_of_pairs_and_pictures(tmp_path, capfd):
    """Names by templates; displaced pairs are told; other scenes left out, or not."""
    write_scenes(tmp_path, shift=(3, 2), lr_name="{}-cam.png")
    for place in (tmp_path / "hr").iterdir():
        write_png(tmp_path / f"sr/out {place.name}", read_rgb_u8(place))
    names = ("--lr_name={stem}-cam", "--picture_name=out {stem}")
    assert _call(tmp_path) == program.BAD_INPUT
    assert "Others are told by --lr_name={stem}ENDING" in capfd.readouterr().err
    assert _call(tmp_path, *names, model=tmp_path / "sr") == program.OK
    report = _report(tmp_path)
    assert report["mean"]["psnr"] is None  # identical
    assert report["displaced"].startswith("the LR images of the pairs lie +")
    assert "Warning: the LR images" in capfd.readouterr().out
    write_scenes(tmp_path, turn=1, lr_name="{}-cam.png")
    assert _call(tmp_path, *names) == program.BAD_INPUT
    assert "and --accept_folders takes others too" in capfd.readouterr().err
    assert _call(tmp_path, *names, "--accept_folders") == program.OK
    capfd.readouterr()


def test_degradation_of_a_run(tmp_path, capfd):
    """The numbers of measure_degradation on the run's photographs, in all files."""
    import keras

    from pdm_tf.core.files import write_json_atomic
    from pdm_tf.evaluation.degradation import measure_degradation
    from pdm_tf.samples.blur_track import gaussian_kernel
    from tests.support.tiny_nets import tiny_pdm

    for index in range(4):
        pair = bicubic_pair(index, 176, 184)
        for side, image in (("hr", pair.hr_u8), ("lr", pair.lr_u8)):
            write_png(tmp_path / side / f"p{index}.png", image)
        write_png(tmp_path / "photos" / f"{index}.png", photo(index + 9, 200, 200))
        write_png(tmp_path / "real" / f"{index}.png", photo(index + 20, 80, 80))
    keras.utils.set_random_seed(5)
    pdm = tiny_pdm(scale=4)
    run = tmp_path / "run"
    for name, network in (("sr_ema", _network(1)), ("pdm_ema", pdm)):
        save_bundle(network, run / "bundles" / name, step=7)
    write_json_atomic(run / "config.json", {"hr_dir": str(tmp_path / "photos")})
    side = pdm.config.kernel.kernel_size
    kernels = np.stack(
        [gaussian_kernel(w, 0.8, w, side) for w in np.linspace(0.8, 2, 16)]
    )
    np.save(tmp_path / "true.npy", kernels)
    np.save(tmp_path / "pairs.npy", kernels[:4])
    flags = (
        f"--true_kernels={tmp_path / 'true.npy'}",
        f"--pair_kernels={tmp_path / 'pairs.npy'}",
        f"--real_lr={tmp_path / 'real'}",
    )
    assert _call(tmp_path, *flags, "--panels=0", model=run) == program.OK
    photographs = [photo(index + 9, 200, 200) for index in range(4)]
    pairs = [bicubic_pair(index, 176, 184) for index in range(4)]
    wanted = measure_degradation(
        pdm,
        photographs,
        true_kernels=kernels,
        true_noise=[
            noise_of_pair(to_float(pair.hr_u8), to_float(pair.lr_u8), kernel, 4)
            for pair, kernel in zip(pairs, kernels, strict=False)
        ],
        real_lr=[photo(index + 20, 80, 80) for index in range(4)],
    ).to_json()
    found = _report(tmp_path)["degradation"]
    assert found == json.loads(json.dumps(wanted))
    assert found["true_kernels"] and found["real_lr"]
    assert len(found["true_noise"]["ratio_by_level"]) == 8
    picture = read_rgb_u8(tmp_path / "out" / "kernels.png")
    assert picture.shape[0] > 4 * 84 and picture.shape[1] > 12 * 84
    markdown = (tmp_path / "out" / "report.md").read_text()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for text in (markdown, page):
        assert "true kernels covered" in text
        assert "observed and synthesised patches told apart" in text
        assert "eighths of the range" in text
    assert check_html(page) == []
    capfd.readouterr()

    # Without these flags there is no picture, of an earlier evaluation neither.
    assert _call(tmp_path, "--panels=0", model=run) == program.OK
    assert not (tmp_path / "out" / "kernels.png").exists()
    capfd.readouterr()

    np.save(tmp_path / "pairs.npy", kernels[:3])
    assert _call(tmp_path, flags[1], model=run) == program.BAD_INPUT
    told = capfd.readouterr().err
    assert "one kernel for each pair. Received: 3 kernels, 4 pairs" in told
