"""Columns of runs, reasons for what is missing, and what a study took."""

import pytest

from pdm_tf.core.files import write_json_atomic
from pdm_tf.studies import table
from pdm_tf.studies.plan import make_plan
from pdm_tf.studies.running import state_path
from pdm_tf.studies.table import Numbers
from tests.unit.studies.studies import request


@pytest.fixture
def plan(tmp_path):
    return make_plan(request(tmp_path, seeds=[0, 1]))


def finish(run, seconds=60.0, memory=1500.0, step=10):
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "metrics.jsonl").write_text(
        f'{{"step": {step}, "finished": true, "perf/train_seconds": {seconds}, '
        f'"perf/peak_memory_mb": {memory}}}\n'
    )


def evaluate(plan, run, dataset):
    folder = table.evaluation_folder(plan.request.folder, run.evaluation(dataset))
    write_json_atomic(folder / "report.json", {})
    return folder


REPORT = {
    "degradation": {
        "true_kernels": {"learned": {"coverage": 0.62}},
        "estimated_kernels": {"learned": {"coverage": 0.5}},
        "real_lr": {"synthesised": {"classifier": {"accuracy": 0.55}}},
    }
}


def test_numbers_of_a_run(plan):
    run = plan.runs[0]
    finish(run)
    found = table.numbers_of(run, REPORT, {"sr": 1_500_000, "trained": 2_000_000})
    assert found == Numbers(
        {
            "coverage": pytest.approx(62),
            "est. coverage": pytest.approx(50),
            "classifier": pytest.approx(55),
            "training": 1.0,
            "memory": 1.5,
            "SR weights": 1.5,
            "trained weights": 2.0,
        },
        {},
    )


def test_what_is_not_known_has_its_reason(plan):
    """No degradation at all, or one without kernels; never a number."""
    run = plan.runs[0]
    finish(run)
    none = table.numbers_of(run, {}, {})
    assert set(none.values) == {"training", "memory"}
    assert set(none.reasons.values()) == {"it learns no degradation"}
    without = {
        "degradation": {
            **REPORT["degradation"],
            "true_kernels": None,
            "reasons": {"true_kernels": "the network has no kernels."},
        }
    }
    found = table.numbers_of(run, without, {})
    assert found.reasons == {"coverage": "the network has no kernels."}
    assert "coverage" not in found.values and "classifier" in found.values


def content():
    methods = ["bicubic", "edsr", "ours", "oracle"]
    shares = {"bicubic": 0.0, "edsr": -0.1, "ours": 0.8, "oracle": 1.0}
    return {
        "metrics": {"psnr": {}, "ssim": {}},
        "oracle": "oracle",
        "floor": "bicubic",
        "methods": [
            {
                "name": name,
                "mean": {"psnr": 22.0 + 2.5 * shares[name]},
                "spread": {"psnr": 0.1 if name == "ours" else None},
                "share": {"psnr": {"value": shares[name]}},
            }
            for name in methods
        ],
    }


def test_columns_are_means_over_the_runs_with_their_spread():
    no = {"coverage": "it learns no degradation", "classifier": "none at hand"}
    numbers = {
        "edsr": [Numbers({"training": 2.0}, no)],
        "ours": [
            Numbers({"coverage": 50.0, "training": 3.0}, {}),
            Numbers({"coverage": 60.0, "training": 4.0}, {}),
        ],
        "oracle": [Numbers({"training": 2.0}, no)],
    }
    comparison = content()
    table.add_columns(comparison, numbers)
    assert list(comparison["columns"]) == ["share", "coverage", "training"]
    found = {m["name"]: m["columns"] for m in comparison["methods"]}
    assert found["ours"]["coverage"] == {"mean": 55, "spread": pytest.approx(50**0.5)}
    assert found["edsr"]["training"] == {"mean": 2.0, "spread": None}
    assert found["bicubic"]["training"] == {"mean": None, "spread": None}
    # 0.1 dB of a gain of 2.5 dB.
    assert found["ours"]["share"] == pytest.approx({"mean": 80, "spread": 4})
    assert found["edsr"]["share"]["spread"] is None
    notes = comparison["column_notes"]
    assert notes[0] == "share: part of the oracle's gain in psnr over bicubic."
    assert notes[-1] == "No coverage of edsr, oracle: it learns no degradation."
    assert not any("none at hand" in note for note in notes)  # nobody has that column


def test_missing_runs_and_rows(plan):
    edsr, ours = plan.row("edsr", "blur"), plan.row("ours", "blur")
    finish(edsr[0])
    evaluate(plan, edsr[0], "blur")
    finish(edsr[1])
    finish(ours[0])
    reason = {"ours@blur@s0": "too small"}
    failed = {"reason": "exit code 3", "code": 3}
    write_json_atomic(state_path(plan.request.folder, "ours@blur@s1"), failed)
    comparison = {}
    table.add_missing(comparison, plan, "blur", reason)
    assert comparison["absent"] == ["ours"]
    assert [(m["run"], m["reason"]) for m in comparison["missing"]] == [
        ("edsr@s1", "no evaluation"),
        ("ours@blur@s0", "evaluation: too small"),
        ("ours@blur@s1", "exit code 3"),
    ]
    folder = table.evaluation_folder(plan.request.folder, "edsr@blur@s0")
    assert table.evaluated(plan, "blur", reason) == {"edsr": [folder]}
    assert table.evaluated(plan, "noise", reason) == {}


def test_what_a_study_took(plan):
    """Starting is what processes took besides training, where both are known."""
    study = plan.request.folder
    first, second, *_ = plan.runs
    finish(first, seconds=100.0)
    finish(second, seconds=300.0)
    write_json_atomic(state_path(study, first.name), {"wall_seconds": 112.0})
    assert table.add_time(study, "checking", 5.0) == {"checking": 5.0}
    times = table.add_time(study, "checking", 3.0)
    found = table.facts(plan, times)
    assert found["seconds"] == {"training": 400.0, "starting": 12.0, "checking": 8.0}
    assert found["overhead"] == pytest.approx(20 / 400)
    assert found["runs"][first.name]["memory_mb"] == 1500.0
    assert found["runs"]["ours@noise@s1"]["state"] == "not started"
    assert table.facts(make_plan(plan.request), {})["overhead"] == pytest.approx(0.03)
