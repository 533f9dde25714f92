"""Studies of flag files written by hand."""

from pdm_tf.studies.plan import Request

COMMON = ["--hr_dir={hr_dir}", "--steps=10"]
DATA = {
    "blur": {"hr_dir": "data/hr", "lr_dir": "data/blur", "val_lr_dir": "val"},
    "noise": {"hr_dir": "data/hr", "lr_dir": "data/noise", "val_lr_dir": "val"},
}
METHODS = {
    "edsr": ["--method=supervised"],
    "ours": ["--lr_dir={lr_dir}", "--init_sr={run:edsr}"],
}


def request(folder, methods=METHODS, datasets=DATA, seeds=(0, 1), steps=0, stages=()):
    """A request whose flag files are written into `folder`."""
    files = {}
    for name, lines in methods.items():
        path = folder / f"{name}.flags"
        path.write_text("\n".join([*COMMON, *lines]))
        files[name] = str(path)
    first = {name: files.pop(name) for name in stages}
    return Request(datasets, files, first, tuple(seeds), steps, folder / "study")
