"""The notebook runs from its first cell to its last, with a tiny network."""

import json
import re
from pathlib import Path

import numpy as np

from pdm_tf.run import Run
from tests.support.exporting import stages_here

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "two_folders.ipynb"
TINY = {
    "estimate": "off",
    "batch_size": 2,
    "lr_milestones": 1,
    "report": "off",
    "sr_arg": {"num_blocks": 1, "filters": 4},
    "kernel_arg": {"num_blocks": 1, "filters": 4},
    "discriminator_arg": {"filters": 4},
}


def cells():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [
        "".join(cell["source"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def test_it_holds_no_results():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and not cell["execution_count"] for cell in code)


def test_its_cells_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = {}
    with stages_here():
        for source in cells():
            for name, value in {"STEPS": 2, "SETTINGS": TINY}.items():
                source = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value!r}", source)
            exec(compile(source, str(NOTEBOOK), "exec"), names)
    assert Run(tmp_path / "notebook" / "run").ending["step"] == 2
    lr, sr, scale = names["lr"], names["sr"], names["model"].scale
    assert sr.shape == (lr.shape[0] * scale, lr.shape[1] * scale, 3)
    assert names["made"].lr.dtype == np.uint8
    assert set(names["result"].mean) == {"psnr", "ssim", "psnr_shift"}
    written = {path.name for path in (tmp_path / "notebook" / "exported").iterdir()}
    assert {"model.onnx", "certificate.json", "saved_model"} <= written
    assert (tmp_path / "notebook" / "sr.keras").is_file()
