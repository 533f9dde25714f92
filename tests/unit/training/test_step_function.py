"""The compiled step: several per call, parts of a batch, learning rates, XLA."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.training.step_function import StepFunction, piecewise_learning_rate
from tests.unit.methods import tiny
from tests.unit.training.toy import (
    ToyMethod,
    all_values,
    make_batches,
    toy_config,
    toy_step,
    train_toy,
)


def trained(tmp_path, method, **changes):
    """Trains in a run folder; returns the method and the sizes of the calls."""
    calls = []
    call = StepFunction.__call__

    def counted(self, batches, step, count=1, stop=False):
        calls.append((step, count))
        call(self, batches, step, count, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepFunction, "__call__", counted)
        config = toy_config(tmp_path / "run", steps=13, **changes)
        train_toy(config, method)
    return method, calls


def test_several_steps_per_call_change_nothing_but_the_calls(tmp_path):
    one, _ = trained(tmp_path / "one", ToyMethod(phase_at=10), save_every=7)
    several, calls = trained(
        tmp_path / "four",
        ToyMethod(phase_at=10),
        steps_per_call=4,
        save_every=7,
        log_every=100,
    )
    # Up to the first step (logged), a checkpoint (7), a phase (10), the end (13).
    assert calls == [(0, 1), (1, 4), (5, 2), (7, 3), (10, 3)]
    for name, value in all_values(one).items():
        np.testing.assert_array_equal(value, all_values(several)[name], err_msg=name)


def test_calls_of_any_size_are_one_trace():
    step = toy_step(ToyMethod(), steps_per_call=8)
    batches = iter(make_batches(0))
    for start, count in ((0, 1), (1, 8), (9, 3)):
        step(batches, start, count)
    assert step.traces == 1
    assert step.fetch().keys() > {"loss/sr", "stat/learning_rate", "stat/grad_norm_sr"}
    assert not step.stopping()
    step(batches, 12, 1, stop=True)
    assert step.stopping() and "stop" not in step.fetch()


def longest_move(method, batches, **changes):
    """Network -> largest change of a weight in the first step.

    Adam's first step is as long as its rate, whatever the gradient.
    """
    before = {
        name: [v.numpy() for v in x.trainable_variables]
        for name, x in method.networks.items()
    }
    toy_step(method, **changes)(batches, 0)
    return {
        name: max(
            np.abs(new.numpy() - old).max()
            for new, old in zip(x.trainable_variables, before[name], strict=True)
        )
        for name, x in method.networks.items()
    }


def test_each_network_learns_at_its_own_rate():
    usual, slow = ToyMethod(), ToyMethod()
    slow.rate_factors["critic"] = 0.25
    lengths, shorter = (
        longest_move(method, iter(make_batches(0))) for method in (usual, slow)
    )
    assert shorter["sr"] == lengths["sr"]
    assert shorter["critic"] == pytest.approx(0.25 * lengths["critic"], rel=1e-3)


@pytest.mark.parametrize("rate", [0.25, 1.0])
def test_the_degradation_learns_at_the_rate_of_its_setting(rate):
    method = tiny.pdm_sr(degradation_rate=rate)
    lengths = longest_move(method, repeated(method), learning_rate=1e-3)
    wanted = {"pdm": 1e-3 * rate, "discriminator": 1e-3, "sr": 1e-3}
    assert lengths == pytest.approx(wanted, rel=0.02)


def repeated(method):
    return iter(tf.data.Dataset.from_tensors(tiny.batch_for(method)).repeat())


def without_latents():
    """XLA makes other normal numbers from the same seed."""
    kernel = dataclasses.replace(tiny.KERNEL, latent="zero")
    return tiny.pdm_sr({"pdm": tiny.pdm(kernel, noise=None)})


def is_compiled_by_xla(step):
    """Whether a function within the step's graph must be compiled."""
    (phase,) = step._phases.values()
    (concrete,) = phase.graph._list_all_concrete_functions()
    library = concrete.graph.as_graph_def().library
    return any(f.attr["_XlaMustCompile"].b for f in library.function)


@pytest.mark.parametrize("make", [tiny.supervised, without_latents])
def test_xla_computes_the_same(make):
    """Compiled for the CPU here; `auto` does so on a GPU."""
    plain, compiled = make(), make()
    for method, xla in ((plain, "off"), (compiled, "on")):
        step = toy_step(method, xla=xla)
        batches = repeated(method)
        for index in range(2):
            step(batches, index)
        method.scalars = step.fetch()
        assert is_compiled_by_xla(step) == (xla == "on")
    assert plain.scalars.keys() == compiled.scalars.keys()
    for name, value in plain.scalars.items():
        assert compiled.scalars[name] == pytest.approx(value, rel=2e-3, abs=1e-5), name


def test_parts_of_a_batch_are_computed_one_after_the_other():
    """In the graph, a part's input waits for all gradients of the part before."""
    inputs, gradients = [], []

    class Traced(ToyMethod):
        def _step(self, batch, step, share):
            inputs.append(batch["hr"].op)
            learned = super()._step(batch, step, share)
            groups = learned.gradients.values()
            gradients.append({g.op.name for group in groups for g in group})
            return learned

    toy_step(Traced(), accumulate=4)(iter(make_batches(0)), 0)
    assert len(inputs) == 4 and not inputs[0].control_inputs
    for earlier, op in zip(gradients, inputs[1:], strict=False):
        # Later gradients are sums that begin with the earlier ones.
        waits_for = {before.name for before in op.control_inputs}
        assert len(waits_for) == len(earlier)
    assert {before.name for before in inputs[1].control_inputs} == gradients[0]


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 1),
        (49_999, 1),
        (50_000, 0.5),
        (99_999, 0.5),
        (100_000, 0.25),
        (10**9, 0.125),
    ],
)
def test_paper_schedule(step, factor):
    rate = piecewise_learning_rate(
        tf.constant(step, tf.int64), 2e-4, (50_000, 100_000, 150_000), 0.5
    )
    assert rate.dtype == tf.float32
    assert float(rate) == pytest.approx(2e-4 * factor, rel=1e-7)


def test_no_milestones():
    rate = piecewise_learning_rate(tf.constant(7, tf.int64), 0.1, (), 0.5)
    assert float(rate) == pytest.approx(0.1)
