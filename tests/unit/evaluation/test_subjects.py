"""Each kind is recognised for what it is, and gives the pictures it stands for."""

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_float, to_u8, write_png
from pdm_tf.data.sources import FileEntry
from pdm_tf.evaluation.subjects import KINDS, SubjectRequest, open_subject
from pdm_tf.evaluation.subjects.pictures import Pictures
from tests.support.onnx_files import write_sr
from tests.unit.evaluation.fakes import photo


def _touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("files", "place", "kind"),
    [
        ([], "bicubic", 0),
        (["b/bundle.json"], "b", 1),
        (["run/config.json", "run/previews/1.png"], "run", 1),  # no bundles yet
        (["run/bundles/sr/bundle.json"], "run", 1),
        (["m.onnx"], "m.onnx", 2),
        (["e/model.onnx", "e/saved_model/1/saved_model.pb"], "e", 2),
        (["e/model.onnx", "e/saved_model/1/saved_model.pb"], "e/saved_model", 3),
        (["s/saved_model.pb"], "s", 3),
        (["s/3/saved_model.pb", "s/note.png"], "s", 3),
        (["p/sub/a.png"], "p", 4),
        (["n/notes.txt"], "n", None),
        ([], "nowhere", None),
    ],
)
def test_recognised_by_names_of_files(tmp_path, monkeypatch, files, place, kind):
    monkeypatch.chdir(tmp_path)
    for name in files:
        _touch(tmp_path / name)
    found = [i for i, row in enumerate(KINDS) if row.matches(place)]
    assert (found[0] if found else None) == kind


def test_unknown_locations_list_the_kinds(tmp_path):
    with pytest.raises(UserError, match="a SavedModel or a folder of SR pictures"):
        open_subject(SubjectRequest(str(tmp_path)))


def test_onnx_equals_its_session(tmp_path):
    """Tiles as the flags say; the other scale is refused."""
    from pdm_tf.inference.session import open_session

    path = write_sr(tmp_path / "m.onnx", scale=2, convs=2) or tmp_path / "m.onnx"
    lr_u8 = photo(0, 40, 52)
    wanted = to_u8(open_session(path).run(to_float(lr_u8)[None])[0])
    for tile in (0, 24):
        request = SubjectRequest(str(path), tile=tile, overlap=4)
        subject = open_subject(request)
        assert subject.scale == 2 and subject.needs_lr
        np.testing.assert_array_equal(subject.picture("x", lr_u8), wanted)
    with pytest.raises(UserError, match="--scale must be that of the model, 2"):
        open_subject(SubjectRequest(str(path), scale=4))


def test_a_word_that_is_nearly_bicubic_is_pointed_at():
    with pytest.raises(UserError, match=r"bicubick.*Did you mean 'bicubic'\?"):
        open_subject(SubjectRequest("bicubick"))


def _save_module(folder, factor):
    """x2 by repetition, times a factor: a SavedModel that is not the exporter's."""
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.factor = tf.Variable(factor)

        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "photo")],
            autograph=False,
        )
        def __call__(self, x):
            big = tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
            return {"large": big * self.factor}

    module = Module()
    tf.saved_model.save(module, str(folder), signatures=module.__call__)


def test_saved_model_of_anyone_newest_version_counts(tmp_path):
    """9 is older than 10; its variables live as long as the subject."""
    _save_module(tmp_path / "sm" / "9", 0.25)
    _save_module(tmp_path / "sm" / "10", 0.5)
    subject = open_subject(SubjectRequest(str(tmp_path / "sm")))
    lr_u8 = photo(1, 20, 24) // 2 * 2
    big = lr_u8.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(subject.picture("x", lr_u8), big // 2)
    older = open_subject(SubjectRequest(str(tmp_path / "sm" / "9")))
    assert older.facts["sha256"] != subject.facts["sha256"]
    assert (subject.scale, subject.facts["folder"]) == (2, "10")


def test_saved_model_of_the_exporter(tmp_path):
    """Its three signatures: the float one is run."""
    import keras
    import tensorflow as tf

    from export.saved_model import ServingModule
    from pdm_tf.models.sr.edsr import EDSRConfig

    keras.utils.set_random_seed(3)
    network = EDSRConfig(num_blocks=1, filters=4, scale=2).build()
    lr_u8 = photo(2, 24, 28)
    wanted = to_u8(network(to_float(lr_u8)[None], training=False)[0].numpy())
    module = ServingModule(network, network.variables)
    functions = {"serving_default": module.float32, "serving_uint8": module.uint8}
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=functions)
    found = open_subject(SubjectRequest(str(tmp_path))).picture("x", lr_u8)
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_saved_model_of_something_else_is_refused(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    double = tf.function(lambda x: {"y": 2 * x}, autograph=False)
    signature = double.get_concrete_function(tf.TensorSpec([None], tf.float32, "x"))
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signature)
    with pytest.raises(UserError, match="one float32 image"):
        open_subject(SubjectRequest(str(tmp_path)))
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(UserError, match="can load"):
        open_subject(SubjectRequest(str(tmp_path)))


def _pictures(*names):
    return Pictures([FileEntry(name, name) for name in names], 4)


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        ("a", ["a.png", "ax4.png"], "a.png"),
        ("a", ["ax4.png"], "ax4.png"),
        ("ax4m", ["a.png"], "a.png"),
        ("0801x4d", ["0801x4.png"], "0801x4.png"),
        ("a", ["ax4.png", "a_x4.png"], None),  # which one is not said
        ("a", ["ax4.png", "ax2.png"], "ax4.png"),
        ("cat", ["cat_out.png", "bat_out.png"], "cat_out.png"),
        ("cat", ["cat/cat_5000.png", "bat/bat_5000.png"], "cat/cat_5000.png"),
        ("bat_HR", ["cat_LR4_rlt.png", "bat_LR4_rlt.png"], "bat_LR4_rlt.png"),
        ("city/a", ["a.png"], None),
        ("a", ["a_b.png", "ab.png"], None),  # of other images
    ],
)
def test_pictures_are_matched_by_name(name, files, found):
    entry = _pictures(*files).of(name)
    assert (entry.name if entry else None) == found


def test_pictures_without_an_image_are_named():
    unused = _pictures("a.png", "bx4.png", "c.png").unused(["ax4", "b"])
    assert [entry.name for entry in unused] == ["c.png"]


def test_scale_of_pictures_from_lr_or_said(tmp_path):
    write_png(tmp_path / "sr" / "a.png", photo(0, 24, 36))
    write_png(tmp_path / "lr" / "ax3.png", photo(0, 8, 12))
    place = str(tmp_path / "sr")
    found = open_subject(SubjectRequest(place, lr_dir=str(tmp_path / "lr")))
    assert found.scale == 3 and not found.needs_lr
    assert open_subject(SubjectRequest(place, scale=2)).scale == 2
    with pytest.raises(UserError, match="needs --scale"):
        open_subject(SubjectRequest(place))
    write_png(tmp_path / "sr" / "a.webp.png", photo(0, 24, 36))
    write_png(tmp_path / "sr" / "a.bmp", photo(0, 24, 36))
    with pytest.raises(UserError, match="one picture per image"):
        open_subject(SubjectRequest(place, scale=2))
