"""metrics.jsonl survives kills and resumes with every step once."""

import json
import math

from pdm_tf.run import read_metrics
from pdm_tf.training.metrics_file import MetricsFile


def test_records_come_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, 0)
    file.write(1, {"loss/a": 0.5, "finished": True})
    file.write(2, {"loss/a": math.inf, "loss/b": math.nan})
    first, second = read_metrics(path)  # flushed: readable while open
    assert (first["step"], first["loss/a"], first["finished"]) == (1, 0.5, True)
    assert (second["loss/a"], second["loss/b"]) == (None, None)
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: 1 / 0)  # strict JSON


def test_resume_drops_later_steps_and_torn_lines_only(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, 0)
    for step in (1, 2, 2, 3):
        file.write(step, {"loss/a": step})
    file.close()
    with open(path, "a") as torn:
        torn.write('{"step": 2, "loss/a": 0.')
    file = MetricsFile(path, 2)
    file.write(3, {"loss/a": 30})
    assert [(r["step"], r["loss/a"]) for r in read_metrics(path)] == [
        (1, 1),
        (2, 2),
        (2, 2),
        (3, 30),
    ]


def test_no_file_no_records(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
