"""Pairs: where patches begin, which image is which, and who makes them."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf import build
from pdm_tf.build_parts import predefined
from pdm_tf.core.images import write_png
from pdm_tf.data.pipeline import Batching, make_batches
from pdm_tf.data.sources import open_source
from pdm_tf.degradations import DEGRADATIONS, GaussianJpegDegradation
from pdm_tf.methods.base import FULL_BATCH, BatchShard
from pdm_tf.methods.pairs import Pair, PairMaker
from tests.conformance.smoke import parse
from tests.unit.methods import tiny
from tests.unit.methods.host_degradation import HostDegradation
from tests.unit.training.toy import toy_config, train_toy

SEED, BATCH, STEPS = 3, 4, 3


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Smooth photographs of 96 pixels."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(4)
    for index in range(5):
        coarse = rng.random([8, 8, 3])
        image = tf.image.resize(coarse, [96, 96], "bicubic").numpy().clip(0, 1)
        write_png(folder / f"{index}.png", np.rint(image * 255).astype(np.uint8))
    return open_source(folder, patch=64, cache_mb=64)


def maker(degradation, **changes):
    return PairMaker(degradation, lr_patch=tiny.LR_PATCH, seed=SEED, **changes)


def taken(source, of, count=STEPS, prepare=None, **how):
    """Batches that the pipeline makes, as arrays."""
    batching = Batching(BATCH, SEED, **how)
    batches = make_batches({"hr": source}, {"hr": of.hr_side}, batching, prepare)
    return [
        {name: images.numpy() for name, images in batch.items()}
        for batch in batches.take(count)
    ]


def in_the_step(source, of):
    """What steps make of the plain batches, in a graph like theirs."""
    step = tf.function(
        lambda hr, index: of.pair({"hr": hr}, index, FULL_BATCH), autograph=False
    )
    return [
        step(tf.constant(batch["hr"]), tf.constant(index, tf.int64))
        for index, batch in enumerate(taken(source, of))
    ]


def levels(images):
    return np.rint(np.asarray(images, np.float64) * 255)


def assert_equal(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name, images in batch.items():
            np.testing.assert_array_equal(images, other[name], err_msg=name)


@pytest.mark.parametrize("kind", [HostDegradation, GaussianJpegDegradation])
def test_pairs_of_the_pipeline_are_those_of_the_step(source, kind):
    """The same seeds, patches and levels of 8 bits, whoever makes them."""
    of = maker(kind(tiny.SCALE))
    ahead = taken(source, of, prepare=of.prepare)
    for batch, pair in zip(ahead, in_the_step(source, of), strict=True):
        np.testing.assert_array_equal(batch["hr"], pair.hr)
        assert ("target" in batch) == (pair.target is not None)
        if "target" in batch:
            np.testing.assert_array_equal(batch["target"], pair.target)
        # In the step's graph, x / 255 is optimised into a product: the last bit.
        np.testing.assert_array_equal(levels(batch["lr"]), levels(pair.lr))
        np.testing.assert_allclose(batch["lr"], pair.lr, rtol=0, atol=1e-7)
        assert batch["lr"].shape == (BATCH, 8, 8, 3)
        assert batch["hr"].shape == (BATCH, 16, 16, 3)
    assert np.abs(ahead[0]["lr"] - ahead[1]["lr"]).max() > 0.1


def test_threads_starts_and_workers_change_no_pair(source):
    of = maker(HostDegradation(tiny.SCALE))
    whole = taken(source, of, prepare=of.prepare, threads=1)
    assert_equal(whole, taken(source, of, prepare=of.prepare, threads=4))
    later = taken(source, of, 1, prepare=of.prepare, start_step=2)
    assert_equal(whole[2:], later)
    halves = [
        taken(source, of, prepare=of.prepare, worker=k, workers=2) for k in (0, 1)
    ]
    joined = [
        {name: np.concatenate([a[name], b[name]]) for name in a}
        for a, b in zip(*halves, strict=True)
    ]
    assert_equal(whole, joined)


def test_only_what_needs_the_host_is_made_ahead():
    assert maker(HostDegradation(2)).ahead is not None
    assert maker(GaussianJpegDegradation(2)).ahead is None
    # XLA, the default on a GPU, does not compile the drawn numbers of images.
    parts = ["parts=bicubic,awgn_blur", "probabilities=0.5,0.5"]
    assert maker(predefined("mixed", parts, 2)).ahead is not None
    assert tiny.supervised(degradation=HostDegradation(2)).prepare_batch is not None
    assert tiny.supervised().prepare_batch is None
    assert tiny.pdm_sr().prepare_batch is None
    frozen = {"pdm": HostDegradation(2)}
    assert tiny.pdm_sr(frozen, training="sr").prepare_batch is not None


def test_jpeg_begins_anywhere_on_its_grid_in_lr_hr_and_target():
    """Supervised training once began all of its patches at a corner of a block."""
    degradation = HostDegradation(2)
    of = maker(degradation)
    assert of.hr_side == 2 * (8 + 8) + 6
    seen = set()
    for index in range(20):
        rng = np.random.default_rng(index)
        hr = rng.random([3, of.hr_side, of.hr_side, 3]).astype(np.float32)
        step = tf.constant(index, tf.int64)
        pair = of.pair({"hr": tf.constant(hr)}, step, FULL_BATCH)
        np.testing.assert_array_equal(pair.target, 1 - pair.hr)
        inner = hr[:, 3:-3, 3:-3]
        for image, patch in zip(inner, pair.hr.numpy(), strict=True):
            places = {
                (y, x)
                for y in range(8)
                for x in range(8)
                if np.array_equal(image[2 * y : 2 * y + 16, 2 * x : 2 * x + 16], patch)
            }
            assert len(places) == 1
            seen |= places
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(8))


def test_the_target_is_what_pixels_are_to_reach():
    lr = hr = tf.zeros([1, 2, 2, 3])
    assert Pair(lr, hr).wanted is hr
    target = tf.ones([1, 2, 2, 3])
    assert Pair(lr, hr, target).wanted is target
    assert Pair.of({"lr": lr, "hr": hr}).target is None
    method = tiny.supervised(degradation=HostDegradation(2))
    batch = tiny.batch_for(method, 0)
    made = method.prepare_batch(batch, tf.constant(0, tf.int64), FULL_BATCH)
    wanted = np.mean(np.abs(method.networks["sr"](made["lr"]) - made["target"]))
    for given in (batch, made):
        result = method.train_step_for(0)(given, tf.constant(0, tf.int64), FULL_BATCH)
        assert float(result.scalars["loss/sr_l1"]) == pytest.approx(wanted, rel=1e-5)


def test_a_prepared_batch_is_cut_like_any_other():
    """Accumulated steps split what the pipeline made; previews show its target."""
    method = tiny.supervised(degradation=HostDegradation(2))
    whole = method.prepare_batch(
        tiny.batch_for(method, 0), tf.constant(0, tf.int64), FULL_BATCH
    )
    rows = {name: images[1:2] for name, images in whole.items()}
    pair = method._pair(rows, tf.constant(0, tf.int64), BatchShard(1, 3))
    np.testing.assert_array_equal(pair.lr, whole["lr"][1:2])
    width = method.previews(whole, 0)["patches"].shape[1]
    assert width > 4 * tiny.LR_PATCH * tiny.SCALE  # lr, sr, target, hr


@pytest.fixture
def on_host(tmp_path, source, monkeypatch):
    """Flags of training on it, with photographs."""
    monkeypatch.setitem(DEGRADATIONS, "on_host", HostDegradation)
    for index in range(3):
        write_png(tmp_path / "hr" / f"{index}.png", source.image(index))
    return (
        f"--hr_dir={tmp_path / 'hr'}",
        "--scale=2",
        "--lr_patch=8",
        "--batch_size=4",
        "--threads=2",
    )


def test_training_prepares_batches_and_goes_on_bit_for_bit(tmp_path, on_host):
    """Flags, pipeline, compiled steps in two parts, stop, resume."""
    config = parse(
        "parts/smoke.flags",
        "--method=supervised",
        "--method_arg=degradation=on_host",
        *on_host,
    )

    def trained(folder, steps):
        setup = build.build_training(config)
        how = {"batch_size": 4, "accumulate": 2, "xla": "on"}
        settings = toy_config(folder, steps=steps, save_every=2, **how)
        _, method = train_toy(settings, setup.method, setup.make_batches)
        return method.networks["sr"].get_weights()

    straight = trained(tmp_path / "straight", 4)
    half = trained(tmp_path / "resumed", 2)
    resumed = trained(tmp_path / "resumed", 4)
    for one, other in zip(straight, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(np.any(a != b) for a, b in zip(half, resumed, strict=True))


def test_a_frozen_degradation_of_pdm_sr_is_made_ahead_too(on_host):
    config = parse(
        "parts/smoke.flags",
        "--method=pdm_sr",
        "--method_arg=training=sr",
        "--init_degradation=on_host",
        *on_host,
    )
    setup = build.build_training(config)
    batch = next(iter(setup.make_batches(0)))
    assert {name: images.shape for name, images in batch.items()} == {
        "hr": (4, 16, 16, 3),
        "lr": (4, 8, 8, 3),
        "target": (4, 16, 16, 3),
    }
    step = tf.constant(0, tf.int64)
    result = setup.method.train_step_for(0)(batch, step, FULL_BATCH)
    l1 = np.mean(np.abs(setup.method.networks["sr"](batch["lr"]) - batch["target"]))
    assert float(result.scalars["loss/sr_l1"]) == pytest.approx(l1, rel=1e-5)
