import resource
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import layers
from tfsupermask._validation import InputError
from tfsupermask.export import Classifier, export_model, export_saved_model, is_export
from tfsupermask.export.sizes import dense_bytes

from .conftest import MEAN, NAMES, STD, conv2, uint8_images


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = conv2()
    path = tmp_path_factory.mktemp("export") / "saved"
    return model, export_saved_model(model, path, MEAN, STD, NAMES)


def test_signatures_say_what_they_take_and_hold_every_weight_once(exported):
    model, path = exported
    loaded, images = tf.saved_model.load(str(path)), uint8_images(3)
    logits = []
    for name, given in (("serving_default", images), ("float_images", images / 255)):
        signature = loaded.signatures[name]
        argument = signature.structured_input_signature[1]["images"]
        assert argument.dtype == (tf.uint8 if given is images else tf.float32)
        assert argument.shape.as_list() == [None, 8, 8, 3]
        outputs = signature(images=tf.constant(given, argument.dtype))
        assert set(outputs) == {"logits", "probabilities", "class_names"}
        logits.append(outputs["logits"])
    np.testing.assert_allclose(*logits, rtol=1e-3, atol=1e-6)
    size = (path / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert size == pytest.approx(dense_bytes(model), rel=0.05)


def test_the_folder_may_have_any_name(exported, tmp_path):
    images = uint8_images(3)
    named = shutil.copytree(exported[1], tmp_path / "mine.keras")
    expected = Classifier(exported[1]).logits(images)
    np.testing.assert_array_equal(Classifier(named).logits(images), expected)


def test_replaces_an_older_export_only(exported, tmp_path):
    model, path = exported
    export_saved_model(model, path, MEAN, STD, NAMES)
    assert is_export(path)
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(InputError, match="older SavedModel"):
        export_saved_model(model, tmp_path, MEAN, STD, NAMES)
    assert (tmp_path / "photo.jpg").read_bytes() == b"precious"


def test_refuses_what_is_no_saved_model_of_ours(tmp_path):
    with pytest.raises(InputError, match="must be the folder of a SavedModel"):
        Classifier(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(InputError, match="a classifier of this program's"):
        Classifier(tmp_path / "other")


@pytest.mark.parametrize("older", [False, True])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(exported, tmp_path, older):
    model, _ = exported
    path = tmp_path / "saved"
    if older:
        export_saved_model(model, path, MEAN, STD, NAMES)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*saved'"):
            export_saved_model(model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved"] * older
    if older:
        assert Classifier(path).class_names == NAMES


@pytest.mark.parametrize("name", ["a[0.1]", "a*", "a?", "a\\b"])
def test_a_path_that_tensorflow_takes_for_a_pattern_is_refused(
    exported, tmp_path, name
):
    model, path = exported
    for folder in (name, f"{name}/inside"):
        with pytest.raises(InputError, match=r"without \* \? \[.*a.*"):
            export_saved_model(model, tmp_path / folder)
    assert not any(tmp_path.iterdir())
    (tmp_path / name).symlink_to(path)
    with pytest.raises(InputError, match=r"without \* \? \["):
        Classifier(tmp_path / name)


def test_a_subclassed_model_does_not_say_what_it_takes(tmp_path):
    class Subclassed(keras.Model):
        def __init__(self, **config):
            super().__init__(**config)
            self.dense = layers.SupermaskDense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclassed()
    model(np.zeros((1, 3)))
    for name in ("model", "model.tflite", "model.onnx"):
        with pytest.raises(InputError, match=r"wrapped as keras\.Model"):
            export_model(model, tmp_path / name)
    inputs = keras.Input((3,), name="numbers")
    path = export_saved_model(keras.Model(inputs, model(inputs)), tmp_path / "wrapped")
    serve = tf.saved_model.load(path).signatures["serving_default"]
    ones = np.ones((2, 3), "float32")
    np.testing.assert_allclose(
        serve(numbers=tf.constant(ones))["output_0"], model(ones), rtol=1e-5
    )
