"""The loop calls the right things at the right steps, and nothing twice."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.images import read_rgb_u8
from pdm_tf.methods.base import FULL_BATCH
from pdm_tf.run import read_metrics
from pdm_tf.train import open_run_folder
from pdm_tf.training.checkpoint import complete_steps
from pdm_tf.training.nan_monitor import (
    DivergedError,
    NonFiniteLossError,
    load_batch,
)
from pdm_tf.training.recorder import ROLLBACKS
from pdm_tf.training.trainer import Outcome
from tests.unit.training.toy import (
    ToyMethod,
    all_values,
    make_batches,
    toy_config,
    toy_step,
    train_toy,
)


def records(config):
    with open_run_folder(config) as run:
        return read_metrics(run.metrics_path)


class Calls:
    """Stand-ins for validation and bundles that write down what they got."""

    def __init__(self):
        self.validated, self.saved = [], []
        self.shown = []
        self.outputs = {"validate": self.validate, "save_bundles": self.save_bundles}

    def validate(self, network):
        self.validated.append(network.variables[0].numpy().copy())
        return {"psnr": 20.0 + len(self.validated), "bicubic/psnr": 19.0}

    def show_photographs(self, network, step):
        self.shown.append((step, network.variables[0].numpy().copy()))
        return np.full((4, 6, 3), step, np.uint8)

    def save_bundles(self, networks, step):
        self.saved += [
            (name, step, network.variables[0].numpy().copy())
            for name, network in networks.items()
        ]


def test_periodic_actions_come_at_their_steps(tmp_path, capsys):
    config = toy_config(
        tmp_path / "run",
        steps=7,
        log_every=3,
        save_every=2,
        validate_every=4,
        preview_every=5,
        keep_checkpoints=2,
    )
    calls = Calls()
    outcome, _ = train_toy(
        config, **calls.outputs, show_photographs=calls.show_photographs
    )
    assert outcome == Outcome(7)
    found = records(config)
    assert [r["step"] for r in found if "loss/sr" in r] == [1, 3, 6, 7]
    assert [r["step"] for r in found if "val/psnr" in r] == [4, 7]
    assert [r["step"] for r in found if "finished" in r] == [7]
    assert complete_steps(tmp_path / "run/checkpoints") == [6, 7]
    assert [(n, s) for n, s, _ in calls.saved] == [
        (name, step) for step in (2, 4, 6, 7) for name in ("sr", "sr_ema")
    ]
    pictures = sorted(path.name for path in (tmp_path / "run/previews").iterdir())
    assert pictures == [
        "step_00000004_photographs.png",  # with the validation
        "step_00000005_patches.png",
        "step_00000005_photographs.png",
        "step_00000007_patches.png",
        "step_00000007_photographs.png",
    ]
    # By the averaged weights, which are shipped.
    np.testing.assert_array_equal(calls.shown[-1][1], calls.validated[-1])
    first = found[0]
    assert first["stat/learning_rate"] == 0.0002  # as written in the flags
    assert "perf/steps_per_second" in found[1]
    line = "step 4  validation: psnr 21 (ema 22, bicubic 19)"
    assert line in capsys.readouterr().out
    assert line in (tmp_path / "run/log.txt").read_text()


def test_early_validations_say_that_it_is_too_early(tmp_path, capsys):
    """In the first half of a short run."""
    config = toy_config(tmp_path / "run", steps=6, validate_every=2)
    train_toy(config, **Calls().outputs)
    lines = [x for x in capsys.readouterr().out.splitlines() if "validation:" in x]
    told = "before step 3 it is too early to judge"
    assert [told in line for line in lines] == [True, False, False]


def test_a_run_adds_up_its_time_over_all_its_starts(tmp_path):
    """Each start counts from the last record before its checkpoint."""
    folder = tmp_path / "run"
    train_toy(toy_config(folder, steps=3, save_every=3))
    path = folder / "metrics.jsonl"
    written = [json.loads(line) for line in path.read_text().splitlines()]
    for record in written:
        record["perf/train_seconds"] = 1000.0
        record["perf/peak_memory_mb"] = 1e6
    path.write_text("".join(json.dumps(record) + "\n" for record in written))
    config = toy_config(folder, steps=6, save_every=3)
    train_toy(config)
    last = next(r for r in reversed(records(config)) if r.get("finished"))
    assert last["step"] == 6
    assert 1000.0 < last["perf/train_seconds"] < 1100.0
    assert last["perf/peak_memory_mb"] == 1e6


def test_raw_and_averaged_weights_are_validated_and_bundled(tmp_path):
    config = toy_config(tmp_path / "run", steps=4, save_every=4, validate_every=4)
    calls = Calls()
    _, method = train_toy(
        config, validate=calls.validate, save_bundles=calls.save_bundles
    )
    raw, averaged = calls.validated
    np.testing.assert_array_equal(raw, method.networks["sr"].variables[0].numpy())
    assert np.abs(raw - averaged).max() > 0
    assert [name for name, _, _ in calls.saved] == ["sr", "sr_ema"]
    np.testing.assert_array_equal(calls.saved[0][2], raw)
    np.testing.assert_array_equal(calls.saved[1][2], averaged)


def test_averages_follow_every_step(tmp_path):
    """The averages in the bundles, from the raw weights in the bundles, by NumPy."""
    method, calls = ToyMethod(), Calls()
    expected = np.float64(method.networks["sr"].variables[0].numpy())
    config = toy_config(tmp_path / "run", steps=4, save_every=1)
    train_toy(config, method, save_bundles=calls.save_bundles)
    raw = [value for name, _, value in calls.saved if name == "sr"]
    averaged = [value for name, _, value in calls.saved if name == "sr_ema"]
    for n, (weights, average) in enumerate(zip(raw, averaged, strict=True)):
        decay = (1 + n) / (10 + n)
        expected = decay * expected + (1 - decay) * weights
        np.testing.assert_allclose(average, expected, atol=1e-7)


def test_a_run_killed_after_a_checkpoint_has_all_its_pictures(tmp_path):
    config = toy_config(tmp_path / "run", steps=4, save_every=2, preview_every=2)

    def killed(networks, step):
        raise KeyboardInterrupt  # the checkpoint is there, and nothing after it

    calls = Calls()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_toy(
                config, save_bundles=killed, show_photographs=calls.show_photographs
            )
    train_toy(config, show_photographs=calls.show_photographs)
    pictures = sorted(path.name for path in (tmp_path / "run/previews").iterdir())
    assert pictures == [
        f"step_{step:08d}_{name}.png"
        for step in (2, 4)
        for name in ("patches", "photographs")
    ]


def test_previews_show_the_same_batch_always(tmp_path):
    config = toy_config(tmp_path / "run", steps=4, preview_every=2)
    train_toy(config)
    folder = tmp_path / "run/previews"
    first = read_rgb_u8(folder / "step_00000002_patches.png")
    np.testing.assert_array_equal(
        first, read_rgb_u8(folder / "step_00000004_patches.png")
    )
    hr = next(iter(make_batches(0)))["hr"].numpy()[0]
    np.testing.assert_array_equal(first[:, :8], np.uint8(hr * 255))


def test_reporting_does_not_disturb_training(tmp_path):
    """Logging, validating, saving, previewing at other steps: the same weights."""
    calls = Calls()
    busy = toy_config(
        tmp_path / "busy", save_every=1, validate_every=1, preview_every=1
    )
    quiet = toy_config(tmp_path / "quiet", log_every=50, save_every=50)
    _, method = train_toy(
        busy, validate=calls.validate, save_bundles=calls.save_bundles
    )
    _, other = train_toy(quiet)
    for name, value in all_values(other).items():
        np.testing.assert_array_equal(value, all_values(method)[name], err_msg=name)


@pytest.mark.parametrize(("phase_at", "traces"), [(None, 1), (3, 2)])
def test_one_trace_per_phase(phase_at, traces):
    method = ToyMethod(phase_at=phase_at)
    step_function = toy_step(method)
    batches = iter(make_batches(0))
    for step in range(6):
        step_function(batches, step)
        assert ("loss/late" in step_function.fetch()) == (traces == 2 and step >= 3)
    assert step_function.traces == traces
    assert int(method.extra_state["seen"]) == 6


@pytest.mark.parametrize("loss_scaled", [False, True])
def test_learning_rate_of_every_optimizer_follows_the_step(loss_scaled):
    method = ToyMethod(loss_scaled=loss_scaled)
    step_function = toy_step(
        method, learning_rate=0.5, lr_milestones=(2,), lr_decay=0.1
    )
    for step, expected in ((0, 0.5), (1, 0.5), (2, 0.05), (0, 0.5)):
        step_function(iter(make_batches(step)), step)
        for optimizer in method.optimizers.values():
            inner = getattr(optimizer, "inner_optimizer", optimizer)
            assert float(inner.learning_rate.numpy()) == pytest.approx(expected)
        assert step_function.fetch()["stat/learning_rate"] == pytest.approx(expected)


def test_half_precision_with_loss_scaling_trains_and_resumes(tmp_path):
    config = toy_config(tmp_path / "run", steps=4, save_every=4)
    method = ToyMethod(policy="mixed_float16", loss_scaled=True)
    before = method.networks["sr"].variables[0].numpy().copy()
    train_toy(config, method)
    assert np.abs(method.networks["sr"].variables[0].numpy() - before).max() > 0
    again = ToyMethod(seed=5, policy="mixed_float16", loss_scaled=True)
    train_toy(config, again)
    for name, value in all_values(method).items():
        np.testing.assert_array_equal(value, all_values(again)[name], err_msg=name)


def test_non_finite_loss_is_caught_at_its_step_though_logged_rarely(tmp_path):
    config = toy_config(tmp_path / "run", steps=9, log_every=100, save_every=2)
    calls = Calls()
    with pytest.raises(NonFiniteLossError, match="loss/critic .* at step 5"):
        train_toy(config, ToyMethod(nan_at=4), save_bundles=calls.save_bundles)
    assert complete_steps(tmp_path / "run/checkpoints") == [2, 4]
    assert max(step for _, step, _ in calls.saved) == 4


class DivergesAtFullRate(ToyMethod):
    """Its loss is nan at step 5 unless the learning rate was lowered."""

    def _step(self, batch, step, share=FULL_BATCH):
        learned = super()._step(batch, step, share)
        rate = tf.convert_to_tensor(self.optimizers["critic"].learning_rate)
        is_bad = (step == 4) & (rate > 1.5e-4)
        loss = tf.where(is_bad, np.nan, learned.scalars["loss/critic"])
        return learned._replace(scalars={**learned.scalars, "loss/critic": loss})


@pytest.mark.parametrize("save_every", [2, 100])
def test_a_run_that_diverges_goes_back_and_on_with_a_lower_rate(tmp_path, save_every):
    settings = {"save_every": save_every, "lr_milestones": ()}
    config = toy_config(tmp_path / "run", on_divergence="rollback", **settings)
    assert train_toy(config, DivergesAtFullRate())[0] == Outcome(6)
    found = records(config)
    back = 4 if save_every == 2 else 0  # or to the start, which is kept for that
    rollbacks = [(r["step"], r["stat/rollbacks"]) for r in found if ROLLBACKS in r]
    assert rollbacks == [(back, 1)]
    assert [r["step"] for r in found if "loss/sr" in r] == [1, 2, 3, 4, 5, 6]
    rates = [r["stat/learning_rate"] for r in found if "loss/sr" in r]
    assert rates == [2e-4] * back + [1e-4] * (6 - back)
    batch = load_batch(tmp_path / "run/diverged/step_00000005.npz")
    (wanted,) = make_batches(4).take(1)
    np.testing.assert_array_equal(batch["hr"], wanted["hr"])
    # The lower rate is that of later starts too, whatever their policy.
    longer = dataclasses.replace(config, steps=8, on_divergence="stop")
    train_toy(longer, DivergesAtFullRate())
    assert records(longer)[-2]["stat/learning_rate"] == 1e-4


def test_rollbacks_end(tmp_path, capsys):
    config = toy_config(tmp_path / "run", on_divergence="rollback", rollbacks=2)
    with pytest.raises(NonFiniteLossError, match="loss/critic .* at step 5"):
        train_toy(config, ToyMethod(nan_at=4))
    warnings = [x for x in capsys.readouterr().out.splitlines() if "Back to" in x]
    assert ["times 0.5" in x for x in warnings] == [True, False]
    assert "times 0.25 from here on; this can be done 0 more times" in warnings[1]


def test_an_alarm_is_divergence_where_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("pdm_tf.training.recorder.GRACE_STEPS", 0)

    class Won(ToyMethod):
        def _step(self, batch, step, share=FULL_BATCH):
            learned = super()._step(batch, step, share)
            scalars = {**learned.scalars, "loss/d_lr": tf.constant(1e-4)}
            return learned._replace(scalars=scalars)

    config = toy_config(tmp_path / "reported", steps=7)
    assert train_toy(config, Won())[0] == Outcome(7)
    log = (tmp_path / "reported/log.txt").read_text()
    assert log.count("step 5  collapse alarm: d_lr_has_won") == 1
    config = toy_config(tmp_path / "acted", steps=7, on_alarm="act")
    with pytest.raises(DivergedError, match="d_lr_has_won") as caught:
        train_toy(config, Won())
    assert (caught.value.name, caught.value.step) == ("d_lr_has_won", 5)


def test_weights_that_are_spoilt_while_the_loss_is_fine_are_not_saved(tmp_path):
    class Spoilt(ToyMethod):
        def _step(self, batch, step, share):
            learned = super()._step(batch, step, share)
            kernel = self.networks["critic"].variables[0]
            kernel.assign(kernel * tf.where(step == 3, np.inf, 1.0))
            return learned

    config = toy_config(tmp_path / "run", steps=9, save_every=2)
    with pytest.raises(NonFiniteLossError, match="weights of critic .* at step 4"):
        train_toy(config, Spoilt())
    assert complete_steps(tmp_path / "run/checkpoints") == [2]


def test_batches_that_end_too_early_are_an_error(tmp_path):
    config = toy_config(tmp_path / "run", steps=9)
    with pytest.raises(RuntimeError, match="until step 9. Received: none after step 3"):
        train_toy(config, batches=lambda start: make_batches(start).take(3))


def test_batches_start_where_training_does(tmp_path):
    starts = []

    def batches(start):
        starts.append(start)
        return make_batches(start)

    train_toy(toy_config(tmp_path / "run", steps=4, save_every=4), batches=batches)
    train_toy(toy_config(tmp_path / "run", steps=6, save_every=4), batches=batches)
    assert starts == [0, 4]


def test_is_finished(tmp_path):
    config = toy_config(tmp_path / "run", steps=2)
    with open_run_folder(config) as run:
        assert not run.is_finished(2)
    train_toy(config)
    with open_run_folder(config) as run:
        assert run.is_finished(2)
        assert not run.is_finished(3)


def test_killed_before_its_last_validation_makes_up_for_it(tmp_path):
    config = toy_config(tmp_path / "run", steps=2, validate_every=5)
    calls = Calls()

    def killed(network):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_toy(config, validate=killed)
    train_toy(config, **calls.outputs)
    assert len(calls.validated) == 2
    assert [(name, step) for name, step, _ in calls.saved] == [("sr", 2), ("sr_ema", 2)]
    assert [r["step"] for r in records(config) if "val_ema/psnr" in r] == [2]
    train_toy(config, validate=calls.validate)
    assert len(calls.validated) == 2  # finished: not again


def test_validation_can_be_switched_off(tmp_path):
    calls = Calls()
    train_toy(toy_config(tmp_path / "run", validate_every=0), validate=calls.validate)
    assert calls.validated == []
