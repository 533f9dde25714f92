"""The stages before the SR network: what comes first."""

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.source_first import stages
from pdm_tf.train_config import TrainConfig


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sr_net": "swinir"}, "--sr_net` must be one of"),
        ({"sr_arg": ("width=3",)}, "width"),
        ({"discriminator_arg": ("width=3",)}, "width"),
        ({"lr_dir": ""}, "--lr_dir, .* is required"),
    ],
)
def test_wrong_settings_are_refused_before_minutes_of_measuring(
    wrong, told, tmp_path, monkeypatch
):
    monkeypatch.setattr(stages, "measure", lambda *args: pytest.fail("it measured"))
    given = {"hr_dir": "hr", "lr_dir": "lr", "run_dir": str(tmp_path), **wrong}
    config = TrainConfig(**given, estimate="on")
    with pytest.raises(UserError, match=told):
        stages.prepare(config, 0, pytest.fail, print)
