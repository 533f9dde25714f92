"""The measurement as a stage: it says what is odd, stops at a signal, and goes on."""

import os
import signal

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.estimation import measure_source as module
from pdm_tf.source_first.measuring import NotMeasurable, measure
from pdm_tf.train_config import TrainConfig
from tests.unit.estimation.folders import blurred, sharp, write_folders

QUICK = ("samples=48", "epochs=1", "rounds=1", "draws=24")


def config_of(root, **more):
    return TrainConfig(
        hr_dir=str(root / "hr"),
        lr_dir=str(root / "lr"),
        run_dir=str(root / "run"),
        progress="off",
        **{"estimate_arg": QUICK, **more},
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    write_folders(root, sharp()[:6], [blurred(x, 2.0, 4) for x in sharp()[:9]])
    return root


def test_a_signal_stops_it_and_it_goes_on(place, monkeypatch):
    asked, real, said = [], module.measure_jpeg, []

    def interrupted(*args):
        if not asked:
            os.kill(os.getpid(), signal.SIGTERM)
        asked.append(args)
        return real(*args)

    monkeypatch.setattr(module, "measure_jpeg", interrupted)
    folder = place / "run/estimate"
    assert measure(config_of(place), folder, said.append) is None
    assert len(asked) == 1
    assert said[-1] == "SIGTERM: stopped; the same command goes on from there."
    found = measure(config_of(place), folder, said.append)
    assert sum(not one.left_out for one in found.photographs) == 9
    assert (folder / "estimate.json").is_file()


def test_what_cannot_be_measured_is_told(place, tmp_path):
    write_folders(tmp_path, sharp()[:1], [blurred(sharp()[0], 2.0, 4)])
    with pytest.raises(NotMeasurable):
        measure(config_of(tmp_path), tmp_path / "estimate", print)
    with pytest.raises(UserError, match="has no setting 'sample'") as error:
        config = config_of(place, estimate_arg=("sample=3",))
        measure(config, tmp_path / "estimate", print)
    assert not isinstance(error.value, NotMeasurable)
