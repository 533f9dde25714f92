"""Time to quality, of runs whose logs are written by hand."""

import json

import pytest

from pdm_tf.benchmarks import quality_task
from pdm_tf.benchmarks.quality_task import QualityBenchmarkConfig, course
from pdm_tf.core.errors import UserError
from pdm_tf.core.stored import read_json


def write_run(folder, scores, seconds, before=0.0, refined=0.0):
    folder.mkdir(parents=True)
    records = [
        {"step": step, "val/psnr_shift": score - 0.1, "val_ema/psnr_shift": score}
        for step, score in scores.items()
    ]
    last = {"step": max(scores), "finished": True, "perf/train_seconds": seconds}
    lines = [json.dumps(record) for record in [*records, last]]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    if before:
        (folder / "estimate").mkdir()
        facts = {"facts": {"seconds": {"jpeg": before / 4, "regressor": before * 0.75}}}
        (folder / "estimate" / "estimate.json").write_text(json.dumps(facts))
    if refined:
        write_run(folder / "refine", {10: 0.0}, refined)
    return str(folder)


def test_the_table_by_hand(tmp_path, capsys):
    paper = write_run(tmp_path / "paper", {100: 23.0, 200: 23.5, 400: 24.0}, 800.0)
    mine = write_run(tmp_path / "mine", {50: 23.9, 100: 24.1}, 100.0, 20.0, 10.0)
    never = write_run(tmp_path / "never", {100: 23.99}, 50.0)
    output = tmp_path / "found.json"
    quality_task.main(
        QualityBenchmarkConfig(reference=paper, run=(mine, never), output=str(output))
    )
    found = read_json(output)["runs"]
    assert found[paper]["seconds_until"] == pytest.approx(800.0)
    # 20 s of measuring, 10 s of refining, all 100 s of training.
    assert found[mine]["seconds_until"] == pytest.approx(130.0)
    assert found[mine]["part"] == pytest.approx(130.0 / 800.0)
    assert found[never]["part"] is None
    assert "never" in capsys.readouterr().out


def test_a_score_is_reached_at_the_first_step_that_has_it(tmp_path):
    run = write_run(tmp_path / "run", {10: 20.0, 20: 25.0, 40: 22.0}, 400.0)
    assert course(run, "psnr_shift").until(25.0) == pytest.approx(200.0)


def test_runs_that_tell_nothing_are_refused(tmp_path):
    with pytest.raises(UserError, match="must be finished"):
        course(str(tmp_path), "psnr_shift")
    run = write_run(tmp_path / "run", {10: 20.0}, 400.0)
    with pytest.raises(UserError, match="must have scores by ssim"):
        course(run, "ssim")
